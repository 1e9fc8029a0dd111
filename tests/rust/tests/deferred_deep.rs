//! Chains of a million Deferreds: whatever moves them, nothing recurses. Tests run on threads with
//! stacks of 2 MiB, which a frame of 2 bytes for each would fill.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use marotte::deferred::{
    Deferred, DeferredLock, DeferredQueue, Failure, Fallible, Permit, Resolver, gather,
};

const DEEP: usize = 1_000_000;

/// Each waits for the next; the first of them, and what fires the last.
fn chain() -> (Deferred<usize, String>, Resolver<usize, String>) {
    let (last, resolver) = Deferred::new();
    let first = (1..DEEP).fold(last, |inner, _| {
        Deferred::succeed(()).and_then(move |()| inner.map(|depth| depth + 1))
    });
    (first, resolver)
}

#[test]
fn the_innermost_fires() {
    let (first, resolver) = chain();
    resolver.callback(1).unwrap();
    assert_eq!(first.try_take().unwrap(), Ok(DEEP));
}

#[test]
fn the_outermost_is_cancelled() {
    let (first, _resolver) = chain();
    first.cancel();
    assert_eq!(first.try_take().unwrap(), Err(Failure::Cancelled));
}

#[test]
fn the_innermost_is_dropped() {
    let (first, resolver) = chain();
    drop(resolver);
    assert_eq!(first.try_take().unwrap(), Err(Failure::Dropped));
}

#[test]
fn the_outermost_is_dropped_then_the_innermost() {
    let (first, resolver) = chain();
    let (heard, hears) = std::sync::mpsc::channel();
    first.add_both(move |outcome| {
        heard.send(outcome).unwrap();
        0
    });
    drop(first);
    drop(resolver);
    assert_eq!(hears.recv().unwrap(), Err(Failure::Dropped));
}

#[test]
fn nobody_hears_of_one_that_was_never_fired() {
    let (first, resolver) = chain();
    // Whoever has the innermost by a pause alone lets all go.
    let (inner, for_inner) = Deferred::new();
    let paused = inner.pause();
    resolver.follow(inner);
    drop(first.or_else(|_| 0));
    drop(for_inner);
    drop(paused);
}

#[test]
fn it_follows() {
    let (mut last, resolver) = Deferred::<usize, String>::new();
    for _ in 1..DEEP {
        let (next, follower) = Deferred::new();
        follower.follow(last);
        last = next;
    }
    resolver.callback(7).unwrap();
    assert_eq!(last.try_take().unwrap(), Ok(7));
}

#[test]
fn one_ladder_has_many_rungs() {
    let (first, resolver) = Deferred::<usize, String>::new();
    let mapped = (0..DEEP).fold(first, |deferred, number| match number % 3 {
        0 => deferred.map(|depth| depth + 1),
        1 => deferred.and_then(|depth| Ok::<_, String>(depth + 1)),
        _ => deferred.and_then(|depth| Deferred::succeed(depth + 1)),
    });
    resolver.callback(0).unwrap();
    assert_eq!(mapped.try_take().unwrap(), Ok(DEEP));
}

#[test]
fn one_ladder_of_many_rungs_is_dropped() {
    let (first, resolver) = Deferred::<usize, String>::new();
    let counted = Arc::new(AtomicUsize::new(0));
    let mapped = (0..DEEP).fold(first, |deferred, _| {
        let counted = Arc::clone(&counted);
        deferred.map(move |depth| depth + counted.fetch_add(1, Ordering::Relaxed))
    });
    drop(mapped.or_else(|_| 0));
    drop(resolver);
    assert_eq!(Arc::strong_count(&counted), 1);
    assert_eq!(counted.load(Ordering::Relaxed), 0);
}

/// A callback holds the resolver of the next, as one writes it by hand.
#[test]
fn resolvers_in_callbacks_are_dropped() {
    let (last, mut resolver) = Deferred::<usize, String>::new();
    for _ in 1..DEEP {
        let (deferred, before) = Deferred::<usize, String>::new();
        // Only dropped: it is never called.
        deferred.add_callback(move |value| {
            drop(resolver);
            value
        });
        deferred.add_errback(|_| 0);
        resolver = before;
    }
    drop(resolver);
    assert_eq!(last.try_take().unwrap(), Err(Failure::Dropped));
}

/// A value holds the next Deferred.
struct Node {
    next: Option<Deferred<Self, String>>,
}

#[test]
fn values_that_hold_deferreds_are_dropped() {
    let list = (0..DEEP).fold(Node { next: None }, |list, _| Node {
        next: Some(Deferred::succeed(list)),
    });
    assert!(list.next.is_some());
    drop(list);
}

/// Pauses in callbacks: a million Deferreds, each let go by the one before.
#[test]
fn pauses_in_callbacks_are_dropped() {
    let counted = Arc::new(AtomicUsize::new(0));
    let mut paused = None;
    for _ in 0..DEEP {
        let deferred = Deferred::<(), String>::succeed(());
        let next = deferred.pause();
        let (before, counted) = (paused.replace(next), Arc::clone(&counted));
        deferred.add_callback(move |()| {
            counted.fetch_add(1, Ordering::Relaxed);
            drop(before);
        });
    }
    drop(paused);
    assert_eq!(counted.load(Ordering::Relaxed), DEEP);
}

#[test]
fn a_lock_goes_down_a_long_line() {
    let lock = DeferredLock::new();
    let held = lock.acquire().try_take().unwrap().unwrap();
    let counted = Arc::new(AtomicUsize::new(0));
    let line: Vec<_> = (0..DEEP)
        .map(|_| {
            let counted = Arc::clone(&counted);
            lock.acquire().map(move |permit: Permit| {
                counted.fetch_add(1, Ordering::Relaxed);
                drop(permit);
            })
        })
        .collect();
    drop(held);
    assert_eq!(counted.load(Ordering::Relaxed), DEEP);
    assert!(!lock.is_locked());
    drop(line);
}

#[test]
fn a_queue_serves_a_long_line() {
    let queue = DeferredQueue::new();
    let line: Vec<_> = (0..DEEP)
        .map(|_| queue.get().unwrap().lift::<String>())
        .collect();
    (0..DEEP).for_each(|item| queue.put(item).unwrap());
    let items = gather(line).try_take().unwrap().unwrap();
    assert!(items.into_iter().eq(0..DEEP));
}

#[test]
fn next_is_what_it_says() {
    // The traits are there for users' own functions, too.
    fn later<R: Fallible<u8, String>>(result: R) -> Deferred<u8, String> {
        result.into_next().into_deferred()
    }
    assert_eq!(
        later(Ok::<_, String>(1)).try_take().unwrap(),
        Ok::<u8, Failure<String>>(1)
    );
}
