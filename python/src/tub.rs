//! The tub: a vat of Python objects with its listeners and connections.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use marotte::captp::{CloseReason, Config, Keys, Profile};
use marotte::host::{Outcome, Ref};
use marotte::promise::Cell;
use marotte::transport::{Netlayer, Visits, Wire, ways_to};
use marotte::vat::{Connection, TurnQueue, Vat};
use marotte::{Error, Host, Identity, Limits, Location, SturdyRef};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyTimeoutError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::{Failure, RemoteError, to_exception};
use crate::host::{Home, PyHost, PyVat};
use crate::invoke::is_callable;
use crate::promise::Promise;
use crate::socket::{Context, Socket};
use crate::values::{PySturdyRef, Referenceable};

/// What a tub and its listeners share.
pub(crate) struct Shared {
    vat: Arc<PyVat>,
    identity: Arc<Identity>,
    designator: String,
    profile: Profile,
    limits: Limits,
    epoch: Instant,
    listeners: Mutex<Vec<Py<Listener>>>,
    closed: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn urandom(py: Python<'_>) -> PyResult<[u8; 32]> {
    py.import(intern!(py, "os"))?
        .call_method1(intern!(py, "urandom"), (32,))?
        .extract()
}

impl Shared {
    /// Fails if the tub was closed.
    fn check_open(&self) -> PyResult<()> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(PyRuntimeError::new_err(
                "the tub was closed; make another one",
            ));
        }
        Ok(())
    }

    fn context(&self) -> Context {
        Context {
            vat: Arc::clone(&self.vat),
            epoch: self.epoch,
        }
    }

    fn config(
        &self,
        py: Python<'_>,
        location: Location,
        wire: &Wire,
        dialled: bool,
    ) -> PyResult<Config> {
        Ok(Config {
            profile: self.profile,
            limits: self.limits.clone(),
            keys: Keys::from_seed(urandom(py)?),
            location,
            reserved: !dialled && wire.authenticates(),
            boundaries: wire.has_boundaries(),
            now_ms: u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }

    fn locations(&self, py: Python<'_>) -> Vec<Location> {
        lock(&self.listeners)
            .iter()
            .map(|l| l.bind(py).get().location.clone())
            .collect()
    }
}

/// A vat of Python objects: it offers objects to others and finds theirs.
///
/// It runs on the asyncio loop that is running when it is first used, or on Twisted's reactor if
/// that is installed, or without any loop: then ``promise._wait()`` waits.
#[pyclass(frozen, weakref, module = "marotte")]
pub(crate) struct Tub {
    shared: Arc<Shared>,
}

#[pymethods]
impl Tub {
    /// ``profile`` names the dialect of the wire; ``limits`` overrides receive limits by name;
    /// ``runner`` is ``"asyncio"``, ``"twisted"`` or ``"blocking"`` where the choice must not be
    /// left to circumstances; ``tracebacks`` lets peers see where in this program a method failed;
    /// ``introduce`` lets peers that are passed an object of another one connect to that one; ``believe``
    /// takes peers that connect for whom they say they are. ``keyfile`` names the file that keeps who the tub
    /// is; it is made if it is not there.
    #[new]
    #[pyo3(signature = (*, profile="marotte", limits=None, runner=None, tracebacks=false, introduce=false, believe=false, keyfile=None))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn new(
        py: Python<'_>,
        profile: &str,
        limits: Option<&Bound<'_, PyDict>>,
        runner: Option<&str>,
        tracebacks: bool,
        introduce: bool,
        believe: bool,
        keyfile: Option<std::path::PathBuf>,
    ) -> PyResult<Self> {
        let Some(profile) = Profile::named(profile) else {
            let known: Vec<_> = Profile::ALL.iter().map(|profile| profile.name).collect();
            return Err(PyValueError::new_err(format!(
                "no profile named {profile:?}; there are {}",
                known.join(", ")
            )));
        };
        let vat: Arc<PyVat> = Vat::new(Home::new());
        vat.show_tracebacks(tracebacks);
        vat.introduce_peers(introduce);
        vat.believe_hellos(believe);
        if let Some(name) = runner {
            let runner = py
                .import("marotte._runner")?
                .call_method1("named", (name,))?;
            vat.home().set_runner(py, runner.unbind());
        }
        let identity = match keyfile {
            Some(path) => {
                let fresh = urandom(py)?;
                Identity::load_or_create(&path, || fresh)?
            }
            None => Identity::from_seed(urandom(py)?),
        };
        let shared = Arc::new(Shared {
            vat,
            designator: identity.designator(),
            identity: Arc::new(identity),
            profile,
            limits: read_limits(limits)?,
            epoch: Instant::now(),
            listeners: Mutex::new(Vec::new()),
            closed: AtomicBool::new(false),
        });
        let dialler = Arc::downgrade(&shared);
        shared.vat.home().set_dialler(Box::new(move |py, to| {
            let shared = dialler
                .upgrade()
                .ok_or_else(|| Error::Misuse("the tub is gone".to_owned()))?;
            shared
                .check_open()
                .and_then(|()| shared.connect(py, to))
                .map_err(|error| Error::Misuse(error.to_string()))
        }));
        Ok(Self { shared })
    }

    /// Accepts connections at ``noise://host:port`` (encrypted, and both ends show who they are),
    /// ``noise+ws://host:port`` (the same inside of a WebSocket), ``tcp://host:port`` or
    /// ``ws://host:port`` (plain text); port 0 lets the system choose. ``url`` is where peers connect to
    /// a WebSocket behind a proxy. Returns the :class:`Listener`.
    #[pyo3(signature = (address, url=None))]
    fn listen(&self, py: Python<'_>, address: &str, url: Option<&str>) -> PyResult<Py<Listener>> {
        Listener::open(py, &self.shared, address, url)
    }

    /// Offers an object to whoever knows the returned URI. Without a name the URI holds 256 random
    /// bits; with one it can be guessed by whoever knows the name. The URI is that of the first
    /// listener; see :meth:`Listener.uriFor` for the others.
    #[pyo3(name = "registerReference", signature = (obj, name=None))]
    fn register_reference(
        &self,
        py: Python<'_>,
        obj: Bound<'_, PyAny>,
        name: Option<&str>,
    ) -> PyResult<String> {
        self.shared.check_open()?;
        if !obj.is_instance_of::<Referenceable>() && !is_callable(&obj) {
            return Err(PyTypeError::new_err(format!(
                "{} cannot be registered; derive its class from marotte.Referenceable",
                obj.get_type().name()?
            )));
        }
        let Some(location) = Location::of(&self.shared.locations(py), None) else {
            return Err(PyRuntimeError::new_err(
                "the tub listens nowhere yet; call listen(\"tcp://127.0.0.1:0\") first",
            ));
        };
        let swiss = match name {
            Some(name) => name.as_bytes().to_vec(),
            None => urandom(py)?.to_vec(),
        };
        drop(self.shared.vat.register(swiss.clone(), obj.unbind()));
        Ok(SturdyRef { location, swiss }.to_string())
    }

    /// Takes a registration back; references that peers hold already stay good. True if there was
    /// one.
    #[pyo3(name = "unregisterReference")]
    fn unregister_reference(&self, uri: &str) -> PyResult<bool> {
        let sturdy: SturdyRef = uri.parse().map_err(bad_locator)?;
        Ok(self.shared.vat.unregister(&sturdy.swiss).is_some())
    }

    /// Breaks every reference to an object of this program's that peers have or will have by this tub. False
    /// if it was revoked before.
    fn revoke(&self, py: Python<'_>, obj: Py<PyAny>) -> bool {
        self.shared.vat.revoke(py, &obj)
    }

    /// The object that a URI or a :class:`SturdyRef` names, as a promise that can be called at once. The connection is
    /// made, or an existing one used; what goes wrong breaks the promise.
    #[pyo3(name = "getReference")]
    fn get_reference(&self, py: Python<'_>, uri: &Bound<'_, PyAny>) -> PyResult<Py<Promise>> {
        self.shared.check_open()?;
        let sturdy: SturdyRef = match uri.cast::<PySturdyRef>() {
            Ok(sturdy) => sturdy.get().0.clone(),
            Err(_) => uri.extract::<&str>()?.parse().map_err(bad_locator)?,
        };
        let vat = &self.shared.vat;
        if sturdy.location.designator == self.shared.designator {
            let outcome = match vat.registered(py, &sturdy.swiss) {
                Some(object) => Outcome::Fulfilled(PyHost::value_of(py, Ref::Local(object))),
                None => Outcome::Broken(Failure::of(
                    py,
                    RemoteError::new_err(
                        "KeyError: no object is registered under that swiss number",
                    ),
                )),
            };
            return Ok(PyHost::new_promise(py, vat, Cell::settled(outcome)));
        }
        let connection = self.shared.connect(py, &sturdy.location)?;
        Ok(connection.fetch(py, vat, &sturdy.swiss))
    }

    /// What all connections together have done, and how large their tables are.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = PyDict::new(py);
        for (name, value) in self.shared.vat.stats().entries() {
            stats.set_item(name, value)?;
        }
        Ok(stats)
    }

    /// Ends every listener and connection; promises that wait for a peer break. May be called
    /// twice.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.shared.closed.store(true, Ordering::Relaxed);
        let listeners = std::mem::take(&mut *lock(&self.shared.listeners));
        for listener in listeners {
            listener.bind(py).call_method0("close")?;
        }
        for connection in self.shared.vat.connections() {
            connection.close(py, CloseReason::Local("the tub was closed".to_owned()));
        }
        self.shared.vat.home().close(py)
    }

    /// Serves for so many seconds, or until interrupted; for programs without an event loop.
    #[pyo3(signature = (seconds=None))]
    fn run(&self, py: Python<'_>, seconds: Option<f64>) -> PyResult<()> {
        let runner = self.shared.vat.home().runner(py)?;
        match wait(py, &self.shared.vat, runner, seconds, &|| false) {
            Err(error) if error.is_instance_of::<PyTimeoutError>(py) => Ok(()),
            result => result,
        }
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(
        &self,
        py: Python<'_>,
        _exception: &Bound<'_, pyo3::types::PyTuple>,
    ) -> PyResult<bool> {
        self.close(py)?;
        Ok(false)
    }

    fn __repr__(&self) -> String {
        format!("<Tub {}>", self.shared.designator)
    }
}

impl Shared {
    /// The connection to a peer: one that is open, one that is being made, or a new one.
    fn connect(&self, py: Python<'_>, to: &Location) -> PyResult<Arc<Connection<PyHost>>> {
        let shared = self;
        if let Some(connection) = shared.vat.connection_to(to) {
            return Ok(connection);
        }
        let ways =
            ways_to(to, &self.identity, &self.limits, urandom(py)?).map_err(
                |error| match error {
                    Error::Misuse(text) => PyValueError::new_err(text),
                    error => to_exception(error),
                },
            )?;
        let Some((address, wire)) = ways.into_iter().next() else {
            return Err(PyValueError::new_err(format!("nothing leads to {to}")));
        };
        let announced =
            Location::of(&shared.locations(py), Some(&to.transport)).unwrap_or_else(|| Location {
                transport: to.transport.clone(),
                designator: shared.designator.clone(),
                hints: std::collections::BTreeMap::default(),
            });
        let config = shared.config(py, announced, &wire, true)?;
        let socket = Socket::connecting(py, shared.context(), config, wire, to, address.clone())?;
        let socket = socket.bind(py);
        let connection = Arc::clone(socket.get().connection());
        match address.parse::<SocketAddr>() {
            Ok(address) => Socket::try_addresses(socket, vec![address])?,
            Err(_) => {
                let (host, port) = split_address(&address)?;
                let resolved = socket.getattr(intern!(py, "resolved"))?;
                let runner = shared.vat.home().runner(py)?;
                runner.call_method1(intern!(py, "resolve"), (host, port, resolved))?;
            }
        }
        Ok(connection)
    }
}

/// An open port.
#[pyclass(frozen, weakref, module = "marotte")]
pub(crate) struct Listener {
    shared: Arc<Shared>,
    socket: Mutex<Option<TcpListener>>,
    address: SocketAddr,
    netlayer: Netlayer,
    location: Location,
    visits: Visits,
}

impl Listener {
    fn open(
        py: Python<'_>,
        shared: &Arc<Shared>,
        address: &str,
        url: Option<&str>,
    ) -> PyResult<Py<Self>> {
        shared.check_open()?;
        let Some((netlayer, rest)) = Netlayer::split(address) else {
            return Err(PyValueError::new_err(format!(
                "cannot listen at {address:?}; it must be noise://host:port, noise+ws://host:port, \
                 tcp://host:port or ws://host:port"
            )));
        };
        let socket = TcpListener::bind(rest).map_err(|error| {
            let hint = match error.kind() {
                ErrorKind::AddrInUse => "; use port 0 to let the system choose",
                ErrorKind::InvalidInput => "; it must be host:port",
                _ => "",
            };
            PyOSError::new_err(format!("cannot listen at {address}: {error}{hint}"))
        })?;
        socket.set_nonblocking(true)?;
        let at = socket.local_addr()?;
        let location = netlayer.location(&shared.designator, at, url);
        let fd = socket.as_raw_fd();
        let listener = Bound::new(
            py,
            Self {
                shared: Arc::clone(shared),
                socket: Mutex::new(Some(socket)),
                address: at,
                netlayer,
                location,
                visits: Visits::default(),
            },
        )?;
        let on_readable = listener.getattr("_on_readable")?;
        shared
            .vat
            .home()
            .runner(py)?
            .call_method1("add_reader", (fd, on_readable))?;
        let listener = listener.unbind();
        lock(&shared.listeners).push(listener.clone_ref(py));
        Ok(listener)
    }
}

#[pymethods]
impl Listener {
    /// The port that is listened on.
    #[getter]
    fn port(&self) -> u16 {
        self.address.port()
    }

    /// What peers need to find the tub here: ``ocapn://…``.
    #[getter]
    fn location(&self) -> String {
        self.location.to_string()
    }

    /// The URI, at this listener, of what was registered under a name.
    #[pyo3(name = "uriFor")]
    fn uri_for(&self, name: &str) -> String {
        let swiss = name.as_bytes().to_vec();
        SturdyRef {
            location: self.location.clone(),
            swiss,
        }
        .to_string()
    }

    /// Stops accepting; connections that were accepted go on.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let Some(socket) = lock(&self.socket).take() else {
            return Ok(());
        };
        let runner = self.shared.vat.home().runner(py)?;
        runner.call_method1("remove_reader", (socket.as_raw_fd(),))?;
        Ok(())
    }

    /// The loop says that somebody connects.
    #[pyo3(name = "_on_readable")]
    fn on_readable(slf: &Bound<'_, Self>) -> PyResult<()> {
        /// Connections accepted in a row, before others get their chance.
        const BATCH: usize = 64;
        let py = slf.py();
        let this = slf.get();
        for _ in 0..BATCH {
            let accepted = match &*lock(&this.socket) {
                Some(socket) => socket.accept(),
                None => return Ok(()),
            };
            match accepted {
                Ok((stream, from)) => {
                    let shared = &this.shared;
                    let most = shared.limits.max_connections_per_address;
                    let Some(visit) = this.visits.admit(from.ip(), most) else {
                        continue;
                    };
                    let wire = this
                        .netlayer
                        .accept(&shared.identity, &shared.limits, urandom(py)?)
                        .map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
                    let config = shared.config(py, this.location.clone(), &wire, false)?;
                    Socket::accepted(py, shared.context(), config, wire, stream, visit)?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // The peer is gone already, or file descriptors are out: the next event tries
                // again, after a pause so that the loop does not spin.
                Err(_) => {
                    std::thread::sleep(Duration::from_millis(1));
                    break;
                }
            }
        }
        Ok(())
    }

    fn __repr__(&self) -> String {
        format!("<Listener {}>", self.location)
    }
}

/// The turns of one event loop; called to run them.
#[pyclass(frozen, module = "marotte._core", name = "_Turns")]
pub(crate) struct Turns(pub(crate) Arc<TurnQueue<PyHost>>);

#[pymethods]
impl Turns {
    #[new]
    fn new() -> Self {
        Self(TurnQueue::shared())
    }

    fn __call__(&self, py: Python<'_>) {
        /// Turns in a row, before the loop's I/O gets its chance.
        const BUDGET: usize = 256;
        self.0.run(py, BUDGET);
    }
}

/// Runs the blocking runner until `done`.
///
/// # Errors
/// `TimeoutError`, or that there is an event loop to be used instead.
pub(crate) fn wait(
    py: Python<'_>,
    _vat: &Arc<PyVat>,
    runner: &Bound<'_, PyAny>,
    timeout: Option<f64>,
    done: &dyn Fn() -> bool,
) -> PyResult<()> {
    // A time too long to be told is one without an end.
    let end = timeout.and_then(|seconds| {
        let left = Duration::try_from_secs_f64(seconds.max(0.0)).ok()?;
        Instant::now().checked_add(left)
    });
    while !done() {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()).as_secs_f64());
        if left == Some(0.0) {
            return Err(PyTimeoutError::new_err(
                "the promise did not settle in time",
            ));
        }
        py.check_signals()?;
        runner.call_method1(intern!(py, "run_once"), (left,))?;
    }
    Ok(())
}

fn split_address(address: &str) -> PyResult<(&str, u16)> {
    let bad = || PyValueError::new_err(format!("not host:port: {address:?}"));
    let (host, port) = address.rsplit_once(':').ok_or_else(bad)?;
    Ok((host, port.parse().map_err(|_| bad())?))
}

fn bad_locator(error: marotte::BadLocator) -> PyErr {
    PyValueError::new_err(error.to_string())
}

fn read_limits(given: Option<&Bound<'_, PyDict>>) -> PyResult<Limits> {
    let mut limits = Limits::default();
    for (name, value) in given.into_iter().flatten() {
        let name: String = name.extract()?;
        if !limits.set(&name, value.extract()?) {
            return Err(PyValueError::new_err(format!("no limit named {name:?}")));
        }
    }
    Ok(limits)
}
