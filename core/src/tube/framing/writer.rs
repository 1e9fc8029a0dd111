//! What all encoders have in common: many frames make one chunk.

use bytes::{Bytes, BytesMut};

use crate::tube::{Error, Tube};

/// Puts frames into bytes.
pub trait Encode {
    /// Appends a frame.
    ///
    /// # Errors
    /// [`Problem::Unframeable`](crate::tube::Problem::Unframeable) if it cannot be one.
    fn encode(&mut self, frame: &[u8], out: &mut BytesMut) -> Result<(), Error>;
}

/// A tube from frames to chunks of bytes. Frames that come at once go out as one chunk.
#[derive(Debug)]
pub struct Writer<E> {
    encode: E,
    out: BytesMut,
    /// The chunk is to go out.
    due: bool,
}

/// At this size a chunk goes out.
const CHUNK: usize = 1 << 16;

impl<E: Encode> Writer<E> {
    /// An encoder of such frames.
    pub fn with(encode: E) -> Self {
        Self {
            encode,
            out: BytesMut::new(),
            due: false,
        }
    }
}

impl<E: Encode> Tube for Writer<E> {
    type In = Bytes;
    type Out = Bytes;

    #[inline]
    fn received(&mut self, frame: Bytes) -> Result<(), Error> {
        self.encode.encode(&frame, &mut self.out)?;
        self.due = self.out.len() >= CHUNK;
        Ok(())
    }

    fn gathers(&self) -> bool {
        true
    }

    fn has_gathered(&self) -> bool {
        !self.out.is_empty()
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.due = true;
        Ok(())
    }

    #[inline]
    fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if !self.due || self.out.is_empty() {
            return Ok(None);
        }
        self.due = false;
        Ok(Some(self.out.split().freeze()))
    }
}
