//! Sharing a number of tokens; with one token it is a lock.

use std::collections::VecDeque;

/// Tokens, and those who wait for one: `W` is whatever stands for a waiter. First come, first
/// served.
#[derive(Debug)]
pub struct Semaphore<W> {
    limit: usize,
    tokens: usize,
    waiting: VecDeque<W>,
}

/// A token was given back that nobody had taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("released more often than acquired")]
pub struct NotHeld;

impl<W> Semaphore<W> {
    /// With so many tokens.
    pub fn new(tokens: usize) -> Self {
        Self {
            limit: tokens,
            tokens,
            waiting: VecDeque::new(),
        }
    }

    /// How many may hold a token at once.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// How many tokens are there to be had.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Those who wait, in order.
    pub fn waiting(&self) -> impl ExactSizeIterator<Item = &W> {
        self.waiting.iter()
    }

    /// Takes a token if there is one. Otherwise the caller may [wait](Self::wait).
    pub fn acquire(&mut self) -> bool {
        let free = self.tokens > 0;
        self.tokens -= usize::from(free);
        free
    }

    /// Stands in line.
    pub fn wait(&mut self, waiter: W) {
        self.waiting.push_back(waiter);
    }

    /// Gives a token back. Returns the one who has it now, if anybody waited.
    ///
    /// # Errors
    /// [`NotHeld`] if all the tokens are here.
    pub fn release(&mut self) -> Result<Option<W>, NotHeld> {
        if self.tokens == self.limit {
            return Err(NotHeld);
        }
        let next = self.waiting.pop_front();
        self.tokens += usize::from(next.is_none());
        Ok(next)
    }

    /// Leaves the line. Returns the waiter, if it was still there.
    pub fn forget(&mut self, is_it: impl FnMut(&W) -> bool) -> Option<W> {
        let index = self.waiting.iter().position(is_it)?;
        self.waiting.remove(index)
    }
}
