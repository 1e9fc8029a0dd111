//! Vats in memory: any number of Rust vats joined by wires that delay, cut and break on request,
//! on one thread and without a clock, so that every run of a test is the same run.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};

use marotte::captp::{CloseReason, Config, Keys, Profile, Stats};
use marotte::host::{Host, Message, Ref};
use marotte::native::{Answer, Args, BoxFuture, Home, Native, NativeVat, Runtime, reply};
use marotte::passable::Builder;
use marotte::promise::Cell;
use marotte::transport::Deframer;
use marotte::vat::{Connection, Driver, Vat};
use marotte::{Error, Limits, Location, Promise, Reference, Referenceable};
use serde::de::DeserializeOwned;

/// An executor that runs when the test says so.
#[derive(Clone, Default)]
struct Manual(Arc<Mutex<Vec<BoxFuture<()>>>>);

impl Runtime for Manual {
    fn schedule_turns(&self) {
        // Every step of the network runs all turns.
    }

    fn spawn(&self, future: BoxFuture<()>) {
        self.0.lock().expect("no test thread panicked").push(future);
    }
}

/// A driver that is asked at every step anyway.
struct Polled;

impl Driver for Polled {
    fn wake(&self) {}
    fn idle(&self) {}
}

/// A closure as an object.
struct Object<F>(F);

impl<F> Referenceable for Object<F>
where
    F: Fn(&str, &mut Args<'_>) -> Answer + Send + Sync + 'static,
{
    fn deliver(self: Arc<Self>, method: Option<&str>, mut args: Args<'_>) -> Answer {
        (self.0)(method.unwrap_or_default(), &mut args)
    }
}

/// An object that handles messages with a closure.
pub fn object(
    handle: impl Fn(&str, &mut Args<'_>) -> Answer + Send + Sync + 'static,
) -> Arc<dyn Referenceable> {
    Arc::new(Object(handle))
}

/// One vat.
pub struct Side {
    pub vat: Arc<NativeVat>,
    tasks: Manual,
}

impl Default for Side {
    fn default() -> Self {
        Self::new()
    }
}

impl Side {
    pub fn new() -> Self {
        let tasks = Manual::default();
        Self {
            vat: Vat::new(Home::new(tasks.clone())),
            tasks,
        }
    }

    /// Lets peers fetch an object by its name.
    pub fn register(&self, name: &str, object: Arc<dyn Referenceable>) {
        self.vat.register(name.as_bytes(), object);
    }

    /// Runs turns and tasks until none can go on.
    pub fn run(&self) {
        loop {
            {
                let _turn = self.vat.home().enter();
                while self.vat.run_turns((), 100) {}
            }
            let tasks = std::mem::take(&mut *self.tasks.0.lock().expect("no test thread panicked"));
            let count = tasks.len();
            let mut cx = Context::from_waker(Waker::noop());
            let left: Vec<_> = tasks
                .into_iter()
                .filter_map(|mut task| task.as_mut().poll(&mut cx).is_pending().then_some(task))
                .collect();
            let progress = left.len() < count;
            self.tasks
                .0
                .lock()
                .expect("no test thread panicked")
                .extend(left);
            if !progress {
                return;
            }
        }
    }

    /// A promise of this vat that nobody will settle.
    pub fn forsaken(&self) -> Promise {
        let cell = Native::new_promise((), &self.vat, Cell::pending());
        self.adopt(Ref::Promise(cell))
    }

    /// A promise of this vat and the means to resolve it: a message to it settles it.
    pub fn promise(&self) -> (Promise, Resolver) {
        let slot: Arc<Mutex<Option<Result<Reference, Error>>>> = Arc::default();
        let waiting = Arc::clone(&slot);
        let maker = object(move |_, _| {
            let waiting = Arc::clone(&waiting);
            marotte::native::reply_later(std::future::poll_fn(move |_| {
                waiting
                    .lock()
                    .expect("no test thread panicked")
                    .take()
                    .map_or(Poll::Pending, Poll::Ready)
            }))
        });
        let promise = self.near(maker).send("make", &());
        self.run();
        (promise, Resolver(slot))
    }

    /// A reference to an object of ours through which messages can be sent.
    pub fn near(&self, target: Arc<dyn Referenceable>) -> Promise {
        self.adopt(Ref::Local(target))
    }

    /// Makes a public promise of what core hands out, by passing it to an object of ours.
    pub fn adopt(&self, inner: Ref<Native>) -> Promise {
        let caught: Arc<Mutex<Option<Promise>>> = Arc::default();
        let slot = Arc::clone(&caught);
        let catcher = object(move |_, args| {
            let taken = args.take1::<Promise>();
            *slot.lock().expect("no test thread panicked") = taken.ok();
            reply(Ok::<_, Error>(()))
        });
        let mut args = Builder::default();
        args.reference(inner);
        let message = Message::new(Some("catch"), args.view());
        self.vat.send((), &Ref::Local(catcher), message, None);
        self.run();
        let promise = caught.lock().expect("no test thread panicked").take();
        promise.expect("the catcher was called")
    }
}

/// Settles a promise made by [`Side::promise`].
pub struct Resolver(Arc<Mutex<Option<Result<Reference, Error>>>>);

impl Resolver {
    pub fn fulfil(self, value: Reference) {
        *self.0.lock().expect("no test thread panicked") = Some(Ok(value));
    }

    pub fn smash(self, reason: &str) {
        *self.0.lock().expect("no test thread panicked") = Some(Err(Error::remote(reason)));
    }
}

/// The outcome of a promise, if it has settled.
pub fn outcome<T: DeserializeOwned>(promise: &Promise) -> Option<Result<T, Error>> {
    let mut future = std::pin::pin!(promise.when::<T>());
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

/// The value of a promise that must have been fulfilled.
pub fn value<T: DeserializeOwned>(promise: &Promise) -> T {
    outcome(promise)
        .expect("the promise has settled")
        .expect("the promise was fulfilled")
}

/// Why a promise broke, which it must have.
pub fn reason(promise: &Promise) -> String {
    match outcome::<marotte::Value>(promise).expect("the promise has settled") {
        Ok(value) => panic!("the promise was fulfilled with {value:?}"),
        Err(error) => error.to_string(),
    }
}

/// One end of a wire.
pub struct End {
    pub connection: Arc<Connection<Native>>,
    vat: Weak<NativeVat>,
    deframer: Deframer,
    /// What is on its way to this end.
    pub inbox: VecDeque<u8>,
    /// Everything that this end wrote.
    pub written: Vec<u8>,
}

impl End {
    fn new(side: &Side, name: &str, seed: u8, profile: Profile, limits: Limits) -> Self {
        let location = Location {
            transport: "tcp-testing-only".to_owned(),
            designator: name.to_owned(),
            hints: BTreeMap::new(),
        };
        let config = Config {
            profile,
            limits: limits.clone().into(),
            keys: Keys::from_seed([seed; 32]),
            location,
            reserved: false,
            boundaries: false,
            now_ms: 0,
        };
        Self {
            connection: side.vat.connect(config, Arc::new(Polled)),
            vat: Arc::downgrade(&side.vat),
            deframer: Deframer::new(limits),
            inbox: VecDeque::new(),
            written: Vec::new(),
        }
    }

    fn dialled(side: &Side, number: usize, seed: u8, to: Location) -> Self {
        let config = Self::config(Net::location(number), seed);
        Self::around(side, side.vat.dial(config, Arc::new(Polled), to))
    }

    fn at(side: &Side, location: Location, seed: u8) -> Self {
        let config = Self::config(location, seed);
        Self::around(side, side.vat.connect(config, Arc::new(Polled)))
    }

    fn config(location: Location, seed: u8) -> Config {
        Config {
            profile: Profile::MAROTTE,
            limits: Limits::default().into(),
            keys: Keys::from_seed([seed; 32]),
            location,
            reserved: false,
            boundaries: false,
            now_ms: 0,
        }
    }

    fn around(side: &Side, connection: Arc<Connection<Native>>) -> Self {
        Self {
            connection,
            vat: Arc::downgrade(&side.vat),
            deframer: Deframer::new(Limits::default()),
            inbox: VecDeque::new(),
            written: Vec::new(),
        }
    }

    /// Handles up to `count` bytes of what has arrived, as a driver does.
    pub fn deliver(&mut self, count: usize) -> bool {
        if self.inbox.is_empty() {
            return false;
        }
        let count = count.min(self.inbox.len());
        let piece: Vec<u8> = self.inbox.drain(..count).collect();
        self.feed(&piece);
        true
    }

    /// Handles bytes from the peer, as a driver does.
    pub fn feed(&mut self, piece: &[u8]) {
        let Some(vat) = self.vat.upgrade() else {
            return;
        };
        let _turn = vat.home().enter();
        let connection = &self.connection;
        if connection.is_closed() {
            return;
        }
        connection.begin_batch();
        vat.claim_turns();
        let fed = self
            .deframer
            .feed(piece, &mut |message| connection.receive((), message));
        if let Err(reason) = fed {
            connection.close((), reason);
        }
        while vat.run_turns((), 100) {}
    }

    fn flush(&mut self) -> Vec<u8> {
        let (bytes, _) = self.connection.take_output(Vec::new());
        self.written.extend_from_slice(&bytes);
        bytes
    }

    /// What this end writes now, as text.
    pub fn take_last_words(&mut self) -> String {
        String::from_utf8_lossy(&self.flush()).into_owned()
    }

    /// The stream has ended.
    pub fn hang_up(&mut self, reason: &str) {
        let Some(vat) = self.vat.upgrade() else {
            return;
        };
        let _turn = vat.home().enter();
        self.connection
            .close((), CloseReason::Lost(reason.to_owned()));
    }

    pub fn stats(&self) -> Stats {
        self.connection.stats()
    }

    /// The sizes of the export, import, question and answer tables.
    pub fn tables(&self) -> [u64; 4] {
        let stats = self.stats();
        [stats.exports, stats.imports, stats.questions, stats.answers]
    }

    /// The messages that this end wrote since the last call, without frames. Only for framed
    /// profiles.
    pub fn take_messages(&mut self) -> Vec<String> {
        let mut messages = Vec::new();
        let mut rest = self.written.as_slice();
        while let Some(colon) = rest.iter().position(|&byte| byte == b':') {
            let length: usize = String::from_utf8_lossy(&rest[..colon])
                .parse()
                .expect("a length");
            messages.push(String::from_utf8_lossy(&rest[colon + 1..][..length]).into_owned());
            rest = &rest[colon + 1 + length..];
        }
        self.written.clear();
        messages
    }
}

/// Two vats and the wire between them.
pub struct Pair {
    pub a: Side,
    pub b: Side,
    pub at_a: End,
    pub at_b: End,
    /// How many bytes one delivery brings at most.
    pub piece: usize,
}

impl Pair {
    /// Two vats that have met.
    pub fn new() -> Self {
        Self::with(Profile::MAROTTE, Limits::default())
    }

    /// Two vats that have met, under a profile and with limits for both.
    pub fn with(profile: Profile, limits: Limits) -> Self {
        let mut pair = Self::apart(profile, limits);
        pair.run();
        assert!(pair.at_a.connection.is_open() && pair.at_b.connection.is_open());
        pair.at_a.written.clear();
        pair.at_b.written.clear();
        pair
    }

    /// That vat, met with a new one.
    pub fn around(a: Side) -> Self {
        let mut pair = Self::join(a, Side::new(), Profile::MAROTTE, Limits::default());
        pair.run();
        pair
    }

    /// One more open connection of a, whose peer is the test.
    pub fn another(&self) -> End {
        let mut end = End::new(&self.a, "alice", 3, Profile::MAROTTE, Limits::default());
        let mallory = Side::new();
        let mut hello = End::new(&mallory, "mallory", 4, Profile::MAROTTE, Limits::default());
        end.feed(&hello.flush());
        assert!(end.connection.is_open());
        end.flush();
        end
    }

    /// Two vats whose hellos are still to be exchanged.
    pub fn apart(profile: Profile, limits: Limits) -> Self {
        Self::join(Side::new(), Side::new(), profile, limits)
    }

    fn join(a: Side, b: Side, profile: Profile, limits: Limits) -> Self {
        let at_a = End::new(&a, "alice", 1, profile, limits.clone());
        let at_b = End::new(&b, "bob", 2, profile, limits);
        Self {
            a,
            b,
            at_a,
            at_b,
            piece: usize::MAX,
        }
    }

    /// Puts what waits on the wire, delivers one piece each way, and runs what that causes.
    /// False if nothing moved.
    pub fn step(&mut self) -> bool {
        self.a.run();
        self.b.run();
        self.flush();
        let moved_b = self.at_b.deliver(self.piece);
        let moved_a = self.at_a.deliver(self.piece);
        moved_a || moved_b
    }

    /// Puts what waits on the wire.
    pub fn flush(&mut self) {
        let (from_a, from_b) = (self.at_a.flush(), self.at_b.flush());
        self.at_b.inbox.extend(from_a);
        self.at_a.inbox.extend(from_b);
    }

    /// Runs until nothing moves.
    pub fn run(&mut self) {
        while self.step() {}
    }

    /// Runs, and gives back whatever is held no more, until both tables have settled.
    pub fn collect(&mut self) {
        for _ in 0..4 {
            self.run();
            self.at_a.connection.collect();
            self.at_b.connection.collect();
        }
        self.run();
    }

    /// What b registered under that name, as a promise in a; it has not been fetched yet.
    pub fn fetch(&self, name: &str) -> Promise {
        let cell = self.at_a.connection.fetch((), &self.a.vat, name.as_bytes());
        self.a.adopt(Ref::Promise(cell))
    }

    /// The other way round.
    pub fn fetch_from_a(&self, name: &str) -> Promise {
        let cell = self.at_b.connection.fetch((), &self.b.vat, name.as_bytes());
        self.b.adopt(Ref::Promise(cell))
    }
}

impl Default for Pair {
    fn default() -> Self {
        Self::new()
    }
}

/// Any number of vats, and wires between them.
#[derive(Default)]
pub struct Net {
    pub sides: Vec<Side>,
    pub links: Vec<Link>,
}

/// A wire from one vat, which has dialled, to another.
pub struct Link {
    pub from: usize,
    pub to: usize,
    pub at_from: End,
    pub at_to: End,
    /// While true nothing arrives.
    pub stuck: bool,
}

impl Net {
    pub fn new(count: usize) -> Self {
        Self {
            sides: (0..count).map(|_| Side::new()).collect(),
            links: Vec::new(),
        }
    }

    /// Where a vat of this net says that it is.
    pub fn location(side: usize) -> Location {
        Location {
            transport: "tcp-testing-only".to_owned(),
            designator: format!("side{side}"),
            hints: BTreeMap::from([("port".to_owned(), side.to_string())]),
        }
    }

    /// Joins two vats; returns the number of the link. Nothing is exchanged yet.
    pub fn join(&mut self, from: usize, to: usize) -> usize {
        let seed = 100 + 2 * self.links.len() as u8;
        let at_from = End::dialled(&self.sides[from], from, seed, Self::location(to));
        let at_to = End::at(&self.sides[to], Self::location(to), seed + 1);
        self.links.push(Link {
            from,
            to,
            at_from,
            at_to,
            stuck: false,
        });
        self.links.len() - 1
    }

    fn step(&mut self) -> bool {
        for side in &self.sides {
            side.run();
        }
        let mut moved = false;
        for link in &mut self.links {
            let (out, back) = (link.at_from.flush(), link.at_to.flush());
            link.at_to.inbox.extend(out);
            link.at_from.inbox.extend(back);
            if !link.stuck {
                moved |= link.at_to.deliver(usize::MAX);
                moved |= link.at_from.deliver(usize::MAX);
            }
        }
        moved
    }

    /// Puts what waits on one wire, and delivers it at one end.
    pub fn move_one(&mut self, link: usize, to_dialler: bool) {
        let link = &mut self.links[link];
        let (out, back) = (link.at_from.flush(), link.at_to.flush());
        link.at_to.inbox.extend(out);
        link.at_from.inbox.extend(back);
        if to_dialler {
            link.at_from.deliver(usize::MAX);
        } else {
            link.at_to.deliver(usize::MAX);
        }
    }

    /// Runs until nothing moves.
    pub fn run(&mut self) {
        while self.step() {}
    }

    /// What `to` has registered under that name, as a promise of the one who dialled.
    pub fn fetch(&self, link: usize, name: &str) -> Promise {
        let link = &self.links[link];
        let side = &self.sides[link.from];
        let cell = link
            .at_from
            .connection
            .fetch((), &side.vat, name.as_bytes());
        side.adopt(Ref::Promise(cell))
    }
}
