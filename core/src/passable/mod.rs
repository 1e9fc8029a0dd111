//! Values on their way between a host and a session.
//!
//! A [`Passable`] is canonical Syrup with a hole wherever a reference stands, and the references
//! beside it, in order. It belongs to no session: the same bytes can wait in a queue, cross a
//! connection, or be read back in this vat. A host writes one with a [`Builder`] straight from its
//! own values and reads one with a [`Reader`] straight into them; no value tree stands between.
//!
//! ```text
//!   host value --Builder--> Passable --holes filled with desc:*--> message
//!   host value <--Reader--- Passable <--descriptors looked up----- message
//! ```
//!
//! The idea of a table of references beside flat data is Cap'n Proto's (`rpc.capnp`, `capTable`).

mod builder;
mod reader;
mod rewrite;

pub use builder::{Builder, DuplicateKey};
pub use reader::{Item, ReadError, Reader};
pub(crate) use rewrite::{Instead, Place, rewrite};

/// Zero or more encoded values, and the references in them, in order of appearance.
///
/// `R` is what a reference is on this host; see [`Ref`](crate::host::Ref).
#[derive(Debug, Clone)]
pub struct Passable<R> {
    pub(crate) bytes: Vec<u8>,
    pub(crate) refs: Vec<R>,
}

impl<R> Default for Passable<R> {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            refs: Vec::new(),
        }
    }
}

impl<R> Passable<R> {
    /// A passable with received bytes and the references its descriptors stand for.
    pub(crate) fn from_parts(bytes: &[u8], refs: Vec<R>) -> Self {
        Self {
            bytes: bytes.to_vec(),
            refs,
        }
    }

    /// Borrows the whole.
    pub fn view(&self) -> View<'_, R> {
        View {
            bytes: &self.bytes,
            refs: &self.refs,
        }
    }

    /// The references inside, in order of appearance.
    pub fn refs(&self) -> &[R] {
        &self.refs
    }
}

/// A borrowed [`Passable`]: arguments as they stand in the receive buffer.
#[derive(Debug)]
pub struct View<'a, R> {
    pub(crate) bytes: &'a [u8],
    pub(crate) refs: &'a [R],
}

impl<R> Clone for View<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for View<'_, R> {}

impl<'a, R> View<'a, R> {
    /// Starts reading at the first value.
    pub fn reader(self) -> Reader<'a, R> {
        Reader::new(self)
    }

    /// The references inside, in order of appearance.
    pub fn refs(self) -> &'a [R] {
        self.refs
    }

    /// The encoded bytes, in which a reference is one byte or a descriptor.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }
}

#[cfg(test)]
mod tests;
