//! Cancelling: telling whoever works on a promise that nobody needs it any more.

use std::sync::Arc;

use super::connection::Connection;
use super::{Extension, Vat};
use crate::captp::Target;
use crate::host::{Host, Outcome, Reply};
use crate::passable::{Builder, Item, View};
use crate::promise::{Cell, Reaction, Route};

/// What stands behind a promise that was cancelled.
enum Behind<H: Host> {
    Nothing,
    /// A call to a peer, by its number.
    Question(Arc<Connection<H>>, u64),
    /// The promise that it was resolved to, or is made from.
    Other(H::Promise),
}

/// What is to be told that a promise is cancelled.
type Told<H> = (Vec<Reaction<H>>, Behind<H>);

impl<H: Host> Vat<H> {
    /// Runs `callback` in a turn of its own, with the reason, if the promise is cancelled. For
    /// promises made for the one who has sent a message, such as for the task that handles it. The
    /// callback is dropped unrun when the promise settles otherwise.
    pub fn on_cancel(self: &Arc<Self>, cx: H::Cx<'_>, promise: &H::Promise, callback: H::Callback) {
        // What may be given back is dropped out here.
        let _late = H::with_cell(cx, promise, |cell| cell.on_cancel(callback));
    }

    /// Breaks a pending promise with `failure`, and cancels the work behind it: a call to a peer is
    /// cancelled there, and a task of this vat's that was begun for this promise alone is told. A
    /// message that still waits is not delivered. Nothing happens to a promise that has settled.
    ///
    /// It reaches back: the promise that this one was resolved to, or that it is made from by
    /// [`Self::then`], is cancelled as well, if it is for the result of a message or of another function,
    /// nobody else waits for it, and nobody has sent it messages or passed it on. So what others wait for
    /// goes on, and a promise with a resolver is broken by none but that.
    pub fn cancel(self: &Arc<Self>, cx: H::Cx<'_>, promise: &H::Promise, failure: H::Failure) {
        let mut next = vec![H::dup_promise(cx, promise)];
        while let Some(promise) = next.pop() {
            let Some((cancellers, behind)) = H::with_cell(cx, &promise, |cell| stop(cx, cell))
            else {
                continue;
            };
            let broken = Outcome::Broken(H::dup_failure(cx, &failure));
            self.settle(cx, H::dup_promise(cx, &promise), broken);
            for canceller in cancellers {
                match canceller {
                    Reaction::Cancel(callback) => {
                        self.later(callback, Outcome::Broken(H::dup_failure(cx, &failure)));
                    }
                    Reaction::Abandon(program) => {
                        let Some(program) = program.upgrade() else {
                            continue;
                        };
                        for call in program.take_calls() {
                            let (_gather, abandoned) = H::with_cell(cx, &call, |cell| {
                                (cell.take_gather(&program), cell.is_abandoned())
                            });
                            next.extend(abandoned.then_some(call));
                        }
                    }
                    // Nothing else is taken for this.
                    _ => {}
                }
            }
            match behind {
                Behind::Nothing => {}
                Behind::Question(connection, number) => {
                    connection.cancel(cx, number, &promise);
                }
                Behind::Other(other) => {
                    let (_dependent, abandoned) = H::with_cell(cx, &other, |cell| {
                        (cell.take_dependent(&promise), cell.is_abandoned())
                    });
                    next.extend(abandoned.then_some(other));
                }
            }
        }
    }
}

/// What is to be told that a promise is cancelled. `None` if it has settled.
fn stop<H: Host>(cx: H::Cx<'_>, cell: &mut Cell<H>) -> Option<Told<H>> {
    let behind = match cell.route()? {
        Route::Question(connection, number) => Behind::Question(Arc::clone(connection), *number),
        Route::Chained(other) => Behind::Other(H::dup_promise(cx, other)),
        Route::Here | Route::Opening | Route::Import(_) => match cell.source() {
            Some(Some(source)) => H::upgrade(cx, source).map_or(Behind::Nothing, Behind::Other),
            _ => Behind::Nothing,
        },
    };
    // Somebody has asked for this end.
    cell.mark_handled();
    Some((cell.take_cancellers(), behind))
}

impl<H: Host> Connection<H> {
    /// Tells the peer that the answer to this question is needed no more.
    fn cancel(self: &Arc<Self>, cx: H::Cx<'_>, number: u64, promise: &H::Promise) {
        let _ = cx;
        let mut args = Builder::<()>::default();
        args.int(i128::from(number));
        self.with_session(|session| {
            // The number may have been given to another question meanwhile, by another thread.
            let still = session
                .question(number)
                .is_some_and(|asked| H::is_same_promise(asked, promise));
            if still && session.profile().extensions {
                let selector = Some(Extension::Cancel.selector());
                // A session that has ended has nobody to tell.
                let _ =
                    session.deliver(Target::Export(0), selector, args.view().bytes(), &[], None);
            }
        });
    }

    /// The peer needs the answer to this call of its no more.
    pub(super) fn cancelled_by_peer(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        vat: &Arc<Vat<H>>,
        args: View<'_, crate::host::Ref<H>>,
    ) {
        let Ok(Item::Int(number)) = args.reader().next() else {
            return;
        };
        let Some(number) = number.to_u64() else {
            return;
        };
        let promise = self.with_session(|session| match session.answers().get(number) {
            Some(Reply::Promise(promise)) => Some(H::dup_promise(cx, promise)),
            _ => None,
        });
        let Some(promise) = promise else { return };
        let failure = H::failure(cx, crate::Error::Cancelled);
        let (alone, resolver) = H::with_cell(cx, &promise, |cell| {
            let alone = cell.is_senders_alone(|connection| Arc::ptr_eq(connection, self));
            let resolver = if alone { None } else { cell.take_tell(self) };
            (alone, resolver)
        });
        if alone {
            vat.cancel(cx, &promise, failure);
        } else if let Some(resolver) = resolver {
            // It goes on for others; but this one waits no more.
            self.tell(cx, vat, resolver, &Outcome::Broken(failure));
        }
    }
}
