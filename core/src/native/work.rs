//! Work that a promise stands for, and that ends with it.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::Native;
use super::host::{Callback, NativeVat, PromiseCell};
use super::runtime::{BoxFuture, InTurn};
use crate::error::Error;
use crate::host::{Host, Ref, Reply};
use crate::passable::Passable;
use crate::promise::Cell;
use crate::spans::Span;
use crate::sync::lock;

/// What becomes of an asynchronous method.
pub(super) type Work = BoxFuture<Result<Passable<Ref<Native>>, Error>>;

/// Gives a future to the runtime, to be polled in turns of the vat, and returns the promise for what it
/// becomes. If the promise is cancelled, the future is dropped.
pub(super) fn begin(vat: &Arc<NativeVat>, future: Work) -> PromiseCell {
    let promise = Native::new_promise((), vat, Cell::pending());
    let unfinished = Unfinished::new(vat, &promise);
    let abort = Arc::new(Abort::default());
    let canceller = Arc::clone(&abort);
    let callback = Callback::Run(Box::new(move |_| canceller.abort()));
    vat.on_cancel((), &promise, callback);
    let work = Abortable {
        abort,
        future: Some(Box::pin(InTurn {
            vat: Arc::clone(vat),
            span: Span::current(),
            turn: vat.tracing().and_then(|trace| trace.suspended()),
            future,
        })),
    };
    vat.home().runtime().spawn(Box::pin(async move {
        if let Some(result) = work.await {
            unfinished.finish(super::host::reply(result));
        }
    }));
    promise
}

/// Tells a task that its work is needed no more.
///
/// ```text
///   Running (the waker of the task, once it was polled) ── abort ──▶ Aborted
/// ```
#[derive(Default)]
struct Abort(Mutex<Stage>);

enum Stage {
    Running(Option<Waker>),
    Aborted,
}

impl Default for Stage {
    fn default() -> Self {
        Self::Running(None)
    }
}

impl Abort {
    fn abort(&self) {
        let before = std::mem::replace(&mut *lock(&self.0), Stage::Aborted);
        if let Stage::Running(Some(waker)) = before {
            waker.wake();
        }
    }

    /// False if the work was aborted; else the task will be woken when it is.
    fn go_on(&self, waker: &Waker) -> bool {
        match &mut *lock(&self.0) {
            Stage::Running(known) => {
                match known {
                    Some(known) => known.clone_from(waker),
                    None => *known = Some(waker.clone()),
                }
                true
            }
            Stage::Aborted => false,
        }
    }
}

/// A future that ends with nothing once it is aborted.
struct Abortable<F> {
    abort: Arc<Abort>,
    future: Option<Pin<Box<F>>>,
}

impl<F: Future> Future for Abortable<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.abort.go_on(cx.waker()) {
            // What it holds may be a user's, and is dropped outside of every lock.
            drop(self.future.take());
            return Poll::Ready(None);
        }
        match &mut self.future {
            Some(future) => future.as_mut().poll(cx).map(Some),
            None => Poll::Ready(None),
        }
    }
}

/// The promise of work that has not ended. If its task is dropped, the promise breaks: whoever waits
/// for it must not wait for ever.
pub(super) struct Unfinished {
    vat: Arc<NativeVat>,
    promise: Option<PromiseCell>,
    /// What the promise is told then.
    dropped: &'static str,
}

impl Unfinished {
    pub(super) fn new(vat: &Arc<NativeVat>, promise: &PromiseCell) -> Self {
        Self::of(
            vat,
            promise,
            "RuntimeError: the method was dropped before it ended",
        )
    }

    pub(super) fn of(vat: &Arc<NativeVat>, promise: &PromiseCell, dropped: &'static str) -> Self {
        Self {
            vat: Arc::clone(vat),
            promise: Some(promise.clone()),
            dropped,
        }
    }

    pub(super) fn finish(mut self, reply: Reply<Native>) {
        if let Some(promise) = self.promise.take() {
            self.vat.resolve((), promise, reply);
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(promise) = self.promise.take() {
            let error = Error::remote(self.dropped);
            self.vat.resolve((), promise, Reply::Failure(error));
        }
    }
}
