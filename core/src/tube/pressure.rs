//! Holding back what is above, and letting it go.

use super::ending::fail;
use super::host::Host;
use super::hub;
use super::run::Agenda;
use super::siphon::{Hold, Upstream};

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
                            if siphon.hold.is_none() && siphon.should_hold() {
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
