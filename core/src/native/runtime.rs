//! What the Rust host needs of whoever runs it.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use super::Native;
use crate::error::Error;
use crate::locator::Location;
use crate::spans::Span;
use crate::sync::lock;
use crate::trace::Suspended;
use crate::vat::Connection;

/// A future that can be handed to a runtime.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// An executor, seen from a vat.
pub trait Runtime: Send + Sync {
    /// Runs the vat's turns soon, from a fresh stack.
    fn schedule_turns(&self);
    /// Runs a future to its end.
    fn spawn(&self, future: BoxFuture<()>);
    /// A connection to that place, which need not be open yet.
    ///
    /// # Errors
    /// If nothing can be reached from here.
    fn dial(&self, to: &Location) -> Result<Arc<Connection<Native>>, Error> {
        Err(Error::Misuse(format!("{to} cannot be reached from here")))
    }
}

/// What a Rust vat keeps: its runtime, and the lock that makes turns exclusive.
pub struct Home {
    runtime: Box<dyn Runtime>,
    turn: Mutex<()>,
}

impl Home {
    /// A home on that runtime.
    pub fn new(runtime: impl Runtime + 'static) -> Self {
        Self {
            runtime: Box::new(runtime),
            turn: Mutex::new(()),
        }
    }

    /// Enters a turn: while the guard lives, no other thread runs this vat's objects. Methods of
    /// the library may be called inside; entering again on the same thread would never return.
    pub fn enter(&self) -> MutexGuard<'_, ()> {
        lock(&self.turn)
    }

    pub(super) fn runtime(&self) -> &dyn Runtime {
        self.runtime.as_ref()
    }
}

/// Polls a future inside turns of the vat.
pub(super) struct InTurn<F: ?Sized> {
    pub(super) vat: Arc<super::host::NativeVat>,
    /// What it goes on with, if that is noted.
    pub(super) turn: Option<Suspended>,
    pub(super) span: Span,
    pub(super) future: Pin<Box<F>>,
}

impl<F: Future + ?Sized> Future for InTurn<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let vat = Arc::clone(&self.vat);
        let _turn = vat.home().enter();
        let Self {
            turn, span, future, ..
        } = &mut *self;
        let mut poll = || span.run(|| future.as_mut().poll(cx));
        match turn {
            Some(turn) => turn.go_on(poll),
            None => poll(),
        }
    }
}
