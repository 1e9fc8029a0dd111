//! What waits before a siphon, how much may, and what happens to the rest.

use std::collections::VecDeque;

/// What to do with an item for which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// Hold the fount back. One that goes on all the same is stopped.
    Pause,
    /// Drop the item.
    Drop,
    /// Drop the item that has waited longest. With room for one, only the newest counts.
    DropOldest,
    /// Make one of the newest that waits and this one.
    Merge,
    /// Stop the flow to whoever does not keep up.
    Stop,
}

/// A bounded queue with a policy.
///
/// With [`Overflow::Pause`] it is for its owner to hold the fount back while
/// [`is_full`](Self::is_full); what comes all the same is kept until `slack` more have come.
/// (The policies are those of Akka's `buffer` and the ones that Tubes' issues 35 to 38 ask for.)
#[derive(Debug)]
pub struct Inbox<T> {
    queue: VecDeque<T>,
    capacity: usize,
    overflow: Overflow,
    slack: usize,
    dropped: u64,
}

/// What became of an item.
#[derive(Debug, PartialEq, Eq)]
pub enum Pushed<T> {
    /// It waits.
    Kept,
    /// Something was dropped for want of room.
    Dropped(T),
    /// The two are to be made into one, which is to be put in by [`Inbox::put`].
    Merge(T, T),
    /// There is no room and nothing may be dropped.
    Refused(T),
}

impl<T> Inbox<T> {
    /// How many items a fount that ignores its pause may send before it is stopped.
    pub const SLACK: usize = 100_000;

    /// An empty one.
    #[must_use]
    pub fn new(capacity: usize, overflow: Overflow) -> Self {
        Self {
            queue: VecDeque::new(),
            capacity,
            overflow,
            slack: Self::SLACK,
            dropped: 0,
        }
    }

    /// Takes an item in, or says what is to be done with it.
    #[inline]
    pub fn push(&mut self, item: T) -> Pushed<T> {
        let room = match self.overflow {
            Overflow::Pause => self.capacity + self.slack,
            _ => self.capacity.max(1),
        };
        if self.queue.len() < room {
            self.queue.push_back(item);
            return Pushed::Kept;
        }
        match self.overflow {
            Overflow::Pause | Overflow::Stop => Pushed::Refused(item),
            Overflow::Drop => {
                self.dropped += 1;
                Pushed::Dropped(item)
            }
            Overflow::DropOldest => {
                self.dropped += 1;
                let oldest = self.queue.pop_front();
                self.queue.push_back(item);
                oldest.map_or(Pushed::Kept, Pushed::Dropped)
            }
            Overflow::Merge => match self.queue.pop_back() {
                Some(newest) => Pushed::Merge(newest, item),
                None => Pushed::Refused(item),
            },
        }
    }

    /// Puts an item at the end, room or not.
    pub fn put(&mut self, item: T) {
        self.queue.push_back(item);
    }

    /// The item that has waited longest.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        self.queue.pop_front()
    }

    /// Takes out all.
    pub fn take(&mut self) -> VecDeque<T> {
        std::mem::take(&mut self.queue)
    }

    /// Whether the fount is to be held back.
    #[inline]
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.overflow == Overflow::Pause && self.queue.len() >= self.capacity
    }

    /// Whether items are to wait here while the siphon below is paused, instead of above.
    #[must_use]
    pub fn is_buffer(&self) -> bool {
        self.capacity > 0 || self.overflow != Overflow::Pause
    }

    /// The policy.
    #[must_use]
    pub fn overflow(&self) -> Overflow {
        self.overflow
    }

    /// How many may wait.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many wait.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none waits.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// All that waits, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.queue.iter()
    }
}
