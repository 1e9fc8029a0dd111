//! What Python passes by reference, and the types that pass by value.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};

/// An object that others may call: its methods named ``remote_…`` are callable from afar, under
/// the name behind the prefix, plain or ``async def``. Everything else stays private.
///
///     >>> class Greeter(Referenceable):
///     ...     def remote_greet(self, name):
///     ...         return f"Hello, {name}!"
#[pyclass(subclass, frozen, weakref, module = "marotte")]
pub(crate) struct Referenceable;

#[pymethods]
impl Referenceable {
    /// Subclasses define ``__init__`` as they like.
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self
    }
}

/// A type of a Python module, imported once.
pub(crate) fn cached_type<'py>(
    py: Python<'py>,
    cell: &'static PyOnceLock<Py<PyType>>,
    module: &str,
    name: &str,
) -> PyResult<&'py Bound<'py, PyType>> {
    cell.import(py, module, name)
}

/// `marotte.Symbol`, a `str` that passes as a symbol.
pub(crate) fn symbol_type(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CELL: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    cached_type(py, &CELL, "marotte._symbol", "Symbol")
}

/// The type of Python functions.
pub(crate) fn function_type(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CELL: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    cached_type(py, &CELL, "types", "FunctionType")
}

/// The type of bound methods.
pub(crate) fn method_type(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CELL: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    cached_type(py, &CELL, "types", "MethodType")
}

/// The type of what `async def` returns.
pub(crate) fn coroutine_type(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CELL: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    cached_type(py, &CELL, "types", "CoroutineType")
}
