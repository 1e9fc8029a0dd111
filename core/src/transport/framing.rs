//! Cutting a byte stream into messages.

use std::sync::Arc;

use crate::captp::{CloseReason, Framing};
use crate::limits::Limits;
use crate::syrup::{Cursor, SyrupError, Token};

/// Cuts a byte stream into messages, whatever pieces it arrives in.
///
/// The framing is told from the first byte: a raw message begins with `<`, a length with a digit.
///
/// ```
/// use marotte::transport::Deframer;
/// let mut deframer = Deframer::new(marotte::Limits::default());
/// let mut seen = Vec::new();
/// for piece in [&b"5:<1'"[..], b"a>5:<1'b>"] {
///     deframer.feed(piece, &mut |message| Ok(seen.push(message.to_vec()))).unwrap();
/// }
/// assert_eq!(seen, [b"<1'a>".to_vec(), b"<1'b>".to_vec()]);
/// ```
#[derive(Debug)]
pub struct Deframer {
    limits: Arc<Limits>,
    framing: Option<Framing>,
    /// The beginning of a message whose end has not come.
    partial: Vec<u8>,
    /// Do not look again before this many bytes of `partial` are there.
    needed: usize,
    /// How far the unfinished raw message has been read, so that no byte is read twice.
    resume: Resume,
    /// True once the stream was broken: where the next message begins is not known then.
    is_broken: bool,
}

/// Where reading a raw message goes on when more of it has come.
#[derive(Debug, Default, Clone, Copy)]
struct Resume {
    at: usize,
    depth: usize,
}

/// One message in a buffer: where its body is, and where the next one starts.
struct Frame {
    body: std::ops::Range<usize>,
    next: usize,
}

enum Cut {
    Frame(Frame),
    /// At least so many bytes are needed.
    More(usize),
}

impl Deframer {
    /// A deframer at the start of a stream.
    pub fn new(limits: impl Into<Arc<Limits>>) -> Self {
        let limits = limits.into();
        Self {
            limits,
            framing: None,
            partial: Vec::new(),
            needed: 0,
            resume: Resume::default(),
            is_broken: false,
        }
    }

    /// Takes the next piece of the stream and gives each message that it completes to `handle`.
    ///
    /// # Errors
    /// A broken frame, a message above the limit, or what `handle` returns. After that nothing more is
    /// taken.
    pub fn feed(
        &mut self,
        piece: &[u8],
        handle: &mut dyn FnMut(&[u8]) -> Result<(), CloseReason>,
    ) -> Result<(), CloseReason> {
        if self.is_broken {
            let why = "the stream goes on after its end".to_owned();
            return Err(CloseReason::Protocol(why));
        }
        self.feed_next(piece, handle).inspect_err(|_| {
            self.is_broken = true;
            self.partial = Vec::new();
        })
    }

    fn feed_next(
        &mut self,
        piece: &[u8],
        handle: &mut dyn FnMut(&[u8]) -> Result<(), CloseReason>,
    ) -> Result<(), CloseReason> {
        if self.partial.is_empty() {
            let used = self.cut_all(piece, handle)?;
            self.keep(&piece[used..]);
            return Ok(());
        }
        self.partial.extend_from_slice(piece);
        if self.partial.len() < self.needed {
            return Ok(());
        }
        // Taken out, because a handler may cause anything but must not see this.
        let mut buffer = std::mem::take(&mut self.partial);
        let used = self.cut_all(&buffer, handle)?;
        if used == buffer.len() {
            // Nothing is kept per idle connection.
            return Ok(());
        }
        buffer.drain(..used);
        self.partial = buffer;
        self.make_room();
        Ok(())
    }

    fn keep(&mut self, rest: &[u8]) {
        if !rest.is_empty() {
            self.partial.extend_from_slice(rest);
            self.make_room();
        }
    }

    /// Makes room for the rest of a message, so that it is moved seldom. What a peer merely
    /// announces gets no more than this at once.
    fn make_room(&mut self) {
        const MOST: usize = 1 << 20;
        self.partial
            .reserve(self.needed.saturating_sub(self.partial.len()).min(MOST));
    }

    fn cut_all(
        &mut self,
        buffer: &[u8],
        handle: &mut dyn FnMut(&[u8]) -> Result<(), CloseReason>,
    ) -> Result<usize, CloseReason> {
        let mut used = 0;
        while used < buffer.len() {
            match self.cut(&buffer[used..])? {
                Cut::Frame(frame) => {
                    handle(&buffer[used..][frame.body])?;
                    used += frame.next;
                }
                Cut::More(needed) => {
                    self.needed = needed;
                    break;
                }
            }
        }
        Ok(used)
    }

    fn cut(&mut self, buffer: &[u8]) -> Result<Cut, CloseReason> {
        let framing = *self.framing.get_or_insert(match buffer[0] {
            b'<' => Framing::Raw,
            _ => Framing::LengthPrefixed,
        });
        match framing {
            Framing::LengthPrefixed => self.cut_prefixed(buffer),
            Framing::Raw => self.cut_raw(buffer),
        }
    }

    fn cut_prefixed(&self, buffer: &[u8]) -> Result<Cut, CloseReason> {
        const MOST_DIGITS: usize = 9;
        let digits = buffer
            .iter()
            .take(MOST_DIGITS + 1)
            .take_while(|b| b.is_ascii_digit())
            .count();
        match buffer.get(digits) {
            None => return Ok(Cut::More(buffer.len() + 1)),
            Some(b':') if digits > 0 && digits <= MOST_DIGITS => {}
            Some(_) => {
                return Err(CloseReason::Protocol(
                    "a frame must begin with its length and a colon".to_owned(),
                ));
            }
        }
        let length = buffer[..digits]
            .iter()
            .fold(0_usize, |n, digit| n * 10 + usize::from(digit - b'0'));
        if length > self.limits.max_message_bytes {
            return Err(too_long());
        }
        let end = digits + 1 + length;
        if buffer.len() < end {
            return Ok(Cut::More(end));
        }
        Ok(Cut::Frame(Frame {
            body: digits + 1..end,
            next: end,
        }))
    }

    /// Finds the end of a raw message by counting brackets; it is checked in full later.
    fn cut_raw(&mut self, buffer: &[u8]) -> Result<Cut, CloseReason> {
        let Resume {
            at: start,
            mut depth,
        } = self.resume;
        let mut cursor = Cursor::new(&buffer[start..]).max_digits(self.limits.max_digits);
        loop {
            let at = start + cursor.position();
            let token = match cursor.next() {
                Ok(token) => token,
                Err(SyrupError::Incomplete { needed }) => {
                    if start + needed > self.limits.max_message_bytes {
                        return Err(too_long());
                    }
                    self.resume = Resume { at, depth };
                    return Ok(Cut::More(start + needed));
                }
                Err(error) => return Err(error.into()),
            };
            match token {
                Token::List | Token::Dict | Token::Record => depth += 1,
                Token::EndList | Token::EndDict | Token::EndRecord => {
                    depth = depth.saturating_sub(1);
                }
                _ => {}
            }
            if depth == 0 {
                self.resume = Resume::default();
                let end = start + cursor.position();
                return Ok(Cut::Frame(Frame {
                    body: 0..end,
                    next: end,
                }));
            }
        }
    }

    /// True if the stream ends in the middle of a message.
    pub fn is_partial(&self) -> bool {
        !self.partial.is_empty()
    }
}

fn too_long() -> CloseReason {
    CloseReason::Protocol("limit passed: max_message_bytes".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_taken_once_the_stream_was_broken() {
        // What was read of the message before that must be forgotten, too. (Found by fuzzing.)
        for pieces in [
            [&b"<4'list300:"[..], &[b'?'; 400], b"<"],
            [b"<1'a", b">x", b"<1'a>"],
            [b"5:<1'a>", b"x", b"5:<1'a>"],
        ] {
            let mut deframer = Deframer::new(Limits::default());
            let results = pieces.map(|piece| deframer.feed(piece, &mut |_| Ok(())));
            assert!(results[2].is_err(), "{results:?}");
            assert!(!deframer.is_partial());
        }
        let mut deframer = Deframer::new(Limits::default());
        let refuse = &mut |_: &[u8]| Err(CloseReason::Local("enough".to_owned()));
        assert!(deframer.feed(b"5:<1'a>5:<1'b>", refuse).is_err());
        assert!(deframer.feed(b"5:<1'a>", &mut |_| Ok(())).is_err());
    }
}
