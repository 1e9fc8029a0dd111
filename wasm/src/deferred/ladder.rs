//! What JavaScript calls to run the ladder of one Deferred.
//!
//! A Deferred has a ladder in here from when it is first moved until it rests. Rungs that were
//! added before come with that first call, two bits for the kind of each, the first one lowest.

use marotte::deferred::{self, AlreadyCalled, Chain, Entry};
use wasm_bindgen::prelude::wasm_bindgen;

use super::host::{JsDeferreds, Threw, put};

/// Called with a value.
const CALLBACK: u32 = 0;
/// Called with a failure.
const ERRBACK: u32 = 1;

#[inline(always)]
fn entry(kind: u32, number: u32) -> Entry<JsDeferreds> {
    match kind {
        CALLBACK => Entry::Callback(number),
        ERRBACK => Entry::Errback(number),
        // JavaScript itself chooses of a pair.
        _ => Entry::Both(number),
    }
}

fn push(chain: &mut Chain<JsDeferreds>, kinds: u32, count: u32) {
    for number in 0..count {
        chain.push(entry(kinds >> (2 * number) & 3, number));
    }
}

fn outcome(failed: bool) -> Result<(), ()> {
    if failed { Err(()) } else { Ok(()) }
}

/// A ladder for a Deferred that has not fired.
#[wasm_bindgen]
pub fn deferred_hold(link: u32, kinds: u32, count: u32, has_canceller: bool) {
    let mut chain = Chain::new(has_canceller.then_some(()));
    push(&mut chain, kinds, count);
    put(link, chain);
}

/// A ladder for a Deferred that rests with a value.
#[wasm_bindgen]
pub fn deferred_hold_fired(link: u32) {
    put(link, Chain::fired(Ok(())));
}

/// Fires a Deferred that has no ladder yet, or adds rungs to one that rests with a value. True if
/// it rests with a value at the end; then its number is free.
#[wasm_bindgen]
pub fn deferred_start(link: u32, kinds: u32, count: u32, failed: bool) -> bool {
    deferred_hold(link, kinds, count, false);
    deferred_fire(link, failed);
    JsDeferreds::with_chain(link, |chain| {
        matches!(chain.outcome(), Some(Ok(()))) && chain.take_ready(()).is_some()
    })
}

/// Fires a Deferred. False if it was fired before.
#[wasm_bindgen]
pub fn deferred_fire(link: u32, failed: bool) -> bool {
    match deferred::fire::<JsDeferreds>((), &link, outcome(failed)) {
        Ok(()) => true,
        Err(AlreadyCalled(_)) => false,
    }
}

/// Adds a rung.
#[wasm_bindgen]
pub fn deferred_add(link: u32, kind: u32, number: u32) {
    deferred::add::<JsDeferreds>((), &link, entry(kind, number));
}

/// Holds a Deferred.
#[wasm_bindgen]
pub fn deferred_pause(link: u32) {
    deferred::pause::<JsDeferreds>((), &link);
}

/// Takes back one `deferred_pause`. False if there is none.
#[wasm_bindgen]
pub fn deferred_unpause(link: u32) -> bool {
    let is_paused = JsDeferreds::with_chain(link, |chain| {
        chain.paused() > i32::from(chain.waiting_on().is_some())
    });
    if is_paused {
        deferred::unpause::<JsDeferreds>((), &link);
    }
    is_paused
}

/// Cancels a Deferred. False if that threw.
#[wasm_bindgen]
pub fn deferred_cancel(link: u32) -> bool {
    !matches!(deferred::cancel::<JsDeferreds>((), &link), Err(Threw))
}

/// Adds the two rungs of a timeout, of which the first has that number, and sets its alarm. False
/// if that threw.
#[wasm_bindgen]
pub fn deferred_add_timeout(link: u32, number: u32) -> bool {
    !matches!(
        deferred::add_timeout::<JsDeferreds>((), &link, &(), &number),
        Err(Threw)
    )
}

/// The alarm of a timeout rings. False if cancelling threw.
#[wasm_bindgen]
pub fn deferred_ring(link: u32, number: u32) -> bool {
    !matches!(
        deferred::ring::<JsDeferreds>((), &link, &number),
        Err(Threw)
    )
}
