//! What is called most, by Python's fastest convention: making a Deferred, adding a callback, firing.
//!
//! A method that takes `*args, **kwargs` gets a tuple made for it at each call, because that is the
//! only convention that pyo3 offers for such a signature. `addCallback` is called once per callback,
//! and the tuple would be a fifth of its cost; so these are put into the class by hand. Subclasses
//! inherit the methods and are made in the usual way.

use std::ffi::CStr;

use marotte::deferred::{Chain, Entry};
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::impl_::trampoline::get_trampoline_function;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use crate::host::PyHost;

use super::callback::{Callback, Canceller};
use super::class::{Deferred, outcome_of};
use super::parts::is_exception;

/// Puts the methods into the class.
pub(crate) fn install(class: &Bound<'_, PyType>) -> PyResult<()> {
    let methods: [(&CStr, ffi::PyCFunctionFastWithKeywords, &CStr); 4] = [
        (
            c"addCallback",
            get_trampoline_function!(fastcall_cfunction_with_keywords, add_callback),
            c"addCallback($self, callback, *args, **kwargs)\n--\n\n\
              Adds ``callback(result, *args, **kwargs)``, to be called with a result; failures \
              pass by. Returns the Deferred.",
        ),
        (
            c"addErrback",
            get_trampoline_function!(fastcall_cfunction_with_keywords, add_errback),
            c"addErrback($self, errback, *args, **kwargs)\n--\n\n\
              Adds ``errback(failure, *args, **kwargs)``, to be called with a failure; results \
              pass by. Returns the Deferred.",
        ),
        (
            c"addBoth",
            get_trampoline_function!(fastcall_cfunction_with_keywords, add_both),
            c"addBoth($self, callback, *args, **kwargs)\n--\n\n\
              Adds ``callback(result, *args, **kwargs)``, to be called with a result or a failure. \
              Returns the Deferred.",
        ),
        (
            c"callback",
            get_trampoline_function!(fastcall_cfunction_with_keywords, callback),
            c"callback($self, result)\n--\n\n\
              Fires the Deferred with a result, which goes through the callbacks. Raises \
              ``AlreadyCalledError`` if it has fired before.",
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
    // SAFETY: the class is a type object that nobody else uses yet, and the slots are for functions
    // like these. Subclasses do not inherit the first, and inherit the others.
    unsafe {
        let class = class.as_type_ptr();
        (*class).tp_vectorcall = Some(call_class);
        (*class).tp_iternext = Some(next);
        if let Some(methods) = (*class).tp_as_async.as_mut() {
            methods.am_send = Some(send);
        }
    }
    Ok(())
}

/// A step of `await` without an exception to carry the value: `am_send`, which Python before 3.12
/// uses.
unsafe extern "C" fn send(
    slf: *mut ffi::PyObject,
    _value: *mut ffi::PyObject,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    // SAFETY: Python calls its slots with the interpreter attached, on objects of this class, and
    // with a place for the result.
    unsafe {
        let py = Python::assume_attached();
        let deferred = Bound::from_borrowed_ptr(py, slf).cast_into_unchecked::<Deferred>();
        if let Some(value) = Deferred::ready_value(&deferred) {
            *result = value.into_ptr();
            return ffi::PySendResult::PYGEN_RETURN;
        }
        *result = get_trampoline_function!(unaryfunc, step)(slf);
        if (*result).is_null() {
            ffi::PySendResult::PYGEN_ERROR
        } else {
            ffi::PySendResult::PYGEN_NEXT
        }
    }
}

/// A step of `await`: `tp_iternext`.
unsafe extern "C" fn next(slf: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: as above.
    unsafe {
        let py = Python::assume_attached();
        let deferred = Bound::from_borrowed_ptr(py, slf).cast_into_unchecked::<Deferred>();
        let Some(value) = Deferred::ready_value(&deferred) else {
            return get_trampoline_function!(unaryfunc, step)(slf);
        };
        // Python takes the value as it is, but for tuples and exceptions.
        let value = if value.is_instance_of::<PyTuple>() || is_exception(&value) {
            match PyTuple::new(py, [value]) {
                Ok(tuple) => tuple.into_any(),
                Err(_) => return std::ptr::null_mut(),
            }
        } else {
            value
        };
        ffi::PyErr_SetObject(ffi::PyExc_StopIteration, value.as_ptr());
        std::ptr::null_mut()
    }
}

unsafe fn step(py: Python<'_>, slf: *mut ffi::PyObject) -> PyResult<*mut ffi::PyObject> {
    // SAFETY: as above.
    let deferred = unsafe { Bound::from_borrowed_ptr(py, slf).cast_into_unchecked::<Deferred>() };
    Deferred::step(&deferred).map(Bound::into_ptr)
}

/// `Deferred(canceller=None)`.
unsafe extern "C" fn call_class(
    class: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let create = get_trampoline_function!(fastcall_cfunction_with_keywords, create);
    // SAFETY: the arguments are as Python passes them, but for a bit in the count.
    unsafe { create(class, args, ffi::PyVectorcall_NARGS(count), names) }
}

unsafe fn create(
    py: Python<'_>,
    _class: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> PyResult<*mut ffi::PyObject> {
    let canceller = if count == 0 && names.is_null() {
        None
    } else {
        // SAFETY: as Python passes them.
        unsafe { only_argument(py, "Deferred", "canceller", args, count, names)? }
            .filter(|canceller| !canceller.is_none())
    };
    let canceller = canceller.map(|canceller| Canceller::Python(canceller.unbind()));
    Ok(Deferred::create(py, Chain::new(canceller))?.into_ptr())
}

unsafe fn callback(
    py: Python<'_>,
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> PyResult<*mut ffi::PyObject> {
    // SAFETY: the method descriptor has checked that `slf` is a Deferred.
    let slf = unsafe { Bound::from_borrowed_ptr(py, slf).cast_into_unchecked::<Deferred>() };
    // SAFETY: as Python passes them.
    let result = unsafe { only_argument(py, "callback", "result", args, count, names)? };
    let result = result.ok_or_else(|| {
        PyTypeError::new_err("callback() missing 1 required positional argument: 'result'")
    })?;
    Deferred::fire(&slf, outcome_of(&result))?;
    Ok(py.None().into_ptr())
}

/// The argument of a function that takes one at most, by position or by name.
///
/// # Safety
/// The arguments are those of Python's fast convention with keywords.
#[inline]
unsafe fn only_argument<'py>(
    py: Python<'py>,
    function: &str,
    name: &str,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    if count == 1 && names.is_null() {
        // SAFETY: there is one argument.
        return Ok(Some(unsafe { Bound::from_borrowed_ptr(py, *args) }));
    }
    // SAFETY: it is null or a tuple of strings.
    let names = unsafe { Bound::from_borrowed_ptr_or_opt(py, names) };
    let names = names
        .map(|names| names.cast_into::<PyTuple>())
        .transpose()?;
    match (count, names) {
        (0, None) => Ok(None),
        (0, Some(names)) if names.len() == 1 && names.get_item(0)?.eq(name)? => {
            // SAFETY: there is one argument, named.
            Ok(Some(unsafe { Bound::from_borrowed_ptr(py, *args) }))
        }
        _ => Err(PyTypeError::new_err(format!(
            "{function}() takes one argument, '{name}'"
        ))),
    }
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
