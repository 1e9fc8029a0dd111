//! Arbitrary attributes on Deferreds.
//!
//! Few Deferreds are given any, and a dictionary for each would be a third of their size and of the
//! time to make them. So there is one only where somebody sets an attribute; and as Python finds
//! attributes through classes, a descriptor of that name is then put into the class, which looks
//! into the dictionary. Subclasses written in Python have dictionaries of their own anyway.

use pyo3::PyTypeInfo;
use pyo3::exceptions::PyAttributeError;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PySuper};

use super::class::Deferred;

/// Finds the attribute of one name.
#[pyclass(frozen)]
struct Attribute {
    name: Py<PyString>,
}

#[pymethods]
impl Attribute {
    // No `__set__`: so the dictionary of a subclass comes first.
    fn __get__(
        &self,
        object: Option<&Bound<'_, Deferred>>,
        class: Option<&Bound<'_, PyAny>>,
        py: Python<'_>,
    ) -> PyResult<Py<PyAny>> {
        let name = self.name.bind(py);
        if let Some(object) = object {
            let attributes = object.get().inner(py).attributes(py);
            if let Some(attributes) = attributes
                && let Some(value) = attributes.get_item(name)?
            {
                return Ok(value.unbind());
            }
            if !object.is_exact_instance_of::<Deferred>() {
                // What comes after Deferred among the bases of a subclass.
                let rest = PySuper::new(&Deferred::type_object(py), object)?;
                return rest.getattr(name).map(Bound::unbind);
            }
        }
        if object.is_none()
            && let Some(class) = class
            && !class.is(Deferred::type_object(py))
        {
            let rest = PySuper::new(&Deferred::type_object(py), class)?;
            return rest.getattr(name).map(Bound::unbind);
        }
        let class = match (object, class) {
            (Some(object), _) => object.get_type().name()?.to_string(),
            (None, Some(class)) => format!("type object {}", class.repr()?),
            (None, None) => "Deferred".to_owned(),
        };
        Err(no_attribute(&class, name))
    }
}

fn no_attribute(class: &str, name: &Bound<'_, PyString>) -> PyErr {
    PyAttributeError::new_err(format!("'{class}' object has no attribute '{name}'"))
}

/// The dictionary of a Deferred of exactly this class; made if it has none.
pub(super) fn dict<'py>(deferred: &Bound<'py, Deferred>) -> Bound<'py, PyDict> {
    let py = deferred.py();
    let known = |py| deferred.get().inner(py).attributes(py);
    if let Some(attributes) = known(py) {
        return attributes;
    }
    let attributes = PyDict::new(py);
    // While it was made, other code may have run, and have made one.
    if let Some(attributes) = known(py) {
        return attributes;
    }
    deferred
        .get()
        .inner(py)
        .set_attributes(attributes.clone().unbind());
    attributes
}

/// True if the class has dictionaries for its objects, as subclasses have.
fn has_own_dict(deferred: &Bound<'_, Deferred>) -> PyResult<bool> {
    let class = deferred.get_type();
    Ok(class
        .getattr(intern!(deferred.py(), "__dictoffset__"))?
        .extract::<isize>()?
        != 0)
}

/// `object.__setattr__`, then the dictionary.
pub(super) fn set(
    deferred: &Bound<'_, Deferred>,
    name: &Bound<'_, PyString>,
    value: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = deferred.py();
    let Err(error) = generic_set(deferred, name, Some(value)) else {
        return Ok(());
    };
    if !error.is_instance_of::<PyAttributeError>(py) || has_own_dict(deferred)? {
        return Err(error);
    }
    let class = Deferred::type_object(py);
    let class_dict = class.getattr(intern!(py, "__dict__"))?;
    // Python's own protocols look at the class for these: Deferreds are not to become callable
    // because one of them was given a `__call__`. (`Deferred[int]()` sets the exception.)
    let text = name.to_str()?;
    let special = text.starts_with("__") && text.ends_with("__") && text != "__orig_class__";
    if special {
        return dict(deferred).set_item(name, value);
    }
    if !class_dict.contains(name)? {
        let attribute = Attribute {
            name: name.clone().unbind(),
        };
        class.setattr(name, Bound::new(py, attribute)?)?;
    } else if !class_dict.get_item(name)?.is_instance_of::<Attribute>()
        && class_dict.get_item(name)?.hasattr(intern!(py, "__set__"))?
    {
        // One of the class's own, which cannot be set.
        return Err(error);
    }
    dict(deferred).set_item(name, value)
}

/// `object.__delattr__`, then the dictionary.
pub(super) fn delete(deferred: &Bound<'_, Deferred>, name: &Bound<'_, PyString>) -> PyResult<()> {
    let py = deferred.py();
    // Not within the `if`, where the borrow would last on.
    let attributes = deferred.get().inner(py).attributes(py);
    if let Some(attributes) = attributes
        && attributes.contains(name)?
    {
        return attributes.del_item(name);
    }
    generic_set(deferred, name, None)
}

/// What Python does for classes that do not say otherwise; without a value it deletes.
fn generic_set(
    deferred: &Bound<'_, Deferred>,
    name: &Bound<'_, PyString>,
    value: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let value = value.map_or(std::ptr::null_mut(), Bound::as_ptr);
    // SAFETY: all of them are live objects, the name is a string, and null stands for deletion.
    // (`object.__setattr__` refuses, because the class has a slot of its own.)
    let status = unsafe { ffi::PyObject_GenericSetAttr(deferred.as_ptr(), name.as_ptr(), value) };
    if status == 0 {
        Ok(())
    } else {
        Err(PyErr::fetch(deferred.py()))
    }
}
