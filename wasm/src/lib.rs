//! The browser and Node module of marotte: JavaScript as a host of the core.
//!
//! Values cross the boundary as one flat tape in linear memory, never one by one, and promises and
//! references as small numbers. The public interface is written in TypeScript (`wasm/js`).
//!
//! | file | holds |
//! |---|---|
//! | `backoff.rs` | the times between attempts to connect |
//! | `credit.rs` | the ends of windows between peers |
//! | `deferred/` | Deferreds: the ladders, and what JavaScript calls to run them |
//! | `imports.rs` | what JavaScript supplies |
//! | `exports.rs` | what JavaScript calls |
//! | `host.rs` | `impl Host for JsHost` |
//! | `panic.rs` | what JavaScript sees of a bug in here |
//! | `sockets.rs` | what JavaScript calls for its sockets |
//! | `state.rs` | the numbers that JavaScript knows things by |
//! | `tape.rs` | tape ↔ passable |
//! | `visits.rs` | how many connections come from where |

#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

mod backoff;
mod credit;
mod deferred;
mod exports;
mod host;
mod imports;
mod panic;
mod sockets;
mod state;
mod tape;
mod visits;

pub use backoff::*;
pub use credit::*;
pub use deferred::*;
pub use exports::*;
pub use panic::install;
pub use sockets::*;
pub use visits::*;
