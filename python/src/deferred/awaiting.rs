//! `await` on a Deferred: it is its own iterator, as there is nothing to remember.

use pyo3::exceptions::{PyStopIteration, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;

use super::class::Deferred;
use super::driver;

impl Deferred {
    /// What `await` goes through: the Deferred itself, but for a pending one in a task of asyncio's.
    pub(super) fn iterator<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if driver::is_stepping() || Self::ready_value(&slf).is_some() {
            return Ok(slf.into_any());
        }
        let asyncio = py.import(intern!(py, "asyncio"))?;
        // None as well in the callbacks of a loop, where coroutines of ours go on.
        let Ok(task) = asyncio.call_method0(intern!(py, "current_task")) else {
            return Ok(slf.into_any());
        };
        if task.is_none() {
            return Ok(slf.into_any());
        }
        let event_loop = task.call_method0(intern!(py, "get_loop"))?;
        slf.call_method1(intern!(py, "asFuture"), (event_loop,))?
            .call_method0(intern!(py, "__await__"))
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
        failure
            .bind(py)
            .call_method0(intern!(py, "raiseException"))?;
        Err(PyTypeError::new_err("raiseException() did not raise"))
    }
}
