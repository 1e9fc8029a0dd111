//! The loop that drives siphons.
//!
//! Everything here is iterative: siphons that flow into one another are a stack in [`Agenda`], not
//! on the thread's stack, and pausing and stopping walk up the chain. No host code runs under a
//! borrow of a siphon.

use std::collections::VecDeque;

use super::ack::settle as settle_all;
use super::chain::{Chain, Pull};
use super::ending::{fail, finish, give_up, spoil};
use super::error::{Error, Problem};
use super::host::{Flowing, Host};
use super::hub;
use super::inbox::{Overflow, Pushed};
use super::pressure::settle;
use super::siphon::{Downstream, Phase, Siphon};
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

    /// Whether nothing is to be done.
    pub(super) fn is_empty(&self) -> bool {
        self.stack.is_empty()
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
    Break(H::Reason),
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
        Task::Break(reason) => {
            if chain.reason().is_none() {
                chain.cancel(cx, &reason, node);
            }
            H::with(cx, node, |siphon| siphon.chain = Some(chain));
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
            Input::End(reason) => match chain.flush_first(cx, node) {
                Ok(false) => chain.end(cx, reason, node).map(|()| None),
                // What has gathered comes before the end.
                flushed => {
                    let old = H::with(cx, node, |siphon| siphon.ended.replace(reason));
                    drop(old);
                    flushed.map(|_| None)
                }
            },
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
                siphon.outlet(cx, items, siphon.in_batches)
            });
            if let Outlet::To(drain, items) = to {
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
                siphon.outlet(cx, item, true)
            });
            if let Outlet::To(drain, item) = to {
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

/// Gives an item to a foreign drain.
#[inline]
pub(super) fn hand_over<H: Host>(
    cx: H::Cx<'_>,
    node: &H::Node,
    drain: &H::Drain,
    item: Flowing<H>,
    agenda: &mut Agenda<H>,
) {
    let (item, acks) = item.split();
    match H::receive(cx, drain, item.into_host(cx)) {
        Ok(()) => settle_all(cx, acks, None),
        Err(reason) => {
            settle_all(cx, acks, Some(&reason));
            spoil(cx, node, reason, agenda);
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
        Downstream::Foreign(drain) => hand_over(cx, node, &drain, item, agenda),
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
        self.is_clear() && self.downstream.is_some()
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
            Phase::Failed if self.broken.is_some() => {
                self.broken.take().map_or(Task::Rest, Task::Break)
            }
            _ if self.frozen > 0 => Task::Rest,
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
        let fails = matches!(self.phase, Phase::Failed) && self.broken.is_none();
        let changed = !matches!(self.phase, Phase::Open) && !fails;
        if self.is_open() != open || feeds && waits || changed {
            return Went::On;
        }
        Went::Rests
    }

    /// Who takes what has come out. If a pause has come while the chain was at work, it is kept; if
    /// the flow was stopped, nothing is to come after that.
    #[inline]
    fn outlet<I: Items<H>>(&mut self, cx: H::Cx<'_>, items: I, suits: bool) -> Outlet<H, I> {
        match (&self.phase, &self.downstream) {
            (Phase::Open | Phase::Failed, Some(below)) if self.is_clear() && suits => {
                Outlet::To(below.dup(cx), items)
            }
            (Phase::Open | Phase::Failed, _) => {
                items.keep(&mut self.ready);
                Outlet::Kept
            }
            _ => Outlet::Drop { _items: items },
        }
    }

    fn is_clear(&self) -> bool {
        self.pauses == 0 && self.frozen == 0
    }
}

/// What becomes of an output.
enum Outlet<H: Host, I> {
    To(Downstream<H>, I),
    Kept,
    /// It is not wanted. It is dropped when nothing is borrowed: that may run the host's code.
    Drop {
        _items: I,
    },
}

/// One item, or several.
trait Items<H: Host> {
    fn keep(self, ready: &mut VecDeque<Flowing<H>>);
}

impl<H: Host> Items<H> for Flowing<H> {
    fn keep(self, ready: &mut VecDeque<Self>) {
        ready.push_front(self);
    }
}

impl<H: Host> Items<H> for Vec<Flowing<H>> {
    fn keep(self, ready: &mut VecDeque<Flowing<H>>) {
        for item in self.into_iter().rev() {
            ready.push_front(item);
        }
    }
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
                Overflow::Stop => Error::new(Problem::Laggard { limit: capacity }),
                _ => Error::new(Problem::Overrun {
                    limit: super::inbox::Inbox::<()>::SLACK,
                }),
            };
            give_up(cx, node, H::reason(cx, error), agenda);
        }
    }
    agenda.enter(cx, node);
}
