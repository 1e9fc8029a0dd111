//! The Rust host: objects are `Arc<dyn Referenceable>`, values are anything serde knows.
//!
//! No runtime is needed here; `Tub` (feature `tokio`) brings one.

mod args;
mod de;
mod eventual;
mod host;
mod object;
mod promise;
mod reference;
mod resolver;
mod runtime;
mod ser;
mod stash;
mod value;
mod work;

pub use args::Args;
pub use host::{Callback, Native, NativeVat, Passed, PromiseCell, WeakCell};
pub use object::{Answer, Referenceable, reply, reply_later};
pub use promise::{Promise, When};
pub use reference::{Reference, Watcher};
pub use resolver::Resolver;
pub use runtime::{BoxFuture, Home, Runtime};
pub use value::{Symbol, Value};

#[cfg(test)]
mod tests;
