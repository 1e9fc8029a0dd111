//! Functions that make Deferreds.

#![allow(non_snake_case, reason = "the names are Twisted's")]

use marotte::deferred::Chain;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::class::{Deferred, outcome_of};
use super::debug::debugs_all;
use super::driver;
use super::parts::{Kind, failure_of, kind_of, parts};

/// A Deferred that has fired already, with a result.
#[pyfunction]
pub(crate) fn succeed<'py>(result: Bound<'py, PyAny>) -> PyResult<Bound<'py, Deferred>> {
    let py = result.py();
    match outcome_of(&result) {
        Ok(value) => Deferred::create(py, Chain::fired(Ok(value))),
        Err(failure) => failed(py, failure),
    }
}

/// A Deferred that has failed already.
#[pyfunction]
#[pyo3(signature = (result=None))]
pub(crate) fn fail<'py>(
    py: Python<'py>,
    result: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, Deferred>> {
    let deferred = Deferred::create(py, Chain::new(None))?;
    Deferred::errback(&deferred, result)?;
    Ok(deferred)
}

fn failed(py: Python<'_>, failure: Py<PyAny>) -> PyResult<Bound<'_, Deferred>> {
    let deferred = Deferred::create(py, Chain::new(None))?;
    Deferred::fire(&deferred, Err(failure))?;
    Ok(deferred)
}

/// Calls a function; its result, or what it raises, is that of a Deferred. One that it returns is
/// a result like any other.
#[pyfunction]
#[pyo3(signature = (callable, *args, **kwargs))]
pub(crate) fn execute<'py>(
    callable: Bound<'py, PyAny>,
    args: Bound<'py, PyTuple>,
    kwargs: Option<Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, Deferred>> {
    let py = callable.py();
    match callable.call(args, kwargs.as_ref()) {
        Ok(result) => succeed(result),
        Err(error) => failed(py, failure_of(py, error, false)?),
    }
}

/// Calls a function that may or may not be asynchronous; returns a Deferred for its result.
#[pyfunction(name = "maybeDeferred")]
#[pyo3(signature = (f, *args, **kwargs))]
pub(crate) fn maybe_deferred<'py>(
    f: Bound<'py, PyAny>,
    args: Bound<'py, PyTuple>,
    kwargs: Option<Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = f.py();
    let result = match f.call(args, kwargs.as_ref()) {
        Ok(result) => result,
        Err(error) => return Ok(failed(py, failure_of(py, error, debugs_all())?)?.into_any()),
    };
    match kind_of(&result) {
        Kind::Deferred(_) | Kind::Foreign => Ok(result),
        Kind::Failure => Ok(failed(py, result.unbind())?.into_any()),
        Kind::Value if result.get_type().is(parts(py)?.coroutine.bind(py)) => {
            driver::from_coroutine(result)
        }
        Kind::Value => Ok(Deferred::create(py, Chain::fired(Ok(result.unbind())))?.into_any()),
    }
}
