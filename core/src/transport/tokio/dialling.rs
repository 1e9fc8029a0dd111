//! Going all ways to a peer at once, until it is met on one of them.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::random;
use super::stream::{Stream, greet};
use super::tub::Inner;
use crate::captp::CloseReason;
use crate::error::Error;
use crate::locator::Location;
use crate::native::Native;
use crate::sync::lock;
use crate::transport::{Destination, NEXT_WAY_MS, Way, Wire, keep_alive, ways_to};
use crate::vat::Connection;

/// So many references with other hints are looked at while one connection is made.
const MOST_REFERENCES: usize = 16;

/// A connection that is being made.
pub(super) struct Dial {
    connection: Weak<Connection<Native>>,
    /// The hints whose ways are tried.
    tried: Vec<BTreeMap<String, String>>,
    further: mpsc::UnboundedSender<Way>,
}

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

impl Inner {
    /// The connection to a peer: one that is open, one that is being made, or a new one.
    pub(super) fn connect(
        self: &Arc<Self>,
        to: &Location,
    ) -> Result<Arc<Connection<Native>>, Error> {
        let _dialling = lock(&self.dialling);
        if let Some(connection) = self.vat.connection_to(to) {
            self.further_ways(&connection, to);
            return Ok(connection);
        }
        let limits = &self.limits;
        let ways = ways_to(to, &self.identity, limits, self.options.profile, random())?;
        let began = self.begin(self.announced(&to.transport), &ways[0].wire, Some(to));
        let connection = Arc::clone(&began.0);
        let inner = Arc::downgrade(self);
        // A runtime that is gone drops the future unrun: nobody may wait for ever.
        let unmade = Unmade(Some(Arc::clone(&connection)));
        let (further, more) = mpsc::unbounded_channel();
        self.note_dial(&connection, to, further);
        let (patience, silence_ms) = (limits.handshake_ms, limits.silence_ms);
        self.runtime.spawn(async move {
            let met = timeout(
                Duration::from_millis(patience),
                reach(ways, more, silence_ms),
            )
            .await;
            let met = met.unwrap_or_else(|_| Err("the peer takes too long to answer".to_owned()));
            match (met, inner.upgrade()) {
                (Ok((stream, wire)), Some(inner)) => {
                    // A task of its own, which does not keep the tub alive.
                    inner.runtime.spawn(inner.drive(stream, wire, began, None));
                    unmade.settled();
                }
                (Err(reason), _) => began.0.close((), CloseReason::Lost(reason)),
                (Ok(_), None) => {
                    let reason = CloseReason::Local("the tub is gone".to_owned());
                    began.0.close((), reason);
                }
            }
        });
        Ok(connection)
    }

    fn note_dial(
        &self,
        connection: &Arc<Connection<Native>>,
        to: &Location,
        further: mpsc::UnboundedSender<Way>,
    ) {
        let mut dials = lock(&self.dials);
        dials.retain(|dial| !dial.further.is_closed());
        dials.push(Dial {
            connection: Arc::downgrade(connection),
            tried: vec![to.hints.clone()],
            further,
        });
    }

    /// Has the ways that a reference names tried, too, while no other has led to the peer: those of another
    /// reference may be wrong.
    fn further_ways(&self, connection: &Arc<Connection<Native>>, to: &Location) {
        let mut dials = lock(&self.dials);
        let is_it =
            |dial: &&mut Dial| std::ptr::eq(dial.connection.as_ptr(), Arc::as_ptr(connection));
        let Some(dial) = dials.iter_mut().find(is_it) else {
            return;
        };
        if dial.further.is_closed()
            || dial.tried.contains(&to.hints)
            || dial.tried.len() >= MOST_REFERENCES
        {
            return;
        }
        dial.tried.push(to.hints.clone());
        let limits = &self.limits;
        // Of those that lead nowhere the reference's own connection would have told.
        let ways = ways_to(to, &self.identity, limits, self.options.profile, random());
        for way in ways.into_iter().flatten() {
            // It has ended just now.
            let _ = dial.further.send(way);
        }
    }
}

/// A connection that is being made; closed when this goes, unless it is closed already.
struct Unmade(Option<Arc<Connection<Native>>>);

impl Unmade {
    /// Something else sees to its end from now on.
    fn settled(mut self) {
        self.0 = None;
    }
}

impl Drop for Unmade {
    fn drop(&mut self) {
        if let Some(connection) = &self.0
            && !connection.is_closed()
        {
            let reason = CloseReason::Lost("the runtime was shut down".to_owned());
            connection.close((), reason);
        }
    }
}
