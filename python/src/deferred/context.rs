//! Python's `contextvars`: running in a context. And its limit on recursion.

use std::cell::Cell;

use pyo3::exceptions::PyRecursionError;
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

/// One level of Python's recursion limit, until this is dropped.
pub(super) struct Deeper(());

/// Counts as a call in Python does, and leaves room for what it takes to make a Failure of the error.
///
/// # Errors
/// `RecursionError`.
pub(super) fn recurse(py: Python<'_>) -> PyResult<Deeper> {
    const ROOM: usize = 20;
    let mut levels = Vec::with_capacity(ROOM);
    for _ in 0..ROOM {
        // SAFETY: the interpreter is attached, and the text ends with a zero.
        if unsafe { ffi::Py_EnterRecursiveCall(c" while driving a generator".as_ptr()) } != 0 {
            return Err(PyErr::fetch(py));
        }
        levels.push(Deeper(()));
    }
    levels.truncate(1);
    Ok(levels.remove(0))
}

impl Drop for Deeper {
    fn drop(&mut self) {
        // SAFETY: the call that was counted ends here, on the same thread.
        unsafe { ffi::Py_LeaveRecursiveCall() }
    }
}

thread_local! {
    static NESTED: Cell<usize> = const { Cell::new(0) };
}

/// One Deferred fired or cancelled inside of another's callback or canceller, until this is dropped.
pub(super) struct Nested(());

/// Counts Deferreds that are fired or cancelled inside of one another's callbacks. Python does not: its own limit
/// is for frames of Python, and there may be none between.
///
/// # Errors
/// `RecursionError`.
pub(super) fn deeper() -> PyResult<Nested> {
    /// Some 2 kB of stack each.
    const DEEPEST: usize = 1000;
    let depth = NESTED.get();
    if depth >= DEEPEST {
        return Err(PyRecursionError::new_err(
            "maximum recursion depth exceeded: too many Deferreds are fired or cancelled inside of \
             one another's callbacks",
        ));
    }
    NESTED.set(depth + 1);
    Ok(Nested(()))
}

impl Drop for Nested {
    fn drop(&mut self) {
        NESTED.set(NESTED.get() - 1);
    }
}
