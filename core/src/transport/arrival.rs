//! Who has connected, and has not said yet whom they want.

use std::sync::Arc;

use super::crypto::Seed;
use super::netlayer::Netlayer;
use super::noise;
use super::websocket::WsCodec;
use super::wire::{Wire, WireError, sealed};
use crate::captp::PublicKey;
use crate::identity::Identity;
use crate::limits::Limits;

/// So many bytes may be said before there is a session; a handshake has some hundred, and what a web server's
/// proxy adds.
pub const MOST_GREETING: usize = 64 << 10;

/// Why a peer is not met that hangs up.
pub const HUNG_UP: &str = "the peer hung up without showing the key that the reference names";

/// An encrypted connection that was accepted at a place that several tubs share, without I/O. The first record
/// says by a key which of them is meant; nothing is answered before.
///
/// ```text
///   Arrival ──receive: somebody's key──▶ admit ──▶ Wire
///      └──an error, or nobody has that key──▶ (hang up)
/// ```
pub struct Arrival {
    socket: Option<Box<WsCodec>>,
    /// The beginning of the stream.
    stream: Vec<u8>,
}

impl std::fmt::Debug for Arrival {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arrival").finish_non_exhaustive()
    }
}

impl Arrival {
    /// Somebody who has connected to a place of that kind, which must be one of the encrypted ones.
    ///
    /// # Errors
    /// Never before bytes have come.
    pub fn new(netlayer: Netlayer, limits: &Limits) -> Result<Self, WireError> {
        let socket = match netlayer {
            Netlayer::NoiseWebSocket => Some(Box::new(WsCodec::server(&sealed(limits))?)),
            _ => None,
        };
        Ok(Self {
            socket,
            stream: Vec::new(),
        })
    }

    /// Takes what was read. Returns whom they want, once they have said it; nothing need be read before
    /// they are admitted, then.
    ///
    /// # Errors
    /// If this is no encrypted connection.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Option<PublicKey>, WireError> {
        match &mut self.socket {
            None => self.stream.extend_from_slice(bytes),
            Some(socket) => {
                let mut bytes = bytes;
                while let Some(piece) = socket.receive(bytes)? {
                    bytes = &[];
                    self.stream.extend_from_slice(&piece);
                }
            }
        }
        noise::meant(&self.stream)
    }

    /// Appends what is to be written: a WebSocket is answered before anything can be said in it.
    pub fn output(&self, out: &mut Vec<u8>) {
        if let Some(socket) = &self.socket {
            socket.outgoing(out);
        }
    }

    /// The codec of the connection, for the tub that is meant. `seed` is 32 secret random bytes for it alone.
    pub fn admit(self, identity: &Arc<Identity>, limits: &Arc<Limits>, seed: Seed) -> Wire {
        let wire = Wire::noise_heard(identity, limits, seed, self.stream);
        match self.socket {
            Some(socket) => wire.inside(*socket),
            None => wire,
        }
    }
}
