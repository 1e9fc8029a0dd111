//! Promises: references to values that are not here yet.
//!
//! A [`Cell`] is the state of one promise; the host keeps it wherever its collector can see it and
//! core reaches it through [`Host::with_cell`](crate::Host::with_cell). What happens when promises
//! settle is in [`vat`](crate::vat).

mod cell;
mod embargo;
mod interest;
mod state;

pub(crate) use cell::Waiting;
pub use cell::{Cell, Lift, Reaction, Route};
pub(crate) use embargo::{Embargo, Held};
pub use state::State;
