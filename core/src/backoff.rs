//! How long to wait before connecting again.

/// The times between attempts to connect, each longer than the one before, and none like that of others: of a
/// thousand programs that lose one server at once, not all come back at once. Without a clock and without
/// randomness of its own.
///
/// Source: gRPC's connection back-off (doc/connection-backoff.md), its numbers included: from a second by a
/// factor of 1.6 to two minutes, a fifth more or less.
///
/// ```
/// use marotte::Backoff;
///
/// let mut backoff = Backoff::default();
/// let middle = u32::MAX / 2;              // a random number, really
/// assert_eq!(backoff.failed(middle), 1000);
/// assert_eq!(backoff.failed(middle), 1600);
/// assert!((2047..3073).contains(&backoff.failed(7)));
/// assert_eq!(backoff.lost(60_000, middle), 1000);
/// ```
#[derive(Debug, Clone)]
pub struct Backoff {
    first_ms: u64,
    most_ms: u64,
    /// The next time, without what chance adds.
    next_ms: f64,
}

const FACTOR: f64 = 1.6;
const JITTER: f64 = 0.2;

impl Default for Backoff {
    fn default() -> Self {
        Self::new(1_000, 120_000)
    }
}

impl Backoff {
    /// Waits that long after the first failure, in milliseconds, at least ten, and never longer than `most_ms`.
    pub fn new(first_ms: u64, most_ms: u64) -> Self {
        // What is nothing does not grow.
        let first_ms = first_ms.max(10);
        let most_ms = most_ms.max(first_ms);
        Self {
            first_ms,
            most_ms,
            next_ms: first_ms as f64,
        }
    }

    /// An attempt has failed: how long to wait, in milliseconds. `random` is any number.
    pub fn failed(&mut self, random: u32) -> u64 {
        let most = self.most_ms as f64;
        let middle = self.next_ms.min(most);
        self.next_ms = (middle * FACTOR).min(most);
        // From -1 to 1.
        let chance = f64::from(random) / f64::from(u32::MAX) * 2.0 - 1.0;
        (middle * (1.0 + JITTER * chance)).round() as u64
    }

    /// A connection that has lasted so long is lost: how long to wait. A peer that accepts and hangs up is
    /// as bad as one that does not accept; after a connection that was longer than the wait for it, all
    /// begins anew.
    pub fn lost(&mut self, lasted_ms: u64, random: u32) -> u64 {
        if lasted_ms as f64 >= self.next_ms {
            self.reset();
        }
        self.failed(random)
    }

    /// Begins anew.
    pub fn reset(&mut self) {
        self.next_ms = self.first_ms as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_to_its_end_and_begins_anew() {
        let mut backoff = Backoff::new(100, 1000);
        let middle = u32::MAX / 2;
        let waits: Vec<_> = (0..7).map(|_| backoff.failed(middle)).collect();
        assert_eq!(waits, [100, 160, 256, 410, 655, 1000, 1000]);
        assert_eq!(backoff.lost(999, middle), 1000);
        assert_eq!(backoff.lost(1000, middle), 100);
        assert_eq!((backoff.failed(0), backoff.failed(u32::MAX)), (128, 307));
        backoff.reset();
        assert_eq!(backoff.failed(middle), 100);
    }
}
