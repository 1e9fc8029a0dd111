//! The four tables of a session, each with its rules. None of them calls anybody.

use std::collections::HashMap;

/// Dense numbers with reuse: the numbers stay short, and so do the messages.
#[derive(Debug)]
struct Slab<T> {
    entries: Vec<Option<T>>,
    free: Vec<u64>,
}

impl<T> Slab<T> {
    fn new() -> Self {
        // Number 0 is never handed out: it is the bootstrap among exports, and some peers refuse
        // it as an answer number.
        Self {
            entries: vec![None],
            free: Vec::new(),
        }
    }

    fn insert(&mut self, item: T) -> u64 {
        match self.free.pop() {
            Some(position) => {
                self.entries[position as usize] = Some(item);
                position
            }
            None => {
                self.entries.push(Some(item));
                (self.entries.len() - 1) as u64
            }
        }
    }

    fn slot(&mut self, position: u64) -> Option<&mut Option<T>> {
        usize::try_from(position)
            .ok()
            .and_then(|index| self.entries.get_mut(index))
    }

    fn get_mut(&mut self, position: u64) -> Option<&mut T> {
        self.slot(position)?.as_mut()
    }

    /// Takes the item out but keeps its number from being reused until [`Self::release`].
    fn take(&mut self, position: u64) -> Option<T> {
        self.slot(position)?.take()
    }

    fn release(&mut self, position: u64) {
        self.free.push(position);
    }

    fn len(&self) -> usize {
        self.entries.len() - 1 - self.free.len()
    }

    fn drain(&mut self) -> Vec<T> {
        let all = std::mem::replace(self, Self::new());
        all.entries.into_iter().flatten().collect()
    }
}

/// What we let the peer call.
#[derive(Debug)]
pub struct Exports<T> {
    slab: Slab<Export<T>>,
    /// Objects and promises by host identity, so that one object has one position.
    positions: HashMap<usize, u64>,
}

#[derive(Debug)]
struct Export<T> {
    item: T,
    identity: Option<usize>,
    /// How often the peer was told of it, less what it has given back.
    count: u64,
}

impl<T> Exports<T> {
    pub(super) fn new() -> Self {
        Self {
            slab: Slab::new(),
            positions: HashMap::new(),
        }
    }

    /// Mentions an item to the peer once more, under the position it already has or a new one.
    /// `identity` tells the item from others; without one it always gets a new position.
    pub fn mention(&mut self, identity: Option<usize>, item: impl FnOnce() -> T) -> u64 {
        if let Some(position) = identity.and_then(|id| self.positions.get(&id).copied())
            && let Some(export) = self.slab.get_mut(position)
        {
            export.count += 1;
            return position;
        }
        let position = self.slab.insert(Export {
            item: item(),
            identity,
            count: 1,
        });
        if let Some(identity) = identity {
            self.positions.insert(identity, position);
        }
        position
    }

    /// The item at a position.
    pub fn get_mut(&mut self, position: u64) -> Option<&mut T> {
        self.slab.get_mut(position).map(|export| &mut export.item)
    }

    /// The peer gives back `delta` mentions. At none the item is returned, and the position is
    /// free again. `Err` if the position is unknown or the peer gives back more than it was given.
    pub(super) fn give_back(&mut self, position: u64, delta: u64) -> Result<Option<T>, ()> {
        let export = self.slab.get_mut(position).ok_or(())?;
        export.count = export.count.checked_sub(delta).ok_or(())?;
        if export.count > 0 {
            return Ok(None);
        }
        let Some(export) = self.slab.take(position) else {
            return Ok(None);
        };
        self.slab.release(position);
        if let Some(identity) = export.identity {
            self.positions.remove(&identity);
        }
        Ok(Some(export.item))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn drain(&mut self) -> Vec<T> {
        self.positions.clear();
        self.slab
            .drain()
            .into_iter()
            .map(|export| export.item)
            .collect()
    }
}

/// Calls we made, by answer number.
#[derive(Debug)]
pub struct Questions<T>(Slab<T>);

impl<T> Questions<T> {
    pub(super) fn new() -> Self {
        Self(Slab::new())
    }

    pub(super) fn ask(&mut self, item: T) -> u64 {
        self.0.insert(item)
    }

    pub(super) fn get(&mut self, number: u64) -> Option<&T> {
        self.0.get_mut(number).map(|item| &*item)
    }

    pub(super) fn take(&mut self, number: u64) -> Option<T> {
        self.0.take(number)
    }

    /// The number may be used again: the peer has been told that we need its answer no more.
    pub(super) fn forget(&mut self, number: u64) {
        self.0.release(number);
    }

    /// How many there are, those not yet collected included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn drain(&mut self) -> Vec<T> {
        self.0.drain()
    }
}

/// Results of the peer's calls, by the numbers it chose.
///
/// Peers choose small numbers and use them again, so these are looked up without hashing.
#[derive(Debug)]
pub struct Answers<T> {
    small: Vec<Option<T>>,
    large: HashMap<u64, T>,
    count: usize,
}

impl<T> Answers<T> {
    /// Numbers below this are small. A peer that uses only the largest makes us hold that many
    /// empty places.
    const SMALL: u64 = 4096;

    pub(super) fn new() -> Self {
        Self {
            small: Vec::new(),
            large: HashMap::new(),
            count: 0,
        }
    }

    /// Keeps an answer. What was kept under that number before is returned.
    pub fn keep(&mut self, number: u64, item: T) -> Option<T> {
        let old = if number < Self::SMALL {
            let index = number as usize;
            if index >= self.small.len() {
                self.small.resize_with(index + 1, || None);
            }
            self.small[index].replace(item)
        } else {
            self.large.insert(number, item)
        };
        self.count += usize::from(old.is_none());
        old
    }

    /// The answer of that number.
    pub fn get(&self, number: u64) -> Option<&T> {
        if number < Self::SMALL {
            self.small.get(number as usize)?.as_ref()
        } else {
            self.large.get(&number)
        }
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<T> {
        let old = if number < Self::SMALL {
            self.small.get_mut(number as usize)?.take()
        } else {
            self.large.remove(&number)
        };
        self.count -= usize::from(old.is_some());
        if self.count == 0 && self.small.len() > KEPT {
            // Nothing is kept per idle connection.
            self.small = Vec::new();
            self.large = HashMap::new();
        }
        old
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn drain(&mut self) -> Vec<T> {
        let all = std::mem::replace(self, Self::new());
        let small = all.small.into_iter().flatten();
        small.chain(all.large.into_values()).collect()
    }
}

/// So many empty places may stay with an idle connection.
const KEPT: usize = 16;

/// What we hold of the peer, and how often it was mentioned to us.
#[derive(Debug)]
pub struct Imports<T>(HashMap<u64, (T, u64)>);

impl<T> Imports<T> {
    pub(super) fn new() -> Self {
        Self(HashMap::new())
    }

    /// Notes one more mention; makes the entry if there is none.
    pub fn mention(&mut self, position: u64, make: impl FnOnce() -> T) -> &mut T {
        let entry = self.0.entry(position).or_insert_with(|| (make(), 0));
        entry.1 += 1;
        &mut entry.0
    }

    /// The entry at a position.
    pub fn get_mut(&mut self, position: u64) -> Option<&mut T> {
        self.0.get_mut(&position).map(|entry| &mut entry.0)
    }

    /// Removes an entry; returns how often it was mentioned.
    pub(super) fn remove(&mut self, position: u64) -> Option<u64> {
        self.0.remove(&position).map(|entry| entry.1)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn drain(&mut self) -> Vec<T> {
        std::mem::take(&mut self.0)
            .into_values()
            .map(|entry| entry.0)
            .collect()
    }
}
