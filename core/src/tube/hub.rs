//! One flow into many, many into one.
//!
//! A hub delivers between siphons: the input of a fan-out and each branch, each input of a fan-in
//! and the output, are siphons with an empty chain. So queues, policies, pauses and ends are those
//! of every siphon, and a hub says only who gets what and who has to wait for whom.

use super::ack::settle;
use super::ending::{answer, give_up, stop_in};
use super::host::{Flowing, Host};
use super::pressure::{add_pause, unpause};
use super::run::{Agenda, give, hand_over};
use super::siphon::{Downstream, Upstream};

/// A fan-out or a fan-in.
pub enum Hub<H: Host> {
    /// One into many.
    Out(Out<H>),
    /// Many into one.
    In(In<H>),
}

/// One flow into many.
pub struct Out<H: Host> {
    input: H::Node,
    branches: Vec<Option<H::Node>>,
    /// Each item goes to the branch that the host names, instead of to all.
    routed: bool,
    /// Routed items that were for nobody.
    undelivered: u64,
    /// Why it has ended, if it has.
    ended: Option<H::Reason>,
}

/// Many flows into one.
pub struct In<H: Host> {
    output: H::Node,
    inputs: Vec<Entrance<H>>,
    order: Order,
    ends: Ends,
    /// The output holds the hub back.
    held: bool,
    /// Whose turn is next.
    turn: usize,
    /// The reasons of all inputs that have ended, with their numbers.
    reasons: Vec<(usize, H::Reason)>,
    over: bool,
}

/// One input of a fan-in.
struct Entrance<H: Host> {
    node: H::Node,
    done: bool,
    /// For `zip`: what it has brought.
    brought: Option<Flowing<H>>,
    /// A pause that the order of inputs asks for.
    waits: bool,
    priority: i64,
}

/// In which order a fan-in takes from its inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As items come; those that were held back go on by turns.
    Merge,
    /// All of the first, then all of the second…
    Concat,
    /// One of each makes one item.
    Zip,
    /// As `Merge`, but those of higher priority go on first.
    Priority,
}

/// When a fan-in comes to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// With the last of its inputs.
    Last,
    /// With the first; the others are stopped.
    First,
    /// Only when it is stopped.
    Never,
}

impl<H: Host> Hub<H> {
    /// A fan-out from a siphon.
    pub fn out(input: H::Node, routed: bool) -> Self {
        Self::Out(Out {
            input,
            branches: Vec::new(),
            routed,
            undelivered: 0,
            ended: None,
        })
    }

    /// A fan-in to a siphon.
    pub fn into(output: H::Node, order: Order, ends: Ends) -> Self {
        Self::In(In {
            output,
            inputs: Vec::new(),
            order,
            ends,
            held: false,
            turn: 0,
            reasons: Vec::new(),
            over: false,
        })
    }

    /// The siphons of the hub: the one side's, then the many's.
    pub fn nodes(&self) -> impl Iterator<Item = &H::Node> {
        let (one, branches, inputs): (_, &[_], &[_]) = match self {
            Self::Out(out) => (&out.input, &out.branches, &[]),
            Self::In(into) => (&into.output, &[], &into.inputs),
        };
        let inputs = inputs.iter().map(|input| &input.node);
        std::iter::once(one)
            .chain(branches.iter().flatten())
            .chain(inputs)
    }

    /// The items that a fan-in holds.
    pub fn held(&self) -> impl Iterator<Item = &Flowing<H>> {
        let inputs: &[_] = match self {
            Self::Out(_) => &[],
            Self::In(into) => &into.inputs,
        };
        inputs.iter().filter_map(|input| input.brought.as_ref())
    }

    /// Why the inputs of a fan-in have ended, in that order, with their numbers.
    pub fn reasons(&self) -> &[(usize, H::Reason)] {
        match self {
            Self::Out(_) => &[],
            Self::In(into) => &into.reasons,
        }
    }

    /// Why a fan-out has ended, if it has.
    pub fn ended(&self) -> Option<&H::Reason> {
        match self {
            Self::Out(out) => out.ended.as_ref(),
            Self::In(_) => None,
        }
    }

    /// How many items of a router were for nobody.
    pub fn undelivered(&self) -> u64 {
        match self {
            Self::Out(out) => out.undelivered,
            Self::In(_) => 0,
        }
    }

    /// How many branches or inputs are open.
    pub fn open(&self) -> usize {
        match self {
            Self::Out(out) => out.branches.iter().flatten().count(),
            Self::In(into) => into.inputs.iter().filter(|input| !input.done).count(),
        }
    }
}

/// Adds a branch to a fan-out; returns its number, of which the branch's upstream is made.
pub fn add_branch<H: Host>(cx: H::Cx<'_>, hub: &H::Hub, node: &H::Node) -> usize {
    let kept = H::dup_node(cx, node);
    let (index, ended) = H::with_hub(cx, hub, |hub| match hub {
        Hub::Out(out) => {
            let ended = out.ended.as_ref().map(|reason| H::dup_reason(cx, reason));
            out.branches.push(ended.is_none().then_some(kept));
            (out.branches.len() - 1, ended)
        }
        Hub::In(_) => (0, None),
    });
    if let Some(reason) = ended {
        let mut agenda = Agenda::<H>::new();
        answer(cx, node, reason, &mut agenda);
        agenda.work(cx);
    }
    index
}

/// Adds an input to a fan-in; returns its number, of which the input's downstream is made.
///
/// Of two inputs the one with the higher `priority` goes first, if the hub goes by that.
pub fn add_input<H: Host>(cx: H::Cx<'_>, hub: &H::Hub, node: &H::Node, priority: i64) -> usize {
    let mut agenda = Agenda::<H>::new();
    let kept = H::dup_node(cx, node);
    let (index, pauses, over) = H::with_hub(cx, hub, |hub| match hub {
        Hub::In(into) => {
            let waits = into.order == Order::Concat && into.inputs.iter().any(|input| !input.done);
            into.inputs.push(Entrance {
                node: kept,
                done: into.over,
                brought: None,
                waits,
                priority,
            });
            let pauses = usize::from(into.held) + usize::from(waits);
            (into.inputs.len() - 1, pauses, into.over)
        }
        Hub::Out(_) => (0, 0, false),
    });
    let below = Downstream::Hub(H::dup_hub(cx, hub), index);
    H::with(cx, node, |siphon| siphon.downstream = Some(below));
    if over {
        stop_in(cx, node, &mut agenda);
    }
    for _ in 0..pauses {
        add_pause(cx, node, &mut agenda);
    }
    agenda.work(cx);
    index
}

/// A siphon of the hub's gives an item: to all branches, or as an input.
pub(super) fn deliver<H: Host>(
    cx: H::Cx<'_>,
    hub: &H::Hub,
    index: usize,
    item: Flowing<H>,
    agenda: &mut Agenda<H>,
) {
    enum To<H: Host> {
        All(usize),
        Routed(H::Node),
        Output(H::Node),
        Zip(Flowing<H>),
    }
    let mut item = Some(item);
    let to: To<H> = H::with_hub(cx, hub, |hub| match hub {
        Hub::Out(out) if out.routed => To::Routed(H::dup_node(cx, &out.input)),
        Hub::Out(out) => To::All(out.branches.len()),
        Hub::In(into) => match (into.order, item.take()) {
            (Order::Zip, Some(brought)) => To::Zip(brought),
            (_, taken) => {
                item = taken;
                into.turn = index + 1;
                To::Output(H::dup_node(cx, &into.output))
            }
        },
    });
    match (to, item) {
        (To::All(branches), Some(item)) => {
            let mut enter = Agenda::<H>::new();
            let mut taken = false;
            for index in 0..branches {
                // One may stop meanwhile.
                let branch = H::with_hub(cx, hub, |hub| match hub {
                    Hub::Out(out) => {
                        let branch = out.branches.get(index).and_then(Option::as_ref);
                        branch.map(|node| H::dup_node(cx, node))
                    }
                    Hub::In(_) => None,
                });
                if let Some(branch) = branch {
                    taken |= offer(cx, &branch, item.dup(cx), &mut enter);
                }
            }
            if taken {
                settle(cx, item.split().1, None);
            }
            // The first branch is to run first, and all before the input goes on.
            agenda.adopt(enter);
        }
        (To::Routed(input), Some(item)) => {
            let (item, acks) = item.split();
            match H::route(cx, hub, item.into_host(cx)) {
                Err(reason) => {
                    settle(cx, acks, Some(&reason));
                    H::report(cx, &reason);
                    give_up(cx, &input, reason, agenda);
                }
                Ok(target) => {
                    let branch = H::with_hub(cx, hub, |hub| {
                        let Hub::Out(out) = hub else {
                            return None;
                        };
                        let branch = target
                            .as_ref()
                            .and_then(|(index, _)| out.branches.get(*index));
                        let branch = branch.and_then(Option::as_ref);
                        out.undelivered += u64::from(branch.is_none());
                        branch.map(|node| H::dup_node(cx, node))
                    });
                    if let (Some(branch), Some((_, item))) = (branch, target) {
                        offer(cx, &branch, Flowing::Host(item).with(acks), agenda);
                    }
                }
            }
        }
        (To::Output(output), Some(item)) => give(cx, &output, item, agenda),
        (To::Zip(brought), _) => zip(cx, hub, index, brought, agenda),
        (_, None) => {}
    }
}

/// Gives an item to a branch, if anybody drains it; says whether.
fn offer<H: Host>(
    cx: H::Cx<'_>,
    branch: &H::Node,
    item: Flowing<H>,
    agenda: &mut Agenda<H>,
) -> bool {
    enum Way<H: Host> {
        None,
        Straight(H::Drain),
        Queue,
    }
    // A branch takes part from the moment it has a drain.
    let way: Way<H> = H::with(cx, branch, |siphon| match &siphon.downstream {
        None => Way::None,
        Some(Downstream::Foreign(drain)) if siphon.is_straight() => {
            Way::Straight(H::dup_drain(cx, drain))
        }
        Some(_) => Way::Queue,
    });
    match way {
        Way::None => return false,
        Way::Straight(drain) => hand_over(cx, branch, &drain, item, agenda),
        Way::Queue => give(cx, branch, item, agenda),
    }
    true
}

fn zip<H: Host>(
    cx: H::Cx<'_>,
    hub: &H::Hub,
    index: usize,
    brought: Flowing<H>,
    agenda: &mut Agenda<H>,
) {
    let (node, complete) = H::with_hub(cx, hub, |hub| {
        let Hub::In(into) = hub else {
            return (None, None);
        };
        let Some(input) = into.inputs.get_mut(index) else {
            return (None, None);
        };
        input.brought = Some(brought);
        input.waits = true;
        let node = H::dup_node(cx, &input.node);
        if into.inputs.iter().any(|input| input.brought.is_none()) {
            return (Some(node), None);
        }
        let items: Vec<_> = into
            .inputs
            .iter_mut()
            .filter_map(|input| input.brought.take())
            .collect();
        (Some(node), Some((items, H::dup_node(cx, &into.output))))
    });
    if let Some(node) = node {
        add_pause(cx, &node, agenda);
    }
    let Some((items, output)) = complete else {
        return;
    };
    let mut acks = Vec::new();
    let items = items
        .into_iter()
        .map(|item| {
            let (item, more) = item.split();
            acks.extend(more);
            item.into_host(cx)
        })
        .collect();
    // The inputs go on when the output has been served.
    let mut first = Agenda::<H>::new();
    let item = Flowing::Host(H::tuple(cx, items)).with(acks);
    give(cx, &output, item, &mut first);
    let free = H::with_hub(cx, hub, |hub| match hub {
        Hub::In(into) => into.free(cx, |_| true),
        Hub::Out(_) => Vec::new(),
    });
    for node in free.iter().rev() {
        unpause(cx, node, agenda);
    }
    agenda.adopt(first);
    end_if_starved(cx, hub, agenda);
}

impl<H: Host> In<H> {
    /// Takes the pauses that the order asked for off those inputs.
    fn free(&mut self, cx: H::Cx<'_>, which: impl Fn(usize) -> bool) -> Vec<H::Node> {
        let mut free = Vec::new();
        for (index, input) in self.inputs.iter_mut().enumerate() {
            if input.waits && which(index) {
                input.waits = false;
                free.push(H::dup_node(cx, &input.node));
            }
        }
        free
    }

    /// The inputs in the order in which they go on.
    fn by_turns(&self, cx: H::Cx<'_>) -> Vec<H::Node> {
        let count = self.inputs.len();
        let mut order: Vec<usize> = (0..count)
            .map(|offset| (self.turn + offset) % count)
            .collect();
        if self.order == Order::Priority {
            order.sort_by_key(|index| std::cmp::Reverse(self.inputs[*index].priority));
        }
        order
            .into_iter()
            .map(|index| H::dup_node(cx, &self.inputs[index].node))
            .collect()
    }

    /// The reason with which the output ends: the first error, or that of the last input.
    fn reason(&self, cx: H::Cx<'_>) -> Option<H::Reason> {
        let error = self
            .reasons
            .iter()
            .find(|(_, reason)| !H::is_end(cx, reason));
        error
            .or_else(|| self.reasons.last())
            .map(|(_, reason)| H::dup_reason(cx, reason))
    }
}

/// The many hold the hub back.
pub(super) fn hold<H: Host>(cx: H::Cx<'_>, hub: &H::Hub, agenda: &mut Agenda<H>) {
    let nodes = H::with_hub(cx, hub, |hub| match hub {
        Hub::Out(out) => vec![H::dup_node(cx, &out.input)],
        Hub::In(into) => {
            into.held = true;
            into.inputs
                .iter()
                .map(|input| H::dup_node(cx, &input.node))
                .collect()
        }
    });
    for node in &nodes {
        add_pause(cx, node, agenda);
    }
}

/// One of them lets go.
pub(super) fn release<H: Host>(cx: H::Cx<'_>, hub: &H::Hub, agenda: &mut Agenda<H>) {
    let nodes = H::with_hub(cx, hub, |hub| match hub {
        Hub::Out(out) => vec![H::dup_node(cx, &out.input)],
        Hub::In(into) => {
            into.held = false;
            into.by_turns(cx)
        }
    });
    for node in nodes.iter().rev() {
        unpause(cx, node, agenda);
    }
}

/// A branch, or the output, wants no more.
pub(super) fn stop<H: Host>(cx: H::Cx<'_>, hub: &H::Hub, index: usize, agenda: &mut Agenda<H>) {
    enum Stop<H: Host> {
        Branch(H::Node, Option<H::Node>),
        Inputs(H::Node, Vec<H::Node>),
        Nothing,
    }
    let stop: Stop<H> = H::with_hub(cx, hub, |hub| match hub {
        Hub::Out(out) => {
            let Some(branch) = out.branches.get_mut(index).and_then(Option::take) else {
                return Stop::Nothing;
            };
            let last = out.branches.iter().all(Option::is_none);
            if last {
                out.ended = Some(H::stop_flow_called(cx));
            }
            Stop::Branch(branch, last.then(|| H::dup_node(cx, &out.input)))
        }
        Hub::In(into) => {
            into.over = true;
            let inputs = into.inputs.iter().filter(|input| !input.done);
            Stop::Inputs(
                H::dup_node(cx, &into.output),
                inputs.map(|input| H::dup_node(cx, &input.node)).collect(),
            )
        }
    });
    match stop {
        Stop::Branch(branch, input) => {
            answer(cx, &branch, H::stop_flow_called(cx), agenda);
            // Nobody is left.
            if let Some(input) = input {
                stop_in(cx, &input, agenda);
            }
        }
        Stop::Inputs(output, inputs) => {
            for input in &inputs {
                stop_in(cx, input, agenda);
            }
            answer(cx, &output, H::stop_flow_called(cx), agenda);
        }
        Stop::Nothing => {}
    }
}

/// The input of a fan-out, or one of a fan-in, has come to its end.
pub(super) fn stopped<H: Host>(
    cx: H::Cx<'_>,
    hub: &H::Hub,
    index: usize,
    reason: H::Reason,
    agenda: &mut Agenda<H>,
) {
    let (branches, free) = H::with_hub(cx, hub, |hub| match hub {
        Hub::Out(out) => {
            out.ended.get_or_insert_with(|| H::dup_reason(cx, &reason));
            let branches = out.branches.iter_mut().filter_map(Option::take);
            (branches.collect(), Vec::new())
        }
        Hub::In(into) => {
            if let Some(input) = into.inputs.get_mut(index) {
                input.done = true;
            }
            into.reasons.push((index, H::dup_reason(cx, &reason)));
            let next = into.inputs.iter().position(|input| !input.done);
            let free = match into.order {
                Order::Concat => into.free(cx, |index| Some(index) == next),
                _ => Vec::new(),
            };
            (Vec::new(), free)
        }
    });
    for branch in branches.iter().rev() {
        answer(cx, branch, H::dup_reason(cx, &reason), agenda);
    }
    for node in &free {
        unpause(cx, node, agenda);
    }
    end_if_starved(cx, hub, agenda);
}

/// Ends a fan-in whose inputs can bring nothing more that counts.
fn end_if_starved<H: Host>(cx: H::Cx<'_>, hub: &H::Hub, agenda: &mut Agenda<H>) {
    let end = H::with_hub(cx, hub, |hub| {
        let Hub::In(into) = hub else {
            return None;
        };
        let any = into.inputs.iter().any(|input| input.done);
        let all = into.inputs.iter().all(|input| input.done);
        let starved = into.order == Order::Zip
            && into
                .inputs
                .iter()
                .any(|input| input.done && input.brought.is_none());
        let ends = match into.ends {
            Ends::Last => any && all || starved,
            Ends::First => any,
            Ends::Never => false,
        };
        if into.over || !ends {
            return None;
        }
        into.over = true;
        let left = into.inputs.iter().filter(|input| !input.done);
        let left: Vec<_> = left.map(|input| H::dup_node(cx, &input.node)).collect();
        let reason = into.reason(cx)?;
        Some((H::dup_node(cx, &into.output), reason, left))
    });
    if let Some((output, reason, left)) = end {
        for node in &left {
            stop_in(cx, node, agenda);
        }
        answer(cx, &output, reason, agenda);
    }
}

/// What a branch is above: its place in the hub.
pub fn branch_of<H: Host>(cx: H::Cx<'_>, hub: &H::Hub, index: usize) -> Upstream<H> {
    Upstream::Hub(H::dup_hub(cx, hub), index)
}
