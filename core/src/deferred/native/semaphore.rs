//! Taking turns.

use std::convert::Infallible;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use super::deferred::Deferred;
use super::resolver::Resolver;
use super::returns::Fallible;
use crate::deferred::Semaphore;
use crate::flat::drop_flat;
use crate::sync::lock;

/// A number of permits, first come, first served.
///
/// Clones share them. To cancel a Deferred that waits for a permit leaves the line.
///
/// ```
/// use marotte::deferred::DeferredSemaphore;
///
/// let connections = DeferredSemaphore::new(2);
/// let first = connections.acquire().try_take().unwrap()?;
/// let second = connections.acquire().try_take().unwrap()?;
/// let third = connections.acquire();
/// assert!(!third.is_called());
/// drop(first);
/// assert!(third.is_called());
/// # drop(second);
/// # Ok::<(), marotte::deferred::Failure<std::convert::Infallible>>(())
/// ```
#[derive(Clone)]
pub struct DeferredSemaphore {
    shared: Arc<Mutex<Line>>,
}

struct Line {
    semaphore: Semaphore<Waiter>,
    /// How many have waited: the name of the next.
    waited: u64,
}

struct Waiter {
    name: u64,
    resolver: Resolver<Permit, Infallible>,
}

impl Debug for DeferredSemaphore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let line = lock(&self.shared);
        f.debug_struct("DeferredSemaphore")
            .field("limit", &line.semaphore.limit())
            .field("tokens", &line.semaphore.tokens())
            .field("waiting", &line.semaphore.waiting().len())
            .finish()
    }
}

impl DeferredSemaphore {
    /// With so many permits. With none, nobody ever gets one.
    pub fn new(permits: usize) -> Self {
        let line = Line {
            semaphore: Semaphore::new(permits),
            waited: 0,
        };
        Self {
            shared: Arc::new(Mutex::new(line)),
        }
    }

    /// How many permits are there to be had.
    pub fn tokens(&self) -> usize {
        lock(&self.shared).semaphore.tokens()
    }

    /// How many may be held at once.
    pub fn limit(&self) -> usize {
        lock(&self.shared).semaphore.limit()
    }

    /// How many wait for one.
    pub fn waiting(&self) -> usize {
        lock(&self.shared).semaphore.waiting().len()
    }

    /// A permit, once it is our turn. It is given back when it is dropped.
    #[track_caller]
    pub fn acquire(&self) -> Deferred<Permit, Infallible> {
        // Under one lock, so that no permit comes back between the look and the wait.
        let mut line = lock(&self.shared);
        if line.semaphore.acquire() {
            drop(line);
            return Deferred::succeed(self.permit());
        }
        let name = line.waited;
        line.waited += 1;
        let back = Arc::downgrade(&self.shared);
        let (deferred, resolver) = Deferred::with_canceller(move |_| {
            let left = back
                .upgrade()
                .and_then(|line| lock(&line).semaphore.forget(|waiter| waiter.name == name));
            drop(left);
        });
        line.semaphore.wait(Waiter { name, resolver });
        deferred
    }

    /// Runs `f` when it is our turn, and gives the permit back when its result is there.
    ///
    /// ```
    /// use marotte::deferred::{Deferred, DeferredSemaphore};
    ///
    /// let one_at_a_time = DeferredSemaphore::new(1);
    /// let (work, resolver) = Deferred::<u32, String>::new();
    /// let first = one_at_a_time.run(|| work);
    /// let second = one_at_a_time.run(|| Ok::<_, String>(2));
    /// assert_eq!(one_at_a_time.waiting(), 1);
    /// resolver.callback(1).unwrap();
    /// assert_eq!(first.try_take().unwrap(), Ok(1));
    /// assert_eq!(second.try_take().unwrap(), Ok(2));
    /// ```
    #[track_caller]
    pub fn run<T, E, R>(&self, f: impl FnOnce() -> R + Send + 'static) -> Deferred<T, E>
    where
        T: Send + 'static,
        E: Debug + Send + 'static,
        R: Fallible<T, E>,
    {
        self.acquire().lift().and_then(|permit| {
            let result = f().into_next().into_deferred();
            result.add_both(|outcome| {
                drop(permit);
                outcome
            });
            result
        })
    }

    fn permit(&self) -> Permit {
        Permit {
            line: Some(Arc::clone(&self.shared)),
        }
    }
}

/// Permission to go on: dropping it lets the next in line go.
///
/// ```
/// # use marotte::deferred::DeferredSemaphore;
/// let semaphore = DeferredSemaphore::new(1);
/// let work = semaphore.acquire().map(|permit| {
///     // ...
///     permit.release();
/// });
/// assert_eq!(semaphore.tokens(), 1);
/// # assert!(work.is_called());
/// ```
#[must_use = "it is given back when this is dropped"]
pub struct Permit {
    line: Option<Arc<Mutex<Line>>>,
}

impl Debug for Permit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Permit")
    }
}

impl Permit {
    /// Gives it back: the same as dropping it.
    pub fn release(self) {
        drop(self);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // The next may drop it at once, and so on.
        drop_flat(self.line.take().map(GivenBack));
    }
}

/// Lets the next in line go, when it is dropped itself.
struct GivenBack(Arc<Mutex<Line>>);

impl Drop for GivenBack {
    fn drop(&mut self) {
        // There is a permit out, this one, so it cannot be one too many.
        let next = lock(&self.0).semaphore.release().ok().flatten();
        if let Some(waiter) = next {
            let permit = Permit {
                line: Some(Arc::clone(&self.0)),
            };
            // If it has just been cancelled, the permit comes back and goes to the next.
            drop(waiter.resolver.callback(permit));
        }
    }
}

/// A lock to wait for: a semaphore with one permit.
///
/// ```
/// use marotte::deferred::DeferredLock;
///
/// let lock = DeferredLock::new();
/// let held = lock.acquire().try_take().unwrap()?;
/// let next = lock.acquire();
/// assert!(lock.is_locked() && !next.is_called());
/// held.release();
/// assert!(next.is_called());
/// # Ok::<(), marotte::deferred::Failure<std::convert::Infallible>>(())
/// ```
#[derive(Clone, Debug)]
pub struct DeferredLock(DeferredSemaphore);

impl Default for DeferredLock {
    fn default() -> Self {
        Self::new()
    }
}

impl DeferredLock {
    /// One that nobody holds.
    pub fn new() -> Self {
        Self(DeferredSemaphore::new(1))
    }

    /// True if somebody holds it.
    pub fn is_locked(&self) -> bool {
        self.0.tokens() == 0
    }

    /// How many wait for it.
    pub fn waiting(&self) -> usize {
        self.0.waiting()
    }

    /// The lock, once it is our turn. It is given back when the permit is dropped. To cancel the
    /// Deferred leaves the line.
    #[track_caller]
    pub fn acquire(&self) -> Deferred<Permit, Infallible> {
        self.0.acquire()
    }

    /// Runs `f` when it is our turn, and gives the lock back when its result is there.
    ///
    /// ```
    /// # use marotte::deferred::{Deferred, DeferredLock};
    /// let lock = DeferredLock::new();
    /// let done = lock.run(|| Deferred::<u32, String>::succeed(4));
    /// assert_eq!(done.try_take().unwrap(), Ok(4));
    /// assert!(!lock.is_locked());
    /// ```
    #[track_caller]
    pub fn run<T, E, R>(&self, f: impl FnOnce() -> R + Send + 'static) -> Deferred<T, E>
    where
        T: Send + 'static,
        E: Debug + Send + 'static,
        R: Fallible<T, E>,
    {
        self.0.run(f)
    }
}
