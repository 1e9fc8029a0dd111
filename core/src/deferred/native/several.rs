//! Waiting for several Deferreds.

use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex};

use super::control::Control;
use super::deferred::Deferred;
use super::failure::Failure;
use super::host::{Rust, boxed, open};
use super::resolver::Resolver;
use crate::deferred::{Entry, Gather, Outcome, Race, Returned, Rule, Verdict};
use crate::sync::lock;

/// What [`collect`] collected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Collected<T, E> {
    /// Everything, in the order of the inputs.
    All(Vec<Result<T, Failure<E>>>),
    /// The first value, and whose it is, if the rule asks for that.
    First(usize, T),
}

/// One of several has failed.
///
/// ```
/// use marotte::deferred::{Deferred, Failure, Rule, collect};
///
/// let rule = Rule { first_failure: true, ..Rule::default() };
/// let failed = collect([Deferred::succeed(1), Deferred::fail("flaky")], rule);
/// let Failure::Error(first) = failed.try_take().unwrap().unwrap_err() else { unreachable!() };
/// assert_eq!(first.to_string(), "number 1 failed: flaky");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstError<E> {
    /// Which, from 0.
    pub index: usize,
    /// How.
    pub failure: Failure<E>,
}

impl<E: fmt::Display> fmt::Display for FirstError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "number {} failed: {}", self.index, self.failure)
    }
}

impl<E: std::error::Error> std::error::Error for FirstError<E> {}

/// All of several have failed; these are their failures, in order.
///
/// ```
/// # use marotte::deferred::{Deferred, race};
/// let lost = race([Deferred::<(), _>::fail("offline"), Deferred::fail("busy")]);
/// let failure = lost.try_take().unwrap().unwrap_err();
/// assert_eq!(failure.to_string(), "all 2 failed: offline; busy");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllFailed<E>(pub Vec<Failure<E>>);

impl<E: fmt::Display> fmt::Display for AllFailed<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "all {} failed", self.0.len())?;
        self.0
            .iter()
            .enumerate()
            .try_for_each(|(index, failure)| match index {
                0 => write!(f, ": {failure}"),
                _ => write!(f, "; {failure}"),
            })
    }
}

impl<E: std::error::Error> std::error::Error for AllFailed<E> {}

/// Waits for all, and gives their values in order; or for the first that fails, and fails like it.
/// The others then go on. To cancel it cancels them all.
///
/// ```
/// use marotte::deferred::{Deferred, gather};
///
/// let sum = gather([1, 2, 3].map(Deferred::<u32, ()>::succeed)).map(|all| all.iter().sum());
/// assert_eq!(sum.try_take().unwrap(), Ok(6_u32));
/// ```
#[track_caller]
pub fn gather<T, E>(inputs: impl IntoIterator<Item = Deferred<T, E>>) -> Deferred<Vec<T>, E>
where
    T: Send + 'static,
    E: Debug + Send + 'static,
{
    let rule = Rule {
        first_failure: true,
        ..Rule::default()
    };
    collect(inputs, rule).then(|outcome| match outcome {
        Ok(Collected::All(all)) => all.into_iter().collect(),
        Ok(Collected::First(_, value)) => Ok(vec![value]),
        Err(failure) => Err(match failure.without_error() {
            Ok(other) => other,
            Err(first) => first.failure,
        }),
    })
}

/// Waits for all, whether they fail or not; or for the first value or failure, if `rule` says so.
/// The others then go on. To cancel it cancels them all.
///
/// All failures are consumed: [`Rule::consume_failures`] makes no difference here, since nobody else
/// has a handle on the inputs. Waiting for the first value of none fails with [`Failure::Dropped`].
///
/// ```
/// use marotte::deferred::{Collected, Deferred, Failure, Rule, collect};
///
/// let builds = [Deferred::succeed(1), Deferred::fail("flaky")];
/// let all = collect(builds, Rule::default());
/// let expected = Collected::All(vec![Ok(1), Err(Failure::Error("flaky"))]);
/// assert_eq!(all.try_take().unwrap(), Ok(expected));
/// ```
#[track_caller]
pub fn collect<T, E>(
    inputs: impl IntoIterator<Item = Deferred<T, E>>,
    rule: Rule,
) -> Deferred<Collected<T, E>, FirstError<E>>
where
    T: Send + 'static,
    E: Debug + Send + 'static,
{
    let inputs: Vec<_> = inputs.into_iter().collect();
    let (collected, resolver) = cancelling(&inputs);
    let gather = Gather::new(inputs.len(), rule);
    if gather.is_done() {
        // Nobody can have cancelled it yet.
        let _ = resolver.callback(Collected::All(Vec::new()));
        return collected;
    }
    let state = Arc::new(Mutex::new((gather, Some(resolver))));
    for (index, input) in inputs.into_iter().enumerate() {
        let state = Arc::clone(&state);
        input.add(Entry::Both(boxed(move |outcome| {
            let arrived = {
                let (gather, resolver) = &mut *lock(&state);
                if gather.is_done() {
                    None
                } else {
                    match gather.arrive((), index, outcome).0 {
                        Verdict::Wait => None,
                        verdict => Some((verdict, gather.take(), resolver.take())),
                    }
                }
            };
            if let Some((verdict, results, Some(resolver))) = arrived {
                // It may have been cancelled.
                let _ = resolver.fire(result(verdict, results));
            }
            Returned::Outcome(Ok(None))
        })));
    }
    collected
}

/// What is to be fired with after this verdict. The outcome itself lies among the results, since it
/// cannot be shared: there is no other of its kind if the rule asks for the first of that kind.
fn result<T, E>(
    verdict: Verdict<Rust>,
    results: Vec<Outcome<Rust>>,
) -> Result<Collected<T, E>, Failure<FirstError<E>>>
where
    T: Send + 'static,
    E: Debug + Send + 'static,
{
    let mut results = results.into_iter().map(open);
    match verdict {
        Verdict::Value(index, _) => match results.find_map(Result::ok) {
            Some(value) => Ok(Collected::First(index, value)),
            None => Err(Failure::Dropped),
        },
        Verdict::Failure(index, _) => Err(match results.find_map(Result::err) {
            Some(failure) => Failure::Error(FirstError { index, failure }),
            None => Failure::Dropped,
        }),
        Verdict::All | Verdict::Wait => Ok(Collected::All(results.collect())),
    }
}

/// The first that has a value wins, and the others are cancelled. If all fail, so does the race. To
/// cancel it cancels them all.
///
/// ```
/// use marotte::deferred::{Deferred, race};
///
/// let (slow, _resolver) = Deferred::<&str, ()>::new();
/// let winner = race([Deferred::fail(()), slow, Deferred::succeed("fast")]);
/// assert_eq!(winner.try_take().unwrap(), Ok((2, "fast")));
/// ```
#[track_caller]
pub fn race<T, E>(
    inputs: impl IntoIterator<Item = Deferred<T, E>>,
) -> Deferred<(usize, T), AllFailed<E>>
where
    T: Send + 'static,
    E: Debug + Send + 'static,
{
    let inputs: Vec<_> = inputs.into_iter().collect();
    let (winner, resolver) = cancelling(&inputs);
    if inputs.is_empty() {
        // Nobody can have cancelled it yet.
        let _ = resolver.errback(AllFailed(Vec::new()));
        return winner;
    }
    let controls = controls(&inputs);
    let state = Arc::new(Mutex::new((Race::new(inputs.len()), Some(resolver))));
    for (index, input) in inputs.into_iter().enumerate() {
        let state = Arc::clone(&state);
        let controls = Arc::clone(&controls);
        input.add(Entry::Both(boxed(move |outcome| {
            match open::<T, E>(outcome) {
                Ok(value) => {
                    let resolver = {
                        let (race, resolver) = &mut *lock(&state);
                        race.succeeded().then(|| resolver.take()).flatten()
                    };
                    if let Some(resolver) = resolver {
                        controls.iter().for_each(Control::cancel);
                        // It may have been cancelled.
                        let _ = resolver.callback((index, value));
                    }
                }
                Err(failure) => {
                    let all = {
                        let (race, resolver) = &mut *lock(&state);
                        race.failed(index, failure)
                            .map(|failures| (failures, resolver.take()))
                    };
                    if let Some((failures, Some(resolver))) = all {
                        // It may have been cancelled.
                        let _ = resolver.errback(AllFailed(failures));
                    }
                }
            }
            Returned::Outcome(Ok(None))
        })));
    }
    winner
}

/// A Deferred that cancels these if it is cancelled.
#[track_caller]
fn cancelling<T, E, U, F>(inputs: &[Deferred<T, E>]) -> (Deferred<U, F>, Resolver<U, F>)
where
    U: Send + 'static,
    F: Debug + Send + 'static,
{
    let controls = controls(inputs);
    Deferred::with_canceller(move |resolver| {
        controls.iter().for_each(Control::cancel);
        drop(resolver);
    })
}

fn controls<T, E>(inputs: &[Deferred<T, E>]) -> Arc<[Control]> {
    inputs.iter().map(Deferred::control).collect()
}
