//! Who still needs a promise.

use std::sync::Arc;

use super::cell::{Cell, Reaction};
use crate::host::Host;
use crate::vat::Connection;

impl<H: Host> Cell<H> {
    /// Adds what is run if the promise is cancelled; gives it back if the promise has settled.
    pub(crate) fn on_cancel(&mut self, callback: H::Callback) -> Option<H::Callback> {
        self.for_one();
        match self.reactions_mut() {
            Some(reactions) => {
                reactions.push(Reaction::Cancel(callback));
                None
            }
            None => Some(callback),
        }
    }

    pub(crate) fn take_cancellers(&mut self) -> Vec<H::Callback> {
        let Some(reactions) = self.reactions_mut() else {
            return Vec::new();
        };
        let mut cancellers = Vec::new();
        for reaction in std::mem::take(reactions) {
            match reaction {
                Reaction::Cancel(callback) => cancellers.push(callback),
                other => reactions.push(other),
            }
        }
        cancellers
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

    /// Takes back one wish to be settled alike.
    pub(crate) fn take_feed(&mut self, is: impl Fn(&H::Promise) -> bool) -> Option<Reaction<H>> {
        let reactions = self.reactions_mut()?;
        let at = reactions
            .iter()
            .position(|reaction| matches!(reaction, Reaction::Feed(fed) if is(fed)))?;
        Some(reactions.remove(at))
    }

    /// True for a promise made for one sender, if nobody else waits for its outcome. One resolver of
    /// a peer that is `mine` does not count.
    pub(crate) fn is_unwanted(&mut self, mine: impl Fn(&Arc<Connection<H>>) -> bool) -> bool {
        if !self.is_for_one() {
            return false;
        }
        let Some(reactions) = self.reactions_mut() else {
            return false;
        };
        let mut own = 1;
        reactions.iter().all(|reaction| match reaction {
            Reaction::Call(_) | Reaction::Feed(_) | Reaction::Gather(..) => false,
            Reaction::Tell(connection, _) if own > 0 && mine(connection) => {
                own -= 1;
                true
            }
            Reaction::Tell(..) => false,
            // Messages break with what they were sent to.
            Reaction::Message(..) | Reaction::Cancel(_) | Reaction::Lift(_) => true,
        })
    }
}
