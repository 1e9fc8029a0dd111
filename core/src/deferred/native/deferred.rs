//! The handle on a Deferred's result.

use std::any::Any;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::clock::{Alarm, Clock};
use super::control::{Control, Paused};
use super::failure::Failure;
use super::host::{Callback, Canceller, Link, Rust, Shared, boxed, open, open_fault, place, seal};
use super::resolver::Resolver;
use super::returns::{Next, Returns};
use crate::deferred::{Entry, Host, Returned, add, add_timeout, cancel};

/// A result that is not here yet, and a ladder of callbacks for when it comes.
///
/// There is one handle of this type for each: it owns the result. [`Resolver`] fires it, and
/// [`Control`] cancels it from elsewhere. Callbacks that keep the type are added in place
/// (`add_callback`, `add_errback`, `add_both`); those that change it consume the handle
/// ([`map`](Self::map), [`and_then`](Self::and_then) and others), but go to the same ladder. It can be
/// awaited, too.
///
/// ```
/// use marotte::deferred::Deferred;
///
/// let (answer, resolver) = Deferred::<String, std::num::ParseIntError>::new();
/// let number = answer.and_then(|text| text.parse::<i32>()).map(|number| number + 1);
/// resolver.callback("41".into())?;
/// assert_eq!(number.try_take().unwrap(), Ok(42));
/// # Ok::<(), marotte::deferred::Late<String, std::num::ParseIntError>>(())
/// ```
///
/// Dropping it loses nothing: callbacks still run. A failure that comes to the end of the ladder
/// without being handled is [reported](super::set_unhandled_hook) once nobody can reach it.
///
/// # Threads
///
/// All handles are `Send + Sync`. A callback runs on the thread that makes its turn come: the one
/// that fires the Deferred, or the one it waits for; the one that adds the callback, if the result
/// is there already; or the one that unpauses it, cancels it, or drops its resolver. One thread at a
/// time runs the callbacks of a Deferred, in their order; what others add meanwhile is left to it.
/// No lock is held when it does, so a callback may do anything to any Deferred.
pub struct Deferred<T, E> {
    pub(super) link: Link,
    types: PhantomData<fn() -> (T, E)>,
}

impl<T, E> Debug for Deferred<T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Deferred({:?})", self.link)
    }
}

impl<T, E> Deferred<T, E> {
    pub(super) fn from_link(link: Link) -> Self {
        Self {
            link,
            types: PhantomData,
        }
    }

    /// Says that a callback that was just added has made it so.
    pub(super) fn retype<U, F>(self) -> Deferred<U, F> {
        Deferred::from_link(self.link)
    }

    /// True once it has fired. Callbacks may still be running, or waiting for another Deferred.
    ///
    /// ```
    /// # use marotte::deferred::Deferred;
    /// let (deferred, resolver) = Deferred::<(), ()>::new();
    /// assert!(!deferred.is_called());
    /// resolver.callback(()).unwrap();
    /// assert!(deferred.is_called());
    /// ```
    pub fn is_called(&self) -> bool {
        Rust::with((), &self.link, |chain| chain.called())
    }

    /// Cancels it.
    ///
    /// - Not fired yet: its canceller is asked to stop the work. Unless that fires it, it fails with
    ///   [`Failure::Cancelled`].
    /// - Waiting for another one that a callback returned: that one is cancelled.
    /// - Otherwise nothing.
    ///
    /// ```
    /// # use marotte::deferred::{Deferred, Failure};
    /// let (deferred, resolver) = Deferred::<(), ()>::new();
    /// deferred.cancel();
    /// // There is no canceller that could have told the other side, so this does no harm.
    /// assert!(resolver.callback(()).is_ok());
    /// assert_eq!(deferred.try_take().unwrap(), Err(Failure::Cancelled));
    /// ```
    pub fn cancel(&self) {
        let Ok(()) = cancel::<Rust>((), &self.link);
    }

    /// A handle that can cancel it from elsewhere.
    ///
    /// ```
    /// # use marotte::deferred::{Deferred, Failure};
    /// let (deferred, _resolver) = Deferred::<u32, ()>::new();
    /// let control = deferred.control();
    /// let text = deferred.map(|number| number.to_string());
    /// control.cancel();
    /// assert_eq!(text.try_take().unwrap(), Err(Failure::Cancelled));
    /// ```
    pub fn control(&self) -> Control {
        Control::new(&self.link)
    }

    /// Holds it: no callback runs until what is returned is dropped. A callback that is running
    /// ends, and so do those that follow it in the same run.
    ///
    /// ```
    /// # use marotte::deferred::Deferred;
    /// let deferred = Deferred::<_, ()>::succeed(1);
    /// let paused = deferred.pause();
    /// let deferred = deferred.map(|number| number + 1).try_take().unwrap_err();
    /// drop(paused);
    /// assert_eq!(deferred.try_take().unwrap(), Ok(2));
    /// ```
    pub fn pause(&self) -> Paused {
        Paused::new(&self.link)
    }
}

impl<T: Send + 'static, E: Debug + Send + 'static> Deferred<T, E> {
    /// One that has not fired, and what fires it.
    ///
    /// ```
    /// use marotte::deferred::Deferred;
    ///
    /// let (answer, resolver) = Deferred::<u32, String>::new();
    /// std::thread::spawn(move || resolver.callback(42)).join().unwrap()?;
    /// assert_eq!(answer.try_take().unwrap(), Ok(42));
    /// # Ok::<(), marotte::deferred::Late<u32, String>>(())
    /// ```
    #[track_caller]
    pub fn new() -> (Self, Resolver<T, E>) {
        Self::pair(None)
    }

    /// One whose work can be stopped. `canceller` is called if it is cancelled before it has fired;
    /// it may fire it with the resolver that it gets, or with any other. If it does not, the
    /// Deferred fails with [`Failure::Cancelled`]; to drop the resolver is as good.
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use std::sync::{Arc, Mutex};
    /// use marotte::deferred::{Deferred, Failure};
    ///
    /// let questions = Arc::new(Mutex::new(HashMap::new()));
    /// let asked = Arc::clone(&questions);
    /// let (answer, resolver) = Deferred::<u32, String>::with_canceller(move |_| {
    ///     asked.lock().unwrap().remove(&7);
    /// });
    /// questions.lock().unwrap().insert(7, resolver);
    ///
    /// answer.cancel();
    /// assert!(questions.lock().unwrap().is_empty());
    /// assert_eq!(answer.try_take().unwrap(), Err(Failure::Cancelled));
    /// ```
    #[track_caller]
    pub fn with_canceller(
        canceller: impl FnOnce(Resolver<T, E>) + Send + 'static,
    ) -> (Self, Resolver<T, E>) {
        Self::pair(Some(Box::new(|link| {
            canceller(Resolver::new(Arc::clone(link)));
        })))
    }

    #[track_caller]
    fn pair(canceller: Option<Canceller>) -> (Self, Resolver<T, E>) {
        let link = Shared::pending(canceller);
        (Self::from_link(Arc::clone(&link)), Resolver::new(link))
    }

    /// One that has fired with a value.
    ///
    /// ```
    /// # use marotte::deferred::Deferred;
    /// assert_eq!(Deferred::<_, ()>::succeed(3).try_take().unwrap(), Ok(3));
    /// ```
    #[track_caller]
    pub fn succeed(value: T) -> Self {
        Self::fired(Ok(value))
    }

    /// One that has failed.
    ///
    /// ```
    /// # use marotte::deferred::{Deferred, Failure};
    /// let failed = Deferred::<(), _>::fail("no such builder");
    /// assert_eq!(failed.try_take().unwrap(), Err(Failure::Error("no such builder")));
    /// ```
    #[track_caller]
    pub fn fail(error: E) -> Self {
        Self::fired(Err(Failure::Error(error)))
    }

    /// One that has fired with either.
    ///
    /// ```
    /// # use marotte::deferred::{Deferred, Failure};
    /// let cancelled = Deferred::<(), ()>::fired(Err(Failure::Cancelled));
    /// # assert!(cancelled.is_called());
    /// ```
    #[track_caller]
    pub fn fired(outcome: Result<T, Failure<E>>) -> Self {
        Self::from_link(Shared::fired(seal(outcome)))
    }

    /// Adds a callback, which is given the value and returns the next. Failures pass by.
    ///
    /// ```
    /// # use marotte::deferred::{Deferred, Failure};
    /// let deferred = Deferred::<_, String>::succeed(2);
    /// deferred
    ///     .add_callback(|two| two + 1)
    ///     .add_callback(|three| if three > 2 { Err("too much".to_owned()) } else { Ok(three) })
    ///     .add_errback(|_| Deferred::succeed(5));
    /// assert_eq!(deferred.try_take().unwrap(), Ok(5));
    /// ```
    pub fn add_callback<R: Returns<T, E>>(&self, f: impl FnOnce(T) -> R + Send + 'static) -> &Self {
        self.add(Entry::Callback(callback(f)))
    }

    /// Adds an errback, which is given the failure and returns a value in its place, or a failure
    /// again. Values pass by.
    ///
    /// ```
    /// # use marotte::deferred::{Deferred, Failure};
    /// let deferred = Deferred::<u32, _>::fail("busy");
    /// deferred.add_errback(|failure| match failure {
    ///     Failure::Error("busy") => Ok(0),
    ///     other => Err(other),
    /// });
    /// assert_eq!(deferred.try_take().unwrap(), Ok(0));
    /// ```
    pub fn add_errback<R: Returns<T, E>>(
        &self,
        f: impl FnOnce(Failure<E>) -> R + Send + 'static,
    ) -> &Self {
        self.add(Entry::Errback(errback(f)))
    }

    /// Adds a callback and an errback side by side: one of them is called, and a failure of the
    /// callback is not for this errback.
    ///
    /// ```
    /// # use marotte::deferred::{Deferred, Failure};
    /// let deferred = Deferred::succeed(2);
    /// deferred.add_callbacks(|_| Err("from the callback"), |_| 0);
    /// let failure = deferred.try_take().unwrap().unwrap_err();
    /// assert_eq!(failure, Failure::Error("from the callback"));
    /// ```
    pub fn add_callbacks<R: Returns<T, E>, S: Returns<T, E>>(
        &self,
        f: impl FnOnce(T) -> R + Send + 'static,
        g: impl FnOnce(Failure<E>) -> S + Send + 'static,
    ) -> &Self {
        self.add(Entry::Pair(Box::new((callback(f), errback(g)))))
    }

    /// Adds a function of either.
    ///
    /// ```
    /// # use marotte::deferred::Deferred;
    /// let deferred = Deferred::<u32, String>::fail("gone".into());
    /// deferred.add_both(|outcome| outcome.unwrap_or(0));
    /// assert_eq!(deferred.try_take().unwrap(), Ok(0));
    /// ```
    pub fn add_both<R: Returns<T, E>>(
        &self,
        f: impl FnOnce(Result<T, Failure<E>>) -> R + Send + 'static,
    ) -> &Self {
        self.add(Entry::Both(boxed(|outcome| returned(f(open(outcome))))))
    }

    /// Cancels it unless the callbacks that it has by now are through in time; that failure is then
    /// [`Failure::TimedOut`]. Callbacks run on the clock's thread in that case.
    ///
    /// ```
    /// use std::time::Duration;
    /// use marotte::deferred::{Deferred, Failure, FakeClock};
    ///
    /// let clock = FakeClock::new();
    /// let (build, _resolver) = Deferred::<u32, String>::new();
    /// build.add_timeout(Duration::from_secs(3), &clock);
    /// clock.advance(Duration::from_secs(3));
    /// let failure = build.try_take().unwrap().unwrap_err();
    /// assert_eq!(failure.to_string(), "timed out after 3s");
    /// ```
    pub fn add_timeout(&self, after: Duration, clock: &(dyn Clock + 'static)) -> &Self {
        let Ok(()) = add_timeout::<Rust>((), &self.link, clock, &Alarm::new(after));
        self
    }

    /// The result, if it is there and all callbacks have run; or the Deferred again.
    ///
    /// # Errors
    /// The Deferred, if it has to be waited for.
    ///
    /// ```
    /// # use marotte::deferred::Deferred;
    /// let (deferred, resolver) = Deferred::<u32, ()>::new();
    /// let deferred = deferred.try_take().unwrap_err();
    /// resolver.callback(4).unwrap();
    /// assert_eq!(deferred.try_take().unwrap(), Ok(4));
    /// ```
    pub fn try_take(self) -> Result<Result<T, Failure<E>>, Self> {
        let ready = Rust::with((), &self.link, |chain| chain.take_ready(()));
        match ready {
            Some((outcome, _)) => Ok(open(outcome)),
            None => Err(self),
        }
    }

    pub(super) fn add(&self, entry: Entry<Rust>) -> &Self {
        add::<Rust>((), &self.link, entry);
        self
    }
}

impl<T: Send + 'static, E: Debug + Send + 'static> From<Result<T, E>> for Deferred<T, E> {
    #[track_caller]
    fn from(result: Result<T, E>) -> Self {
        Self::fired(result.map_err(Failure::Error))
    }
}

fn callback<T, E, R>(f: impl FnOnce(T) -> R + Send + 'static) -> Callback
where
    T: Send + 'static,
    E: Debug + Send + 'static,
    R: Returns<T, E>,
{
    Box::new(|outcome| {
        let mut place = match outcome {
            Ok(value) => place::<T>(value),
            Err(fault) => return Returned::Outcome(Err(fault)),
        };
        let Some(value) = place.as_deref_mut().and_then(Option::take) else {
            return Returned::Outcome(seal::<T, E>(Err(Failure::Dropped)));
        };
        match (f(value).into_next(), place) {
            (Next::Outcome(Ok(value)), Some(mut place)) => {
                *place = Some(value);
                let value: Box<dyn Any + Send> = place;
                Returned::Outcome(Ok(Some(value)))
            }
            (next, _) => next.into_returned(),
        }
    })
}

fn errback<T, E, R>(f: impl FnOnce(Failure<E>) -> R + Send + 'static) -> Callback
where
    T: Send + 'static,
    E: Debug + Send + 'static,
    R: Returns<T, E>,
{
    Box::new(|outcome| match outcome {
        Ok(value) => Returned::Outcome(Ok(value)),
        Err(fault) => returned(f(open_fault(fault))),
    })
}

fn returned<T, E>(value: impl Returns<T, E>) -> Returned<Rust>
where
    T: Send + 'static,
    E: Debug + Send + 'static,
{
    value.into_next().into_returned()
}
