//! Names of sockets in the file system.

use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;

/// Removes the name of a socket that nobody listens at any more: a program that was killed leaves its own, and
/// the next one could not listen there. Whatever else has that name stays.
pub fn remove_stale(path: &str) {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let is_refused = || {
        UnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    };
    if is_socket && is_refused() {
        // Whoever binds the name will say what is wrong, if it could not be removed.
        let _ = std::fs::remove_file(path);
    }
}
