//! Handles that do not own a result.

use std::sync::{Arc, Weak};

use super::host::{Link, Rust, Shared};
use crate::deferred::{Host, cancel, pause, unpause};
use crate::flat::drop_flat;

/// Cancels or pauses a Deferred from elsewhere, whatever its type.
///
/// It does not keep the Deferred alive. Once that is gone, these methods do nothing.
///
/// ```
/// use marotte::deferred::Deferred;
///
/// let (build, resolver) = Deferred::<u32, String>::new();
/// let stop = build.control();
/// let failed = std::thread::spawn(move || build.or_else(|failure| {
///     println!("{failure}");
///     0
/// }));
/// stop.cancel();
/// assert!(stop.is_called());
/// # failed.join().unwrap();
/// # drop(resolver);
/// ```
#[derive(Clone)]
pub struct Control {
    shared: Weak<Shared>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.shared.upgrade() {
            Some(link) => write!(f, "Control({link:?})"),
            None => f.write_str("Control(gone)"),
        }
    }
}

impl Control {
    pub(super) fn new(link: &Link) -> Self {
        Self {
            shared: Arc::downgrade(link),
        }
    }

    /// Cancels it: see [`Deferred::cancel`](super::Deferred::cancel).
    pub fn cancel(&self) {
        if let Some(link) = self.shared.upgrade() {
            let Ok(()) = cancel::<Rust>((), &link);
        }
    }

    /// Holds it: see [`Deferred::pause`](super::Deferred::pause). `None` if it is gone.
    pub fn pause(&self) -> Option<Paused> {
        self.shared.upgrade().as_ref().map(Paused::new)
    }

    /// True once it has fired, or is gone.
    pub fn is_called(&self) -> bool {
        self.shared
            .upgrade()
            .is_none_or(|link| Rust::with((), &link, |chain| chain.called()))
    }
}

/// Holds a Deferred until it is dropped. There may be several for one.
///
/// ```
/// # use marotte::deferred::Deferred;
/// let (deferred, resolver) = Deferred::<u32, String>::new();
/// let paused = deferred.control().pause().unwrap();
/// resolver.callback(4).unwrap();
/// let deferred = deferred.try_take().unwrap_err();
/// drop(paused);
/// assert_eq!(deferred.try_take().unwrap(), Ok(4));
/// ```
#[must_use = "the Deferred goes on when this is dropped"]
pub struct Paused {
    link: Option<Link>,
}

impl std::fmt::Debug for Paused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Paused").field(&self.link).finish()
    }
}

impl Paused {
    pub(super) fn new(link: &Link) -> Self {
        pause::<Rust>((), link);
        Self {
            link: Some(Arc::clone(link)),
        }
    }

    /// Lets it go on, if this was the last: the same as dropping it.
    ///
    /// ```
    /// # use marotte::deferred::Deferred;
    /// let deferred = Deferred::<u32, ()>::succeed(4);
    /// let (one, other) = (deferred.pause(), deferred.pause());
    /// one.unpause();
    /// let deferred = deferred.try_take().unwrap_err();
    /// other.unpause();
    /// assert!(deferred.try_take().is_ok());
    /// ```
    pub fn unpause(self) {
        drop(self);
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        // A callback may hold the next of these, and so on.
        drop_flat(self.link.take().map(Released));
    }
}

/// Goes on with a Deferred when it is dropped itself.
struct Released(Link);

impl Drop for Released {
    fn drop(&mut self) {
        unpause::<Rust>((), &self.0);
    }
}
