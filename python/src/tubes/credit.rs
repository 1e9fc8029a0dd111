//! The two ends of a window between peers, and the size of what goes through it.

#![allow(non_snake_case, reason = "the names are Twisted's")]

use marotte::tube::credit::{Allowance, Amount, Window};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PyString, PyTuple};

use crate::deferred::Guarded;

/// The sender's end; see the core's `tube::credit`.
#[pyclass(frozen, module = "marotte._core", name = "_Allowance")]
pub(crate) struct PyAllowance(Guarded<Allowance>);

#[pymethods]
impl PyAllowance {
    #[new]
    fn new() -> Self {
        Self(Guarded::new(Allowance::default()))
    }

    /// Whether an item may be sent.
    fn isOpen(&self, py: Python<'_>) -> bool {
        self.0.lock(py).is_open()
    }

    /// An item is sent; False if it may not.
    fn spend(&self, py: Python<'_>, size: u64) -> bool {
        self.0.lock(py).spend(size)
    }

    /// The receiver lets more come.
    fn grant(&self, py: Python<'_>, items: u64, bytes: u64) {
        self.0.lock(py).grant(Amount { items, bytes });
    }
}

/// The receiver's end.
#[pyclass(frozen, module = "marotte._core", name = "_Window")]
pub(crate) struct PyWindow(Guarded<Window>);

fn pair(amount: Option<Amount>) -> Option<(u64, u64)> {
    amount.map(|amount| (amount.items, amount.bytes))
}

#[pymethods]
impl PyWindow {
    #[new]
    fn new(items: u64, bytes: u64) -> Self {
        Self(Guarded::new(Window::new(Amount { items, bytes })))
    }

    /// What to grant at the beginning, or None.
    fn open(&self, py: Python<'_>) -> Option<(u64, u64)> {
        pair(self.0.lock(py).open())
    }

    /// An item has come; False if it was not allowed to.
    fn arrived(&self, py: Python<'_>, size: u64) -> bool {
        self.0.lock(py).arrived(size)
    }

    /// The drain has taken so much. Returns what to grant, or None.
    fn taken(&self, py: Python<'_>, items: u64, bytes: u64) -> Option<(u64, u64)> {
        pair(self.0.lock(py).taken(Amount { items, bytes }))
    }
}

/// About as many bytes as a value has on the wire.
#[pyfunction(name = "_sizeOf")]
pub(crate) fn size_of(value: &Bound<'_, PyAny>) -> u64 {
    sized(value, 64)
}

fn sized(value: &Bound<'_, PyAny>, depth: u8) -> u64 {
    let inner = |values: &mut dyn Iterator<Item = Bound<'_, PyAny>>| {
        values.fold(2_u64, |sum, value| {
            sum.saturating_add(sized(&value, depth - 1))
        })
    };
    if let Ok(bytes) = value.cast::<PyBytes>() {
        bytes.as_bytes().len() as u64 + 8
    } else if let Ok(text) = value.cast::<PyString>() {
        text.to_str().map_or(0, str::len) as u64 + 8
    } else if depth == 0 {
        8
    } else if let Ok(list) = value.cast::<PyList>() {
        inner(&mut list.iter())
    } else if let Ok(tuple) = value.cast::<PyTuple>() {
        inner(&mut tuple.iter())
    } else if let Ok(dict) = value.cast::<PyDict>() {
        dict.iter().fold(2_u64, |sum, (key, value)| {
            let pair = sized(&key, depth - 1).saturating_add(sized(&value, depth - 1));
            sum.saturating_add(pair)
        })
    } else if let Ok(bytes) = value.cast::<PyByteArray>() {
        bytes.len() as u64 + 8
    } else {
        8
    }
}
