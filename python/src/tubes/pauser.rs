//! Pause tokens, and what counts them for founts written in Python.

#![allow(non_snake_case, reason = "the names are Twisted's")]

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::deferred::Guarded;
use crate::host::PyHost;

use super::parts::{exiting, parts};
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
            Of::Siphon(siphon) => {
                marotte::tube::resume_flow::<PyHost>(py, siphon);
                exiting()
            }
            Of::Pauser(pauser) => pauser.get().less(py),
        }
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
    /// What the fount has been told last.
    paused: bool,
    pausing: bool,
    resuming: bool,
}

#[pymethods]
impl Pauser {
    #[new]
    fn new(actuallyPause: Py<PyAny>, actuallyResume: Py<PyAny>) -> Self {
        Self {
            state: Guarded::new(State {
                pauses: 0,
                paused: false,
                pausing: false,
                resuming: false,
            }),
            pause: actuallyPause,
            resume: actuallyResume,
        }
    }

    /// Adds a pause.
    fn pause(slf: &Bound<'_, Self>) -> PyResult<Pause> {
        let py = slf.py();
        slf.get().more(py)?;
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
    /// A pause counts at once, also one that comes while the fount is being resumed: it may be
    /// sending just then.
    fn more(&self, py: Python<'_>) -> PyResult<()> {
        let first = {
            let mut state = self.state.lock(py);
            state.pauses += 1;
            let first = !std::mem::replace(&mut state.paused, true);
            state.pausing |= first;
            first
        };
        if !first {
            return Ok(());
        }
        let outcome = self.pause.call0(py);
        self.state.lock(py).pausing = false;
        outcome?;
        self.settle(py)
    }

    fn less(&self, py: Python<'_>) -> PyResult<()> {
        {
            let mut state = self.state.lock(py);
            state.pauses = state.pauses.saturating_sub(1);
        }
        self.settle(py)
    }

    /// Resumes, if nobody holds a pause. Within itself that waits: the stack would grow with each item
    /// of a fount that sends while it is being resumed.
    fn settle(&self, py: Python<'_>) -> PyResult<()> {
        loop {
            {
                let mut state = self.state.lock(py);
                if state.pauses > 0 || !state.paused || state.pausing || state.resuming {
                    return Ok(());
                }
                state.paused = false;
                state.resuming = true;
            }
            let outcome = self.resume.call0(py);
            self.state.lock(py).resuming = false;
            outcome?;
        }
    }
}
