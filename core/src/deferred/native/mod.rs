//! Deferreds for Rust programs.
//!
//! [`Deferred`] is the result, [`Resolver`] fires it, [`Control`] cancels it from elsewhere, and
//! [`Failure`] is why there is none. All of this is named in [`deferred`](crate::deferred), too.
//!
//! The algorithm is Twisted's; these are the differences, and why:
//!
//! - A Deferred has an owner, and its resolver fires it once: what Twisted finds out by raising
//!   `AlreadyCalledError`, the compiler does. A value that went elsewhere leaves no `None` behind.
//! - A resolver that is dropped fails its Deferred ([`Failure::Dropped`]), and a panic in a callback
//!   is a failure ([`Failure::Panicked`]): nobody waits for ever.
//! - A pause is a guard, so it cannot be taken back too often.
//! - Handles are `Send + Sync`: see [`Deferred`] for which thread runs what.

mod change;
mod clock;
mod control;
mod deferred;
mod failure;
mod future;
mod host;
mod queue;
mod report;
mod resolver;
mod returns;
mod semaphore;
mod several;
#[cfg(feature = "tokio")]
mod tokio;

#[cfg(feature = "tokio")]
pub use self::tokio::TokioClock;
pub use clock::{Clock, FakeClock, Stop};
pub use control::{Control, Paused};
pub use deferred::Deferred;
pub use failure::{Failure, Late};
pub use future::Wait;
pub use queue::DeferredQueue;
pub(crate) use report::report_promise;
pub use report::{Unhandled, set_unhandled_hook};
pub use resolver::Resolver;
pub use returns::{Fallible, Next, Returns};
pub use semaphore::{DeferredLock, DeferredSemaphore, Permit};
pub use several::{AllFailed, Collected, FirstError, collect, gather, race};

#[cfg(test)]
mod tests;
