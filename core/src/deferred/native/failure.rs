//! Why there is no value.

use std::fmt;
use std::time::Duration;

/// Why a Deferred has no value: an error of yours, or what can befall any Deferred.
///
/// The second kind is kept apart from `E`, so that every type will do for `E`, and an errback can
/// tell by a `match` that it was cancelled. `?` makes a `Failure` of an `E`.
///
/// ```
/// use marotte::deferred::{Deferred, Failure};
///
/// let (build, resolver) = Deferred::<u32, String>::new();
/// build.add_errback(|failure| match failure {
///     Failure::Cancelled => Ok(0),
///     other => Err(other),
/// });
/// build.cancel();
/// assert_eq!(build.try_take().unwrap(), Ok(0));
/// # drop(resolver);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure<E> {
    /// An error of the program's own.
    Error(E),
    /// It was cancelled.
    Cancelled,
    /// It took longer than this.
    TimedOut(Duration),
    /// Whoever was to fire it is gone, so nobody ever will.
    Dropped,
    /// A callback panicked, with this message.
    Panicked(String),
}

impl<E> Failure<E> {
    /// Changes the error, if it is one.
    ///
    /// ```
    /// use marotte::deferred::Failure;
    ///
    /// assert_eq!(Failure::Error(4).map(|code| code + 1), Failure::Error(5));
    /// assert_eq!(Failure::<u8>::Cancelled.map(|code| code + 1), Failure::Cancelled);
    /// ```
    pub fn map<F>(self, f: impl FnOnce(E) -> F) -> Failure<F> {
        match self.without_error() {
            Ok(other) => other,
            Err(error) => Failure::Error(f(error)),
        }
    }

    /// The error, if it is one.
    ///
    /// ```
    /// # use marotte::deferred::Failure;
    /// assert_eq!(Failure::Error(4).error(), Some(&4));
    /// assert_eq!(Failure::<u8>::Dropped.error(), None);
    /// ```
    pub fn error(&self) -> Option<&E> {
        match self {
            Self::Error(error) => Some(error),
            _ => None,
        }
    }

    /// True if it was cancelled.
    ///
    /// ```
    /// # use marotte::deferred::Failure;
    /// assert!(Failure::<u8>::Cancelled.is_cancelled());
    /// ```
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }

    /// True if it took too long.
    ///
    /// ```
    /// # use {marotte::deferred::Failure, std::time::Duration};
    /// assert!(Failure::<u8>::TimedOut(Duration::from_secs(3)).is_timed_out());
    /// ```
    pub fn is_timed_out(&self) -> bool {
        matches!(self, Self::TimedOut(_))
    }

    /// The same with any type of error if it is none, or the error.
    pub(super) fn without_error<F>(self) -> Result<Failure<F>, E> {
        Ok(match self {
            Self::Error(error) => return Err(error),
            Self::Cancelled => Failure::Cancelled,
            Self::TimedOut(after) => Failure::TimedOut(after),
            Self::Dropped => Failure::Dropped,
            Self::Panicked(message) => Failure::Panicked(message),
        })
    }

    /// What it says besides the error.
    pub(super) fn write_with(
        &self,
        f: &mut fmt::Formatter<'_>,
        error: impl FnOnce(&E, &mut fmt::Formatter<'_>) -> fmt::Result,
    ) -> fmt::Result {
        match self {
            Self::Error(inner) => error(inner, f),
            Self::Cancelled => f.write_str("cancelled"),
            Self::TimedOut(after) => write!(f, "timed out after {after:?}"),
            Self::Dropped => f.write_str("dropped by whoever was to fire it"),
            Self::Panicked(message) => write!(f, "a callback panicked: {message}"),
        }
    }
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_with(f, |error, f| error.fmt(f))
    }
}

impl<E: std::error::Error> std::error::Error for Failure<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // Its own text is that of the error, so what is below that comes next.
        self.error().and_then(std::error::Error::source)
    }
}

impl<E> From<E> for Failure<E> {
    fn from(error: E) -> Self {
        Self::Error(error)
    }
}

/// A Deferred fires once; this is the outcome that came too late, because it was cancelled before.
///
/// Work that cannot be stopped has this happen to it as a matter of course: `let _ =` ignores it.
///
/// ```
/// # use marotte::deferred::{Deferred, Late};
/// let (deferred, resolver) = Deferred::<u32, String>::with_canceller(|_| println!("stopping"));
/// deferred.cancel();
/// let Err(Late(outcome)) = resolver.callback(4) else { unreachable!() };
/// assert_eq!(outcome, Ok(4));
/// ```
pub struct Late<T, E>(pub Result<T, Failure<E>>);

impl<T, E> fmt::Debug for Late<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Late(..)")
    }
}

impl<T, E> fmt::Display for Late<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the Deferred had fired already: it was cancelled")
    }
}

impl<T, E> std::error::Error for Late<T, E> {}
