//! JavaScript as a host: objects and promises by number, values as they crossed the wire.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use marotte::host::{Message, Outcome, Ref, Reply};
use marotte::passable::{Builder, Item, Passable, ReadError, View};
use marotte::promise::Cell;
use marotte::vat::{Connection, TurnQueue, Vat};
use marotte::{Error, Host, Location, RemoteError};

use crate::{imports, state, tape};

/// JavaScript.
#[derive(Debug)]
pub(crate) enum JsHost {}

/// The right to a slot of JavaScript's table of objects; dropping it frees the slot.
#[derive(Debug)]
pub(crate) struct Slot(u32);

impl Drop for Slot {
    fn drop(&mut self) {
        imports::free_object(self.0);
    }
}

/// A handle on a local object.
#[derive(Debug)]
pub(crate) struct JsObject(Arc<Slot>);

impl JsObject {
    pub(crate) fn new(slot: u32) -> Self {
        Self(Arc::new(Slot(slot)))
    }

    pub(crate) fn slot(&self) -> u32 {
        self.0.0
    }

    pub(crate) fn downgrade(&self) -> Weak<Slot> {
        Arc::downgrade(&self.0)
    }

    pub(crate) fn upgrade(slot: &Weak<Slot>) -> Option<Self> {
        slot.upgrade().map(Self)
    }
}

/// A handle on a promise.
pub(crate) struct JsPromise(Arc<Mutex<Cell<JsHost>>>);

impl JsPromise {
    pub(crate) fn dup(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl fmt::Debug for JsPromise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JsPromise")
    }
}

/// A settled value: a reference, or data as it came, read when JavaScript asks for it.
#[derive(Debug)]
pub(crate) enum JsValue {
    /// A reference and nothing else: messages sent to the value reach it.
    Ref(Ref<JsHost>),
    /// Anything else, possibly with references inside.
    Data(Arc<Passable<Ref<JsHost>>>),
}

impl JsValue {
    /// Takes one value.
    pub(crate) fn new(value: Passable<Ref<JsHost>>) -> Self {
        match lone_reference(value.view()) {
            Some(reference) => Self::Ref(reference.dup(())),
            None => Self::Data(Arc::new(value)),
        }
    }
}

/// The reference that is all of this value.
fn lone_reference<'a>(view: View<'a, Ref<JsHost>>) -> Option<&'a Ref<JsHost>> {
    let [_] = view.refs() else { return None };
    let mut reader = view.reader();
    match reader.next() {
        Ok(Item::Ref(reference)) if reader.is_empty() => Some(reference),
        _ => None,
    }
}

/// Why a promise was broken.
#[derive(Debug)]
pub(crate) enum JsFailure {
    /// Somebody's code failed; by its message.
    Remote(RemoteError),
    /// The connection is gone.
    Disconnected(Arc<str>),
    /// The caller's own mistake.
    Misuse(Arc<str>),
    /// A reason that is not an error.
    Reason(Arc<Passable<Ref<JsHost>>>),
}

impl JsFailure {
    fn unreadable(error: &ReadError) -> Self {
        let text = format!("TypeError: a value that is not understood here: {error}");
        Self::Remote(RemoteError::from_wire(&text))
    }
}

/// What JavaScript is to be told.
#[derive(Debug)]
pub(crate) enum Callback {
    /// The promise of that handle, which JavaScript waits for, has settled.
    Settled(u32),
    /// The promise of that handle, which JavaScript was to settle, was cancelled.
    Cancelled(u32),
    /// It is the turn of the function of that number.
    Turn(u32),
}

thread_local! {
    static TURNS: Arc<TurnQueue<JsHost>> = TurnQueue::shared();
}

/// The turns of this program, which all its tubs share.
pub(crate) fn turns() -> Arc<TurnQueue<JsHost>> {
    TURNS.with(Arc::clone)
}

/// A copy of borrowed values that can be kept.
fn keep(view: View<'_, Ref<JsHost>>) -> Passable<Ref<JsHost>> {
    Message::new(None, view).to_owned(()).args
}

impl Host for JsHost {
    type Cx<'a> = ();
    type Object = JsObject;
    type Promise = JsPromise;
    type WeakPromise = Weak<Mutex<Cell<Self>>>;
    type Value = JsValue;
    type Failure = JsFailure;
    type Callback = Callback;
    /// The tub's number.
    type Home = u32;

    fn dup_object((): (), object: &JsObject) -> JsObject {
        JsObject(Arc::clone(&object.0))
    }

    fn dup_promise((): (), promise: &JsPromise) -> JsPromise {
        promise.dup()
    }

    fn dup_value((): (), value: &JsValue) -> JsValue {
        match value {
            JsValue::Ref(reference) => JsValue::Ref(reference.dup(())),
            JsValue::Data(value) => JsValue::Data(Arc::clone(value)),
        }
    }

    fn dup_failure((): (), failure: &JsFailure) -> JsFailure {
        match failure {
            JsFailure::Remote(error) => JsFailure::Remote(error.clone()),
            JsFailure::Disconnected(text) => JsFailure::Disconnected(Arc::clone(text)),
            JsFailure::Misuse(text) => JsFailure::Misuse(Arc::clone(text)),
            JsFailure::Reason(value) => JsFailure::Reason(Arc::clone(value)),
        }
    }

    fn identity(object: &JsObject) -> usize {
        // An address, not the slot: references that are lent on are told apart by address, too.
        Arc::as_ptr(&object.0) as usize
    }

    fn downgrade((): (), promise: &JsPromise) -> Self::WeakPromise {
        Arc::downgrade(&promise.0)
    }

    fn upgrade((): (), weak: &Self::WeakPromise) -> Option<JsPromise> {
        weak.upgrade().map(JsPromise)
    }

    fn is_same_promise(one: &JsPromise, other: &JsPromise) -> bool {
        Arc::ptr_eq(&one.0, &other.0)
    }

    fn new_promise((): (), _: &Arc<Vat<Self>>, cell: Cell<Self>) -> JsPromise {
        JsPromise(Arc::new(Mutex::new(cell)))
    }

    fn with_cell<R>((): (), promise: &JsPromise, f: impl FnOnce(&mut Cell<Self>) -> R) -> R {
        f(&mut promise.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn invoke(
        (): (),
        vat: &Arc<Vat<Self>>,
        object: &JsObject,
        message: Message<'_, Self>,
    ) -> Reply<Self> {
        let written = state::with_tape(|out| {
            use tape::Out;
            match message.selector {
                Some(selector) => out.str(selector),
                None => out.tag(tape::tag::NULL),
            }
            tape::write(vat, message.args, out)?;
            imports::invoke(*vat.home(), object.slot(), out.as_ptr() as usize, out.len());
            Ok(())
        });
        match written {
            Ok(()) => state::take_reply(),
            Err(error) => Reply::Failure(JsFailure::unreadable(&error)),
        }
    }

    fn call((): (), vat: &Arc<Vat<Self>>, callback: Callback, outcome: Outcome<Self>) {
        match callback {
            Callback::Settled(handle) => state::push_event(vat, handle, outcome),
            Callback::Cancelled(handle) => imports::cancelled(handle),
            Callback::Turn(number) => imports::turn(number),
        }
    }

    fn accept(
        (): (),
        _vat: &Arc<Vat<Self>>,
        value: View<'_, Ref<Self>>,
    ) -> Result<JsValue, JsFailure> {
        // Whether all of it is understood is found out when it is read.
        Ok(match lone_reference(value) {
            Some(reference) => JsValue::Ref(reference.dup(())),
            None => JsValue::Data(Arc::new(keep(value))),
        })
    }

    fn accept_failure((): (), _vat: &Arc<Vat<Self>>, reason: View<'_, Ref<Self>>) -> JsFailure {
        let mut reader = reason.reader();
        match reader.next() {
            Ok(Item::Error(message)) if reader.is_empty() => {
                JsFailure::Remote(RemoteError::from_wire(message))
            }
            Ok(_) => JsFailure::Reason(Arc::new(keep(reason))),
            Err(error) => JsFailure::unreadable(&error),
        }
    }

    fn emit<T>(
        (): (),
        value: &JsValue,
        f: impl FnOnce(View<'_, Ref<Self>>) -> T,
    ) -> Result<T, Error> {
        Ok(match value {
            JsValue::Data(value) => f(value.view()),
            JsValue::Ref(reference) => {
                let mut builder = Builder::default();
                builder.reference(reference.dup(()));
                f(builder.view())
            }
        })
    }

    fn emit_failure<T>(
        (): (),
        vat: &Arc<Vat<Self>>,
        failure: &JsFailure,
        f: impl FnOnce(View<'_, Ref<Self>>) -> T,
    ) -> T {
        let mut builder = Builder::default();
        match failure {
            JsFailure::Reason(value) => return f(value.view()),
            JsFailure::Remote(error) => builder.error(&error.to_wire(vat.shows_tracebacks())),
            JsFailure::Disconnected(text) | JsFailure::Misuse(text) => builder.error(text),
        }
        f(builder.view())
    }

    fn failure((): (), error: Error) -> JsFailure {
        match error {
            Error::Remote(error) => JsFailure::Remote(error),
            Error::Disconnected(text) => JsFailure::Disconnected(text),
            error => JsFailure::Misuse(error.to_string().into()),
        }
    }

    fn target((): (), value: &JsValue) -> Option<Ref<Self>> {
        match value {
            JsValue::Ref(reference) => Some(reference.dup(())),
            JsValue::Data(_) => None,
        }
    }

    fn value_of((): (), reference: Ref<Self>) -> JsValue {
        JsValue::Ref(reference)
    }

    fn dial((): (), vat: &Arc<Vat<Self>>, to: &Location) -> Result<Arc<Connection<Self>>, Error> {
        let peer = format!("{}.{}", to.designator, to.transport);
        let urls: Vec<_> = to.hinted("url").map(|(_, url)| url).collect();
        let url = urls.join("\n");
        let number = imports::dial(
            *vat.home(),
            peer.as_ptr() as usize,
            peer.len(),
            url.as_ptr() as usize,
            url.len(),
        );
        state::connection(number).ok_or_else(|| {
            Error::Misuse(format!(
                "{to} cannot be reached from JavaScript: it has no hint \"url\" that leads to a WebSocket"
            ))
        })
    }

    fn turn_queue(_vat: &Arc<Vat<Self>>) -> Arc<TurnQueue<Self>> {
        turns()
    }

    fn schedule_turns(_vat: &Arc<Vat<Self>>) {
        imports::schedule_turns();
    }
}
