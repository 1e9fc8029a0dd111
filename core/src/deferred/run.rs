//! The one loop that runs ladders.

use super::chain::{Chain, Entry, Note, Step};
use super::host::{AlreadyCalled, Firing, Host, Outcome, Returned};

/// Adds a rung, and runs it at once if the Deferred has fired and nothing holds it.
#[inline(always)]
pub fn add<H: Host>(cx: H::Cx<'_>, link: &H::Link, entry: Entry<H>) {
    match H::with(cx, link, |chain| chain.add(cx, entry)) {
        Step::Stop => {}
        step => run::<H>(cx, link, step),
    }
}

/// Fires a Deferred: the outcome goes down its ladder.
///
/// # Errors
/// [`AlreadyCalled`], with the outcome, if it has fired before. One outcome is swallowed without
/// an error after a [`cancel`](super::cancel) that no canceller took note of.
pub fn fire<H: Host>(
    cx: H::Cx<'_>,
    link: &H::Link,
    outcome: Outcome<H>,
) -> Result<(), AlreadyCalled<H>> {
    match H::with(cx, link, |chain| chain.fire(cx, outcome)) {
        Ok((canceller, garbage, step)) => {
            drop((canceller, garbage));
            run::<H>(cx, link, step);
            Ok(())
        }
        Err(late) => {
            if H::with(cx, link, Chain::swallow) {
                drop(late);
                Ok(())
            } else {
                Err(late)
            }
        }
    }
}

/// Holds a Deferred: no rung runs until it is unpaused as often.
pub fn pause<H: Host>(cx: H::Cx<'_>, link: &H::Link) {
    H::with(cx, link, Chain::pause);
}

/// Takes back one [`pause`], and goes on if it was the last.
pub fn unpause<H: Host>(cx: H::Cx<'_>, link: &H::Link) {
    let step = H::with(cx, link, |chain| chain.unpause(cx));
    run::<H>(cx, link, step);
}

/// A Deferred that is run because of the one below it.
struct Frame<H: Host> {
    link: H::Link,
    /// What the one below goes on with, if it is in the middle of a rung.
    then: Option<Outcome<H>>,
}

/// Runs a chain from `step` on, and the chains that wait for it or are fired by it: each to its end
/// before the one below goes on.
fn run<H: Host>(cx: H::Cx<'_>, link: &H::Link, mut step: Step<H>) {
    // Those above `link` on what would be the stack, were this recursive.
    let mut above: Vec<Frame<H>> = Vec::new();
    loop {
        let current = above.last().map_or(link, |frame| &frame.link);
        step = match step {
            Step::Stop => {
                // If one that was fed is paused, those below it stay as they are, as in Twisted:
                // whatever moves them next makes them go on.
                let below = std::iter::from_fn(|| above.pop()).find_map(|frame| frame.then);
                let Some(result) = below else { return };
                returned::<H>(cx, top(&above, link), result)
            }
            Step::Rest(note) => {
                tell::<H>(cx, current, note);
                let Some(done) = above.pop() else { return };
                let below = top(&above, link);
                match done.then {
                    Some(result) => returned::<H>(cx, below, result),
                    None => H::with(cx, below, |chain| chain.proceed(cx)),
                }
            }
            Step::Skip(entry) => {
                drop(entry);
                H::with(cx, current, |chain| chain.skipped(cx))
            }
            Step::Call(callback, outcome) => calls::<H>(cx, current, callback, outcome),
            Step::Choose(pair, outcome) => {
                let (callback, errback) = *pair;
                let (chosen, other) = match outcome {
                    Ok(_) => (callback, errback),
                    Err(_) => (errback, callback),
                };
                drop(other);
                calls::<H>(cx, current, chosen, outcome)
            }
            Step::Fire(firing) => {
                let Firing {
                    result,
                    other,
                    outcome,
                } = *firing;
                match H::with(cx, &other, |chain| chain.fire(cx, outcome)) {
                    Ok((canceller, garbage, step)) => {
                        drop((canceller, garbage));
                        above.push(Frame {
                            link: other,
                            then: Some(result),
                        });
                        step
                    }
                    Err(late) => {
                        drop(late);
                        let swallowed = H::with(cx, &other, Chain::swallow);
                        let result = if swallowed {
                            result
                        } else {
                            Err(H::already_called(cx, &other))
                        };
                        returned::<H>(cx, current, result)
                    }
                }
            }
            Step::Feed {
                outer,
                outcome,
                note,
            } => {
                tell::<H>(cx, current, note);
                H::handed_on(cx, current, &outer);
                let (garbage, step) = H::with(cx, &outer, |chain| chain.fed(cx, outcome));
                drop(garbage);
                above.push(Frame {
                    link: outer,
                    then: None,
                });
                step
            }
        }
    }
}

fn top<'a, H: Host>(above: &'a [Frame<H>], link: &'a H::Link) -> &'a H::Link {
    above.last().map_or(link, |frame| &frame.link)
}

/// What a rung of `current` returned is its result now; says what is next.
fn returned<H: Host>(cx: H::Cx<'_>, current: &H::Link, result: Outcome<H>) -> Step<H> {
    let (garbage, step) = H::with(cx, current, |chain| chain.returned(cx, result));
    drop(garbage);
    step
}

/// Calls one rung after the other, as long as that is all there is to do.
fn calls<H: Host>(
    cx: H::Cx<'_>,
    current: &H::Link,
    mut callback: H::Callback,
    mut outcome: Outcome<H>,
) -> Step<H> {
    loop {
        let result = match H::call(cx, current, callback, outcome) {
            Returned::Outcome(result) => result,
            Returned::Deferred(inner) => match join::<H>(cx, current, &inner) {
                Ok(result) => result,
                Err(step) => return step,
            },
            Returned::Fire(firing) => return Step::Fire(firing),
        };
        let (garbage, step) = H::with(cx, current, |chain| chain.returned(cx, result));
        drop(garbage);
        match step {
            Step::Call(next, argument) => (callback, outcome) = (next, argument),
            other => return other,
        }
    }
}

/// A rung of `current` returned `inner`: takes its result, or waits for it, which ends the run.
fn join<H: Host>(cx: H::Cx<'_>, current: &H::Link, inner: &H::Link) -> Result<Outcome<H>, Step<H>> {
    // One that returns itself waits for itself for ever; taking its own argument would be worse.
    if !H::is_same(current, inner)
        && let Some((outcome, note)) = H::with(cx, inner, |chain| chain.steal(cx))
    {
        tell::<H>(cx, inner, note);
        H::handed_on(cx, inner, current);
        return Ok(outcome);
    }
    let back = H::back(cx, inner);
    let (garbage, note) = H::with(cx, current, |chain| chain.wait(back));
    drop(garbage);
    // Last, so that another thread which fires it now finds this one waiting.
    add::<H>(cx, inner, Entry::Feed(H::dup(cx, current)));
    Err(Step::Rest(note))
}

fn tell<H: Host>(cx: H::Cx<'_>, link: &H::Link, note: Note) {
    match note {
        Note::Nothing => {}
        Note::FailureRests => H::failure_rests(cx, link, true),
        Note::FailureLeft => H::failure_rests(cx, link, false),
    }
}
