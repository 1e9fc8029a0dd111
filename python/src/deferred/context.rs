//! Python's `contextvars`: running in a context.

use pyo3::ffi;
use pyo3::prelude::*;

/// A copy of the current context.
pub(super) fn copy(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: returns a new reference, or null with an error.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent()) }
}

/// Being inside of a context, until this is dropped.
pub(super) struct Inside<'a, 'py>(&'a Bound<'py, PyAny>);

/// Enters a context, as its `run` does.
///
/// # Errors
/// `RuntimeError` if it is entered already.
pub(super) fn enter<'a, 'py>(context: &'a Bound<'py, PyAny>) -> PyResult<Inside<'a, 'py>> {
    // SAFETY: it is a live object; Python checks that it is a context.
    if unsafe { ffi::PyContext_Enter(context.as_ptr()) } == 0 {
        Ok(Inside(context))
    } else {
        Err(PyErr::fetch(context.py()))
    }
}

impl Drop for Inside<'_, '_> {
    fn drop(&mut self) {
        // SAFETY: as above. It fails only if some code inside left it, or entered another and
        // stayed there.
        if unsafe { ffi::PyContext_Exit(self.0.as_ptr()) } != 0 {
            PyErr::fetch(self.0.py()).write_unraisable(self.0.py(), Some(self.0));
        }
    }
}
