//! Writing passables.

use super::{Passable, View};
use crate::locator::SturdyRef;
use crate::syrup::{HOLE, NULL, Writer};

/// A dictionary was given the same key twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the same key twice")]
pub struct DuplicateKey;

/// Writes values of one message, in order, as canonical Syrup.
///
/// Containers are opened and closed; a dictionary is sorted when it closes. The caller closes what
/// it opens.
///
/// ```
/// use marotte::passable::Builder;
/// let mut builder = Builder::<()>::default();
/// builder.begin_dict();
/// builder.key("port");
/// builder.int(1);
/// builder.key("b");
/// builder.null();
/// builder.end_dict().unwrap();
/// assert_eq!(builder.view().bytes(), b"{1\"b<4'null>4\"port1+}");
/// ```
#[derive(Debug)]
pub struct Builder<R> {
    out: Passable<R>,
    /// Byte offset of each reference's hole.
    holes: Vec<usize>,
    /// Start and end of each key of the dictionaries that are open, innermost last.
    keys: Vec<(usize, usize)>,
    /// For each open dictionary, where its keys start in `keys`.
    open: Vec<usize>,
}

impl<R> Default for Builder<R> {
    fn default() -> Self {
        Self {
            out: Passable::default(),
            holes: Vec::new(),
            keys: Vec::new(),
            open: Vec::new(),
        }
    }
}

impl<R> Builder<R> {
    /// Absent on purpose: JSON's and Python's null.
    pub fn null(&mut self) {
        self.out.bytes.extend_from_slice(NULL);
    }

    /// JavaScript's undefined; a procedure's lack of a result.
    pub fn void(&mut self) {
        self.out.bytes.extend_from_slice(b"<4'void>");
    }

    /// A truth value.
    pub fn bool(&mut self, value: bool) {
        self.out.bytes.put_bool(value);
    }

    /// An integer of up to 128 bits.
    pub fn int(&mut self, value: i128) {
        self.out.bytes.put_int(value);
    }

    /// An integer of any size: ASCII decimal digits, with an optional leading `-`. Returns false
    /// and writes nothing if `decimal` is anything else.
    pub fn integer(&mut self, decimal: &str) -> bool {
        let (negative, digits) = match decimal.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, decimal),
        };
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return false;
        }
        let digits = digits.trim_start_matches('0');
        if digits.is_empty() {
            self.int(0);
        } else {
            self.out.bytes.put_digits(negative, digits);
        }
        true
    }

    /// A double.
    pub fn float(&mut self, value: f64) {
        self.out.bytes.put_float(value);
    }

    /// Text.
    pub fn str(&mut self, value: &str) {
        self.out.bytes.put_str(value);
    }

    /// A symbol (Endo: selector).
    pub fn symbol(&mut self, value: &str) {
        self.out.bytes.put_symbol(value);
    }

    /// A byte array.
    pub fn bytes(&mut self, value: &[u8]) {
        self.out.bytes.put_bytes(value);
    }

    /// An error, passed by its message.
    pub fn error(&mut self, message: &str) {
        self.out
            .bytes
            .put_record("desc:error", |out| out.put_str(message));
    }

    /// A reference that can be written down, passed as such: the peer fetches what it names, if it
    /// wants to.
    pub fn sturdy_ref(&mut self, reference: &SturdyRef) {
        reference.write(&mut self.out.bytes);
    }

    /// A reference; its descriptor is written when a session sends the message.
    pub fn reference(&mut self, reference: R) {
        self.holes.push(self.out.bytes.len());
        self.out.bytes.push(HOLE);
        self.out.refs.push(reference);
    }

    /// Opens a list.
    pub fn begin_list(&mut self) {
        self.out.bytes.push(b'[');
    }

    /// Closes the list.
    pub fn end_list(&mut self) {
        self.out.bytes.push(b']');
    }

    /// Opens a dictionary; keys and values follow in turn.
    pub fn begin_dict(&mut self) {
        self.open.push(self.keys.len());
        self.out.bytes.push(b'{');
    }

    /// Writes a key.
    pub fn key(&mut self, key: &str) {
        let start = self.out.bytes.len();
        self.out.bytes.put_str(key);
        self.keys.push((start, self.out.bytes.len()));
    }

    /// Closes the dictionary, in canonical order: by the bytes of the encoded keys.
    ///
    /// # Errors
    /// [`DuplicateKey`]; the dictionary is then closed as it stands.
    pub fn end_dict(&mut self) -> Result<(), DuplicateKey> {
        let base = self.open.pop().unwrap_or(0);
        let bytes = &self.out.bytes;
        let encoded = |&(start, end): &(usize, usize)| &bytes[start..end];
        let sorted = self.keys[base..]
            .windows(2)
            .all(|two| encoded(&two[0]) < encoded(&two[1]));
        let result = if sorted { Ok(()) } else { self.sort(base) };
        self.keys.truncate(base);
        self.out.bytes.push(b'}');
        result
    }

    fn sort(&mut self, base: usize) -> Result<(), DuplicateKey> {
        let bytes = &self.out.bytes;
        let end = bytes.len();
        let keys = &self.keys[base..];
        let first = keys[0].0;
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_by(|&a, &b| bytes[keys[a].0..keys[a].1].cmp(&bytes[keys[b].0..keys[b].1]));
        let twin = |two: &[usize]| {
            let (a, b) = (keys[two[0]], keys[two[1]]);
            bytes[a.0..a.1] == bytes[b.0..b.1]
        };
        if order.windows(2).any(twin) {
            return Err(DuplicateKey);
        }
        // Entries move as whole runs of bytes; the references inside them move along.
        let moved = self.holes.partition_point(|&hole| hole < first);
        let old_holes = self.holes.split_off(moved);
        let mut old_refs: Vec<Option<R>> = self
            .out
            .refs
            .split_off(moved)
            .into_iter()
            .map(Some)
            .collect();
        let mut sorted = Vec::with_capacity(end - first);
        for index in order {
            let start = keys[index].0;
            let stop = keys.get(index + 1).map_or(end, |next| next.0);
            let inside = old_holes.partition_point(|&hole| hole < start)
                ..old_holes.partition_point(|&hole| hole < stop);
            for hole in inside {
                self.holes
                    .push(first + sorted.len() + (old_holes[hole] - start));
                self.out.refs.extend(old_refs[hole].take());
            }
            sorted.extend_from_slice(&bytes[start..stop]);
        }
        self.out.bytes.truncate(first);
        self.out.bytes.extend_from_slice(&sorted);
        Ok(())
    }

    /// What was written so far.
    pub fn view(&self) -> View<'_, R> {
        self.out.view()
    }

    /// Forgets what was written but keeps the buffers.
    pub fn clear(&mut self) {
        self.out.bytes.clear();
        self.out.refs.clear();
        self.holes.clear();
        self.keys.clear();
        self.open.clear();
    }

    /// Ends writing.
    pub fn finish(self) -> Passable<R> {
        self.out
    }
}
