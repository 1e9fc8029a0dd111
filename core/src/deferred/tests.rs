//! The ladder, on a host as small as can be; and against a model.

mod model;
mod random;
mod rules;
mod toy;
