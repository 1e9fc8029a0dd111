//! Going all ways to a peer at once, until it is met on one of them.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::stream::{Stream, greet};
use crate::transport::{Destination, NEXT_WAY_MS, Way, Wire, keep_alive};

/// A stream to the peer, and its codec.
pub(super) type Met = (Box<dyn Stream>, Wire);

/// The first way on which the peer is met, each a little later than the one before; or why there is none.
/// `more` brings further ways. `silence_ms` is for [`keep_alive`].
pub(super) async fn reach(
    ways: Vec<Way>,
    mut more: mpsc::UnboundedReceiver<Way>,
    silence_ms: u64,
) -> Result<Met, String> {
    let patience = Duration::from_millis(NEXT_WAY_MS);
    let mut left = VecDeque::from(ways);
    // Those that have not won end with this.
    let mut attempts = JoinSet::new();
    let mut reasons = Vec::new();
    loop {
        if let Some(way) = left.pop_front() {
            attempts.spawn(go(way, silence_ms));
        } else if attempts.is_empty() {
            // From here on nobody can add another.
            more.close();
            match more.recv().await {
                Some(way) => left.push_back(way),
                None => return Err(reasons.join("; ")),
            }
            continue;
        }
        tokio::select! {
            ended = attempts.join_next() => match ended {
                Some(Ok(Ok(met))) => return Ok(met),
                Some(Ok(Err(reason))) => reasons.push(reason),
                Some(Err(error)) => reasons.push(error.to_string()),
                None => {}
            },
            Some(way) = more.recv() => left.push_back(way),
            () = sleep(patience), if !left.is_empty() => {}
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
        Destination::Unix(path) => loop {
            match UnixStream::connect(path).await {
                // It has many guests already; TCP tries again by itself.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    sleep(Duration::from_millis(20)).await;
                }
                result => return Ok(Box::new(result?)),
            }
        },
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
