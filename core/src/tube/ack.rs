//! Confirmations: that what became of an item has been taken, told back to where it came from.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::host::{Flowing, Host};

/// A share in the confirmation of one item.
///
/// Whatever is made of the item has a share: outputs of stages, batches that it went into, the
/// copies in the branches of a fan-out. When the last share is [settled](Self::settle), whoever asked is
/// told. A share that is dropped instead stands for something that was lost on the way.
pub(super) struct Ack<H: Host>(Option<Arc<Shared<H>>>);

struct Shared<H: Host> {
    confirm: H::Confirm,
    lost: AtomicBool,
}

/// What became of an item.
#[derive(Debug)]
pub enum Confirmed<R> {
    /// All that was made of it has been taken.
    Taken,
    /// Something on the way failed.
    Failed(R),
    /// Something that was made of it was dropped, or the flow stopped before.
    Lost,
}

impl<H: Host> Ack<H> {
    pub(super) fn new(confirm: H::Confirm) -> Self {
        Self(Some(Arc::new(Shared {
            confirm,
            lost: AtomicBool::new(false),
        })))
    }

    pub(super) fn dup(&self) -> Self {
        Self(self.0.clone())
    }

    /// What had this share has been dealt with.
    pub(super) fn settle(mut self, cx: H::Cx<'_>, failure: Option<&H::Reason>) {
        let Some(shared) = self.0.take() else {
            return;
        };
        if failure.is_some() {
            shared.lost.store(true, Ordering::Relaxed);
        }
        if let Some(shared) = Arc::into_inner(shared) {
            let outcome = match failure {
                Some(reason) => Confirmed::Failed(H::dup_reason(cx, reason)),
                None if shared.lost.into_inner() => Confirmed::Lost,
                None => Confirmed::Taken,
            };
            H::confirm(cx, shared.confirm, outcome);
        }
    }
}

impl<H: Host> Drop for Ack<H> {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            shared.lost.store(true, Ordering::Relaxed);
        }
    }
}

/// An item with the shares that it has.
pub struct Acked<H: Host> {
    pub(super) item: Flowing<H>,
    pub(super) acks: Vec<Ack<H>>,
}

impl<H: Host> Acked<H> {
    /// The item itself.
    pub fn item(&self) -> &Flowing<H> {
        &self.item
    }
}

impl<H: Host> Flowing<H> {
    /// The item and the shares that it has.
    #[inline]
    pub(super) fn split(self) -> (Self, Vec<Ack<H>>) {
        match self {
            Self::Acked(acked) => (acked.item, acked.acks),
            item => (item, Vec::new()),
        }
    }

    /// The item with those shares.
    #[inline]
    pub(super) fn with(self, acks: Vec<Ack<H>>) -> Self {
        if acks.is_empty() {
            return self;
        }
        Self::Acked(Box::new(Acked { item: self, acks }))
    }
}

/// Settles several.
#[inline]
pub(super) fn settle<H: Host>(cx: H::Cx<'_>, acks: Vec<Ack<H>>, failure: Option<&H::Reason>) {
    for ack in acks {
        ack.settle(cx, failure);
    }
}
