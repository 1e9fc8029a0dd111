//! Random histories over a rough wire, and random bytes.

use std::collections::HashMap;

use proptest::prelude::*;

use super::{Call, Desc, Dice, Event, Pair, Profile, Target, config};
use crate::syrup::Writer;

/// One side's owner: it makes calls, answers some at once and some later, and lends objects.
#[derive(Default)]
struct Owner {
    made: usize,
    /// What each question's answer must be.
    expected: HashMap<String, Vec<u8>>,
    waiting: Vec<Call>,
    held: Vec<u64>,
    lent: Vec<String>,
}

impl Owner {
    fn act(&mut self, end: &mut super::End, dice: &mut Dice) {
        match dice.below(10) {
            0..=4 => {
                // The answer echoes the argument, so that each can be told from the others.
                let mut arg = Vec::new();
                arg.put_int(self.made as i128);
                self.made += 1;
                let question = format!("question {}", self.made);
                self.expected.insert(question.clone(), arg.clone());
                end.call(Target::Export(0), "echo", &arg, &question);
            }
            5..=6 => {
                let name = format!("object {}", dice.below(5));
                end.send_object(name.len() + usize::from(name.as_bytes()[7]), &name);
            }
            7..=8 => {
                for call in std::mem::take(&mut self.waiting) {
                    answer(end, &call);
                }
            }
            _ => {
                for at in self.held.drain(..) {
                    end.session.release(at);
                }
                end.session.collect();
            }
        }
    }

    fn react(&mut self, end: &mut super::End, dice: &mut Dice) {
        for event in end.take_events() {
            match event {
                Event::Deliver(call) => {
                    for desc in &call.descs {
                        let Desc::ImportObject(at) = *desc else {
                            panic!("{desc:?}")
                        };
                        end.session.imports().mention(at, || "import".to_owned());
                        self.held.push(at);
                    }
                    if let Some(number) = call.answer {
                        let late = end.session.answers().keep(number, "answer".to_owned());
                        assert_eq!(late, None, "answer numbers are unique");
                    }
                    if dice.below(2) == 0 {
                        answer(end, &call);
                    } else {
                        self.waiting.push(call);
                    }
                }
                Event::Settled {
                    question,
                    broken,
                    value,
                    ..
                } => {
                    assert!(!broken);
                    assert_eq!(self.expected.remove(&question), Some(value), "{question}");
                }
                Event::Dropped { exports, .. } => self.lent.extend(exports),
                other => panic!("{other:?}"),
            }
        }
    }
}

fn answer(end: &mut super::End, call: &Call) {
    if let Some(resolver) = call.resolver {
        end.session.settle(resolver, false, &call.args, &[]);
    }
}

/// Plays a history of `rounds` random steps; afterwards every call must have been answered and
/// every table be empty.
fn play(profile: Profile, seed: u64, rounds: usize) {
    let mut pair = Pair::open(profile).rough(seed);
    let mut dice = Dice::new(seed ^ 0x5eed);
    let (mut a, mut b) = (Owner::default(), Owner::default());
    for _ in 0..rounds {
        a.act(&mut pair.a, &mut dice);
        b.act(&mut pair.b, &mut dice);
        for _ in 0..dice.below(4) {
            pair.step();
        }
        a.react(&mut pair.a, &mut dice);
        b.react(&mut pair.b, &mut dice);
    }
    for _ in 0..20 {
        pair.collect();
        for (owner, end) in [(&mut a, &mut pair.a), (&mut b, &mut pair.b)] {
            owner.react(end, &mut dice);
            for call in std::mem::take(&mut owner.waiting) {
                answer(end, &call);
            }
            for at in owner.held.drain(..) {
                end.session.release(at);
            }
        }
    }
    for (owner, end) in [(&a, &pair.a), (&b, &pair.b)] {
        assert!(end.session.is_open(), "{:?}", end.session.closed());
        assert!(
            owner.expected.is_empty(),
            "unanswered: {:?}",
            owner.expected
        );
        let stats = end.session.stats();
        let tables = (stats.exports, stats.imports, stats.questions, stats.answers);
        assert_eq!(tables, (0, 0, 0, 0), "exports, imports, questions, answers");
    }
}

#[test]
fn random_histories_leave_no_call_unanswered_and_no_table_entry() {
    for seed in 0..40 {
        play(Profile::ALL[seed as usize % 5], seed, 60);
    }
}

#[test]
fn a_long_history_leaves_nothing_either() {
    play(Profile::MAROTTE, 4_711, 3_000);
}

/// Fragments that make up messages, right and wrong.
fn any_fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("<10'op:deliver".to_owned()),
        Just("<15'op:deliver-only".to_owned()),
        Just("<9'op:listen".to_owned()),
        Just("<13'op:gc-exports".to_owned()),
        Just("<13'op:gc-answers".to_owned()),
        Just("<8'op:abort".to_owned()),
        (0_u64..6).prop_map(|at| format!("<11'desc:export{at}+>")),
        (0_u64..6).prop_map(|at| format!("<11'desc:answer{at}+>")),
        (0_u64..6).prop_map(|at| format!("<18'desc:import-object{at}+>")),
        (0_u64..6).prop_map(|at| format!("[{at}+]")),
        "[\\[\\]{}<>tf]{1,3}",
        "7'fulfill|5'break|[0-9]{1,3}[+-]|3\"abc|2:ab|1'm",
    ]
}

/// A message of the right shape with random positions.
fn any_message() -> impl Strategy<Value = String> {
    let target = prop_oneof![
        (0_u64..5).prop_map(|at| format!("<11'desc:export{at}+>")),
        (0_u64..5).prop_map(|at| format!("<11'desc:answer{at}+>")),
    ];
    let argument = prop_oneof![
        Just("7'fulfillt".to_owned()),
        Just("5'break1+".to_owned()),
        Just("1'm<4'null>".to_owned()),
        (0_u64..5).prop_map(|at| format!("<18'desc:import-object{at}+>")),
        (0_u64..5).prop_map(|at| format!("[<11'desc:export{at}+>]")),
    ];
    let tail = prop_oneof![
        Just("ff".to_owned()),
        (0_u64..5).prop_map(|at| format!("{at}+f")),
        (0_u64..5, 0_u64..5)
            .prop_map(|(number, at)| format!("{number}+<18'desc:import-object{at}+>")),
    ];
    prop_oneof![
        6 => (target.clone(), argument, tail)
            .prop_map(|(to, args, tail)| format!("<10'op:deliver{to}[{args}]{tail}>")),
        1 => (target, 0_u64..5)
            .prop_map(|(to, at)| format!("<9'op:listen{to}<18'desc:import-object{at}+>>")),
        1 => (0_u64..5, 0_u64..3).prop_map(|(at, n)| format!("<13'op:gc-exports[{at}+][{n}+]>")),
        1 => (0_u64..5).prop_map(|at| format!("<13'op:gc-answers[{at}+]>")),
    ]
}

/// An open session with a few things in its tables.
fn lived_in() -> Pair {
    let mut pair = Pair::with(
        config("alice", Profile::MAROTTE),
        config("bob", Profile::MAROTTE),
    );
    pair = pair.opened();
    pair.a.call(Target::Export(0), "m", b"", "one");
    pair.a.call(Target::Export(0), "m", b"", "two");
    pair.a.send_object(1, "object");
    pair.a.session.answers().keep(1, "answer".to_owned());
    pair.a.flush();
    pair
}

proptest! {
    #[test]
    fn random_fragments_never_panic(fragments in prop::collection::vec(any_fragment(), 0..12)) {
        let mut pair = lived_in();
        let _ = pair.a.receive(fragments.concat().as_bytes());
        let _ = pair.a.receive(fragments.concat().as_bytes());
    }

    #[test]
    fn random_streams_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut pair = lived_in();
        pair.a.feed(&bytes);
        pair.run();
    }

    #[test]
    fn random_messages_settle_each_question_at_most_once(
        messages in prop::collection::vec(any_message(), 0..40),
    ) {
        let mut pair = lived_in();
        for message in &messages {
            if pair.a.receive(message.as_bytes()).is_err() {
                break;
            }
        }
        let mut settled: Vec<_> = pair.a.take_events().into_iter().filter_map(|event| match event {
            Event::Settled { question, .. } => Some(question),
            _ => None,
        }).collect();
        settled.sort();
        settled.dedup();
        // What was not settled remains, so that its promise can be broken: none is lost.
        pair.a.session.abort("the end");
        let mut all = pair.a.session.take_remains().questions;
        prop_assert!(all.iter().all(|question| !settled.contains(question)));
        all.append(&mut settled);
        all.sort();
        prop_assert_eq!(all, ["one", "two"]);
    }
}
