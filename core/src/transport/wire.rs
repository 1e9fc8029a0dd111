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
use super::peer_auth::{Heard, PeerAuth};
#[cfg(feature = "websocket")]
use super::websocket::WsCodec;
use crate::captp::CloseReason;
#[cfg(feature = "noise")]
use crate::captp::PublicKey;
use crate::host::Host;
#[cfg(feature = "noise")]
use crate::identity::{Identity, designator};
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
    WebSocket(Box<WsCodec>, Option<Box<PeerAuth>>),
    #[cfg(feature = "noise")]
    Noise(Box<NoiseCodec>),
    /// The encrypted stream inside a WebSocket.
    #[cfg(feature = "websocket")]
    Sealed(Box<WsCodec>, Box<NoiseCodec>),
}

/// How much of an encrypted stream goes into one WebSocket message.
#[cfg(feature = "websocket")]
const PIECE: usize = 256 << 10;

/// The limits of a WebSocket around an encrypted stream: its messages are pieces of a stream, so that nobody
/// need send long ones, and who sends them is not known yet.
#[cfg(feature = "websocket")]
pub(super) fn sealed(limits: &Limits) -> Limits {
    Limits {
        max_message_bytes: limits.max_message_bytes.min(4 * PIECE),
        ..limits.clone()
    }
}

/// One connection's transport codec, without I/O. A driver owns the socket: it gives what it reads
/// to [`Wire::read`] and lets [`Wire::flush`] write.
pub struct Wire {
    kind: Kind,
    /// Bytes that the socket has not accepted yet (WebSocket only; a stream's wait in the session).
    unsent: Vec<u8>,
    sent: usize,
    /// What was found out and read before there was a session.
    #[cfg(feature = "noise")]
    before: Option<Before>,
}

/// What has happened on an encrypted stream before its session.
#[cfg(feature = "noise")]
enum Before {
    /// The peer is known.
    Met(PublicKey),
    /// It has begun to speak.
    #[cfg(feature = "websocket")]
    Heard,
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
            Kind::WebSocket(..) => "Wire(websocket)",
            #[cfg(feature = "noise")]
            Kind::Noise(_) => "Wire(noise)",
            #[cfg(feature = "websocket")]
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
            #[cfg(feature = "noise")]
            before: None,
        }
    }

    /// A byte stream, such as TCP. Its framing is told from the first byte.
    pub fn stream(limits: &Arc<Limits>) -> Self {
        Self::new(Kind::Stream(Deframer::new(Arc::clone(limits))))
    }

    /// The accepting end of a WebSocket, before its handshake. With an identity it shows that it has that key,
    /// if it is [asked](PeerAuth).
    ///
    /// # Errors
    /// Never before bytes have come, but tungstenite's signature allows it.
    #[cfg(feature = "websocket")]
    pub fn websocket_server(
        limits: &Arc<Limits>,
        identity: Option<&Arc<Identity>>,
    ) -> Result<Self, WireError> {
        let auth = identity.map(|identity| Box::new(PeerAuth::asked(identity)));
        let codec = Box::new(WsCodec::server(limits)?);
        Ok(Self::new(Kind::WebSocket(codec, auth)))
    }

    /// The connecting end of a WebSocket, before its handshake. `url` is `ws://host:port/path`. The peer has
    /// to [show](PeerAuth) that it has that key, if one is given; with it are 32 random bytes.
    ///
    /// # Errors
    /// If the URL cannot be used.
    #[cfg(feature = "websocket")]
    pub fn websocket_client(
        url: &str,
        limits: &Arc<Limits>,
        ask: Option<(PublicKey, &[u8; 32])>,
    ) -> Result<Self, WireError> {
        let mut codec = Box::new(WsCodec::client(url, limits)?);
        let auth = match ask {
            None => None,
            Some((key, random)) => {
                let (auth, question) = PeerAuth::asking(key, random);
                codec.send(question)?;
                Some(Box::new(auth))
            }
        };
        Ok(Self::new(Kind::WebSocket(codec, auth)))
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
        limits: &Arc<Limits>,
        seed: Seed,
    ) -> Result<Self, WireError> {
        let codec = NoiseCodec::initiator(identity, peer, limits, seed)?;
        Ok(Self::new(Kind::Noise(Box::new(codec))))
    }

    /// The accepting end of an encrypted stream. `seed` is 32 secret random bytes, for this connection only.
    #[cfg(feature = "noise")]
    pub fn noise_server(identity: &Arc<Identity>, limits: &Arc<Limits>, seed: Seed) -> Self {
        let codec = NoiseCodec::responder(identity, limits, seed);
        Self::new(Kind::Noise(Box::new(codec)))
    }

    /// The same stream inside a WebSocket that is connected to `url`: for peers that nothing else leads to,
    /// such as those behind a web server's proxy. Whoever stands between sees the WebSocket only.
    ///
    /// # Errors
    /// If the URL cannot be used.
    #[cfg(feature = "websocket")]
    pub fn in_websocket_to(self, url: &str, limits: &Arc<Limits>) -> Result<Self, WireError> {
        Ok(self.inside(WsCodec::client(url, &sealed(limits))?))
    }

    /// The accepting end of an encrypted stream of which the beginning was read already.
    #[cfg(feature = "websocket")]
    pub(super) fn noise_heard(
        identity: &Arc<Identity>,
        limits: &Arc<Limits>,
        seed: Seed,
        stream: Vec<u8>,
    ) -> Self {
        let codec = NoiseCodec::responder(identity, limits, seed).heard(stream);
        let mut wire = Self::new(Kind::Noise(Box::new(codec)));
        wire.before = Some(Before::Heard);
        wire
    }

    /// The same inside of that WebSocket.
    #[cfg(feature = "websocket")]
    pub(super) fn inside(self, socket: WsCodec) -> Self {
        let before = self.before;
        Self {
            before,
            ..Self::new(match self.kind {
                Kind::Noise(codec) => Kind::Sealed(Box::new(socket), codec),
                kind => kind,
            })
        }
    }

    /// Goes on with finding out who the peer is, before there is a session: of several ways to a peer, the
    /// first is taken on which it is met. True once it is; at once if the transport does not tell. `bytes`
    /// is what was read, nothing at first; what is to be written is in [`Self::greeting`].
    ///
    /// # Errors
    /// If the peer is another one than is meant, or speaks something else.
    #[cfg(feature = "noise")]
    pub fn greet(&mut self, bytes: &[u8]) -> Result<bool, WireError> {
        let met = match &mut self.kind {
            Kind::Noise(codec) => codec.greet(bytes)?,
            #[cfg(feature = "websocket")]
            Kind::Sealed(socket, codec) => {
                let (mut bytes, mut met) = (bytes, None);
                while let Some(piece) = socket.receive(bytes)? {
                    bytes = &[];
                    met = met.or(codec.greet(&piece)?);
                }
                met
            }
            #[cfg(feature = "websocket")]
            Kind::WebSocket(socket, Some(auth)) => match socket.receive(bytes)? {
                Some(message) => match auth.receive(&message)? {
                    Heard::Met(peer) => Some(peer),
                    Heard::Session | Heard::Asked(_) => None,
                },
                None => None,
            },
            _ => return Ok(true),
        };
        if let Some(peer) = met {
            self.before = Some(Before::Met(peer));
        }
        Ok(self.before.is_some())
    }

    /// Appends what the handshake has to say before there is a session.
    ///
    /// # Errors
    /// If the WebSocket around it has ended.
    #[cfg(feature = "noise")]
    pub fn greeting(&mut self, out: &mut Vec<u8>) -> Result<(), WireError> {
        match &mut self.kind {
            Kind::Noise(codec) => out.append(&mut codec.output),
            #[cfg(feature = "websocket")]
            Kind::Sealed(socket, codec) => {
                let words = std::mem::take(&mut codec.output);
                if !words.is_empty() {
                    socket.send(words)?;
                }
                socket.outgoing(out);
            }
            #[cfg(feature = "websocket")]
            Kind::WebSocket(socket, Some(_)) => socket.outgoing(out),
            _ => {}
        }
        Ok(())
    }

    /// True if the peer was heard before there was a session: [`Self::read`] is then to be called once with
    /// no bytes, so that what it said is not left until it says more.
    pub fn was_heard(&self) -> bool {
        #[cfg(feature = "noise")]
        return self.before.is_some();
        #[cfg(not(feature = "noise"))]
        return false;
    }

    /// True if the transport proves who the peer is.
    pub fn authenticates(&self) -> bool {
        match &self.kind {
            #[cfg(feature = "noise")]
            Kind::Noise(_) => true,
            #[cfg(feature = "websocket")]
            Kind::Sealed(..) => true,
            _ => false,
        }
    }

    /// True if the transport keeps message boundaries; see
    /// [`Config::boundaries`](crate::captp::Config::boundaries).
    pub fn has_boundaries(&self) -> bool {
        match self.kind {
            #[cfg(feature = "websocket")]
            Kind::WebSocket(..) => true,
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
        #[cfg(feature = "noise")]
        self.take_up(cx, connection)?;
        let result = match &mut self.kind {
            Kind::Stream(deframer) => {
                deframer.feed(bytes, &mut |message| connection.receive(cx, message))
            }
            #[cfg(feature = "websocket")]
            Kind::WebSocket(codec, auth) => hear(codec, auth, bytes, &mut |message| {
                connection.receive(cx, message)
            }),
            #[cfg(feature = "noise")]
            Kind::Noise(codec) => unseal(codec, cx, connection, bytes),
            #[cfg(feature = "websocket")]
            Kind::Sealed(socket, codec) => receive_all(socket, bytes, &mut |piece| {
                unseal(codec, cx, connection, piece)
            }),
        };
        result.inspect_err(|reason| connection.close(cx, reason.clone()))
    }

    /// Tells the connection what was found out before it, and handles what was read.
    #[cfg(feature = "noise")]
    fn take_up<H: Host>(
        &mut self,
        cx: H::Cx<'_>,
        connection: &Arc<Connection<H>>,
    ) -> Result<(), CloseReason> {
        let Some(before) = self.before.take() else {
            return Ok(());
        };
        match before {
            Before::Met(peer) => connection.authenticated(designator(&peer)),
            #[cfg(feature = "websocket")]
            Before::Heard => {}
        }
        let result = match &mut self.kind {
            Kind::Noise(codec) => unseal(codec, cx, connection, &[]),
            #[cfg(feature = "websocket")]
            Kind::Sealed(_, codec) => unseal(codec, cx, connection, &[]),
            _ => Ok(()),
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
            Kind::WebSocket(codec, auth) => {
                let (bytes, ends) = if auth.as_ref().is_some_and(|auth| !auth.is_over()) {
                    Default::default()
                } else {
                    connection.take_output(spare())
                };
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
            #[cfg(feature = "websocket")]
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
            Kind::WebSocket(codec, _) => codec.close(),
            #[cfg(feature = "websocket")]
            Kind::Sealed(codec, _) => codec.close(),
            _ => {}
        }
    }

    /// Why the stream's end is an error, if it came in the middle of a message.
    pub fn end_of_stream(&self) -> CloseReason {
        let partial = match &self.kind {
            Kind::Stream(deframer) => deframer.is_partial(),
            #[cfg(feature = "websocket")]
            Kind::WebSocket(..) => false,
            #[cfg(feature = "noise")]
            Kind::Noise(codec) => codec.is_partial(),
            #[cfg(feature = "websocket")]
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

/// The host and port to connect to for `ws://host:port/path`; port 80 if the URL names none. `None`
/// if it is no such URL (`wss` included: TLS is not spoken here).
#[cfg(feature = "websocket")]
pub(super) fn websocket_address(url: &str) -> Option<(String, u16)> {
    let uri: tungstenite::http::Uri = url.parse().ok()?;
    if uri.scheme_str() != Some("ws") {
        return None;
    }
    let host = uri.host()?.trim_matches(['[', ']']);
    Some((host.to_owned(), uri.port_u16().unwrap_or(80)))
}

/// Handles the messages of a WebSocket, and answers what is asked before them.
#[cfg(feature = "websocket")]
fn hear(
    codec: &mut WsCodec,
    auth: &mut Option<Box<PeerAuth>>,
    bytes: &[u8],
    handle: &mut dyn FnMut(&[u8]) -> Result<(), CloseReason>,
) -> Result<(), CloseReason> {
    let mut bytes = bytes;
    while let Some(message) = codec.receive(bytes)? {
        bytes = &[];
        let heard = match auth {
            Some(auth) => auth.receive(&message)?,
            None => Heard::Session,
        };
        match heard {
            Heard::Session => handle(&message)?,
            Heard::Asked(answer) => codec.send(answer)?,
            Heard::Met(_) => {}
        }
    }
    // It is there once per connection.
    if auth.as_ref().is_some_and(|auth| auth.is_over()) {
        *auth = None;
    }
    Ok(())
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
