//! The arguments of a call to a Rust object.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::host::NativeVat;
use super::{Native, de};
use crate::error::Error;
use crate::host::Ref;
use crate::passable::{Reader, View};

/// The arguments of one call, to be taken in order. Any serde type is an argument.
pub struct Args<'a> {
    vat: &'a Arc<NativeVat>,
    reader: Reader<'a, Ref<Native>>,
    index: usize,
}

impl std::fmt::Debug for Args<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Args")
            .field("taken", &self.index)
            .finish_non_exhaustive()
    }
}

impl<'a> Args<'a> {
    pub(super) fn new(vat: &'a Arc<NativeVat>, view: View<'a, Ref<Native>>) -> Self {
        Self {
            vat,
            reader: view.reader(),
            index: 0,
        }
    }

    /// Takes the next argument.
    ///
    /// # Errors
    /// If there is none, or it is not a `T`; the caller sees the message.
    pub fn take<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        let index = self.index;
        self.index += 1;
        if self.reader.is_empty() {
            return Err(Error::remote(format!(
                "TypeError: argument {index} is missing"
            )));
        }
        de::read(&mut self.reader, self.vat)
            .map_err(|error| Error::remote(format!("TypeError: argument {index}: {error}")))
    }

    /// Ends taking.
    ///
    /// # Errors
    /// If arguments are left over.
    pub fn finish(&self) -> Result<(), Error> {
        if self.reader.is_empty() {
            return Ok(());
        }
        Err(Error::remote(format!(
            "TypeError: {} arguments are due, more were given",
            self.index
        )))
    }

    /// Takes one argument and no more.
    ///
    /// # Errors
    /// As for [`Self::take`] and [`Self::finish`].
    pub fn take1<A: DeserializeOwned>(&mut self) -> Result<A, Error> {
        let a = self.take()?;
        self.finish()?;
        Ok(a)
    }

    /// Takes two arguments and no more.
    ///
    /// # Errors
    /// As for [`Self::take`] and [`Self::finish`].
    pub fn take2<A: DeserializeOwned, B: DeserializeOwned>(&mut self) -> Result<(A, B), Error> {
        let both = (self.take()?, self.take()?);
        self.finish()?;
        Ok(both)
    }
}
