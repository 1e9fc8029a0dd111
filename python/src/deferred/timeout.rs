//! `addTimeout`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use marotte::deferred::{self, Timed};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;

use crate::host::PyHost;

use super::callback::Callback;
use super::class::Deferred;
use super::parts::{is_failure, parts};

/// One timeout.
#[pyclass(frozen)]
pub(crate) struct Alarm {
    rang: AtomicBool,
    timeout: Py<PyAny>,
    on_timeout: Option<Py<PyAny>>,
    /// What the clock's `callLater` returned.
    call: Mutex<Option<Py<PyAny>>>,
}

impl Alarm {
    /// If it rang, the result is what the user makes of it, or a ``TimeoutError`` if it was
    /// cancelled.
    pub(super) fn translate<'py>(
        &self,
        py: Python<'py>,
        result: Py<PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let result = result.into_bound(py);
        if !self.rang.load(Ordering::Relaxed) {
            return Ok(result);
        }
        if let Some(on_timeout) = &self.on_timeout {
            return on_timeout.bind(py).call1((result, &self.timeout));
        }
        if is_failure(&result) {
            let parts = parts(py)?;
            let cancelled = result.call_method1(intern!(py, "check"), (&parts.cancelled,))?;
            if !cancelled.is_none() {
                let error = parts.timeout.bind(py).call1((&self.timeout, "Deferred"))?;
                return Err(PyErr::from_value(error));
            }
        }
        Ok(result)
    }

    pub(super) fn stop(&self, py: Python<'_>) -> PyResult<()> {
        let call = self
            .call
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(call) = call else {
            return Ok(());
        };
        let call = call.bind(py);
        if call.call_method0(intern!(py, "active"))?.is_truthy()? {
            call.call_method0(intern!(py, "cancel"))?;
        }
        Ok(())
    }
}

#[pymethods]
impl Alarm {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.timeout)?;
        visit.call(&self.on_timeout)?;
        match self.call.try_lock() {
            Ok(call) => visit.call(&*call),
            Err(_) => Ok(()),
        }
    }
}

/// What the clock calls.
#[pyclass(frozen)]
struct Ring(Py<Deferred>, Py<Alarm>);

#[pymethods]
impl Ring {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        // A subclass may cancel in a way of its own.
        if !self.0.bind(py).is_exact_instance_of::<Deferred>() {
            PyHost::rang(py, &self.1);
            return self
                .0
                .bind(py)
                .call_method0(intern!(py, "cancel"))
                .map(drop);
        }
        deferred::ring::<PyHost>(py, &self.0, &self.1)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)?;
        visit.call(&self.1)
    }
}

impl Timed for PyHost {
    /// Anything with Twisted's `callLater`.
    type Clock = Py<PyAny>;
    type Alarm = Py<Alarm>;

    fn set_alarm(
        py: Python<'_>,
        link: &Py<Deferred>,
        clock: &Py<PyAny>,
        alarm: &Py<Alarm>,
    ) -> PyResult<()> {
        let ring = Bound::new(py, Ring(link.clone_ref(py), alarm.clone_ref(py)))?;
        let call = clock
            .bind(py)
            .call_method1(intern!(py, "callLater"), (&alarm.get().timeout, ring))?;
        let mut slot = alarm
            .get()
            .call
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *slot = Some(call.unbind());
        Ok(())
    }

    fn rang(_: Python<'_>, alarm: &Py<Alarm>) {
        alarm.get().rang.store(true, Ordering::Relaxed);
    }

    fn translate(alarm: &Py<Alarm>, py: Python<'_>) -> Callback {
        Callback::Translate(alarm.clone_ref(py))
    }

    fn stop(alarm: &Py<Alarm>, py: Python<'_>) -> Callback {
        Callback::StopAlarm(alarm.clone_ref(py))
    }
}

/// Sets a timeout on a Deferred.
pub(super) fn add(
    deferred: &Bound<'_, Deferred>,
    timeout: Bound<'_, PyAny>,
    clock: &Bound<'_, PyAny>,
    on_timeout: Option<Py<PyAny>>,
) -> PyResult<()> {
    let py = deferred.py();
    let alarm = Py::new(
        py,
        Alarm {
            rang: AtomicBool::new(false),
            timeout: timeout.unbind(),
            on_timeout,
            call: Mutex::new(None),
        },
    )?;
    deferred::add_timeout::<PyHost>(py, deferred.as_unbound(), clock.as_unbound(), &alarm)
}
