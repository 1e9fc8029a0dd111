//! The three methods that are called most, by Python's fastest convention.
//!
//! A method that takes `*args, **kwargs` gets a tuple made for it at each call, because that is the
//! only convention that pyo3 offers for such a signature. `addCallback` is called once per callback,
//! and the tuple would be a fifth of its cost; so these are put into the class by hand.

use std::ffi::CStr;

use marotte::deferred::Entry;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::impl_::trampoline::get_trampoline_function;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use crate::host::PyHost;

use super::callback::Callback;
use super::class::Deferred;

/// Puts the methods into the class.
pub(crate) fn install(class: &Bound<'_, PyType>) -> PyResult<()> {
    let methods: [(&CStr, ffi::PyCFunctionFastWithKeywords, &CStr); 3] = [
        (
            c"addCallback",
            get_trampoline_function!(fastcall_cfunction_with_keywords, add_callback),
            c"addCallback($self, callback, /, *args, **kwargs)\n--\n\n\
              Adds ``callback(result, *args, **kwargs)``, to be called with a result; failures \
              pass by. Returns the Deferred.",
        ),
        (
            c"addErrback",
            get_trampoline_function!(fastcall_cfunction_with_keywords, add_errback),
            c"addErrback($self, errback, /, *args, **kwargs)\n--\n\n\
              Adds ``errback(failure, *args, **kwargs)``, to be called with a failure; results \
              pass by. Returns the Deferred.",
        ),
        (
            c"addBoth",
            get_trampoline_function!(fastcall_cfunction_with_keywords, add_both),
            c"addBoth($self, callback, /, *args, **kwargs)\n--\n\n\
              Adds ``callback(result, *args, **kwargs)``, to be called with a result or a failure. \
              Returns the Deferred.",
        ),
    ];
    for (name, function, doc) in methods {
        // It lives as long as the class, which is to say for ever.
        let method = Box::leak(Box::new(ffi::PyMethodDef {
            ml_name: name.as_ptr(),
            ml_meth: ffi::PyMethodDefPointer {
                PyCFunctionFastWithKeywords: function,
            },
            ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
            ml_doc: doc.as_ptr(),
        }));
        // SAFETY: the class is a type object, the definition is never freed, and the convention in
        // its flags is that of its function. What is returned is a new reference or an error.
        let descriptor = unsafe {
            Bound::from_owned_ptr_or_err(
                class.py(),
                ffi::PyDescr_NewMethod(class.as_type_ptr(), method),
            )?
        };
        class.setattr(&*name.to_string_lossy(), descriptor)?;
    }
    Ok(())
}

/// Defines one of them. The arguments are Python's: an array of `count` positional ones, followed
/// by those named in the tuple `names`, which may be null.
macro_rules! method {
    ($name:ident, $python_name:literal, $entry:expr) => {
        unsafe fn $name(
            py: Python<'_>,
            slf: *mut ffi::PyObject,
            args: *const *mut ffi::PyObject,
            count: ffi::Py_ssize_t,
            names: *mut ffi::PyObject,
        ) -> PyResult<*mut ffi::PyObject> {
            // SAFETY: the method descriptor has checked that `slf` is a Deferred, and what Python
            // passes lives until this returns.
            let slf =
                unsafe { Bound::from_borrowed_ptr(py, slf).cast_into_unchecked::<Deferred>() };
            // SAFETY: as documented for the convention in the flags.
            let callback = unsafe { callback_of(py, $python_name, args, count, names)? };
            marotte::deferred::add::<PyHost>(py, slf.as_unbound(), $entry(callback));
            Ok(slf.into_ptr())
        }
    };
}

method!(add_callback, "addCallback", Entry::Callback);
method!(add_errback, "addErrback", Entry::Errback);
method!(add_both, "addBoth", Entry::Both);

/// The callback and its further arguments.
///
/// # Safety
/// The arguments are those of Python's fast convention with keywords.
#[inline]
unsafe fn callback_of(
    py: Python<'_>,
    name: &str,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> PyResult<Callback> {
    if count == 1 && names.is_null() {
        // SAFETY: there is one argument.
        let function = unsafe { Bound::from_borrowed_ptr(py, *args) };
        return Ok(Callback::Call {
            function: function.unbind(),
            extra: None,
        });
    }
    // SAFETY: passed on.
    unsafe { callback_with_extra(py, name, args, count, names) }
}

/// # Safety
/// As for [`callback_of`].
#[cold]
unsafe fn callback_with_extra(
    py: Python<'_>,
    name: &str,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> PyResult<Callback> {
    // SAFETY: it is null or a tuple of strings.
    let names = unsafe { Bound::from_borrowed_ptr_or_opt(py, names) }
        .map(|names| names.cast_into::<PyTuple>())
        .transpose()?;
    let named = names.as_ref().map_or(0, |names| names.len());
    let positional = usize::try_from(count).unwrap_or(0);
    // SAFETY: so many pointers to live objects follow one another there.
    let all: Vec<Bound<'_, PyAny>> = unsafe {
        (0..positional + named)
            .map(|index| Bound::from_borrowed_ptr(py, *args.add(index)))
            .collect()
    };
    let (positional, keywords) = all.split_at(positional);
    let kwargs = PyDict::new(py);
    let mut function = positional.first();
    for (name, value) in names.iter().flatten().zip(keywords) {
        // By its name, Twisted's callers may pass it too.
        let is_function = name.eq("callback")? || name.eq("errback")?;
        if function.is_none() && is_function {
            function = Some(value);
        } else {
            kwargs.set_item(name, value)?;
        }
    }
    let Some(function) = function else {
        return Err(PyTypeError::new_err(format!(
            "{name}() missing 1 required positional argument: the function to call"
        )));
    };
    let args = PyTuple::new(py, positional.iter().skip(1))?;
    Ok(Callback::new(function.clone(), &args, Some(&kwargs)))
}
