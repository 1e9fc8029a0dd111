//! What the garbage collector calls before it takes anything apart.
//!
//! A promise that broke unseen reports its failure when it goes. If it goes as a part of a cycle, that has to be
//! before the cycle is broken up: the exception may be part of it, too, and one that was taken apart must not
//! be shown to anybody (CPython crashes on its `repr`). Python's classes have `__del__` for that (PEP 442);
//! pyo3 has nothing for the slot behind it, so it is filled by hand.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::promise::Promise;

/// Has the failures of promises reported that the collector finds.
pub(crate) fn install(class: &Bound<'_, PyType>) {
    // SAFETY: the class is a type object that nobody else uses yet, and has no finalizer; the slot is for
    // functions like this. Subclasses inherit it.
    unsafe {
        (*class.as_type_ptr()).tp_finalize = Some(finalize);
        ffi::PyType_Modified(class.as_type_ptr());
    }
}

unsafe extern "C" fn finalize(promise: *mut ffi::PyObject) {
    // A panic must not unwind into the interpreter; it was reported by its hook.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        Python::try_attach(|py| {
            // SAFETY: the interpreter calls this for objects of the class, with its lock held; the reference is
            // borrowed from it.
            let promise = unsafe { Bound::from_borrowed_ptr(py, promise) };
            if let Ok(promise) = promise.cast::<Promise>() {
                promise.get().report_unhandled();
            }
        });
    }));
}
