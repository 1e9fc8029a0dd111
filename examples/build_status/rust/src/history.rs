//! What has been built so far, in memory: builders, their builds, their results.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::folder::Found;
use crate::junit::{self, Test};

/// Builds kept of a builder; older ones are forgotten, the numbers go on.
const KEPT: usize = 100;

/// A build in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// The builder's name.
    pub(crate) name: String,
    pub(crate) number: u64,
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
    pub(crate) seconds: f64,
    /// ISO 8601, UTC.
    pub(crate) finished: String,
}

/// A build with all its tests: what `getResults` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) name: String,
    pub(crate) number: u64,
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
    pub(crate) seconds: f64,
    pub(crate) finished: String,
    pub(crate) tests: Vec<Test>,
}

impl Results {
    pub(crate) fn summary(&self) -> Summary {
        Summary {
            name: self.name.clone(),
            number: self.number,
            passed: self.passed,
            failed: self.failed,
            skipped: self.skipped,
            seconds: self.seconds,
            finished: self.finished.clone(),
        }
    }
}

/// The builds of one builder, oldest first. There is at least one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Builds(VecDeque<Arc<Results>>);

impl Builds {
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Results>> {
        self.0.iter()
    }

    pub(crate) fn newest(&self) -> Option<&Arc<Results>> {
        self.0.back()
    }

    /// The build of that number; -1 is the newest, -2 the one before.
    ///
    /// # Errors
    /// If there is none: it says which there are.
    pub(crate) fn get(&self, number: i64) -> Result<&Arc<Results>, String> {
        let oldest = self.0.front().map_or(1, |build| build.number);
        let index = if number < 0 {
            usize::try_from(number.unsigned_abs())
                .ok()
                .and_then(|back| self.0.len().checked_sub(back))
        } else {
            u64::try_from(number)
                .ok()
                .and_then(|number| usize::try_from(number.checked_sub(oldest)?).ok())
        };
        index.and_then(|index| self.0.get(index)).ok_or_else(|| {
            let newest = self.0.back().map_or(0, |build| build.number);
            format!(
                "there is no build {number}; there are {oldest} to {newest}, and -1 is the newest"
            )
        })
    }
}

/// All builders.
#[derive(Debug, Default)]
pub(crate) struct History(BTreeMap<String, Builds>);

impl History {
    /// Adds a report as its builder's newest build.
    pub(crate) fn add(&mut self, found: Found) -> Arc<Results> {
        let builds = &mut self.0.entry(found.builder.clone()).or_default().0;
        let tests = found.report.tests;
        let count =
            |outcome: &str| tests.iter().filter(|test| test.outcome == outcome).count() as u64;
        let build = Arc::new(Results {
            name: found.builder,
            number: builds.back().map_or(1, |newest| newest.number + 1),
            passed: count("passed"),
            failed: count("failed"),
            skipped: count("skipped"),
            seconds: found.report.seconds,
            finished: junit::iso(found.finished),
            tests,
        });
        builds.push_back(Arc::clone(&build));
        if builds.len() > KEPT {
            builds.pop_front();
        }
        build
    }

    pub(crate) fn builders(&self) -> impl Iterator<Item = (&String, &Builds)> {
        self.0.iter()
    }

    /// The builds of a builder.
    ///
    /// # Errors
    /// If there is no such builder: it says which there are.
    pub(crate) fn get(&self, name: &str) -> Result<&Builds, String> {
        self.0.get(name).ok_or_else(|| {
            let names: Vec<_> = self.0.keys().map(|name| format!("{name:?}")).collect();
            let known = if names.is_empty() {
                "none yet".to_owned()
            } else {
                names.join(", ")
            };
            format!("there is no builder {name:?}; there are: {known}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(builds: usize) -> History {
        let mut history = History::default();
        for number in 0..builds {
            history.add(Found::for_test("rust", number as i64 * 1_000_000));
        }
        history
    }

    #[test]
    fn builds_are_numbered_from_one_and_counted_back_from_minus_one() {
        let history = history(3);
        let builds = history.get("rust").expect("is there");
        let number = |asked| builds.get(asked).map(|build| build.number);
        assert_eq!(
            (number(1), number(3), number(-1), number(-3)),
            (Ok(1), Ok(3), Ok(3), Ok(1))
        );
        for asked in [0, 4, -4, i64::MIN, i64::MAX] {
            let error = number(asked).expect_err("there is none");
            assert!(error.contains("there are 1 to 3"), "{error}");
        }
    }

    #[test]
    fn old_builds_are_forgotten_and_numbers_go_on() {
        let history = history(KEPT + 5);
        let builds = history.get("rust").expect("is there");
        assert_eq!(builds.iter().len(), KEPT);
        assert_eq!(
            builds.get(-1).map(|build| build.number),
            Ok(KEPT as u64 + 5)
        );
        assert!(builds.get(5).is_err());
        assert_eq!(builds.get(6).map(|build| build.number), Ok(6));
    }

    #[test]
    fn an_unknown_builder_is_told_which_there_are() {
        let error = history(1).get("rsut").expect_err("there is none");
        assert_eq!(error, "there is no builder \"rsut\"; there are: \"rust\"");
        assert!(
            history(0)
                .get("x")
                .expect_err("there is none")
                .contains("none yet")
        );
    }
}
