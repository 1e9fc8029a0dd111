//! Reading passables.

use super::View;
use crate::locator::SturdyRef;
use crate::syrup::{Cursor, Int, NULL, Record, SyrupError, Token, pass_reference};

/// One step of reading a value. Containers come as an opening and a closing item.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Item<'a, R> {
    /// `<null>`.
    Null,
    /// `<void>`: undefined.
    Void,
    /// A truth value.
    Bool(bool),
    /// An integer of any size.
    Int(Int<'a>),
    /// A double.
    Float(f64),
    /// Text; also a dictionary's key.
    Str(&'a str),
    /// A symbol.
    Symbol(&'a str),
    /// A byte array.
    Bytes(&'a [u8]),
    /// An error's message.
    Error(&'a str),
    /// A reference that can be written down, passed as such: nothing is fetched. The bytes are for
    /// [`SturdyRef::from_record`].
    SturdyRef(&'a [u8]),
    /// A reference.
    Ref(&'a R),
    /// A list opens.
    List,
    /// A list closes.
    EndList,
    /// A dictionary opens.
    Dict,
    /// A dictionary closes.
    EndDict,
}

/// Why a value cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The bytes are not Syrup.
    #[error(transparent)]
    Syrup(#[from] SyrupError),
    /// A record that this version does not understand.
    #[error("a {label} record is not understood here")]
    UnknownRecord {
        /// The record's label.
        label: String,
    },
    /// Descriptors and references do not match, or a record has the wrong fields.
    #[error("{0}")]
    Shape(&'static str),
}

/// Reads the values of a [`View`] item by item.
///
/// ```
/// use marotte::passable::{Builder, Item};
/// let mut builder = Builder::<()>::default();
/// builder.str("hi");
/// let mut reader = builder.view().reader();
/// assert_eq!(reader.next().unwrap(), Item::Str("hi"));
/// assert!(reader.is_empty());
/// ```
#[derive(Debug)]
pub struct Reader<'a, R> {
    cursor: Cursor<'a>,
    refs: std::slice::Iter<'a, R>,
}

impl<R> Clone for Reader<'_, R> {
    fn clone(&self) -> Self {
        Self {
            cursor: self.cursor.clone(),
            refs: self.refs.clone(),
        }
    }
}

impl<'a, R> Reader<'a, R> {
    pub(super) fn new(view: View<'a, R>) -> Self {
        Self {
            // The receive limit was applied when the message was scanned.
            cursor: Cursor::new(view.bytes).max_digits(view.bytes.len()),
            refs: view.refs.iter(),
        }
    }

    /// True when every value was read.
    pub fn is_empty(&self) -> bool {
        self.cursor.is_empty()
    }

    /// True if a closing bracket is next.
    pub fn at_end_of_container(&self) -> bool {
        matches!(self.cursor.peek(), Some(b']' | b'}'))
    }

    /// True if null or undefined is next; nothing is read.
    pub fn at_null(&self) -> bool {
        matches!(self.clone().next(), Ok(Item::Null | Item::Void))
    }

    /// Reads one whole value, and shows it by itself.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn value(&mut self) -> Result<View<'a, R>, ReadError> {
        let (start, refs) = (self.cursor.position(), self.refs.as_slice());
        let mut depth = 0_usize;
        loop {
            match self.next()? {
                Item::List | Item::Dict => depth += 1,
                Item::EndList | Item::EndDict => {
                    depth = depth
                        .checked_sub(1)
                        .ok_or(ReadError::Shape("a bracket closes what was not opened"))?;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
        let used = refs.len() - self.refs.len();
        Ok(View {
            bytes: self.cursor.span(start, self.cursor.position()),
            refs: &refs[..used],
        })
    }

    /// The values that were not read yet.
    pub fn rest(&self) -> View<'a, R> {
        View {
            bytes: self.cursor.rest(),
            refs: self.refs.as_slice(),
        }
    }

    /// Reads the next item.
    ///
    /// # Errors
    /// [`ReadError`]; the reader is then of no further use.
    // Named as the field does; an iterator would hide the errors' stickiness.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Item<'a, R>, ReadError> {
        // Compared as bytes: it is the most frequent record, and a whole one.
        if self.cursor.eat(NULL) {
            return Ok(Item::Null);
        }
        Ok(match self.cursor.next()? {
            Token::Bool(value) => Item::Bool(value),
            Token::Int(value) => Item::Int(value),
            Token::Float(value) => Item::Float(value),
            Token::Bytes(value) => Item::Bytes(value),
            Token::Str(value) => Item::Str(value),
            Token::Symbol(value) => Item::Symbol(value),
            Token::List => Item::List,
            Token::EndList => Item::EndList,
            Token::Dict => Item::Dict,
            Token::EndDict => Item::EndDict,
            Token::Hole => self.reference()?,
            Token::Record => return self.record(),
            Token::EndRecord => return Err(ReadError::Shape("a record ends where none began")),
        })
    }

    fn reference(&mut self) -> Result<Item<'a, R>, ReadError> {
        self.refs
            .next()
            .map(Item::Ref)
            .ok_or(ReadError::Shape("more references than descriptors"))
    }

    fn record(&mut self) -> Result<Item<'a, R>, ReadError> {
        // Behind the bracket, which was read.
        let start = self.cursor.position() - 1;
        let Token::Symbol(label) = self.cursor.next()? else {
            return Err(ReadError::Shape("a record's label must be a symbol"));
        };
        if let Record::Reference = pass_reference(&mut self.cursor, label)? {
            return self.reference();
        }
        let item = match label {
            "null" => Item::Null,
            "void" => Item::Void,
            "desc:error" => {
                let Token::Str(message) = self.cursor.next()? else {
                    return Err(ReadError::Shape("an error's message must be a string"));
                };
                // Peers may add fields (the drafts differ); only the message is kept.
                self.skip_fields()?;
                Item::Error(message)
            }
            "ocapn-sturdyref" => {
                SturdyRef::read_fields(&mut self.cursor)?;
                let Token::EndRecord = self.cursor.next()? else {
                    return Err(ReadError::Shape("a record has too many fields"));
                };
                return Ok(Item::SturdyRef(
                    self.cursor.span(start, self.cursor.position()),
                ));
            }
            "exn:fail:mystery" => Item::Error("the far side keeps its reasons to itself"),
            label => {
                return Err(ReadError::UnknownRecord {
                    label: label.to_owned(),
                });
            }
        };
        match self.cursor.next()? {
            Token::EndRecord => Ok(item),
            _ => Err(ReadError::Shape("a record has too many fields")),
        }
    }
    /// Skips what is left of a record, and the references in it.
    fn skip_fields(&mut self) -> Result<(), ReadError> {
        let mut depth = 0_usize;
        while depth > 0 || self.cursor.peek() != Some(b'>') {
            match self.cursor.next()? {
                Token::Hole => {
                    self.reference()?;
                }
                Token::Record => {
                    let Token::Symbol(label) = self.cursor.next()? else {
                        return Err(ReadError::Shape("a record's label must be a symbol"));
                    };
                    match pass_reference(&mut self.cursor, label)? {
                        Record::Reference => {
                            self.reference()?;
                        }
                        Record::Sealed => {}
                        Record::Other => depth += 1,
                    }
                }
                Token::List | Token::Dict => depth += 1,
                Token::EndList | Token::EndDict | Token::EndRecord => {
                    depth = depth
                        .checked_sub(1)
                        .ok_or(ReadError::Shape("a bracket closes what was not opened"))?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}
