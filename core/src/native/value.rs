//! Any value that can be passed.

use std::collections::BTreeMap;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use super::reference::Reference;
use super::stash::{self, REFERENCE, Stashed};
use crate::error::RemoteError;
use crate::locator::SturdyRef;

/// A symbol: a name that is not text. Peers use them for constants.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(pub String);

/// Any value that can be passed, for code that does not know the type beforehand.
///
/// ```
/// use marotte::Value;
/// let value = Value::from(vec![Value::from(1), Value::from("two")]);
/// assert_eq!(value, Value::List(vec![Value::Int(1), Value::Str("two".into())]));
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub enum Value {
    /// Null, or JavaScript's undefined.
    #[default]
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer of up to 128 bits.
    Int(i128),
    /// A larger integer, in decimal.
    BigInt(String),
    /// A double.
    Float(f64),
    /// Text.
    Str(String),
    /// A symbol.
    Symbol(Symbol),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Self>),
    /// A dictionary with string keys.
    Dict(BTreeMap<String, Self>),
    /// A reference to an object, or a promise.
    Reference(Reference),
    /// A reference that can be written down, passed as such.
    SturdyRef(Box<SturdyRef>),
    /// An error, passed as a value.
    Error(RemoteError),
}

macro_rules! from {
    ($($type:ty => $variant:ident: $convert:expr),* $(,)?) => {
        $(impl From<$type> for Value {
            fn from(value: $type) -> Self {
                let convert: fn($type) -> _ = $convert;
                Self::$variant(convert(value))
            }
        })*
    };
}

from! {
    bool => Bool: |v| v,
    i32 => Int: i128::from,
    i64 => Int: i128::from,
    u64 => Int: i128::from,
    i128 => Int: |v| v,
    f64 => Float: |v| v,
    &str => Str: str::to_owned,
    String => Str: |v| v,
    Vec<u8> => Bytes: |v| v,
    Vec<Value> => List: |v| v,
    Reference => Reference: |v| v,
}

impl crate::Error {
    /// A failure whose reason is plain data, not an error: peers see just that value.
    ///
    /// # Errors
    /// If it is not passable, or holds references.
    ///
    /// ```
    /// use marotte::{Error, Symbol};
    /// let reason = Error::with_reason(&Symbol("cancelled".to_owned()))?;
    /// assert_eq!(reason.to_string(), "cancelled");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn with_reason<T: Serialize + ?Sized>(reason: &T) -> Result<Self, Self> {
        let value = super::ser::value(reason)?;
        if !value.refs().is_empty() {
            return Err(Self::Misuse(
                "a reason may hold no references: they belong to a connection".to_owned(),
            ));
        }
        Ok(super::host::reason(value.view()))
    }
}

impl Serialize for Symbol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        through_stash(Stashed::Symbol(self.0.clone()), serializer)
    }
}

fn through_stash<S: Serializer>(item: Stashed, serializer: S) -> Result<S::Ok, S::Error> {
    stash::put(item);
    let done = serializer.serialize_newtype_struct(REFERENCE, &());
    if stash::take().is_some() {
        return Err(serde::ser::Error::custom(
            "this value can be carried by marotte only",
        ));
    }
    done
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i128(*value),
            Self::BigInt(decimal) => through_stash(Stashed::BigInt(decimal.clone()), serializer),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Str(value) => serializer.serialize_str(value),
            Self::Symbol(symbol) => symbol.serialize(serializer),
            Self::Bytes(value) => serializer.serialize_bytes(value),
            Self::List(items) => serializer.collect_seq(items),
            Self::Dict(entries) => serializer.collect_map(entries),
            Self::Reference(reference) => reference.serialize(serializer),
            Self::SturdyRef(sturdy) => {
                through_stash(Stashed::SturdyRef((**sturdy).clone()), serializer)
            }
            Self::Error(error) => {
                through_stash(Stashed::Error(error.message.to_string()), serializer)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Symbol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Symbol(symbol) => Ok(symbol),
            _ => Err(D::Error::custom("expected a symbol")),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any passable value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Int(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(Value::BigInt(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Str(value.to_owned()))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(value.to_vec()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut dict = BTreeMap::new();
        while let Some((key, value)) = entries.next_entry()? {
            dict.insert(key, value);
        }
        Ok(Value::Dict(dict))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, other: D) -> Result<Value, D::Error> {
        Ok(match stash::take() {
            Some(Stashed::Reference(reference)) => Value::Reference(reference),
            Some(Stashed::Error(message)) => Value::Error(RemoteError::from_wire(&message)),
            Some(Stashed::Symbol(name)) => Value::Symbol(Symbol(name)),
            Some(Stashed::SturdyRef(sturdy)) => Value::SturdyRef(Box::new(sturdy)),
            Some(Stashed::BigInt(decimal)) => Value::BigInt(decimal),
            None => return Value::deserialize(other),
        })
    }
}
