//! Ends: of a flow that is over, was stopped, or has failed.

use super::host::Host;
use super::hub;
use super::pressure::release;
use super::run::Agenda;
use super::siphon::{Downstream, Phase, Upstream};

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
            return Some((old, siphon.ended.take()));
        }
        None
    });
    if old.is_some() {
        stop_above(cx, node, agenda);
    }
    // The chain does not know of it if the fault is not one of its stages'.
    let kept = H::dup_reason(cx, reason);
    let old = H::with(cx, node, |siphon| {
        if siphon.chain().is_none_or(|chain| chain.reason().is_none()) {
            return siphon.broken.replace(kept);
        }
        Some(kept)
    });
    drop(old);
    agenda.enter(cx, node);
}

/// The drain failed: it is told, and nothing more flows.
pub(super) fn spoil<H: Host>(
    cx: H::Cx<'_>,
    node: &H::Node,
    reason: H::Reason,
    agenda: &mut Agenda<H>,
) {
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
        let mut spare = Some(reason);
        if !siphon.is_over() {
            siphon.phase = Phase::Stopping;
            spare = std::mem::replace(&mut siphon.ended, spare);
        }
        let ready = std::mem::take(&mut siphon.ready);
        ((siphon.inbox.take(), ready, spare), was_open)
    });
    drop(old);
    if was_open {
        stop_above(cx, node, agenda);
    }
    agenda.enter(cx, node);
}

/// Stops what is above, and what is above that; then lets it go, so that it can come to its end.
pub(super) fn stop_above<H: Host>(cx: H::Cx<'_>, node: &H::Node, agenda: &mut Agenda<H>) {
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
pub(super) fn finish<H: Host>(
    cx: H::Cx<'_>,
    node: &H::Node,
    reason: H::Reason,
    agenda: &mut Agenda<H>,
) {
    let (below, held, old) = H::with(cx, node, |siphon| {
        let below = siphon.downstream.as_ref().map(|below| below.dup(cx));
        let phase = match &below {
            Some(_) => Phase::Over,
            None => Phase::Untold(H::dup_reason(cx, &reason)),
        };
        let old = std::mem::replace(&mut siphon.phase, phase);
        (below, siphon.hold.take(), old)
    });
    drop(old);
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
