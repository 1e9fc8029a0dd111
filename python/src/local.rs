//! Promises, sends and turns of programs that have no tub, or none in particular.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use marotte::Host;
use marotte::host::{Message, Outcome, Ref, Reply};
use marotte::promise::{Cell, State};
use marotte::vat::{Vat, is_recording};
use pyo3::PyTypeInfo;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::convert;
use crate::errors::{Failure, aside, to_exception};
use crate::host::{Callback, Home, PyHost, PyVat, with_scratch};
use crate::invoke;
use crate::promise::{Promise, reason_of};
use crate::reference::RemoteReference;
use crate::values::Referenceable;

/// The vat of the objects of one event loop or thread, as far as they belong to no tub.
#[pyclass(frozen, weakref, module = "marotte._core", name = "_LocalVat")]
pub(crate) struct LocalVat {
    vat: Arc<PyVat>,
}

#[pymethods]
impl LocalVat {
    /// ``runner`` is one of ``marotte._runner``.
    #[new]
    fn new(py: Python<'_>, runner: Py<PyAny>) -> PyResult<Self> {
        let vat: Arc<PyVat> = Vat::new(Home::new());
        vat.home().set_runner(py, runner);
        Ok(Self { vat })
    }

    /// A new promise and its resolver.
    #[pyo3(name = "makePromise")]
    fn make_promise(&self, py: Python<'_>) -> PyResult<(Py<Promise>, Py<Resolver>)> {
        let promise = PyHost::new_promise(py, &self.vat, Cell::pending());
        let resolver = Resolver {
            vat: Arc::clone(&self.vat),
            promise: promise.clone_ref(py),
            resolved: AtomicBool::new(false),
        };
        Ok((promise, Py::new(py, resolver)?))
    }

    /// A promise for what a Deferred, a future, a coroutine or a value becomes.
    fn adopt(&self, value: Bound<'_, PyAny>) -> Py<Promise> {
        let py = value.py();
        let promise = PyHost::new_promise(py, &self.vat, Cell::pending());
        let reply = invoke::adopt(py, &self.vat, value);
        self.vat.resolve(py, promise.clone_ref(py), reply);
        promise
    }

    /// Waits for a coroutine, of which the first step is taken at once, a Deferred or a future;
    /// then calls ``settle(value)`` or ``settle(None, exception)``. Returns what ``cancelWork`` takes.
    fn begin<'py>(
        &self,
        awaitable: Bound<'py, PyAny>,
        settle: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        invoke::begin(&self.vat, awaitable, settle)
    }

    /// Calls ``function()`` after so many seconds.
    #[pyo3(name = "callLater")]
    fn call_later(&self, seconds: f64, function: &Bound<'_, PyAny>) -> PyResult<()> {
        let home = self.vat.home();
        home.call_later(function.py(), seconds, function).map(drop)
    }

    /// Cancels what ``begin`` returned.
    #[pyo3(name = "cancelWork")]
    fn cancel_work(&self, work: &Bound<'_, PyAny>) -> PyResult<()> {
        let runner = self.vat.home().runner(work.py())?;
        runner.call_method1("cancel_work", (work,)).map(drop)
    }

    /// Calls ``function(*args, **kwargs)`` in a turn of its own.
    #[pyo3(signature = (function, args, kwargs=None))]
    fn eventually(
        &self,
        py: Python<'_>,
        function: Py<PyAny>,
        args: Py<PyTuple>,
        kwargs: Option<Py<PyDict>>,
    ) {
        let callback = Callback::Eventually {
            function,
            args,
            kwargs,
            result: None,
        };
        self.vat.later(callback, Outcome::Fulfilled(py.None()));
    }

    /// True while turns wait.
    fn busy(&self) -> bool {
        self.vat.has_turns()
    }

    /// What messages are sent to ``target`` with; ``only`` if no answer is wanted.
    fn send(&self, target: Bound<'_, PyAny>, only: bool) -> Send {
        Send::to(&self.vat, target, only)
    }

    /// The state of a reference: ``"eventual"``, ``"remote"``, ``"near"``, ``"far"`` or ``"broken"``.
    #[staticmethod]
    fn state(reference: &Bound<'_, PyAny>) -> &'static str {
        let py = reference.py();
        match PyHost::target(py, &reference.clone().unbind()) {
            Some(reference) => State::of(py, &reference).name(),
            None => State::Near.name(),
        }
    }
}

/// Resolves one promise, once. If it is dropped before, the promise breaks: nobody can resolve it any more.
#[pyclass(frozen, weakref, module = "marotte")]
pub(crate) struct Resolver {
    vat: Arc<PyVat>,
    promise: Py<Promise>,
    resolved: AtomicBool,
}

impl Resolver {
    fn once(&self) -> PyResult<()> {
        if self.resolved.swap(true, Ordering::Relaxed) {
            return Err(PyRuntimeError::new_err("the promise was resolved before"));
        }
        Ok(())
    }
}

#[pymethods]
impl Resolver {
    /// Fulfils the promise with a value, or resolves it to another promise, a Deferred or anything
    /// that can be awaited. Raises ``RuntimeError`` the second time.
    fn __call__(&self, value: Bound<'_, PyAny>) -> PyResult<()> {
        self.once()?;
        let py = value.py();
        let reply = invoke::adopt(py, &self.vat, value);
        self.vat.resolve(py, self.promise.clone_ref(py), reply);
        Ok(())
    }

    /// The same, by name.
    fn resolve(&self, value: Bound<'_, PyAny>) -> PyResult<()> {
        self.__call__(value)
    }

    /// Breaks the promise, with an exception or a ``Failure`` as the reason. Raises ``RuntimeError``
    /// the second time.
    fn smash(&self, reason: Bound<'_, PyAny>) -> PyResult<()> {
        let py = reason.py();
        let failure = Failure::of(py, reason_of(reason)?);
        self.once()?;
        self.vat
            .resolve(py, self.promise.clone_ref(py), Reply::Failure(failure));
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.promise)
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        if *self.resolved.get_mut() {
            return;
        }
        Python::attach(|py| {
            let mut cell = self.promise.get().cell();
            if !cell.is_pending() {
                return;
            }
            // Without anybody who waits it is nobody's failure.
            cell.mark_handled();
            drop(cell);
            aside(py, || {
                let error = marotte::Error::remote(marotte::vat::RESOLVER_DROPPED);
                let failure = PyHost::failure(py, error);
                self.vat
                    .resolve(py, self.promise.clone_ref(py), Reply::Failure(failure));
            });
        });
    }
}

/// Whom messages go to.
enum Whom {
    Ref(Arc<PyVat>, Ref<PyHost>),
    Near(Arc<PyVat>, Py<PyAny>),
}

impl Whom {
    fn dup(&self, py: Python<'_>) -> Self {
        match self {
            Self::Ref(vat, reference) => Self::Ref(Arc::clone(vat), reference.dup(py)),
            Self::Near(vat, object) => Self::Near(Arc::clone(vat), object.clone_ref(py)),
        }
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Ref(_, Ref::Promise(promise)) => visit.call(promise),
            Self::Ref(_, Ref::Local(object)) | Self::Near(_, object) => visit.call(object),
            Self::Ref(_, Ref::Far(_)) => Ok(()),
        }
    }
}

/// ``send(x)``: each of its attributes is a method of ``x`` to be called later.
#[pyclass(frozen, module = "marotte")]
pub(crate) struct Send {
    whom: Whom,
    only: bool,
}

impl Send {
    fn to(vat: &Arc<PyVat>, target: Bound<'_, PyAny>, only: bool) -> Self {
        let whom = if let Ok(promise) = target.cast_exact::<Promise>() {
            promise.get().turn_magic_off();
            let vat = Arc::clone(promise.get().vat());
            Whom::Ref(vat, Ref::Promise(promise.clone().unbind()))
        } else if let Ok(reference) = target.cast_exact::<RemoteReference>() {
            let reference = reference.get();
            Whom::Ref(
                Arc::clone(reference.vat()),
                Ref::Far(Arc::clone(&reference.import)),
            )
        } else {
            Whom::Near(Arc::clone(vat), target.unbind())
        };
        Self { whom, only }
    }
}

#[pymethods]
impl Send {
    fn __getattribute__<'py>(
        slf: &Bound<'py, Self>,
        name: Bound<'py, PyString>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if name.to_str()?.starts_with('_') {
            // What Python itself looks for.
            return PyAny::type_object(py)
                .getattr("__getattribute__")?
                .call1((slf, name));
        }
        let sender = SendMethod {
            whom: slf.get().whom.dup(py),
            name: name.unbind(),
            only: slf.get().only,
        };
        Ok(Bound::new(py, sender)?.into_any())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.whom.traverse(&visit)
    }
}

/// A method to be called with the arguments of a message.
#[pyclass(frozen)]
struct SendMethod {
    whom: Whom,
    name: Py<PyString>,
    only: bool,
}

#[pymethods]
impl SendMethod {
    /// Sends the message. Returns the promise for the result, or None if none is wanted.
    #[pyo3(signature = (*args, **kwargs))]
    fn __call__(
        &self,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Option<Py<Promise>>> {
        let py = args.py();
        match &self.whom {
            // A function given to `_map` is being recorded: what others are to do, they must be able to
            // reach.
            Whom::Near(vat, object) if is_recording() => {
                let object = object.bind(py);
                if !object.is_instance_of::<Referenceable>() && !invoke::is_callable(object) {
                    return Err(PyTypeError::new_err(
                        "a function given to _map can send to what peers can reach only: \
                         Referenceables, functions, references and promises",
                    ));
                }
                self.transmit(vat, &Ref::Local(object.clone().unbind()), args, kwargs)
            }
            Whom::Near(vat, object) => {
                let result = (!self.only).then(|| PyHost::new_promise(py, vat, Cell::result()));
                let callback = Callback::Near {
                    object: object.clone_ref(py),
                    name: self.name.clone_ref(py),
                    args: args.clone().unbind(),
                    kwargs: kwargs.map(|kwargs| kwargs.clone().unbind()),
                    result: result.as_ref().map(|result| result.clone_ref(py)),
                };
                vat.later(callback, Outcome::Fulfilled(py.None()));
                Ok(result)
            }
            Whom::Ref(vat, target) => self.transmit(vat, target, args, kwargs),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.whom.traverse(&visit)
    }
}

impl SendMethod {
    /// Sends a message that others could send as well.
    fn transmit(
        &self,
        vat: &Arc<PyVat>,
        target: &Ref<PyHost>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Option<Py<Promise>>> {
        let py = args.py();
        if kwargs.is_some_and(|kwargs| !kwargs.is_empty()) {
            return Err(PyTypeError::new_err(format!(
                "{}: keyword arguments cannot be passed; pass a dict as the last argument",
                self.name.bind(py)
            )));
        }
        with_scratch(|out| {
            convert::emit_args(out, args).map_err(to_exception)?;
            let message = Message::new(Some(self.name.bind(py).to_str()?), out.view());
            if self.only {
                vat.send(py, target, message, None);
                return Ok(None);
            }
            Ok(Some(vat.call(py, target, message)))
        })
    }
}
