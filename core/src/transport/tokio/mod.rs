//! Connections, listeners and the [`Tub`] on tokio.

mod driver;
mod tub;

pub use tub::{Listener, Tub, TubOptions};
