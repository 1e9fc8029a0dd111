//! A socket of the operating system's that never blocks.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};

use marotte::transport::keep_alive;
use pyo3::prelude::*;
use socket2::{Domain, SockAddr, Socket, Type};

/// Has the loop's `add_reader` and the like called for a socket: with a method of `owner`, or without one.
pub(crate) fn watch<T>(
    runner: &Bound<'_, PyAny>,
    owner: &Bound<'_, T>,
    what: &str,
    fd: RawFd,
    method: Option<&str>,
) -> PyResult<()> {
    match method {
        Some(method) => runner.call_method1(what, (fd, owner.as_any().getattr(method)?))?,
        None => runner.call_method1(what, (fd,))?,
    };
    Ok(())
}

/// What a read has given.
pub(crate) enum Got {
    /// So many bytes; 0 at the end of the stream.
    Bytes(usize),
    /// Nothing now.
    Nothing,
}

/// A connected socket, or one that connects.
pub(crate) struct Stream(Socket);

impl Stream {
    /// Begins to connect; the socket becomes writable when that has ended.
    pub(crate) fn connect(address: SocketAddr, silence_ms: u64) -> io::Result<Self> {
        let socket = Self::begin(Domain::for_address(address), &address.into())?;
        socket.prepare(silence_ms);
        Ok(socket)
    }

    /// The same, to a name in the file system.
    pub(crate) fn connect_path(path: &str) -> io::Result<Self> {
        Self::begin(Domain::UNIX, &SockAddr::unix(path)?)
    }

    fn begin(domain: Domain, address: &SockAddr) -> io::Result<Self> {
        let socket = Socket::new(domain, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        let in_progress = Some(rustix::io::Errno::INPROGRESS.raw_os_error());
        match socket.connect(address) {
            Err(error) if error.raw_os_error() != in_progress => Err(error),
            _ => Ok(Self(socket)),
        }
    }

    /// A socket that was accepted.
    pub(crate) fn accepted(socket: Socket, silence_ms: u64) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let stream = Self(socket);
        stream.prepare(silence_ms);
        Ok(stream)
    }

    fn prepare(&self, silence_ms: u64) {
        // Without this, small messages wait for acknowledgements; a failure costs speed only. A socket in
        // the file system has nothing of the kind.
        let _ = self.0.set_tcp_nodelay(true);
        keep_alive(&self.0, silence_ms);
    }

    /// Why connecting has failed, if it has.
    pub(crate) fn connected(&self) -> io::Result<()> {
        self.0.take_error()?.map_or(Ok(()), Err)
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<Got> {
        loop {
            match self.0.read(into) {
                Ok(count) => return Ok(Got::Bytes(count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Got::Nothing),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// How many bytes it took; 0 if it takes none now.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Says that nothing more will be written.
    pub(crate) fn end_writing(&self) {
        // An error means that the peer is gone; reading will tell.
        let _ = self.0.shutdown(std::net::Shutdown::Write);
    }
}
