//! Dropping long chains.

use std::any::Any;
use std::cell::{Cell, RefCell};

/// So many drops may stand inside one another on the stack; deeper ones wait their turn.
const DEEPEST: usize = 32;

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    static WAITING: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

/// One level less when it goes, by a panic too.
struct Level;

impl Drop for Level {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

/// Drops `item`, whose own drop may come here again, to any depth, without deep recursion. For what
/// holds Deferreds or promises, which may hold more of them.
///
/// ```
/// struct Link(Option<Box<Link>>);
/// impl Drop for Link {
///     fn drop(&mut self) {
///         marotte::deferred::drop_flat(self.0.take());
///     }
/// }
/// drop((0..1_000_000).fold(Link(None), |rest, _| Link(Some(Box::new(rest)))));
/// ```
pub fn drop_flat<T: 'static>(item: T) {
    // When a thread ends its locals are gone before the last promises may be.
    let Ok(depth) = DEPTH.try_with(Cell::get) else {
        return drop(item);
    };
    if depth >= DEEPEST {
        let item: Box<dyn Any> = Box::new(item);
        let mut item = Some(item);
        // If there is no place to wait, it is dropped here after all.
        let _ = WAITING.try_with(|waiting| waiting.borrow_mut().extend(item.take()));
        return;
    }
    DEPTH.set(depth + 1);
    let _level = Level;
    drop(item);
    if depth == 0 {
        // When a thread ends, this may be gone already.
        while let Ok(Some(next)) = WAITING.try_with(|waiting| waiting.borrow_mut().pop()) {
            drop(next);
        }
    }
}
