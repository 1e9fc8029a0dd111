//! Every Python ↔ passable conversion.

use std::sync::Arc;

use marotte::host::{Outcome, Ref};
use marotte::passable::{Builder, Item, ReadError, Reader};
use marotte::syrup::Int;
use marotte::{Error, SturdyRef};
use pyo3::PyTypeInfo;
use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMemoryView, PyString, PyTuple,
};

use crate::bigint;
use crate::errors::{RemoteError, describe, remote};
use crate::host::{PyHost, PyVat, unwrap_reference};
use crate::invoke::is_callable;
use crate::promise::Promise;
use crate::reference::RemoteReference;
use crate::values::{PySturdyRef, Referenceable, symbol_type};

pub(crate) type PyBuilder = Builder<Ref<PyHost>>;

/// A message may nest so deep; the peer's limit counts the message's own brackets, too.
const MAX_DEPTH: usize = 60;

/// Why a value cannot be passed, and the way to it, innermost step first.
struct Refused {
    what: String,
    path: Vec<String>,
}

impl Refused {
    fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            path: Vec::new(),
        }
    }

    fn at(mut self, step: String) -> Self {
        self.path.push(step);
        self
    }

    fn locate(self, root: &str) -> Error {
        let steps: String = self.path.into_iter().rev().collect();
        Error::NotPassable {
            path: format!("{root}{steps}"),
            what: self.what,
        }
    }
}

/// Writes the arguments of a call.
///
/// # Errors
/// With the path to the value that cannot be passed.
pub(crate) fn emit_args(out: &mut PyBuilder, args: &Bound<'_, PyTuple>) -> Result<(), Error> {
    for (index, value) in args.iter().enumerate() {
        emit(out, &value, 0).map_err(|e| e.at(format!("[{index}]")).locate("args"))?;
    }
    Ok(())
}

/// Writes one result.
///
/// # Errors
/// With the path to the part that cannot be passed.
pub(crate) fn emit_result(out: &mut PyBuilder, value: &Bound<'_, PyAny>) -> Result<(), Error> {
    emit(out, value, 0).map_err(|e| e.locate("result"))
}

fn emit(out: &mut PyBuilder, value: &Bound<'_, PyAny>, depth: usize) -> Result<(), Refused> {
    // The exact types first: they are nearly everything, and comparing pointers is cheap.
    if value.is_none() {
        out.null();
    } else if let Ok(text) = value.cast_exact::<PyString>() {
        emit_text(out, text, PyBuilder::str)?;
    } else if value.is_exact_instance_of::<PyBool>() {
        out.bool(value.is_truthy().unwrap_or_default());
    } else if let Ok(int) = value.cast_exact::<PyInt>() {
        emit_int(out, int)?;
    } else if let Ok(float) = value.cast_exact::<PyFloat>() {
        out.float(float.value());
    } else if let Ok(bytes) = value.cast_exact::<PyBytes>() {
        out.bytes(bytes.as_bytes());
    } else if let Ok(list) = value.cast_exact::<PyList>() {
        emit_items(out, list.iter(), depth)?;
    } else if let Ok(dict) = value.cast_exact::<PyDict>() {
        emit_dict(out, dict, depth)?;
    } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        emit_items(out, tuple.iter(), depth)?;
    } else {
        return emit_other(out, value, depth);
    }
    Ok(())
}

fn emit_other(out: &mut PyBuilder, value: &Bound<'_, PyAny>, depth: usize) -> Result<(), Refused> {
    let py = value.py();
    if let Ok(promise) = value.cast::<Promise>() {
        let settled = promise.get().outcome(py);
        match settled {
            // Known already: the value itself is passed.
            Some(Outcome::Fulfilled(value)) => return emit(out, value.bind(py), depth + 1),
            _ => out.reference(Ref::Promise(promise.clone().unbind())),
        }
    } else if let Ok(reference) = value.cast::<RemoteReference>() {
        out.reference(Ref::Far(Arc::clone(&reference.get().import)));
    } else if value.is_instance_of::<Referenceable>() || is_callable(value) {
        out.reference(Ref::Local(value.clone().unbind()));
    } else if let Ok(sturdy) = value.cast::<PySturdyRef>() {
        out.sturdy_ref(&sturdy.get().0);
    } else if symbol_type(py).is_ok_and(|symbol| value.is_instance(symbol).unwrap_or(false)) {
        let text = value.cast::<PyString>().map_err(|_| refused(value))?;
        emit_text(out, text, PyBuilder::symbol)?;
    } else if let Ok(text) = value.cast::<PyString>() {
        emit_text(out, text, PyBuilder::str)?;
    } else if let Ok(int) = value.cast::<PyInt>() {
        emit_int(out, int)?;
    } else if let Ok(float) = value.cast::<PyFloat>() {
        out.float(float.value());
    } else if let Ok(bytes) = value.cast::<PyBytes>() {
        out.bytes(bytes.as_bytes());
    } else if value.is_instance_of::<PyByteArray>() || value.is_instance_of::<PyMemoryView>() {
        let bytes = PyBytes::type_object(py)
            .call1((value,))
            .map_err(|_| refused(value))?;
        out.bytes(
            bytes
                .cast::<PyBytes>()
                .map_err(|_| refused(value))?
                .as_bytes(),
        );
    } else if let Ok(list) = value.cast::<PyList>() {
        emit_items(out, list.iter(), depth)?;
    } else if let Ok(tuple) = value.cast::<PyTuple>() {
        emit_items(out, tuple.iter(), depth)?;
    } else if let Ok(dict) = value.cast::<PyDict>() {
        emit_dict(out, dict, depth)?;
    } else if value.is_instance_of::<PyBaseException>() {
        out.error(&describe(py, &PyErr::from_value(value.clone()), false));
    } else if let Some(flow) = crate::tubes::export(value).map_err(|_| refused(value))? {
        out.reference(Ref::Local(flow.unbind()));
    } else {
        return Err(refused(value));
    }
    Ok(())
}

fn refused(value: &Bound<'_, PyAny>) -> Refused {
    let kind = value.get_type();
    Refused::new(kind.name().map(|name| name.to_string()).unwrap_or_default())
}

fn emit_text(
    out: &mut PyBuilder,
    text: &Bound<'_, PyString>,
    put: fn(&mut PyBuilder, &str),
) -> Result<(), Refused> {
    let text = text
        .to_str()
        .map_err(|_| Refused::new("str with a lone surrogate"))?;
    put(out, text);
    Ok(())
}

fn emit_int(out: &mut PyBuilder, int: &Bound<'_, PyInt>) -> Result<(), Refused> {
    if let Ok(small) = int.extract::<i64>() {
        out.int(i128::from(small));
        return Ok(());
    }
    match bigint::to_decimal(int) {
        Ok(decimal) if out.integer(&decimal) => Ok(()),
        _ => Err(refused(int)),
    }
}

fn emit_items<'py>(
    out: &mut PyBuilder,
    items: impl Iterator<Item = Bound<'py, PyAny>>,
    depth: usize,
) -> Result<(), Refused> {
    check_depth(depth)?;
    out.begin_list();
    for (index, item) in items.enumerate() {
        emit(out, &item, depth + 1).map_err(|e| e.at(format!("[{index}]")))?;
    }
    out.end_list();
    Ok(())
}

fn emit_dict(out: &mut PyBuilder, dict: &Bound<'_, PyDict>, depth: usize) -> Result<(), Refused> {
    check_depth(depth)?;
    out.begin_dict();
    for (key, value) in dict.iter() {
        let Ok(text) = key.cast::<PyString>() else {
            let kind = refused(&key).what;
            return Err(Refused::new(format!("dict with a key of type {kind}")));
        };
        let text = text
            .to_str()
            .map_err(|_| Refused::new("str with a lone surrogate"))?;
        out.key(text);
        emit(out, &value, depth + 1).map_err(|e| e.at(format!("[{text:?}]")))?;
    }
    out.end_dict()
        .map_err(|error| Refused::new(format!("dict with {error}")))
}

fn check_depth(depth: usize) -> Result<(), Refused> {
    if depth < MAX_DEPTH {
        return Ok(());
    }
    Err(Refused::new(format!(
        "a value nested more than {MAX_DEPTH} deep (or within itself)"
    )))
}

/// Reads every value that is left, as a call's arguments.
pub(crate) fn accept_args<'py>(
    py: Python<'py>,
    vat: &Arc<PyVat>,
    mut reader: Reader<'_, Ref<PyHost>>,
) -> PyResult<Bound<'py, PyTuple>> {
    if reader.is_empty() {
        return Ok(PyTuple::empty(py));
    }
    let first = accept(py, vat, &mut reader)?;
    if reader.is_empty() {
        return PyTuple::new(py, [first]);
    }
    let mut all = vec![first];
    while !reader.is_empty() {
        all.push(accept(py, vat, &mut reader)?);
    }
    PyTuple::new(py, all)
}

/// Reads one value.
pub(crate) fn accept<'py>(
    py: Python<'py>,
    vat: &Arc<PyVat>,
    reader: &mut Reader<'_, Ref<PyHost>>,
) -> PyResult<Bound<'py, PyAny>> {
    let item = reader.next().map_err(unreadable)?;
    accept_item(py, vat, reader, item)
}

fn accept_item<'py>(
    py: Python<'py>,
    vat: &Arc<PyVat>,
    reader: &mut Reader<'_, Ref<PyHost>>,
    item: Item<'_, Ref<PyHost>>,
) -> PyResult<Bound<'py, PyAny>> {
    Ok(match item {
        Item::Null | Item::Void => py.None().into_bound(py),
        Item::Bool(value) => PyBool::new(py, value).to_owned().into_any(),
        Item::Int(int) => accept_int(py, int)?,
        Item::Float(value) => PyFloat::new(py, value).into_any(),
        Item::Str(text) => PyString::new(py, text).into_any(),
        Item::Symbol(name) => symbol_type(py)?.call1((name,))?,
        Item::SturdyRef(record) => match SturdyRef::from_record(record) {
            Some(sturdy) => Bound::new(py, PySturdyRef(sturdy))?.into_any(),
            None => return Err(RemoteError::new_err("a sturdy reference is malformed")),
        },
        Item::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
        Item::Error(message) => remote(py, &marotte::RemoteError::from_wire(message))
            .into_value(py)
            .into_bound(py)
            .into_any(),
        Item::Ref(reference) => unwrap_reference(py, vat, reference)?,
        // The scan bounded the depth, so recursion is safe.
        Item::List => {
            let list = PyList::empty(py);
            loop {
                match reader.next().map_err(unreadable)? {
                    Item::EndList => break,
                    item => list.append(accept_item(py, vat, reader, item)?)?,
                }
            }
            list.into_any()
        }
        Item::Dict => {
            let dict = PyDict::new(py);
            loop {
                match reader.next().map_err(unreadable)? {
                    Item::EndDict => break,
                    Item::Str(key) => dict.set_item(key, accept(py, vat, reader)?)?,
                    _ => return Err(RemoteError::new_err("a dictionary's keys must be strings")),
                }
            }
            dict.into_any()
        }
        Item::EndList | Item::EndDict => {
            return Err(RemoteError::new_err("a value is missing"));
        }
    })
}

fn accept_int<'py>(py: Python<'py>, int: Int<'_>) -> PyResult<Bound<'py, PyAny>> {
    if let Some(small) = int.to_i64() {
        return Ok(small.into_pyobject(py)?.into_any());
    }
    bigint::from_decimal(py, int.negative, int.digits)
}

fn unreadable(error: ReadError) -> PyErr {
    RemoteError::new_err(error.to_string())
}
