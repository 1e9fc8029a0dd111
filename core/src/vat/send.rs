//! Sending messages to references of every kind, and settling promises.

use std::collections::VecDeque;
use std::sync::Arc;

use super::connection::Connection;
use super::{Turn, Vat};
use crate::captp::Target;
use crate::error::Error;
use crate::host::{Host, Message, Outcome, OwnedMessage, Ref};
use crate::promise::{Cell, Reaction, Route};

/// Where a message to a promise goes now.
enum Hop<H: Host> {
    /// It waits in the promise.
    Waits,
    Peer(Arc<Connection<H>>, Target),
    /// The same, as long as the promise has not settled.
    Ahead(H::Promise, Arc<Connection<H>>, Target),
    Ref(Ref<H>),
    Settled(Outcome<H>),
}

/// What a step has left to do. A queue instead of recursion: a peer can make chains of promises
/// deeper than any stack.
enum Work<H: Host> {
    Settle(H::Promise, Outcome<H>),
    Send(Ref<H>, OwnedMessage<H>, Option<H::Promise>),
}

impl<H: Host> Vat<H> {
    /// Sends a message and returns the promise for its result.
    pub fn call(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        target: &Ref<H>,
        message: Message<'_, H>,
    ) -> H::Promise {
        let result = H::new_promise(cx, self, Cell::pending());
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
        let mut work = VecDeque::new();
        self.dispatch(cx, target, message, result, &mut work);
        self.finish(cx, work);
    }

    fn finish(self: &Arc<Self>, cx: H::Cx<'_>, mut work: VecDeque<Work<H>>) {
        while let Some(step) = work.pop_front() {
            match step {
                Work::Settle(promise, outcome) => {
                    self.settle_one(cx, &promise, outcome, &mut work);
                }
                Work::Send(target, message, result) => {
                    self.dispatch(cx, &target, message.view(), result, &mut work);
                }
            }
        }
    }

    /// Moves a message one step on: onto the wire, into the turn queue, or into a promise.
    fn dispatch(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        target: &Ref<H>,
        message: Message<'_, H>,
        mut result: Option<H::Promise>,
        work: &mut VecDeque<Work<H>>,
    ) {
        let mut hop = Hop::Ref(target.dup(cx));
        loop {
            hop = match hop {
                Hop::Waits => return,
                Hop::Peer(connection, to) => {
                    // Without a promise to look at it cannot be refused.
                    let _ = connection.send(cx, to, None, message, result, work);
                    return;
                }
                Hop::Ahead(promise, connection, to) => {
                    match connection.send(cx, to, Some(&promise), message, result, work) {
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
                        next_hop(cx, cell)
                    });
                    match hop {
                        Hop::Waits => {
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
                        let failure = H::failure(cx, Error::not_a_target());
                        Hop::Settled(Outcome::Broken(failure))
                    }
                },
                Hop::Settled(broken) => {
                    work.extend(result.map(|result| Work::Settle(result, broken)));
                    return;
                }
            };
        }
    }

    /// Adds a callback that runs in a turn of its own once the promise has settled.
    pub fn when(self: &Arc<Self>, cx: H::Cx<'_>, promise: &H::Promise, callback: H::Callback) {
        let (late, outcome) = H::with_cell(cx, promise, |cell| {
            let late = cell.react(Reaction::Call(callback)).err();
            let outcome = late
                .is_some()
                .then(|| cell.outcome().map(|o| o.dup(cx)))
                .flatten();
            (late, outcome)
        });
        if let (Some(Reaction::Call(callback)), Some(outcome)) = (late, outcome) {
            self.push_turn(Turn::Call(callback, outcome));
        }
    }

    /// Tells a peer's resolver once the promise has settled.
    pub(super) fn tell_when_settled(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        promise: &H::Promise,
        connection: &Arc<Connection<H>>,
        resolver: u64,
    ) {
        let settled = H::with_cell(cx, promise, |cell| {
            let late = cell
                .react(Reaction::Tell(Arc::clone(connection), resolver))
                .is_err();
            late.then(|| cell.outcome().map(|outcome| outcome.dup(cx)))
                .flatten()
        });
        if let Some(outcome) = settled {
            connection.tell(cx, resolver, &outcome);
        }
    }

    /// Settles a promise, unless it has settled before. Fulfilling it with another promise chains
    /// it to that one; a cycle breaks it.
    pub fn settle(self: &Arc<Self>, cx: H::Cx<'_>, promise: H::Promise, outcome: Outcome<H>) {
        let mut work = VecDeque::new();
        self.settle_one(cx, &promise, outcome, &mut work);
        self.finish(cx, work);
    }

    fn settle_one(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        promise: &H::Promise,
        outcome: Outcome<H>,
        work: &mut VecDeque<Work<H>>,
    ) {
        let Some(outcome) = self.follow(cx, promise, outcome, work) else {
            return;
        };
        let settled = H::with_cell(cx, promise, |cell| cell.settle(outcome));
        let Ok((reactions, _route)) = settled else {
            return;
        };
        if reactions.is_empty() {
            return;
        }
        let Some(outcome) = H::with_cell(cx, promise, |c| c.outcome().map(|o| o.dup(cx))) else {
            return;
        };
        for reaction in reactions {
            match reaction {
                Reaction::Call(callback) => {
                    if let Some(callback) = H::notify(cx, self, callback, &outcome) {
                        self.push_turn(Turn::Call(callback, outcome.dup(cx)));
                    }
                }
                Reaction::Feed(other) => work.push_back(Work::Settle(other, outcome.dup(cx))),
                Reaction::Tell(connection, resolver) => connection.tell(cx, resolver, &outcome),
                Reaction::Message(message, result) => {
                    let target = Ref::Promise(H::dup_promise(cx, promise));
                    work.push_back(Work::Send(target, message, result));
                }
            }
        }
    }

    /// If the outcome is itself a promise, chains to it or takes its outcome.
    fn follow(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        promise: &H::Promise,
        outcome: Outcome<H>,
        work: &mut VecDeque<Work<H>>,
    ) -> Option<Outcome<H>> {
        let Outcome::Fulfilled(value) = &outcome else {
            return Some(outcome);
        };
        let Some(Ref::Promise(mut other)) = H::target(cx, value) else {
            return Some(outcome);
        };
        let end = loop {
            if H::is_same_promise(promise, &other) {
                let error = Error::Misuse("a promise cannot be resolved to itself".to_owned());
                return Some(Outcome::Broken(H::failure(cx, error)));
            }
            let next = H::with_cell(cx, &other, |cell| match cell.route() {
                Some(Route::Chained(next)) => Some(H::dup_promise(cx, next)),
                _ => None,
            });
            match next {
                Some(next) => other = next,
                None => break other,
            }
        };
        let waiting = H::with_cell(cx, promise, |cell| {
            let route = Route::Chained(H::dup_promise(cx, &end));
            cell.is_pending().then(|| cell.set_route(route))
        });
        let (_old, waiting) = waiting?;
        // Messages that wait here go first, so that order is kept.
        for (message, result) in waiting {
            work.push_back(Work::Send(
                Ref::Promise(H::dup_promise(cx, &end)),
                message,
                result,
            ));
        }
        let feed = Reaction::Feed(H::dup_promise(cx, promise));
        H::with_cell(cx, &end, |cell| match cell.react(feed) {
            Ok(()) => None,
            Err(_) => cell.outcome().map(|outcome| outcome.dup(cx)),
        })
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
        (None, Some(Route::Here) | None) => Hop::Waits,
    }
}

impl<H: Host> Connection<H> {
    /// Puts a call on the wire; the answer settles `result`. If the call runs ahead on a promise
    /// that has settled meanwhile, its route is stale (the peer may have been told that we need the
    /// answer no more): then nothing is sent, and `result` is given back.
    fn send(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        to: Target,
        ahead_on: Option<&H::Promise>,
        message: Message<'_, H>,
        result: Option<H::Promise>,
        work: &mut VecDeque<Work<H>>,
    ) -> Result<(), Option<H::Promise>> {
        let question = result.as_ref().map(|result| H::dup_promise(cx, result));
        let mut stale = false;
        let sent = self.with_session(|session| {
            // Under the session's lock, as releases are.
            stale = ahead_on.is_some_and(|on| !H::with_cell(cx, on, |cell| cell.is_pending()));
            if stale {
                return Err(question);
            }
            if session.closed().is_some() {
                return Err(question);
            }
            let descs = self.describe(cx, session, message.args.refs);
            session.deliver(to, message.selector, message.args.bytes, &descs, question)
        });
        if stale {
            return Err(result);
        }
        match (sent, result) {
            (Ok(Some(number)), Some(result)) => {
                let route = Route::Question(Arc::clone(self), number);
                // The old route holds nothing but perhaps a handle; it is dropped out here.
                let (_old, waiting) = H::with_cell(cx, &result, |cell| cell.set_route(route));
                // What was sent to the result before follows, ahead of what will be.
                for (message, next) in waiting {
                    let target = Ref::Promise(H::dup_promise(cx, &result));
                    work.push_back(Work::Send(target, message, next));
                }
            }
            (Err(_), Some(result)) => {
                let failure = H::failure(cx, self.gone());
                work.push_back(Work::Settle(result, Outcome::Broken(failure)));
            }
            _ => {}
        }
        Ok(())
    }

    /// Asks the peer's bootstrap object for what is registered under `swiss`.
    pub fn fetch(self: &Arc<Self>, cx: H::Cx<'_>, vat: &Arc<Vat<H>>, swiss: &[u8]) -> H::Promise {
        let result = H::new_promise(cx, vat, Cell::pending());
        let mut args = crate::passable::Builder::default();
        args.bytes(swiss);
        let message = Message {
            selector: Some("fetch"),
            args: args.view(),
        };
        let mut work = VecDeque::new();
        let asked = Some(H::dup_promise(cx, &result));
        // Without a promise to look at it cannot be refused.
        let _ = self.send(cx, Target::Export(0), None, message, asked, &mut work);
        vat.finish(cx, work);
        result
    }
}
