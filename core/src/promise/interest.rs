//! Who still needs a promise.

use std::sync::Arc;

use super::cell::{Cell, Reaction};
use crate::host::Host;
use crate::vat::{Connection, Replay};

/// What a promise was made for, which says who may give it up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    /// It has a resolver, which decides. Whoever else waits for it cannot break it for others.
    ToBeResolved,
    /// It is for what comes of a message or of a function: without anybody who waits, that is of no use.
    AsResult,
    /// The same, for the one who has sent the message: the program never sees it.
    ForSender,
}

impl<H: Host> Cell<H> {
    /// Notes that the promise was made for one sender, who may have it cancelled.
    pub(crate) fn for_sender(&mut self) {
        *self.made() = Made::ForSender;
    }

    /// Adds what is run if the promise is cancelled; gives it back if the promise has settled.
    pub(crate) fn on_cancel(&mut self, callback: H::Callback) -> Option<H::Callback> {
        self.for_sender();
        match self.reactions_mut() {
            Some(reactions) => {
                reactions.push(Reaction::Cancel(callback));
                None
            }
            None => Some(callback),
        }
    }

    /// Takes what was to be done if the promise is cancelled.
    pub(crate) fn take_cancellers(&mut self) -> Vec<Reaction<H>> {
        let Some(reactions) = self.reactions_mut() else {
            return Vec::new();
        };
        let mut cancellers = Vec::new();
        for reaction in std::mem::take(reactions) {
            match reaction {
                it @ (Reaction::Cancel(_) | Reaction::Abandon(_)) => cancellers.push(it),
                other => reactions.push(other),
            }
        }
        cancellers
    }

    /// Takes out the first resolver of that peer's that wants to be told.
    pub(crate) fn take_tell(&mut self, connection: &Arc<Connection<H>>) -> Option<u64> {
        let is_its = |reaction: &Reaction<H>| matches!(reaction, Reaction::Tell(to, _) if Arc::ptr_eq(to, connection));
        match self.take_reaction(is_its)? {
            Reaction::Tell(_, resolver) => Some(resolver),
            _ => None,
        }
    }

    /// Takes out the resolvers of that peer's that want to be told.
    pub(crate) fn take_tells(&mut self, connection: &Arc<Connection<H>>) -> Vec<u64> {
        let mut resolvers = Vec::new();
        if let Some(reactions) = self.reactions_mut() {
            reactions.retain(|reaction| match reaction {
                Reaction::Tell(to, resolver) if Arc::ptr_eq(to, connection) => {
                    resolvers.push(*resolver);
                    false
                }
                _ => true,
            });
        }
        resolvers
    }

    /// Takes back the wish of that promise to be settled alike, or to be made from the outcome.
    pub(crate) fn take_dependent(&mut self, dependent: &H::Promise) -> Option<Reaction<H>> {
        self.take_reaction(|reaction| match reaction {
            Reaction::Feed(other) | Reaction::Then(_, other) => {
                H::is_same_promise(other, dependent)
            }
            _ => false,
        })
    }

    /// Takes back the wish of that program to have the outcome.
    pub(crate) fn take_gather(&mut self, program: &Arc<Replay<H>>) -> Option<Reaction<H>> {
        self.take_reaction(
            |reaction| matches!(reaction, Reaction::Gather(other, _) if Arc::ptr_eq(other, program)),
        )
    }

    fn take_reaction(&mut self, is: impl Fn(&Reaction<H>) -> bool) -> Option<Reaction<H>> {
        let reactions = self.reactions_mut()?;
        let at = reactions.iter().position(is)?;
        Some(reactions.remove(at))
    }

    /// True for a result that nobody waits for any more, and nobody has sent messages to or passed on.
    pub(crate) fn is_abandoned(&mut self) -> bool {
        *self.made() != Made::ToBeResolved && !self.is_used() && self.is_unwanted(|_| false)
    }

    /// True for a promise made for one sender, if nobody else waits for its outcome. One resolver of a
    /// peer that is `mine` does not count.
    pub(crate) fn is_senders_alone(&mut self, mine: impl Fn(&Arc<Connection<H>>) -> bool) -> bool {
        *self.made() == Made::ForSender && self.is_unwanted(mine)
    }

    fn is_unwanted(&mut self, mine: impl Fn(&Arc<Connection<H>>) -> bool) -> bool {
        let Some(reactions) = self.reactions_mut() else {
            return false;
        };
        let mut own = 1;
        reactions.iter().all(|reaction| match reaction {
            Reaction::Call(_) | Reaction::Then(..) | Reaction::Feed(_) | Reaction::Gather(..) => {
                false
            }
            Reaction::Tell(connection, _) if own > 0 && mine(connection) => {
                own -= 1;
                true
            }
            Reaction::Tell(..) => false,
            // Messages break with what they were sent to.
            Reaction::Message(..)
            | Reaction::Cancel(_)
            | Reaction::Abandon(_)
            | Reaction::Lift(_) => true,
        })
    }
}
