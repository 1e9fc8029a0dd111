//! What a Python tube has returned, taken one by one.

use marotte::tube::Next;
use pyo3::exceptions::PyStopAsyncIteration;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

use crate::deferred::Guarded;
use crate::values::coroutine_type;

use super::parts::{exiting, parts, reason_of};
use super::siphon::Siphon;

/// Outputs that have not all been taken.
pub(crate) enum Outputs {
    Generator(Py<PyAny>),
    Iterator(Py<PyAny>),
    Tuple(Py<PyTuple>, usize),
    List(Py<PyList>, usize),
    /// One.
    One(Option<Py<PyAny>>),
    /// A coroutine, Deferred or future that nobody waits for yet. Its result is what the tube returned; or,
    /// if that is said, the one output.
    Awaitable(Py<PyAny>, bool),
    /// It is being waited for.
    Waiting(Py<Pending>, bool),
    /// An asynchronous generator, and its next item if that is being waited for.
    Asynchronous(Py<PyAny>, Option<Py<Pending>>),
}

/// Something that is waited for. It is called with its outcome.
#[pyclass(frozen, module = "marotte._core", name = "_Pending")]
pub(crate) struct Pending {
    state: Guarded<State>,
}

struct State {
    outcome: Option<Result<Py<PyAny>, PyErr>>,
    /// What can be cancelled.
    work: Option<Py<PyAny>>,
    /// Who is to be woken.
    siphon: Option<Py<Siphon>>,
}

#[pymethods]
impl Pending {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Some(state) = self.state.lock_for_collector() else {
            return Ok(());
        };
        if let Some(Ok(value)) = &state.outcome {
            visit.call(value)?;
        }
        visit.call(&state.work)?;
        visit.call(&state.siphon)
    }

    fn __clear__(&self) {
        let old = self
            .state
            .lock_for_collector()
            .map(|mut state| (state.outcome.take(), state.work.take(), state.siphon.take()));
        drop(old);
    }

    #[pyo3(signature = (value, error=None))]
    fn __call__(
        &self,
        py: Python<'_>,
        value: Py<PyAny>,
        error: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let outcome = match error {
            None => Ok(value),
            Some(error) => Err(PyErr::from_value(error)),
        };
        let siphon = {
            let mut state = self.state.lock(py);
            state.outcome = Some(outcome);
            state.work = None;
            state.siphon.take()
        };
        if let Some(siphon) = siphon {
            marotte::tube::wake::<crate::host::PyHost>(py, &siphon);
        }
        exiting()
    }
}

impl Pending {
    /// Begins to wait for something; wakes the siphon when it is there.
    fn begin(py: Python<'_>, awaitable: &Py<PyAny>, siphon: &Py<Siphon>) -> PyResult<Py<Self>> {
        let pending = Py::new(
            py,
            Self {
                state: Guarded::new(State {
                    outcome: None,
                    work: None,
                    siphon: None,
                }),
            },
        )?;
        let work = parts(py)?.begin.call1(py, (awaitable, &pending))?;
        let mut state = pending.get().state.lock(py);
        if state.outcome.is_none() {
            state.work = Some(work);
            state.siphon = Some(siphon.clone_ref(py));
        }
        drop(state);
        Ok(pending)
    }

    /// Says whom to wake; a siphon may have been put into another's place.
    fn wakes(&self, py: Python<'_>, siphon: &Py<Siphon>) {
        let mut state = self.state.lock(py);
        if !state.siphon.as_ref().is_some_and(|old| old.is(siphon)) {
            let old = state.siphon.replace(siphon.clone_ref(py));
            drop(state);
            drop(old);
        }
    }

    fn take(&self, py: Python<'_>) -> Option<Result<Py<PyAny>, PyErr>> {
        self.state.lock(py).outcome.take()
    }

    fn cancel(&self, py: Python<'_>) {
        let work = {
            let mut state = self.state.lock(py);
            state.siphon = None;
            state.work.take()
        };
        if let Some(work) = work
            && let Err(error) = parts(py).and_then(|parts| {
                parts
                    .begin
                    .bind(py)
                    .getattr(intern!(py, "cancel"))?
                    .call1((work,))
            })
        {
            error.write_unraisable(py, None);
        }
    }
}

impl Outputs {
    /// What a tube returned, as outputs.
    #[inline]
    pub(super) fn of(result: Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        if result.is_none() {
            return Ok(None);
        }
        if is_generator(&result) {
            return Ok(Some(Self::Generator(result.unbind())));
        }
        Self::of_other(result)
    }

    /// What a function returned, as one output.
    pub(super) fn one(result: Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        if is_awaitable(&result)? {
            return Ok(Some(Self::Awaitable(result.unbind(), true)));
        }
        Ok(Some(Self::One(Some(result.unbind()))))
    }

    fn of_other(result: Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        let py = result.py();
        if let Ok(tuple) = result.cast_exact::<PyTuple>() {
            return Ok((!tuple.is_empty()).then(|| Self::Tuple(tuple.clone().unbind(), 0)));
        }
        if let Ok(list) = result.cast_exact::<PyList>() {
            return Ok((!list.is_empty()).then(|| Self::List(list.clone().unbind(), 0)));
        }
        if result.is_instance_of::<PyString>() || result.is_instance_of::<PyBytes>() {
            return Err(PyTypeError::new_err(
                "a tube returns an iterable of its outputs; to pass on one string, yield it or \
                 return (it,)",
            ));
        }
        if is_awaitable(&result)? {
            return Ok(Some(Self::Awaitable(result.unbind(), false)));
        }
        if result.hasattr(intern!(py, "__anext__"))? {
            return Ok(Some(Self::Asynchronous(result.unbind(), None)));
        }
        Ok(Some(Self::Iterator(result.try_iter()?.into_any().unbind())))
    }

    /// The next one.
    #[inline]
    pub(super) fn next(
        &mut self,
        py: Python<'_>,
        siphon: &Py<Siphon>,
    ) -> Result<Next<Py<PyAny>>, Py<PyAny>> {
        loop {
            let item = match self {
                Self::Generator(generator) => advance(py, generator)?,
                Self::Iterator(iterator) => {
                    // SAFETY: the object is an iterator, and the result is a new reference, or null
                    // with or without an error.
                    let item = unsafe {
                        Bound::from_owned_ptr_or_opt(py, ffi::PyIter_Next(iterator.as_ptr()))
                    };
                    // Looking is cheaper than taking, and this comes once for every generator.
                    // SAFETY: the interpreter lock is held.
                    if item.is_none() && unsafe { !ffi::PyErr_Occurred().is_null() } {
                        return Err(reason_of(py, PyErr::fetch(py)));
                    }
                    item
                }
                Self::One(value) => value.take().map(|value| value.into_bound(py)),
                Self::Tuple(tuple, at) => {
                    let tuple = tuple.bind(py);
                    *at += 1;
                    if *at > tuple.len() {
                        return Ok(Next::Idle);
                    }
                    tuple.get_item(*at - 1).ok()
                }
                Self::List(list, at) => {
                    let list = list.bind(py);
                    *at += 1;
                    // It may change meanwhile.
                    if *at > list.len() {
                        return Ok(Next::Idle);
                    }
                    list.get_item(*at - 1).ok()
                }
                _ => match self
                    .wait(py, siphon)
                    .map_err(|error| reason_of(py, error))?
                {
                    Wait::Item(item) => Some(item),
                    Wait::Again => continue,
                    Wait::Busy => return Ok(Next::Busy),
                    Wait::Nothing => None,
                },
            };
            match item {
                None => return Ok(Next::Idle),
                Some(item) if is_skip(&item) => {}
                Some(item) => return Ok(Next::Item(item.unbind())),
            }
        }
    }

    fn wait<'py>(&mut self, py: Python<'py>, siphon: &Py<Siphon>) -> PyResult<Wait<'py>> {
        match self {
            Self::Awaitable(awaitable, single) => {
                *self = Self::Waiting(Pending::begin(py, awaitable, siphon)?, *single);
                Ok(Wait::Again)
            }
            Self::Waiting(pending, single) => match pending.get().take(py) {
                None => {
                    pending.get().wakes(py, siphon);
                    Ok(Wait::Busy)
                }
                Some(result) if *single => {
                    *self = Self::One(Some(result?));
                    Ok(Wait::Again)
                }
                Some(result) => Ok(match Self::of(result?.into_bound(py))? {
                    Some(outputs) => {
                        *self = outputs;
                        Wait::Again
                    }
                    None => Wait::Nothing,
                }),
            },
            Self::Asynchronous(generator, pending) => {
                let waiting = match pending {
                    Some(waiting) => waiting,
                    None => {
                        let next = generator.call_method0(py, intern!(py, "__anext__"))?;
                        pending.insert(Pending::begin(py, &next, siphon)?)
                    }
                };
                let Some(outcome) = waiting.get().take(py) else {
                    return Ok(Wait::Busy);
                };
                *pending = None;
                match outcome {
                    Ok(item) => Ok(Wait::Item(item.into_bound(py))),
                    Err(error) if error.is_instance_of::<PyStopAsyncIteration>(py) => {
                        Ok(Wait::Nothing)
                    }
                    Err(error) => Err(error),
                }
            }
            _ => Ok(Wait::Nothing),
        }
    }

    /// Gives them up: closes a generator, cancels what is waited for.
    pub(super) fn discard(self, py: Python<'_>) {
        let closed = match &self {
            Self::Generator(generator) => {
                generator.call_method0(py, intern!(py, "close")).map(drop)
            }
            Self::Awaitable(awaitable, _)
                if coroutine_type(py)
                    .is_ok_and(|class| awaitable.bind(py).get_type().is(class)) =>
            {
                awaitable.call_method0(py, intern!(py, "close")).map(drop)
            }
            Self::Asynchronous(generator, None) => parts(py)
                .and_then(|parts| parts.close_async.call1(py, (generator,)))
                .map(drop),
            Self::Waiting(pending, _) | Self::Asynchronous(_, Some(pending)) => {
                pending.get().cancel(py);
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(error) = closed {
            super::parts::report(py, &reason_of(py, error));
        }
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Generator(object) | Self::Iterator(object) | Self::Awaitable(object, _) => {
                visit.call(object)
            }
            Self::Tuple(tuple, _) => visit.call(tuple),
            Self::List(list, _) => visit.call(list),
            Self::One(value) => visit.call(value),
            Self::Waiting(pending, _) => visit.call(pending),
            Self::Asynchronous(generator, pending) => {
                visit.call(generator)?;
                visit.call(pending)
            }
        }
    }
}

enum Wait<'py> {
    Item(Bound<'py, PyAny>),
    Again,
    Busy,
    Nothing,
}

/// The next item of a generator. This way none of its ends raises `StopIteration`.
#[inline]
fn advance<'py>(
    py: Python<'py>,
    generator: &Py<PyAny>,
) -> Result<Option<Bound<'py, PyAny>>, Py<PyAny>> {
    let mut result = std::ptr::null_mut();
    // SAFETY: the object is a generator; the result is a new reference, or null with an error.
    let (how, result) = unsafe {
        let how = ffi::PyIter_Send(generator.as_ptr(), ffi::Py_None(), &raw mut result);
        (how, Bound::from_owned_ptr_or_opt(py, result))
    };
    match how {
        ffi::PySendResult::PYGEN_NEXT => Ok(result),
        ffi::PySendResult::PYGEN_RETURN => Ok(None),
        ffi::PySendResult::PYGEN_ERROR => Err(reason_of(py, PyErr::fetch(py))),
    }
}

#[inline]
fn is_generator(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: a live object, of which only the class is looked at.
    unsafe { ffi::PyGen_CheckExact(object.as_ptr()) != 0 }
}

fn is_awaitable(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = value.py();
    Ok(value.get_type().is(coroutine_type(py)?)
        || value.hasattr(intern!(py, "addCallbacks"))?
        || value.hasattr(intern!(py, "__await__"))?)
}

#[inline]
fn is_skip(item: &Bound<'_, PyAny>) -> bool {
    // There is one, if any.
    item.is_exact_instance_of::<super::parts::Skip>()
}
