//! From a passable into any serde type, without a tree between.

use std::sync::Arc;

use serde::de::value::{BorrowedStrDeserializer, UnitDeserializer};
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::Native;
use super::host::NativeVat;
use super::reference::Reference;
use super::stash::{self, REFERENCE, Stashed};
use crate::error::Error;
use crate::host::Ref;
use crate::locator::SturdyRef;
use crate::passable::{Item, ReadError, Reader};

/// Reads one value.
pub(super) fn read<T: DeserializeOwned>(
    reader: &mut Reader<'_, Ref<Native>>,
    vat: &Arc<NativeVat>,
) -> Result<T, Error> {
    T::deserialize(&mut Decoder { reader, vat }).map_err(|e| Error::Unexpected(e.0))
}

/// Why a value is not what was asked for.
#[derive(Debug)]
pub(super) struct Unexpected(String);

impl std::fmt::Display for Unexpected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unexpected {}

impl de::Error for Unexpected {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl From<ReadError> for Unexpected {
    fn from(error: ReadError) -> Self {
        Self(error.to_string())
    }
}

struct Decoder<'r, 'de> {
    reader: &'r mut Reader<'de, Ref<Native>>,
    vat: &'r Arc<NativeVat>,
}

impl<'r, 'de> Decoder<'r, 'de> {
    fn visit<V: Visitor<'de>>(
        &mut self,
        item: Item<'de, Ref<Native>>,
        visitor: V,
    ) -> Result<V::Value, Unexpected> {
        match item {
            Item::Null | Item::Void => visitor.visit_unit(),
            Item::Bool(value) => visitor.visit_bool(value),
            Item::Int(int) => match int.to_i128() {
                Some(n) => match (i64::try_from(n), u64::try_from(n)) {
                    (Ok(n), _) => visitor.visit_i64(n),
                    (_, Ok(n)) => visitor.visit_u64(n),
                    _ => visitor.visit_i128(n),
                },
                None if !int.negative && int.digits.parse::<u128>().is_ok() => {
                    visitor.visit_u128(int.digits.parse().unwrap_or_default())
                }
                None => {
                    let sign = if int.negative { "-" } else { "" };
                    stashed(Stashed::BigInt(format!("{sign}{}", int.digits)), visitor)
                }
            },
            Item::Float(value) => visitor.visit_f64(value),
            Item::Str(value) => visitor.visit_borrowed_str(value),
            Item::Symbol(value) => stashed(Stashed::Symbol(value.to_owned()), visitor),
            Item::SturdyRef(record) => match SturdyRef::from_record(record) {
                Some(sturdy) => stashed(Stashed::SturdyRef(sturdy), visitor),
                None => Err(Unexpected("a sturdy reference is malformed".to_owned())),
            },
            Item::Bytes(value) => visitor.visit_borrowed_bytes(value),
            Item::Error(message) => stashed(Stashed::Error(message.to_owned()), visitor),
            Item::Ref(reference) => {
                let reference = Reference::from_parts(self.vat, reference.dup(()));
                stashed(Stashed::Reference(reference), visitor)
            }
            Item::List => {
                let value = visitor.visit_seq(Items { decoder: self })?;
                self.close()?;
                Ok(value)
            }
            Item::Dict => {
                let value = visitor.visit_map(Items { decoder: self })?;
                self.close()?;
                Ok(value)
            }
            Item::EndList | Item::EndDict => Err(Unexpected("a value is missing".to_owned())),
        }
    }

    fn close(&mut self) -> Result<(), Unexpected> {
        match self.reader.next()? {
            Item::EndList | Item::EndDict => Ok(()),
            _ => Err(Unexpected("there are more items than expected".to_owned())),
        }
    }

    fn inner(&mut self) -> Decoder<'_, 'de> {
        Decoder {
            reader: self.reader,
            vat: self.vat,
        }
    }
}

/// Hands over what serde has no word for. A visitor that does not know to look refuses it.
fn stashed<'de, V: Visitor<'de>>(item: Stashed, visitor: V) -> Result<V::Value, Unexpected> {
    let kind = match &item {
        Stashed::Reference(_) => "a reference",
        Stashed::Error(_) => "an error",
        Stashed::Symbol(_) => "a symbol",
        Stashed::SturdyRef(_) => "a sturdy reference",
        Stashed::BigInt(_) => "an integer of more than 128 bits",
    };
    stash::put(item);
    let unit: UnitDeserializer<Unexpected> = ().into_deserializer();
    let expecting = format!("{}", Expecting(&visitor));
    let result = visitor.visit_newtype_struct(unit);
    match stash::take() {
        Some(_) => Err(Unexpected(format!("got {kind}, expected {expecting}"))),
        None => result,
    }
}

/// Shows what a visitor expects.
struct Expecting<'a, V>(&'a V);

impl<'de, V: Visitor<'de>> std::fmt::Display for Expecting<'_, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.expecting(f)
    }
}

impl<'de> Deserializer<'de> for &mut Decoder<'_, 'de> {
    type Error = Unexpected;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unexpected> {
        let item = self.reader.next()?;
        self.visit(item, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unexpected> {
        if self.reader.at_null() {
            self.reader.next()?;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unexpected> {
        if name == REFERENCE {
            self.deserialize_any(visitor)
        } else {
            visitor.visit_newtype_struct(self)
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unexpected> {
        match self.reader.next()? {
            Item::Str(name) => visitor.visit_enum(BorrowedStrDeserializer::new(name)),
            Item::Dict => {
                let value = visitor.visit_enum(Variant { decoder: self })?;
                self.close()?;
                Ok(value)
            }
            _ => Err(Unexpected(
                "a variant must be a name, or a dictionary of one".to_owned(),
            )),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unexpected> {
        let mut depth = 0_usize;
        loop {
            match self.reader.next()? {
                Item::List | Item::Dict => depth += 1,
                Item::EndList | Item::EndDict => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return visitor.visit_unit();
            }
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier
    }
}

/// The items of a list, or the keys and values of a dictionary.
struct Items<'a, 'r, 'de> {
    decoder: &'a mut Decoder<'r, 'de>,
}

impl<'de> de::SeqAccess<'de> for Items<'_, '_, 'de> {
    type Error = Unexpected;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Unexpected> {
        if self.decoder.reader.at_end_of_container() {
            return Ok(None);
        }
        seed.deserialize(&mut self.decoder.inner()).map(Some)
    }
}

impl<'de> de::MapAccess<'de> for Items<'_, '_, 'de> {
    type Error = Unexpected;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Unexpected> {
        if self.decoder.reader.at_end_of_container() {
            return Ok(None);
        }
        match self.decoder.reader.next()? {
            Item::Str(key) => seed
                .deserialize(BorrowedStrDeserializer::new(key))
                .map(Some),
            _ => Err(Unexpected("a dictionary's keys must be strings".to_owned())),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, Unexpected> {
        seed.deserialize(&mut self.decoder.inner())
    }
}

/// A variant written as a dictionary of one entry.
struct Variant<'a, 'r, 'de> {
    decoder: &'a mut Decoder<'r, 'de>,
}

impl<'de> de::EnumAccess<'de> for Variant<'_, '_, 'de> {
    type Error = Unexpected;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self), Unexpected> {
        match self.decoder.reader.next()? {
            Item::Str(name) => {
                let name = BorrowedStrDeserializer::<Unexpected>::new(name);
                Ok((seed.deserialize(name)?, self))
            }
            _ => Err(Unexpected("a variant's name must be a string".to_owned())),
        }
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_, '_, 'de> {
    type Error = Unexpected;

    fn unit_variant(self) -> Result<(), Unexpected> {
        de::Deserialize::deserialize(self.decoder)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, Unexpected> {
        seed.deserialize(self.decoder)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Unexpected> {
        self.decoder.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unexpected> {
        self.decoder.deserialize_any(visitor)
    }
}
