//! Tubes for Python: siphons with the face of Twisted's Tubes.

mod confirm;
mod credit;
mod export;
mod facets;
mod host;
mod hub;
mod json;
mod outputs;
mod parts;
mod pauser;
mod siphon;
mod specs;
mod stages;

pub(crate) use credit::{PyAllowance, PyWindow, size_of};
pub(crate) use export::export;
pub(crate) use facets::{SiphonDrain, SiphonFount};
pub(crate) use hub::Hub;
pub(crate) use outputs::Pending;
pub(crate) use parts::Skip;
pub(crate) use pauser::{Pause, Pauser};
pub(crate) use siphon::Siphon;
pub(crate) use specs::StageTube;
pub(crate) use stages::NativeTube;
