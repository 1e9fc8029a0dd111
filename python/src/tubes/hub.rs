//! Fan-out and fan-in.

#![allow(non_snake_case, reason = "the names are Twisted's")]

use marotte::tube::{self, Downstream, Ends, Order};
use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::deferred::{Guard, Guarded};
use crate::host::PyHost;

use super::siphon::Siphon;

/// What delivers between siphons: from one to many, or from many to one.
#[pyclass(frozen, weakref, module = "marotte._core", name = "_Hub")]
pub(crate) struct Hub {
    state: Guarded<tube::Hub<PyHost>>,
    /// Of a router: from an item to the number of a branch and what goes there, or None.
    route: Option<Py<PyAny>>,
}

#[pymethods]
impl Hub {
    /// From ``siphon`` to many. With ``route``, a function, each item goes where that says: it
    /// returns the number of a branch and what goes there, or None.
    #[staticmethod]
    #[pyo3(signature = (siphon, route=None))]
    fn out(
        py: Python<'_>,
        siphon: &Bound<'_, Siphon>,
        route: Option<Py<PyAny>>,
    ) -> PyResult<Py<Self>> {
        let input = siphon.clone().unbind();
        let hub = Py::new(
            py,
            Self {
                state: Guarded::new(tube::Hub::out(input, route.is_some())),
                route,
            },
        )?;
        let below = Downstream::Hub(hub.clone_ref(py), 0);
        tube::flow_to::<PyHost>(py, siphon.as_unbound(), Some(below));
        Ok(hub)
    }

    /// From many to ``siphon``. ``order`` is one of ``"merge"``, ``"concat"``, ``"zip"`` and
    /// ``"priority"``, ``ends`` one of ``"last"``, ``"first"`` and ``"never"``.
    #[staticmethod]
    fn into(
        py: Python<'_>,
        siphon: &Bound<'_, Siphon>,
        order: &str,
        ends: &str,
    ) -> PyResult<Py<Self>> {
        let order = match order {
            "merge" => Order::Merge,
            "concat" => Order::Concat,
            "zip" => Order::Zip,
            "priority" => Order::Priority,
            other => {
                return Err(PyValueError::new_err(format!(
                    "no order named {other:?}; there are 'merge', 'concat', 'zip' and 'priority'"
                )));
            }
        };
        let ends = match ends {
            "last" => Ends::Last,
            "first" => Ends::First,
            "never" => Ends::Never,
            other => {
                return Err(PyValueError::new_err(format!(
                    "a fan-in ends with the 'last' of its inputs, the 'first', or 'never', not {other:?}"
                )));
            }
        };
        let hub = Py::new(
            py,
            Self {
                state: Guarded::new(tube::Hub::into(siphon.clone().unbind(), order, ends)),
                route: None,
            },
        )?;
        let above = tube::branch_of::<PyHost>(py, &hub, 0);
        tube::flowing_from::<PyHost>(py, siphon.as_unbound(), Some(above));
        Ok(hub)
    }

    /// Adds a branch to a fan-out; returns its number.
    fn addBranch(slf: &Bound<'_, Self>, siphon: &Bound<'_, Siphon>) -> usize {
        let py = slf.py();
        let index = tube::add_branch::<PyHost>(py, slf.as_unbound(), siphon.as_unbound());
        let above = tube::branch_of::<PyHost>(py, slf.as_unbound(), index);
        tube::flowing_from::<PyHost>(py, siphon.as_unbound(), Some(above));
        index
    }

    /// Adds an input to a fan-in; returns its number.
    #[pyo3(signature = (siphon, priority=0))]
    fn addInput(slf: &Bound<'_, Self>, siphon: &Bound<'_, Siphon>, priority: i64) -> usize {
        tube::add_input::<PyHost>(slf.py(), slf.as_unbound(), siphon.as_unbound(), priority)
    }

    /// The reasons of the inputs that have ended, with their numbers.
    fn reasons<'py>(&self, py: Python<'py>) -> Vec<(usize, Py<PyAny>)> {
        self.state(py)
            .reasons()
            .iter()
            .map(|(index, reason)| (*index, reason.clone_ref(py)))
            .collect()
    }

    /// How many items of a router were for nobody.
    fn undelivered(&self, py: Python<'_>) -> u64 {
        self.state(py).undelivered()
    }

    /// How many branches or inputs are open.
    fn open(&self, py: Python<'_>) -> usize {
        self.state(py).open()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.route)?;
        let Some(state) = self.state.lock_for_collector() else {
            return Ok(());
        };
        state.nodes().try_for_each(|node| visit.call(node))?;
        if let Some(reason) = state.ended() {
            visit.call(reason)?;
        }
        for item in state.held() {
            super::siphon::visit_item(&visit, item)?;
        }
        state
            .reasons()
            .iter()
            .try_for_each(|(_, reason)| visit.call(reason))
    }
}

impl Hub {
    pub(super) fn state<'a>(&'a self, py: Python<'a>) -> Guard<'a, tube::Hub<PyHost>> {
        self.state.lock(py)
    }

    pub(super) fn route(&self, item: Bound<'_, PyAny>) -> PyResult<Option<(usize, Py<PyAny>)>> {
        let py = item.py();
        let Some(route) = &self.route else {
            return Ok(None);
        };
        let target = route.bind(py).call1((item,))?;
        if target.is_none() {
            return Ok(None);
        }
        let target = target.cast_into::<PyTuple>()?;
        Ok(Some((
            target.get_item(0)?.extract()?,
            target.get_item(1)?.unbind(),
        )))
    }
}
