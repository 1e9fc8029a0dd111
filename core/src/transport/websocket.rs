//! The WebSocket protocol without I/O, over tungstenite.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};

use tungstenite::handshake::MidHandshake;
use tungstenite::handshake::client::ClientHandshake;
use tungstenite::handshake::server::{NoCallback, ServerHandshake};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, HandshakeError, Message, WebSocket};

use super::wire::WireError;
use crate::limits::Limits;
use crate::sync::lock;

/// The two byte streams of a connection, as tungstenite sees them: a socket that never blocks.
#[derive(Debug, Clone, Default)]
struct Pipe(Arc<Mutex<Streams>>);

#[derive(Debug, Default)]
struct Streams {
    incoming: Vec<u8>,
    read: usize,
    outgoing: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut streams = lock(&self.0);
        let waiting = &streams.incoming[streams.read..];
        if waiting.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = waiting.len().min(into.len());
        into[..count].copy_from_slice(&waiting[..count]);
        streams.read += count;
        if streams.read == streams.incoming.len() {
            streams.read = 0;
            streams.incoming = Vec::new();
        }
        Ok(count)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).outgoing.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// ```text
///   Server handshake ─┐
///                     ├──▶ Open ──▶ Closed
///   Client handshake ─┘
/// ```
enum State {
    Server(MidHandshake<ServerHandshake<Pipe, NoCallback>>),
    Client(MidHandshake<ClientHandshake<Pipe>>),
    Open(Box<WebSocket<Pipe>>),
    Closed,
}

/// One WebSocket: bytes in, messages out, and the other way round.
pub(super) struct WsCodec {
    pipe: Pipe,
    state: State,
    /// Messages given before the handshake was over.
    held: Vec<Vec<u8>>,
}

fn config(limits: &Limits) -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(limits.max_message_bytes))
        .max_frame_size(Some(limits.max_message_bytes))
        // Small: the pipe is memory already.
        .read_buffer_size(4 << 10)
        .write_buffer_size(0)
}

impl WsCodec {
    /// The accepting end.
    pub(super) fn server(limits: &Limits) -> Result<Self, WireError> {
        let pipe = Pipe::default();
        let state = match tungstenite::accept_with_config(pipe.clone(), Some(config(limits))) {
            Err(HandshakeError::Interrupted(mid)) => State::Server(mid),
            Err(HandshakeError::Failure(error)) => return Err(failed(&error)),
            Ok(socket) => State::Open(Box::new(socket)),
        };
        Ok(Self {
            pipe,
            state,
            held: Vec::new(),
        })
    }

    /// The connecting end. `url` is `ws://host:port/path`.
    pub(super) fn client(url: &str, limits: &Limits) -> Result<Self, WireError> {
        let pipe = Pipe::default();
        let result =
            tungstenite::client::client_with_config(url, pipe.clone(), Some(config(limits)));
        let state = match result {
            Err(HandshakeError::Interrupted(mid)) => State::Client(mid),
            Err(HandshakeError::Failure(error)) => return Err(failed(&error)),
            Ok((socket, _)) => State::Open(Box::new(socket)),
        };
        Ok(Self {
            pipe,
            state,
            held: Vec::new(),
        })
    }

    /// Takes bytes from the socket; returns the next whole message, if there is one. Call with no
    /// bytes for more.
    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
    ) -> Result<Option<tungstenite::Bytes>, WireError> {
        if !bytes.is_empty() {
            lock(&self.pipe.0).incoming.extend_from_slice(bytes);
        }
        self.go_on()?;
        let State::Open(socket) = &mut self.state else {
            return Ok(None);
        };
        loop {
            match socket.read() {
                Ok(Message::Binary(message)) => return Ok(Some(message)),
                Ok(Message::Text(_)) => {
                    return Err(WireError::Protocol(
                        "a WebSocket message must be binary, not text".to_owned(),
                    ));
                }
                // tungstenite answers pings itself.
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_)) => {
                }
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(None);
                }
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => {
                    self.state = State::Closed;
                    return Err(WireError::Closed(
                        "the peer closed the WebSocket".to_owned(),
                    ));
                }
                Err(error) => return Err(failed(&error)),
            }
        }
    }

    fn go_on(&mut self) -> Result<(), WireError> {
        self.state = match std::mem::replace(&mut self.state, State::Closed) {
            State::Server(mid) => match mid.handshake() {
                Ok(socket) => State::Open(Box::new(socket)),
                Err(HandshakeError::Interrupted(mid)) => State::Server(mid),
                Err(HandshakeError::Failure(error)) => return Err(failed(&error)),
            },
            State::Client(mid) => match mid.handshake() {
                Ok((socket, _)) => State::Open(Box::new(socket)),
                Err(HandshakeError::Interrupted(mid)) => State::Client(mid),
                Err(HandshakeError::Failure(error)) => return Err(failed(&error)),
            },
            state => state,
        };
        if matches!(self.state, State::Open(_)) {
            for message in std::mem::take(&mut self.held) {
                self.send(message)?;
            }
        }
        Ok(())
    }

    /// Wraps one message; what to write is in [`Self::outgoing`].
    pub(super) fn send(&mut self, message: Vec<u8>) -> Result<(), WireError> {
        match &mut self.state {
            State::Open(socket) => {
                socket
                    .write(Message::Binary(message.into()))
                    .map_err(|error| failed(&error))?;
                socket.flush().map_err(|error| failed(&error))
            }
            State::Closed => Err(WireError::Closed("the WebSocket is closed".to_owned())),
            State::Server(_) | State::Client(_) => {
                self.held.push(message);
                Ok(())
            }
        }
    }

    /// Says goodbye.
    pub(super) fn close(&mut self) {
        if let State::Open(socket) = &mut self.state {
            // The connection ends in any case.
            let _ = socket.close(None);
            let _ = socket.flush();
        }
    }

    /// Appends what is to be written to the socket.
    pub(super) fn outgoing(&self, into: &mut Vec<u8>) {
        into.append(&mut lock(&self.pipe.0).outgoing);
    }
}

fn failed(error: &Error) -> WireError {
    WireError::Protocol(format!("WebSocket: {error}"))
}
