//! Keeping a connection to an object.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::random;
use super::tub::{Inner, Tub};
use crate::backoff::Backoff;
use crate::error::Error;
use crate::native::Reference;

/// How a [`Reconnector`] stands.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Contact {
    /// It connects, or asks for the object.
    Connecting,
    /// It has the object.
    Connected(Reference),
    /// It waits until it tries again; why it must.
    Waiting(Error),
    /// It has ended.
    Stopped,
}

/// Keeps a connection to an object: see [`Tub::connect_to`]. Dropping this lets it go on.
///
/// ```text
///   Connecting ──▶ Connected ──lost──▶ Waiting ──▶ Connecting
///        └───────────failed──────────────▲
/// ```
#[derive(Debug, Clone)]
pub struct Reconnector {
    contact: watch::Receiver<Contact>,
    wake: Arc<Notify>,
    task: AbortHandle,
    stopped: Arc<watch::Sender<Contact>>,
}

impl Reconnector {
    pub(super) fn begin(
        tub: &Arc<Inner>,
        uri: &str,
        connected: impl FnMut(Reference) + Send + 'static,
    ) -> Self {
        let (sender, contact) = watch::channel(Contact::Connecting);
        let stopped = Arc::new(sender);
        let wake = Arc::new(Notify::new());
        tub.wake_at_end(&wake);
        let keeping = Keeping {
            tub: Arc::downgrade(tub),
            uri: uri.to_owned(),
            connected,
            contact: Arc::clone(&stopped),
            wake: Arc::clone(&wake),
        };
        let task = tub.runtime().spawn(keeping.run()).abort_handle();
        Self {
            contact,
            wake,
            task,
            stopped,
        }
    }

    /// How it stands now.
    pub fn contact(&self) -> Contact {
        self.contact.borrow().clone()
    }

    /// The object: at once if it is connected, else when it is. `None` if it has ended.
    pub async fn reference(&self) -> Option<Reference> {
        let mut contact = self.contact.clone();
        loop {
            match &*contact.borrow_and_update() {
                Contact::Connected(reference) => return Some(reference.clone()),
                Contact::Stopped => return None,
                _ => {}
            }
            contact.changed().await.ok()?;
        }
    }

    /// Tries at once, if it waits; the times between attempts begin anew.
    pub fn reset(&self) {
        self.wake.notify_waiters();
    }

    /// Tries no more. A connection that there is stays.
    pub fn stop(&self) {
        self.task.abort();
        self.stopped.send_replace(Contact::Stopped);
    }
}

struct Keeping<F> {
    tub: Weak<Inner>,
    uri: String,
    connected: F,
    contact: Arc<watch::Sender<Contact>>,
    wake: Arc<Notify>,
}

impl<F: FnMut(Reference) + Send> Keeping<F> {
    async fn run(mut self) {
        let mut backoff = Backoff::default();
        while let Some(tub) = self.tub.upgrade().filter(|tub| !tub.is_closed()) {
            self.contact.send_replace(Contact::Connecting);
            let found = Tub(tub).get_reference(&self.uri).when::<Reference>();
            let (error, wait_ms) = match found.await {
                Ok(reference) => {
                    let since = Instant::now();
                    let error = self.hold(reference).await;
                    let lasted_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
                    (error, backoff.lost(lasted_ms, chance()))
                }
                Err(error) => (error, backoff.failed(chance())),
            };
            let mut woken = Box::pin(self.wake.notified());
            // From now on, also if it is woken by who sees how it stands.
            woken.as_mut().enable();
            self.contact.send_replace(Contact::Waiting(error));
            if timeout(Duration::from_millis(wait_ms), woken).await.is_ok() {
                backoff.reset();
            }
        }
        self.contact.send_replace(Contact::Stopped);
    }

    /// Until the connection is lost, and why it was.
    async fn hold(&mut self, reference: Reference) -> Error {
        let (lost, ended) = oneshot::channel();
        let _watcher = reference.notify_on_disconnect(move |error| {
            // Whoever waited for it may have been stopped.
            let _ = lost.send(error);
        });
        self.contact
            .send_replace(Contact::Connected(reference.clone()));
        // A panic was reported by its hook, and ends nothing here.
        let _ = std::panic::catch_unwind(AssertUnwindSafe(|| (self.connected)(reference)));
        match ended.await {
            Ok(error) => error,
            // An object of this very tub's.
            Err(_) => std::future::pending().await,
        }
    }
}

fn chance() -> u32 {
    let [a, b, c, d, ..] = random();
    u32::from_le_bytes([a, b, c, d])
}
