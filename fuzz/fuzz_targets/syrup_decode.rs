//! Any bytes: the scan, the cursor and the reader must agree, and none may panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use marotte::Limits;
use marotte::passable::Builder;
use marotte::syrup::{Cursor, SyrupError, Token, Writer, scan};
use marotte::transport::Deframer;

/// Writes a token back. Every token but a float has one encoding only, and so has each float.
fn write(token: Token<'_>, out: &mut Vec<u8>) {
    match token {
        Token::Bool(value) => out.put_bool(value),
        Token::Int(int) => match int.to_i128() {
            Some(small) => out.put_int(small),
            None => out.put_digits(int.negative, int.digits),
        },
        Token::Float(value) => out.put_float(value),
        Token::Bytes(value) => out.put_bytes(value),
        Token::Str(value) => out.put_str(value),
        Token::Symbol(value) => out.put_symbol(value),
        Token::List => out.push(b'['),
        Token::EndList => out.push(b']'),
        Token::Dict => out.push(b'{'),
        Token::EndDict => out.push(b'}'),
        Token::Record => out.push(b'<'),
        Token::EndRecord => out.push(b'>'),
        Token::Hole => unreachable!("a scan lets no hole pass"),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits {
        max_depth: 16,
        max_digits: 100,
        ..Limits::default()
    };
    let mut cursor = Cursor::new(bytes).max_digits(limits.max_digits);
    match scan(&mut cursor, &limits) {
        Ok(()) => {
            let value = cursor.span(0, cursor.position());
            // Token by token, the value is written again as it was read.
            let mut cursor = Cursor::new(value);
            let mut again = Vec::new();
            while !cursor.is_empty() {
                write(cursor.next().expect("the scan accepted it"), &mut again);
            }
            assert_eq!(again, value);
            // A prefix is never a value of its own.
            if let Some((_, shorter)) = value.split_last() {
                let cut = scan(&mut Cursor::new(shorter), &limits);
                assert!(matches!(cut, Err(SyrupError::Incomplete { .. })), "{cut:?}");
            }
        }
        Err(SyrupError::Incomplete { needed }) => assert!(needed > bytes.len()),
        Err(_) => {}
    }

    // As the content of a passable, with two references.
    let mut builder = Builder::default();
    builder.reference(1);
    builder.bytes(bytes);
    builder.reference(2);
    let mut reader = builder.view().reader();
    while !reader.is_empty() {
        reader.next().expect("a builder writes what a reader reads");
    }

    // As a stream, in pieces: the pieces must not matter.
    let limits = Limits {
        max_message_bytes: 1 << 16,
        ..limits
    };
    let cut = |size: usize| {
        let mut deframer = Deframer::new(limits.clone());
        let mut messages = Vec::new();
        for piece in bytes.chunks(size) {
            let mut keep = |message: &[u8]| {
                messages.push(message.to_vec());
                Ok(())
            };
            if deframer.feed(piece, &mut keep).is_err() {
                return (messages, true);
            }
        }
        (messages, false)
    };
    let whole = cut(bytes.len().max(1));
    for size in [1, 3, 7] {
        assert_eq!(cut(size), whole, "in pieces of {size}");
    }
});
