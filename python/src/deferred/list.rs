//! `DeferredList` and `gatherResults`.

#![allow(non_snake_case, reason = "the names are Twisted's")]

use std::sync::{Mutex, MutexGuard, PoisonError};

use marotte::deferred::{self, Chain, Entry, Gather, Outcome, Returned, Rule, Verdict};
use pyo3::PyTypeInfo;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::host::PyHost;

use super::callback::{Callback, native, run_now};
use super::class::{Deferred, outcome_of};
use super::parts::{failure_of, parts};

/// Collects the results of several Deferreds.
#[pyclass(extends = Deferred, subclass, frozen, module = "marotte.defer")]
pub(crate) struct DeferredList {
    state: Mutex<State>,
}

struct State {
    gather: Gather<PyHost>,
    rule: Rule,
    inputs: Vec<Py<PyAny>>,
    /// `resultList`, once somebody has asked for it.
    list: Option<Py<PyList>>,
    /// The results are the values alone.
    values_only: bool,
}

impl Drop for State {
    /// Its inputs may be lists again, to any depth.
    fn drop(&mut self) {
        if !self.inputs.is_empty() {
            deferred::drop_flat(std::mem::take(&mut self.inputs));
        }
    }
}

impl DeferredList {
    fn empty() -> Self {
        Self {
            state: Mutex::new(State {
                gather: Gather::new(0, Rule::default()),
                rule: Rule::default(),
                inputs: Vec::new(),
                list: None,
                values_only: false,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gather(
        slf: &Bound<'_, Self>,
        inputs: &Bound<'_, PyAny>,
        rule: Rule,
        values_only: bool,
    ) -> PyResult<()> {
        let py = slf.py();
        let inputs: Vec<Bound<'_, PyAny>> = inputs.try_iter()?.collect::<PyResult<_>>()?;
        let state = State {
            gather: Gather::new(inputs.len(), rule),
            rule,
            values_only,
            inputs: inputs.iter().map(|input| input.clone().unbind()).collect(),
            list: None,
        };
        let done = state.gather.is_done();
        let old = std::mem::replace(&mut *slf.get().state(), state);
        drop(old);
        if done {
            Self::fire(slf, Ok(Self::all(slf)?.into_any().unbind()))?;
        }
        for (index, input) in inputs.into_iter().enumerate() {
            if let Some(deferred) = native(&input) {
                let arrive = Callback::Arrive(slf.clone().unbind(), index);
                deferred::add::<PyHost>(py, deferred.as_unbound(), Entry::Both(arrive));
            } else {
                let arrive = Bound::new(py, Arrive(slf.clone().unbind(), index))?;
                input.call_method1(intern!(py, "addCallbacks"), (&arrive, &arrive))?;
            }
        }
        Ok(())
    }

    /// An input has its result; returns what stays with the input.
    pub(super) fn arrived(
        slf: &Bound<'_, Self>,
        index: usize,
        outcome: Outcome<PyHost>,
    ) -> PyResult<Returned<PyHost>> {
        let py = slf.py();
        let (verdict, passes, list) = {
            let mut state = slf.get().state();
            let (verdict, passes) = state.gather.arrive(py, index, outcome);
            (
                verdict,
                passes,
                state.list.as_ref().map(|list| list.clone_ref(py)),
            )
        };
        if let Some(list) = list {
            // Somebody looks at the list while it fills.
            list.bind(py).set_item(index, Self::item(slf, index))?;
        }
        // Somebody may have fired it by hand.
        if matches!(verdict, Verdict::Wait) || slf.as_super().get().called(py) {
            return Ok(Returned::Outcome(passes));
        }
        let result = match verdict {
            Verdict::Wait => return Ok(Returned::Outcome(passes)),
            Verdict::Value(index, value) => {
                Ok((value, index).into_pyobject(py)?.into_any().unbind())
            }
            Verdict::Failure(index, failure) => {
                let parts = parts(py)?;
                let first = parts.first_error.bind(py).call1((failure, index))?;
                Err(parts.failure.bind(py).call1((first,))?.unbind())
            }
            Verdict::All => Ok(Self::all(slf)?.into_any().unbind()),
        };
        if slf.get_type().is(Self::type_object(py)) {
            return Deferred::fire_next(slf.as_super(), result, passes);
        }
        Self::fire(slf, result)?;
        Ok(Returned::Outcome(passes))
    }

    fn item(slf: &Bound<'_, Self>, index: usize) -> Option<(bool, Py<PyAny>)> {
        let py = slf.py();
        let state = slf.get().state();
        match state.gather.results().get(index)?.as_ref()? {
            Ok(value) => Some((true, value.clone_ref(py))),
            Err(failure) => Some((false, failure.clone_ref(py))),
        }
    }

    fn fire(slf: &Bound<'_, Self>, outcome: Outcome<PyHost>) -> PyResult<()> {
        let py = slf.py();
        if slf.get_type().is(Self::type_object(py)) {
            return Deferred::fire(slf.as_super(), outcome);
        }
        match outcome {
            Ok(value) => slf.call_method1(intern!(py, "callback"), (value,)),
            Err(failure) => slf.call_method1(intern!(py, "errback"), (failure,)),
        }
        .map(drop)
    }

    /// The list of results to fire with.
    fn all<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        let values: Vec<Py<PyAny>> = {
            let state = slf.get().state();
            if !state.values_only {
                drop(state);
                return Self::list(slf);
            }
            let results = state.gather.results().iter();
            results
                .map(|result| match result {
                    Some(Ok(result) | Err(result)) => result.clone_ref(py),
                    None => py.None(),
                })
                .collect()
        };
        PyList::new(py, values)
    }

    /// The one list of results: made when somebody looks, and kept up to date from then on.
    fn list<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        if let Some(list) = &slf.get().state().list {
            return Ok(list.bind(py).clone());
        }
        let list = Self::snapshot(slf)?;
        slf.get().state().list = Some(list.clone().unbind());
        Ok(list)
    }

    fn snapshot<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        let results: Vec<Option<(bool, Py<PyAny>)>> = {
            let state = slf.get().state();
            let results = state.gather.results().iter();
            results
                .map(|result| match result {
                    Some(Ok(value)) => Some((true, value.clone_ref(py))),
                    Some(Err(failure)) => Some((false, failure.clone_ref(py))),
                    None => None,
                })
                .collect()
        };
        PyList::new(py, results)
    }

    /// Cancels every input, unless it has fired.
    pub(super) fn cancel(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if slf.as_super().get().called(py) {
            return Ok(());
        }
        let inputs: Vec<Py<PyAny>> = {
            let state = slf.get().state();
            state
                .inputs
                .iter()
                .map(|input| input.clone_ref(py))
                .collect()
        };
        for input in inputs {
            if let Err(error) = input.bind(py).call_method0(intern!(py, "cancel")) {
                let kwargs = PyDict::new(py);
                kwargs.set_item("failure", failure_of(py, error, false)?)?;
                parts(py)?.logger.bind(py).call0()?.call_method(
                    "failure",
                    ("Exception raised from user supplied canceller",),
                    Some(&kwargs),
                )?;
            }
        }
        Ok(())
    }
}

#[pymethods]
impl DeferredList {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        PyClassInitializer::from(Deferred::around(Chain::new(None))).add_subclass(Self::empty())
    }

    #[pyo3(signature = (deferredList, fireOnOneCallback=false, fireOnOneErrback=false, consumeErrors=false))]
    fn __init__(
        slf: &Bound<'_, Self>,
        deferredList: &Bound<'_, PyAny>,
        fireOnOneCallback: bool,
        fireOnOneErrback: bool,
        consumeErrors: bool,
    ) -> PyResult<()> {
        Deferred::__init__(slf.as_super(), None)?;
        let rule = Rule {
            first_value: fireOnOneCallback,
            first_failure: fireOnOneErrback,
            consume_failures: consumeErrors,
        };
        Self::gather(slf, deferredList, rule, false)
    }

    #[pyo3(name = "cancel")]
    fn cancel_method(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::cancel(slf)
    }

    #[getter]
    fn fireOnOneCallback(&self) -> bool {
        self.state().rule.first_value
    }

    #[getter]
    fn fireOnOneErrback(&self) -> bool {
        self.state().rule.first_failure
    }

    #[getter]
    fn consumeErrors(&self) -> bool {
        self.state().rule.consume_failures
    }

    #[getter]
    fn finishedCount(&self) -> usize {
        self.state().gather.finished()
    }

    #[getter]
    fn resultList<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        Self::list(slf)
    }

    #[getter]
    fn _deferredList<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let inputs: Vec<Py<PyAny>> = {
            let state = self.state();
            state
                .inputs
                .iter()
                .map(|input| input.clone_ref(py))
                .collect()
        };
        PyList::new(py, inputs)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Ok(state) = self.state.try_lock() else {
            return Ok(());
        };
        visit.call(&state.list)?;
        for input in &state.inputs {
            visit.call(input)?;
        }
        for result in state.gather.results().iter().flatten() {
            let (Ok(result) | Err(result)) = result;
            visit.call(result)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        let empty = Self::empty().state.into_inner();
        let empty = empty.unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *self.state(), empty);
        drop(old);
    }
}

/// A callback and errback for inputs that are not exactly Deferreds.
#[pyclass(frozen)]
struct Arrive(Py<DeferredList>, usize);

#[pymethods]
impl Arrive {
    fn __call__(&self, result: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let list = self.0.bind(result.py());
        run_now(
            result.py(),
            DeferredList::arrived(list, self.1, outcome_of(result))?,
        )
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}

/// A Deferred for the list of all the values; it fails with the first failure.
#[pyfunction(name = "gatherResults")]
#[pyo3(signature = (deferredList, consumeErrors=false))]
pub(crate) fn gather_results<'py>(
    deferredList: &Bound<'py, PyAny>,
    consumeErrors: bool,
) -> PyResult<Bound<'py, DeferredList>> {
    let py = deferredList.py();
    let list = Bound::new(
        py,
        PyClassInitializer::from(Deferred::around(Chain::new(None)))
            .add_subclass(DeferredList::empty()),
    )?;
    let rule = Rule {
        first_value: false,
        first_failure: true,
        consume_failures: consumeErrors,
    };
    DeferredList::gather(&list, deferredList, rule, true)?;
    Ok(list)
}
