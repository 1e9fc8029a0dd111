//! Waiting for several Deferreds: the arithmetic, by number.

use std::cell::RefCell;

use marotte::deferred::{Gather, Race, Rule, Verdict};
use wasm_bindgen::prelude::wasm_bindgen;

use crate::state::Slab;

use super::host::JsDeferreds;

thread_local! {
    static GATHERS: RefCell<Slab<Gather<JsDeferreds>>> = const { RefCell::new(Slab::new()) };
    static RACES: RefCell<Slab<Race<()>>> = const { RefCell::new(Slab::new()) };
}

/// What [`gather_arrive`] returns: nothing is decided by that.
const WAIT: u32 = 0;
/// What [`gather_arrive`] returns: this one is the result.
const FIRST: u32 = 1;
/// What [`gather_arrive`] returns: all have arrived, and are the result.
const ALL: u32 = 2;
/// Besides: the input keeps `undefined` in the place of its failure.
const CONSUMED: u32 = 4;

/// Begins to gather so many results.
#[wasm_bindgen]
pub fn gather_new(
    inputs: u32,
    first_value: bool,
    first_failure: bool,
    consume_failures: bool,
) -> u32 {
    let rule = Rule {
        first_value,
        first_failure,
        consume_failures,
    };
    GATHERS.with_borrow_mut(|gathers| gathers.insert(Gather::new(inputs as usize, rule)))
}

/// True if there is a result before anything has arrived.
#[wasm_bindgen]
pub fn gather_is_done(number: u32) -> bool {
    GATHERS.with_borrow(|gathers| gathers.get(number).is_some_and(Gather::is_done))
}

/// An input has its result; says what that means.
#[wasm_bindgen]
pub fn gather_arrive(number: u32, index: u32, failed: bool) -> u32 {
    let outcome = if failed { Err(()) } else { Ok(()) };
    GATHERS.with_borrow_mut(|gathers| {
        let Some(gather) = gathers.get_mut(number) else {
            return WAIT;
        };
        let (verdict, passes) = gather.arrive((), index as usize, outcome);
        let consumed = if passes == outcome { 0 } else { CONSUMED };
        consumed
            | match verdict {
                Verdict::Wait => WAIT,
                Verdict::Value(..) | Verdict::Failure(..) => FIRST,
                Verdict::All => ALL,
            }
    })
}

/// Forgets it.
#[wasm_bindgen]
pub fn gather_drop(number: u32) {
    GATHERS.with_borrow_mut(|gathers| gathers.remove(number));
}

/// Begins a race of so many.
#[wasm_bindgen]
pub fn race_new(inputs: u32) -> u32 {
    RACES.with_borrow_mut(|races| races.insert(Race::new(inputs as usize)))
}

/// One has a value: true if it is the first.
#[wasm_bindgen]
pub fn race_succeeded(number: u32) -> bool {
    RACES.with_borrow_mut(|races| races.get_mut(number).is_some_and(Race::succeeded))
}

/// One failed: true if all the others had.
#[wasm_bindgen]
pub fn race_failed(number: u32, index: u32) -> bool {
    RACES.with_borrow_mut(|races| {
        races
            .get_mut(number)
            .is_some_and(|race| race.failed(index as usize, ()).is_some())
    })
}

/// Forgets it.
#[wasm_bindgen]
pub fn race_drop(number: u32) {
    RACES.with_borrow_mut(|races| races.remove(number));
}
