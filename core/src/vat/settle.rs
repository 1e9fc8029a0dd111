//! Settling promises, and what that sets going.

use std::collections::VecDeque;
use std::sync::Arc;

use super::connection::Connection;
use super::send::Work;
use super::{Turn, Vat, is_settled};
use crate::captp::Target;
use crate::error::Error;
use crate::host::{Host, Outcome, Ref};
use crate::promise::{Cell, Embargo, Held, Reaction, Route, Waiting};

/// Why a promise breaks whose resolver is no more, in every language.
pub const RESOLVER_DROPPED: &str =
    "RuntimeError: the resolver was dropped, so nobody will resolve the promise";

impl<H: Host> Vat<H> {
    /// Tells a peer's resolver once the promise has settled.
    pub(super) fn tell_when_settled(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        promise: &H::Promise,
        connection: &Arc<Connection<H>>,
        resolver: u64,
    ) {
        self.tell_through(cx, promise, connection, resolver, None);
    }

    fn tell_through(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        promise: &H::Promise,
        connection: &Arc<Connection<H>>,
        resolver: u64,
        through: Option<&Arc<Embargo<H>>>,
    ) {
        enum When<H: Host> {
            Later,
            Now(Outcome<H>),
            /// It is for the peer itself to know when that settles, and whether it leads in a circle.
            Own(H::Promise),
        }
        let own = own_promise(cx, promise, connection);
        let when = H::with_cell(cx, promise, |cell| {
            // A peer that asks now may be about to lift an embargo of its own: what is held here has
            // to go on first.
            if let Some(embargo) = cell.embargo(through) {
                let held = Held::Tell(
                    H::dup_promise(cx, promise),
                    Arc::clone(connection),
                    resolver,
                );
                if embargo.hold(held).is_ok() {
                    return When::Later;
                }
            }
            if let Some(own) = own.filter(|_| cell.is_pending()) {
                cell.mark_handled();
                return When::Own(own);
            }
            let late = cell
                .react(Reaction::Tell(Arc::clone(connection), resolver))
                .is_err();
            match cell.outcome() {
                Some(outcome) if late => When::Now(outcome.dup(cx)),
                _ => When::<H>::Later,
            }
        });
        let outcome = match when {
            When::Later => return,
            When::Now(outcome) => outcome,
            When::Own(own) => Outcome::Fulfilled(H::value_of(cx, Ref::Promise(own))),
        };
        connection.tell(cx, self, resolver, &outcome);
    }

    /// Settles a promise, unless it has settled before. Fulfilling it with another promise chains
    /// it to that one; a cycle breaks it.
    pub fn settle(self: &Arc<Self>, cx: H::Cx<'_>, promise: H::Promise, outcome: Outcome<H>) {
        let mut work = VecDeque::new();
        self.settle_one(cx, &promise, outcome, Vec::new(), &mut work);
        self.finish(cx, work);
    }

    pub(super) fn settle_one(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        promise: &H::Promise,
        outcome: Outcome<H>,
        shared: Vec<Arc<Embargo<H>>>,
        work: &mut VecDeque<Work<H>>,
    ) {
        let Some(outcome) = self.follow(cx, promise, outcome, work) else {
            return;
        };
        // Messages that have gone ahead to a peer must arrive before any that go elsewhere now. A
        // failure or plain data they find wherever they are.
        let leads_to = match &outcome {
            Outcome::Fulfilled(value) => H::target(cx, value),
            Outcome::Broken(_) => None,
        };
        let settled = H::with_cell(cx, promise, |cell| {
            let way = cell.route().and_then(way_of);
            let (mut reactions, leftovers) = cell.settle(outcome)?;
            let detour = cell.take_ahead() && leads_to.is_some();
            let fence = way.filter(|(connection, _)| {
                detour && !matches!(&leads_to, Some(Ref::Far(at)) if Arc::ptr_eq(at.connection(), connection))
            });
            let waiting = take_messages(&mut reactions);
            let mut embargoes = shared;
            let own = (fence.is_some() || !waiting.is_empty())
                .then(|| Embargo::new(cx, promise, waiting));
            embargoes.extend(own.clone());
            for embargo in &embargoes {
                cell.add_embargo(Arc::clone(embargo));
            }
            Ok::<_, Outcome<H>>((reactions, leftovers, fence, own, embargoes))
        });
        // If it had settled before, this outcome is dropped out here.
        let Ok((reactions, _leftovers, fence, own, embargoes)) = settled else {
            return;
        };
        if let Some(embargo) = &own {
            self.lift_after(cx, fence, embargo, work);
        }
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
                Reaction::Then(callback, next) => {
                    self.push_turn(Turn::Then(callback, outcome.dup(cx), next));
                }
                Reaction::Feed(other) => {
                    work.push_back(Work::Settle(other, outcome.dup(cx), embargoes.clone()));
                }
                Reaction::Gather(replay, answer) => {
                    work.push_back(Work::Gathered(replay, answer, outcome.dup(cx)));
                }
                Reaction::Tell(connection, resolver) => {
                    connection.tell(cx, self, resolver, &outcome)
                }
                Reaction::Lift(embargo) => work.push_back(Work::Lift(embargo)),
                // Messages were taken out; and this is no cancelling.
                Reaction::Message(..) | Reaction::Cancel(_) | Reaction::Abandon(_) => {}
            }
        }
    }

    /// Lifts an embargo: at once, or when the peer has sent on what went ahead to it. It is asked to
    /// tell when the promise settles, which it has; so its answer comes behind what it sent on.
    fn lift_after(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        fence: Option<(Arc<Connection<H>>, Target)>,
        embargo: &Arc<Embargo<H>>,
        work: &mut VecDeque<Work<H>>,
    ) {
        if let Some((connection, target)) = fence {
            let mut cell = Cell::pending();
            let lift = Reaction::Lift(Arc::clone(embargo));
            // It is pending, so the reaction stays; and nobody else needs to look at it.
            let _ = cell.react(lift);
            let answer = H::new_promise(cx, self, cell);
            if connection
                .with_session(|session| session.listen(target, answer))
                .is_ok()
            {
                return;
            }
        }
        work.push_back(Work::Lift(Arc::clone(embargo)));
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
                return Some(circle::<H>(cx));
            }
            let next = H::with_cell(cx, &other, |cell| {
                // Its failure will be this one's, which may follow the one that it leads to.
                cell.mark_handled();
                match cell.route() {
                    Some(Route::Chained(next)) => Some(H::dup_promise(cx, next)),
                    _ => None,
                }
            });
            match next {
                Some(next) => other = next,
                None => break other,
            }
        };
        let beyond = H::with_cell(cx, &end, |cell| match cell.embargo(None) {
            Some(_) => None,
            None => cell.route().and_then(way_of),
        });
        let chained = H::with_cell(cx, promise, |cell| {
            if !cell.is_pending() {
                return None;
            }
            let way = cell.route().and_then(way_of);
            let (old, waiting) = cell.set_route(Route::Chained(H::dup_promise(cx, &end)));
            let fence = way.filter(|(connection, _)| {
                cell.take_ahead()
                    && !matches!(&beyond, Some((next, _)) if Arc::ptr_eq(next, connection))
            });
            // Messages that wait here go first, so that order is kept.
            let embargo = (fence.is_some() || !waiting.is_empty())
                .then(|| Embargo::new(cx, promise, waiting));
            if let Some(embargo) = &embargo {
                cell.add_embargo(Arc::clone(embargo));
            }
            Some((old, fence, embargo))
        });
        let (_old, fence, embargo) = chained?;
        self.tell_owner(cx, promise, &end);
        if let Some(embargo) = &embargo {
            self.lift_after(cx, fence, embargo, work);
        }
        // Meanwhile another thread may have led the end here.
        if leads_to::<H>(cx, &end, promise) {
            return Some(circle::<H>(cx));
        }
        let feed = Reaction::Feed(H::dup_promise(cx, promise));
        H::with_cell(cx, &end, |cell| match cell.react(feed) {
            Ok(()) => None,
            Err(_) => cell.outcome().map(|outcome| outcome.dup(cx)),
        })
    }

    /// Tells the peer whose promise `end` is, if it wants to know what becomes of `promise`, that it is
    /// that one. (OCapN CapTP draft, `op:listen`: fulfilment with a promise of the listener's.)
    fn tell_owner(self: &Arc<Self>, cx: H::Cx<'_>, promise: &H::Promise, end: &H::Promise) {
        let owner = H::with_cell(cx, end, |cell| match cell.route() {
            Some(Route::Import(import)) => Some(Arc::clone(import.connection())),
            _ => None,
        });
        let Some(owner) = owner else { return };
        let resolvers = H::with_cell(cx, promise, |cell| cell.take_tells(&owner));
        for resolver in resolvers {
            let value = H::value_of(cx, Ref::Promise(H::dup_promise(cx, end)));
            owner.tell(cx, self, resolver, &Outcome::Fulfilled(value));
        }
    }

    /// Sends on what an embargo held, in order.
    pub(super) fn lift(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        embargo: &Arc<Embargo<H>>,
        work: &mut VecDeque<Work<H>>,
    ) {
        loop {
            let held = embargo.take();
            if held.is_empty() {
                return;
            }
            for item in held {
                match item {
                    // Whoever has sent it has cancelled it since.
                    Held::Message(_, _, Some(result)) if is_settled::<H>(cx, &result) => {}
                    Held::Message(promise, message, result) => {
                        let target = Ref::Promise(promise);
                        self.travel(cx, target, message.view(), result, Some(embargo), work);
                    }
                    Held::Tell(promise, connection, resolver) => {
                        self.tell_through(cx, &promise, &connection, resolver, Some(embargo));
                    }
                }
            }
        }
    }
}

fn circle<H: Host>(cx: H::Cx<'_>) -> Outcome<H> {
    let error = Error::Misuse("a promise cannot be resolved to itself".to_owned());
    Outcome::Broken(H::failure(cx, error))
}

/// True if a promise was resolved to another one, be it by way of more.
fn leads_to<H: Host>(cx: H::Cx<'_>, from: &H::Promise, to: &H::Promise) -> bool {
    let next = |promise: &H::Promise| {
        H::with_cell(cx, promise, |cell| match cell.route() {
            Some(Route::Chained(next)) => Some(H::dup_promise(cx, next)),
            _ => None,
        })
    };
    let mut here = next(from);
    while let Some(promise) = here {
        if H::is_same_promise(&promise, to) {
            return true;
        }
        here = next(&promise);
    }
    false
}

/// The promise of that peer's which a pending one is, or was resolved to.
fn own_promise<H: Host>(
    cx: H::Cx<'_>,
    promise: &H::Promise,
    connection: &Arc<Connection<H>>,
) -> Option<H::Promise> {
    enum Step<P> {
        Next(P),
        Is(bool),
    }
    let mut here = H::dup_promise(cx, promise);
    loop {
        let step = H::with_cell(cx, &here, |cell| match cell.route() {
            Some(Route::Chained(next)) => Step::Next(H::dup_promise(cx, next)),
            Some(Route::Import(import)) => Step::Is(Arc::ptr_eq(import.connection(), connection)),
            _ => Step::Is(false),
        });
        match step {
            Step::Next(next) => here = next,
            Step::Is(own) => return own.then_some(here),
        }
    }
}

/// Where messages to a promise travel ahead to.
fn way_of<H: Host>(route: &Route<H>) -> Option<(Arc<Connection<H>>, Target)> {
    match route {
        Route::Question(connection, number) => {
            Some((Arc::clone(connection), Target::Answer(*number)))
        }
        Route::Import(import) => Some((
            Arc::clone(import.connection()),
            Target::Export(import.position()),
        )),
        Route::Here | Route::Opening | Route::Chained(_) => None,
    }
}

fn take_messages<H: Host>(reactions: &mut Vec<Reaction<H>>) -> Waiting<H> {
    let mut waiting = Vec::new();
    if reactions
        .iter()
        .any(|reaction| matches!(reaction, Reaction::Message(..)))
    {
        for reaction in std::mem::take(reactions) {
            match reaction {
                Reaction::Message(message, result) => waiting.push((message, result)),
                other => reactions.push(other),
            }
        }
    }
    waiting
}
