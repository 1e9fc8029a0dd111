//! The tub: a vat of Python objects with its listeners and connections.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use marotte::captp::{CloseReason, Config, Keys, Profile, PublicKey};
use marotte::host::{Outcome, Ref};
use marotte::promise::Cell;
use marotte::transport::{Wire, ways_to};
use marotte::vat::{Connection, TurnQueue, Vat};
use marotte::{Error, Host, Identity, Limits, Location, SturdyRef};
use pyo3::exceptions::{PyRuntimeError, PyTimeoutError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::dialling::Dialling;
use crate::errors::{Failure, RemoteError, aside, log_exception, to_exception};
use crate::host::{Home, PyHost, PyVat};
use crate::invoke::is_callable;
use crate::ports::{Listener, Ports};
use crate::promise::Promise;
use crate::socket::{Context, Socket};
use crate::trace::Trace;
use crate::values::{PySturdyRef, Referenceable};

/// How a tub behaves.
#[derive(Clone)]
struct Options {
    profile: Profile,
    limits: Arc<Limits>,
    tracebacks: bool,
    introduce: bool,
    believe: bool,
}

/// A connection that is being made, and by what.
type Dial = (Weak<Connection<PyHost>>, Py<Dialling>);

/// What a tub, its ports and its connections share.
pub(crate) struct Shared {
    vat: Arc<PyVat>,
    identity: Arc<Identity>,
    designator: String,
    options: Options,
    epoch: Instant,
    ports: Arc<Ports>,
    closed: AtomicBool,
    /// The connections that are being made, and by what.
    dials: Mutex<Vec<Dial>>,
    /// What ends with the tub.
    reconnectors: Mutex<Vec<Py<PyAny>>>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn urandom(py: Python<'_>) -> PyResult<[u8; 32]> {
    py.import(intern!(py, "os"))?
        .call_method1(intern!(py, "urandom"), (32,))?
        .extract()
}

/// The identity that is kept in that file, or a new one.
fn identity(py: Python<'_>, keyfile: Option<std::path::PathBuf>) -> PyResult<Identity> {
    let fresh = urandom(py)?;
    match keyfile {
        Some(path) => Ok(Identity::load_or_create(&path, || fresh)?),
        None => Ok(Identity::from_seed(fresh)),
    }
}

impl Shared {
    /// A tub that is found at those ports.
    fn found_at(
        py: Python<'_>,
        ports: Arc<Ports>,
        options: Options,
        identity: Identity,
        runner: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Arc<Self>> {
        let vat: Arc<PyVat> = Vat::new(Home::new());
        vat.show_tracebacks(options.tracebacks);
        vat.introduce_peers(options.introduce);
        vat.believe_hellos(options.believe);
        if let Some(runner) = runner {
            vat.home().set_runner(py, runner.unbind());
        }
        let shared = Arc::new(Self {
            vat,
            designator: identity.designator(),
            identity: Arc::new(identity),
            options,
            epoch: Instant::now(),
            ports,
            closed: AtomicBool::new(false),
            dials: Mutex::default(),
            reconnectors: Mutex::default(),
        });
        let dialler = Arc::downgrade(&shared);
        shared.vat.home().set_dialler(Box::new(move |py, to| {
            let shared = dialler
                .upgrade()
                .ok_or_else(|| Error::Misuse("the tub is gone".to_owned()))?;
            shared
                .check_open()
                .and_then(|()| {
                    // Those who are introduced to its objects look for it.
                    shared.ports.keep(&shared);
                    shared.connect(py, &to.from_afar())
                })
                .map_err(|error| Error::Misuse(error.to_string()))
        }));
        shared.ports.join(&shared)?;
        Ok(shared)
    }

    /// Fails if the tub was closed.
    fn check_open(&self) -> PyResult<()> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(PyRuntimeError::new_err(
                "the tub was closed; make another one",
            ));
        }
        Ok(())
    }

    pub(crate) fn context(&self) -> Context {
        Context {
            vat: Arc::clone(&self.vat),
            epoch: self.epoch,
        }
    }

    pub(crate) fn config(
        &self,
        py: Python<'_>,
        location: Location,
        wire: &Wire,
        dialled: bool,
    ) -> PyResult<Config> {
        Ok(Config {
            profile: self.options.profile,
            limits: Arc::clone(&self.options.limits),
            keys: Keys::from_seed(urandom(py)?),
            location,
            reserved: !dialled && wire.authenticates(),
            boundaries: wire.has_boundaries(),
            now_ms: u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }

    pub(crate) fn key(&self) -> PublicKey {
        self.identity.public()
    }

    pub(crate) fn designator(&self) -> &str {
        &self.designator
    }

    pub(crate) fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    pub(crate) fn limits(&self) -> &Arc<Limits> {
        &self.options.limits
    }

    pub(crate) fn profile(&self) -> Profile {
        self.options.profile
    }

    pub(crate) fn ports(&self) -> &Arc<Ports> {
        &self.ports
    }

    pub(crate) fn runner<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        self.vat.home().runner(py)
    }

    /// Where peers find the tub, by that transport if it listens there.
    fn whereabouts(&self, transport: Option<&str>) -> Option<Location> {
        let places = self.ports.locations(self.key(), &self.designator);
        Location::of(&places, transport)
    }

    /// What peers are told of where the tub is, over that transport; no more than who it is, if it listens
    /// nowhere.
    pub(crate) fn announced(&self, transport: &str) -> Location {
        let nowhere = || Location {
            transport: transport.to_owned(),
            designator: self.designator.clone(),
            hints: std::collections::BTreeMap::default(),
        };
        self.whereabouts(Some(transport)).unwrap_or_else(nowhere)
    }
}

impl Drop for Shared {
    /// Nobody has closed it, and nobody can any more.
    fn drop(&mut self) {
        if !self.closed.load(Ordering::Relaxed) {
            Python::try_attach(|py| {
                aside(py, || {
                    if let Err(error) = self.ports.leave(py, self) {
                        log_exception(py, "cannot close the ports of a tub", &error);
                    }
                });
            });
        }
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
        let runner = match runner {
            Some(name) => {
                let runner = py.import("marotte._runner")?;
                Some(runner.call_method1("named", (name,))?)
            }
            None => None,
        };
        let identity = identity(py, keyfile)?;
        let options = Options {
            profile,
            limits: Arc::new(read_limits(limits)?),
            tracebacks,
            introduce,
            believe,
        };
        let shared = Shared::found_at(py, Arc::default(), options, identity, runner)?;
        Ok(Self { shared })
    }

    /// Another tub, with a new identity and the same options, that is found where this one is, now and
    /// later: whoever connects says by the key in the URI whom they want.
    #[pyo3(name = "makeTub", signature = (*, keyfile=None))]
    fn make_tub(&self, py: Python<'_>, keyfile: Option<std::path::PathBuf>) -> PyResult<Self> {
        let shared = &self.shared;
        shared.check_open()?;
        let identity = identity(py, keyfile)?;
        let runner = shared.runner(py)?.clone();
        let ports = Arc::clone(&shared.ports);
        let options = shared.options.clone();
        let shared = Shared::found_at(py, ports, options, identity, Some(runner))?;
        Ok(Self { shared })
    }

    /// Accepts connections at ``noise://host:port`` (encrypted, and both ends show who they are),
    /// ``noise+ws://host:port`` (the same inside of a WebSocket), ``tcp://host:port`` or
    /// ``ws://host:port`` (plain text); port 0 lets the system choose. ``url`` is where peers connect to
    /// a WebSocket behind a proxy. Returns the :class:`Listener`.
    #[pyo3(signature = (address, url=None))]
    fn listen(&self, py: Python<'_>, address: &str, url: Option<&str>) -> PyResult<Py<Listener>> {
        self.shared.check_open()?;
        Listener::open(py, &self.shared, address, url)
    }

    /// Offers an object to whoever knows the returned URI. Without a name the URI holds 256 random
    /// bits; with one it can be guessed by whoever knows the name. The URI is that of the first
    /// listener; see :meth:`Listener.uriFor` for the others.
    #[pyo3(name = "registerReference", signature = (obj, name=None, *, uriFile=None))]
    #[expect(non_snake_case, reason = "it is a keyword in Python")]
    fn register_reference(
        &self,
        py: Python<'_>,
        obj: Bound<'_, PyAny>,
        name: Option<&str>,
        uriFile: Option<std::path::PathBuf>,
    ) -> PyResult<String> {
        self.shared.check_open()?;
        if !obj.is_instance_of::<Referenceable>() && !is_callable(&obj) {
            return Err(PyTypeError::new_err(format!(
                "{} cannot be registered; derive its class from marotte.Referenceable",
                obj.get_type().name()?
            )));
        }
        let Some(location) = self.shared.whereabouts(None) else {
            return Err(PyRuntimeError::new_err(
                "the tub listens nowhere yet; call listen(\"tcp://127.0.0.1:0\") first",
            ));
        };
        let sturdy = match (name, uriFile) {
            (Some(_), Some(_)) => {
                return Err(PyValueError::new_err(
                    "a name makes the URI the same already; leave out name or uriFile",
                ));
            }
            (Some(name), None) => SturdyRef {
                location,
                swiss: name.as_bytes().to_vec(),
            },
            (None, Some(path)) => {
                let fresh = urandom(py)?;
                SturdyRef::load_or_create(&path, &location, || fresh)?
            }
            (None, None) => SturdyRef {
                location,
                swiss: urandom(py)?.to_vec(),
            },
        };
        drop(self.shared.vat.register(&sturdy.swiss, obj.unbind()));
        self.shared.ports.keep(&self.shared);
        Ok(sturdy.to_string())
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

    /// Keeps a connection to the object that a URI names: a :class:`Reconnector`.
    #[pyo3(name = "connectTo", signature = (uri, callback=None, *args, **kwargs))]
    fn connect_to<'py>(
        slf: &Bound<'py, Self>,
        uri: &Bound<'py, PyAny>,
        callback: Option<&Bound<'py, PyAny>>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let shared = &slf.get().shared;
        shared.check_open()?;
        if !uri.is_instance_of::<PySturdyRef>() {
            uri.extract::<&str>()?
                .parse::<SturdyRef>()
                .map_err(bad_locator)?;
        }
        let kwargs = kwargs.map_or_else(|| PyDict::new(py), Bound::clone);
        let reconnector = py.import("marotte._reconnector")?.call_method1(
            "Reconnector",
            (slf, shared.runner(py)?, uri, callback, args, kwargs),
        )?;
        let mut going = vec![reconnector.clone().unbind()];
        for old in std::mem::take(&mut *lock(&shared.reconnectors)) {
            if !old
                .getattr(py, intern!(py, "state"))?
                .bind(py)
                .eq("stopped")?
            {
                going.push(old);
            }
        }
        lock(&shared.reconnectors).append(&mut going);
        Ok(reconnector)
    }

    /// Notes from now on who sends what, because of which message: a :class:`Trace`.
    #[pyo3(signature = (name=None, *, events=100_000))]
    fn trace(&self, name: Option<&str>, events: usize) -> Trace {
        let name = name.unwrap_or(&self.shared.designator);
        Trace::begin(&self.shared.vat, name, events)
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
        let reconnectors = std::mem::take(&mut *lock(&self.shared.reconnectors));
        for reconnector in reconnectors {
            reconnector.call_method0(py, intern!(py, "stopConnecting"))?;
        }
        self.shared.ports.leave(py, &self.shared)?;
        for connection in self.shared.vat.connections() {
            connection.close(py, CloseReason::Local("the tub was closed".to_owned()));
        }
        // What was registered may lead back to the tub.
        drop(self.shared.vat.unregister_everything());
        drop(std::mem::take(&mut *lock(&self.shared.dials)));
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
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) -> PyResult<bool> {
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
        let known = shared.vat.connection_to(to);
        let ways = |seed| {
            ways_to(
                to,
                &self.identity,
                &self.options.limits,
                self.options.profile,
                seed,
            )
        };
        if let Some(connection) = known {
            let dialling = lock(&self.dials)
                .iter()
                .find(|(other, _)| std::ptr::eq(other.as_ptr(), Arc::as_ptr(&connection)))
                .map(|(_, dialling)| dialling.clone_ref(py));
            if let Some(dialling) = dialling {
                let seed = urandom(py)?;
                // Of those that lead nowhere the reference's own connection would have told.
                Dialling::go_further(dialling.bind(py), &to.hints, || ways(seed).ok())?;
            }
            return Ok(connection);
        }
        let ways = ways(urandom(py)?).map_err(|error| match error {
            Error::Misuse(text) => PyValueError::new_err(text),
            error => to_exception(error),
        })?;
        let announced = shared.announced(&to.transport);
        let config = shared.config(py, announced, &ways[0].wire, true)?;
        let (connection, dialling) = Socket::connecting(py, shared.context(), config, ways, to)?;
        let ended: Vec<_> = {
            let mut dials = lock(&self.dials);
            let ended = dials.extract_if(.., |(_, dialling)| dialling.get().has_ended());
            let ended = ended.collect();
            dials.push((Arc::downgrade(&connection), dialling));
            ended
        };
        drop(ended);
        Ok(connection)
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
