//! `DeferredLock`, `DeferredSemaphore` and `DeferredQueue`.

#![allow(non_snake_case, reason = "the names are Twisted's")]

use std::sync::{Mutex, MutexGuard, PoisonError};

use marotte::deferred::{self, Chain, Entry, Outcome, Put, Queue, Returned, Semaphore, Taken};
use pyo3::PyTypeInfo;
use pyo3::exceptions::{PyAssertionError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple, PyType};

use crate::host::PyHost;

use super::callback::{Callback, Extra, returned, run_now};
use super::class::Deferred;
use super::functions::{maybe_deferred, succeed};
use super::parts::parts;

type Tokens = Semaphore<Py<Deferred>>;
type Items = Queue<Py<PyAny>, Py<Deferred>>;

/// One of these, for callbacks and cancellers.
pub(crate) enum Shared {
    Lock(Py<DeferredLock>),
    Semaphore(Py<DeferredSemaphore>),
    Queue(Py<DeferredQueue>),
}

impl Shared {
    pub(super) fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Lock(lock) => Self::Lock(lock.clone_ref(py)),
            Self::Semaphore(semaphore) => Self::Semaphore(semaphore.clone_ref(py)),
            Self::Queue(queue) => Self::Queue(queue.clone_ref(py)),
        }
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Lock(lock) => visit.call(lock),
            Self::Semaphore(semaphore) => visit.call(semaphore),
            Self::Queue(queue) => visit.call(queue),
        }
    }

    fn object<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        match self {
            Self::Lock(lock) => lock.bind(py).clone().into_any(),
            Self::Semaphore(semaphore) => semaphore.bind(py).clone().into_any(),
            Self::Queue(queue) => queue.bind(py).clone().into_any(),
        }
    }

    /// One that waits was cancelled.
    pub(super) fn forget(&self, py: Python<'_>, waiter: &Py<Deferred>) {
        let is_it = |other: &Py<Deferred>| other.is(waiter);
        let old = match self {
            Self::Lock(lock) => lock.get().tokens().forget(is_it),
            Self::Semaphore(semaphore) => semaphore.get().tokens().forget(is_it),
            Self::Queue(queue) => queue.get().items().forget(is_it),
        };
        drop(old);
        let _ = py;
    }

    /// Releases it, as its class does that.
    pub(super) fn release(
        &self,
        py: Python<'_>,
        result: Outcome<PyHost>,
    ) -> PyResult<Returned<PyHost>> {
        let next = match self {
            Self::Lock(lock) if is_exact(lock, py) => next(&lock.get().tokens, UNLOCKED)?,
            Self::Semaphore(semaphore) if is_exact(semaphore, py) => {
                next(&semaphore.get().tokens, TOO_MANY)?
            }
            _ => {
                self.object(py).call_method0(intern!(py, "release"))?;
                None
            }
        };
        match next {
            Some(next) => {
                let object = self.object(py).unbind();
                Deferred::fire_next(next.bind(py), Ok(object), result)
            }
            None => Ok(Returned::Outcome(result)),
        }
    }

    /// Calls the function that was to be called with it held, and releases it after that.
    pub(super) fn run_holding<'py>(
        &self,
        function: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Returned<PyHost>> {
        let py = function.py();
        let result = maybe_deferred(function.clone(), args.clone(), kwargs.cloned())?;
        let deferred = match returned(&result) {
            Returned::Deferred(deferred) => deferred.into_bound(py),
            other => return Ok(other),
        };
        let ready = deferred.get().inner(py).chain.take_ready(py);
        if let Some((outcome, noted)) = ready {
            if noted {
                Deferred::note_failure(&deferred, false)?;
            }
            return self.release(py, outcome);
        }
        let release = Callback::Release(Box::new(self.clone_ref(py)));
        deferred::add::<PyHost>(py, deferred.as_unbound(), Entry::Both(release));
        Ok(Returned::Deferred(deferred.unbind()))
    }

    /// `run` of a lock or semaphore.
    fn run<'py>(
        self,
        acquired: Bound<'py, PyAny>,
        function: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        kwargs: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = acquired.py();
        let extra = Extra {
            args: args.unbind(),
            kwargs: kwargs.map(Bound::unbind),
        };
        let run = Callback::RunHolding(Box::new((self, function.unbind(), extra)));
        let deferred = match returned(&acquired) {
            Returned::Deferred(deferred) => deferred,
            other => Deferred::create(py, Chain::fired(Ok(run_now(py, other)?)))?.unbind(),
        };
        deferred::add::<PyHost>(py, &deferred, Entry::Callback(run));
        Ok(deferred.into_bound(py).into_any())
    }

    /// A Deferred that fires with `object`: at once, or when its turn comes.
    fn acquire<'py>(
        self,
        py: Python<'py>,
        tokens: &Mutex<Tokens>,
    ) -> PyResult<Bound<'py, Deferred>> {
        let tokens = || tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens().acquire() {
            let object = self.object(py).unbind();
            return Deferred::create(py, Chain::fired(Ok(object)));
        }
        let object = self.object(py).unbind();
        let canceller = super::callback::Canceller::Shared(Box::new(self));
        let deferred = Deferred::create(py, Chain::new(Some(canceller)))?;
        // While it was made, other code may have run, and have released one.
        let free = {
            let mut tokens = tokens();
            let free = tokens.acquire();
            if !free {
                tokens.wait(deferred.clone().unbind());
            }
            free
        };
        if free {
            Deferred::fire(&deferred, Ok(object))?;
        }
        Ok(deferred)
    }
}

const UNLOCKED: &str = "Tried to release an unlocked lock";
const TOO_MANY: &str = "Someone released me too many times: too many tokens!";

fn is_exact<T: PyTypeInfo>(object: &Py<T>, py: Python<'_>) -> bool {
    object.bind(py).as_any().is_exact_instance_of::<T>()
}

/// Gives a token back; returns who gets it next.
fn next(tokens: &Mutex<Tokens>, complaint: &'static str) -> PyResult<Option<Py<Deferred>>> {
    let mut tokens = tokens.lock().unwrap_or_else(PoisonError::into_inner);
    tokens
        .release()
        .map_err(|_| PyAssertionError::new_err(complaint))
}

fn release(
    object: &Bound<'_, PyAny>,
    tokens: &Mutex<Tokens>,
    complaint: &'static str,
) -> PyResult<()> {
    match next(tokens, complaint)? {
        Some(next) => Deferred::fire(next.bind(object.py()), Ok(object.clone().unbind())),
        None => Ok(()),
    }
}

/// A lock for event-driven programs.
#[pyclass(subclass, frozen, weakref, module = "marotte.defer")]
pub(crate) struct DeferredLock {
    tokens: Mutex<Tokens>,
}

impl DeferredLock {
    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl DeferredLock {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self {
            tokens: Mutex::new(Semaphore::new(1)),
        }
    }

    #[getter]
    fn locked(&self) -> bool {
        self.tokens().tokens() == 0
    }

    #[getter]
    fn waiting<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        let waiting = snapshot(slf.py(), slf.get().tokens().waiting());
        PyList::new(slf.py(), waiting)
    }

    fn acquire<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Deferred>> {
        Shared::Lock(slf.clone().unbind()).acquire(slf.py(), &slf.get().tokens)
    }

    fn release(slf: &Bound<'_, Self>) -> PyResult<()> {
        release(slf.as_any(), &slf.get().tokens, UNLOCKED)
    }

    #[pyo3(signature = (f, /, *args, **kwargs))]
    fn run<'py>(
        slf: &Bound<'py, Self>,
        f: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        kwargs: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let acquired = slf.call_method0(intern!(slf.py(), "acquire"))?;
        Shared::Lock(slf.clone().unbind()).run(acquired, f, args, kwargs)
    }

    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.call_method0(intern!(slf.py(), "acquire"))
    }

    #[pyo3(signature = (*_exc))]
    fn __aexit__<'py>(
        slf: &Bound<'py, Self>,
        _exc: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, Deferred>> {
        leave(slf.as_any())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        traverse_tokens(&self.tokens, &visit)
    }

    fn __clear__(&self) {
        let old = std::mem::replace(&mut *self.tokens(), Semaphore::new(1));
        drop(old);
    }
}

fn snapshot<'a>(
    py: Python<'_>,
    waiting: impl ExactSizeIterator<Item = &'a Py<Deferred>>,
) -> Vec<Py<Deferred>> {
    waiting.map(|waiter| waiter.clone_ref(py)).collect()
}

fn traverse_tokens(tokens: &Mutex<Tokens>, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
    let Ok(tokens) = tokens.try_lock() else {
        return Ok(());
    };
    tokens.waiting().try_for_each(|waiter| visit.call(waiter))
}

/// The end of an ``async with``: false, because no exception is swallowed.
fn leave<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Deferred>> {
    let py = object.py();
    object.call_method0(intern!(py, "release"))?;
    succeed(pyo3::types::PyBool::new(py, false).to_owned().into_any())
}

/// A semaphore for event-driven programs.
#[pyclass(subclass, frozen, weakref, module = "marotte.defer")]
pub(crate) struct DeferredSemaphore {
    tokens: Mutex<Tokens>,
}

impl DeferredSemaphore {
    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl DeferredSemaphore {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self {
            tokens: Mutex::new(Semaphore::new(1)),
        }
    }

    fn __init__(&self, tokens: i64) -> PyResult<()> {
        let tokens = usize::try_from(tokens).ok().filter(|tokens| *tokens >= 1);
        let tokens = tokens
            .ok_or_else(|| PyValueError::new_err("DeferredSemaphore requires tokens >= 1"))?;
        let old = std::mem::replace(&mut *self.tokens(), Semaphore::new(tokens));
        drop(old);
        Ok(())
    }

    #[getter(tokens)]
    fn free(&self) -> usize {
        self.tokens().tokens()
    }

    #[getter]
    fn limit(&self) -> usize {
        self.tokens().limit()
    }

    #[getter]
    fn waiting<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        let waiting = snapshot(slf.py(), slf.get().tokens().waiting());
        PyList::new(slf.py(), waiting)
    }

    fn acquire<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Deferred>> {
        Shared::Semaphore(slf.clone().unbind()).acquire(slf.py(), &slf.get().tokens)
    }

    fn release(slf: &Bound<'_, Self>) -> PyResult<()> {
        release(slf.as_any(), &slf.get().tokens, TOO_MANY)
    }

    #[pyo3(signature = (f, /, *args, **kwargs))]
    fn run<'py>(
        slf: &Bound<'py, Self>,
        f: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        kwargs: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let acquired = slf.call_method0(intern!(slf.py(), "acquire"))?;
        Shared::Semaphore(slf.clone().unbind()).run(acquired, f, args, kwargs)
    }

    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.call_method0(intern!(slf.py(), "acquire"))
    }

    #[pyo3(signature = (*_exc))]
    fn __aexit__<'py>(
        slf: &Bound<'py, Self>,
        _exc: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, Deferred>> {
        leave(slf.as_any())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        traverse_tokens(&self.tokens, &visit)
    }

    fn __clear__(&self) {
        let old = std::mem::replace(&mut *self.tokens(), Semaphore::new(1));
        drop(old);
    }
}

/// A queue for event-driven programs.
#[pyclass(subclass, frozen, weakref, module = "marotte.defer")]
pub(crate) struct DeferredQueue {
    items: Mutex<Items>,
}

impl DeferredQueue {
    fn items(&self) -> MutexGuard<'_, Items> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl DeferredQueue {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self {
            items: Mutex::new(Queue::new(None, None)),
        }
    }

    #[pyo3(signature = (size=None, backlog=None))]
    fn __init__(&self, size: Option<usize>, backlog: Option<usize>) {
        let old = std::mem::replace(&mut *self.items(), Queue::new(size, backlog));
        drop(old);
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

    #[getter]
    fn size(&self) -> Option<usize> {
        self.items().size()
    }

    #[getter]
    fn backlog(&self) -> Option<usize> {
        self.items().backlog()
    }

    #[getter]
    fn waiting<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        let waiting = snapshot(slf.py(), slf.get().items().waiting());
        PyList::new(slf.py(), waiting)
    }

    #[getter]
    fn pending<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        let pending: Vec<Py<PyAny>> = {
            let items = slf.get().items();
            items.pending().map(|item| item.clone_ref(py)).collect()
        };
        PyList::new(py, pending)
    }

    fn put(&self, py: Python<'_>, obj: Py<PyAny>) -> PyResult<()> {
        let put = self.items().put(obj);
        match put {
            Ok(Put::Kept) => Ok(()),
            Ok(Put::Hand(item, waiter)) => {
                let outcome = super::class::outcome_of(item.bind(py));
                Deferred::fire(waiter.bind(py), outcome)
            }
            Err(_) => Err(PyErr::from_value(parts(py)?.overflow.bind(py).call0()?)),
        }
    }

    fn get<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Deferred>> {
        let py = slf.py();
        let taken = slf.get().items().get();
        match taken {
            Ok(Taken::Item(item)) => succeed(item.into_bound(py)),
            Ok(Taken::Wait) => {
                let shared = Shared::Queue(slf.clone().unbind());
                let canceller = super::callback::Canceller::Shared(Box::new(shared));
                let deferred = Deferred::create(py, Chain::new(Some(canceller)))?;
                // While it was made, other code may have run, and have put an item.
                let taken = {
                    let mut items = slf.get().items();
                    let taken = items.get();
                    if matches!(taken, Ok(Taken::Wait)) {
                        items.wait(deferred.clone().unbind());
                    }
                    taken
                };
                match taken {
                    Ok(Taken::Item(item)) => {
                        let outcome = super::class::outcome_of(item.bind(py));
                        Deferred::fire(&deferred, outcome)?;
                    }
                    Ok(Taken::Wait) => {}
                    Err(_) => {
                        return Err(PyErr::from_value(parts(py)?.underflow.bind(py).call0()?));
                    }
                }
                Ok(deferred)
            }
            Err(_) => Err(PyErr::from_value(parts(py)?.underflow.bind(py).call0()?)),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Ok(items) = self.items.try_lock() else {
            return Ok(());
        };
        items.pending().try_for_each(|item| visit.call(item))?;
        items.waiting().try_for_each(|waiter| visit.call(waiter))
    }

    fn __clear__(&self) {
        let old = std::mem::replace(&mut *self.items(), Queue::new(None, None));
        drop(old);
    }
}
