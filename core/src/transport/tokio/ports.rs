//! The open ports of tubs, and who is found at them.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::dialling::ready;
use super::random;
use super::stream::{Stream, greet};
use super::tub::Inner;
use crate::captp::PublicKey;
use crate::limits::Limits;
use crate::locator::Location;
use crate::sync::lock;
#[cfg(unix)]
use crate::transport::SocketName;
use crate::transport::{Arrival, Netlayer, Place, Visit, Visits};

/// The ports that a tub shares with those that were made of it. They close when the last of these is.
///
/// Whoever connects to one says by a key whom they want. A port in plain text, where nobody can say that, is
/// of one tub only, and closes with it.
#[derive(Default)]
pub(super) struct Ports {
    tubs: Mutex<HashMap<PublicKey, Weak<Inner>>>,
    open: Mutex<Vec<Port>>,
}

struct Port {
    place: Place,
    /// Whose it is, if it is of one tub only.
    owner: Option<PublicKey>,
    task: AbortHandle,
}

impl Drop for Port {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An open port. Dropping this leaves it open; it closes with the tub, and those that share it, or by
/// [`Self::close`].
#[derive(Debug, Clone)]
pub struct Listener {
    address: Option<SocketAddr>,
    location: Location,
    task: AbortHandle,
    ports: Weak<Ports>,
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ports").finish_non_exhaustive()
    }
}

impl Listener {
    /// The address that is listened on; `None` for a path in the file system.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.address
    }

    /// What peers need to find the tub here.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Stops accepting; connections that were accepted go on.
    pub fn close(&self) {
        self.task.abort();
        if let Some(ports) = self.ports.upgrade() {
            lock(&ports.open).retain(|port| port.task.id() != self.task.id());
        }
    }
}

/// A socket that accepts.
enum Socket {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener, SocketName),
}

impl Socket {
    async fn bind(netlayer: Netlayer, address: &str) -> io::Result<Self> {
        match netlayer {
            #[cfg(unix)]
            Netlayer::NoiseUnix => {
                let path = SocketName::free(address)?;
                let listener = UnixListener::bind(&path)?;
                Ok(Self::Unix(listener, SocketName::bound(path)))
            }
            #[cfg(not(unix))]
            Netlayer::NoiseUnix => Err(io::ErrorKind::Unsupported.into()),
            _ => Ok(Self::Tcp(TcpListener::bind(address).await?)),
        }
    }

    /// The address, if it has one, and how it is called.
    fn address(&self) -> io::Result<(Option<SocketAddr>, String)> {
        Ok(match self {
            Self::Tcp(listener) => {
                let address = listener.local_addr()?;
                (Some(address), address.to_string())
            }
            #[cfg(unix)]
            Self::Unix(_, name) => (None, name.path().display().to_string()),
        })
    }

    async fn accept(&self, silence_ms: u64) -> io::Result<(Box<dyn Stream>, Option<IpAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, from) = listener.accept().await?;
                Ok((ready(stream, silence_ms), Some(from.ip())))
            }
            #[cfg(unix)]
            Self::Unix(listener, _) => Ok((Box::new(listener.accept().await?.0), None)),
        }
    }
}

impl Ports {
    /// A tub can be found at these ports from now on.
    pub(super) fn join(&self, key: PublicKey, tub: Weak<Inner>) {
        lock(&self.tubs).insert(key, tub);
    }

    /// A tub is found here no more. The last one closes the ports.
    pub(super) fn leave(&self, key: PublicKey) {
        let is_last = {
            let mut tubs = lock(&self.tubs);
            tubs.remove(&key);
            tubs.is_empty()
        };
        let mut open = lock(&self.open);
        open.retain(|port| !is_last && port.owner.is_none_or(|owner| owner != key));
    }

    /// Where a tub is found.
    pub(super) fn locations(&self, key: PublicKey, designator: &str) -> Vec<Location> {
        let open = lock(&self.open);
        open.iter()
            .filter(|port| port.owner.is_none_or(|owner| owner == key))
            .map(|port| port.place.location(designator))
            .collect()
    }

    fn tub(&self, key: PublicKey) -> Option<Arc<Inner>> {
        lock(&self.tubs).get(&key)?.upgrade()
    }

    /// Opens a port for a tub, and for those that share its ports if they can be told apart there.
    pub(super) async fn listen(
        self: &Arc<Self>,
        tub: &Arc<Inner>,
        netlayer: Netlayer,
        address: &str,
        url: Option<&str>,
    ) -> io::Result<Listener> {
        let socket = Socket::bind(netlayer, address).await?;
        let (at, name) = socket.address()?;
        let place = Place::new(netlayer, &name, url).map_err(io::Error::other)?;
        let location = place.location(tub.designator());
        let key = tub.key();
        let owner = (!netlayer.is_shared()).then_some(key);
        let accepting = Accepting {
            socket,
            netlayer,
            limits: Arc::clone(tub.limits()),
            ports: Arc::downgrade(self),
            runtime: tub.runtime().clone(),
            owner: key,
            announced: location.clone(),
        };
        let task = tub.runtime().spawn(accepting.run()).abort_handle();
        lock(&self.open).push(Port {
            place,
            owner,
            task: task.clone(),
        });
        // It may have been closed on another thread meanwhile.
        if tub.is_closed() {
            self.leave(key);
        }
        Ok(Listener {
            address: at,
            location,
            task,
            ports: Arc::downgrade(self),
        })
    }
}

/// The task of a port.
struct Accepting {
    socket: Socket,
    netlayer: Netlayer,
    /// Those of the tub that has opened the port: before it is known who is wanted they hold for all.
    limits: Arc<Limits>,
    ports: Weak<Ports>,
    runtime: Handle,
    owner: PublicKey,
    /// Where the owner is found by this port.
    announced: Location,
}

impl Accepting {
    async fn run(self) {
        let visits = Visits::default();
        loop {
            let Ok((stream, from)) = self.socket.accept(self.limits.silence_ms).await else {
                // Out of file descriptors, or a peer gone before it was accepted: go on.
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            let most = self.limits.max_connections_per_address;
            let visit = match from.map(|from| visits.admit(from, most)) {
                Some(None) => continue,
                Some(visit) => visit,
                None => None,
            };
            let Some(ports) = self.ports.upgrade() else {
                return;
            };
            if self.netlayer.is_shared() {
                self.meet(ports, stream, visit);
            } else if let Some(tub) = ports.tub(self.owner)
                && let Ok(wire) =
                    self.netlayer
                        .accept_plain(tub.identity(), &self.limits, tub.profile())
            {
                let task = tub.accepted(self.announced.clone(), stream, wire, visit);
                self.runtime.spawn(task);
            }
        }
    }

    /// Finds out whom somebody wants, and gives the connection to that tub.
    fn meet(&self, ports: Arc<Ports>, mut stream: Box<dyn Stream>, visit: Option<Visit>) {
        let Ok(mut arrival) = Arrival::new(self.netlayer, &self.limits) else {
            return;
        };
        // The task must not keep the ports open.
        let ports = Arc::downgrade(&ports);
        let patience = Duration::from_millis(self.limits.handshake_ms);
        let runtime = self.runtime.clone();
        let transport = self.announced.transport.clone();
        self.runtime.spawn(async move {
            let wanted = greet(&mut stream, |bytes, out| {
                let wanted = arrival.receive(bytes)?;
                arrival.output(out);
                Ok(wanted)
            });
            // Whoever says nothing, or nothing that is understood, is not answered.
            let Ok(Ok(key)) = timeout(patience, wanted).await else {
                return;
            };
            let Some(tub) = ports.upgrade().and_then(|ports| ports.tub(key)) else {
                return;
            };
            let wire = arrival.admit(tub.identity(), tub.limits(), random());
            let announced = tub.announced(&transport);
            // A task of its own: this one had to be large.
            runtime.spawn(tub.accepted(announced, stream, wire, visit));
        });
    }
}
