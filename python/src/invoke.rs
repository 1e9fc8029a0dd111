//! Calling Python: methods of local objects, and callbacks.

use std::sync::Arc;

use marotte::Host;
use marotte::host::{Message, Outcome, Ref, Reply};
use marotte::promise::Cell;
use marotte::vat::Extension;
use pyo3::exceptions::{PyAttributeError, PyRuntimeError, PyStopIteration, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::convert;
use crate::errors::{Failure, RemoteError, log_exception, to_exception};
use crate::host::{Callback, PyHost, PyVat, remote_name, with_scratch};
use crate::promise::Promise;
use crate::reference::RemoteReference;
use crate::task::EagerTask;
use crate::trace::Traced;
use crate::values::{Referenceable, coroutine_type, function_type, method_type};

/// True for functions and bound methods, which pass by reference and are called without a name.
pub(crate) fn is_callable(value: &Bound<'_, PyAny>) -> bool {
    let py = value.py();
    let kind = value.get_type();
    [function_type(py), method_type(py)]
        .into_iter()
        .flatten()
        .any(|one| kind.is(one))
}

/// Delivers a message to an object.
pub(crate) fn invoke(
    py: Python<'_>,
    vat: &Arc<PyVat>,
    object: &Bound<'_, PyAny>,
    message: Message<'_, PyHost>,
) -> PyResult<Reply<PyHost>> {
    let function = match message.selector {
        Some(selector) if message.is_near() && Extension::of(Some(selector)).is_some() => {
            return near_extension(py, vat, object, message);
        }
        Some(selector) if object.is_instance_of::<Referenceable>() => {
            object.getattr(remote_name(py, selector)).map_err(|error| {
                if error.is_instance_of::<PyAttributeError>(py) {
                    no_such_method(object, selector)
                } else {
                    error
                }
            })?
        }
        // Code of our own may call what it likes.
        Some(selector) if message.is_near() && !selector.starts_with('_') => {
            object.getattr(selector)?
        }
        // A fount or drain that a method has returned, which a peer sends to before it has the answer.
        Some(selector) => match crate::tubes::export(object)? {
            Some(flow) => flow.getattr(remote_name(object.py(), selector))?,
            None => return Err(no_such_method(object, selector)),
        },
        None if is_callable(object) => object.clone(),
        None => {
            return Err(PyTypeError::new_err(
                "this object cannot be called without a method name",
            ));
        }
    };
    let args = convert::accept_args(py, vat, message.args.reader())?;
    reply(py, vat, function.call1(args)?)
}

/// What an object of ours shows of itself to this program: its attributes, and what they hold.
fn near_extension(
    py: Python<'_>,
    vat: &Arc<PyVat>,
    object: &Bound<'_, PyAny>,
    message: Message<'_, PyHost>,
) -> PyResult<Reply<PyHost>> {
    if Extension::of(message.selector) != Some(Extension::Get) {
        return Err(PyTypeError::new_err("only a list can be mapped over"));
    }
    let path = convert::accept_args(py, vat, message.args.reader())?;
    let mut here = object.clone();
    for (at, key) in path.iter().enumerate() {
        if let Some(reference) = PyHost::target(py, here.as_unbound())
            && !matches!(reference, Ref::Local(_))
        {
            let rest = path.get_slice(at, path.len());
            return with_scratch(|out| {
                convert::emit_args(out, &rest).map_err(to_exception)?;
                let message = Message::new(message.selector, out.view());
                Ok(Reply::Promise(vat.call(py, &reference, message)))
            });
        }
        here = match key.cast::<PyString>() {
            Ok(name) if !is_data(&here) => {
                if name.to_str()?.starts_with('_') {
                    return Err(PyAttributeError::new_err(format!(
                        "{name}: names with an underscore in front are an object's own"
                    )));
                }
                here.getattr(name)?
            }
            _ => here.get_item(key)?,
        };
    }
    reply(py, vat, here)
}

fn no_such_method(object: &Bound<'_, PyAny>, selector: &str) -> PyErr {
    let kind = object.get_type();
    let kind = kind.name().map(|name| name.to_string()).unwrap_or_default();
    RemoteError::new_err(format!(
        "AttributeError: {kind} has no remote method {selector:?}"
    ))
}

/// What a method returned, as an answer.
fn reply(py: Python<'_>, vat: &Arc<PyVat>, result: Bound<'_, PyAny>) -> PyResult<Reply<PyHost>> {
    if is_plain(&result) {
        return Ok(Reply::Value(result.unbind()));
    }
    if let Ok(promise) = result.cast_exact::<Promise>() {
        return Ok(Reply::Promise(promise.clone().unbind()));
    }
    if result.get_type().is(coroutine_type(py)?) {
        return run_coroutine(py, vat, result);
    }
    // A Deferred, a future, or anything else that can be waited for. Remote references have
    // whatever method one asks for.
    if !result.is_instance_of::<Referenceable>()
        && !result.is_exact_instance_of::<RemoteReference>()
        && (result.hasattr(intern!(py, "addCallbacks"))?
            || result.hasattr(intern!(py, "__await__"))?)
    {
        return wait_for(py, vat, &result);
    }
    Ok(Reply::Value(result.unbind()))
}

/// True for plain data, of a subclass too: no message can be sent to that.
pub(crate) fn is_data(value: &Bound<'_, PyAny>) -> bool {
    is_plain(value)
        || value.is_instance_of::<PyString>()
        || value.is_instance_of::<PyInt>()
        || value.is_instance_of::<PyFloat>()
        || value.is_instance_of::<PyBytes>()
        || value.is_instance_of::<PyDict>()
        || value.is_instance_of::<PyList>()
        || value.is_instance_of::<PyTuple>()
}

fn is_plain(value: &Bound<'_, PyAny>) -> bool {
    value.is_none()
        || value.is_exact_instance_of::<PyString>()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyBytes>()
        || value.is_exact_instance_of::<PyDict>()
        || value.is_exact_instance_of::<PyList>()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyTuple>()
}

/// Steps a coroutine once; only if it suspends does it become a task.
fn run_coroutine(
    py: Python<'_>,
    vat: &Arc<PyVat>,
    coroutine: Bound<'_, PyAny>,
) -> PyResult<Reply<PyHost>> {
    let first = EagerTask::step(py, vat.home(), &coroutine);
    match first {
        Ok((task, waiting_for)) => {
            let (promise, settle) = promise_and_settler(py, vat)?;
            let runner = vat.home().runner(py)?;
            let rest = Traced::wrap(vat, coroutine)?;
            let resume = runner.call_method1(intern!(py, "resume"), (rest, waiting_for, settle))?;
            vat.on_cancel(py, &promise, Callback::Cancel(resume.clone().unbind()));
            task.get().become_real(runner, resume)?;
            Ok(Reply::Promise(promise))
        }
        Err(error) if error.is_instance_of::<PyStopIteration>(py) => {
            let value = error.value(py).getattr(intern!(py, "value"))?;
            reply(py, vat, value)
        }
        Err(error) => Err(error),
    }
}

/// Waits for something and tells `settle` how it ended, which may be at once. Returns what can be cancelled.
pub(crate) fn begin<'py>(
    vat: &Arc<PyVat>,
    awaitable: Bound<'py, PyAny>,
    settle: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = awaitable.py();
    let runner = vat.home().runner(py)?;
    if !awaitable.get_type().is(coroutine_type(py)?) {
        return runner.call_method1(intern!(py, "wait_for"), (awaitable, settle));
    }
    // Unlike a peer's call, this may come in the midst of a task.
    let current = runner.call_method0(intern!(py, "current"))?;
    if !current.is_none() {
        runner.call_method1(intern!(py, "leave"), (&current,))?;
    }
    let stepped = EagerTask::step(py, vat.home(), &awaitable);
    if !current.is_none() {
        runner.call_method1(intern!(py, "enter"), (&current,))?;
    }
    match stepped {
        Ok((task, waiting_for)) => {
            let work =
                runner.call_method1(intern!(py, "resume"), (awaitable, waiting_for, settle))?;
            task.get().become_real(runner, work.clone())?;
            Ok(work)
        }
        Err(error) if error.is_instance_of::<PyStopIteration>(py) => {
            settle.call1((error.value(py).getattr(intern!(py, "value"))?,))
        }
        Err(error) => settle.call1((py.None(), error.into_value(py))),
    }
}

/// Answers with what a Deferred or an awaitable becomes.
fn wait_for(
    py: Python<'_>,
    vat: &Arc<PyVat>,
    awaitable: &Bound<'_, PyAny>,
) -> PyResult<Reply<PyHost>> {
    let (promise, settle) = promise_and_settler(py, vat)?;
    let work = vat
        .home()
        .runner(py)?
        .call_method1(intern!(py, "wait_for"), (awaitable, settle))?;
    vat.on_cancel(py, &promise, Callback::Cancel(work.unbind()));
    Ok(Reply::Promise(promise))
}

/// A promise, and the function that settles it: called with a value, or with an exception as its
/// second argument.
fn promise_and_settler<'py>(
    py: Python<'py>,
    vat: &Arc<PyVat>,
) -> PyResult<(Py<Promise>, Bound<'py, Settler>)> {
    let promise = PyHost::new_promise(py, vat, Cell::pending());
    let settler = Settler {
        vat: Arc::clone(vat),
        promise: promise.clone_ref(py),
    };
    Ok((promise, Bound::new(py, settler)?))
}

/// Settles one promise.
#[pyclass(frozen)]
pub(crate) struct Settler {
    vat: Arc<PyVat>,
    promise: Py<Promise>,
}

#[pymethods]
impl Settler {
    // A Deferred that never fires may be part of a cycle with what waits for it.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.promise)
    }

    #[pyo3(signature = (value, error=None))]
    fn __call__(&self, py: Python<'_>, value: Bound<'_, PyAny>, error: Option<Bound<'_, PyAny>>) {
        let reply = match error {
            Some(error) => Reply::Failure(Failure::of(py, PyErr::from_value(error))),
            None => reply(py, &self.vat, value)
                .unwrap_or_else(|error| Reply::Failure(Failure::of(py, error))),
        };
        self.vat.resolve(py, self.promise.clone_ref(py), reply);
    }
}

/// Runs a callback of a promise that has settled.
pub(crate) fn call(py: Python<'_>, vat: &Arc<PyVat>, callback: Callback, outcome: Outcome<PyHost>) {
    match callback {
        Callback::Future(future) => {
            if let Err(error) = settle_future(future.bind(py), outcome) {
                log_exception(py, "cannot settle a future", &error);
            }
        }
        Callback::Cancel(work) => {
            let runner = vat.home().runner(py);
            if let Err(error) =
                runner.and_then(|it| it.call_method1(intern!(py, "cancel_work"), (&work,)))
            {
                log_exception(py, "cannot cancel what a method waits for", &error);
            }
        }
        Callback::Eventually {
            function,
            args,
            kwargs,
            result,
        } => {
            let returned = function
                .bind(py)
                .call(args.bind(py), kwargs.as_ref().map(|kwargs| kwargs.bind(py)));
            finish(py, vat, returned, result, function.bind(py));
        }
        Callback::Near {
            object,
            name,
            args,
            kwargs,
            result,
        } => {
            // Cancelled before its turn came.
            if result
                .as_ref()
                .is_some_and(|result| !result.get().cell().is_pending())
            {
                return;
            }
            let returned = method_of(object.bind(py), name.bind(py)).and_then(|method| {
                method.call(args.bind(py), kwargs.as_ref().map(|kwargs| kwargs.bind(py)))
            });
            finish(py, vat, returned, result, object.bind(py));
        }
        Callback::Then {
            on_value,
            on_failure,
            next,
        } => {
            let result = match (outcome, on_value, on_failure) {
                (Outcome::Fulfilled(value), Some(f), _) => f.bind(py).call1((value,)),
                (Outcome::Broken(failure), _, Some(f)) => f.bind(py).call1((failure.value(),)),
                (Outcome::Fulfilled(value), None, _) => Ok(value.into_bound(py)),
                (Outcome::Broken(failure), _, None) => Err(failure.raise(py)),
            };
            let reply = result
                .and_then(|result| reply(py, vat, result))
                .unwrap_or_else(|error| Reply::Failure(Failure::of(py, error)));
            vat.resolve(py, next, reply);
        }
    }
}

/// What a message sent to a near object reaches: the method that peers would reach, or the plain one.
fn method_of<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
) -> PyResult<Bound<'py, PyAny>> {
    if object.is_instance_of::<Referenceable>()
        && let Some(method) = object.getattr_opt(remote_name(object.py(), name.to_str()?))?
    {
        return Ok(method);
    }
    object.getattr(name)
}

/// Settles the promise for a result; a failure that nobody will see is reported.
fn finish(
    py: Python<'_>,
    vat: &Arc<PyVat>,
    returned: PyResult<Bound<'_, PyAny>>,
    result: Option<Py<Promise>>,
    of: &Bound<'_, PyAny>,
) {
    let reply = returned.and_then(|value| reply(py, vat, value));
    match (reply, result) {
        (reply, Some(result)) => {
            let reply = reply.unwrap_or_else(|error| Reply::Failure(Failure::of(py, error)));
            vat.resolve(py, result, reply);
        }
        (Err(error), None) => {
            log_exception(
                py,
                &format!("a turn of {of} failed, and nobody waits for it"),
                &error,
            );
        }
        (Ok(_), None) => {}
    }
}

/// What a value, a promise, a Deferred, a future or a coroutine becomes.
pub(crate) fn adopt(py: Python<'_>, vat: &Arc<PyVat>, value: Bound<'_, PyAny>) -> Reply<PyHost> {
    // Not stepped here: we may be in the middle of a task.
    let is_coroutine = coroutine_type(py).is_ok_and(|class| value.get_type().is(class));
    let reply = if is_coroutine {
        wait_for(py, vat, &value)
    } else {
        reply(py, vat, value)
    };
    reply.unwrap_or_else(|error| Reply::Failure(Failure::of(py, error)))
}

fn settle_future(future: &Bound<'_, PyAny>, outcome: Outcome<PyHost>) -> PyResult<()> {
    let py = future.py();
    // Whoever waited may have been cancelled.
    if future.call_method0(intern!(py, "done"))?.is_truthy()? {
        return Ok(());
    }
    match outcome {
        Outcome::Fulfilled(value) => {
            future.call_method1(intern!(py, "set_result"), (value,))?;
        }
        Outcome::Broken(failure) => {
            let mut error = failure.raise(py);
            // No future takes one: a coroutine that raised it would seem to return.
            if error.is_instance_of::<PyStopIteration>(py) {
                let raised = PyRuntimeError::new_err("a promise broke with StopIteration");
                raised.set_cause(py, Some(error));
                error = raised;
            }
            future.call_method1(intern!(py, "set_exception"), (error.into_value(py),))?;
        }
    }
    Ok(())
}
