//! The times between attempts to connect, by number.

use std::cell::RefCell;

use marotte::Backoff;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::state::Slab;

thread_local! {
    static BACKOFFS: RefCell<Slab<Backoff>> = const { RefCell::new(Slab::new()) };
}

/// New ones, in milliseconds.
#[wasm_bindgen]
pub fn backoff_new(first_ms: f64, most_ms: f64) -> u32 {
    let backoff = Backoff::new(first_ms as u64, most_ms as u64);
    BACKOFFS.with_borrow_mut(|backoffs| backoffs.insert(backoff))
}

/// How long to wait after a failure; `lasted_ms` is how long a connection lasted that is lost, and negative
/// if there was none. `random` is any number.
#[wasm_bindgen]
pub fn backoff_next(number: u32, lasted_ms: f64, random: u32) -> f64 {
    BACKOFFS.with_borrow_mut(|backoffs| {
        backoffs.get_mut(number).map_or(0.0, |backoff| {
            let wait_ms = if lasted_ms < 0.0 {
                backoff.failed(random)
            } else {
                backoff.lost(lasted_ms as u64, random)
            };
            wait_ms as f64
        })
    })
}

/// Begins anew.
#[wasm_bindgen]
pub fn backoff_reset(number: u32) {
    BACKOFFS.with_borrow_mut(|backoffs| {
        if let Some(backoff) = backoffs.get_mut(number) {
            backoff.reset();
        }
    });
}

/// Forgets them.
#[wasm_bindgen]
pub fn backoff_drop(number: u32) {
    BACKOFFS.with_borrow_mut(|backoffs| backoffs.remove(number));
}
