//! What connections run over, and what is said on it before there is a session.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::transport::{HUNG_UP, MOST_GREETING, WireError};

/// A byte stream of the operating system's.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Reads and answers until `step` is satisfied. It is given what was read, nothing at first, and where to put
/// what is to be written.
pub(super) async fn greet<T>(
    stream: &mut Box<dyn Stream>,
    mut step: impl FnMut(&[u8], &mut Vec<u8>) -> Result<Option<T>, WireError>,
) -> io::Result<T> {
    let (mut input, mut output) = ([0; 1024], Vec::new());
    let (mut count, mut heard) = (0, 0);
    loop {
        let result = step(&input[..count], &mut output);
        // Also if there was an error: the peer may be told of it.
        stream.write_all(&output).await?;
        output.clear();
        if let Some(found) = result.map_err(io::Error::other)? {
            return Ok(found);
        }
        count = stream.read(&mut input).await?;
        heard += count;
        if count == 0 {
            return Err(io::Error::other(HUNG_UP));
        }
        if heard > MOST_GREETING {
            return Err(io::Error::other(
                "the peer says too much before it is known",
            ));
        }
    }
}
