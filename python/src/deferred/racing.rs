//! `race`.

use std::sync::{Mutex, PoisonError};

use marotte::deferred::{self, Chain, Entry, Outcome, Returned};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;

use crate::host::PyHost;

use super::callback::{Callback, Canceller, native, run_now};
use super::class::{Deferred, outcome_of};
use super::parts::parts;

/// The inputs of one `race`, and its result.
#[pyclass(frozen)]
pub(crate) struct Race {
    race: Mutex<deferred::Race<Py<PyAny>>>,
    inputs: Vec<Py<PyAny>>,
    result: Mutex<Option<Py<Deferred>>>,
}

impl Race {
    fn result(&self, py: Python<'_>) -> Option<Py<Deferred>> {
        let result = self.result.lock().unwrap_or_else(PoisonError::into_inner);
        result.as_ref().map(|result| result.clone_ref(py))
    }

    fn race(&self) -> std::sync::MutexGuard<'_, deferred::Race<Py<PyAny>>> {
        self.race.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn arrived(
        &self,
        py: Python<'_>,
        index: usize,
        outcome: Outcome<PyHost>,
    ) -> PyResult<Returned<PyHost>> {
        let unit = || Ok(py.None());
        let result = match outcome {
            Ok(value) => {
                if !self.race().succeeded() {
                    return Ok(Returned::Outcome(unit()));
                }
                for (other, input) in self.inputs.iter().enumerate() {
                    if other != index {
                        input.bind(py).call_method0(intern!(py, "cancel"))?;
                    }
                }
                Ok((index, value).into_pyobject(py)?.into_any().unbind())
            }
            Err(failure) => {
                let all = self.race().failed(index, failure);
                let Some(failures) = all else {
                    return Ok(Returned::Outcome(unit()));
                };
                let parts = parts(py)?;
                let group = parts.failure_group.bind(py).call1((failures,))?;
                Err(parts.failure.bind(py).call1((group,))?.unbind())
            }
        };
        match self.result(py) {
            Some(deferred) => Deferred::fire_next(deferred.bind(py), result, unit()),
            None => Ok(Returned::Outcome(unit())),
        }
    }

    pub(super) fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        for input in &self.inputs {
            input.bind(py).call_method0(intern!(py, "cancel"))?;
        }
        Ok(())
    }
}

#[pymethods]
impl Race {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        for input in &self.inputs {
            visit.call(input)?;
        }
        if let Ok(race) = self.race.try_lock() {
            for failure in race.failures() {
                visit.call(failure)?;
            }
        }
        match self.result.try_lock() {
            Ok(result) => visit.call(&*result),
            Err(_) => Ok(()),
        }
    }

    fn __clear__(&self) {
        let old = self
            .result
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(old);
    }
}

/// A callback or errback for inputs that are not exactly Deferreds.
#[pyclass(frozen)]
struct Arrive(Py<Race>, usize);

#[pymethods]
impl Arrive {
    fn __call__(&self, result: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = result.py();
        run_now(py, self.0.get().arrived(py, self.1, outcome_of(result))?)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}

/// A Deferred for the first value of several Deferreds, as ``(index, value)``. The others are
/// cancelled. If all of them fail, so does this, with a ``FailureGroup``.
#[pyfunction]
pub(crate) fn race<'py>(ds: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Deferred>> {
    let py = ds.py();
    let inputs: Vec<Bound<'_, PyAny>> = ds.try_iter()?.collect::<PyResult<_>>()?;
    let race = Bound::new(
        py,
        Race {
            race: Mutex::new(deferred::Race::new(inputs.len())),
            inputs: inputs.iter().map(|input| input.clone().unbind()).collect(),
            result: Mutex::new(None),
        },
    )?;
    let canceller = Canceller::Race(race.clone().unbind());
    let result = Deferred::create(py, Chain::new(Some(canceller)))?;
    *race
        .get()
        .result
        .lock()
        .unwrap_or_else(PoisonError::into_inner) = Some(result.clone().unbind());
    for (index, input) in inputs.into_iter().enumerate() {
        if let Some(input) = native(&input) {
            let arrive = Callback::Race(race.clone().unbind(), index);
            deferred::add::<PyHost>(py, input.as_unbound(), Entry::Both(arrive));
        } else {
            let arrive = Bound::new(py, Arrive(race.clone().unbind(), index))?;
            input.call_method1(intern!(py, "addCallbacks"), (&arrive, &arrive))?;
        }
    }
    Ok(result)
}
