//! What hosts call.
//!
//! When one of these returns, all that can go on has gone on.

use super::ending::{answer, stop_above, stop_in};
use super::host::{Flowing, Host};
use super::pressure::{add_pause, hold, release, unpause};
use super::run::{Agenda, give};
use super::siphon::{Downstream, Phase, Siphon, Upstream};

fn run<H: Host>(cx: H::Cx<'_>, node: &H::Node) {
    let mut agenda = Agenda::<H>::new();
    agenda.enter(cx, node);
    agenda.work(cx);
}

/// A fount gives an item to a siphon. When this returns, all has been delivered that can be.
pub fn receive<H: Host>(cx: H::Cx<'_>, node: &H::Node, item: Flowing<H>) {
    let mut agenda = Agenda::<H>::new();
    give(cx, node, item, &mut agenda);
    // Somebody else's loop will look at the item; until then its fount is held.
    if H::with(cx, node, |siphon| siphon.running) && agenda.is_empty() {
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
    let (old, held, stops, orphan) = H::with(cx, node, |siphon| {
        let stops = fount.is_some() && !siphon.takes();
        let old = std::mem::replace(&mut siphon.upstream, fount);
        siphon.fount_is_over &= !stops;
        let orphan = siphon.upstream.is_none()
            && matches!(siphon.phase, Phase::Stopping)
            && siphon.ended.is_none();
        (old, siphon.hold.take(), stops, orphan)
    });
    if orphan {
        // Nobody is left who could say that the flow has stopped.
        answer(cx, node, H::stop_flow_called(cx), &mut agenda);
    }
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
        ended: H::with(cx, node, |siphon| siphon.take_end(cx)),
    })
}

/// Takes a native stage, and all below it, out of a siphon: what the siphon gives from now on is what that
/// stage was given. Returns what it would have to be given again, as inputs; `None` if the siphon is at
/// work, so that nothing can be taken out of it.
pub fn split<H: Host>(cx: H::Cx<'_>, node: &H::Node, index: usize) -> Option<Ejected<H>> {
    let mut chain = H::with(cx, node, |siphon| siphon.chain.take())?;
    let (ready, inputs) = H::with(cx, node, |siphon| {
        let inputs = (index == 0).then(|| siphon.inbox.take());
        let ready = std::mem::take(&mut siphon.ready);
        (ready, inputs.unwrap_or_default())
    });
    let items = chain.split(cx, index, ready);
    H::with(cx, node, |siphon| siphon.chain = Some(chain));
    let all = items.into_iter().chain(inputs);
    Some(Ejected {
        outputs: Vec::new(),
        inputs: all.map(|item| item.into_host(cx)).collect(),
        ended: H::with(cx, node, |siphon| {
            (index == 0).then(|| siphon.take_end(cx)).flatten()
        }),
    })
}

/// What was taken out of a siphon.
pub struct Ejected<H: Host> {
    /// Outputs; of a native stage, undone.
    pub outputs: Vec<H::Value>,
    /// Inputs that it has not seen.
    pub inputs: Vec<H::Value>,
    /// Why the flow into it has ended, if it has: that is no more for its drain to hear.
    pub ended: Option<H::Reason>,
}

impl<H: Host> Siphon<H> {
    /// Takes out the end that has come and that the drain has not been told of.
    fn take_end(&mut self, cx: H::Cx<'_>) -> Option<H::Reason> {
        if !self.fount_is_over || self.is_over() {
            return None;
        }
        let of_chain = self.chain().and_then(|chain| chain.reason());
        let of_chain = of_chain.map(|reason| H::dup_reason(cx, reason));
        let ended = self.ended.take().or(of_chain);
        if ended.is_some() {
            self.phase = Phase::Over;
        }
        ended
    }
}

/// Keeps a siphon from delivering for a moment, without holding anything back. To be paired with
/// [`thaw`].
pub fn freeze<H: Host>(cx: H::Cx<'_>, node: &H::Node) {
    H::with(cx, node, |siphon| siphon.frozen += 1);
}

/// Lets a siphon go on.
pub fn thaw<H: Host>(cx: H::Cx<'_>, node: &H::Node) {
    H::with(cx, node, |siphon| {
        siphon.frozen = siphon.frozen.saturating_sub(1);
    });
    run::<H>(cx, node);
}
