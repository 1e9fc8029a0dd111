//! `impl tube::Host` for Python.

use std::time::Duration;

use bytes::Bytes;
use marotte::tube::{self, Confirmed, Error, Next, Problem, Reason, Taken};
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyByteArray, PyBytes, PyList, PyMemoryView, PyString};

use crate::host::PyHost;

use super::confirm::Confirm;
use super::hub::Hub;
use super::outputs::Outputs;
use super::parts::{failure, parts, reason_of, report};
use super::siphon::Siphon;

/// A tube written in Python.
pub(crate) struct Tube {
    object: Py<PyAny>,
    /// Its function, where that cannot change.
    function: Option<Py<PyAny>>,
    gathers: bool,
    /// There is only a function, and what it returns, or what that becomes, is one output.
    single: bool,
}

/// A drain written in Python.
pub(crate) struct Drain {
    pub(super) object: Py<PyAny>,
    gathers: bool,
}

impl Tube {
    pub(super) fn new(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = object.py();
        let batch = object.getattr_opt(intern!(py, "receivedBatch"))?;
        let is_function = object.get_type().is(parts(py)?.receiver.bind(py));
        let function = is_function.then(|| object.getattr(intern!(py, "received")));
        Ok(Self {
            object: object.clone().unbind(),
            function: function.transpose()?.map(Bound::unbind),
            gathers: batch.is_some_and(|method| !method.is_none()),
            single: false,
        })
    }

    /// A function from an item to one output.
    pub(super) fn function(function: Py<PyAny>) -> Self {
        Python::attach(|py| Self {
            object: function.clone_ref(py),
            function: Some(function),
            gathers: false,
            single: true,
        })
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.object)?;
        visit.call(&self.function)
    }
}

impl Drain {
    pub(super) fn new(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = object.py();
        let batch = object.getattr_opt(intern!(py, "receiveBatch"))?;
        Ok(Self {
            object: object.clone().unbind(),
            gathers: batch.is_some_and(|method| !method.is_none()),
        })
    }
}

/// Calls a method with one argument, or none, without making a bound method.
#[inline]
fn call<'py>(
    py: Python<'py>,
    object: &Py<PyAny>,
    name: &Bound<'py, PyString>,
    argument: Option<&Py<PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let args = [
        object.as_ptr(),
        argument.map_or(std::ptr::null_mut(), Py::as_ptr),
    ];
    let count = 1 + usize::from(argument.is_some());
    // SAFETY: the arguments are live objects, as many as said; the result is a new reference, or
    // null with an error.
    unsafe {
        let result = ffi::PyObject_VectorcallMethod(
            name.as_ptr(),
            args.as_ptr(),
            count,
            std::ptr::null_mut(),
        );
        Bound::from_owned_ptr_or_err(py, result)
    }
}

#[inline]
fn taken(py: Python<'_>, result: PyResult<Bound<'_, PyAny>>) -> Taken<PyHost> {
    result
        .and_then(Outputs::of)
        .map_err(|error| reason_of(py, error))
}

fn done(py: Python<'_>, result: PyResult<Bound<'_, PyAny>>) -> Result<(), Py<PyAny>> {
    result.map(drop).map_err(|error| reason_of(py, error))
}

impl tube::Host for PyHost {
    type Cx<'a> = Python<'a>;
    type Value = Py<PyAny>;
    type Reason = Py<PyAny>;
    type Tube = Tube;
    type Outputs = Outputs;
    type Fount = Py<PyAny>;
    type Drain = Drain;
    type Pause = Py<PyAny>;
    type Confirm = Confirm;
    type Node = Py<Siphon>;
    type Hub = Py<Hub>;

    #[inline(always)]
    fn with<R>(
        py: Python<'_>,
        node: &Py<Siphon>,
        f: impl FnOnce(&mut tube::Siphon<Self>) -> R,
    ) -> R {
        f(&mut node.get().state(py))
    }

    fn with_hub<R>(py: Python<'_>, hub: &Py<Hub>, f: impl FnOnce(&mut tube::Hub<Self>) -> R) -> R {
        f(&mut hub.get().state(py))
    }

    #[inline]
    fn dup_node(py: Python<'_>, node: &Py<Siphon>) -> Py<Siphon> {
        node.clone_ref(py)
    }

    fn dup_hub(py: Python<'_>, hub: &Py<Hub>) -> Py<Hub> {
        hub.clone_ref(py)
    }

    fn is_same(one: &Py<Siphon>, other: &Py<Siphon>) -> bool {
        one.is(other)
    }

    fn dup_fount(py: Python<'_>, fount: &Py<PyAny>) -> Py<PyAny> {
        fount.clone_ref(py)
    }

    fn dup_drain(py: Python<'_>, drain: &Drain) -> Drain {
        Drain {
            object: drain.object.clone_ref(py),
            gathers: drain.gathers,
        }
    }

    fn dup_reason(py: Python<'_>, reason: &Py<PyAny>) -> Py<PyAny> {
        reason.clone_ref(py)
    }

    fn dup_value(py: Python<'_>, value: &Py<PyAny>) -> Py<PyAny> {
        value.clone_ref(py)
    }

    fn started(py: Python<'_>, tube: &Tube) -> Taken<Self> {
        if tube.single {
            return Ok(None);
        }
        taken(py, call(py, &tube.object, intern!(py, "started"), None))
    }

    #[inline]
    fn received(py: Python<'_>, tube: &Tube, item: Py<PyAny>) -> Taken<Self> {
        let result = match &tube.function {
            // SAFETY: both are live objects, and the result is a new reference, or null with an
            // error.
            Some(function) => unsafe {
                let result = ffi::PyObject_CallOneArg(function.as_ptr(), item.as_ptr());
                Bound::from_owned_ptr_or_err(py, result)
            },
            None => call(py, &tube.object, intern!(py, "received"), Some(&item)),
        };
        item.drop_ref(py);
        if tube.single {
            let outputs = result.and_then(Outputs::one);
            return outputs.map_err(|error| reason_of(py, error));
        }
        taken(py, result)
    }

    #[inline]
    fn gathers(tube: &Tube) -> bool {
        tube.gathers
    }

    fn received_batch(py: Python<'_>, tube: &Tube, items: Vec<Py<PyAny>>) -> Taken<Self> {
        let result = PyList::new(py, items).and_then(|items| {
            let items = items.into_any().unbind();
            call(py, &tube.object, intern!(py, "receivedBatch"), Some(&items))
        });
        taken(py, result)
    }

    fn stopped(py: Python<'_>, tube: &Tube, reason: &Py<PyAny>) -> Taken<Self> {
        if tube.single {
            return Ok(None);
        }
        taken(
            py,
            call(py, &tube.object, intern!(py, "stopped"), Some(reason)),
        )
    }

    #[inline]
    fn next(
        py: Python<'_>,
        outputs: &mut Outputs,
        waker: &Py<Siphon>,
    ) -> Result<Next<Py<PyAny>>, Py<PyAny>> {
        outputs.next(py, waker)
    }

    fn discard(py: Python<'_>, outputs: Outputs) {
        outputs.discard(py);
    }

    fn pause(py: Python<'_>, fount: &Py<PyAny>) -> Result<Py<PyAny>, Py<PyAny>> {
        call(py, fount, intern!(py, "pauseFlow"), None)
            .map(Bound::unbind)
            .map_err(|error| reason_of(py, error))
    }

    fn resume(py: Python<'_>, pause: Py<PyAny>) -> Result<(), Py<PyAny>> {
        done(py, call(py, &pause, intern!(py, "unpause"), None))
    }

    fn stop(py: Python<'_>, fount: &Py<PyAny>) -> Result<(), Py<PyAny>> {
        done(py, call(py, fount, intern!(py, "stopFlow"), None))
    }

    #[inline]
    fn receive(py: Python<'_>, drain: &Drain, item: Py<PyAny>) -> Result<(), Py<PyAny>> {
        let result = call(py, &drain.object, intern!(py, "receive"), Some(&item));
        item.drop_ref(py);
        done(py, result)
    }

    #[inline]
    fn gathers_in(drain: &Drain) -> bool {
        drain.gathers
    }

    fn receive_batch(
        py: Python<'_>,
        drain: &Drain,
        items: Vec<Py<PyAny>>,
    ) -> Result<(), Py<PyAny>> {
        let result = PyList::new(py, items).and_then(|items| {
            let items = items.into_any().unbind();
            call(py, &drain.object, intern!(py, "receiveBatch"), Some(&items))
        });
        done(py, result)
    }

    fn flow_stopped(py: Python<'_>, drain: &Drain, reason: Py<PyAny>) -> Result<(), Py<PyAny>> {
        done(
            py,
            call(py, &drain.object, intern!(py, "flowStopped"), Some(&reason)),
        )
    }

    fn route(
        py: Python<'_>,
        hub: &Py<Hub>,
        item: Py<PyAny>,
    ) -> Result<Option<(usize, Py<PyAny>)>, Py<PyAny>> {
        hub.get()
            .route(item.into_bound(py))
            .map_err(|error| reason_of(py, error))
    }

    fn tag(py: Python<'_>, tube: &Tube, item: &Py<PyAny>) -> Confirm {
        Confirm::new(tube.object.clone_ref(py), item.clone_ref(py))
    }

    fn confirm(py: Python<'_>, confirm: Confirm, outcome: Confirmed<Py<PyAny>>) {
        confirm.tell(py, outcome);
    }

    fn now(py: Python<'_>) -> Duration {
        let now = parts(py).and_then(|parts| parts.now.call0(py)?.extract::<f64>(py));
        Duration::try_from_secs_f64(now.unwrap_or_default()).unwrap_or_default()
    }

    fn wake_at(py: Python<'_>, node: &Py<Siphon>, time: Duration) {
        let armed = parts(py).and_then(|parts| {
            let wake = node.bind(py).getattr(intern!(py, "wake"))?;
            parts.wake_at.call1(py, (time.as_secs_f64(), wake))
        });
        if let Err(error) = armed {
            report(py, &reason_of(py, error));
        }
    }

    fn list(py: Python<'_>, items: Vec<Py<PyAny>>) -> Py<PyAny> {
        PyList::new(py, items).map_or_else(|_| py.None(), |list| list.into_any().unbind())
    }

    fn tuple(py: Python<'_>, items: Vec<Py<PyAny>>) -> Py<PyAny> {
        pyo3::types::PyTuple::new(py, items)
            .map_or_else(|_| py.None(), |tuple| tuple.into_any().unbind())
    }

    fn merge(
        py: Python<'_>,
        node: &Py<Siphon>,
        old: Py<PyAny>,
        new: Py<PyAny>,
    ) -> Result<Py<PyAny>, Py<PyAny>> {
        node.get()
            .merge(py, old, new)
            .map_err(|error| reason_of(py, error))
    }

    fn to_bytes(py: Python<'_>, value: Py<PyAny>) -> Result<Bytes, Error> {
        let value = value.into_bound(py);
        if value.is_instance_of::<PyBytes>() || value.is_instance_of::<PyByteArray>() {
            // Of bytes nothing is copied.
            if let Ok(bytes) = value.extract::<PyBackedBytes>() {
                return Ok(Bytes::from_owner(bytes));
            }
        }
        if value.is_instance_of::<PyMemoryView>()
            && let Ok(bytes) = value.call_method0(intern!(py, "tobytes"))
            && let Ok(bytes) = bytes.extract::<PyBackedBytes>()
        {
            return Ok(Bytes::from_owner(bytes));
        }
        Err(wrong("bytes", &value))
    }

    fn to_text(py: Python<'_>, value: Py<PyAny>) -> Result<String, Error> {
        let value = value.into_bound(py);
        match value.cast::<PyString>() {
            Ok(text) => text.to_str().map(str::to_owned).map_err(Error::other),
            Err(_) => Err(wrong("str", &value)),
        }
    }

    #[inline]
    fn from_bytes(py: Python<'_>, bytes: &Bytes) -> Py<PyAny> {
        PyBytes::new(py, bytes).into_any().unbind()
    }

    fn from_text(py: Python<'_>, text: &str) -> Py<PyAny> {
        PyString::new(py, text).into_any().unbind()
    }

    fn reason(py: Python<'_>, error: Error) -> Py<PyAny> {
        failure(py, &error)
    }

    fn stop_flow_called(py: Python<'_>) -> Py<PyAny> {
        parts(py)
            .and_then(|parts| parts.stop_flow_called.call0(py))
            .unwrap_or_else(|error| reason_of(py, error))
    }

    fn report(py: Python<'_>, reason: &Py<PyAny>) {
        report(py, reason);
    }

    fn kind(py: Python<'_>, reason: &Py<PyAny>) -> Reason {
        let kind = parts(py)
            .and_then(|parts| parts.kind_of.call1(py, (reason,)))
            .and_then(|kind| kind.extract::<u8>(py));
        match kind {
            Ok(0) => Reason::Done,
            Ok(1) => Reason::Stopped,
            // What exactly is in the reason itself.
            _ => Reason::Failed(Error::new(Problem::Host(
                reason
                    .bind(py)
                    .str()
                    .map_or_else(|_| "?".to_owned(), |text| text.to_string()),
            ))),
        }
    }
}

fn wrong(expected: &'static str, value: &Bound<'_, PyAny>) -> Error {
    let kind = value.get_type();
    Error::new(Problem::WrongType {
        expected,
        found: kind
            .fully_qualified_name()
            .map_or_else(|_| "something else".to_owned(), |name| name.to_string()),
    })
}
