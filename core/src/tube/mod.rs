//! Tubes: streams that hold their source back instead of filling memory.
//!
//! A *fount* is where items come from, a *drain* where they go to, a *tube* turns items into other
//! items. The ideas, and the names, are those of Twisted's Tubes.
//!
//! | | |
//! |---|---|
//! | [`Tube`] | what turns items into others, in Rust: [`receiver`], framing, codecs |
//! | [`framing`] | lines, netstrings, delimiters, prefixes |
//! | [`Siphon`] | a chain of stages between a fount and a drain, for a language with founts and drains of its own |
//! | [`Hub`] | fan-out and fan-in between siphons |
//! | [`Inbox`] | what waits, how much may, and what happens to the rest |
//! | [`credit`] | how much may be on its way between two peers |
//! | [`Host`] | what a language must supply |

mod ack;
mod calls;
mod chain;
mod contract;
pub mod credit;
mod ending;
mod error;
pub mod framing;
mod host;
mod hub;
mod inbox;
mod jobs;
mod keeper;
mod pressure;
mod run;
mod siphon;
#[cfg(any(feature = "gzip", feature = "zstd"))]
mod squeeze;
mod stage;
#[cfg(feature = "streams")]
mod stream;
mod text;

pub use ack::{Acked, Confirmed};
pub use calls::{
    Ejected, eject, flow_stopped, flow_to, flowing_from, flush, freeze, pause_flow, receive,
    resume_flow, split, stop_flow, thaw, wake,
};
pub use chain::Chain;
pub use contract::{Receiver, Then, Tube, receiver};
pub use error::{Error, Problem, Reason};
pub use host::{Flowing, FromFlowing, Host, IntoFlowing, Next, Taken};
pub use hub::{Ends, Hub, In, Order, Out, add_branch, add_input, branch_of};
pub use inbox::{Inbox, Overflow, Pushed};
pub use jobs::Jobs;
pub use keeper::{Batch, Keeper, Throttle, Timeout, Wait};
pub use siphon::{Downstream, Hold, Siphon, Upstream};
#[cfg(any(feature = "gzip", feature = "zstd"))]
pub use squeeze::Squeezer;
pub use stage::{HostStage, Native, Stage};
#[cfg(all(feature = "streams", feature = "tokio"))]
pub use stream::Chunks;
#[cfg(feature = "streams")]
pub use stream::{BoxedItems, Fount, Sound, Through};
pub use text::{Utf8Decoder, Utf8Encoder};
