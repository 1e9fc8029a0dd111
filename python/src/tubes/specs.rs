//! Stages that need nothing but a function and numbers: what is put into a series to have them made.

#![allow(non_snake_case, reason = "the names are Twisted's")]

use std::time::Duration;

use marotte::tube::{Keeper, Stage, Wait};
use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::host::PyHost;

use super::host::Tube;

/// A stage of a series. Each series that it is put into makes its own.
#[pyclass(frozen, weakref, module = "marotte._core", name = "_StageTube")]
pub(crate) struct StageTube {
    kind: Kind,
    function: Option<Py<PyAny>>,
    count: usize,
    seconds: Option<Duration>,
    ordered: bool,
    name: String,
    input_type: Option<Py<PyAny>>,
    output_type: Option<Py<PyAny>>,
}

enum Kind {
    Map,
    Batch,
    Throttle,
    Timeout,
    Confirming,
}

#[pymethods]
impl StageTube {
    #[new]
    #[pyo3(signature = (kind, *, name, function=None, count=1, seconds=None, ordered=true, inputType=None, outputType=None))]
    #[allow(
        clippy::too_many_arguments,
        reason = "they are keywords, of marotte.tubes.stages"
    )]
    fn new(
        kind: &str,
        name: String,
        function: Option<Py<PyAny>>,
        count: usize,
        seconds: Option<f64>,
        ordered: bool,
        inputType: Option<Py<PyAny>>,
        outputType: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let kind = match kind {
            "map" => Kind::Map,
            "batch" => Kind::Batch,
            "throttle" => Kind::Throttle,
            "timeout" => Kind::Timeout,
            "confirming" => Kind::Confirming,
            other => return Err(PyValueError::new_err(format!("no stage named {other:?}"))),
        };
        if count == 0 {
            return Err(PyValueError::new_err(format!(
                "{name} needs a number of items of at least 1"
            )));
        }
        let seconds = seconds.map(Duration::try_from_secs_f64).transpose();
        Ok(Self {
            kind,
            function,
            count,
            seconds: seconds.map_err(|error| {
                PyValueError::new_err(format!("{name} needs a time in seconds: {error}"))
            })?,
            ordered,
            name,
            input_type: inputType,
            output_type: outputType,
        })
    }

    #[getter]
    fn inputType(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.input_type.as_ref().map(|kind| kind.clone_ref(py))
    }

    #[getter]
    fn outputType(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.output_type.as_ref().map(|kind| kind.clone_ref(py))
    }

    fn __repr__(&self) -> &str {
        &self.name
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.function)?;
        visit.call(&self.input_type)?;
        visit.call(&self.output_type)
    }
}

impl StageTube {
    /// Makes the stage.
    pub(super) fn stage(&self, py: Python<'_>) -> Stage<PyHost> {
        let function = || {
            let function = self.function.as_ref();
            Tube::function(function.map_or_else(|| py.None(), |function| function.clone_ref(py)))
        };
        let seconds = self.seconds.unwrap_or_default();
        match self.kind {
            Kind::Map => Stage::jobs(function(), self.count, self.ordered),
            Kind::Batch => {
                let wait = match self.seconds {
                    None => Wait::Full,
                    Some(Duration::ZERO) => Wait::Never,
                    Some(seconds) => Wait::For(seconds),
                };
                Stage::Keeper(Keeper::batch(self.count, wait))
            }
            Kind::Throttle => Stage::Keeper(Keeper::throttle(self.count, seconds)),
            Kind::Timeout => Stage::Keeper(Keeper::timeout(seconds)),
            Kind::Confirming => Stage::Keeper(Keeper::confirming(function())),
        }
    }
}
