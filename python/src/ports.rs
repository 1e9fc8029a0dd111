//! The open ports of tubs, and who is found at them.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex, Weak};

use marotte::captp::PublicKey;
use marotte::transport::{Arrival, Netlayer, Place, SocketName, Visit, Visits, WireError};
use marotte::{Error, Location, SturdyRef};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use socket2::Socket as RawSocket;

use crate::greeting::{Greeting, Talk};
use crate::socket::Socket;
use crate::stream::Stream;
use crate::tub::{Shared, lock, urandom};

/// The ports that a tub shares with those that were made of it. They close when the last of these is.
///
/// Whoever connects to one says by a key whom they want. A port in plain text, where nobody can say that, is
/// of one tub only, and closes with it.
#[derive(Default)]
pub(crate) struct Ports {
    tubs: Mutex<HashMap<PublicKey, Resident>>,
    open: Mutex<Vec<Py<Listener>>>,
}

struct Resident {
    tub: Weak<Shared>,
    /// Set once there is something that others may look for: until it is closed it stays, then.
    kept: Option<Arc<Shared>>,
}

impl Ports {
    /// A tub can be found at these ports from now on.
    ///
    /// # Errors
    /// `ValueError` if another one with that key is: nobody could say which is meant.
    pub(crate) fn join(&self, tub: &Arc<Shared>) -> PyResult<()> {
        let mut tubs = lock(&self.tubs);
        if tubs
            .get(&tub.key())
            .is_some_and(|other| other.tub.strong_count() > 0)
        {
            return Err(PyValueError::new_err(
                "a tub with that key is found here already; close it first, or take another key",
            ));
        }
        let resident = Resident {
            tub: Arc::downgrade(tub),
            kept: None,
        };
        tubs.insert(tub.key(), resident);
        Ok(())
    }

    /// It stays until it is closed.
    pub(crate) fn keep(&self, tub: &Arc<Shared>) {
        if let Some(resident) = lock(&self.tubs).get_mut(&tub.key()) {
            resident.kept = Some(Arc::clone(tub));
        }
    }

    /// A tub is found here no more. The last one closes the ports.
    pub(crate) fn leave(&self, py: Python<'_>, tub: &Shared) -> PyResult<()> {
        let key = tub.key();
        let (resident, is_last) = {
            let mut tubs = lock(&self.tubs);
            let is_it = |other: &Resident| std::ptr::eq(other.tub.as_ptr(), tub);
            // It may have left before, and another one with its key have come since.
            if !tubs.get(&key).is_some_and(is_it) {
                return Ok(());
            }
            (tubs.remove(&key), tubs.is_empty())
        };
        drop(resident);
        let over: Vec<_> = lock(&self.open)
            .extract_if(.., |port| is_last || port.get().owner == Some(key))
            .collect();
        for listener in over {
            listener.bind(py).call_method0("close")?;
        }
        Ok(())
    }

    /// Where a tub is found.
    pub(crate) fn locations(&self, key: PublicKey, designator: &str) -> Vec<Location> {
        let open = lock(&self.open);
        open.iter()
            .map(Py::get)
            .filter(|port| port.owner.is_none_or(|owner| owner == key))
            .map(|port| port.place.location(designator))
            .collect()
    }

    fn tub(&self, key: PublicKey) -> Option<Arc<Shared>> {
        lock(&self.tubs).get(&key)?.tub.upgrade()
    }
}

/// A socket that accepts, with its name if it is in the file system.
struct Accepting {
    socket: RawSocket,
    name: Option<SocketName>,
}

impl Accepting {
    fn bind(netlayer: Netlayer, address: &str) -> io::Result<(Self, Option<SocketAddr>)> {
        if netlayer == Netlayer::NoiseUnix {
            let path = SocketName::free(address)?;
            let socket = UnixListener::bind(&path)?;
            socket.set_nonblocking(true)?;
            let accepting = Self {
                socket: RawSocket::from(socket),
                name: Some(SocketName::bound(path)),
            };
            return Ok((accepting, None));
        }
        let socket = TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        let at = socket.local_addr()?;
        let accepting = Self {
            socket: RawSocket::from(socket),
            name: None,
        };
        Ok((accepting, Some(at)))
    }

    fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// An open port.
#[pyclass(frozen, weakref, module = "marotte")]
pub(crate) struct Listener {
    /// The tub that has opened it, whose limits hold until it is known who is wanted.
    opener: Arc<Shared>,
    ports: Weak<Ports>,
    runner: Py<PyAny>,
    socket: Mutex<Option<Accepting>>,
    address: Option<SocketAddr>,
    place: Place,
    location: Location,
    /// Whose it is, if it is of one tub only.
    owner: Option<PublicKey>,
    visits: Visits,
    /// Those who have not said whom they want, and some who have.
    guests: Mutex<Vec<Py<Greeting>>>,
}

impl Listener {
    pub(crate) fn open(
        py: Python<'_>,
        opener: &Arc<Shared>,
        address: &str,
        url: Option<&str>,
    ) -> PyResult<Py<Self>> {
        let Some((netlayer, rest)) = Netlayer::split(address) else {
            return Err(PyValueError::new_err(format!(
                "cannot listen at {address:?}; {}",
                Netlayer::ADDRESSES
            )));
        };
        let (socket, at) = Accepting::bind(netlayer, rest).map_err(|error| {
            let hint = match error.kind() {
                _ if netlayer == Netlayer::NoiseUnix => "",
                ErrorKind::AddrInUse => "; use port 0 to let the system choose",
                ErrorKind::InvalidInput => "; it must be host:port",
                _ => "",
            };
            PyOSError::new_err(format!("cannot listen at {address}: {error}{hint}"))
        })?;
        let name = match (&socket.name, at) {
            (Some(name), _) => name.path().display().to_string(),
            (None, Some(at)) => at.to_string(),
            (None, None) => rest.to_owned(),
        };
        let place = Place::new(netlayer, &name, url).map_err(|error| match error {
            Error::Misuse(text) => PyValueError::new_err(text),
            error => PyRuntimeError::new_err(error.to_string()),
        })?;
        let runner = opener.runner(py)?;
        let fd = socket.fd();
        let listener = Bound::new(
            py,
            Self {
                opener: Arc::clone(opener),
                ports: Arc::downgrade(opener.ports()),
                runner: runner.clone().unbind(),
                socket: Mutex::new(Some(socket)),
                address: at,
                location: place.location(opener.designator()),
                owner: (!netlayer.is_shared()).then(|| opener.key()),
                place,
                visits: Visits::default(),
                guests: Mutex::default(),
            },
        )?;
        let on_readable = listener.getattr("_on_readable")?;
        runner.call_method1(intern!(py, "add_reader"), (fd, on_readable))?;
        let listener = listener.unbind();
        lock(&opener.ports().open).push(listener.clone_ref(py));
        Ok(listener)
    }

    /// Accepts nobody for a moment: the loop would only say again and again that somebody waits.
    fn pause(slf: &Bound<'_, Self>) -> PyResult<()> {
        const SECONDS: f64 = 0.02;
        let py = slf.py();
        let fd = match &*lock(&slf.get().socket) {
            Some(accepting) => accepting.fd(),
            None => return Ok(()),
        };
        let runner = slf.get().runner.bind(py);
        runner.call_method1(intern!(py, "remove_reader"), (fd,))?;
        let resume = slf.getattr("_resume")?;
        runner.call_method1(intern!(py, "call_later"), (SECONDS, resume))?;
        Ok(())
    }

    /// Somebody has connected.
    fn accepted(&self, py: Python<'_>, socket: RawSocket, visit: Option<Visit>) -> PyResult<()> {
        let limits = self.opener.limits();
        // An error means that the peer is gone already.
        let Ok(stream) = Stream::accepted(socket, limits.silence_ms) else {
            return Ok(());
        };
        let netlayer = self.place.netlayer();
        if !netlayer.is_shared() {
            let opener = &self.opener;
            let wire = netlayer
                .accept_plain(opener.identity(), limits, opener.profile())
                .map_err(broken)?;
            let announced = self.location.clone();
            let config = self.opener.config(py, announced, &wire, false)?;
            return Socket::accepted(py, self.opener.context(), config, wire, stream, visit);
        }
        let guest = Guest {
            arrival: Arrival::new(netlayer, limits).map_err(broken)?,
            wanted: None,
            ports: Weak::clone(&self.ports),
            transport: self.location.transport.clone(),
            visit,
        };
        let seconds = limits.handshake_ms as f64 / 1e3;
        let guest = Greeting::accepted(py, self.runner.bind(py), Box::new(guest), stream, seconds)?;
        let gone: Vec<_> = {
            let mut guests = lock(&self.guests);
            guests.push(guest);
            // Now and then, so that it costs little.
            if guests.len().is_multiple_of(64) {
                guests
                    .extract_if(.., |guest| guest.get().has_ended())
                    .collect()
            } else {
                Vec::new()
            }
        };
        drop(gone);
        Ok(())
    }
}

fn broken(error: WireError) -> PyErr {
    PyRuntimeError::new_err(error.to_string())
}

/// Somebody who has not said yet whom they want.
struct Guest {
    arrival: Arrival,
    wanted: Option<PublicKey>,
    ports: Weak<Ports>,
    transport: String,
    visit: Option<Visit>,
}

impl Talk for Guest {
    fn hear(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<bool, WireError> {
        self.wanted = self.arrival.receive(bytes)?;
        self.arrival.output(out);
        Ok(self.wanted.is_some())
    }

    /// Whoever wants somebody who is not here is not answered.
    fn ended(self: Box<Self>, py: Python<'_>, stream: Stream) -> PyResult<()> {
        let ports = self.ports.upgrade();
        let tub = ports
            .zip(self.wanted)
            .and_then(|(ports, key)| ports.tub(key));
        let Some(tub) = tub else {
            return Ok(());
        };
        let wire = self
            .arrival
            .admit(tub.identity(), tub.limits(), urandom(py)?);
        let announced = tub.announced(&self.transport);
        let config = tub.config(py, announced, &wire, false)?;
        Socket::accepted(py, tub.context(), config, wire, stream, self.visit)
    }

    fn failed(self: Box<Self>, _: Python<'_>, _: String) -> PyResult<()> {
        Ok(())
    }
}

#[pymethods]
impl Listener {
    /// The port that is listened on; 0 for a path in the file system.
    #[getter]
    fn port(&self) -> u16 {
        self.address.map_or(0, |address| address.port())
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
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let Some(socket) = lock(&this.socket).take() else {
            return Ok(());
        };
        let runner = this.runner.bind(py);
        runner.call_method1(intern!(py, "remove_reader"), (socket.fd(),))?;
        for guest in std::mem::take(&mut *lock(&this.guests)) {
            Greeting::abandon(guest.bind(py))?;
        }
        if let Some(ports) = this.ports.upgrade() {
            let gone: Vec<_> = lock(&ports.open)
                .extract_if(.., |port| port.is(slf))
                .collect();
            drop(gone);
        }
        Ok(())
    }

    /// Accepts again.
    fn _resume(slf: &Bound<'_, Self>) -> PyResult<()> {
        let fd = match &*lock(&slf.get().socket) {
            Some(accepting) => accepting.fd(),
            None => return Ok(()),
        };
        let on_readable = slf.getattr("_on_readable")?;
        let runner = slf.get().runner.bind(slf.py());
        runner.call_method1(intern!(slf.py(), "add_reader"), (fd, on_readable))?;
        Ok(())
    }

    /// The loop says that somebody connects.
    #[pyo3(name = "_on_readable")]
    fn on_readable(slf: &Bound<'_, Self>) -> PyResult<()> {
        /// Connections accepted in a row, before others get their chance.
        const BATCH: usize = 64;
        let (py, this) = (slf.py(), slf.get());
        for _ in 0..BATCH {
            let accepted = match &*lock(&this.socket) {
                Some(accepting) => accepting.socket.accept(),
                None => return Ok(()),
            };
            match accepted {
                Ok((socket, from)) => {
                    let most = this.opener.limits().max_connections_per_address;
                    let from = from.as_socket();
                    let visit = from.map(|from| this.visits.admit(from.ip(), most));
                    if !matches!(visit, Some(None)) {
                        this.accepted(py, socket, visit.flatten())?;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // The peer is gone already, or file descriptors are out.
                Err(_) => return Self::pause(slf),
            }
        }
        Ok(())
    }

    fn __repr__(&self) -> String {
        format!("<Listener {}>", self.location)
    }
}
