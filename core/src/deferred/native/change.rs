//! Callbacks that change the type of a Deferred.

use std::convert::Infallible;
use std::fmt::Debug;

use super::deferred::Deferred;
use super::failure::Failure;
use super::host::{boxed, open, open_fault, seal};
use super::returns::{Fallible, Returns};
use crate::deferred::{Entry, Returned};

/// These consume the handle and return one of another type on the same ladder; whoever holds a
/// [`Control`](super::Control) of it need not know.
impl<T: Send + 'static, E: Debug + Send + 'static> Deferred<T, E> {
    /// Makes another value of the value.
    ///
    /// ```
    /// # use marotte::deferred::Deferred;
    /// let length = Deferred::<_, ()>::succeed("build").map(str::len);
    /// assert_eq!(length.try_take().unwrap(), Ok(5));
    /// ```
    pub fn map<U: Send + 'static>(self, f: impl FnOnce(T) -> U + Send + 'static) -> Deferred<U, E> {
        self.add(Entry::Callback(boxed(|outcome| {
            Returned::Outcome(seal(open::<T, E>(outcome).map(f)))
        })));
        self.retype()
    }

    /// Makes another error of the error. Other [failures](Failure) pass by.
    ///
    /// ```
    /// # use marotte::deferred::{Deferred, Failure};
    /// let failed = Deferred::<(), _>::fail(404).map_err(|code| format!("status {code}"));
    /// assert_eq!(failed.try_take().unwrap(), Err(Failure::Error("status 404".to_owned())));
    /// ```
    pub fn map_err<F: Debug + Send + 'static>(
        self,
        f: impl FnOnce(E) -> F + Send + 'static,
    ) -> Deferred<T, F> {
        self.add(Entry::Errback(boxed(|outcome| {
            Returned::Outcome(seal(
                open::<T, E>(outcome).map_err(|failure| failure.map(f)),
            ))
        })));
        self.retype()
    }

    /// Goes on with the value: with a result at once, or with another Deferred.
    ///
    /// ```
    /// # use marotte::deferred::Deferred;
    /// fn fetch(page: u32) -> Deferred<String, String> {
    ///     Deferred::succeed(format!("page {page}"))
    /// }
    /// let page = Deferred::succeed(4).and_then(fetch);
    /// assert_eq!(page.try_take().unwrap(), Ok("page 4".to_owned()));
    ///
    /// let odd = Deferred::succeed(4).and_then(|n| if n % 2 == 1 { Ok(()) } else { Err("even") });
    /// assert!(odd.try_take().unwrap().is_err());
    /// ```
    pub fn and_then<U, R>(self, f: impl FnOnce(T) -> R + Send + 'static) -> Deferred<U, E>
    where
        U: Send + 'static,
        R: Fallible<U, E>,
    {
        self.add(Entry::Callback(boxed(|outcome| {
            match open::<T, E>(outcome) {
                Ok(value) => f(value).into_next().into_returned(),
                Err(failure) => Returned::Outcome(seal::<U, E>(Err(failure))),
            }
        })));
        self.retype()
    }

    /// Goes on with the failure: with a value or a result in its place at once, or with another
    /// Deferred. To change the type of the error, too, [`map_err`](Self::map_err) it first.
    ///
    /// ```
    /// # use marotte::deferred::{Deferred, Failure};
    /// let cached = Deferred::fail("offline").or_else(|failure| match failure {
    ///     Failure::Error("offline") => Ok("yesterday's"),
    ///     other => Err(other),
    /// });
    /// assert_eq!(cached.try_take().unwrap(), Ok("yesterday's"));
    ///
    /// let count = Deferred::<u32, String>::fail("offline".into()).or_else(|_| 0);
    /// assert_eq!(count.try_take().unwrap(), Ok(0));
    /// ```
    pub fn or_else<R: Returns<T, E>>(
        self,
        f: impl FnOnce(Failure<E>) -> R + Send + 'static,
    ) -> Self {
        self.add(Entry::Errback(boxed(|outcome| match outcome {
            Ok(value) => Returned::Outcome(Ok(value)),
            Err(fault) => f(open_fault(fault)).into_next().into_returned(),
        })));
        self
    }

    /// Goes on with either, and may change both types.
    ///
    /// ```
    /// # use marotte::deferred::Deferred;
    /// # use std::convert::Infallible;
    /// let said = Deferred::<u32, ()>::fail(()).then(|outcome| match outcome {
    ///     Ok(number) => Ok::<_, Infallible>(format!("{number} builds")),
    ///     Err(_) => Ok("no builds".to_owned()),
    /// });
    /// assert_eq!(said.try_take().unwrap(), Ok("no builds".to_owned()));
    /// ```
    pub fn then<U, F, R>(
        self,
        f: impl FnOnce(Result<T, Failure<E>>) -> R + Send + 'static,
    ) -> Deferred<U, F>
    where
        U: Send + 'static,
        F: Debug + Send + 'static,
        R: Fallible<U, F>,
    {
        self.add(Entry::Both(boxed(|outcome| {
            f(open(outcome)).into_next().into_returned()
        })));
        self.retype()
    }
}

impl<T> Deferred<T, Infallible> {
    /// Gives one that has no errors of its own a type of error, to fit among others.
    ///
    /// ```
    /// # use marotte::deferred::{Deferred, DeferredLock};
    /// let lock = DeferredLock::new();
    /// let done = lock.acquire().lift().and_then(|permit| {
    ///     drop(permit);
    ///     Err::<(), _>("an error")
    /// });
    /// # assert!(done.try_take().unwrap().is_err());
    /// ```
    pub fn lift<E>(self) -> Deferred<T, E> {
        // There is no error that would be of the wrong type.
        self.retype()
    }
}
