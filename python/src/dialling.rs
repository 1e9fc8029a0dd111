//! Going all ways to a peer at once, until it is met on one of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use marotte::captp::CloseReason;
use marotte::transport::{Destination, NEXT_WAY_MS, Way, Wire, WireError};
use pyo3::intern;
use pyo3::prelude::*;

use crate::greeting::{Greeting, Talk};
use crate::socket::Socket;
use crate::stream::Stream;

struct Going {
    left: VecDeque<Way>,
    /// The hints whose ways are tried.
    tried: Vec<Hints>,
    /// Those that have not ended.
    attempts: Vec<Py<Greeting>>,
    /// How many have not.
    pending: usize,
    reasons: Vec<String>,
    timer: Option<Py<PyAny>>,
}

type Hints = BTreeMap<String, String>;

/// So many references with other hints are looked at while one connection is made.
const MOST_REFERENCES: usize = 16;

/// The ways to a peer, each tried a little later than the one before. The first on which the peer is met is
/// kept.
#[pyclass(frozen)]
pub(crate) struct Dialling {
    runner: Py<PyAny>,
    socket: Py<Socket>,
    silence_ms: u64,
    /// `None` once it has ended.
    going: Mutex<Option<Going>>,
}

impl Dialling {
    /// Goes; `socket` is told how it ends.
    pub(crate) fn begin(
        py: Python<'_>,
        runner: &Bound<'_, PyAny>,
        socket: &Py<Socket>,
        ways: Vec<Way>,
        hints: &Hints,
        silence_ms: u64,
    ) -> PyResult<Py<Self>> {
        let going = Going {
            left: ways.into(),
            tried: vec![hints.clone()],
            attempts: Vec::new(),
            pending: 0,
            reasons: Vec::new(),
            timer: None,
        };
        let dialling = Bound::new(
            py,
            Self {
                runner: runner.clone().unbind(),
                socket: socket.clone_ref(py),
                silence_ms,
                going: Mutex::new(Some(going)),
            },
        )?;
        socket.get().goes_by(&dialling);
        Self::go_next(&dialling)?;
        Ok(dialling.unbind())
    }

    /// True once a way was found, or none.
    pub(crate) fn has_ended(&self) -> bool {
        self.lock().is_none()
    }

    /// Has the ways that another reference names tried, too: those of the first one may be wrong. Nothing, if
    /// they are tried already.
    pub(crate) fn go_further(
        slf: &Bound<'_, Self>,
        hints: &Hints,
        ways: impl FnOnce() -> Option<Vec<Way>>,
    ) -> PyResult<()> {
        let is_new = match &mut *slf.get().lock() {
            Some(going) => {
                let is_new = !going.tried.contains(hints) && going.tried.len() < MOST_REFERENCES;
                if is_new {
                    going.tried.push(hints.clone());
                }
                is_new
            }
            None => false,
        };
        if !is_new {
            return Ok(());
        }
        for way in ways().into_iter().flatten() {
            if let Some(going) = &mut *slf.get().lock() {
                going.left.push_back(way);
            }
            Self::go_next(slf)?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Going>> {
        self.going.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends every attempt. Nothing, if it has ended before.
    pub(crate) fn abandon(&self, py: Python<'_>) -> PyResult<()> {
        let Some(going) = self.lock().take() else {
            return Ok(());
        };
        self.cancel(py, going.timer)?;
        for attempt in going.attempts {
            Greeting::abandon(attempt.bind(py))?;
        }
        Ok(())
    }

    fn cancel(&self, py: Python<'_>, timer: Option<Py<PyAny>>) -> PyResult<()> {
        if let Some(timer) = timer {
            self.runner
                .bind(py)
                .call_method1(intern!(py, "cancel"), (timer,))?;
        }
        Ok(())
    }
}

#[pymethods]
impl Dialling {
    /// Tries the next way; sooner if one fails.
    fn go_next(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let (way, old, more) = {
            let mut guard = this.lock();
            let Some(going) = &mut *guard else {
                return Ok(());
            };
            let way = going.left.pop_front();
            going.pending += usize::from(way.is_some());
            (way, going.timer.take(), !going.left.is_empty())
        };
        this.cancel(py, old)?;
        let Some(Way { to, wire }) = way else {
            return Ok(());
        };
        let runner = this.runner.bind(py);
        if more {
            let go_next = slf.getattr(intern!(py, "go_next"))?;
            let patience = NEXT_WAY_MS as f64 / 1e3;
            let timer = runner.call_method1(intern!(py, "call_later"), (patience, go_next))?;
            if let Some(going) = &mut *this.lock() {
                going.timer = Some(timer.unbind());
            }
        }
        let attempt = Attempt {
            to: to.clone(),
            wire,
            dialling: slf.clone().unbind(),
        };
        let greeting = Greeting::dial(py, runner, Box::new(attempt), &to, this.silence_ms)?;
        if let Some(going) = &mut *this.lock() {
            going.attempts.push(greeting);
        }
        Ok(())
    }
}

/// One way that is tried.
struct Attempt {
    to: Destination,
    wire: Wire,
    dialling: Py<Dialling>,
}

impl Talk for Attempt {
    fn hear(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<bool, WireError> {
        let is_met = self.wire.greet(bytes)?;
        self.wire.greeting(out)?;
        Ok(is_met)
    }

    fn ended(self: Box<Self>, py: Python<'_>, stream: Stream) -> PyResult<()> {
        let dialling = self.dialling.bind(py).get();
        // Another one may have been first.
        if dialling.lock().is_none() {
            return Ok(());
        }
        dialling.abandon(py)?;
        Socket::connected(dialling.socket.bind(py), stream, self.wire)
    }

    fn failed(self: Box<Self>, py: Python<'_>, reason: String) -> PyResult<()> {
        let dialling = self.dialling.bind(py);
        let is_last = match &mut *dialling.get().lock() {
            None => return Ok(()),
            Some(going) => {
                let to = &self.to;
                going
                    .reasons
                    .push(format!("cannot connect to {to}: {reason}"));
                going.pending -= 1;
                (going.pending == 0 && going.left.is_empty()).then(|| going.reasons.join("; "))
            }
        };
        match is_last {
            Some(reasons) => {
                dialling.get().abandon(py)?;
                let socket = dialling.get().socket.bind(py);
                Socket::fail(socket, CloseReason::Lost(reasons))
            }
            None => Dialling::go_next(dialling),
        }
    }
}
