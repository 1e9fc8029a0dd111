//! A siphon: tubes in a row, between a fount and a drain.

#![allow(non_snake_case, reason = "the names are Twisted's")]

use marotte::tube::{self, Chain, Downstream, Flowing, Hold, Inbox, Overflow, Stage, Upstream};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::deferred::{Guard, Guarded};
use crate::host::PyHost;

use super::facets::{SiphonDrain, SiphonFount};
use super::host::Tube;
use super::parts::{exiting, type_of};
use super::specs::StageTube;
use super::stages::NativeTube;

/// A siphon; see `marotte.tubes.tube.series`. What flows into it is given to its drain, what comes out of it
/// is taken from its fount.
#[pyclass(frozen, weakref, module = "marotte._core", name = "_Siphon")]
pub(crate) struct Siphon {
    state: Guarded<tube::Siphon<PyHost>>,
    tubes: Py<PyTuple>,
    facets: Guarded<Facets>,
    more: Guarded<More>,
}

/// Its two faces, made when they are asked for.
#[derive(Default)]
struct Facets {
    drain: Option<Py<SiphonDrain>>,
    fount: Option<Py<SiphonFount>>,
}

type Values = Vec<Py<PyAny>>;

/// What is seldom asked for.
#[derive(Default)]
struct More {
    merge: Option<Py<PyAny>>,
    /// What `flowingFrom` returns if the siphon flows into a hub.
    next: Option<Py<PyAny>>,
    input_type: Option<Py<PyAny>>,
    output_type: Option<Py<PyAny>>,
    name: Option<Py<PyAny>>,
}

#[pymethods]
impl Siphon {
    /// ``tubes`` are tubes; with none, what flows in flows out. ``capacity`` items may wait before
    /// it, and ``overflow`` says what is done with more: ``"pause"`` the fount, ``"drop"`` it,
    /// ``"dropOldest"``, ``"stop"`` the flow, or call ``merge(newest, item)``.
    #[new]
    #[pyo3(signature = (*tubes, capacity=0, overflow="pause", merge=None, waitsForDrain=false))]
    fn new(
        py: Python<'_>,
        tubes: Bound<'_, PyTuple>,
        capacity: usize,
        overflow: &str,
        merge: Option<Py<PyAny>>,
        waitsForDrain: bool,
    ) -> PyResult<Self> {
        let overflow = match overflow {
            "pause" => Overflow::Pause,
            "drop" => Overflow::Drop,
            "dropOldest" => Overflow::DropOldest,
            "stop" => Overflow::Stop,
            "merge" => Overflow::Merge,
            other => {
                return Err(PyValueError::new_err(format!(
                    "no policy named {other:?}; there are 'pause', 'drop', 'dropOldest', 'stop' \
                     and 'merge'"
                )));
            }
        };
        let mut stages = Vec::with_capacity(tubes.len());
        for tube in &tubes {
            stages.push(match tube.cast::<NativeTube>() {
                Ok(native) => Stage::Native(native.get().take(py)?),
                Err(_) => match tube.cast::<StageTube>() {
                    Ok(spec) => spec.get().stage(py),
                    Err(_) => Stage::host(Tube::new(&tube)?),
                },
            });
        }
        let mut siphon = tube::Siphon::new(Chain::new(stages), Inbox::new(capacity, overflow));
        if waitsForDrain {
            siphon = siphon.waiting_for_drain();
        }
        Ok(Self {
            state: Guarded::new(siphon),
            tubes: tubes.unbind(),
            facets: Guarded::new(Facets::default()),
            more: Guarded::new(More {
                merge,
                ..More::default()
            }),
        })
    }

    /// Tells the native tubes where they are.
    fn settle(slf: &Bound<'_, Self>) -> PyResult<()> {
        for (index, tube) in slf.get().tubes.bind(slf.py()).iter().enumerate() {
            if let Ok(native) = tube.cast::<NativeTube>() {
                native.get().put(slf, index)?;
            }
        }
        Ok(())
    }

    /// What flows in is given to it.
    #[getter]
    fn _tdrain(slf: &Bound<'_, Self>) -> PyResult<Py<SiphonDrain>> {
        Self::drain(slf)
    }

    /// What comes out is taken from it.
    #[getter]
    fn _tfount(slf: &Bound<'_, Self>) -> PyResult<Py<SiphonFount>> {
        Self::fount(slf)
    }

    /// The tubes.
    #[getter]
    fn tubes(&self, py: Python<'_>) -> Py<PyTuple> {
        self.tubes.clone_ref(py)
    }

    /// Makes what the first tube gives when it is started all there is, and ``end`` the reason after it.
    fn beSource(&self, py: Python<'_>, end: Py<PyAny>) {
        self.state(py).be_source(end);
    }

    /// Looks at it again.
    fn wake(slf: &Bound<'_, Self>) -> PyResult<()> {
        tube::wake::<PyHost>(slf.py(), slf.as_unbound());
        exiting()
    }

    /// How many items wait before it.
    fn waiting(&self, py: Python<'_>) -> usize {
        self.state(py).inbox().len()
    }

    /// How many items were dropped for want of room.
    fn dropped(&self, py: Python<'_>) -> u64 {
        self.state(py).inbox().dropped()
    }

    /// Whether those below hold a pause.
    fn isPaused(&self, py: Python<'_>) -> bool {
        self.state(py).is_paused()
    }

    /// Whether the flow through it is over.
    fn isOver(&self, py: Python<'_>) -> bool {
        self.state(py).is_over()
    }

    /// Takes out all that has not gone on: outputs that nobody has taken, inputs that the tube
    /// has not seen, and the reason of the end if that has come.
    fn eject(slf: &Bound<'_, Self>) -> PyResult<(Values, Values, Option<Py<PyAny>>)> {
        let py = slf.py();
        match tube::eject::<PyHost>(py, slf.as_unbound()) {
            Ok(ejected) => Ok((ejected.outputs, ejected.inputs, ejected.ended)),
            Err(reason) => {
                let failure = reason.bind(py);
                Err(PyErr::from_value(failure.getattr("value")?))
            }
        }
    }

    /// Takes a native stage and all below it out; returns what that would have to be given again, and the
    /// reason of the end if that has come.
    /// Raises ``RuntimeError`` while the stages are at work.
    fn split(slf: &Bound<'_, Self>, index: usize) -> PyResult<(Values, Option<Py<PyAny>>)> {
        let taken = tube::split::<PyHost>(slf.py(), slf.as_unbound(), index).ok_or_else(|| {
            PyRuntimeError::new_err("a flow cannot be diverted by what is at work in it")
        })?;
        Ok((taken.inputs, taken.ended))
    }

    /// Says what its drain takes and its fount gives, if no tube does, what it is called, and what follows
    /// it.
    #[pyo3(signature = (*, inputType=None, outputType=None, name=None, next=None))]
    fn describe(
        &self,
        py: Python<'_>,
        inputType: Option<Py<PyAny>>,
        outputType: Option<Py<PyAny>>,
        name: Option<Py<PyAny>>,
        next: Option<Py<PyAny>>,
    ) {
        let old = {
            let mut more = self.more.lock(py);
            let merge = more.merge.take();
            let old = std::mem::take(&mut *more);
            *more = More {
                merge,
                input_type: inputType.or_else(|| dup(py, &old.input_type)),
                output_type: outputType.or_else(|| dup(py, &old.output_type)),
                name: name.or_else(|| dup(py, &old.name)),
                next: next.or_else(|| dup(py, &old.next)),
            };
            old
        };
        drop(old);
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<_Siphon for {}>", self.what(py)?))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.tubes)?;
        if let Some(facets) = self.facets.lock_for_collector() {
            visit.call(&facets.drain)?;
            visit.call(&facets.fount)?;
        }
        if let Some(more) = self.more.lock_for_collector() {
            visit.call(&more.merge)?;
            visit.call(&more.next)?;
            visit.call(&more.input_type)?;
            visit.call(&more.output_type)?;
            visit.call(&more.name)?;
        }
        let Some(state) = self.state.lock_for_collector() else {
            return Ok(());
        };
        let value = |item: &Flowing<PyHost>| visit_item(&visit, item);
        state
            .inbox()
            .iter()
            .chain(state.ready())
            .try_for_each(value)?;
        if let Some(chain) = state.chain() {
            for stage in chain.stages() {
                stage.visit(
                    |tube| tube.traverse(&visit),
                    |outputs| outputs.traverse(&visit),
                    |value| visit.call(value),
                )?;
            }
        }
        match state.upstream() {
            Some(Upstream::Siphon(node)) => visit.call(node)?,
            Some(Upstream::Hub(hub, _)) => visit.call(hub)?,
            Some(Upstream::Foreign(fount)) => visit.call(fount)?,
            None => {}
        }
        match state.downstream() {
            Some(Downstream::Siphon(node)) => visit.call(node)?,
            Some(Downstream::Hub(hub, _)) => visit.call(hub)?,
            Some(Downstream::Foreign(drain)) => visit.call(&drain.object)?,
            None => {}
        }
        match state.hold() {
            Some(Hold::Siphon(node)) => visit.call(node)?,
            Some(Hold::Hub(hub)) => visit.call(hub)?,
            Some(Hold::Token(token)) => visit.call(token)?,
            None => {}
        }
        state.reasons().try_for_each(|reason| visit.call(reason))
    }

    fn __clear__(&self) {
        let old = self
            .state
            .lock_for_collector()
            .map(|mut state| state.clear());
        drop(old);
        let facets = self
            .facets
            .lock_for_collector()
            .map(|mut facets| std::mem::take(&mut *facets));
        drop(facets);
        let more = self
            .more
            .lock_for_collector()
            .map(|mut more| std::mem::take(&mut *more));
        drop(more);
    }
}

/// Shows a collector an item, and whom to tell what becomes of it.
pub(super) fn visit_item(
    visit: &PyVisit<'_>,
    item: &Flowing<PyHost>,
) -> Result<(), PyTraverseError> {
    match item {
        Flowing::Host(value) => visit.call(value),
        Flowing::Acked(acked) => {
            visit_item(visit, acked.item())?;
            // What several share is nobody's alone, so a collector must not count it more than once.
            Ok(())
        }
        Flowing::Bytes(_) | Flowing::Text(_) => Ok(()),
    }
}

fn dup(py: Python<'_>, value: &Option<Py<PyAny>>) -> Option<Py<PyAny>> {
    value.as_ref().map(|value| value.clone_ref(py))
}

impl Siphon {
    #[inline(always)]
    pub(super) fn state<'a>(&'a self, py: Python<'a>) -> Guard<'a, tube::Siphon<PyHost>> {
        self.state.lock(py)
    }

    pub(super) fn drain(slf: &Bound<'_, Self>) -> PyResult<Py<SiphonDrain>> {
        let py = slf.py();
        if let Some(drain) = &slf.get().facets.lock(py).drain {
            return Ok(drain.clone_ref(py));
        }
        let drain = SiphonDrain::create(slf)?;
        slf.get().facets.lock(py).drain = Some(drain.clone_ref(py));
        Ok(drain)
    }

    pub(super) fn fount(slf: &Bound<'_, Self>) -> PyResult<Py<SiphonFount>> {
        let py = slf.py();
        if let Some(fount) = &slf.get().facets.lock(py).fount {
            return Ok(fount.clone_ref(py));
        }
        let fount = SiphonFount::create(slf)?;
        slf.get().facets.lock(py).fount = Some(fount.clone_ref(py));
        Ok(fount)
    }

    /// Makes that its drain; says whether it had none.
    pub(super) fn adopt(&self, py: Python<'_>, drain: Py<SiphonDrain>) -> bool {
        let mut facets = self.facets.lock(py);
        if facets.drain.is_some() {
            return false;
        }
        facets.drain = Some(drain);
        true
    }

    /// What its tubes are called.
    pub(super) fn what(&self, py: Python<'_>) -> PyResult<String> {
        if let Some(name) = dup(py, &self.more.lock(py).name) {
            return Ok(name.bind(py).to_string());
        }
        let names: PyResult<Vec<String>> = self
            .tubes
            .bind(py)
            .iter()
            .map(|tube| Ok(tube.repr()?.to_string()))
            .collect();
        Ok(names?.join(", "))
    }

    pub(super) fn next(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        dup(py, &self.more.lock(py).next)
    }

    pub(super) fn input_type<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(kind) = dup(py, &self.more.lock(py).input_type) {
            return Ok(kind.into_bound(py));
        }
        match self.tubes.bind(py).iter().next() {
            Some(tube) => type_of(&tube, false),
            None => Ok(py.None().into_bound(py)),
        }
    }

    pub(super) fn output_type<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(kind) = dup(py, &self.more.lock(py).output_type) {
            return Ok(kind.into_bound(py));
        }
        match self.tubes.bind(py).iter().last() {
            Some(tube) => type_of(&tube, true),
            None => Ok(py.None().into_bound(py)),
        }
    }

    pub(super) fn merge(
        &self,
        py: Python<'_>,
        old: Py<PyAny>,
        new: Py<PyAny>,
    ) -> PyResult<Py<PyAny>> {
        match dup(py, &self.more.lock(py).merge) {
            Some(merge) => merge.call1(py, (old, new)),
            None => Ok(new),
        }
    }
}
