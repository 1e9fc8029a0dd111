//! Recording what a function does with an item, so that it can be done elsewhere.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

use super::data::keep;
use super::{Extension, Vat};
use crate::error::Error;
use crate::host::{Host, Message, Outcome, Ref};
use crate::passable::{Builder, Instead, Passable, Place, ReadError, View, rewrite};
use crate::promise::Cell;
use crate::sync::lock;

/// So many messages may one program be made of.
pub(super) const LONGEST: usize = 1000;

/// The messages that a function sends while it is given a stand-in for an item of a list far away.
///
/// ```text
///   Vat::record ──▶ the host calls the function with the stand-in ──▶ finish: sent as one message
///                   (each message sent meanwhile is an instruction)╲
///                                                                   ╲─▶ abandon: as if nothing was
/// ```
///
/// The function is called once. Each message that it sends through this vat on this thread, to the
/// stand-in, to a result of an earlier one, or to anything else, becomes an instruction; nothing is
/// sent. The promises that it gets stand for the results at the far side; afterwards they are broken.
///
/// The program goes out as one message, [`Extension::Map`], with the arguments
///
/// ```text
///   depth                     how many recordings this one stands in
///   [[target selector wants-result argument…]…]
///   result                    any value
/// ```
///
/// in which the symbol `marotte:<depth>:<n>` stands for the item (0) or the result of the nth
/// instruction. Cap'n Web's `map` is the model.
#[derive(Debug)]
#[must_use = "the vat records until this is finished or abandoned"]
pub struct Recording<H: Host> {
    vat: Arc<Vat<H>>,
    tape: Arc<Tape<H>>,
}

/// Where the messages go meanwhile.
pub(crate) struct Tape<H: Host> {
    thread: ThreadId,
    depth: usize,
    recorded: Mutex<Recorded<H>>,
}

struct Recorded<H: Host> {
    /// The item, and the results of the instructions, in order; nothing for those without.
    slots: Vec<Option<H::Promise>>,
    instructions: Vec<Instruction<H>>,
}

struct Instruction<H: Host> {
    target: Ref<H>,
    selector: Option<Box<str>>,
    args: Passable<Ref<H>>,
}

impl<H: Host> std::fmt::Debug for Tape<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tape")
            .field("depth", &self.depth)
            .finish_non_exhaustive()
    }
}

/// The symbol that stands for the nth slot of a program at that depth.
pub(super) fn slot_name(depth: usize, slot: usize) -> String {
    format!("{}{depth}:{slot}", Extension::PREFIX)
}

impl<H: Host> Vat<H> {
    /// Begins to record, on this thread. The promise stands for the item.
    pub fn record(self: &Arc<Self>, cx: H::Cx<'_>) -> (Recording<H>, H::Promise) {
        let item = H::new_promise(cx, self, Cell::pending());
        let thread = thread::current().id();
        let mut tapes = lock(&self.tapes);
        let depth = tapes.iter().filter(|tape| tape.thread == thread).count();
        let tape = Arc::new(Tape {
            thread,
            depth,
            recorded: Mutex::new(Recorded {
                slots: vec![Some(H::dup_promise(cx, &item))],
                instructions: Vec::new(),
            }),
        });
        tapes.push(Arc::clone(&tape));
        self.recording.store(tapes.len(), Ordering::Relaxed);
        drop(tapes);
        let vat = Arc::clone(self);
        (Recording { vat, tape }, item)
    }

    /// Where messages that are sent on this thread go instead, if it is recording.
    pub(super) fn tape(&self) -> Option<Arc<Tape<H>>> {
        if self.recording.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let thread = thread::current().id();
        let tapes = lock(&self.tapes);
        tapes.iter().rfind(|tape| tape.thread == thread).cloned()
    }

    fn unwind(&self, tape: &Arc<Tape<H>>) {
        let mut tapes = lock(&self.tapes);
        tapes.retain(|other| !Arc::ptr_eq(other, tape));
        self.recording.store(tapes.len(), Ordering::Relaxed);
    }
}

impl<H: Host> Tape<H> {
    /// Notes a message.
    pub(super) fn note(
        &self,
        cx: H::Cx<'_>,
        target: &Ref<H>,
        message: Message<'_, H>,
        result: Option<H::Promise>,
    ) {
        let instruction = Instruction {
            target: target.dup(cx),
            selector: message.selector.map(Into::into),
            args: keep(cx, message.args),
        };
        let mut recorded = lock(&self.recorded);
        recorded.slots.push(result);
        recorded.instructions.push(instruction);
    }
}

impl<H: Host> Drop for Recording<H> {
    fn drop(&mut self) {
        self.vat.unwind(&self.tape);
    }
}

impl<H: Host> Recording<H> {
    /// Ends recording, and forgets it: the function has failed.
    pub fn abandon(self, cx: H::Cx<'_>) {
        self.end(cx);
    }

    /// Ends recording, and sends the program to `target`, which should be a list. `result` is what the
    /// function has returned, as the one value in it. Returns the promise for the list of what
    /// becomes of that for each item.
    ///
    /// # Errors
    /// [`Error::Misuse`] if the function has sent more than a thousand messages, or used a symbol
    /// that begins with `marotte:`.
    pub fn finish(
        self,
        cx: H::Cx<'_>,
        target: &Ref<H>,
        result: View<'_, Ref<H>>,
    ) -> Result<H::Promise, Error> {
        let vat = Arc::clone(&self.vat);
        let depth = self.tape.depth;
        let recorded = self.end(cx);
        let args = write(cx, depth, &recorded, result)?;
        let message = Message::new(Some(Extension::Map.selector()), args.view());
        Ok(vat.call(cx, target, message))
    }

    fn end(self, cx: H::Cx<'_>) -> Recorded<H> {
        // From now on messages are sent again.
        self.vat.unwind(&self.tape);
        let recorded = {
            let mut recorded = lock(&self.tape.recorded);
            Recorded {
                slots: std::mem::take(&mut recorded.slots),
                instructions: std::mem::take(&mut recorded.instructions),
            }
        };
        for promise in recorded.slots.iter().flatten() {
            // It is nobody's failure.
            H::with_cell(cx, promise, Cell::mark_handled);
            let error = Error::Misuse(
                "this promise stood for what comes of each item while the function given to map was \
                 recorded: messages can be sent to it there, but its value is never here"
                    .to_owned(),
            );
            let broken = Outcome::Broken(H::failure(cx, error));
            self.vat.settle(cx, H::dup_promise(cx, promise), broken);
        }
        recorded
    }
}

/// Writes the arguments of the message.
fn write<H: Host>(
    cx: H::Cx<'_>,
    depth: usize,
    recorded: &Recorded<H>,
    result: View<'_, Ref<H>>,
) -> Result<Passable<Ref<H>>, Error> {
    if recorded.instructions.len() > LONGEST {
        return Err(Error::Misuse(format!(
            "the function given to map sends more than {LONGEST} messages for each item"
        )));
    }
    let slot_of = |reference: &Ref<H>| {
        let Ref::Promise(promise) = reference else {
            return None;
        };
        let is_it = |slot: &Option<H::Promise>| {
            slot.as_ref()
                .is_some_and(|slot| H::is_same_promise(slot, promise))
        };
        recorded.slots.iter().position(is_it)
    };
    let instead = |reference: &Ref<H>| match slot_of(reference) {
        Some(slot) => Instead::Symbol(slot_name(depth, slot)),
        None => Instead::Reference(reference.dup(cx)),
    };
    let copy = |out: &mut Passable<Ref<H>>, view: View<'_, Ref<H>>, is_program: bool| {
        rewrite(out, view, |place| match place {
            Place::Reference(reference) => Ok(Some(instead(reference))),
            Place::Symbol(name) if name.starts_with(Extension::PREFIX) && !is_program => {
                Err(Unwritable(format!(
                    "symbols that begin with {:?} are not for values: {name:?}",
                    Extension::PREFIX
                )))
            }
            Place::Symbol(_) => Ok(None),
        })
        .map_err(|Unwritable(why)| Error::Misuse(why))
    };
    let mut head = Builder::<Ref<H>>::default();
    head.int(depth as i128);
    let mut out = head.finish();
    out.bytes.push(b'[');
    for (index, instruction) in recorded.instructions.iter().enumerate() {
        out.bytes.push(b'[');
        let mut target = Builder::default();
        target.reference(instruction.target.dup(cx));
        copy(&mut out, target.view(), false)?;
        let mut head = Builder::<Ref<H>>::default();
        match &instruction.selector {
            Some(name) => head.str(name),
            None => head.null(),
        }
        head.bool(recorded.slots.get(index + 1).is_some_and(Option::is_some));
        out.bytes.extend_from_slice(head.view().bytes());
        // What a program in a program stands for is not to be mistaken for a value.
        let is_program = Extension::of(instruction.selector.as_deref()) == Some(Extension::Map);
        copy(&mut out, instruction.args.view(), is_program)?;
        out.bytes.push(b']');
    }
    out.bytes.push(b']');
    copy(&mut out, result, false)?;
    Ok(out)
}

/// Why a program cannot be written.
struct Unwritable(String);

impl From<ReadError> for Unwritable {
    fn from(error: ReadError) -> Self {
        Self(error.to_string())
    }
}
