//! Getting sessions' bytes across.
//!
//! [`Deframer`] and [`Wire`] are without I/O: a driver feeds them what it reads and writes what
//! they give. Drivers: tokio here (feature `tokio`), the Python extension's own, and TypeScript's
//! over the platform's WebSocket.

mod framing;
#[cfg(feature = "noise")]
mod noise;
#[cfg(feature = "tokio")]
pub mod tokio;
#[cfg(feature = "websocket")]
mod websocket;
#[cfg(feature = "websocket")]
mod wire;

pub use framing::Deframer;
#[cfg(feature = "websocket")]
pub use wire::{Wire, WireError, websocket_address};
