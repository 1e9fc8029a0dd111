//! How much may be on its way between two peers.
//!
//! ```text
//!   sender                                  receiver
//!   Allowance ──── receive(items) ────────> Window ──> drain
//!             <─── grant(items, bytes) ────        (when the drain has taken some)
//! ```
//!
//! The receiver says how many items, and of how many bytes in all, may be sent. What is sent uses
//! it up; what the drain takes is granted again, half a window at a time. Bytes may be overdrawn by one item, or else
//! none that is larger than the window could ever be sent. So what waits at the receiver is bounded by its window, whatever
//! the drain does, and nothing else on the connection has to wait for it. (The idea is that of HTTP/2's windows, RFC
//! 9113 section 5.2, and of `request(n)` in Reactive Streams.)

/// An amount of items and of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    /// How many items.
    pub items: u64,
    /// How many bytes they have in all.
    pub bytes: u64,
}

/// What may be sent before the receiver has said anything.
pub const INITIAL: Amount = Amount {
    items: 64,
    bytes: 1 << 16,
};

/// How much a receiver lets come, if nobody says otherwise.
pub const WINDOW: Amount = Amount {
    items: 1024,
    bytes: 1 << 20,
};

/// The sender's end.
#[derive(Debug)]
pub struct Allowance {
    items: u64,
    bytes: i64,
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            items: INITIAL.items,
            bytes: INITIAL.bytes as i64,
        }
    }
}

impl Allowance {
    /// Whether an item may be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.items > 0 && self.bytes > 0
    }

    /// An item of so many bytes is sent; false, and nothing is used up, if it may not.
    pub fn spend(&mut self, bytes: u64) -> bool {
        if !self.is_open() {
            return false;
        }
        self.items -= 1;
        self.bytes = self.bytes.saturating_sub_unsigned(bytes);
        true
    }

    /// The receiver lets more come. It is a peer, so no amount is too large to add.
    pub fn grant(&mut self, more: Amount) {
        self.items = self.items.saturating_add(more.items);
        self.bytes = self.bytes.saturating_add_unsigned(more.bytes);
    }
}

/// The receiver's end.
#[derive(Debug)]
pub struct Window {
    size: Amount,
    /// What the sender may still send.
    items: u64,
    bytes: i64,
    /// What the drain has taken and has not been granted again.
    taken: Amount,
}

impl Default for Window {
    fn default() -> Self {
        Self::new(WINDOW)
    }
}

impl Window {
    /// A window of that size. The sender begins with [`INITIAL`], whatever the size.
    #[must_use]
    pub fn new(size: Amount) -> Self {
        let size = Amount {
            items: size.items.max(1),
            bytes: size.bytes.max(1),
        };
        Self {
            size,
            items: INITIAL.items,
            bytes: INITIAL.bytes as i64,
            taken: Amount { items: 0, bytes: 0 },
        }
    }

    /// How large it is.
    #[must_use]
    pub fn size(&self) -> Amount {
        self.size
    }

    /// What to grant at the beginning: what the window has more than [`INITIAL`].
    pub fn open(&mut self) -> Option<Amount> {
        let more = Amount {
            items: self.size.items.saturating_sub(INITIAL.items),
            bytes: self.size.bytes.saturating_sub(INITIAL.bytes),
        };
        self.add(more)
    }

    /// An item of so many bytes has come; false if it was not allowed to.
    pub fn arrived(&mut self, bytes: u64) -> bool {
        // The other end may reckon an item's size a little differently.
        let slack = self.size.bytes as i64;
        if self.items == 0 || self.bytes <= -slack {
            return false;
        }
        self.items -= 1;
        self.bytes = self.bytes.saturating_sub_unsigned(bytes);
        true
    }

    /// The drain has taken so much. Returns what to grant, if it is worth a message.
    pub fn taken(&mut self, amount: Amount) -> Option<Amount> {
        self.taken.items += amount.items;
        self.taken.bytes = self.taken.bytes.saturating_add(amount.bytes);
        if self.taken.items < self.size.items.div_ceil(2)
            && self.taken.bytes < self.size.bytes.div_ceil(2)
        {
            return None;
        }
        let more = std::mem::replace(&mut self.taken, Amount { items: 0, bytes: 0 });
        self.add(more)
    }

    fn add(&mut self, more: Amount) -> Option<Amount> {
        self.items = self.items.saturating_add(more.items);
        self.bytes = self.bytes.saturating_add_unsigned(more.bytes);
        (more.items > 0 || more.bytes > 0).then_some(more)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_item_larger_than_the_window_gets_through_alone() {
        let mut allowance = Allowance::default();
        assert!(allowance.spend(1 << 30));
        assert!(!allowance.spend(1));
        allowance.grant(Amount {
            items: 1,
            bytes: 1 << 30,
        });
        assert!(allowance.spend(1));
    }

    #[test]
    fn what_was_not_granted_is_noticed() {
        let mut window = Window::new(Amount {
            items: 64,
            bytes: 100,
        });
        for _ in 0..64 {
            assert!(window.arrived(1));
        }
        assert!(!window.arrived(1));
    }

    proptest! {
        #[test]
        fn whatever_the_drain_does_little_is_on_its_way_and_nothing_is_stuck(
            sizes in prop::collection::vec(0_u64..5_000, 1..400),
            items in 1_u64..200,
            bytes in 1_u64..20_000,
        ) {
            let mut allowance = Allowance::default();
            let mut window = Window::new(Amount { items, bytes });
            if let Some(more) = window.open() {
                allowance.grant(more);
            }
            let (mut waiting, mut sent) = (std::collections::VecDeque::new(), 0);
            while sent < sizes.len() || !waiting.is_empty() {
                while sent < sizes.len() && allowance.spend(sizes[sent]) {
                    prop_assert!(window.arrived(sizes[sent]));
                    waiting.push_back(sizes[sent]);
                    sent += 1;
                }
                prop_assert!(waiting.len() as u64 <= items.max(INITIAL.items));
                prop_assert!(waiting.iter().sum::<u64>() <= bytes.max(INITIAL.bytes) + 5_000);
                // If this were empty here, nobody would ever go on.
                let taken = waiting.pop_front();
                prop_assert!(taken.is_some());
                let amount = Amount { items: 1, bytes: taken.unwrap_or_default() };
                if let Some(more) = window.taken(amount) {
                    allowance.grant(more);
                }
            }
        }
    }
}
