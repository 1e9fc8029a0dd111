//! What tubes need of Python modules, looked up once.

use std::cell::RefCell;

use marotte::tube::{Error, Problem};
use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// What a tube yields to say "nothing".
#[pyclass(frozen, module = "marotte._core", name = "_Skip")]
pub(crate) struct Skip;

#[pymethods]
impl Skip {
    #[new]
    fn new() -> Self {
        Self
    }

    fn __repr__(&self) -> &'static str {
        "skip"
    }

    /// Any copy is as good, also one from another process.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyType>, ()) {
        (slf.get_type(), ())
    }
}

pub(super) struct Parts {
    /// Functions of `marotte.tubes._support`.
    pub(super) report: Py<PyAny>,
    pub(super) kind_of: Py<PyAny>,
    pub(super) check_types: Py<PyAny>,
    pub(super) stop_flow_called: Py<PyAny>,
    pub(super) error: Py<PyAny>,
    pub(super) begin: Py<PyAny>,
    pub(super) already_unpaused: Py<PyAny>,
    pub(super) to_json: Py<PyAny>,
    pub(super) now: Py<PyAny>,
    pub(super) wake_at: Py<PyAny>,
    pub(super) divert: Py<PyAny>,
    pub(super) drain_of: Py<PyAny>,
    pub(super) raised: Py<PyAny>,
    pub(super) close_async: Py<PyAny>,
    /// The class of `marotte.tubes.tube` for functions.
    pub(super) receiver: Py<PyAny>,
}

static PARTS: PyOnceLock<Parts> = PyOnceLock::new();

pub(super) fn parts(py: Python<'_>) -> PyResult<&Parts> {
    PARTS.get_or_try_init(py, || {
        let support = py.import("marotte.tubes._support")?;
        let function = |name: &str| support.getattr(name).map(Bound::unbind);
        Ok(Parts {
            report: function("report")?,
            kind_of: function("kind_of")?,
            check_types: function("check_types")?,
            stop_flow_called: function("stop_flow_called")?,
            error: function("error")?,
            begin: function("begin")?,
            already_unpaused: function("AlreadyUnpaused")?,
            to_json: function("to_json")?,
            drain_of: function("drain_of")?,
            raised: function("raised")?,
            close_async: function("close_async")?,
            now: function("now")?,
            wake_at: function("wake_at")?,
            divert: py
                .import("marotte.tubes.tube")?
                .getattr("_divert")?
                .unbind(),
            receiver: py
                .import("marotte.tubes.tube")?
                .getattr("_Receiver")?
                .unbind(),
        })
    })
}

thread_local! {
    /// What a tube or drain has raised to end the program.
    static EXIT: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Raises what a tube or drain has raised to end the program. To be called last by whatever Python calls.
#[inline]
pub(super) fn exiting() -> PyResult<()> {
    match EXIT.take() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// An exception as the reason of a flow.
pub(super) fn reason_of(py: Python<'_>, error: PyErr) -> Py<PyAny> {
    // Not meant for the flow alone: whoever has called gets it, too.
    if error.is_instance_of::<PyKeyboardInterrupt>(py) || error.is_instance_of::<PySystemExit>(py) {
        EXIT.set(Some(error.clone_ref(py)));
    }
    let exception = error.into_value(py);
    parts(py)
        .and_then(|parts| parts.raised.call1(py, (&exception,)))
        .unwrap_or_else(|_| exception.into_any())
}

/// What a native stage raised, as the reason of a flow.
pub(super) fn failure(py: Python<'_>, error: &Error) -> Py<PyAny> {
    let kind = match error.problem() {
        Problem::FrameTooLong { .. } => "FrameTooLong",
        Problem::Truncated { .. } => "TruncatedFrame",
        Problem::Malformed { .. } => "MalformedFrame",
        Problem::Unframeable { .. } => "UnframeableItem",
        Problem::WrongType { .. } => "WrongItemType",
        Problem::Overrun { .. } => "FlowOverrun",
        Problem::Laggard { .. } => "BranchTooSlow",
        Problem::TimedOut { .. } => "FlowTimedOut",
        _ => "TubeError",
    };
    let made = parts(py).and_then(|parts| parts.error.call1(py, (kind, error.to_string())));
    made.unwrap_or_else(|raised| reason_of(py, raised))
}

/// Tells of something that went wrong, once.
pub(super) fn report(py: Python<'_>, reason: &Py<PyAny>) {
    if let Err(error) = parts(py).and_then(|parts| parts.report.call1(py, (reason,))) {
        error.write_unraisable(py, None);
    }
}

/// An attribute, or None if there is none.
pub(super) fn type_of<'py>(
    object: &Bound<'py, PyAny>,
    output: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    let name = if output {
        intern!(py, "outputType")
    } else {
        intern!(py, "inputType")
    };
    Ok(object
        .getattr_opt(name)?
        .unwrap_or_else(|| py.None().into_bound(py)))
}
