//! Tokens and queues: who gets what, by number. JavaScript numbers the waiters and the items of
//! each, and holds them.

use std::cell::RefCell;

use marotte::deferred::{NotHeld, Overflow, Put, Queue, Semaphore, Taken, Underflow};
use wasm_bindgen::prelude::wasm_bindgen;

use crate::state::Slab;

thread_local! {
    static SEMAPHORES: RefCell<Slab<Semaphore<u32>>> = const { RefCell::new(Slab::new()) };
    static QUEUES: RefCell<Slab<Queue<u32, u32>>> = const { RefCell::new(Slab::new()) };
}

/// Instead of a number: there is none.
const NOBODY: u32 = u32::MAX;
/// Instead of a number: it may not be.
const REFUSED: u32 = u32::MAX - 1;

/// A semaphore with so many tokens.
#[wasm_bindgen]
pub fn semaphore_new(tokens: u32) -> u32 {
    SEMAPHORES.with_borrow_mut(|semaphores| semaphores.insert(Semaphore::new(tokens as usize)))
}

fn with_semaphore<R: Default>(number: u32, f: impl FnOnce(&mut Semaphore<u32>) -> R) -> R {
    SEMAPHORES
        .with_borrow_mut(|semaphores| semaphores.get_mut(number).map(f))
        .unwrap_or_default()
}

/// How many tokens are there to be had.
#[wasm_bindgen]
pub fn semaphore_tokens(number: u32) -> u32 {
    with_semaphore(number, |semaphore| semaphore.tokens() as u32)
}

/// Takes a token; if there is none, the waiter stands in line, and this is false.
#[wasm_bindgen]
pub fn semaphore_acquire(number: u32, waiter: u32) -> bool {
    with_semaphore(number, |semaphore| {
        let acquired = semaphore.acquire();
        if !acquired {
            semaphore.wait(waiter);
        }
        acquired
    })
}

/// Gives a token back. Returns the waiter that has it now.
#[wasm_bindgen]
pub fn semaphore_release(number: u32) -> u32 {
    with_semaphore(number, |semaphore| match semaphore.release() {
        Ok(waiter) => waiter.unwrap_or(NOBODY),
        Err(NotHeld) => REFUSED,
    })
}

/// A waiter leaves the line.
#[wasm_bindgen]
pub fn semaphore_forget(number: u32, waiter: u32) {
    with_semaphore(number, |semaphore| {
        semaphore.forget(|other| *other == waiter);
    });
}

/// Forgets it.
#[wasm_bindgen]
pub fn semaphore_drop(number: u32) {
    SEMAPHORES.with_borrow_mut(|semaphores| semaphores.remove(number));
}

/// A queue of at most so many items and waiters.
#[wasm_bindgen]
pub fn queue_new(size: u32, backlog: u32) -> u32 {
    let bound = |count| (count != NOBODY).then_some(count as usize);
    QUEUES.with_borrow_mut(|queues| queues.insert(Queue::new(bound(size), bound(backlog))))
}

fn with_queue(number: u32, f: impl FnOnce(&mut Queue<u32, u32>) -> u32) -> u32 {
    QUEUES.with_borrow_mut(|queues| queues.get_mut(number).map_or(NOBODY, f))
}

/// Adds an item. Returns the waiter that gets it.
#[wasm_bindgen]
pub fn queue_put(number: u32, item: u32) -> u32 {
    with_queue(number, |queue| match queue.put(item) {
        Ok(Put::Hand(_, waiter)) => waiter,
        Ok(Put::Kept) => NOBODY,
        Err(Overflow(_)) => REFUSED,
    })
}

/// Takes the oldest item; if there is none, the waiter stands in line.
#[wasm_bindgen]
pub fn queue_get(number: u32, waiter: u32) -> u32 {
    with_queue(number, |queue| match queue.get() {
        Ok(Taken::Item(item)) => item,
        Ok(Taken::Wait) => {
            queue.wait(waiter);
            NOBODY
        }
        Err(Underflow) => REFUSED,
    })
}

/// A waiter leaves the line.
#[wasm_bindgen]
pub fn queue_forget(number: u32, waiter: u32) {
    with_queue(number, |queue| {
        queue.forget(|other| *other == waiter).unwrap_or(NOBODY)
    });
}

/// Forgets it.
#[wasm_bindgen]
pub fn queue_drop(number: u32) {
    QUEUES.with_borrow_mut(|queues| queues.remove(number));
}
