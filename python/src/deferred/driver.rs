//! Driving generators and coroutines that wait for Deferreds: `inlineCallbacks`, `ensureDeferred`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use marotte::deferred::{self, Chain, Entry, Outcome};
use pyo3::PyTypeInfo;
use pyo3::exceptions::PyStopIteration;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::iterator::PySendResult;
use pyo3::types::{PyIterator, PyTuple};

use crate::host::PyHost;

use super::callback::{Callback, Canceller};
use super::class::{Deferred, outcome_of};
use super::parts::{Kind, failure_of, is_failure, kind_of, parts};

/// Goes through a generator or coroutine, from one Deferred that it waits for to the next.
///
/// ```text
///             yields a Deferred with a result
///              ┌──────────┐
///              ▼          │                yields one without
///   start ─▶ Stepping ────┴──────────────────────────────▶ Waiting
///              │ ▲                                            │
///              │ └──────────────── its result ────────────────┘
///              ▼ returns or raises
///             Done: the Deferred for the whole, the status, fires
/// ```
///
/// Every step runs in one `contextvars.Context`, a copy of the caller's.
#[pyclass(frozen)]
pub(crate) struct Driver {
    state: Mutex<State>,
}

struct State {
    /// A generator, or what a coroutine's `__await__` gives.
    body: Option<Py<PyIterator>>,
    context: Option<Py<PyAny>>,
    /// What the next step is given, then what it came to.
    outcome: Option<Outcome<PyHost>>,
    progress: Option<Progress>,
    /// The Deferred for the whole, once somebody has to wait. Cancelling replaces it.
    status: Option<Py<Deferred>>,
    waiting_on: Option<Py<PyAny>>,
    phase: Phase,
}

enum Progress {
    Returned(Py<PyAny>),
    Raised(PyErr),
    Waits(Py<PyAny>),
}

enum Phase {
    /// Busy; a result that comes now is kept for the next step.
    Stepping,
    Ready(Outcome<PyHost>),
    Waiting,
}

impl Driver {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts at once; returns the Deferred for the result.
    fn start<'py>(body: Bound<'py, PyIterator>) -> PyResult<Bound<'py, Deferred>> {
        let py = body.py();
        let context = parts(py)?.copy_context.bind(py).call0()?;
        let driver = Bound::new(
            py,
            Self {
                state: Mutex::new(State {
                    body: Some(body.unbind()),
                    context: Some(context.unbind()),
                    outcome: None,
                    progress: None,
                    status: None,
                    waiting_on: None,
                    phase: Phase::Stepping,
                }),
            },
        )?;
        match Self::go(&driver, Ok(py.None()))? {
            None => {
                let state = driver.get().state();
                // It waits, or has been resumed to its end meanwhile.
                match &state.status {
                    Some(status) => Ok(status.bind(py).clone()),
                    None => Deferred::create(py, Chain::new(None)),
                }
            }
            Some(Ok(value)) => Deferred::create(py, Chain::fired(Ok(value))),
            Some(Err(failure)) => {
                let status = Deferred::create(py, Chain::new(None))?;
                Deferred::fire(&status, Err(failure))?;
                Ok(status)
            }
        }
    }

    /// Goes on until it has to wait (`None`) or is done, with what is then known to nobody yet; if
    /// there is a status, that has been fired instead.
    fn go(
        slf: &Bound<'_, Self>,
        mut outcome: Outcome<PyHost>,
    ) -> PyResult<Option<Outcome<PyHost>>> {
        let py = slf.py();
        loop {
            let context = {
                let mut state = slf.get().state();
                state.outcome = Some(outcome);
                state.phase = Phase::Stepping;
                state.context.as_ref().map(|context| context.clone_ref(py))
            };
            if let Some(context) = context {
                context.bind(py).call_method1(intern!(py, "run"), (slf,))?;
            }
            let progress = slf.get().state().progress.take();
            let waits_for = match progress {
                Some(Progress::Waits(object)) => object.into_bound(py),
                Some(Progress::Returned(value)) => {
                    return Self::finish(slf, outcome_of(value.bind(py)));
                }
                Some(Progress::Raised(error)) => {
                    let debug = super::class::debugs_all();
                    return Self::finish(slf, Err(failure_of(py, error, debug)?));
                }
                None => return Ok(None),
            };
            let waits_for = match Self::wait_for(slf, waits_for) {
                Ok(waits_for) => waits_for,
                Err(error) => return Self::finish(slf, Err(failure_of(py, error, false)?)),
            };
            let mut state = slf.get().state();
            match std::mem::replace(&mut state.phase, Phase::Waiting) {
                Phase::Ready(ready) => outcome = ready,
                Phase::Stepping | Phase::Waiting => {
                    state.waiting_on = Some(waits_for.unbind());
                    return Ok(None);
                }
            }
        }
    }

    /// Arranges to be resumed with what was yielded; returns that.
    fn wait_for<'py>(
        slf: &Bound<'py, Self>,
        object: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let object = match body_of(&object)? {
            Some(body) => Self::start(body)?.into_any(),
            None => object,
        };
        let driver = slf.clone().unbind();
        if slf.get().state().status.is_none() {
            let canceller = Canceller::Driver(driver.clone_ref(py));
            let status = Deferred::create(py, Chain::new(Some(canceller)))?;
            slf.get().state().status = Some(status.unbind());
        }
        if let Ok(deferred) = object.cast_exact::<Deferred>() {
            let resume = Entry::<PyHost>::Both(Callback::Resume(driver));
            deferred::add::<PyHost>(py, deferred.as_unbound(), resume);
        } else {
            // A subclass may have its own way.
            object.call_method1(intern!(py, "addBoth"), (slf,))?;
        }
        Ok(object)
    }

    fn finish(
        slf: &Bound<'_, Self>,
        outcome: Outcome<PyHost>,
    ) -> PyResult<Option<Outcome<PyHost>>> {
        let (status, body, context) = {
            let mut state = slf.get().state();
            state.phase = Phase::Waiting;
            (
                state.status.clone_or_none(slf.py()),
                state.body.take(),
                state.context.take(),
            )
        };
        drop((body, context));
        let Some(status) = status else {
            return Ok(Some(outcome));
        };
        Deferred::fire(status.bind(slf.py()), outcome)?;
        Ok(None)
    }

    /// What it waited for has a result.
    pub(super) fn resume(slf: &Bound<'_, Self>, outcome: Outcome<PyHost>) -> PyResult<()> {
        let old = {
            let mut state = slf.get().state();
            if !matches!(state.phase, Phase::Waiting) {
                state.phase = Phase::Ready(outcome);
                return Ok(());
            }
            state.waiting_on.take()
        };
        drop(old);
        Self::go(slf, outcome).map(drop)
    }

    /// The status is cancelled: it is to wait for what comes of cancelling what the body waits for.
    pub(super) fn cancel(slf: &Bound<'_, Self>, status: &Bound<'_, Deferred>) -> PyResult<()> {
        let first = Entry::Both(Callback::CancelAwaited(slf.clone().unbind()));
        let py = slf.py();
        status.get().inner(py).chain.push_front(first);
        Deferred::fire(status, Ok(py.None()))
    }

    /// Cancels what the body waits for. Returns the new status: the body may catch the error and
    /// go on, and may be cancelled again.
    pub(super) fn cancel_awaited(slf: &Bound<'_, Self>) -> PyResult<Py<Deferred>> {
        let py = slf.py();
        let canceller = Canceller::Driver(slf.clone().unbind());
        let status = Deferred::create(py, Chain::new(Some(canceller)))?.unbind();
        let (awaited, old) = {
            let mut state = slf.get().state();
            let awaited = state.waiting_on.as_ref().map(|object| object.clone_ref(py));
            (awaited, state.status.replace(status.clone_ref(py)))
        };
        drop(old);
        if let Some(awaited) = awaited {
            awaited.bind(py).call_method0(intern!(py, "cancel"))?;
        }
        Ok(status)
    }

    /// Steps the body until there is nothing to give it. Runs in its context.
    fn step(&self, py: Python<'_>) -> Option<()> {
        let (body, mut outcome) = {
            let mut state = self.state();
            (state.body.as_ref()?.clone_ref(py), state.outcome.take()?)
        };
        let body = body.bind(py);
        let progress = loop {
            let thrown = outcome.is_err();
            let sent = match outcome {
                Ok(value) => body.send(value.bind(py)),
                Err(failure) => throw(body, failure.bind(py)),
            };
            let yielded = match sent {
                Ok(PySendResult::Next(yielded)) => yielded,
                Ok(PySendResult::Return(value)) => break Progress::Returned(value.unbind()),
                Err(error) => break raised(py, error, thrown),
            };
            if let Ok(deferred) = yielded.cast_exact::<Deferred>() {
                let ready = deferred.get().inner(py).chain.take_ready(py);
                let Some((ready, noted)) = ready else {
                    break Progress::Waits(yielded.unbind());
                };
                if noted && let Err(error) = Deferred::note_failure(deferred, false) {
                    break Progress::Raised(error);
                }
                outcome = ready;
                continue;
            }
            match kind_of(&yielded) {
                Kind::Deferred(_) | Kind::Foreign => break Progress::Waits(yielded.unbind()),
                Kind::Failure => outcome = Err(yielded.unbind()),
                Kind::Value => match is_body(&yielded) {
                    Ok(false) => outcome = Ok(yielded.unbind()),
                    Ok(true) => break Progress::Waits(yielded.unbind()),
                    Err(error) => break Progress::Raised(error),
                },
            }
        };
        self.state().progress = Some(progress);
        Some(())
    }
}

/// Throws a failure into a generator or coroutine.
fn throw<'py>(
    body: &Bound<'py, PyIterator>,
    failure: &Bound<'py, PyAny>,
) -> PyResult<PySendResult<'py>> {
    let py = body.py();
    // Subclasses have their own way, such as raising something else.
    match failure.call_method1(intern!(py, "throwExceptionIntoGenerator"), (body,)) {
        Ok(yielded) => Ok(PySendResult::Next(yielded)),
        Err(error) if error.is_instance_of::<PyStopIteration>(py) => {
            let value = error.value(py).getattr(intern!(py, "value"))?;
            Ok(PySendResult::Return(value))
        }
        Err(error) => Err(error),
    }
}

/// What the body raised; `returnValue` leaves by an exception too.
fn raised(py: Python<'_>, error: PyErr, thrown: bool) -> Progress {
    let value = parts(py).and_then(|parts| {
        if !error.is_instance(py, parts.generator_return.bind(py)) {
            return Ok(None);
        }
        py.import("marotte._defer.warn")?
            .call_method1(
                "returned_value",
                (error.clone_ref(py).into_value(py), thrown),
            )
            .map(Some)
    });
    match value {
        Ok(Some(value)) => Progress::Returned(value.unbind()),
        Ok(None) => Progress::Raised(error),
        Err(error) => Progress::Raised(error),
    }
}

/// True for something that can be driven: a generator or a coroutine.
fn is_body(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = object.py();
    let parts = parts(py)?;
    let class = object.get_type();
    if class.is(parts.generator.bind(py)) || class.is(parts.coroutine.bind(py)) {
        return Ok(true);
    }
    // Plain data of the most frequent kinds, and then whatever registers as a coroutine.
    if object.is_none()
        || class.is(pyo3::types::PyInt::type_object(py))
        || class.is(pyo3::types::PyString::type_object(py))
    {
        return Ok(false);
    }
    static CELL: pyo3::sync::PyOnceLock<Py<PyAny>> = pyo3::sync::PyOnceLock::new();
    let coroutine = CELL.get_or_try_init(py, || {
        py.import("collections.abc")?
            .getattr("Coroutine")
            .map(Bound::unbind)
    })?;
    object.is_instance(coroutine.bind(py))
}

/// An iterator over what is to be driven; `None` if it cannot be.
fn body_of<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyIterator>>> {
    if object.is_instance_of::<Deferred>() || !is_body(object)? {
        return Ok(None);
    }
    if let Ok(generator) = object.cast::<PyIterator>() {
        return Ok(Some(generator.clone()));
    }
    let py = object.py();
    let iterator = object.call_method0(intern!(py, "__await__"))?;
    Ok(Some(iterator.cast_into::<PyIterator>()?))
}

/// Drives the generator of an ``inlineCallbacks`` function.
#[pyfunction(name = "_unwind_generator")]
pub(crate) fn unwind_generator<'py>(
    generator: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, Deferred>> {
    Driver::start(generator.cast_into::<PyIterator>()?)
}

/// Drives a coroutine, or a generator.
pub(super) fn from_coroutine<'py>(coro: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = coro.py();
    match body_of(coro)? {
        Some(body) => Ok(Driver::start(body)?.into_any()),
        None => Err(not_a_coroutine(
            py,
            format!("{} is not a coroutine", coro.repr()?),
        )),
    }
}

fn not_a_coroutine(py: Python<'_>, text: String) -> PyErr {
    match parts(py).and_then(|parts| parts.not_a_coroutine.bind(py).call1((text,))) {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    }
}

/// A Deferred for a coroutine; a Deferred is returned as it is.
#[pyfunction(name = "ensureDeferred")]
pub(crate) fn ensure_deferred<'py>(coro: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    match kind_of(&coro) {
        Kind::Deferred(_) | Kind::Foreign => return Ok(coro),
        Kind::Value | Kind::Failure => {}
    }
    match body_of(&coro)? {
        Some(body) => Ok(Driver::start(body)?.into_any()),
        None => Err(not_a_coroutine(
            coro.py(),
            format!("{} is not a coroutine or a Deferred", coro.repr()?),
        )),
    }
}

#[pymethods]
impl Driver {
    /// Without an argument: a step, for its context to run. With one: what it waited for.
    #[pyo3(signature = (*result))]
    fn __call__(slf: &Bound<'_, Self>, result: &Bound<'_, PyTuple>) -> PyResult<()> {
        match result.get_item(0) {
            Ok(result) => {
                let outcome = if is_failure(&result) {
                    Err(result.unbind())
                } else {
                    Ok(result.unbind())
                };
                Self::resume(slf, outcome)
            }
            Err(_) => {
                slf.get().step(slf.py());
                Ok(())
            }
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Ok(state) = self.state.try_lock() else {
            return Ok(());
        };
        visit.call(&state.body)?;
        visit.call(&state.context)?;
        visit.call(&state.status)?;
        visit.call(&state.waiting_on)
    }

    fn __clear__(&self) {
        let old = {
            let mut state = self.state();
            (
                state.body.take(),
                state.context.take(),
                state.status.take(),
                state.waiting_on.take(),
            )
        };
        drop(old);
    }
}

/// Another handle, if there is one.
trait CloneOrNone {
    fn clone_or_none(&self, py: Python<'_>) -> Self;
}

impl<T> CloneOrNone for Option<Py<T>> {
    fn clone_or_none(&self, py: Python<'_>) -> Self {
        self.as_ref().map(|object| object.clone_ref(py))
    }
}
