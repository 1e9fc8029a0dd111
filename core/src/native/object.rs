//! Rust objects that others may call.

use std::any::Any;
use std::future::Future;
use std::sync::Arc;

use serde::Serialize;

use super::args::Args;
use super::promise::Promise;
use super::runtime::BoxFuture;
use super::{Native, ser};
use crate::error::Error;
use crate::host::Ref;
use crate::passable::Passable;

/// An object that others may call. `#[marotte::remote]` on an `impl` block writes this for you.
///
/// ```
/// use std::sync::Arc;
/// use marotte::native::{Answer, Args, Referenceable, reply};
///
/// struct Adder;
/// impl Referenceable for Adder {
///     fn deliver(self: Arc<Self>, method: Option<&str>, mut args: Args<'_>) -> Answer {
///         match method {
///             Some("add") => reply(args.take2().map(|(a, b): (i64, i64)| a + b)),
///             _ => Answer::no_such_method(method),
///         }
///     }
/// }
/// ```
pub trait Referenceable: Any + Send + Sync {
    /// Handles one message. Must not block: return a future for what takes time.
    fn deliver(self: Arc<Self>, method: Option<&str>, args: Args<'_>) -> Answer;
}

impl std::fmt::Debug for dyn Referenceable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Referenceable")
    }
}

/// What an object answers.
pub enum Answer {
    /// The encoded result, or a failure that the caller sees by its message.
    Now(Result<Passable<Ref<Native>>, Error>),
    /// The same, later.
    Later(BoxFuture<Result<Passable<Ref<Native>>, Error>>),
    /// Whatever the promise becomes.
    Promise(Promise),
}

impl Answer {
    /// The failure for a method that does not exist.
    pub fn no_such_method(method: Option<&str>) -> Self {
        Self::Now(Err(Error::no_such_method(method)))
    }
}

/// Answers with any serde value, or with an error that the caller sees by its message.
pub fn reply<T: Serialize, E: std::fmt::Display>(result: Result<T, E>) -> Answer {
    Answer::Now(encode(result))
}

/// Answers with what a future becomes. It is polled once in place, and becomes a task only if it
/// suspends.
pub fn reply_later<F, T, E>(future: F) -> Answer
where
    F: Future<Output = Result<T, E>> + Send + 'static,
    T: Serialize,
    E: std::fmt::Display,
{
    Answer::Later(Box::pin(async move { encode(future.await) }))
}

pub(super) fn encode<T: Serialize, E: std::fmt::Display>(
    result: Result<T, E>,
) -> Result<Passable<Ref<Native>>, Error> {
    match result {
        Ok(value) => ser::value(&value),
        Err(error) => Err(Error::remote(error.to_string())),
    }
}
