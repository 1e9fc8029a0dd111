//! Time for timeouts.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::failure::Failure;
use super::host::{Callback, Link, Rust};
use crate::deferred::{Host, Returned, Timed, ring};
use crate::sync::lock;

/// What stops a call that a [`Clock`] was to make.
pub type Stop = Box<dyn FnOnce() + Send>;

/// Something that knows time.
///
/// ```
/// use std::time::Duration;
/// use marotte::deferred::{Clock, Stop};
///
/// /// One thread for each call: simple, and enough for a few.
/// struct Threads;
/// impl Clock for Threads {
///     fn call_later(&self, after: Duration, call: Box<dyn FnOnce() + Send>) -> Stop {
///         let (stop, stopped) = std::sync::mpsc::channel();
///         std::thread::spawn(move || {
///             if stopped.recv_timeout(after) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
///                 call();
///             }
///         });
///         Box::new(move || drop(stop.send(())))
///     }
/// }
/// # let stop = Threads.call_later(Duration::from_secs(9), Box::new(|| ()));
/// # stop();
/// ```
pub trait Clock {
    /// Makes the call once, after that time, unless it is stopped before.
    fn call_later(&self, after: Duration, call: Box<dyn FnOnce() + Send>) -> Stop;
}

/// A clock that stands still until it is [advanced](Self::advance), for tests. Clones share the time.
///
/// ```
/// use std::time::Duration;
/// use marotte::deferred::{Clock, FakeClock};
///
/// let clock = FakeClock::new();
/// let stop = clock.call_later(Duration::from_secs(1), Box::new(|| println!("never")));
/// stop();
/// clock.advance(Duration::from_secs(2));
/// assert_eq!(clock.now(), Duration::from_secs(2));
/// ```
#[derive(Clone, Default)]
pub struct FakeClock {
    time: Arc<Mutex<Time>>,
}

#[derive(Default)]
struct Time {
    now: Duration,
    /// By when they are due, and in the order they came.
    calls: BTreeMap<(Duration, u64), Box<dyn FnOnce() + Send>>,
    made: u64,
}

impl Debug for FakeClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FakeClock").field(&self.now()).finish()
    }
}

impl FakeClock {
    /// At zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// The time since it was made.
    pub fn now(&self) -> Duration {
        lock(&self.time).now
    }

    /// How many calls are still to be made.
    pub fn calls(&self) -> usize {
        lock(&self.time).calls.len()
    }

    /// Lets time pass, and makes the calls that are due then, each at its time.
    pub fn advance(&self, by: Duration) {
        let end = self.now().saturating_add(by);
        while let Some(call) = self.due(end) {
            call();
        }
        let mut time = lock(&self.time);
        time.now = time.now.max(end);
    }

    fn due(&self, end: Duration) -> Option<Box<dyn FnOnce() + Send>> {
        let mut time = lock(&self.time);
        let first = time.calls.first_entry()?;
        let (due, _) = *first.key();
        if due > end {
            return None;
        }
        let call = first.remove();
        time.now = time.now.max(due);
        Some(call)
    }
}

impl Clock for FakeClock {
    fn call_later(&self, after: Duration, call: Box<dyn FnOnce() + Send>) -> Stop {
        let key = {
            let mut time = lock(&self.time);
            time.made += 1;
            let key = (time.now.saturating_add(after), time.made);
            time.calls.insert(key, call);
            key
        };
        // The call may hold this very function, and would never go if this held the time.
        let time = Arc::downgrade(&self.time);
        Box::new(move || {
            if let Some(time) = time.upgrade() {
                let stopped = lock(&time).calls.remove(&key);
                drop(stopped);
            }
        })
    }
}

/// One timeout.
pub(super) struct Alarm {
    after: Duration,
    rang: AtomicBool,
    stop: Mutex<Option<Stop>>,
}

impl Alarm {
    pub(super) fn new(after: Duration) -> Arc<Self> {
        Arc::new(Self {
            after,
            rang: AtomicBool::new(false),
            stop: Mutex::new(None),
        })
    }

    fn has_rung(&self) -> bool {
        self.rang.load(Ordering::Acquire)
    }
}

impl Timed for Rust {
    type Clock = dyn Clock;
    type Alarm = Arc<Alarm>;

    fn set_alarm(
        (): (),
        link: &Link,
        clock: &dyn Clock,
        alarm: &Arc<Alarm>,
    ) -> Result<(), Infallible> {
        // The clock is not what keeps a Deferred alive.
        let back = Self::back((), link);
        let alarm_too = Arc::clone(alarm);
        let call = move || {
            if let Some(link) = back.upgrade() {
                let Ok(()) = ring::<Self>((), &link, &alarm_too);
            }
        };
        let stop = clock.call_later(alarm.after, Box::new(call));
        *lock(&alarm.stop) = Some(stop);
        Ok(())
    }

    fn rang((): (), alarm: &Arc<Alarm>) {
        alarm.rang.store(true, Ordering::Release);
        // It is of no use any more.
        let stop = lock(&alarm.stop).take();
        drop(stop);
    }

    fn translate(alarm: &Arc<Alarm>, (): ()) -> Callback {
        let alarm = Arc::clone(alarm);
        Box::new(move |outcome| {
            Returned::Outcome(match outcome {
                Err(Some(Failure::Cancelled)) if alarm.has_rung() => {
                    Err(Some(Failure::TimedOut(alarm.after)))
                }
                outcome => outcome,
            })
        })
    }

    fn stop(alarm: &Arc<Alarm>, (): ()) -> Callback {
        let alarm = Arc::clone(alarm);
        Box::new(move |outcome| {
            let stop = lock(&alarm.stop).take();
            if let Some(stop) = stop
                && !alarm.has_rung()
            {
                stop();
            }
            Returned::Outcome(outcome)
        })
    }
}
