//! `class Deferred`.

#![allow(non_snake_case, reason = "the names are Twisted's")]

use std::sync::atomic::AtomicU8;

use marotte::deferred::{self, AlreadyCalled, Chain, Entry, Firing, Outcome, Returned};
use pyo3::exceptions::{PyAttributeError, PyDeprecationWarning};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};

use crate::host::PyHost;

use super::attributes;
use super::callback::{Callback, Canceller, Continuation, keywords};
use super::context;
use super::debug::{debugs_all, own};
use super::guard::{Guard, Guarded};
use super::parts::{Kind, is_failure, kind_of, parts};
use super::pickling;

/// A result that is not here yet.
#[pyclass(subclass, frozen, weakref, module = "marotte.defer")]
pub(crate) struct Deferred {
    inner: Guarded<Inner>,
    /// Whether this one keeps the stacks of its maker and its caller: see [`debug`](super::debug).
    pub(super) debug: AtomicU8,
}

pub(super) struct Inner {
    pub(super) chain: Chain<PyHost>,
    /// What few have.
    more: Option<Box<More>>,
}

#[derive(Default)]
struct More {
    /// Reports a failure that nobody handled; made when there is something to keep.
    info: Option<Py<PyAny>>,
    /// Arbitrary attributes: see [`attributes`](super::attributes).
    attributes: Option<Py<PyDict>>,
}

impl Inner {
    pub(super) fn info(&self) -> Option<&Py<PyAny>> {
        self.more.as_ref()?.info.as_ref()
    }

    /// Only where there is none, likewise.
    pub(super) fn set_info(&mut self, info: Py<PyAny>) {
        let slot = &mut self.more.get_or_insert_default().info;
        slot.get_or_insert(info);
    }

    pub(super) fn attributes<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyDict>> {
        let attributes = self.more.as_ref()?.attributes.as_ref()?;
        Some(attributes.bind(py).clone())
    }

    pub(super) fn has_attributes(&self) -> bool {
        self.more
            .as_ref()
            .is_some_and(|more| more.attributes.is_some())
    }

    /// Only where there are none: what would be replaced would be dropped under the borrow.
    pub(super) fn set_attributes(&mut self, attributes: Py<PyDict>) {
        let slot = &mut self.more.get_or_insert_default().attributes;
        slot.get_or_insert(attributes);
    }
}

/// A result given from outside, as an outcome.
pub(super) fn outcome_of(result: &Bound<'_, PyAny>) -> Outcome<PyHost> {
    if is_failure(result) {
        Err(result.clone().unbind())
    } else {
        Ok(result.clone().unbind())
    }
}

impl Deferred {
    pub(super) fn around(chain: Chain<PyHost>) -> Self {
        Self {
            inner: Guarded::new(Inner { chain, more: None }),
            debug: AtomicU8::new(own::UNSET),
        }
    }

    /// A new one of exactly this class.
    pub(super) fn create(py: Python<'_>, chain: Chain<PyHost>) -> PyResult<Bound<'_, Self>> {
        let deferred = Bound::new(py, Self::around(chain))?;
        if debugs_all() {
            Self::note_creator(&deferred)?;
        }
        Ok(deferred)
    }

    #[inline]
    pub(super) fn inner<'a>(&'a self, py: Python<'a>) -> Guard<'a, Inner> {
        self.inner.lock(py)
    }

    /// Fires it without asking whether a subclass does that in another way.
    pub(super) fn fire(slf: &Bound<'_, Self>, outcome: Outcome<PyHost>) -> PyResult<()> {
        let py = slf.py();
        // Callbacks may fire others, whose callbacks fire others.
        let _deeper = context::deeper()?;
        Self::note_invoker(slf)?;
        deferred::fire::<PyHost>(py, slf.as_unbound(), outcome).map_err(|AlreadyCalled(outcome)| {
            drop(outcome);
            Self::already_called(slf).unwrap_or_else(|error| error)
        })
    }

    /// For callbacks whose end is to fire another Deferred: what they return then.
    pub(super) fn fire_next(
        slf: &Bound<'_, Self>,
        outcome: Outcome<PyHost>,
        result: Outcome<PyHost>,
    ) -> PyResult<Returned<PyHost>> {
        Self::note_invoker(slf)?;
        Ok(Returned::Fire(Box::new(Firing {
            result,
            other: slf.clone().unbind(),
            outcome,
        })))
    }

    /// The latest result, or the Deferred that is waited for.
    fn current(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let inner = self.inner(py);
        match (inner.chain.outcome(), inner.chain.waiting_on()) {
            (Some(Ok(result) | Err(result)), _) => Some(result.clone_ref(py)),
            (None, Some(waited_for)) => Some(waited_for.clone_ref(py).into_any()),
            (None, None) => None,
        }
    }
}

/// ``None`` may stand for no arguments.
fn extra<'a, 'py>(
    args: Option<&'a Bound<'py, PyAny>>,
    kwargs: Option<&'a Bound<'py, PyAny>>,
    py: Python<'py>,
) -> PyResult<(Bound<'py, PyTuple>, Option<Bound<'py, PyDict>>)> {
    let args = match args {
        None => PyTuple::empty(py),
        Some(args) => match args.cast::<PyTuple>() {
            Ok(args) => args.clone(),
            Err(_) => PyTuple::new(py, args.try_iter()?.collect::<PyResult<Vec<_>>>()?)?,
        },
    };
    Ok((args, kwargs.map(keywords).transpose()?))
}

#[pymethods]
impl Deferred {
    /// Subclasses define ``__init__`` as they like.
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::around(Chain::new(None))
    }

    /// ``canceller(deferred)`` is called if somebody cancels it before it has fired.
    #[pyo3(signature = (canceller=None))]
    pub(super) fn __init__(slf: &Bound<'_, Self>, canceller: Option<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        if let Some(canceller) = canceller {
            let old = slf
                .get()
                .inner(py)
                .chain
                .set_canceller(Some(Canceller::Python(canceller)));
            drop(old);
        }
        if Self::debugs(slf) {
            Self::note_creator(slf)?;
        }
        Ok(())
    }

    // addCallback, addErrback, addBoth and callback are in `fast`.

    /// Adds a pair: one of them is called, with a result or with a failure. Returns the Deferred.
    #[pyo3(signature = (callback, errback=None, callbackArgs=None, callbackKeywords=None, errbackArgs=None, errbackKeywords=None))]
    fn addCallbacks<'py>(
        slf: Bound<'py, Self>,
        callback: Bound<'py, PyAny>,
        errback: Option<Bound<'py, PyAny>>,
        callbackArgs: Option<Bound<'py, PyAny>>,
        callbackKeywords: Option<Bound<'py, PyAny>>,
        errbackArgs: Option<Bound<'py, PyAny>>,
        errbackKeywords: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        let py = slf.py();
        let (args, kwargs) = extra(callbackArgs.as_ref(), callbackKeywords.as_ref(), py)?;
        let callback = Callback::new(callback, &args, kwargs.as_ref());
        let entry = match errback {
            None => Entry::Callback(callback),
            Some(errback) => {
                let (args, kwargs) = extra(errbackArgs.as_ref(), errbackKeywords.as_ref(), py)?;
                Entry::Pair(Box::new((
                    callback,
                    Callback::new(errback, &args, kwargs.as_ref()),
                )))
            }
        };
        deferred::add::<PyHost>(py, slf.as_unbound(), entry);
        Ok(slf)
    }

    /// Fires the Deferred with a failure: a ``Failure``, an exception, or by default the exception
    /// that is being handled. Raises ``AlreadyCalledError`` if it has fired before.
    #[pyo3(signature = (fail=None))]
    pub(super) fn errback(slf: &Bound<'_, Self>, fail: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let failure = match fail {
            Some(failure) if is_failure(&failure) => failure,
            Some(error) => parts(py)?.failure.bind(py).call1((error,))?,
            None => {
                let kwargs = PyDict::new(py);
                kwargs.set_item(intern!(py, "captureVars"), Self::debugs(slf))?;
                parts(py)?.failure.bind(py).call((), Some(&kwargs))?
            }
        };
        Self::fire(slf, Err(failure.unbind()))
    }

    /// Runs no more callbacks until it is unpaused as often.
    fn pause(slf: &Bound<'_, Self>) {
        deferred::pause::<PyHost>(slf.py(), slf.as_unbound());
    }

    /// Takes back one ``pause()``.
    fn unpause(slf: &Bound<'_, Self>) {
        deferred::unpause::<PyHost>(slf.py(), slf.as_unbound());
    }

    /// Cancels what this stands for: asks the canceller, or fails with ``CancelledError``. If it waits
    /// for another Deferred, that one is cancelled; if it has fired, nothing happens.
    fn cancel(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        // Cancellers may cancel others, in a circle perhaps.
        let _deeper = context::deeper()?;
        let result = {
            let inner = slf.get().inner(py);
            match inner.chain.outcome() {
                Some(Ok(result)) if inner.chain.called() => Some(result.bind(py).clone()),
                _ => None,
            }
        };
        // It may have been fired with a Deferred, which it does not wait for.
        if let Some(result) = result
            && matches!(kind_of(&result), Kind::Deferred(_) | Kind::Foreign)
        {
            return result.call_method0(intern!(py, "cancel")).map(drop);
        }
        deferred::cancel::<PyHost>(slf.py(), slf.as_unbound())
    }

    /// Has another Deferred fired with the result of this one. Returns this one.
    fn chainDeferred<'py>(
        slf: Bound<'py, Self>,
        d: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        d.setattr(intern!(py, "_chainedTo"), &slf)?;
        slf.call_method1(
            intern!(py, "addCallbacks"),
            (
                d.getattr(intern!(py, "callback"))?,
                d.getattr(intern!(py, "errback"))?,
            ),
        )
    }

    /// Cancels the Deferred after ``timeout`` seconds of ``clock``, which has Twisted's ``callLater``;
    /// it then fails with ``TimeoutError``, or with what ``onTimeoutCancel(result, timeout)`` returns.
    #[pyo3(signature = (timeout, clock, onTimeoutCancel=None))]
    fn addTimeout<'py>(
        slf: Bound<'py, Self>,
        timeout: Bound<'py, PyAny>,
        clock: Bound<'py, PyAny>,
        onTimeoutCancel: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        super::timeout::add(&slf, timeout, &clock, onTimeoutCancel)?;
        Ok(slf)
    }

    /// Runs a coroutine that awaits Deferreds; returns the Deferred for its result.
    #[classmethod]
    fn fromCoroutine<'py>(
        _cls: &Bound<'py, PyType>,
        coro: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        super::driver::from_coroutine(coro)
    }

    /// A future of the asyncio loop for the result, which the Deferred then has no more.
    fn asFuture<'py>(
        slf: &Bound<'py, Self>,
        r#loop: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        py.import(intern!(py, "marotte._defer.futures"))?
            .call_method1(intern!(py, "as_future"), (slf, r#loop))
    }

    /// A Deferred for the result of an asyncio future. Cancelling it cancels the future.
    #[classmethod]
    fn fromFuture<'py>(
        cls: &Bound<'py, PyType>,
        future: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = cls.py();
        py.import(intern!(py, "marotte._defer.futures"))?
            .call_method1(intern!(py, "from_future"), (cls, future))
    }

    /// Subclasses are listed, as Twisted lists them.
    #[classmethod]
    #[pyo3(signature = (**_kwargs))]
    fn __init_subclass__(
        cls: &Bound<'_, PyType>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let py = cls.py();
        py.import(intern!(py, "marotte.defer"))?
            .getattr(intern!(py, "_DEFERRED_SUBCLASSES"))?
            .call_method1(intern!(py, "append"), (cls,))
            .map(drop)
    }

    #[classmethod]
    fn __class_getitem__<'py>(
        cls: &Bound<'py, PyType>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = cls.py();
        py.import(intern!(py, "types"))?
            .call_method1(intern!(py, "GenericAlias"), (cls, item))
    }

    /// Under asyncio, in a task, it awaits a future for the result instead: a task knows no other.
    fn __await__<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::iterator(slf)
    }

    fn __iter__<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::plain_iterator(slf)
    }

    fn __next__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        Self::step(slf)
    }

    /// What a generator that delegates to this one is sent is not looked at.
    fn send<'py>(slf: &Bound<'py, Self>, _value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        Self::step(slf)
    }

    /// True once it has fired.
    #[getter]
    pub(super) fn called(&self, py: Python<'_>) -> bool {
        self.inner(py).chain.called()
    }

    #[setter]
    fn set_called(&self, py: Python<'_>, called: bool) {
        self.inner(py).chain.set_called(called);
    }

    /// How often it was paused more than unpaused; counts one while it waits for another Deferred.
    #[getter]
    fn paused(&self, py: Python<'_>) -> i32 {
        self.inner(py).chain.paused()
    }

    #[setter]
    fn set_paused(&self, py: Python<'_>, paused: i32) {
        self.inner(py).chain.set_paused(paused);
    }

    /// The latest result; the Deferred that it waits for, if it does. Not there before it has fired.
    #[getter]
    fn result(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.current(py).ok_or_else(|| {
            PyAttributeError::new_err("this Deferred has no attribute 'result': it has not fired")
        })
    }

    #[setter]
    fn set_result(&self, result: Bound<'_, PyAny>) {
        let py = result.py();
        let old = self.inner(py).chain.replace(outcome_of(&result));
        drop(old);
    }

    /// Deprecated by Twisted.
    #[getter]
    fn callbacks(slf: Bound<'_, Self>) -> PyResult<Continuation> {
        let py = slf.py();
        let text = c"twisted.internet.defer.Deferred.callbacks was deprecated in Twisted 25.5.0";
        PyErr::warn(py, &py.get_type::<PyDeprecationWarning>(), text, 1)?;
        Ok(Self::_callbacks(slf))
    }

    #[getter]
    fn _callbacks(slf: Bound<'_, Self>) -> Continuation {
        Continuation(slf.unbind())
    }

    #[getter]
    fn _debugInfo(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.inner(py).info().map(|info| info.clone_ref(py))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let name = slf.get_type().name()?;
        let id = format!("{:#x}", slf.as_ptr() as usize);
        let waits = slf.getattr(intern!(py, "_chainedTo"))?;
        if !waits.is_none() {
            let other = format!("{:#x}", waits.as_ptr() as usize);
            return Ok(format!("<{name} at {id} waiting on Deferred at {other}>"));
        }
        Ok(match slf.get().current(py) {
            None => format!("<{name} at {id}>"),
            Some(result) => format!(
                "<{name} at {id} current result: {}>",
                result.bind(py).repr()?
            ),
        })
    }

    #[getter]
    fn _chainedTo(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let waits_for = {
            let inner = slf.get().inner(py);
            inner.chain.waiting_on().map(|other| other.clone_ref(py))
        };
        if let Some(other) = waits_for {
            return Ok(other.into_any());
        }
        // `chainDeferred` leaves a note until the other one fires.
        let attributes = slf.get().inner(py).attributes(py);
        if !slf.get().called(py)
            && let Some(attributes) = attributes
            && let Some(other) = attributes.get_item(intern!(py, "_chainedTo"))?
        {
            return Ok(other.unbind());
        }
        Ok(py.None())
    }

    #[setter]
    fn set__chainedTo(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        attributes::dict(slf).set_item(intern!(py, "_chainedTo"), other)
    }

    #[getter]
    fn __dict__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, PyDict> {
        attributes::dict(slf)
    }

    fn __setattr__(
        slf: &Bound<'_, Self>,
        name: &Bound<'_, PyString>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        attributes::set(slf, name, value)
    }

    fn __delattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyString>) -> PyResult<()> {
        attributes::delete(slf, name)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        pickling::reduce(slf)
    }

    fn __setstate__(slf: &Bound<'_, Self>, state: &Bound<'_, PyDict>) -> PyResult<()> {
        pickling::restore(slf, state)
    }

    // The visitor runs while the world stands still; a locked one is left for the next time.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Some(inner) = self.inner.lock_for_collector() else {
            return Ok(());
        };
        if let Some(more) = &inner.more {
            visit.call(&more.info)?;
            visit.call(&more.attributes)?;
        }
        if let Some(Ok(result) | Err(result)) = inner.chain.outcome() {
            visit.call(result)?;
        }
        if let Some(waited_for) = inner.chain.waiting_on() {
            visit.call(waited_for)?;
        }
        if let Some(canceller) = inner.chain.canceller() {
            canceller.traverse(&visit)?;
        }
        for entry in inner.chain.entries() {
            match entry {
                Entry::Callback(callback) | Entry::Errback(callback) | Entry::Both(callback) => {
                    callback.traverse(&visit)?;
                }
                Entry::Pair(pair) => {
                    pair.0.traverse(&visit)?;
                    pair.1.traverse(&visit)?;
                }
                Entry::Feed(outer) => visit.call(outer)?,
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        let empty = Inner {
            chain: Chain::new(None),
            more: None,
        };
        let old = self
            .inner
            .lock_for_collector()
            .map(|mut inner| std::mem::replace(&mut *inner, empty));
        drop(old);
    }
}
