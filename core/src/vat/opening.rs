//! What waits until a session is open; and what is done when two peers connect to each other at once.

use std::sync::Arc;

use super::Vat;
use super::connection::Connection;
use super::gifts::Withdrawal;
use crate::captp::{CloseReason, Session};
use crate::host::{Host, Note, Outcome};
use crate::locator::Location;
use crate::promise::{Cell, Route};
use crate::sync::lock;

/// Something to ask the peer's bootstrap object for. It is not written before it is known over which
/// connection: two peers that connect to each other at once keep only one of two.
pub(super) struct Opening<H: Host> {
    wanted: Wanted<H>,
    /// How often a connection was refused over which it was to be asked.
    refused: u8,
}

enum Wanted<H: Host> {
    /// An object by its swiss number.
    Object(Vec<u8>, H::Promise),
    /// A gift.
    Gift(Box<Withdrawal<H>>),
}

impl<H: Host> Opening<H> {
    pub(super) fn gift(withdrawal: Withdrawal<H>) -> Self {
        Self {
            wanted: Wanted::Gift(Box::new(withdrawal)),
            refused: 0,
        }
    }

    pub(super) fn into_result(self) -> H::Promise {
        match self.wanted {
            Wanted::Object(_, result) => result,
            Wanted::Gift(withdrawal) => withdrawal.result,
        }
    }
}

/// So often may a peer refuse a connection before it is open. It does for another reason, then, than
/// that it keeps one of its own.
const MOST_REFUSED: u8 = 3;

/// What the peer is told whose connection ends because the other one is kept.
const CROSSED: &str = "Crossed hellos mitigated";

impl<H: Host> Connection<H> {
    /// Asks the peer's bootstrap object for what is registered under `swiss`.
    pub fn fetch(self: &Arc<Self>, cx: H::Cx<'_>, vat: &Arc<Vat<H>>, swiss: &[u8]) -> H::Promise {
        let cell = Cell::routed(Route::Opening);
        let result = H::new_promise(cx, vat, cell);
        let opening = Opening {
            wanted: Wanted::Object(swiss.to_vec(), H::dup_promise(cx, &result)),
            refused: 0,
        };
        self.when_open(cx, vat, opening);
        result
    }

    /// Asks now, or once the session is open.
    pub(super) fn when_open(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        vat: &Arc<Vat<H>>,
        opening: Opening<H>,
    ) {
        let ready = {
            // Opening and closing take what waits here after they have changed the state.
            let mut openings = lock(&self.openings);
            if self.is_open() || self.is_closed() {
                Some(opening)
            } else {
                openings.push(opening);
                None
            }
        };
        if let Some(opening) = ready {
            self.ask_for(cx, vat, opening);
        }
    }

    fn ask_for(self: &Arc<Self>, cx: H::Cx<'_>, vat: &Arc<Vat<H>>, opening: Opening<H>) {
        match opening.wanted {
            Wanted::Object(swiss, result) => self.ask_for_object(cx, vat, &swiss, result),
            Wanted::Gift(withdrawal) => self.ask_for_gift(cx, vat, *withdrawal),
        }
    }

    /// The peer has said hello.
    ///
    /// # Errors
    /// If the two have connected to each other at once, and the other connection is kept: of two, that
    /// whose initiator's key has the higher identifier. (OCapN CapTP draft, "Crossed Hellos".)
    pub(super) fn opened(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        vat: &Arc<Vat<H>>,
    ) -> Result<(), CloseReason> {
        let names_another = |peer: &str| {
            self.peer_location()
                .is_some_and(|location| location.designator != peer)
        };
        if self.proven_peer().is_some_and(names_another) {
            return Err(CloseReason::Protocol(
                "a hello names somebody else than the key that the connection was made with"
                    .to_owned(),
            ));
        }
        if let Some(ours) = self.crossed(vat) {
            let mine = ours.with_session(|session| session.public_key().id());
            let theirs = self.with_session(|session| session.peer_key().map(|key| key.id()));
            if Some(mine) > theirs {
                return Err(CloseReason::Local(CROSSED.to_owned()));
            }
            let moved = std::mem::take(&mut *lock(&ours.openings));
            lock(&self.openings).extend(moved);
            ours.close(cx, CloseReason::Local(CROSSED.to_owned()));
        }
        if let Some(peer) = self.peer_location() {
            H::note(cx, vat, &Note::Opened(&peer));
        }
        self.with_session(Session::welcome);
        vat.rescue(cx);
        let waiting = std::mem::take(&mut *lock(&self.openings));
        for opening in waiting {
            self.ask_for(cx, vat, opening);
        }
        Ok(())
    }

    /// The connection that we are making to the peer that has made this one to us.
    fn crossed(self: &Arc<Self>, vat: &Arc<Vat<H>>) -> Option<Arc<Self>> {
        if self.is_dialled() || !self.is_believed() {
            return None;
        }
        let peer = self.peer_location()?;
        let is_it = |other: &Arc<Self>| {
            !Arc::ptr_eq(other, self)
                && other.is_dialled()
                && !other.is_open()
                && other.leads_to(&peer)
        };
        vat.connections().into_iter().find(is_it)
    }
}

impl<H: Host> Vat<H> {
    /// Keeps what was to be asked for over a connection that the peer has refused: it may be making one
    /// to us, and have decided for that before we have heard of it. Gives back what has been refused
    /// too often.
    pub(super) fn strand(
        &self,
        to: Option<&Location>,
        openings: Vec<Opening<H>>,
    ) -> Vec<Opening<H>> {
        let Some(to) = to else { return openings };
        let mut given_up = Vec::new();
        let mut stranded = lock(&self.stranded);
        for mut opening in openings {
            opening.refused += 1;
            if opening.refused < MOST_REFUSED {
                stranded.push((to.clone(), opening));
            } else {
                given_up.push(opening);
            }
        }
        given_up
    }

    /// Asks over the connection that a peer has made meanwhile; over a new one, once no connection is
    /// left that may turn out to be the one.
    pub(super) fn rescue(self: &Arc<Self>, cx: H::Cx<'_>) {
        let stranded = std::mem::take(&mut *lock(&self.stranded));
        if stranded.is_empty() {
            return;
        }
        let may_be_it = |other: &Arc<Connection<H>>| !other.is_dialled() && !other.is_open();
        let wait = self.connections().iter().any(may_be_it);
        for (to, opening) in stranded {
            let found = match self.connection_to(&to) {
                Some(connection) => Ok(connection),
                None if wait => {
                    lock(&self.stranded).push((to, opening));
                    continue;
                }
                None => H::dial(cx, self, &to),
            };
            match found {
                Ok(connection) => connection.when_open(cx, self, opening),
                Err(error) => {
                    let broken = Outcome::Broken(H::failure(cx, error));
                    self.settle(cx, opening.into_result(), broken);
                }
            }
        }
    }
}
