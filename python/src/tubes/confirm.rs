//! Whom to tell what became of an item.

use marotte::tube::Confirmed;
use pyo3::prelude::*;

use super::parts::{parts, reason_of, report};

/// A function, and the item that it is to be called with. If it is dropped, the item was lost.
pub(crate) struct Confirm {
    function: Option<Py<PyAny>>,
    item: Option<Py<PyAny>>,
}

impl Confirm {
    pub(super) fn new(function: Py<PyAny>, item: Py<PyAny>) -> Self {
        Self {
            function: Some(function),
            item: Some(item),
        }
    }

    pub(super) fn tell(mut self, py: Python<'_>, outcome: Confirmed<Py<PyAny>>) {
        self.call(py, outcome);
    }

    fn call(&mut self, py: Python<'_>, outcome: Confirmed<Py<PyAny>>) {
        let (Some(function), Some(item)) = (self.function.take(), self.item.take()) else {
            return;
        };
        let failure = match outcome {
            Confirmed::Taken => Ok(py.None()),
            Confirmed::Failed(reason) => Ok(reason),
            Confirmed::Lost => parts(py).and_then(|parts| {
                let why = "what was made of the item was dropped, or the flow stopped before";
                parts.error.call1(py, ("NotConfirmed", why))
            }),
        };
        let told = failure.and_then(|failure| function.call1(py, (item, failure)));
        if let Err(error) = told {
            report(py, &reason_of(py, error));
        }
    }
}

impl Drop for Confirm {
    fn drop(&mut self) {
        if self.function.is_none() {
            return;
        }
        Python::attach(|py| {
            // It may be dropped while an exception is on its way.
            let raised = PyErr::take(py);
            self.call(py, Confirmed::Lost);
            if let Some(raised) = raised {
                raised.restore(py);
            }
        });
    }
}
