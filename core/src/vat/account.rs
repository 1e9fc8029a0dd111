//! What a peer makes us keep: the messages that wait here on its behalf.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What one message costs besides its arguments' bytes: about what its places in queues take.
const MESSAGE: usize = 256;
/// What one reference in a message costs.
const REFERENCE: usize = 64;

/// Counts what one peer's messages take while they wait in promises and queues.
#[derive(Debug)]
pub struct Account {
    waiting: AtomicUsize,
}

impl Account {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            waiting: AtomicUsize::new(0),
        })
    }

    /// Bytes that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Counts a message that waits.
    pub(crate) fn charge(self: &Arc<Self>, bytes: usize, references: usize) -> Charge {
        let cost = MESSAGE + bytes + references * REFERENCE;
        self.waiting.fetch_add(cost, Ordering::Relaxed);
        Charge {
            account: Arc::clone(self),
            cost,
        }
    }
}

/// What one waiting message costs its sender, until it is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    account: Arc<Account>,
    cost: usize,
}

impl Charge {
    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.waiting.fetch_sub(self.cost, Ordering::Relaxed);
    }
}
