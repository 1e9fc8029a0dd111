//! References to objects, near or far.

use std::sync::{Arc, Weak};

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _, Visitor};
use serde::ser::{Error as _, Serialize, Serializer};

use super::host::{Callback, NativeVat};
use super::object::Referenceable;
use super::promise::Promise;
use super::stash::{self, REFERENCE, Stashed};
use super::{Native, ser};
use crate::deferred::Deferred;
use crate::error::Error;
use crate::host::{Host, Message, Outcome, Ref};
use crate::promise::{Cell, State};
use crate::vat::Connection;

/// A reference to an object: one of ours, or a peer's. Passing it on passes the permission to call
/// it. It is a serde value, but only Marotte's own format can carry it.
///
/// ```
/// use marotte::Reference;
/// # use std::sync::Arc;
/// # use marotte::native::{Answer, Args, Referenceable};
/// # struct Build;
/// # impl Referenceable for Build {
/// #     fn deliver(self: Arc<Self>, m: Option<&str>, _: Args<'_>) -> Answer { Answer::no_such_method(m) }
/// # }
/// let reference = Reference::new(Build);
/// assert!(reference.is_near());
/// ```
pub struct Reference {
    vat: Weak<NativeVat>,
    inner: Ref<Native>,
}

impl Reference {
    /// A reference to a new object of ours, to be passed as an argument or a result.
    pub fn new(object: impl Referenceable) -> Self {
        Self::from_arc(Arc::new(object))
    }

    /// A reference to an object of ours. The same object is always the same reference to a peer.
    pub fn from_arc(object: Arc<dyn Referenceable>) -> Self {
        Self {
            vat: Weak::new(),
            inner: Ref::Local(object),
        }
    }

    pub(crate) fn from_parts(vat: &Arc<NativeVat>, inner: Ref<Native>) -> Self {
        Self {
            vat: Arc::downgrade(vat),
            inner,
        }
    }

    pub(super) fn into_inner(self) -> Ref<Native> {
        self.inner
    }

    /// True if the object lives in this vat.
    pub fn is_near(&self) -> bool {
        matches!(self.inner, Ref::Local(_))
    }

    /// The object, if it lives in this vat.
    pub fn near(&self) -> Option<Arc<dyn Referenceable>> {
        match &self.inner {
            Ref::Local(object) => Some(Arc::clone(object)),
            _ => None,
        }
    }

    /// Sends a message; returns the promise for its result. `args` is a tuple, `()` for none.
    /// What goes wrong, an argument that cannot be passed included, breaks the promise.
    pub fn send<A: Serialize + ?Sized>(&self, method: &str, args: &A) -> Promise {
        self.transmit(Some(method), args)
    }

    /// Calls a function: a message without a method's name, as Python and JavaScript functions take it.
    pub fn call<A: Serialize + ?Sized>(&self, args: &A) -> Promise {
        self.transmit(None, args)
    }

    fn transmit<A: Serialize + ?Sized>(&self, method: Option<&str>, args: &A) -> Promise {
        match (self.vat(), ser::args(args)) {
            (Ok(vat), Ok(args)) => {
                let message = Message::new(method, args.view());
                let cell = vat.call((), &self.inner, message);
                Promise::from_parts(vat, cell)
            }
            (Ok(vat), Err(error)) => Promise::broken(vat, error),
            (Err(error), _) => Promise::detached(error),
        }
    }

    /// Sends a message whose result nobody wants: the peer sends no answer.
    ///
    /// # Errors
    /// If an argument cannot be passed.
    pub fn send_only<A: Serialize + ?Sized>(&self, method: &str, args: &A) -> Result<(), Error> {
        let args = ser::args(args)?;
        let message = Message::new(Some(method), args.view());
        self.vat()?.send((), &self.inner, message, None);
        Ok(())
    }

    /// Calls a method; a [`Deferred`] for its result, read as a `T`, whose `cancel` cancels the call. For
    /// programs that work with Deferreds, as in Foolscap.
    ///
    /// ```no_run
    /// # fn example(builder: marotte::Reference) {
    /// let results = builder.call_remote::<String, _>("getResults", &());
    /// results.map(|text| println!("{text}"));
    /// # }
    /// ```
    #[track_caller]
    pub fn call_remote<T, A>(&self, method: &str, args: &A) -> Deferred<T, Error>
    where
        T: DeserializeOwned + Send + 'static,
        A: Serialize + ?Sized,
    {
        self.send(method, args).into_deferred()
    }

    /// What the reference is now: eventual, remote, near, far or broken.
    pub fn state(&self) -> State {
        State::of::<Native>((), &self.inner)
    }

    /// Calls `f` once, in a turn of its own, when the connection that the reference came over has ended,
    /// with the reason, which names the peer. It is never called for an object of this vat.
    pub fn notify_on_disconnect(&self, f: impl FnOnce(Error) + Send + 'static) -> Watcher {
        let Ref::Far(import) = &self.inner else {
            return Watcher(None);
        };
        let connection = Arc::clone(import.connection());
        let callback = Callback::Run(Box::new(move |outcome| {
            if let Outcome::Broken(reason) = outcome {
                f(reason);
            }
        }));
        let number = connection.watch((), callback);
        Watcher(Some((connection, number)))
    }

    fn vat(&self) -> Result<Arc<NativeVat>, Error> {
        if let Ref::Far(import) = &self.inner
            && let Some(vat) = import.connection().vat()
        {
            return Ok(vat);
        }
        self.vat.upgrade().ok_or_else(|| {
            Error::Misuse(
                "this reference belongs to no tub (yet); make it with Tub::reference to send to it"
                    .to_owned(),
            )
        })
    }
}

/// What [`Reference::notify_on_disconnect`] gives, to take it back. Dropping this leaves it in force.
#[derive(Debug)]
pub struct Watcher(Option<(Arc<Connection<Native>>, u64)>);

impl Watcher {
    /// Takes it back. False if the function has been called, or will be in a turn that waits already.
    pub fn forget(self) -> bool {
        self.0
            .is_some_and(|(connection, number)| connection.unwatch(number).is_some())
    }
}

impl Clone for Reference {
    fn clone(&self) -> Self {
        Self {
            vat: Weak::clone(&self.vat),
            inner: self.inner.dup(()),
        }
    }
}

impl std::fmt::Debug for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Reference").field(&self.inner).finish()
    }
}

impl PartialEq for Reference {
    /// Same object: pass-invariant for references that came from the same peer.
    fn eq(&self, other: &Self) -> bool {
        match (&self.inner, &other.inner) {
            (Ref::Local(a), Ref::Local(b)) => Native::identity(a) == Native::identity(b),
            (Ref::Far(a), Ref::Far(b)) => Arc::ptr_eq(a, b),
            (Ref::Promise(a), Ref::Promise(b)) => Native::is_same_promise(a, b),
            _ => false,
        }
    }
}

impl From<Promise> for Reference {
    fn from(promise: Promise) -> Self {
        let (vat, cell) = promise.into_parts();
        Self {
            vat: Arc::downgrade(&vat),
            inner: Ref::Promise(cell),
        }
    }
}

impl From<Reference> for Promise {
    /// A promise for the reference, settled unless the reference is itself a promise.
    fn from(reference: Reference) -> Self {
        match reference.vat() {
            Err(error) => Self::detached(error),
            Ok(vat) => match reference.inner {
                Ref::Promise(cell) => Self::from_parts(vat, cell),
                inner => {
                    let value = Native::value_of((), inner);
                    let outcome = Outcome::Fulfilled(value);
                    let cell = Native::new_promise((), &vat, Cell::settled(outcome));
                    Self::from_parts(vat, cell)
                }
            },
        }
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        stash::put(Stashed::Reference(self.clone()));
        let done = serializer.serialize_newtype_struct(REFERENCE, &());
        if stash::take().is_some() {
            return Err(S::Error::custom(
                "a reference can be carried by marotte only",
            ));
        }
        done
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Taker;
        impl<'de> Visitor<'de> for Taker {
            type Value = Reference;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a reference")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                _: D,
            ) -> Result<Reference, D::Error> {
                match stash::take() {
                    Some(Stashed::Reference(reference)) => Ok(reference),
                    _ => Err(D::Error::custom("expected a reference")),
                }
            }
        }
        deserializer.deserialize_newtype_struct(REFERENCE, Taker)
    }
}
