//! Who sent what, because of which message: the notes of a tub as Python sees them.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use marotte::Suspended;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::host::PyVat;

/// Microseconds since 1970.
fn now_us() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_micros()).unwrap_or(u64::MAX))
}

/// The notes of one tub.
#[pyclass(frozen, module = "marotte")]
pub(crate) struct Trace {
    vat: Arc<PyVat>,
    trace: Arc<marotte::Trace>,
}

impl Trace {
    pub(crate) fn begin(vat: &Arc<PyVat>, name: &str, events: usize) -> Self {
        let trace = marotte::Trace::new(name, events, now_us);
        vat.trace(Some(Arc::clone(&trace)));
        Self {
            vat: Arc::clone(vat),
            trace,
        }
    }
}

#[pymethods]
impl Trace {
    /// The picture, in Chrome's trace format.
    #[pyo3(name = "toJSON")]
    fn to_json(&self) -> String {
        self.trace.to_chrome_json()
    }

    /// How many events were not kept because there were more.
    #[getter]
    fn lost(&self) -> u64 {
        self.trace.lost()
    }

    /// Notes nothing more.
    fn stop(&self) {
        let is_ours = |trace: Arc<marotte::Trace>| Arc::ptr_eq(&trace, &self.trace);
        if self.vat.tracing().is_some_and(is_ours) {
            self.vat.trace(None);
        }
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyTuple>) -> bool {
        self.stop();
        false
    }
}

/// A coroutine whose steps are noted as what they are: the rest of a turn.
#[pyclass(frozen)]
pub(crate) struct Traced {
    coroutine: Py<PyAny>,
    turn: Suspended,
}

impl Traced {
    /// The coroutine itself, if nothing is noted.
    pub(crate) fn wrap<'py>(
        vat: &Arc<PyVat>,
        coroutine: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match vat.tracing().and_then(|trace| trace.suspended()) {
            None => Ok(coroutine),
            Some(turn) => {
                let py = coroutine.py();
                let coroutine = coroutine.unbind();
                Ok(Bound::new(py, Self { coroutine, turn })?.into_any())
            }
        }
    }
}

#[pymethods]
impl Traced {
    fn send<'py>(&self, value: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = value.py();
        let coroutine = self.coroutine.bind(py);
        self.turn
            .go_on(|| coroutine.call_method1(intern!(py, "send"), (value,)))
    }

    fn throw<'py>(&self, error: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = error.py();
        let coroutine = self.coroutine.bind(py);
        self.turn
            .go_on(|| coroutine.call_method1(intern!(py, "throw"), (error,)))
    }

    fn close<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.coroutine.bind(py).call_method0(intern!(py, "close"))
    }
}
