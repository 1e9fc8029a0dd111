//! Hints of several places in one location.

use std::collections::BTreeMap;

use crate::locator::Location;

/// So many ways of a kind to one peer are looked at: a reference may come from anybody.
const MOST_WAYS: usize = 8;

/// The name of a hint of the `nth` place of its kind, which begin with 1.
pub(super) fn numbered(name: &str, nth: usize) -> String {
    if nth == 1 {
        name.to_owned()
    } else {
        format!("{name}.{nth}")
    }
}

impl Location {
    /// Where peers find a tub that listens in several places: by that transport if it has it, else by the
    /// first. It has the hints of all places of one transport; those of a second place with the same hints
    /// are `host.2`, `port.2` and so on.
    ///
    /// ```
    /// use marotte::Location;
    ///
    /// let at = |host: &str| Location {
    ///     transport: "tcp-testing-only".to_owned(),
    ///     designator: "me".to_owned(),
    ///     hints: [("host".to_owned(), host.to_owned())].into(),
    /// };
    /// let all = Location::of(&[at("::1"), at("127.0.0.1")], None).unwrap();
    /// assert_eq!(all.to_string(), "ocapn://me.tcp-testing-only?host=::1&host.2=127.0.0.1");
    /// ```
    pub fn of(places: &[Self], transport: Option<&str>) -> Option<Self> {
        let mut found = places
            .iter()
            .find(|place| Some(place.transport.as_str()) == transport)
            .or_else(|| places.first())?
            .clone();
        let mut hints = BTreeMap::new();
        for place in places.iter().filter(|place| place.same_peer(&found)) {
            let is_free = |nth: &usize| {
                let mut names = place.hints.keys().map(|name| numbered(name, *nth));
                !names.any(|name| hints.contains_key(&name))
            };
            let Some(nth) = (1..=MOST_WAYS).find(is_free) else {
                continue;
            };
            for (name, value) in &place.hints {
                hints.insert(numbered(name, nth), value.clone());
            }
        }
        found.hints = hints;
        Some(found)
    }

    /// The same without what leads into the file system of this machine: for a location that a peer has
    /// named, who may not know what it would make us connect to.
    #[must_use]
    pub fn from_afar(&self) -> Self {
        let mut location = self.clone();
        location
            .hints
            .retain(|name, _| name != "unix" && !name.starts_with("unix."));
        location
    }

    /// The values of a hint and of those of the same name with a number, which is 1 for the first. There may
    /// be gaps.
    pub fn hinted<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
        (1..=MOST_WAYS).filter_map(move |nth| {
            let value = self.hints.get(&numbered(name, nth))?;
            Some((nth, value.as_str()))
        })
    }
}
