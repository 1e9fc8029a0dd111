//! References that were taken back.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::Vat;
use crate::host::{Host, Message};
use crate::sync::lock;

/// What peers may not call any more, by identity. The accounts of all connections of a vat know it: a message
/// finds its way to an object through other vats of the program, too.
#[derive(Debug, Default)]
pub(super) struct Revoked {
    /// True if there is any: nearly no vat has it, and every call is looked at.
    any: AtomicBool,
    identities: Mutex<HashSet<usize>>,
}

impl Revoked {
    fn has(&self, identity: impl FnOnce() -> usize) -> bool {
        self.any.load(Ordering::Relaxed) && lock(&self.identities).contains(&identity())
    }

    fn add(&self, identity: usize) -> bool {
        let is_new = lock(&self.identities).insert(identity);
        self.any.store(true, Ordering::Relaxed);
        is_new
    }
}

/// True if the one who has sent that message may not call that object any more.
pub(super) fn is_cut_off<H: Host>(message: &Message<'_, H>, object: &H::Object) -> bool {
    let identity = || H::identity(object);
    message
        .sender
        .is_some_and(|account| account.revoked().has(identity))
}

impl<H: Host> Vat<H> {
    /// Breaks every reference to an object that peers have or will have by this vat, however they came to
    /// it: what they call fails, and what they have sent already is not delivered. It is registered no
    /// more. Objects of this program still reach it. There is no way back; to offer it again, put another
    /// object before it. Returns false if it was revoked before.
    ///
    /// (E's revocable forwarder does this for one reference; this is for all of one object.)
    pub fn revoke(&self, cx: H::Cx<'_>, object: &H::Object) -> bool {
        let identity = H::identity(object);
        // What is dropped here may be a user's.
        let _registrations = self.unregister_all(identity);
        let is_new = self.revoked.add(identity);
        if is_new {
            // As long as it is held, no other object has its identity.
            lock(&self.kept).push(H::dup_object(cx, object));
        }
        is_new
    }

    pub(super) fn revoked(&self) -> &Arc<Revoked> {
        &self.revoked
    }
}
