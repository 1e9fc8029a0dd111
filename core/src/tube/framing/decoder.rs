//! What all decoders have in common: holding what is not yet a whole frame.

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

use crate::tube::{Error, Problem, Reason, Tube};

/// Finds frames in bytes.
pub trait Codec {
    /// Finds the frame at the start of `bytes`; `None` if it is not all there. It is called again with
    /// the same start and more bytes then.
    ///
    /// # Errors
    /// [`Problem::FrameTooLong`] if the frame is, or must become, longer than allowed;
    /// [`Problem::Malformed`] if no frame starts like that.
    fn cut(&mut self, bytes: &[u8]) -> Result<Option<Cut>, Error>;

    /// What is to be done with bytes that are no whole frame when the flow ends: they are an error,
    /// unless this makes a frame of them.
    ///
    /// # Errors
    /// As [`cut`](Self::cut).
    fn last(&mut self, bytes: &[u8]) -> Result<Option<Cut>, Error> {
        let _ = bytes;
        Ok(None)
    }
}

/// Where a frame lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The frame itself.
    pub frame: Range<usize>,
    /// How many bytes it takes with what is around it.
    pub used: usize,
}

/// A tube from chunks of bytes to frames.
#[derive(Debug)]
pub struct Decoder<C> {
    codec: C,
    /// What frames are being cut from.
    ready: Bytes,
    /// The start of a frame that is not all there.
    held: BytesMut,
    /// All of what `ready` is the rest of.
    whole: Bytes,
    /// Where in it the last frame lies that was given, with what is around it.
    last: Range<usize>,
    ending: bool,
}

impl<C> Decoder<C> {
    /// Keeps of a chunk only the last frame, which may still have to be given back.
    fn keep_last(&mut self) {
        let last = std::mem::replace(&mut self.last, 0..0);
        self.whole = match last.is_empty() {
            true => Bytes::new(),
            // A copy: it would hold the rest in its place.
            false => Bytes::copy_from_slice(&self.whole[last]),
        };
        self.last = 0..self.whole.len();
    }
}

impl<C: Codec> Decoder<C> {
    /// A decoder of such frames.
    pub fn with(codec: C) -> Self {
        Self {
            codec,
            ready: Bytes::new(),
            held: BytesMut::new(),
            whole: Bytes::new(),
            last: 0..0,
            ending: false,
        }
    }
}

impl<C: Codec> Tube for Decoder<C> {
    type In = Bytes;
    type Out = Bytes;

    #[inline]
    fn received(&mut self, chunk: Bytes) -> Result<(), Error> {
        if self.held.is_empty() {
            self.ready = chunk;
        } else {
            self.held.extend_from_slice(&chunk);
            self.ready = std::mem::take(&mut self.held).freeze();
        }
        // What was given before has been taken, or else there were no new chunk.
        (self.whole, self.last) = (self.ready.clone(), 0..0);
        Ok(())
    }

    #[inline]
    fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if self.ready.is_empty() {
            return Ok(None);
        }
        let mut cut = self.codec.cut(&self.ready)?;
        if cut.is_none() && self.ending {
            cut = self.codec.last(&self.ready)?;
            if cut.is_none() {
                let held = self.ready.len();
                self.ready = Bytes::new();
                return Err(Error::new(Problem::Truncated { held }));
            }
        }
        let Some(cut) = cut else {
            // If nobody holds a slice of it, this does not copy, and it grows in place.
            self.keep_last();
            let rest = std::mem::take(&mut self.ready);
            self.held = rest
                .try_into_mut()
                .unwrap_or_else(|rest| BytesMut::from(&rest[..]));
            return Ok(None);
        };
        let frame = self.ready.slice(cut.frame);
        let start = self.whole.len() - self.ready.len();
        self.last = start..start + cut.used;
        self.ready.advance(cut.used);
        Ok(Some(frame))
    }

    fn stopped(&mut self, reason: &Reason) -> Result<(), Error> {
        // If the flow has failed, that is the cause, and that a frame is missing follows from it.
        if let Reason::Done = reason {
            self.ready = std::mem::take(&mut self.held).freeze();
            (self.whole, self.last) = (self.ready.clone(), 0..0);
            self.ending = true;
        }
        Ok(())
    }

    /// The bytes that have not been cut, and the last frame if nobody has taken it, to the byte as
    /// they came.
    fn reassemble(&mut self, outputs: Vec<Bytes>) -> Vec<Bytes> {
        let last = self.whole.slice(self.last.clone());
        let held = std::mem::take(&mut self.held).freeze();
        let ready = std::mem::take(&mut self.ready);
        let undone = (!outputs.is_empty()).then_some(last);
        undone
            .into_iter()
            .chain([held, ready])
            .filter(|bytes| !bytes.is_empty())
            .collect()
    }
}
