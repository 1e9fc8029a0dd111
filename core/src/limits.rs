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
    /// Most bytes of one argument of a call, as they are encoded. A call with a longer one breaks; the
    /// session goes on. Default 64 MiB, as the whole message: whoever wants less for methods that check
    /// nothing sets it (Foolscap's 1 KiB for a string is too little for most, and too much for some).
    pub max_argument_bytes: usize,
    /// Most calls in a second, after a pause as many at once. Default 1,000,000.
    pub max_calls_per_second: u64,
    /// Most connections that a listener has from one address at the same time (IPv6: from one network of
    /// 64 bits). Others are closed at once. Default 16,384.
    pub max_connections_per_address: usize,
    /// Longest time from connecting to an established session, in milliseconds. Default 30,000.
    pub handshake_ms: u64,
    /// Longest time without a byte from the peer, in milliseconds; 0 for no end, which is the default: a
    /// reference may be held for days before it is used. (Bytes, because a long message may take long.)
    pub idle_ms: u64,
    /// Longest time without a word from the peer's machine, in milliseconds, as far as the operating system
    /// finds that out (TCP's keep-alive). From two thirds of it on the machine is asked, so that an
    /// interruption of a third passes unnoticed; and a program that does not read for that long, while more
    /// waits for it than the system's buffers hold, counts as gone. 0 leaves that to the system. Default
    /// 90,000.
    pub silence_ms: u64,
}

impl Limits {
    /// Sets a limit by its name. False if there is none of that name.
    ///
    /// ```
    /// let mut limits = marotte::Limits::default();
    /// assert!(limits.set("max_depth", 10));
    /// assert!(!limits.set("max_breadth", 10));
    /// assert_eq!(limits.max_depth, 10);
    /// ```
    pub fn set(&mut self, name: &str, value: u64) -> bool {
        let size = usize::try_from(value).unwrap_or(usize::MAX);
        match name {
            "max_message_bytes" => self.max_message_bytes = size,
            "max_depth" => self.max_depth = size,
            "max_digits" => self.max_digits = size,
            "max_references" => self.max_references = size,
            "max_exports" => self.max_exports = size,
            "max_imports" => self.max_imports = size,
            "max_answers" => self.max_answers = size,
            "max_unsent_bytes" => self.max_unsent_bytes = size,
            "max_waiting_bytes" => self.max_waiting_bytes = size,
            "max_map_calls" => self.max_map_calls = value,
            "max_gifts" => self.max_gifts = size,
            "max_argument_bytes" => self.max_argument_bytes = size,
            "max_calls_per_second" => self.max_calls_per_second = value,
            "max_connections_per_address" => self.max_connections_per_address = size,
            "handshake_ms" => self.handshake_ms = value,
            "idle_ms" => self.idle_ms = value,
            "silence_ms" => self.silence_ms = value,
            _ => return false,
        }
        true
    }
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
            max_argument_bytes: 64 << 20,
            max_calls_per_second: 1_000_000,
            max_connections_per_address: 1 << 14,
            handshake_ms: 30_000,
            idle_ms: 0,
            silence_ms: 90_000,
        }
    }
}
