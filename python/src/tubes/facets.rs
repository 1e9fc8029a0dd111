//! The two faces of a siphon: its drain and its fount.

#![allow(non_snake_case, reason = "the names are Twisted's")]

use marotte::tube::{self, Downstream, Flowing, Upstream};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::host::PyHost;
use crate::promise::Promise;
use crate::reference::RemoteReference;

use super::host::Drain;
use super::parts::{exiting, parts, type_of};
use super::pauser::Pause;
use super::siphon::Siphon;

/// The drain of a siphon: what flows in is given to it.
#[pyclass(
    frozen,
    subclass,
    weakref,
    module = "marotte._core",
    name = "_SiphonDrain"
)]
pub(crate) struct SiphonDrain {
    /// Never `None`, but for a moment: an object of a subclass gets its dictionary before its contents, and that may
    /// run the collector, which then finds zeros.
    siphon: Option<Py<Siphon>>,
}

/// The fount of a siphon: what comes out is taken from it.
#[pyclass(frozen, weakref, module = "marotte._core", name = "_SiphonFount")]
pub(crate) struct SiphonFount {
    siphon: Py<Siphon>,
}

#[pymethods]
impl SiphonDrain {
    /// The drain of that siphon; of a subclass, if the siphon's has not been asked for yet.
    #[new]
    #[classmethod]
    fn new(_class: &Bound<'_, PyType>, siphon: Py<Siphon>) -> Self {
        Self {
            siphon: Some(siphon),
        }
    }

    /// Makes this object the one that the siphon shows as its drain.
    fn adopt(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().siphon()?.get().adopt(py, slf.clone().unbind()) {
            return Ok(());
        }
        Err(PyTypeError::new_err("the siphon has a drain"))
    }

    /// The siphon.
    #[getter]
    fn _siphon(&self, py: Python<'_>) -> PyResult<Py<Siphon>> {
        Ok(self.siphon()?.clone_ref(py))
    }

    /// What it takes; None if anything.
    #[getter]
    fn inputType<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.siphon()?.get().input_type(py)
    }

    /// The fount that flows to it, or None.
    #[getter]
    fn fount(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        upstream_of(py, self.siphon()?)
    }

    /// A fount flows to this drain now, or none does. Returns the fount at the end of what it flows
    /// through. Raises ``TypeError`` if the types do not fit.
    #[pyo3(signature = (fount))]
    fn flowingFrom(
        slf: &Bound<'_, Self>,
        fount: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        let this = slf.get();
        if let Some(fount) = &fount {
            check(fount, slf.as_any())?;
        }
        let old = upstream_of(py, this.siphon()?)?;
        if let Some(old) = old.map(|old| old.into_bound(py))
            && !fount.as_ref().is_some_and(|fount| fount.is(&old))
        {
            // Let go of by the one that it flowed to, it need not be told twice.
            if old
                .getattr_opt(intern!(py, "drain"))?
                .is_some_and(|drain| drain.is(slf))
            {
                tube::flowing_from::<PyHost>(py, this.siphon()?, None);
                old.call_method1(intern!(py, "flowTo"), (py.None(),))?;
            }
        }
        let upstream = fount
            .as_ref()
            .map(|fount| match fount.cast::<SiphonFount>() {
                Ok(ours) => Upstream::Siphon(ours.get().siphon.clone_ref(py)),
                Err(_) => Upstream::Foreign(fount.clone().unbind()),
            });
        tube::flowing_from::<PyHost>(py, this.siphon()?, upstream);
        exiting()?;
        last_fount(py, this.siphon()?.clone_ref(py))
    }

    /// Takes an item. When it returns, all that can go on has gone on.
    #[inline]
    fn receive(&self, py: Python<'_>, item: Py<PyAny>) -> PyResult<()> {
        tube::receive::<PyHost>(py, self.siphon()?, Flowing::Host(item));
        exiting()
    }

    /// The fount has stopped.
    fn flowStopped(&self, py: Python<'_>, reason: Py<PyAny>) -> PyResult<()> {
        tube::flow_stopped::<PyHost>(py, self.siphon()?, reason);
        exiting()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<Drain for {}>", self.siphon()?.get().what(py)?))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.siphon)
    }
}

impl SiphonDrain {
    pub(super) fn create(siphon: &Bound<'_, Siphon>) -> PyResult<Py<Self>> {
        Py::new(
            siphon.py(),
            Self {
                siphon: Some(siphon.clone().unbind()),
            },
        )
    }

    #[inline]
    fn siphon(&self) -> PyResult<&Py<Siphon>> {
        self.siphon
            .as_ref()
            .ok_or_else(|| PyTypeError::new_err("the drain has not been made"))
    }
}

#[pymethods]
impl SiphonFount {
    /// The siphon.
    #[getter]
    fn _siphon(&self, py: Python<'_>) -> Py<Siphon> {
        self.siphon.clone_ref(py)
    }

    /// What it gives; None if anything.
    #[getter]
    fn outputType<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.siphon.get().output_type(py)
    }

    /// The drain that it flows to, or None.
    #[getter]
    fn drain(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        downstream_of(py, &self.siphon)
    }

    /// Flows to a drain, or to none. Returns the fount at the end of what the drain flows through,
    /// or None if it is the last. Raises ``TypeError`` if the types do not fit.
    #[pyo3(signature = (drain))]
    fn flowTo(
        slf: &Bound<'_, Self>,
        drain: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        let siphon = &slf.get().siphon;
        let old = downstream_of(py, siphon)?;
        let Some(drain) = drain else {
            tube::flow_to::<PyHost>(py, siphon, None);
            leave(slf, old)?;
            tube::flush::<PyHost>(py, siphon);
            return Ok(None);
        };
        // It has nothing more to say.
        if siphon.get().state(py).has_told() {
            return Ok(None);
        }
        let drain = if is_reference(&drain) {
            parts(py)?.drain_of.bind(py).call1((drain,))?
        } else {
            drain
        };
        // Before anything is changed.
        check(slf.as_any(), &drain)?;
        let downstream: Downstream<PyHost> = match drain.cast::<SiphonDrain>() {
            Ok(ours) => Downstream::Siphon(ours.get().siphon()?.clone_ref(py)),
            Err(_) => Downstream::Foreign(Drain::new(&drain)?),
        };
        if matches!(&downstream, Downstream::Siphon(below) if below.is(siphon)) {
            return Err(PyValueError::new_err("a fount cannot flow to itself"));
        }
        // Nothing is delivered before the drain knows where from.
        let frozen = Frozen::new(py, siphon);
        tube::flow_to::<PyHost>(py, siphon, Some(downstream));
        if old.as_ref().is_some_and(|old| !old.is(&drain)) {
            leave(slf, old)?;
            // The old one, or whatever was held back by it, may have sent the flow elsewhere.
            if !downstream_of(py, siphon)?.is_some_and(|now| now.is(&drain)) {
                return Ok(None);
            }
        }
        let next = drain.call_method1(intern!(py, "flowingFrom"), (slf,));
        let next = match next {
            Ok(next) => next,
            Err(error) => {
                tube::flow_to::<PyHost>(py, siphon, None);
                return Err(error);
            }
        };
        drop(frozen);
        exiting()?;
        Ok((!next.is_none()).then(|| next.unbind()))
    }

    /// Holds the flow back until ``unpause`` of what it returns is called.
    fn pauseFlow(&self, py: Python<'_>) -> Pause {
        tube::pause_flow::<PyHost>(py, &self.siphon);
        Pause::of_siphon(self.siphon.clone_ref(py))
    }

    /// Stops the flow. What waits is dropped; the drain is told when the source has stopped.
    fn stopFlow(&self, py: Python<'_>) -> PyResult<()> {
        tube::stop_flow::<PyHost>(py, &self.siphon);
        exiting()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<Fount for {}>", self.siphon.get().what(py)?))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.siphon)
    }
}

impl SiphonFount {
    pub(super) fn create(siphon: &Bound<'_, Siphon>) -> PyResult<Py<Self>> {
        Py::new(
            siphon.py(),
            Self {
                siphon: siphon.clone().unbind(),
            },
        )
    }
}

/// Keeps a siphon from delivering until it is dropped.
struct Frozen<'a, 'py>(Python<'py>, &'a Py<Siphon>);

impl<'a, 'py> Frozen<'a, 'py> {
    fn new(py: Python<'py>, siphon: &'a Py<Siphon>) -> Self {
        tube::freeze::<PyHost>(py, siphon);
        Self(py, siphon)
    }
}

impl Drop for Frozen<'_, '_> {
    fn drop(&mut self) {
        tube::thaw::<PyHost>(self.0, self.1);
    }
}

/// Whether something stands for a drain elsewhere.
fn is_reference(drain: &Bound<'_, PyAny>) -> bool {
    drain.is_exact_instance_of::<RemoteReference>() || drain.is_exact_instance_of::<Promise>()
}

/// Tells a drain that this fount flows to it no more.
fn leave(fount: &Bound<'_, SiphonFount>, old: Option<Py<PyAny>>) -> PyResult<()> {
    let py = fount.py();
    let Some(old) = old.map(|old| old.into_bound(py)) else {
        return Ok(());
    };
    if old
        .getattr_opt(intern!(py, "fount"))?
        .is_some_and(|its| its.is(fount))
    {
        old.call_method1(intern!(py, "flowingFrom"), (py.None(),))?;
    }
    Ok(())
}

/// Raises ``TypeError`` unless what the fount gives is what the drain takes.
fn check(fount: &Bound<'_, PyAny>, drain: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = fount.py();
    let output = type_of(fount, true)?;
    if output.is_none() {
        return Ok(());
    }
    let input = type_of(drain, false)?;
    if input.is_none() {
        return Ok(());
    }
    parts(py)?
        .check_types
        .bind(py)
        .call1((fount, output, drain, input))
        .map(drop)
}

fn upstream_of(py: Python<'_>, siphon: &Py<Siphon>) -> PyResult<Option<Py<PyAny>>> {
    let above = match siphon.get().state(py).upstream() {
        Some(Upstream::Siphon(node)) => node.clone_ref(py),
        Some(Upstream::Foreign(fount)) => return Ok(Some(fount.clone_ref(py))),
        Some(Upstream::Hub(..)) | None => return Ok(None),
    };
    Ok(Some(Siphon::fount(above.bind(py))?.into_any()))
}

fn downstream_of(py: Python<'_>, siphon: &Py<Siphon>) -> PyResult<Option<Py<PyAny>>> {
    let below = match siphon.get().state(py).downstream() {
        Some(Downstream::Siphon(node)) => node.clone_ref(py),
        Some(Downstream::Foreign(drain)) => return Ok(Some(drain.object.clone_ref(py))),
        Some(Downstream::Hub(..)) | None => return Ok(None),
    };
    Ok(Some(Siphon::drain(below.bind(py))?.into_any()))
}

/// The fount at the end of what a siphon flows through.
fn last_fount(py: Python<'_>, mut siphon: Py<Siphon>) -> PyResult<Option<Py<PyAny>>> {
    let first = siphon.clone_ref(py);
    loop {
        let below = match siphon.get().state(py).downstream() {
            None => None,
            Some(Downstream::Siphon(node)) => Some(node.clone_ref(py)),
            Some(Downstream::Hub(..)) => break,
            Some(Downstream::Foreign(drain)) => {
                let drain = drain.object.clone_ref(py);
                let fount = Siphon::fount(siphon.bind(py))?;
                // It may have more to say than that it flows from here.
                let next = drain.call_method1(py, intern!(py, "flowingFrom"), (fount,))?;
                return Ok((!next.is_none(py)).then_some(next));
            }
        };
        match below {
            None => return Ok(Some(Siphon::fount(siphon.bind(py))?.into_any())),
            Some(below) if below.is(&first) => {
                return Err(PyValueError::new_err(
                    "the flow leads back to where it comes from",
                ));
            }
            Some(below) => siphon = below,
        }
    }
    match siphon.get().next(py) {
        None => Ok(None),
        Some(next) => match next.bind(py).cast::<Siphon>() {
            Ok(next) => last_fount(py, next.clone().unbind()),
            Err(_) => Ok(Some(next)),
        },
    }
}
