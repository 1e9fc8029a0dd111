//! The five states of a reference.

use super::{Cell, Route};
use crate::host::{Host, Outcome, Ref};

/// What a reference is at this moment: E's five states.
///
/// ```text
///            resolved to a promise of a peer's
///           ┌───────────────────────────────▶┐
///  Eventual │                                │ Remote
///     │     └◀───────────────────────────────┘    │
///     │      resolved to a promise of this vat    │
///     │                                           │
///     ├──▶ Near: an object or value of this vat ◀─┤
///     ├──▶ Far: an object of a peer's ◀───────────┤
///     │     │ the connection is lost              │
///     │     ▼                                     │
///     └──▶ Broken: smashed, or the connection ◀───┘
///          is lost
/// ```
///
/// Near and Broken last for ever, and Far can only break; a reference goes no other way than these. A
/// promise that is resolved to another is what that one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A promise that this vat will resolve. Messages wait in it.
    Eventual,
    /// A promise that a peer will resolve. Messages travel ahead to it.
    Remote,
    /// An object or value of this vat.
    Near,
    /// An object of a peer's.
    Far,
    /// Nothing will come of it.
    Broken,
}

impl State {
    /// Its name: `eventual`, `remote`, `near`, `far` or `broken`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Eventual => "eventual",
            Self::Remote => "remote",
            Self::Near => "near",
            Self::Far => "far",
            Self::Broken => "broken",
        }
    }

    /// The state of a reference.
    pub fn of<H: Host>(cx: H::Cx<'_>, reference: &Ref<H>) -> Self {
        enum Step<H: Host> {
            Is(State),
            Next(H::Promise),
            Value(H::Value),
        }
        let mut promise = match reference {
            Ref::Local(_) => return Self::Near,
            Ref::Far(import) if import.connection().is_closed() => return Self::Broken,
            Ref::Far(_) => return Self::Far,
            Ref::Promise(promise) => H::dup_promise(cx, promise),
        };
        loop {
            let step: Step<H> = H::with_cell(cx, &promise, |cell: &mut Cell<H>| {
                match (cell.outcome(), cell.route()) {
                    (Some(Outcome::Broken(_)), _) => Step::Is(Self::Broken),
                    (Some(Outcome::Fulfilled(value)), _) => Step::Value(H::dup_value(cx, value)),
                    (None, Some(Route::Question(..) | Route::Import(_) | Route::Opening)) => {
                        Step::Is(Self::Remote)
                    }
                    (None, Some(Route::Chained(next))) => Step::Next(H::dup_promise(cx, next)),
                    (None, Some(Route::Here) | None) => Step::Is(Self::Eventual),
                }
            });
            match step {
                Step::Is(state) => return state,
                Step::Next(next) => promise = next,
                Step::Value(value) => match H::target(cx, &value) {
                    Some(Ref::Promise(next)) => promise = next,
                    Some(other) => return Self::of(cx, &other),
                    None => return Self::Near,
                },
            }
        }
    }
}
