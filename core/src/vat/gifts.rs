//! Hand-offs: introducing peers to each other's objects. The certificates are explained in
//! [`captp`](crate::captp::Give).
//!
//! All three roles are played by connections of a vat:
//!
//! | role | here |
//! |---|---|
//! | gifter | [`Connection::introduce`]: deposits a gift and signs a give, in place of a reference |
//! | receiver | [`Vat::withdraw`]: finds or makes the connection to the exporter, and asks for the gift |
//! | exporter | [`Connection::deposit`] and [`Connection::hand_out`]: keep a gift until it is asked for, or the other way round |
//!
//! Order: the deposit follows what the gifter has sent to the object, and what the receiver sends to the
//! promise that it gets follows the withdrawal, which waits for the deposit. So E-order holds across
//! introductions.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::Vat;
use super::connection::Connection;
use super::opening::Opening;
use crate::captp::{Give, Receive, Signed, Target};
use crate::error::Error;
use crate::host::{Host, Message, Outcome, Ref, Reply};
use crate::limits::Limits;
use crate::passable::{Item, View};
use crate::promise::Cell;
use crate::sync::lock;

/// What peers have left for others, or wait for, by the gift's number: one table for each gifter.
pub(super) type Gifts<H> = HashMap<Vec<u8>, Gift<H>>;

pub(super) enum Gift<H: Host> {
    /// It is here; nobody has asked for it.
    Deposited(Ref<H>),
    /// It has been asked for.
    Wanted(H::Promise),
}

/// A gift to be asked for, once the session with the exporter is open.
pub(super) struct Withdrawal<H: Host> {
    give: Signed<Give>,
    /// The connection that it came over, whose key must sign.
    via: Arc<Connection<H>>,
    pub(super) result: H::Promise,
}

impl<H: Host> Connection<H> {
    /// The envelopes that stand for those references which the peer should have from the source.
    /// Called before the session's lock is taken: other sessions are involved.
    pub(super) fn introduce(self: &Arc<Self>, refs: &[Ref<H>]) -> Vec<Option<Arc<[u8]>>> {
        let is_elsewhere = |reference: &Ref<H>| matches!(reference, Ref::Far(import) if !Arc::ptr_eq(import.connection(), self));
        if !refs.iter().any(is_elsewhere) || !self.vat().is_some_and(|vat| vat.introduces()) {
            return Vec::new();
        }
        let receiver = self.with_session(|session| {
            let location = session.peer_location()?;
            Some((session.peer_key()?, location.transport.clone()))
        });
        // Before it has said hello there is no key to name it by: the object is lent.
        let Some((key, transport)) = receiver else {
            return Vec::new();
        };
        refs.iter()
            .map(|reference| match reference {
                Ref::Far(import) if !Arc::ptr_eq(import.connection(), self) => {
                    import.connection().with_session(|session| {
                        // Whom the receiver cannot reach, it cannot be introduced to.
                        let exporter = session.peer_location()?;
                        if exporter.hints.is_empty() || exporter.transport != transport {
                            return None;
                        }
                        session.give(import.position(), key).map(Into::into)
                    })
                }
                _ => None,
            })
            .collect()
    }

    /// Keeps what a gifter leaves for another peer.
    pub(super) fn deposit(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        vat: &Arc<Vat<H>>,
        args: View<'_, Ref<H>>,
    ) -> Result<(), Error> {
        let mut reader = args.reader();
        let (Item::Bytes(gift), Item::Ref(reference)) = (reader.next()?, reader.next()?) else {
            return Err(Error::remote(
                "TypeError: deposit-gift takes a number, as bytes, and a reference",
            ));
        };
        let most = self.limits().max_gifts;
        let wanted = {
            let mut gifts = lock(&self.gifts);
            match gifts.remove(gift) {
                Some(Gift::Wanted(promise)) => Some(promise),
                Some(deposited @ Gift::Deposited(_)) => {
                    gifts.insert(gift.to_vec(), deposited);
                    return Err(Error::remote("ValueError: that gift exists already"));
                }
                None if gifts.len() >= most => {
                    return Err(Error::remote("limit passed: max_gifts"));
                }
                None => {
                    gifts.insert(gift.to_vec(), Gift::Deposited(reference.dup(cx)));
                    None
                }
            }
        };
        if let Some(promise) = wanted {
            let value = H::value_of(cx, reference.dup(cx));
            vat.settle(cx, promise, Outcome::Fulfilled(value));
        }
        Ok(())
    }

    /// Gives a receiver what a gifter has left for it, or a promise for what it will leave.
    pub(super) fn hand_out(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        vat: &Arc<Vat<H>>,
        args: View<'_, Ref<H>>,
    ) -> Result<Reply<H>, Error> {
        let refused = |why: &str| Err(Error::remote(format!("ValueError: {why}")));
        let limits = self.limits();
        let receive = Signed::<Receive>::parse(args.bytes(), &limits)
            .map_err(|error| Error::remote(format!("ValueError: not a hand-off: {error}")))?;
        let (by, give) = (&receive.value, &receive.value.give);
        let mine = self.with_session(|session| (session.session_id(), session.peer_key()));
        let (Some(session), Some(receiver)) = mine else {
            return refused("the session is not open");
        };
        if by.session != session || by.receiving_side != receiver.id() {
            return refused("the hand-off was made out for another session");
        }
        let gifter = vat.connections().into_iter().find_map(|connection| {
            let (id, key) =
                connection.with_session(|session| (session.session_id(), session.peer_key()));
            (id? == give.value.session).then_some((connection, key?))
        });
        let Some((gifter, key)) = gifter else {
            return refused("the gifter has no session here");
        };
        if give.value.gifter_side != key.id() || !give.is_by(&key) {
            return refused("the gifter has not signed the hand-off");
        }
        if !receive.is_by(&give.value.receiver) {
            return refused("the hand-off is for another receiver");
        }
        if !self.with_session(|session| session.use_count(by.count)) {
            return refused("the hand-off's count was used before");
        }
        let promise = H::new_promise(cx, vat, Cell::pending());
        let deposited = {
            let mut gifts = lock(&gifter.gifts);
            match gifts.remove(&give.value.gift) {
                Some(Gift::Deposited(reference)) => Some(reference),
                Some(wanted @ Gift::Wanted(_)) => {
                    gifts.insert(give.value.gift.clone(), wanted);
                    return refused("the gift was asked for already");
                }
                None if gifts.len() >= limits.max_gifts => {
                    return refused("limit passed: max_gifts");
                }
                None => {
                    let wanted = Gift::Wanted(H::dup_promise(cx, &promise));
                    gifts.insert(give.value.gift.clone(), wanted);
                    None
                }
            }
        };
        Ok(match deposited {
            Some(reference) => Reply::Value(H::value_of(cx, reference)),
            None => Reply::Promise(promise),
        })
    }

    /// Asks the exporter for a gift.
    pub(super) fn ask_for_gift(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        vat: &Arc<Vat<H>>,
        withdrawal: Withdrawal<H>,
    ) {
        let Withdrawal { give, via, result } = withdrawal;
        let ours = self.with_session(|session| {
            let id = session.session_id()?;
            Some((id, session.public_key().id(), session.next_count()))
        });
        let Some((session, receiving_side, count)) = ours else {
            let failure = H::failure(cx, self.gone());
            return vat.settle(cx, result, Outcome::Broken(failure));
        };
        let receive = Receive {
            session,
            receiving_side,
            count,
            give,
        };
        let signed = via.with_session(|session| session.certify(receive));
        let message = Message::new(
            Some("withdraw-gift"),
            View {
                bytes: signed.envelope(),
                refs: &[],
            },
        );
        let mut work = VecDeque::new();
        // Without a promise to look at it cannot be refused.
        let _ = self.send(
            cx,
            Target::Export(0),
            None,
            message,
            Some(result),
            &mut work,
        );
        vat.finish(cx, work);
    }

    /// What the peer may make us hold.
    fn limits(&self) -> Limits {
        self.with_session(|session| session.limits().clone())
    }
}

impl<H: Host> Vat<H> {
    /// Asks the exporter for a gift. `via` is the connection to the gifter.
    pub(super) fn withdraw(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        via: &Arc<Connection<H>>,
        give: Signed<Give>,
        result: H::Promise,
    ) {
        let exporter = &give.value.exporter;
        let connection = match self.connection_to(exporter) {
            Some(connection) => Ok(connection),
            None => H::dial(cx, self, exporter),
        };
        let connection = match connection {
            Ok(connection) => connection,
            Err(error) => {
                let failure = H::failure(cx, error);
                return self.settle(cx, result, Outcome::Broken(failure));
            }
        };
        let withdrawal = Withdrawal {
            give,
            via: Arc::clone(via),
            result,
        };
        connection.when_open(cx, self, Opening::gift(withdrawal));
    }
}

/// Whoever waits for what will not come.
pub(super) fn orphans<H: Host>(gifts: Gifts<H>) -> impl Iterator<Item = H::Promise> {
    gifts.into_values().filter_map(|gift| match gift {
        Gift::Wanted(promise) => Some(promise),
        Gift::Deposited(_) => None,
    })
}
