//! What callbacks may return.

use std::fmt::Debug;
use std::sync::Arc;

use super::deferred::Deferred;
use super::failure::Failure;
use super::host::{Rust, seal};
use crate::deferred::Returned;

/// How a ladder goes on: at once, or when another Deferred has a result. For callbacks that do now
/// the one, now the other.
///
/// ```
/// # use marotte::deferred::{Deferred, Next};
/// # fn fetch(page: u32) -> Deferred<String, String> { Deferred::succeed(format!("page {page}")) }
/// let page = Deferred::succeed(4).and_then(|page| match page {
///     0 => Next::Outcome(Ok("the cover".to_owned())),
///     page => Next::Deferred(fetch(page)),
/// });
/// assert_eq!(page.try_take().unwrap(), Ok("page 4".to_owned()));
/// ```
pub enum Next<T, E> {
    /// With this, now.
    Outcome(Result<T, Failure<E>>),
    /// With the result of that Deferred.
    Deferred(Deferred<T, E>),
}

impl<T, E> Debug for Next<T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Outcome(Ok(_)) => f.write_str("a value"),
            Self::Outcome(Err(_)) => f.write_str("a failure"),
            Self::Deferred(deferred) => deferred.fmt(f),
        }
    }
}

impl<T: Send + 'static, E: Debug + Send + 'static> Next<T, E> {
    /// As a Deferred: a new one that has fired, or the one it is.
    #[track_caller]
    pub fn into_deferred(self) -> Deferred<T, E> {
        match self {
            Self::Outcome(outcome) => Deferred::fired(outcome),
            Self::Deferred(deferred) => deferred,
        }
    }

    pub(super) fn into_returned(self) -> Returned<Rust> {
        match self {
            Self::Outcome(outcome) => Returned::Outcome(seal(outcome)),
            Self::Deferred(deferred) => Returned::Deferred(Arc::clone(&deferred.link)),
        }
    }
}

/// What a function may return where a value or a failure comes next: a `Result<T, E>`, a
/// `Result<T, Failure<E>>`, a `Deferred<T, E>` to wait for, or [`Next`].
///
/// If the compiler cannot tell which of the two `Result`s is meant, `Ok::<_, E>(…)` says so.
///
/// ```
/// use marotte::deferred::{Deferred, Fallible};
///
/// /// Starts at once whatever it is.
/// fn start<R: Fallible<u32, String>>(work: impl FnOnce() -> R) -> Deferred<u32, String> {
///     work().into_next().into_deferred()
/// }
/// assert!(start(|| Ok::<_, String>(1)).is_called());
/// assert!(start(|| Deferred::succeed(1)).is_called());
/// ```
#[diagnostic::on_unimplemented(
    message = "a callback cannot return `{Self}` here",
    note = "return a Result<{T}, {E}>, a Result<{T}, Failure<{E}>> or a Deferred<{T}, {E}>"
)]
pub trait Fallible<T, E> {
    /// How the ladder goes on.
    fn into_next(self) -> Next<T, E>;
}

/// What a callback that keeps the type may return: a `T`, or whatever is [`Fallible`].
///
/// ```
/// # use marotte::deferred::Deferred;
/// let deferred = Deferred::<_, String>::succeed(1);
/// deferred
///     .add_callback(|n| n + 1)
///     .add_callback(|n| if n > 1 { Ok(n) } else { Err("small".to_owned()) })
///     .add_callback(|n| Deferred::succeed(n * 2));
/// assert_eq!(deferred.try_take().unwrap(), Ok(4));
/// ```
#[diagnostic::on_unimplemented(
    message = "a callback of a Deferred<{T}, {E}> cannot return `{Self}`",
    note = "return a {T}, a Result<{T}, {E}>, a Result<{T}, Failure<{E}>> or a Deferred<{T}, {E}>"
)]
pub trait Returns<T, E> {
    /// How the ladder goes on.
    fn into_next(self) -> Next<T, E>;
}

impl<T, E> Returns<T, E> for T {
    fn into_next(self) -> Next<T, E> {
        Next::Outcome(Ok(self))
    }
}

/// Both traits for one type.
macro_rules! returns {
    ($type:ty, $this:ident => $next:expr) => {
        impl<T, E> Fallible<T, E> for $type {
            fn into_next(self) -> Next<T, E> {
                let $this = self;
                $next
            }
        }

        impl<T, E> Returns<T, E> for $type {
            fn into_next(self) -> Next<T, E> {
                let $this = self;
                $next
            }
        }
    };
}

returns!(Result<T, E>, this => Next::Outcome(this.map_err(Failure::Error)));
returns!(Result<T, Failure<E>>, this => Next::Outcome(this));
returns!(Deferred<T, E>, this => Next::Deferred(this));
returns!(Next<T, E>, this => this);
