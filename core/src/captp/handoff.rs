//! Certificates by which one peer introduces another to a third.
//!
//! Three peers take part, each pair in a session with keys of its own: the *gifter* holds an object of
//! the *exporter* and passes it to the *receiver*.
//!
//! ```text
//!            deposit-gift          ┌──────────┐
//!       ┌─────────────────────────▶│ exporter │
//!  ┌────────┐                      └──────────┘
//!  │ gifter │                            ▲
//!  └────────┘                            │ withdraw-gift, with what signs that it may
//!       │  a signed give                 │
//!       └─────────────────────────▶┌──────────┐
//!                                  │ receiver │
//!                                  └──────────┘
//! ```
//!
//! The give names the receiver's key, so nobody else can use it; the receiver signs its withdrawal
//! with that key, with a number that is used once. Signatures are checked over the bytes as they came.
//!
//! Source: OCapN CapTP draft, "Third Party Handoffs".

use super::keys::{Keys, PublicKey, read_signature, write_signature};
use crate::limits::Limits;
use crate::locator::Location;
use crate::syrup::{Cursor, SyrupError, Token, Writer, scan};

/// What a gifter says: whoever holds the receiver's key may have this gift of the exporter's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Give {
    /// The receiver's key in its session with the gifter.
    pub receiver: PublicKey,
    /// Where the exporter is.
    pub exporter: Location,
    /// The session between gifter and exporter.
    pub session: [u8; 32],
    /// The gifter's public identifier in it.
    pub gifter_side: [u8; 32],
    /// The gift's number.
    pub gift: Vec<u8>,
}

/// What a receiver says to the exporter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receive {
    /// The session between receiver and exporter.
    pub session: [u8; 32],
    /// The receiver's public identifier in it.
    pub receiving_side: [u8; 32],
    /// Used once in that session.
    pub count: u64,
    /// The gifter's words, unchanged.
    pub give: Signed<Give>,
}

/// A certificate with its signature, and the bytes that it covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed<T> {
    /// The certificate.
    pub value: T,
    envelope: Vec<u8>,
    /// Where the certificate's own bytes stand in the envelope.
    body: std::ops::Range<usize>,
    signature: [u8; 64],
}

/// Something that can be put into an envelope.
pub trait Certificate: Sized {
    /// The record's label.
    const LABEL: &'static str;
    /// Writes the record's fields.
    fn write(&self, out: &mut Vec<u8>);
    /// Reads the record's fields.
    ///
    /// # Errors
    /// If they are not what they should be.
    fn read(cursor: &mut Cursor<'_>, limits: &Limits) -> Result<Self, SyrupError>;
}

fn bytes<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], SyrupError> {
    let at = cursor.position();
    match cursor.next()? {
        Token::Bytes(bytes) => Ok(bytes),
        _ => Err(SyrupError::Malformed {
            at,
            why: "bytes are due here",
        }),
    }
}

fn id(cursor: &mut Cursor<'_>) -> Result<[u8; 32], SyrupError> {
    let at = cursor.position();
    bytes(cursor)?
        .try_into()
        .map_err(|_| SyrupError::Malformed {
            at,
            why: "an identifier must be 32 bytes",
        })
}

impl Certificate for Give {
    const LABEL: &'static str = "desc:handoff-give";

    fn write(&self, out: &mut Vec<u8>) {
        self.receiver.write(out);
        self.exporter.write(out);
        out.put_bytes(&self.session);
        out.put_bytes(&self.gifter_side);
        out.put_bytes(&self.gift);
    }

    fn read(cursor: &mut Cursor<'_>, _: &Limits) -> Result<Self, SyrupError> {
        Ok(Self {
            receiver: PublicKey::read(cursor)?,
            exporter: Location::read(cursor)?,
            session: id(cursor)?,
            gifter_side: id(cursor)?,
            // 32 bytes in the drafts; peers use others.
            gift: bytes(cursor)?.to_vec(),
        })
    }
}

impl Certificate for Receive {
    const LABEL: &'static str = "desc:handoff-receive";

    fn write(&self, out: &mut Vec<u8>) {
        out.put_bytes(&self.session);
        out.put_bytes(&self.receiving_side);
        out.put_uint(self.count);
        out.extend_from_slice(&self.give.envelope);
    }

    fn read(cursor: &mut Cursor<'_>, limits: &Limits) -> Result<Self, SyrupError> {
        let (session, receiving_side) = (id(cursor)?, id(cursor)?);
        let at = cursor.position();
        let count = match cursor.next()? {
            Token::Int(count) => count.to_u64(),
            _ => None,
        };
        let count = count.ok_or(SyrupError::Malformed {
            at,
            why: "a hand-off's count must be an integer of up to 64 bits",
        })?;
        Ok(Self {
            session,
            receiving_side,
            count,
            give: Signed::read(cursor, limits)?,
        })
    }
}

impl<T: Certificate> Signed<T> {
    /// Signs a certificate.
    pub fn new(value: T, keys: &Keys) -> Self {
        let mut body = Vec::new();
        body.put_record(T::LABEL, |out| value.write(out));
        let signature = keys.sign(&body);
        let mut envelope = Vec::new();
        let mut range = 0..0;
        envelope.put_record("desc:sig-envelope", |out| {
            range = out.len()..out.len() + body.len();
            out.extend_from_slice(&body);
            write_signature(out, &signature);
        });
        Self {
            value,
            envelope,
            body: range,
            signature,
        }
    }

    /// Reads a whole envelope.
    ///
    /// # Errors
    /// If it is none, or holds another kind of certificate.
    pub fn parse(envelope: &[u8], limits: &Limits) -> Result<Self, SyrupError> {
        let mut cursor = Cursor::new(envelope).max_digits(limits.max_digits);
        Self::read(&mut cursor, limits)
    }

    fn read(cursor: &mut Cursor<'_>, limits: &Limits) -> Result<Self, SyrupError> {
        let start = cursor.position();
        let malformed = |why| Err(SyrupError::Malformed { at: start, why });
        let (Token::Record, Token::Symbol("desc:sig-envelope")) = (cursor.next()?, cursor.next()?)
        else {
            return malformed("a signed envelope is due here");
        };
        let body = cursor.position();
        let (Token::Record, Token::Symbol(label)) = (cursor.next()?, cursor.next()?) else {
            return malformed("an envelope must hold a record");
        };
        if label != T::LABEL {
            return malformed("an envelope holds another kind of certificate");
        }
        let value = T::read(cursor, limits)?;
        let Token::EndRecord = cursor.next()? else {
            return malformed("a certificate has too many fields");
        };
        let end = cursor.position();
        let signature = read_signature(cursor)?;
        let Token::EndRecord = cursor.next()? else {
            return malformed("an envelope has too many fields");
        };
        Ok(Self {
            value,
            envelope: cursor.span(start, cursor.position()).to_vec(),
            body: body - start..end - start,
            signature,
        })
    }

    /// The bytes on the wire.
    pub fn envelope(&self) -> &[u8] {
        &self.envelope
    }

    /// True if that key has signed it.
    pub fn is_by(&self, key: &PublicKey) -> bool {
        self.envelope
            .get(self.body.clone())
            .is_some_and(|body| key.verify(body, &self.signature))
    }
}

/// Moves a cursor from the beginning of an envelope behind it, and says whether it holds a give, which
/// stands for a reference.
pub(super) fn pass_envelope(cursor: &mut Cursor<'_>, limits: &Limits) -> Result<bool, SyrupError> {
    let mut ahead = cursor.clone();
    // The envelope's own label, then that of what is in it.
    let is_give = matches!(
        (ahead.next()?, ahead.next()?, ahead.next()?, ahead.next()?),
        (_, _, Token::Record, Token::Symbol(Give::LABEL))
    );
    scan(cursor, limits)?;
    Ok(is_give)
}
