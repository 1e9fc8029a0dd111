//! What Python passes by reference, and the types that pass by value.

use std::hash::{DefaultHasher, Hash, Hasher};

use marotte::SturdyRef;
use pyo3::exceptions::PyValueError;
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

/// A reference that can be written down: where a peer is, and an object's swiss number. Passed as such;
/// whoever gets it may fetch the object.
#[pyclass(frozen, module = "marotte", name = "SturdyRef", eq)]
#[derive(PartialEq)]
pub(crate) struct PySturdyRef(pub(crate) SturdyRef);

#[pymethods]
impl PySturdyRef {
    /// Raises ``ValueError`` if ``uri`` is not one of an object.
    #[new]
    fn new(uri: &str) -> PyResult<Self> {
        uri.parse()
            .map(Self)
            .map_err(|error| PyValueError::new_err(format!("{error}")))
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    /// Leaves the secret out.
    fn __repr__(&self) -> String {
        format!("<SturdyRef at {}>", self.0.location)
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.0.to_string().hash(&mut hasher);
        hasher.finish()
    }
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
