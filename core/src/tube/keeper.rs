//! Stages that keep items of the host's: batches, and what depends on time.
//!
//! Time is an argument. A stage says at what time it wants to be looked at, and its siphon's host
//! wakes the siphon then.

use std::collections::VecDeque;
use std::time::Duration;

use super::error::{Error, Problem};
use super::host::{Flowing, Host, Next};

/// A stage that keeps items.
pub enum Keeper<H: Host> {
    /// See [`Keeper::batch`].
    Batch(Batch<H>),
    /// See [`Keeper::throttle`].
    Throttle(Throttle<H>),
    /// See [`Keeper::timeout`].
    Timeout(Timeout<H>),
    /// See [`Keeper::confirming`].
    Confirming(H::Tube, Option<Flowing<H>>),
}

/// Items made into lists.
pub struct Batch<H: Host> {
    items: Vec<H::Value>,
    limit: usize,
    wait: Wait,
    since: Option<Duration>,
    due: bool,
}

/// How long a batch that is not full waits for more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wait {
    /// As long as it takes.
    Full,
    /// Not at all: what comes at once makes a batch.
    Never,
    /// So long after its first item.
    For(Duration),
}

/// Items at a limited rate.
pub struct Throttle<H: Host> {
    item: Option<Flowing<H>>,
    count: usize,
    per: Duration,
    /// When the last items went.
    times: VecDeque<Duration>,
}

/// Items that must not keep one waiting.
pub struct Timeout<H: Host> {
    item: Option<Flowing<H>>,
    limit: Duration,
    /// Since when one is waited for.
    since: Option<Duration>,
}

impl<H: Host> Keeper<H> {
    /// Makes lists of at most `limit` items.
    #[must_use]
    pub fn batch(limit: usize, wait: Wait) -> Self {
        Self::Batch(Batch {
            items: Vec::new(),
            limit: limit.max(1),
            wait,
            since: None,
            due: false,
        })
    }

    /// Lets `count` items through in any time of length `per`, and holds the fount back meanwhile.
    #[must_use]
    pub fn throttle(count: usize, per: Duration) -> Self {
        Self::Throttle(Throttle {
            item: None,
            count: count.max(1),
            per,
            times: VecDeque::new(),
        })
    }

    /// Fails with [`Problem::TimedOut`] if the fount, not held back, sends nothing for so long.
    #[must_use]
    pub fn timeout(limit: Duration) -> Self {
        Self::Timeout(Timeout {
            item: None,
            limit,
            since: None,
        })
    }

    /// Asks for a confirmation of each item, for which [`Host::tag`] says whom to tell.
    pub fn confirming(tube: H::Tube) -> Self {
        Self::Confirming(tube, None)
    }

    /// The values that it keeps.
    pub fn values(&self) -> impl Iterator<Item = &H::Value> {
        let (many, one): (&[H::Value], _) = match self {
            Self::Batch(batch) => (&batch.items, None),
            Self::Throttle(throttle) => (&[], throttle.item.as_ref()),
            Self::Timeout(timeout) => (&[], timeout.item.as_ref()),
            Self::Confirming(_, item) => (&[], item.as_ref()),
        };
        many.iter().chain(one.and_then(Flowing::value))
    }

    pub(super) fn received(&mut self, cx: H::Cx<'_>, item: Flowing<H>) {
        match self {
            Self::Batch(batch) => {
                batch.items.push(item.into_host(cx));
                if batch.since.is_none() {
                    batch.since = Some(H::now(cx));
                }
                batch.due = batch.items.len() >= batch.limit;
            }
            Self::Throttle(throttle) => throttle.item = Some(item),
            Self::Timeout(timeout) => {
                timeout.item = Some(item);
                timeout.since = None;
            }
            Self::Confirming(tube, kept) => {
                let (item, mut acks) = item.split();
                let value = item.into_host(cx);
                acks.push(super::ack::Ack::new(H::tag(cx, tube, &value)));
                *kept = Some(Flowing::Host(value).with(acks));
            }
        }
    }

    pub(super) fn gathers(&self) -> bool {
        matches!(self, Self::Batch(batch) if batch.wait == Wait::Never)
    }

    pub(super) fn has_gathered(&self) -> bool {
        matches!(self, Self::Batch(batch) if batch.wait == Wait::Never && !batch.items.is_empty())
    }

    /// Nothing more comes at once, or at all.
    pub(super) fn flush(&mut self) {
        if let Self::Batch(batch) = self {
            batch.due = !batch.items.is_empty();
        }
    }

    pub(super) fn next(&mut self, cx: H::Cx<'_>) -> Result<Next<Flowing<H>>, Error> {
        match self {
            Self::Batch(batch) => {
                if let (Wait::For(wait), Some(since)) = (batch.wait, batch.since)
                    && H::now(cx) >= since + wait
                {
                    batch.due = true;
                }
                if !std::mem::take(&mut batch.due) {
                    return Ok(Next::Idle);
                }
                batch.since = None;
                let items = std::mem::take(&mut batch.items);
                Ok(Next::Item(Flowing::Host(H::list(cx, items))))
            }
            Self::Throttle(throttle) => {
                if throttle.item.is_none() {
                    return Ok(Next::Idle);
                }
                let now = H::now(cx);
                if throttle.times.len() >= throttle.count {
                    if throttle
                        .times
                        .front()
                        .is_some_and(|time| now < *time + throttle.per)
                    {
                        return Ok(Next::Busy);
                    }
                    throttle.times.pop_front();
                }
                throttle.times.push_back(now);
                Ok(throttle.item.take().map_or(Next::Idle, Next::Item))
            }
            Self::Timeout(timeout) => {
                if let Some(item) = timeout.item.take() {
                    return Ok(Next::Item(item));
                }
                let now = H::now(cx);
                let since = *timeout.since.get_or_insert(now);
                if now >= since + timeout.limit {
                    return Err(Error::new(Problem::TimedOut {
                        limit: timeout.limit,
                    }));
                }
                Ok(Next::Idle)
            }
            Self::Confirming(_, item) => Ok(item.take().map_or(Next::Idle, Next::Item)),
        }
    }

    /// When it wants to be looked at.
    pub(super) fn wake_at(&self) -> Option<Duration> {
        match self {
            Self::Batch(batch) => match batch.wait {
                Wait::For(wait) => batch.since.map(|since| since + wait),
                _ => None,
            },
            Self::Throttle(throttle) => {
                let full = throttle.item.is_some() && throttle.times.len() >= throttle.count;
                let oldest = throttle.times.front().filter(|_| full);
                oldest.map(|time| *time + throttle.per)
            }
            Self::Timeout(timeout) => timeout.since.map(|since| since + timeout.limit),
            Self::Confirming(..) => None,
        }
    }

    /// The flow had been held back from below: that is no time of the fount's.
    pub(super) fn resumed(&mut self) {
        if let Self::Timeout(timeout) = self {
            timeout.since = None;
        }
    }

    /// The flow has ended.
    pub(super) fn stopped(&mut self) {
        self.flush();
        self.resumed();
    }
}
