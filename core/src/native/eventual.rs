//! Promises and turns of a Rust vat, without a connection.

use std::fmt::{Debug, Display};
use std::future::IntoFuture;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::host::{Callback, Native, NativeVat};
use super::object::encode;
use super::promise::Promise;
use super::resolver::Resolver;
use super::{Passed, work};
use crate::deferred::native::{Deferred, Failure};
use crate::error::Error;
use crate::host::{Host, Outcome};
use crate::promise::Cell;

impl Promise {
    /// A new promise of that vat, and its resolver. A tub's: `Tub::make_promise`.
    pub fn new(vat: &Arc<NativeVat>) -> (Self, Resolver) {
        let cell = Native::new_promise((), vat, Cell::pending());
        let resolver = Resolver::new(vat, &cell);
        (Self::from_parts(Arc::clone(vat), cell), resolver)
    }

    /// A promise for what a future becomes, be it a task, a [`Deferred`] or the promise of another
    /// library. It is polled by the vat's runtime, in turns of the vat; cancelling the promise drops
    /// it. A tub's: `Tub::promise_for`.
    pub fn from_future<T, E>(
        vat: &Arc<NativeVat>,
        future: impl IntoFuture<Output = Result<T, E>, IntoFuture: Send + 'static>,
    ) -> Self
    where
        T: Serialize,
        E: Display,
    {
        let future = future.into_future();
        let cell = work::begin(vat, Box::pin(async move { encode(future.await) }));
        Self::from_parts(Arc::clone(vat), cell)
    }

    /// A [`Deferred`] for the value, read as a `T`: what `when` gives in the world of Deferreds.
    /// Cancelling it leaves the promise as it is, which others may have too.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let tub = marotte::Tub::new();
    /// let (answer, resolver) = tub.make_promise();
    /// let text = answer.deferred::<u32>().map(|n| format!("{n} builds"));
    /// resolver.resolve(&3);
    /// assert_eq!(text.await.unwrap(), "3 builds");
    /// # }
    /// ```
    #[track_caller]
    pub fn deferred<T: DeserializeOwned + Send + 'static>(&self) -> Deferred<T, Error> {
        let (deferred, resolver) = Deferred::new();
        self.fire(resolver);
        deferred
    }

    /// The same for the result of a call that nobody else has: cancelling the Deferred cancels it.
    #[track_caller]
    pub(super) fn into_deferred<T: DeserializeOwned + Send + 'static>(self) -> Deferred<T, Error> {
        let call = self.clone();
        let (deferred, resolver) = Deferred::with_canceller(move |_| call.cancel());
        self.fire(resolver);
        deferred
    }

    fn fire<T: DeserializeOwned + Send + 'static>(
        &self,
        resolver: crate::deferred::native::Resolver<T, Error>,
    ) {
        let vat = Arc::clone(self.vat());
        self.react(move |outcome| {
            let outcome = super::promise::read(&vat, outcome);
            // It may have been cancelled.
            let _ = resolver.fire(outcome.map_err(Failure::from));
        });
    }
}

impl From<Failure<Self>> for Error {
    /// Why a Deferred for a promise failed, as an error.
    fn from(failure: Failure<Self>) -> Self {
        match failure {
            Failure::Error(error) => error,
            Failure::Cancelled => Self::Cancelled,
            other => Self::remote(other.to_string()),
        }
    }
}

/// Turns of a Rust vat; a tub has the same.
impl crate::vat::Vat<Native> {
    /// Runs `f` in a turn of its own, after all that wait already. A panic ends that turn only.
    pub fn eventually(self: &Arc<Self>, f: impl FnOnce() + Send + 'static) {
        let callback = Callback::Run(Box::new(move |_| f()));
        self.later(callback, nothing());
    }

    /// A Deferred that fires with `value` in a later turn.
    pub fn fire_eventually<T: Debug + Send + 'static>(
        self: &Arc<Self>,
        value: T,
    ) -> Deferred<T, Error> {
        let (deferred, resolver) = Deferred::new();
        // It may have been cancelled.
        self.eventually(move || drop(resolver.callback(value)));
        deferred
    }

    /// A Deferred that fires when no turn waits any more, those included that turns cause.
    pub fn flush_eventual_queue(self: &Arc<Self>) -> Deferred<(), Error> {
        let (deferred, resolver) = Deferred::new();
        look(self, resolver);
        deferred
    }
}

fn look(vat: &Arc<NativeVat>, resolver: crate::deferred::native::Resolver<(), Error>) {
    let next = Arc::clone(vat);
    vat.eventually(move || {
        if next.has_turns() {
            look(&next, resolver);
        } else {
            // It may have been cancelled.
            let _ = resolver.callback(());
        }
    });
}

fn nothing() -> Outcome<Native> {
    Outcome::Fulfilled(Passed::new(super::ser::null()))
}
