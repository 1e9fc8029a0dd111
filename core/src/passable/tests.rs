//! Builder and reader: what one writes the other reads, and references keep their places.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Builder, DuplicateKey, Item, Passable, ReadError, Reader, View};
use crate::Limits;
use crate::syrup::tests::tree::{NAN, any_text, encoded_key};
use crate::syrup::{Cursor, HOLE, scan};

/// A value as hosts know them, with numbers for references.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Null,
    Void,
    Bool(bool),
    Int(String),
    Float(u64),
    Bytes(Vec<u8>),
    Str(String),
    Symbol(String),
    Error(String),
    Ref(u32),
    List(Vec<Self>),
    /// In the order in which the host gives its entries, which is any.
    Dict(Vec<(String, Self)>),
}

impl Value {
    fn build(&self, out: &mut Builder<u32>) {
        match self {
            Self::Null => out.null(),
            Self::Void => out.void(),
            Self::Bool(value) => out.bool(*value),
            Self::Int(decimal) => assert!(out.integer(decimal)),
            Self::Float(bits) => out.float(f64::from_bits(*bits)),
            Self::Bytes(value) => out.bytes(value),
            Self::Str(value) => out.str(value),
            Self::Symbol(value) => out.symbol(value),
            Self::Error(message) => out.error(message),
            Self::Ref(reference) => out.reference(*reference),
            Self::List(items) => {
                out.begin_list();
                items.iter().for_each(|item| item.build(out));
                out.end_list();
            }
            Self::Dict(pairs) => {
                out.begin_dict();
                for (key, value) in pairs {
                    out.key(key);
                    value.build(out);
                }
                out.end_dict().unwrap();
            }
        }
    }

    /// The same value with every dictionary in canonical order.
    fn sorted(&self) -> Self {
        match self {
            Self::List(items) => Self::List(items.iter().map(Self::sorted).collect()),
            Self::Dict(pairs) => {
                let mut pairs: Vec<_> = pairs
                    .iter()
                    .map(|(key, value)| (key.clone(), value.sorted()))
                    .collect();
                pairs.sort_by_key(|(key, _)| encoded_key(key));
                Self::Dict(pairs)
            }
            other => other.clone(),
        }
    }

    fn read(reader: &mut Reader<'_, u32>) -> Result<Self, ReadError> {
        Ok(match reader.next()? {
            Item::Null => Self::Null,
            Item::Void => Self::Void,
            Item::Bool(value) => Self::Bool(value),
            Item::Int(int) => Self::Int(format!(
                "{}{}",
                if int.negative { "-" } else { "" },
                int.digits
            )),
            Item::Float(value) => Self::Float(value.to_bits()),
            Item::Str(value) => Self::Str(value.to_owned()),
            Item::Symbol(value) => Self::Symbol(value.to_owned()),
            Item::Bytes(value) => Self::Bytes(value.to_vec()),
            Item::Error(message) => Self::Error(message.to_owned()),
            Item::Ref(reference) => Self::Ref(*reference),
            Item::SturdyRef(_) => return Err(ReadError::Shape("not made here")),
            Item::List => {
                let mut items = Vec::new();
                while !reader.at_end_of_container() {
                    items.push(Self::read(reader)?);
                }
                assert_eq!(reader.next()?, Item::EndList);
                Self::List(items)
            }
            Item::Dict => {
                let mut pairs = Vec::new();
                while !reader.at_end_of_container() {
                    let Item::Str(key) = reader.next()? else {
                        return Err(ReadError::Shape("a key must be a string"));
                    };
                    pairs.push((key.to_owned(), Self::read(reader)?));
                }
                assert_eq!(reader.next()?, Item::EndDict);
                Self::Dict(pairs)
            }
            Item::EndList | Item::EndDict => return Err(ReadError::Shape("stray bracket")),
        })
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        Just(Value::Void),
        any::<bool>().prop_map(Value::Bool),
        "0|-?[1-9][0-9]{0,50}".prop_map(Value::Int),
        any::<f64>().prop_map(|f| Value::Float(if f.is_nan() { NAN } else { f.to_bits() })),
        prop::collection::vec(any::<u8>(), 0..12).prop_map(Value::Bytes),
        any_text().prop_map(Value::Str),
        any_text().prop_map(Value::Symbol),
        any_text().prop_map(Value::Error),
        any::<u32>().prop_map(Value::Ref),
        any::<u32>().prop_map(Value::Ref),
    ];
    leaf.prop_recursive(4, 40, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::List),
            prop::collection::hash_map(any_text(), inner, 0..8)
                .prop_map(|map| Value::Dict(map.into_iter().collect())),
        ]
    })
}

fn built(write: impl FnOnce(&mut Builder<u32>)) -> Passable<u32> {
    let mut builder = Builder::default();
    write(&mut builder);
    builder.finish()
}

fn items<'a>(bytes: &'a [u8], refs: &'a [u32]) -> Result<Vec<Item<'a, u32>>, ReadError> {
    let mut reader = View { bytes, refs }.reader();
    let mut items = Vec::new();
    while !reader.is_empty() {
        items.push(reader.next()?);
    }
    Ok(items)
}

proptest! {
    #[test]
    fn any_values_are_read_as_they_were_written(values in prop::collection::vec(any_value(), 0..4)) {
        let passable = built(|out| values.iter().for_each(|value| value.build(out)));
        let mut reader = passable.view().reader();
        for value in &values {
            prop_assert_eq!(Value::read(&mut reader).unwrap(), value.sorted());
        }
        prop_assert!(reader.is_empty());
    }

    #[test]
    fn what_a_builder_writes_without_references_is_valid_syrup(value in any_value()) {
        let passable = built(|out| value.build(out));
        prop_assume!(passable.refs().is_empty());
        let mut cursor = Cursor::new(&passable.bytes);
        scan(&mut cursor, &Limits::default()).unwrap();
        prop_assert!(cursor.is_empty());
    }

    #[test]
    fn the_order_of_entries_does_not_show_in_the_bytes(
        map in prop::collection::hash_map(any_text(), any_value(), 0..8),
    ) {
        let ordered: BTreeMap<_, _> = map.clone().into_iter().collect();
        let one = built(|out| Value::Dict(map.into_iter().collect()).build(out));
        let other = built(|out| Value::Dict(ordered.into_iter().collect()).build(out));
        prop_assert_eq!(one.bytes, other.bytes);
        prop_assert_eq!(one.refs, other.refs);
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..48)) {
        let _ = items(&bytes, &[1, 2]);
    }

    #[test]
    fn random_records_never_panic(text in "(<4'null>|<4'void>|<10'desc:error1\"x|<11'desc:export|1\\+|<18'desc:import-object|>|\\[|\\]|&|\\{|\\}){0,8}") {
        let _ = items(text.as_bytes(), &[1, 2]);
    }
}

// Dictionaries.

#[test]
fn references_move_with_their_entries_when_a_dictionary_is_sorted() {
    let passable = built(|out| {
        out.reference(0);
        out.begin_dict();
        out.key("long key");
        out.begin_list();
        out.reference(1);
        out.str("&");
        out.reference(2);
        out.end_list();
        out.key("b");
        out.reference(3);
        out.key("a");
        out.int(7);
        out.end_dict().unwrap();
        out.reference(4);
    });
    assert_eq!(passable.bytes, b"&{1\"a7+1\"b&8\"long key[&1\"&&]}&");
    assert_eq!(passable.refs(), [0, 3, 1, 2, 4]);
}

#[test]
fn references_of_nested_dictionaries_move_twice() {
    let passable = built(|out| {
        out.begin_dict();
        out.key("z");
        out.begin_dict();
        out.key("y");
        out.reference(1);
        out.key("x");
        out.reference(2);
        out.end_dict().unwrap();
        out.key("a");
        out.reference(3);
        out.end_dict().unwrap();
    });
    assert_eq!(passable.bytes, b"{1\"a&1\"z{1\"x&1\"y&}}");
    assert_eq!(passable.refs(), [3, 2, 1]);
}

#[test]
fn a_key_given_twice_is_refused_in_any_order() {
    for keys in [&["a", "a"][..], &["a", "b", "a"], &["b", "a", "b"]] {
        let mut out = Builder::<()>::default();
        out.begin_dict();
        for key in keys {
            out.key(key);
            out.null();
        }
        assert_eq!(out.end_dict(), Err(DuplicateKey), "{keys:?}");
    }
}

#[test]
fn equal_keys_of_different_dictionaries_are_fine() {
    let mut out = Builder::<()>::default();
    out.begin_dict();
    out.key("a");
    out.begin_dict();
    out.key("a");
    out.null();
    assert_eq!(out.end_dict(), Ok(()));
    out.key("b");
    out.null();
    assert_eq!(out.end_dict(), Ok(()));
}

#[test]
fn a_cleared_builder_starts_afresh() {
    let mut out = Builder::default();
    out.begin_dict();
    out.key("never closed");
    out.reference(1);
    out.clear();
    out.begin_dict();
    out.key("b");
    out.reference(2);
    out.key("a");
    out.null();
    out.end_dict().unwrap();
    assert_eq!(out.view().bytes(), b"{1\"a<4'null>1\"b&}");
    assert_eq!(out.view().refs(), [2]);
}

// Integers.

#[test]
fn integers_of_any_size_are_written_in_their_shortest_form() {
    let write = |decimal: &str| {
        let mut out = Builder::<()>::default();
        let accepted = out.integer(decimal);
        (accepted, String::from_utf8(out.finish().bytes).unwrap())
    };
    for (decimal, wire) in [
        ("0", "0+"),
        ("-0", "0+"),
        ("000", "0+"),
        ("007", "7+"),
        ("-007", "7-"),
        (
            "340282366920938463463374607431768211456",
            "340282366920938463463374607431768211456+",
        ),
    ] {
        assert_eq!(write(decimal), (true, wire.to_owned()), "{decimal}");
    }
    for bad in ["", "-", "--1", "+1", "1.0", " 1", "1e5", "\u{663}"] {
        assert_eq!(write(bad), (false, String::new()), "{bad}");
    }
}

#[test]
fn an_integer_longer_than_the_default_limit_is_read_in_its_own_vat() {
    // Limits are for what peers send; a value of our own must come back whole.
    let digits = "9".repeat(20_000);
    let passable = built(|out| assert!(out.integer(&digits)));
    let Item::Int(int) = passable.view().reader().next().unwrap() else {
        panic!("no integer")
    };
    assert_eq!(int.digits, digits);
}

// Records.

#[test]
fn descriptors_and_holes_stand_for_references_in_order() {
    let bytes =
        b"<18'desc:import-object5+><19'desc:import-promise6+>&<11'desc:export0+><11'desc:answer9+>";
    let refs = [10, 11, 12, 13, 14];
    let expected: Vec<_> = refs.iter().map(Item::Ref).collect();
    assert_eq!(items(bytes, &refs).unwrap(), expected);
}

#[test]
fn more_descriptors_than_references_are_an_error() {
    assert!(matches!(items(b"&&", &[1]), Err(ReadError::Shape(_))));
}

#[test]
fn errors_of_every_dialect_are_read_by_their_message() {
    for bytes in [
        &b"<10'desc:error4\"oops>"[..],
        b"<10'desc:error4\"oops3:id!{}>",
        b"<10'desc:error4\"oops[[<3'foo>]]t>",
    ] {
        assert_eq!(items(bytes, &[]).unwrap(), [Item::Error("oops")]);
    }
    let Item::Error(_) = items(b"<16'exn:fail:mystery>", &[]).unwrap()[0] else {
        panic!("not an error");
    };
}

#[test]
fn references_inside_skipped_fields_of_an_error_are_not_mistaken_for_later_ones() {
    let bytes = b"[<10'desc:error1\"x[<11'desc:export7+>{1\"k<18'desc:import-object8+>}]><11'desc:export9+>]";
    let found = items(bytes, &[7, 8, 9]).unwrap();
    assert_eq!(
        found,
        [Item::List, Item::Error("x"), Item::Ref(&9), Item::EndList]
    );
}

#[test]
fn an_unknown_record_is_named() {
    let error = items(b"<11'desc:tagged1'x1+>", &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a desc:tagged record is not understood here"
    );
}

#[test]
fn malformed_records_are_refused() {
    for bytes in [
        &b"<4'null1+>"[..],
        b"<4\"null>",
        b"<>",
        b"<10'desc:error1+>",
        b"<10'desc:error>",
        b"<10'desc:error1\"x",
        b"<11'desc:export1+2+>",
        b">",
    ] {
        assert!(items(bytes, &[1]).is_err(), "{}", bytes.escape_ascii());
    }
}

#[test]
fn null_is_seen_ahead_without_being_read() {
    let view = View {
        bytes: b"<4'null>1+",
        refs: &[0_u8; 0],
    };
    let mut reader = view.reader();
    assert!(reader.at_null());
    assert_eq!(reader.next(), Ok(Item::Null));
    assert!(!reader.at_null());
}

#[test]
fn the_hole_is_no_byte_that_a_value_may_start_with() {
    // Else a received message could smuggle a reference in.
    assert!(scan(&mut Cursor::new(&[HOLE]), &Limits::default()).is_err());
}
