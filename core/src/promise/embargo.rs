//! Keeping order when a promise's messages change their way.

use std::sync::{Arc, Mutex};

use super::cell::Waiting;
use crate::host::{Host, OwnedMessage};
use crate::sync::lock;
use crate::vat::Connection;

/// What waits until the messages sent before it have arrived (an embargo, E's word).
///
/// ```text
///   Active ── hold ──▶ Active ── take, and nothing waits ──▶ Lifted
/// ```
///
/// Messages to a promise travel ahead to where its value will be. When the value turns out to be
/// elsewhere, such as in this very vat, later messages would take a shorter way and overtake those.
/// So they wait here until the peer has shown that it has sent the earlier ones on. The same holds
/// for a moment while messages that waited in a promise are sent after it: no other thread's may
/// come between. One embargo is shared by all promises that settle because of the same one.
pub(crate) struct Embargo<H: Host> {
    held: Mutex<Option<Vec<Held<H>>>>,
}

/// Something that waits, and the promise that it was sent to.
pub(crate) enum Held<H: Host> {
    Message(H::Promise, OwnedMessage<H>, Option<H::Promise>),
    /// Tell a peer's resolver how that promise ended.
    Tell(H::Promise, Arc<Connection<H>>, u64),
}

impl<H: Host> Embargo<H> {
    /// One that holds the messages that have waited in a promise.
    pub(crate) fn new(cx: H::Cx<'_>, promise: &H::Promise, waiting: Waiting<H>) -> Arc<Self> {
        let held = waiting
            .into_iter()
            .map(|(message, result)| Held::Message(H::dup_promise(cx, promise), message, result))
            .collect();
        Arc::new(Self {
            held: Mutex::new(Some(held)),
        })
    }

    /// Holds one more thing; gives it back if the embargo is lifted.
    pub(crate) fn hold(&self, item: Held<H>) -> Result<(), Held<H>> {
        match &mut *lock(&self.held) {
            Some(held) => {
                held.push(item);
                Ok(())
            }
            None => Err(item),
        }
    }

    /// Takes what is held, to be sent on. The embargo is lifted once there is nothing to take: what
    /// comes meanwhile has to wait its turn.
    pub(crate) fn take(&self) -> Vec<Held<H>> {
        let mut held = lock(&self.held);
        let taken = held.as_mut().map(std::mem::take).unwrap_or_default();
        if taken.is_empty() {
            *held = None;
        }
        taken
    }

    /// True until it is lifted.
    pub(crate) fn is_active(&self) -> bool {
        lock(&self.held).is_some()
    }
}
