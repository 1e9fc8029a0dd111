//! Tokio's time.

use std::time::Duration;

use super::clock::{Clock, Stop};
use crate::error::Error;

/// The clock of a tokio runtime, which must have its timers enabled. Timeouts run their callbacks on
/// the runtime's threads.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// use std::time::Duration;
/// use marotte::deferred::{Deferred, Failure, TokioClock};
///
/// let (build, _resolver) = Deferred::<u32, String>::new();
/// build.add_timeout(Duration::from_millis(1), &TokioClock::current()?);
/// assert!(build.await.unwrap_err().is_timed_out());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct TokioClock {
    runtime: tokio::runtime::Handle,
}

impl TokioClock {
    /// Of that runtime.
    pub fn new(runtime: tokio::runtime::Handle) -> Self {
        Self { runtime }
    }

    /// Of the runtime that this is called in.
    ///
    /// # Errors
    /// If it is called outside of all.
    pub fn current() -> Result<Self, Error> {
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => Ok(Self::new(runtime)),
            Err(_) => Err(Error::Misuse(
                "there is no tokio runtime here; give its handle to TokioClock::new".to_owned(),
            )),
        }
    }
}

impl Clock for TokioClock {
    fn call_later(&self, after: Duration, call: Box<dyn FnOnce() + Send>) -> Stop {
        let task = self.runtime.spawn(async move {
            tokio::time::sleep(after).await;
            call();
        });
        Box::new(move || task.abort())
    }
}
