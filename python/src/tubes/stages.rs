//! Native stages.

#![allow(non_snake_case, reason = "the names are Twisted's")]

use marotte::tube::framing::{
    Delimited, DelimitedWriter, FinalLine, LineWriter, Lines, NetstringWriter, Netstrings, Prefix,
    Prefixed, PrefixedWriter,
};
use marotte::tube::{Error, Flowing, Native, Squeezer, Utf8Decoder, Utf8Encoder};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyWeakrefMethods, PyWeakrefReference};

use crate::deferred::Guarded;
use crate::host::PyHost;

use super::json::{FromJson, ToJson};
use super::parts::{failure, parts};
use super::siphon::Siphon;

/// A tube of the extension. In a series it is taken into the siphon, and between it and others of its kind nothing
/// becomes a Python object.
#[pyclass(frozen, weakref, module = "marotte._core", name = "_NativeTube")]
pub(crate) struct NativeTube {
    stage: Guarded<Option<Box<dyn Native<PyHost>>>>,
    /// Where it is, once it is in a series.
    place: Guarded<Option<(Py<PyWeakrefReference>, usize)>>,
    /// It can undo what it keeps.
    undoes: bool,
    name: String,
    input_type: Py<PyAny>,
    output_type: Py<PyAny>,
}

#[pymethods]
impl NativeTube {
    /// ``kind`` says which; ``number``, ``data`` and ``flag`` are what that kind wants to know.
    #[new]
    #[pyo3(signature = (kind, inputType, outputType, *, name, number=0, data=None, flag=false, bits=0))]
    #[allow(
        clippy::too_many_arguments,
        reason = "they are keywords, of marotte.tubes.framing"
    )]
    fn new(
        py: Python<'_>,
        kind: &str,
        inputType: Py<PyAny>,
        outputType: Py<PyAny>,
        name: String,
        number: i64,
        data: Option<&[u8]>,
        flag: bool,
        bits: u8,
    ) -> PyResult<Self> {
        let most = usize::try_from(number).unwrap_or(0);
        let data = data.unwrap_or_default();
        let prefix = || match bits {
            8 => Ok(Prefix::Int8),
            16 => Ok(Prefix::Int16),
            32 => Ok(Prefix::Int32),
            other => Err(PyValueError::new_err(format!(
                "a length has 8, 16 or 32 bits, not {other}"
            ))),
        };
        let raise = |error: Error| -> PyErr { PyValueError::new_err(error.to_string()) };
        let last = if flag {
            FinalLine::Deliver
        } else {
            FinalLine::Error
        };
        let stage: Box<dyn Native<PyHost>> = match kind {
            "lines" => Box::new(Lines::new(most, last)),
            "toLines" => Box::new(LineWriter::new(if flag { b"\n" } else { b"\r\n" })),
            "delimited" => Box::new(Delimited::new(data, most).map_err(raise)?),
            "toDelimited" => Box::new(DelimitedWriter::new(data).map_err(raise)?),
            "netstrings" => Box::new(Netstrings::new(most)),
            "toNetstrings" => Box::new(NetstringWriter::new(most)),
            "prefixed" => Box::new(Prefixed::new(prefix()?, most)),
            "toPrefixed" => Box::new(PrefixedWriter::new(prefix()?, most)),
            "utf8" => Box::new(Utf8Decoder::default()),
            "toUtf8" => Box::new(Utf8Encoder::default()),
            "gzip" => Box::new(Squeezer::gzip(u32::try_from(number).unwrap_or(6))),
            "gunzip" => Box::new(Squeezer::gunzip()),
            "zstd" => Box::new(Squeezer::zstd(i32::try_from(number).unwrap_or(3)).map_err(raise)?),
            "unzstd" => Box::new(Squeezer::unzstd().map_err(raise)?),
            "json" => Box::new(FromJson::default()),
            "toJson" => Box::new(ToJson::default()),
            other => return Err(PyValueError::new_err(format!("no stage named {other:?}"))),
        };
        let _ = py;
        Ok(Self {
            stage: Guarded::new(Some(stage)),
            place: Guarded::new(None),
            undoes: matches!(
                kind,
                "lines"
                    | "delimited"
                    | "netstrings"
                    | "prefixed"
                    | "utf8"
                    | "toUtf8"
                    | "json"
                    | "toJson"
            ),
            name,
            input_type: inputType,
            output_type: outputType,
        })
    }

    #[getter]
    fn inputType(&self, py: Python<'_>) -> Py<PyAny> {
        self.input_type.clone_ref(py)
    }

    #[getter]
    fn outputType(&self, py: Python<'_>) -> Py<PyAny> {
        self.output_type.clone_ref(py)
    }

    /// Whether a flow through it can be diverted.
    #[getter]
    fn isDivertable(&self) -> bool {
        self.undoes
    }

    /// For use without a series: what it gives at the start.
    fn started<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.using(py, |stage| stage.started())
    }

    /// For use without a series: what it makes of an item.
    fn received<'py>(&self, py: Python<'py>, item: Py<PyAny>) -> PyResult<Bound<'py, PyList>> {
        self.using(py, |stage| stage.received(py, Flowing::Host(item)))
    }

    /// For use without a series: what it gives at the end.
    fn stopped<'py>(&self, py: Python<'py>, reason: Py<PyAny>) -> PyResult<Bound<'py, PyList>> {
        use marotte::tube::Host;
        let reason = PyHost::kind(py, &reason);
        self.using(py, |stage| stage.stopped(&reason))
    }

    /// What it would have to be given to make these outputs, and all that it keeps.
    fn reassemble<'py>(
        &self,
        py: Python<'py>,
        outputs: Vec<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let mut guard = self.stage.lock(py);
        let stage = guard.as_mut().ok_or_else(in_series)?;
        let outputs = outputs.into_iter().map(Flowing::Host).collect();
        let inputs = stage.reassemble(outputs, py);
        drop(guard);
        PyList::new(py, inputs.into_iter().map(|item| item.into_host(py)))
    }

    /// Sends the flow to ``drain`` from now on, instead of through this tube and what follows it in
    /// its series; first what this tube has not given yet, as it was received.
    ///
    /// Raises ``TypeError`` for a tube that cannot undo what it keeps, and ``RuntimeError`` if it is in no
    /// series, or has been diverted before.
    fn divert(&self, py: Python<'_>, drain: Py<PyAny>) -> PyResult<()> {
        if !self.undoes {
            return Err(PyTypeError::new_err(format!(
                "{} cannot be diverted: what it keeps cannot be undone",
                self.name
            )));
        }
        let place = self.place.lock(py).take().and_then(|(siphon, index)| {
            let siphon = siphon.bind(py).upgrade()?;
            Some((siphon, index))
        });
        let Some((siphon, index)) = place else {
            return Err(PyRuntimeError::new_err(
                "this tube is in no series, or has been diverted",
            ));
        };
        parts(py)?
            .divert
            .call1(py, (siphon, index, drain))
            .map(drop)
    }

    fn __repr__(&self) -> &str {
        &self.name
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.input_type)?;
        visit.call(&self.output_type)
    }
}

fn in_series() -> PyErr {
    PyRuntimeError::new_err(
        "this tube is in a series already: it keeps what is its own, so make one for each",
    )
}

impl NativeTube {
    /// Takes the stage out, to put it into a chain.
    pub(super) fn take(&self, py: Python<'_>) -> PyResult<Box<dyn Native<PyHost>>> {
        self.stage.lock(py).take().ok_or_else(in_series)
    }

    /// Notes where it has been put.
    pub(super) fn put(&self, siphon: &Bound<'_, Siphon>, index: usize) -> PyResult<()> {
        let reference = PyWeakrefReference::new(siphon)?.unbind();
        *self.place.lock(siphon.py()) = Some((reference, index));
        Ok(())
    }

    fn using<'py>(
        &self,
        py: Python<'py>,
        work: impl FnOnce(&mut dyn Native<PyHost>) -> Result<(), Error>,
    ) -> PyResult<Bound<'py, PyList>> {
        let mut stage = self.take(py)?;
        let mut outputs = Vec::new();
        let go = || -> Result<(), Error> {
            work(&mut *stage)?;
            loop {
                while let Some(item) = stage.next()? {
                    outputs.push(item.into_host(py));
                }
                if !stage.has_gathered() {
                    return Ok(());
                }
                stage.flush()?;
            }
        };
        let outcome = go();
        *self.stage.lock(py) = Some(stage);
        match outcome {
            Ok(()) => PyList::new(py, outputs),
            Err(error) => Err(PyErr::from_value(
                failure(py, &error).bind(py).getattr("value")?,
            )),
        }
    }
}
