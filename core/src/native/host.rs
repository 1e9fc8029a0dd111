//! `impl Host` for Rust.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use super::args::Args;
use super::object::{Answer, Referenceable};
use super::runtime::Home;
use super::work;
use crate::deferred::native::report_promise;
use crate::error::{Error, RemoteError};
use crate::host::{Host, Message, Note, Outcome, Ref, Reply};
use crate::locator::Location;
use crate::passable::{Builder, Item, Passable, View};
use crate::promise::Cell;
use crate::spans;
use crate::sync::lock;
use crate::vat::{Connection, Vat};

/// The Rust host.
#[derive(Debug)]
pub enum Native {}

/// A vat of Rust objects.
pub type NativeVat = Vat<Native>;

/// A callback of the Rust host.
pub enum Callback {
    /// Somebody polls the promise: wake them.
    Wake(Arc<Mutex<Waker>>),
    /// Run this.
    Run(Box<dyn FnOnce(Outcome<Native>) + Send>),
}

impl std::fmt::Debug for Callback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Wake(_) => "Wake",
            Self::Run(_) => "Run",
        })
    }
}

/// A settled value: as it was passed, to be read into whatever type is asked for.
#[derive(Debug, Clone)]
pub struct Passed(Arc<Passable<Ref<Native>>>);

impl Passed {
    pub(super) fn new(passable: Passable<Ref<Native>>) -> Self {
        Self(Arc::new(passable))
    }

    pub(super) fn view(&self) -> View<'_, Ref<Native>> {
        self.0.view()
    }
}

/// A shared handle on a promise's cell.
#[derive(Debug, Clone)]
pub struct PromiseCell(Arc<Slot>);

/// What the handles share.
#[derive(Debug)]
struct Slot(Mutex<Cell<Native>>);

/// A handle that does not keep the promise.
#[derive(Debug)]
pub struct WeakCell(Weak<Slot>);

impl PromiseCell {
    pub(super) fn lock(&self) -> MutexGuard<'_, Cell<Native>> {
        lock(&self.0.0)
    }
}

impl Drop for Slot {
    /// A failure that nobody has looked at is reported here, once.
    fn drop(&mut self) {
        let cell = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = cell.unhandled() {
            report_promise(error);
        }
    }
}

impl Host for Native {
    type Cx<'a> = ();
    type Object = Arc<dyn Referenceable>;
    type Promise = PromiseCell;
    type WeakPromise = WeakCell;
    type Value = Passed;
    type Failure = Error;
    type Callback = Callback;
    type Home = Home;

    fn dup_object((): (), object: &Self::Object) -> Self::Object {
        Arc::clone(object)
    }

    fn dup_promise((): (), promise: &PromiseCell) -> PromiseCell {
        promise.clone()
    }

    fn dup_value((): (), value: &Passed) -> Passed {
        value.clone()
    }

    fn dup_failure((): (), failure: &Error) -> Error {
        failure.clone()
    }

    fn identity(object: &Self::Object) -> usize {
        Arc::as_ptr(object).cast::<()>() as usize
    }

    fn downgrade((): (), promise: &PromiseCell) -> WeakCell {
        WeakCell(Arc::downgrade(&promise.0))
    }

    fn upgrade((): (), weak: &WeakCell) -> Option<PromiseCell> {
        weak.0.upgrade().map(PromiseCell)
    }

    fn is_same_promise(one: &PromiseCell, other: &PromiseCell) -> bool {
        Arc::ptr_eq(&one.0, &other.0)
    }

    fn new_promise((): (), _: &Arc<Vat<Self>>, cell: Cell<Self>) -> PromiseCell {
        PromiseCell(Arc::new(Slot(Mutex::new(cell))))
    }

    fn with_cell<R>((): (), promise: &PromiseCell, f: impl FnOnce(&mut Cell<Self>) -> R) -> R {
        f(&mut promise.lock())
    }

    fn invoke(
        (): (),
        vat: &Arc<Vat<Self>>,
        object: &Self::Object,
        message: Message<'_, Self>,
    ) -> Reply<Self> {
        let args = Args::new(vat, message.args);
        let answer = caught(|| Arc::clone(object).deliver(message.selector, args));
        let mut future = match answer {
            Ok(Answer::Now(result)) => return reply(result),
            Ok(Answer::Promise(promise)) => return Reply::Promise(promise.into_cell()),
            Ok(Answer::Later(future)) => future,
            Err(error) => return Reply::Failure(error),
        };
        // Most handlers end without suspending: no task for those.
        let mut context = Context::from_waker(Waker::noop());
        match caught(|| future.as_mut().poll(&mut context)) {
            Ok(Poll::Ready(result)) => return reply(result),
            Ok(Poll::Pending) => {}
            Err(error) => return Reply::Failure(error),
        }
        Reply::Promise(work::begin(vat, future))
    }

    fn call((): (), _vat: &Arc<Vat<Self>>, callback: Callback, outcome: Outcome<Self>) {
        match callback {
            Callback::Wake(waker) => wake(&waker),
            // What it was to settle breaks when it is dropped; the panic was reported by its hook.
            Callback::Run(function) => drop(caught(|| function(outcome))),
        }
    }

    fn notify(
        (): (),
        _vat: &Arc<Vat<Self>>,
        callback: Callback,
        _outcome: &Outcome<Self>,
    ) -> Option<Callback> {
        match callback {
            Callback::Wake(waker) => {
                wake(&waker);
                None
            }
            callback @ Callback::Run(_) => Some(callback),
        }
    }

    fn accept((): (), _vat: &Arc<Vat<Self>>, value: View<'_, Ref<Self>>) -> Result<Passed, Error> {
        let refs = value
            .refs()
            .iter()
            .map(|reference| reference.dup(()))
            .collect();
        Ok(Passed::new(Passable::from_parts(value.bytes(), refs)))
    }

    fn accept_failure((): (), _vat: &Arc<Vat<Self>>, reason: View<'_, Ref<Self>>) -> Error {
        self::reason(reason)
    }

    fn emit<T>(
        (): (),
        value: &Passed,
        f: impl FnOnce(View<'_, Ref<Self>>) -> T,
    ) -> Result<T, Error> {
        Ok(f(value.view()))
    }

    fn emit_failure<T>(
        (): (),
        vat: &Arc<NativeVat>,
        failure: &Error,
        f: impl FnOnce(View<'_, Ref<Self>>) -> T,
    ) -> T {
        let mut builder = Builder::default();
        match failure {
            Error::Remote(RemoteError {
                reason: Some(bytes),
                ..
            }) => return f(View { bytes, refs: &[] }),
            Error::Remote(remote) => builder.error(&remote.to_wire(vat.shows_tracebacks())),
            failure => builder.error(&failure.to_string()),
        }
        f(builder.view())
    }

    fn failure((): (), error: Error) -> Error {
        error
    }

    fn target((): (), value: &Passed) -> Option<Ref<Self>> {
        // Plain data has no references, so nothing is read for it.
        value.view().refs().first()?;
        match value.view().reader().next() {
            Ok(Item::Ref(reference)) => Some(reference.dup(())),
            _ => None,
        }
    }

    fn value_of((): (), reference: Ref<Self>) -> Passed {
        let mut builder = Builder::default();
        builder.reference(reference);
        Passed::new(builder.finish())
    }

    fn dial((): (), vat: &Arc<Vat<Self>>, to: &Location) -> Result<Arc<Connection<Self>>, Error> {
        vat.home().runtime().dial(to)
    }

    fn note((): (), _vat: &Arc<Vat<Self>>, note: &Note<'_>) {
        spans::note(note);
    }

    fn schedule_turns(vat: &Arc<Vat<Self>>) {
        vat.home().runtime().schedule_turns();
    }
}

/// A failure with that reason. One that is no error and has references in it is known by its text
/// only: they belong to a connection.
pub(super) fn reason(value: View<'_, Ref<Native>>) -> Error {
    let text = match value.reader().next() {
        Ok(Item::Error(message)) => return Error::Remote(RemoteError::from_wire(message)),
        Ok(Item::Str(text) | Item::Symbol(text)) => text,
        _ => "the far side broke the promise with a value that is no error",
    };
    Error::Remote(RemoteError {
        reason: value.refs.is_empty().then(|| value.bytes.into()),
        ..RemoteError::from_wire(text)
    })
}

/// Wakes a task outside of the lock: an executor may poll it at once, in this very stack.
fn wake(waker: &Mutex<Waker>) {
    let waker = lock(waker).clone();
    waker.wake();
}

/// Runs code of a user's. A panic there is the failure of one call: it must not end the vat, the
/// connection, or the calls of others.
fn caught<T>(run: impl FnOnce() -> T) -> Result<T, Error> {
    // What was half done stays with the user's own objects, as with any failure.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run))
        .map_err(|_| Error::remote("RuntimeError: the method panicked"))
}

pub(super) fn reply(result: Result<Passable<Ref<Native>>, Error>) -> Reply<Native> {
    match result {
        Ok(value) => Reply::Value(Passed::new(value)),
        Err(error) => Reply::Failure(error),
    }
}
