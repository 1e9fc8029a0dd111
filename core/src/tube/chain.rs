//! A series of stages as one machine.

use std::collections::VecDeque;
use std::time::Duration;

use super::ack::{Ack, settle};
use super::host::{Flowing, Host, Next};
use super::stage::Stage;

/// Stages in a row, in which items go from one to the next without leaving the loop in
/// `pull`: however many stages, the stack does not grow, and between native stages nothing
/// crosses into the host's language.
///
/// ```text
///           receive            pull
///   input ───────────> [0] -> [1] -> … -> [n-1] ───────> output
///                       the deepest stage that has outputs is asked first
/// ```
///
/// A stage is given an input only when it has no more outputs, so it holds at most what one input
/// has led to, and generators are advanced one item at a time. When the flow ends, `end` tells the
/// first stage; each further one hears of it when those above have nothing more to give.
pub struct Chain<H: Host> {
    stages: Vec<Stage<H>>,
    /// The stage to ask next: none below has outputs.
    at: usize,
    /// How many stages have been told of the end.
    told: usize,
    /// The end, once it has come.
    reason: Option<H::Reason>,
    /// For each stage, shares in the confirmations of the inputs that it is at work on; empty until there are any.
    acks: Vec<Vec<Ack<H>>>,
    /// Some stage depends on time.
    timed: bool,
}

/// What came out of a chain.
pub(super) enum Pull<H: Host> {
    /// An item.
    Item(Flowing<H>),
    /// Nothing; it takes an input.
    Idle,
    /// Nothing until the siphon is woken.
    Busy,
    /// There are outputs, but nobody to take them.
    Blocked,
    /// Nothing more, ever.
    End,
}

impl<H: Host> Chain<H> {
    /// A chain of stages; with none, what is given to it comes out.
    pub fn new(stages: Vec<Stage<H>>) -> Self {
        Self {
            at: stages.len().saturating_sub(1),
            timed: stages.iter().any(|stage| matches!(stage, Stage::Keeper(_))),
            acks: Vec::new(),
            stages,
            told: 0,
            reason: None,
        }
    }

    /// The stages.
    pub fn stages(&self) -> &[Stage<H>] {
        &self.stages
    }

    /// Why the flow ended, if it has.
    pub fn reason(&self) -> Option<&H::Reason> {
        self.reason.as_ref()
    }

    /// Starts all stages, the last one first, as its greeting comes first.
    pub(super) fn start(&mut self, cx: H::Cx<'_>, waker: &H::Node) -> Result<(), H::Reason> {
        for index in (0..self.stages.len()).rev() {
            if let Err(reason) = self.stages[index].started(cx) {
                self.fail(cx, index, &reason, waker);
                // Those below have been started, and have something to say.
                self.wake();
                return Err(reason);
            }
        }
        self.wake();
        Ok(())
    }

    /// Something that a stage waited for has happened: all are asked again.
    pub(super) fn wake(&mut self) {
        self.at = self.stages.len().saturating_sub(1);
    }

    /// Gives an input to the first stage. To be called only after `pull` returned `Idle`.
    ///
    /// Returns the item if there are no stages.
    pub(super) fn receive(
        &mut self,
        cx: H::Cx<'_>,
        item: Flowing<H>,
        waker: &H::Node,
    ) -> Result<Option<Flowing<H>>, H::Reason> {
        if self.stages.is_empty() {
            return Ok(Some(item));
        }
        self.pass(cx, 0, item, waker).map(|()| None)
    }

    /// Gives an item to a stage, or puts it into that stage's next batch.
    #[inline]
    fn pass(
        &mut self,
        cx: H::Cx<'_>,
        index: usize,
        item: Flowing<H>,
        waker: &H::Node,
    ) -> Result<(), H::Reason> {
        let item = self.claim(index, item);
        let stage = &mut self.stages[index];
        let outcome = if stage.gathers() {
            if !stage.gather(cx, item) {
                return Ok(());
            }
            stage.flush(cx)
        } else {
            let mut none = Vec::new();
            stage.received(cx, item, self.acks.get_mut(index).unwrap_or(&mut none))
        };
        self.at = index;
        self.checked(cx, index, outcome, waker)
    }

    /// Whether the first stage would rather be given many items at once.
    pub(super) fn gathers(&self) -> bool {
        self.stages.first().is_some_and(Stage::gathers_many)
    }

    /// Takes the shares of an input, which its stage's outputs will have.
    #[inline]
    fn claim(&mut self, index: usize, item: Flowing<H>) -> Flowing<H> {
        if !matches!(item, Flowing::Acked(_)) {
            return item;
        }
        let (item, acks) = item.split();
        if self.acks.is_empty() {
            self.acks.resize_with(self.stages.len(), Vec::new);
        }
        self.acks[index].extend(acks);
        item
    }

    /// Gives an output the shares of the inputs that it was made of.
    #[inline]
    fn credit(&mut self, index: usize, item: Flowing<H>) -> Flowing<H> {
        if self.acks.is_empty() {
            return item;
        }
        match self.acks.get_mut(index) {
            None => item,
            Some(acks) if acks.is_empty() => item,
            Some(acks) => {
                let shares = match self.stages[index].moves_acks() {
                    true => std::mem::take(acks),
                    false => acks.iter().map(Ack::dup).collect(),
                };
                // A stage that begins confirmations has put its own there.
                let (item, mut own) = item.split();
                own.extend(shares);
                item.with(own)
            }
        }
    }

    /// Nothing more comes of the inputs that a stage was given.
    #[inline]
    fn settle(&mut self, cx: H::Cx<'_>, index: usize, failure: Option<&H::Reason>) {
        if let Some(acks) = self.acks.get_mut(index)
            && !acks.is_empty()
            && (failure.is_some() || !self.stages[index].keeps_acks())
        {
            settle(cx, std::mem::take(acks), failure);
        }
    }

    /// When a stage wants to be looked at.
    pub(super) fn wake_at(&self) -> Option<Duration> {
        if !self.timed {
            return None;
        }
        self.stages.iter().filter_map(Stage::wake_at).min()
    }

    /// The flow had been held back from below.
    pub(super) fn resumed(&mut self) {
        if self.timed {
            self.stages.iter_mut().for_each(Stage::resumed);
        }
    }

    /// Gives a batch to its stage, if one has gathered there; says whether.
    fn flush(&mut self, cx: H::Cx<'_>, index: usize, waker: &H::Node) -> Result<bool, H::Reason> {
        if !self.stages[index].has_gathered() {
            return Ok(false);
        }
        let outcome = self.stages[index].flush(cx);
        self.at = index;
        self.checked(cx, index, outcome, waker)?;
        Ok(true)
    }

    /// Whether inputs wait for the rest of their batch at the first stage.
    pub(super) fn flush_first(
        &mut self,
        cx: H::Cx<'_>,
        waker: &H::Node,
    ) -> Result<bool, H::Reason> {
        if self.stages.is_empty() {
            return Ok(false);
        }
        self.flush(cx, 0, waker)
    }

    /// Takes the next output. If the way down is not `open`, stages pass on what they can, and the
    /// last one keeps what it has.
    ///
    /// # Errors
    /// What a stage raised. The stages above have been told, those below hear of it as of an end.
    pub(super) fn pull(
        &mut self,
        cx: H::Cx<'_>,
        open: bool,
        waker: &H::Node,
    ) -> Result<Pull<H>, H::Reason> {
        let Some(last) = self.stages.len().checked_sub(1) else {
            return Ok(match self.reason {
                Some(_) => Pull::End,
                None => Pull::Idle,
            });
        };
        loop {
            let index = self.at;
            if index == last && !open && self.stages[last].has_outputs() {
                return Ok(Pull::Blocked);
            }
            let next = self.stages[index].next(cx, waker);
            match self.checked(cx, index, next, waker)? {
                Next::Item(item) if index == last => {
                    return Ok(Pull::Item(self.credit(index, item)));
                }
                Next::Item(item) => {
                    let item = self.credit(index, item);
                    self.pass(cx, index + 1, item, waker)?;
                }
                next => {
                    if let Next::Idle = next {
                        self.settle(cx, index, None);
                    }
                    if index < last && self.flush(cx, index + 1, waker)? {
                        continue;
                    }
                    if let Next::Busy = next {
                        return Ok(Pull::Busy);
                    }
                    if index < self.told {
                        // This stage and all above are exhausted.
                        if self.told > last {
                            return Ok(Pull::End);
                        }
                        self.tell(cx, waker)?;
                    } else if index == 0 {
                        return Ok(Pull::Idle);
                    } else {
                        self.at = index - 1;
                    }
                }
            }
        }
    }

    /// The input has come to its end.
    ///
    /// # Errors
    /// What the first stage raised.
    pub(super) fn end(
        &mut self,
        cx: H::Cx<'_>,
        reason: H::Reason,
        waker: &H::Node,
    ) -> Result<(), H::Reason> {
        self.reason = Some(reason);
        if self.stages.is_empty() {
            return Ok(());
        }
        self.tell(cx, waker)
    }

    /// Tells the next stage of the end.
    fn tell(&mut self, cx: H::Cx<'_>, waker: &H::Node) -> Result<(), H::Reason> {
        let index = self.told;
        self.told += 1;
        self.at = index;
        let Some(reason) = &self.reason else {
            return Ok(());
        };
        let outcome = self.stages[index].stopped(cx, reason);
        self.checked(cx, index, outcome, waker)
    }

    #[inline]
    fn checked<T>(
        &mut self,
        cx: H::Cx<'_>,
        index: usize,
        outcome: Result<T, H::Reason>,
        waker: &H::Node,
    ) -> Result<T, H::Reason> {
        if let Err(reason) = &outcome {
            self.fail(cx, index, reason, waker);
        }
        outcome
    }

    /// A stage has failed: those above are told at once and give nothing more, those below hear of
    /// it when what they have is taken. The first failure is the one that counts.
    #[cold]
    fn fail(&mut self, cx: H::Cx<'_>, index: usize, reason: &H::Reason, waker: &H::Node) {
        if self.reason.as_ref().is_none_or(|old| H::is_end(cx, old)) {
            self.reason = Some(H::dup_reason(cx, reason));
        }
        for above in self.told..index {
            self.stages[above].dismiss(cx, reason, waker);
        }
        for index in 0..=index {
            self.settle(cx, index, Some(reason));
            self.stages[index].kill(cx);
        }
        self.told = self.told.max(index + 1);
        self.at = index;
    }

    /// The flow was stopped from below: every stage is told, nothing more comes out.
    pub(super) fn cancel(&mut self, cx: H::Cx<'_>, reason: &H::Reason, waker: &H::Node) {
        for stage in &mut self.stages[self.told..] {
            stage.dismiss(cx, reason, waker);
        }
        for stage in &mut self.stages {
            stage.kill(cx);
        }
        // Of what was at work nobody knows what would have become.
        self.acks.clear();
        self.told = self.stages.len();
        self.reason = Some(H::dup_reason(cx, reason));
    }

    /// Takes out a stage and all below it, undoes what they have, and returns what would have to be
    /// given to that stage.
    pub(super) fn split(
        &mut self,
        cx: H::Cx<'_>,
        index: usize,
        ready: VecDeque<Flowing<H>>,
    ) -> Vec<Flowing<H>> {
        let mut items = Vec::from(ready);
        for stage in self.stages.drain(index.min(self.stages.len())..).rev() {
            if let Stage::Native(mut native) = stage {
                items = native.reassemble(items, cx);
            }
        }
        self.wake();
        items
    }

    /// Takes out all outputs of the last stage (see [`Stage::eject`]). For chains of one stage.
    pub(super) fn eject(
        &mut self,
        cx: H::Cx<'_>,
        waker: &H::Node,
        ready: VecDeque<Flowing<H>>,
    ) -> Result<Vec<Flowing<H>>, H::Reason> {
        match self.stages.last_mut() {
            Some(stage) => stage.eject(cx, waker, ready),
            None => Ok(ready.into()),
        }
    }
}
