//! Sending messages to references of every kind, and settling promises.

use std::collections::VecDeque;
use std::sync::Arc;

use super::connection::Connection;
use super::recording::record_message;
use super::{Replay, Turn, Vat};
use crate::captp::{Counted, Target};
use crate::host::{Host, Message, Outcome, OwnedMessage, Ref, Reply};
use crate::promise::{Cell, Embargo, Held, Reaction, Route};
use crate::trace::{self, Arrow, CALL};

/// Where a message to a promise goes now.
enum Hop<H: Host> {
    /// It waits in the promise.
    Waits,
    /// It waits until earlier ones have arrived.
    Held(Arc<Embargo<H>>),
    Peer(Arc<Connection<H>>, Target),
    /// The same, as long as the promise has not settled.
    Ahead(H::Promise, Arc<Connection<H>>, Target),
    Ref(Ref<H>),
    Settled(Outcome<H>),
}

/// What a step has left to do. A queue instead of recursion: a peer can make chains of promises
/// deeper than any stack.
pub(super) enum Work<H: Host> {
    /// Settle a promise, which shares the embargoes of the one that it followed.
    Settle(H::Promise, Outcome<H>, Vec<Arc<Embargo<H>>>),
    /// Send on what an embargo held.
    Lift(Arc<Embargo<H>>),
    /// Send this on.
    Send(Ref<H>, OwnedMessage<H>, Option<H::Promise>),
    /// An answer that a program waits for.
    Gathered(Arc<Replay<H>>, usize, Outcome<H>),
}

impl<H: Host> Vat<H> {
    /// Sends a message and returns the promise for its result.
    pub fn call(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        target: &Ref<H>,
        message: Message<'_, H>,
    ) -> H::Promise {
        let result = H::new_promise(cx, self, Cell::result());
        self.send(cx, target, message, Some(H::dup_promise(cx, &result)));
        result
    }

    /// Sends a message; its result settles `result`. Nothing is delivered before this returns.
    pub fn send(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        target: &Ref<H>,
        message: Message<'_, H>,
        result: Option<H::Promise>,
    ) {
        let result = match record_message(cx, target, message, result) {
            Ok(()) => return,
            Err(result) => result,
        };
        // Not in `travel`: what a promise was resolved to has no more users by that.
        let passed = message.args.refs.iter().chain([target]);
        for reference in passed {
            if let Ref::Promise(promise) = reference {
                H::with_cell(cx, promise, Cell::mark_used);
            }
        }
        let mut work = VecDeque::new();
        self.travel(cx, target.dup(cx), message, result, None, &mut work);
        self.finish(cx, work);
    }

    pub(super) fn finish(self: &Arc<Self>, cx: H::Cx<'_>, mut work: VecDeque<Work<H>>) {
        while let Some(step) = work.pop_front() {
            match step {
                Work::Settle(promise, outcome, shared) => {
                    self.settle_one(cx, &promise, outcome, shared, &mut work);
                }
                Work::Lift(embargo) => self.lift(cx, &embargo, &mut work),
                Work::Send(target, message, result) => {
                    self.travel(cx, target, message.view(), result, None, &mut work);
                }
                Work::Gathered(replay, answer, outcome) => {
                    self.gathered(cx, &replay, answer, outcome, &mut work);
                }
            }
        }
    }

    /// Moves a message on: onto the wire, into the turn queue, or into a promise.
    pub(super) fn travel(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        target: Ref<H>,
        message: Message<'_, H>,
        mut result: Option<H::Promise>,
        through: Option<&Arc<Embargo<H>>>,
        work: &mut VecDeque<Work<H>>,
    ) {
        let mut hop = Hop::Ref(target);
        // The promises that only lead to others: the next message need not pass them.
        let mut passed: Vec<H::Promise> = Vec::new();
        loop {
            hop = match hop {
                Hop::Waits | Hop::Held(_) => return,
                Hop::Peer(connection, to) => {
                    // Without a promise to look at it cannot be refused.
                    let _ = connection.send(cx, to, None, message, result, work);
                    return;
                }
                Hop::Ahead(promise, connection, to) => {
                    let on = Some((&promise, through));
                    match connection.send(cx, to, on, message, result, work) {
                        Ok(()) => return,
                        // It settled in between, on another thread.
                        Err(back) => {
                            result = back;
                            Hop::Ref(Ref::Promise(promise))
                        }
                    }
                }
                Hop::Ref(Ref::Local(object)) => {
                    let message = message.to_owned(cx);
                    return self.push_turn(Turn::Deliver(object, message, result));
                }
                Hop::Ref(Ref::Far(import)) => Hop::Peer(
                    Arc::clone(import.connection()),
                    Target::Export(import.position()),
                ),
                Hop::Ref(Ref::Promise(promise)) => {
                    // Owned before the borrow, because duplicating references needs the host; it
                    // costs a copy only where a message may have to wait.
                    let hop = H::with_cell(cx, &promise, |cell| {
                        if result.is_some() {
                            // Its failure will be the result's, and be seen there.
                            cell.mark_handled();
                        }
                        match cell.embargo(through) {
                            Some(embargo) => Hop::Held(Arc::clone(embargo)),
                            None => next_hop(cx, cell),
                        }
                    });
                    if passed.len() > 1 {
                        shorten::<H>(cx, &mut passed, &promise);
                    }
                    match hop {
                        Hop::Held(embargo) => {
                            let held = Held::Message(
                                H::dup_promise(cx, &promise),
                                message.to_owned(cx),
                                result.take(),
                            );
                            match embargo.hold(held) {
                                Ok(()) => return,
                                // It was lifted in between, on another thread.
                                Err(Held::Message(_, _, back)) => {
                                    result = back;
                                    Hop::Ref(Ref::Promise(promise))
                                }
                                Err(Held::Tell(..)) => return,
                            }
                        }
                        Hop::Ref(next) => {
                            passed.push(promise);
                            Hop::Ref(next)
                        }
                        Hop::Waits => {
                            let opens = H::with_cell(cx, &promise, |cell| {
                                matches!(cell.route(), Some(Route::Opening))
                            });
                            if let Some(result) = result.as_ref().filter(|_| opens) {
                                // It will be the peer's to settle, too.
                                H::with_cell(cx, result, Cell::wait_for_opening);
                            }
                            let waiting = Reaction::Message(message.to_owned(cx), result.take());
                            match H::with_cell(cx, &promise, |cell| cell.react(waiting)) {
                                Ok(()) => Hop::Waits,
                                // It settled in between, on another thread.
                                Err(Reaction::Message(_, back)) => {
                                    result = back;
                                    Hop::Ref(Ref::Promise(promise))
                                }
                                Err(_) => Hop::Waits,
                            }
                        }
                        Hop::Peer(connection, to) => Hop::Ahead(promise, connection, to),
                        hop => hop,
                    }
                }
                Hop::Settled(Outcome::Fulfilled(value)) => match H::target(cx, &value) {
                    Some(reference) => Hop::Ref(reference),
                    None => {
                        let outcome = match self.ask(cx, &value, message, work) {
                            Reply::Value(value) => Outcome::Fulfilled(value),
                            Reply::Failure(failure) => Outcome::Broken(failure),
                            Reply::Promise(other) => {
                                Outcome::Fulfilled(H::value_of(cx, Ref::Promise(other)))
                            }
                        };
                        work.extend(result.map(|result| Work::Settle(result, outcome, Vec::new())));
                        return;
                    }
                },
                Hop::Settled(broken) => {
                    work.extend(result.map(|result| Work::Settle(result, broken, Vec::new())));
                    return;
                }
            };
        }
    }

    /// Adds a callback that runs in a turn of its own once the promise has settled.
    pub fn when(self: &Arc<Self>, cx: H::Cx<'_>, promise: &H::Promise, callback: H::Callback) {
        self.react(cx, promise, Reaction::Call(callback));
    }

    /// Adds a callback that makes a [result](Cell::result), `next`, of what the promise becomes: it runs in
    /// a turn of its own, unless `next` has been cancelled by then.
    pub fn then(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        promise: &H::Promise,
        callback: H::Callback,
        next: &H::Promise,
    ) {
        let _late = H::with_cell(cx, next, |cell| {
            cell.source()
                .and_then(|source| source.replace(H::downgrade(cx, promise)))
        });
        self.react(
            cx,
            promise,
            Reaction::Then(callback, H::dup_promise(cx, next)),
        );
    }

    fn react(self: &Arc<Self>, cx: H::Cx<'_>, promise: &H::Promise, reaction: Reaction<H>) {
        let (late, outcome) = H::with_cell(cx, promise, |cell| {
            let late = cell.react(reaction).err();
            let outcome = late
                .is_some()
                .then(|| cell.outcome().map(|o| o.dup(cx)))
                .flatten();
            (late, outcome)
        });
        match (late, outcome) {
            (Some(Reaction::Call(callback)), Some(outcome)) => {
                self.push_turn(Turn::Call(callback, outcome));
            }
            (Some(Reaction::Then(callback, next)), Some(outcome)) => {
                self.push_turn(Turn::Then(callback, outcome, next));
            }
            _ => {}
        }
    }
}

/// Leads promises that are resolved to others straight to the last one, `end`.
fn shorten<H: Host>(cx: H::Cx<'_>, passed: &mut Vec<H::Promise>, end: &H::Promise) {
    for promise in passed.drain(..) {
        let old = H::with_cell(cx, &promise, |cell| {
            if cell.embargo(None).is_some() || !matches!(cell.route(), Some(Route::Chained(_))) {
                return None;
            }
            Some(cell.set_route(Route::Chained(H::dup_promise(cx, end))))
        });
        drop(old);
    }
}

fn next_hop<H: Host>(cx: H::Cx<'_>, cell: &Cell<H>) -> Hop<H> {
    match (cell.outcome(), cell.route()) {
        (Some(outcome), _) => Hop::Settled(outcome.dup(cx)),
        (None, Some(Route::Question(connection, number))) => {
            Hop::Peer(Arc::clone(connection), Target::Answer(*number))
        }
        (None, Some(Route::Import(import))) => Hop::Peer(
            Arc::clone(import.connection()),
            Target::Export(import.position()),
        ),
        (None, Some(Route::Chained(other))) => Hop::Ref(Ref::Promise(H::dup_promise(cx, other))),
        (None, Some(Route::Here | Route::Opening) | None) => Hop::Waits,
    }
}

/// The promise that a message travels ahead on, and the embargo that it comes through.
type Ahead<'a, H> = (&'a <H as Host>::Promise, Option<&'a Arc<Embargo<H>>>);

impl<H: Host> Connection<H> {
    /// Puts a call on the wire; the answer settles `result`. If the call runs ahead on a promise
    /// that has settled meanwhile, its route is stale (the peer may have been told that we need the
    /// answer no more): then nothing is sent, and `result` is given back.
    pub(super) fn send(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        to: Target,
        ahead_on: Option<Ahead<'_, H>>,
        message: Message<'_, H>,
        result: Option<H::Promise>,
        work: &mut VecDeque<Work<H>>,
    ) -> Result<(), Option<H::Promise>> {
        let question = result.as_ref().map(|result| H::dup_promise(cx, result));
        let (mut stale, mut arrow) = (false, None);
        let introduced = self.introduce(message.args.refs);
        let sent = self.with_session(|session| {
            // Under the session's lock, as releases are.
            stale = ahead_on
                .is_some_and(|(on, through)| !H::with_cell(cx, on, |cell| cell.go_ahead(through)));
            if stale {
                return Err(question);
            }
            if session.closed().is_some() {
                return Err(question);
            }
            let descs = self.describe(cx, session, message.args.refs, &introduced);
            let sent =
                session.deliver(to, message.selector, message.args.bytes, &descs, question)?;
            if trace::is_on() {
                arrow = session.arrow(true, Counted::Call);
            }
            Ok(sent)
        });
        if stale {
            return Err(result);
        }
        self.note_sent(message.selector.unwrap_or(CALL), arrow);
        match (sent, result) {
            (Ok(Some(number)), Some(result)) => {
                let route = Route::Question(Arc::clone(self), number);
                // The old route holds nothing but perhaps a handle; it is dropped out here.
                let (_old, embargo) = H::with_cell(cx, &result, |cell| {
                    let (old, waiting) = cell.set_route(route);
                    // What was sent to the result before follows, ahead of what will be.
                    let embargo = (!waiting.is_empty()).then(|| Embargo::new(cx, &result, waiting));
                    if let Some(embargo) = &embargo {
                        cell.add_embargo(Arc::clone(embargo));
                    }
                    (old, embargo)
                });
                work.extend(embargo.map(Work::Lift));
            }
            (Err(_), Some(result)) => {
                let failure = H::failure(cx, self.gone());
                work.push_back(Work::Settle(result, Outcome::Broken(failure), Vec::new()));
            }
            _ => {}
        }
        Ok(())
    }

    /// Notes that a message of that name was sent to the peer.
    pub(super) fn note_sent(&self, what: &str, arrow: Option<Arrow>) {
        if let Some(arrow) = arrow
            && let Some(trace) = self.vat().and_then(|vat| vat.tracing())
        {
            trace.sent(what, arrow);
        }
    }

    /// Asks the peer's bootstrap object for what is registered under `swiss`.
    pub(super) fn ask_for_object(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        vat: &Arc<Vat<H>>,
        swiss: &[u8],
        result: H::Promise,
    ) {
        let mut args = crate::passable::Builder::default();
        args.bytes(swiss);
        let message = Message::new(Some("fetch"), args.view());
        let mut work = VecDeque::new();
        // Without a promise to look at it cannot be refused.
        let _ = self.send(
            cx,
            Target::Export(0),
            None,
            message,
            Some(result),
            &mut work,
        );
        vat.finish(cx, work);
    }
}
