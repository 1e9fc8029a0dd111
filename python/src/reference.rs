//! Far references, and the methods of those and of promises, as Python sees them.

use std::sync::Arc;

use marotte::host::{Message, Ref};
use marotte::vat::Import;
use pyo3::PyTypeInfo;
use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::convert;
use crate::errors::to_exception;
use crate::host::{Callback, PyHost, PyVat, with_scratch};
use crate::promise::Promise;

/// An object that lives elsewhere. Call its methods: each answers with a :class:`Promise`.
#[pyclass(frozen, weakref, module = "marotte")]
pub(crate) struct RemoteReference {
    vat: Arc<PyVat>,
    pub(crate) import: Arc<Import<PyHost>>,
}

impl RemoteReference {
    pub(crate) fn vat(&self) -> &Arc<PyVat> {
        &self.vat
    }

    /// The one Python object for an import, as long as any handle on it lives.
    pub(crate) fn for_import<'py>(
        py: Python<'py>,
        vat: &Arc<PyVat>,
        import: &Arc<Import<PyHost>>,
    ) -> PyResult<Bound<'py, Self>> {
        Bound::new(
            py,
            Self {
                vat: Arc::clone(vat),
                import: Arc::clone(import),
            },
        )
    }
}

#[pymethods]
impl RemoteReference {
    /// A remote method, to be called; with a leading underscore, what Python finds itself.
    fn __getattribute__<'py>(
        slf: &Bound<'py, Self>,
        name: Bound<'py, PyString>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if !is_remote(&name)? || is_own(&name)? {
            return own_attribute(slf, &name);
        }
        let this = slf.get();
        let target = Ref::Far(Arc::clone(&this.import));
        Method::of(slf.py(), &this.vat, target, name)
    }

    /// What is left: names with an underscore in front that nobody has.
    fn __getattr__(&self, name: &str) -> PyResult<Py<PyAny>> {
        Err(no_attribute(name))
    }

    /// Calls a method by its name; returns a Deferred for the result. For code that uses Deferreds.
    #[pyo3(name = "callRemote", signature = (method, *args))]
    fn call_remote<'py>(
        &self,
        method: &Bound<'py, PyString>,
        args: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = method.py();
        let target = Ref::Far(Arc::clone(&self.import));
        let promise = send(py, &self.vat, &target, Some(method.to_str()?), args)?;
        py.import(intern!(py, "marotte._eventual"))?
            .call_method1(intern!(py, "call_deferred"), (promise,))
    }

    /// The same without an answer: nothing is sent back, and None is returned.
    #[pyo3(name = "callRemoteOnly", signature = (method, *args))]
    fn call_remote_only(
        &self,
        method: &Bound<'_, PyString>,
        args: &Bound<'_, PyTuple>,
    ) -> PyResult<()> {
        let py = method.py();
        let target = Ref::Far(Arc::clone(&self.import));
        with_scratch(|out| {
            convert::emit_args(out, args).map_err(to_exception)?;
            let message = Message::new(Some(method.to_str()?), out.view());
            self.vat.send(py, &target, message, None);
            Ok(())
        })
    }

    /// Calls ``callback(*args, **kwargs)`` once, when the connection that the reference came over is
    /// lost. Returns what ``dontNotifyOnDisconnect`` takes.
    #[pyo3(name = "notifyOnDisconnect", signature = (callback, *args, **kwargs))]
    fn notify_on_disconnect(
        &self,
        callback: Bound<'_, PyAny>,
        args: Py<PyTuple>,
        kwargs: Option<Py<PyDict>>,
    ) -> u64 {
        let py = callback.py();
        let callback = Callback::Eventually {
            function: callback.unbind(),
            args,
            kwargs,
            result: None,
        };
        self.import.connection().watch(py, callback)
    }

    /// Takes that back.
    #[pyo3(name = "dontNotifyOnDisconnect")]
    fn dont_notify_on_disconnect(&self, marker: u64) {
        let callback = self.import.connection().unwatch(marker);
        drop(callback);
    }

    /// Calls a remote function.
    #[pyo3(signature = (*args))]
    fn __call__(&self, args: &Bound<'_, PyTuple>) -> PyResult<Py<Promise>> {
        send(
            args.py(),
            &self.vat,
            &Ref::Far(Arc::clone(&self.import)),
            None,
            args,
        )
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other
            .cast::<Self>()
            .is_ok_and(|other| Arc::ptr_eq(&self.import, &other.get().import))
    }

    fn __hash__(&self) -> usize {
        Arc::as_ptr(&self.import) as usize
    }

    fn __repr__(&self) -> String {
        let peer = self.import.connection().peer_location();
        let peer = peer.map_or_else(|| "a lost peer".to_owned(), |peer| peer.to_string());
        format!("<RemoteReference {} at {peer}>", self.import.position())
    }
}

/// True for the methods of references that are not sent anywhere.
fn is_own(name: &Bound<'_, PyString>) -> PyResult<bool> {
    Ok(matches!(
        name.to_str()?,
        "callRemote" | "callRemoteOnly" | "notifyOnDisconnect" | "dontNotifyOnDisconnect"
    ))
}

/// A method of a far object, or of one that a promise stands for: call it to send the message.
#[pyclass(frozen, module = "marotte")]
pub(crate) struct Method {
    vat: Arc<PyVat>,
    target: Ref<PyHost>,
    name: Py<PyString>,
}

/// True for a name that may be sent. Python's own protocols look for names with an underscore in
/// front; those are never sent anywhere.
pub(crate) fn is_remote(name: &Bound<'_, PyString>) -> PyResult<bool> {
    Ok(!name.to_str()?.starts_with('_'))
}

pub(crate) fn no_attribute(name: &str) -> PyErr {
    PyAttributeError::new_err(format!(
        "{name} is not a remote method: names with an underscore in front are never sent"
    ))
}

/// What Python finds under a name without our doing.
pub(crate) fn own_attribute<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
) -> PyResult<Bound<'py, PyAny>> {
    static FIND: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = object.py();
    let find = FIND.get_or_try_init(py, || {
        PyAny::type_object(py)
            .getattr("__getattribute__")
            .map(Bound::unbind)
    })?;
    find.bind(py).call1((object, name))
}

impl Method {
    // Not `__getattr__`: Python would first raise an error for each remote name, and drop it.
    pub(crate) fn of<'py>(
        py: Python<'py>,
        vat: &Arc<PyVat>,
        target: Ref<PyHost>,
        name: Bound<'py, PyString>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let method = Self {
            vat: Arc::clone(vat),
            target,
            name: name.unbind(),
        };
        Ok(Bound::new(py, method)?.into_any())
    }
}

#[pymethods]
impl Method {
    /// Sends the message; returns the promise for the result.
    #[pyo3(signature = (*args, **kwargs))]
    fn __call__(
        &self,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<Promise>> {
        let py = args.py();
        if kwargs.is_some_and(|kwargs| !kwargs.is_empty()) {
            return Err(PyTypeError::new_err(format!(
                "{}: keyword arguments cannot be passed; pass a dict as the last argument",
                self.name.bind(py)
            )));
        }
        send(
            py,
            &self.vat,
            &self.target,
            Some(self.name.bind(py).to_str()?),
            args,
        )
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!("<remote method {}>", self.name.bind(py))
    }
}

pub(crate) fn send(
    py: Python<'_>,
    vat: &Arc<PyVat>,
    target: &Ref<PyHost>,
    selector: Option<&str>,
    args: &Bound<'_, PyTuple>,
) -> PyResult<Py<Promise>> {
    with_scratch(|out| {
        convert::emit_args(out, args).map_err(to_exception)?;
        Ok(vat.call(py, target, Message::new(selector, out.view())))
    })
}
