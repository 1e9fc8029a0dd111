//! What a session is told to send, and how it is written.

use super::super::op::{Desc, Target};
use super::super::outbox::Outbox;
use super::{CloseReason, Export, Payload, Question, Remains, Session, State};
use crate::syrup::{Cursor, Record, Token, Writer, pass_reference};

/// How many collected positions are gathered before they ride along with the next flush.
const GC_BATCH: usize = 64;

impl<P: Payload> Session<P> {
    fn writer(&mut self) -> &mut Outbox {
        match (&mut self.state, &mut self.reserved) {
            (State::AwaitStart { held, .. }, _) => held,
            (State::Open { .. }, Some((_, held))) => held,
            _ => &mut self.out,
        }
    }

    /// Writes our start-session, if it was kept back, and what has waited for it.
    pub fn welcome(&mut self) {
        if let Some((hello, held)) = self.reserved.take() {
            self.out
                .message(hello.len(), |out| out.extend_from_slice(&hello));
            self.out.append(held);
        }
    }

    /// Sends a call. `descs` are the references in `args`, in order. With a question, the answer
    /// comes as [`Incoming::Settled`](super::Incoming::Settled); the returned number is what to pipeline on.
    ///
    /// # Errors
    /// The question, given back, if the session has ended.
    pub fn deliver(
        &mut self,
        to: Target,
        selector: Option<&str>,
        args: &[u8],
        descs: &[Desc],
        question: Option<P::Question>,
    ) -> Result<Option<u64>, Option<P::Question>> {
        if self.closed().is_some() {
            return Err(question);
        }
        self.told.calls += 1;
        let Some(item) = question else {
            self.unsent_calls = true;
            let deliver_only = self.profile.deliver_only;
            self.writer().message(call_length(args), |out| {
                write_call(out, deliver_only, to, selector, args, descs);
                if !deliver_only {
                    out.extend_from_slice(b"ff");
                }
                out.push(b'>');
            });
            return Ok(None);
        };
        let (number, resolver) = self.ask(item, true);
        self.stats.calls_sent += 1;
        if self.answered || self.waiting == 0 {
            self.answered = false;
            self.stats.round_trips += 1;
        }
        self.waiting += 1;
        self.writer().message(call_length(args), |out| {
            write_call(out, false, to, selector, args, descs);
            out.put_uint(number);
            Desc::ImportObject(resolver).write(out);
            out.push(b'>');
        });
        Ok(Some(number))
    }

    /// Asks to be told when a promise of the peer's settles; that comes as [`Incoming::Settled`](super::Incoming::Settled).
    ///
    /// # Errors
    /// The question, given back, if the session has ended.
    pub fn listen(&mut self, to: Target, question: P::Question) -> Result<(), P::Question> {
        if self.closed().is_some() {
            return Err(question);
        }
        let (_, resolver) = self.ask(question, false);
        let partial = self.profile.listen_partial;
        self.writer().message(SHORT, |out| {
            out.put_record("op:listen", |out| {
                Desc::from(to).write(out);
                Desc::ImportObject(resolver).write(out);
                if partial {
                    out.put_bool(false);
                }
            });
        });
        Ok(())
    }

    fn ask(&mut self, item: P::Question, is_answer: bool) -> (u64, u64) {
        let number = self.questions.ask(Question { item, is_answer });
        let resolver = self.exports.mention(None, || Export::Resolver(number));
        (number, resolver)
    }

    /// Fulfils or breaks a promise that the peer waits for, through its resolver, and lets go of
    /// the resolver.
    pub fn settle(&mut self, resolver: u64, broken: bool, value: &[u8], descs: &[Desc]) {
        if self.closed().is_some() {
            return;
        }
        self.told.resolutions += 1;
        self.gc_exports.push((resolver, 1));
        if self.profile.resolve_operations {
            let label = if broken { "op:break" } else { "op:resolve" };
            self.writer().message(call_length(value), |out| {
                out.put_record(label, |out| {
                    Desc::Export(resolver).write(out);
                    splice(out, value, descs);
                });
            });
            return;
        }
        let deliver_only = self.profile.deliver_only;
        let selector = if broken { "break" } else { "fulfill" };
        self.writer().message(call_length(value), |out| {
            write_call(
                out,
                deliver_only,
                Target::Export(resolver),
                Some(selector),
                value,
                descs,
            );
            if !deliver_only {
                out.extend_from_slice(b"ff");
            }
            out.push(b'>');
        });
    }

    /// Lets go of an import: gives back every mention of it.
    pub fn release(&mut self, position: u64) {
        if let Some(count) = self.imports.remove(position) {
            self.gc_exports.push((position, count));
        }
    }

    /// Ends the session; the peer is told why.
    pub fn abort(&mut self, reason: &str) {
        self.close(CloseReason::Local(reason.to_owned()));
    }

    /// Notes that the session has ended. If it is our doing, an `op:abort` goes out.
    pub fn close(&mut self, reason: CloseReason) {
        if self.closed().is_some() {
            return;
        }
        if let CloseReason::Protocol(text) | CloseReason::Local(text) = &reason {
            self.out.message(SHORT, |out| {
                out.put_record("op:abort", |out| out.put_str(text))
            });
        }
        let peer = match &self.state {
            State::Open { peer } => Some(peer.clone()),
            _ => None,
        };
        self.state = State::Closed { reason, peer };
    }

    /// Empties the tables of a session that has ended.
    pub(crate) fn take_remains(&mut self) -> Remains<P> {
        let item = |export| match export {
            Export::Item(item) => Some(item),
            Export::Resolver(_) | Export::Spent => None,
        };
        let exports = self.exports.drain().into_iter().filter_map(item).collect();
        Remains {
            questions: self.questions.drain().into_iter().map(|q| q.item).collect(),
            rest: (exports, self.imports.drain(), self.answers.drain()),
        }
    }

    /// True if positions wait to be given back to the peer; see [`Self::collect`].
    pub fn has_garbage(&self) -> bool {
        self.is_open()
            && self.reserved.is_none()
            && (!self.gc_exports.is_empty() || !self.gc_answers.is_empty())
    }

    /// Lets releases ride along with what is about to be written, once enough of them gathered.
    pub fn prepare_flush(&mut self) {
        if self.gc_exports.len() + self.gc_answers.len() >= GC_BATCH {
            self.collect();
        }
    }

    /// Writes all releases now.
    pub fn collect(&mut self) {
        if !self.is_open() || self.reserved.is_some() {
            return;
        }
        let plural = if self.profile.plural_gc { "s" } else { "" };
        if !self.gc_answers.is_empty() {
            let numbers = std::mem::take(&mut self.gc_answers);
            self.out.message(SHORT, |out| {
                out.put_record(&format!("op:gc-answer{plural}"), |out| {
                    out.put_list(|out| numbers.iter().for_each(|&n| out.put_uint(n)));
                });
            });
            for number in numbers {
                self.questions.forget(number);
            }
        }
        if !self.gc_exports.is_empty() {
            let deltas = std::mem::take(&mut self.gc_exports);
            self.out.message(SHORT, |out| {
                out.put_record(&format!("op:gc-export{plural}"), |out| {
                    out.put_list(|out| deltas.iter().for_each(|&(at, _)| out.put_uint(at)));
                    out.put_list(|out| deltas.iter().for_each(|&(_, n)| out.put_uint(n)));
                });
            });
        }
    }

    /// What waits to be written.
    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.out
    }

    /// True while calls that want no answer wait to be written.
    pub fn has_unsent_calls(&mut self) -> bool {
        self.unsent_calls &= !self.out.is_empty();
        self.unsent_calls
    }

    /// Counts a write of so many bytes.
    pub fn note_write(&mut self, bytes: usize) {
        self.stats.writes += 1;
        self.stats.bytes_sent += bytes as u64;
    }

    /// Counts a read of so many bytes.
    pub fn note_read(&mut self, bytes: usize, now_ms: u64) {
        self.pace.heard(now_ms, &self.limits);
        self.stats.reads += 1;
        self.stats.bytes_received += bytes as u64;
    }
}

/// About how long most messages are that are not calls.
pub(super) const SHORT: usize = 60;

/// About how long a call with these arguments is.
fn call_length(args: &[u8]) -> usize {
    args.len() + 80
}

/// Writes a delivery up to and without its answer number.
fn write_call(
    out: &mut Vec<u8>,
    deliver_only: bool,
    to: Target,
    selector: Option<&str>,
    args: &[u8],
    descs: &[Desc],
) {
    let label: &[u8] = if deliver_only {
        b"<15'op:deliver-only"
    } else {
        b"<10'op:deliver"
    };
    out.reserve(args.len() + 96);
    out.extend_from_slice(label);
    Desc::from(to).write(out);
    out.push(b'[');
    if let Some(selector) = selector {
        out.put_symbol(selector);
    }
    splice(out, args, descs);
    out.push(b']');
}

/// Copies encoded values, with `descs` in the place of their references: of the holes left by a
/// builder, or of the descriptors of the session that they came from.
fn splice(out: &mut Vec<u8>, args: &[u8], descs: &[Desc]) {
    if descs.is_empty() {
        out.extend_from_slice(args);
        return;
    }
    let mut cursor = Cursor::new(args).max_digits(args.len());
    let mut descs = descs.iter();
    let mut copied = 0;
    while !cursor.is_empty() {
        let at = cursor.position();
        // Both builders and scanned messages hold well-formed values only.
        let Ok(token) = cursor.next() else { break };
        let is_reference = match token {
            Token::Hole => true,
            Token::Record => match cursor.next() {
                Ok(Token::Symbol(label)) => {
                    matches!(pass_reference(&mut cursor, label), Ok(Record::Reference))
                }
                _ => false,
            },
            _ => false,
        };
        if is_reference && let Some(desc) = descs.next() {
            out.extend_from_slice(cursor.span(copied, at));
            desc.write(out);
            copied = cursor.position();
        }
    }
    out.extend_from_slice(cursor.span(copied, args.len()));
}
