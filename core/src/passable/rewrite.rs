//! Copying values with something else in the place of references and symbols.

use super::{Passable, ReadError, View};
use crate::syrup::{Cursor, HOLE, Record, Token, Writer, pass_reference};

/// What comes in the place of a reference or a symbol.
pub(crate) enum Instead<R> {
    Reference(R),
    Symbol(String),
    /// One whole value.
    Value(Passable<R>),
}

/// Something that may be replaced.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a, R> {
    Reference(&'a R),
    Symbol(&'a str),
}

/// Appends the values of `view` to `out`. `instead` is asked about every reference, for which it has
/// to give something, and every symbol, which stays if it gives nothing.
///
/// # Errors
/// If the bytes are malformed, or what `instead` has against a place. `out` is then of no use.
pub(crate) fn rewrite<R, E: From<ReadError>>(
    out: &mut Passable<R>,
    view: View<'_, R>,
    mut instead: impl FnMut(Place<'_, R>) -> Result<Option<Instead<R>>, E>,
) -> Result<(), E> {
    let shape = |why| E::from(ReadError::Shape(why));
    let syrup = |error| E::from(ReadError::Syrup(error));
    let mut cursor = Cursor::new(view.bytes).max_digits(view.bytes.len());
    let mut refs = view.refs.iter();
    let mut copied = 0;
    while !cursor.is_empty() {
        let at = cursor.position();
        let is_reference = match cursor.next().map_err(syrup)? {
            Token::Hole => true,
            Token::Record => {
                let Token::Symbol(label) = cursor.next().map_err(syrup)? else {
                    return Err(shape("a record's label must be a symbol"));
                };
                let record = pass_reference(&mut cursor, label).map_err(syrup)?;
                matches!(record, Record::Reference)
            }
            Token::Symbol(symbol) => {
                if let Some(new) = instead(Place::Symbol(symbol))? {
                    out.bytes.extend_from_slice(cursor.span(copied, at));
                    put(out, new);
                    copied = cursor.position();
                }
                false
            }
            _ => false,
        };
        if is_reference {
            let reference = refs
                .next()
                .ok_or_else(|| shape("more references than descriptors"))?;
            let new = instead(Place::Reference(reference))?
                .ok_or_else(|| shape("a reference must be replaced"))?;
            out.bytes.extend_from_slice(cursor.span(copied, at));
            put(out, new);
            copied = cursor.position();
        }
    }
    out.bytes
        .extend_from_slice(cursor.span(copied, view.bytes.len()));
    Ok(())
}

fn put<R>(out: &mut Passable<R>, new: Instead<R>) {
    match new {
        Instead::Reference(reference) => {
            out.bytes.push(HOLE);
            out.refs.push(reference);
        }
        Instead::Symbol(symbol) => out.bytes.put_symbol(&symbol),
        Instead::Value(value) => {
            out.bytes.extend_from_slice(&value.bytes);
            out.refs.extend(value.refs);
        }
    }
}
