//! Between streams of bytes, cut anywhere, and whole messages.
//!
//! | decoder | encoder | a frame |
//! |---|---|---|
//! | [`Lines`] | [`LineWriter`] | ends with LF or CRLF |
//! | [`Delimited`] | [`DelimitedWriter`] | ends with given bytes |
//! | [`Netstrings`] | [`NetstringWriter`] | `5:hello,` ([D. J. Bernstein's netstrings](https://cr.yp.to/proto/netstrings.txt)) |
//! | [`Prefixed`] | [`PrefixedWriter`] | its length, in 1, 2 or 4 bytes, and then itself |
//!
//! A frame is a slice of the chunk that it came in, without copying, unless it spans two. A frame over the
//! limit, and a flow that ends inside one, are errors. Writers gather what comes at once into one
//! chunk.

mod decoder;
mod delimited;
mod netstring;
mod prefixed;
mod writer;

pub use decoder::{Codec, Cut, Decoder};
pub use delimited::{
    Delimited, DelimitedFrame, DelimitedWriter, Delimiter, FinalLine, LineEnd, LineFrame,
    LineWriter, Lines, MAX_LINE,
};
pub use netstring::{MAX_FRAME, NetstringFrame, NetstringWriter, Netstrings};
pub use prefixed::{Prefix, Prefixed, PrefixedFrame, PrefixedWriter};
pub use writer::{Encode, Writer};
