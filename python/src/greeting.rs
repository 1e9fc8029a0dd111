//! A socket on Python's event loop before it has a session: until it is known who is at the other end, or whom
//! they want.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use marotte::transport::{Destination, HUNG_UP, MOST_GREETING, WireError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;

use crate::stream::{self, Got, Stream};

/// What is said before a session. Of the two, one end is called, once.
pub(crate) trait Talk: Send {
    /// Takes what was read, nothing at first, and appends what is to be written. True when all is said.
    ///
    /// # Errors
    /// If the peer speaks something else.
    fn hear(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<bool, WireError>;

    /// All is said; the socket is free for the session.
    fn ended(self: Box<Self>, py: Python<'_>, stream: Stream) -> PyResult<()>;

    /// It cannot go on, for that reason.
    fn failed(self: Box<Self>, py: Python<'_>, reason: String) -> PyResult<()>;
}

/// What is left when all is said, or nothing can be said any more.
type Ended = (Box<dyn Talk>, Option<Stream>);

struct Talking {
    talk: Box<dyn Talk>,
    stream: Option<Stream>,
    /// True until the socket is connected.
    connecting: bool,
    /// Addresses that are left to try, last one first.
    left: Vec<SocketAddr>,
    /// A name in the file system that is to be tried again.
    path: Option<String>,
    silence_ms: u64,
    out: Vec<u8>,
    /// How many bytes were heard.
    heard: usize,
    /// True while the loop watches for the socket to become writable.
    writing: bool,
    /// True while the loop watches for something to read.
    reading: bool,
    timer: Option<Py<PyAny>>,
}

/// ```text
///   resolving ──▶ connecting ──▶ talking ──▶ (ended)
///       └─────────────┴──────────────┴─────▶ (failed, or abandoned)
/// ```
#[pyclass(frozen, weakref)]
pub(crate) struct Greeting {
    runner: Py<PyAny>,
    talking: Mutex<Option<Talking>>,
}

impl Greeting {
    fn create(
        py: Python<'_>,
        runner: &Bound<'_, PyAny>,
        talk: Box<dyn Talk>,
        stream: Option<Stream>,
        silence_ms: u64,
    ) -> PyResult<Py<Self>> {
        let talking = Talking {
            talk,
            connecting: stream.is_none(),
            stream,
            left: Vec::new(),
            path: None,
            silence_ms,
            out: Vec::new(),
            heard: 0,
            writing: false,
            reading: false,
            timer: None,
        };
        let greeting = Self {
            runner: runner.clone().unbind(),
            talking: Mutex::new(Some(talking)),
        };
        Py::new(py, greeting)
    }

    /// Talks on a socket that was accepted, for at most so many seconds.
    pub(crate) fn accepted(
        py: Python<'_>,
        runner: &Bound<'_, PyAny>,
        talk: Box<dyn Talk>,
        stream: Stream,
        seconds: f64,
    ) -> PyResult<Py<Self>> {
        let greeting = Self::create(py, runner, talk, Some(stream), 0)?;
        let this = greeting.bind(py);
        let abandon = this.getattr(intern!(py, "abandon"))?;
        let timer = runner.call_method1(intern!(py, "call_later"), (seconds, abandon))?;
        if let Some(talking) = &mut *this.get().lock() {
            talking.timer = Some(timer.unbind());
        }
        Self::go_on(this, &[])?;
        Ok(greeting)
    }

    /// True once all is said, or nothing can be.
    pub(crate) fn has_ended(&self) -> bool {
        self.lock().is_none()
    }

    /// Connects, and talks. `silence_ms` is the connection's.
    pub(crate) fn dial(
        py: Python<'_>,
        runner: &Bound<'_, PyAny>,
        talk: Box<dyn Talk>,
        to: &Destination,
        silence_ms: u64,
    ) -> PyResult<Py<Self>> {
        let greeting = Self::create(py, runner, talk, None, silence_ms)?;
        let this = greeting.bind(py);
        match to {
            Destination::Unix(path) => Self::connect_path(this, path.clone())?,
            Destination::Tcp(host, port) => match host.parse() {
                Ok(address) => Self::try_addresses(this, vec![SocketAddr::new(address, *port)])?,
                Err(_) => {
                    let resolved = this.getattr(intern!(py, "resolved"))?;
                    runner.call_method1(intern!(py, "resolve"), (host, *port, resolved))?;
                }
            },
        }
        Ok(greeting)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Talking>> {
        self.talking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries the addresses in order, until one answers.
    fn try_addresses(slf: &Bound<'_, Self>, mut addresses: Vec<SocketAddr>) -> PyResult<()> {
        addresses.reverse();
        if let Some(talking) = &mut *slf.get().lock() {
            talking.left = addresses;
        }
        Self::try_next(slf, "the name has no address".to_owned())
    }

    fn try_next(slf: &Bound<'_, Self>, mut problem: String) -> PyResult<()> {
        loop {
            let (address, silence_ms) = match &mut *slf.get().lock() {
                Some(talking) => (talking.left.pop(), talking.silence_ms),
                None => return Ok(()),
            };
            let Some(address) = address else {
                return Self::fail(slf, problem);
            };
            match Stream::connect(address, silence_ms) {
                Ok(stream) => return Self::connecting(slf, stream),
                Err(error) => problem = error.to_string(),
            }
        }
    }

    /// A socket in the file system whose owner has many guests already is to be tried again: TCP does that by
    /// itself.
    fn connect_path(slf: &Bound<'_, Self>, path: String) -> PyResult<()> {
        const SECONDS: f64 = 0.02;
        match Stream::connect_path(&path) {
            Ok(stream) => Self::connecting(slf, stream),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                let py = slf.py();
                let again = slf.getattr(intern!(py, "_connect_again"))?;
                let runner = slf.get().runner.bind(py);
                let timer = runner.call_method1(intern!(py, "call_later"), (SECONDS, again))?;
                if let Some(talking) = &mut *slf.get().lock() {
                    talking.path = Some(path);
                    talking.timer = Some(timer.unbind());
                }
                Ok(())
            }
            Err(error) => Self::fail(slf, error.to_string()),
        }
    }

    fn connecting(slf: &Bound<'_, Self>, stream: Stream) -> PyResult<()> {
        let fd = stream.fd();
        if let Some(talking) = &mut *slf.get().lock() {
            talking.stream = Some(stream);
            talking.writing = true;
        }
        slf.get().watch(slf, "add_writer", fd, Some("on_writable"))
    }

    fn watch(
        &self,
        slf: &Bound<'_, Self>,
        what: &str,
        fd: i32,
        callback: Option<&str>,
    ) -> PyResult<()> {
        stream::watch(self.runner.bind(slf.py()), slf, what, fd, callback)
    }

    /// Hears what was read, and says what there is to say.
    fn go_on(slf: &Bound<'_, Self>, bytes: &[u8]) -> PyResult<()> {
        let (result, fd, reading) = {
            let mut guard = slf.get().lock();
            let Some(talking) = &mut *guard else {
                return Ok(());
            };
            talking.heard += bytes.len();
            let result = if talking.heard > MOST_GREETING {
                let why = "the peer says too much before it is known";
                Err(WireError::Protocol(why.to_owned()))
            } else {
                talking.talk.hear(bytes, &mut talking.out)
            };
            let fd = talking.stream.as_ref().map_or(-1, Stream::fd);
            (result, fd, std::mem::replace(&mut talking.reading, true))
        };
        if !reading {
            slf.get()
                .watch(slf, "add_reader", fd, Some("on_readable"))?;
        }
        // Also if there was an error: the peer may be told of it.
        let written = Self::write(slf)?;
        match result {
            Err(error) => Self::fail(slf, error.to_string()),
            Ok(true) if written => {
                let Some((talk, Some(stream))) = Self::finish(slf)? else {
                    return Ok(());
                };
                talk.ended(slf.py(), stream)
            }
            // The few bytes of a handshake always fit; a socket that takes none is as good as gone.
            Ok(true) => Self::fail(slf, "the peer takes nothing".to_owned()),
            Ok(false) => Ok(()),
        }
    }

    /// Writes what waits. True if nothing is left.
    fn write(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let (fd, was_writing, is_writing) = {
            let mut guard = slf.get().lock();
            let Some(talking) = &mut *guard else {
                return Ok(true);
            };
            let Some(stream) = &mut talking.stream else {
                return Ok(true);
            };
            let mut sent = 0;
            // An error is seen by reading, too.
            while let Ok(count @ 1..) = stream.write(&talking.out[sent..]) {
                sent += count;
            }
            talking.out.drain(..sent);
            let is_writing = !talking.out.is_empty();
            let was_writing = std::mem::replace(&mut talking.writing, is_writing);
            (stream.fd(), was_writing, is_writing)
        };
        let this = slf.get();
        if is_writing && !was_writing {
            this.watch(slf, "add_writer", fd, Some("on_writable"))?;
        } else if was_writing && !is_writing {
            this.watch(slf, "remove_writer", fd, None)?;
        }
        Ok(!is_writing)
    }

    fn fail(slf: &Bound<'_, Self>, reason: String) -> PyResult<()> {
        match Self::finish(slf)? {
            // The socket closes before anybody is told.
            Some((talk, _)) => talk.failed(slf.py(), reason),
            None => Ok(()),
        }
    }

    /// Leaves nothing on the event loop. `None` if it has ended before.
    fn finish(slf: &Bound<'_, Self>) -> PyResult<Option<Ended>> {
        let this = slf.get();
        let Some(talking) = this.lock().take() else {
            return Ok(None);
        };
        if let Some(timer) = talking.timer {
            let runner = this.runner.bind(slf.py());
            runner.call_method1(intern!(slf.py(), "cancel"), (timer,))?;
        }
        if let Some(stream) = &talking.stream {
            if talking.reading {
                this.watch(slf, "remove_reader", stream.fd(), None)?;
            }
            if talking.writing {
                this.watch(slf, "remove_writer", stream.fd(), None)?;
            }
        }
        Ok(Some((talking.talk, talking.stream)))
    }
}

#[pymethods]
impl Greeting {
    /// Hangs up, and tells nobody.
    pub(crate) fn abandon(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::finish(slf).map(drop)
    }

    // Its timer leads back to it.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.runner)?;
        // What is in use is not garbage.
        match self.talking.try_lock().as_deref() {
            Ok(Some(talking)) => visit.call(&talking.timer),
            _ => Ok(()),
        }
    }

    fn __clear__(&self) {
        let old = self.lock().take();
        drop(old);
    }

    /// Tries a socket in the file system again.
    fn _connect_again(slf: &Bound<'_, Self>) -> PyResult<()> {
        let path = match &mut *slf.get().lock() {
            Some(talking) => talking.path.take(),
            None => None,
        };
        match path {
            Some(path) => Self::connect_path(slf, path),
            None => Ok(()),
        }
    }

    /// The loop says that there is something to read.
    fn on_readable(slf: &Bound<'_, Self>) -> PyResult<()> {
        let mut bytes = [0; 1024];
        loop {
            let got = match &mut *slf.get().lock() {
                Some(Talking {
                    stream: Some(stream),
                    ..
                }) => stream.read(&mut bytes),
                _ => return Ok(()),
            };
            match got {
                Ok(Got::Bytes(0)) => return Self::fail(slf, HUNG_UP.to_owned()),
                Ok(Got::Bytes(count)) => Self::go_on(slf, &bytes[..count])?,
                Ok(Got::Nothing) => return Ok(()),
                Err(error) => return Self::fail(slf, error.to_string()),
            }
        }
    }

    /// The loop says that the socket takes bytes, or that connecting has ended.
    fn on_writable(slf: &Bound<'_, Self>) -> PyResult<()> {
        let this = slf.get();
        let (connected, fd) = match &mut *this.lock() {
            Some(Talking {
                stream: Some(stream),
                connecting,
                writing,
                ..
            }) if *connecting => {
                let result = stream.connected();
                *connecting = result.is_err();
                *writing = false;
                (result, stream.fd())
            }
            Some(_) => (Ok(()), -1),
            None => return Ok(()),
        };
        if fd < 0 {
            return Self::write(slf).map(drop);
        }
        this.watch(slf, "remove_writer", fd, None)?;
        match connected {
            Ok(()) => Self::go_on(slf, &[]),
            Err(problem) => Self::try_next(slf, problem.to_string()),
        }
    }

    /// A name was looked up: a list of `(host, port)`, or an exception.
    fn resolved(slf: &Bound<'_, Self>, result: &Bound<'_, PyAny>) -> PyResult<()> {
        match result.extract::<Vec<(String, u16)>>() {
            Ok(found) => {
                let addresses = found
                    .iter()
                    .filter_map(|(host, port)| Some(SocketAddr::new(host.parse().ok()?, *port)))
                    .collect();
                Self::try_addresses(slf, addresses)
            }
            Err(_) => Self::fail(slf, result.to_string()),
        }
    }
}
