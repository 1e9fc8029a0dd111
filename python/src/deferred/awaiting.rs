//! `await` on a Deferred: it is its own iterator, as there is nothing to remember.

use pyo3::exceptions::{PyStopIteration, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;

use super::class::Deferred;

impl Deferred {
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
