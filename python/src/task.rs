//! Stepping a coroutine once, without a task.
//!
//! Most `async def` methods end without waiting, and an asyncio task costs ten times what such a
//! call does. So the coroutine is stepped by hand; a stand-in is the current task meanwhile, for
//! `asyncio.timeout` and its like, and passes everything on to the real task if one is needed.
//! (Python 3.12's `eager_start` is the same idea; this works from 3.9 on.)

use pyo3::exceptions::PyAttributeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

use crate::host::Home;

/// Stands in for the task of a coroutine that may not need one.
#[pyclass(frozen, weakref)]
pub(crate) struct EagerTask {
    real: PyOnceLock<Py<PyAny>>,
    /// The message of a `cancel()` that came before there was a real task.
    cancelled: PyOnceLock<Option<Py<PyAny>>>,
}

impl EagerTask {
    /// Steps the coroutine once. Returns the stand-in and what the coroutine waits for.
    ///
    /// # Errors
    /// `StopIteration` with the result if the coroutine ended, or what it raised.
    pub(crate) fn step<'py>(
        py: Python<'py>,
        home: &Home,
        coroutine: &Bound<'py, PyAny>,
    ) -> PyResult<(Bound<'py, Self>, Bound<'py, PyAny>)> {
        let task = Bound::new(
            py,
            Self {
                real: PyOnceLock::new(),
                cancelled: PyOnceLock::new(),
            },
        )?;
        let (enter, leave) = home.steps(py)?;
        enter.bind(py).call1((&task,))?;
        let stepped = coroutine.call_method1(intern!(py, "send"), (py.None(),));
        leave.bind(py).call1((&task,))?;
        stepped.map(|waiting_for| (task, waiting_for))
    }

    /// Names the task that the coroutine goes on in.
    pub(crate) fn become_real(
        &self,
        runner: &Bound<'_, PyAny>,
        task: Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = runner.py();
        let _ = self.real.set(py, task.clone().unbind());
        if let Some(message) = self.cancelled.get(py) {
            let message = message
                .as_ref()
                .map_or_else(|| py.None(), |m| m.clone_ref(py));
            runner.call_method1(intern!(py, "cancel_soon"), (task, message))?;
        }
        Ok(())
    }
}

#[pymethods]
impl EagerTask {
    #[pyo3(signature = (msg=None))]
    fn cancel(&self, py: Python<'_>, msg: Option<Py<PyAny>>) -> PyResult<bool> {
        if let Some(real) = self.real.get(py) {
            return real
                .bind(py)
                .call_method1(intern!(py, "cancel"), (msg,))?
                .extract();
        }
        Ok(self.cancelled.set(py, msg).is_ok())
    }

    fn cancelling(&self, py: Python<'_>) -> PyResult<usize> {
        match self.real.get(py) {
            Some(real) => real
                .bind(py)
                .call_method0(intern!(py, "cancelling"))?
                .extract(),
            None => Ok(usize::from(self.cancelled.get(py).is_some())),
        }
    }

    fn uncancel(&self, py: Python<'_>) -> PyResult<usize> {
        match self.real.get(py) {
            Some(real) => real
                .bind(py)
                .call_method0(intern!(py, "uncancel"))?
                .extract(),
            None => Ok(0),
        }
    }

    fn done(&self, py: Python<'_>) -> PyResult<bool> {
        match self.real.get(py) {
            Some(real) => real.bind(py).call_method0(intern!(py, "done"))?.extract(),
            None => Ok(false),
        }
    }

    fn get_name(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.real.get(py) {
            Some(real) => real
                .bind(py)
                .call_method0(intern!(py, "get_name"))
                .map(Bound::unbind),
            None => Ok(PyString::new(py, "marotte-call").into_any().unbind()),
        }
    }

    fn __getattr__(&self, py: Python<'_>, name: &Bound<'_, PyString>) -> PyResult<Py<PyAny>> {
        match self.real.get(py) {
            Some(real) => real.bind(py).getattr(name).map(Bound::unbind),
            None => Err(PyAttributeError::new_err(format!(
                "{name} is not available before the method has waited for something"
            ))),
        }
    }
}
