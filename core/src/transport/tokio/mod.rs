//! Connections, listeners and the [`Tub`] on tokio.

mod dialling;
mod driver;
mod ports;
mod reconnector;
mod stream;
mod tub;

pub use ports::Listener;
pub use reconnector::{Contact, Reconnector};
pub use tub::{Tub, TubOptions};

/// 32 unguessable bytes.
fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    // Without randomness there are no secrets, and nothing here would be safe.
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}
