//! Deferreds: results that are not here yet, and what to do when they come.
//!
//! A [`Chain`] is the ladder of one Deferred: two rails, one for values and one for failures, and
//! a rung for each pair of callbacks.
//!
//! ```text
//!        callback(value)          errback(failure)
//!              │                        │
//!              ▼                        ▼
//!        ┌──────────┐             ┌──────────┐
//!        │ callback │──raises──┐┌─│ errback  │      each rung was added by one call;
//!        └────┬─────┘          ╲╱ └────┬─────┘      a rung may leave a side open, and the
//!             │returns        ╱╲returns│raises      result passes by on that side
//!             │◀─────────────┘  └─────▶│
//!        ┌────▼─────┐             ┌────▼─────┐
//!        │ callback │             │ errback  │
//!        └────┬─────┘             └────┬─────┘
//!             ▼                        ▼
//!       the last value          an unhandled failure
//! ```
//!
//! What a rung returns goes on to the next one. If it returns another Deferred, the ladder waits
//! for that one and goes on with its result. The algorithm is Twisted's (`twisted.internet.defer`,
//! release 26.10), where Deferreds come from.
//!
//! Everything here is generic over [`Host`], what a language must supply. The functions take a
//! host's handle on a Deferred: [`add`], [`fire`], [`cancel`], [`pause`], [`unpause`]. They never
//! call the host under a borrow, so a callback may do anything to any Deferred, its own included;
//! and they never recurse along a chain of Deferreds, however long.
//!
//! [`Gather`] and [`Race`] are the arithmetic of waiting for several; [`Semaphore`] and [`Queue`]
//! that of sharing. [`native`] is the face for Rust programs.

mod cancel;
mod chain;
mod gather;
mod host;
pub mod native;
mod queue;
mod run;
mod semaphore;
mod timeout;

pub use crate::flat::drop_flat;
pub use cancel::cancel;
pub use chain::{Chain, Entry};
pub use gather::{Gather, Race, Rule, Verdict};
pub use host::{AlreadyCalled, Firing, Host, Outcome, Returned};
#[cfg(feature = "tokio")]
pub use native::TokioClock;
pub use native::{
    AllFailed, Clock, Collected, Control, Deferred, DeferredLock, DeferredQueue, DeferredSemaphore,
    Failure, FakeClock, Fallible, FirstError, Late, Next, Paused, Permit, Resolver, Returns, Stop,
    Unhandled, Wait, collect, gather, race, set_unhandled_hook,
};
pub use queue::{Overflow, Put, Queue, Taken, Underflow};
pub use run::{add, fire, pause, unpause};
pub use semaphore::{NotHeld, Semaphore};
pub use timeout::{Timed, add_timeout, ring};

#[cfg(test)]
mod tests;
