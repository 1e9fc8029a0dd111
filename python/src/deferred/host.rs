//! `impl deferred::Host` for Python.

use marotte::deferred::{self, Chain, Outcome, Returned};
use pyo3::PyTypeInfo;
use pyo3::intern;
use pyo3::prelude::*;

use crate::errors::log_exception;
use crate::host::PyHost;

use super::callback::{self, Callback};
use super::class::Deferred;
use super::list::DeferredList;
use super::parts::{is_plain, parts};

impl deferred::Host for PyHost {
    type Cx<'a> = Python<'a>;
    type Value = Py<PyAny>;
    type Failure = Py<PyAny>;
    type Callback = Callback;
    type Canceller = callback::Canceller;
    type Raised = PyErr;
    type Link = Py<Deferred>;
    // A strong one: the collector sees both ends.
    type BackLink = Py<Deferred>;

    #[inline]
    fn unit(py: Python<'_>) -> Py<PyAny> {
        py.None()
    }

    #[inline]
    fn split(py: Python<'_>, outcome: Outcome<Self>) -> (Outcome<Self>, Outcome<Self>) {
        match outcome {
            Ok(value) => (Ok(value.clone_ref(py)), Ok(value)),
            Err(failure) => (Err(failure.clone_ref(py)), Err(failure)),
        }
    }

    fn dup(py: Python<'_>, link: &Py<Deferred>) -> Py<Deferred> {
        link.clone_ref(py)
    }

    fn dup_canceller(py: Python<'_>, canceller: &callback::Canceller) -> callback::Canceller {
        canceller.clone_ref(py)
    }

    fn is_same(one: &Py<Deferred>, other: &Py<Deferred>) -> bool {
        one.is(other)
    }

    fn back(py: Python<'_>, link: &Py<Deferred>) -> Py<Deferred> {
        link.clone_ref(py)
    }

    fn forth(py: Python<'_>, back: &Py<Deferred>) -> Option<Py<Deferred>> {
        Some(back.clone_ref(py))
    }

    #[inline(always)]
    fn with<R>(py: Python<'_>, link: &Py<Deferred>, f: impl FnOnce(&mut Chain<Self>) -> R) -> R {
        f(&mut link.get().inner(py).chain)
    }

    #[inline(always)]
    fn call(
        py: Python<'_>,
        link: &Py<Deferred>,
        callback: Callback,
        outcome: Outcome<Self>,
    ) -> Returned<Self> {
        callback::call(py, link, callback, outcome)
    }

    fn call_canceller(
        py: Python<'_>,
        link: &Py<Deferred>,
        canceller: &callback::Canceller,
    ) -> PyResult<()> {
        canceller.call(py, link)
    }

    fn fire_cancelled(py: Python<'_>, link: &Py<Deferred>) -> PyResult<()> {
        let parts = parts(py)?;
        let failure = parts
            .failure
            .bind(py)
            .call1((parts.cancelled.bind(py).call0()?,))?;
        let link = link.bind(py);
        if link.get_type().is(Deferred::type_object(py)) {
            Deferred::fire(link, Err(failure.unbind()))
        } else {
            link.call_method1(intern!(py, "errback"), (failure,))
                .map(drop)
        }
    }

    fn cancel_foreign(py: Python<'_>, link: &Py<Deferred>) -> PyResult<bool> {
        let link = link.bind(py);
        if link.get_type().is(Deferred::type_object(py)) {
            return Ok(false);
        }
        if let Ok(list) = link.cast_exact::<DeferredList>() {
            DeferredList::cancel(list)?;
        } else {
            link.call_method0(intern!(py, "cancel"))?;
        }
        Ok(true)
    }

    fn already_called(py: Python<'_>, link: &Py<Deferred>) -> Py<PyAny> {
        let link = link.bind(py);
        let error = Deferred::already_called(link).unwrap_or_else(|error| error);
        callback::failure(py, error, Deferred::debugs(link))
    }

    fn is_shallow(outcome: &Outcome<Self>) -> bool {
        matches!(outcome, Ok(value) if is_plain(value))
    }

    fn failure_rests(py: Python<'_>, link: &Py<Deferred>, rests: bool) {
        if let Err(error) = Deferred::note_failure(link.bind(py), rests) {
            log_exception(py, "cannot note that a failure is not handled", &error);
        }
    }
}
