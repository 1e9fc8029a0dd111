//! One connection to another vat.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use super::gifts::{Gifts, orphans};
use super::opening::Opening;
use super::{Account, Vat};
use crate::captp::{CloseReason, Config, Payload, Session, Stats};
use crate::error::Error;
use crate::host::{Host, Note, Outcome, Ref, Reply};
use crate::locator::Location;
use crate::sync::lock;

/// What the tables of a vat's sessions hold.
#[derive(Debug)]
pub struct Tables<H>(std::marker::PhantomData<H>);

impl<H: Host> Payload for Tables<H> {
    type Export = Ref<H>;
    type Import = Weak<Import<H>>;
    type Question = H::Promise;
    type Answer = Reply<H>;
}

/// The owner of a connection's socket.
pub trait Driver: Send + Sync {
    /// Bytes wait in the outbox: call [`Connection::write_with`] soon, from a fresh stack. Called
    /// once per batch, from any thread.
    fn wake(&self);
    /// Releases wait to be told to the peer: call [`Connection::collect`] in about a tenth of a
    /// second, unless there is traffic before. Called once per batch, from any thread.
    fn idle(&self);
}

/// One session with its lock, shared by its driver and by every reference that came over it.
///
/// The lock is held for table work and encoding only, never while the host runs.
pub struct Connection<H: Host> {
    vat: Weak<Vat<H>>,
    session: Mutex<Session<Tables<H>>>,
    driver: Arc<dyn Driver>,
    /// True while the driver knows that there is something to write.
    awake: AtomicBool,
    /// Positions whose last reference was dropped. A lock of its own, because references are
    /// dropped anywhere.
    dropped: Mutex<Vec<u64>>,
    /// True once its end was noted.
    is_noted: AtomicBool,
    /// Where we meant to connect to.
    dialled: Option<Location>,
    /// Who the peer is, as the transport has proved.
    peer: OnceLock<String>,
    /// Who wants to know of the end, by number; `None` once it has come.
    watchers: Mutex<Option<BTreeMap<u64, H::Callback>>>,
    next_watcher: AtomicU64,
    account: Arc<Account>,
    /// What the peer has left for others, or others want of it.
    pub(super) gifts: Mutex<Gifts<H>>,
    /// What to ask the peer for once the session is open.
    pub(super) openings: Mutex<Vec<Opening<H>>>,
}

/// A reference to an object of a peer. Dropping the last handle gives it back to the peer.
pub struct Import<H: Host> {
    connection: Arc<Connection<H>>,
    position: u64,
}

impl<H: Host> Import<H> {
    pub(super) fn new(connection: &Arc<Connection<H>>, position: u64) -> Arc<Self> {
        Arc::new(Self {
            connection: Arc::clone(connection),
            position,
        })
    }

    /// The connection that it came over.
    pub fn connection(&self) -> &Arc<Connection<H>> {
        &self.connection
    }

    /// The peer's position of the object.
    pub fn position(&self) -> u64 {
        self.position
    }
}

impl<H: Host> Drop for Import<H> {
    fn drop(&mut self) {
        let first = {
            let mut dropped = lock(&self.connection.dropped);
            dropped.push(self.position);
            dropped.len() == 1
        };
        if first {
            self.connection.driver.idle();
        }
    }
}

impl<H: Host> std::fmt::Debug for Import<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Import({})", self.position)
    }
}

impl<H: Host> std::fmt::Debug for Connection<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.peer_location())
            .finish_non_exhaustive()
    }
}

impl<H: Host> Connection<H> {
    pub(super) fn new(
        vat: &Arc<Vat<H>>,
        config: Config,
        driver: Arc<dyn Driver>,
        dialled: Option<Location>,
    ) -> Arc<Self> {
        let account = Account::new(&config.limits, vat.revoked());
        Arc::new(Self {
            vat: Arc::downgrade(vat),
            session: Mutex::new(Session::new(config)),
            driver,
            // The driver writes our start-session without being told.
            awake: AtomicBool::new(true),
            dropped: Mutex::new(Vec::new()),
            is_noted: AtomicBool::new(false),
            dialled,
            peer: OnceLock::new(),
            watchers: Mutex::new(Some(BTreeMap::new())),
            next_watcher: AtomicU64::new(0),
            account,
            gifts: Mutex::default(),
            openings: Mutex::new(Vec::new()),
        })
    }

    /// The vat that this connection belongs to, while it lives.
    pub fn vat(&self) -> Option<Arc<Vat<H>>> {
        self.vat.upgrade()
    }

    /// Runs `f` on the session, which must not call the host, and wakes the driver if that left
    /// something to write.
    pub(super) fn with_session<T>(&self, f: impl FnOnce(&mut Session<Tables<H>>) -> T) -> T {
        let (result, pending, garbage) = {
            let mut session = lock(&self.session);
            let had_garbage = session.has_garbage();
            let result = f(&mut session);
            let garbage = !had_garbage && session.has_garbage();
            (result, !session.outbox().is_empty(), garbage)
        };
        if pending && !self.awake.swap(true, Ordering::AcqRel) {
            self.driver.wake();
        }
        if garbage {
            self.driver.idle();
        }
        result
    }

    /// Where the peer says it can be reached; `None` if it has not said hello.
    pub fn peer_location(&self) -> Option<Location> {
        lock(&self.session).peer_location().cloned()
    }

    /// True if we made this connection to that location; or if the peer says that it is there, and
    /// is to be [believed](Vat::believe_hellos).
    pub(super) fn leads_to(&self, location: &Location) -> bool {
        match &self.dialled {
            Some(to) => to.same_peer(location),
            None => {
                self.is_believed()
                    && self.is_open()
                    && self
                        .peer_location()
                        .is_some_and(|peer| peer.same_peer(location))
            }
        }
    }

    /// Notes that the transport has proved who the peer is, by its designator. What it says of itself
    /// must be the same.
    pub fn authenticated(&self, designator: String) {
        let _ = self.peer.set(designator);
    }

    /// Who the peer is, if the transport has proved it.
    pub fn proven_peer(&self) -> Option<&str> {
        self.peer.get().map(String::as_str)
    }

    /// True if the peer is where it says that it is.
    pub(super) fn is_believed(&self) -> bool {
        self.peer.get().is_some() || self.vat().is_some_and(|vat| vat.believes_hellos())
    }

    /// True if we made this connection.
    pub(super) fn is_dialled(&self) -> bool {
        self.dialled.is_some()
    }

    /// Counters of this connection.
    pub fn stats(&self) -> Stats {
        lock(&self.session).stats()
    }

    /// True once the session has ended.
    pub fn is_closed(&self) -> bool {
        lock(&self.session).closed().is_some()
    }

    /// True once both sides have said hello.
    pub fn is_open(&self) -> bool {
        lock(&self.session).is_open()
    }

    /// Why the session ended.
    pub fn close_reason(&self) -> Option<CloseReason> {
        lock(&self.session).closed().cloned()
    }

    /// The longest message that is accepted, in bytes.
    pub fn max_message_bytes(&self) -> usize {
        lock(&self.session).limits().max_message_bytes
    }

    /// The longest argument that is accepted, in bytes.
    pub(super) fn max_argument_bytes(&self) -> usize {
        self.account.max_argument_bytes()
    }

    /// What the peer's messages are counted against.
    pub(super) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// An error if more waits here for the peer than may.
    pub(super) fn check_waiting(&self) -> Result<(), CloseReason> {
        if !self.account.is_overdrawn() {
            return Ok(());
        }
        Err(CloseReason::Protocol(
            "limit passed: max_waiting_bytes".to_owned(),
        ))
    }

    /// Counts a read of so many bytes. `now_ms` is on the clock of [`Config::now_ms`].
    pub fn note_read(&self, bytes: usize, now_ms: u64) {
        lock(&self.session).note_read(bytes, now_ms);
    }

    /// True if the session waits for a hello, or for any message, and the deadline for it has passed; it is
    /// then closed.
    pub fn handle_timeout(self: &Arc<Self>, cx: H::Cx<'_>, now_ms: u64) -> bool {
        let timed_out = lock(&self.session).handle_timeout(now_ms).err();
        if let Some(reason) = timed_out {
            self.close(cx, reason);
            return true;
        }
        false
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn deadline_ms(&self) -> Option<u64> {
        lock(&self.session).deadline_ms()
    }

    /// Says that the driver is at work on this connection and will write when it is done, so it
    /// need not be woken.
    pub fn begin_batch(&self) {
        self.awake.store(true, Ordering::Release);
    }

    /// Hands what waits to `write`, which returns how many bytes it took; the rest stays. `write`
    /// is called under the session's lock and must not block or call the host. Returns true if
    /// nothing is left; if false, call again when the socket accepts more.
    ///
    /// # Errors
    /// What `write` returns.
    pub fn write_with(
        &self,
        write: &mut dyn FnMut(&[u8]) -> std::io::Result<usize>,
    ) -> std::io::Result<bool> {
        self.awake.store(false, Ordering::Release);
        let mut session = lock(&self.session);
        session.prepare_flush();
        while !session.outbox().is_empty() {
            let count = write(session.outbox().bytes())?;
            if count == 0 {
                self.awake.store(true, Ordering::Release);
                return Ok(false);
            }
            session.outbox().consume(count);
            session.note_write(count);
        }
        Ok(true)
    }

    /// Takes everything that waits, and where its messages end if the transport must keep them
    /// apart; `spare` becomes the next buffer. For transports that wrap whole messages.
    pub fn take_output(&self, mut spare: Vec<u8>) -> (Vec<u8>, Vec<usize>) {
        self.awake.store(false, Ordering::Release);
        // What is in it was meant for somebody else, or has been sent.
        spare.clear();
        let mut session = lock(&self.session);
        if session.outbox().is_empty() {
            return (spare, Vec::new());
        }
        session.prepare_flush();
        let output = session.outbox().take(spare);
        session.note_write(output.0.len());
        output
    }

    /// How many bytes wait to be written.
    pub fn unsent(&self) -> usize {
        lock(&self.session).outbox().len()
    }

    /// True while the driver had better read nothing: the peer does not take what we have for it.
    /// `wrapped` is what the transport holds beside [`Self::unsent`].
    ///
    /// Never while we wait for answers or have calls to send: then what piles up is our own doing,
    /// and of two sides that stopped reading because of their own calls neither would ever go on.
    /// A side that only answers stops until its answers are taken.
    pub fn is_congested(&self, wrapped: usize) -> bool {
        /// Above so many bytes that the peer has not taken.
        const HIGH_WATER: usize = 1 << 20;
        let mut session = lock(&self.session);
        session.outbox().len() + wrapped > HIGH_WATER
            && session.stats().questions == 0
            && !session.has_unsent_calls()
    }

    /// Tells the peer of everything that is held no more.
    pub fn collect(&self) {
        let dropped = std::mem::take(&mut *lock(&self.dropped));
        self.with_session(|session| {
            for position in dropped {
                // A new reference may have been made since.
                let gone = session
                    .imports()
                    .get_mut(position)
                    .is_some_and(|import| import.strong_count() == 0);
                if gone {
                    session.release(position);
                }
            }
            session.collect();
        });
    }

    /// Ends the session for `reason`, breaks every promise that waits for the peer, and lets go of
    /// everything that it held. The peer is told, unless the reason is its own.
    pub fn close(self: &Arc<Self>, cx: H::Cx<'_>, reason: CloseReason) {
        let (remains, text, stats, was_refused, ended) = {
            let mut session = lock(&self.session);
            // The session may have found out by itself.
            let ended = (!self.is_noted.swap(true, Ordering::Relaxed)).then(|| {
                let closed = session.closed().cloned();
                closed.unwrap_or_else(|| reason.clone())
            });
            let was_refused =
                session.peer_location().is_none() && matches!(reason, CloseReason::PeerAborted(_));
            session.close(reason);
            let stats = session.stats();
            (
                session.take_remains(),
                self.why_gone(&session),
                stats,
                was_refused,
                ended,
            )
        };
        // Also if the driver waits for the socket: there is something new to do.
        self.awake.store(true, Ordering::Release);
        self.driver.wake();
        drop(remains.rest);
        let Some(vat) = self.vat() else { return };
        if let Some(reason) = ended {
            let peer = self.peer_location().or_else(|| self.dialled.clone());
            let broke = matches!(reason, CloseReason::Protocol(_))
                || matches!(&reason, CloseReason::Local(why) if why.starts_with("limit passed"));
            let note = Note::Closed {
                peer: peer.as_ref(),
                reason: &reason,
                broke,
            };
            H::note(cx, &vat, &note);
        }
        vat.remember_once(self, stats);
        let reason: Arc<str> = text.into();
        let watchers = lock(&self.watchers).take();
        for (_, callback) in watchers.into_iter().flatten() {
            let failure = H::failure(cx, Error::Disconnected(Arc::clone(&reason)));
            vat.later(callback, Outcome::Broken(failure));
        }
        let gifts = std::mem::take(&mut *lock(&self.gifts));
        let mut openings = std::mem::take(&mut *lock(&self.openings));
        if was_refused && self.is_believed() {
            // Perhaps it is connecting to us, and keeps that one.
            openings = vat.strand(self.dialled.as_ref(), openings);
        }
        let openings = openings.into_iter().map(Opening::into_result);
        for question in remains
            .questions
            .into_iter()
            .chain(orphans(gifts))
            .chain(openings)
        {
            let failure = H::failure(cx, Error::Disconnected(Arc::clone(&reason)));
            vat.settle(cx, question, Outcome::Broken(failure));
        }
        vat.rescue(cx);
    }

    /// Runs a callback in a turn of its own once the connection has ended, with the reason. Returns
    /// a number for [`Self::unwatch`].
    pub fn watch(self: &Arc<Self>, cx: H::Cx<'_>, callback: H::Callback) -> u64 {
        let number = self.next_watcher.fetch_add(1, Ordering::Relaxed);
        let late = {
            let mut watchers = lock(&self.watchers);
            match &mut *watchers {
                Some(watchers) => {
                    watchers.insert(number, callback);
                    None
                }
                None => Some(callback),
            }
        };
        if let (Some(callback), Some(vat)) = (late, self.vat()) {
            let failure = H::failure(cx, self.gone());
            vat.later(callback, Outcome::Broken(failure));
        }
        number
    }

    /// Takes a [`watch`](Self::watch) back; returns the callback if it has not run.
    pub fn unwatch(&self, number: u64) -> Option<H::Callback> {
        lock(&self.watchers).as_mut()?.remove(&number)
    }

    /// The error for using a reference of a connection that has ended.
    pub(super) fn gone(&self) -> Error {
        Error::Disconnected(self.why_gone(&lock(&self.session)).into())
    }

    /// What became of the connection, for people: to whom it was, and why it ended.
    fn why_gone(&self, session: &Session<Tables<H>>) -> String {
        let reason = session
            .closed()
            .map_or_else(String::new, ToString::to_string);
        match (session.peer_location(), &self.dialled) {
            (Some(peer), _) => format!("the connection to {peer} is gone: {reason}"),
            (None, Some(peer)) => format!("no connection to {peer}: {reason}"),
            (None, None) => reason,
        }
    }
}
