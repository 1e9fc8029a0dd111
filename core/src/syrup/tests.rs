//! The codec against golden bytes, hostile bytes and random bytes.

pub(crate) mod tree;

use proptest::prelude::*;
use serde_json::Value as Json;

use self::tree::{Tree, any_tree, unhex};
use super::{Cursor, Int, SyrupError, Token, Writer, scan};
use crate::Limits;

const VALUES: &str = include_str!("../../../tests/vectors/syrup/values.json");
const REJECTS: &str = include_str!("../../../tests/vectors/syrup/rejects.json");

fn vectors(text: &str) -> Vec<(String, Vec<u8>, Json)> {
    let rows: Vec<Json> = serde_json::from_str(text).unwrap();
    let field = |row: &Json, name: &str| row[name].as_str().unwrap().to_owned();
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                field(row, "name"),
                unhex(&field(row, "hex")),
                row["value"].clone(),
            )
        })
        .collect();
    assert!(rows.len() > 20, "the vectors were read");
    rows
}

/// Checks one whole value; the bytes must end with it.
fn scan_all(bytes: &[u8]) -> Result<(), SyrupError> {
    let mut cursor = Cursor::new(bytes);
    scan(&mut cursor, &Limits::default())?;
    assert_eq!(
        cursor.position(),
        bytes.len(),
        "bytes are left over: {}",
        bytes.escape_ascii()
    );
    Ok(())
}

fn limits(max_depth: usize) -> Limits {
    Limits {
        max_depth,
        ..Limits::default()
    }
}

/// A value of every kind, nested in every kind of container.
fn menagerie() -> Vec<u8> {
    let mut out = Vec::new();
    out.put_record("zoo", |out| {
        out.put_str("Grand M\u{e9}nagerie");
        out.put_list(|out| {
            out.put_int(-34);
            out.put_float(8.2);
            out.put_bool(true);
            out.extend_from_slice(b"{3\"age12+4\"name7\"Tabatha}");
            out.put_bytes(b"\x00\xff");
            out.put_symbol("monkey");
        });
    });
    out
}

// Golden bytes.

#[test]
fn every_vector_is_written_byte_for_byte() {
    for (name, bytes, value) in vectors(VALUES) {
        let written = Tree::from_json(&value).encode();
        assert_eq!(
            written.escape_ascii().to_string(),
            bytes.escape_ascii().to_string(),
            "{name}"
        );
    }
}

#[test]
fn every_vector_is_read_as_its_value() {
    for (name, bytes, value) in vectors(VALUES) {
        let mut cursor = Cursor::new(&bytes);
        assert_eq!(
            Tree::read(&mut cursor).unwrap(),
            Tree::from_json(&value),
            "{name}"
        );
        assert!(cursor.is_empty(), "{name}");
    }
}

#[test]
fn every_vector_passes_the_scan_whole() {
    for (name, bytes, _) in vectors(VALUES) {
        assert_eq!(scan_all(&bytes), Ok(()), "{name}");
    }
}

#[test]
fn unsorted_keys_are_read_and_written_again_in_order() {
    let unsorted = b"{4\"port2+2\"aa1+1\"b3+}";
    scan_all(unsorted).unwrap();
    let tree = Tree::read(&mut Cursor::new(unsorted)).unwrap();
    assert_eq!(tree.encode(), b"{1\"b3+2\"aa1+4\"port2+}");
}

// What must be refused.

#[test]
fn every_reject_is_refused_for_good() {
    for (name, bytes, _) in vectors(REJECTS) {
        match scan_all(&bytes) {
            Err(SyrupError::Malformed { at, .. }) => assert!(at < bytes.len(), "{name}: at {at}"),
            // "Incomplete" would leave a reader waiting for bytes that cannot help.
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn rejects_are_refused_inside_containers_too() {
    for (name, bytes, _) in vectors(REJECTS) {
        let mut nested = b"<3'foo{1\"k[".to_vec();
        nested.extend_from_slice(&bytes);
        // A bracket that was stray may close what was opened here; then these are stray.
        nested.extend_from_slice(b"]}>$");
        let result = scan(&mut Cursor::new(&nested), &Limits::default());
        assert!(
            matches!(result, Err(SyrupError::Malformed { .. })),
            "{name}: {result:?}"
        );
    }
}

#[test]
fn empty_input_is_incomplete() {
    assert_eq!(scan_all(b""), Err(SyrupError::Incomplete { needed: 1 }));
}

#[test]
fn every_truncation_of_a_message_is_incomplete_and_says_how_much_is_needed() {
    let whole = menagerie();
    scan_all(&whole).unwrap();
    for len in 0..whole.len() {
        let Err(SyrupError::Incomplete { needed }) = scan_all(&whole[..len]) else {
            panic!("cut to {len} bytes");
        };
        assert!(
            len < needed && needed <= whole.len(),
            "cut to {len}, {needed} needed"
        );
    }
}

#[test]
fn every_truncation_of_a_vector_is_incomplete() {
    for (name, bytes, _) in vectors(VALUES) {
        for len in 0..bytes.len() {
            let result = scan_all(&bytes[..len]);
            assert!(
                matches!(result, Err(SyrupError::Incomplete { .. })),
                "{name} cut to {len}"
            );
        }
    }
}

#[test]
fn a_length_prefix_that_promises_the_world_allocates_nothing() {
    let result = scan_all(b"9999999999:x");
    assert_eq!(
        result,
        Err(SyrupError::Incomplete {
            needed: 10_000_000_010
        })
    );
}

#[test]
fn a_length_prefix_of_eleven_digits_passes_a_limit() {
    for mark in [':', '"', '\''] {
        let result = scan_all(format!("10000000000{mark}x").as_bytes());
        assert_eq!(
            result,
            Err(SyrupError::Limit {
                at: 0,
                limit: "max_message_bytes"
            })
        );
    }
}

// Limits.

#[test]
fn nesting_is_bounded_for_every_kind_of_container() {
    for (open, close) in [("[", "]"), ("{1\"k", "}"), ("<1'r", ">")] {
        let nested = |n: usize| format!("{}1+{}", open.repeat(n), close.repeat(n));
        let check = |n| scan(&mut Cursor::new(nested(n).as_bytes()), &limits(5));
        assert_eq!(check(5), Ok(()), "{open}");
        let at = 5 * open.len();
        assert_eq!(
            check(6),
            Err(SyrupError::Limit {
                at,
                limit: "max_depth"
            }),
            "{open}"
        );
    }
}

#[test]
fn a_million_brackets_overflow_no_stack() {
    let deep = "[".repeat(1_000_000);
    let result = scan(&mut Cursor::new(deep.as_bytes()), &limits(usize::MAX));
    assert_eq!(result, Err(SyrupError::Incomplete { needed: 1_000_001 }));
}

#[test]
fn digits_of_an_integer_are_bounded() {
    let read = |digits: usize, max: usize| {
        let bytes = format!("{}+", "7".repeat(digits));
        Cursor::new(bytes.as_bytes())
            .max_digits(max)
            .next()
            .map(|_| ())
    };
    assert_eq!(read(8, 8), Ok(()));
    assert_eq!(
        read(9, 8),
        Err(SyrupError::Limit {
            at: 0,
            limit: "max_digits"
        })
    );
    assert_eq!(read(10_000, 10_000), Ok(()));
}

#[test]
fn endless_digits_are_refused_before_they_end() {
    let result = Cursor::new(b"12345678901")
        .max_digits(10)
        .next()
        .map(|_| ());
    assert_eq!(
        result,
        Err(SyrupError::Limit {
            at: 0,
            limit: "max_digits"
        })
    );
}

#[test]
fn a_limit_of_no_limit_is_legal() {
    // The window of digits must not wrap around.
    let mut cursor = Cursor::new(b"42+").max_digits(usize::MAX);
    assert_eq!(
        cursor.next(),
        Ok(Token::Int(Int {
            negative: false,
            digits: "42"
        }))
    );
}

// Details.

#[test]
fn keys_of_nested_dictionaries_are_kept_apart() {
    scan_all(b"{1\"a{1\"a1+1\"b1+}1\"b{1\"b1+1\"a1+}1\"c1+}").unwrap();
    // Inner keys in disorder must not hide a duplicate outside.
    let twice = b"{1\"b{1\"z1+1\"a1+}1\"a1+1\"b1+}";
    assert!(matches!(scan_all(twice), Err(SyrupError::Malformed { .. })));
}

#[test]
fn a_string_and_a_symbol_are_different_keys() {
    scan_all(b"{1\"a1+1'a2+1:a3+}").unwrap();
}

#[test]
fn a_scan_stops_behind_the_value() {
    let mut cursor = Cursor::new(b"[1+]2+");
    scan(&mut cursor, &Limits::default()).unwrap();
    assert_eq!(cursor.position(), 4);
    scan(&mut cursor, &Limits::default()).unwrap();
    assert!(cursor.is_empty());
}

#[test]
fn integers_convert_at_the_edges_of_their_types() {
    let int = |text: &str| match Cursor::new(text.as_bytes()).next() {
        Ok(Token::Int(Int { negative, digits })) => (negative, digits.to_owned()),
        other => panic!("{other:?}"),
    };
    let check = |value: i128| {
        let (negative, digits) =
            int(std::str::from_utf8(&Tree::Int(value.to_string()).encode()).unwrap());
        let int = Int {
            negative,
            digits: &digits,
        };
        assert_eq!(int.to_i128(), Some(value));
        assert_eq!(int.to_i64(), i64::try_from(value).ok());
        assert_eq!(int.to_u64(), u64::try_from(value).ok());
    };
    let edges = [
        0,
        i128::from(i64::MAX),
        i128::from(i64::MIN),
        i128::from(u64::MAX),
        i128::MAX,
        i128::MIN,
    ];
    for edge in edges {
        check(edge);
        check(edge.saturating_sub(1));
        check(edge.saturating_add(1));
    }
    // One too many for 128 bits.
    let (negative, digits) = int("170141183460469231731687303715884105728+");
    assert_eq!(
        Int {
            negative,
            digits: &digits
        }
        .to_i128(),
        None
    );
    let (negative, digits) = int("170141183460469231731687303715884105729-");
    assert_eq!(
        Int {
            negative,
            digits: &digits
        }
        .to_i128(),
        None
    );
}

#[test]
fn every_nan_is_written_as_the_canonical_one() {
    for bits in [
        0x7ff8_0000_0000_0000,
        0xfff8_0000_0000_0001,
        0x7ff0_0000_0000_0001,
    ] {
        let mut out = Vec::new();
        out.put_float(f64::from_bits(bits));
        assert_eq!(out, b"D\x7f\xf8\0\0\0\0\0\0");
    }
}

// Random input.

proptest! {
    #[test]
    fn any_value_survives_a_round_trip(tree in any_tree()) {
        let bytes = tree.encode();
        scan_all(&bytes).unwrap();
        let mut cursor = Cursor::new(&bytes);
        prop_assert_eq!(&Tree::read(&mut cursor).unwrap(), &tree);
        prop_assert!(cursor.is_empty());
    }

    #[test]
    fn any_value_cut_short_is_incomplete(tree in any_tree(), cut in any::<prop::sample::Index>()) {
        let bytes = tree.encode();
        let len = cut.index(bytes.len());
        let incomplete = matches!(scan_all(&bytes[..len]), Err(SyrupError::Incomplete { .. }));
        prop_assert!(incomplete);
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = scan(&mut Cursor::new(&bytes), &limits(8));
    }

    #[test]
    fn random_marks_never_panic_and_what_passes_is_read(text in "[0-3+\\-:\"'<>{}\\[\\]tfD&a ]{0,24}") {
        let mut cursor = Cursor::new(text.as_bytes());
        if scan(&mut cursor, &limits(8)).is_ok() {
            let end = cursor.position();
            // Keys may be symbols or bytes, which the tree has no place for.
            let mut cursor = Cursor::new(text.as_bytes());
            if let Ok(tree) = Tree::read(&mut cursor) {
                prop_assert_eq!(cursor.position(), end);
                let again = tree.encode();
                prop_assert_eq!(Tree::read(&mut Cursor::new(&again)).unwrap(), tree);
            }
        }
    }

    #[test]
    fn one_flipped_byte_never_panics(
        tree in any_tree(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = tree.encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = scan(&mut Cursor::new(&bytes), &Limits::default());
        let _ = Tree::read(&mut Cursor::new(&bytes));
    }
}
