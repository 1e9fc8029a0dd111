//! Getting sessions' bytes across.
//!
//! [`Deframer`] and [`Wire`] are without I/O: a driver feeds them what it reads and writes what
//! they give. Drivers: tokio here (feature `tokio`), the Python extension's own, and TypeScript's
//! over the platform's WebSocket.

#[cfg(all(feature = "noise", feature = "websocket"))]
mod arrival;
#[cfg(feature = "noise")]
pub(crate) mod crypto;
mod framing;
mod hints;
#[cfg(feature = "sockets")]
mod keep_alive;
#[cfg(all(feature = "noise", feature = "websocket"))]
mod netlayer;
#[cfg(feature = "noise")]
mod noise;
#[cfg(feature = "noise")]
mod peer_auth;
#[cfg(feature = "tokio")]
pub mod tokio;
#[cfg(all(feature = "sockets", unix))]
mod unix_path;
mod visits;
#[cfg(feature = "websocket")]
mod websocket;
#[cfg(any(feature = "noise", feature = "websocket"))]
mod wire;

#[cfg(all(feature = "noise", feature = "websocket"))]
pub use arrival::{Arrival, HUNG_UP, MOST_GREETING};
#[cfg(feature = "noise")]
pub use crypto::Seed;
pub use framing::Deframer;
#[cfg(feature = "sockets")]
pub use keep_alive::keep_alive;
#[cfg(all(feature = "noise", feature = "websocket"))]
pub use netlayer::{Destination, NEXT_WAY_MS, Netlayer, Place, Way, split_host_port, ways_to};
#[cfg(feature = "noise")]
pub use noise::meant;
#[cfg(feature = "noise")]
pub use peer_auth::{Heard, PeerAuth};
#[cfg(all(feature = "sockets", unix))]
pub use unix_path::SocketName;
pub use visits::{Visit, Visits};
#[cfg(any(feature = "noise", feature = "websocket"))]
pub use wire::{Wire, WireError};
