//! Going all ways to a peer at once, until it is met on one of them.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::stream::{Stream, greet};
use crate::transport::{Destination, NEXT_WAY_MS, Way, Wire, keep_alive};

/// A stream to the peer, and its codec.
pub(super) type Met = (Box<dyn Stream>, Wire);

/// The first way on which the peer is met, each a little later than the one before; or why there is none.
/// `silence_ms` is for [`keep_alive`].
pub(super) async fn reach(ways: Vec<Way>, silence_ms: u64) -> Result<Met, String> {
    let mut left = ways.into_iter();
    // Those that have not won end with this.
    let mut attempts = JoinSet::new();
    let mut reasons = Vec::new();
    loop {
        if let Some(way) = left.next() {
            attempts.spawn(go(way, silence_ms));
        } else if attempts.is_empty() {
            return Err(reasons.join("; "));
        }
        let ended = if left.len() > 0 {
            let patience = Duration::from_millis(NEXT_WAY_MS);
            timeout(patience, attempts.join_next()).await.ok().flatten()
        } else {
            attempts.join_next().await
        };
        match ended {
            Some(Ok(Ok(met))) => return Ok(met),
            Some(Ok(Err(reason))) => reasons.push(reason),
            Some(Err(error)) => reasons.push(error.to_string()),
            None => {}
        }
    }
}

async fn go(way: Way, silence_ms: u64) -> Result<Met, String> {
    let Way { to, mut wire } = way;
    let result = async {
        let mut stream = open(&to, silence_ms).await?;
        greet(&mut stream, |bytes, out| {
            let is_met = wire.greet(bytes)?;
            wire.greeting(out)?;
            Ok(is_met.then_some(()))
        })
        .await?;
        Ok::<_, io::Error>(stream)
    };
    match result.await {
        Ok(stream) => Ok((stream, wire)),
        Err(error) => Err(format!("cannot connect to {to}: {error}")),
    }
}

async fn open(to: &Destination, silence_ms: u64) -> io::Result<Box<dyn Stream>> {
    match to {
        Destination::Tcp(host, port) => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            Ok(ready(stream, silence_ms))
        }
        #[cfg(unix)]
        Destination::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        #[cfg(not(unix))]
        Destination::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// A TCP connection, for short messages and with an end to silence.
pub(super) fn ready(stream: TcpStream, silence_ms: u64) -> Box<dyn Stream> {
    // Without this, small messages wait for acknowledgements; a failure costs speed only.
    let _ = stream.set_nodelay(true);
    keep_alive(&stream, silence_ms);
    Box::new(stream)
}
