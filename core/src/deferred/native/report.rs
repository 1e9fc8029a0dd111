//! Failures that nobody handled.

use std::any::Any;
use std::fmt;
use std::panic::Location;
use std::sync::{Arc, PoisonError, RwLock};

use super::failure::Failure;
use super::host::AnyError;
use crate::error::Error;

/// A failure at the end of a Deferred or of a [promise](crate::Promise) that is gone: nobody will
/// handle it any more.
///
/// ```
/// use marotte::deferred::{Deferred, set_unhandled_hook};
///
/// set_unhandled_hook(|unhandled| {
///     if let Some(error) = unhandled.downcast_ref::<std::io::Error>() {
///         println!("{:?}: {:?}", unhandled.made(), error.kind());
///     }
/// });
/// drop(Deferred::<(), _>::fail(std::io::Error::other("the disk is full")));
/// ```
pub struct Unhandled<'a> {
    failure: &'a Failure<Box<dyn AnyError>>,
    made: Option<&'static Location<'static>>,
}

impl Unhandled<'_> {
    /// The error, if it is one of that type.
    pub fn downcast_ref<E: 'static>(&self) -> Option<&E> {
        let error: &dyn Any = &**self.failure.error()?;
        error.downcast_ref()
    }

    /// True if the Deferred was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.failure.is_cancelled()
    }

    /// Where the Deferred was made. Promises do not remember.
    pub fn made(&self) -> Option<&'static Location<'static>> {
        self.made
    }
}

impl fmt::Display for Unhandled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.made {
            Some(made) => write!(f, "unhandled failure of a Deferred made at {made}: ")?,
            None => f.write_str("a promise broke and nobody looked at it: ")?,
        }
        self.failure
            .write_with(f, |error, f| write!(f, "{error:?}"))
    }
}

impl fmt::Debug for Unhandled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

type Hook = Arc<dyn Fn(&Unhandled<'_>) + Send + Sync>;

static HOOK: RwLock<Option<Hook>> = RwLock::new(None);

/// Sets what is done with every failure that nobody handles: it is called once for each, by the
/// thread that dropped the last handle on the Deferred.
///
/// Unless this is called, they are printed to standard error; but not cancellations, since somebody
/// asked for those.
///
/// ```
/// use std::sync::mpsc;
/// use marotte::deferred::{Deferred, set_unhandled_hook};
///
/// let (sender, reports) = mpsc::channel();
/// set_unhandled_hook(move |unhandled| {
///     sender.send(unhandled.to_string()).ok();
/// });
/// drop(Deferred::<(), _>::fail("the disk is full"));
/// assert!(reports.recv().unwrap().ends_with("\"the disk is full\""));
/// ```
pub fn set_unhandled_hook(hook: impl Fn(&Unhandled<'_>) + Send + Sync + 'static) {
    let hook: Hook = Arc::new(hook);
    let old = HOOK
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .replace(hook);
    drop(old);
}

/// Tells the hook. Called by a destructor, so nothing may come out of it.
pub(super) fn report(failure: &Failure<Box<dyn AnyError>>, made: &'static Location<'static>) {
    tell(failure, Some(made));
}

/// The same for a promise that broke.
pub(crate) fn report_promise(error: &Error) {
    let failure = match error {
        Error::Cancelled => Failure::Cancelled,
        error => Failure::Error(Box::new(error.clone()) as Box<dyn AnyError>),
    };
    tell(&failure, None);
}

fn tell(failure: &Failure<Box<dyn AnyError>>, made: Option<&'static Location<'static>>) {
    let unhandled = Unhandled { failure, made };
    let hook = HOOK.read().unwrap_or_else(PoisonError::into_inner).clone();
    // The code of a user's: the hook, or an error's `Debug`.
    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| match hook {
        Some(hook) => hook(&unhandled),
        None if unhandled.is_cancelled() => {}
        None => eprintln!("{unhandled}"),
    }));
    // That panic was reported by its own hook.
    drop(told);
}
