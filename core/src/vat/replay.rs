//! Doing to each item of a list what was recorded elsewhere.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::data::{items, keep};
use super::recording::{LONGEST, slot_name};
use super::send::Work;
use super::{Account, Turn, Vat, is_settled};
use crate::error::Error;
use crate::host::{Host, Message, Outcome, Ref, Reply};
use crate::passable::{Instead, Item, Passable, Place, View, rewrite};
use crate::promise::{Cell, Reaction};
use crate::sync::lock;

/// So many messages are sent in one turn.
const SLICE: usize = 256;

/// A program on its way over the items of a list. The result is settled once: with the list of what
/// came of each item, when every message has its answer, or with the first failure.
///
/// ```text
///   Sending (slice by slice, a turn each) ──▶ Waiting for answers ──▶ Done
///                       ╲──────── a failure, or cancelled ──────────▶ Done
/// ```
pub(crate) struct Replay<H: Host> {
    program: Program<H>,
    items: Vec<Passable<Ref<H>>>,
    account: Option<Arc<Account>>,
    result: H::Promise,
    progress: Mutex<Progress<H>>,
}

struct Progress<H: Host> {
    /// The next item to send for.
    next: usize,
    /// The answers to the messages that want one, item by item.
    answers: Vec<Option<H::Value>>,
    /// How many are missing. All that were not sent yet are.
    missing: usize,
    /// The promises for those that are under way.
    calls: Vec<Option<H::Promise>>,
}

/// The arguments of [`Extension::Map`](super::Extension::Map), read.
struct Program<H: Host> {
    /// The names of the item and the results.
    slots: Vec<String>,
    instructions: Vec<Instruction<H>>,
    result: Passable<Ref<H>>,
}

struct Instruction<H: Host> {
    target: Target<H>,
    selector: Option<Box<str>>,
    args: Passable<Ref<H>>,
    /// Which of an item's answers its result is.
    answer: Option<usize>,
}

enum Target<H: Host> {
    Slot(usize),
    Ref(Ref<H>),
}

fn malformed() -> Error {
    Error::remote("TypeError: not a program to map with")
}

impl<H: Host> Program<H> {
    fn read(cx: H::Cx<'_>, args: View<'_, Ref<H>>) -> Result<Self, Error> {
        let mut reader = args.reader();
        let Item::Int(depth) = reader.next()? else {
            return Err(malformed());
        };
        let depth = depth.to_u64().ok_or_else(malformed)? as usize;
        let mut program = Self {
            slots: vec![slot_name(depth, 0)],
            instructions: Vec::new(),
            result: Passable::default(),
        };
        let Item::List = reader.next()? else {
            return Err(malformed());
        };
        let mut answers = 0;
        while !reader.at_end_of_container() {
            if program.instructions.len() == LONGEST {
                return Err(malformed());
            }
            let mut parts = reader.value()?.reader();
            let Item::List = parts.next()? else {
                return Err(malformed());
            };
            let target = match parts.next()? {
                Item::Symbol(name) => Target::Slot(program.slot(name).ok_or_else(malformed)?),
                Item::Ref(reference) => Target::Ref(reference.dup(cx)),
                _ => return Err(malformed()),
            };
            let selector = match parts.next()? {
                Item::Str(name) => Some(name.into()),
                Item::Null => None,
                _ => return Err(malformed()),
            };
            let Item::Bool(wants_result) = parts.next()? else {
                return Err(malformed());
            };
            // Up to the bracket that closes the instruction.
            let rest = parts.rest();
            let args = View {
                bytes: &rest.bytes[..rest.bytes.len().saturating_sub(1)],
                refs: rest.refs,
            };
            program.instructions.push(Instruction {
                target,
                selector,
                args: keep(cx, args),
                answer: wants_result.then_some(answers),
            });
            answers += usize::from(wants_result);
            // A name that no symbol has, where there is no result to be named.
            let slot = program.slots.len();
            program.slots.push(if wants_result {
                slot_name(depth, slot)
            } else {
                String::new()
            });
        }
        reader.next()?;
        program.result = keep(cx, reader.value()?);
        Ok(program)
    }

    fn slot(&self, name: &str) -> Option<usize> {
        self.slots
            .iter()
            .position(|slot| slot == name && !slot.is_empty())
    }

    /// How many answers each item brings.
    fn answers(&self) -> usize {
        let wants = |instruction: &&Instruction<H>| instruction.answer.is_some();
        self.instructions.iter().filter(wants).count()
    }
}

impl<H: Host> Vat<H> {
    /// Begins to do to each item of `value` what the message says.
    pub(super) fn map(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        value: &H::Value,
        message: Message<'_, H>,
        work: &mut VecDeque<Work<H>>,
    ) -> Result<Reply<H>, Error> {
        let list = H::emit(cx, value, |whole| {
            let mut reader = whole.reader();
            match reader.next()? {
                Item::List => {
                    let items = items(reader)?.into_iter().map(|item| keep(cx, item));
                    Ok::<_, Error>(Some(items.collect::<Vec<_>>()))
                }
                Item::Null | Item::Void => Ok(None),
                _ => Err(Error::remote("TypeError: only a list can be mapped over")),
            }
        })??;
        let Some(items) = list else {
            // As in Cap'n Web: what is not there has no items.
            return Ok(Reply::Value(H::dup_value(cx, value)));
        };
        let program = Program::read(cx, message.args)?;
        let result = H::new_promise(cx, self, Cell::pending());
        let missing = items.len() * program.answers();
        let replay = Arc::new(Replay {
            program,
            items,
            account: message.sender.map(Account::with_calls),
            result: H::dup_promise(cx, &result),
            progress: Mutex::new(Progress {
                next: 0,
                answers: std::iter::repeat_with(|| None).take(missing).collect(),
                missing,
                calls: std::iter::repeat_with(|| None).take(missing).collect(),
            }),
        });
        H::with_cell(cx, &result, |cell| {
            cell.for_sender();
            // It is pending, so the reaction stays.
            let _ = cell.react(Reaction::Abandon(Arc::downgrade(&replay)));
        });
        self.replay(cx, &replay, work);
        Ok(Reply::Promise(result))
    }

    /// Sends the next messages, in a turn of their own.
    pub(super) fn go_on(self: &Arc<Self>, cx: H::Cx<'_>, replay: &Arc<Replay<H>>) {
        let mut work = VecDeque::new();
        self.replay(cx, replay, &mut work);
        self.finish(cx, work);
    }

    /// Sends the next messages, and leaves the rest to a turn of their own.
    fn replay(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        replay: &Arc<Replay<H>>,
        work: &mut VecDeque<Work<H>>,
    ) {
        let mut sent = 0;
        loop {
            // Cancelled, or failed.
            if is_settled::<H>(cx, &replay.result) {
                return;
            }
            let at = {
                let mut progress = lock(&replay.progress);
                progress.next += 1;
                progress.next - 1
            };
            if at == replay.items.len() {
                break;
            }
            if let Err(error) = self.replay_one(cx, replay, at, work) {
                let broken = Outcome::Broken(H::failure(cx, error));
                return work.push_back(replay.settled(cx, broken));
            }
            sent += replay.program.instructions.len();
            if sent >= SLICE {
                return self.push_turn(Turn::Replay(Arc::clone(replay)));
            }
        }
        if lock(&replay.progress).missing == 0 {
            self.complete(cx, replay, work);
        }
    }

    fn replay_one(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        replay: &Arc<Replay<H>>,
        at: usize,
        work: &mut VecDeque<Work<H>>,
    ) -> Result<(), Error> {
        let (program, item) = (&replay.program, &replay.items[at]);
        let base = at * program.answers();
        let mut slots = vec![Some(self.stand_in(cx, item))];
        for instruction in &program.instructions {
            let mut args = Passable::default();
            rewrite(&mut args, instruction.args.view(), |place| {
                Ok::<_, Error>(match place {
                    Place::Reference(reference) => Some(Instead::Reference(reference.dup(cx))),
                    Place::Symbol(name) => match program.slot(name) {
                        Some(0) => Some(Instead::Value(keep(cx, item.view()))),
                        Some(slot) => match slots.get(slot) {
                            Some(Some(result)) => Some(Instead::Reference(result.dup(cx))),
                            // A result that is still to come.
                            _ => return Err(malformed()),
                        },
                        None => None,
                    },
                })
            })?;
            if let Some(account) = &replay.account {
                account.take_call(args.bytes.len())?;
            }
            let target = match &instruction.target {
                Target::Slot(slot) => match slots.get(*slot) {
                    Some(Some(target)) => target,
                    _ => return Err(malformed()),
                },
                Target::Ref(reference) => reference,
            };
            let message = Message {
                selector: instruction.selector.as_deref(),
                args: args.view(),
                sender: replay.account.as_ref(),
            };
            let Some(answer) = instruction.answer else {
                self.send(cx, target, message, None);
                slots.push(None);
                continue;
            };
            let result = self.call(cx, target, message);
            lock(&replay.progress).calls[base + answer] = Some(H::dup_promise(cx, &result));
            self.gather(cx, replay, base + answer, &result, work);
            slots.push(Some(Ref::Promise(result)));
        }
        Ok(())
    }

    /// What messages to an item are sent to.
    fn stand_in(self: &Arc<Self>, cx: H::Cx<'_>, item: &Passable<Ref<H>>) -> Ref<H> {
        if let ([reference], Ok(Item::Ref(_))) = (item.refs(), item.view().reader().next()) {
            return reference.dup(cx);
        }
        let outcome = match H::accept(cx, self, item.view()) {
            Ok(value) => Outcome::Fulfilled(value),
            Err(failure) => Outcome::Broken(failure),
        };
        let mut cell = Cell::settled(outcome);
        cell.mark_handled();
        Ref::Promise(H::new_promise(cx, self, cell))
    }

    fn gather(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        replay: &Arc<Replay<H>>,
        answer: usize,
        promise: &H::Promise,
        work: &mut VecDeque<Work<H>>,
    ) {
        let settled = H::with_cell(cx, promise, |cell| {
            let late = cell.react(Reaction::Gather(Arc::clone(replay), answer));
            // What is given back holds no more than a handle.
            late.err()
                .and_then(|_| cell.outcome().map(|outcome| outcome.dup(cx)))
        });
        if let Some(outcome) = settled {
            self.gathered(cx, replay, answer, outcome, work);
        }
    }

    /// Takes one answer.
    pub(super) fn gathered(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        replay: &Arc<Replay<H>>,
        answer: usize,
        outcome: Outcome<H>,
        work: &mut VecDeque<Work<H>>,
    ) {
        let value = match outcome {
            Outcome::Fulfilled(value) => value,
            broken @ Outcome::Broken(_) => {
                work.push_back(replay.settled(cx, broken));
                return;
            }
        };
        let (is_last, _call) = {
            let mut progress = lock(&replay.progress);
            progress.answers[answer] = Some(value);
            progress.missing -= 1;
            let call = progress.calls.get_mut(answer).and_then(Option::take);
            let is_last = progress.missing == 0 && progress.next > replay.items.len();
            (is_last, call)
        };
        if is_last {
            self.complete(cx, replay, work);
        }
    }

    /// Settles the result: every answer is here.
    fn complete(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        replay: &Arc<Replay<H>>,
        work: &mut VecDeque<Work<H>>,
    ) {
        let answers = std::mem::take(&mut lock(&replay.progress).answers);
        let outcome = match replay.compose(cx, &answers) {
            Ok(list) => match H::accept(cx, self, list.view()) {
                Ok(value) => Outcome::Fulfilled(value),
                Err(failure) => Outcome::Broken(failure),
            },
            Err(error) => Outcome::Broken(H::failure(cx, error)),
        };
        work.push_back(replay.settled(cx, outcome));
    }
}

impl<H: Host> Replay<H> {
    /// Takes the promises for the answers that are under way: nobody needs these any more.
    pub(super) fn take_calls(&self) -> Vec<H::Promise> {
        let calls = std::mem::take(&mut lock(&self.progress).calls);
        calls.into_iter().flatten().collect()
    }

    fn settled(&self, cx: H::Cx<'_>, outcome: Outcome<H>) -> Work<H> {
        Work::Settle(H::dup_promise(cx, &self.result), outcome, Vec::new())
    }

    /// The list of what the program's result is for each item.
    fn compose(
        &self,
        cx: H::Cx<'_>,
        answers: &[Option<H::Value>],
    ) -> Result<Passable<Ref<H>>, Error> {
        let each = self.program.answers();
        let mut list = Passable::default();
        list.bytes.push(b'[');
        for (at, item) in self.items.iter().enumerate() {
            rewrite(&mut list, self.program.result.view(), |place| {
                let name = match place {
                    Place::Reference(reference) => {
                        return Ok::<_, Error>(Some(Instead::Reference(reference.dup(cx))));
                    }
                    Place::Symbol(name) => name,
                };
                let slot = match self.program.slot(name) {
                    None => return Ok(None),
                    Some(0) => return Ok(Some(Instead::Value(keep(cx, item.view())))),
                    Some(slot) => slot,
                };
                let answer = self.program.instructions[slot - 1].answer;
                let value = answer.and_then(|answer| answers.get(at * each + answer)?.as_ref());
                let value = value.ok_or_else(malformed)?;
                let copy = H::emit(cx, value, |view| keep(cx, view))?;
                Ok(Some(Instead::Value(copy)))
            })?;
        }
        list.bytes.push(b']');
        Ok(list)
    }
}
