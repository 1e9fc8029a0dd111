//! References and the descriptors that stand for them on one connection.

use std::sync::{Arc, Weak};

use super::Vat;
use super::connection::{Connection, Import, Tables};
use crate::captp::{Desc, Give, Session, Signed, Target};
use crate::error::Error;
use crate::host::{Host, Outcome, Ref, Reply};
use crate::promise::{Cell, Route};

/// What a descriptor was found to mean, before the host is asked to make promises of it.
pub(super) enum Found<H: Host> {
    Ref(Ref<H>),
    /// A promise of the peer's, to listen to.
    Promise(Arc<Import<H>>),
    /// An object of a third peer's, to be asked for there; nothing if it is not for us.
    Gift(Option<Box<Signed<Give>>>),
    /// An answer that is there already.
    Settled(Outcome<H>),
}

/// Where a promise's value is to be found, seen from one connection.
enum Whereabouts {
    /// The peer knows it under this name.
    Peer(Desc),
    /// It has to be exported.
    Elsewhere,
}

impl<H: Host> Connection<H> {
    /// Writes the descriptors for references that are about to be sent; those that are
    /// [introduced](Self::introduce) have theirs already.
    pub(super) fn describe(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        session: &mut Session<Tables<H>>,
        refs: &[Ref<H>],
        introduced: &[Option<Arc<[u8]>>],
    ) -> Vec<Desc> {
        refs.iter()
            .enumerate()
            .map(|(index, reference)| match introduced.get(index) {
                Some(Some(envelope)) => Desc::Give(Arc::clone(envelope)),
                _ => self.describe_one(cx, session, reference),
            })
            .collect()
    }

    fn describe_one(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        session: &mut Session<Tables<H>>,
        reference: &Ref<H>,
    ) -> Desc {
        match reference {
            Ref::Local(object) => {
                let identity = H::identity(object);
                Desc::ImportObject(session.mention(Some(identity), || reference.dup(cx)))
            }
            Ref::Far(import) if Arc::ptr_eq(import.connection(), self) => {
                Desc::Export(import.position())
            }
            // Another peer's object is lent through this vat: calls are passed on.
            Ref::Far(import) => {
                let identity = Arc::as_ptr(import) as usize;
                Desc::ImportObject(session.mention(Some(identity), || reference.dup(cx)))
            }
            Ref::Promise(promise) => match self.whereabouts(cx, session, promise) {
                Whereabouts::Peer(desc) => desc,
                Whereabouts::Elsewhere => {
                    Desc::ImportPromise(session.mention(None, || reference.dup(cx)))
                }
            },
        }
    }

    fn whereabouts(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        session: &Session<Tables<H>>,
        promise: &H::Promise,
    ) -> Whereabouts {
        let mut next = H::dup_promise(cx, promise);
        loop {
            let step = H::with_cell(cx, &next, |cell| match cell.route() {
                Some(Route::Question(connection, number))
                    if Arc::ptr_eq(connection, self) && session.profile().answer_arguments =>
                {
                    Ok(Whereabouts::Peer(Desc::Answer(*number)))
                }
                Some(Route::Import(import)) if Arc::ptr_eq(import.connection(), self) => {
                    Ok(Whereabouts::Peer(Desc::Export(import.position())))
                }
                Some(Route::Chained(other)) => Err(H::dup_promise(cx, other)),
                _ => Ok(Whereabouts::Elsewhere),
            });
            match step {
                Ok(found) => return found,
                Err(other) => next = other,
            }
        }
    }

    /// Looks up one received descriptor. `None` if the peer has no right to it.
    pub(super) fn look_up(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        session: &mut Session<Tables<H>>,
        desc: &Desc,
    ) -> Option<Found<H>> {
        Some(match *desc {
            Desc::ImportObject(position) => Found::Ref(Ref::Far(self.import(session, position))),
            Desc::ImportPromise(position) => Found::Promise(self.import(session, position)),
            Desc::Export(position) => Found::Ref(session.export(position)?.dup(cx)),
            Desc::Give(ref envelope) => {
                let give = Signed::<Give>::parse(envelope, session.limits()).ok()?;
                let for_us = give.value.receiver == session.public_key();
                Found::Gift(for_us.then(|| Box::new(give)))
            }
            Desc::Answer(number) => match session.answers().get(number)? {
                Reply::Value(value) => Found::Settled(Outcome::Fulfilled(H::dup_value(cx, value))),
                Reply::Failure(failure) => {
                    Found::Settled(Outcome::Broken(H::dup_failure(cx, failure)))
                }
                Reply::Promise(promise) => Found::Ref(Ref::Promise(H::dup_promise(cx, promise))),
            },
        })
    }

    /// The one reference for a position of the peer's.
    fn import(self: &Arc<Self>, session: &mut Session<Tables<H>>, at: u64) -> Arc<Import<H>> {
        let entry = session.imports().mention(at, Weak::new);
        entry.upgrade().unwrap_or_else(|| {
            let import = Import::new(self, at);
            *entry = Arc::downgrade(&import);
            import
        })
    }

    /// Turns what was found into references: makes the promises, and listens to the peer's.
    pub(super) fn realise(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        vat: &Arc<Vat<H>>,
        found: Vec<Found<H>>,
    ) -> Vec<Ref<H>> {
        found
            .into_iter()
            .map(|found| self.realise_one(cx, vat, found))
            .collect()
    }

    fn realise_one(self: &Arc<Self>, cx: H::Cx<'_>, vat: &Arc<Vat<H>>, found: Found<H>) -> Ref<H> {
        match found {
            Found::Ref(reference) => reference,
            Found::Settled(outcome) => {
                let mut cell = Cell::settled(outcome);
                // The peer has been told, or pipelines on purpose.
                cell.mark_handled();
                Ref::Promise(H::new_promise(cx, vat, cell))
            }
            Found::Gift(Some(give)) => {
                let promise = H::new_promise(cx, vat, Cell::pending());
                let result = H::dup_promise(cx, &promise);
                vat.withdraw(cx, self, *give, result);
                Ref::Promise(promise)
            }
            Found::Gift(None) => {
                let error = Error::remote("ValueError: a hand-off arrived that is not for us");
                let mut cell = Cell::settled(Outcome::Broken(H::failure(cx, error)));
                cell.mark_handled();
                Ref::Promise(H::new_promise(cx, vat, cell))
            }
            Found::Promise(import) => {
                let target = Target::Export(import.position());
                let mut cell = Cell::routed(Route::Import(import));
                // If it breaks and nobody looks, that is for its owner to report, who knows.
                cell.mark_handled();
                let promise = H::new_promise(cx, vat, cell);
                let listener = H::dup_promise(cx, &promise);
                if let Err(listener) = self.with_session(|session| session.listen(target, listener))
                {
                    let failure = H::failure(cx, self.gone());
                    vat.settle(cx, listener, Outcome::Broken(failure));
                }
                Ref::Promise(promise)
            }
        }
    }
}
