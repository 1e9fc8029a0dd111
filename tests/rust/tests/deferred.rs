//! Deferreds as a Rust program uses them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::future::{Future, IntoFuture};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use marotte::deferred::{
    AllFailed, Collected, Deferred, DeferredLock, DeferredQueue, DeferredSemaphore, Failure,
    FakeClock, FirstError, Overflow, Resolver, Rule, TokioClock, collect, gather, race,
    set_unhandled_hook,
};

type Number = Deferred<i32, String>;

fn pending() -> (Number, Resolver<i32, String>) {
    Deferred::new()
}

/// What it has come to.
fn result(deferred: Number) -> Result<i32, Failure<String>> {
    deferred.try_take().unwrap()
}

fn error<T>(text: &str) -> Result<T, Failure<String>> {
    Err(Failure::Error(text.to_owned()))
}

#[test]
fn handles_are_for_all_threads() {
    fn is_send_and_sync<T: Send + Sync>() {}
    // Whatever the types: the values themselves need only be `Send`.
    is_send_and_sync::<Deferred<std::cell::Cell<u8>, std::cell::Cell<u8>>>();
    is_send_and_sync::<Resolver<std::cell::Cell<u8>, std::cell::Cell<u8>>>();
    is_send_and_sync::<marotte::deferred::Control>();
    is_send_and_sync::<marotte::deferred::Paused>();
    is_send_and_sync::<DeferredQueue<std::cell::Cell<u8>>>();
    is_send_and_sync::<marotte::deferred::Wait<u8, u8>>();
}

#[test]
fn a_panic_is_a_failure() {
    let deferred = Number::succeed(1).map(|_| -> i32 { panic!("no such page") });
    let failure = result(deferred).unwrap_err();
    assert_eq!(failure, Failure::Panicked("no such page".to_owned()));
}

#[test]
fn a_dropped_resolver_is_a_failure() {
    let (deferred, resolver) = pending();
    drop(resolver);
    assert_eq!(result(deferred), Err(Failure::Dropped));
}

#[test]
fn callbacks_run_although_the_deferred_is_dropped() {
    let (deferred, resolver) = pending();
    let (heard, hears) = mpsc::channel();
    deferred.add_callback(move |value| {
        heard.send(value).unwrap();
        value
    });
    drop(deferred);
    resolver.callback(4).unwrap();
    assert_eq!(hears.try_recv(), Ok(4));
}

#[test]
fn a_canceller_may_fire_it_and_the_work_is_told_that_it_is_late() {
    let (deferred, resolver) = Number::with_canceller(|resolver| {
        resolver.callback(3).unwrap();
    });
    deferred.cancel();
    assert_eq!(result(deferred), Ok(3));
    let late = resolver.callback(4).unwrap_err();
    assert_eq!(late.0, Ok(4));
}

#[test]
fn a_canceller_that_panics_or_cancels_is_as_good() {
    let (deferred, _resolver) = Number::with_canceller(|_| panic!("in a canceller"));
    deferred.cancel();
    assert_eq!(result(deferred), Err(Failure::Cancelled));

    let control: Arc<Mutex<Option<marotte::deferred::Control>>> = Arc::default();
    let inside = Arc::clone(&control);
    let (deferred, _resolver) = Number::with_canceller(move |_| {
        if let Some(control) = inside.lock().unwrap().take() {
            control.cancel();
        }
    });
    *control.lock().unwrap() = Some(deferred.control());
    deferred.cancel();
    assert_eq!(result(deferred), Err(Failure::Cancelled));
}

#[test]
fn to_cancel_one_that_waits_cancels_what_it_waits_for() {
    let (inner, _inner_resolver) = Deferred::<String, String>::new();
    let control = inner.control();
    let outer = Number::succeed(1)
        .and_then(|_| inner)
        .map(|text| text.len());
    outer.cancel();
    assert!(control.is_called());
    assert_eq!(outer.try_take().unwrap(), Err(Failure::Cancelled));
}

#[test]
fn one_that_returns_itself_fails() {
    let place: Arc<Mutex<Option<Number>>> = Arc::default();
    let (deferred, resolver) = pending();
    let (inside, heard) = (Arc::clone(&place), Arc::default());
    deferred.add_callback(move |_| inside.lock().unwrap().take().unwrap());
    let hears: Arc<Mutex<Option<_>>> = Arc::clone(&heard);
    deferred.add_both(move |outcome| {
        *heard.lock().unwrap() = Some(outcome);
        0
    });
    *place.lock().unwrap() = Some(deferred);
    resolver.callback(1).unwrap();
    assert_eq!(hears.lock().unwrap().take(), Some(Err(Failure::Dropped)));
}

#[test]
fn one_that_follows_is_cancelled_with_the_other() {
    let (first, for_first) = pending();
    let (second, for_second) = pending();
    let control = second.control();
    for_first.follow(second);
    first.cancel();
    assert!(control.is_called());
    assert_eq!(result(first), Err(Failure::Cancelled));
    drop(for_second);

    let (first, for_first) = pending();
    let (second, for_second) = pending();
    let control = second.control();
    first.cancel();
    for_first.follow(second);
    assert!(control.is_called());
    assert_eq!(result(first), Err(Failure::Cancelled));
    drop(for_second);
}

#[test]
fn callbacks_that_were_there_get_what_is_followed() {
    let (first, for_first) = pending();
    let (second, for_second) = pending();
    let doubled = first.map(|value| value * 2);
    for_first.follow(second);
    for_second.callback(4).unwrap();
    assert_eq!(result(doubled), Ok(8));
}

#[test]
fn a_timeout_covers_what_was_added_before() {
    let clock = FakeClock::new();
    let (inner, resolver) = pending();
    let (outer, for_outer) = pending();
    outer.add_callback(|_| inner);
    outer.add_timeout(Duration::from_secs(2), &clock);
    for_outer.callback(0).unwrap();
    clock.advance(Duration::from_secs(1));
    assert!(!outer.control().is_called() || clock.calls() == 1);
    clock.advance(Duration::from_secs(1));
    let failure = Failure::TimedOut(Duration::from_secs(2));
    assert_eq!(result(outer), Err(failure));
    // It had no canceller, so this is let pass.
    resolver.callback(1).unwrap();
}

#[test]
fn a_result_in_time_stops_the_clock() {
    let clock = FakeClock::new();
    let (deferred, resolver) = pending();
    deferred.add_timeout(Duration::from_secs(2), &clock);
    assert_eq!(clock.calls(), 1);
    resolver.errback("broken".to_owned()).unwrap();
    assert_eq!(clock.calls(), 0);
    assert_eq!(result(deferred), error("broken"));
}

#[test]
fn a_timeout_that_rang_changes_no_other_failure() {
    let clock = FakeClock::new();
    let (deferred, _resolver) = Number::with_canceller(|resolver| {
        resolver.errback("closed".to_owned()).unwrap();
    });
    deferred.add_timeout(Duration::from_secs(2), &clock);
    clock.advance(Duration::MAX);
    assert_eq!(result(deferred), error("closed"));
}

#[test]
fn cancelled_by_hand_it_did_not_time_out() {
    let clock = FakeClock::new();
    let (deferred, _resolver) = pending();
    deferred.add_timeout(Duration::from_secs(2), &clock);
    deferred.cancel();
    assert_eq!(clock.calls(), 0);
    assert_eq!(result(deferred), Err(Failure::Cancelled));
}

/// Counts how often it wakes.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn poll<F: Future + ?Sized>(future: Pin<&mut F>, bell: &Arc<Bell>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(&Waker::from(Arc::clone(bell))))
}

#[test]
fn awaiting_wakes_the_task_that_polled_last() {
    let (deferred, resolver) = pending();
    let mut future = pin!(deferred.into_future());
    let (first, last) = (Arc::default(), Arc::default());
    assert!(poll(future.as_mut(), &first).is_pending());
    assert!(poll(future.as_mut(), &last).is_pending());
    resolver.callback(4).unwrap();
    let counts = (
        first.0.load(Ordering::SeqCst),
        last.0.load(Ordering::SeqCst),
    );
    assert_eq!(counts, (0, 1));
    assert_eq!(poll(future, &last), Poll::Ready(Ok(4)));
}

#[test]
fn a_future_that_is_dropped_cancels() {
    let (deferred, _resolver) = pending();
    let control = deferred.control();
    let bell = Arc::default();
    {
        let mut future = pin!(deferred.into_future());
        assert!(poll(future.as_mut(), &bell).is_pending());
    }
    assert!(control.is_called());
    // Before it was polled, too; and not one that is over.
    let (deferred, _resolver) = pending();
    let control = deferred.control();
    drop(deferred.into_future());
    assert!(control.is_called());
    let mut done = pin!(Number::succeed(1).into_future());
    assert_eq!(poll(done.as_mut(), &bell), Poll::Ready(Ok(1)));
}

/// Futures of a test, to be polled by hand.
type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

fn deferred_of(
    future: impl Future<Output = Result<i32, String>> + Send + 'static,
) -> (Number, Task) {
    let mut task = None;
    let deferred = Deferred::from_future(future, |spawned| task = Some(spawned));
    (deferred, task.unwrap())
}

#[test]
fn a_future_becomes_a_deferred() {
    let (inner, resolver) = pending();
    let (deferred, mut task) = deferred_of(async { inner.await.map_err(|e| e.to_string()) });
    let bell = Arc::default();
    assert!(poll(task.as_mut(), &bell).is_pending());
    resolver.callback(4).unwrap();
    assert!(poll(task.as_mut(), &bell).is_ready());
    assert_eq!(result(deferred), Ok(4));
}

#[test]
fn to_cancel_one_of_a_future_drops_the_future() {
    let (inner, _resolver) = pending();
    let control = inner.control();
    let (deferred, mut task) = deferred_of(async { inner.await.map_err(|e| e.to_string()) });
    let bell: Arc<Bell> = Arc::default();
    assert!(poll(task.as_mut(), &bell).is_pending());
    deferred.cancel();
    // Dropped, and so cancelled in its turn; and the task was told to end.
    assert!(control.is_called());
    assert_eq!(bell.0.load(Ordering::SeqCst), 1);
    assert!(poll(task.as_mut(), &bell).is_ready());
    assert_eq!(result(deferred), Err(Failure::Cancelled));
}

#[test]
fn a_future_may_cancel_its_own_deferred() {
    let place: Arc<Mutex<Option<marotte::deferred::Control>>> = Arc::default();
    let inside = Arc::clone(&place);
    let (deferred, mut task) = deferred_of(async move {
        inside.lock().unwrap().take().unwrap().cancel();
        std::future::pending().await
    });
    *place.lock().unwrap() = Some(deferred.control());
    assert!(poll(task.as_mut(), &Arc::default()).is_ready());
    assert_eq!(result(deferred), Err(Failure::Cancelled));
}

#[test]
fn a_task_that_is_dropped_or_panics_is_a_failure() {
    let (deferred, task) = deferred_of(async { Ok(1) });
    drop(task);
    assert_eq!(result(deferred), Err(Failure::Dropped));
    let (deferred, mut task) = deferred_of(async { panic!("in a future") });
    assert!(poll(task.as_mut(), &Arc::default()).is_ready());
    let failure = Failure::Panicked("in a future".to_owned());
    assert_eq!(result(deferred), Err(failure));
}

#[tokio::test]
async fn tokio_awaits_spawns_and_times_out() {
    let deferred = Deferred::<_, String>::from_future(
        async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(20)
        },
        |task| drop(tokio::spawn(task)),
    );
    assert_eq!(deferred.map(|value| value + 1).await, Ok(21));

    let never = Deferred::<i32, String>::from_future(std::future::pending(), |task| {
        drop(tokio::spawn(task));
    });
    never.add_timeout(Duration::from_millis(5), &TokioClock::current().unwrap());
    assert!(never.await.unwrap_err().is_timed_out());
}

#[test]
fn there_is_no_tokio_clock_outside_of_tokio() {
    assert!(TokioClock::current().is_err());
}

#[test]
fn gather_gives_all_or_fails_like_the_first() {
    let (one, for_one) = pending();
    let (two, for_two) = pending();
    let both = gather([one, two]);
    for_two.callback(2).unwrap();
    for_one.callback(1).unwrap();
    assert_eq!(both.try_take().unwrap(), Ok(vec![1, 2]));

    let (one, for_one) = pending();
    let (two, for_two) = pending();
    let both = gather([one, two]);
    for_two.errback("two".to_owned()).unwrap();
    assert_eq!(both.try_take().unwrap().map(|_| 0), error("two"));
    // The other goes on, and its result is nobody's.
    for_one.callback(1).unwrap();

    let none = gather(Vec::<Number>::new());
    assert_eq!(none.try_take().unwrap(), Ok(vec![]));
}

#[test]
fn to_cancel_a_gathering_cancels_all() {
    let (one, _for_one) = pending();
    let (two, _for_two) = pending();
    let controls = [one.control(), two.control()];
    let both = gather([one, two]);
    both.cancel();
    assert!(controls.iter().all(marotte::deferred::Control::is_called));
    assert_eq!(both.try_take().unwrap(), Err(Failure::Cancelled));
}

#[test]
fn collect_goes_by_its_rule() {
    let first = Rule {
        first_value: true,
        ..Rule::default()
    };
    let inputs = || {
        [
            Number::fail("one".into()),
            Number::succeed(2),
            Number::succeed(3),
        ]
    };
    let got = collect(inputs(), first).try_take().unwrap();
    assert_eq!(got, Ok(Collected::First(1, 2)));

    let got = collect([Number::fail("one".into())], first)
        .try_take()
        .unwrap();
    assert_eq!(got, Ok(Collected::All(vec![error("one")])));

    let strict = Rule {
        first_failure: true,
        ..Rule::default()
    };
    let got = collect(inputs(), strict).try_take().unwrap();
    let failure = Failure::Error("one".to_owned());
    assert_eq!(got, Err(Failure::Error(FirstError { index: 0, failure })));

    let none = collect(Vec::<Number>::new(), first).try_take().unwrap();
    assert_eq!(none, Err(Failure::Dropped));
}

#[test]
fn a_race_has_one_winner_and_cancels_the_others() {
    let (one, _for_one) = pending();
    let (two, for_two) = pending();
    let control = one.control();
    let winner = race([one, two]);
    for_two.callback(2).unwrap();
    assert!(control.is_called());
    assert_eq!(winner.try_take().unwrap(), Ok((1, 2)));

    let lost = race([Number::fail("one".into()), Number::fail("two".into())]);
    let failures = ["one", "two"].map(|text| Failure::Error(text.to_owned()));
    let all = Failure::Error(AllFailed(failures.to_vec()));
    assert_eq!(lost.try_take().unwrap(), Err(all));

    let none = race(Vec::<Number>::new());
    assert_eq!(
        none.try_take().unwrap(),
        Err(Failure::Error(AllFailed(vec![])))
    );
}

#[test]
fn to_cancel_a_race_cancels_all() {
    let (one, _for_one) = pending();
    let control = one.control();
    let winner = race([one]);
    winner.cancel();
    assert!(control.is_called());
    let all = AllFailed(vec![Failure::Cancelled]);
    assert_eq!(winner.try_take().unwrap(), Err(Failure::Error(all)));
}

#[test]
fn who_cancels_leaves_the_line_for_a_permit() {
    let semaphore = DeferredSemaphore::new(1);
    let held = semaphore.acquire().try_take().unwrap().unwrap();
    let (gives_up, next) = (semaphore.acquire(), semaphore.acquire());
    gives_up.cancel();
    assert_eq!(semaphore.waiting(), 1);
    assert!(gives_up.try_take().unwrap().unwrap_err().is_cancelled());
    held.release();
    let held = next.try_take().unwrap().unwrap();
    // One that nobody waits for any more gives it back at once.
    drop(semaphore.acquire());
    drop(held);
    assert_eq!((semaphore.tokens(), semaphore.waiting()), (1, 0));
}

#[test]
fn a_lock_is_given_back_by_failures_too() {
    let lock = DeferredLock::new();
    let failed = lock.run(|| Err::<i32, _>("failed".to_owned()));
    assert_eq!(result(failed), error("failed"));
    let panicked: Number = lock.run(|| -> Result<i32, String> { panic!("under the lock") });
    assert!(result(panicked).is_err());
    assert!(!lock.is_locked());
    // To cancel one that runs cancels what runs.
    let (work, _resolver) = pending();
    let running = lock.run(|| work);
    assert!(lock.is_locked());
    running.cancel();
    assert_eq!(result(running), Err(Failure::Cancelled));
    assert!(!lock.is_locked());
}

#[test]
fn who_cancels_leaves_the_line_for_an_item() {
    let queue = DeferredQueue::bounded(Some(1), Some(2));
    let (gives_up, next) = (queue.get().unwrap(), queue.get().unwrap());
    assert!(queue.get().is_err());
    gives_up.cancel();
    queue.put(1).unwrap();
    assert_eq!(next.try_take().unwrap(), Ok(1));
    queue.put(2).unwrap();
    assert_eq!(queue.put(3), Err(Overflow(3)));
    assert_eq!(queue.get().unwrap().try_take().unwrap(), Ok(2));
}

#[test]
fn a_callback_runs_on_the_thread_that_fires() {
    let (deferred, resolver) = pending();
    let ran = deferred.map(|_| std::thread::current().id());
    let fired = std::thread::spawn(move || {
        resolver.callback(1).unwrap();
        std::thread::current().id()
    });
    let fired = fired.join().unwrap();
    assert_eq!(ran.try_take().unwrap(), Ok(fired));
}

/// Another thread is in the middle of a callback when the Deferred is returned: its result is waited
/// for, not what that callback looks at.
#[test]
fn nothing_is_taken_from_a_callback_that_runs() {
    let (inner, resolver) = pending();
    let barrier = Arc::new(Barrier::new(2));
    let inside = Arc::clone(&barrier);
    inner.add_callback(move |value| {
        inside.wait();
        inside.wait();
        value + 1
    });
    let firing = std::thread::spawn(move || resolver.callback(1).unwrap());
    barrier.wait();
    let outer = Number::succeed(0).and_then(|_| inner);
    barrier.wait();
    firing.join().unwrap();
    assert_eq!(result(outer), Ok(2));
}

/// One thread fires, one adds callbacks, one pauses, one cancels: each callback is called once, in
/// its order, and nothing hangs.
#[test]
fn threads_may_do_as_they_like() {
    for round in 0..500 {
        let (deferred, resolver) = pending();
        let deferred = Arc::new(deferred);
        let order: Arc<Mutex<Vec<usize>>> = Arc::default();
        let barrier = Barrier::new(4);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                barrier.wait();
                let _ = resolver.callback(round);
            });
            scope.spawn(|| {
                barrier.wait();
                for number in 0..20 {
                    let order = Arc::clone(&order);
                    deferred.add_both(move |outcome| {
                        order.lock().unwrap().push(number);
                        let (inner, for_inner) = pending();
                        std::thread::yield_now();
                        let _ = for_inner.fire(outcome);
                        inner
                    });
                    deferred.add_errback(Err);
                }
            });
            scope.spawn(|| {
                barrier.wait();
                (0..20).for_each(|_| deferred.pause().unpause());
            });
            scope.spawn(|| {
                barrier.wait();
                if round % 2 == 0 {
                    deferred.cancel();
                }
            });
        });
        assert!(order.lock().unwrap().iter().copied().eq(0..20));
        let deferred = Arc::into_inner(deferred).unwrap();
        match result(deferred) {
            Ok(value) => assert_eq!(value, round),
            Err(failure) => assert!(failure.is_cancelled() && round % 2 == 0),
        }
    }
}

#[test]
fn tasks_of_two_threads_hand_items_over() {
    let queue = DeferredQueue::new();
    let taking = queue.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let taken = runtime.spawn(async move {
        let mut sum = 0;
        for _ in 0..10_000 {
            sum += taking.get().unwrap().await.unwrap();
        }
        sum
    });
    for item in 0..10_000_u64 {
        queue.put(item).unwrap();
    }
    assert_eq!(runtime.block_on(taken).unwrap(), (0..10_000).sum::<u64>());
}

/// One test for all of this: the hook is one for the whole program.
#[test]
fn a_failure_that_nobody_handles_is_reported_once() {
    #[derive(Debug, PartialEq, Clone)]
    struct Mine(&'static str);
    type Failing = Deferred<i32, Mine>;
    /// With where it was made.
    type Report = (Option<Mine>, String);

    let reports: Arc<Mutex<Vec<Report>>> = Arc::default();
    let seen = Arc::clone(&reports);
    set_unhandled_hook(move |unhandled| {
        let mine = unhandled.downcast_ref::<Mine>().cloned();
        let made = unhandled.made().expect("a Deferred").file().to_owned();
        assert!(mine.is_none() || unhandled.to_string().contains("Mine("));
        seen.lock().unwrap().push((mine, made));
    });
    let reported = || {
        let mut reports = reports.lock().unwrap();
        // Other tests run beside this one.
        let all = std::mem::take(&mut *reports);
        let mine = all.into_iter().filter_map(|(mine, made)| {
            mine.map(|mine| {
                assert!(made.ends_with("deferred.rs"));
                mine.0
            })
        });
        mine.collect::<Vec<_>>()
    };

    drop(Failing::fail(Mine("dropped")));
    assert_eq!(reported(), ["dropped"]);

    let (deferred, resolver) = Failing::new();
    let control = deferred.control();
    drop(deferred);
    resolver.errback(Mine("dropped before")).unwrap();
    // A control keeps nothing alive.
    assert_eq!(reported(), ["dropped before"]);
    control.cancel();

    Failing::succeed(1).add_callback(|_| Err(Mine("in a callback")));
    assert_eq!(reported(), ["in a callback"]);

    // Handled, passed on and reported there, looked at.
    Failing::fail(Mine("handled")).add_errback(|_| 0);
    drop(Failing::succeed(0).and_then(|_| Failing::fail(Mine("passed on"))));
    assert_eq!(reported(), ["passed on"]);
    let _ = Failing::fail(Mine("looked at")).try_take();
    let bell = Arc::default();
    {
        let mut future = pin!(Failing::fail(Mine("awaited")).into_future());
        assert!(poll(future.as_mut(), &bell).is_ready());
    }
    assert_eq!(reported(), [""; 0]);

    // Not looked at after all.
    let (deferred, resolver) = Failing::new();
    {
        let mut future = pin!(deferred.into_future());
        assert!(poll(future.as_mut(), &bell).is_pending());
        resolver.errback(Mine("too late to look")).unwrap();
    }
    assert_eq!(reported(), ["too late to look"]);

    // A hook that panics harms nobody; this is the last of the hooks.
    set_unhandled_hook(|_| panic!("in a hook"));
    drop(Failing::fail(Mine("unreported")));
    set_unhandled_hook(|_| ());
}
