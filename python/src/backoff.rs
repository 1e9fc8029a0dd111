//! The times between attempts to connect.

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;

/// :class:`marotte.Reconnector` keeps one.
#[pyclass(frozen, module = "marotte._core", name = "_Backoff")]
pub(crate) struct Backoff(Mutex<marotte::Backoff>);

impl Backoff {
    fn with<T>(&self, f: impl FnOnce(&mut marotte::Backoff) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[pymethods]
impl Backoff {
    #[new]
    fn new(first_ms: u64, most_ms: u64) -> Self {
        Self(Mutex::new(marotte::Backoff::new(first_ms, most_ms)))
    }

    fn failed(&self, random: u32) -> u64 {
        self.with(|backoff| backoff.failed(random))
    }

    fn lost(&self, lasted_ms: u64, random: u32) -> u64 {
        self.with(|backoff| backoff.lost(lasted_ms, random))
    }
}
