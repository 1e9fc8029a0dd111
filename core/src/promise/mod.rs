//! Promises: references to values that are not here yet.
//!
//! A [`Cell`] is the state of one promise; the host keeps it wherever its collector can see it and
//! core reaches it through [`Host::with_cell`](crate::Host::with_cell). What happens when promises
//! settle is in [`vat`](crate::vat).

mod cell;
mod embargo;
mod interest;
mod state;

pub use cell::{Cell, Route};
pub(crate) use cell::{Reaction, Waiting};
pub(crate) use embargo::{Embargo, Held};
pub(crate) use interest::Made;
pub use state::State;
