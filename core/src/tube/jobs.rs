//! Many inputs at work at once.

use std::collections::VecDeque;

use super::ack::{Ack, settle};
use super::host::{Flowing, Host, Next};

/// A tube of the host's that works on several inputs at a time: what it returned for one may still
/// be waited for while the next are begun.
///
/// At most `limit` are at work, and what they have made and nobody has taken is theirs: so with the
/// drain paused at most `limit` inputs have been taken. (The idea of Akka's `mapAsync` and of
/// `buffered` in Rust's futures.)
pub struct Jobs<H: Host> {
    pub(super) tube: H::Tube,
    limit: usize,
    /// The outputs come in the order of the inputs.
    ordered: bool,
    jobs: VecDeque<Job<H>>,
    ending: bool,
}

/// What was returned for one input.
struct Job<H: Host> {
    outputs: Option<H::Outputs>,
    /// An output that was there when the work was begun.
    ready: Option<H::Value>,
    begun: bool,
    acks: Vec<Ack<H>>,
}

impl<H: Host> Job<H> {
    fn poll(&mut self, cx: H::Cx<'_>, waker: &H::Node) -> Result<Next<H::Value>, H::Reason> {
        if let Some(value) = self.ready.take() {
            return Ok(Next::Item(value));
        }
        let Some(outputs) = &mut self.outputs else {
            return Ok(Next::Idle);
        };
        let next = H::next(cx, outputs, waker)?;
        if let Next::Idle = next {
            self.outputs = None;
        }
        Ok(next)
    }
}

impl<H: Host> Jobs<H> {
    pub(super) fn new(tube: H::Tube, limit: usize, ordered: bool) -> Self {
        Self {
            tube,
            limit: limit.max(1),
            ordered,
            jobs: VecDeque::new(),
            ending: false,
        }
    }

    pub(super) fn push(&mut self, outputs: Option<H::Outputs>, acks: Vec<Ack<H>>) {
        self.jobs.push_back(Job {
            outputs,
            ready: None,
            begun: false,
            acks,
        });
    }

    pub(super) fn end(&mut self) {
        self.ending = true;
    }

    pub(super) fn next(
        &mut self,
        cx: H::Cx<'_>,
        waker: &H::Node,
    ) -> Result<Next<Flowing<H>>, H::Reason> {
        // What has just come is to be begun, whoever's turn it is to give something.
        for job in self.jobs.iter_mut().rev() {
            if std::mem::replace(&mut job.begun, true) {
                break;
            }
            if let Next::Item(value) = job.poll(cx, waker)? {
                job.ready = Some(value);
            }
        }
        let mut at = 0;
        while let Some(job) = self.jobs.get_mut(at) {
            match job.poll(cx, waker)? {
                Next::Item(value) => {
                    let acks = job.acks.iter().map(Ack::dup).collect();
                    return Ok(Next::Item(Flowing::Host(value).with(acks)));
                }
                Next::Idle => {
                    if let Some(job) = self.jobs.remove(at) {
                        settle(cx, job.acks, None);
                    }
                }
                Next::Busy if self.ordered => break,
                Next::Busy => at += 1,
            }
        }
        if self.jobs.len() >= self.limit || self.ending && !self.jobs.is_empty() {
            return Ok(Next::Busy);
        }
        Ok(Next::Idle)
    }

    pub(super) fn kill(self, cx: H::Cx<'_>) {
        for outputs in self.jobs.into_iter().filter_map(|job| job.outputs) {
            H::discard(cx, outputs);
        }
    }

    pub(super) fn outputs(&self) -> impl Iterator<Item = &H::Outputs> {
        self.jobs.iter().filter_map(|job| job.outputs.as_ref())
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &H::Value> {
        self.jobs.iter().filter_map(|job| job.ready.as_ref())
    }
}
