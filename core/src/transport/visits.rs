//! How many connections come from where.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use crate::sync::lock;

/// Counts the connections of a listener by the address that they come from, so that one machine cannot have
/// them all. IPv6 addresses are counted by their first 64 bits: whoever has one has the others, too.
///
/// ```
/// use marotte::transport::Visits;
///
/// let (visits, home) = (Visits::default(), [127, 0, 0, 1].into());
/// let first = visits.admit(home, 1);
/// assert!(first.is_some() && visits.admit(home, 1).is_none());
/// drop(first);
/// assert!(visits.admit(home, 1).is_some());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Visits(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A place among the connections from one address, until it is dropped.
#[derive(Debug)]
pub struct Visit {
    visits: Visits,
    from: IpAddr,
}

impl Visits {
    /// A place for one more connection from there; `None` if there are `most` already.
    pub fn admit(&self, from: IpAddr, most: usize) -> Option<Visit> {
        let from = network(from);
        let mut counts = lock(&self.0);
        let count = counts.get(&from).copied().unwrap_or_default();
        if count >= most {
            return None;
        }
        counts.insert(from, count + 1);
        Some(Visit {
            visits: self.clone(),
            from,
        })
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut counts = lock(&self.visits.0);
        if let Some(count) = counts.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.from);
            }
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        other => other,
    }
}
