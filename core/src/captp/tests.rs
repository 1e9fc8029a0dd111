//! Sessions in pairs, with a fake clock and a wire that delays and cuts what it carries.

mod calls;
mod gc;
mod handoff;
mod handshake;
mod hostile;
mod random;
mod vectors;

use std::sync::Arc;

use std::collections::{BTreeMap, VecDeque};

use super::{
    Args, CloseReason, Config, Desc, Framing, Incoming, Keys, Payload, Profile, Session, Target,
};
use crate::transport::Deframer;
use crate::{Limits, Location};

/// Tables that hold names, so that tests see what came out where.
struct Names;

impl Payload for Names {
    type Export = String;
    type Import = String;
    type Question = String;
    type Answer = String;
}

/// What a session's owner was asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Event {
    Established,
    Deliver(Call),
    Settled {
        question: String,
        broken: bool,
        value: Vec<u8>,
        descs: Vec<Desc>,
    },
    Listen {
        to: Target,
        resolver: u64,
    },
    Dropped {
        exports: Vec<String>,
        answers: Vec<String>,
    },
    Closed(CloseReason),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Call {
    to: Target,
    selector: Option<String>,
    args: Vec<u8>,
    descs: Vec<Desc>,
    answer: Option<u64>,
    resolver: Option<u64>,
}

impl Event {
    fn of(incoming: Incoming<'_, Names>) -> Option<Self> {
        let own = |args: Args<'_>| (args.bytes.to_vec(), args.descs);
        Some(match incoming {
            Incoming::Nothing => return None,
            Incoming::Established => Self::Established,
            Incoming::Deliver(call) => {
                let (args, descs) = own(call.args);
                Self::Deliver(Call {
                    to: call.to,
                    selector: call.selector.map(str::to_owned),
                    args,
                    descs,
                    answer: call.answer,
                    resolver: call.resolver,
                })
            }
            Incoming::Settled {
                question,
                broken,
                value,
            } => {
                let (value, descs) = own(value);
                Self::Settled {
                    question,
                    broken,
                    value,
                    descs,
                }
            }
            Incoming::Listen { to, resolver } => Self::Listen { to, resolver },
            Incoming::Dropped(exports, answers) => Self::Dropped { exports, answers },
        })
    }
}

/// One side: a session, what it was asked, and what it wrote.
struct End {
    session: Session<Names>,
    events: Vec<Event>,
    /// Every message written so far, without its frame.
    transcript: Vec<Vec<u8>>,
    incoming: Deframer,
    outgoing: Deframer,
}

impl End {
    fn new(config: Config) -> Self {
        let limits = Arc::clone(&config.limits);
        Self {
            session: Session::new(config),
            events: Vec::new(),
            transcript: Vec::new(),
            incoming: Deframer::new(limits),
            outgoing: Deframer::new(Limits::default()),
        }
    }

    /// Takes a piece of the stream.
    fn feed(&mut self, piece: &[u8]) {
        let Self {
            session,
            events,
            incoming,
            ..
        } = self;
        let fed = incoming.feed(piece, &mut |message| {
            let (incoming, used) = session.receive(message)?;
            assert_eq!(used, message.len(), "a frame holds one message here");
            events.extend(Event::of(incoming));
            Ok(())
        });
        if let Err(reason) = fed {
            session.close(reason.clone());
            events.push(Event::Closed(reason));
        }
    }

    /// Handles one message, without a frame.
    fn receive(&mut self, message: &[u8]) -> Result<(), CloseReason> {
        let (incoming, _) = self.session.receive(message)?;
        self.events.extend(Event::of(incoming));
        Ok(())
    }

    /// Takes what the session has to write.
    fn flush(&mut self) -> Vec<u8> {
        self.session.prepare_flush();
        let (bytes, _) = self.session.outbox().take(Vec::new());
        let transcript = &mut self.transcript;
        let mut note = |message: &[u8]| {
            transcript.push(message.to_vec());
            Ok(())
        };
        self.outgoing
            .feed(&bytes, &mut note)
            .expect("we write whole frames");
        assert!(!self.outgoing.is_partial());
        bytes
    }

    fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The calls that arrived since events were last taken; nothing else may have.
    fn take_calls(&mut self) -> Vec<Call> {
        let call = |event| match event {
            Event::Deliver(call) => call,
            other => panic!("not a call: {other:?}"),
        };
        self.take_events().into_iter().map(call).collect()
    }

    fn take_call(&mut self) -> Call {
        let mut calls = self.take_calls();
        assert_eq!(calls.len(), 1, "one call is expected");
        calls.remove(0)
    }

    /// Calls a method that wants an answer.
    fn call(&mut self, to: Target, selector: &str, args: &[u8], question: &str) -> u64 {
        let question = Some(question.to_owned());
        let number = self
            .session
            .deliver(to, Some(selector), args, &[], question);
        number
            .expect("the session is alive")
            .expect("a question has a number")
    }

    /// Mentions an object of ours in a call that wants no answer.
    fn send_object(&mut self, identity: usize, name: &str) -> u64 {
        let at = self.session.mention(Some(identity), || name.to_owned());
        self.session
            .deliver(
                Target::Export(0),
                Some("take"),
                b"&",
                &[Desc::ImportObject(at)],
                None,
            )
            .expect("the session is alive");
        at
    }

    fn reason(&self) -> String {
        self.session
            .closed()
            .expect("the session has ended")
            .to_string()
    }
}

fn location(name: &str) -> Location {
    Location {
        transport: "tcp-testing-only".to_owned(),
        designator: name.to_owned(),
        hints: BTreeMap::from([
            ("host".to_owned(), "127.0.0.1".to_owned()),
            ("port".to_owned(), "22045".to_owned()),
        ]),
    }
}

fn config(name: &str, profile: Profile) -> Config {
    // Seeds A and B of the golden vectors: 0, 1, 2, … and 32, 33, 34, …
    let first = if name == "alice" { 0 } else { 32 };
    Config {
        profile,
        limits: Arc::default(),
        keys: Keys::from_seed(std::array::from_fn(|i| first + i as u8)),
        location: location(name),
        reserved: false,
        boundaries: false,
        now_ms: 1_000,
    }
}

/// A small generator of repeatable choices (xorshift64).
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % limit
    }
}

/// Two sessions and the wire between them.
struct Pair {
    a: End,
    b: End,
    now_ms: u64,
    dice: Dice,
    /// The longest delay of a piece.
    max_delay_ms: usize,
    /// The longest piece.
    max_piece: usize,
    to_a: VecDeque<(u64, Vec<u8>)>,
    to_b: VecDeque<(u64, Vec<u8>)>,
}

impl Pair {
    /// Two ends that have not met, with a wire that delivers at once.
    fn new(profile: Profile) -> Self {
        Self::with(config("alice", profile), config("bob", profile))
    }

    fn with(a: Config, b: Config) -> Self {
        Self {
            now_ms: a.now_ms,
            a: End::new(a),
            b: End::new(b),
            dice: Dice::new(1),
            max_delay_ms: 0,
            max_piece: usize::MAX,
            to_a: VecDeque::new(),
            to_b: VecDeque::new(),
        }
    }

    /// Two ends that have exchanged hellos, and nothing in their logs.
    fn open(profile: Profile) -> Self {
        Self::new(profile).opened()
    }

    fn opened(mut self) -> Self {
        self.run();
        for end in [&mut self.a, &mut self.b] {
            assert_eq!(end.take_events(), [Event::Established]);
            end.transcript.clear();
        }
        self
    }

    /// A wire that delays what it carries and cuts it anywhere, repeatably.
    fn rough(mut self, seed: u64) -> Self {
        self.dice = Dice::new(seed);
        self.max_delay_ms = 30;
        self.max_piece = 1 + self.dice.below(40);
        self
    }

    /// Puts what both ends have to write on the wire.
    fn flush(&mut self) {
        let now = self.now_ms;
        for (end, wire) in [(&mut self.a, &mut self.to_b), (&mut self.b, &mut self.to_a)] {
            let bytes = end.flush();
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let piece = match self.max_piece {
                    usize::MAX => rest.len(),
                    most => (1 + self.dice.below(most)).min(rest.len()),
                };
                let delay = self.dice.below(self.max_delay_ms + 1) as u64;
                // Pieces never overtake one another.
                let due = wire.back().map_or(0, |&(due, _)| due).max(now + delay);
                wire.push_back((due, rest[..piece].to_vec()));
                rest = &rest[piece..];
            }
        }
    }

    /// Writes, moves the clock to the next arrival and delivers it. False if nothing is under way.
    fn step(&mut self) -> bool {
        self.flush();
        let next = |wire: &VecDeque<(u64, Vec<u8>)>| wire.front().map(|&(due, _)| due);
        let Some(due) = next(&self.to_a).into_iter().chain(next(&self.to_b)).min() else {
            return false;
        };
        self.now_ms = self.now_ms.max(due);
        for (end, wire) in [(&mut self.a, &mut self.to_a), (&mut self.b, &mut self.to_b)] {
            while let Some((_, piece)) = wire.pop_front_if(|piece| piece.0 <= due) {
                end.feed(&piece);
            }
        }
        true
    }

    /// Runs until both ends are silent.
    fn run(&mut self) {
        while self.step() {}
    }

    /// Both ends give back everything they no longer hold.
    fn collect(&mut self) {
        self.a.session.collect();
        self.b.session.collect();
        self.run();
    }
}

/// The label of a message.
fn label(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    let (_, rest) = text.split_once('\'').expect("a message is a record");
    let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != ':' && c != '-');
    rest[..end.unwrap_or(rest.len())].to_owned()
}

/// A message as text; what is not printable is escaped.
fn text(bytes: &[u8]) -> String {
    let show = |&byte: &u8| match byte {
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    };
    bytes.iter().map(show).collect()
}

/// `Framing` of every profile must be covered by [`Deframer`], which guesses it.
#[test]
fn both_framings_are_exercised_by_some_profile() {
    let framings: Vec<_> = Profile::ALL.iter().map(|profile| profile.framing).collect();
    assert!(framings.contains(&Framing::Raw) && framings.contains(&Framing::LengthPrefixed));
}
