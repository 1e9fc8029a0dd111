//! Frames that end with certain bytes; lines are of that kind.

use bytes::{BufMut, BytesMut};
use memchr::{memchr, memmem};

use super::decoder::{Codec, Cut, Decoder};
use super::writer::{Encode, Writer};
use crate::tube::{Error, Problem};

/// The most bytes of a line, if nobody says otherwise. (Twisted's.)
pub const MAX_LINE: usize = 16_384;

/// From bytes to lines, without their ends. See [`Lines::new`].
pub type Lines = Decoder<LineFrame>;

/// From lines to bytes. See [`LineWriter::new`].
pub type LineWriter = Writer<LineEnd>;

/// From bytes to what lies between delimiters. See [`Delimited::new`].
pub type Delimited = Decoder<DelimitedFrame>;

/// The opposite of [`Delimited`]. See [`DelimitedWriter::new`].
pub type DelimitedWriter = Writer<Delimiter>;

/// What to do with a last line that has no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinalLine {
    /// It has been cut off: [`Problem::Truncated`].
    Error,
    /// It is a line, as in many files.
    Deliver,
}

impl Lines {
    /// Lines of at most `max_length` bytes, which end with LF or CRLF.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use marotte::tube::{Tube, framing::{FinalLine, Lines}};
    ///
    /// let mut lines = Lines::new(100, FinalLine::Error);
    /// lines.received(Bytes::from_static(b"one\r\ntwo\nthr"))?;
    /// assert_eq!(lines.next()?.as_deref(), Some(&b"one"[..]));
    /// assert_eq!(lines.next()?.as_deref(), Some(&b"two"[..]));
    /// assert_eq!(lines.next()?, None);
    /// lines.received(Bytes::from_static(b"ee\n"))?;
    /// assert_eq!(lines.next()?.as_deref(), Some(&b"three"[..]));
    /// # Ok::<(), marotte::tube::Error>(())
    /// ```
    #[must_use]
    pub fn new(max_length: usize, last: FinalLine) -> Self {
        Self::with(LineFrame {
            max: max_length,
            scanned: 0,
            last,
        })
    }
}

/// Finds lines.
#[derive(Debug)]
pub struct LineFrame {
    max: usize,
    /// As many bytes have no end of a line among them.
    scanned: usize,
    last: FinalLine,
}

impl LineFrame {
    fn line(&self, bytes: &[u8], end: usize) -> Result<Cut, Error> {
        let length = match bytes[..end].last() {
            Some(b'\r') => end - 1,
            _ => end,
        };
        if length > self.max {
            return Err(Error::new(Problem::FrameTooLong { limit: self.max }));
        }
        Ok(Cut {
            frame: 0..length,
            used: (end + 1).min(bytes.len()),
        })
    }
}

impl Codec for LineFrame {
    #[inline]
    fn cut(&mut self, bytes: &[u8]) -> Result<Option<Cut>, Error> {
        let from = std::mem::take(&mut self.scanned);
        match memchr(b'\n', &bytes[from..]) {
            Some(at) => self.line(bytes, from + at).map(Some),
            // One more, as it may be the CR of a line end.
            None if bytes.len() > self.max + 1 => {
                Err(Error::new(Problem::FrameTooLong { limit: self.max }))
            }
            None => {
                self.scanned = bytes.len();
                Ok(None)
            }
        }
    }

    fn last(&mut self, bytes: &[u8]) -> Result<Option<Cut>, Error> {
        match self.last {
            FinalLine::Error => Ok(None),
            FinalLine::Deliver => self.line(bytes, bytes.len()).map(Some),
        }
    }
}

impl LineWriter {
    /// Lines that end with CRLF, or with whatever is given. One with a line feed in it is
    /// [`Problem::Unframeable`]: it would arrive as two.
    #[must_use]
    pub fn new(end: &'static [u8]) -> Self {
        Self::with(LineEnd { end })
    }
}

/// Ends lines.
#[derive(Debug)]
pub struct LineEnd {
    end: &'static [u8],
}

impl Encode for LineEnd {
    #[inline]
    fn encode(&mut self, line: &[u8], out: &mut BytesMut) -> Result<(), Error> {
        if self.end == b"\n" && line.last() == Some(&b'\r') {
            return Err(Error::new(Problem::Unframeable {
                what: "a line",
                detail:
                    "it ends with a carriage return, which with a line feed is an end of a line"
                        .to_owned(),
            }));
        }
        if memchr(b'\n', line).is_some() {
            return Err(Error::new(Problem::Unframeable {
                what: "a line",
                detail: "it has a line feed in it and would arrive as two".to_owned(),
            }));
        }
        out.reserve(line.len() + self.end.len());
        out.put_slice(line);
        out.put_slice(self.end);
        Ok(())
    }
}

impl Delimited {
    /// Frames of at most `max_length` bytes, each followed by `delimiter`.
    ///
    /// # Errors
    /// [`Problem::Malformed`] if the delimiter is empty.
    pub fn new(delimiter: &[u8], max_length: usize) -> Result<Self, Error> {
        Ok(Self::with(DelimitedFrame {
            finder: memmem::Finder::new(checked(delimiter)?).into_owned(),
            max: max_length,
            scanned: 0,
        }))
    }
}

fn checked(delimiter: &[u8]) -> Result<&[u8], Error> {
    if delimiter.is_empty() {
        return Err(Error::new(Problem::Malformed {
            what: "delimiter",
            detail: "it is empty".to_owned(),
        }));
    }
    Ok(delimiter)
}

/// Finds what lies between delimiters.
#[derive(Debug)]
pub struct DelimitedFrame {
    finder: memmem::Finder<'static>,
    max: usize,
    /// No delimiter starts among as many bytes.
    scanned: usize,
}

impl Codec for DelimitedFrame {
    #[inline]
    fn cut(&mut self, bytes: &[u8]) -> Result<Option<Cut>, Error> {
        let from = std::mem::take(&mut self.scanned);
        let length = self.finder.needle().len();
        let end = match self.finder.find(&bytes[from..]) {
            Some(at) => from + at,
            None => {
                // The delimiter may have begun.
                self.scanned = (bytes.len() + 1).saturating_sub(length);
                if self.scanned <= self.max {
                    return Ok(None);
                }
                self.scanned
            }
        };
        if end > self.max {
            return Err(Error::new(Problem::FrameTooLong { limit: self.max }));
        }
        Ok(Some(Cut {
            frame: 0..end,
            used: end + length,
        }))
    }
}

impl DelimitedWriter {
    /// Each frame followed by `delimiter`. One with the delimiter in it is [`Problem::Unframeable`].
    ///
    /// # Errors
    /// [`Problem::Malformed`] if the delimiter is empty.
    pub fn new(delimiter: &[u8]) -> Result<Self, Error> {
        Ok(Self::with(Delimiter {
            finder: memmem::Finder::new(checked(delimiter)?).into_owned(),
        }))
    }
}

/// Puts delimiters between frames.
#[derive(Debug)]
pub struct Delimiter {
    finder: memmem::Finder<'static>,
}

impl Encode for Delimiter {
    fn encode(&mut self, frame: &[u8], out: &mut BytesMut) -> Result<(), Error> {
        let start = out.len();
        out.put_slice(frame);
        out.put_slice(self.finder.needle());
        // Together with the frame's end, the delimiter may begin earlier than it should.
        if self.finder.find(&out[start..]) != Some(frame.len()) {
            out.truncate(start);
            return Err(Error::new(Problem::Unframeable {
                what: "a delimited frame",
                detail: "the delimiter is in it".to_owned(),
            }));
        }
        Ok(())
    }
}
