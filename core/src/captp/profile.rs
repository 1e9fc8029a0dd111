//! Wire profiles: the parts of the wire on which drafts and peers differ.

/// How messages are told apart on a byte stream. A WebSocket brings its own boundaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// `<decimal length>:<message>`.
    LengthPrefixed,
    /// Messages back to back; Syrup says where each one ends.
    Raw,
}

/// One dialect of the wire. What is written follows the profile; what is read is liberal: every
/// dialect's labels and field counts are understood under every profile.
///
/// ```
/// use marotte::captp::{Framing, Profile};
/// assert_eq!(Profile::default().framing, Framing::LengthPrefixed);
/// assert_eq!(Profile::named("endo-1.1"), Some(Profile::ENDO_1_1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Profile {
    /// The profile's name, as given to [`Profile::named`].
    pub name: &'static str,
    /// The version that `op:start-session` must carry.
    pub captp_version: &'static str,
    /// Framing on byte streams.
    pub framing: Framing,
    /// Fire-and-forget is `op:deliver-only` rather than `op:deliver … f f`.
    pub deliver_only: bool,
    /// `op:gc-exports` and `op:gc-answers` rather than `op:gc-export` and `op:gc-answer`.
    pub plural_gc: bool,
    /// `op:listen` has a third field, `wants-partial`.
    pub listen_partial: bool,
    /// A WebSocket message may carry several CapTP messages, back to back.
    pub batch_websocket: bool,
    /// One of our own questions may be an argument, as `desc:answer`.
    pub answer_arguments: bool,
    /// Promises are settled by `op:resolve` and `op:break` rather than by messages to resolver objects: what
    /// OCapN's issue 236 considers. Undecided there; these have the resolver's descriptor and one value.
    pub resolve_operations: bool,
    /// In a plain WebSocket, whoever accepts shows before the session that it has the key in its locator
    /// (`init:peer-auth`).
    pub peer_auth: bool,
    /// The peer understands Marotte's own messages to the bootstrap object.
    pub extensions: bool,
}

impl Profile {
    /// The drafts as of July 2026.
    pub const DRAFT_2026_07: Self = Self {
        name: "draft-2026-07",
        captp_version: "1.0",
        framing: Framing::LengthPrefixed,
        deliver_only: false,
        plural_gc: true,
        listen_partial: false,
        batch_websocket: false,
        answer_arguments: false,
        resolve_operations: false,
        peer_auth: true,
        extensions: false,
    };
    /// The same with the operations of issue 236.
    pub const RESOLVE_OPERATIONS: Self = Self {
        name: "draft-2026-07-resolve",
        resolve_operations: true,
        ..Self::DRAFT_2026_07
    };
    /// Between Marotte peers: the draft, batched, with questions as arguments.
    pub const MAROTTE: Self = Self {
        name: "marotte",
        batch_websocket: true,
        answer_arguments: true,
        peer_auth: false,
        extensions: true,
        ..Self::DRAFT_2026_07
    };
    /// Endo's `@endo/ocapn` 1.1.
    pub const ENDO_1_1: Self = Self {
        name: "endo-1.1",
        listen_partial: true,
        ..Self::DRAFT_2026_07
    };
    /// The conformance suite's main branch of February 2026.
    pub const SUITE_2026_02: Self = Self {
        name: "suite-2026-02",
        framing: Framing::Raw,
        deliver_only: true,
        plural_gc: false,
        ..Self::ENDO_1_1
    };
    /// The conformance suite's branch without `op:deliver-only`.
    pub const SUITE_2026_02B: Self = Self {
        name: "suite-2026-02b",
        deliver_only: false,
        ..Self::SUITE_2026_02
    };

    /// Every profile there is.
    pub const ALL: [Self; 6] = [
        Self::MAROTTE,
        Self::DRAFT_2026_07,
        Self::RESOLVE_OPERATIONS,
        Self::ENDO_1_1,
        Self::SUITE_2026_02,
        Self::SUITE_2026_02B,
    ];

    /// The profile of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name == name)
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::MAROTTE
    }
}
