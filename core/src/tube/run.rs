//! The loop that drives siphons, and the entries into it.
//!
//! Everything here is iterative: siphons that flow into one another are a stack in [`Agenda`], not
//! on the thread's stack, and pausing and stopping walk up the chain. No host code runs under a
//! borrow of a siphon.

use std::collections::VecDeque;

use super::ack::settle as settle_all;
use super::chain::{Chain, Pull};
use super::error::Error;
use super::host::{Flowing, Host};
use super::hub;
use super::inbox::{Overflow, Pushed};
use super::siphon::{Downstream, Hold, Phase, Siphon, Upstream};
use super::stage::BATCH;

/// The siphons that have something to do, the next one last.
pub(super) struct Agenda<H: Host> {
    stack: Vec<H::Node>,
}

impl<H: Host> Agenda<H> {
    pub(super) fn new() -> Self {
        Self { stack: Vec::new() }
    }

    /// Puts a siphon on the agenda, unless it is on one.
    pub(super) fn enter(&mut self, cx: H::Cx<'_>, node: &H::Node) {
        if H::with(cx, node, |siphon| {
            !std::mem::replace(&mut siphon.running, true)
        }) {
            self.stack.push(H::dup_node(cx, node));
        }
    }

    /// Puts what another one has on top, its first entry first.
    pub(super) fn adopt(&mut self, other: Self) {
        self.stack.extend(other.stack.into_iter().rev());
    }

    /// Works until nothing is left to do.
    pub(super) fn work(mut self, cx: H::Cx<'_>) {
        let Some(mut node) = self.stack.pop() else {
            return;
        };
        loop {
            let below = self.stack.len();
            match step(cx, &node, &mut self) {
                Went::On if self.stack.len() == below => continue,
                // What it has led to comes first.
                Went::On => self.stack.insert(below, node),
                Went::Rests => {
                    H::with(cx, &node, |siphon| siphon.running = false);
                    settle(cx, &node, &mut self);
                    arm::<H>(cx, &node);
                }
            }
            match self.stack.pop() {
                Some(next) => node = next,
                None => return,
            }
        }
    }
}

/// Has a siphon woken when one of its stages wants to be looked at.
fn arm<H: Host>(cx: H::Cx<'_>, node: &H::Node) {
    let time = H::with(cx, node, |siphon| {
        if siphon.is_over() {
            return None;
        }
        let time = siphon.chain()?.wake_at()?;
        if siphon.armed.is_some_and(|armed| armed <= time) {
            return None;
        }
        siphon.armed = Some(time);
        Some(time)
    });
    if let Some(time) = time {
        H::wake_at(cx, node, time);
    }
}

fn run<H: Host>(cx: H::Cx<'_>, node: &H::Node) {
    let mut agenda = Agenda::<H>::new();
    agenda.enter(cx, node);
    agenda.work(cx);
}

/// What a step came to.
enum Went {
    /// There may be more to do, here or above this one on the agenda.
    On,
    /// Nothing more to do here.
    Rests,
}

/// What to do next with a siphon's chain.
enum Task<H: Host> {
    Start,
    Pull { open: bool, batch: bool },
    Cancel(H::Reason),
    Finish(H::Reason),
    Rest,
}

/// Does one thing.
fn step<H: Host>(cx: H::Cx<'_>, node: &H::Node, agenda: &mut Agenda<H>) -> Went {
    let (task, chain) = H::with(cx, node, |siphon| {
        let task = siphon.task(cx);
        let mut chain = match task {
            Task::Rest | Task::Finish(_) => None,
            _ => siphon.chain.take(),
        };
        if let Some(chain) = &mut chain
            && std::mem::take(&mut siphon.woken)
        {
            chain.wake();
        }
        (task, chain)
    });
    let Some(mut chain) = chain else {
        match task {
            Task::Finish(reason) => finish(cx, node, reason, agenda),
            _ => return Went::Rests,
        }
        return Went::On;
    };
    let (open, batch) = match task {
        Task::Cancel(reason) => {
            chain.cancel(cx, &reason, node);
            H::with(cx, node, |siphon| siphon.chain = Some(chain));
            finish(cx, node, reason, agenda);
            return Went::On;
        }
        Task::Start => {
            let outcome = chain.start(cx, node);
            H::with(cx, node, |siphon| siphon.chain = Some(chain));
            if let Err(reason) = outcome {
                fail(cx, node, &reason, agenda);
            }
            return Went::On;
        }
        Task::Pull { open, batch } => (open, batch),
        Task::Finish(_) | Task::Rest => return Went::Rests,
    };
    let kept = H::with(cx, node, |siphon| siphon.ready.pop_front());
    let mut pulled = match kept {
        Some(item) => Ok(Pull::Item(item)),
        None => chain.pull(cx, open, node),
    };
    if let Ok(Pull::Idle) = pulled {
        // The chain wants an input.
        let input = H::with(cx, node, |siphon| siphon.input(open, &chain));
        let fed = match input {
            Input::Item(item) => chain.receive(cx, item, node),
            Input::End(reason) => chain.end(cx, reason, node).map(|()| None),
            Input::None => match chain.flush_first(cx, node) {
                Ok(false) => {
                    // Something may have come meanwhile.
                    return H::with(cx, node, |siphon| {
                        siphon.chain = Some(chain);
                        siphon.stuck = false;
                        siphon.has_more(open)
                    });
                }
                Ok(true) => Ok(None),
                Err(reason) => Err(reason),
            },
        };
        pulled = match fed {
            Ok(Some(item)) => Ok(Pull::Item(item)),
            Ok(None) => {
                H::with(cx, node, |siphon| siphon.chain = Some(chain));
                return Went::On;
            }
            Err(reason) => Err(reason),
        };
    }
    match pulled {
        Ok(Pull::Item(first)) if batch => {
            let (items, failed) = gather(cx, node, &mut chain, first);
            let to = H::with(cx, node, |siphon| {
                siphon.chain = Some(chain);
                siphon.outlet(cx, items)
            });
            if let Some((drain, items)) = to {
                pass_on_many(cx, node, drain, items, agenda);
            }
            if let Some(reason) = failed {
                fail(cx, node, &reason, agenda);
            }
            Went::On
        }
        Ok(Pull::Item(item)) => {
            let to = H::with(cx, node, |siphon| {
                siphon.chain = Some(chain);
                siphon.outlet(cx, item)
            });
            if let Some((drain, item)) = to {
                pass_on(cx, node, drain, item, agenda);
            }
            Went::On
        }
        Ok(Pull::End) => {
            let reason = chain.reason().map(|reason| H::dup_reason(cx, reason));
            H::with(cx, node, |siphon| siphon.chain = Some(chain));
            if let Some(reason) = reason {
                finish(cx, node, reason, agenda);
            }
            Went::On
        }
        Ok(Pull::Busy | Pull::Blocked | Pull::Idle) => H::with(cx, node, |siphon| {
            siphon.chain = Some(chain);
            siphon.stuck = true;
            // A pause may have ended, or a drain have come, while the chain was at work.
            match siphon.is_open() == open && !siphon.woken {
                true => Went::Rests,
                false => Went::On,
            }
        }),
        Err(reason) => {
            H::with(cx, node, |siphon| siphon.chain = Some(chain));
            fail(cx, node, &reason, agenda);
            Went::On
        }
    }
}

/// Takes more items of a chain, as many as come at once and make a batch.
fn gather<H: Host>(
    cx: H::Cx<'_>,
    node: &H::Node,
    chain: &mut Chain<H>,
    first: Flowing<H>,
) -> (Vec<Flowing<H>>, Option<H::Reason>) {
    let mut items = vec![first];
    while items.len() < BATCH {
        let next = H::with(cx, node, |siphon| siphon.ready.pop_front());
        let next = match next {
            Some(item) => Ok(Pull::Item(item)),
            None => chain.pull(cx, true, node),
        };
        match next {
            Ok(Pull::Item(item)) => items.push(item),
            Ok(Pull::Idle) if chain.stages().is_empty() => {
                match H::with(cx, node, |siphon| siphon.inbox.pop()) {
                    Some(item) => items.push(item),
                    None => break,
                }
            }
            Ok(_) => break,
            Err(reason) => return (items, Some(reason)),
        }
    }
    (items, None)
}

/// Gives many items to what is below, at once.
fn pass_on_many<H: Host>(
    cx: H::Cx<'_>,
    node: &H::Node,
    drain: Downstream<H>,
    items: Vec<Flowing<H>>,
    agenda: &mut Agenda<H>,
) {
    let drain = match drain {
        Downstream::Foreign(drain) => drain,
        other => {
            for item in items {
                pass_on(cx, node, other.dup(cx), item, agenda);
            }
            return;
        }
    };
    let mut acks = Vec::new();
    let values = items
        .into_iter()
        .map(|item| {
            let (item, more) = item.split();
            acks.extend(more);
            item.into_host(cx)
        })
        .collect();
    match H::receive_batch(cx, &drain, values) {
        Ok(()) => settle_all(cx, acks, None),
        Err(reason) => {
            settle_all(cx, acks, Some(&reason));
            spoil(cx, node, reason, agenda);
        }
    }
}

/// Gives an item to what is below.
#[inline]
fn pass_on<H: Host>(
    cx: H::Cx<'_>,
    node: &H::Node,
    drain: Downstream<H>,
    item: Flowing<H>,
    agenda: &mut Agenda<H>,
) {
    match drain {
        Downstream::Foreign(drain) => {
            let (item, acks) = item.split();
            match H::receive(cx, &drain, item.into_host(cx)) {
                Ok(()) => settle_all(cx, acks, None),
                Err(reason) => {
                    settle_all(cx, acks, Some(&reason));
                    spoil(cx, node, reason, agenda);
                }
            }
        }
        Downstream::Siphon(below) => give(cx, &below, item, agenda),
        Downstream::Hub(hub, index) => hub::deliver(cx, &hub, index, item, agenda),
    }
}

enum Input<H: Host> {
    Item(Flowing<H>),
    End(H::Reason),
    None,
}

impl<H: Host> Siphon<H> {
    fn is_open(&self) -> bool {
        self.pauses == 0 && self.downstream.is_some()
    }

    fn task(&mut self, cx: H::Cx<'_>) -> Task<H> {
        match self.phase {
            Phase::Stopping if self.is_source && self.pauses > 0 => Task::Rest,
            Phase::Untold(_) if self.downstream.is_some() => {
                if let Phase::Untold(reason) = std::mem::replace(&mut self.phase, Phase::Over) {
                    return Task::Finish(reason);
                }
                Task::Rest
            }
            Phase::Untold(_) | Phase::Over => Task::Rest,
            Phase::Stopping => {
                let reason = self.ended.take().or_else(|| {
                    let of_chain = self.chain().and_then(|chain| chain.reason());
                    of_chain.map(|reason| H::dup_reason(cx, reason))
                });
                reason.map_or(Task::Rest, Task::Cancel)
            }
            Phase::Open
                if !self.started
                    && match self.is_source {
                        true => self.pauses == 0 && self.downstream.is_some(),
                        false => self.upstream.is_some(),
                    } =>
            {
                self.started = true;
                Task::Start
            }
            Phase::Open | Phase::Failed if self.pauses > 0 => Task::Rest,
            Phase::Open if self.is_source && !self.started => Task::Rest,
            Phase::Open | Phase::Failed if !self.ready.is_empty() && self.downstream.is_none() => {
                Task::Rest
            }
            Phase::Open | Phase::Failed => Task::Pull {
                open: self.downstream.is_some(),
                batch: self.in_batches,
            },
        }
    }

    fn input(&mut self, open: bool, chain: &Chain<H>) -> Input<H> {
        if !matches!(self.phase, Phase::Open) {
            return Input::None;
        }
        if open || !chain.stages().is_empty() {
            if let Some(item) = self.inbox.pop() {
                return Input::Item(item);
            }
            if let Some(reason) = self.ended.take() {
                return Input::End(reason);
            }
        }
        Input::None
    }

    /// Whether there is more to do although the chain had neither outputs nor an input.
    fn has_more(&self, open: bool) -> Went {
        let feeds = open || self.chain().is_some_and(|chain| !chain.stages().is_empty());
        let waits = !self.inbox.is_empty() || self.ended.is_some() || self.woken;
        if self.is_open() != open || feeds && waits || !matches!(self.phase, Phase::Open) {
            return Went::On;
        }
        Went::Rests
    }

    /// Who takes what has come out. If a pause has come while the chain was at work, it is kept; if
    /// the flow was stopped, nothing is to come after that.
    #[inline]
    fn outlet<I: Items<H>>(&mut self, cx: H::Cx<'_>, items: I) -> Option<(Downstream<H>, I)> {
        match (&self.phase, &self.downstream) {
            (Phase::Open | Phase::Failed, Some(below)) if self.pauses == 0 => {
                Some((below.dup(cx), items))
            }
            (Phase::Open | Phase::Failed, _) => {
                items.keep(&mut self.ready);
                None
            }
            _ => None,
        }
    }
}

/// One item, or several.
trait Items<H: Host> {
    fn keep(self, ready: &mut VecDeque<Flowing<H>>);
}

impl<H: Host> Items<H> for Flowing<H> {
    fn keep(self, ready: &mut VecDeque<Self>) {
        ready.push_back(self);
    }
}

impl<H: Host> Items<H> for Vec<Flowing<H>> {
    fn keep(self, ready: &mut VecDeque<Flowing<H>>) {
        ready.extend(self);
    }
}

/// Holds the fount back or lets it go, as the siphon's state asks for.
pub(super) fn settle<H: Host>(cx: H::Cx<'_>, node: &H::Node, agenda: &mut Agenda<H>) {
    enum Change<H: Host> {
        Hold,
        Release(Hold<H>),
        Nothing,
    }
    let change: Change<H> = H::with(cx, node, |siphon| {
        if siphon.running {
            return Change::Nothing;
        }
        match (siphon.should_hold(), siphon.hold.is_some()) {
            (true, false) => Change::Hold,
            (false, true) => siphon.hold.take().map_or(Change::Nothing, Change::Release),
            _ => Change::Nothing,
        }
    });
    match change {
        Change::Hold => hold(cx, node, agenda),
        Change::Release(held) => release(cx, held, agenda),
        Change::Nothing => {}
    }
}

/// Holds back what is above, and what is above that, as far as siphons do not keep items themselves.
pub(super) fn hold<H: Host>(cx: H::Cx<'_>, node: &H::Node, agenda: &mut Agenda<H>) {
    let mut node = H::dup_node(cx, node);
    loop {
        let above = H::with(cx, &node, |siphon| {
            if siphon.hold.is_some() || !siphon.should_hold() {
                return None;
            }
            siphon.upstream.as_ref().map(|above| above.dup(cx))
        });
        match above {
            None => return,
            Some(Upstream::Siphon(above)) => {
                let held = Hold::Siphon(H::dup_node(cx, &above));
                H::with(cx, &node, |siphon| siphon.hold = Some(held));
                H::with(cx, &above, |siphon| siphon.pauses += 1);
                node = above;
            }
            Some(Upstream::Hub(hub, _)) => {
                let held = Hold::Hub(H::dup_hub(cx, &hub));
                H::with(cx, &node, |siphon| siphon.hold = Some(held));
                hub::hold(cx, &hub, agenda);
                return;
            }
            Some(Upstream::Foreign(fount)) => {
                match H::pause(cx, &fount) {
                    Ok(token) => {
                        // It may have been let go, or have come to its end, inside `pause`.
                        let spare = H::with(cx, &node, |siphon| {
                            if siphon.hold.is_none() {
                                siphon.hold = Some(Hold::Token(token));
                                return None;
                            }
                            Some(token)
                        });
                        if let Some(token) = spare {
                            release(cx, Hold::Token(token), agenda);
                        }
                    }
                    Err(reason) => fail(cx, &node, &reason, agenda),
                }
                return;
            }
        }
    }
}

/// Lets go of what was held back.
pub(super) fn release<H: Host>(cx: H::Cx<'_>, held: Hold<H>, agenda: &mut Agenda<H>) {
    match held {
        Hold::Siphon(above) => unpause(cx, &above, agenda),
        Hold::Hub(hub) => hub::release(cx, &hub, agenda),
        Hold::Token(token) => {
            if let Err(reason) = H::resume(cx, token) {
                H::report(cx, &reason);
            }
        }
    }
}

/// Takes one pause off a siphon.
pub(super) fn unpause<H: Host>(cx: H::Cx<'_>, node: &H::Node, agenda: &mut Agenda<H>) {
    let free = H::with(cx, node, |siphon| {
        siphon.pauses = siphon.pauses.saturating_sub(1);
        if siphon.pauses == 0
            && let Some(chain) = &mut siphon.chain
        {
            chain.resumed();
        }
        siphon.pauses == 0
    });
    if free {
        agenda.enter(cx, node);
    }
}

/// Adds one pause to a siphon.
pub(super) fn add_pause<H: Host>(cx: H::Cx<'_>, node: &H::Node, agenda: &mut Agenda<H>) {
    H::with(cx, node, |siphon| siphon.pauses += 1);
    hold(cx, node, agenda);
}

/// Puts an item before a siphon's chain.
pub(super) fn give<H: Host>(
    cx: H::Cx<'_>,
    node: &H::Node,
    item: Flowing<H>,
    agenda: &mut Agenda<H>,
) {
    let pushed = H::with(cx, node, |siphon| {
        if !siphon.takes() {
            // After the end, or after a stop: whoever sent it had been told.
            return (Pushed::Dropped(item), 0, Overflow::Drop);
        }
        let pushed = siphon.inbox.push(item);
        (pushed, siphon.inbox.capacity(), siphon.inbox.overflow())
    });
    match pushed {
        (Pushed::Kept | Pushed::Dropped(_), _, _) => {}
        (Pushed::Merge(old, new), _, _) => {
            let ((old, mut acks), (new, more)) = (old.split(), new.split());
            acks.extend(more);
            let merged = H::merge(cx, node, old.into_host(cx), new.into_host(cx));
            match merged {
                Ok(merged) => {
                    let merged = Flowing::Host(merged).with(acks);
                    H::with(cx, node, |siphon| siphon.inbox.put(merged));
                }
                Err(reason) => fail(cx, node, &reason, agenda),
            }
        }
        (Pushed::Refused(_), capacity, overflow) => {
            let error = match overflow {
                Overflow::Stop => Error::Laggard { limit: capacity },
                _ => Error::Overrun {
                    limit: super::inbox::Inbox::<()>::SLACK,
                },
            };
            give_up(cx, node, H::reason(cx, error), agenda);
        }
    }
    agenda.enter(cx, node);
}

/// A stage failed, with a chain that has noted it, or what is above did.
pub(super) fn fail<H: Host>(
    cx: H::Cx<'_>,
    node: &H::Node,
    reason: &H::Reason,
    agenda: &mut Agenda<H>,
) {
    H::report(cx, reason);
    let old = H::with(cx, node, |siphon| {
        let old = siphon.inbox.take();
        if let Phase::Open = siphon.phase {
            siphon.phase = Phase::Failed;
            siphon.ended = None;
            return Some(old);
        }
        None
    });
    if old.is_some() {
        stop_above(cx, node, agenda);
    }
    // The chain does not know of it if the fault is not one of its stages'.
    let chain = H::with(cx, node, |siphon| {
        let unaware = siphon.chain().is_some_and(|chain| chain.reason().is_none());
        if unaware { siphon.chain.take() } else { None }
    });
    if let Some(mut chain) = chain {
        chain.cancel(cx, reason, node);
        H::with(cx, node, |siphon| siphon.chain = Some(chain));
    }
    agenda.enter(cx, node);
}

/// The drain failed: it is told, and nothing more flows.
fn spoil<H: Host>(cx: H::Cx<'_>, node: &H::Node, reason: H::Reason, agenda: &mut Agenda<H>) {
    H::report(cx, &reason);
    give_up(cx, node, reason, agenda);
}

/// Ends a flow at once, both ways.
pub(super) fn give_up<H: Host>(
    cx: H::Cx<'_>,
    node: &H::Node,
    reason: H::Reason,
    agenda: &mut Agenda<H>,
) {
    let (old, was_open) = H::with(cx, node, |siphon| {
        let was_open = matches!(siphon.phase, Phase::Open);
        if !siphon.is_over() {
            siphon.phase = Phase::Stopping;
            siphon.ended = Some(reason);
        }
        (
            (siphon.inbox.take(), std::mem::take(&mut siphon.ready)),
            was_open,
        )
    });
    drop(old);
    if was_open {
        stop_above(cx, node, agenda);
    }
    agenda.enter(cx, node);
}

/// Stops what is above, and what is above that; then lets it go, so that it can come to its end.
fn stop_above<H: Host>(cx: H::Cx<'_>, node: &H::Node, agenda: &mut Agenda<H>) {
    let (above, held) = H::with(cx, node, |siphon| {
        // One that is over has nothing to stop.
        let above = siphon.upstream.as_ref().filter(|_| !siphon.fount_is_over);
        (above.map(|above| above.dup(cx)), siphon.hold.take())
    });
    match above {
        None => {}
        Some(Upstream::Siphon(above)) => stop_in(cx, &above, agenda),
        Some(Upstream::Hub(hub, index)) => hub::stop(cx, &hub, index, agenda),
        Some(Upstream::Foreign(fount)) => {
            if let Err(reason) = H::stop(cx, &fount) {
                H::report(cx, &reason);
            }
        }
    }
    if let Some(held) = held {
        release(cx, held, agenda);
    }
}

/// The drain wants no more.
pub(super) fn stop_in<H: Host>(cx: H::Cx<'_>, node: &H::Node, agenda: &mut Agenda<H>) {
    let mut node = H::dup_node(cx, node);
    let mut held = Vec::new();
    loop {
        let (old, above) = H::with(cx, &node, |siphon| {
            let old = (siphon.inbox.take(), std::mem::take(&mut siphon.ready));
            match siphon.phase {
                Phase::Open => siphon.phase = Phase::Stopping,
                Phase::Failed => {
                    // The fount has been stopped; what is left below is not wanted.
                    siphon.phase = Phase::Stopping;
                    return (old, Above::Answered);
                }
                _ => return (old, Above::Nothing),
            }
            held.extend(siphon.hold.take());
            if siphon.is_source {
                siphon.ended = Some(H::stop_flow_called(cx));
            }
            if siphon.fount_is_over {
                return (old, Above::Answered);
            }
            match &siphon.upstream {
                Some(above) => (old, Above::Stop(above.dup(cx))),
                None => (old, Above::None),
            }
        });
        drop(old);
        match above {
            Above::Stop(Upstream::Siphon(above)) => {
                node = above;
                continue;
            }
            Above::Stop(Upstream::Hub(hub, index)) => hub::stop(cx, &hub, index, agenda),
            Above::Stop(Upstream::Foreign(fount)) => {
                if let Err(reason) = H::stop(cx, &fount) {
                    // It cannot be relied on to answer.
                    H::report(cx, &reason);
                    answer(cx, &node, reason, agenda);
                }
            }
            Above::None => answer(cx, &node, H::stop_flow_called(cx), agenda),
            Above::Answered => agenda.enter(cx, &node),
            Above::Nothing => {}
        }
        break;
    }
    for held in held {
        release(cx, held, agenda);
    }
}

enum Above<H: Host> {
    Stop(Upstream<H>),
    None,
    /// It has said that it is at its end.
    Answered,
    Nothing,
}

/// The fount says that it has stopped.
pub(super) fn answer<H: Host>(
    cx: H::Cx<'_>,
    node: &H::Node,
    reason: H::Reason,
    agenda: &mut Agenda<H>,
) {
    let old = H::with(cx, node, |siphon| match siphon.phase {
        // A later reason takes the place of one that nobody has been told.
        Phase::Open => {
            siphon.fount_is_over = true;
            siphon.ended.replace(reason)
        }
        Phase::Stopping => {
            siphon.fount_is_over = true;
            // What it was stopped for comes before what the fount says to that.
            match &siphon.ended {
                Some(_) => Some(reason),
                None => siphon.ended.replace(reason),
            }
        }
        _ => Some(reason),
    });
    drop(old);
    agenda.enter(cx, node);
}

/// Tells the drain, or keeps the reason for one to come.
fn finish<H: Host>(cx: H::Cx<'_>, node: &H::Node, reason: H::Reason, agenda: &mut Agenda<H>) {
    let (below, held) = H::with(cx, node, |siphon| {
        let below = siphon.downstream.as_ref().map(|below| below.dup(cx));
        siphon.phase = match &below {
            Some(_) => Phase::Over,
            None => Phase::Untold(H::dup_reason(cx, &reason)),
        };
        (below, siphon.hold.take())
    });
    match below {
        None => {}
        Some(Downstream::Siphon(below)) => answer(cx, &below, reason, agenda),
        Some(Downstream::Hub(hub, index)) => hub::stopped(cx, &hub, index, reason, agenda),
        Some(Downstream::Foreign(drain)) => {
            if let Err(reason) = H::flow_stopped(cx, &drain, reason) {
                H::report(cx, &reason);
            }
        }
    }
    if let Some(held) = held {
        release(cx, held, agenda);
    }
}

// What hosts call.

/// A fount gives an item to a siphon. When this returns, all has been delivered that can be.
pub fn receive<H: Host>(cx: H::Cx<'_>, node: &H::Node, item: Flowing<H>) {
    let mut agenda = Agenda::<H>::new();
    give(cx, node, item, &mut agenda);
    // Somebody else's loop will look at the item; until then its fount is held.
    if H::with(cx, node, |siphon| siphon.running) && agenda.stack.is_empty() {
        hold(cx, node, &mut agenda);
    }
    agenda.work(cx);
}

/// A fount says that it has stopped.
pub fn flow_stopped<H: Host>(cx: H::Cx<'_>, node: &H::Node, reason: H::Reason) {
    let mut agenda = Agenda::<H>::new();
    answer(cx, node, reason, &mut agenda);
    agenda.work(cx);
}

/// A drain holds a siphon back. To be paired with [`resume_flow`].
pub fn pause_flow<H: Host>(cx: H::Cx<'_>, node: &H::Node) {
    let mut agenda = Agenda::<H>::new();
    add_pause(cx, node, &mut agenda);
    agenda.work(cx);
}

/// A drain takes one pause back.
pub fn resume_flow<H: Host>(cx: H::Cx<'_>, node: &H::Node) {
    let mut agenda = Agenda::<H>::new();
    unpause(cx, node, &mut agenda);
    agenda.work(cx);
}

/// A drain wants no more.
pub fn stop_flow<H: Host>(cx: H::Cx<'_>, node: &H::Node) {
    let mut agenda = Agenda::<H>::new();
    stop_in(cx, node, &mut agenda);
    agenda.work(cx);
}

/// Something that a stage waited for has happened.
pub fn wake<H: Host>(cx: H::Cx<'_>, node: &H::Node) {
    H::with(cx, node, |siphon| {
        siphon.woken = true;
        siphon.armed = None;
    });
    run::<H>(cx, node);
}

/// A siphon now has another fount, or none. A pause moves with it, a stop is passed on.
pub fn flowing_from<H: Host>(cx: H::Cx<'_>, node: &H::Node, fount: Option<Upstream<H>>) {
    let mut agenda = Agenda::<H>::new();
    let (old, held, stops) = H::with(cx, node, |siphon| {
        let stops = fount.is_some() && !siphon.takes();
        let old = std::mem::replace(&mut siphon.upstream, fount);
        siphon.fount_is_over &= !stops;
        (old, siphon.hold.take(), stops)
    });
    if stops {
        stop_above(cx, node, &mut agenda);
    } else if held.is_some() {
        hold(cx, node, &mut agenda);
    }
    if let Some(held) = held {
        release(cx, held, &mut agenda);
    }
    drop(old);
    agenda.enter(cx, node);
    agenda.work(cx);
}

/// A siphon now has another drain, or none.
///
/// To be followed by [`flush`], when the drain knows of it.
pub fn flow_to<H: Host>(cx: H::Cx<'_>, node: &H::Node, drain: Option<Downstream<H>>) {
    let in_batches = match &drain {
        Some(Downstream::Foreign(drain)) => H::gathers_in(drain),
        Some(Downstream::Siphon(below)) => H::with(cx, below, |below| below.gathers()),
        Some(Downstream::Hub(..)) | None => false,
    };
    let old = H::with(cx, node, |siphon| {
        siphon.in_batches = in_batches;
        std::mem::replace(&mut siphon.downstream, drain)
    });
    drop(old);
}

/// Delivers what has waited.
pub fn flush<H: Host>(cx: H::Cx<'_>, node: &H::Node) {
    run::<H>(cx, node);
}

/// Takes all out of a siphon of one stage that has not gone on: outputs that nobody has taken,
/// undone by a native stage, and inputs that the stage has not seen.
///
/// # Errors
/// What the stage raised.
pub fn eject<H: Host>(cx: H::Cx<'_>, node: &H::Node) -> Result<Ejected<H>, H::Reason> {
    let (chain, ready, inputs) = H::with(cx, node, |siphon| {
        (
            siphon.chain.take(),
            std::mem::take(&mut siphon.ready),
            siphon.inbox.take(),
        )
    });
    let mut outputs = Ok(Vec::new());
    if let Some(mut chain) = chain {
        outputs = chain.eject(cx, node, ready);
        H::with(cx, node, |siphon| siphon.chain = Some(chain));
    }
    let host = |item: Flowing<H>| item.into_host(cx);
    Ok(Ejected {
        outputs: outputs?.into_iter().map(host).collect(),
        inputs: inputs.into_iter().map(host).collect(),
    })
}

/// Takes a native stage, and all below it, out of a siphon: what the siphon gives from now on is what that
/// stage was given. Returns what it would have to be given again; `None` if the siphon is at
/// work, so that nothing can be taken out of it.
pub fn split<H: Host>(cx: H::Cx<'_>, node: &H::Node, index: usize) -> Option<Vec<H::Value>> {
    let mut chain = H::with(cx, node, |siphon| siphon.chain.take())?;
    let (ready, inputs) = H::with(cx, node, |siphon| {
        let inputs = (index == 0).then(|| siphon.inbox.take());
        let ready = std::mem::take(&mut siphon.ready);
        (ready, inputs.unwrap_or_default())
    });
    let items = chain.split(cx, index, ready);
    H::with(cx, node, |siphon| siphon.chain = Some(chain));
    let all = items.into_iter().chain(inputs);
    Some(all.map(|item| item.into_host(cx)).collect())
}

/// What was taken out of a siphon.
pub struct Ejected<H: Host> {
    /// Outputs; of a native stage, undone.
    pub outputs: Vec<H::Value>,
    /// Inputs that it has not seen.
    pub inputs: Vec<H::Value>,
}
