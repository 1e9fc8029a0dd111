//! The queue of turns.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::{Replay, Vat, is_settled};
use crate::host::{Host, Outcome, OwnedMessage};
use crate::sync::lock;
use crate::trace::{Arrow, CALL, Trace};

/// What is to be done, one turn after the other, each to its end.
///
/// Vats whose objects run on one event loop share a queue: they are one vat as its objects see it, so
/// messages keep their order whichever of them each goes through. See [`Host::turn_queue`].
pub struct TurnQueue<H: Host> {
    turns: Mutex<Turns<H>>,
    /// Turns say whose they are. In a queue of one vat that would keep it alive for ever.
    shared: bool,
}

struct Turns<H: Host> {
    queue: VecDeque<Entry<H>>,
    /// True while somebody has promised to run the turns.
    scheduled: bool,
}

/// Whose turn it is, where that is not plain, what is to be done, and because of what, if that is noted.
type Entry<H> = (Option<Arc<Vat<H>>>, Turn<H>, Option<Arrow>);

/// One step of a vat's work.
pub(crate) enum Turn<H: Host> {
    /// Run a callback with the outcome that it waited for.
    Call(H::Callback, Outcome<H>),
    /// The same, unless the promise for its result has been cancelled.
    Then(H::Callback, Outcome<H>, H::Promise),
    /// Deliver a message to a local object; its result settles the promise.
    Deliver(H::Object, OwnedMessage<H>, Option<H::Promise>),
    /// Go on with a program.
    Replay(Arc<Replay<H>>),
}

/// What a turn is called that is no message's.
const THEN: &str = "then";

impl<H: Host> Turn<H> {
    fn name(&self) -> &str {
        match self {
            Self::Call(..) | Self::Then(..) => THEN,
            Self::Deliver(_, message, _) => message.selector.as_deref().unwrap_or(CALL),
            Self::Replay(_) => "map",
        }
    }
}

impl<H: Host> std::fmt::Debug for TurnQueue<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TurnQueue")
            .field("waiting", &lock(&self.turns).queue.len())
            .finish_non_exhaustive()
    }
}

impl<H: Host> TurnQueue<H> {
    /// The queue of one vat.
    pub fn of_one() -> Arc<Self> {
        Arc::new(Self::new(false))
    }

    /// A queue that vats share.
    pub fn shared() -> Arc<Self> {
        Arc::new(Self::new(true))
    }

    fn new(shared: bool) -> Self {
        Self {
            turns: Mutex::new(Turns {
                queue: VecDeque::new(),
                scheduled: false,
            }),
            shared,
        }
    }

    /// True if turns wait.
    pub fn has_turns(&self) -> bool {
        !lock(&self.turns).queue.is_empty()
    }

    /// Adds a turn. True if somebody has to be asked to run it.
    fn push(&self, vat: &Arc<Vat<H>>, turn: Turn<H>) -> bool {
        let whose = self.shared.then(|| Arc::clone(vat));
        let because = vat.tracing().map(|trace| trace.later(turn.name()));
        let mut turns = lock(&self.turns);
        turns.queue.push_back((whose, turn, because));
        !std::mem::replace(&mut turns.scheduled, true)
    }

    fn pop(&self) -> Option<Entry<H>> {
        let mut turns = lock(&self.turns);
        let turn = turns.queue.pop_front();
        turns.scheduled = turn.is_some();
        turn
    }

    /// Runs up to `budget` turns of a shared queue and has the host schedule the rest.
    pub fn run(&self, cx: H::Cx<'_>, budget: usize) {
        if !self.run_for(cx, budget, None) {
            return;
        }
        let next = lock(&self.turns)
            .queue
            .front()
            .and_then(|(vat, ..)| vat.clone());
        if let Some(vat) = next {
            H::schedule_turns(&vat);
        }
    }

    /// Runs turns. True if more are waiting.
    fn run_for(&self, cx: H::Cx<'_>, budget: usize, own: Option<&Arc<Vat<H>>>) -> bool {
        for _ in 0..budget {
            let Some((whose, turn, because)) = self.pop() else {
                return false;
            };
            let _cause = because.map(Trace::arriving);
            if let Some(vat) = whose.as_ref().or(own) {
                vat.run(cx, turn);
            }
        }
        let mut turns = lock(&self.turns);
        turns.scheduled = !turns.queue.is_empty();
        turns.scheduled
    }
}

impl<H: Host> Vat<H> {
    fn queue(self: &Arc<Self>) -> &Arc<TurnQueue<H>> {
        if let Some(queue) = self.turns.get() {
            return queue;
        }
        // Not under the cell's lock: the host may hold one of its own, which others wait with.
        let chosen = H::turn_queue(self);
        self.turns.get_or_init(|| chosen)
    }

    pub(crate) fn push_turn(self: &Arc<Self>, turn: Turn<H>) {
        if self.queue().push(self, turn) {
            H::schedule_turns(self);
        }
    }

    /// Runs a callback in a turn of its own, after those that wait.
    pub fn later(self: &Arc<Self>, callback: H::Callback, outcome: Outcome<H>) {
        self.push_turn(Turn::Call(callback, outcome));
    }

    /// True if turns wait.
    pub fn has_turns(self: &Arc<Self>) -> bool {
        self.queue().has_turns()
    }

    /// Keeps the host from being asked to schedule turns, because the caller is about to run them.
    /// Returns false if somebody else has promised to.
    pub fn claim_turns(self: &Arc<Self>) -> bool {
        !std::mem::replace(&mut lock(&self.queue().turns).scheduled, true)
    }

    /// Runs up to `budget` turns. True if more are waiting: then call again, once others have had
    /// their chance.
    pub fn run_turns(self: &Arc<Self>, cx: H::Cx<'_>, budget: usize) -> bool {
        self.queue().run_for(cx, budget, Some(self))
    }

    /// Runs up to `budget` turns and has the host schedule the rest.
    pub fn finish_turns(self: &Arc<Self>, cx: H::Cx<'_>, budget: usize) {
        if self.run_turns(cx, budget) {
            H::schedule_turns(self);
        }
    }

    fn call_back(self: &Arc<Self>, cx: H::Cx<'_>, callback: H::Callback, outcome: Outcome<H>) {
        let _turn = self.tracing().map(|trace| trace.turn(THEN, None));
        H::call(cx, self, callback, outcome);
    }

    fn run(self: &Arc<Self>, cx: H::Cx<'_>, turn: Turn<H>) {
        match turn {
            Turn::Call(callback, outcome) => self.call_back(cx, callback, outcome),
            Turn::Then(callback, outcome, next) => {
                if !is_settled::<H>(cx, &next) {
                    self.call_back(cx, callback, outcome);
                }
            }
            Turn::Replay(replay) => self.go_on(cx, &replay),
            // Whoever has sent it has cancelled it since.
            Turn::Deliver(_, _, Some(result)) if is_settled::<H>(cx, &result) => {}
            Turn::Deliver(object, message, result) => {
                let reply = self.invoke(cx, &object, message.view());
                if let Some(result) = result {
                    self.resolve(cx, result, reply);
                }
            }
        }
    }
}
