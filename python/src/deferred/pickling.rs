//! Copies and pickles of Deferreds, as far as what they hold can be pickled.

use marotte::deferred::{Chain, Entry};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::host::PyHost;

use super::callback::{Callback, Canceller, keywords};
use super::class::{Deferred, outcome_of};

type Rung = (Option<Py<PyAny>>, Py<PyTuple>, Option<Py<PyDict>>);

/// What ``__reduce__`` returns: how to make another one, and its state.
pub(super) fn reduce<'py>(deferred: &Bound<'py, Deferred>) -> PyResult<Bound<'py, PyAny>> {
    let py = deferred.py();
    let make = py
        .import(intern!(py, "copyreg"))?
        .getattr(intern!(py, "__newobj__"))?;
    let parts = (make, (deferred.get_type(),), state(deferred)?);
    Ok(parts.into_pyobject(py)?.into_any())
}

fn state<'py>(deferred: &Bound<'py, Deferred>) -> PyResult<Bound<'py, PyDict>> {
    let py = deferred.py();
    let attributes = deferred.getattr(intern!(py, "__dict__"))?;
    let state = PyDict::new(py);
    state.set_item("attributes", attributes)?;
    let (called, paused, result, rungs, canceller) = {
        let inner = deferred.get().inner(py);
        let chain = &inner.chain;
        let result = match (chain.outcome(), chain.waiting_on()) {
            (Some(Ok(result) | Err(result)), _) => Some(result.clone_ref(py)),
            (None, Some(_)) => return Err(refused("it waits for another one")),
            (None, None) => None,
        };
        let rungs: PyResult<Vec<(Rung, Rung)>> =
            chain.entries().map(|entry| pair(py, entry)).collect();
        let canceller = match chain.canceller() {
            None => None,
            Some(Canceller::Python(canceller)) => Some(canceller.clone_ref(py)),
            Some(_) => return Err(refused("something waits that cannot be pickled")),
        };
        (chain.called(), chain.paused(), result, rungs?, canceller)
    };
    state.set_item("called", called)?;
    state.set_item("paused", paused)?;
    if let Some(result) = result {
        state.set_item("result", result)?;
    }
    state.set_item("callbacks", PyList::new(py, rungs)?)?;
    state.set_item("canceller", canceller)?;
    Ok(state)
}

fn refused(why: &str) -> PyErr {
    PyTypeError::new_err(format!("cannot pickle this Deferred: {why}"))
}

fn pair(py: Python<'_>, entry: &Entry<PyHost>) -> PyResult<(Rung, Rung)> {
    let nothing = || (None, PyTuple::empty(py).unbind(), None);
    Ok(match entry {
        Entry::Callback(callback) => (rung(py, callback)?, nothing()),
        Entry::Errback(errback) => (nothing(), rung(py, errback)?),
        Entry::Both(both) => (rung(py, both)?, rung(py, both)?),
        Entry::Pair(pair) => (rung(py, &pair.0)?, rung(py, &pair.1)?),
        Entry::Feed(_) => return Err(refused("another one waits for it")),
    })
}

fn rung(py: Python<'_>, callback: &Callback) -> PyResult<Rung> {
    let Callback::Call { function, extra } = callback else {
        return Err(refused("something waits for it that cannot be pickled"));
    };
    let (args, kwargs) = match extra {
        None => (PyTuple::empty(py).unbind(), None),
        Some(extra) => (
            extra.args.clone_ref(py),
            extra.kwargs.as_ref().map(|kwargs| kwargs.clone_ref(py)),
        ),
    };
    Ok((Some(function.clone_ref(py)), args, kwargs))
}

/// ``__setstate__``.
pub(super) fn restore(deferred: &Bound<'_, Deferred>, state: &Bound<'_, PyDict>) -> PyResult<()> {
    let py = deferred.py();
    let item = |name: &str| {
        state.get_item(name)?.ok_or_else(|| {
            PyTypeError::new_err(format!(
                "this is no state of a Deferred: it has no {name:?}"
            ))
        })
    };
    let mut chain = Chain::new(None);
    chain.set_called(item("called")?.extract()?);
    chain.set_paused(item("paused")?.extract()?);
    if let Some(result) = state.get_item("result")? {
        chain.replace(outcome_of(&result));
    }
    let canceller = item("canceller")?;
    if !canceller.is_none() {
        chain.set_canceller(Some(Canceller::Python(canceller.unbind())));
    }
    for rungs in item("callbacks")?.try_iter()? {
        let (callback, errback): (Bound<'_, PyAny>, Bound<'_, PyAny>) = rungs?.extract()?;
        let entry = match (callback_of(&callback)?, callback_of(&errback)?) {
            (Some(callback), Some(errback)) => Entry::Pair(Box::new((callback, errback))),
            (Some(callback), None) => Entry::Callback(callback),
            (None, Some(errback)) => Entry::Errback(errback),
            (None, None) => continue,
        };
        chain.push(entry);
    }
    let old = std::mem::replace(&mut deferred.get().inner(py).chain, chain);
    drop(old);
    deferred
        .getattr(intern!(py, "__dict__"))?
        .call_method1(intern!(py, "update"), (item("attributes")?,))
        .map(drop)
}

fn callback_of(rung: &Bound<'_, PyAny>) -> PyResult<Option<Callback>> {
    let (function, args, kwargs): (Bound<'_, PyAny>, Bound<'_, PyTuple>, Bound<'_, PyAny>) =
        rung.extract()?;
    if function.is_none() {
        return Ok(None);
    }
    let kwargs = if kwargs.is_none() {
        None
    } else {
        Some(keywords(&kwargs)?)
    };
    Ok(Some(Callback::new(function, &args, kwargs.as_ref())))
}
