//! Getting sessions' bytes across.
//!
//! [`Deframer`] and [`Wire`] are without I/O: a driver feeds them what it reads and writes what
//! they give. Drivers: tokio here (feature `tokio`), the Python extension's own, and TypeScript's
//! over the platform's WebSocket.

#[cfg(feature = "noise")]
pub(crate) mod crypto;
mod framing;
#[cfg(feature = "sockets")]
mod keep_alive;
#[cfg(all(feature = "noise", feature = "websocket"))]
mod netlayer;
#[cfg(feature = "noise")]
mod noise;
#[cfg(feature = "tokio")]
pub mod tokio;
mod visits;
#[cfg(feature = "websocket")]
mod websocket;
#[cfg(any(feature = "noise", feature = "websocket"))]
mod wire;

#[cfg(feature = "noise")]
pub use crypto::Seed;
pub use framing::Deframer;
#[cfg(feature = "sockets")]
pub use keep_alive::keep_alive;
#[cfg(all(feature = "noise", feature = "websocket"))]
pub use netlayer::{Netlayer, ways_to};
pub use visits::{Visit, Visits};
#[cfg(feature = "websocket")]
pub use wire::websocket_address;
#[cfg(any(feature = "noise", feature = "websocket"))]
pub use wire::{Wire, WireError};
