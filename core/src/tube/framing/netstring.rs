//! Netstrings: the length in decimal digits, a colon, the bytes, a comma.

use bytes::{BufMut, BytesMut};

use super::decoder::{Codec, Cut, Decoder};
use super::writer::{Encode, Writer};
use crate::tube::{Error, Problem};

/// The most bytes of a netstring or a frame with a prefix, if nobody says otherwise. (Twisted's.)
pub const MAX_FRAME: usize = 99_999;

/// From bytes to what is in netstrings. See [`Netstrings::new`].
pub type Netstrings = Decoder<NetstringFrame>;

/// From strings of bytes to netstrings. See [`NetstringWriter::new`].
pub type NetstringWriter = Writer<NetstringFrame>;

/// A netstring.
#[derive(Debug)]
pub struct NetstringFrame {
    max: usize,
}

impl Netstrings {
    /// Netstrings of at most `max_length` bytes.
    #[must_use]
    pub fn new(max_length: usize) -> Self {
        Self::with(NetstringFrame { max: max_length })
    }
}

impl NetstringWriter {
    /// Netstrings of at most `max_length` bytes; a longer one is [`Problem::FrameTooLong`].
    #[must_use]
    pub fn new(max_length: usize) -> Self {
        Self::with(NetstringFrame { max: max_length })
    }
}

fn malformed(detail: &str) -> Error {
    Error::new(Problem::Malformed {
        what: "netstring",
        detail: detail.to_owned(),
    })
}

impl Codec for NetstringFrame {
    fn cut(&mut self, bytes: &[u8]) -> Result<Option<Cut>, Error> {
        let mut length = 0_usize;
        let mut digits = 0;
        for &byte in bytes {
            match byte {
                b'0'..=b'9' if digits > 0 && length == 0 => {
                    return Err(malformed("its length starts with a zero"));
                }
                b'0'..=b'9' => {
                    digits += 1;
                    length = length * 10 + usize::from(byte - b'0');
                    // In time: a length of many digits is none that fits a number.
                    if length > self.max {
                        return Err(Error::new(Problem::FrameTooLong { limit: self.max }));
                    }
                }
                b':' if digits > 0 => {
                    let (start, end) = (digits + 1, digits + 1 + length);
                    return match bytes.get(end) {
                        None => Ok(None),
                        Some(b',') => Ok(Some(Cut {
                            frame: start..end,
                            used: end + 1,
                        })),
                        Some(_) => Err(malformed("no comma follows it")),
                    };
                }
                _ => return Err(malformed("it does not start with its length and a colon")),
            }
        }
        Ok(None)
    }
}

impl Encode for NetstringFrame {
    fn encode(&mut self, frame: &[u8], out: &mut BytesMut) -> Result<(), Error> {
        if frame.len() > self.max {
            return Err(Error::new(Problem::FrameTooLong { limit: self.max }));
        }
        let length = frame.len().to_string();
        out.reserve(frame.len() + length.len() + 2);
        out.put_slice(length.as_bytes());
        out.put_u8(b':');
        out.put_slice(frame);
        out.put_u8(b',');
        Ok(())
    }
}
