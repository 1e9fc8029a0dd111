//! The operations, as they stand on the wire.

use std::sync::Arc;

use super::handoff::pass_envelope;
use super::keys::{PublicKey, read_signature};
use crate::limits::Limits;
use crate::locator::Location;
use crate::syrup::{Cursor, SyrupError, Token, Writer, scan_records};

/// Whom an operation addresses, from the receiver's point of view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// The thing the receiver exports at this position.
    Export(u64),
    /// The answer to the sender's question of this number.
    Answer(u64),
}

/// A reference inside a message, from the receiver's point of view.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Desc {
    /// An object that the sender exports.
    ImportObject(u64),
    /// A promise that the sender exports.
    ImportPromise(u64),
    /// Something the receiver exports.
    Export(u64),
    /// The answer to a question of the sender.
    Answer(u64),
    /// An object of a third peer's: the envelope of a [`Give`](super::Give).
    Give(Arc<[u8]>),
}

impl Desc {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let (label, &position) = match self {
            Self::Give(envelope) => return out.extend_from_slice(envelope),
            Self::ImportObject(position) => ("<18'desc:import-object", position),
            Self::ImportPromise(position) => ("<19'desc:import-promise", position),
            Self::Export(position) => ("<11'desc:export", position),
            Self::Answer(position) => ("<11'desc:answer", position),
        };
        out.extend_from_slice(label.as_bytes());
        out.put_uint(position);
        out.push(b'>');
    }

    /// Reads a descriptor; `None` if the record there is something else.
    fn read(cursor: &mut Cursor<'_>) -> Result<Option<Self>, SyrupError> {
        let at = cursor.position();
        // Compared as bytes: this is read for every call, several times.
        let make: fn(u64) -> Self = if cursor.eat(b"<11'desc:export") {
            Self::Export
        } else if cursor.eat(b"<11'desc:answer") {
            Self::Answer
        } else if cursor.eat(b"<18'desc:import-object") {
            Self::ImportObject
        } else if cursor.eat(b"<19'desc:import-promise") {
            Self::ImportPromise
        } else {
            return Ok(None);
        };
        let position = position(cursor)?;
        end_record(cursor, at)?;
        Ok(Some(make(position)))
    }
}

impl From<Target> for Desc {
    fn from(target: Target) -> Self {
        match target {
            Target::Export(position) => Self::Export(position),
            Target::Answer(position) => Self::Answer(position),
        }
    }
}

/// One received operation, borrowed from the message.
#[derive(Debug)]
pub(super) enum Op<'a> {
    StartSession(Box<StartSession<'a>>),
    Deliver {
        to: Target,
        args: Arguments<'a>,
        answer: Option<u64>,
        resolver: Option<u64>,
    },
    Listen {
        to: Target,
        resolver: u64,
    },
    /// What becomes of a promise, by the position of its resolver.
    Resolve {
        resolver: u64,
        broken: bool,
        value: Arguments<'a>,
    },
    /// Part of a value, as a new answer.
    Part {
        to: Target,
        kind: Part,
        /// The field's name, the index or the tag, as it stands in the message.
        key: &'a [u8],
        answer: u64,
    },
    GcExports(Vec<(u64, u64)>),
    GcAnswers(Vec<u64>),
    Abort(&'a str),
}

/// Which operation asks for a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// `op:get`: a dictionary's field.
    Field,
    /// `op:index`: a list's item.
    Item,
    /// `op:untag`: what is tagged.
    Tagged,
}

/// The selector of the message by which a Marotte peer asks for a part of a value.
pub(crate) const GET: &str = "marotte:get";
/// The selector of a message that asks for what is tagged.
pub(crate) const UNTAG: &str = "marotte:untag";

/// What a delivery carries.
#[derive(Debug)]
pub(super) struct Arguments<'a> {
    pub(super) selector: Option<&'a str>,
    /// The values behind the selector.
    pub(super) bytes: &'a [u8],
    /// The descriptors in them, in order.
    pub(super) descs: Vec<Desc>,
    /// How many values there are.
    pub(super) count: usize,
}

#[derive(Debug)]
pub(super) struct StartSession<'a> {
    pub(super) version: &'a str,
    pub(super) key: PublicKey,
    pub(super) location: Location,
    /// The location's bytes as received: what the signature covers, inside its wrapper.
    pub(super) location_bytes: &'a [u8],
    pub(super) signature: [u8; 64],
}

fn position(cursor: &mut Cursor<'_>) -> Result<u64, SyrupError> {
    if let Some(position) = cursor.eat_uint() {
        return Ok(position);
    }
    let at = cursor.position();
    match cursor.next()? {
        Token::Int(int) => int.to_u64().ok_or(SyrupError::Malformed {
            at,
            why: "a position must fit 64 bits",
        }),
        _ => Err(SyrupError::Malformed {
            at,
            why: "a position must be an integer",
        }),
    }
}

fn positions(cursor: &mut Cursor<'_>) -> Result<Vec<u64>, SyrupError> {
    // Goblins of 2024 wrote a bare position.
    if cursor.peek() != Some(b'[') {
        return Ok(vec![position(cursor)?]);
    }
    cursor.next()?;
    let mut all = Vec::new();
    while cursor.peek() != Some(b']') {
        all.push(position(cursor)?);
    }
    cursor.next()?;
    Ok(all)
}

fn end_record(cursor: &mut Cursor<'_>, at: usize) -> Result<(), SyrupError> {
    match cursor.next()? {
        Token::EndRecord => Ok(()),
        _ => Err(SyrupError::Malformed {
            at,
            why: "a record has too many fields",
        }),
    }
}

fn target(cursor: &mut Cursor<'_>) -> Result<Target, SyrupError> {
    let at = cursor.position();
    match Desc::read(cursor)? {
        Some(Desc::Export(position)) => Ok(Target::Export(position)),
        Some(Desc::Answer(position)) => Ok(Target::Answer(position)),
        _ => Err(SyrupError::Malformed {
            at,
            why: "a target must be desc:export or desc:answer",
        }),
    }
}

/// The list of arguments.
fn arguments<'a>(cursor: &mut Cursor<'a>, limits: &Limits) -> Result<Arguments<'a>, SyrupError> {
    let at = cursor.position();
    let Token::List = cursor.next()? else {
        return Err(SyrupError::Malformed {
            at,
            why: "arguments must be a list",
        });
    };
    let mut start = cursor.position();
    let mut selector = None;
    // Compared as bytes: every answer is one.
    if cursor.eat(b"7'fulfill") {
        selector = Some("fulfill");
        start = cursor.position();
    } else {
        let mut ahead = cursor.clone();
        if let Ok(Token::Symbol(name)) = ahead.next() {
            *cursor = ahead;
            selector = Some(name);
            start = cursor.position();
        }
    }
    let args = values(cursor, limits, start, |cursor, _| {
        cursor.peek() == Some(b']')
    })?;
    cursor.next()?;
    Ok(Arguments { selector, ..args })
}

/// The values from `start` on, until it is the end after so many.
fn values<'a>(
    cursor: &mut Cursor<'a>,
    limits: &Limits,
    start: usize,
    is_end: impl Fn(&Cursor<'a>, usize) -> bool,
) -> Result<Arguments<'a>, SyrupError> {
    let mut records = Vec::new();
    let mut count = 0;
    while !is_end(cursor, count) {
        count += 1;
        scan_records(cursor, limits, |at, label| {
            if label.starts_with("desc:") {
                if records.len() >= limits.max_references {
                    return Err(SyrupError::Limit {
                        at,
                        limit: "max_references",
                    });
                }
                records.push(at);
            }
            Ok(())
        })?;
    }
    let end = cursor.position();
    let mut descs = Vec::with_capacity(records.len());
    let mut next = start;
    for at in records {
        // Inside of the one before.
        if at < next {
            continue;
        }
        cursor.seek(at);
        if let Some(desc) = Desc::read(cursor)? {
            descs.push(desc);
        } else if cursor.eat(b"<17'desc:sig-envelope") {
            cursor.seek(at);
            if pass_envelope(cursor, limits)? {
                descs.push(Desc::Give(cursor.span(at, cursor.position()).into()));
            }
            next = cursor.position();
        }
    }
    cursor.seek(end);
    Ok(Arguments {
        selector: None,
        bytes: cursor.span(start, end),
        descs,
        count,
    })
}

/// Reads one message. The cursor ends behind it.
pub(super) fn parse<'a>(cursor: &mut Cursor<'a>, limits: &Limits) -> Result<Op<'a>, SyrupError> {
    let at = cursor.position();
    let malformed = |why| Err(SyrupError::Malformed { at, why });
    // Compared as bytes: nearly every message is one.
    let label = if cursor.eat(b"<10'op:deliver") {
        "op:deliver"
    } else {
        let (Token::Record, Token::Symbol(label)) = (cursor.next()?, cursor.next()?) else {
            return malformed("a message must be a record");
        };
        label
    };
    let op = match label {
        "op:deliver" | "op:deliver-only" => {
            let to = target(cursor)?;
            let args = arguments(cursor, limits)?;
            let mut op = Op::Deliver {
                to,
                args,
                answer: None,
                resolver: None,
            };
            if let (
                "op:deliver",
                Op::Deliver {
                    answer, resolver, ..
                },
            ) = (label, &mut op)
            {
                if cursor.peek() == Some(b'f') {
                    cursor.next()?;
                } else {
                    *answer = Some(position(cursor)?);
                }
                if cursor.peek() == Some(b'f') {
                    cursor.next()?;
                } else {
                    *resolver = Some(self::resolver(cursor)?);
                }
            }
            op
        }
        "op:listen" => {
            let to = target(cursor)?;
            let resolver = resolver(cursor)?;
            if cursor.peek() != Some(b'>') && !matches!(cursor.next()?, Token::Bool(_)) {
                return malformed("wants-partial must be a boolean");
            }
            Op::Listen { to, resolver }
        }
        "op:resolve" | "op:break" => {
            let Target::Export(resolver) = target(cursor)? else {
                return malformed("a resolver must be exported");
            };
            let start = cursor.position();
            Op::Resolve {
                resolver,
                broken: label == "op:break",
                value: values(cursor, limits, start, |_, count| count == 1)?,
            }
        }
        "op:get" => part(cursor, Part::Field)?,
        "op:index" => part(cursor, Part::Item)?,
        "op:untag" => part(cursor, Part::Tagged)?,
        "op:gc-exports" | "op:gc-export" => {
            let (at, deltas) = (positions(cursor)?, positions(cursor)?);
            if at.len() != deltas.len() {
                return malformed("positions and deltas differ in number");
            }
            Op::GcExports(at.into_iter().zip(deltas).collect())
        }
        "op:gc-answers" | "op:gc-answer" => Op::GcAnswers(positions(cursor)?),
        "op:abort" => match cursor.next()? {
            Token::Str(reason) => Op::Abort(reason),
            _ => return malformed("a reason must be a string"),
        },
        "op:start-session" => {
            let Token::Str(version) = cursor.next()? else {
                return malformed("a version must be a string");
            };
            let key = PublicKey::read(cursor)?;
            let start = cursor.position();
            let location = Location::read(cursor)?;
            let location_bytes = cursor.span(start, cursor.position());
            let signature = read_signature(cursor)?;
            Op::StartSession(Box::new(StartSession {
                version,
                key,
                location,
                location_bytes,
                signature,
            }))
        }
        _ => return malformed("an operation that is not known here"),
    };
    end_record(cursor, at)?;
    Ok(op)
}

/// What stands behind the label of `op:get`, `op:index` or `op:untag`.
fn part<'a>(cursor: &mut Cursor<'a>, kind: Part) -> Result<Op<'a>, SyrupError> {
    let to = target(cursor)?;
    let at = cursor.position();
    let is_key = match (kind, cursor.next()?) {
        (Part::Field | Part::Tagged, Token::Str(_)) => true,
        (Part::Item, Token::Int(index)) => index.to_u64().is_some(),
        _ => false,
    };
    if !is_key {
        return Err(SyrupError::Malformed {
            at,
            why: "a field's name or a tag must be a string, an index an integer from 0",
        });
    }
    let key = cursor.span(at, cursor.position());
    let answer = position(cursor)?;
    Ok(Op::Part {
        to,
        kind,
        key,
        answer,
    })
}

/// The position of a resolver that the sender exports.
fn resolver(cursor: &mut Cursor<'_>) -> Result<u64, SyrupError> {
    let at = cursor.position();
    match Desc::read(cursor)? {
        Some(Desc::ImportObject(position) | Desc::ImportPromise(position)) => Ok(position),
        _ => Err(SyrupError::Malformed {
            at,
            why: "a resolver must be imported",
        }),
    }
}
