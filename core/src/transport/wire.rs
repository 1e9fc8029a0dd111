//! What stands between a socket and a session: framing, or a WebSocket.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

#[cfg(feature = "noise")]
use super::crypto::Seed;
use super::framing::Deframer;
#[cfg(feature = "noise")]
use super::noise::NoiseCodec;
#[cfg(feature = "websocket")]
use super::websocket::WsCodec;
use crate::captp::CloseReason;
#[cfg(feature = "noise")]
use crate::captp::PublicKey;
use crate::host::Host;
#[cfg(feature = "noise")]
use crate::identity::Identity;
use crate::limits::Limits;
use crate::vat::Connection;

/// Why a connection cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The peer ended it in order.
    #[error("{0}")]
    Closed(String),
    /// The peer broke the transport's protocol.
    #[error("{0}")]
    Protocol(String),
}

impl From<WireError> for CloseReason {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Closed(text) => Self::Lost(text),
            WireError::Protocol(text) => Self::Protocol(text),
        }
    }
}

enum Kind {
    Stream(Deframer),
    #[cfg(feature = "websocket")]
    WebSocket(Box<WsCodec>),
    #[cfg(feature = "noise")]
    Noise(Box<NoiseCodec>),
    /// The encrypted stream inside a WebSocket.
    #[cfg(all(feature = "noise", feature = "websocket"))]
    Sealed(Box<WsCodec>, Box<NoiseCodec>),
}

/// How much of an encrypted stream goes into one WebSocket message.
#[cfg(all(feature = "noise", feature = "websocket"))]
const PIECE: usize = 256 << 10;

/// One connection's transport codec, without I/O. A driver owns the socket: it gives what it reads
/// to [`Wire::read`] and lets [`Wire::flush`] write.
pub struct Wire {
    kind: Kind,
    /// Bytes that the socket has not accepted yet (WebSocket only; a stream's wait in the session).
    unsent: Vec<u8>,
    sent: usize,
}

thread_local! {
    /// Buffers that connections of this thread write with, one after the other.
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer.
fn spare() -> Vec<u8> {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Keeps a buffer for the next one who needs one, unless it is very large.
fn keep(mut buffer: Vec<u8>) {
    const MOST: usize = 4;
    const LARGEST: usize = 1 << 20;
    buffer.clear();
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < MOST && (1..=LARGEST).contains(&buffer.capacity()) {
            spare.push(buffer);
        }
    });
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.kind {
            Kind::Stream(_) => "Wire(stream)",
            #[cfg(feature = "websocket")]
            Kind::WebSocket(_) => "Wire(websocket)",
            #[cfg(feature = "noise")]
            Kind::Noise(_) => "Wire(noise)",
            #[cfg(all(feature = "noise", feature = "websocket"))]
            Kind::Sealed(..) => "Wire(noise in websocket)",
        })
    }
}

impl Wire {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            unsent: Vec::new(),
            sent: 0,
        }
    }

    /// A byte stream, such as TCP. Its framing is told from the first byte.
    pub fn stream(limits: &Limits) -> Self {
        Self::new(Kind::Stream(Deframer::new(limits.clone())))
    }

    /// The accepting end of a WebSocket, before its handshake.
    ///
    /// # Errors
    /// Never before bytes have come, but tungstenite's signature allows it.
    #[cfg(feature = "websocket")]
    pub fn websocket_server(limits: &Limits) -> Result<Self, WireError> {
        Ok(Self::new(Kind::WebSocket(Box::new(WsCodec::server(
            limits,
        )?))))
    }

    /// The connecting end of a WebSocket, before its handshake. `url` is `ws://host:port/path`.
    ///
    /// # Errors
    /// If the URL cannot be used.
    #[cfg(feature = "websocket")]
    pub fn websocket_client(url: &str, limits: &Limits) -> Result<Self, WireError> {
        Ok(Self::new(Kind::WebSocket(Box::new(WsCodec::client(
            url, limits,
        )?))))
    }

    /// The connecting end of an encrypted stream to the one who has that key. `seed` is 32 secret random
    /// bytes, for this connection only.
    ///
    /// # Errors
    /// Never with a key of our own making; the key exchange's library might refuse one.
    #[cfg(feature = "noise")]
    pub fn noise_client(
        identity: &Arc<Identity>,
        peer: PublicKey,
        limits: &Limits,
        seed: Seed,
    ) -> Result<Self, WireError> {
        let codec = NoiseCodec::initiator(identity, peer, limits, seed)?;
        Ok(Self::new(Kind::Noise(Box::new(codec))))
    }

    /// The accepting end of an encrypted stream. `seed` is 32 secret random bytes, for this connection only.
    #[cfg(feature = "noise")]
    pub fn noise_server(identity: &Arc<Identity>, limits: &Limits, seed: Seed) -> Self {
        let codec = NoiseCodec::responder(identity, limits, seed);
        Self::new(Kind::Noise(Box::new(codec)))
    }

    /// The same stream inside a WebSocket that is connected to `url`: for peers that nothing else leads to,
    /// such as those behind a web server's proxy. Whoever stands between sees the WebSocket only.
    ///
    /// # Errors
    /// If the URL cannot be used.
    #[cfg(all(feature = "noise", feature = "websocket"))]
    pub fn in_websocket_to(self, url: &str, limits: &Limits) -> Result<Self, WireError> {
        Ok(self.sealed(WsCodec::client(url, limits)?))
    }

    /// The same stream inside a WebSocket that is accepted: browsers have no other.
    ///
    /// # Errors
    /// Never before bytes have come.
    #[cfg(all(feature = "noise", feature = "websocket"))]
    pub fn in_websocket(self, limits: &Limits) -> Result<Self, WireError> {
        Ok(self.sealed(WsCodec::server(limits)?))
    }

    #[cfg(all(feature = "noise", feature = "websocket"))]
    fn sealed(self, socket: WsCodec) -> Self {
        match self.kind {
            Kind::Noise(codec) => Self::new(Kind::Sealed(Box::new(socket), codec)),
            kind => Self::new(kind),
        }
    }

    /// True if the transport proves who the peer is.
    pub fn authenticates(&self) -> bool {
        match &self.kind {
            #[cfg(feature = "noise")]
            Kind::Noise(_) => true,
            #[cfg(all(feature = "noise", feature = "websocket"))]
            Kind::Sealed(..) => true,
            _ => false,
        }
    }

    /// True if the transport keeps message boundaries; see
    /// [`Config::boundaries`](crate::captp::Config::boundaries).
    pub fn has_boundaries(&self) -> bool {
        match self.kind {
            #[cfg(feature = "websocket")]
            Kind::WebSocket(_) => true,
            _ => false,
        }
    }

    /// Takes what was read from the socket and hands the messages in it to the connection. `now_ms` is on the
    /// clock of [`Config::now_ms`](crate::captp::Config::now_ms).
    ///
    /// # Errors
    /// Why the session has ended; it is closed already.
    pub fn read<H: Host>(
        &mut self,
        cx: H::Cx<'_>,
        connection: &Arc<Connection<H>>,
        bytes: &[u8],
        now_ms: u64,
    ) -> Result<(), CloseReason> {
        connection.note_read(bytes.len(), now_ms);
        let result = match &mut self.kind {
            Kind::Stream(deframer) => {
                deframer.feed(bytes, &mut |message| connection.receive(cx, message))
            }
            #[cfg(feature = "websocket")]
            Kind::WebSocket(codec) => {
                receive_all(codec, bytes, &mut |message| connection.receive(cx, message))
            }
            #[cfg(feature = "noise")]
            Kind::Noise(codec) => unseal(codec, cx, connection, bytes),
            #[cfg(all(feature = "noise", feature = "websocket"))]
            Kind::Sealed(socket, codec) => receive_all(socket, bytes, &mut |piece| {
                unseal(codec, cx, connection, piece)
            }),
        };
        result.inspect_err(|reason| connection.close(cx, reason.clone()))
    }

    /// Writes what waits. `write` takes bytes and returns how many it accepted, 0 if the socket is
    /// full; it must not block. Returns true if nothing is left.
    ///
    /// # Errors
    /// What `write` returns.
    pub fn flush<H: Host>(
        &mut self,
        connection: &Arc<Connection<H>>,
        write: &mut dyn FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        if let Kind::Stream(_) = &self.kind {
            return connection.write_with(write);
        }
        // What the socket has not taken goes first; more is not fetched before, so that the
        // session's limit on unsent bytes sees what piles up.
        if !write_out(&mut self.unsent, &mut self.sent, write)? {
            return Ok(false);
        }
        self.unsent = spare();
        match &mut self.kind {
            Kind::Stream(_) => {}
            #[cfg(feature = "websocket")]
            Kind::WebSocket(codec) => {
                let (bytes, ends) = connection.take_output(spare());
                let mut start = 0;
                for end in ends {
                    codec
                        .send(bytes[start..end].to_vec())
                        .map_err(io::Error::other)?;
                    start = end;
                }
                keep(bytes);
                codec.outgoing(&mut self.unsent);
            }
            #[cfg(feature = "noise")]
            Kind::Noise(codec) => seal(codec, connection, &mut self.unsent)?,
            #[cfg(all(feature = "noise", feature = "websocket"))]
            Kind::Sealed(socket, codec) => {
                let mut sealed = spare();
                seal(codec, connection, &mut sealed)?;
                for piece in sealed.chunks(PIECE) {
                    socket.send(piece.to_vec()).map_err(io::Error::other)?;
                }
                keep(sealed);
                socket.outgoing(&mut self.unsent);
            }
        }
        if !write_out(&mut self.unsent, &mut self.sent, write)? {
            return Ok(false);
        }
        // Nothing is kept per idle connection.
        keep(std::mem::take(&mut self.unsent));
        Ok(true)
    }

    /// Bytes that wait here, beside those in the session.
    pub fn unsent(&self) -> usize {
        self.unsent.len() - self.sent
    }

    /// Says goodbye at the transport's level; [`Self::flush`] writes it.
    pub fn close(&mut self) {
        match &mut self.kind {
            #[cfg(feature = "websocket")]
            Kind::WebSocket(codec) => codec.close(),
            #[cfg(all(feature = "noise", feature = "websocket"))]
            Kind::Sealed(codec, _) => codec.close(),
            _ => {}
        }
    }

    /// Why the stream's end is an error, if it came in the middle of a message.
    pub fn end_of_stream(&self) -> CloseReason {
        let partial = match &self.kind {
            Kind::Stream(deframer) => deframer.is_partial(),
            #[cfg(feature = "websocket")]
            Kind::WebSocket(_) => false,
            #[cfg(feature = "noise")]
            Kind::Noise(codec) => codec.is_partial(),
            #[cfg(all(feature = "noise", feature = "websocket"))]
            Kind::Sealed(_, codec) => codec.is_partial(),
        };
        CloseReason::Lost(if partial {
            "the peer hung up in the middle of a message".to_owned()
        } else {
            "the peer hung up".to_owned()
        })
    }
}

/// Writes what is in `bytes` from `sent` on. True, and both empty, if all of it was taken.
fn write_out(
    bytes: &mut Vec<u8>,
    sent: &mut usize,
    write: &mut dyn FnMut(&[u8]) -> io::Result<usize>,
) -> io::Result<bool> {
    while *sent < bytes.len() {
        let count = write(&bytes[*sent..])?;
        if count == 0 {
            return Ok(false);
        }
        *sent += count;
    }
    bytes.clear();
    *sent = 0;
    Ok(true)
}

/// The `host:port` to connect to for `ws://host:port/path`; port 80 if the URL names none. `None`
/// if it is no such URL (`wss` included: TLS is not spoken here).
///
/// ```
/// use marotte::transport::websocket_address;
/// assert_eq!(websocket_address("ws://localhost:9000/x").as_deref(), Some("localhost:9000"));
/// assert_eq!(websocket_address("wss://localhost"), None);
/// ```
#[cfg(feature = "websocket")]
pub fn websocket_address(url: &str) -> Option<String> {
    let uri: tungstenite::http::Uri = url.parse().ok()?;
    if uri.scheme_str() != Some("ws") {
        return None;
    }
    Some(format!("{}:{}", uri.host()?, uri.port_u16().unwrap_or(80)))
}

#[cfg(feature = "websocket")]
fn receive_all(
    codec: &mut WsCodec,
    mut bytes: &[u8],
    handle: &mut dyn FnMut(&[u8]) -> Result<(), CloseReason>,
) -> Result<(), CloseReason> {
    while let Some(message) = codec.receive(bytes)? {
        bytes = &[];
        handle(&message)?;
    }
    Ok(())
}

#[cfg(feature = "noise")]
fn unseal<H: Host>(
    codec: &mut NoiseCodec,
    cx: H::Cx<'_>,
    connection: &Arc<Connection<H>>,
    bytes: &[u8],
) -> Result<(), CloseReason> {
    codec.receive(
        bytes,
        &mut |peer| connection.authenticated(peer),
        &mut |message| connection.receive(cx, message),
    )
}

/// Appends what the handshake and the session have to say, encrypted.
#[cfg(feature = "noise")]
fn seal<H: Host>(
    codec: &mut NoiseCodec,
    connection: &Arc<Connection<H>>,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    out.append(&mut std::mem::take(&mut codec.output));
    if codec.is_open() {
        let (bytes, _) = connection.take_output(spare());
        codec.send(&bytes, out).map_err(io::Error::other)?;
        keep(bytes);
    }
    Ok(())
}
