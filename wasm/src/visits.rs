//! How many connections come from where, by number.

use std::cell::RefCell;

use marotte::transport::{Visit, Visits};
use wasm_bindgen::prelude::wasm_bindgen;

use crate::exports::{NOTHING, with_input};
use crate::state::Slab;

thread_local! {
    /// The counts of each listener.
    static VISITS: RefCell<Slab<Visits>> = const { RefCell::new(Slab::new()) };
    static VISIT: RefCell<Slab<Visit>> = const { RefCell::new(Slab::new()) };
}

/// Instead of a place: whoever comes from nowhere that has an address is not counted.
const UNCOUNTED: u32 = NOTHING - 1;

/// The counts of a new listener.
#[wasm_bindgen]
pub fn visits_new() -> u32 {
    VISITS.with_borrow_mut(|visits| visits.insert(Visits::default()))
}

/// Forgets the counts of a listener; whoever has a place keeps it.
#[wasm_bindgen]
pub fn visits_drop(number: u32) {
    VISITS.with_borrow_mut(|visits| visits.remove(number));
}

/// A place for one more connection, or nothing if there are `most` from there. Tape: the address. Of a place that
/// is none, [`visit_drop`] does nothing.
#[wasm_bindgen]
pub fn visit(number: u32, most: f64, start: u32, len: u32) -> u32 {
    let from = with_input(start, len, |mut tape| tape.str().map(str::parse));
    let Ok(Ok(from)) = from else {
        return UNCOUNTED;
    };
    let visit = VISITS.with_borrow(|visits| visits.get(number)?.admit(from, most as usize));
    visit.map_or(NOTHING, |visit| {
        VISIT.with_borrow_mut(|all| all.insert(visit))
    })
}

/// Gives a place back.
#[wasm_bindgen]
pub fn visit_drop(number: u32) {
    drop(VISIT.with_borrow_mut(|all| all.remove(number)));
}
