//! Recording what a function does with an item, so that it can be done elsewhere.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::data::keep;
use super::{Extension, Vat};
use crate::error::Error;
use crate::host::{Host, Message, Outcome, Ref};
use crate::passable::{Builder, Instead, Passable, Place, ReadError, View, rewrite};
use crate::promise::Cell;

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
/// The function is called once. Each message that is sent on this thread meanwhile, through whichever
/// vat, to the stand-in, to a result of an earlier one, or to anything else, becomes an instruction;
/// nothing is sent. The promises that it gets stand for the results at the far side; afterwards they
/// are broken.
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
    tape: Rc<Tape<H>>,
}

/// Where the messages go meanwhile.
struct Tape<H: Host> {
    depth: usize,
    recorded: RefCell<Recorded<H>>,
}

thread_local! {
    /// The tapes of this thread, the innermost last; each is the `Tape` of some host.
    static TAPES: RefCell<Vec<Rc<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

/// True while a function given to `map` runs on this thread.
pub fn is_recording() -> bool {
    TAPES.with_borrow(|tapes| !tapes.is_empty())
}

/// Records a message that is sent on this thread; gives its result back if nothing is recorded.
pub(super) fn record_message<H: Host>(
    cx: H::Cx<'_>,
    target: &Ref<H>,
    message: Message<'_, H>,
    result: Option<H::Promise>,
) -> Result<(), Option<H::Promise>> {
    let Some(tape) = TAPES.with_borrow(|tapes| tapes.last().cloned()) else {
        return Err(result);
    };
    match tape.downcast::<Tape<H>>() {
        Ok(tape) => {
            tape.note(cx, target, message, result);
            Ok(())
        }
        Err(_of_another_host) => Err(result),
    }
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
        let recorded = RefCell::new(Recorded {
            slots: vec![Some(H::dup_promise(cx, &item))],
            instructions: Vec::new(),
        });
        let tape = TAPES.with_borrow_mut(|tapes| {
            let depth = tapes.len();
            let tape = Rc::new(Tape::<H> { depth, recorded });
            tapes.push(Rc::clone(&tape) as Rc<dyn Any>);
            tape
        });
        let vat = Arc::clone(self);
        (Recording { vat, tape }, item)
    }
}

impl<H: Host> Tape<H> {
    /// Notes a message.
    fn note(
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
        let mut recorded = self.recorded.borrow_mut();
        recorded.slots.push(result);
        recorded.instructions.push(instruction);
    }
}

impl<H: Host> Drop for Recording<H> {
    fn drop(&mut self) {
        self.unwind();
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

    fn unwind(&self) {
        TAPES.with_borrow_mut(|tapes| {
            tapes.retain(|other| !std::ptr::addr_eq(Rc::as_ptr(other), Rc::as_ptr(&self.tape)));
        });
    }

    fn end(self, cx: H::Cx<'_>) -> Recorded<H> {
        // From now on messages are sent again.
        self.unwind();
        let recorded = {
            let mut recorded = self.tape.recorded.borrow_mut();
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
