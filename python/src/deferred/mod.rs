//! `marotte.defer`: the Deferreds of the core for Python, with the face of Twisted's.

mod attributes;
mod awaiting;
mod callback;
mod class;
mod context;
mod debug;
mod driver;
mod fast;
mod functions;
mod guard;
mod host;
mod list;
mod parts;
mod pickling;
mod racing;
mod share;
mod timeout;

pub(crate) use class::Deferred;
pub(crate) use debug::DebugFlag;
pub(crate) use driver::{ensure_deferred, unwind_generator};
pub(crate) use fast::install as install_fast_methods;
pub(crate) use functions::{execute, fail, maybe_deferred, succeed};
pub(crate) use guard::{Guard, Guarded};
pub(crate) use list::{DeferredList, gather_results};
pub(crate) use parts::recognise_deferred;
pub(crate) use racing::race;
pub(crate) use share::{DeferredLock, DeferredQueue, DeferredSemaphore};
