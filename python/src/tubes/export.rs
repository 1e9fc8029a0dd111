//! Founts and drains as arguments.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

static EXPORT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// What peers get a reference to in the place of a fount or a drain; None for anything else.
pub(crate) fn export<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = value.py();
    let flows =
        value.hasattr(intern!(py, "flowTo"))? || value.hasattr(intern!(py, "flowingFrom"))?;
    if !flows {
        return Ok(None);
    }
    let export = EXPORT.get_or_try_init(py, || {
        let module = py.import("marotte.tubes.wire")?;
        module.getattr("export").map(Bound::unbind)
    })?;
    let exported = export.bind(py).call1((value,))?;
    Ok((!exported.is_none()).then_some(exported))
}
