//! Reading tokens from borrowed bytes.

use super::{HOLE, SyrupError};

/// An integer as it stands in the message: a sign and decimal digits, of any size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Int<'a> {
    /// True for the `-` ending.
    pub negative: bool,
    /// ASCII decimal digits without leading zeros.
    pub digits: &'a str,
}

impl Int<'_> {
    /// The value, if it fits 128 bits.
    pub fn to_i128(self) -> Option<i128> {
        if self.digits.len() <= 18 {
            // The common case, without 128-bit multiplication.
            let n = self
                .digits
                .bytes()
                .fold(0_i64, |n, d| n * 10 + i64::from(d - b'0'));
            return Some(i128::from(if self.negative { -n } else { n }));
        }
        let n: u128 = self.digits.parse().ok()?;
        if self.negative {
            0_i128.checked_sub_unsigned(n)
        } else {
            i128::try_from(n).ok()
        }
    }

    /// The value, if it fits 64 bits with a sign.
    pub fn to_i64(self) -> Option<i64> {
        self.to_i128().and_then(|n| i64::try_from(n).ok())
    }

    /// The value, if it is not negative and fits 64 bits.
    pub fn to_u64(self) -> Option<u64> {
        self.to_i128().and_then(|n| u64::try_from(n).ok())
    }
}

/// One token. Containers come as an opening and a closing token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Token<'a> {
    /// `t` or `f`.
    Bool(bool),
    /// `42+`, `7-`.
    Int(Int<'a>),
    /// `D` and eight bytes.
    Float(f64),
    /// `5:hello`.
    Bytes(&'a [u8]),
    /// `5"hello`.
    Str(&'a str),
    /// `5'hello`.
    Symbol(&'a str),
    /// `[`.
    List,
    /// `]`.
    EndList,
    /// `{`.
    Dict,
    /// `}`.
    EndDict,
    /// `<`.
    Record,
    /// `>`.
    EndRecord,
    /// The place of a reference in a passable; never on the wire.
    Hole,
}

/// A position in borrowed Syrup bytes.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    max_digits: usize,
}

/// The longest length prefix that is read: ten gigabytes, less one byte.
const MAX_LENGTH_DIGITS: usize = 10;

impl<'a> Cursor<'a> {
    /// Starts at the first byte. Integers may have up to 10,000 digits; see [`Self::max_digits`].
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            max_digits: 10_000,
        }
    }

    /// Sets how many digits an integer may have.
    #[must_use]
    pub fn max_digits(mut self, digits: usize) -> Self {
        self.max_digits = digits;
        self
    }

    /// Offset of the next unread byte.
    pub fn position(&self) -> usize {
        self.at
    }

    /// True when every byte was read.
    pub fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The bytes between two offsets, as borrowed by this cursor.
    pub fn span(&self, from: usize, to: usize) -> &'a [u8] {
        self.bytes.get(from..to).unwrap_or_default()
    }

    /// The bytes that were not read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Reads `expected` if it is next, whatever tokens it is made of.
    pub(crate) fn eat(&mut self, expected: &[u8]) -> bool {
        let found = self.bytes[self.at..].starts_with(expected);
        if found {
            self.at += expected.len();
        }
        found
    }

    /// Reads a short non-negative integer, if one is next: nearly every position is one.
    pub(crate) fn eat_uint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for (index, &byte) in self.bytes[self.at..].iter().take(19).enumerate() {
            match byte {
                b'0'..=b'9' if index < 18 => value = value * 10 + u64::from(byte - b'0'),
                b'+' if index == 1 || (index > 1 && self.bytes[self.at] != b'0') => {
                    self.at += index + 1;
                    return Some(value);
                }
                _ => return None,
            }
        }
        None
    }

    /// Goes to an offset.
    pub(crate) fn seek(&mut self, at: usize) {
        self.at = at.min(self.bytes.len());
    }

    /// The next byte, unread.
    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn malformed<T>(&self, why: &'static str) -> Result<T, SyrupError> {
        Err(SyrupError::Malformed { at: self.at, why })
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], SyrupError> {
        let end = self.at.saturating_add(len);
        match self.bytes.get(self.at..end) {
            Some(slice) => {
                self.at = end;
                Ok(slice)
            }
            None => Err(SyrupError::Incomplete { needed: end }),
        }
    }

    /// Reads the next token.
    ///
    /// # Errors
    /// [`SyrupError::Incomplete`] at the end of the bytes, else what is wrong with them.
    // Named as the field does; an iterator would hide the errors' stickiness.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Token<'a>, SyrupError> {
        let Some(&first) = self.bytes.get(self.at) else {
            return Err(SyrupError::Incomplete {
                needed: self.at + 1,
            });
        };
        let token = match first {
            b'0'..=b'9' => return self.number(),
            b't' => Token::Bool(true),
            b'f' => Token::Bool(false),
            b'[' => Token::List,
            b']' => Token::EndList,
            b'{' => Token::Dict,
            b'}' => Token::EndDict,
            b'<' => Token::Record,
            b'>' => Token::EndRecord,
            b'D' => {
                self.at += 1;
                return self.float();
            }
            HOLE => Token::Hole,
            b'F' => return self.malformed("single floats are not part of the model"),
            b'#' | b'$' => return self.malformed("sets are not part of the model"),
            _ => return self.malformed("no value starts with this byte"),
        };
        self.at += 1;
        Ok(token)
    }

    fn float(&mut self) -> Result<Token<'a>, SyrupError> {
        let start = self.at;
        let raw = self.take(8)?;
        let mut eight = [0; 8];
        eight.copy_from_slice(raw);
        let value = f64::from_be_bytes(eight);
        if value.is_nan() && eight != super::writer::CANONICAL_NAN {
            return Err(SyrupError::Malformed {
                at: start,
                why: "not the canonical NaN",
            });
        }
        Ok(Token::Float(value))
    }

    /// A digit run: an integer, or the length prefix of bytes, a string or a symbol.
    fn number(&mut self) -> Result<Token<'a>, SyrupError> {
        let start = self.at;
        let rest = &self.bytes[start..];
        let window = &rest[..rest.len().min(self.max_digits.saturating_add(1))];
        let Some(run) = window.iter().position(|b| !b.is_ascii_digit()) else {
            if rest.len() > self.max_digits {
                return Err(SyrupError::Limit {
                    at: start,
                    limit: "max_digits",
                });
            }
            return Err(SyrupError::Incomplete {
                needed: self.bytes.len() + 1,
            });
        };
        let (digits, ending) = (&rest[..run], rest[run]);
        if run > 1 && digits[0] == b'0' {
            return self.malformed("a number with a leading zero");
        }
        match ending {
            b'+' | b'-' => {
                let negative = ending == b'-';
                if negative && digits == b"0" {
                    return self.malformed("negative zero is not an integer");
                }
                let Ok(digits) = std::str::from_utf8(digits) else {
                    return self.malformed("digits are not ASCII");
                };
                self.at = start + run + 1;
                Ok(Token::Int(Int { negative, digits }))
            }
            b':' | b'"' | b'\'' => {
                if run > MAX_LENGTH_DIGITS {
                    return Err(SyrupError::Limit {
                        at: start,
                        limit: "max_message_bytes",
                    });
                }
                let len = digits.iter().fold(0_usize, |n, d| {
                    n.saturating_mul(10).saturating_add(usize::from(d - b'0'))
                });
                self.at = start + run + 1;
                let body = self.take(len).inspect_err(|_| self.at = start)?;
                if ending == b':' {
                    return Ok(Token::Bytes(body));
                }
                match std::str::from_utf8(body) {
                    Ok(text) if ending == b'"' => Ok(Token::Str(text)),
                    Ok(text) => Ok(Token::Symbol(text)),
                    Err(_) => {
                        self.at = start;
                        self.malformed("text is not UTF-8")
                    }
                }
            }
            _ => self.malformed("a number must end in + - : \" or '"),
        }
    }
}
