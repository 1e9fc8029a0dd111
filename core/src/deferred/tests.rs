//! The ladder, on a host as small as can be; and against a model.

pub(super) mod model;
pub(super) mod random;
mod rules;
pub(super) mod toy;
