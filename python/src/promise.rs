//! Promises as Python sees them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use marotte::Host;
use marotte::host::{Outcome, Ref};
use marotte::promise::{Cell, State};
use marotte::vat::{Extension, is_recording};
use pyo3::basic::CompareOp;
use pyo3::exceptions::{PyAttributeError, PyRuntimeError, PyStopIteration, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use crate::convert;
use crate::errors::{Failure, aside, log_exception, to_exception};
use crate::host::{Callback, PyHost, PyVat, with_scratch};
use crate::reference::{Method, is_remote, no_attribute, own_attribute, send};
use crate::values::coroutine_type;

/// A value that is not here yet. Call its methods as if it were: the calls travel ahead to where
/// the value will be, and each answers with another promise. Await it for the value itself.
///
/// Names that begin with an underscore are never remote.
#[pyclass(frozen, weakref, module = "marotte")]
pub(crate) struct Promise {
    vat: Arc<PyVat>,
    cell: Mutex<Cell<PyHost>>,
    /// True once somebody used `send` on it: then its attributes are no remote methods.
    plain: AtomicBool,
}

impl Promise {
    pub(crate) fn vat(&self) -> &Arc<PyVat> {
        &self.vat
    }

    pub(crate) fn turn_magic_off(&self) {
        self.plain.store(true, Ordering::Relaxed);
    }

    pub(crate) fn create(py: Python<'_>, vat: &Arc<PyVat>, cell: Cell<PyHost>) -> Py<Self> {
        // Allocation fails only when memory is out, and then nothing can go on.
        #[expect(clippy::unwrap_used, reason = "out of memory")]
        Py::new(
            py,
            Self {
                vat: Arc::clone(vat),
                cell: Mutex::new(cell),
                plain: AtomicBool::new(false),
            },
        )
        .unwrap()
    }

    pub(crate) fn cell(&self) -> MutexGuard<'_, Cell<PyHost>> {
        self.cell.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn outcome(&self, py: Python<'_>) -> Option<Outcome<PyHost>> {
        let mut cell = self.cell();
        cell.mark_handled();
        cell.outcome().map(|outcome| outcome.dup(py))
    }
}

#[pymethods]
impl Promise {
    /// A promise for what a Deferred, a future, a coroutine or a value becomes.
    #[new]
    fn new(value: Bound<'_, PyAny>) -> PyResult<Py<Self>> {
        let py = value.py();
        let vat = py
            .import(intern!(py, "marotte._eventual"))?
            .call_method0(intern!(py, "local_vat"))?;
        Ok(vat
            .call_method1(intern!(py, "adopt"), (value,))?
            .cast_into::<Self>()?
            .unbind())
    }

    /// A remote method, to be called; with a leading underscore, what Python finds itself.
    fn __getattribute__<'py>(
        slf: &Bound<'py, Self>,
        name: Bound<'py, PyString>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if !is_remote(&name)? {
            return own_attribute(slf, &name);
        }
        if slf.get().plain.load(Ordering::Relaxed) {
            return Err(no_attribute(name.to_str()?)); // `__getattr__` tells why.
        }
        let target = Ref::Promise(slf.clone().unbind());
        Method::of(slf.py(), &slf.get().vat, target, name)
    }

    /// What is left: names with an underscore in front that nobody has.
    fn __getattr__(&self, name: &str) -> PyResult<Py<PyAny>> {
        if name.starts_with('_') {
            return Err(no_attribute(name));
        }
        Err(PyAttributeError::new_err(format!(
            "send() was used on this promise, so its attributes are no remote methods: write \
             send(p).{name}(...)"
        )))
    }

    /// Calls the function that this will be.
    #[pyo3(signature = (*args))]
    fn __call__(slf: &Bound<'_, Self>, args: &Bound<'_, PyTuple>) -> PyResult<Py<Self>> {
        send(
            slf.py(),
            &slf.get().vat,
            &Ref::Promise(slf.clone().unbind()),
            None,
            args,
        )
    }

    /// Calls ``on_value(value)`` once the value is there, in a turn of its own; returns the promise
    /// for what that returns. ``on_failure(exception)`` is called in the other case, if given.
    #[pyo3(signature = (on_value, on_failure=None))]
    fn _then(
        slf: &Bound<'_, Self>,
        on_value: Py<PyAny>,
        on_failure: Option<Py<PyAny>>,
    ) -> PyResult<Py<Self>> {
        Self::chain(slf, Some(on_value), on_failure)
    }

    /// Calls ``on_failure(exception)`` if the promise breaks; what it returns takes the failure's
    /// place. A value passes by.
    fn _except(slf: &Bound<'_, Self>, on_failure: Py<PyAny>) -> PyResult<Py<Self>> {
        Self::chain(slf, None, Some(on_failure))
    }

    /// A future for the value: an ``asyncio.Future`` under asyncio, a ``Deferred`` under Twisted.
    fn _when<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        refuse_in_map()?;
        let (future, wraps_deferred) = this.vat.home().create_future(py)?;
        this.vat.when(
            py,
            slf.as_unbound(),
            Callback::Future(future.clone().unbind()),
        );
        // Twisted's waiters wrap a Deferred; asyncio's are the future itself.
        if wraps_deferred {
            future.getattr(intern!(py, "deferred"))
        } else {
            Ok(future)
        }
    }

    /// Waits for the value, for programs without an event loop. ``timeout`` is in seconds.
    #[pyo3(signature = (timeout=None))]
    fn _wait(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let this = slf.get();
        let done = || !this.cell().is_pending();
        if !done() {
            refuse_in_map()?;
            let runner = this.vat.home().runner(py)?;
            crate::tub::wait(py, &this.vat, runner, timeout, &done)?;
        }
        match this.outcome(py) {
            Some(Outcome::Fulfilled(value)) => Ok(value),
            Some(Outcome::Broken(failure)) => Err(failure.raise(py)),
            None => Err(PyRuntimeError::new_err("the promise is still pending")),
        }
    }

    /// The promise for a part of the value: what is at the end of a path of keys, indices and, in an
    /// object of this program, attributes. In the same round trip.
    #[pyo3(signature = (*path))]
    fn _get(slf: &Bound<'_, Self>, path: &Bound<'_, PyTuple>) -> PyResult<Py<Self>> {
        let target = Ref::Promise(slf.clone().unbind());
        send(
            slf.py(),
            &slf.get().vat,
            &target,
            Some(Extension::Get.selector()),
            path,
        )
    }

    /// Calls ``function(item)`` once, with a promise that stands for the items of the list that this
    /// promise is for, and has what it sends done for each of them over there. The promise for the
    /// list of what it returned for each.
    fn _map(slf: &Bound<'_, Self>, function: &Bound<'_, PyAny>) -> PyResult<Py<Self>> {
        let py = slf.py();
        let (recording, item) = slf.get().vat.record(py);
        let result = function.call1((item,)).and_then(refuse_coroutine);
        with_scratch(|out| {
            let emitted =
                result.and_then(|result| convert::emit_result(out, &result).map_err(to_exception));
            if let Err(error) = emitted {
                recording.abandon(py);
                return Err(error);
            }
            recording
                .finish(py, &Ref::Promise(slf.clone().unbind()), out.view())
                .map_err(to_exception)
        })
    }

    /// Breaks the promise, if it is pending, with ``reason`` or a ``CancelledError``, and tells whoever
    /// works on it, far away too.
    #[pyo3(signature = (reason=None))]
    fn _cancel(slf: &Bound<'_, Self>, reason: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let failure = match reason {
            Some(reason) => Failure::of(py, reason_of(reason)?),
            None => PyHost::failure(py, marotte::Error::Cancelled),
        };
        slf.get().vat.cancel(py, slf.as_unbound(), failure);
        Ok(())
    }

    fn __await__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if let Some(outcome) = slf.get().outcome(py) {
            return match outcome {
                Outcome::Fulfilled(value) => Ok(Bound::new(
                    py,
                    Settled {
                        value: Mutex::new(Some(value)),
                    },
                )?
                .into_any()),
                Outcome::Broken(failure) => Err(failure.raise(py)),
            };
        }
        Self::_when(slf)?.call_method0(intern!(py, "__await__"))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        let state = State::of::<PyHost>(slf.py(), &Ref::Promise(slf.clone().unbind()));
        format!("<Promise {}>", state.name())
    }

    // A promise is not its value yet: whatever Python would do with the value is an error that says
    // what to do instead.

    fn __add__(&self, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(not_its_value("+"))
    }

    fn __radd__(&self, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(not_its_value("+"))
    }

    fn __sub__(&self, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(not_its_value("-"))
    }

    fn __rsub__(&self, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(not_its_value("-"))
    }

    fn __mul__(&self, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(not_its_value("*"))
    }

    fn __rmul__(&self, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(not_its_value("*"))
    }

    fn __truediv__(&self, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(not_its_value("/"))
    }

    fn __rtruediv__(&self, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(not_its_value("/"))
    }

    fn __floordiv__(&self, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(not_its_value("//"))
    }

    fn __rfloordiv__(&self, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(not_its_value("//"))
    }

    fn __mod__(&self, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(not_its_value("%"))
    }

    fn __rmod__(&self, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(not_its_value("%"))
    }

    fn __matmul__(&self, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(not_its_value("@"))
    }

    fn __rmatmul__(&self, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(not_its_value("@"))
    }

    fn __lshift__(&self, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(not_its_value("<<"))
    }

    fn __rlshift__(&self, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(not_its_value("<<"))
    }

    fn __rshift__(&self, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(not_its_value(">>"))
    }

    fn __rrshift__(&self, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(not_its_value(">>"))
    }

    fn __and__(&self, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(not_its_value("&"))
    }

    fn __rand__(&self, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(not_its_value("&"))
    }

    fn __or__(&self, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(not_its_value("|"))
    }

    fn __ror__(&self, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(not_its_value("|"))
    }

    fn __xor__(&self, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(not_its_value("^"))
    }

    fn __rxor__(&self, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(not_its_value("^"))
    }

    fn __divmod__(&self, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(not_its_value("divmod()"))
    }

    fn __rdivmod__(&self, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(not_its_value("divmod()"))
    }

    fn __pow__(&self, _other: &Bound<'_, PyAny>, _modulo: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(not_its_value("**"))
    }

    fn __rpow__(&self, _other: &Bound<'_, PyAny>, _modulo: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(not_its_value("**"))
    }

    fn __neg__(&self) -> PyResult<Py<PyAny>> {
        Err(not_its_value("-"))
    }

    fn __pos__(&self) -> PyResult<Py<PyAny>> {
        Err(not_its_value("+"))
    }

    fn __abs__(&self) -> PyResult<Py<PyAny>> {
        Err(not_its_value("abs()"))
    }

    fn __invert__(&self) -> PyResult<Py<PyAny>> {
        Err(not_its_value("~"))
    }

    fn __int__(&self) -> PyResult<Py<PyAny>> {
        Err(not_its_value("int()"))
    }

    fn __float__(&self) -> PyResult<Py<PyAny>> {
        Err(not_its_value("float()"))
    }

    fn __index__(&self) -> PyResult<Py<PyAny>> {
        Err(not_its_value("an index"))
    }

    fn __len__(&self) -> PyResult<usize> {
        Err(not_its_value("len()"))
    }

    fn __iter__(&self) -> PyResult<Py<PyAny>> {
        Err(not_its_value("iteration"))
    }

    fn __contains__(&self, _item: &Bound<'_, PyAny>) -> PyResult<bool> {
        Err(not_its_value("in"))
    }

    fn __getitem__(&self, _key: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        Err(not_its_value(
            "[] (`p._get(key)` is a promise for that part of it)",
        ))
    }

    fn __setitem__(&self, _key: &Bound<'_, PyAny>, _value: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(not_its_value("[]"))
    }

    fn __delitem__(&self, _key: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(not_its_value("[]"))
    }

    fn __format__(&self, _spec: &Bound<'_, PyAny>) -> PyResult<String> {
        Err(not_its_value("formatting"))
    }

    fn __richcmp__(&self, _other: &Bound<'_, PyAny>, op: CompareOp) -> PyResult<bool> {
        Err(not_its_value(match op {
            CompareOp::Eq => "==",
            CompareOp::Ne => "!=",
            CompareOp::Lt => "<",
            CompareOp::Le => "<=",
            CompareOp::Gt => ">",
            CompareOp::Ge => ">=",
        }))
    }

    fn __hash__(slf: &Bound<'_, Self>) -> usize {
        slf.as_ptr() as usize
    }

    fn __bool__(&self) -> PyResult<bool> {
        Err(not_its_value("true or false"))
    }

    // The visitor runs while the world stands still; a locked cell is left for the next time.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Ok(cell) = self.cell.try_lock() else {
            return Ok(());
        };
        match cell.outcome() {
            Some(Outcome::Fulfilled(value)) => visit.call(value)?,
            Some(Outcome::Broken(failure)) => failure.traverse(&visit)?,
            None => {}
        }
        for promise in cell.promises() {
            visit.call(promise)?;
        }
        for callback in cell.callbacks() {
            match callback {
                Callback::Future(waiter) | Callback::Cancel(waiter) => visit.call(waiter)?,
                Callback::Eventually { .. } | Callback::Near { .. } => {}
                Callback::Then {
                    on_value,
                    on_failure,
                    next,
                } => {
                    visit.call(on_value)?;
                    visit.call(on_failure)?;
                    visit.call(next)?;
                }
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        // A failure that nobody has looked at was reported by the finalizer.
        let old = std::mem::replace(&mut *self.cell(), Cell::pending());
        drop(old);
    }
}

/// Closes what an `async` function has returned to `_map`, and complains.
fn refuse_coroutine(result: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    let py = result.py();
    if !result.get_type().is(coroutine_type(py)?) {
        return Ok(result);
    }
    result.call_method0(intern!(py, "close"))?;
    Err(PyTypeError::new_err(
        "a function given to _map cannot be async: it only says what is to be sent to each item",
    ))
}

/// The exception that a promise is to break with: one as it is, or a Failure's.
pub(crate) fn reason_of(reason: Bound<'_, PyAny>) -> PyResult<PyErr> {
    // A Failure holds the exception, and is one itself.
    let reason = match reason.getattr_opt("value")? {
        Some(value) if reason.hasattr("getErrorMessage")? => value,
        _ => reason,
    };
    if !reason.is_instance_of::<pyo3::exceptions::PyBaseException>() {
        return Err(PyTypeError::new_err(format!(
            "a promise is broken with an exception or a Failure, not with {}",
            reason.get_type().name()?
        )));
    }
    Ok(PyErr::from_value(reason))
}

/// A function given to `_map` is called once, and for no item in particular: there is no value to wait for.
fn refuse_in_map() -> PyResult<()> {
    if is_recording() {
        return Err(PyRuntimeError::new_err(
            "a function given to _map cannot wait for values: it only says what is to be sent to each \
             item; use _then on what _map returns",
        ));
    }
    Ok(())
}

/// The error of using a promise as if it were its value.
fn not_its_value(what: &str) -> PyErr {
    PyTypeError::new_err(format!(
        "{what}: a promise is not its value, which is not here yet; `await` the promise, or give a \
         function to `_then`, which is called with the value"
    ))
}

impl Promise {
    fn chain(
        slf: &Bound<'_, Self>,
        on_value: Option<Py<PyAny>>,
        on_failure: Option<Py<PyAny>>,
    ) -> PyResult<Py<Self>> {
        refuse_in_map()?;
        let py = slf.py();
        let vat = &slf.get().vat;
        let next = PyHost::new_promise(py, vat, Cell::result());
        let callback = Callback::Then {
            on_value,
            on_failure,
            next: next.clone_ref(py),
        };
        vat.then(py, slf.as_unbound(), callback, &next);
        Ok(next)
    }
}

impl Drop for Promise {
    /// Nobody has looked at a failure, and nobody will.
    fn drop(&mut self) {
        self.report_unhandled();
    }
}

impl Promise {
    /// Reports a failure that nobody has looked at, once.
    pub(crate) fn report_unhandled(&self) {
        if self.cell().unhandled().is_none() {
            return;
        }
        // None while the interpreter shuts down: nobody would read it.
        Python::try_attach(|py| {
            let failure = {
                let mut cell = self.cell();
                let failure = cell.unhandled().map(|failure| failure.dup(py));
                cell.mark_handled();
                failure
            };
            if let Some(failure) = failure {
                let what = "a promise broke and nobody looked at it";
                aside(py, || log_exception(py, what, &failure.raise(py)));
            }
        });
    }
}

/// An iterator that ends at once, with the value: what `await` wants of a settled promise.
#[pyclass(frozen)]
struct Settled {
    value: Mutex<Option<Py<PyAny>>>,
}

#[pymethods]
impl Settled {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<()> {
        let value = self
            .value
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // A tuple would be unpacked into several arguments.
        Err(PyStopIteration::new_err((
            value.unwrap_or_else(|| py.None()),
        )))
    }
}
