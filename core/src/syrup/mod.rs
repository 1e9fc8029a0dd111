//! Syrup: the bytes that OCapN messages are made of.
//!
//! [`Writer`] writes canonical Syrup, [`Cursor`] reads one token at a time from borrowed bytes,
//! and [`scan`] checks one whole value without building anything.
//!
//! Source: the OCapN Syrup draft (`ocapn/syrup`). The reader is strict where the draft is: no
//! leading zeros, no `0-`, no white space, no sets, no single floats, no duplicate keys. It does
//! not insist on sorted keys, because peers sort them in two different ways.

mod cursor;
mod reference;
mod scan;
mod writer;

pub use cursor::{Cursor, Int, Token};
pub(crate) use reference::{Record, pass_reference};
pub use scan::scan;
pub(crate) use scan::scan_records;
pub use writer::Writer;

/// Marks the place of a reference inside a [`Passable`](crate::Passable), where a descriptor will
/// be written once the session is known. It is not Syrup: [`scan`] rejects it.
pub(crate) const HOLE: u8 = b'&';

/// Null, as the whole record that it is.
pub(crate) const NULL: &[u8] = b"<4'null>";

/// Why bytes are not acceptable Syrup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyrupError {
    /// The value ends after the bytes given; at least this many bytes in all are needed.
    #[error("the message is cut short: {needed} bytes needed")]
    Incomplete {
        /// A lower bound of the value's length, in bytes.
        needed: usize,
    },
    /// The bytes break a rule of the encoding.
    #[error("malformed Syrup at byte {at}: {why}")]
    Malformed {
        /// Offset of the offending byte.
        at: usize,
        /// The rule, in words.
        why: &'static str,
    },
    /// A receive limit was passed.
    #[error("limit passed at byte {at}: {limit}")]
    Limit {
        /// Offset where it was noticed.
        at: usize,
        /// The name of the limit in [`Limits`](crate::Limits).
        limit: &'static str,
    },
}

#[cfg(test)]
pub(crate) mod tests;
