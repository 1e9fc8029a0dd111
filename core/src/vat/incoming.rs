//! What a received message does.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Vat;
use super::connection::{Connection, Tables};
use super::describe::Found;
use crate::captp::{Args, CloseReason, Counted, Desc, Incoming, Session, Target};
use crate::error::Error;
use crate::host::{Host, Message, Outcome, Ref, Reply};
use crate::passable::View;
use crate::promise::{Cell, Made};
use crate::sync::lock;
use crate::trace::{self, Doing, Trace};

/// Whom a call reaches.
enum Destination<H: Host> {
    Bootstrap,
    Ref(Ref<H>),
    Settled(Outcome<H>),
}

/// A received message, looked up but not yet acted on.
enum Step<'a, H: Host> {
    Nothing,
    /// The peer has said hello.
    Established,
    Dropped(#[expect(dead_code, reason = "carried out of the lock to be dropped")] Discarded<H>),
    Deliver {
        to: Destination<H>,
        selector: Option<&'a str>,
        args: &'a [u8],
        found: Vec<Found<H>>,
        answer: Option<u64>,
        resolver: Option<u64>,
    },
    Settled {
        question: H::Promise,
        broken: bool,
        value: &'a [u8],
        found: Vec<Found<H>>,
    },
    /// Our question was answered with something that the peer has no right to. It has left its
    /// table, so the end of the session does not find it.
    Orphaned {
        question: H::Promise,
        reason: CloseReason,
    },
    Listen {
        to: Destination<H>,
        resolver: u64,
    },
}

struct Discarded<H: Host>(
    #[expect(dead_code, reason = "carried out of the lock to be dropped")] Vec<Ref<H>>,
    #[expect(dead_code, reason = "carried out of the lock to be dropped")] Vec<Reply<H>>,
);

impl<H: Host> Connection<H> {
    /// Handles the messages in `bytes`, which must hold them whole, in order, and runs the turns
    /// that they cause. What they leave to write is in the outbox afterwards.
    ///
    /// # Errors
    /// Why the session ended; it is closed already, and every promise broken that waited for it.
    pub fn receive(self: &Arc<Self>, cx: H::Cx<'_>, bytes: &[u8]) -> Result<(), CloseReason> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let used = self.receive_one(cx, rest).inspect_err(|reason| {
                self.close(cx, reason.clone());
            })?;
            rest = &rest[used..];
        }
        Ok(())
    }

    fn receive_one(self: &Arc<Self>, cx: H::Cx<'_>, bytes: &[u8]) -> Result<usize, CloseReason> {
        let Some(vat) = self.vat() else {
            return Err(CloseReason::Local("the vat is gone".to_owned()));
        };
        let (step, used) = self.with_session(|session| self.digest(cx, session, bytes))?;
        self.act(cx, &vat, step)?;
        Ok(used)
    }

    /// The part under the lock: table work only.
    fn digest<'a>(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        session: &mut Session<Tables<H>>,
        bytes: &'a [u8],
    ) -> Result<(Step<'a, H>, usize), CloseReason> {
        let (incoming, used) = session.receive(bytes)?;
        let step = match incoming {
            Incoming::Nothing => Step::Nothing,
            Incoming::Established => Step::Established,
            Incoming::Dropped(exports, answers) => Step::Dropped(Discarded(exports, answers)),
            Incoming::Deliver(call) => {
                check_limits(session)?;
                Step::Deliver {
                    to: destination(cx, session, call.to)?,
                    selector: call.selector,
                    args: call.args.bytes,
                    found: self.look_up_all(cx, session, &call.args)?,
                    answer: call.answer,
                    resolver: call.resolver,
                }
            }
            Incoming::Settled {
                question,
                broken,
                value,
            } => match check_limits(session).and_then(|()| self.look_up_all(cx, session, &value)) {
                Ok(found) => Step::Settled {
                    question,
                    broken,
                    value: value.bytes,
                    found,
                },
                Err(reason) => Step::Orphaned { question, reason },
            },
            Incoming::Listen { to, resolver } => {
                check_limits(session)?;
                Step::Listen {
                    to: destination(cx, session, to)?,
                    resolver,
                }
            }
        };
        Ok((step, used))
    }

    fn look_up_all(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        session: &mut Session<Tables<H>>,
        args: &Args<'_>,
    ) -> Result<Vec<Found<H>>, CloseReason> {
        let mut found = Vec::with_capacity(args.descs.len());
        for desc in &args.descs {
            found.push(
                self.look_up(cx, session, desc)
                    .ok_or_else(|| unknown(desc))?,
            );
        }
        Ok(found)
    }

    /// The part outside of the lock: the host runs.
    fn act(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        vat: &Arc<Vat<H>>,
        step: Step<'_, H>,
    ) -> Result<(), CloseReason> {
        match step {
            Step::Nothing | Step::Dropped(_) => {}
            Step::Established => self.opened(cx, vat)?,
            Step::Orphaned { question, reason } => {
                self.close(cx, reason.clone());
                vat.settle(cx, question, Outcome::Broken(H::failure(cx, self.gone())));
                return Err(reason);
            }
            Step::Deliver {
                to,
                selector,
                args,
                found,
                answer,
                resolver,
            } => {
                let refs = self.realise(cx, vat, found);
                let _cause = self.arriving(Counted::Call);
                let message = Message {
                    selector,
                    args: View {
                        bytes: args,
                        refs: &refs,
                    },
                    sender: Some(self.account()),
                };
                let reply = match to {
                    _ if self.has_long_argument(message.args) => {
                        let error = Error::remote("ValueError: limit passed: max_argument_bytes");
                        Reply::Failure(H::failure(cx, error))
                    }
                    Destination::Bootstrap => self.bootstrap(cx, vat, message),
                    to => {
                        match vat.deliver(cx, to, message, answer.is_some() || resolver.is_some()) {
                            Some(reply) => reply,
                            None => return self.check_waiting(),
                        }
                    }
                };
                self.answer(cx, vat, answer, resolver, reply);
                self.check_waiting()?;
            }
            Step::Settled {
                question,
                broken,
                value,
                found,
            } => {
                let refs = self.realise(cx, vat, found);
                let _cause = self.arriving(Counted::Resolution);
                let view = View {
                    bytes: value,
                    refs: &refs,
                };
                let outcome = if broken {
                    Outcome::Broken(H::accept_failure(cx, vat, view))
                } else {
                    match H::accept(cx, vat, view) {
                        Ok(value) => Outcome::Fulfilled(value),
                        Err(failure) => Outcome::Broken(failure),
                    }
                };
                vat.settle(cx, question, outcome);
            }
            Step::Listen { to, resolver } => {
                let reply = match to {
                    Destination::Bootstrap => {
                        Reply::Failure(H::failure(cx, Error::no_such_method(Some("op:listen"))))
                    }
                    Destination::Settled(Outcome::Fulfilled(value)) => Reply::Value(value),
                    Destination::Settled(Outcome::Broken(failure)) => Reply::Failure(failure),
                    Destination::Ref(Ref::Promise(promise)) => Reply::Promise(promise),
                    Destination::Ref(reference) => Reply::Value(H::value_of(cx, reference)),
                };
                self.answer(cx, vat, None, Some(resolver), reply);
            }
        }
        Ok(())
    }

    /// While this is there, what is done is because of the message that has arrived.
    fn arriving(&self, counted: Counted) -> Option<Doing> {
        if !trace::is_on() {
            return None;
        }
        self.with_session(|session| session.arrow(false, counted))
            .map(Trace::arriving)
    }

    /// True if one of the arguments is longer than may be.
    fn has_long_argument(&self, args: View<'_, Ref<H>>) -> bool {
        let most = self.max_argument_bytes();
        if args.bytes.len() <= most {
            return false;
        }
        let mut reader = args.reader();
        while !reader.is_empty() {
            // What cannot be read is for the method to refuse.
            let Ok(argument) = reader.value() else {
                return false;
            };
            if argument.bytes.len() > most {
                return true;
            }
        }
        false
    }

    /// Gives the peer the result of its call.
    fn answer(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        vat: &Arc<Vat<H>>,
        answer: Option<u64>,
        resolver: Option<u64>,
        reply: Reply<H>,
    ) {
        let reply = match reply {
            Reply::Value(value) => match H::target(cx, &value) {
                Some(Ref::Promise(promise)) => Reply::Promise(promise),
                _ => Reply::Value(value),
            },
            reply => reply,
        };
        let reply = match reply {
            Reply::Promise(promise) if answer.is_some() => {
                Reply::Promise(vat.for_sender(cx, promise))
            }
            reply => reply,
        };
        let reply = match (reply, resolver) {
            (reply, None) => reply,
            (Reply::Value(value), Some(resolver)) => {
                match H::emit(cx, &value, |view| self.tell_with(cx, resolver, false, view)) {
                    Ok(()) => Reply::Value(value),
                    Err(error) => {
                        let failure = H::failure(cx, error);
                        H::emit_failure(cx, vat, &failure, |v| {
                            self.tell_with(cx, resolver, true, v)
                        });
                        Reply::Failure(failure)
                    }
                }
            }
            (Reply::Failure(failure), Some(resolver)) => {
                H::emit_failure(cx, vat, &failure, |view| {
                    self.tell_with(cx, resolver, true, view)
                });
                Reply::Failure(failure)
            }
            (Reply::Promise(promise), Some(resolver)) => {
                vat.tell_when_settled(cx, &promise, self, resolver);
                Reply::Promise(promise)
            }
        };
        if let Some(number) = answer {
            // What may be returned is dropped outside of the lock.
            let _late = self.with_session(|session| {
                if session.closed().is_some() {
                    return Some(reply);
                }
                session.answers().keep(number, reply)
            });
        }
    }

    /// Tells a peer's resolver how a promise ended.
    pub(super) fn tell(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        vat: &Arc<Vat<H>>,
        resolver: u64,
        outcome: &Outcome<H>,
    ) {
        match outcome {
            Outcome::Fulfilled(value) => {
                if let Err(error) =
                    H::emit(cx, value, |view| self.tell_with(cx, resolver, false, view))
                {
                    let failure = H::failure(cx, error);
                    H::emit_failure(cx, vat, &failure, |view| {
                        self.tell_with(cx, resolver, true, view)
                    });
                }
            }
            Outcome::Broken(failure) => {
                H::emit_failure(cx, vat, failure, |view| {
                    self.tell_with(cx, resolver, true, view)
                });
            }
        }
    }

    fn tell_with(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        resolver: u64,
        broken: bool,
        view: View<'_, Ref<H>>,
    ) {
        let introduced = self.introduce(view.refs);
        let mut arrow = None;
        self.with_session(|session| {
            // An ended session exports nothing more: nobody would ever give it back.
            if session.closed().is_some() {
                return;
            }
            let descs = self.describe(cx, session, view.refs, &introduced);
            session.settle(resolver, broken, view.bytes, &descs);
            if trace::is_on() {
                arrow = session.arrow(true, Counted::Resolution);
            }
        });
        self.note_sent("answer", arrow);
    }
}

impl<H: Host> Vat<H> {
    fn deliver(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        to: Destination<H>,
        message: Message<'_, H>,
        wants_answer: bool,
    ) -> Option<Reply<H>> {
        let reference = match to {
            // Its connection deals with it.
            Destination::Bootstrap => {
                let failure = H::failure(cx, Error::no_such_method(message.selector));
                return Some(Reply::Failure(failure));
            }
            Destination::Ref(reference) => reference,
            Destination::Settled(Outcome::Broken(failure)) => return Some(Reply::Failure(failure)),
            Destination::Settled(Outcome::Fulfilled(value)) => match H::target(cx, &value) {
                Some(reference) => reference,
                None => {
                    let mut work = VecDeque::new();
                    let reply = self.ask(cx, &value, message, &mut work);
                    self.finish(cx, work);
                    return Some(reply);
                }
            },
        };
        match reference {
            // What waits in the turn queue was sent earlier, perhaps to the same object.
            Ref::Local(object) if !self.has_turns() => Some(self.invoke(cx, &object, message)),
            // A promise for a result that nobody wants would be one that nobody looks at.
            reference if !wants_answer => {
                self.send(cx, &reference, message, None);
                None
            }
            reference => {
                let result = self.call(cx, &reference, message);
                H::with_cell(cx, &result, Cell::for_sender);
                Some(Reply::Promise(result))
            }
        }
    }

    /// A promise for the outcome of one that a method has returned, which its caller may cancel without
    /// breaking it for others.
    fn for_sender(self: &Arc<Self>, cx: H::Cx<'_>, promise: H::Promise) -> H::Promise {
        if H::with_cell(cx, &promise, |cell| *cell.made() == Made::ForSender) {
            return promise;
        }
        let mut cell = Cell::pending();
        cell.for_sender();
        // The peer will be told of a failure, or pipelines on purpose.
        cell.mark_handled();
        let answer = H::new_promise(cx, self, cell);
        let outcome = Outcome::Fulfilled(H::value_of(cx, Ref::Promise(promise)));
        self.settle(cx, H::dup_promise(cx, &answer), outcome);
        answer
    }

    pub(super) fn remember_once(
        &self,
        connection: &Arc<Connection<H>>,
        stats: crate::captp::Stats,
    ) {
        let mut connections = lock(&self.connections);
        let before = connections.len();
        connections.retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(connection)));
        if connections.len() < before {
            drop(connections);
            self.remember(stats);
        }
    }
}

fn destination<H: Host>(
    cx: H::Cx<'_>,
    session: &mut Session<Tables<H>>,
    to: Target,
) -> Result<Destination<H>, CloseReason> {
    let found = match to {
        Target::Export(0) => Some(Destination::Bootstrap),
        Target::Export(position) => session
            .export(position)
            .map(|r| Destination::Ref(r.dup(cx))),
        Target::Answer(number) => session.answers().get(number).map(|answer| match answer {
            Reply::Value(value) => {
                Destination::Settled(Outcome::Fulfilled(H::dup_value(cx, value)))
            }
            Reply::Failure(failure) => {
                Destination::Settled(Outcome::Broken(H::dup_failure(cx, failure)))
            }
            Reply::Promise(promise) => Destination::Ref(Ref::Promise(H::dup_promise(cx, promise))),
        }),
    };
    found.ok_or_else(|| unknown(&to.into()))
}

fn unknown(desc: &Desc) -> CloseReason {
    CloseReason::Protocol(match desc {
        Desc::Answer(number) => format!("there is no answer {number}"),
        Desc::Export(at) | Desc::ImportObject(at) | Desc::ImportPromise(at) => {
            format!("nothing is exported at position {at}")
        }
        Desc::Give(_) => "a hand-off's certificate is malformed".to_owned(),
    })
}

fn check_limits<H: Host>(session: &Session<Tables<H>>) -> Result<(), CloseReason> {
    match session.limit_passed() {
        None => Ok(()),
        Some(limit) => Err(CloseReason::Protocol(format!("limit passed: {limit}"))),
    }
}
