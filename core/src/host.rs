//! What a language must supply.

use std::fmt::Debug;
use std::sync::Arc;

use crate::captp::CloseReason;
use crate::error::Error;
use crate::locator::Location;
use crate::passable::{Passable, View};
use crate::promise::Cell;
use crate::vat::{Account, Charge, Connection, Import, TurnQueue, Vat};

/// A language in which objects live: Rust closures, Python, JavaScript.
///
/// Every algorithm of this crate is generic over one `Host`. Core calls the host only between its
/// own steps, never while it holds a borrow or a lock, so whatever the host does (call back in,
/// raise, run for long) is legal.
///
/// Handles are duplicated with a context (`dup_*`), because Python's cannot be cloned without one.
/// The functions `dup_*`, `downgrade`, `upgrade`, `identity` and `is_same_promise` run no code but the host's own
/// bookkeeping, so core may call them under a short borrow.
pub trait Host: Sized + 'static {
    /// Proof that the host may be touched: `()` in Rust, `Python<'_>` in Python.
    type Cx<'a>: Copy;
    /// A local object that others may call.
    type Object: Send + Sync + Debug;
    /// A shared handle on a promise's [`Cell`].
    type Promise: Send + Sync + Debug;
    /// The same, but it does not keep the promise.
    type WeakPromise: Send + Sync;
    /// A settled value.
    type Value: Send + Sync + Debug;
    /// The reason of a broken promise.
    type Failure: Send + Sync + Debug;
    /// Something to run once when a promise settles.
    type Callback: Send;
    /// What the host keeps with its vat, such as its event loop.
    type Home: Send + Sync;

    /// Another handle on the same object.
    fn dup_object(cx: Self::Cx<'_>, object: &Self::Object) -> Self::Object;
    /// Another handle on the same promise.
    fn dup_promise(cx: Self::Cx<'_>, promise: &Self::Promise) -> Self::Promise;
    /// Another handle on the same value.
    fn dup_value(cx: Self::Cx<'_>, value: &Self::Value) -> Self::Value;
    /// Another handle on the same failure.
    fn dup_failure(cx: Self::Cx<'_>, failure: &Self::Failure) -> Self::Failure;

    /// A number that tells this object from every other that is alive.
    fn identity(object: &Self::Object) -> usize;

    /// A handle that does not keep the promise.
    fn downgrade(cx: Self::Cx<'_>, promise: &Self::Promise) -> Self::WeakPromise;
    /// The promise, if it is there still.
    fn upgrade(cx: Self::Cx<'_>, weak: &Self::WeakPromise) -> Option<Self::Promise>;

    /// True if both are handles on one promise.
    fn is_same_promise(one: &Self::Promise, other: &Self::Promise) -> bool;

    /// A new promise of this vat around `cell`.
    fn new_promise(cx: Self::Cx<'_>, vat: &Arc<Vat<Self>>, cell: Cell<Self>) -> Self::Promise;
    /// Runs `f` on the promise's cell under a short borrow; `f` never calls the host.
    fn with_cell<R>(
        cx: Self::Cx<'_>,
        promise: &Self::Promise,
        f: impl FnOnce(&mut Cell<Self>) -> R,
    ) -> R;

    /// Delivers a message to a local object. Must not block.
    fn invoke(
        cx: Self::Cx<'_>,
        vat: &Arc<Vat<Self>>,
        object: &Self::Object,
        message: Message<'_, Self>,
    ) -> Reply<Self>;
    /// Runs a callback. What it raises, the host reports.
    fn call(
        cx: Self::Cx<'_>,
        vat: &Arc<Vat<Self>>,
        callback: Self::Callback,
        outcome: Outcome<Self>,
    );

    /// Runs a callback at once if that leads to no code of a user's in this stack, such as waking a
    /// task; gives back any other, to be run in a turn of its own. Only a matter of speed.
    fn notify(
        cx: Self::Cx<'_>,
        vat: &Arc<Vat<Self>>,
        callback: Self::Callback,
        outcome: &Outcome<Self>,
    ) -> Option<Self::Callback> {
        let _ = (cx, vat, outcome);
        Some(callback)
    }

    /// Reads one value that has arrived.
    ///
    /// # Errors
    /// The failure that takes its place.
    fn accept(
        cx: Self::Cx<'_>,
        vat: &Arc<Vat<Self>>,
        value: View<'_, Ref<Self>>,
    ) -> Result<Self::Value, Self::Failure>;
    /// Reads the reason of a break that has arrived.
    fn accept_failure(
        cx: Self::Cx<'_>,
        vat: &Arc<Vat<Self>>,
        reason: View<'_, Ref<Self>>,
    ) -> Self::Failure;
    /// Writes a value for the wire and shows it to `f`.
    ///
    /// # Errors
    /// [`Error::NotPassable`] with the path to the offending part.
    fn emit<T>(
        cx: Self::Cx<'_>,
        value: &Self::Value,
        f: impl FnOnce(View<'_, Ref<Self>>) -> T,
    ) -> Result<T, Error>;
    /// Writes a failure for the wire and shows it to `f`; with its traceback, where there is one, only
    /// if [`Vat::shows_tracebacks`].
    fn emit_failure<T>(
        cx: Self::Cx<'_>,
        vat: &Arc<Vat<Self>>,
        failure: &Self::Failure,
        f: impl FnOnce(View<'_, Ref<Self>>) -> T,
    ) -> T;
    /// One of our own errors as this host's failure.
    fn failure(cx: Self::Cx<'_>, error: Error) -> Self::Failure;
    /// What a message sent to this value reaches; `None` for plain data.
    fn target(cx: Self::Cx<'_>, value: &Self::Value) -> Option<Ref<Self>>;
    /// A value that stands for a reference.
    fn value_of(cx: Self::Cx<'_>, reference: Ref<Self>) -> Self::Value;
    /// A connection to that place, which need not be open yet.
    ///
    /// # Errors
    /// If this host cannot connect there.
    fn dial(
        cx: Self::Cx<'_>,
        vat: &Arc<Vat<Self>>,
        to: &Location,
    ) -> Result<Arc<Connection<Self>>, Error> {
        let _ = (cx, vat);
        Err(Error::Misuse(format!("{to} cannot be reached from here")))
    }

    /// Is told what has happened to a connection, for its log.
    fn note(cx: Self::Cx<'_>, vat: &Arc<Vat<Self>>, note: &Note<'_>) {
        let _ = (cx, vat, note);
    }

    /// The queue for the turns of that vat; asked for when it first needs one. Vats whose objects run on
    /// one event loop share theirs.
    fn turn_queue(vat: &Arc<Vat<Self>>) -> Arc<TurnQueue<Self>> {
        let _ = vat;
        TurnQueue::of_one()
    }

    /// Asks that [`Vat::run_turns`] be called soon, from a fresh stack. May be called from any
    /// thread, once per batch of turns.
    fn schedule_turns(vat: &Arc<Vat<Self>>);
}

/// What has happened to a connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Note<'a> {
    /// The peer there has said hello.
    Opened(&'a Location),
    /// The connection has ended.
    #[non_exhaustive]
    Closed {
        /// Who was there; `None` if that was not known.
        peer: Option<&'a Location>,
        /// Why.
        reason: &'a CloseReason,
        /// True if the peer has broken the protocol, or passed a limit.
        broke: bool,
    },
}

impl Note<'_> {
    /// Who the peer is, as far as it is known.
    pub fn peer(&self) -> String {
        match self {
            Self::Opened(peer) => peer.to_string(),
            Self::Closed { peer, .. } => {
                peer.map_or_else(|| "a stranger".to_owned(), ToString::to_string)
            }
        }
    }
}

/// A reference as a host sees it.
pub enum Ref<H: Host> {
    /// An object of this vat.
    Local(H::Object),
    /// An object of a peer.
    Far(Arc<Import<H>>),
    /// A promise, of this vat or of a peer.
    Promise(H::Promise),
}

impl<H: Host> Ref<H> {
    /// Another handle on the same reference.
    #[must_use]
    pub fn dup(&self, cx: H::Cx<'_>) -> Self {
        match self {
            Self::Local(object) => Self::Local(H::dup_object(cx, object)),
            Self::Far(import) => Self::Far(Arc::clone(import)),
            Self::Promise(promise) => Self::Promise(H::dup_promise(cx, promise)),
        }
    }
}

impl<H: Host> Debug for Ref<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local(object) => f.debug_tuple("Local").field(object).finish(),
            Self::Far(import) => f.debug_tuple("Far").field(&import.position()).finish(),
            Self::Promise(promise) => f.debug_tuple("Promise").field(promise).finish(),
        }
    }
}

/// A message on its way to an object: a selector and encoded arguments, borrowed from the receive
/// buffer.
pub struct Message<'a, H: Host> {
    /// The method's name; `None` for a plain call.
    pub selector: Option<&'a str>,
    /// The arguments, one value after the other.
    pub args: View<'a, Ref<H>>,
    /// Whom it is counted against; `None` for a message from this very vat.
    pub sender: Option<&'a Arc<Account>>,
}

impl<H: Host> Clone for Message<'_, H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H: Host> Copy for Message<'_, H> {}

impl<'a, H: Host> Message<'a, H> {
    /// A message from this vat.
    pub fn new(selector: Option<&'a str>, args: View<'a, Ref<H>>) -> Self {
        Self {
            selector,
            args,
            sender: None,
        }
    }

    /// True for a message from this very vat, which may do to its objects whatever the language
    /// allows. One from a peer reaches only what an object offers to peers.
    pub fn is_near(&self) -> bool {
        self.sender.is_none()
    }

    /// A copy that can wait in a queue.
    pub fn to_owned(&self, cx: H::Cx<'_>) -> OwnedMessage<H> {
        OwnedMessage {
            charge: self
                .sender
                .map(|account| account.charge(self.args.bytes.len(), self.args.refs.len())),
            selector: self.selector.map(Into::into),
            args: Passable::from_parts(
                self.args.bytes,
                self.args
                    .refs
                    .iter()
                    .map(|reference| reference.dup(cx))
                    .collect(),
            ),
        }
    }
}

/// A message that waits.
pub struct OwnedMessage<H: Host> {
    /// The method's name; `None` for a plain call.
    pub selector: Option<Box<str>>,
    /// The arguments.
    pub args: Passable<Ref<H>>,
    /// What it costs the peer that has sent it.
    pub(crate) charge: Option<Charge>,
}

impl<H: Host> OwnedMessage<H> {
    /// Borrows the message.
    pub fn view(&self) -> Message<'_, H> {
        Message {
            selector: self.selector.as_deref(),
            args: self.args.view(),
            sender: self.charge.as_ref().map(Charge::account),
        }
    }
}

/// What an object answers.
pub enum Reply<H: Host> {
    /// The result, now.
    Value(H::Value),
    /// A failure, now.
    Failure(H::Failure),
    /// A promise for the result.
    Promise(H::Promise),
}

/// How a promise ended.
pub enum Outcome<H: Host> {
    /// Fulfilled with a value.
    Fulfilled(H::Value),
    /// Broken, with its reason.
    Broken(H::Failure),
}

impl<H: Host> Outcome<H> {
    /// Another handle on the same outcome.
    #[must_use]
    pub fn dup(&self, cx: H::Cx<'_>) -> Self {
        match self {
            Self::Fulfilled(value) => Self::Fulfilled(H::dup_value(cx, value)),
            Self::Broken(failure) => Self::Broken(H::dup_failure(cx, failure)),
        }
    }
}
