//! What Marotte peers say to each other beyond the drafts, in ordinary messages.

use crate::captp::{GET, UNTAG};

/// A message that this vat answers itself. On the wire it is an `op:deliver` with a selector that no
/// method has: a peer that does not know it breaks the answer, and the session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    /// To plain data: the part of it at the end of a path. The arguments are the keys (text) and
    /// indices (integers, negative ones from the end) that lead there.
    Get,
    /// To a list: what a recorded program makes of each of its items. See
    /// [`Recording`](super::Recording).
    Map,
    /// To tagged data: what is tagged, if the tag is the one given. No value here is tagged.
    Untag,
    /// To the bootstrap object: the answer of that number is needed no more.
    Cancel,
}

impl Extension {
    /// What the selectors of all of them begin with.
    pub const PREFIX: &'static str = "marotte:";

    /// The selector.
    pub const fn selector(self) -> &'static str {
        match self {
            Self::Get => GET,
            Self::Map => "marotte:map",
            Self::Untag => UNTAG,
            Self::Cancel => "marotte:cancel",
        }
    }

    /// The extension with that selector.
    pub fn of(selector: Option<&str>) -> Option<Self> {
        // Nearly no message is one.
        let name = selector?.strip_prefix(Self::PREFIX)?;
        match name {
            "get" => Some(Self::Get),
            "map" => Some(Self::Map),
            "untag" => Some(Self::Untag),
            "cancel" => Some(Self::Cancel),
            _ => None,
        }
    }
}
