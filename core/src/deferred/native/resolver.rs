//! What fires a Deferred.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use super::deferred::Deferred;
use super::failure::{Failure, Late};
use super::host::{Callback, Link, Rust, open, seal};
use crate::deferred::{AlreadyCalled, Entry, Host, Returned, cancel, fire};
use crate::flat::drop_flat;

/// Fires a Deferred: once, so each of these methods consumes it.
///
/// If it is dropped, the Deferred fails with [`Failure::Dropped`]: nobody waits for ever.
///
/// ```
/// # use marotte::deferred::{Deferred, Failure};
/// let (deferred, resolver) = Deferred::<u32, String>::new();
/// drop(resolver);
/// assert_eq!(deferred.try_take().unwrap(), Err(Failure::Dropped));
/// ```
#[must_use = "if it is dropped, the Deferred fails"]
pub struct Resolver<T, E> {
    /// `None` once it has been used.
    link: Option<Link>,
    types: PhantomData<fn(T, E)>,
}

impl<T, E> Debug for Resolver<T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.link {
            Some(link) => write!(f, "Resolver({link:?})"),
            None => f.write_str("Resolver"),
        }
    }
}

impl<T, E> Resolver<T, E> {
    pub(super) fn new(link: Link) -> Self {
        Self {
            link: Some(link),
            types: PhantomData,
        }
    }
}

impl<T: Send + 'static, E: Debug + Send + 'static> Resolver<T, E> {
    /// Fires the Deferred with a value: its callbacks run, now and here.
    ///
    /// # Errors
    /// [`Late`] if it was cancelled, and its canceller could have stopped whoever calls this. Without
    /// a canceller, the value is dropped.
    ///
    /// ```
    /// # use marotte::deferred::Deferred;
    /// let (deferred, resolver) = Deferred::<u32, ()>::new();
    /// resolver.callback(4)?;
    /// assert_eq!(deferred.try_take().unwrap(), Ok(4));
    /// # Ok::<(), marotte::deferred::Late<u32, ()>>(())
    /// ```
    pub fn callback(self, value: T) -> Result<(), Late<T, E>> {
        self.fire(Ok(value))
    }

    /// Fires it with an error of type `E`, or any [`Failure`].
    ///
    /// # Errors
    /// As for [`callback`](Self::callback).
    ///
    /// ```
    /// # use marotte::deferred::{Deferred, Failure};
    /// let (deferred, resolver) = Deferred::<(), u32>::new();
    /// resolver.errback(404)?;
    /// assert_eq!(deferred.try_take().unwrap(), Err(Failure::Error(404)));
    /// # Ok::<(), marotte::deferred::Late<(), u32>>(())
    /// ```
    pub fn errback(self, failure: impl Into<Failure<E>>) -> Result<(), Late<T, E>> {
        self.fire(Err(failure.into()))
    }

    /// Fires it with either.
    ///
    /// # Errors
    /// As for [`callback`](Self::callback).
    ///
    /// ```
    /// # use marotte::deferred::Deferred;
    /// let (deferred, resolver) = Deferred::new();
    /// resolver.fire("41".parse::<i32>().map_err(Into::into))?;
    /// assert_eq!(deferred.try_take().unwrap(), Ok(41));
    /// # Ok::<(), marotte::deferred::Late<i32, std::num::ParseIntError>>(())
    /// ```
    pub fn fire(mut self, outcome: Result<T, Failure<E>>) -> Result<(), Late<T, E>> {
        match self.link.take() {
            Some(link) => fire::<Rust>((), &link, seal(outcome))
                .map_err(|AlreadyCalled(outcome)| Late(open(outcome))),
            None => Err(Late(outcome)),
        }
    }

    /// Has it become whatever `other` becomes. To cancel it cancels `other`; if it was cancelled
    /// before, `other` is cancelled now.
    ///
    /// ```
    /// # use marotte::deferred::Deferred;
    /// let (first, for_first) = Deferred::<u32, ()>::new();
    /// let (second, for_second) = Deferred::<u32, ()>::new();
    /// for_first.follow(second);
    /// for_second.callback(4).unwrap();
    /// assert_eq!(first.try_take().unwrap(), Ok(4));
    /// ```
    pub fn follow(mut self, other: Deferred<T, E>) {
        let Some(link) = self.link.take() else {
            return;
        };
        let mut followed = Followed(Some(Arc::clone(&other.link)));
        let wait: Callback = Box::new(move |value| match followed.0.take() {
            Some(inner) => Returned::Deferred(inner),
            None => Returned::Outcome(value),
        });
        // If another thread cancels it right after this, the failure passes the callback by.
        let late = Rust::with((), &link, |chain| {
            if chain.called() {
                return Some(wait);
            }
            chain.push_front(Entry::Callback(wait));
            None
        });
        drop(late);
        // A cancelled one may swallow an outcome or not; both are well.
        let _ = fire::<Rust>((), &link, Ok(None));
    }
}

/// Cancels a Deferred when it is dropped, unless it was taken out to be waited for.
struct Followed(Option<Link>);

impl Drop for Followed {
    fn drop(&mut self) {
        if let Some(link) = &self.0 {
            let Ok(()) = cancel::<Rust>((), link);
        }
    }
}

impl<T, E> Drop for Resolver<T, E> {
    fn drop(&mut self) {
        if let Some(link) = self.link.take() {
            // A callback may hold the next resolver, and so on.
            drop_flat(Abandoned(link));
        }
    }
}

/// Fails a Deferred that nobody will fire, when it is dropped itself.
struct Abandoned(Link);

impl Drop for Abandoned {
    fn drop(&mut self) {
        let link = &self.0;
        // What no canceller needs to be told, or nobody would hear of.
        let unheard = Arc::strong_count(link) == 1
            && Rust::with((), link, |chain| chain.entries().next().is_none());
        if !link.is_cancelling() && !unheard {
            // It may have been cancelled.
            let _ = fire::<Rust>((), link, Err(Some(Failure::Dropped)));
        }
    }
}
