//! The ends of windows between peers, by number.

use std::cell::{Cell, RefCell};

use marotte::tube::credit::{Allowance, Amount, Window};
use wasm_bindgen::prelude::wasm_bindgen;

use crate::state::Slab;

thread_local! {
    static ALLOWANCES: RefCell<Slab<Allowance>> = const { RefCell::new(Slab::new()) };
    static WINDOWS: RefCell<Slab<Window>> = const { RefCell::new(Slab::new()) };
    static GRANTED: Cell<f64> = const { Cell::new(0.0) };
}

fn amount(items: f64, bytes: f64) -> Amount {
    // Whatever a number is, this makes one of it that is in range.
    Amount {
        items: items as u64,
        bytes: bytes as u64,
    }
}

/// A sender's end.
#[wasm_bindgen]
pub fn allowance_new() -> u32 {
    ALLOWANCES.with_borrow_mut(|all| all.insert(Allowance::default()))
}

/// An item of so many bytes is sent; false if it may not.
#[wasm_bindgen]
pub fn allowance_spend(number: u32, bytes: f64) -> bool {
    ALLOWANCES.with_borrow_mut(|all| {
        all.get_mut(number)
            .is_some_and(|one| one.spend(bytes as u64))
    })
}

/// The receiver lets more come.
#[wasm_bindgen]
pub fn allowance_grant(number: u32, items: f64, bytes: f64) {
    ALLOWANCES.with_borrow_mut(|all| {
        if let Some(one) = all.get_mut(number) {
            one.grant(amount(items, bytes));
        }
    });
}

/// Forgets it.
#[wasm_bindgen]
pub fn allowance_drop(number: u32) {
    ALLOWANCES.with_borrow_mut(|all| all.remove(number));
}

/// A receiver's end, of that size.
#[wasm_bindgen]
pub fn window_new(items: f64, bytes: f64) -> u32 {
    WINDOWS.with_borrow_mut(|all| all.insert(Window::new(amount(items, bytes))))
}

/// An item of so many bytes has come; false if it was not allowed to.
#[wasm_bindgen]
pub fn window_arrived(number: u32, bytes: f64) -> bool {
    WINDOWS.with_borrow_mut(|all| {
        all.get_mut(number)
            .is_some_and(|one| one.arrived(bytes as u64))
    })
}

/// How many items to grant, negative if that is not worth a message; how many bytes,
/// [`window_granted_bytes`] says. With no items taken, what to grant at the beginning.
#[wasm_bindgen]
pub fn window_grant(number: u32, items: f64, bytes: f64) -> f64 {
    let more = WINDOWS.with_borrow_mut(|all| {
        let one = all.get_mut(number)?;
        if items == 0.0 {
            one.open()
        } else {
            one.taken(amount(items, bytes))
        }
    });
    GRANTED.set(more.map_or(0.0, |more| more.bytes as f64));
    more.map_or(-1.0, |more| more.items as f64)
}

/// How many bytes go with the items that [`window_grant`] returned last.
#[wasm_bindgen]
pub fn window_granted_bytes() -> f64 {
    GRANTED.get()
}

/// Forgets it.
#[wasm_bindgen]
pub fn window_drop(number: u32) {
    WINDOWS.with_borrow_mut(|all| all.remove(number));
}
