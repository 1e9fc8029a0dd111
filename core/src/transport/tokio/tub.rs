//! The tub: a vat of Rust objects with its listeners and connections.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::future::IntoFuture;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::dialling::Dial;
use super::driver::{Task, Wakeup, elapsed_ms};
use super::ports::{Listener, Ports};
use super::random;
use super::reconnector::Reconnector;
use super::stream::Stream;
use crate::captp::{CloseReason, Config, Keys, Profile, PublicKey, Stats};
use crate::deferred::Deferred;
use crate::error::Error;
use crate::host::{Host, Outcome, Ref};
use crate::identity::Identity;
use crate::limits::Limits;
use crate::locator::{Location, SturdyRef};
use crate::native::{
    BoxFuture, Home, Native, Promise, Reference, Referenceable, Resolver, Runtime,
};
use crate::promise::Cell;
use crate::sync::lock;
use crate::trace::Trace;
use crate::transport::{Netlayer, Visit, Wire};
use crate::vat::{Connection, Vat};

/// How a [`Tub`] behaves.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct TubOptions {
    /// The dialect of the wire.
    pub profile: Profile,
    /// What a peer may make us hold.
    pub limits: Limits,
    /// Whether peers are told where a failure happened, where that is known: in errors that came
    /// from other peers. See [`RemoteError::traceback`](crate::RemoteError::traceback).
    pub tracebacks: bool,
    /// Whether a peer that is passed an object of another peer's is introduced to that one. See
    /// [`Vat::introduce_peers`].
    pub introduce: bool,
    /// Whether peers that connect are taken for whom they say they are. See [`Vat::believe_hellos`].
    pub believe: bool,
    /// Who the tub is; a new identity if there is none.
    pub identity: Option<Arc<Identity>>,
}

/// A vat of Rust objects on tokio: it offers objects to others and finds theirs.
///
/// A tub belongs to the runtime it was made in. It can be cloned and used from any thread; its
/// objects run one turn at a time. When the last handle is dropped, listeners and connections end.
///
/// ```
/// use marotte::{Reference, Tub};
///
/// struct Greeter;
/// #[marotte::remote]
/// impl Greeter {
///     fn greet(&self, name: String) -> String {
///         format!("Hello, {name}!")
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Tub::new();
/// server.listen_tcp("127.0.0.1:0").await?;
/// let uri = server.register_reference(Greeter, Some("greeter"))?;
///
/// let client = Tub::new();
/// let hello: String = client.get_reference(&uri).send("greet", &("you",)).when().await?;
/// assert_eq!(hello, "Hello, you!");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tub(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) vat: Arc<Vat<Native>>,
    pub(super) runtime: Handle,
    designator: String,
    pub(super) identity: Arc<Identity>,
    /// Those of the options, for connections to share.
    pub(super) limits: Arc<Limits>,
    pub(super) options: TubOptions,
    epoch: Instant,
    /// Where we are found.
    ports: Arc<Ports>,
    is_closed: AtomicBool,
    /// The connections that are being made.
    pub(super) dials: Mutex<Vec<Dial>>,
    /// Wakes what would connect again.
    reconnecting: Mutex<Vec<Weak<Notify>>>,
    /// Held while a connection is looked up or begun, so that a peer is dialled once.
    pub(super) dialling: Mutex<()>,
}

struct OnTokio {
    handle: Handle,
    turns: Arc<Notify>,
    /// Set once the tub is made, which owns this.
    tub: Arc<OnceLock<Weak<Inner>>>,
}

impl Runtime for OnTokio {
    fn schedule_turns(&self) {
        self.turns.notify_one();
    }

    fn spawn(&self, future: BoxFuture<()>) {
        self.handle.spawn(future);
    }

    fn dial(&self, to: &Location) -> Result<Arc<Connection<Native>>, Error> {
        match self.tub.get().and_then(Weak::upgrade) {
            Some(tub) => tub.connect(&to.from_afar()),
            None => Err(Error::Misuse("the tub is gone".to_owned())),
        }
    }
}

impl Drop for OnTokio {
    /// The vat is gone: its task finds out and ends.
    fn drop(&mut self) {
        self.turns.notify_one();
    }
}

impl Default for Tub {
    fn default() -> Self {
        Self::new()
    }
}

impl Debug for Tub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tub")
            .field("designator", &self.0.designator)
            .finish_non_exhaustive()
    }
}

impl Tub {
    /// A tub on the current tokio runtime.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or if the operating system has no randomness to give.
    pub fn new() -> Self {
        Self::with_options(TubOptions::default())
    }

    /// A tub that behaves as told.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn with_options(options: TubOptions) -> Self {
        Self::found_at(Arc::default(), options)
    }

    /// Another tub, with a new identity and the same options, that is found where this one is: each of its
    /// encrypted ports is the other's, too, and whoever connects says by the key in the reference whom they
    /// want. Ports in plain text are not shared. It is cheap, and closing it breaks the references to its
    /// objects and no others: a lifetime for objects that are to end together.
    ///
    /// ```
    /// # struct Cart;
    /// # #[marotte::remote]
    /// # impl Cart { fn total(&self) -> u32 { 7 } }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let shop = marotte::Tub::new();
    /// shop.listen_noise("127.0.0.1:0").await?;
    /// let visit = shop.make_tub();
    /// let uri = visit.register_reference(Cart, None)?;
    /// # let client = marotte::Tub::new();
    /// let cart = client.get_reference(&uri);
    /// assert_eq!(cart.send("total", &()).when::<u32>().await?, 7);
    /// visit.close();
    /// assert!(cart.send("total", &()).when::<u32>().await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn make_tub(&self) -> Self {
        let options = TubOptions {
            identity: None,
            ..self.0.options.clone()
        };
        Self::found_at(Arc::clone(&self.0.ports), options)
    }

    fn found_at(ports: Arc<Ports>, options: TubOptions) -> Self {
        let handle = Handle::current();
        let notify = Arc::new(Notify::new());
        let tub = Arc::new(OnceLock::new());
        let runtime = OnTokio {
            handle: handle.clone(),
            turns: Arc::clone(&notify),
            tub: Arc::clone(&tub),
        };
        let vat = Vat::new(Home::new(runtime));
        let fresh = || Arc::new(Identity::from_seed(random()));
        let identity = options.identity.clone().unwrap_or_else(fresh);
        vat.show_tracebacks(options.tracebacks);
        vat.introduce_peers(options.introduce);
        vat.believe_hellos(options.believe);
        handle.spawn(run_turns(Arc::downgrade(&vat), notify));
        let inner = Arc::new(Inner {
            vat,
            runtime: handle,
            designator: identity.designator(),
            identity,
            limits: Arc::new(options.limits.clone()),
            options,
            epoch: Instant::now(),
            ports,
            is_closed: AtomicBool::new(false),
            dials: Mutex::default(),
            reconnecting: Mutex::default(),
            dialling: Mutex::new(()),
        });
        let _ = tub.set(Arc::downgrade(&inner));
        inner.ports.join(inner.key(), Arc::downgrade(&inner));
        Self(inner)
    }

    /// Accepts connections at `noise://host:port` (encrypted, and both ends show who they are: the way to be
    /// on a network that is not to be trusted), `noise+ws://host:port` (the same inside of WebSockets, for
    /// browsers and for peers behind a web server's proxy, which sees the WebSocket only),
    /// `noise+unix:///path` (the same for programs of this machine), or `tcp://host:port` and
    /// `ws://host:port` (plain text, which does not show who the peer is: for testing). Port 0 lets the
    /// system choose.
    ///
    /// `url` is where peers are to connect to, if not there: `wss://example.org/marotte` for a WebSocket
    /// behind a proxy, `noise://example.org:9000` where the address says nothing to others, as `0.0.0.0`.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub async fn listen(&self, address: &str, url: Option<&str>) -> io::Result<Listener> {
        let (netlayer, rest) = Netlayer::split(address).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("cannot listen at {address:?}: {}", Netlayer::ADDRESSES),
            )
        })?;
        self.open(netlayer, rest, url).await
    }

    /// [`Self::listen`] at `noise://` and that `host:port`.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub async fn listen_noise(&self, address: &str) -> io::Result<Listener> {
        self.open(Netlayer::Noise, address, None).await
    }

    /// [`Self::listen`] at `tcp://` and that `host:port`: plain text.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub async fn listen_tcp(&self, address: &str) -> io::Result<Listener> {
        self.open(Netlayer::Tcp, address, None).await
    }

    /// [`Self::listen`] at `ws://` and that `host:port`: plain text.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub async fn listen_websocket(&self, address: &str) -> io::Result<Listener> {
        self.open(Netlayer::WebSocket, address, None).await
    }

    async fn open(
        &self,
        netlayer: Netlayer,
        address: &str,
        url: Option<&str>,
    ) -> io::Result<Listener> {
        if self.0.is_closed() {
            return Err(io::Error::other("the tub was closed; make another one"));
        }
        self.0.ports.listen(&self.0, netlayer, address, url).await
    }

    /// Offers an object to whoever knows the returned URI. Without a name the URI holds 256 random
    /// bits; with one it can be guessed by whoever knows the name.
    ///
    /// # Errors
    /// If the tub listens nowhere yet.
    pub fn register_reference(
        &self,
        object: impl Referenceable,
        name: Option<&str>,
    ) -> Result<String, Error> {
        self.register_arc(Arc::new(object), name)
    }

    /// As [`Self::register_reference`], with a URI that is kept in a file, so that it is the same when the
    /// program starts again. Only the file's owner may read it. The tub must have a [kept
    /// identity](Identity::load_or_create), too.
    ///
    /// # Errors
    /// If the tub listens nowhere yet, or for the reasons of [`SturdyRef::load_or_create`].
    pub fn register_in_file(
        &self,
        object: impl Referenceable,
        path: &std::path::Path,
    ) -> io::Result<String> {
        let location = self.its_location().map_err(io::Error::other)?;
        let kept = SturdyRef::load_or_create(path, &location, random)?;
        self.0.vat.register(&kept.swiss, Arc::new(object));
        Ok(kept.to_string())
    }

    fn its_location(&self) -> Result<Location, Error> {
        self.0.whereabouts(None).ok_or_else(|| {
            Error::Misuse("the tub listens nowhere yet; call listen first".to_owned())
        })
    }

    /// As [`Self::register_reference`], for an object that is shared already.
    ///
    /// # Errors
    /// If the tub listens nowhere yet.
    pub fn register_arc(
        &self,
        object: Arc<dyn Referenceable>,
        name: Option<&str>,
    ) -> Result<String, Error> {
        let location = self.its_location()?;
        let swiss = match name {
            Some(name) => name.as_bytes().to_vec(),
            None => random().to_vec(),
        };
        self.0.vat.register(&swiss, object);
        Ok(SturdyRef { location, swiss }.to_string())
    }

    /// Takes a registration back. References that peers hold already stay good.
    pub fn unregister_reference(&self, uri: &str) -> bool {
        uri.parse::<SturdyRef>()
            .is_ok_and(|sturdy| self.0.vat.unregister(&sturdy.swiss).is_some())
    }

    /// Breaks every reference to an object of ours that peers have or will have: see [`Vat::revoke`]. False if
    /// it was revoked before, or is no object of ours.
    ///
    /// ```
    /// # struct Log;
    /// # #[marotte::remote]
    /// # impl Log {}
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let tub = marotte::Tub::new();
    /// let log = tub.reference(Log);       // passed to others, until
    /// assert!(tub.revoke(&log));
    /// # }
    /// ```
    pub fn revoke(&self, reference: &Reference) -> bool {
        reference
            .near()
            .is_some_and(|object| self.0.vat.revoke((), &object))
    }

    /// As [`Self::revoke`], for an object that was registered as [`Self::register_arc`] does.
    pub fn revoke_arc(&self, object: &Arc<dyn Referenceable>) -> bool {
        self.0.vat.revoke((), object)
    }

    /// A reference to an object of ours that can be sent to, here and by peers it is passed to.
    pub fn reference(&self, object: impl Referenceable) -> Reference {
        self.reference_arc(Arc::new(object))
    }

    /// As [`Self::reference`], for an object that is shared already.
    pub fn reference_arc(&self, object: Arc<dyn Referenceable>) -> Reference {
        Reference::from_parts(&self.0.vat, Ref::Local(object))
    }

    /// The object that a URI names, as a promise that can be sent to at once. The connection is
    /// made, or an existing one used; what goes wrong breaks the promise.
    pub fn get_reference(&self, uri: &str) -> Promise {
        let vat = Arc::clone(&self.0.vat);
        let sturdy: SturdyRef = match uri.parse() {
            Ok(sturdy) => sturdy,
            Err(error) => return Promise::broken(vat, Error::Misuse(format!("{error}"))),
        };
        if sturdy.location.designator == self.0.designator {
            return match vat.registered((), &sturdy.swiss) {
                Some(object) => {
                    let value = Native::value_of((), Ref::Local(object));
                    let cell = Cell::settled(Outcome::Fulfilled(value));
                    let cell = Native::new_promise((), &vat, cell);
                    Promise::from_parts(vat, cell)
                }
                None => Promise::broken(vat, Error::remote("KeyError: no such object here")),
            };
        }
        match self.0.connect(&sturdy.location) {
            Ok(connection) => {
                let cell = connection.fetch((), &vat, &sturdy.swiss);
                Promise::from_parts(vat, cell)
            }
            Err(error) => Promise::broken(vat, error),
        }
    }

    /// Keeps a connection to the object that a URI names: it connects now, and whenever the connection is
    /// lost again, after [times](crate::Backoff) that grow while it fails. `connected` is called with the
    /// reference each time. What was sent over a connection that is lost is not sent again. It ends with
    /// the tub, or by [`Reconnector::stop`].
    ///
    /// ```
    /// # struct Status;
    /// # #[marotte::remote]
    /// # impl Status { fn subscribe(&self) {} }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = marotte::Tub::new();
    /// # server.listen_noise("127.0.0.1:0").await?;
    /// # let uri = server.register_reference(Status, None)?;
    /// let tub = marotte::Tub::new();
    /// let status = tub.connect_to(&uri, |_| println!("connected"))?;
    /// status.reference().await.expect("it goes on").send("subscribe", &()).when::<()>().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If it is no such URI.
    pub fn connect_to(
        &self,
        uri: &str,
        connected: impl FnMut(Reference) + Send + 'static,
    ) -> Result<Reconnector, Error> {
        uri.parse::<SturdyRef>()
            .map_err(|error| Error::Misuse(error.to_string()))?;
        Ok(Reconnector::begin(&self.0, uri, connected))
    }

    /// A new promise and its resolver. Messages to it wait until it is resolved.
    pub fn make_promise(&self) -> (Promise, Resolver) {
        Promise::new(&self.0.vat)
    }

    /// A promise for what a future becomes: a task, a [`Deferred`](crate::Deferred), anything.
    /// Cancelling the promise drops the future.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), marotte::Error> {
    /// let tub = marotte::Tub::new();
    /// let size = tub.promise_for(async { std::fs::read("/dev/null").map(|bytes| bytes.len()) });
    /// assert_eq!(size.when::<usize>().await?, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn promise_for<T, E>(
        &self,
        future: impl IntoFuture<Output = Result<T, E>, IntoFuture: Send + 'static>,
    ) -> Promise
    where
        T: Serialize,
        E: Display,
    {
        Promise::from_future(&self.0.vat, future)
    }

    /// Runs `f` in a turn of its own, after all that wait already. A panic ends that turn only.
    pub fn eventually(&self, f: impl FnOnce() + Send + 'static) {
        self.0.vat.eventually(f);
    }

    /// A Deferred that fires with `value` in a later turn.
    pub fn fire_eventually<T: Debug + Send + 'static>(&self, value: T) -> Deferred<T, Error> {
        self.0.vat.fire_eventually(value)
    }

    /// A Deferred that fires when no turn waits any more, those included that turns cause.
    ///
    /// ```
    /// # use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// static DONE: AtomicBool = AtomicBool::new(false);
    /// let tub = marotte::Tub::new();
    /// tub.eventually(|| DONE.store(true, Relaxed));
    /// tub.flush_eventual_queue().await.unwrap();
    /// assert!(DONE.load(Relaxed));
    /// # }
    /// ```
    pub fn flush_eventual_queue(&self) -> Deferred<(), Error> {
        self.0.vat.flush_eventual_queue()
    }

    /// Notes from now on who sends what, because of which message: every turn of this tub and every message
    /// that is sent in it, the newest 100,000. [`Trace::to_chrome_json`] is the picture, in which the tub
    /// has that name. Nothing is noted any more after [`Self::end_trace`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let tub = marotte::Tub::new();
    /// let trace = tub.trace("shop");
    /// // ...
    /// let json = trace.to_chrome_json();      // for ui.perfetto.dev, say
    /// # }
    /// ```
    pub fn trace(&self, name: &str) -> Arc<Trace> {
        /// About 15 MB.
        const MOST: usize = 100_000;
        let trace = Trace::new(name, MOST, now_us);
        self.0.vat.trace(Some(Arc::clone(&trace)));
        trace
    }

    /// Notes nothing more; what was noted stays in the trace.
    pub fn end_trace(&self) {
        self.0.vat.trace(None);
    }

    /// Counters of all connections together.
    pub fn stats(&self) -> Stats {
        self.0.vat.stats()
    }

    /// Ends every listener and connection; promises that wait for a peer break.
    pub fn close(&self) {
        self.0.close("the tub was closed");
    }
}

impl Inner {
    pub(super) fn begin(
        &self,
        announced: Location,
        wire: &Wire,
        to: Option<&Location>,
    ) -> (Arc<Connection<Native>>, Arc<Wakeup>) {
        let wakeup = Arc::new(Wakeup::default());
        let config = Config {
            profile: self.options.profile,
            limits: Arc::clone(&self.limits),
            keys: Keys::from_seed(random()),
            location: announced,
            reserved: to.is_none() && wire.authenticates(),
            boundaries: wire.has_boundaries(),
            now_ms: elapsed_ms(self.epoch),
        };
        let driver = Arc::clone(&wakeup) as _;
        let connection = match to {
            Some(to) => self.vat.dial(config, driver, to.clone()),
            None => self.vat.connect(config, driver),
        };
        (connection, wakeup)
    }

    pub(super) fn drive(
        &self,
        stream: Box<dyn Stream>,
        wire: Wire,
        (connection, wakeup): (Arc<Connection<Native>>, Arc<Wakeup>),
        visit: Option<Visit>,
    ) -> Task<Box<dyn Stream>> {
        let handshake = Duration::from_millis(self.options.limits.handshake_ms);
        Task {
            stream,
            wire,
            connection,
            wakeup,
            deadline: Some(Box::pin(tokio::time::sleep(handshake))),
            collect: None,
            linger: None,
            epoch: self.epoch,
            _visit: visit,
        }
    }

    /// The task of a connection that was accepted for this tub.
    pub(super) fn accepted(
        &self,
        announced: Location,
        stream: Box<dyn Stream>,
        wire: Wire,
        visit: Option<Visit>,
    ) -> Task<Box<dyn Stream>> {
        let began = self.begin(announced, &wire, None);
        // Closing on another thread may have seen the other connections only.
        if self.is_closed() {
            let reason = CloseReason::Local("the tub was closed".to_owned());
            began.0.close((), reason);
        }
        self.drive(stream, wire, began, visit)
    }

    /// Has something woken when the tub closes.
    pub(super) fn wake_at_end(&self, wake: &Arc<Notify>) {
        let mut reconnecting = lock(&self.reconnecting);
        reconnecting.retain(|wake| wake.strong_count() > 0);
        reconnecting.push(Arc::downgrade(wake));
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    pub(super) fn key(&self) -> PublicKey {
        self.identity.public()
    }

    pub(super) fn designator(&self) -> &str {
        &self.designator
    }

    pub(super) fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    pub(super) fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    pub(super) fn profile(&self) -> Profile {
        self.options.profile
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// What peers are told of where the tub is, over that transport; no more than who it is, if it listens
    /// nowhere.
    pub(super) fn announced(&self, transport: &str) -> Location {
        let nowhere = || Location {
            transport: transport.to_owned(),
            designator: self.designator.clone(),
            hints: BTreeMap::new(),
        };
        self.whereabouts(Some(transport)).unwrap_or_else(nowhere)
    }

    /// Where peers find the tub, by that transport if it listens there.
    fn whereabouts(&self, transport: Option<&str>) -> Option<Location> {
        let places = self.ports.locations(self.key(), &self.designator);
        Location::of(&places, transport)
    }

    fn close(&self, why: &str) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.ports.leave(self.key());
        for wake in lock(&self.reconnecting).drain(..) {
            if let Some(wake) = wake.upgrade() {
                wake.notify_waiters();
            }
        }
        for connection in self.vat.connections() {
            connection.close((), CloseReason::Local(why.to_owned()));
        }
        drop(self.vat.unregister_everything());
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close("the tub was dropped");
    }
}

/// Microseconds since 1970.
fn now_us() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_micros()).unwrap_or(u64::MAX))
}

async fn run_turns(vat: Weak<Vat<Native>>, wanted: Arc<Notify>) {
    /// Turns in a row before the runtime gets its chance.
    const BUDGET: usize = 256;
    loop {
        wanted.notified().await;
        let Some(vat) = vat.upgrade() else { return };
        {
            let _turn = vat.home().enter();
            vat.finish_turns((), BUDGET);
        }
        drop(vat);
        // More turns have notified already, and to wait for that would not let others run.
        tokio::task::yield_now().await;
    }
}
