//! What JavaScript calls for the sockets that it owns: bytes go in and out here.

use std::cell::RefCell;

use marotte::Identity;
use marotte::captp::{CloseReason, Config, Keys};
use marotte::transport::Wire;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::exports::{KEEP, NOTHING, address, reserve, seed, text_result, with_input};
use crate::state;

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
/// An encrypted stream, to the one whose designator is on the tape.
const TO: u32 = 1;
/// An encrypted stream that was accepted.
const ACCEPTED: u32 = 2;

/// A new connection. Tape: 64 secret random bytes in two halves, and whom it is meant for. `now_ms` is on the
/// clock of [`handle_timeout`].
#[wasm_bindgen]
pub fn connect(number: u32, kind: u32, start: u32, len: u32, now_ms: f64) -> u32 {
    let Some(tub) = state::tub(number) else {
        return NOTHING;
    };
    let parsed = with_input(start, len, |mut tape| {
        let seeds = (seed(&mut tape)?, seed(&mut tape)?);
        Ok::<_, crate::tape::BadTape>((seeds, tape.optional_str()?.map(str::to_owned)))
    });
    let Ok(((keys, exchange), peer)) = parsed else {
        return NOTHING;
    };
    let key = peer.as_deref().and_then(Identity::key_of);
    let wire = match (kind, key) {
        (PLAIN, _) => None,
        (TO, Some(key)) => match Wire::noise_client(&tub.identity, key, &tub.limits, exchange) {
            Ok(wire) => Some(wire),
            Err(_) => return NOTHING,
        },
        (ACCEPTED, _) => Some(Wire::noise_server(&tub.identity, &tub.limits, exchange)),
        _ => return NOTHING,
    };
    let mut location = tub.location.clone();
    if kind == TO && location.hints.is_empty() {
        // It listens nowhere, so it may be found anyhow.
        "noise".clone_into(&mut location.transport);
    }
    let config = Config {
        profile: tub.profile,
        limits: tub.limits.clone(),
        keys: Keys::from_seed(keys),
        location,
        reserved: kind == ACCEPTED,
        boundaries: kind == PLAIN,
        now_ms: now_ms as u64,
    };
    state::add_connection(wire, |driver| tub.vat.connect(config, driver))
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
            connection.receive((), bytes).is_err()
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
