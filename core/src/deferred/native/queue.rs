//! Items to wait for.

use std::convert::Infallible;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use super::deferred::Deferred;
use super::failure::Late;
use super::resolver::Resolver;
use crate::deferred::{Overflow, Put, Queue, Taken, Underflow};
use crate::sync::lock;

/// A queue whose items can be waited for. Each side is served in order.
///
/// Clones share the items. To cancel a Deferred that waits for an item leaves the line; so does
/// dropping its future. One that is simply dropped still takes its item.
///
/// ```
/// use marotte::deferred::DeferredQueue;
///
/// let jobs = DeferredQueue::new();
/// let job = jobs.get().unwrap();
/// jobs.put("compile").unwrap();
/// assert_eq!(job.try_take().unwrap(), Ok("compile"));
/// ```
pub struct DeferredQueue<T> {
    shared: Arc<Mutex<Line<T>>>,
}

struct Line<T> {
    queue: Queue<T, Waiter<T>>,
    /// How many have waited: the name of the next.
    waited: u64,
}

struct Waiter<T> {
    name: u64,
    resolver: Resolver<T, Infallible>,
}

impl<T> Clone for DeferredQueue<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T: Send + 'static> Default for DeferredQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Debug for DeferredQueue<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let line = lock(&self.shared);
        f.debug_struct("DeferredQueue")
            .field("pending", &line.queue.pending().len())
            .field("waiting", &line.queue.waiting().len())
            .finish()
    }
}

impl<T> DeferredQueue<T> {
    /// How many items are there.
    pub fn pending(&self) -> usize {
        lock(&self.shared).queue.pending().len()
    }

    /// How many wait for one.
    pub fn waiting(&self) -> usize {
        lock(&self.shared).queue.waiting().len()
    }
}

impl<T: Send + 'static> DeferredQueue<T> {
    /// For any number of items and waiters.
    pub fn new() -> Self {
        Self::bounded(None, None)
    }

    /// For at most `size` items and `backlog` waiters; `None` is for any number.
    ///
    /// ```
    /// use marotte::deferred::{DeferredQueue, Overflow, Underflow};
    ///
    /// let jobs = DeferredQueue::bounded(Some(1), Some(0));
    /// assert_eq!(jobs.get().unwrap_err(), Underflow);
    /// jobs.put(1).unwrap();
    /// assert_eq!(jobs.put(2), Err(Overflow(2)));
    /// ```
    pub fn bounded(size: Option<usize>, backlog: Option<usize>) -> Self {
        let line = Line {
            queue: Queue::new(size, backlog),
            waited: 0,
        };
        Self {
            shared: Arc::new(Mutex::new(line)),
        }
    }

    /// Adds an item, or gives it to the first who waits: the callbacks there run now and here.
    ///
    /// # Errors
    /// [`Overflow`] with the item if nobody waits and the queue is full.
    pub fn put(&self, mut item: T) -> Result<(), Overflow<T>> {
        loop {
            let put = lock(&self.shared).queue.put(item)?;
            let Put::Hand(given, waiter) = put else {
                return Ok(());
            };
            match waiter.resolver.callback(given) {
                // It has just been cancelled: the item is for the next.
                Err(Late(Ok(back))) => item = back,
                _ => return Ok(()),
            }
        }
    }

    /// The oldest item, once there is one.
    ///
    /// # Errors
    /// [`Underflow`] if there is none and nobody else may wait for one.
    #[track_caller]
    pub fn get(&self) -> Result<Deferred<T, Infallible>, Underflow> {
        // Under one lock, so that no item comes between the look and the wait.
        let mut line = lock(&self.shared);
        if let Taken::Item(item) = line.queue.get()? {
            drop(line);
            return Ok(Deferred::succeed(item));
        }
        let name = line.waited;
        line.waited += 1;
        let back = Arc::downgrade(&self.shared);
        let (deferred, resolver) = Deferred::with_canceller(move |_| {
            let left = back
                .upgrade()
                .and_then(|line| lock(&line).queue.forget(|waiter| waiter.name == name));
            drop(left);
        });
        line.queue.wait(Waiter { name, resolver });
        Ok(deferred)
    }
}
