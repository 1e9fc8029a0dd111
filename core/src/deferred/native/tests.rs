//! Random programs in Rust: the face and the model of owned Deferreds do the same.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::host::{Rust, unbox};
use super::{Control, Deferred, Failure, Late, Next, Paused, Resolver};
use crate::deferred::Host;
use crate::deferred::tests::model::Model;
use crate::deferred::tests::random::{DEFERREDS, canceller, op};
use crate::deferred::tests::toy::{self, Canceller, End, Event, Held, Op, Rung, Script, State};
use crate::sync::lock;

type Given = Result<i32, Failure<i32>>;

struct One {
    deferred: Arc<Deferred<i32, i32>>,
    moved: bool,
    resolver: Option<Resolver<i32, i32>>,
    control: Control,
    pauses: Vec<Paused>,
}

#[derive(Clone)]
struct World {
    all: Arc<Mutex<Vec<One>>>,
    log: Arc<Mutex<Vec<Event>>>,
}

fn to_toy(given: &Given) -> Result<toy::Value, toy::Failure> {
    match given {
        Ok(value) => Ok(Some(*value)),
        Err(Failure::Error(error)) => Err(toy::Failure::Error(*error)),
        Err(Failure::Cancelled) => Err(toy::Failure::Cancelled),
        Err(_) => Err(toy::Failure::Dropped),
    }
}

fn from_toy(outcome: Result<toy::Value, toy::Failure>) -> Given {
    match outcome {
        Ok(value) => Ok(value.unwrap()),
        Err(toy::Failure::Error(error)) => Err(Failure::Error(error)),
        Err(other) => panic!("programs do not make {other:?}"),
    }
}

impl World {
    fn new(cancellers: &[Option<Canceller>]) -> Self {
        let world = Self {
            all: Arc::default(),
            log: Arc::default(),
        };
        for (number, canceller) in cancellers.iter().copied().enumerate() {
            let (deferred, resolver) = match canceller {
                None => Deferred::new(),
                Some(canceller) => {
                    let log = Arc::clone(&world.log);
                    Deferred::with_canceller(move |resolver| {
                        lock(&log).push(Event::Asked(number));
                        if let Canceller::Fire(outcome) = canceller {
                            resolver.fire(from_toy(outcome)).unwrap();
                        }
                    })
                }
            };
            lock(&world.all).push(One {
                control: deferred.control(),
                deferred: Arc::new(deferred),
                moved: false,
                resolver: Some(resolver),
                pauses: Vec::new(),
            });
        }
        world
    }

    fn with<R>(&self, number: usize, f: impl FnOnce(&mut One) -> R) -> R {
        f(&mut lock(&self.all)[number])
    }

    fn run(&self, op: &Op) {
        match op {
            Op::Fire(number, outcome) => {
                let resolver = self.with(*number, |one| one.resolver.take());
                if let Some(resolver) = resolver
                    && let Err(Late(back)) = resolver.fire(from_toy(*outcome))
                {
                    assert_eq!(back, from_toy(*outcome));
                    lock(&self.log).push(Event::AlreadyCalled(*number));
                }
            }
            Op::Add(number, rung) => {
                let (deferred, moved) =
                    self.with(*number, |one| (Arc::clone(&one.deferred), one.moved));
                if !moved {
                    self.add(*number, &deferred, rung.clone());
                }
            }
            Op::Cancel(number) => {
                let control = self.with(*number, |one| one.control.clone());
                control.cancel();
            }
            Op::Pause(number) => {
                let control = self.with(*number, |one| one.control.clone());
                let paused = control.pause().unwrap();
                self.with(*number, |one| one.pauses.push(paused));
            }
            Op::Unpause(number) => drop(self.with(*number, |one| one.pauses.pop())),
        }
    }

    fn add(&self, number: usize, deferred: &Deferred<i32, i32>, rung: Rung) {
        let (world, other_world) = (self.clone(), self.clone());
        match rung {
            Rung::Callback(script) => {
                deferred.add_callback(move |value| world.call(number, &script, Ok(value)))
            }
            Rung::Errback(script) => {
                deferred.add_errback(move |failure| world.call(number, &script, Err(failure)))
            }
            Rung::Both(script) => {
                deferred.add_both(move |outcome| world.call(number, &script, outcome))
            }
            Rung::Pair(one, other) => deferred.add_callbacks(
                move |value| world.call(number, &one, Ok(value)),
                move |failure| other_world.call(number, &other, Err(failure)),
            ),
        };
    }

    fn call(&self, _: usize, script: &Script, given: Given) -> Next<i32, i32> {
        lock(&self.log).push(Event::Called(script.name, to_toy(&given)));
        script.ops.iter().for_each(|op| self.run(op));
        match script.end {
            End::Return(outcome) => Next::Outcome(from_toy(outcome)),
            End::Same => Next::Outcome(given),
            End::Deferred(number) => self.with(number, |one| {
                if std::mem::replace(&mut one.moved, true) {
                    Next::Outcome(given)
                } else {
                    // The test keeps its handle, to look at the end.
                    Next::Deferred(Deferred::from_link(Arc::clone(&one.deferred.link)))
                }
            }),
            End::Fire(number, outcome, result) => {
                self.run(&Op::Fire(number, outcome));
                Next::Outcome(from_toy(result))
            }
        }
    }

    fn states(&self) -> Vec<State> {
        let links: Vec<_> = lock(&self.all)
            .iter()
            .map(|one| Arc::clone(&one.deferred.link))
            .collect();
        let state = |link| {
            Rust::with((), link, |chain| State {
                called: chain.called(),
                paused: chain.paused(),
                result: match (chain.waiting_on(), chain.outcome()) {
                    (Some(inner), _) => Held::WaitsFor(
                        links
                            .iter()
                            .position(|link| Arc::as_ptr(link) == inner.as_ptr())
                            .unwrap(),
                    ),
                    (None, None) => Held::Nothing,
                    (None, Some(_)) => {
                        // Look at it, and put it back.
                        let outcome = chain.replace(Ok(None)).unwrap();
                        let (seen, outcome) = peek(outcome);
                        chain.replace(outcome);
                        Held::Outcome(seen)
                    }
                },
                entries: chain.entries().count(),
                rests: chain.unhandled().is_some(),
            })
        };
        links.iter().map(state).collect()
    }
}

type Held_ = crate::deferred::Outcome<Rust>;

fn peek(outcome: Held_) -> (Result<toy::Value, toy::Failure>, Held_) {
    match outcome {
        Ok(value) => {
            let value = unbox::<i32>(value);
            let back = value.map(|value| Box::new(Some(value)) as Box<dyn std::any::Any + Send>);
            (Ok(value), Ok(back))
        }
        Err(fault) => {
            let given: Given = super::host::open(Err(fault));
            let seen = to_toy(&given);
            (seen, super::host::seal(given))
        }
    }
}

/// The same program with what is the same for owned ones: what a callback fires it fires itself.
fn owned(op: &Op) -> Op {
    match op {
        Op::Add(number, rung) => Op::Add(
            *number,
            match rung {
                Rung::Callback(one) => Rung::Callback(owned_script(one)),
                Rung::Errback(one) => Rung::Errback(owned_script(one)),
                Rung::Both(one) => Rung::Both(owned_script(one)),
                Rung::Pair(one, other) => Rung::Pair(owned_script(one), owned_script(other)),
            },
        ),
        other => other.clone(),
    }
}

fn owned_script(script: &Script) -> Script {
    let mut ops: Vec<_> = script.ops.iter().map(owned).collect();
    let end = match &script.end {
        End::Fire(number, outcome, result) => {
            ops.push(Op::Fire(*number, *outcome));
            End::Return(*result)
        }
        other => other.clone(),
    };
    Script {
        name: script.name,
        ops,
        end,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn does_what_the_model_of_owned_ones_does(
        cancellers in prop::collection::vec(canceller(), DEFERREDS),
        ops in prop::collection::vec(op(2), 1..40),
    ) {
        // A canceller in Rust cannot raise.
        let cancellers: Vec<_> = cancellers
            .into_iter()
            .map(|canceller| match canceller {
                Some(Canceller::Raise) => Some(Canceller::Nothing),
                other => other,
            })
            .collect();
        let world = World::new(&cancellers);
        let mut model = Model::of_owned(&cancellers);
        for op in ops.iter().map(owned) {
            world.run(&op);
            model.op(&op);
            prop_assert_eq!(&*lock(&world.log), &model.log, "after {:?}", op);
            let mut states = world.states();
            for (state, expected) in states.iter_mut().zip(model.states()) {
                // This host is not told; it looks when it drops one.
                state.rests = expected.rests;
            }
            prop_assert_eq!(states, model.states(), "after {:?}", op);
        }
    }
}
