//! What JavaScript calls for the sockets that it owns: bytes go in and out here.

use std::cell::RefCell;
use std::sync::Arc;

use marotte::captp::{CloseReason, Config, Keys, PublicKey};
use marotte::transport::{Heard, PeerAuth, Wire, WireError, meant};
use marotte::{Identity, Location};
use wasm_bindgen::prelude::wasm_bindgen;

use crate::exports::{KEEP, NOTHING, address, reserve, seed, text_result, with_input};
use crate::imports;
use crate::state::{self, Greeting};
use crate::tape::{BadTape, Tape};

/// As that, for the buffer that each connection keeps for itself.
const KEEP_UNSENT: usize = 4 << 10;

/// What [`receive`] returns: more turns wait.
const MORE: u32 = 1;
/// What [`receive`] returns: the connection has ended.
const CLOSED: u32 = 2;
/// What [`receive`] returns: the peer has not said hello yet.
const WAITING: u32 = 4;

/// How much of an encrypted stream goes into one WebSocket message.
const PIECE: usize = 256 << 10;

thread_local! {
    /// Received bytes.
    static RECEIVED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// Bytes to be sent, and where their messages end.
    static FLUSHED: RefCell<(Vec<u8>, Vec<usize>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// What [`connect`] may be asked for: messages as they are.
const PLAIN: u32 = 0;
/// An encrypted stream that was accepted.
const ACCEPTED: u32 = 1;

/// A new connection. Tape: 64 secret random bytes in two halves. `now_ms` is on the clock of
/// [`handle_timeout`]. One to a peer is encrypted by the way that is taken in the end: see [`way_take`].
#[wasm_bindgen]
pub fn connect(number: u32, kind: u32, start: u32, len: u32, now_ms: f64) -> u32 {
    let Some(tub) = state::tub(number) else {
        return NOTHING;
    };
    let seeds = with_input(start, len, |mut tape| {
        Ok::<_, BadTape>((seed(&mut tape)?, seed(&mut tape)?))
    });
    let Ok((keys, exchange)) = seeds else {
        return NOTHING;
    };
    let is_encrypted = kind != PLAIN;
    let wire = (kind == ACCEPTED).then(|| Wire::noise_server(&tub.identity, &tub.limits, exchange));
    let transport = if is_encrypted { "noise" } else { "websocket" };
    let config = Config {
        profile: tub.profile,
        limits: Arc::clone(&tub.limits),
        keys: Keys::from_seed(keys),
        location: tub.location(Some(transport)),
        reserved: kind == ACCEPTED,
        boundaries: !is_encrypted,
        now_ms: now_ms as u64,
    };
    // In plain text a peer may ask who we are.
    let greeting = (!is_encrypted && tub.profile.peer_auth).then(|| Greeting {
        auth: PeerAuth::asked(&tub.identity),
        message: None,
    });
    state::add_connection(is_encrypted, wire, greeting, |driver| {
        tub.vat.connect(config, driver)
    })
}

/// As [`connect`], to a peer. Tape: 64 secret random bytes in two halves, its transport and its designator, its URLs, null.
#[wasm_bindgen]
pub fn connect_to(number: u32, start: u32, len: u32, now_ms: f64) -> u32 {
    let Some(tub) = state::tub(number) else {
        return NOTHING;
    };
    let parsed = with_input(start, len, |mut tape| {
        let (keys, random) = (seed(&mut tape)?, seed(&mut tape)?);
        let bare = peer(&mut tape)?;
        let mut places = Vec::new();
        while let Some(url) = tape.optional_str()? {
            places.push(Location {
                hints: [("url".to_owned(), url.to_owned())].into(),
                ..bare.clone()
            });
        }
        let to = Location::of(&places, None).unwrap_or(bare);
        Ok::<_, BadTape>((keys, random, to))
    });
    let Ok((keys, random, to)) = parsed else {
        return NOTHING;
    };
    let is_encrypted = to.transport == "noise";
    let key = Identity::key_of(&to.designator);
    if is_encrypted && key.is_none() {
        return NOTHING;
    }
    let asks = key.filter(|_| !is_encrypted && tub.profile.peer_auth);
    let greeting = asks.map(|key| {
        let (auth, question) = PeerAuth::asking(key, &random);
        Greeting {
            auth,
            message: Some(question),
        }
    });
    let config = Config {
        profile: tub.profile,
        limits: Arc::clone(&tub.limits),
        keys: Keys::from_seed(keys),
        location: tub.location(Some(&to.transport)),
        reserved: false,
        boundaries: !is_encrypted,
        now_ms: now_ms as u64,
    };
    state::add_connection(is_encrypted, None, greeting, |driver| {
        tub.vat.dial(config, driver, to)
    })
}

fn peer(tape: &mut Tape<'_>) -> Result<Location, BadTape> {
    Ok(Location {
        transport: tape.str()?.to_owned(),
        designator: tape.str()?.to_owned(),
        hints: Default::default(),
    })
}

/// The connection that there is to a peer. Tape: its transport and its designator.
#[wasm_bindgen]
pub fn connection_to(number: u32, start: u32, len: u32) -> u32 {
    let to = with_input(start, len, |mut tape| peer(&mut tape));
    let connection = state::tub(number)
        .zip(to.ok())
        .and_then(|(tub, to)| tub.vat.connection_to(&to));
    connection
        .and_then(|connection| state::number_of(&connection))
        .unwrap_or(NOTHING)
}

// Before a connection is open: who is at the other end, and whom they want.

/// Whom the sender of the first `len` received bytes wants: a designator on the result tape, empty if more
/// must come first. False if this is no encrypted connection.
#[wasm_bindgen]
pub fn wanted(len: u32) -> bool {
    let found = RECEIVED.with_borrow(|received| meant(received.get(..len as usize).unwrap_or(&[])));
    let Ok(key) = found else { return false };
    text_result(
        key.map(|key| Identity::designator_of(&key))
            .unwrap_or_default(),
    );
    true
}

/// Begins to go a way to a peer. Tape: 32 secret random bytes, and the peer's designator.
#[wasm_bindgen]
pub fn way_new(number: u32, start: u32, len: u32) -> u32 {
    let Some(tub) = state::tub(number) else {
        return NOTHING;
    };
    let parsed = with_input(start, len, |mut tape| {
        let exchange = seed(&mut tape)?;
        let key = Identity::key_of(tape.str()?).ok_or(BadTape)?;
        Ok::<_, BadTape>((exchange, key))
    });
    let wire = parsed.ok().and_then(|(exchange, key)| {
        Wire::noise_client(&tub.identity, key, &tub.limits, exchange).ok()
    });
    wire.map_or(NOTHING, state::add_way)
}

/// Takes the first `len` received bytes of a way. Returns 1 if the peer is met there, 0 if more must be said,
/// and 2 if it is somebody else, with the reason on the result tape.
#[wasm_bindgen]
pub fn way_greet(way: u32, len: u32) -> u32 {
    let received = RECEIVED.take();
    let bytes = received.get(..len as usize).unwrap_or_default();
    let met = state::with_way(way, |wire| wire.greet(bytes));
    RECEIVED.set(received);
    match met {
        Some(Ok(met)) => u32::from(met),
        Some(Err(error)) => {
            text_result(error.to_string());
            2
        }
        None => 2,
    }
}

/// Takes what a way has to say, as [`flush`] does.
#[wasm_bindgen]
pub fn way_flush(way: u32) -> u32 {
    FLUSHED.with_borrow_mut(|(bytes, ends)| {
        bytes.clear();
        ends.clear();
        // Without a WebSocket of its own it never fails.
        state::with_way(way, |wire| wire.greeting(bytes));
        ends.push(bytes.len());
        bytes.len() as u32
    })
}

/// A connection takes the way on which the peer was met.
#[wasm_bindgen]
pub fn way_take(way: u32, connection: u32) {
    if let (Some(wire), Some(of)) = (state::take_way(way), state::connection(connection)) {
        state::put_wire(connection, &of, wire);
    }
}

/// Goes a way no further.
#[wasm_bindgen]
pub fn way_drop(way: u32) {
    drop(state::take_way(way));
}

/// Makes room for received bytes; returns where.
#[wasm_bindgen]
pub fn receive_reserve(len: u32) -> u32 {
    RECEIVED.with(|received| reserve(received, len))
}

/// Handles the first `len` received bytes, which hold whole messages, and runs the turns that they
/// cause, up to `budget`.
#[wasm_bindgen]
pub fn receive(number: u32, connection: u32, len: u32, budget: u32, now_ms: f64) -> u32 {
    let number_of = connection;
    let (Some(tub), Some(connection)) = (state::tub(number), state::connection(number_of)) else {
        return CLOSED;
    };
    let received = RECEIVED.take();
    let now_ms = now_ms as u64;
    let claimed = tub.vat.claim_turns();
    let bytes = received.get(..len as usize).unwrap_or_default();
    // Out of its table meanwhile: objects of JavaScript's are called.
    let closed = match state::take_wire(number_of) {
        Some(mut wire) => {
            let result = wire.read((), &connection, bytes, now_ms);
            state::put_wire(number_of, &connection, wire);
            result.is_err()
        }
        None => {
            connection.note_read(bytes.len(), now_ms);
            match greet(number_of, bytes) {
                Ok(None) => connection.receive((), bytes).is_err(),
                Ok(Some(peer)) => {
                    if let Some(key) = peer {
                        connection.authenticated(Identity::designator_of(&key));
                    }
                    imports::wake(number_of);
                    false
                }
                Err(error) => {
                    connection.close((), error.into());
                    true
                }
            }
        }
    };
    let more = claimed && tub.vat.run_turns((), budget as usize);
    if received.len() <= KEEP {
        RECEIVED.set(received);
    }
    let waiting = !closed && !connection.is_open();
    (if more { MORE } else { 0 })
        | (if closed { CLOSED } else { 0 })
        | (if waiting { WAITING } else { 0 })
}

/// Takes a message that may come before the session. `None` if it is the session's; else whose key was shown, if
/// it was.
fn greet(number: u32, bytes: &[u8]) -> Result<Option<Option<PublicKey>>, WireError> {
    let heard = state::with_greeting(number, |greeting| {
        Ok(match greeting.auth.receive(bytes)? {
            Heard::Session => {
                // Nothing was written before.
                imports::wake(number);
                None
            }
            Heard::Met(key) => Some(Some(key)),
            Heard::Asked(answer) => {
                greeting.message = Some(answer);
                Some(None)
            }
        })
    });
    heard.unwrap_or(Ok(None))
}

/// Takes what waits to be sent; returns its length.
#[wasm_bindgen]
pub fn flush(connection: u32) -> u32 {
    let number = connection;
    let Some(connection) = state::connection(number) else {
        return 0;
    };
    if let Some(mut wire) = state::take_wire(number) {
        let count = FLUSHED.with_borrow_mut(|(bytes, ends)| {
            bytes.clear();
            // The buffer takes everything, and never fails.
            let _ = wire.flush(&connection, &mut |more| {
                bytes.extend_from_slice(more);
                Ok(more.len())
            });
            ends.clear();
            ends.extend((PIECE..bytes.len()).step_by(PIECE).chain([bytes.len()]));
            bytes.len() as u32
        });
        state::put_wire(number, &connection, wire);
        return count;
    }
    if state::is_encrypted(number) {
        // It is being read from further up this stack; what waits is written when that is done.
        return 0;
    }
    if let Some(first) = state::with_greeting(number, |greeting| greeting.message.take()) {
        let first = first.unwrap_or_default();
        if !first.is_empty() {
            // What follows is a message of its own.
            imports::wake(number);
        }
        return FLUSHED.with_borrow_mut(|(bytes, ends)| {
            *ends = vec![first.len()];
            *bytes = first;
            bytes.len() as u32
        });
    }
    FLUSHED.with_borrow_mut(|flushed| {
        let mut spare = std::mem::take(&mut flushed.0);
        if spare.capacity() > KEEP_UNSENT {
            spare = Vec::new();
        }
        *flushed = connection.take_output(spare);
        if flushed.0.is_empty() {
            0
        } else {
            flushed.0.len() as u32
        }
    })
}

/// Where the flushed bytes are.
#[wasm_bindgen]
pub fn flushed_address() -> u32 {
    FLUSHED.with_borrow(|(bytes, _)| address(bytes))
}

/// Where the flushed message with that index ends; 0 if there are no more, which is so from the
/// start if messages need not be told apart.
#[wasm_bindgen]
pub fn flushed_end(index: u32) -> u32 {
    FLUSHED.with_borrow(|(_, ends)| ends.get(index as usize).map_or(0, |&end| end as u32))
}

/// Tells the peer of what is held no more.
#[wasm_bindgen]
pub fn collect(connection: u32) {
    if let Some(connection) = state::connection(connection) {
        connection.collect();
    }
}

/// True if the handshake took too long; the connection has then ended.
#[wasm_bindgen]
pub fn handle_timeout(connection: u32, now_ms: f64) -> bool {
    state::connection(connection)
        .is_some_and(|connection| connection.handle_timeout((), now_ms as u64))
}

/// When [`handle_timeout`] is due, or a negative number.
#[wasm_bindgen]
pub fn deadline(connection: u32) -> f64 {
    let deadline = state::connection(connection).and_then(|connection| connection.deadline_ms());
    deadline.map_or(-1.0, |deadline_ms| deadline_ms as f64)
}

/// Ends a connection. Tape: why. `by_us` is false if it was lost.
#[wasm_bindgen]
pub fn close(connection: u32, by_us: bool, start: u32, len: u32) {
    let Some(connection) = state::connection(connection) else {
        return;
    };
    let reason = with_input(start, len, |mut tape| tape.str().map(str::to_owned));
    let reason = reason.unwrap_or_default();
    let reason = if by_us {
        CloseReason::Local(reason)
    } else {
        CloseReason::Lost(reason)
    };
    connection.close((), reason);
}

/// Why a connection ended, on the result tape.
#[wasm_bindgen]
pub fn close_reason(connection: u32) -> u32 {
    let reason = state::connection(connection).and_then(|connection| connection.close_reason());
    text_result(reason.map(|reason| reason.to_string()).unwrap_or_default())
}

/// Forgets a connection that has ended.
#[wasm_bindgen]
pub fn connection_drop(connection: u32) {
    state::drop_connection(connection);
}
