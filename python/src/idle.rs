//! The timer that lets quiet connections tell their peers what is held no more.
//!
//! A timer of the event loop would be pending all the while there is traffic, and every wait of
//! the loop would then carry a timeout: measured, that costs 8 µs a call. So on Linux the timer is
//! a file descriptor, armed once per batch of releases, and the loop waits without a timeout.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use marotte::vat::Connection;
use pyo3::prelude::*;
#[cfg(target_os = "linux")]
use rustix::fd::{AsRawFd, OwnedFd};

use crate::host::{Home, PyHost};

/// Milliseconds that releases may wait for traffic to ride along with.
const DELAY_MS: u16 = 100;

#[derive(Default)]
struct Inner {
    waiting: Vec<Arc<Connection<PyHost>>>,
    #[cfg(target_os = "linux")]
    timer: Option<OwnedFd>,
}

/// One vat's timer.
#[pyclass(frozen)]
pub(crate) struct IdleTimer {
    inner: Mutex<Inner>,
}

impl IdleTimer {
    pub(crate) fn new() -> Self {
        Self {
            inner: Mutex::new(Inner::default()),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the connection collect in a while. On the vat's thread only.
    pub(crate) fn collect_later(
        slf: &Bound<'_, Self>,
        home: &Home,
        connection: &Arc<Connection<PyHost>>,
    ) -> PyResult<()> {
        // What a closed one held is given back already, and the timer may be gone.
        if connection.is_closed() {
            return Ok(());
        }
        let first = {
            let mut inner = slf.get().inner();
            // Under traffic the same one comes again and again.
            if !inner
                .waiting
                .last()
                .is_some_and(|last| Arc::ptr_eq(last, connection))
            {
                inner.waiting.push(Arc::clone(connection));
            }
            inner.waiting.len() == 1
        };
        if !first {
            return Ok(());
        }
        match Self::arm(slf, home) {
            Ok(()) => Ok(()),
            // File descriptors may be out: then it is a timer of the loop's, this once.
            Err(_) => Self::arm_slowly(slf, home),
        }
    }

    fn arm_slowly(slf: &Bound<'_, Self>, home: &Home) -> PyResult<()> {
        let seconds = f64::from(DELAY_MS) / 1e3;
        home.call_later(slf.py(), seconds, &slf.getattr("fire")?)?;
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn arm(slf: &Bound<'_, Self>, home: &Home) -> PyResult<()> {
        use rustix::time::{
            Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
            timerfd_settime,
        };
        let py = slf.py();
        let mut inner = slf.get().inner();
        let created = inner.timer.is_none();
        if created {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            inner.timer = Some(timerfd_create(TimerfdClockId::Monotonic, flags).map_err(os_error)?);
        }
        let Some(timer) = &inner.timer else {
            return Ok(());
        };
        let once = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: Timespec {
                tv_sec: 0,
                tv_nsec: i64::from(DELAY_MS) * 1_000_000,
            },
        };
        timerfd_settime(timer, TimerfdTimerFlags::empty(), &once).map_err(os_error)?;
        let fd = timer.as_raw_fd();
        drop(inner);
        if created {
            home.runner(py)?
                .call_method1("add_reader", (fd, slf.getattr("fire")?))?;
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn arm(slf: &Bound<'_, Self>, home: &Home) -> PyResult<()> {
        Self::arm_slowly(slf, home)
    }

    /// Lets go of the timer, so that nothing of it is left on the loop.
    #[cfg(target_os = "linux")]
    pub(crate) fn close(&self, py: Python<'_>, home: &Home) -> PyResult<()> {
        let timer = {
            let mut inner = self.inner();
            inner.waiting.clear();
            inner.timer.take()
        };
        if let Some(timer) = timer {
            home.runner(py)?
                .call_method1("remove_reader", (timer.as_raw_fd(),))?;
        }
        Ok(())
    }

    /// Lets go of the timer, so that nothing of it is left on the loop.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn close(&self, _: Python<'_>, _: &Home) -> PyResult<()> {
        self.inner().waiting.clear();
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn os_error(error: rustix::io::Errno) -> PyErr {
    std::io::Error::from(error).into()
}

#[pymethods]
impl IdleTimer {
    /// The time is up.
    fn fire(&self) {
        let waiting = {
            let mut inner = self.inner();
            #[cfg(target_os = "linux")]
            if let Some(timer) = &inner.timer {
                // Only to make it unreadable again; how often it fired does not matter.
                let _ = rustix::io::read(timer, &mut [0; 8]);
            }
            std::mem::take(&mut inner.waiting)
        };
        for connection in waiting {
            connection.collect();
        }
    }
}
