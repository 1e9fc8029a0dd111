//! Every Rust error ↔ exception mapping.

use marotte::Error;
use marotte::host::Note;
use pyo3::exceptions::{
    PyBaseException, PyConnectionError, PyRuntimeError, PyTypeError, PyValueError,
};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTraceback};
use pyo3::{create_exception, import_exception, intern};

import_exception!(marotte._errors, RemoteError);
create_exception!(
    marotte,
    DisconnectedError,
    PyConnectionError,
    "The connection that carried the reference is gone; the text says why, and to whom."
);

/// The reason of a broken promise.
#[derive(Debug)]
pub(crate) struct Failure {
    // No `PyErr`, which the collector cannot visit: an exception leads through its traceback to the frames
    // that it was raised in, and those may hold the promise.
    error: Py<PyBaseException>,
    /// Where it was raised first. Each time that it is raised again, Python adds to the exception's own.
    traceback: Option<Py<PyTraceback>>,
}

impl Failure {
    pub(crate) fn of(py: Python<'_>, error: PyErr) -> Self {
        Self {
            traceback: error.traceback(py).map(Bound::unbind),
            error: error.into_value(py),
        }
    }

    /// The exception.
    pub(crate) fn value(&self) -> &Py<PyBaseException> {
        &self.error
    }

    /// The exception, to be raised.
    pub(crate) fn raise(&self, py: Python<'_>) -> PyErr {
        let error = PyErr::from_value(self.error.bind(py).clone().into_any());
        let traceback = self.traceback.as_ref().map(|it| it.bind(py).clone());
        error.set_traceback(py, traceback);
        error
    }

    pub(crate) fn dup(&self, py: Python<'_>) -> Self {
        Self {
            error: self.error.clone_ref(py),
            traceback: self.traceback.as_ref().map(|it| it.clone_ref(py)),
        }
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.error)?;
        visit.call(&self.traceback)
    }
}

/// Runs `f` beside an exception that may be on its way: something may be dropped anywhere, in the middle of
/// unwinding too, and Python code must not run then before the exception is put aside, nor may it be lost.
pub(crate) fn aside<T>(py: Python<'_>, f: impl FnOnce() -> T) -> T {
    let under_way = PyErr::take(py);
    let result = f();
    if let Some(error) = under_way {
        error.restore(py);
    }
    result
}

/// One of core's errors as an exception.
pub(crate) fn to_exception(error: Error) -> PyErr {
    match error {
        Error::Remote(error) => Python::attach(|py| remote(py, &error)),
        Error::Disconnected(reason) => DisconnectedError::new_err(reason.to_string()),
        Error::NotPassable { .. } => PyTypeError::new_err(error.to_string()),
        Error::Cancelled => Python::attach(|py| cancelled(py, &error)),
        Error::Unexpected(text) => PyValueError::new_err(text),
        error => PyRuntimeError::new_err(error.to_string()),
    }
}

/// A failure that has arrived.
pub(crate) fn remote(py: Python<'_>, error: &marotte::RemoteError) -> PyErr {
    let exception = RemoteError::new_err(error.message.to_string());
    let tell = || -> PyResult<()> {
        let value = exception.value(py);
        value.setattr(intern!(py, "type"), error.kind())?;
        value.setattr(intern!(py, "traceback"), error.traceback.as_deref())
    };
    match tell() {
        Ok(()) => exception,
        Err(error) => error,
    }
}

fn cancelled(py: Python<'_>, error: &Error) -> PyErr {
    let class = py
        .import(intern!(py, "marotte._defer.errors"))
        .and_then(|module| module.getattr(intern!(py, "CancelledError")));
    match class.and_then(|class| class.call1((error.to_string(),))) {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// What a peer is told of an exception: its type's name and its text, and its traceback only if it
/// is told those.
pub(crate) fn describe(py: Python<'_>, error: &PyErr, with_traceback: bool) -> String {
    let message = message(py, error);
    if !with_traceback {
        return message;
    }
    let traceback = traceback(py, error).unwrap_or_default();
    let mut told = marotte::RemoteError::from_wire(&message);
    told.traceback = traceback.map(Into::into);
    told.to_wire(true).into_owned()
}

/// The reason that a peer is to get as it is, instead of an error: a RemoteError's that is not text.
pub(crate) fn plain_reason<'py>(py: Python<'py>, error: &PyErr) -> Option<Bound<'py, PyAny>> {
    if !error.is_instance_of::<RemoteError>(py) {
        return None;
    }
    let args = error.value(py).getattr(intern!(py, "args")).ok()?;
    let reason = args.get_item(0).ok()?;
    (!reason.is_exact_instance_of::<PyString>()).then_some(reason)
}

/// Where it happened, here or at a peer that told us.
fn traceback(py: Python<'_>, error: &PyErr) -> PyResult<Option<String>> {
    let value = error.value(py);
    if error.is_instance_of::<RemoteError>(py) {
        let theirs = value.getattr(intern!(py, "traceback"))?;
        if !theirs.is_none() {
            return theirs.extract();
        }
    }
    if error.traceback(py).is_none() {
        return Ok(None);
    }
    let lines = py.import(intern!(py, "traceback"))?.call_method1(
        intern!(py, "format_exception"),
        (value.get_type(), value, error.traceback(py)),
    )?;
    PyString::new(py, "")
        .call_method1(intern!(py, "join"), (lines,))?
        .extract()
        .map(Some)
}

fn message(py: Python<'_>, error: &PyErr) -> String {
    let value = error.value(py);
    let text = value
        .str()
        .map(|text| text.to_string_lossy().into_owned())
        .unwrap_or_default();
    if error.is_instance_of::<RemoteError>(py) {
        // Passed on unchanged: it tells already what failed, and where it came from is not its
        // caller's business.
        return text;
    }
    let kind = value.get_type();
    let kind = kind.name().map(|name| name.to_string()).unwrap_or_default();
    if text.is_empty() {
        kind
    } else {
        format!("{kind}: {text}")
    }
}

/// Writes to the library's logger, as an error. Never raises: there is nobody left to tell.
pub(crate) fn log_exception(py: Python<'_>, what: &str, error: &PyErr) {
    log(py, intern!(py, "error"), what, error);
}

/// Notes that a remote method has raised, with its traceback, for those who log at level INFO: it
/// is the caller's failure, who is told of it.
pub(crate) fn log_failed_method(py: Python<'_>, selector: Option<&str>, error: &PyErr) {
    let what = match selector {
        Some(name) => format!("a remote call of {name:?} failed"),
        None => "a remote call of a function failed".to_owned(),
    };
    log(py, intern!(py, "info"), &what, error);
}

/// Notes what has happened to a connection, for those who log at level DEBUG; at INFO, if the peer has broken the
/// protocol or passed a limit.
pub(crate) fn log_note(py: Python<'_>, note: &Note<'_>) {
    let (level, what) = match note {
        Note::Opened(_) => ("debug", "connection opened: %s".to_owned()),
        Note::Closed { reason, broke, .. } => {
            let level = if *broke { "info" } else { "debug" };
            // It may be a peer's own words: no line breaks, and nothing to be filled in.
            const LONGEST: usize = 1_000;
            let reason = reason.to_string();
            let reason: String = reason.escape_debug().take(LONGEST).collect();
            let reason = reason.replace('%', "%%");
            (level, format!("connection closed: %s: {reason}"))
        }
        _ => return,
    };
    let write = || -> PyResult<()> {
        let logger = py
            .import(intern!(py, "logging"))?
            .call_method1(intern!(py, "getLogger"), ("marotte",))?;
        logger.call_method1(level, (what, note.peer()))?;
        Ok(())
    };
    if let Err(error) = write() {
        error.write_unraisable(py, None);
    }
}

fn log(py: Python<'_>, level: &Bound<'_, PyString>, what: &str, error: &PyErr) {
    let write = || -> PyResult<()> {
        let kwargs = pyo3::types::PyDict::new(py);
        kwargs.set_item(intern!(py, "exc_info"), error.value(py))?;
        py.import("logging")?
            .call_method1("getLogger", ("marotte",))?
            .call_method(level, ("%s", what), Some(&kwargs))?;
        Ok(())
    };
    if write().is_err() {
        error.clone_ref(py).write_unraisable(py, None);
    }
}
