//! What the Deferreds need of Python modules: classes, looked up once.

use std::sync::PoisonError;
use std::sync::RwLock;

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};

use super::class::Deferred;

/// Classes of `marotte.failure` and `marotte._defer`.
pub(super) struct Parts {
    pub(super) failure: Py<PyType>,
    pub(super) debug_info: Py<PyType>,
    pub(super) stack: Py<PyAny>,
    pub(super) logger: Py<PyAny>,
    pub(super) already_called: Py<PyType>,
    pub(super) cancelled: Py<PyType>,
    pub(super) timeout: Py<PyType>,
    pub(super) first_error: Py<PyType>,
    pub(super) failure_group: Py<PyType>,
    pub(super) not_a_coroutine: Py<PyType>,
    pub(super) overflow: Py<PyType>,
    pub(super) underflow: Py<PyType>,
    pub(super) generator_return: Py<PyType>,
    pub(super) generator: Py<PyType>,
    pub(super) coroutine: Py<PyType>,
}

static PARTS: PyOnceLock<Parts> = PyOnceLock::new();

/// All of them. The modules are there whenever a Deferred can be: `marotte.defer` imports them
/// before this one.
pub(super) fn parts(py: Python<'_>) -> PyResult<&Parts> {
    PARTS.get_or_try_init(py, || {
        let kind = |module: &str, name: &str| -> PyResult<Py<PyType>> {
            Ok(py
                .import(module)?
                .getattr(name)?
                .cast_into::<PyType>()?
                .unbind())
        };
        let any = |module: &str, name: &str| -> PyResult<Py<PyAny>> {
            Ok(py.import(module)?.getattr(name)?.unbind())
        };
        let errors = "marotte._defer.errors";
        Ok(Parts {
            failure: kind("marotte.failure", "Failure")?,
            debug_info: kind("marotte._defer.debug", "DebugInfo")?,
            stack: any("marotte._defer.debug", "creator_stack")?,
            logger: any("marotte._defer.debug", "logger")?,
            already_called: kind(errors, "AlreadyCalledError")?,
            cancelled: kind(errors, "CancelledError")?,
            timeout: kind(errors, "TimeoutError")?,
            first_error: kind(errors, "FirstError")?,
            failure_group: kind(errors, "FailureGroup")?,
            not_a_coroutine: kind(errors, "NotACoroutineError")?,
            overflow: kind(errors, "QueueOverflow")?,
            underflow: kind(errors, "QueueUnderflow")?,
            generator_return: kind(errors, "_DefGen_Return")?,
            generator: kind("types", "GeneratorType")?,
            coroutine: kind("types", "CoroutineType")?,
        })
    })
}

/// True if the class is one of Python's own and not an exception: such an object is neither a
/// Failure nor a Deferred.
#[inline]
pub(super) fn is_plain<T>(value: &Py<T>) -> bool {
    // SAFETY: a live object has a live type.
    let flags = unsafe { ffi::PyType_GetFlags(ffi::Py_TYPE(value.as_ptr())) };
    flags & (ffi::Py_TPFLAGS_HEAPTYPE | ffi::Py_TPFLAGS_BASE_EXC_SUBCLASS) == 0
}

/// True for an exception.
#[inline]
pub(super) fn is_exception(value: &Bound<'_, PyAny>) -> bool {
    // SAFETY: a live object has a live type.
    let flags = unsafe { ffi::PyType_GetFlags(ffi::Py_TYPE(value.as_ptr())) };
    flags & ffi::Py_TPFLAGS_BASE_EXC_SUBCLASS != 0
}

/// True for an instance of `Failure`.
pub(super) fn is_failure(value: &Bound<'_, PyAny>) -> bool {
    // Failures are exceptions, and few results are: this is all that most are asked.
    is_exception(value)
        && parts(value.py())
            .and_then(|parts| value.is_instance(parts.failure.bind(value.py())))
            .unwrap_or(false)
}

/// A `Failure` around an exception, with its traceback.
pub(super) fn failure_of(py: Python<'_>, error: PyErr, capture_vars: bool) -> PyResult<Py<PyAny>> {
    let parts = parts(py)?;
    let (class, traceback) = (error.get_type(py), error.traceback(py));
    // This also tells the exception its traceback, which pyo3 keeps beside it.
    let args = (error.into_value(py), class, traceback);
    let class = parts.failure.bind(py);
    if !capture_vars {
        return class.call1(args).map(Bound::unbind);
    }
    let kwargs = PyDict::new(py);
    kwargs.set_item(intern!(py, "captureVars"), true)?;
    class.call(args, Some(&kwargs)).map(Bound::unbind)
}

/// Classes of other Deferreds, genuine Twisted's, that callbacks may return and generators yield.
static FOREIGN: RwLock<Vec<Py<PyType>>> = RwLock::new(Vec::new());

/// Makes a class of Deferreds known that is not derived from ours: an object of exactly this class
/// is waited for where one of ours would be. It needs ``addBoth`` and ``cancel``.
#[pyfunction]
pub(crate) fn recognise_deferred(class: Bound<'_, PyType>) {
    let mut foreign = FOREIGN.write().unwrap_or_else(PoisonError::into_inner);
    if !foreign.iter().any(|known| known.is(&class)) {
        foreign.push(class.unbind());
    }
}

/// True for a Deferred of a class that was made known.
fn is_foreign(value: &Bound<'_, PyAny>) -> bool {
    let foreign = FOREIGN.read().unwrap_or_else(PoisonError::into_inner);
    if foreign.is_empty() {
        return false;
    }
    let class = value.get_type();
    foreign.iter().any(|known| known.is(&class))
}

/// What a result is.
pub(super) enum Kind<'a, 'py> {
    Value,
    Failure,
    /// One of ours, of a subclass perhaps.
    Deferred(&'a Bound<'py, Deferred>),
    /// A Deferred of another library.
    Foreign,
}

/// Tells what a result is.
#[inline]
pub(super) fn kind_of<'a, 'py>(value: &'a Bound<'py, PyAny>) -> Kind<'a, 'py> {
    if is_plain(value.as_unbound()) {
        return Kind::Value;
    }
    kind_of_object(value)
}

fn kind_of_object<'a, 'py>(value: &'a Bound<'py, PyAny>) -> Kind<'a, 'py> {
    if let Ok(deferred) = value.cast::<Deferred>() {
        Kind::Deferred(deferred)
    } else if is_failure(value) {
        Kind::Failure
    } else if is_foreign(value) {
        Kind::Foreign
    } else {
        Kind::Value
    }
}
