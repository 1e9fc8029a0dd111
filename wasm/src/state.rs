//! The numbers that JavaScript knows things by.
//!
//! A page has one thread, so the tables are thread-local. Each is borrowed for a lookup only, and
//! nothing is dropped under a borrow: dropping a reference may call JavaScript, which may call back.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use marotte::captp::Profile;
use marotte::host::{Outcome, Ref, Reply};
use marotte::passable::Builder;
use marotte::promise::Cell;
use marotte::transport::{PeerAuth, Wire};
use marotte::vat::{Connection, Driver, Import, Recording, Vat};
use marotte::{Host, Identity, Limits, Location, RemoteError, Trace};

use crate::host::{Callback, JsHost, JsObject, JsPromise, JsValue, Slot};
use crate::imports;
use crate::tape::{self, BadTape, Out, Tape, tag};

/// A vat with what its connections are made from.
pub(crate) struct Tub {
    pub(crate) vat: Arc<Vat<JsHost>>,
    pub(crate) profile: Profile,
    pub(crate) limits: Arc<Limits>,
    pub(crate) identity: Arc<Identity>,
    /// Where it is found.
    pub(crate) places: RefCell<Vec<Location>>,
    /// The notes that were begun last.
    pub(crate) trace: RefCell<Option<Arc<Trace>>>,
}

impl Tub {
    /// Where peers find it, by that transport if it listens there; no more than who it is, if it listens
    /// nowhere.
    pub(crate) fn location(&self, transport: Option<&str>) -> Location {
        let found = Location::of(&self.places.borrow(), transport);
        found.unwrap_or_else(|| Location {
            transport: transport.unwrap_or("websocket").to_owned(),
            designator: self.identity.designator(),
            hints: Default::default(),
        })
    }
}

/// What a handle stands for.
struct Entry {
    vat: Arc<Vat<JsHost>>,
    reference: Ref<JsHost>,
}

/// A table of numbered things; numbers are used again.
pub(crate) struct Slab<T> {
    entries: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(crate) fn insert(&mut self, entry: T) -> u32 {
        if let Some(number) = self.free.pop()
            && let Some(place) = self.entries.get_mut(number as usize)
        {
            *place = Some(entry);
            return number;
        }
        self.entries.push(Some(entry));
        (self.entries.len() - 1) as u32
    }

    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        self.entries.get(number as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.entries.get_mut(number as usize)?.as_mut()
    }

    /// Takes an entry out without letting its number be used again yet.
    fn take(&mut self, number: u32) -> Option<T> {
        self.entries.get_mut(number as usize)?.take()
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<T> {
        let entry = self.take(number)?;
        self.free.push(number);
        Some(entry)
    }
}

/// What has settled since JavaScript last looked.
#[derive(Default)]
pub(crate) struct Events {
    /// For each: the promise's handle, 0 or 1 for fulfilled or broken, a value or a failure.
    pub(crate) tape: Vec<u8>,
    /// Keeps alive what the tape points into.
    outcomes: Vec<Outcome<JsHost>>,
    /// Handles that are free once JavaScript has read the tape.
    retired: Vec<u32>,
}

thread_local! {
    static HANDLES: RefCell<Slab<Entry>> = const { RefCell::new(Slab::new()) };
    /// The handle of every far reference that has one, by the import's address.
    static FAR: RefCell<HashMap<usize, u32>> = RefCell::default();
    static OBJECTS: RefCell<Vec<Weak<Slot>>> = const { RefCell::new(Vec::new()) };
    static TUBS: RefCell<Slab<Rc<Tub>>> = const { RefCell::new(Slab::new()) };
    static CONNECTIONS: RefCell<Slab<Entrance>> = const { RefCell::new(Slab::new()) };
    static WAYS: RefCell<Slab<Wire>> = const { RefCell::new(Slab::new()) };
    static EVENTS: RefCell<Events> = RefCell::default();
    /// What is being recorded, innermost last.
    static RECORDINGS: RefCell<Vec<Recording<JsHost>>> = const { RefCell::new(Vec::new()) };
    static REPLY: RefCell<Option<Reply<JsHost>>> = const { RefCell::new(None) };
    /// Tapes for reading that are not in use.
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static BUILDER: RefCell<Option<Builder<Ref<JsHost>>>> = const { RefCell::new(None) };
}

// Handles.

/// The reference behind a handle.
pub(crate) fn reference(handle: u32) -> Option<Ref<JsHost>> {
    HANDLES.with_borrow(|handles| handles.get(handle).map(|entry| entry.reference.dup(())))
}

/// The reference behind a handle, and the vat that it belongs to.
pub(crate) fn target(handle: u32) -> Option<(Arc<Vat<JsHost>>, Ref<JsHost>)> {
    HANDLES.with_borrow(|handles| {
        handles
            .get(handle)
            .map(|entry| (Arc::clone(&entry.vat), entry.reference.dup(())))
    })
}

/// The handle of a far reference, and whether it is new.
pub(crate) fn far(vat: &Arc<Vat<JsHost>>, import: &Arc<Import<JsHost>>) -> (u32, bool) {
    let address = Arc::as_ptr(import) as usize;
    FAR.with_borrow_mut(|far| match far.get(&address) {
        Some(&handle) => (handle, false),
        None => {
            let reference = Ref::Far(Arc::clone(import));
            let handle = insert(vat, reference);
            far.insert(address, handle);
            (handle, true)
        }
    })
}

fn insert(vat: &Arc<Vat<JsHost>>, reference: Ref<JsHost>) -> u32 {
    let entry = Entry {
        vat: Arc::clone(vat),
        reference,
    };
    HANDLES.with_borrow_mut(|handles| handles.insert(entry))
}

/// A handle for a promise whose settlement JavaScript will be told; the handle ends with it.
pub(crate) fn track(vat: &Arc<Vat<JsHost>>, promise: &JsPromise) -> u32 {
    let handle = insert(vat, Ref::Promise(promise.dup()));
    vat.when((), promise, Callback::Settled(handle));
    handle
}

/// A handle for a promise that JavaScript will settle; the handle ends with that.
pub(crate) fn hold(vat: &Arc<Vat<JsHost>>, promise: JsPromise) -> u32 {
    insert(vat, Ref::Promise(promise))
}

/// A handle whose promise is told of the end of a connection, and the number to take that back with.
pub(crate) fn watch(handle: u32) -> Option<(u32, u64)> {
    let (vat, Ref::Far(import)) = target(handle)? else {
        return None;
    };
    let promise = JsHost::new_promise((), &vat, Cell::pending());
    let told = insert(&vat, Ref::Promise(promise));
    let number = import.connection().watch((), Callback::Settled(told));
    Some((told, number))
}

pub(crate) fn unwatch(handle: u32, told: u32, number: u64) {
    if let Some((_, Ref::Far(import))) = target(handle)
        && import.connection().unwatch(number).is_some()
    {
        drop_handle(told);
    }
}

/// Begins to record; returns the handle of the promise that stands for the item.
pub(crate) fn record(vat: &Arc<Vat<JsHost>>) -> u32 {
    let (recording, item) = vat.record(());
    RECORDINGS.with_borrow_mut(|recordings| recordings.push(recording));
    track(vat, &item)
}

/// The innermost recording, which ends.
pub(crate) fn take_recording() -> Option<Recording<JsHost>> {
    RECORDINGS.with_borrow_mut(Vec::pop)
}

/// Lets go of a handle.
pub(crate) fn drop_handle(handle: u32) {
    drop(release(handle));
}

/// Takes the promise out of a handle, which ends.
pub(crate) fn take_promise(handle: u32) -> Option<(Arc<Vat<JsHost>>, JsPromise)> {
    match release(handle)? {
        Entry {
            vat,
            reference: Ref::Promise(promise),
        } => Some((vat, promise)),
        _ => None,
    }
}

fn release(handle: u32) -> Option<Entry> {
    let entry = HANDLES.with_borrow_mut(|handles| handles.remove(handle));
    if let Some(Entry {
        reference: Ref::Far(import),
        ..
    }) = &entry
    {
        FAR.with_borrow_mut(|far| far.remove(&(Arc::as_ptr(import) as usize)));
    }
    entry
}

// Objects.

/// A handle on the object in a slot.
pub(crate) fn object(slot: u32) -> JsObject {
    OBJECTS.with_borrow_mut(|objects| {
        let index = slot as usize;
        if objects.len() <= index {
            objects.resize_with(index + 1, Weak::new);
        }
        match objects.get(index).and_then(JsObject::upgrade) {
            Some(object) => object,
            None => {
                let object = JsObject::new(slot);
                if let Some(place) = objects.get_mut(index) {
                    *place = object.downgrade();
                }
                object
            }
        }
    })
}

// Tubs and connections.

pub(crate) fn add_tub(make: impl FnOnce(u32) -> Tub) -> u32 {
    TUBS.with_borrow_mut(|tubs| {
        // The vat must know its number, so the number comes first.
        let number = tubs.free.pop().unwrap_or(tubs.entries.len() as u32);
        let tub = Some(Rc::new(make(number)));
        match tubs.entries.get_mut(number as usize) {
            Some(place) => *place = tub,
            None => tubs.entries.push(tub),
        }
        number
    })
}

pub(crate) fn tub(number: u32) -> Option<Rc<Tub>> {
    TUBS.with_borrow(|tubs| tubs.get(number).map(Rc::clone))
}

pub(crate) fn drop_tub(number: u32) {
    drop(TUBS.with_borrow_mut(|tubs| tubs.remove(number)));
}

/// The WebSocket of a connection, which JavaScript owns.
struct Socket(u32);

impl Driver for Socket {
    fn wake(&self) {
        imports::wake(self.0);
    }

    fn idle(&self) {
        imports::idle(self.0);
    }
}

/// A connection, and the codec of its stream if that is an encrypted one.
struct Entrance {
    connection: Option<Arc<Connection<JsHost>>>,
    is_encrypted: bool,
    /// Taken out while it is in use.
    wire: Option<Wire>,
    /// What is said before the session, if it is not encrypted.
    greeting: Option<Greeting>,
}

/// What is said before a session in plain text.
pub(crate) struct Greeting {
    pub(crate) auth: PeerAuth,
    /// What is to be sent, ahead of everything else.
    pub(crate) message: Option<Vec<u8>>,
}

pub(crate) fn add_connection(
    is_encrypted: bool,
    wire: Option<Wire>,
    greeting: Option<Greeting>,
    make: impl FnOnce(Arc<dyn Driver>) -> Arc<Connection<JsHost>>,
) -> u32 {
    let entrance = Entrance {
        connection: None,
        is_encrypted,
        wire,
        greeting,
    };
    let number = CONNECTIONS.with_borrow_mut(|connections| connections.insert(entrance));
    let connection = make(Arc::new(Socket(number)));
    CONNECTIONS.with_borrow_mut(|connections| {
        if let Some(entrance) = connections.get_mut(number) {
            entrance.connection = Some(connection);
        }
    });
    number
}

pub(crate) fn connection(number: u32) -> Option<Arc<Connection<JsHost>>> {
    CONNECTIONS.with_borrow(|connections| {
        let entrance = connections.get(number)?;
        entrance.connection.as_ref().map(Arc::clone)
    })
}

pub(crate) fn is_encrypted(number: u32) -> bool {
    CONNECTIONS.with_borrow(|connections| {
        connections
            .get(number)
            .is_some_and(|entrance| entrance.is_encrypted)
    })
}

pub(crate) fn take_wire(number: u32) -> Option<Wire> {
    CONNECTIONS.with_borrow_mut(|connections| connections.get_mut(number)?.wire.take())
}

/// Puts a codec back, unless its connection has ended meanwhile; the number may be another's then.
pub(crate) fn put_wire(number: u32, of: &Arc<Connection<JsHost>>, wire: Wire) {
    let mut wire = Some(wire);
    CONNECTIONS.with_borrow_mut(|connections| {
        if let Some(entrance) = connections.get_mut(number)
            && entrance
                .connection
                .as_ref()
                .is_some_and(|connection| Arc::ptr_eq(connection, of))
        {
            entrance.wire = wire.take();
        }
    });
}

/// What is said on a connection before its session; `None` once that is over.
pub(crate) fn with_greeting<T>(number: u32, f: impl FnOnce(&mut Greeting) -> T) -> Option<T> {
    CONNECTIONS.with_borrow_mut(|connections| {
        let greeting = &mut connections.get_mut(number)?.greeting;
        let result = greeting.as_mut().map(f);
        greeting.take_if(|greeting| greeting.auth.is_over() && greeting.message.is_none());
        result
    })
}

/// The number of a connection.
pub(crate) fn number_of(of: &Arc<Connection<JsHost>>) -> Option<u32> {
    CONNECTIONS.with_borrow(|connections| {
        let is_it = |entrance: &Option<Entrance>| {
            let connection = entrance.as_ref().and_then(|it| it.connection.as_ref());
            connection.is_some_and(|connection| Arc::ptr_eq(connection, of))
        };
        connections
            .entries
            .iter()
            .position(is_it)
            .map(|number| number as u32)
    })
}

/// A way to a peer that is tried.
pub(crate) fn add_way(wire: Wire) -> u32 {
    WAYS.with_borrow_mut(|ways| ways.insert(wire))
}

pub(crate) fn with_way<T>(number: u32, f: impl FnOnce(&mut Wire) -> T) -> Option<T> {
    WAYS.with_borrow_mut(|ways| ways.get_mut(number).map(f))
}

pub(crate) fn take_way(number: u32) -> Option<Wire> {
    WAYS.with_borrow_mut(|ways| ways.remove(number))
}

pub(crate) fn drop_connection(number: u32) {
    drop(CONNECTIONS.with_borrow_mut(|connections| connections.remove(number)));
}

// Tapes.

/// Lends an empty tape for JavaScript to read.
pub(crate) fn with_tape<T>(f: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    let mut tape = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
    let result = f(&mut tape);
    tape.clear();
    if tape.capacity() <= 1 << 16 {
        SPARE.with_borrow_mut(|spare| spare.push(tape));
    }
    result
}

/// Lends an empty builder.
pub(crate) fn with_builder<T>(f: impl FnOnce(&mut Builder<Ref<JsHost>>) -> T) -> T {
    let mut builder = BUILDER.take().unwrap_or_default();
    let result = f(&mut builder);
    // A large message must not pin its memory.
    if builder.view().bytes().len() <= 1 << 16 {
        builder.clear();
        BUILDER.set(Some(builder));
    }
    result
}

/// Reads one value.
pub(crate) fn value(bytes: &[u8]) -> Result<JsValue, BadTape> {
    let mut builder = Builder::default();
    Tape::new(bytes).build(&mut builder)?;
    Ok(JsValue::new(builder.finish()))
}

/// What the object that was just invoked answered.
pub(crate) fn take_reply() -> Reply<JsHost> {
    REPLY.take().unwrap_or_else(|| {
        Reply::Failure(JsHost::failure(
            (),
            marotte::Error::remote("the object did not answer"),
        ))
    })
}

/// Sets what [`take_reply`] takes.
pub(crate) fn set_reply(reply: Reply<JsHost>) {
    drop(REPLY.replace(Some(reply)));
}

// Events.

/// Notes for JavaScript how a promise ended.
pub(crate) fn push_event(vat: &Arc<Vat<JsHost>>, handle: u32, outcome: Outcome<JsHost>) {
    // Taken out while the tape is written: that may make handles and schedule turns.
    let mut events = EVENTS.take();
    let out = &mut events.tape;
    let start = out.len();
    out.extend_from_slice(&handle.to_le_bytes());
    let promise = match HANDLES.with_borrow(|handles| {
        let entry = handles.get(handle)?;
        Some(entry.reference.dup(()))
    }) {
        Some(Ref::Promise(promise)) => Some(promise),
        _ => None,
    };
    let is_held = promise.is_some_and(|it| JsHost::with_cell((), &it, Cell::is_embargoed));
    out.tag(match outcome {
        Outcome::Fulfilled(_) if is_held => 2,
        Outcome::Fulfilled(_) => 0,
        Outcome::Broken(_) => 1,
    });
    match &outcome {
        Outcome::Fulfilled(JsValue::Ref(reference)) => match reference {
            Ref::Local(object) => out.number(tag::OBJECT, object.slot()),
            Ref::Far(import) => out.number(tag::FAR, far(vat, import).0),
            // Core chains promises; it never fulfils one with another.
            Ref::Promise(promise) => out.number(tag::PROMISE, track(vat, promise)),
        },
        Outcome::Fulfilled(JsValue::Data(value)) => {
            if let Err(error) = tape::write(vat, value.view(), out) {
                out.truncate(start + 4);
                out.tag(1);
                let text = format!("TypeError: the result is not understood here: {error}");
                let failure = crate::host::JsFailure::Remote(RemoteError::from_wire(&text));
                tape::write_failure(vat, &failure, out);
                events.outcomes.push(Outcome::Broken(failure));
            }
        }
        Outcome::Broken(failure) => tape::write_failure(vat, failure, out),
    }
    events.outcomes.push(outcome);
    // Messages to one that is held still go through the promise; JavaScript lets go of it.
    let entry = if is_held {
        None
    } else {
        HANDLES.with_borrow_mut(|handles| handles.take(handle))
    };
    if entry.is_some() {
        events.retired.push(handle);
    }
    EVENTS.set(events);
    drop(entry);
}

/// Looks at the events.
pub(crate) fn with_events<T>(f: impl FnOnce(&Events) -> T) -> T {
    EVENTS.with_borrow(f)
}

/// Forgets the events that JavaScript has read.
pub(crate) fn clear_events() {
    let mut events = EVENTS.take();
    events.outcomes.clear();
    events.tape.clear();
    HANDLES.with_borrow_mut(|handles| handles.free.append(&mut events.retired));
    EVENTS.set(events);
}
