//! The transports by name: where tubs are found, and the ways there, without I/O.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::crypto::Seed;
use super::hints::numbered;
use super::wire::{Wire, WireError, websocket_address};
use crate::captp::{Profile, PublicKey};
use crate::error::Error;
use crate::identity::Identity;
use crate::limits::Limits;
use crate::locator::Location;

const TCP: &str = "tcp-testing-only";
const NOISE: &str = "noise";
const WEBSOCKET: &str = "websocket";

/// What an open port speaks.
///
/// ```
/// use marotte::transport::Netlayer;
///
/// assert_eq!(Netlayer::split("noise+ws://[::1]:80"), Some((Netlayer::NoiseWebSocket, "[::1]:80")));
/// assert_eq!(Netlayer::split("http://localhost:80"), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Netlayer {
    /// `noise://`: encrypted, and both ends show who they are.
    Noise,
    /// `noise+ws://`: the same inside of a WebSocket, for browsers and for the way through proxies.
    NoiseWebSocket,
    /// `noise+unix://`: the same on a socket in the file system, for programs of one machine.
    NoiseUnix,
    /// `tcp://`: plain text, which does not show who the peer is. For testing, and for networks that
    /// can be trusted.
    Tcp,
    /// `ws://`: the same in a WebSocket.
    WebSocket,
}

impl Netlayer {
    /// What addresses to listen at look like.
    pub const ADDRESSES: &str = "it must be noise://host:port, noise+ws://host:port, \
         noise+unix:///path, tcp://host:port or ws://host:port";

    /// What stands before `host:port`, or before a path, in an address to listen at, and the rest.
    pub fn split(address: &str) -> Option<(Self, &str)> {
        let (scheme, rest) = address.split_once("://")?;
        Some(match scheme {
            "noise" => (Self::Noise, rest),
            "noise+ws" => (Self::NoiseWebSocket, rest.trim_end_matches('/')),
            "noise+unix" => (Self::NoiseUnix, rest),
            "tcp" => (Self::Tcp, rest),
            "ws" => (Self::WebSocket, rest.trim_end_matches('/')),
            _ => return None,
        })
    }

    /// True if several tubs can be found at one place: whoever connects there says by a key whom they want.
    pub fn is_shared(self) -> bool {
        matches!(self, Self::Noise | Self::NoiseWebSocket | Self::NoiseUnix)
    }

    /// The codec for a connection that was accepted where only one tub is found.
    ///
    /// # Errors
    /// Never before bytes have come.
    pub fn accept_plain(
        self,
        identity: &Arc<Identity>,
        limits: &Arc<Limits>,
        profile: Profile,
    ) -> Result<Wire, WireError> {
        match self {
            Self::WebSocket => {
                Wire::websocket_server(limits, profile.peer_auth.then_some(identity))
            }
            _ => Ok(Wire::stream(limits)),
        }
    }
}

/// Where tubs are found: an open port, as peers are told of it.
///
/// ```
/// use marotte::transport::{Netlayer, Place};
///
/// let place = Place::new(Netlayer::Noise, "127.0.0.1:9000", None).unwrap();
/// assert_eq!(place.location("me").to_string(), "ocapn://me.noise?host=127.0.0.1&port=9000");
/// let place = Place::new(Netlayer::Noise, "0.0.0.0:9000", Some("noise://example.org:80")).unwrap();
/// assert_eq!(place.location("me").to_string(), "ocapn://me.noise?host=example.org&port=80");
/// ```
#[derive(Debug, Clone)]
pub struct Place {
    netlayer: Netlayer,
    hints: Vec<(&'static str, String)>,
}

impl Place {
    /// What listens at that `host:port`, or path. `url` is what peers are told instead, such as
    /// `wss://example.org/marotte` for a WebSocket behind a proxy, or `noise://example.org:9000`.
    ///
    /// # Errors
    /// [`Error::Misuse`] if the URL is not one for that.
    pub fn new(netlayer: Netlayer, at: &str, url: Option<&str>) -> Result<Self, Error> {
        let unfit = |what: &str| Error::Misuse(format!("the URL for peers must be {what}"));
        let hints = match netlayer {
            Netlayer::NoiseWebSocket | Netlayer::WebSocket => {
                let url = url.map_or_else(|| format!("ws://{at}"), str::to_owned);
                if !url.starts_with("ws://") && !url.starts_with("wss://") {
                    return Err(unfit("ws://… or wss://…"));
                }
                vec![("url", url)]
            }
            Netlayer::NoiseUnix if url.is_some() => {
                return Err(unfit("left out: the path is what they need"));
            }
            Netlayer::NoiseUnix => vec![("unix", at.to_owned())],
            Netlayer::Noise | Netlayer::Tcp => {
                let at = match url.map(Netlayer::split) {
                    None => at,
                    Some(Some((same, at))) if same == netlayer => at,
                    Some(_) => return Err(unfit("of the same kind, such as noise://host:port")),
                };
                let (host, port) = split_host_port(at).ok_or_else(|| unfit("…://host:port"))?;
                vec![("host", host.to_owned()), ("port", port.to_string())]
            }
        };
        Ok(Self { netlayer, hints })
    }

    /// What is spoken there.
    pub fn netlayer(&self) -> Netlayer {
        self.netlayer
    }

    /// Where peers find the tub of that name.
    pub fn location(&self, designator: &str) -> Location {
        let transport = match self.netlayer {
            Netlayer::Noise | Netlayer::NoiseWebSocket | Netlayer::NoiseUnix => NOISE,
            Netlayer::Tcp => TCP,
            Netlayer::WebSocket => WEBSOCKET,
        };
        let hints = self.hints.iter();
        Location {
            transport: transport.to_owned(),
            designator: designator.to_owned(),
            hints: hints
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
        }
    }
}

/// `host:port` in two; an IPv6 address is in brackets there, and not in its hint.
///
/// ```
/// use marotte::transport::split_host_port;
///
/// assert_eq!(split_host_port("[::1]:80"), Some(("::1", 80)));
/// assert_eq!(split_host_port("example.org"), None);
/// ```
pub fn split_host_port(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        None => host,
    };
    Some((host, port.parse().ok()?))
}

/// Where a way leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A host, by name or address, and a port.
    Tcp(String, u16),
    /// A path in the file system.
    Unix(String),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => f.write_str(path),
        }
    }
}

/// One way to a peer.
#[derive(Debug)]
pub struct Way {
    /// What to connect to.
    pub to: Destination,
    /// The codec of the connection. It is met there once [`Wire::greet`] says so.
    pub wire: Wire,
}

/// How long a way may take before the next one is tried beside it, in milliseconds. The first on which the
/// peer is met is kept. Source: RFC 8305 ("Happy Eyeballs"), section 5.
pub const NEXT_WAY_MS: u64 = 250;

/// The ways to a peer, at least one, in the order in which they are to be tried. `seed` is 32 secret random
/// bytes for this call alone.
///
/// # Errors
/// [`Error::Misuse`] if the location leads nowhere from here, and what it lacks.
pub fn ways_to(
    to: &Location,
    identity: &Arc<Identity>,
    limits: &Arc<Limits>,
    profile: Profile,
    seed: Seed,
) -> Result<Vec<Way>, Error> {
    let lacks = |what: &str| {
        let transport = &to.transport;
        Error::Misuse(format!("the reference lacks {what}: {transport} ({to})"))
    };
    let misuse = |error: WireError| Error::Misuse(error.to_string());
    match to.transport.as_str() {
        TCP => {
            let plain = |to| Way {
                to,
                wire: Wire::stream(limits),
            };
            let ways: Vec<_> = hosts(to).map(plain).collect();
            if ways.is_empty() {
                return Err(lacks("the hints \"host\" and \"port\" (a number)"));
            }
            Ok(ways)
        }
        WEBSOCKET => {
            // Some peers have names that are no keys, and cannot be asked.
            let key = Identity::key_of(&to.designator).filter(|_| profile.peer_auth);
            let mut ways = Vec::new();
            for (url, to) in urls(to) {
                let to = to.ok_or_else(|| {
                    Error::Misuse(format!("cannot use {url:?}; it must be ws://host:port"))
                })?;
                let ask = key.map(|key| (key, &seed));
                let wire = Wire::websocket_client(url, limits, ask).map_err(misuse)?;
                ways.push(Way { to, wire });
            }
            if ways.is_empty() {
                return Err(lacks("the hint \"url\""));
            }
            Ok(ways)
        }
        NOISE => {
            let key = Identity::key_of(&to.designator).ok_or_else(|| {
                Error::Misuse(format!(
                    "the reference to {to} names no key: the part before .{NOISE} must be one in base32"
                ))
            })?;
            encrypted_ways(to, key, identity, limits, seed)
                .map_err(misuse)?
                .ok_or_else(|| {
                    lacks("a way that can be gone from here, the hints \"host\" and \"port\", or \"url\" with ws://")
                })
        }
        other => Err(Error::Misuse(format!(
            "no transport named {other:?} here; there are {NOISE:?}, {TCP:?} and {WEBSOCKET:?}"
        ))),
    }
}

fn encrypted_ways(
    to: &Location,
    key: PublicKey,
    identity: &Arc<Identity>,
    limits: &Arc<Limits>,
    seed: Seed,
) -> Result<Option<Vec<Way>>, WireError> {
    let mut ways: Vec<Way> = Vec::new();
    // Each has an exchange of its own.
    let noise = |nth: usize| {
        let seed = Sha256::new()
            .chain_update(seed)
            .chain_update(nth.to_be_bytes());
        Wire::noise_client(identity, key, limits, seed.finalize().into())
    };
    for to in paths(to).chain(hosts(to)) {
        let wire = noise(ways.len())?;
        ways.push(Way { to, wire });
    }
    for (url, to) in urls(to) {
        // Others may be able to go where we are not.
        if let Some(to) = to
            && let Ok(wire) = noise(ways.len())?.in_websocket_to(url, limits)
        {
            ways.push(Way { to, wire });
        }
    }
    Ok((!ways.is_empty()).then_some(ways))
}

fn paths(to: &Location) -> impl Iterator<Item = Destination> {
    to.hinted("unix")
        .map(|(_, path)| Destination::Unix(path.to_owned()))
}

fn hosts(to: &Location) -> impl Iterator<Item = Destination> {
    to.hinted("host").filter_map(|(nth, host)| {
        let port = to.hints.get(&numbered("port", nth))?.parse().ok()?;
        Some(Destination::Tcp(host.to_owned(), port))
    })
}

fn urls(to: &Location) -> impl Iterator<Item = (&str, Option<Destination>)> {
    to.hinted("url").map(|(_, url)| {
        let to = websocket_address(url).map(|(host, port)| Destination::Tcp(host, port));
        (url, to)
    })
}
