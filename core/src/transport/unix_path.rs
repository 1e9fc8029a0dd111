//! Names of sockets in the file system.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

/// The name of a socket that is listened at; it goes with this, unless it is somebody else's by then.
#[derive(Debug)]
pub struct SocketName {
    path: PathBuf,
    /// What tells it from another one of that name.
    file: Option<(u64, u64)>,
}

fn file(path: &Path) -> Option<(u64, u64)> {
    let data = fs::symlink_metadata(path).ok()?;
    data.file_type()
        .is_socket()
        .then(|| (data.dev(), data.ino()))
}

impl SocketName {
    /// Makes room for a socket of that name: one that nobody listens at any more is removed, since a program
    /// that was killed leaves its own. Whatever else has the name stays. Returns the absolute path to bind.
    ///
    /// # Errors
    /// If it is no name of a file.
    pub fn free(path: &str) -> io::Result<PathBuf> {
        if path.is_empty() || path.contains('\0') {
            let why = "the address must have a path, as in noise+unix:///run/it.socket";
            return Err(io::Error::new(ErrorKind::InvalidInput, why));
        }
        // Peers may be elsewhere, and so may we be, later.
        let path = std::path::absolute(path)?;
        if file(&path).is_some() && is_deserted(&path) {
            // Whoever binds the name will say what is wrong, if it could not be removed.
            let _ = fs::remove_file(&path);
        }
        Ok(path)
    }

    /// The name of a socket that was just bound.
    pub fn bound(path: PathBuf) -> Self {
        let file = file(&path);
        Self { path, file }
    }

    /// The absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketName {
    fn drop(&mut self) {
        if self.file.is_some() && file(&self.path) == self.file {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// True if nobody accepts there. It does not wait: somebody may be too busy to.
fn is_deserted(path: &Path) -> bool {
    let connect = || -> io::Result<()> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    connect().is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}
