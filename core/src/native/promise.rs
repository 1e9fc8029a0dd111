//! Promises in Rust.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde::ser::Serializer;

use super::host::{Callback, NativeVat, PromiseCell};
use super::reference::Reference;
use super::runtime::{BoxFuture, Home, Runtime};
use super::value::Value;
use super::work::Unfinished;
use super::{Native, de, ser};
use crate::error::Error;
use crate::host::{Host, Message, Outcome, Ref, Reply};
use crate::promise::{Cell, State};
use crate::sync::lock;
use crate::vat::{Extension, Vat};

/// A value that is not here yet. Messages sent to it travel ahead to where it will be.
///
/// It can be used from any thread, cloned, awaited (as a [`Value`]), read as a type
/// ([`Promise::when`]), and passed as an argument.
#[derive(Clone)]
#[must_use = "a broken promise that nobody looks at goes unnoticed; use send_only for no answer"]
pub struct Promise {
    vat: Arc<NativeVat>,
    cell: PromiseCell,
}

impl std::fmt::Debug for Promise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Promise").field(&*self.cell.lock()).finish()
    }
}

/// The runtime of promises that never had one: they are settled already.
struct Nowhere;

impl Runtime for Nowhere {
    fn schedule_turns(&self) {}
    fn spawn(&self, _: BoxFuture<()>) {}
}

impl Promise {
    pub(crate) fn from_parts(vat: Arc<NativeVat>, cell: PromiseCell) -> Self {
        Self { vat, cell }
    }

    pub(super) fn into_parts(self) -> (Arc<NativeVat>, PromiseCell) {
        (self.vat, self.cell)
    }

    pub(super) fn vat(&self) -> &Arc<NativeVat> {
        &self.vat
    }

    /// Runs `f` with the outcome, in a turn of its own.
    pub(super) fn react(&self, f: impl FnOnce(Outcome<Native>) + Send + 'static) {
        self.vat.when((), &self.cell, Callback::Run(Box::new(f)));
    }

    /// What the reference is now: eventual, remote, near, far or broken.
    pub fn state(&self) -> State {
        State::of::<Native>((), &Ref::Promise(self.cell.clone()))
    }

    pub(super) fn into_cell(self) -> PromiseCell {
        self.cell
    }

    /// A promise that is broken from the start.
    pub(crate) fn broken(vat: Arc<NativeVat>, error: Error) -> Self {
        let cell = Native::new_promise((), &vat, Cell::settled(Outcome::Broken(error)));
        Self { vat, cell }
    }

    pub(super) fn detached(error: Error) -> Self {
        Self::broken(Vat::new(Home::new(Nowhere)), error)
    }

    /// Sends a message to what this promise will be; returns the promise for its result. `args` is
    /// a tuple, `()` for none. What goes wrong breaks the promise returned.
    pub fn send<A: Serialize + ?Sized>(&self, method: &str, args: &A) -> Self {
        Reference::from(self.clone()).send(method, args)
    }

    /// Calls the function that this promise will be: a message without a method's name.
    pub fn call<A: Serialize + ?Sized>(&self, args: &A) -> Self {
        Reference::from(self.clone()).call(args)
    }

    /// Sends a message whose result nobody wants.
    ///
    /// # Errors
    /// If an argument cannot be passed.
    pub fn send_only<A: Serialize + ?Sized>(&self, method: &str, args: &A) -> Result<(), Error> {
        Reference::from(self.clone()).send_only(method, args)
    }

    /// The value, read as a `T`, once it is there.
    ///
    /// # Errors
    /// (Of the future.) Why the promise broke, or that the value is not a `T`.
    pub fn when<T: DeserializeOwned>(&self) -> When<T> {
        When {
            promise: self.clone(),
            waker: None,
            result: PhantomData,
        }
    }

    /// Runs `f` with the value, in a turn of its own; the result is the promise for what `f`
    /// returns. Failures pass by.
    pub fn then<T, R>(&self, f: impl FnOnce(T) -> R + Send + 'static) -> Self
    where
        T: DeserializeOwned,
        R: Serialize,
    {
        self.chain(move |vat, outcome| ser::value(&f(read(vat, outcome)?)))
    }

    /// Runs `f` with the failure, in a turn of its own; the result is the promise for what `f`
    /// returns in its place. Values pass by.
    pub fn except<R: Serialize>(&self, f: impl FnOnce(Error) -> R + Send + 'static) -> Self {
        self.chain(move |_, outcome| match outcome {
            Outcome::Fulfilled(value) => {
                let refs = value
                    .view()
                    .refs()
                    .iter()
                    .map(|reference| reference.dup(()))
                    .collect();
                Ok(crate::passable::Passable::from_parts(
                    value.view().bytes(),
                    refs,
                ))
            }
            Outcome::Broken(error) => ser::value(&f(error)),
        })
    }

    fn chain(
        &self,
        f: impl FnOnce(
            &Arc<NativeVat>,
            Outcome<Native>,
        ) -> Result<crate::passable::Passable<Ref<Native>>, Error>
        + Send
        + 'static,
    ) -> Self {
        let next = Self::from_parts(
            Arc::clone(&self.vat),
            Native::new_promise((), &self.vat, Cell::result()),
        );
        let vat = Arc::clone(&self.vat);
        // If the callback is never run, or panics, the next promise breaks.
        let unfinished = Unfinished::new(&vat, &next.cell);
        let callback = Callback::Run(Box::new(move |outcome| {
            let reply = match f(&vat, outcome) {
                Ok(value) => Reply::Value(super::Passed::new(value)),
                Err(error) => Reply::Failure(error),
            };
            unfinished.finish(reply);
        }));
        self.vat.then((), &self.cell, callback, &next.cell);
        next
    }

    /// The part of this promise's value that a path leads to, without waiting for the whole of it: keys
    /// of dictionaries and indices of lists (negative ones from the end), as a tuple or a list; or one of
    /// them by itself.
    ///
    /// ```no_run
    /// # async fn example(status: marotte::Promise) -> Result<(), marotte::Error> {
    /// let name: String = status.send("getReport", &()).get(&("steps", 0, "name")).when().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn get<P: Serialize + ?Sized>(&self, path: &P) -> Self {
        let vat = Arc::clone(&self.vat);
        match ser::value(path) {
            Ok(path) => {
                // A list of keys are the arguments; so is a key that is none.
                let mut args = path.view();
                if let Some(keys) = args.bytes.strip_prefix(b"[") {
                    args.bytes = &keys[..keys.len() - 1];
                } else if args.reader().at_null() {
                    args.bytes = &[];
                }
                let message = Message::new(Some(Extension::Get.selector()), args);
                let cell = vat.call((), &Ref::Promise(self.cell.clone()), message);
                Self { vat, cell }
            }
            Err(error) => Self::broken(vat, error),
        }
    }

    /// Calls `f` once, with a promise that stands for the items of the list that this promise is for,
    /// and has what it sends done for each item over there: one message goes out and one comes back,
    /// however long the list is. The result is the promise for the list of what `f` returns.
    ///
    /// `f` returns any serde value, such as a promise or a struct of promises, whose values come in
    /// their place. It cannot look at values, only send messages.
    ///
    /// ```no_run
    /// # async fn example(status: marotte::Promise) -> Result<(), marotte::Error> {
    /// let results: Vec<String> = status
    ///     .send("getBuilders", &())
    ///     .map(|builder| builder.send("getBuild", &(-1,)).send("getResults", &()))
    ///     .when()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn map<R: Serialize>(&self, f: impl FnOnce(Self) -> R) -> Self {
        let (recording, item) = self.vat.record(());
        let item = Self::from_parts(Arc::clone(&self.vat), item);
        let sent = match ser::value(&f(item)) {
            Ok(result) => {
                let target = Ref::Promise(self.cell.clone());
                recording.finish((), &target, result.view())
            }
            Err(error) => {
                recording.abandon(());
                Err(error)
            }
        };
        match sent {
            Ok(cell) => Self::from_parts(Arc::clone(&self.vat), cell),
            Err(error) => Self::broken(Arc::clone(&self.vat), error),
        }
    }

    /// Breaks the promise, if it is pending, with [`Error::Cancelled`], and tells whoever works on it
    /// that it is needed no more: an object elsewhere too. It reaches back through [`Self::then`],
    /// [`Self::except`] and promises that this one was resolved to, as far as nobody else uses those. See
    /// [`Vat::cancel`].
    ///
    /// ```no_run
    /// # async fn example(status: marotte::Promise) {
    /// let slow = status.send("rebuild", &());
    /// slow.cancel();
    /// assert_eq!(slow.when::<()>().await, Err(marotte::Error::Cancelled));
    /// # }
    /// ```
    pub fn cancel(&self) {
        self.vat.cancel((), &self.cell, Error::Cancelled);
    }

    /// True until the promise settles.
    pub fn is_pending(&self) -> bool {
        self.cell.lock().is_pending()
    }
}

/// An outcome, read as a `T`.
pub(super) fn read<T: DeserializeOwned>(
    vat: &Arc<NativeVat>,
    outcome: Outcome<Native>,
) -> Result<T, Error> {
    match outcome {
        Outcome::Fulfilled(value) => de::read(&mut value.view().reader(), vat),
        Outcome::Broken(error) => Err(error),
    }
}

/// The future of [`Promise::when`].
#[must_use = "futures do nothing unless awaited"]
pub struct When<T> {
    promise: Promise,
    waker: Option<Arc<Mutex<Waker>>>,
    result: PhantomData<fn() -> T>,
}

impl<T> std::fmt::Debug for When<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("When").field(&self.promise).finish()
    }
}

impl<T: DeserializeOwned> Future for When<T> {
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        // Before the look at the outcome: whoever settles the promise in between wakes the right
        // task.
        if let Some(waker) = &this.waker {
            lock(waker).clone_from(cx.waker());
        }
        let outcome = {
            let mut cell = this.promise.cell.lock();
            cell.mark_handled();
            cell.outcome().map(|outcome| outcome.dup(()))
        };
        match (outcome, &this.waker) {
            (Some(outcome), _) => return Poll::Ready(read(&this.promise.vat, outcome)),
            (None, Some(_)) => {}
            (None, None) => {
                let waker = Arc::new(Mutex::new(cx.waker().clone()));
                this.waker = Some(Arc::clone(&waker));
                this.promise
                    .vat
                    .when((), &this.promise.cell, Callback::Wake(waker));
            }
        }
        Poll::Pending
    }
}

impl IntoFuture for Promise {
    type Output = Result<Value, Error>;
    type IntoFuture = When<Value>;

    fn into_future(self) -> When<Value> {
        self.when()
    }
}

impl Serialize for Promise {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Reference::from(self.clone()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Promise {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Reference::deserialize(deserializer).map(Self::from)
    }
}
