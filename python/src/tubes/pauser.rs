//! Pause tokens, and what counts them for founts written in Python.

#![allow(non_snake_case, reason = "the names are Twisted's")]

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::deferred::Guarded;
use crate::host::PyHost;

use super::parts::parts;
use super::siphon::Siphon;

/// Holds a flow back until ``unpause`` is called.
#[pyclass(frozen, weakref, module = "marotte._core", name = "_Pause")]
pub(crate) struct Pause {
    of: Of,
    over: AtomicBool,
}

enum Of {
    Siphon(Py<Siphon>),
    Pauser(Py<Pauser>),
}

impl Pause {
    pub(super) fn of_siphon(siphon: Py<Siphon>) -> Self {
        Self {
            of: Of::Siphon(siphon),
            over: AtomicBool::new(false),
        }
    }
}

#[pymethods]
impl Pause {
    /// Takes the pause back. Raises ``AlreadyUnpaused`` the second time.
    fn unpause(&self, py: Python<'_>) -> PyResult<()> {
        if self.over.swap(true, Ordering::Relaxed) {
            return Err(PyErr::from_value(
                parts(py)?.already_unpaused.bind(py).call0()?,
            ));
        }
        match &self.of {
            Of::Siphon(siphon) => marotte::tube::resume_flow::<PyHost>(py, siphon),
            Of::Pauser(pauser) => pauser.get().less(py)?,
        }
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match &self.of {
            Of::Siphon(siphon) => visit.call(siphon),
            Of::Pauser(pauser) => visit.call(pauser),
        }
    }
}

/// Counts pauses: calls ``actuallyPause()`` at the first one and ``actuallyResume()`` when the last has been taken
/// back.
#[pyclass(frozen, weakref, module = "marotte._core", name = "_Pauser")]
pub(crate) struct Pauser {
    state: Guarded<State>,
    pause: Py<PyAny>,
    resume: Py<PyAny>,
}

struct State {
    pauses: usize,
    /// One of the two functions runs. What the other is to be called for waits for its end.
    busy: bool,
    paused: bool,
}

#[pymethods]
impl Pauser {
    #[new]
    fn new(actuallyPause: Py<PyAny>, actuallyResume: Py<PyAny>) -> Self {
        Self {
            state: Guarded::new(State {
                pauses: 0,
                busy: false,
                paused: false,
            }),
            pause: actuallyPause,
            resume: actuallyResume,
        }
    }

    /// Adds a pause.
    fn pause(slf: &Bound<'_, Self>) -> PyResult<Pause> {
        let py = slf.py();
        slf.get().state.lock(py).pauses += 1;
        slf.get().settle(py)?;
        Ok(Pause {
            of: Of::Pauser(slf.clone().unbind()),
            over: AtomicBool::new(false),
        })
    }

    /// Whether anybody holds a pause.
    #[getter]
    fn isPaused(&self, py: Python<'_>) -> bool {
        self.state.lock(py).pauses > 0
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.pause)?;
        visit.call(&self.resume)
    }
}

impl Pauser {
    fn less(&self, py: Python<'_>) -> PyResult<()> {
        {
            let mut state = self.state.lock(py);
            state.pauses = state.pauses.saturating_sub(1);
        }
        self.settle(py)
    }

    /// Calls what has to be called.
    fn settle(&self, py: Python<'_>) -> PyResult<()> {
        loop {
            let pause = {
                let mut state = self.state.lock(py);
                let wanted = state.pauses > 0;
                if state.busy || state.paused == wanted {
                    return Ok(());
                }
                state.busy = true;
                state.paused = wanted;
                wanted
            };
            let outcome = if pause { &self.pause } else { &self.resume }.call0(py);
            self.state.lock(py).busy = false;
            outcome?;
        }
    }
}
