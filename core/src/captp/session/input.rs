//! What a session does with what it receives.

use super::super::op::{Arguments, Desc, GET, Op, Part, StartSession, Target, UNTAG, parse};
use super::{Args, CloseReason, Delivery, Export, Incoming, Payload, Peer, Session, State};
use crate::syrup::{Cursor, Writer};

impl<P: Payload> Session<P> {
    /// Handles the first message in `bytes`, which must hold it whole, and says how long it was.
    ///
    /// # Errors
    /// Why the session ended: the peer aborted it or broke the protocol. In the latter case an
    /// `op:abort` is in the outbox.
    pub fn receive<'a>(
        &mut self,
        bytes: &'a [u8],
    ) -> Result<(Incoming<'a, P>, usize), CloseReason> {
        if let State::Closed { reason, .. } = &self.state {
            return Err(reason.clone());
        }
        let mut cursor = Cursor::new(bytes).max_digits(self.limits.max_digits);
        let result = parse(&mut cursor, &self.limits)
            .map_err(CloseReason::from)
            .and_then(|op| {
                // A framed message was measured before; one of many in a WebSocket message was not.
                if cursor.position() > self.limits.max_message_bytes {
                    return Err(CloseReason::Protocol(
                        "limit passed: max_message_bytes".to_owned(),
                    ));
                }
                self.handle(op)
            });
        match result {
            Ok(incoming) => {
                self.stats.messages_received += 1;
                Ok((incoming, cursor.position()))
            }
            Err(reason) => {
                self.close(reason.clone());
                Err(reason)
            }
        }
    }

    fn handle<'a>(&mut self, op: Op<'a>) -> Result<Incoming<'a, P>, CloseReason> {
        let protocol = |why: &str| Err(CloseReason::Protocol(why.to_owned()));
        let is_open = self.is_open();
        match op {
            Op::Abort(reason) => Err(CloseReason::PeerAborted(reason.to_owned())),
            Op::StartSession(start) if !is_open => self.handle_start(&start),
            Op::StartSession(_) => protocol("a second op:start-session"),
            _ if !is_open => protocol("the first message must be op:start-session"),
            Op::Deliver {
                to,
                args,
                answer,
                resolver,
            } => {
                let Arguments {
                    selector,
                    bytes,
                    descs,
                    count,
                } = args;
                let args = Args { bytes, descs };
                if let Target::Export(position) = to
                    && let Some(Export::Resolver(_) | Export::Spent) =
                        self.exports.get_mut(position)
                {
                    return self.handle_resolution(position, selector, args, count);
                }
                self.call(Delivery {
                    to,
                    selector,
                    args,
                    answer,
                    resolver,
                })
            }
            Op::Resolve {
                resolver,
                broken,
                value,
            } => match self.exports.get_mut(resolver) {
                Some(Export::Resolver(_) | Export::Spent) => {
                    let Arguments { bytes, descs, .. } = value;
                    self.resolved(resolver, broken, Args { bytes, descs })
                }
                _ => protocol("there is no resolver at that position"),
            },
            // What our own peers ask by a message, and more of it at once, is asked so by others.
            Op::Part {
                to,
                kind,
                key,
                answer,
            } => self.call(Delivery {
                to,
                selector: Some(match kind {
                    Part::Field | Part::Item => GET,
                    Part::Tagged => UNTAG,
                }),
                args: Args {
                    bytes: key,
                    descs: Vec::new(),
                },
                answer: Some(answer),
                resolver: None,
            }),
            Op::Listen { to, resolver } => Ok(Incoming::Listen { to, resolver }),
            Op::GcExports(deltas) => {
                let mut dropped = Vec::new();
                for (position, delta) in deltas {
                    // The bootstrap is not counted.
                    if position == 0 {
                        continue;
                    }
                    match self.exports.give_back(position, delta) {
                        Ok(Some(Export::Item(item))) => dropped.push(item),
                        Ok(_) => {}
                        Err(()) => return protocol("op:gc-exports gives back what it has not"),
                    }
                }
                Ok(Incoming::Dropped(dropped, Vec::new()))
            }
            Op::GcAnswers(numbers) => {
                let dropped = numbers
                    .into_iter()
                    .filter_map(|n| self.answers.remove(n))
                    .collect();
                Ok(Incoming::Dropped(Vec::new(), dropped))
            }
        }
    }

    fn call<'a>(&mut self, call: Delivery<'a>) -> Result<Incoming<'a, P>, CloseReason> {
        let protocol = |why: &str| Err(CloseReason::Protocol(why.to_owned()));
        self.stats.calls_received += 1;
        self.heard.calls += 1;
        if !self.pace.take_call() {
            return protocol("limit passed: max_calls_per_second");
        }
        if let Some(number) = call.answer {
            if self.answers.get(number).is_some() {
                return protocol("an answer number is used twice");
            }
            if self.answers.len() >= self.limits.max_answers {
                return protocol("limit passed: max_answers");
            }
        }
        Ok(Incoming::Deliver(call))
    }

    fn handle_start<'a>(
        &mut self,
        start: &StartSession<'_>,
    ) -> Result<Incoming<'a, P>, CloseReason> {
        if start.version != self.profile.captp_version {
            return Err(CloseReason::Protocol("invalid-version".to_owned()));
        }
        // Verified over the bytes as they came, so a peer's own order of keys does no harm.
        let mut signed = Vec::with_capacity(start.location_bytes.len() + 20);
        signed.put_record("my-location", |out| {
            out.extend_from_slice(start.location_bytes)
        });
        if !start.key.verify(&signed, &start.signature) {
            return Err(CloseReason::Protocol(
                "Invalid location signature".to_owned(),
            ));
        }
        let peer = Peer {
            location: start.location.clone(),
            key: start.key,
        };
        if let State::AwaitStart { held, .. } =
            std::mem::replace(&mut self.state, State::Open { peer })
        {
            match &mut self.reserved {
                Some((_, later)) => later.append(held),
                None => self.out.append(held),
            }
        }
        Ok(Incoming::Established)
    }

    fn handle_resolution<'a>(
        &mut self,
        position: u64,
        selector: Option<&str>,
        value: Args<'a>,
        count: usize,
    ) -> Result<Incoming<'a, P>, CloseReason> {
        if count != 1 {
            return Err(CloseReason::Protocol(
                "a resolver takes one value".to_owned(),
            ));
        }
        let broken = match selector {
            Some("fulfill") => false,
            Some("break") => true,
            _ => {
                return Err(CloseReason::Protocol(
                    "a resolver understands fulfill and break only".to_owned(),
                ));
            }
        };
        self.resolved(position, broken, value)
    }

    fn resolved<'a>(
        &mut self,
        position: u64,
        broken: bool,
        value: Args<'a>,
    ) -> Result<Incoming<'a, P>, CloseReason> {
        self.heard.resolutions += 1;
        // The first resolution wins; another one is ignored.
        let Some(entry) = self.exports.get_mut(position) else {
            return Ok(self.ignore(&value));
        };
        let Export::Resolver(number) = *entry else {
            return Ok(self.ignore(&value));
        };
        *entry = Export::Spent;
        let Some(question) = self.questions.take(number) else {
            return Ok(self.ignore(&value));
        };
        self.answered = true;
        if question.is_answer {
            self.waiting = self.waiting.saturating_sub(1);
            self.gc_answers.push(number);
        } else {
            self.questions.forget(number);
        }
        Ok(Incoming::Settled {
            question: question.item,
            broken,
            value,
        })
    }

    /// Ignores a value, but gives back the references that the peer counted in it.
    fn ignore<'a>(&mut self, value: &Args<'_>) -> Incoming<'a, P> {
        for desc in &value.descs {
            if let Desc::ImportObject(at) | Desc::ImportPromise(at) = desc {
                self.gc_exports.push((*at, 1));
            }
        }
        Incoming::Nothing
    }

    /// When [`Self::handle_timeout`] should be called next, on the clock of [`Config::now_ms`](super::Config::now_ms).
    pub fn deadline_ms(&self) -> Option<u64> {
        match self.state {
            State::AwaitStart { deadline_ms, .. } => Some(deadline_ms),
            State::Open { .. } => self.pace.deadline_ms(&self.limits),
            State::Closed { .. } => None,
        }
    }

    /// Notices that time has passed.
    ///
    /// # Errors
    /// Why the session ended: the peer did not say hello in time, or nothing for too long.
    pub fn handle_timeout(&mut self, now_ms: u64) -> Result<(), CloseReason> {
        match self.state {
            State::AwaitStart { deadline_ms, .. } if now_ms >= deadline_ms => {
                let reason = CloseReason::Lost(format!(
                    "the peer sent no op:start-session within {} ms",
                    self.limits.handshake_ms
                ));
                self.close(reason.clone());
                Err(reason)
            }
            State::Open { .. } => match self.pace.deadline_ms(&self.limits) {
                Some(deadline_ms) if now_ms >= deadline_ms => {
                    let reason = CloseReason::Local("limit passed: idle_ms".to_owned());
                    self.close(reason.clone());
                    Err(reason)
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}
