//! Counters, so that claims about the wire can be checked.

/// What a session has done so far. Every number only grows, but for the table sizes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// CapTP messages written.
    pub messages_sent: u64,
    /// CapTP messages read.
    pub messages_received: u64,
    /// Calls made that want an answer.
    pub calls_sent: u64,
    /// Calls received.
    pub calls_received: u64,
    /// Dependent round trips begun: it grows when a call is made and no earlier call is waiting for
    /// its answer since the last answer came.
    pub round_trips: u64,
    /// Writes to the socket.
    pub writes: u64,
    /// Reads from the socket that brought something.
    pub reads: u64,
    /// Bytes written.
    pub bytes_sent: u64,
    /// Bytes read.
    pub bytes_received: u64,
    /// Entries in the export table, without the bootstrap.
    pub exports: u64,
    /// Entries in the import table.
    pub imports: u64,
    /// Calls waiting for an answer.
    pub questions: u64,
    /// Answers kept for the peer.
    pub answers: u64,
}

impl std::ops::Add for Stats {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            messages_sent: self.messages_sent + other.messages_sent,
            messages_received: self.messages_received + other.messages_received,
            calls_sent: self.calls_sent + other.calls_sent,
            calls_received: self.calls_received + other.calls_received,
            round_trips: self.round_trips + other.round_trips,
            writes: self.writes + other.writes,
            reads: self.reads + other.reads,
            bytes_sent: self.bytes_sent + other.bytes_sent,
            bytes_received: self.bytes_received + other.bytes_received,
            exports: self.exports + other.exports,
            imports: self.imports + other.imports,
            questions: self.questions + other.questions,
            answers: self.answers + other.answers,
        }
    }
}

impl Stats {
    /// Every counter with its name, for printing and for the bindings.
    pub fn entries(&self) -> [(&'static str, u64); 13] {
        [
            ("messages_sent", self.messages_sent),
            ("messages_received", self.messages_received),
            ("calls_sent", self.calls_sent),
            ("calls_received", self.calls_received),
            ("round_trips", self.round_trips),
            ("writes", self.writes),
            ("reads", self.reads),
            ("bytes_sent", self.bytes_sent),
            ("bytes_received", self.bytes_received),
            ("exports", self.exports),
            ("imports", self.imports),
            ("questions", self.questions),
            ("answers", self.answers),
        ]
    }
}
