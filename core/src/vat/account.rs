//! What a peer makes us keep: the messages that wait here on its behalf.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::revoked::Revoked;
use crate::error::Error;
use crate::limits::Limits;

/// What one message costs besides its arguments' bytes: about what its places in queues take.
const MESSAGE: usize = 256;
/// What one reference in a message costs.
const REFERENCE: usize = 64;

/// Counts what one peer's messages take while they wait in promises and queues, and the calls that
/// are made on its behalf when one message asks for many.
#[derive(Debug)]
pub struct Account {
    /// Shared by all accounts of one connection.
    waiting: Arc<AtomicUsize>,
    max_waiting: usize,
    max_calls: u64,
    max_argument_bytes: usize,
    revoked: Arc<Revoked>,
    /// How many more calls may be made; `None` for a message that the peer itself has sent.
    calls: Option<AtomicU64>,
}

impl Account {
    pub(super) fn new(limits: &Limits, revoked: &Arc<Revoked>) -> Arc<Self> {
        Arc::new(Self {
            waiting: Arc::default(),
            max_waiting: limits.max_waiting_bytes,
            max_calls: limits.max_map_calls,
            max_argument_bytes: limits.max_argument_bytes,
            revoked: Arc::clone(revoked),
            calls: None,
        })
    }

    /// True if more waits than may.
    pub(super) fn is_overdrawn(&self) -> bool {
        self.waiting() > self.max_waiting
    }

    /// What the peer may not call any more.
    pub(super) fn revoked(&self) -> &Revoked {
        &self.revoked
    }

    pub(super) fn max_argument_bytes(&self) -> usize {
        self.max_argument_bytes
    }

    fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// An account for what one message asks to be done: its calls are counted, those included that they
    /// ask for in turn.
    pub(super) fn with_calls(self: &Arc<Self>) -> Arc<Self> {
        if self.calls.is_some() {
            return Arc::clone(self);
        }
        Arc::new(Self {
            waiting: Arc::clone(&self.waiting),
            max_waiting: self.max_waiting,
            max_calls: self.max_calls,
            max_argument_bytes: self.max_argument_bytes,
            revoked: Arc::clone(&self.revoked),
            calls: Some(AtomicU64::new(self.max_calls)),
        })
    }

    /// Takes a call with so many bytes of arguments from what is left.
    ///
    /// # Errors
    /// If too little is left, or too much waits already.
    pub(super) fn take_call(&self, bytes: usize) -> Result<(), Error> {
        let cost = 1 + (bytes / MESSAGE) as u64;
        let passed = |limit: &str| Err(Error::remote(format!("limit passed: {limit}")));
        if let Some(calls) = &self.calls {
            let take = |left: u64| left.checked_sub(cost);
            if calls
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                .is_err()
            {
                return passed("max_map_calls");
            }
        }
        if self.is_overdrawn() {
            return passed("max_waiting_bytes");
        }
        Ok(())
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
