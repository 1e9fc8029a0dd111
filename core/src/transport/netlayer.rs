//! The transports by name: what listens and dials, without I/O.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::crypto::Seed;
use super::wire::{Wire, WireError, websocket_address};
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
    /// `tcp://`: plain text, which does not show who the peer is. For testing, and for networks that
    /// can be trusted.
    Tcp,
    /// `ws://`: the same in a WebSocket.
    WebSocket,
}

impl Netlayer {
    /// What stands before `host:port` in an address to listen at, and the rest.
    pub fn split(address: &str) -> Option<(Self, &str)> {
        let (scheme, rest) = address.split_once("://")?;
        Some(match scheme {
            "noise" => (Self::Noise, rest),
            "noise+ws" => (Self::NoiseWebSocket, rest.trim_end_matches('/')),
            "tcp" => (Self::Tcp, rest),
            "ws" => (Self::WebSocket, rest.trim_end_matches('/')),
            _ => return None,
        })
    }

    fn has_url(self) -> bool {
        matches!(self, Self::NoiseWebSocket | Self::WebSocket)
    }

    /// Where peers find a tub that listens at that address. `url` is what they are to connect to instead, if
    /// that is a WebSocket behind a proxy.
    pub fn location(self, designator: &str, at: SocketAddr, url: Option<&str>) -> Location {
        let transport = match self {
            Self::Noise | Self::NoiseWebSocket => NOISE,
            Self::Tcp => TCP,
            Self::WebSocket => WEBSOCKET,
        };
        let hints = if self.has_url() {
            let url = url.map_or_else(|| format!("ws://{at}"), str::to_owned);
            BTreeMap::from([("url".to_owned(), url)])
        } else {
            BTreeMap::from([
                ("host".to_owned(), at.ip().to_string()),
                ("port".to_owned(), at.port().to_string()),
            ])
        };
        Location {
            transport: transport.to_owned(),
            designator: designator.to_owned(),
            hints,
        }
    }

    /// The codec for a connection that was accepted. `seed` is 32 secret random bytes for it alone.
    ///
    /// # Errors
    /// Never before bytes have come.
    pub fn accept(
        self,
        identity: &Arc<Identity>,
        limits: &Limits,
        seed: Seed,
    ) -> Result<Wire, WireError> {
        let noise = || Wire::noise_server(identity, limits, seed);
        match self {
            Self::Noise => Ok(noise()),
            Self::NoiseWebSocket => noise().in_websocket(limits),
            Self::Tcp => Ok(Wire::stream(limits)),
            Self::WebSocket => Wire::websocket_server(limits),
        }
    }
}

impl Location {
    /// Where peers find a tub that listens in several places: by that transport if it has it, else by the
    /// first; the hints of all places of one transport together.
    ///
    /// ```
    /// use marotte::{Location, transport::Netlayer};
    ///
    /// let at = |port| std::net::SocketAddr::from(([127, 0, 0, 1], port));
    /// let places = [Netlayer::Noise.location("me", at(1), None), Netlayer::NoiseWebSocket.location("me", at(2), None)];
    /// let all = Location::of(&places, None).unwrap();
    /// assert_eq!(all.to_string(), "ocapn://me.noise?host=127.0.0.1&port=1&url=ws://127.0.0.1:2");
    /// ```
    pub fn of(places: &[Self], transport: Option<&str>) -> Option<Self> {
        let mut found = places
            .iter()
            .find(|place| Some(place.transport.as_str()) == transport)
            .or_else(|| places.first())?
            .clone();
        for place in places {
            if place.same_peer(&found) {
                for (name, value) in &place.hints {
                    let hint = found.hints.entry(name.clone());
                    hint.or_insert_with(|| value.clone());
                }
            }
        }
        Some(found)
    }
}

/// The ways to a peer, at least one, in the order in which they are to be tried: the `host:port` to connect
/// to, and the codec of the connection. `seed` is 32 secret random bytes for this call alone.
///
/// # Errors
/// [`Error::Misuse`] if the location leads nowhere from here, and what it lacks.
pub fn ways_to(
    to: &Location,
    identity: &Arc<Identity>,
    limits: &Limits,
    seed: Seed,
) -> Result<Vec<(String, Wire)>, Error> {
    let hint = |name: &str| to.hints.get(name).map(String::as_str);
    let lacks = |what: &str| {
        Error::Misuse(format!(
            "the reference lacks {what}: {} ({to})",
            to.transport
        ))
    };
    let socket = match (hint("host"), hint("port")) {
        (Some(host), Some(port)) if host.contains(':') => Some(format!("[{host}]:{port}")),
        (Some(host), Some(port)) => Some(format!("{host}:{port}")),
        _ => None,
    };
    match to.transport.as_str() {
        TCP => {
            let address = socket.ok_or_else(|| lacks("the hints \"host\" and \"port\""))?;
            Ok(vec![(address, Wire::stream(limits))])
        }
        WEBSOCKET => {
            let url = hint("url").ok_or_else(|| lacks("the hint \"url\""))?;
            let unusable =
                || Error::Misuse(format!("cannot use {url:?}; it must be ws://host:port"));
            let address = websocket_address(url).ok_or_else(unusable)?;
            let wire = Wire::websocket_client(url, limits)
                .map_err(|error| Error::Misuse(error.to_string()))?;
            Ok(vec![(address, wire)])
        }
        NOISE => {
            let key = Identity::key_of(&to.designator).ok_or_else(|| {
                Error::Misuse(format!(
                    "the reference to {to} names no key: the part before .{NOISE} must be one in base32"
                ))
            })?;
            let noise = |way: u8| {
                let seed = Sha256::new().chain_update(seed).chain_update([way]);
                Wire::noise_client(identity, key, limits, seed.finalize().into())
                    .map_err(|error| Error::Misuse(error.to_string()))
            };
            let mut ways = Vec::new();
            if let Some(address) = socket {
                ways.push((address, noise(0)?));
            }
            if let Some(url) = hint("url")
                && let Some(address) = websocket_address(url)
                && let Ok(wire) = noise(1)?.in_websocket_to(url, limits)
            {
                ways.push((address, wire));
            }
            if ways.is_empty() {
                return Err(lacks(
                    "a way that can be gone from here, the hints \"host\" and \"port\", or \"url\" with ws://",
                ));
            }
            Ok(ways)
        }
        other => Err(Error::Misuse(format!(
            "no transport named {other:?} here; there are {NOISE:?}, {TCP:?} and {WEBSOCKET:?}"
        ))),
    }
}
