//! CapTP: the protocol by which two vats share objects.
//!
//! [`Session`] is one end of one connection, without I/O: bytes go in, bytes and events come out,
//! time and entropy are arguments. It knows positions, never promises; [`vat`](crate::vat) is the
//! one place where positions meet promises.
//!
//! Four tables make a session; each entry at one end mirrors one at the other:
//!
//! | here | there | keyed by | holds |
//! |---|---|---|---|
//! | export | import | our position | what we let the peer call, and how often we mentioned it |
//! | import | export | their position | how often the peer mentioned it, while we hold it |
//! | question | answer | our answer number | the promise for a call we made |
//! | answer | question | their answer number | the result of a call they made, for pipelining |
//!
//! Source: the OCapN drafts and the dialects that live peers speak; a [`Profile`] picks one.

mod handoff;
mod keys;
mod op;
mod outbox;
mod pace;
mod profile;
mod session;
mod stats;
mod tables;

pub use handoff::{Certificate, Give, Receive, Signed};
pub use keys::{Keys, PublicKey};
#[cfg(feature = "noise")]
pub(crate) use keys::{read_signature, write_signature};
pub use op::{Desc, Target};
pub(crate) use op::{GET, UNTAG};
pub use outbox::Outbox;
pub use profile::{Framing, Profile};
pub(crate) use session::Counted;
pub use session::{Args, CloseReason, Config, Delivery, Incoming, Payload, Session};
pub use stats::Stats;
pub use tables::{Answers, Exports, Imports, Questions};

#[cfg(test)]
mod tests;
