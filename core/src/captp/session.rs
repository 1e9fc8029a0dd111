//! One end of a CapTP connection.

mod handoff;
mod input;
mod output;

use std::sync::Arc;

use super::keys::{Keys, PublicKey, write_signature};
use super::op::{Desc, Target};
use super::outbox::Outbox;
use super::pace::Pace;
use super::profile::{Framing, Profile};
use super::stats::Stats;
use super::tables::{Answers, Exports, Imports, Questions};
use crate::limits::Limits;
use crate::locator::Location;
use crate::syrup::{SyrupError, Writer};

/// What the owner of a session keeps in its tables. The session never looks inside.
pub trait Payload {
    /// Something the peer may call.
    type Export;
    /// Something of the peer's that we hold.
    type Import;
    /// Where the answer to our call goes.
    type Question;
    /// The result of a call of the peer's.
    type Answer;
}

/// What a session needs to begin.
#[derive(Debug)]
pub struct Config {
    /// The dialect.
    pub profile: Profile,
    /// What the peer may make us hold.
    pub limits: Arc<Limits>,
    /// Fresh keys, for this connection only.
    pub keys: Keys,
    /// Where we can be reached, as we tell the peer.
    pub location: Location,
    /// True to keep our start-session back until [`Session::welcome`]: the peer, who has connected to
    /// us, may turn out to be one that we are connecting to.
    pub reserved: bool,
    /// True if the transport keeps message boundaries (a WebSocket): no frames are written.
    pub boundaries: bool,
    /// Milliseconds on the driver's clock.
    pub now_ms: u64,
}

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer sent `op:abort`.
    #[error("the peer ended the session: {0}")]
    PeerAborted(String),
    /// The peer broke the protocol or passed a limit; it was told so.
    #[error("the peer broke the protocol: {0}")]
    Protocol(String),
    /// The connection ended, or could not be made.
    #[error("{0}")]
    Lost(String),
    /// This side ended the session.
    #[error("the session was closed here: {0}")]
    Local(String),
}

impl CloseReason {
    /// True if the peer may be sending still. Then the driver should shut its writing side, go on
    /// reading for a moment and throw away what comes: a socket that is closed with bytes unread
    /// resets the connection, and the peer might never read why.
    pub fn needs_linger(&self) -> bool {
        matches!(self, Self::PeerAborted(_) | Self::Protocol(_))
    }
}

impl From<SyrupError> for CloseReason {
    fn from(error: SyrupError) -> Self {
        Self::Protocol(error.to_string())
    }
}

/// Encoded values inside a received message, with the descriptors in them, in order.
#[derive(Debug)]
pub struct Args<'a> {
    /// The values, one after the other.
    pub bytes: &'a [u8],
    /// Their references.
    pub descs: Vec<Desc>,
}

/// A call by the peer.
#[derive(Debug)]
pub struct Delivery<'a> {
    /// Whom it addresses.
    pub to: Target,
    /// The method's name; `None` for a plain call.
    pub selector: Option<&'a str>,
    /// The arguments.
    pub args: Args<'a>,
    /// The number under which the peer may pipeline on the result.
    pub answer: Option<u64>,
    /// The peer's position of the resolver that wants the result.
    pub resolver: Option<u64>,
}

/// What a received message asks of the session's owner.
#[derive(Debug)]
pub enum Incoming<'a, P: Payload> {
    /// Nothing: the session has dealt with it.
    Nothing,
    /// The peer's start-session was accepted.
    Established,
    /// Deliver a call.
    Deliver(Delivery<'a>),
    /// A call of ours was answered, or a promise listened to has settled.
    Settled {
        /// Where the answer goes.
        question: P::Question,
        /// True if the value is a reason.
        broken: bool,
        /// The one value.
        value: Args<'a>,
    },
    /// Tell the peer's resolver when the target settles.
    Listen {
        /// Whose settlement.
        to: Target,
        /// The peer's position of the resolver.
        resolver: u64,
    },
    /// Items that the peer needs no more, to be dropped outside of any lock.
    Dropped(Vec<P::Export>, Vec<P::Answer>),
}

enum State {
    /// Our start-session is out; theirs is due before the deadline.
    AwaitStart {
        deadline_ms: u64,
        held: Outbox,
    },
    Open {
        peer: Peer,
    },
    /// The peer is remembered, if it had said hello: reasons name it.
    Closed {
        reason: CloseReason,
        peer: Option<Peer>,
    },
}

#[derive(Debug, Clone)]
struct Peer {
    location: Location,
    key: PublicKey,
}

/// What stands at one of our positions.
enum Export<T> {
    /// Something of the owner's.
    Item(T),
    /// The resolver of a question, made for one call.
    Resolver(u64),
    /// A resolver that was used; the peer has not given it back yet.
    Spent,
}

struct Question<T> {
    item: T,
    /// True if the number went out as an answer position, so the peer must be told to collect it.
    is_answer: bool,
}

/// Everything the tables held when a session ended.
pub(crate) struct Remains<P: Payload> {
    /// Still waiting for an answer.
    pub(crate) questions: Vec<P::Question>,
    /// To be dropped outside of any lock.
    pub(crate) rest: Rest<P>,
}

/// What was in the other tables.
type Rest<P> = (
    Vec<<P as Payload>::Export>,
    Vec<<P as Payload>::Import>,
    Vec<<P as Payload>::Answer>,
);

/// One end of a CapTP connection, as a machine without I/O.
///
/// ```text
///                  start-session accepted            abort, EOF, error
///   AwaitStart ───────────────────────────▶ Open ───────────────────────▶ Closed
///        └──────────────── abort, EOF, deadline, bad start-session ─────────▲
/// ```
///
/// - *Input*: [`receive`](Self::receive) one message at a time, [`handle_timeout`](Self::handle_timeout).
/// - *Commands*: [`deliver`](Self::deliver), [`listen`](Self::listen), [`settle`](Self::settle),
///   [`release`](Self::release), [`abort`](Self::abort). Before the session is open they are held back.
/// - *Output*: [`outbox`](Self::outbox) after any input or command;
///   [`prepare_flush`](Self::prepare_flush) first, so that releases ride along.
/// - The owner reaches the tables through [`export`](Self::export), [`imports`](Self::imports)
///   and [`answers`](Self::answers).
pub struct Session<P: Payload> {
    profile: Profile,
    limits: Arc<Limits>,
    keys: Keys,
    state: State,
    out: Outbox,
    /// Our start-session, while it is kept back, and what is to follow it.
    reserved: Option<(Vec<u8>, Outbox)>,
    exports: Exports<Export<P::Export>>,
    imports: Imports<P::Import>,
    questions: Questions<Question<P::Question>>,
    answers: Answers<P::Answer>,
    gc_exports: Vec<(u64, u64)>,
    gc_answers: Vec<u64>,
    pace: Pace,
    answered: bool,
    waiting: u64,
    /// True while a call without an answer waits in the outbox.
    unsent_calls: bool,
    stats: Stats,
    /// How many gifts of the peer's objects were left with it, and how many of its own were fetched.
    gifts_given: u64,
    withdrawn: u64,
    /// The numbers under which the peer has withdrawn gifts.
    counts: handoff::Counts,
    told: Tally,
    heard: Tally,
}

/// The messages of one direction that have a name in [traces](crate::Trace).
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    calls: u64,
    resolutions: u64,
}

/// What a message is, for its name.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Counted {
    Call,
    Resolution,
}

impl<P: Payload> std::fmt::Debug for Session<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("profile", &self.profile.name)
            .field("closed", &self.closed())
            .finish_non_exhaustive()
    }
}

impl<P: Payload> Session<P> {
    /// Begins a session and writes its start-session, unless that is
    /// [kept back](Config::reserved); both sides do so at once.
    pub fn new(mut config: Config) -> Self {
        let framing = if config.boundaries {
            Framing::Raw
        } else {
            config.profile.framing
        };
        let (track, batch) = (config.boundaries, config.profile.batch_websocket);
        let mut out = Outbox::new(framing, track, batch);
        let mut hello = Vec::new();
        write_start(&mut hello, &config);
        config.keys.rest();
        let reserved = if config.reserved {
            Some((hello, Outbox::new(framing, track, batch)))
        } else {
            out.message(hello.len(), |out| out.extend_from_slice(&hello));
            None
        };
        let pace = Pace::new(config.now_ms, &config.limits);
        Self {
            state: State::AwaitStart {
                deadline_ms: config.now_ms.saturating_add(config.limits.handshake_ms),
                held: Outbox::new(framing, track, batch),
            },
            profile: config.profile,
            limits: config.limits,
            keys: config.keys,
            out,
            reserved,
            exports: Exports::new(),
            imports: Imports::new(),
            questions: Questions::new(),
            answers: Answers::new(),
            gc_exports: Vec::new(),
            gc_answers: Vec::new(),
            pace,
            answered: true,
            waiting: 0,
            unsent_calls: false,
            stats: Stats::default(),
            gifts_given: 0,
            withdrawn: 0,
            counts: handoff::Counts::default(),
            told: Tally::default(),
            heard: Tally::default(),
        }
    }

    // Getters.

    /// The dialect in use.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The receive limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The name of a limit on what is held for the peer, if one is passed.
    pub fn limit_passed(&self) -> Option<&'static str> {
        if self.exports.len() > self.limits.max_exports {
            Some("max_exports")
        } else if self.imports.len() > self.limits.max_imports {
            Some("max_imports")
        } else if self.out.len() > self.limits.max_unsent_bytes {
            Some("max_unsent_bytes")
        } else {
            None
        }
    }

    /// True once the peer's start-session was accepted, until the end.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Why the session ended, if it has.
    pub fn closed(&self) -> Option<&CloseReason> {
        match &self.state {
            State::Closed { reason, .. } => Some(reason),
            _ => None,
        }
    }

    /// Where the peer says it can be reached; `None` if it has not said hello.
    pub fn peer_location(&self) -> Option<&Location> {
        match &self.state {
            State::Open { peer }
            | State::Closed {
                peer: Some(peer), ..
            } => Some(&peer.location),
            _ => None,
        }
    }

    /// The identifier that both sides compute for this session.
    pub fn session_id(&self) -> Option<[u8; 32]> {
        match &self.state {
            State::Open { peer } => Some(self.keys.public().session_id(&peer.key)),
            _ => None,
        }
    }

    /// The name of the latest message of its kind, the same at both ends; `None` before the hellos. `sent` is
    /// whether it was sent here.
    pub(crate) fn arrow(&self, sent: bool, counted: Counted) -> Option<Arc<str>> {
        let State::Open { peer } = &self.state else {
            return None;
        };
        let (mine, theirs) = (self.keys.public(), peer.key);
        let [a, b, c, d, e, f, ..] = mine.session_id(&theirs);
        let session = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
        let direction = if (mine.0 < theirs.0) == sent {
            '>'
        } else {
            '<'
        };
        let tally = if sent { self.told } else { self.heard };
        let (kind, number) = match counted {
            Counted::Call => ("call", tally.calls),
            Counted::Resolution => ("answer", tally.resolutions),
        };
        Some(format!("{session:012x}{direction}{kind}/{number}").into())
    }

    /// What was counted so far.
    pub fn stats(&self) -> Stats {
        let held = match &self.state {
            State::AwaitStart { held, .. } => held.messages(),
            _ => match &self.reserved {
                Some((_, held)) => held.messages(),
                None => 0,
            },
        };
        Stats {
            messages_sent: self.out.messages() + held,
            exports: self.exports.len() as u64,
            imports: self.imports.len() as u64,
            questions: self.questions.len() as u64,
            answers: self.answers.len() as u64,
            ..self.stats
        }
    }

    /// The peer's imports and ours: what it was told of.
    pub fn imports(&mut self) -> &mut Imports<P::Import> {
        &mut self.imports
    }

    /// The call or wish of ours with that number that is not answered yet.
    pub fn question(&mut self, number: u64) -> Option<&P::Question> {
        self.questions.get(number).map(|question| &question.item)
    }

    /// The results kept for the peer.
    pub fn answers(&mut self) -> &mut Answers<P::Answer> {
        &mut self.answers
    }

    /// What stands at one of our positions, unless it is a resolver of the session's own.
    pub fn export(&mut self, position: u64) -> Option<&mut P::Export> {
        match self.exports.get_mut(position)? {
            Export::Item(item) => Some(item),
            Export::Resolver(_) | Export::Spent => None,
        }
    }

    /// Mentions something of ours to the peer; returns its position.
    pub fn mention(&mut self, identity: Option<usize>, item: impl FnOnce() -> P::Export) -> u64 {
        self.exports.mention(identity, || Export::Item(item()))
    }
}

fn write_start(out: &mut Vec<u8>, config: &Config) {
    let mut location = Vec::new();
    config.location.write(&mut location);
    let mut signed = Vec::new();
    signed.put_record("my-location", |out| out.extend_from_slice(&location));
    out.put_record("op:start-session", |out| {
        out.put_str(config.profile.captp_version);
        config.keys.public().write(out);
        out.extend_from_slice(&location);
        write_signature(out, &config.keys.sign(&signed));
    });
}
