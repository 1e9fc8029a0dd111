//! Driving generators and coroutines that wait for Deferreds: `inlineCallbacks`, `ensureDeferred`.

use std::cell::Cell;

use marotte::deferred::{self, Chain, Entry, Outcome};
use pyo3::PyTypeInfo;
use pyo3::exceptions::PyStopIteration;
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyInt, PyString};

use crate::host::PyHost;
use crate::promise::Promise;

use super::awaiting;
use super::callback::{Callback, Canceller, failure, native};
use super::class::{Deferred, outcome_of};
use super::context;
use super::debug::debugs_all;
use super::functions::succeed;
use super::guard::Guarded;
use super::parts::{Kind, kind_of, parts};

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
    state: Guarded<State>,
}

struct State {
    /// A generator or coroutine, until it is done.
    body: Option<Py<PyAny>>,
    context: Py<PyAny>,
    /// The Deferred for the whole, once somebody has to wait. Cancelling replaces it.
    status: Option<Py<Deferred>>,
    waiting_on: Option<Py<PyAny>>,
    phase: Phase,
}

/// What stepping came to.
enum Progress<'py> {
    Returned(Bound<'py, PyAny>),
    Raised(PyErr),
    Waits(Bound<'py, PyAny>),
}

/// The status, and what it is to be fired with.
type Done = (Py<Deferred>, Outcome<PyHost>);

enum Phase {
    /// Busy; a result that comes now is kept for the next step.
    Stepping,
    Ready(Outcome<PyHost>),
    Waiting,
}

impl Driver {
    /// Starts at once; returns the Deferred for the result.
    fn start<'py>(body: Bound<'py, PyAny>) -> PyResult<Bound<'py, Deferred>> {
        let py = body.py();
        let context = context::copy(py)?;
        // Many are done without ever waiting: those need neither a driver nor a status.
        let first = step(&body, &context, Ok(py.None())).unwrap_or_else(Progress::Raised);
        let waits_for = match first {
            Progress::Waits(object) => object,
            Progress::Returned(value) => return succeed(value),
            Progress::Raised(error) => {
                let status = Deferred::create(py, Chain::new(None))?;
                Deferred::fire(&status, Err(failure(py, error, debugs_all())))?;
                return Ok(status);
            }
        };
        let driver = Bound::new(
            py,
            Self {
                state: Guarded::new(State {
                    body: Some(body.unbind()),
                    context: context.unbind(),
                    status: None,
                    waiting_on: None,
                    phase: Phase::Stepping,
                }),
            },
        )?;
        let canceller = Canceller::Driver(driver.clone().unbind());
        let status = Deferred::create(py, Chain::new(Some(canceller)))?;
        driver.get().state.lock(py).status = Some(status.clone().unbind());
        if let Some((status, outcome)) = Self::go(&driver, Progress::Waits(waits_for))? {
            Deferred::fire(status.bind(py), outcome)?;
        }
        Ok(status)
    }

    /// Goes on until it has to wait again or is done; the status is to be fired then.
    fn go<'py>(slf: &Bound<'py, Self>, mut progress: Progress<'py>) -> PyResult<Option<Done>> {
        let py = slf.py();
        loop {
            let waits_for = match progress {
                Progress::Waits(object) => Self::wait_for(slf, object),
                Progress::Returned(value) => return Ok(Self::finish(slf, outcome_of(&value))),
                Progress::Raised(error) => Err(error),
            };
            let waits_for = match waits_for {
                Ok(waits_for) => waits_for,
                Err(error) => {
                    return Ok(Self::finish(slf, Err(failure(py, error, debugs_all()))));
                }
            };
            let outcome = {
                let mut state = slf.get().state.lock(py);
                match std::mem::replace(&mut state.phase, Phase::Waiting) {
                    Phase::Ready(outcome) => outcome,
                    Phase::Stepping | Phase::Waiting => {
                        state.waiting_on = Some(waits_for.unbind());
                        return Ok(None);
                    }
                }
            };
            progress = Self::step(slf, outcome)?;
        }
    }

    /// Steps the body.
    fn step<'py>(slf: &Bound<'py, Self>, outcome: Outcome<PyHost>) -> PyResult<Progress<'py>> {
        let py = slf.py();
        let (body, context) = {
            let mut state = slf.get().state.lock(py);
            // It was waiting, or its outcome has been taken.
            state.phase = Phase::Stepping;
            let Some(body) = &state.body else {
                // The collector took it apart.
                return Ok(Progress::Returned(py.None().into_bound(py)));
            };
            (body.bind(py).clone(), state.context.bind(py).clone())
        };
        // What goes wrong beside the body is its failure too: somebody waits for the status.
        Ok(step(&body, &context, outcome).unwrap_or_else(Progress::Raised))
    }

    /// Arranges to be resumed with what was yielded; returns that.
    fn wait_for<'py>(
        slf: &Bound<'py, Self>,
        object: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let object = match kind_of(&object) {
            Kind::Value if is_promise(&object) => py
                .import(intern!(py, "marotte._eventual"))?
                .call_method1(intern!(py, "when"), (object,))?,
            Kind::Value if is_future(&object)? => {
                // The future was told that somebody waits, as asyncio's tasks do.
                object.setattr(intern!(py, "_asyncio_future_blocking"), false)?;
                Deferred::type_object(py).call_method1(intern!(py, "fromFuture"), (object,))?
            }
            Kind::Value => {
                // A generator may yield a generator, which yields one, and so on.
                let _deeper = context::recurse(py)?;
                Self::start(object)?.into_any()
            }
            Kind::Deferred(_) | Kind::Foreign | Kind::Failure => object,
        };
        if let Some(deferred) = native(&object) {
            let resume = Entry::Both(Callback::Resume(slf.clone().unbind()));
            deferred::add::<PyHost>(py, deferred.as_unbound(), resume);
        } else {
            // A subclass may have its own way.
            object.call_method1(intern!(py, "addBoth"), (slf,))?;
        }
        Ok(object)
    }

    fn finish(slf: &Bound<'_, Self>, outcome: Outcome<PyHost>) -> Option<Done> {
        let py = slf.py();
        let (status, body, phase) = {
            let mut state = slf.get().state.lock(py);
            let phase = std::mem::replace(&mut state.phase, Phase::Waiting);
            (state.status.take(), state.body.take(), phase)
        };
        // What it holds goes before anybody is told that it is done.
        drop((body, phase));
        Some((status?, outcome))
    }

    /// What it waited for has a result.
    pub(super) fn resume(
        slf: &Bound<'_, Self>,
        outcome: Outcome<PyHost>,
    ) -> PyResult<Option<Done>> {
        let waited_on = {
            let mut state = slf.get().state.lock(slf.py());
            if !matches!(state.phase, Phase::Waiting) {
                let old = std::mem::replace(&mut state.phase, Phase::Ready(outcome));
                drop(state);
                drop(old);
                return Ok(None);
            }
            state.waiting_on.take()
        };
        drop(waited_on);
        let progress = Self::step(slf, outcome)?;
        Self::go(slf, progress)
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
            let mut state = slf.get().state.lock(py);
            let awaited = state.waiting_on.as_ref().map(|object| object.clone_ref(py));
            (awaited, state.status.replace(status.clone_ref(py)))
        };
        drop(old);
        if let Some(awaited) = awaited {
            awaited.bind(py).call_method0(intern!(py, "cancel"))?;
        }
        Ok(status)
    }
}

thread_local! {
    /// How many bodies this thread is in the middle of stepping.
    static STEPPING: Cell<usize> = const { Cell::new(0) };
}

/// True while this thread steps a coroutine of ours, which may be inside of a task of asyncio's.
pub(super) fn is_stepping() -> bool {
    STEPPING.get() > 0
}

/// Counts down when it is dropped.
struct Stepping;

impl Stepping {
    fn begin() -> Self {
        STEPPING.set(STEPPING.get() + 1);
        Self
    }
}

impl Drop for Stepping {
    fn drop(&mut self) {
        STEPPING.set(STEPPING.get() - 1);
    }
}

/// Steps a body, in its context, until there is nothing to give it.
fn step<'py>(
    body: &Bound<'py, PyAny>,
    context: &Bound<'py, PyAny>,
    mut outcome: Outcome<PyHost>,
) -> PyResult<Progress<'py>> {
    let py = body.py();
    let _inside = context::enter(context)?;
    let _stepping = Stepping::begin();
    loop {
        let thrown = outcome.is_err();
        let sent = match outcome {
            Ok(value) => send(body, value.bind(py)),
            Err(failure) => throw(body, failure.bind(py)),
        };
        let yielded = match sent {
            Ok(Sent::Yielded(yielded)) => yielded,
            Ok(Sent::Returned(value)) => return Ok(Progress::Returned(value)),
            Err(error) => return Ok(raised(py, error, thrown)),
        };
        if let Ok(deferred) = yielded.cast_exact::<Deferred>() {
            let ready = deferred.get().inner(py).chain.take_ready(py);
            let Some((ready, noted)) = ready else {
                return Ok(Progress::Waits(yielded));
            };
            if noted {
                Deferred::note_failure(deferred, false)?;
            }
            outcome = ready;
            continue;
        }
        outcome = match kind_of(&yielded) {
            Kind::Deferred(_) | Kind::Foreign => return Ok(Progress::Waits(yielded)),
            Kind::Failure => Err(yielded.unbind()),
            Kind::Value if is_promise(&yielded) || is_body(&yielded)? || is_future(&yielded)? => {
                return Ok(Progress::Waits(yielded));
            }
            Kind::Value => Ok(yielded.unbind()),
        };
    }
}

enum Sent<'py> {
    Yielded(Bound<'py, PyAny>),
    Returned(Bound<'py, PyAny>),
}

/// Sends a value into a generator or coroutine.
fn send<'py>(body: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>) -> PyResult<Sent<'py>> {
    let py = body.py();
    let mut result = std::ptr::null_mut();
    // SAFETY: both are live objects. Whatever the body is, this does what its `send` does; and
    // unless it is an error, the result is a new reference. (pyo3 offers this for iterators only,
    // which coroutines are not.)
    unsafe {
        match ffi::PyIter_Send(body.as_ptr(), value.as_ptr(), &raw mut result) {
            ffi::PySendResult::PYGEN_NEXT => {
                Ok(Sent::Yielded(Bound::from_owned_ptr_or_err(py, result)?))
            }
            ffi::PySendResult::PYGEN_RETURN => {
                Ok(Sent::Returned(Bound::from_owned_ptr_or_err(py, result)?))
            }
            ffi::PySendResult::PYGEN_ERROR => Err(PyErr::fetch(py)),
        }
    }
}

/// Throws a failure into a generator or coroutine.
fn throw<'py>(body: &Bound<'py, PyAny>, failure: &Bound<'py, PyAny>) -> PyResult<Sent<'py>> {
    let py = body.py();
    // Python takes a StopIteration at an `await` for the end of it.
    if body.get_type().is(parts(py)?.coroutine.bind(py))
        && failure
            .getattr(intern!(py, "value"))?
            .is_instance_of::<PyStopIteration>()
    {
        let error = awaiting::not_the_end(failure.getattr(intern!(py, "value"))?);
        let thrown = body.call_method1(intern!(py, "throw"), (error.into_value(py),));
        return sent_by(py, thrown);
    }
    // Subclasses have their own way, such as raising something else.
    sent_by(
        py,
        failure.call_method1(intern!(py, "throwExceptionIntoGenerator"), (body,)),
    )
}

/// What a generator's method came to.
fn sent_by<'py>(py: Python<'py>, result: PyResult<Bound<'py, PyAny>>) -> PyResult<Sent<'py>> {
    match result {
        Ok(yielded) => Ok(Sent::Yielded(yielded)),
        Err(error) if error.is_instance_of::<PyStopIteration>(py) => {
            let value = error.value(py).getattr(intern!(py, "value"))?;
            Ok(Sent::Returned(value))
        }
        Err(error) => Err(error),
    }
}

/// What the body raised; `returnValue` leaves by an exception too.
fn raised(py: Python<'_>, error: PyErr, thrown: bool) -> Progress<'_> {
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
        Ok(Some(value)) => Progress::Returned(value),
        Ok(None) => Progress::Raised(error),
        Err(error) => Progress::Raised(error),
    }
}

/// True for plain data of the most frequent kinds.
fn is_data(object: &Bound<'_, PyAny>) -> bool {
    object.is_none()
        || object.is_exact_instance_of::<PyInt>()
        || object.is_exact_instance_of::<PyString>()
}

/// True for something that can be driven: a generator or a coroutine.
fn is_body(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = object.py();
    let parts = parts(py)?;
    let class = object.get_type();
    if class.is(parts.generator.bind(py)) || class.is(parts.coroutine.bind(py)) {
        return Ok(true);
    }
    if is_data(object) {
        return Ok(false);
    }
    // Whatever registers as a coroutine.
    static CELL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let coroutine = CELL.get_or_try_init(py, || {
        py.import("collections.abc")?
            .getattr("Coroutine")
            .map(Bound::unbind)
    })?;
    object.is_instance(coroutine.bind(py))
}

/// True for a promise: what a generator yields of those it waits for.
fn is_promise(object: &Bound<'_, PyAny>) -> bool {
    object.is_exact_instance_of::<Promise>()
}

/// True for a future of asyncio's that is awaited.
fn is_future(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    if is_data(object) {
        return Ok(false);
    }
    // The class is asked first, as asyncio does: other objects may have whatever attribute one asks
    // for, and go to the network for it.
    let py = object.py();
    let name = intern!(py, "_asyncio_future_blocking");
    Ok(object.get_type().hasattr(name)? && object.getattr(name)?.is(PyBool::new(py, true)))
}

/// Drives the generator of an ``inlineCallbacks`` function.
#[pyfunction(name = "_unwind_generator")]
pub(crate) fn unwind_generator<'py>(
    generator: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, Deferred>> {
    Driver::start(generator)
}

/// Drives a coroutine, or a generator.
pub(super) fn from_coroutine<'py>(coro: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if is_body(&coro)? {
        return Ok(Driver::start(coro)?.into_any());
    }
    Err(not_a_coroutine(&coro, "is not a coroutine"))
}

fn not_a_coroutine(object: &Bound<'_, PyAny>, complaint: &str) -> PyErr {
    let py = object.py();
    let error = object.repr().and_then(|name| {
        let class = parts(py)?.not_a_coroutine.bind(py);
        class.call1((format!("{name} {complaint}"),))
    });
    error.map_or_else(|error| error, PyErr::from_value)
}

/// A Deferred for a coroutine; a Deferred is returned as it is.
#[pyfunction(name = "ensureDeferred")]
pub(crate) fn ensure_deferred<'py>(coro: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    match kind_of(&coro) {
        Kind::Deferred(_) | Kind::Foreign => Ok(coro),
        Kind::Value | Kind::Failure if is_body(&coro)? => Ok(Driver::start(coro)?.into_any()),
        Kind::Value | Kind::Failure => {
            Err(not_a_coroutine(&coro, "is not a coroutine or a Deferred"))
        }
    }
}

#[pymethods]
impl Driver {
    /// What it waited for has a result: for Deferreds of other classes, to which it is added.
    fn __call__(slf: &Bound<'_, Self>, result: &Bound<'_, PyAny>) -> PyResult<()> {
        match Self::resume(slf, outcome_of(result))? {
            Some((status, outcome)) => Deferred::fire(status.bind(slf.py()), outcome),
            None => Ok(()),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Some(state) = self.state.lock_for_collector() else {
            return Ok(());
        };
        visit.call(&state.body)?;
        visit.call(&state.context)?;
        visit.call(&state.status)?;
        visit.call(&state.waiting_on)
    }

    fn __clear__(&self) {
        let old = self.state.lock_for_collector().map(|mut state| {
            (
                state.body.take(),
                state.status.take(),
                state.waiting_on.take(),
            )
        });
        drop(old);
    }
}
