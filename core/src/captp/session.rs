//! One end of a CapTP connection.

use super::keys::{Keys, PublicKey, write_signature};
use super::op::{Arguments, Desc, Op, StartSession, Target, parse};
use super::outbox::Outbox;
use super::profile::{Framing, Profile};
use super::stats::Stats;
use super::tables::{Answers, Exports, Imports, Questions};
use crate::limits::Limits;
use crate::locator::Location;
use crate::syrup::{Cursor, SyrupError, Token, Writer};

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
    pub limits: Limits,
    /// Fresh keys, for this connection only.
    pub keys: Keys,
    /// Where we can be reached, as we tell the peer.
    pub location: Location,
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

/// How many collected positions are gathered before they ride along with the next flush.
const GC_BATCH: usize = 64;

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
/// - The owner reaches the tables through [`exports`](Self::exports), [`imports`](Self::imports)
///   and [`answers`](Self::answers).
pub struct Session<P: Payload> {
    profile: Profile,
    limits: Limits,
    keys: Keys,
    state: State,
    out: Outbox,
    exports: Exports<Export<P::Export>>,
    imports: Imports<P::Import>,
    questions: Questions<Question<P::Question>>,
    answers: Answers<P::Answer>,
    gc_exports: Vec<(u64, u64)>,
    gc_answers: Vec<u64>,
    answered: bool,
    waiting: u64,
    stats: Stats,
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
    /// Begins a session and writes its start-session; both sides do so at once.
    pub fn new(config: Config) -> Self {
        let framing = if config.boundaries {
            Framing::Raw
        } else {
            config.profile.framing
        };
        let track = config.boundaries && !config.profile.batch_websocket;
        let mut out = Outbox::new(framing, track);
        out.message(SHORT, |out| write_start(out, &config));
        Self {
            state: State::AwaitStart {
                deadline_ms: config.now_ms.saturating_add(config.limits.handshake_ms),
                held: Outbox::new(framing, track),
            },
            profile: config.profile,
            limits: config.limits,
            keys: config.keys,
            out,
            exports: Exports::new(),
            imports: Imports::new(),
            questions: Questions::new(),
            answers: Answers::new(),
            gc_exports: Vec::new(),
            gc_answers: Vec::new(),
            answered: true,
            waiting: 0,
            stats: Stats::default(),
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

    /// What was counted so far.
    pub fn stats(&self) -> Stats {
        let held = match &self.state {
            State::AwaitStart { held, .. } => held.messages(),
            _ => 0,
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

    // Input.

    /// Handles the first message in `bytes`, which must hold it whole, and says how long it was.
    ///
    /// # Errors
    /// Why the session ended: the peer aborted it or broke the protocol. In the latter case an
    /// `op:abort` is in the outbox.
    pub fn receive<'a>(
        &mut self,
        bytes: &'a [u8],
    ) -> Result<(Incoming<'a, P>, usize), CloseReason> {
        if let State::Closed { reason, .. } = &self.state {
            return Err(reason.clone());
        }
        let mut cursor = Cursor::new(bytes).max_digits(self.limits.max_digits);
        let result = parse(&mut cursor, &self.limits)
            .map_err(CloseReason::from)
            .and_then(|op| {
                // A framed message was measured before; one of many in a WebSocket message was not.
                if cursor.position() > self.limits.max_message_bytes {
                    return Err(CloseReason::Protocol(
                        "limit passed: max_message_bytes".to_owned(),
                    ));
                }
                self.handle(op)
            });
        match result {
            Ok(incoming) => {
                self.stats.messages_received += 1;
                Ok((incoming, cursor.position()))
            }
            Err(reason) => {
                self.close(reason.clone());
                Err(reason)
            }
        }
    }

    fn handle<'a>(&mut self, op: Op<'a>) -> Result<Incoming<'a, P>, CloseReason> {
        let protocol = |why: &str| Err(CloseReason::Protocol(why.to_owned()));
        let is_open = self.is_open();
        match op {
            Op::Abort(reason) => Err(CloseReason::PeerAborted(reason.to_owned())),
            Op::StartSession(start) if !is_open => self.handle_start(&start),
            Op::StartSession(_) => protocol("a second op:start-session"),
            _ if !is_open => protocol("the first message must be op:start-session"),
            Op::Deliver {
                to,
                args,
                answer,
                resolver,
            } => {
                let Arguments {
                    selector,
                    bytes,
                    descs,
                    count,
                } = args;
                let args = Args { bytes, descs };
                if let Target::Export(position) = to
                    && let Some(Export::Resolver(_) | Export::Spent) =
                        self.exports.get_mut(position)
                {
                    return self.handle_resolution(position, selector, args, count);
                }
                self.stats.calls_received += 1;
                if let Some(number) = answer {
                    if self.answers.get(number).is_some() {
                        return protocol("an answer number is used twice");
                    }
                    if self.answers.len() >= self.limits.max_answers {
                        return protocol("limit passed: max_answers");
                    }
                }
                let resolver = resolver.map(|desc| match desc {
                    Desc::ImportObject(at) | Desc::ImportPromise(at) => at,
                    Desc::Export(at) | Desc::Answer(at) => at,
                });
                Ok(Incoming::Deliver(Delivery {
                    to,
                    selector,
                    args,
                    answer,
                    resolver,
                }))
            }
            Op::Listen { to, resolver } => Ok(Incoming::Listen { to, resolver }),
            Op::GcExports(deltas) => {
                let mut dropped = Vec::new();
                for (position, delta) in deltas {
                    // The bootstrap is not counted.
                    if position == 0 {
                        continue;
                    }
                    match self.exports.give_back(position, delta) {
                        Ok(Some(Export::Item(item))) => dropped.push(item),
                        Ok(_) => {}
                        Err(()) => return protocol("op:gc-exports gives back what it has not"),
                    }
                }
                Ok(Incoming::Dropped(dropped, Vec::new()))
            }
            Op::GcAnswers(numbers) => {
                let dropped = numbers
                    .into_iter()
                    .filter_map(|n| self.answers.remove(n))
                    .collect();
                Ok(Incoming::Dropped(Vec::new(), dropped))
            }
        }
    }

    fn handle_start<'a>(
        &mut self,
        start: &StartSession<'_>,
    ) -> Result<Incoming<'a, P>, CloseReason> {
        if start.version != self.profile.captp_version {
            return Err(CloseReason::Protocol("invalid-version".to_owned()));
        }
        // Verified over the bytes as they came, so a peer's own order of keys does no harm.
        let mut signed = Vec::with_capacity(start.location_bytes.len() + 20);
        signed.put_record("my-location", |out| {
            out.extend_from_slice(start.location_bytes)
        });
        if !start.key.verify(&signed, &start.signature) {
            return Err(CloseReason::Protocol(
                "Invalid location signature".to_owned(),
            ));
        }
        let peer = Peer {
            location: start.location.clone(),
            key: start.key,
        };
        if let State::AwaitStart { held, .. } =
            std::mem::replace(&mut self.state, State::Open { peer })
        {
            self.out.append(held);
        }
        Ok(Incoming::Established)
    }

    fn handle_resolution<'a>(
        &mut self,
        position: u64,
        selector: Option<&str>,
        value: Args<'a>,
        count: usize,
    ) -> Result<Incoming<'a, P>, CloseReason> {
        if count != 1 {
            return Err(CloseReason::Protocol(
                "a resolver takes one value".to_owned(),
            ));
        }
        let broken = match selector {
            Some("fulfill") => false,
            Some("break") => true,
            _ => {
                return Err(CloseReason::Protocol(
                    "a resolver understands fulfill and break only".to_owned(),
                ));
            }
        };
        // The first resolution wins; another one is ignored.
        let Some(entry) = self.exports.get_mut(position) else {
            return Ok(self.ignore(&value));
        };
        let Export::Resolver(number) = *entry else {
            return Ok(self.ignore(&value));
        };
        *entry = Export::Spent;
        let Some(question) = self.questions.take(number) else {
            return Ok(self.ignore(&value));
        };
        self.answered = true;
        if question.is_answer {
            self.waiting = self.waiting.saturating_sub(1);
            self.gc_answers.push(number);
        } else {
            self.questions.forget(number);
        }
        Ok(Incoming::Settled {
            question: question.item,
            broken,
            value,
        })
    }

    /// Ignores a value, but gives back the references that the peer counted in it.
    fn ignore<'a>(&mut self, value: &Args<'_>) -> Incoming<'a, P> {
        for desc in &value.descs {
            if let Desc::ImportObject(at) | Desc::ImportPromise(at) = *desc {
                self.gc_exports.push((at, 1));
            }
        }
        Incoming::Nothing
    }

    /// When [`Self::handle_timeout`] should be called next, on the clock of [`Config::now_ms`].
    pub fn deadline_ms(&self) -> Option<u64> {
        match self.state {
            State::AwaitStart { deadline_ms, .. } => Some(deadline_ms),
            _ => None,
        }
    }

    /// Notices that time has passed.
    ///
    /// # Errors
    /// Why the session ended: the peer did not say hello in time.
    pub fn handle_timeout(&mut self, now_ms: u64) -> Result<(), CloseReason> {
        match self.state {
            State::AwaitStart { deadline_ms, .. } if now_ms >= deadline_ms => {
                let reason = CloseReason::Lost(format!(
                    "the peer sent no op:start-session within {} ms",
                    self.limits.handshake_ms
                ));
                self.close(reason.clone());
                Err(reason)
            }
            _ => Ok(()),
        }
    }

    // Commands.

    fn writer(&mut self) -> &mut Outbox {
        match &mut self.state {
            State::AwaitStart { held, .. } => held,
            _ => &mut self.out,
        }
    }

    /// Sends a call. `descs` are the references in `args`, in order. With a question, the answer
    /// comes as [`Incoming::Settled`]; the returned number is what to pipeline on.
    ///
    /// # Errors
    /// The question, given back, if the session has ended.
    pub fn deliver(
        &mut self,
        to: Target,
        selector: Option<&str>,
        args: &[u8],
        descs: &[Desc],
        question: Option<P::Question>,
    ) -> Result<Option<u64>, Option<P::Question>> {
        if self.closed().is_some() {
            return Err(question);
        }
        let Some(item) = question else {
            let deliver_only = self.profile.deliver_only;
            self.writer().message(call_length(args), |out| {
                write_call(out, deliver_only, to, selector, args, descs);
                if !deliver_only {
                    out.extend_from_slice(b"ff");
                }
                out.push(b'>');
            });
            return Ok(None);
        };
        let (number, resolver) = self.ask(item, true);
        self.stats.calls_sent += 1;
        if self.answered || self.waiting == 0 {
            self.answered = false;
            self.stats.round_trips += 1;
        }
        self.waiting += 1;
        self.writer().message(call_length(args), |out| {
            write_call(out, false, to, selector, args, descs);
            out.put_uint(number);
            Desc::ImportObject(resolver).write(out);
            out.push(b'>');
        });
        Ok(Some(number))
    }

    /// Asks to be told when a promise of the peer's settles; that comes as [`Incoming::Settled`].
    ///
    /// # Errors
    /// The question, given back, if the session has ended.
    pub fn listen(&mut self, to: Target, question: P::Question) -> Result<(), P::Question> {
        if self.closed().is_some() {
            return Err(question);
        }
        let (_, resolver) = self.ask(question, false);
        let partial = self.profile.listen_partial;
        self.writer().message(SHORT, |out| {
            out.put_record("op:listen", |out| {
                Desc::from(to).write(out);
                Desc::ImportObject(resolver).write(out);
                if partial {
                    out.put_bool(false);
                }
            });
        });
        Ok(())
    }

    fn ask(&mut self, item: P::Question, is_answer: bool) -> (u64, u64) {
        let number = self.questions.ask(Question { item, is_answer });
        let resolver = self.exports.mention(None, || Export::Resolver(number));
        (number, resolver)
    }

    /// Fulfils or breaks a promise that the peer waits for, through its resolver, and lets go of
    /// the resolver.
    pub fn settle(&mut self, resolver: u64, broken: bool, value: &[u8], descs: &[Desc]) {
        if self.closed().is_some() {
            return;
        }
        let deliver_only = self.profile.deliver_only;
        let selector = if broken { "break" } else { "fulfill" };
        self.writer().message(call_length(value), |out| {
            write_call(
                out,
                deliver_only,
                Target::Export(resolver),
                Some(selector),
                value,
                descs,
            );
            if !deliver_only {
                out.extend_from_slice(b"ff");
            }
            out.push(b'>');
        });
        self.gc_exports.push((resolver, 1));
    }

    /// Lets go of an import: gives back every mention of it.
    pub fn release(&mut self, position: u64) {
        if let Some(count) = self.imports.remove(position) {
            self.gc_exports.push((position, count));
        }
    }

    /// Ends the session; the peer is told why.
    pub fn abort(&mut self, reason: &str) {
        self.close(CloseReason::Local(reason.to_owned()));
    }

    /// Notes that the session has ended. If it is our doing, an `op:abort` goes out.
    pub fn close(&mut self, reason: CloseReason) {
        if self.closed().is_some() {
            return;
        }
        if let CloseReason::Protocol(text) | CloseReason::Local(text) = &reason {
            self.out.message(SHORT, |out| {
                out.put_record("op:abort", |out| out.put_str(text))
            });
        }
        let peer = match &self.state {
            State::Open { peer } => Some(peer.clone()),
            _ => None,
        };
        self.state = State::Closed { reason, peer };
    }

    /// Empties the tables of a session that has ended.
    pub(crate) fn take_remains(&mut self) -> Remains<P> {
        let item = |export| match export {
            Export::Item(item) => Some(item),
            Export::Resolver(_) | Export::Spent => None,
        };
        let exports = self.exports.drain().into_iter().filter_map(item).collect();
        Remains {
            questions: self.questions.drain().into_iter().map(|q| q.item).collect(),
            rest: (exports, self.imports.drain(), self.answers.drain()),
        }
    }

    // Output.

    /// True if positions wait to be given back to the peer; see [`Self::collect`].
    pub fn has_garbage(&self) -> bool {
        self.is_open() && (!self.gc_exports.is_empty() || !self.gc_answers.is_empty())
    }

    /// Lets releases ride along with what is about to be written, once enough of them gathered.
    pub fn prepare_flush(&mut self) {
        if self.gc_exports.len() + self.gc_answers.len() >= GC_BATCH {
            self.collect();
        }
    }

    /// Writes all releases now.
    pub fn collect(&mut self) {
        if !self.is_open() {
            return;
        }
        let plural = if self.profile.plural_gc { "s" } else { "" };
        if !self.gc_answers.is_empty() {
            let numbers = std::mem::take(&mut self.gc_answers);
            self.out.message(SHORT, |out| {
                out.put_record(&format!("op:gc-answer{plural}"), |out| {
                    out.put_list(|out| numbers.iter().for_each(|&n| out.put_uint(n)));
                });
            });
            for number in numbers {
                self.questions.forget(number);
            }
        }
        if !self.gc_exports.is_empty() {
            let deltas = std::mem::take(&mut self.gc_exports);
            self.out.message(SHORT, |out| {
                out.put_record(&format!("op:gc-export{plural}"), |out| {
                    out.put_list(|out| deltas.iter().for_each(|&(at, _)| out.put_uint(at)));
                    out.put_list(|out| deltas.iter().for_each(|&(_, n)| out.put_uint(n)));
                });
            });
        }
    }

    /// What waits to be written.
    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.out
    }

    /// Counts a write of so many bytes.
    pub fn note_write(&mut self, bytes: usize) {
        self.stats.writes += 1;
        self.stats.bytes_sent += bytes as u64;
    }

    /// Counts a read of so many bytes.
    pub fn note_read(&mut self, bytes: usize) {
        self.stats.reads += 1;
        self.stats.bytes_received += bytes as u64;
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

/// About how long most messages are that are not calls.
const SHORT: usize = 60;

/// About how long a call with these arguments is.
fn call_length(args: &[u8]) -> usize {
    args.len() + 80
}

/// Writes a delivery up to and without its answer number.
fn write_call(
    out: &mut Vec<u8>,
    deliver_only: bool,
    to: Target,
    selector: Option<&str>,
    args: &[u8],
    descs: &[Desc],
) {
    let label: &[u8] = if deliver_only {
        b"<15'op:deliver-only"
    } else {
        b"<10'op:deliver"
    };
    out.reserve(args.len() + 96);
    out.extend_from_slice(label);
    Desc::from(to).write(out);
    out.push(b'[');
    if let Some(selector) = selector {
        out.put_symbol(selector);
    }
    splice(out, args, descs);
    out.push(b']');
}

/// Copies encoded values, with `descs` in the place of their references: of the holes left by a
/// builder, or of the descriptors of the session that they came from.
fn splice(out: &mut Vec<u8>, args: &[u8], descs: &[Desc]) {
    if descs.is_empty() {
        out.extend_from_slice(args);
        return;
    }
    let mut cursor = Cursor::new(args).max_digits(args.len());
    let mut descs = descs.iter();
    let mut copied = 0;
    while !cursor.is_empty() {
        let at = cursor.position();
        // Both builders and scanned messages hold well-formed values only.
        let Ok(token) = cursor.next() else { break };
        let is_reference = match token {
            Token::Hole => true,
            Token::Record => {
                let mut ahead = cursor.clone();
                let is_desc = matches!(
                    ahead.next(),
                    Ok(Token::Symbol(
                        "desc:import-object"
                            | "desc:import-promise"
                            | "desc:export"
                            | "desc:answer"
                    ))
                );
                if is_desc && ahead.next().is_ok() && ahead.next().is_ok() {
                    cursor = ahead;
                }
                is_desc
            }
            _ => false,
        };
        if is_reference && let Some(desc) = descs.next() {
            out.extend_from_slice(cursor.span(copied, at));
            desc.write(out);
            copied = cursor.position();
        }
    }
    out.extend_from_slice(cursor.span(copied, args.len()));
}
