//! Checking one value from end to end, without recursion and without building it.

use std::collections::HashSet;

use super::{Cursor, NULL, SyrupError, Token};
use crate::limits::Limits;

/// What a container still expects.
enum Open<'a> {
    List,
    /// True while the label is due.
    Record(bool),
    Dict(Keys<'a>),
}

/// The keys of one dictionary so far. Canonical input needs only the previous key; input in any
/// other order falls back to a set.
struct Keys<'a> {
    expects_key: bool,
    previous: &'a [u8],
    count: usize,
    seen: Option<HashSet<&'a [u8]>>,
    start: usize,
}

impl<'a> Keys<'a> {
    fn accept(&mut self, key: &'a [u8], all: &[&'a [u8]]) -> bool {
        self.count += 1;
        if self.seen.is_none() {
            if self.count == 1 || self.previous < key {
                self.previous = key;
                return true;
            }
            // Until now the keys were in order, so they are distinct.
            self.seen = Some(all[self.start..].iter().copied().collect());
        }
        self.seen.as_mut().is_none_or(|seen| seen.insert(key))
    }
}

/// Checks the value that `cursor` stands before and moves the cursor behind it.
///
/// Depth and digits are bounded by `limits`. Dictionary keys must be text or bytes and distinct;
/// a record's label must be a symbol.
///
/// # Errors
/// The first rule broken, with its offset.
///
/// ```
/// use marotte::syrup::{Cursor, scan};
/// let mut cursor = Cursor::new(b"[1+2\"hi]rest");
/// scan(&mut cursor, &marotte::Limits::default()).unwrap();
/// assert_eq!(cursor.position(), 8);
/// ```
pub fn scan(cursor: &mut Cursor<'_>, limits: &Limits) -> Result<(), SyrupError> {
    scan_records(cursor, limits, |_, _| Ok(()))
}

/// As [`scan`]; `record` is told of each record's offset and label on the way.
pub(crate) fn scan_records(
    cursor: &mut Cursor<'_>,
    limits: &Limits,
    mut record: impl FnMut(usize, &str) -> Result<(), SyrupError>,
) -> Result<(), SyrupError> {
    // The most frequent record, and a whole one.
    if cursor.eat(NULL) {
        return Ok(());
    }
    let mut record_at = 0;
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut keys: Vec<&[u8]> = Vec::new();
    loop {
        let at = cursor.position();
        let token = cursor.next()?;
        let malformed = |why| Err(SyrupError::Malformed { at, why });
        let closing = matches!(token, Token::EndList | Token::EndDict | Token::EndRecord);
        match open.last_mut() {
            Some(Open::Record(label @ true)) => {
                let Token::Symbol(name) = token else {
                    return malformed("a record's label must be a symbol");
                };
                *label = false;
                record(record_at, name)?;
                continue;
            }
            Some(Open::Dict(dict)) if !closing => {
                if dict.expects_key {
                    if !matches!(token, Token::Str(_) | Token::Symbol(_) | Token::Bytes(_)) {
                        return malformed("a dictionary's key must be text or bytes");
                    }
                    let key = cursor.span(at, cursor.position());
                    if !dict.accept(key, &keys) {
                        return malformed("a dictionary has one key twice");
                    }
                    keys.push(key);
                    dict.expects_key = false;
                    continue;
                }
                dict.expects_key = true;
            }
            _ => {}
        }
        match token {
            Token::List => open.push(Open::List),
            Token::Record => {
                record_at = at;
                open.push(Open::Record(true));
            }
            Token::Dict => open.push(Open::Dict(Keys {
                expects_key: true,
                previous: b"",
                count: 0,
                seen: None,
                start: keys.len(),
            })),
            Token::EndList | Token::EndRecord | Token::EndDict => match (open.pop(), token) {
                (Some(Open::List), Token::EndList)
                | (Some(Open::Record(false)), Token::EndRecord) => {}
                (Some(Open::Dict(dict)), Token::EndDict) if dict.expects_key => {
                    keys.truncate(dict.start);
                }
                _ => return malformed("a closing bracket without its opening one"),
            },
            Token::Hole => return malformed("no value starts with this byte"),
            _ => {}
        }
        if open.len() > limits.max_depth {
            return Err(SyrupError::Limit {
                at,
                limit: "max_depth",
            });
        }
        if open.is_empty() {
            return Ok(());
        }
    }
}
