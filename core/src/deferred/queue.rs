//! Items for those who wait, and those who wait for items.

use std::collections::VecDeque;

/// Items `T` that nobody has asked for yet, or waiters `W` for items that are not there yet; never
/// both. Each side is served in order.
#[derive(Debug)]
pub struct Queue<T, W> {
    pending: VecDeque<T>,
    waiting: VecDeque<W>,
    size: Option<usize>,
    backlog: Option<usize>,
}

/// Where an item went.
#[derive(Debug, PartialEq, Eq)]
pub enum Put<T, W> {
    /// To this waiter.
    Hand(T, W),
    /// Into the queue.
    Kept,
}

/// What a waiter gets.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken<T> {
    /// An item, now.
    Item(T),
    /// Nothing yet: [wait](Queue::wait).
    Wait,
}

/// The queue holds as many items as it may. The item comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue is full")]
pub struct Overflow<T>(pub T);

/// As many wait for an item as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many wait for an item of the queue")]
pub struct Underflow;

impl<T, W> Queue<T, W> {
    /// At most `size` items and `backlog` waiters; `None` for any number.
    pub fn new(size: Option<usize>, backlog: Option<usize>) -> Self {
        Self {
            pending: VecDeque::new(),
            waiting: VecDeque::new(),
            size,
            backlog,
        }
    }

    /// At most so many items.
    pub fn size(&self) -> Option<usize> {
        self.size
    }

    /// At most so many waiters.
    pub fn backlog(&self) -> Option<usize> {
        self.backlog
    }

    /// The items, in order.
    pub fn pending(&self) -> impl ExactSizeIterator<Item = &T> {
        self.pending.iter()
    }

    /// Those who wait, in order.
    pub fn waiting(&self) -> impl ExactSizeIterator<Item = &W> {
        self.waiting.iter()
    }

    /// Adds an item.
    ///
    /// # Errors
    /// [`Overflow`] if nobody waits and the queue is full.
    pub fn put(&mut self, item: T) -> Result<Put<T, W>, Overflow<T>> {
        if let Some(waiter) = self.waiting.pop_front() {
            return Ok(Put::Hand(item, waiter));
        }
        if self.size.is_some_and(|size| self.pending.len() >= size) {
            return Err(Overflow(item));
        }
        self.pending.push_back(item);
        Ok(Put::Kept)
    }

    /// Takes the oldest item.
    ///
    /// # Errors
    /// [`Underflow`] if there is none and nobody else may wait for one.
    pub fn get(&mut self) -> Result<Taken<T>, Underflow> {
        if let Some(item) = self.pending.pop_front() {
            return Ok(Taken::Item(item));
        }
        if self
            .backlog
            .is_some_and(|backlog| self.waiting.len() >= backlog)
        {
            return Err(Underflow);
        }
        Ok(Taken::Wait)
    }

    /// Stands in line.
    pub fn wait(&mut self, waiter: W) {
        self.waiting.push_back(waiter);
    }

    /// Leaves the line. Returns the waiter, if it was still there.
    pub fn forget(&mut self, is_it: impl FnMut(&W) -> bool) -> Option<W> {
        let index = self.waiting.iter().position(is_it)?;
        self.waiting.remove(index)
    }
}
