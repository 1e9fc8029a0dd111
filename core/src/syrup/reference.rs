//! Which records stand for references.

use super::{Cursor, SyrupError, Token};

/// What a record was found to be.
pub(crate) enum Record {
    /// A descriptor; the cursor stands behind it.
    Reference,
    /// A certificate whose insides are nobody's business here; the cursor stands behind it.
    Sealed,
    /// Anything else; the cursor has not moved.
    Other,
}

/// Looks at the record whose label was just read.
pub(crate) fn pass_reference(cursor: &mut Cursor<'_>, label: &str) -> Result<Record, SyrupError> {
    match label {
        "desc:import-object" | "desc:import-promise" | "desc:export" | "desc:answer" => {
            // The position, and the end.
            cursor.next()?;
            cursor.next()?;
            Ok(Record::Reference)
        }
        "desc:sig-envelope" => {
            let mut ahead = cursor.clone();
            let is_give = matches!(
                (ahead.next()?, ahead.next()?),
                (Token::Record, Token::Symbol("desc:handoff-give"))
            );
            let mut depth = 1_usize;
            while depth > 0 {
                match cursor.next()? {
                    Token::List | Token::Dict | Token::Record => depth += 1,
                    Token::EndList | Token::EndDict | Token::EndRecord => depth -= 1,
                    _ => {}
                }
            }
            Ok(if is_give {
                Record::Reference
            } else {
                Record::Sealed
            })
        }
        _ => Ok(Record::Other),
    }
}
