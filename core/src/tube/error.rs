//! What goes wrong in a native stage or in the machine itself.

use std::sync::Arc;

/// An error in a flow. It is the reason with which the flow stops, both ways.
///
/// It is one pointer, so that results with items of a word or less are passed in registers.
#[derive(Debug, Clone, thiserror::Error)]
#[error(transparent)]
pub struct Error(Arc<Problem>);

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A frame is longer than allowed.
    #[error(
        "a frame is longer than {limit} bytes; if that is meant, give the stage a higher maxLength"
    )]
    FrameTooLong {
        /// The most bytes that a frame may have.
        limit: usize,
    },
    /// The flow ended inside a frame.
    #[error("the flow ended in the middle of a frame")]
    Truncated {
        /// How many bytes of it were still held.
        held: usize,
    },
    /// A frame does not have the form that it should.
    #[error("malformed {what}: {detail}")]
    Malformed {
        /// Of what kind the frame is.
        what: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// Something cannot be put into a frame.
    #[error("cannot frame {what}: {detail}")]
    Unframeable {
        /// What kind of frame.
        what: &'static str,
        /// Why it cannot.
        detail: String,
    },
    /// A stage was given something that it does not take.
    #[error("the stage takes {expected}, but was given {found}")]
    WrongType {
        /// What it takes.
        expected: &'static str,
        /// What it was given.
        found: String,
    },
    /// A fount went on although it was paused.
    #[error(
        "the fount sent {limit} items although it was paused; a fount must heed pauseFlow, or flow \
         through a buffer that drops"
    )]
    Overrun {
        /// How many items were kept before giving up.
        limit: usize,
    },
    /// A branch of a fan-out fell behind and its policy is to stop it.
    #[error("the branch fell more than {limit} items behind and was stopped")]
    Laggard {
        /// How far it was allowed to fall behind.
        limit: usize,
    },
    /// Nothing came for too long.
    #[error("nothing came for {limit:?}")]
    TimedOut {
        /// How long it was waited for.
        limit: std::time::Duration,
    },
    /// A failure of the host's language, in its words.
    #[error("{0}")]
    Host(String),
    /// What a closure or codec of somebody else raised.
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// An error of that kind.
    #[cold]
    pub fn new(problem: Problem) -> Self {
        Self(Arc::new(problem))
    }

    /// What went wrong.
    pub fn problem(&self) -> &Problem {
        &self.0
    }

    /// Wraps another library's error.
    ///
    /// ```
    /// let bad = "x".parse::<u8>().unwrap_err();
    /// assert_eq!(marotte::tube::Error::other(bad).to_string(), "invalid digit found in string");
    /// ```
    pub fn other(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::new(Problem::Other(Box::new(error)))
    }
}

/// Why a flow of Rust's stopped.
#[derive(Debug, Clone)]
pub enum Reason {
    /// The source has no more.
    Done,
    /// The consumer wants no more.
    Stopped,
    /// Something failed.
    Failed(Error),
}
