//! Frames with their length before them, in one, two or four bytes, the most significant first.

use bytes::{BufMut, BytesMut};

use super::decoder::{Codec, Cut, Decoder};
use super::writer::{Encode, Writer};
use crate::tube::{Error, Problem};

/// From bytes to what has its length before it. See [`Prefixed::new`].
pub type Prefixed = Decoder<PrefixedFrame>;

/// From strings of bytes to such frames. See [`PrefixedWriter::new`].
pub type PrefixedWriter = Writer<PrefixedFrame>;

/// How many bytes a length takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefix {
    /// One: at most 255.
    Int8,
    /// Two: at most 65,535.
    Int16,
    /// Four.
    Int32,
}

impl Prefix {
    fn bytes(self) -> usize {
        match self {
            Self::Int8 => 1,
            Self::Int16 => 2,
            Self::Int32 => 4,
        }
    }

    fn most(self) -> usize {
        match self {
            Self::Int8 => 0xff,
            Self::Int16 => 0xffff,
            Self::Int32 => 0xffff_ffff,
        }
    }
}

/// A frame with its length before it.
#[derive(Debug)]
pub struct PrefixedFrame {
    prefix: Prefix,
    max: usize,
}

impl Prefixed {
    /// Frames of at most `max_length` bytes.
    #[must_use]
    pub fn new(prefix: Prefix, max_length: usize) -> Self {
        Self::with(PrefixedFrame {
            prefix,
            max: max_length,
        })
    }
}

impl PrefixedWriter {
    /// Frames of at most `max_length` bytes, and as long as their prefix can say; a longer one is
    /// [`Problem::FrameTooLong`].
    #[must_use]
    pub fn new(prefix: Prefix, max_length: usize) -> Self {
        Self::with(PrefixedFrame {
            prefix,
            max: max_length.min(prefix.most()),
        })
    }
}

impl Codec for PrefixedFrame {
    #[inline]
    fn cut(&mut self, bytes: &[u8]) -> Result<Option<Cut>, Error> {
        let start = self.prefix.bytes();
        let Some(head) = bytes.get(..start) else {
            return Ok(None);
        };
        let length = head
            .iter()
            .fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
        if length > self.max {
            return Err(Error::new(Problem::FrameTooLong { limit: self.max }));
        }
        let end = start + length;
        Ok((bytes.len() >= end).then_some(Cut {
            frame: start..end,
            used: end,
        }))
    }
}

impl Encode for PrefixedFrame {
    #[inline]
    fn encode(&mut self, frame: &[u8], out: &mut BytesMut) -> Result<(), Error> {
        if frame.len() > self.max {
            return Err(Error::new(Problem::FrameTooLong { limit: self.max }));
        }
        out.reserve(frame.len() + 4);
        let length = (frame.len() as u64).to_be_bytes();
        out.put_slice(&length[8 - self.prefix.bytes()..]);
        out.put_slice(frame);
        Ok(())
    }
}
