//! Cancelling reaches whoever works on a promise, and nobody else.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use marotte::host::{Host, Ref};
use marotte::native::{Answer, Callback, Native, reply};
use marotte::promise::Cell;
use marotte::{Error, Promise, Reference};
use marotte_tests::{Pair, Side, object, outcome, reason, value};

/// Work that never ends, begun for one sender each, which counts how often it was cancelled.
struct Works {
    ready: Mutex<Vec<Promise>>,
    cancelled: Arc<AtomicUsize>,
}

impl Works {
    fn new(side: &Side) -> Arc<Self> {
        let cancelled = Arc::new(AtomicUsize::new(0));
        let ready = (0..4)
            .map(|_| {
                let cell = Native::new_promise((), &side.vat, Cell::pending());
                let count = Arc::clone(&cancelled);
                let callback = Callback::Run(Box::new(move |_| {
                    count.fetch_add(1, Ordering::Relaxed);
                }));
                side.vat.on_cancel((), &cell, callback);
                side.adopt(Ref::Promise(cell))
            })
            .collect();
        Arc::new(Self {
            ready: Mutex::new(ready),
            cancelled,
        })
    }

    fn begin(&self) -> Promise {
        let next = self.ready.lock().expect("no test thread panicked").pop();
        next.expect("enough for a test")
    }

    fn cancelled(&self) -> usize {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// A worker on b, and a's promise for it. "work" begins work, "shared" always answers the same
/// promise, "via" passes a call on to what it is given.
fn pair() -> (Pair, Promise, Arc<Works>, Promise) {
    let mut pair = Pair::new();
    let works = Works::new(&pair.b);
    let (begun, shared) = (Arc::clone(&works), pair.b.forsaken());
    let same = shared.clone();
    pair.b.register(
        "worker",
        object(move |method, args| match method {
            "work" => Answer::Promise(begun.begin()),
            "shared" => Answer::Promise(same.clone()),
            "via" => match args.take1::<Promise>() {
                Ok(next) => Answer::Promise(next.send("work", &())),
                Err(error) => reply::<(), _>(Err(error)),
            },
            _ => reply(Ok::<_, Error>(7)),
        }),
    );
    let far = pair.fetch("worker");
    pair.run();
    (pair, far, works, shared)
}

#[test]
fn a_call_that_is_cancelled_breaks_here_and_its_work_is_told() {
    let (mut pair, far, works, _) = pair();
    let call = far.send("work", &());
    let behind = call.send("more", &());
    pair.run();
    assert_eq!(works.cancelled(), 0);
    call.cancel();
    assert_eq!(reason(&call), "the call was cancelled");
    pair.run();
    assert_eq!(works.cancelled(), 1);
    assert_eq!(reason(&behind), "the call was cancelled");
    call.cancel();
    let now = far.send("now", &());
    pair.collect();
    assert_eq!(works.cancelled(), 1, "once");
    assert_eq!(value::<i64>(&now), 7);
    assert_eq!(pair.at_a.tables()[2], 0, "no question is left");
    assert_eq!(pair.at_b.tables()[3], 0, "no answer is kept");
}

#[test]
fn cancelling_before_the_call_has_left_or_after_its_answer_does_no_harm() {
    let (mut pair, far, works, _) = pair();
    let early = far.send("work", &());
    early.cancel();
    let now = far.send("now", &());
    pair.run();
    now.cancel();
    pair.run();
    assert_eq!(works.cancelled(), 1);
    assert_eq!(value::<i64>(&now), 7);
}

#[test]
fn a_promise_that_others_have_too_is_not_cancelled() {
    let (mut pair, far, _, shared) = pair();
    let (one, other) = (far.send("shared", &()), far.send("shared", &()));
    pair.run();
    one.cancel();
    pair.run();
    assert_eq!(reason(&one), "the call was cancelled");
    assert!(outcome::<i64>(&shared).is_none());
    assert!(outcome::<i64>(&other).is_none());
}

#[test]
fn cancelling_reaches_through_a_chain_of_vats_and_of_promises() {
    let (mut pair, far, works, _) = pair();
    // b is asked to ask itself: the answer is a promise for a promise.
    let call = far.send("via", &(far.clone(),));
    pair.run();
    call.cancel();
    pair.run();
    assert_eq!(
        works.cancelled(),
        1,
        "b's method has returned the promise that b's call of itself gave"
    );
    // A promise of a's that was resolved to the call.
    let (promise, resolver) = pair.a.promise();
    let call = far.send("work", &());
    resolver.fulfil(Reference::from(call.clone()));
    pair.run();
    drop(call);
    promise.cancel();
    pair.run();
    assert_eq!(reason(&promise), "the call was cancelled");
    assert_eq!(works.cancelled(), 2);
    // What functions were to make of it.
    let call = far.send("work", &());
    let made = call.then(|n: i64| n).except(|_| 0).then(|n: i64| n);
    pair.run();
    made.cancel();
    pair.collect();
    assert_eq!(reason(&call), "the call was cancelled");
    assert_eq!(works.cancelled(), 3);
    assert_eq!(pair.at_a.tables()[2], 0, "no question is left");
    // Others have sent to it, and passed it on.
    let call = far.send("work", &());
    let behind = call.send("more", &());
    call.then(|n: i64| n).cancel();
    pair.run();
    assert!(outcome::<i64>(&call).is_none() && outcome::<i64>(&behind).is_none());
    assert_eq!(works.cancelled(), 3);
}

#[test]
fn a_message_that_still_waits_is_not_delivered_once_it_is_cancelled() {
    let (mut pair, _, _, _) = pair();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let target = object(move |_, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        reply(Ok::<_, Error>(()))
    });
    let near = pair.a.near(Arc::clone(&target));
    let (waits, goes) = (near.send("count", &()), near.send("count", &()));
    waits.cancel();
    pair.run();
    assert!(outcome::<()>(&goes).is_some_and(|end| end.is_ok()));
    assert_eq!(count.load(Ordering::Relaxed), 1);
    let (promise, resolver) = pair.a.promise();
    let (waits, goes) = (promise.send("count", &()), promise.send("count", &()));
    waits.cancel();
    resolver.fulfil(Reference::from_arc(target));
    pair.run();
    assert!(outcome::<()>(&goes).is_some_and(|end| end.is_ok()));
    assert_eq!(count.load(Ordering::Relaxed), 2);
}

#[test]
fn a_peer_can_cancel_its_own_calls_only() {
    let (mut pair, far, works, _) = pair();
    let call = far.send("work", &());
    pair.run();
    for message in [
        "<10'op:deliver<11'desc:export0+>[14'marotte:cancel99+]ff>",
        "<10'op:deliver<11'desc:export0+>[14'marotte:cancel1-]ff>",
        "<10'op:deliver<11'desc:export0+>[14'marotte:cancel2\"no]ff>",
        "<10'op:deliver<11'desc:export0+>[14'marotte:cancel]ff>",
    ] {
        pair.at_b
            .feed(format!("{}:{message}", message.len()).as_bytes());
    }
    pair.run();
    assert_eq!(works.cancelled(), 0);
    assert!(pair.at_b.connection.is_open());
    assert!(outcome::<()>(&call).is_none());
}
