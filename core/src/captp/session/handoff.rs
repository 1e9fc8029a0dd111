//! What a session contributes to hand-offs: its keys, its name, and numbers that are used once.

use std::collections::BTreeSet;

use super::super::handoff::{Certificate, Give, Signed};
use super::super::keys::PublicKey;
use super::super::op::{Desc, Target};
use super::{Payload, Session, State};
use crate::syrup::Writer;

/// Numbers that the peer has used, of which most follow one another.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// All below this were used.
    below: u64,
    beyond: BTreeSet<u64>,
}

/// So many numbers may be used out of their order.
const MOST_BEYOND: usize = 1024;

impl Counts {
    fn take(&mut self, count: u64) -> bool {
        if count < self.below || self.beyond.contains(&count) {
            return false;
        }
        if count > self.below && self.beyond.len() >= MOST_BEYOND {
            return false;
        }
        self.beyond.insert(count);
        while self.beyond.remove(&self.below) {
            self.below += 1;
        }
        true
    }
}

impl<P: Payload> Session<P> {
    /// The key that the peer has in this session.
    pub fn peer_key(&self) -> Option<PublicKey> {
        match &self.state {
            State::Open { peer } => Some(peer.key),
            _ => None,
        }
    }

    /// The key that we have in this session.
    pub fn public_key(&self) -> PublicKey {
        self.keys.public()
    }

    /// Signs a certificate with this session's key.
    pub fn certify<T: Certificate>(&self, certificate: T) -> Signed<T> {
        Signed::new(certificate, &self.keys)
    }

    /// Leaves the peer's object at `position` with it for whoever has the key `receiver` in a session
    /// with us. Returns the envelope to pass on; `None` if the session is not open.
    pub fn give(&mut self, position: u64, receiver: PublicKey) -> Option<Vec<u8>> {
        let session = self.session_id()?;
        let exporter = self.peer_location()?.clone();
        let gift = self.keys.secret(b"gift", self.gifts_given).to_vec();
        self.gifts_given += 1;
        let mut args = Vec::new();
        args.put_bytes(&gift);
        args.push(crate::syrup::HOLE);
        // An open session takes it.
        let _ = self.deliver(
            Target::Export(0),
            Some("deposit-gift"),
            &args,
            &[Desc::Export(position)],
            None,
        );
        let give = Give {
            receiver,
            exporter,
            session,
            gifter_side: self.keys.public().id(),
            gift,
        };
        Some(self.certify(give).envelope().to_vec())
    }

    /// The next number to withdraw a gift with.
    pub fn next_count(&mut self) -> u64 {
        self.withdrawn += 1;
        self.withdrawn - 1
    }

    /// Notes that the peer has used a number; false if it had done so before.
    pub fn use_count(&mut self, count: u64) -> bool {
        self.counts.take(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_used_once_in_whatever_order() {
        let mut counts = Counts::default();
        for count in [0, 1, 5, 3, 2, u64::MAX] {
            assert!(counts.take(count), "{count}");
            assert!(!counts.take(count), "{count} again");
        }
        assert_eq!(counts.below, 4);
        assert!(counts.take(4));
        assert_eq!(counts.below, 6);
    }

    #[test]
    fn counts_out_of_order_are_bounded() {
        let mut counts = Counts::default();
        for n in 0..MOST_BEYOND as u64 {
            assert!(counts.take(2 * n + 1));
        }
        assert!(!counts.take(1 << 40));
        assert!(counts.take(0), "the next one is always good");
    }
}
