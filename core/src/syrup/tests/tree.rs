//! Values as trees, which only tests need: to write them, to read them back and to invent them.

use proptest::prelude::*;
use serde_json::Value as Json;

use crate::syrup::{Cursor, SyrupError, Token, Writer};

/// One value. Two trees are equal if their canonical encodings are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tree {
    Bool(bool),
    /// Canonical decimal digits, behind a `-` if negative.
    Int(String),
    /// By its bits, so that the zeros differ and NaN equals itself.
    Float(u64),
    Bytes(Vec<u8>),
    Str(String),
    Symbol(String),
    List(Vec<Self>),
    /// Distinct keys, in canonical order.
    Dict(Vec<(String, Self)>),
    Record(String, Vec<Self>),
}

pub(crate) const NAN: u64 = 0x7ff8_0000_0000_0000;

/// A key as it stands on the wire, which is what dictionaries are sorted by.
pub(crate) fn encoded_key(key: &str) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_str(key);
    out
}

impl Tree {
    /// A dictionary of these pairs, brought into order.
    pub(crate) fn dict(mut pairs: Vec<(String, Self)>) -> Self {
        pairs.sort_by_key(|(key, _)| encoded_key(key));
        pairs.dedup_by(|one, other| one.0 == other.0);
        Self::Dict(pairs)
    }

    /// Writes the canonical encoding.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Bool(value) => out.put_bool(*value),
            Self::Int(decimal) => match decimal.parse() {
                Ok(small) => out.put_int(small),
                Err(_) => match decimal.strip_prefix('-') {
                    Some(digits) => out.put_digits(true, digits),
                    None => out.put_digits(false, decimal),
                },
            },
            Self::Float(bits) => out.put_float(f64::from_bits(*bits)),
            Self::Bytes(value) => out.put_bytes(value),
            Self::Str(value) => out.put_str(value),
            Self::Symbol(value) => out.put_symbol(value),
            Self::List(items) => {
                out.put_list(|out| items.iter().for_each(|item| item.write(out)));
            }
            Self::Dict(pairs) => {
                out.push(b'{');
                for (key, value) in pairs {
                    out.put_str(key);
                    value.write(out);
                }
                out.push(b'}');
            }
            Self::Record(label, fields) => {
                out.put_record(label, |out| {
                    fields.iter().for_each(|field| field.write(out))
                });
            }
        }
    }

    /// The canonical encoding.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// Reads one value; dictionaries may be in any order.
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Self, SyrupError> {
        let token = cursor.next()?;
        Self::read_from(token, cursor)
    }

    fn read_from(token: Token<'_>, cursor: &mut Cursor<'_>) -> Result<Self, SyrupError> {
        let at = cursor.position();
        let unexpected = Err(SyrupError::Malformed {
            at,
            why: "unexpected token",
        });
        Ok(match token {
            Token::Bool(value) => Self::Bool(value),
            Token::Int(int) => Self::Int(format!(
                "{}{}",
                if int.negative { "-" } else { "" },
                int.digits
            )),
            Token::Float(value) => Self::Float(value.to_bits()),
            Token::Bytes(value) => Self::Bytes(value.to_vec()),
            Token::Str(value) => Self::Str(value.to_owned()),
            Token::Symbol(value) => Self::Symbol(value.to_owned()),
            Token::List => Self::List(Self::read_until(Token::EndList, cursor)?),
            Token::Dict => {
                let mut pairs = Vec::new();
                loop {
                    match cursor.next()? {
                        Token::EndDict => break Self::dict(pairs),
                        Token::Str(key) => pairs.push((key.to_owned(), Self::read(cursor)?)),
                        _ => return unexpected,
                    }
                }
            }
            Token::Record => {
                let Token::Symbol(label) = cursor.next()? else {
                    return unexpected;
                };
                Self::Record(
                    label.to_owned(),
                    Self::read_until(Token::EndRecord, cursor)?,
                )
            }
            Token::EndList | Token::EndDict | Token::EndRecord | Token::Hole => return unexpected,
        })
    }

    fn read_until(end: Token<'_>, cursor: &mut Cursor<'_>) -> Result<Vec<Self>, SyrupError> {
        let mut items = Vec::new();
        loop {
            let token = cursor.next()?;
            if token == end {
                return Ok(items);
            }
            items.push(Self::read_from(token, cursor)?);
        }
    }

    /// The value described in `values.json`.
    pub(crate) fn from_json(json: &Json) -> Self {
        let (kind, content) = json.as_object().unwrap().iter().next().unwrap();
        let text = || content.as_str().unwrap().to_owned();
        let items = |list: &[Json]| list.iter().map(Self::from_json).collect();
        match kind.as_str() {
            "bool" => Self::Bool(content.as_bool().unwrap()),
            "int" => Self::Int(text()),
            "float" => Self::Float(u64::from_str_radix(&text(), 16).unwrap()),
            "bytes" => Self::Bytes(unhex(&text())),
            "str" => Self::Str(text()),
            "symbol" => Self::Symbol(text()),
            "list" => Self::List(items(content.as_array().unwrap())),
            "dict" => {
                let pair = |pair: &Json| {
                    (
                        pair[0].as_str().unwrap().to_owned(),
                        Self::from_json(&pair[1]),
                    )
                };
                Self::dict(content.as_array().unwrap().iter().map(pair).collect())
            }
            "record" => {
                let (label, fields) = content.as_array().unwrap().split_first().unwrap();
                Self::Record(label.as_str().unwrap().to_owned(), items(fields))
            }
            other => panic!("no such kind of value: {other}"),
        }
    }
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
}

/// Any value, with few enough levels and items that thousands can be tried.
pub(crate) fn any_tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Tree::Bool),
        any::<i128>().prop_map(|n| Tree::Int(n.to_string())),
        (-300_i64..300).prop_map(|n| Tree::Int(n.to_string())),
        "-?[1-9][0-9]{0,60}".prop_map(Tree::Int),
        any::<f64>().prop_map(|f| Tree::Float(if f.is_nan() { NAN } else { f.to_bits() })),
        proptest::collection::vec(any::<u8>(), 0..20).prop_map(Tree::Bytes),
        any_text().prop_map(Tree::Str),
        any_text().prop_map(Tree::Symbol),
    ];
    leaf.prop_recursive(5, 48, 8, |inner| {
        let items = proptest::collection::vec(inner.clone(), 0..8);
        prop_oneof![
            items.clone().prop_map(Tree::List),
            proptest::collection::vec((any_text(), inner), 0..8).prop_map(Tree::dict),
            (any_text(), items).prop_map(|(label, fields)| Tree::Record(label, fields)),
        ]
    })
}

/// Text that is short, so that equal keys happen, and now and then made of Syrup's own marks.
pub(crate) fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]{0,2}", "\\PC{0,12}", "[0-9+:\"'<>{}\\[\\]&tfD-]{0,6}"]
}
