//! How references pass through serde, which knows only data.
//!
//! A reference is serialised as a newtype struct of a private name around nothing; the reference
//! itself lies in a thread-local for the moment of the call. The same on the way back. The trick is
//! that of `serde_json`'s `RawValue` and `toml`'s dates.

use std::cell::RefCell;

use super::reference::Reference;
use crate::locator::SturdyRef;

/// The name that stands for "a reference is in the stash".
pub(super) const REFERENCE: &str = "$marotte::Reference";

/// What serde has no word for.
pub(super) enum Stashed {
    Reference(Reference),
    Error(String),
    Symbol(String),
    SturdyRef(SturdyRef),
    BigInt(String),
}

thread_local! {
    static STASH: RefCell<Option<Stashed>> = const { RefCell::new(None) };
}

pub(super) fn put(stashed: Stashed) {
    STASH.set(Some(stashed));
}

pub(super) fn take() -> Option<Stashed> {
    STASH.take()
}
