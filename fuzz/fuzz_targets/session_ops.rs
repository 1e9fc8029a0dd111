//! Two sessions that do whatever the input says to each other, and raw bytes on top.

#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use marotte::captp::{
    CloseReason, Config, Desc, Incoming, Keys, Payload, Profile, Session, Target,
};
use marotte::transport::Deframer;
use marotte::{Limits, Location};

struct Numbers;

impl Payload for Numbers {
    type Export = u8;
    type Import = u8;
    type Question = u32;
    type Answer = u8;
}

#[derive(Arbitrary, Debug, Clone, Copy)]
enum To {
    Export(u8),
    Answer(u8),
}

impl From<To> for Target {
    fn from(to: To) -> Self {
        match to {
            To::Export(at) => Self::Export(at.into()),
            To::Answer(number) => Self::Answer(number.into()),
        }
    }
}

#[derive(Arbitrary, Debug)]
enum Operation {
    /// A call with an object and a promise of ours and something of theirs.
    Call {
        to: To,
        objects: [u8; 2],
        theirs: u8,
        wants_answer: bool,
    },
    Listen {
        to: To,
    },
    /// Answers the oldest or the newest call that waits.
    Settle {
        oldest: bool,
        broken: bool,
    },
    Release {
        at: u8,
    },
    Collect,
    Timeout {
        now_ms: u16,
    },
    Abort,
    /// Delivers so many bytes to either end.
    Deliver {
        to_a: bool,
        count: u8,
    },
    /// Bytes that the other end never wrote.
    Raw {
        to_a: bool,
        bytes: Vec<u8>,
    },
    /// The same in a proper frame.
    Framed {
        to_a: bool,
        bytes: Vec<u8>,
    },
}

#[derive(Arbitrary, Debug)]
struct Input {
    profile: u8,
    /// For each operation, whether a does it.
    steps: Vec<(bool, Operation)>,
}

struct End {
    session: Session<Numbers>,
    deframer: Deframer,
    inbox: Vec<u8>,
    waiting: Vec<u64>,
    asked: u32,
    settled: Vec<u32>,
}

impl End {
    fn new(seed: u8, profile: Profile) -> Self {
        let limits = Limits {
            max_message_bytes: 1 << 16,
            max_depth: 16,
            max_digits: 100,
            max_references: 16,
            max_answers: 16,
            handshake_ms: 1_000,
            ..Limits::default()
        };
        let session = Session::new(Config {
            profile,
            limits: limits.clone().into(),
            keys: Keys::from_seed([seed; 32]),
            location: Location {
                transport: "tcp-testing-only".to_owned(),
                designator: format!("end-{seed}"),
                hints: BTreeMap::new(),
            },
            reserved: false,
            boundaries: false,
            now_ms: 0,
        });
        Self {
            session,
            deframer: Deframer::new(limits),
            inbox: Vec::new(),
            waiting: Vec::new(),
            asked: 0,
            settled: Vec::new(),
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        if self.session.closed().is_some() {
            return;
        }
        let Self {
            session,
            deframer,
            waiting,
            settled,
            ..
        } = self;
        let fed = deframer.feed(bytes, &mut |mut message| {
            while !message.is_empty() {
                let used = handle(session, message, waiting, settled)?;
                assert!(used > 0 && used <= message.len());
                message = &message[used..];
            }
            Ok(())
        });
        if let Err(reason) = fed {
            session.close(reason);
        }
    }
}

fn handle(
    session: &mut Session<Numbers>,
    message: &[u8],
    waiting: &mut Vec<u64>,
    settled: &mut Vec<u32>,
) -> Result<usize, CloseReason> {
    let (incoming, used) = session.receive(message)?;
    let descs = match incoming {
        Incoming::Deliver(call) => {
            waiting.extend(call.resolver);
            if let Some(number) = call.answer {
                assert_eq!(session.answers().keep(number, 0), None);
            }
            call.args.descs
        }
        Incoming::Settled {
            question, value, ..
        } => {
            settled.push(question);
            value.descs
        }
        Incoming::Listen { resolver, .. } => {
            waiting.push(resolver);
            Vec::new()
        }
        _ => Vec::new(),
    };
    for desc in descs {
        if let Desc::ImportObject(at) | Desc::ImportPromise(at) = desc {
            session.imports().mention(at, || 0);
        }
    }
    Ok(used)
}

fn act(operation: Operation, me: &mut End, other: &mut End, i_am_a: bool) {
    let session = &mut me.session;
    match operation {
        Operation::Call {
            to,
            objects,
            theirs,
            wants_answer,
        } => {
            let descs = [
                Desc::ImportObject(session.mention(Some(objects[0].into()), || 0)),
                Desc::Export(theirs.into()),
                Desc::ImportPromise(session.mention(None, || objects[1])),
            ];
            let question = wants_answer.then(|| {
                me.asked += 1;
                me.asked
            });
            let args = b"&[&{1\"k&}]";
            if session
                .deliver(to.into(), Some("m"), args, &descs, question)
                .is_err()
            {
                me.settled.extend(question);
            }
        }
        Operation::Listen { to } => {
            me.asked += 1;
            if let Err(question) = session.listen(to.into(), me.asked) {
                me.settled.push(question);
            }
        }
        Operation::Settle { oldest, broken } => {
            let Some(last) = me.waiting.len().checked_sub(1) else {
                return;
            };
            let resolver = me.waiting.remove(if oldest { 0 } else { last });
            session.settle(resolver, broken, b"[1+]", &[]);
        }
        Operation::Release { at } => session.release(at.into()),
        Operation::Collect => session.collect(),
        Operation::Timeout { now_ms } => {
            let _ = session.handle_timeout(now_ms.into());
        }
        Operation::Abort => session.abort("the input says so"),
        Operation::Deliver { to_a, count } => {
            let end = if to_a == i_am_a { me } else { other };
            let count = end.inbox.len().min(usize::from(count) + 1);
            let piece: Vec<u8> = end.inbox.drain(..count).collect();
            end.feed(&piece);
        }
        Operation::Raw { to_a, bytes } => {
            let end = if to_a == i_am_a { me } else { other };
            end.feed(&bytes);
        }
        Operation::Framed { to_a, bytes } => {
            let end = if to_a == i_am_a { me } else { other };
            let mut framed = bytes;
            if end.session.profile().framing == marotte::captp::Framing::LengthPrefixed {
                framed.splice(..0, format!("{}:", framed.len()).into_bytes());
            }
            end.feed(&framed);
        }
    }
}

fn flush(from: &mut End, to: &mut End) {
    from.session.prepare_flush();
    let (bytes, _) = from.session.outbox().take(Vec::new());
    to.inbox.extend_from_slice(&bytes);
}

fuzz_target!(|input: Input| {
    let profile = Profile::ALL[usize::from(input.profile) % Profile::ALL.len()];
    let (mut a, mut b) = (End::new(1, profile), End::new(2, profile));
    // Half of all inputs begin with the handshake still to come.
    if input.profile < 128 {
        flush(&mut a, &mut b);
        flush(&mut b, &mut a);
        for end in [&mut a, &mut b] {
            let hello = std::mem::take(&mut end.inbox);
            end.feed(&hello);
            assert!(end.session.is_open());
        }
    }
    for (by_a, operation) in input.steps {
        if by_a {
            act(operation, &mut a, &mut b, true);
        } else {
            act(operation, &mut b, &mut a, false);
        }
        flush(&mut a, &mut b);
        flush(&mut b, &mut a);
    }
    for end in [&mut a, &mut b] {
        // No question is answered twice.
        let mut settled = end.settled.clone();
        settled.sort_unstable();
        settled.dedup();
        assert_eq!(settled.len(), end.settled.len());
        // A session that has ended says why, for good, and writes no more.
        end.session.abort("the end");
        let reason = end.session.closed().cloned().expect("it has ended");
        let _ = end.session.outbox().take(Vec::new());
        assert_eq!(end.session.receive(b"<8'op:abort0\">").err(), Some(reason));
        assert!(end.session.outbox().is_empty());
        let _ = end.session.stats();
    }
});
