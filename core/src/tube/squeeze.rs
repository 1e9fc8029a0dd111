//! Compression, by other crates.

use std::io::{ErrorKind, Write};

use bytes::{Bytes, BytesMut};

use super::contract::Tube;
use super::error::{Error, Problem, Reason};

fn malformed(what: &'static str, detail: impl ToString) -> Error {
    Error::new(Problem::Malformed {
        what,
        detail: detail.to_string(),
    })
}

/// How much is written out at once.
const CHUNK: usize = 1 << 16;

/// What compresses or decompresses, writing into its own buffer.
trait Squeeze: Write {
    fn buffer(&mut self) -> &mut Vec<u8>;
    /// The end; `began` if anything was written.
    fn end(&mut self, began: bool) -> std::io::Result<()>;
}

/// From bytes to bytes through a compressor or decompressor of another crate. One chunk of input is
/// worked on in pieces, so that little that becomes much is not all in memory at once.
pub struct Squeezer {
    inner: Box<dyn Squeeze + Send>,
    what: &'static str,
    input: Bytes,
    /// Gathers its output until nothing more comes at once.
    out: BytesMut,
    due: bool,
    /// Something was written and may still be in the compressor.
    dirty: bool,
    /// Something was written at all.
    began: bool,
    ending: bool,
}

/// As much input as is worked on before its output is given. A thousand times as much may come of it.
const PIECE: usize = 1 << 10;

impl std::fmt::Debug for Squeezer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Squeezer")
            .field("what", &self.what)
            .finish()
    }
}

impl Squeezer {
    fn with(inner: impl Squeeze + Send + 'static, what: &'static str) -> Self {
        Self {
            inner: Box::new(inner),
            what,
            input: Bytes::new(),
            out: BytesMut::new(),
            due: false,
            dirty: false,
            began: false,
            ending: false,
        }
    }

    fn take(&mut self) {
        let buffer = self.inner.buffer();
        self.out.extend_from_slice(buffer);
        buffer.clear();
    }
}

impl Tube for Squeezer {
    type In = Bytes;
    type Out = Bytes;

    fn received(&mut self, chunk: Bytes) -> Result<(), Error> {
        self.input = chunk;
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Bytes>, Error> {
        while !self.input.is_empty() && self.out.len() < CHUNK {
            let piece = self.input.split_to(self.input.len().min(PIECE));
            self.inner
                .write_all(&piece)
                .map_err(|error| malformed(self.what, error))?;
            (self.dirty, self.began) = (true, true);
            self.take();
        }
        if self.ending && self.input.is_empty() {
            self.ending = false;
            self.inner
                .end(self.began)
                .map_err(|error| match error.kind() {
                    ErrorKind::UnexpectedEof => Error::new(Problem::Truncated { held: 0 }),
                    _ => malformed(self.what, error),
                })?;
            self.dirty = false;
            self.take();
            self.due = true;
        }
        if self.out.is_empty() || !(self.due || self.out.len() >= CHUNK) {
            return Ok(None);
        }
        self.due = !self.input.is_empty();
        Ok(Some(self.out.split().freeze()))
    }

    fn has_gathered(&self) -> bool {
        self.dirty || !self.out.is_empty()
    }

    /// Whoever reads at the other end must not have to wait for more to be written.
    fn flush(&mut self) -> Result<(), Error> {
        self.inner
            .flush()
            .map_err(|error| malformed(self.what, error))?;
        self.dirty = false;
        self.take();
        self.due = true;
        Ok(())
    }

    fn stopped(&mut self, reason: &Reason) -> Result<(), Error> {
        // A stream that was cut off has no end to check or to write.
        self.ending = matches!(reason, Reason::Done);
        Ok(())
    }
}

#[cfg(feature = "gzip")]
mod gzip {
    use flate2::Compression;
    use flate2::write::{GzEncoder, MultiGzDecoder};

    use super::{Squeeze, Squeezer};

    impl Squeeze for GzEncoder<Vec<u8>> {
        fn buffer(&mut self) -> &mut Vec<u8> {
            self.get_mut()
        }

        fn end(&mut self, _: bool) -> std::io::Result<()> {
            self.try_finish()
        }
    }

    impl Squeeze for MultiGzDecoder<Vec<u8>> {
        fn buffer(&mut self) -> &mut Vec<u8> {
            self.get_mut()
        }

        fn end(&mut self, began: bool) -> std::io::Result<()> {
            // Of nothing comes nothing.
            if began { self.try_finish() } else { Ok(()) }
        }
    }

    impl Squeezer {
        /// From bytes to gzip, at a level of 0 to 9.
        #[must_use]
        pub fn gzip(level: u32) -> Self {
            Self::with(
                GzEncoder::new(Vec::new(), Compression::new(level.min(9))),
                "gzip",
            )
        }

        /// From gzip, of one member or more, to bytes.
        #[must_use]
        pub fn gunzip() -> Self {
            Self::with(MultiGzDecoder::new(Vec::new()), "gzip")
        }
    }
}

#[cfg(feature = "zstd")]
mod zstd_stream {
    use std::io::{Error as IoError, ErrorKind, Result as IoResult, Write};

    use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};
    use zstd::stream::write::Encoder;

    use super::{Squeeze, Squeezer};
    use crate::tube::Error;

    impl Squeeze for Encoder<'static, Vec<u8>> {
        fn buffer(&mut self) -> &mut Vec<u8> {
            self.get_mut()
        }

        fn end(&mut self, _: bool) -> IoResult<()> {
            self.do_finish()
        }
    }

    /// The crate's own writer does not tell whether the last frame was all there.
    struct Frames {
        decoder: Decoder<'static>,
        out: Vec<u8>,
        /// A frame has begun and not ended.
        open: bool,
    }

    impl Write for Frames {
        fn write(&mut self, bytes: &[u8]) -> IoResult<usize> {
            let mut input = InBuffer::around(bytes);
            loop {
                let mut piece = [0; 1 << 14];
                let mut output = OutBuffer::around(&mut piece[..]);
                let hint = self.decoder.run(&mut input, &mut output)?;
                let written = output.pos();
                self.out.extend_from_slice(&piece[..written]);
                self.open = hint > 0;
                // A full buffer may have more behind it; but not behind the end of a frame, where to ask would be to begin the
                // next one.
                if input.pos() == bytes.len() && (written < piece.len() || hint == 0) {
                    return Ok(bytes.len());
                }
            }
        }

        fn flush(&mut self) -> IoResult<()> {
            Ok(())
        }
    }

    impl Squeeze for Frames {
        fn buffer(&mut self) -> &mut Vec<u8> {
            &mut self.out
        }

        fn end(&mut self, _: bool) -> IoResult<()> {
            match self.open {
                true => Err(IoError::from(ErrorKind::UnexpectedEof)),
                false => Ok(()),
            }
        }
    }

    impl Squeezer {
        /// From bytes to Zstandard, at a level of 1 to 22, with a checksum.
        ///
        /// # Errors
        /// If there is no memory for it.
        pub fn zstd(level: i32) -> Result<Self, Error> {
            let mut encoder = Encoder::new(Vec::new(), level).map_err(Error::other)?;
            encoder.include_checksum(true).map_err(Error::other)?;
            Ok(Self::with(encoder, "Zstandard"))
        }

        /// From Zstandard, of one frame or more, to bytes.
        ///
        /// # Errors
        /// If there is no memory for it.
        pub fn unzstd() -> Result<Self, Error> {
            let frames = Frames {
                decoder: Decoder::new().map_err(Error::other)?,
                out: Vec::new(),
                open: false,
            };
            Ok(Self::with(frames, "Zstandard"))
        }
    }
}
