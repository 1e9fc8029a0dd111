//! What Deferreds keep for the reports of errors: the failure that nobody has handled, and in debug
//! mode the stacks of who made and who fired them.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::PyTypeInfo;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::class::Deferred;
use super::parts::parts;

/// `Deferred.debug` as it is for all of them.
static DEBUG: AtomicBool = AtomicBool::new(false);

/// True while all of them are to keep stacks and local variables.
pub(super) fn debugs_all() -> bool {
    DEBUG.load(Ordering::Relaxed)
}

/// `debug` of one of them.
pub(super) mod own {
    pub(in crate::deferred) const UNSET: u8 = 0;
    pub(in crate::deferred) const OFF: u8 = 1;
    pub(in crate::deferred) const ON: u8 = 2;
}

impl Deferred {
    /// True if it keeps stacks and local variables.
    pub(super) fn debugs(slf: &Bound<'_, Self>) -> bool {
        match slf.get().debug.load(Ordering::Relaxed) {
            own::UNSET if slf.get_type().is(Self::type_object(slf.py())) => {
                DEBUG.load(Ordering::Relaxed)
            }
            // A subclass may say so too.
            own::UNSET => slf
                .getattr(intern!(slf.py(), "debug"))
                .and_then(|debug| debug.is_truthy())
                .unwrap_or(false),
            set => set == own::ON,
        }
    }

    pub(super) fn note_invoker(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if Self::debugs(slf) && !slf.get().inner(py).chain.called() {
            Self::note_stack(slf, intern!(py, "invoker"))?;
        }
        Ok(())
    }

    /// The error of firing it for the second time.
    pub(super) fn already_called(slf: &Bound<'_, Self>) -> PyResult<PyErr> {
        let py = slf.py();
        let debugs = Self::debugs(slf);
        let class = parts(py)?.already_called.bind(py);
        let error = if debugs {
            let text = Self::info(slf)?.call_method0(intern!(py, "_getDebugTracebacks"))?;
            class.call1((format!("\n{text}"),))?
        } else {
            class.call0()?
        };
        Ok(PyErr::from_value(error))
    }

    pub(super) fn note_creator(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::note_stack(slf, intern!(slf.py(), "creator"))
    }

    fn note_stack(slf: &Bound<'_, Self>, name: &Bound<'_, PyString>) -> PyResult<()> {
        let py = slf.py();
        let stack = parts(py)?.stack.bind(py).call0()?;
        Self::info(slf)?.setattr(name, stack)
    }

    fn info<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let known = |py| slf.get().inner(py).info().map(|info| info.clone_ref(py));
        if let Some(info) = known(py) {
            return Ok(info.into_bound(py));
        }
        let info = parts(py)?.debug_info.bind(py).call0()?;
        // While it was made, other code may have run, and have made one.
        if let Some(info) = known(py) {
            return Ok(info.into_bound(py));
        }
        slf.get().inner(py).set_info(info.clone().unbind());
        Ok(info)
    }

    /// A failure has come to the end of the ladder, or has left it.
    pub(super) fn note_failure(slf: &Bound<'_, Self>, rests: bool) -> PyResult<()> {
        let py = slf.py();
        let failure = {
            let inner = slf.get().inner(py);
            match inner.chain.outcome() {
                Some(Err(failure)) if rests => failure.clone_ref(py),
                _ => py.None(),
            }
        };
        Self::info(slf)?.setattr(intern!(py, "failResult"), failure)
    }
}

/// ``Deferred.debug``: one switch for all, which each may set for itself.
#[pyclass(frozen)]
pub(crate) struct DebugFlag;

#[pymethods]
impl DebugFlag {
    fn __get__(
        &self,
        object: Option<&Bound<'_, Deferred>>,
        _class: Option<&Bound<'_, PyAny>>,
    ) -> bool {
        match object.map(|object| object.get().debug.load(Ordering::Relaxed)) {
            None | Some(own::UNSET) => DEBUG.load(Ordering::Relaxed),
            Some(set) => set == own::ON,
        }
    }

    fn __set__(&self, object: &Bound<'_, Deferred>, on: &Bound<'_, PyAny>) -> PyResult<()> {
        let on = if on.is_truthy()? { own::ON } else { own::OFF };
        object.get().debug.store(on, Ordering::Relaxed);
        Ok(())
    }

    /// Sets it for all.
    #[staticmethod]
    fn set(on: bool) {
        DEBUG.store(on, Ordering::Relaxed);
    }
}
