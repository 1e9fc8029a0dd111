//! The vat: objects that share one queue of turns, and their connections to other vats.
//!
//! Here the session's positions meet the host's promises and objects:
//!
//! | file | holds |
//! |---|---|
//! | `account.rs` | what waits here on behalf of a peer |
//! | `mod.rs` | [`Vat`]: registered objects, the connections |
//! | `bootstrap.rs` | the object at position 0 |
//! | `cancel.rs` | telling that an answer is needed no more |
//! | `connection.rs` | [`Connection`]: one session, its lock, how it is driven and how it ends |
//! | `data.rs` | parts of values: `get` |
//! | `describe.rs` | references ↔ descriptors |
//! | `extension.rs` | the messages that Marotte peers add to the drafts |
//! | `gifts.rs` | introducing peers to each other's objects |
//! | `incoming.rs` | what a received message does |
//! | `opening.rs` | what waits for a session to open; two peers that connect to each other at once |
//! | `recording.rs`, `replay.rs` | `map`: a function recorded here, and replayed for each item there |
//! | `revoked.rs` | references that were taken back |
//! | `send.rs` | sending a message to any reference |
//! | `settle.rs` | settling promises, and keeping order when their messages change their way |
//! | `turns.rs` | the queue of turns |

mod account;
mod bootstrap;
mod cancel;
mod connection;
mod data;
mod describe;
mod extension;
mod gifts;
mod incoming;
mod opening;
mod recording;
mod replay;
mod revoked;
mod send;
mod settle;
mod turns;

pub use account::Account;
pub(crate) use account::Charge;
pub use connection::{Connection, Driver, Import, Tables};
pub use extension::Extension;
pub use recording::{Recording, is_recording};
pub(crate) use replay::Replay;
pub use settle::RESOLVER_DROPPED;
pub(crate) use turns::Turn;
pub use turns::TurnQueue;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use sha2::{Digest, Sha256};

use crate::captp::{Config, Stats};
use crate::host::{Host, Outcome, Ref, Reply};
use crate::locator::Location;
use crate::sync::lock;
use crate::trace::{self, Trace};

/// A unit of concurrency: its objects run one turn at a time, each turn to its end. (Several that share a
/// [`TurnQueue`] are one such unit.)
pub struct Vat<H: Host> {
    home: H::Home,
    /// Registered objects by the digest of their swiss number: how long a look-up takes then says nothing about
    /// how much of a number was right. Whoever knows the number may fetch the object.
    registry: Mutex<HashMap<[u8; 32], H::Object>>,
    revoked: Arc<revoked::Revoked>,
    /// The objects that were revoked.
    kept: Mutex<Vec<H::Object>>,
    /// Chosen when it is first needed.
    turns: OnceLock<Arc<TurnQueue<H>>>,
    connections: Mutex<Vec<Weak<Connection<H>>>>,
    /// Counters of the connections that have ended.
    past: Mutex<Stats>,
    /// True if peers are told where a failure happened.
    tracebacks: AtomicBool,
    /// What was to be asked for over connections that peers have refused.
    stranded: Mutex<Vec<(Location, opening::Opening<H>)>>,
    /// True if peers are where they say that they are.
    believes: AtomicBool,
    /// True if peers are introduced to each other's objects, instead of lending these.
    introduces: AtomicBool,
    trace: Mutex<Option<Arc<Trace>>>,
}

impl<H: Host> std::fmt::Debug for Vat<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vat")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl<H: Host> Vat<H> {
    /// An empty vat. `home` is what the host wants to find again in its own functions.
    pub fn new(home: H::Home) -> Arc<Self> {
        Arc::new(Self {
            home,
            registry: Mutex::new(HashMap::new()),
            revoked: Arc::default(),
            kept: Mutex::default(),
            turns: OnceLock::new(),
            connections: Mutex::new(Vec::new()),
            past: Mutex::new(Stats::default()),
            tracebacks: AtomicBool::new(false),
            introduces: AtomicBool::new(false),
            believes: AtomicBool::new(false),
            stranded: Mutex::new(Vec::new()),
            trace: Mutex::default(),
        })
    }

    /// Sets whether a peer that is passed an object of another peer's is introduced to that one, so that
    /// it calls the object over a connection of its own. Otherwise, and by default, the object is lent:
    /// its calls pass through this vat. The peer must be able to connect to where the other says that
    /// it is.
    pub fn introduce_peers(&self, on: bool) {
        self.introduces.store(on, Ordering::Relaxed);
    }

    pub(crate) fn introduces(&self) -> bool {
        self.introduces.load(Ordering::Relaxed)
    }

    /// Sets whether a peer that has connected to us is taken to be the one that it says it is: then its
    /// connection is used to fetch from it by URI, too, and of two connections that two peers make to
    /// each other at once one is kept. By default it is not. Without a transport that proves it, anybody
    /// can take another's name, and is then sent the secrets in references to that one.
    pub fn believe_hellos(&self, on: bool) {
        self.believes.store(on, Ordering::Relaxed);
    }

    pub(crate) fn believes_hellos(&self) -> bool {
        self.believes.load(Ordering::Relaxed)
    }

    /// Sets whether peers are told where a failure happened, as far as the language knows. By default
    /// they are not: a traceback tells how a program is made.
    pub fn show_tracebacks(&self, on: bool) {
        self.tracebacks.store(on, Ordering::Relaxed);
    }

    /// Whether they are.
    pub fn shows_tracebacks(&self) -> bool {
        self.tracebacks.load(Ordering::Relaxed)
    }

    /// Has the turns of this vat and its messages noted from now on, or no more.
    pub fn trace(&self, trace: Option<Arc<Trace>>) {
        let old = std::mem::replace(&mut *lock(&self.trace), trace);
        if let Some(old) = old {
            old.end();
        }
    }

    /// Where they are noted, if they are.
    pub fn tracing(&self) -> Option<Arc<Trace>> {
        if trace::is_on() {
            lock(&self.trace).clone()
        } else {
            None
        }
    }

    /// What the host keeps here.
    pub fn home(&self) -> &H::Home {
        &self.home
    }

    /// Lets whoever knows `swiss` fetch the object. What was registered under it before is
    /// returned.
    pub fn register(&self, swiss: &[u8], object: H::Object) -> Option<H::Object> {
        lock(&self.registry).insert(digest(swiss), object)
    }

    /// Takes a registration back; references that were fetched before stay good.
    pub fn unregister(&self, swiss: &[u8]) -> Option<H::Object> {
        lock(&self.registry).remove(&digest(swiss))
    }

    /// Takes all registrations back, because the vat is to be used no more: what was registered may lead back
    /// to it. They are returned, to be dropped where that may call a user's code.
    pub fn unregister_everything(&self) -> Vec<H::Object> {
        let registry = std::mem::take(&mut *lock(&self.registry));
        let kept = std::mem::take(&mut *lock(&self.kept));
        registry.into_values().chain(kept).collect()
    }

    /// Takes all registrations of an object back.
    fn unregister_all(&self, identity: usize) -> Vec<H::Object> {
        let mut registry = lock(&self.registry);
        let its: Vec<_> = registry
            .iter()
            .filter(|(_, object)| H::identity(object) == identity)
            .map(|(digest, _)| *digest)
            .collect();
        its.iter()
            .filter_map(|digest| registry.remove(digest))
            .collect()
    }

    /// The object registered under `swiss`.
    pub fn registered(&self, cx: H::Cx<'_>, swiss: &[u8]) -> Option<H::Object> {
        lock(&self.registry)
            .get(&digest(swiss))
            .map(|object| H::dup_object(cx, object))
    }

    /// Begins a session; the transport's bytes go to [`Connection::receive`].
    pub fn connect(
        self: &Arc<Self>,
        mut config: Config,
        driver: Arc<dyn Driver>,
    ) -> Arc<Connection<H>> {
        config.reserved |= self.believes_hellos();
        self.begin(Connection::new(self, config, driver, None))
    }

    /// As [`Self::connect`], for a connection that we make to that peer, so that
    /// [`Self::connection_to`] finds it.
    pub fn dial(
        self: &Arc<Self>,
        config: Config,
        driver: Arc<dyn Driver>,
        to: Location,
    ) -> Arc<Connection<H>> {
        self.begin(Connection::new(self, config, driver, Some(to)))
    }

    fn begin(&self, connection: Arc<Connection<H>>) -> Arc<Connection<H>> {
        let mut connections = lock(&self.connections);
        connections.retain(|connection| connection.strong_count() > 0);
        connections.push(Arc::downgrade(&connection));
        connection
    }

    /// The connections that have not ended.
    pub fn connections(&self) -> Vec<Arc<Connection<H>>> {
        lock(&self.connections)
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|c| !c.is_closed())
            .collect()
    }

    /// The connection that we made, or are making, to that peer.
    pub fn connection_to(&self, location: &Location) -> Option<Arc<Connection<H>>> {
        self.connections()
            .into_iter()
            .find(|connection| connection.leads_to(location))
    }

    /// What all connections together have done; table sizes are those of the live ones.
    pub fn stats(&self) -> Stats {
        let past = *lock(&self.past);
        let all: Vec<_> = lock(&self.connections)
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        all.iter()
            .filter(|connection| !connection.is_closed())
            .fold(past, |sum, connection| sum + connection.stats())
    }

    pub(crate) fn remember(&self, stats: Stats) {
        let mut past = lock(&self.past);
        *past = *past
            + Stats {
                exports: 0,
                imports: 0,
                questions: 0,
                answers: 0,
                ..stats
            };
    }

    /// Settles a promise with what an object answered.
    pub fn resolve(self: &Arc<Self>, cx: H::Cx<'_>, promise: H::Promise, reply: Reply<H>) {
        let outcome = match reply {
            Reply::Value(value) => Outcome::Fulfilled(value),
            Reply::Failure(failure) => Outcome::Broken(failure),
            Reply::Promise(other) => Outcome::Fulfilled(H::value_of(cx, Ref::Promise(other))),
        };
        self.settle(cx, promise, outcome);
    }
}

fn digest(swiss: &[u8]) -> [u8; 32] {
    Sha256::digest(swiss).into()
}

/// True if a promise has settled.
pub(crate) fn is_settled<H: Host>(cx: H::Cx<'_>, promise: &H::Promise) -> bool {
    H::with_cell(cx, promise, |cell| !cell.is_pending())
}
