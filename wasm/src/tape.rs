//! The tape: how values cross between JavaScript and the core, in one pass on each side.
//!
//! A tape is values one after the other, each a tag byte and its content; numbers are
//! little-endian and unaligned. Text and byte strings that JavaScript writes stand on the tape
//! (`u32` length, bytes); those that it reads stay where they are and the tape says where (`u32`
//! address, `u32` length), so they must live until it has read them. The other end is
//! `wasm/js/tape.ts`.

use std::sync::Arc;

use marotte::RemoteError;
use marotte::host::Ref;
use marotte::passable::{Builder, Item, ReadError, View};
use marotte::vat::Vat;

use crate::host::{JsFailure, JsHost};
use crate::state;

/// The tags, as in `wasm/js/tape.ts`.
pub(crate) mod tag {
    pub(crate) const NULL: u8 = 0;
    pub(crate) const VOID: u8 = 1;
    pub(crate) const FALSE: u8 = 2;
    pub(crate) const TRUE: u8 = 3;
    /// An integer as `i32`.
    pub(crate) const INT32: u8 = 4;
    /// A safe integer as `f64`.
    pub(crate) const INT53: u8 = 5;
    pub(crate) const FLOAT: u8 = 6;
    /// An integer as text, `-` first if negative (read: a sign byte, 1 for negative, and digits).
    pub(crate) const BIGINT: u8 = 7;
    pub(crate) const STR: u8 = 8;
    pub(crate) const BYTES: u8 = 9;
    /// An error, by its message.
    pub(crate) const ERROR: u8 = 10;
    pub(crate) const LIST: u8 = 11;
    pub(crate) const END_LIST: u8 = 12;
    pub(crate) const DICT: u8 = 13;
    pub(crate) const END_DICT: u8 = 14;
    /// Before each value of a dictionary: its key, as text.
    pub(crate) const KEY: u8 = 15;
    /// A local object's slot.
    pub(crate) const OBJECT: u8 = 16;
    /// A far reference's handle.
    pub(crate) const FAR: u8 = 17;
    /// A promise's handle.
    pub(crate) const PROMISE: u8 = 18;
    /// Text that is known to be ASCII (only read).
    pub(crate) const ASCII: u8 = 19;
    /// A sturdy reference, as its URI (read: as the record that came).
    pub(crate) const STURDY: u8 = 20;

    // Failures: each a tag and text, but for REASON, which a value follows.
    pub(crate) const REMOTE: u8 = 32;
    pub(crate) const DISCONNECTED: u8 = 33;
    pub(crate) const MISUSE: u8 = 34;
    pub(crate) const REASON: u8 = 35;
}

/// The tape was not written as it should be: a mistake on the JavaScript side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadTape;

/// A position on a tape that JavaScript wrote.
pub(crate) struct Tape<'a> {
    bytes: &'a [u8],
}

/// One step of reading a tape.
#[derive(Debug, PartialEq)]
enum Step<'a> {
    Null,
    Void,
    Bool(bool),
    Int(i64),
    Float(f64),
    BigInt(&'a str),
    Str(&'a str),
    Bytes(&'a [u8]),
    Error(&'a str),
    Sturdy(&'a str),
    List,
    EndList,
    Dict,
    EndDict,
    Key(&'a str),
    Object(u32),
    Handle(u32),
}

impl<'a> Tape<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], BadTape> {
        let (head, rest) = self.bytes.split_at_checked(len).ok_or(BadTape)?;
        self.bytes = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadTape> {
        let (head, rest) = self.bytes.split_first_chunk::<N>().ok_or(BadTape)?;
        self.bytes = rest;
        Ok(*head)
    }

    fn u32(&mut self) -> Result<u32, BadTape> {
        self.array().map(u32::from_le_bytes)
    }

    fn blob(&mut self) -> Result<&'a [u8], BadTape> {
        let len = self.u32()?;
        self.take(len as usize)
    }

    fn text(&mut self) -> Result<&'a str, BadTape> {
        std::str::from_utf8(self.blob()?).map_err(|_| BadTape)
    }

    fn step(&mut self) -> Result<Step<'a>, BadTape> {
        let [tag] = self.array()?;
        Ok(match tag {
            tag::NULL => Step::Null,
            tag::VOID => Step::Void,
            tag::FALSE => Step::Bool(false),
            tag::TRUE => Step::Bool(true),
            tag::INT32 => Step::Int(i64::from(i32::from_le_bytes(self.array()?))),
            // JavaScript writes safe integers only; the cast saturates.
            tag::INT53 => Step::Int(f64::from_le_bytes(self.array()?) as i64),
            tag::FLOAT => Step::Float(f64::from_le_bytes(self.array()?)),
            tag::BIGINT => Step::BigInt(self.text()?),
            tag::STR => Step::Str(self.text()?),
            tag::STURDY => Step::Sturdy(self.text()?),
            tag::BYTES => Step::Bytes(self.blob()?),
            tag::ERROR => Step::Error(self.text()?),
            tag::LIST => Step::List,
            tag::END_LIST => Step::EndList,
            tag::DICT => Step::Dict,
            tag::END_DICT => Step::EndDict,
            tag::KEY => Step::Key(self.text()?),
            tag::OBJECT => Step::Object(self.u32()?),
            tag::FAR | tag::PROMISE => Step::Handle(self.u32()?),
            _ => return Err(BadTape),
        })
    }

    /// Reads text.
    pub(crate) fn str(&mut self) -> Result<&'a str, BadTape> {
        self.optional_str()?.ok_or(BadTape)
    }

    /// Reads text or null.
    pub(crate) fn optional_str(&mut self) -> Result<Option<&'a str>, BadTape> {
        match self.step()? {
            Step::Str(text) => Ok(Some(text)),
            Step::Null => Ok(None),
            _ => Err(BadTape),
        }
    }

    /// Reads a byte string.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], BadTape> {
        if let Step::Bytes(bytes) = self.step()? {
            Ok(bytes)
        } else {
            Err(BadTape)
        }
    }

    /// Reads a local object's slot.
    pub(crate) fn object(&mut self) -> Result<u32, BadTape> {
        if let Step::Object(slot) = self.step()? {
            Ok(slot)
        } else {
            Err(BadTape)
        }
    }

    /// Reads a failure as JavaScript writes them: text, or an arbitrary reason.
    pub(crate) fn failure(&mut self) -> Result<JsFailure, BadTape> {
        let [tag] = self.array()?;
        Ok(match tag {
            tag::REMOTE => {
                let mut error = RemoteError::from_wire(self.text()?);
                let traceback = self.str()?;
                error.traceback = (!traceback.is_empty()).then(|| traceback.into());
                JsFailure::Remote(error)
            }
            tag::DISCONNECTED => JsFailure::Disconnected(self.text()?.into()),
            tag::MISUSE => JsFailure::Misuse(self.text()?.into()),
            tag::REASON => {
                let mut builder = Builder::default();
                self.build(&mut builder)?;
                JsFailure::Reason(Arc::new(builder.finish()))
            }
            _ => return Err(BadTape),
        })
    }

    /// Reads a dictionary of numbers.
    pub(crate) fn numbers(&mut self, mut f: impl FnMut(&'a str, f64)) -> Result<(), BadTape> {
        let Step::Dict = self.step()? else {
            return Err(BadTape);
        };
        loop {
            match self.step()? {
                Step::EndDict => return Ok(()),
                Step::Key(key) => match self.step()? {
                    Step::Int(value) => f(key, value as f64),
                    Step::Float(value) => f(key, value),
                    _ => return Err(BadTape),
                },
                _ => return Err(BadTape),
            }
        }
    }

    /// Reads all values that are left into `builder`.
    pub(crate) fn build(&mut self, builder: &mut Builder<Ref<JsHost>>) -> Result<(), BadTape> {
        while !self.bytes.is_empty() {
            match self.step()? {
                Step::Null => builder.null(),
                Step::Void => builder.void(),
                Step::Bool(value) => builder.bool(value),
                Step::Int(value) => builder.int(i128::from(value)),
                Step::Float(value) => builder.float(value),
                Step::BigInt(digits) => {
                    if !builder.integer(digits) {
                        return Err(BadTape);
                    }
                }
                Step::Str(text) => builder.str(text),
                Step::Bytes(bytes) => builder.bytes(bytes),
                Step::Error(message) => builder.error(message),
                Step::Sturdy(uri) => builder.sturdy_ref(&uri.parse().map_err(|_| BadTape)?),
                Step::List => builder.begin_list(),
                Step::EndList => builder.end_list(),
                Step::Dict => builder.begin_dict(),
                Step::EndDict => builder.end_dict().map_err(|_| BadTape)?,
                Step::Key(key) => builder.key(key),
                Step::Object(slot) => builder.reference(Ref::Local(state::object(slot))),
                Step::Handle(handle) => builder.reference(state::reference(handle).ok_or(BadTape)?),
            }
        }
        Ok(())
    }
}

/// Writes a tape for JavaScript to read.
pub(crate) trait Out {
    fn tag(&mut self, tag: u8);
    fn number(&mut self, tag: u8, number: u32);
    fn float(&mut self, tag: u8, value: f64);
    fn blob(&mut self, tag: u8, bytes: &[u8]);
    fn text(&mut self, tag: u8, text: &str);

    fn str(&mut self, text: &str) {
        self.text(
            if text.is_ascii() {
                tag::ASCII
            } else {
                tag::STR
            },
            text,
        );
    }
}

impl Out for Vec<u8> {
    fn tag(&mut self, tag: u8) {
        self.push(tag);
    }

    fn number(&mut self, tag: u8, number: u32) {
        let [a, b, c, d] = number.to_le_bytes();
        self.extend_from_slice(&[tag, a, b, c, d]);
    }

    fn float(&mut self, tag: u8, value: f64) {
        self.push(tag);
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn blob(&mut self, tag: u8, bytes: &[u8]) {
        // Addresses have 32 bits where there is JavaScript.
        self.number(tag, bytes.as_ptr() as usize as u32);
        self.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    }

    fn text(&mut self, tag: u8, text: &str) {
        self.blob(tag, text.as_bytes());
    }
}

/// The largest integer below which every integer is a number in JavaScript.
const MAX_SAFE: i64 = (1 << 53) - 1;

/// Writes every value of `view`; the tape points into the view.
///
/// # Errors
/// What is wrong with the view, which a peer may have sent. The tape is then as before, and the
/// references on it are given up.
pub(crate) fn write(
    vat: &Arc<Vat<JsHost>>,
    view: View<'_, Ref<JsHost>>,
    out: &mut Vec<u8>,
) -> Result<(), ReadError> {
    let start = out.len();
    let mut fresh = Vec::new();
    let result = write_values(vat, view, out, &mut fresh);
    if result.is_err() {
        out.truncate(start);
        fresh.into_iter().for_each(state::drop_handle);
    }
    result
}

fn write_values(
    vat: &Arc<Vat<JsHost>>,
    view: View<'_, Ref<JsHost>>,
    out: &mut Vec<u8>,
    fresh: &mut Vec<u32>,
) -> Result<(), ReadError> {
    let mut reader = view.reader();
    // For each open container, true if it is a dictionary; and whether a key is due.
    let mut open: Vec<bool> = Vec::new();
    let mut key_due = false;
    while !reader.is_empty() {
        let item = reader.next()?;
        if key_due && !matches!(item, Item::EndDict) {
            let (Item::Str(key) | Item::Symbol(key)) = item else {
                return Err(ReadError::Shape("a dictionary's key must be text"));
            };
            out.tag(tag::KEY);
            out.str(key);
            key_due = false;
            continue;
        }
        match item {
            Item::Null => out.tag(tag::NULL),
            Item::Void => out.tag(tag::VOID),
            Item::Bool(value) => out.tag(if value { tag::TRUE } else { tag::FALSE }),
            Item::Int(int) => match int.to_i64() {
                Some(n) if i32::try_from(n).is_ok() => out.number(tag::INT32, n as u32),
                Some(n) if n.unsigned_abs() <= MAX_SAFE.unsigned_abs() => {
                    out.float(tag::INT53, n as f64);
                }
                _ => {
                    out.extend_from_slice(&[tag::BIGINT, u8::from(int.negative)]);
                    out.text(tag::ASCII, int.digits);
                }
            },
            Item::Float(value) => out.float(tag::FLOAT, value),
            Item::Str(text) | Item::Symbol(text) => out.str(text),
            Item::Bytes(bytes) => out.blob(tag::BYTES, bytes),
            Item::SturdyRef(record) => out.blob(tag::STURDY, record),
            Item::Error(message) => {
                out.tag(tag::ERROR);
                out.str(message);
            }
            Item::Ref(reference) => write_reference(vat, reference, out, fresh),
            Item::List => {
                out.tag(tag::LIST);
                open.push(false);
            }
            Item::Dict => {
                out.tag(tag::DICT);
                open.push(true);
            }
            Item::EndList => {
                out.tag(tag::END_LIST);
                open.pop();
            }
            Item::EndDict => {
                out.tag(tag::END_DICT);
                open.pop();
            }
        }
        key_due = open.last() == Some(&true);
    }
    Ok(())
}

/// Writes one reference by a number that JavaScript can use.
fn write_reference(
    vat: &Arc<Vat<JsHost>>,
    reference: &Ref<JsHost>,
    out: &mut Vec<u8>,
    fresh: &mut Vec<u32>,
) {
    match reference {
        Ref::Local(object) => out.number(tag::OBJECT, object.slot()),
        Ref::Far(import) => {
            let (handle, is_new) = state::far(vat, import);
            if is_new {
                fresh.push(handle);
            }
            out.number(tag::FAR, handle);
        }
        Ref::Promise(promise) => out.number(tag::PROMISE, state::track(vat, promise)),
    }
}

/// Writes a failure; the tape points into it.
pub(crate) fn write_failure(vat: &Arc<Vat<JsHost>>, failure: &JsFailure, out: &mut Vec<u8>) {
    let mut text = |tag, text: &str| {
        out.tag(tag);
        out.str(text);
    };
    match failure {
        JsFailure::Remote(error) => {
            text(tag::REMOTE, &error.message);
            out.str(error.kind().unwrap_or_default());
            out.str(error.traceback.as_deref().unwrap_or_default());
        }
        JsFailure::Disconnected(message) => text(tag::DISCONNECTED, message),
        JsFailure::Misuse(message) => text(tag::MISUSE, message),
        JsFailure::Reason(value) => {
            out.tag(tag::REASON);
            if write(vat, value.view(), out).is_err() {
                out.pop();
                out.tag(tag::REMOTE);
                out.str("the far side broke the promise with a reason that is not understood here");
                out.str("");
                out.str("");
            }
        }
    }
}

#[cfg(test)]
mod tests;
