//! Bytes waiting to be written, framed.

use super::Framing;
use crate::syrup::Writer as _;

/// The outgoing side of a session: whole messages, framed, in one buffer.
///
/// The driver takes [`Self::bytes`], writes what the socket accepts and calls [`Self::consume`].
#[derive(Debug)]
pub struct Outbox {
    framing: Framing,
    bytes: Vec<u8>,
    /// How many of `bytes` have been written already.
    sent: usize,
    /// Where each message ends, if boundaries matter to the transport.
    ends: Option<Vec<usize>>,
    messages: u64,
}

/// Room for the digits of a length prefix that was guessed, and its colon.
const GUESS: usize = 3;
/// A buffer above this size is given back once it has been written.
const KEEP: usize = 64 << 10;

impl Outbox {
    /// An empty outbox. `boundaries` keeps track of where messages end.
    pub(crate) fn new(framing: Framing, boundaries: bool) -> Self {
        Self {
            framing,
            bytes: Vec::new(),
            sent: 0,
            ends: boundaries.then(Vec::new),
            messages: 0,
        }
    }

    /// Writes one message and its frame.
    pub(crate) fn message(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        match self.framing {
            Framing::Raw => write(&mut self.bytes),
            Framing::LengthPrefixed => {
                self.bytes.extend_from_slice(b"000:");
                write(&mut self.bytes);
                let body = self.bytes.len() - start - GUESS - 1;
                let mut prefix = Vec::with_capacity(12);
                prefix.put_uint(body as u64);
                prefix.pop();
                let digits = prefix.len();
                // Most messages have two or three digits; the others move once.
                self.bytes.splice(start..start + GUESS, prefix);
                debug_assert_eq!(self.bytes[start + digits], b':');
            }
        }
        self.messages += 1;
        if let Some(ends) = &mut self.ends {
            ends.push(self.bytes.len());
        }
    }

    /// Appends all of `other`, which has nothing sent.
    pub(crate) fn append(&mut self, other: Self) {
        let base = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.messages += other.messages;
        if let Some(ends) = &mut self.ends {
            ends.extend(other.ends.into_iter().flatten().map(|end| base + end));
        }
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// The bytes that wait.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// Messages written to this outbox so far.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Notes that `count` bytes were written.
    pub fn consume(&mut self, count: usize) {
        self.sent = (self.sent + count).min(self.bytes.len());
        if self.sent == self.bytes.len() {
            self.sent = 0;
            self.bytes.clear();
            if self.bytes.capacity() > KEEP {
                self.bytes = Vec::new();
            }
            if let Some(ends) = &mut self.ends {
                ends.clear();
            }
        }
    }

    /// Takes everything that waits, as chunks: one per message if boundaries are kept, else one.
    /// `spare` becomes the next buffer.
    pub fn take(&mut self, spare: Vec<u8>) -> (Vec<u8>, Vec<usize>) {
        let bytes = std::mem::replace(&mut self.bytes, spare);
        self.bytes.clear();
        self.sent = 0;
        let ends = match &mut self.ends {
            Some(ends) => std::mem::take(ends),
            None => vec![bytes.len()],
        };
        (bytes, ends)
    }
}
