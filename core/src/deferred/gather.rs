//! Waiting for several Deferreds: for all of them, or for the first.

use super::host::{Host, Outcome};

/// When a [`Gather`] is done before all its inputs are, and what becomes of failures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// The first value is the result.
    pub first_value: bool,
    /// The first failure is the result.
    pub first_failure: bool,
    /// Failures are taken from the inputs; a unit is left in their place.
    pub consume_failures: bool,
}

/// Collects the results of several Deferreds, in their order: the arithmetic of `DeferredList` and
/// `gatherResults`.
///
/// ```text
///             arrive × n                 result: all of them
///  Collecting ─────────▶ Collecting ───────────────────────────▶ Done
///       └── the first value / failure, if the rule says so ───────▲
/// ```
///
/// Arrivals after the end are still stored, and change nothing else.
pub struct Gather<H: Host> {
    results: Vec<Option<Outcome<H>>>,
    finished: usize,
    rule: Rule,
    done: bool,
}

/// What an arrival means.
pub enum Verdict<H: Host> {
    /// Nothing yet, or no more.
    Wait,
    /// The first value, and whose it is.
    Value(usize, H::Value),
    /// The first failure, and whose it is.
    Failure(usize, H::Failure),
    /// That was the last one.
    All,
}

impl<H: Host> Gather<H> {
    /// For `inputs` Deferreds. If there are none it is [done](Self::is_done) at once, with
    /// nothing, unless it is to wait for a first value.
    pub fn new(inputs: usize, rule: Rule) -> Self {
        Self {
            results: std::iter::repeat_with(|| None).take(inputs).collect(),
            finished: 0,
            rule,
            done: inputs == 0 && !rule.first_value,
        }
    }

    /// True if there is a result already.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// How many have arrived.
    pub fn finished(&self) -> usize {
        self.finished
    }

    /// The results as far as they have come, in the order of the inputs.
    pub fn results(&self) -> &[Option<Outcome<H>>] {
        &self.results
    }

    /// Takes the results out, when all have come.
    pub fn take(&mut self) -> Vec<Outcome<H>> {
        std::mem::take(&mut self.results)
            .into_iter()
            .flatten()
            .collect()
    }

    /// The input of that number has an outcome. Returns what that means, and what goes on down
    /// that input's own ladder.
    pub fn arrive(
        &mut self,
        cx: H::Cx<'_>,
        index: usize,
        outcome: Outcome<H>,
    ) -> (Verdict<H>, Outcome<H>) {
        if self.results.get(index).is_some_and(Option::is_some) {
            // It has come before.
            return (Verdict::Wait, outcome);
        }
        let (outcome, passes) = H::split(cx, outcome);
        let (stored, first) = H::split(cx, outcome);
        let verdict = match first {
            _ if self.done => Verdict::Wait,
            Ok(value) if self.rule.first_value => Verdict::Value(index, value),
            Err(failure) if self.rule.first_failure => Verdict::Failure(index, failure),
            _ if self.finished + 1 == self.results.len() => Verdict::All,
            _ => Verdict::Wait,
        };
        self.done |= !matches!(verdict, Verdict::Wait);
        self.finished += 1;
        if let Some(slot) = self.results.get_mut(index) {
            *slot = Some(stored);
        }
        let passes = match passes {
            Err(_) if self.rule.consume_failures => Ok(H::unit(cx)),
            passes => passes,
        };
        (verdict, passes)
    }
}

/// The first value of several Deferreds wins; the others are to be cancelled. If all fail, their
/// failures in order are the result.
pub struct Race<F> {
    failures: Vec<Option<F>>,
    failed: usize,
    won: bool,
}

impl<F> Race<F> {
    /// Of so many Deferreds.
    pub fn new(inputs: usize) -> Self {
        Self {
            failures: std::iter::repeat_with(|| None).take(inputs).collect(),
            failed: 0,
            won: false,
        }
    }

    /// The failures so far, for a collector to visit.
    pub fn failures(&self) -> impl Iterator<Item = &F> {
        self.failures.iter().flatten()
    }

    /// One has a value: true if it is the first.
    pub fn succeeded(&mut self) -> bool {
        !std::mem::replace(&mut self.won, true)
    }

    /// One failed: all the failures, in the order of the inputs, if it was the last.
    pub fn failed(&mut self, index: usize, failure: F) -> Option<Vec<F>> {
        // One that comes twice does not count.
        if let Some(slot @ None) = self.failures.get_mut(index) {
            *slot = Some(failure);
            self.failed += 1;
        }
        (self.failed == self.failures.len()).then(|| {
            std::mem::take(&mut self.failures)
                .into_iter()
                .flatten()
                .collect()
        })
    }
}
