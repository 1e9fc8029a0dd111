//! From any serde type to a passable, without a tree between.

use serde::ser::{self, Impossible, Serialize};

use super::Native;
use super::reference::Reference;
use super::stash::{self, REFERENCE, Stashed};
use crate::error::Error;
use crate::host::Ref;
use crate::passable::{Builder, Passable};

/// Encodes one value.
pub(super) fn value<T: Serialize + ?Sized>(value: &T) -> Result<Passable<Ref<Native>>, Error> {
    let mut builder = Builder::default();
    value
        .serialize(Encoder {
            out: &mut builder,
            args: false,
        })
        .map_err(|e| e.locate("result"))?;
    Ok(builder.finish())
}

/// Nothing, as a value.
pub(super) fn null() -> Passable<Ref<Native>> {
    let mut builder = Builder::default();
    builder.null();
    builder.finish()
}

/// Encodes the arguments of a call: the parts of a tuple, nothing for `()`, else one value.
pub(super) fn args<T: Serialize + ?Sized>(args: &T) -> Result<Passable<Ref<Native>>, Error> {
    let mut builder = Builder::default();
    args.serialize(Encoder {
        out: &mut builder,
        args: true,
    })
    .map_err(|e| e.locate("args"))?;
    Ok(builder.finish())
}

/// What cannot be passed, and the way to it, innermost step first.
#[derive(Debug)]
pub(super) struct Unpassable {
    what: String,
    path: Vec<String>,
}

impl Unpassable {
    fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            path: Vec::new(),
        }
    }

    fn at(mut self, step: String) -> Self {
        self.path.push(step);
        self
    }

    fn locate(self, root: &str) -> Error {
        let steps: String = self.path.into_iter().rev().collect();
        Error::NotPassable {
            path: format!("{root}{steps}"),
            what: self.what,
        }
    }
}

impl std::fmt::Display for Unpassable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Unpassable {}

impl ser::Error for Unpassable {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }
}

struct Encoder<'a> {
    out: &'a mut Builder<Ref<Native>>,
    /// True at the top of an argument list, whose brackets are the message's.
    args: bool,
}

impl Encoder<'_> {
    fn inner(&mut self) -> Encoder<'_> {
        Encoder {
            out: self.out,
            args: false,
        }
    }
}

/// A container being written.
pub(super) struct Compound<'a> {
    encoder: Encoder<'a>,
    index: usize,
    /// The key of the entry being written, for error messages.
    key: String,
    /// Closing brackets due: for the container, and for the dictionary around a variant.
    wrapped: bool,
}

impl Compound<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Unpassable> {
        let index = self.index;
        self.index += 1;
        item.serialize(self.encoder.inner())
            .map_err(|e| e.at(format!("[{index}]")))
    }

    fn entry<T: Serialize + ?Sized>(&mut self, key: &str, item: &T) -> Result<(), Unpassable> {
        self.encoder.out.key(key);
        item.serialize(self.encoder.inner())
            .map_err(|e| e.at(format!("[{key:?}]")))
    }

    fn end_list(self) -> Result<(), Unpassable> {
        if !self.encoder.args {
            self.encoder.out.end_list();
        }
        self.unwrap_variant()
    }

    fn end_dict(self) -> Result<(), Unpassable> {
        self.encoder
            .out
            .end_dict()
            .map_err(|e| Unpassable::new(format!("a map with {e}")))?;
        self.unwrap_variant()
    }

    fn unwrap_variant(self) -> Result<(), Unpassable> {
        if self.wrapped {
            self.encoder
                .out
                .end_dict()
                .map_err(|e| Unpassable::new(e.to_string()))?;
        }
        Ok(())
    }
}

impl<'a> Encoder<'a> {
    fn list(self, wrapped: bool) -> Compound<'a> {
        if !self.args {
            self.out.begin_list();
        }
        Compound {
            encoder: self,
            index: 0,
            key: String::new(),
            wrapped,
        }
    }

    fn dict(self, wrapped: bool) -> Compound<'a> {
        self.out.begin_dict();
        Compound {
            encoder: Encoder {
                args: false,
                ..self
            },
            index: 0,
            key: String::new(),
            wrapped,
        }
    }

    fn variant(self, name: &str) -> Self {
        self.out.begin_dict();
        self.out.key(name);
        Encoder {
            args: false,
            ..self
        }
    }
}

macro_rules! integers {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, value: $type) -> Result<(), Unpassable> {
            self.out.int(i128::from(value));
            Ok(())
        })*
    };
}

impl<'a> ser::Serializer for Encoder<'a> {
    type Ok = ();
    type Error = Unpassable;
    type SerializeSeq = Compound<'a>;
    type SerializeTuple = Compound<'a>;
    type SerializeTupleStruct = Compound<'a>;
    type SerializeTupleVariant = Compound<'a>;
    type SerializeMap = Compound<'a>;
    type SerializeStruct = Compound<'a>;
    type SerializeStructVariant = Compound<'a>;

    integers!(serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32,
        serialize_u64: u64);

    fn serialize_bool(self, value: bool) -> Result<(), Unpassable> {
        self.out.bool(value);
        Ok(())
    }

    fn serialize_u128(self, value: u128) -> Result<(), Unpassable> {
        self.out.integer(&value.to_string());
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), Unpassable> {
        self.serialize_f64(f64::from(value))
    }

    fn serialize_f64(self, value: f64) -> Result<(), Unpassable> {
        self.out.float(value);
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Unpassable> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Unpassable> {
        self.out.str(value);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Unpassable> {
        self.out.bytes(value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Unpassable> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unpassable> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Unpassable> {
        if !self.args {
            self.out.null();
        }
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Unpassable> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Unpassable> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Unpassable> {
        if name != REFERENCE {
            return value.serialize(self);
        }
        match stash::take() {
            Some(Stashed::Reference(reference)) => {
                self.out.reference(Reference::into_inner(reference));
            }
            Some(Stashed::Error(message)) => self.out.error(&message),
            Some(Stashed::Symbol(name)) => self.out.symbol(&name),
            Some(Stashed::SturdyRef(sturdy)) => self.out.sturdy_ref(&sturdy),
            Some(Stashed::BigInt(decimal)) => {
                if !self.out.integer(&decimal) {
                    return Err(Unpassable::new(format!("{decimal:?} as an integer")));
                }
            }
            None => {
                return Err(Unpassable::new(
                    "a type that borrows a private name of marotte",
                ));
            }
        }
        Ok(())
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Unpassable> {
        let mut inner = self.variant(variant);
        value
            .serialize(inner.inner())
            .map_err(|e| e.at(format!("[{variant:?}]")))?;
        inner
            .out
            .end_dict()
            .map_err(|e| Unpassable::new(e.to_string()))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Compound<'a>, Unpassable> {
        // A sequence is one argument; only a tuple is an argument list.
        Ok(Encoder {
            args: false,
            ..self
        }
        .list(false))
    }

    fn serialize_tuple(self, _: usize) -> Result<Compound<'a>, Unpassable> {
        Ok(self.list(false))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Compound<'a>, Unpassable> {
        Ok(Encoder {
            args: false,
            ..self
        }
        .list(false))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Compound<'a>, Unpassable> {
        Ok(self.variant(variant).list(true))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Compound<'a>, Unpassable> {
        Ok(self.dict(false))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Compound<'a>, Unpassable> {
        Ok(self.dict(false))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Compound<'a>, Unpassable> {
        Ok(self.variant(variant).dict(true))
    }
}

impl ser::SerializeSeq for Compound<'_> {
    type Ok = ();
    type Error = Unpassable;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Unpassable> {
        self.item(item)
    }

    fn end(self) -> Result<(), Unpassable> {
        self.end_list()
    }
}

impl ser::SerializeTuple for Compound<'_> {
    type Ok = ();
    type Error = Unpassable;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Unpassable> {
        self.item(item)
    }

    fn end(self) -> Result<(), Unpassable> {
        self.end_list()
    }
}

impl ser::SerializeTupleStruct for Compound<'_> {
    type Ok = ();
    type Error = Unpassable;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Unpassable> {
        self.item(item)
    }

    fn end(self) -> Result<(), Unpassable> {
        self.end_list()
    }
}

impl ser::SerializeTupleVariant for Compound<'_> {
    type Ok = ();
    type Error = Unpassable;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Unpassable> {
        self.item(item)
    }

    fn end(self) -> Result<(), Unpassable> {
        self.end_list()
    }
}

impl ser::SerializeMap for Compound<'_> {
    type Ok = ();
    type Error = Unpassable;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unpassable> {
        self.key = key.serialize(KeyEncoder)?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unpassable> {
        let key = std::mem::take(&mut self.key);
        self.entry(&key, value)
    }

    fn end(self) -> Result<(), Unpassable> {
        self.end_dict()
    }
}

impl ser::SerializeStruct for Compound<'_> {
    type Ok = ();
    type Error = Unpassable;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Unpassable> {
        self.entry(key, value)
    }

    fn end(self) -> Result<(), Unpassable> {
        self.end_dict()
    }
}

impl ser::SerializeStructVariant for Compound<'_> {
    type Ok = ();
    type Error = Unpassable;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Unpassable> {
        self.entry(key, value)
    }

    fn end(self) -> Result<(), Unpassable> {
        self.end_dict()
    }
}

/// Dictionary keys are strings; nothing else is turned into one behind the caller's back.
struct KeyEncoder;

macro_rules! no_key {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, _: $type) -> Result<String, Unpassable> { not_a_key() })*
    };
}

fn not_a_key<T>() -> Result<T, Unpassable> {
    Err(Unpassable::new("a map whose keys are not strings"))
}

impl ser::Serializer for KeyEncoder {
    type Ok = String;
    type Error = Unpassable;
    type SerializeSeq = Impossible<String, Unpassable>;
    type SerializeTuple = Impossible<String, Unpassable>;
    type SerializeTupleStruct = Impossible<String, Unpassable>;
    type SerializeTupleVariant = Impossible<String, Unpassable>;
    type SerializeMap = Impossible<String, Unpassable>;
    type SerializeStruct = Impossible<String, Unpassable>;
    type SerializeStructVariant = Impossible<String, Unpassable>;

    no_key!(serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32,
        serialize_i64: i64, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32,
        serialize_u64: u64, serialize_f32: f32, serialize_f64: f64, serialize_bytes: &[u8],
        serialize_unit_struct: &'static str);

    fn serialize_str(self, value: &str) -> Result<String, Unpassable> {
        Ok(value.to_owned())
    }

    fn serialize_char(self, value: char) -> Result<String, Unpassable> {
        Ok(value.to_string())
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<String, Unpassable> {
        Ok(variant.to_owned())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<String, Unpassable> {
        value.serialize(self)
    }

    fn serialize_none(self) -> Result<String, Unpassable> {
        not_a_key()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<String, Unpassable> {
        not_a_key()
    }

    fn serialize_unit(self) -> Result<String, Unpassable> {
        not_a_key()
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<String, Unpassable> {
        not_a_key()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, Unpassable> {
        not_a_key()
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Unpassable> {
        not_a_key()
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, Unpassable> {
        not_a_key()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Unpassable> {
        not_a_key()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Unpassable> {
        not_a_key()
    }

    fn serialize_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStruct, Unpassable> {
        not_a_key()
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Unpassable> {
        not_a_key()
    }
}
