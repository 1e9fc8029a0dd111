//! One connection's socket on Python's event loop: Rust owns the file descriptor, the loop only
//! says when it is readable or writable.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use marotte::Location;
use marotte::captp::{CloseReason, Config};
use marotte::transport::{Visit, Way, Wire};
use marotte::vat::{Connection, Driver};
use pyo3::intern;
use pyo3::prelude::*;

use crate::dialling::Dialling;
use crate::errors::{aside, log_exception};
use crate::host::{PyHost, PyVat};
use crate::stream::{self, Got, Stream};

/// Bytes read at once.
const READ_SIZE: usize = 256 << 10;
/// Reads in a row, before others get their chance.
const READS_PER_EVENT: usize = 16;
/// Seconds for which what a peer still sends is thrown away, so that it can read why the session
/// ended.
const LINGER: f64 = 1.0;
/// Turns run after one read.
const TURN_BUDGET: usize = 1024;

thread_local! {
    /// The read buffer, shared by every connection of this thread: an idle one costs nothing.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Reaches the loop from wherever a message is sent.
pub(crate) struct LoopDriver {
    vat: Arc<PyVat>,
    /// The socket and its bound `flush`, until the end: they refer to this driver in turn.
    socket: Mutex<Option<(Py<Socket>, Py<PyAny>)>>,
}

impl LoopDriver {
    pub(crate) fn new(vat: &Arc<PyVat>) -> Arc<Self> {
        Arc::new(Self {
            vat: Arc::clone(vat),
            socket: Mutex::new(None),
        })
    }

    fn socket(&self, py: Python<'_>) -> Option<(Py<Socket>, Py<PyAny>)> {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        socket
            .as_ref()
            .map(|(socket, flush)| (socket.clone_ref(py), flush.clone_ref(py)))
    }

    fn try_wake(&self, py: Python<'_>) -> PyResult<()> {
        // Before there is a socket nothing can be written; it will be when there is.
        match self.socket(py) {
            Some((_, flush)) => self.vat.home().call_soon(py, &flush),
            None => Ok(()),
        }
    }

    fn try_idle(&self, py: Python<'_>) -> PyResult<()> {
        let Some((socket, _)) = self.socket(py) else {
            return Ok(());
        };
        let home = self.vat.home();
        if home.is_own_thread() {
            return home.collect_later(py, &socket.get().connection);
        }
        home.call_soon(
            py,
            &socket
                .bind(py)
                .getattr(intern!(py, "collect_later"))?
                .unbind(),
        )
    }
}

impl Driver for LoopDriver {
    fn wake(&self) {
        // None while the interpreter shuts down: then nothing is to be done any more.
        Python::try_attach(|py| {
            aside(py, || {
                if let Err(error) = self.try_wake(py) {
                    log_exception(py, "cannot schedule a flush", &error);
                }
            });
        });
    }

    fn idle(&self) {
        Python::try_attach(|py| {
            // The last reference to something far may be dropped anywhere.
            aside(py, || {
                if let Err(error) = self.try_idle(py) {
                    log_exception(py, "cannot schedule garbage collection", &error);
                }
            });
        });
    }
}

/// ```text
///   Connecting ──▶ Open ──▶ Lingering ──▶ Closed
///        └───────────┴────────────────────▲
/// ```
enum State {
    /// What looks for a way, from when it has begun.
    Connecting(Option<Py<Dialling>>),
    Open,
    /// The session has ended; what the peer still sends is thrown away for a moment.
    Lingering,
    Closed,
}

struct Io {
    state: State,
    stream: Option<Stream>,
    /// Taken out while messages are dispatched, so that no lock is held across Python code.
    wire: Option<Wire>,
    /// True while the loop watches for the socket to become writable.
    writing: bool,
    /// True while the loop does not watch for something to read.
    paused: bool,
    /// The timer for the peer's hello, and later for its silence, if that has an end.
    deadline: Option<Py<PyAny>>,
    /// When that timer ends, on the connection's clock.
    deadline_ms: u64,
    /// Its place among the connections of the listener.
    _visit: Option<Visit>,
}

/// A connection's socket.
#[pyclass(frozen, weakref)]
pub(crate) struct Socket {
    vat: Arc<PyVat>,
    connection: Arc<Connection<PyHost>>,
    driver: Arc<LoopDriver>,
    epoch: Instant,
    io: Mutex<Io>,
}

/// What a new socket belongs to.
pub(crate) struct Context {
    pub(crate) vat: Arc<PyVat>,
    pub(crate) epoch: Instant,
}

impl Socket {
    fn create(
        py: Python<'_>,
        context: Context,
        config: Config,
        to: Option<&Location>,
        open: Option<(Stream, Wire)>,
        visit: Option<Visit>,
    ) -> PyResult<Py<Self>> {
        let Context { vat, epoch } = context;
        let due_ms = config.now_ms.saturating_add(config.limits.handshake_ms);
        let driver = LoopDriver::new(&vat);
        let (connection, state) = match to {
            Some(to) => {
                let connection = vat.dial(config, Arc::clone(&driver) as _, to.clone());
                (connection, State::Connecting(None))
            }
            None => (vat.connect(config, Arc::clone(&driver) as _), State::Open),
        };
        let (stream, wire) = open.unzip();
        let io = Io {
            state,
            stream,
            wire,
            writing: false,
            paused: false,
            deadline: None,
            deadline_ms: 0,
            _visit: visit,
        };
        let socket = Py::new(
            py,
            Self {
                vat,
                connection,
                driver: Arc::clone(&driver),
                epoch,
                io: Mutex::new(io),
            },
        )?;
        let this = socket.bind(py);
        let flush = this.getattr(intern!(py, "flush"))?.unbind();
        *driver.socket.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((socket.clone_ref(py), flush));
        Self::set_deadline(this, due_ms)?;
        Ok(socket)
    }

    /// Has [`Self::on_deadline`] called then.
    fn set_deadline(slf: &Bound<'_, Self>, due_ms: u64) -> PyResult<()> {
        let this = slf.get();
        let seconds = due_ms.saturating_sub(elapsed_ms(this.epoch)) as f64 / 1e3;
        let on_deadline = slf.getattr(intern!(slf.py(), "on_deadline"))?;
        let home = this.vat.home();
        let timer = home.call_later(slf.py(), seconds, &on_deadline)?;
        let old = {
            let mut io = this.io();
            io.deadline_ms = due_ms;
            io.deadline.replace(timer)
        };
        this.forget_timer(slf.py(), old)
    }

    fn forget_timer(&self, py: Python<'_>, timer: Option<Py<PyAny>>) -> PyResult<()> {
        if let Some(timer) = timer {
            let runner = self.vat.home().runner(py)?;
            runner.call_method1(intern!(py, "cancel"), (timer,))?;
        }
        Ok(())
    }

    /// Drops the timer if there is nothing to wait for, and has it end sooner if need be: a later time is
    /// found out when this one has come.
    fn look_at_deadline(slf: &Bound<'_, Self>) -> PyResult<()> {
        let this = slf.get();
        match this.connection.deadline_ms() {
            None => {
                let timer = this.io().deadline.take();
                this.forget_timer(slf.py(), timer)
            }
            Some(due_ms) if due_ms < this.io().deadline_ms => Self::set_deadline(slf, due_ms),
            Some(_) => Ok(()),
        }
    }

    /// Drives a connection that was accepted.
    pub(crate) fn accepted(
        py: Python<'_>,
        context: Context,
        config: Config,
        wire: Wire,
        stream: Stream,
        visit: Option<Visit>,
    ) -> PyResult<()> {
        let socket = Self::create(py, context, config, None, Some((stream, wire)), visit)?;
        Self::opened(socket.bind(py))
    }

    /// Makes a connection by one of those ways.
    pub(crate) fn connecting(
        py: Python<'_>,
        context: Context,
        config: Config,
        ways: Vec<Way>,
        to: &Location,
    ) -> PyResult<(Arc<Connection<PyHost>>, Py<Dialling>)> {
        let silence_ms = config.limits.silence_ms;
        let socket = Self::create(py, context, config, Some(to), None, None)?;
        let this = socket.get();
        let connection = Arc::clone(&this.connection);
        let runner = this.vat.home().runner(py)?;
        match Dialling::begin(py, runner, &socket, ways, &to.hints, silence_ms) {
            Ok(dialling) => Ok((connection, dialling)),
            // Nobody is to wait for what was never begun.
            Err(error) => {
                Self::fail(socket.bind(py), CloseReason::Lost(error.to_string()))?;
                Err(error)
            }
        }
    }

    /// What looks for a way, so that it can be ended.
    pub(crate) fn goes_by(&self, dialling: &Bound<'_, Dialling>) {
        self.io().state = State::Connecting(Some(dialling.clone().unbind()));
    }

    /// A way was found.
    pub(crate) fn connected(slf: &Bound<'_, Self>, stream: Stream, wire: Wire) -> PyResult<()> {
        {
            let mut io = slf.get().io();
            if !matches!(io.state, State::Connecting(_)) {
                return Ok(());
            }
            io.state = State::Open;
            io.stream = Some(stream);
            io.wire = Some(wire);
        }
        Self::opened(slf)
    }

    fn is_congested(&self) -> bool {
        let wrapped = self.io().wire.as_ref().map_or(0, Wire::unsent);
        self.connection.is_congested(wrapped)
    }

    /// Stops reading; [`Self::flush`] goes on with it.
    fn pause(&self, slf: &Bound<'_, Self>) -> PyResult<()> {
        let fd = {
            let mut io = self.io();
            io.paused = true;
            io.stream.as_ref().map(Stream::fd)
        };
        // It may have turned out that the peer is gone.
        match fd {
            Some(fd) => self.watch(slf, "remove_reader", fd, None),
            None => Ok(()),
        }
    }

    fn io(&self) -> MutexGuard<'_, Io> {
        self.io.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(
        &self,
        slf: &Bound<'_, Self>,
        what: &str,
        fd: i32,
        callback: Option<&str>,
    ) -> PyResult<()> {
        let runner = self.vat.home().runner(slf.py())?;
        stream::watch(runner, slf, what, fd, callback)
    }

    /// The stream is connected: say hello and listen.
    fn opened(slf: &Bound<'_, Self>) -> PyResult<()> {
        let this = slf.get();
        let (fd, heard) = {
            let mut io = this.io();
            let Some(stream) = &io.stream else {
                return Ok(());
            };
            let fd = stream.fd();
            (fd, io.wire.take_if(|wire| wire.was_heard()))
        };
        this.watch(slf, "add_reader", fd, Some("on_readable"))?;
        if let Some(wire) = heard {
            Self::handle(slf, wire, Ok(&[]))?;
        }
        Self::flush(slf)
    }

    pub(crate) fn fail(slf: &Bound<'_, Self>, reason: CloseReason) -> PyResult<()> {
        slf.get().connection.close(slf.py(), reason);
        Self::finish(slf)
    }

    /// The session has ended and the peer was told, if it can be: lets it read why, then hangs up.
    fn linger(slf: &Bound<'_, Self>, was_writing: bool, fd: i32) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let reason = this.connection.close_reason();
        if !reason.is_some_and(|reason| reason.needs_linger()) {
            return Self::finish(slf);
        }
        {
            let mut io = this.io();
            io.state = State::Lingering;
            io.wire = None;
            io.writing = false;
            if let Some(stream) = &io.stream {
                stream.end_writing();
            }
        }
        if was_writing {
            this.watch(slf, "remove_writer", fd, None)?;
        }
        let home = this.vat.home();
        let timer = home.call_later(py, LINGER, &slf.getattr(intern!(py, "hang_up"))?)?;
        let old = this.io().deadline.replace(timer);
        this.forget_timer(py, old)
    }

    /// Throws away what a peer sends after the session has ended.
    fn discard(slf: &Bound<'_, Self>) -> PyResult<()> {
        let mut scratch = [0; 4096];
        loop {
            let read = match &mut slf.get().io().stream {
                Some(stream) => stream.read(&mut scratch),
                None => return Ok(()),
            };
            match read {
                Ok(Got::Nothing) => return Ok(()),
                Ok(Got::Bytes(1..)) => {}
                _ => return Self::finish(slf),
            }
        }
    }

    /// Lets go of everything. The session has ended.
    fn finish(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let (state, stream, writing, deadline) = {
            let mut io = this.io();
            io.wire = None;
            (
                std::mem::replace(&mut io.state, State::Closed),
                io.stream.take(),
                std::mem::take(&mut io.writing),
                io.deadline.take(),
            )
        };
        let socket = this
            .driver
            .socket
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(socket);
        this.forget_timer(py, deadline)?;
        if let State::Connecting(Some(dialling)) = state {
            dialling.get().abandon(py)?;
        }
        if let Some(stream) = stream {
            let fd = stream.fd();
            this.watch(slf, "remove_reader", fd, None)?;
            if writing {
                this.watch(slf, "remove_writer", fd, None)?;
            }
        }
        Ok(())
    }

    /// Reads once and dispatches. True if there may be more.
    fn read_once(slf: &Bound<'_, Self>, scratch: &mut [u8]) -> PyResult<bool> {
        let (read, wire) = {
            let mut io = slf.get().io();
            // Taken already: a method of ours is running further up this stack.
            let Some(wire) = io.wire.take() else {
                return Ok(false);
            };
            let Some(stream) = &mut io.stream else {
                return Ok(false);
            };
            match stream.read(scratch) {
                Ok(Got::Bytes(0)) => (Err(wire.end_of_stream()), wire),
                Ok(Got::Bytes(count)) => (Ok(count), wire),
                Ok(Got::Nothing) => {
                    io.wire = Some(wire);
                    return Ok(false);
                }
                Err(error) => (Err(CloseReason::Lost(error.to_string())), wire),
            }
        };
        let is_full = matches!(read, Ok(count) if count == scratch.len());
        let goes_on = Self::handle(slf, wire, read.map(|count| &scratch[..count]))?;
        Ok(goes_on && is_full)
    }

    /// Dispatches what was read, and puts the codec back. False if the connection is over.
    fn handle(
        slf: &Bound<'_, Self>,
        mut wire: Wire,
        read: Result<&[u8], CloseReason>,
    ) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        let result = read.and_then(|bytes| {
            this.connection.begin_batch();
            this.vat.claim_turns();
            let now_ms = elapsed_ms(this.epoch);
            let result = wire.read(py, &this.connection, bytes, now_ms);
            this.vat.finish_turns(py, TURN_BUDGET);
            result
        });
        let has_deadline = {
            let mut io = this.io();
            if !matches!(io.state, State::Closed) {
                io.wire = Some(wire);
            }
            io.deadline.is_some()
        };
        if has_deadline {
            Self::look_at_deadline(slf)?;
        }
        match result {
            Ok(()) => Ok(true),
            Err(reason) => {
                this.connection.close(py, reason);
                Ok(false)
            }
        }
    }
}

#[pymethods]
impl Socket {
    /// The loop says that there is something to read.
    fn on_readable(slf: &Bound<'_, Self>) -> PyResult<()> {
        let this = slf.get();
        if matches!(this.io().state, State::Lingering) {
            return Self::discard(slf);
        }
        if this.is_congested() {
            // The peer does not take what we have: let it wait, too.
            Self::flush(slf)?;
            if this.is_congested() {
                return this.pause(slf);
            }
        }
        let mut scratch = SCRATCH.take();
        scratch.resize(READ_SIZE, 0);
        let mut result = Ok(true);
        for _ in 0..READS_PER_EVENT {
            if !matches!(result, Ok(true)) {
                break;
            }
            result = Self::read_once(slf, &mut scratch);
        }
        SCRATCH.set(scratch);
        result?;
        Self::flush(slf)
    }

    /// The loop says that the socket takes bytes.
    fn on_writable(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::flush(slf)
    }

    /// Writes what waits.
    fn flush(slf: &Bound<'_, Self>) -> PyResult<()> {
        let this = slf.get();
        let (result, fd, was_writing, resume) = {
            let mut guard = this.io();
            let io = &mut *guard;
            if !matches!(io.state, State::Open) {
                let closed = this.connection.is_closed() && !matches!(io.state, State::Lingering);
                drop(guard);
                return if closed { Self::finish(slf) } else { Ok(()) };
            }
            let (Some(stream), Some(wire)) = (&mut io.stream, &mut io.wire) else {
                // A method of ours is running further up this stack; the end of it will flush.
                return Ok(());
            };
            let closed = this.connection.is_closed();
            let mut write = |bytes: &[u8]| stream.write(bytes);
            let mut result = wire.flush(&this.connection, &mut write);
            if closed {
                wire.close();
                result = wire.flush(&this.connection, &mut write);
            }
            let wrapped = wire.unsent();
            let resume = io.paused && (closed || !this.connection.is_congested(wrapped));
            io.paused &= !resume;
            (result, stream.fd(), io.writing, resume)
        };
        if resume {
            this.watch(slf, "add_reader", fd, Some("on_readable"))?;
        }
        match result {
            Err(error) => return Self::fail(slf, CloseReason::Lost(error.to_string())),
            Ok(_) if this.connection.is_closed() => return Self::linger(slf, was_writing, fd),
            Ok(drained) if drained != was_writing => {}
            Ok(drained) => {
                this.io().writing = !drained;
                let what = if drained {
                    "remove_writer"
                } else {
                    "add_writer"
                };
                this.watch(slf, what, fd, (!drained).then_some("on_writable"))?;
            }
        }
        Ok(())
    }

    /// Tells the peer before long what is held no more.
    fn collect_later(&self, py: Python<'_>) -> PyResult<()> {
        self.vat.home().collect_later(py, &self.connection)
    }

    /// The time for reading why the session ended is over.
    fn hang_up(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().io().deadline = None;
        Self::finish(slf)
    }

    /// The time for the peer's hello is over, or for its silence.
    fn on_deadline(slf: &Bound<'_, Self>) -> PyResult<()> {
        /// The loop's clock and ours may differ by a little.
        const SLACK_MS: u64 = 20;
        let this = slf.get();
        this.io().deadline = None;
        let Some(due_ms) = this.connection.deadline_ms() else {
            return Ok(());
        };
        let now_ms = elapsed_ms(this.epoch).saturating_add(SLACK_MS);
        if now_ms < due_ms {
            return Self::set_deadline(slf, due_ms);
        }
        if this.connection.handle_timeout(slf.py(), now_ms) {
            Self::flush(slf)?;
        }
        Ok(())
    }
}

fn elapsed_ms(epoch: Instant) -> u64 {
    u64::try_from(epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
}
