//! The other end of a promise.

use std::fmt::Display;
use std::sync::Arc;

use serde::Serialize;

use super::host::{NativeVat, PromiseCell};
use super::promise::Promise;
use super::work::Unfinished;
use super::{Passed, ser};
use crate::error::Error;
use crate::host::Reply;
use crate::vat::RESOLVER_DROPPED;

/// Resolves one promise, once; made with it by [`Promise::new`] or `Tub::make_promise`. If it is
/// dropped, the promise breaks.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), marotte::Error> {
/// let tub = marotte::Tub::new();
/// let (answer, resolver) = tub.make_promise();
/// let next = answer.then(|n: u32| n + 1);
/// resolver.resolve(&41);
/// assert_eq!(next.when::<u32>().await?, 42);
/// # Ok(())
/// # }
/// ```
#[must_use = "the promise breaks when its resolver is dropped"]
pub struct Resolver(Unfinished);

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver")
    }
}

impl Resolver {
    pub(super) fn new(vat: &Arc<NativeVat>, promise: &PromiseCell) -> Self {
        Self(Unfinished::of(vat, promise, RESOLVER_DROPPED))
    }

    /// Fulfils the promise with any serde value; or, if that is a [`Promise`] or a
    /// [`Reference`](super::Reference), resolves it to that. What cannot be passed breaks the promise.
    pub fn resolve<T: Serialize + ?Sized>(self, value: &T) {
        self.0.finish(match ser::value(value) {
            Ok(value) => Reply::Value(Passed::new(value)),
            Err(error) => Reply::Failure(error),
        });
    }

    /// Breaks the promise, with a reason that peers see by its message. An [`Error`] is kept as it is.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let tub = marotte::Tub::new();
    /// let (answer, resolver) = tub.make_promise();
    /// resolver.smash("KeyError: no such build");
    /// let error = answer.when::<u32>().await.unwrap_err();
    /// assert_eq!(error.to_string(), "KeyError: no such build");
    /// # }
    /// ```
    pub fn smash(self, reason: impl Display + 'static) {
        let any: &dyn std::any::Any = &reason;
        let error = match any.downcast_ref::<Error>() {
            Some(error) => error.clone(),
            None => Error::remote(reason.to_string()),
        };
        self.0.finish(Reply::Failure(error));
    }

    /// Resolves the promise to what another becomes; messages to it go there from now on.
    pub fn follow(self, other: Promise) {
        self.0.finish(Reply::Promise(other.into_cell()));
    }
}
