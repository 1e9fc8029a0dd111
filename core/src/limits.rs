//! Receive limits: what a peer may make us hold.

/// Bounds on what one session accepts from its peer. Passing one aborts the session with the
/// limit's name as the reason.
///
/// ```
/// let limits = marotte::Limits { max_message_bytes: 1 << 20, ..Default::default() };
/// assert_eq!(limits.max_depth, 64);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest message, in bytes. Default 64 MiB.
    pub max_message_bytes: usize,
    /// Deepest nesting of lists, dictionaries and records. Default 64.
    pub max_depth: usize,
    /// Most digits in one integer. Default 10,000.
    pub max_digits: usize,
    /// Most references in one message. Default 65,536.
    pub max_references: usize,
    /// Most entries in our export table. Default 1,048,576.
    pub max_exports: usize,
    /// Most references to the peer's objects held at once. Default 1,048,576.
    pub max_imports: usize,
    /// Most answers kept for the peer (calls it made and has not collected). Default 1,048,576.
    pub max_answers: usize,
    /// Most bytes waiting to be written to a peer that does not read. Default 256 MiB.
    pub max_unsent_bytes: usize,
    /// Most bytes of the peer's messages that wait here in promises and queues, some 256 bytes for
    /// each message included. Default 256 MiB.
    pub max_waiting_bytes: usize,
    /// Most calls that one message may ask for by `map`, a call with long arguments counting as one for
    /// every 256 bytes of them. Default 1,000,000.
    pub max_map_calls: u64,
    /// Most gifts kept of one peer for others, and awaited from it. Default 10,000.
    pub max_gifts: usize,
    /// Longest time from connecting to an established session, in milliseconds. Default 30,000.
    pub handshake_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message_bytes: 64 << 20,
            max_depth: 64,
            max_digits: 10_000,
            max_references: 1 << 16,
            max_exports: 1 << 20,
            max_imports: 1 << 20,
            max_answers: 1 << 20,
            max_unsent_bytes: 256 << 20,
            max_waiting_bytes: 256 << 20,
            max_map_calls: 1_000_000,
            max_gifts: 10_000,
            handshake_ms: 30_000,
        }
    }
}
