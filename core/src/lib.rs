#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

mod backoff;
pub mod captp;
pub mod deferred;
mod error;
mod flat;
pub mod host;
#[cfg(feature = "noise")]
mod identity;
mod limits;
mod locator;
pub mod native;
pub mod passable;
pub mod promise;
#[cfg(feature = "noise")]
mod secret_file;
mod spans;
mod sync;
pub mod syrup;
mod trace;
pub mod transport;
pub mod tube;
pub mod vat;

// The public interface is:
pub use backoff::Backoff;
pub use deferred::Deferred;
pub use error::{Error, RemoteError};
pub use host::Host;
#[cfg(feature = "noise")]
pub use identity::Identity;
pub use limits::Limits;
pub use locator::{BadLocator, Location, SturdyRef};
#[cfg(feature = "macros")]
pub use marotte_macros::remote;
pub use native::{Promise, Reference, Referenceable, Symbol, Value};
pub use trace::{Suspended, Trace};
#[cfg(feature = "tokio")]
pub use transport::tokio::{Listener, Reconnector, Tub};
