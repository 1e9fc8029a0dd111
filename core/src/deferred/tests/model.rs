//! What Deferreds do, said as simply as can be: by recursion, on a table of numbered ones. It is
//! Twisted's `_runCallbacks`, read off line by line.
//!
//! There is a variant for owned ones, as in Rust: fired at most once, returned at most once and then
//! out of reach, and with values that are nowhere else while a callback looks at them.

use std::collections::VecDeque;

use super::toy::{Canceller, End, Event, Failure, Held, Op, Rung, Script, State, Value};

#[derive(Default)]
struct Deferred {
    canceller: Option<Canceller>,
    called: bool,
    suppress_already_called: bool,
    running: bool,
    paused: i32,
    result: Option<Result_>,
    callbacks: VecDeque<Item>,
    fail_result: bool,
    /// Of owned ones: it was returned, and so can be reached no more.
    moved: bool,
    /// Of owned ones: its resolver has been used.
    resolved: bool,
}

#[derive(Clone, Copy)]
enum Result_ {
    Outcome(Result<Value, Failure>),
    Deferred(usize),
}

enum Item {
    Rung(Rung),
    Continue(usize),
}

#[derive(Default)]
pub(in crate::deferred) struct Model {
    all: Vec<Deferred>,
    owned: bool,
    pub(in crate::deferred) log: Vec<Event>,
}

impl Model {
    pub(in crate::deferred) fn new(cancellers: &[Option<Canceller>]) -> Self {
        let all = cancellers.iter().map(|&canceller| Deferred {
            canceller,
            ..Deferred::default()
        });
        Self {
            all: all.collect(),
            ..Self::default()
        }
    }

    pub(in crate::deferred) fn of_owned(cancellers: &[Option<Canceller>]) -> Self {
        Self {
            owned: true,
            ..Self::new(cancellers)
        }
    }

    pub(in crate::deferred) fn op(&mut self, op: &Op) {
        match op {
            Op::Fire(d, _) if std::mem::replace(&mut self.all[*d].resolved, self.owned) => {}
            Op::Add(d, _) if self.all[*d].moved => {}
            Op::Fire(d, outcome) => {
                if !self.fire(*d, *outcome) {
                    self.log.push(Event::AlreadyCalled(*d));
                }
            }
            Op::Add(d, rung) => {
                self.all[*d].callbacks.push_back(Item::Rung(rung.clone()));
                self.run_callbacks(*d);
            }
            Op::Cancel(d) => {
                if !self.cancel(*d) {
                    self.log.push(Event::Raised(*d));
                }
            }
            Op::Pause(d) => self.all[*d].paused += 1,
            Op::Unpause(d) => {
                let waits = matches!(self.all[*d].result, Some(Result_::Deferred(_)));
                if self.all[*d].paused > i32::from(waits) {
                    self.all[*d].paused -= 1;
                    self.run_callbacks(*d);
                }
            }
        }
    }

    /// False if it was called already.
    fn fire(&mut self, d: usize, outcome: Result<Value, Failure>) -> bool {
        let this = &mut self.all[d];
        if this.called {
            return std::mem::take(&mut this.suppress_already_called);
        }
        this.called = true;
        this.canceller = None;
        this.result = Some(Result_::Outcome(outcome));
        self.run_callbacks(d);
        true
    }

    /// False if the canceller raised.
    fn cancel(&mut self, d: usize) -> bool {
        let mut d = d;
        let mut seen = Vec::new();
        while self.all[d].called {
            match self.all[d].result {
                // Twisted would recurse for ever on a circle.
                Some(Result_::Deferred(inner)) if !seen.contains(&inner) => {
                    seen.push(inner);
                    d = inner;
                }
                _ => return true,
            }
        }
        match self.all[d].canceller {
            None => self.all[d].suppress_already_called = true,
            Some(canceller) => {
                self.log.push(Event::Asked(d));
                match canceller {
                    Canceller::Nothing => {}
                    Canceller::Raise => return false,
                    Canceller::Fire(outcome) => {
                        self.fire(d, outcome);
                    }
                }
            }
        }
        if !self.all[d].called {
            self.fire(d, Err(Failure::Cancelled));
        }
        true
    }

    fn run_callbacks(&mut self, d: usize) {
        if self.all[d].called && !self.all[d].running {
            self.run(d);
        }
    }

    /// False if this, and all that wait for it to come back, is to stop where it is.
    fn run(&mut self, d: usize) -> bool {
        if self.all[d].paused != 0 {
            return false;
        }
        while let Some(item) = self.all[d].callbacks.pop_front() {
            let rung = match item {
                Item::Rung(rung) => rung,
                Item::Continue(outer) => {
                    self.all[outer].result = self.all[d].result;
                    self.all[outer].paused -= 1;
                    self.all[d].result = Some(Result_::Outcome(Ok(None)));
                    self.all[d].fail_result = false;
                    if !self.run(outer) || self.all[d].paused != 0 {
                        return false;
                    }
                    continue;
                }
            };
            let Some(Result_::Outcome(given)) = self.all[d].result else {
                panic!("a Deferred that waits is paused");
            };
            let script = match (rung, given) {
                (Rung::Callback(script) | Rung::Pair(script, _), Ok(_))
                | (Rung::Errback(script) | Rung::Pair(_, script), Err(_))
                | (Rung::Both(script), _) => script,
                (Rung::Callback(_), Err(_)) | (Rung::Errback(_), Ok(_)) => continue,
            };
            self.all[d].running = true;
            let result = self.call(d, &script, given);
            self.all[d].running = false;
            self.all[d].result = Some(result);
            if let Result_::Deferred(inner) = result {
                let free = &self.all[inner];
                let free = free.paused == 0
                    && !(self.owned && (free.running || !free.callbacks.is_empty()));
                match self.all[inner].result {
                    Some(Result_::Outcome(stolen)) if free => {
                        self.all[inner].result = Some(Result_::Outcome(Ok(None)));
                        self.all[inner].fail_result = false;
                        self.all[d].result = Some(Result_::Outcome(stolen));
                    }
                    _ => {
                        self.all[d].paused += 1;
                        self.all[d].fail_result = false;
                        self.all[inner].callbacks.push_back(Item::Continue(d));
                        return true;
                    }
                }
            }
        }
        self.all[d].fail_result = matches!(self.all[d].result, Some(Result_::Outcome(Err(_))));
        true
    }

    fn call(&mut self, d: usize, script: &Script, given: Result<Value, Failure>) -> Result_ {
        self.log.push(Event::Called(script.name, given));
        script.ops.iter().for_each(|op| self.op(op));
        match script.end {
            End::Return(outcome) => Result_::Outcome(outcome),
            End::Same => Result_::Outcome(given),
            End::Deferred(number) if self.all[number].moved => Result_::Outcome(given),
            End::Deferred(number) => {
                self.all[number].moved = self.owned;
                if self.owned && number == d {
                    Result_::Outcome(Err(Failure::Dropped))
                } else {
                    Result_::Deferred(number)
                }
            }
            End::Fire(number, outcome, result) => Result_::Outcome(if self.fire(number, outcome) {
                result
            } else {
                Err(Failure::AlreadyCalled)
            }),
        }
    }

    pub(in crate::deferred) fn states(&self) -> Vec<State> {
        let state = |d: &Deferred| State {
            called: d.called,
            paused: d.paused,
            result: match d.result {
                None => Held::Nothing,
                Some(Result_::Outcome(outcome)) => Held::Outcome(outcome),
                Some(Result_::Deferred(inner)) => Held::WaitsFor(inner),
            },
            entries: d.callbacks.len(),
            rests: d.fail_result,
        };
        self.all.iter().map(state).collect()
    }
}
