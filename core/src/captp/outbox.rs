//! Bytes waiting to be written, framed.

use std::cell::RefCell;

use super::Framing;

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
    /// True if the transport's messages may hold several of ours.
    batched: bool,
    messages: u64,
}

/// A buffer above this size is not kept for other connections to use.
const KEEP: usize = 1 << 20;
/// A buffer below this size may stay with an idle connection.
const SMALL: usize = 512;

/// Below so many sent bytes it is not worth the while to move the rest.
const COMPACT: usize = 64 << 10;
/// About how large a transport's message with several of ours in it may become.
const BATCH: usize = 256 << 10;

thread_local! {
    /// The buffer of whoever wrote last on this thread: an idle connection keeps none, and a busy
    /// one does not ask the allocator for a new one each time.
    static SPARE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A number in decimal, without allocating.
struct Decimal {
    digits: [u8; 20],
    start: usize,
}

impl Decimal {
    fn new(mut n: usize) -> Self {
        let mut decimal = Self {
            digits: [b'0'; 20],
            start: 20,
        };
        loop {
            decimal.start -= 1;
            // The remainder is below ten.
            decimal.digits[decimal.start] = b'0' + (n % 10) as u8;
            n /= 10;
            if n == 0 {
                return decimal;
            }
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.digits[self.start..]
    }
}

impl Outbox {
    /// An empty outbox. `boundaries` keeps track of where messages end; `batched` lets a
    /// transport's message hold several.
    pub(crate) fn new(framing: Framing, boundaries: bool, batched: bool) -> Self {
        Self {
            framing,
            bytes: Vec::new(),
            sent: 0,
            ends: boundaries.then(Vec::new),
            batched,
            messages: 0,
        }
    }

    /// Writes one message and its frame. `hint` is about how long it will be: if the guess has the
    /// right number of digits, the message need not be moved to make room for its length.
    pub(crate) fn message(&mut self, hint: usize, write: impl FnOnce(&mut Vec<u8>)) {
        if self.bytes.capacity() == 0 {
            self.bytes = SPARE.take();
        }
        match self.framing {
            Framing::Raw => write(&mut self.bytes),
            Framing::LengthPrefixed => {
                let start = self.bytes.len();
                let guess = Decimal::new(hint).bytes().len();
                self.bytes.resize(start + guess, b'0');
                self.bytes.push(b':');
                write(&mut self.bytes);
                let length = Decimal::new(self.bytes.len() - start - guess - 1);
                let digits = length.bytes();
                if digits.len() == guess {
                    self.bytes[start..start + guess].copy_from_slice(digits);
                } else {
                    self.bytes
                        .splice(start..start + guess, digits.iter().copied());
                }
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
            if self.bytes.capacity() > SMALL {
                let buffer = std::mem::take(&mut self.bytes);
                if buffer.capacity() <= KEEP {
                    SPARE.set(buffer);
                }
            }
            if let Some(ends) = &mut self.ends {
                ends.clear();
            }
        } else if self.sent > COMPACT && self.sent > self.bytes.len() / 2 {
            // A peer that reads slower than we write never lets the buffer run empty.
            self.bytes.drain(..self.sent);
            if let Some(ends) = &mut self.ends {
                ends.retain(|&end| end > self.sent);
                ends.iter_mut().for_each(|end| *end -= self.sent);
            }
            self.sent = 0;
        }
    }

    /// Takes everything that waits, and where its chunks end: one chunk per message, or several
    /// messages in a chunk up to about 256 KiB if they may be batched. `spare` becomes the
    /// next buffer.
    pub fn take(&mut self, spare: Vec<u8>) -> (Vec<u8>, Vec<usize>) {
        let bytes = std::mem::replace(&mut self.bytes, spare);
        self.bytes.clear();
        self.sent = 0;
        let Some(ends) = &mut self.ends else {
            let end = bytes.len();
            return (bytes, vec![end]);
        };
        let mut ends = std::mem::take(ends);
        if self.batched {
            let mut chunks: Vec<usize> = Vec::new();
            let mut start = 0;
            for end in ends {
                match chunks.last_mut() {
                    Some(last) if end - start <= BATCH => *last = end,
                    _ => {
                        start = chunks.last().copied().unwrap_or_default();
                        chunks.push(end);
                    }
                }
            }
            ends = chunks;
        }
        (bytes, ends)
    }
}
