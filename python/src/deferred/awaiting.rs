//! `await` on a Deferred: it is its own iterator, as there is nothing to remember.

use pyo3::exceptions::{PyRuntimeError, PyStopIteration, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;

use super::callback::native;
use super::class::Deferred;
use super::driver;

impl Deferred {
    /// What `await` goes through: the Deferred itself, but for a pending one in a task of asyncio's.
    pub(super) fn iterator<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if driver::is_stepping() || Self::ready_value(&slf).is_some() {
            return Self::plain_iterator(slf);
        }
        let asyncio = py.import(intern!(py, "asyncio"))?;
        // None as well in the callbacks of a loop, where coroutines of ours go on.
        let Ok(task) = asyncio.call_method0(intern!(py, "current_task")) else {
            return Self::plain_iterator(slf);
        };
        if task.is_none() {
            return Self::plain_iterator(slf);
        }
        let event_loop = task.call_method0(intern!(py, "get_loop"))?;
        slf.call_method1(intern!(py, "asFuture"), (event_loop,))?
            .call_method0(intern!(py, "__await__"))
    }

    /// The Deferred itself, unless it has methods or attributes that Python would take for those of
    /// an iterator, such as `send` and `close`.
    pub(super) fn plain_iterator<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if native(slf.as_any()).is_some() && !slf.get().inner(py).has_attributes() {
            return Ok(slf.into_any());
        }
        Ok(Bound::new(py, Iterator(slf.unbind()))?.into_any())
    }

    /// The value, if there is one to be had: what `await` returns.
    #[inline]
    pub(super) fn ready_value<'py>(slf: &Bound<'py, Self>) -> Option<Bound<'py, PyAny>> {
        let inner = slf.get().inner(slf.py());
        match inner.chain.outcome() {
            Some(Ok(value)) if inner.chain.called() && inner.chain.paused() == 0 => {
                Some(value.bind(slf.py()).clone())
            }
            _ => None,
        }
    }

    /// One step of `await`: the value by `StopIteration`, a failure by what it raises, or `self` if
    /// there is nothing yet.
    pub(super) fn step<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        let py = slf.py();
        if let Some(value) = Self::ready_value(slf) {
            // A tuple would be taken apart.
            return Err(PyStopIteration::new_err((value.unbind(),)));
        }
        let (failure, noted) = {
            let mut inner = slf.get().inner(py);
            match inner.chain.outcome() {
                Some(Err(failure)) if inner.chain.called() && inner.chain.paused() == 0 => {
                    let failure = failure.clone_ref(py);
                    (failure, inner.chain.mark_handled())
                }
                _ => return Ok(slf.clone()),
            }
        };
        if noted {
            Self::note_failure(slf, false)?;
        }
        match failure.bind(py).call_method0(intern!(py, "raiseException")) {
            Ok(_) => Err(PyTypeError::new_err("raiseException() did not raise")),
            Err(error) if error.is_instance_of::<PyStopIteration>(py) => {
                Err(not_the_end(error.into_value(py).into_bound(py).into_any()))
            }
            Err(error) => Err(error),
        }
    }
}

/// A `StopIteration` that is a failure, and not the end of an iteration: what generators make of it
/// (PEP 479).
pub(super) fn not_the_end(error: Bound<'_, PyAny>) -> PyErr {
    let py = error.py();
    let wrong = PyRuntimeError::new_err("generator raised StopIteration");
    wrong.set_cause(py, Some(PyErr::from_value(error)));
    wrong
}

/// Goes through `await` for a Deferred that cannot do so itself.
#[pyclass(frozen, module = "marotte.defer", name = "_Iterator")]
struct Iterator(Py<Deferred>);

#[pymethods]
impl Iterator {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Deferred>> {
        Deferred::step(self.0.bind(py))
    }

    fn send<'py>(
        &self,
        _value: &Bound<'py, PyAny>,
        py: Python<'py>,
    ) -> PyResult<Bound<'py, Deferred>> {
        Deferred::step(self.0.bind(py))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}
