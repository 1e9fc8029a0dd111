//! Messages to plain data: the parts of a value, without waiting for the whole of it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::revoked::is_cut_off;
use super::send::Work;
use super::{Extension, Vat};
use crate::error::Error;
use crate::host::{Host, Message, Ref, Reply};
use crate::passable::{Item, Passable, Reader, View};
use crate::promise::Cell;
use crate::spans::Span;
use crate::syrup::Int;
use crate::trace::CALL;

/// So many keys may a path have. Each reference that it leads through is asked for what is left of it.
const LONGEST: usize = 1000;

/// What a path leads to.
enum Found<'a, H: Host> {
    Value(View<'a, Ref<H>>),
    /// A reference, and what is left of the path.
    Beyond(&'a Ref<H>, View<'a, Ref<H>>),
}

/// The same, to be kept.
enum Kept<H: Host> {
    Value(Passable<Ref<H>>),
    Beyond(Ref<H>, Passable<Ref<H>>),
}

impl<H: Host> Vat<H> {
    /// Answers a message to a value that is no reference. What else this leads to is left as work: a
    /// peer can make chains of values deeper than any stack.
    pub(super) fn ask(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        value: &H::Value,
        message: Message<'_, H>,
        work: &mut VecDeque<Work<H>>,
    ) -> Reply<H> {
        let reply = match Extension::of(message.selector) {
            Some(Extension::Get) => self.get(cx, value, message, work),
            Some(Extension::Map) => self.map(cx, value, message, work),
            Some(Extension::Untag) => Err(Error::remote("TypeError: the value is not tagged")),
            Some(Extension::Cancel) | None => Err(Error::not_a_target()),
        };
        reply.unwrap_or_else(|error| Reply::Failure(H::failure(cx, error)))
    }

    fn get(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        value: &H::Value,
        message: Message<'_, H>,
        work: &mut VecDeque<Work<H>>,
    ) -> Result<Reply<H>, Error> {
        let found = H::emit(cx, value, |whole| match walk::<H>(whole, message.args)? {
            Found::Value(part) => Ok::<_, Error>(Kept::Value(keep(cx, part))),
            Found::Beyond(reference, path) => Ok(Kept::Beyond(reference.dup(cx), keep(cx, path))),
        })??;
        Ok(match found {
            Kept::Value(part) => match H::accept(cx, self, part.view()) {
                Ok(value) => Reply::Value(value),
                Err(failure) => Reply::Failure(failure),
            },
            Kept::Beyond(reference, path) => {
                let message = Message {
                    args: path.view(),
                    ..message
                };
                let result = H::new_promise(cx, self, Cell::result());
                let asked = Some(H::dup_promise(cx, &result));
                work.push_back(Work::Send(reference, message.to_owned(cx), asked));
                Reply::Promise(result)
            }
        })
    }

    /// Delivers a message to a local object.
    pub(super) fn invoke(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        object: &H::Object,
        message: Message<'_, H>,
    ) -> Reply<H> {
        let _turn = self
            .tracing()
            .map(|trace| trace.turn(message.selector.unwrap_or(CALL), None));
        if is_cut_off(&message, object) {
            let error = Error::remote("PermissionError: the reference was revoked");
            return Reply::Failure(H::failure(cx, error));
        }
        // What a near object shows of itself is its language's business.
        if !message.is_near() && Extension::of(message.selector).is_some() {
            let error = Error::remote(
                "TypeError: an object has methods only: call one that gives what you want",
            );
            return Reply::Failure(H::failure(cx, error));
        }
        Span::of(message.selector).run(|| H::invoke(cx, self, object, message))
    }
}

/// A copy that can be kept.
pub(super) fn keep<H: Host>(cx: H::Cx<'_>, view: View<'_, Ref<H>>) -> Passable<Ref<H>> {
    let refs = view.refs().iter().map(|reference| reference.dup(cx));
    Passable::from_parts(view.bytes(), refs.collect())
}

/// Follows a path into a value.
fn walk<'a, H: Host>(
    whole: View<'a, Ref<H>>,
    path: View<'a, Ref<H>>,
) -> Result<Found<'a, H>, Error> {
    let mut here = whole;
    let mut keys = path.reader();
    let mut ahead = keys.clone();
    for _ in 0..LONGEST {
        if ahead.is_empty() {
            break;
        }
        ahead.next()?;
    }
    if !ahead.is_empty() {
        return Err(Error::remote(format!(
            "TypeError: a path of more than {LONGEST} keys"
        )));
    }
    loop {
        let left = keys.clone();
        if let Ok(Item::Ref(reference)) = here.reader().next()
            && !left.is_empty()
        {
            return Ok(Found::Beyond(reference, left.rest()));
        }
        if left.is_empty() {
            return Ok(Found::Value(here));
        }
        let mut reader = here.reader();
        let key = keys.next()?;
        here = match (reader.next()?, key) {
            (Item::Dict, Item::Str(key)) => entry(reader, key)?,
            (Item::List, Item::Int(index)) => item(reader, index)?,
            (Item::Dict, _) => return Err(Error::remote("TypeError: a key must be text")),
            (Item::List, _) => {
                return Err(Error::remote("TypeError: a list is asked for by an index"));
            }
            _ => {
                return Err(Error::remote(
                    "TypeError: only lists and dictionaries have parts",
                ));
            }
        };
    }
}

fn entry<'a, R>(mut dict: Reader<'a, R>, wanted: &str) -> Result<View<'a, R>, Error> {
    while !dict.at_end_of_container() {
        let key = dict.next()?;
        let value = dict.value()?;
        if matches!(key, Item::Str(key) if key == wanted) {
            return Ok(value);
        }
    }
    Err(Error::remote(format!("KeyError: {wanted:?}")))
}

fn item<'a, R>(list: Reader<'a, R>, index: Int<'_>) -> Result<View<'a, R>, Error> {
    let items = items(list)?;
    let wanted = index.to_i128().and_then(|index| {
        let from_start = if index < 0 {
            index + items.len() as i128
        } else {
            index
        };
        usize::try_from(from_start).ok()
    });
    wanted.and_then(|at| items.get(at).copied()).ok_or_else(|| {
        let sign = if index.negative { "-" } else { "" };
        Error::remote(format!(
            "IndexError: index {sign}{} of a list of {}",
            index.digits,
            items.len()
        ))
    })
}

/// What stands in a list that was opened.
pub(super) fn items<'a, R>(mut list: Reader<'a, R>) -> Result<Vec<View<'a, R>>, Error> {
    let mut items = Vec::new();
    while !list.at_end_of_container() {
        items.push(list.value()?);
    }
    Ok(items)
}
