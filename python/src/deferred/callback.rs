//! What the rungs of a Python Deferred's ladder may hold, and calling it.

use marotte::deferred::{self, Outcome, Returned};
use pyo3::exceptions::{PyDeprecationWarning, PyTypeError};
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::host::PyHost;

use super::class::Deferred;
use super::driver::Driver;
use super::list::DeferredList;
use super::parts::{Kind, failure_of, is_plain, kind_of};
use super::racing::Race;
use super::share::Shared;
use super::timeout::Alarm;

/// Something on a rung.
pub(crate) enum Callback {
    /// A Python callable, with what else it is called with.
    Call {
        function: Py<PyAny>,
        extra: Option<Box<Extra>>,
    },
    /// Goes on with a generator or coroutine that yielded the Deferred.
    Resume(Py<Driver>),
    /// Cancels what a generator or coroutine waits for.
    CancelAwaited(Py<Driver>),
    /// An input of a `DeferredList` has its result.
    Arrive(Py<DeferredList>, usize),
    /// An input of a `race` has its result.
    Race(Py<Race>, usize),
    /// Runs what was to be run with a lock held.
    RunHolding(Box<(Shared, Py<PyAny>, Extra)>),
    /// Releases a lock.
    Release(Box<Shared>),
    /// What a timeout adds.
    Translate(Py<Alarm>),
    StopAlarm(Py<Alarm>),
    /// Hands the result to a Deferred of another library that waits for this one.
    Continue(Py<PyAny>),
}

/// The arguments of a callback after the result.
pub(crate) struct Extra {
    pub(super) args: Py<PyTuple>,
    pub(super) kwargs: Option<Py<PyDict>>,
}

impl Callback {
    /// A callable with more arguments than the result.
    pub(super) fn new(
        function: Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> Self {
        let kwargs = kwargs.filter(|kwargs| !kwargs.is_empty());
        let extra = (!args.is_empty() || kwargs.is_some()).then(|| {
            Box::new(Extra {
                args: args.clone().unbind(),
                kwargs: kwargs.map(|kwargs| kwargs.clone().unbind()),
            })
        });
        Self::Call {
            function: function.unbind(),
            extra,
        }
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Call { function, extra } => {
                visit.call(function)?;
                extra.as_ref().map_or(Ok(()), |extra| extra.traverse(visit))
            }
            Self::Resume(driver) | Self::CancelAwaited(driver) => visit.call(driver),
            Self::Arrive(list, _) => visit.call(list),
            Self::Race(race, _) => visit.call(race),
            Self::RunHolding(run) => {
                run.0.traverse(visit)?;
                visit.call(&run.1)?;
                run.2.traverse(visit)
            }
            Self::Release(shared) => shared.traverse(visit),
            Self::Translate(alarm) | Self::StopAlarm(alarm) => visit.call(alarm),
            Self::Continue(other) => visit.call(other),
        }
    }
}

impl Extra {
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.args)?;
        visit.call(&self.kwargs)
    }
}

/// Calls what is on a rung.
#[inline(always)]
pub(super) fn call(
    py: Python<'_>,
    link: &Py<Deferred>,
    callback: Callback,
    outcome: Outcome<PyHost>,
) -> Returned<PyHost> {
    // Nearly all are of this kind, without further arguments, and return plain data.
    let Callback::Call { function, extra } = callback else {
        return call_ours(py, link, callback, outcome);
    };
    let argument = either(outcome);
    let result = match extra {
        // SAFETY: both are live objects, and the result is a new reference, or null with an error.
        // (pyo3's way is slower, as it prepares for any number of arguments.)
        None => unsafe {
            let result = ffi::PyObject_CallOneArg(function.as_ptr(), argument.as_ptr());
            Bound::from_owned_ptr_or_opt(py, result)
        },
        Some(extra) => match call_with_extra(py, &function, argument, &extra) {
            Ok(result) => Some(result),
            Err(error) => return failed(link.bind(py), error),
        },
    };
    match result {
        Some(result) if is_plain(result.as_unbound()) => Returned::Outcome(Ok(result.unbind())),
        Some(result) => returned_to(link, &function, &result),
        None => failed(link.bind(py), PyErr::fetch(py)),
    }
}

#[inline(never)]
fn call_with_extra<'py>(
    py: Python<'py>,
    function: &Py<PyAny>,
    argument: Py<PyAny>,
    extra: &Extra,
) -> PyResult<Bound<'py, PyAny>> {
    let more = extra.args.bind(py);
    let count = more.len() + 1;
    let args = (0..count).map(|index| match index {
        0 => Ok(argument.bind(py).clone()),
        index => more.get_item(index - 1),
    });
    let args = PyTuple::new(py, args.collect::<PyResult<Vec<_>>>()?)?;
    let kwargs = extra.kwargs.as_ref().map(|kwargs| kwargs.bind(py));
    function.bind(py).call(args, kwargs)
}

#[inline(never)]
fn returned_to(
    link: &Py<Deferred>,
    function: &Py<PyAny>,
    result: &Bound<'_, PyAny>,
) -> Returned<PyHost> {
    let py = result.py();
    if result.is(link)
        && let Err(error) = warn_of_itself(function.bind(py))
    {
        return failed(link.bind(py), error);
    }
    returned(result)
}

/// Does what we ourselves put on a rung.
#[inline(never)]
fn call_ours(
    py: Python<'_>,
    link: &Py<Deferred>,
    callback: Callback,
    outcome: Outcome<PyHost>,
) -> Returned<PyHost> {
    let result = match callback {
        // Called by `call`.
        Callback::Call { .. } => Ok(Returned::Outcome(outcome)),
        Callback::Resume(driver) => match Driver::resume(driver.bind(py), outcome) {
            Ok(Some((status, outcome))) => {
                Deferred::fire_next(status.bind(py), outcome, Ok(py.None()))
            }
            Ok(None) => Ok(unit(py)),
            Err(error) => Err(error),
        },
        Callback::CancelAwaited(driver) => {
            drop(outcome);
            Driver::cancel_awaited(driver.bind(py)).map(Returned::Deferred)
        }
        Callback::Arrive(list, index) => DeferredList::arrived(list.bind(py), index, outcome),
        Callback::Race(race, index) => race.get().arrived(py, index, outcome),
        Callback::RunHolding(run) => {
            drop(outcome);
            let (shared, function, extra) = *run;
            let args = extra.args.bind(py);
            let kwargs = extra.kwargs.as_ref().map(|kwargs| kwargs.bind(py));
            shared.run_holding(function.bind(py), args, kwargs)
        }
        Callback::Release(shared) => shared.release(py, outcome),
        Callback::Translate(alarm) => alarm
            .get()
            .translate(py, either(outcome))
            .map(|result| returned(&result)),
        Callback::StopAlarm(alarm) => alarm.get().stop(py).map(|()| Returned::Outcome(outcome)),
        Callback::Continue(other) => hand_on(other.bind(py), either(outcome)).map(|()| unit(py)),
    };
    result.unwrap_or_else(|error| failed(link.bind(py), error))
}

fn either(outcome: Outcome<PyHost>) -> Py<PyAny> {
    match outcome {
        Ok(value) | Err(value) => value,
    }
}

fn unit(py: Python<'_>) -> Returned<PyHost> {
    Returned::Outcome(Ok(py.None()))
}

/// An exception as what a rung returns.
#[inline(never)]
fn failed(link: &Bound<'_, Deferred>, error: PyErr) -> Returned<PyHost> {
    let py = link.py();
    Returned::Outcome(Err(failure(py, error, Deferred::debugs(link))))
}

/// An exception as a Failure.
pub(super) fn failure(py: Python<'_>, error: PyErr, capture_vars: bool) -> Py<PyAny> {
    failure_of(py, error, capture_vars)
        // A Failure that cannot be made is a failure too, and so is what was raised then.
        .or_else(|error| failure_of(py, error, false))
        .unwrap_or_else(|error| error.into_value(py).into_any())
}

fn warn_of_itself(function: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = function.py();
    py.import("marotte._defer.warn")?
        .call_method1(
            "about_function",
            (function, py.get_type::<PyDeprecationWarning>()),
        )
        .map(drop)
}

/// A Deferred that does nothing of its own when it is given a callback: one of ours that is not of a
/// subclass written in Python.
pub(super) fn native<'a, 'py>(object: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, Deferred>> {
    if let Ok(deferred) = object.cast_exact::<Deferred>() {
        return Some(deferred);
    }
    object
        .cast_exact::<DeferredList>()
        .ok()
        .map(|list| list.as_super())
}

/// What a callback came to, where it was called by Python: fires what is to be fired, and returns
/// the result.
pub(super) fn run_now(py: Python<'_>, returned: Returned<PyHost>) -> PyResult<Py<PyAny>> {
    match returned {
        Returned::Outcome(result) => Ok(either(result)),
        Returned::Deferred(deferred) => Ok(deferred.into_any()),
        Returned::Fire(firing) => {
            Deferred::fire(firing.other.bind(py), firing.outcome)?;
            Ok(either(firing.result))
        }
    }
}

/// What a callback returned.
#[inline]
pub(super) fn returned(result: &Bound<'_, PyAny>) -> Returned<PyHost> {
    match kind_of(result) {
        Kind::Value => Returned::Outcome(Ok(result.clone().unbind())),
        Kind::Failure => Returned::Outcome(Err(result.clone().unbind())),
        Kind::Deferred(deferred) => Returned::Deferred(deferred.clone().unbind()),
        Kind::Foreign => match bridge(result) {
            Ok(deferred) => Returned::Deferred(deferred.unbind()),
            Err(error) => failed_to_bridge(result.py(), error),
        },
    }
}

fn failed_to_bridge(py: Python<'_>, error: PyErr) -> Returned<PyHost> {
    Returned::Outcome(Err(failure(py, error, false)))
}

/// One of ours that has the result of another library's Deferred.
pub(super) fn bridge<'py>(other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Deferred>> {
    let py = other.py();
    let canceller = Canceller::Foreign(other.clone().unbind());
    let ours = Deferred::create(py, deferred::Chain::new(Some(canceller)))?;
    let fire = Bound::new(py, Fire(ours.clone().unbind()))?;
    other.call_method1(intern!(py, "addBoth"), (fire,))?;
    Ok(ours)
}

/// Called with a result: fires a Deferred of ours with it, and leaves ``None`` behind.
#[pyclass(frozen)]
struct Fire(Py<Deferred>);

#[pymethods]
impl Fire {
    fn __call__(&self, result: &Bound<'_, PyAny>) -> PyResult<()> {
        Deferred::fire(self.0.bind(result.py()), super::class::outcome_of(result))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}

/// What genuine Twisted appends to ``_callbacks`` of a Deferred that one of its own waits for.
fn hand_on(other: &Bound<'_, PyAny>, result: Py<PyAny>) -> PyResult<()> {
    let py = other.py();
    other.setattr(intern!(py, "result"), result)?;
    let paused: i64 = other.getattr(intern!(py, "paused"))?.extract()?;
    other.setattr(intern!(py, "paused"), paused - 1)?;
    other.call_method0(intern!(py, "_runCallbacks")).map(drop)
}

/// Who is asked to stop the work behind a Deferred.
pub(crate) enum Canceller {
    Python(Py<PyAny>),
    Driver(Py<Driver>),
    Race(Py<Race>),
    Shared(Box<Shared>),
    Foreign(Py<PyAny>),
}

impl Canceller {
    pub(super) fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Python(function) => Self::Python(function.clone_ref(py)),
            Self::Driver(driver) => Self::Driver(driver.clone_ref(py)),
            Self::Race(race) => Self::Race(race.clone_ref(py)),
            Self::Shared(shared) => Self::Shared(Box::new(shared.clone_ref(py))),
            Self::Foreign(other) => Self::Foreign(other.clone_ref(py)),
        }
    }

    pub(super) fn call(&self, py: Python<'_>, link: &Py<Deferred>) -> PyResult<()> {
        match self {
            Self::Python(function) => function.bind(py).call1((link,)).map(drop),
            Self::Driver(driver) => Driver::cancel(driver.bind(py), link.bind(py)),
            Self::Race(race) => race.get().cancel(py),
            Self::Shared(shared) => {
                shared.forget(py, link);
                Ok(())
            }
            Self::Foreign(other) => other.bind(py).call_method0(intern!(py, "cancel")).map(drop),
        }
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Python(object) | Self::Foreign(object) => visit.call(object),
            Self::Driver(driver) => visit.call(driver),
            Self::Race(race) => visit.call(race),
            Self::Shared(shared) => shared.traverse(visit),
        }
    }
}

/// Any mapping as a dictionary.
pub(super) fn keywords<'py>(mapping: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    let kwargs = PyDict::new(mapping.py());
    kwargs.update(mapping.cast()?)?;
    Ok(kwargs)
}

/// The ``_callbacks`` of a Deferred, as far as other libraries use it: they append what waits.
#[pyclass(frozen, module = "marotte.defer", name = "_Callbacks")]
pub(crate) struct Continuation(pub(super) Py<Deferred>);

#[pymethods]
impl Continuation {
    /// Takes a pair of ``(callable, args, kwargs)``, as Twisted's ``_continuation()`` makes them.
    fn append(&self, py: Python<'_>, item: &Bound<'_, PyAny>) -> PyResult<()> {
        type Rung<'py> = (Bound<'py, PyAny>, Bound<'py, PyTuple>, Bound<'py, PyAny>);
        let (callback, errback): (Rung<'_>, Rung<'_>) = item.extract()?;
        let entry = if callback.0.is_callable() {
            deferred::Entry::Pair(Box::new((
                Callback::new(callback.0, &callback.1, Some(&keywords(&callback.2)?)),
                Callback::new(errback.0, &errback.1, Some(&keywords(&errback.2)?)),
            )))
        } else {
            // The mark for "go on with that one", which is its only argument.
            let (other,): (Bound<'_, PyAny>,) = callback.1.extract().map_err(|_| {
                PyTypeError::new_err("a continuation has one argument, the Deferred that waits")
            })?;
            deferred::Entry::Both(Callback::Continue(other.unbind()))
        };
        self.0.get().inner(py).chain.push(entry);
        let _ = py;
        Ok(())
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.0.get().inner(py).chain.entries().count()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}
