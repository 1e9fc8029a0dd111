//! `impl Host` for Rust.
//!
//! There is one host for all types, and a value travels as a `Box<dyn Any>`: so [`map`] can change
//! the type of a Deferred in its own ladder, and Deferreds of different types can wait for one
//! another. A host for each pair of types would have to join two ladders by a callback wherever the
//! type changes, and ladders that call each other recurse.
//!
//! [`map`]: super::Deferred::map

use std::any::Any;
use std::convert::Infallible;
use std::fmt::Debug;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::failure::Failure;
use super::report::report;
use crate::deferred::{Chain, Host, Outcome, Returned, fire};
use crate::sync::lock;

/// The Rust host.
pub(super) enum Rust {}

/// A user's error, of any type.
pub(super) trait AnyError: Any + Debug + Send {}

impl<E: Any + Debug + Send> AnyError for E {}

/// An `Option<T>`, so that the box can be used again; `None` is the unit.
pub(super) type Value = Option<Box<dyn Any + Send>>;
/// `None` where it was taken away.
pub(super) type Fault = Option<Failure<Box<dyn AnyError>>>;
pub(super) type Callback = Box<dyn FnOnce(Outcome<Rust>) -> Returned<Rust> + Send>;
pub(super) type Canceller = Box<dyn FnOnce(&Link) + Send>;
pub(super) type Link = Arc<Shared>;

/// One Deferred.
pub(super) struct Shared {
    chain: Mutex<Chain<Rust>>,
    /// Its canceller is being called: a resolver that is dropped by that did what it should.
    cancelling: AtomicBool,
    made: &'static Location<'static>,
}

impl Shared {
    #[track_caller]
    pub(super) fn pending(canceller: Option<Canceller>) -> Link {
        let canceller = canceller.map(|canceller| Arc::new(Mutex::new(Some(canceller))));
        Self::with_chain(Chain::new(canceller))
    }

    #[track_caller]
    pub(super) fn fired(outcome: Outcome<Rust>) -> Link {
        Self::with_chain(Chain::fired(outcome))
    }

    #[track_caller]
    fn with_chain(chain: Chain<Rust>) -> Link {
        Arc::new(Self {
            chain: Mutex::new(chain),
            cancelling: AtomicBool::new(false),
            made: Location::caller(),
        })
    }

    pub(super) fn is_cancelling(&self) -> bool {
        self.cancelling.load(Ordering::Acquire)
    }
}

impl Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let chain = lock(&self.chain);
        let state = if chain.waiting_on().is_some() {
            "waiting"
        } else if chain.called() {
            "fired"
        } else {
            "pending"
        };
        write!(f, "{state}, made at {}", self.made)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let chain = self.chain.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(Some(failure)) = chain.unhandled() {
            report(failure, self.made);
        }
    }
}

impl Host for Rust {
    type Cx<'a> = ();
    type Value = Value;
    type Failure = Fault;
    type Callback = Callback;
    type Canceller = Arc<Mutex<Option<Canceller>>>;
    type Raised = Infallible;
    type Link = Link;
    type BackLink = Weak<Shared>;

    const SHARES: bool = false;

    fn unit((): ()) -> Value {
        None
    }

    fn split((): (), outcome: Outcome<Self>) -> (Outcome<Self>, Outcome<Self>) {
        // What stays behind is of the same kind.
        let stays = match &outcome {
            Ok(_) => Ok(None),
            Err(_) => Err(None),
        };
        (outcome, stays)
    }

    fn dup((): (), link: &Link) -> Link {
        Arc::clone(link)
    }

    fn dup_canceller((): (), canceller: &Self::Canceller) -> Self::Canceller {
        Arc::clone(canceller)
    }

    fn is_same(one: &Link, other: &Link) -> bool {
        Arc::ptr_eq(one, other)
    }

    fn back((): (), link: &Link) -> Weak<Shared> {
        Arc::downgrade(link)
    }

    fn forth((): (), back: &Weak<Shared>) -> Option<Link> {
        back.upgrade()
    }

    fn with<R>((): (), link: &Link, f: impl FnOnce(&mut Chain<Self>) -> R) -> R {
        f(&mut lock(&link.chain))
    }

    fn already_called((): (), _: &Link) -> Fault {
        // For `Returned::Fire`, which this host does not use.
        None
    }

    fn is_shallow(outcome: &Outcome<Self>) -> bool {
        matches!(outcome, Ok(None) | Err(None))
    }

    fn call((): (), link: &Link, callback: Callback, outcome: Outcome<Self>) -> Returned<Self> {
        match caught(|| callback(outcome)) {
            // It would wait for itself for ever, and hold itself alive meanwhile.
            Ok(Returned::Deferred(inner)) if Arc::ptr_eq(link, &inner) => {
                Returned::Outcome(Err(Some(Failure::Dropped)))
            }
            Ok(returned) => returned,
            Err(panicked) => Returned::Outcome(Err(Some(panicked))),
        }
    }

    fn call_canceller((): (), link: &Link, canceller: &Self::Canceller) -> Result<(), Infallible> {
        // One that is cancelled by its own canceller finds it gone, and fails as cancelled.
        let canceller = lock(canceller).take();
        if let Some(canceller) = canceller {
            link.cancelling.store(true, Ordering::Release);
            // Whatever a panic left undone, nobody wants the result any more; the panic was
            // reported by its hook.
            drop(caught::<_, ()>(|| canceller(link)));
            link.cancelling.store(false, Ordering::Release);
        }
        Ok(())
    }

    fn fire_cancelled((): (), link: &Link) -> Result<(), Infallible> {
        // Another thread may have fired it just now.
        let _ = fire::<Self>((), link, Err(Some(Failure::Cancelled)));
        Ok(())
    }
}

/// Runs code of a user's. A panic there is a failure like others: it must not leave a ladder
/// running for ever.
pub(super) fn caught<T, E>(run: impl FnOnce() -> T) -> Result<T, Failure<E>> {
    // What was half done stays with the user's own objects, as with any failure.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).map_err(|payload| {
        let text = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned());
        Failure::Panicked(text.unwrap_or_else(|| "a panic without a message".to_owned()))
    })
}

pub(super) fn boxed(f: impl FnOnce(Outcome<Rust>) -> Returned<Rust> + Send + 'static) -> Callback {
    Box::new(f)
}

pub(super) fn seal<T: Send + 'static, E: Debug + Send + 'static>(
    outcome: Result<T, Failure<E>>,
) -> Outcome<Rust> {
    match outcome {
        Ok(value) => Ok(Some(Box::new(Some(value)))),
        Err(failure) => Err(Some(
            failure.map(|error| Box::new(error) as Box<dyn AnyError>),
        )),
    }
}

/// The types are right, because whoever changes them has the only `Deferred` there is of a ladder.
/// For the same reason nothing was taken away; should it be, that is a result that never comes.
pub(super) fn open<T: 'static, E: 'static>(outcome: Outcome<Rust>) -> Result<T, Failure<E>> {
    match outcome {
        Ok(value) => unbox(value).ok_or(Failure::Dropped),
        Err(fault) => Err(open_fault(fault)),
    }
}

pub(super) fn unbox<T: 'static>(value: Value) -> Option<T> {
    place::<T>(value)?.take()
}

/// Where the value lies, so that another can be laid there.
pub(super) fn place<T: 'static>(value: Value) -> Option<Box<Option<T>>> {
    value?.downcast().ok()
}

pub(super) fn open_fault<E: 'static>(fault: Fault) -> Failure<E> {
    let Some(failure) = fault else {
        return Failure::Dropped;
    };
    match failure.without_error() {
        Ok(other) => other,
        Err(error) => match (error as Box<dyn Any>).downcast::<E>() {
            Ok(error) => Failure::Error(*error),
            Err(_) => Failure::Dropped,
        },
    }
}
