//! How fast a peer sends, and when it was heard last.

use crate::limits::Limits;

/// The time of a session, as far as the peer makes it pass: a bucket of calls that fills again with time, and
/// the last time that anything came.
#[derive(Debug)]
pub(super) struct Pace {
    heard_ms: u64,
    /// Thousandths of calls that the peer may still make: what flows in each millisecond is a whole number.
    left: u64,
}

const CALL: u64 = 1000;

impl Pace {
    pub(super) fn new(now_ms: u64, limits: &Limits) -> Self {
        Self {
            heard_ms: now_ms,
            left: limits.max_calls_per_second.saturating_mul(CALL),
        }
    }

    /// Something has come. A clock that goes backwards gives nothing.
    pub(super) fn heard(&mut self, now_ms: u64, limits: &Limits) {
        let passed = now_ms.saturating_sub(self.heard_ms);
        if passed == 0 {
            return;
        }
        let rate = limits.max_calls_per_second;
        self.left = self
            .left
            .saturating_add(passed.saturating_mul(rate))
            .min(rate.saturating_mul(CALL));
        self.heard_ms = now_ms;
    }

    /// Takes a call. False if there is none left.
    pub(super) fn take_call(&mut self) -> bool {
        match self.left.checked_sub(CALL) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    /// When the peer will have been silent for too long, if there is such a time.
    pub(super) fn deadline_ms(&self, limits: &Limits) -> Option<u64> {
        (limits.idle_ms > 0).then(|| self.heard_ms.saturating_add(limits.idle_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(pace: &mut Pace) -> usize {
        std::iter::repeat_with(|| pace.take_call())
            .take(100)
            .take_while(|taken| *taken)
            .count()
    }

    #[test]
    fn calls_flow_in_with_time_and_no_more_than_a_second_of_them() {
        let limits = Limits {
            max_calls_per_second: 10,
            ..Limits::default()
        };
        let mut pace = Pace::new(5_000, &limits);
        assert_eq!(take_all(&mut pace), 10);
        // A tenth of a second in pieces is one call.
        for now_ms in 5_001..=5_100 {
            pace.heard(now_ms, &limits);
        }
        assert_eq!(take_all(&mut pace), 1);
        pace.heard(1_000_000, &limits);
        assert_eq!(take_all(&mut pace), 10);
        // The clock was set back, and goes on from there.
        pace.heard(10, &limits);
        assert_eq!(take_all(&mut pace), 0);
    }
}
