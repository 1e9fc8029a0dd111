//! What can go wrong, and whose fault it is.

use std::borrow::Cow;
use std::sync::Arc;

use crate::passable::ReadError;

/// An error of this library, sorted by blame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The far object answered with a failure.
    #[error("{0}")]
    Remote(RemoteError),
    /// The connection that carried the reference is gone; the text says why, and to whom.
    #[error("{0}")]
    Disconnected(Arc<str>),
    /// The caller did something that cannot be done; the text says what to do instead.
    #[error("{0}")]
    Misuse(String),
    /// A value cannot be passed; `path` leads to it, from the call's arguments.
    #[error("{path}: {what} is not passable")]
    NotPassable {
        /// For example `args[0]["x"][3]`.
        path: String,
        /// The type of the offending value.
        what: String,
    },
    /// A result or argument arrived that is not what was asked for.
    #[error("{0}")]
    Unexpected(String),
    /// The promise was cancelled by whoever held it, or the method by its caller.
    #[error("the call was cancelled")]
    Cancelled,
    /// The peer broke the protocol.
    #[error("{0}")]
    Protocol(String),
}

/// A failure as it arrived from the far side: by its message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct RemoteError {
    /// What the far side said; by convention `Type: text`.
    pub message: Arc<str>,
    /// Where it happened, in the words of the far side's language, if that tells its peers.
    pub traceback: Option<Arc<str>>,
    /// The encoded reason, if it is plain data and no error: it is passed on as it is.
    pub(crate) reason: Option<Arc<[u8]>>,
}

/// What stands between a message and its traceback on the wire, where a failure is one text.
const TRACEBACK: &str = "\n\nRemote traceback:\n";

impl RemoteError {
    /// Reads what has arrived.
    ///
    /// ```
    /// let error = marotte::RemoteError::from_wire("KeyError: 'x'\n\nRemote traceback:\n  line 1");
    /// assert_eq!(error.to_string(), "KeyError: 'x'");
    /// assert_eq!(error.kind(), Some("KeyError"));
    /// assert_eq!(error.traceback.as_deref(), Some("  line 1"));
    /// ```
    pub fn from_wire(text: &str) -> Self {
        let (message, traceback) = match text.split_once(TRACEBACK) {
            Some((message, traceback)) => (message, Some(traceback.into())),
            None => (text, None),
        };
        Self {
            message: message.into(),
            traceback,
            reason: None,
        }
    }

    /// What goes over the wire, with or without the traceback.
    pub fn to_wire(&self, with_traceback: bool) -> Cow<'_, str> {
        match &self.traceback {
            Some(traceback) if with_traceback => {
                Cow::Owned(format!("{}{TRACEBACK}{traceback}", self.message))
            }
            _ => Cow::Borrowed(&self.message),
        }
    }

    /// The error's type, as its language calls it, if the message begins with one: `KeyError`,
    /// `sqlite3.OperationalError`.
    pub fn kind(&self) -> Option<&str> {
        let (kind, _) = self.message.split_once(':').unwrap_or((&self.message, ""));
        let is_name = |part: &str| {
            part.starts_with(|c: char| c.is_alphabetic() || c == '_')
                && part.chars().all(|c| c.is_alphanumeric() || c == '_')
        };
        kind.split(['.', '$']).all(is_name).then_some(kind)
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        Self::remote(format!(
            "TypeError: a value is not understood here: {error}"
        ))
    }
}

impl Error {
    /// A failure that a remote caller sees with this message.
    ///
    /// ```
    /// assert_eq!(marotte::Error::remote("no such builder").to_string(), "no such builder");
    /// ```
    pub fn remote(message: impl AsRef<str>) -> Self {
        Self::Remote(RemoteError {
            message: message.as_ref().into(),
            traceback: None,
            reason: None,
        })
    }

    /// Nothing answers to this selector.
    pub(crate) fn no_such_method(selector: Option<&str>) -> Self {
        Self::remote(match selector {
            Some(name) => format!("AttributeError: no remote method named {name:?}"),
            None => "TypeError: this object cannot be called without a method name".to_owned(),
        })
    }

    /// A message was sent to something that is not a reference.
    pub(crate) fn not_a_target() -> Self {
        Self::remote("TypeError: a message was sent to plain data, which has no methods")
    }
}
