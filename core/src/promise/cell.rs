//! The state of one promise.

use std::sync::{Arc, Weak};

use crate::host::{Host, Outcome, OwnedMessage};
use crate::vat::{Connection, Import, Replay};

use super::embargo::Embargo;
use super::interest::Made;
use crate::flat::drop_flat;

/// One promise.
///
/// ```text
///                    ┌── resolved to a value ──▶ Fulfilled
///   Pending ─────────┤
///   (route: where    └── smashed, or the connection lost ──▶ Broken
///    messages go meanwhile)
/// ```
///
/// It settles once; whatever comes later is ignored. While it is pending, messages sent to it take
/// its route: they wait here, or travel ahead to where the value will be.
pub struct Cell<H: Host> {
    pub(crate) state: State<H>,
    /// Messages have travelled ahead along the route.
    ahead: bool,
    /// What later messages wait for, one after the other.
    embargoes: Vec<Arc<Embargo<H>>>,
    /// True once anybody asked for the outcome, so a failure will be seen.
    handled: bool,
    /// True once messages were sent to it, or it was passed on: somebody has use for it.
    used: bool,
    made: Made,
    /// The promise whose outcome it is made from, by a function. That one holds this one.
    source: Option<H::WeakPromise>,
}

pub(crate) enum State<H: Host> {
    Pending {
        route: Route<H>,
        reactions: Vec<Reaction<H>>,
    },
    Settled(Outcome<H>),
}

/// Where messages to a pending promise go.
pub enum Route<H: Host> {
    /// They wait among the reactions.
    Here,
    /// The same, until it is known which connection leads to the peer who will answer.
    Opening,
    /// To the peer who will answer this question of ours: pipelining.
    Question(Arc<Connection<H>>, u64),
    /// To the peer whose promise this is.
    Import(Arc<Import<H>>),
    /// To the promise that this one was resolved to.
    Chained(H::Promise),
}

/// What to do when a promise settles, in the order given.
pub(crate) enum Reaction<H: Host> {
    /// Run this, in a turn of its own.
    Call(H::Callback),
    /// The same, if that promise, which is for the result, is pending still.
    Then(H::Callback, H::Promise),
    /// Settle that promise alike.
    Feed(H::Promise),
    /// Deliver a message that waits for the target; its result settles the promise, if given.
    Message(OwnedMessage<H>, Option<H::Promise>),
    /// Lift an embargo: the peer has sent on what went ahead.
    Lift(Arc<Embargo<H>>),
    /// Run this if the promise is cancelled, and only then.
    Cancel(H::Callback),
    /// Give up that program if the promise is cancelled, and only then.
    Abandon(Weak<Replay<H>>),
    /// A program waits for it, as its answer of that number.
    Gather(Arc<Replay<H>>, usize),
    /// Tell a peer's resolver.
    Tell(Arc<Connection<H>>, u64),
}

/// Messages that waited for a promise, and the promises for their results.
pub(crate) type Waiting<H> = Vec<(OwnedMessage<H>, Option<<H as Host>::Promise>)>;

/// What a promise leaves behind when it settles: what to do, and the route and the source that are needed
/// no more.
pub(crate) type Leftovers<H> = (
    Vec<Reaction<H>>,
    (Route<H>, Option<<H as Host>::WeakPromise>),
);

impl<H: Host> Cell<H> {
    /// A promise that this vat will resolve.
    pub fn pending() -> Self {
        Self::routed(Route::Here)
    }

    /// A promise for what comes of a message, or of a function that is given to `then`. It may be given up
    /// when nobody waits for it any more: see [`Vat::cancel`](crate::vat::Vat::cancel).
    pub fn result() -> Self {
        let mut cell = Self::pending();
        cell.made = Made::AsResult;
        cell
    }

    /// A promise whose value lies along `route`.
    pub fn routed(route: Route<H>) -> Self {
        Self::in_state(State::Pending {
            route,
            reactions: Vec::new(),
        })
    }

    fn in_state(state: State<H>) -> Self {
        Self {
            state,
            ahead: false,
            embargoes: Vec::new(),
            handled: false,
            used: false,
            made: Made::ToBeResolved,
            source: None,
        }
    }

    /// A promise that is settled already.
    pub fn settled(outcome: Outcome<H>) -> Self {
        Self::in_state(State::Settled(outcome))
    }

    /// The outcome, if there is one.
    pub fn outcome(&self) -> Option<&Outcome<H>> {
        match &self.state {
            State::Settled(outcome) => Some(outcome),
            State::Pending { .. } => None,
        }
    }

    /// True until the promise settles.
    pub fn is_pending(&self) -> bool {
        self.outcome().is_none()
    }

    /// Notes that somebody looks at the outcome, so that a failure need not be reported.
    pub fn mark_handled(&mut self) {
        self.handled = true;
    }

    /// The failure that nobody has looked at, if this promise ended so. For the host's destructor.
    pub fn unhandled(&self) -> Option<&H::Failure> {
        match &self.state {
            State::Settled(Outcome::Broken(failure)) if !self.handled => Some(failure),
            _ => None,
        }
    }

    /// Notes that a message was sent to it, or that it was passed on.
    pub(crate) fn mark_used(&mut self) {
        self.used = true;
    }

    pub(super) fn is_used(&self) -> bool {
        self.used
    }

    pub(crate) fn made(&mut self) -> &mut Made {
        &mut self.made
    }

    /// The promise whose outcome a pending one is made from.
    pub(crate) fn source(&mut self) -> Option<&mut Option<H::WeakPromise>> {
        match self.state {
            State::Pending { .. } => Some(&mut self.source),
            State::Settled(_) => None,
        }
    }

    /// What waits for a pending promise.
    pub(super) fn reactions_mut(&mut self) -> Option<&mut Vec<Reaction<H>>> {
        match &mut self.state {
            State::Pending { reactions, .. } => Some(reactions),
            State::Settled(_) => None,
        }
    }

    /// Adds a reaction to a pending promise; gives it back if the promise has settled.
    pub(crate) fn react(&mut self, reaction: Reaction<H>) -> Result<(), Reaction<H>> {
        self.handled = true;
        match &mut self.state {
            State::Pending { reactions, .. } => {
                reactions.push(reaction);
                Ok(())
            }
            State::Settled(_) => Err(reaction),
        }
    }

    /// Settles a pending promise and returns what waited for it; gives the outcome back if it had
    /// settled before.
    pub(crate) fn settle(&mut self, outcome: Outcome<H>) -> Result<Leftovers<H>, Outcome<H>> {
        match std::mem::replace(&mut self.state, State::Settled(outcome)) {
            State::Pending { route, reactions } => Ok((reactions, (route, self.source.take()))),
            settled @ State::Settled(_) => match std::mem::replace(&mut self.state, settled) {
                State::Settled(late) => Err(late),
                State::Pending { .. } => unreachable!("it was replaced by a settled state"),
            },
        }
    }

    /// Notes that a message travels ahead along the route, `through` an embargo that is being
    /// lifted. False if the promise has settled, or taken another way, and the message must not.
    pub(crate) fn go_ahead(&mut self, through: Option<&Arc<Embargo<H>>>) -> bool {
        let may = self.is_pending() && self.embargo(through).is_none();
        self.ahead |= may;
        may
    }

    /// True if messages have travelled ahead; no more so once it was asked.
    pub(crate) fn take_ahead(&mut self) -> bool {
        std::mem::take(&mut self.ahead)
    }

    /// The embargo that a message has to wait for, if it does not come `through` that one.
    pub(crate) fn embargo(
        &mut self,
        through: Option<&Arc<Embargo<H>>>,
    ) -> Option<&Arc<Embargo<H>>> {
        if self.embargoes.is_empty() {
            return None;
        }
        self.embargoes.retain(|embargo| embargo.is_active());
        let is_other = |one: &&Arc<Embargo<H>>| !through.is_some_and(|this| Arc::ptr_eq(one, this));
        self.embargoes.iter().find(is_other)
    }

    /// True if messages to a promise that has settled have to wait still, for those sent before: they
    /// must go through the promise, not to what it has become.
    pub fn is_embargoed(&mut self) -> bool {
        self.embargo(None).is_some()
    }

    /// Puts an embargo on later messages, behind those in force.
    pub(crate) fn add_embargo(&mut self, embargo: Arc<Embargo<H>>) {
        self.embargoes.push(embargo);
    }

    /// Notes that a peer will answer, as soon as there is a connection to it.
    pub(crate) fn wait_for_opening(&mut self) {
        if let State::Pending {
            route: route @ Route::Here,
            ..
        } = &mut self.state
        {
            *route = Route::Opening;
        }
    }

    /// Where messages go while the promise is pending.
    pub(crate) fn route(&self) -> Option<&Route<H>> {
        match &self.state {
            State::Pending { route, .. } => Some(route),
            State::Settled(_) => None,
        }
    }

    /// Sets the route of a pending promise; returns the old one, or the new one if it is too late,
    /// and the messages that wait here, to be sent along the new route before any others.
    pub(crate) fn set_route(&mut self, new: Route<H>) -> (Route<H>, Waiting<H>) {
        match &mut self.state {
            State::Settled(_) => (new, Vec::new()),
            State::Pending { route, reactions } => {
                let old = std::mem::replace(route, new);
                if reactions.is_empty() {
                    return (old, Vec::new());
                }
                let mut waiting = Vec::new();
                for reaction in std::mem::take(reactions) {
                    match reaction {
                        Reaction::Message(message, result) => waiting.push((message, result)),
                        other => reactions.push(other),
                    }
                }
                (old, waiting)
            }
        }
    }

    /// Every promise that this one holds, for the host's collector to visit.
    pub fn promises(&self) -> impl Iterator<Item = &H::Promise> {
        let (route, reactions) = match &self.state {
            State::Pending { route, reactions } => (Some(route), reactions.as_slice()),
            State::Settled(_) => (None, &[][..]),
        };
        let chained = match route {
            Some(Route::Chained(promise)) => Some(promise),
            _ => None,
        };
        let waiting = reactions.iter().filter_map(|reaction| match reaction {
            Reaction::Feed(promise)
            | Reaction::Then(_, promise)
            | Reaction::Message(_, Some(promise)) => Some(promise),
            _ => None,
        });
        chained.into_iter().chain(waiting)
    }

    /// Every callback that waits here, for the host's collector to visit.
    pub fn callbacks(&self) -> impl Iterator<Item = &H::Callback> {
        let reactions = match &self.state {
            State::Pending { reactions, .. } => reactions.as_slice(),
            State::Settled(_) => &[],
        };
        reactions.iter().filter_map(|reaction| match reaction {
            Reaction::Call(callback) | Reaction::Then(callback, _) | Reaction::Cancel(callback) => {
                Some(callback)
            }
            _ => None,
        })
    }
}

impl<H: Host> Drop for Cell<H> {
    /// Promises hold one another, in chains deeper than any stack.
    fn drop(&mut self) {
        let nothing = State::Pending {
            route: Route::Here,
            reactions: Vec::new(),
        };
        drop_flat(std::mem::replace(&mut self.state, nothing));
    }
}

impl<H: Host> std::fmt::Debug for Cell<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match &self.state {
            State::Pending { .. } => "pending",
            State::Settled(Outcome::Fulfilled(_)) => "fulfilled",
            State::Settled(Outcome::Broken(_)) => "broken",
        })
    }
}
