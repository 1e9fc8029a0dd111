//! One stage of a chain: a tube of the host's, or a native one.

use std::collections::VecDeque;
use std::time::Duration;

use super::ack::Ack;
use super::contract::Tube;
use super::error::{Error, Reason};
use super::host::{Flowing, FromFlowing, Host, IntoFlowing, Next};
use super::jobs::Jobs;
use super::keeper::Keeper;

/// The most items that are given at once to a tube or drain that takes many.
pub(super) const BATCH: usize = 1024;

/// A stage.
pub enum Stage<H: Host> {
    /// A tube of the host's.
    Host(HostStage<H>),
    /// A tube of the host's with several inputs at work.
    Jobs(Jobs<H>),
    /// One that keeps items.
    Keeper(Keeper<H>),
    /// A native one.
    Native(Box<dyn Native<H>>),
    /// One that has failed, or has come to its end.
    Dead,
}

/// A tube of the host's, with what it has returned.
pub struct HostStage<H: Host> {
    tube: H::Tube,
    outputs: Option<H::Outputs>,
    gathered: Vec<H::Value>,
}

/// A native stage, as a chain sees it. Implemented for every [`Tube`] whose items a chain can carry.
pub trait Native<H: Host>: Send {
    /// See [`Tube::started`].
    ///
    /// # Errors
    /// What the stage raised.
    fn started(&mut self) -> Result<(), Error>;
    /// See [`Tube::received`].
    ///
    /// # Errors
    /// What the stage raised, or that it does not take such an item.
    fn received(&mut self, cx: H::Cx<'_>, item: Flowing<H>) -> Result<(), Error>;
    /// See [`Tube::next`].
    ///
    /// # Errors
    /// What the stage raised.
    fn next(&mut self) -> Result<Option<Flowing<H>>, Error>;
    /// See [`Tube::gathers`].
    fn gathers(&self) -> bool {
        false
    }
    /// See [`Tube::has_gathered`].
    fn has_gathered(&self) -> bool;
    /// See [`Tube::flush`].
    ///
    /// # Errors
    /// What the stage raised.
    fn flush(&mut self) -> Result<(), Error>;
    /// See [`Tube::stopped`].
    ///
    /// # Errors
    /// What the stage raised.
    fn stopped(&mut self, reason: &Reason) -> Result<(), Error>;
    /// See [`Tube::reassemble`].
    fn reassemble(&mut self, outputs: Vec<Flowing<H>>, cx: H::Cx<'_>) -> Vec<Flowing<H>>;
}

impl<H, T> Native<H> for T
where
    H: Host,
    T: Tube + Send,
    T::In: FromFlowing + IntoFlowing,
    T::Out: IntoFlowing + FromFlowing,
{
    fn started(&mut self) -> Result<(), Error> {
        Tube::started(self)
    }

    #[inline]
    fn received(&mut self, cx: H::Cx<'_>, item: Flowing<H>) -> Result<(), Error> {
        Tube::received(self, T::In::from_flowing::<H>(cx, item)?)
    }

    #[inline]
    fn next(&mut self) -> Result<Option<Flowing<H>>, Error> {
        Ok(Tube::next(self)?.map(IntoFlowing::into_flowing::<H>))
    }

    fn gathers(&self) -> bool {
        Tube::gathers(self)
    }

    fn has_gathered(&self) -> bool {
        Tube::has_gathered(self)
    }

    fn flush(&mut self) -> Result<(), Error> {
        Tube::flush(self)
    }

    fn stopped(&mut self, reason: &Reason) -> Result<(), Error> {
        Tube::stopped(self, reason)
    }

    fn reassemble(&mut self, outputs: Vec<Flowing<H>>, cx: H::Cx<'_>) -> Vec<Flowing<H>> {
        let outputs = outputs
            .into_iter()
            .filter_map(|item| T::Out::from_flowing::<H>(cx, item).ok())
            .collect();
        Tube::reassemble(self, outputs)
            .into_iter()
            .map(IntoFlowing::into_flowing::<H>)
            .collect()
    }
}

impl<H: Host> Stage<H> {
    /// A tube of the host's.
    pub fn host(tube: H::Tube) -> Self {
        Self::Host(HostStage {
            tube,
            outputs: None,
            gathered: Vec::new(),
        })
    }

    /// A tube of the host's that has at most `limit` inputs at work at once. If `ordered`, their outputs
    /// come in the order of the inputs.
    pub fn jobs(tube: H::Tube, limit: usize, ordered: bool) -> Self {
        Self::Jobs(Jobs::new(tube, limit, ordered))
    }

    /// Shows a collector what of the host's is held.
    ///
    /// # Errors
    /// What the visitor returns.
    pub fn visit<E>(
        &self,
        tube: impl FnOnce(&H::Tube) -> Result<(), E>,
        mut outputs: impl FnMut(&H::Outputs) -> Result<(), E>,
        mut value: impl FnMut(&H::Value) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::Host(stage) => {
                tube(&stage.tube)?;
                stage.outputs.iter().try_for_each(&mut outputs)?;
                stage.gathered.iter().try_for_each(&mut value)
            }
            Self::Jobs(jobs) => {
                tube(&jobs.tube)?;
                jobs.outputs().try_for_each(&mut outputs)?;
                jobs.values().try_for_each(&mut value)
            }
            Self::Keeper(keeper) => {
                if let Keeper::Confirming(of, _) = keeper {
                    tube(of)?;
                }
                keeper.values().try_for_each(&mut value)
            }
            Self::Native(_) | Self::Dead => Ok(()),
        }
    }

    pub(super) fn started(&mut self, cx: H::Cx<'_>) -> Result<(), H::Reason> {
        match self {
            Self::Host(stage) => stage.outputs = H::started(cx, &stage.tube)?,
            Self::Jobs(jobs) => {
                if let Some(outputs) = H::started(cx, &jobs.tube)? {
                    jobs.push(Some(outputs), Vec::new());
                }
            }
            Self::Native(native) => native.started().map_err(|error| H::reason(cx, error))?,
            Self::Keeper(_) | Self::Dead => {}
        }
        Ok(())
    }

    /// Whether it would rather be given many items at once.
    #[inline]
    pub(super) fn gathers(&self) -> bool {
        matches!(self, Self::Host(stage) if H::gathers(&stage.tube))
    }

    /// Takes an item that goes into the next batch; says whether that is full.
    pub(super) fn gather(&mut self, cx: H::Cx<'_>, item: Flowing<H>) -> bool {
        let Self::Host(stage) = self else {
            return true;
        };
        stage.gathered.push(item.into_host(cx));
        stage.gathered.len() >= BATCH
    }

    /// Whether items wait for the rest of their batch.
    #[inline]
    pub(super) fn has_gathered(&self) -> bool {
        match self {
            Self::Host(stage) => !stage.gathered.is_empty(),
            Self::Native(native) => native.has_gathered(),
            Self::Keeper(keeper) => keeper.has_gathered(),
            Self::Jobs(_) | Self::Dead => false,
        }
    }

    /// Gives what was gathered to the tube.
    pub(super) fn flush(&mut self, cx: H::Cx<'_>) -> Result<(), H::Reason> {
        match self {
            Self::Host(stage) => {
                let items = std::mem::take(&mut stage.gathered);
                stage.outputs = H::received_batch(cx, &stage.tube, items)?;
                Ok(())
            }
            Self::Native(native) => native.flush().map_err(|error| H::reason(cx, error)),
            Self::Keeper(keeper) => {
                keeper.flush();
                Ok(())
            }
            Self::Jobs(_) | Self::Dead => Ok(()),
        }
    }

    #[inline]
    pub(super) fn received(
        &mut self,
        cx: H::Cx<'_>,
        item: Flowing<H>,
        acks: &mut Vec<Ack<H>>,
    ) -> Result<(), H::Reason> {
        match self {
            Self::Host(stage) => {
                stage.outputs = H::received(cx, &stage.tube, item.into_host(cx))?;
                Ok(())
            }
            Self::Jobs(jobs) => {
                let outputs = H::received(cx, &jobs.tube, item.into_host(cx))?;
                jobs.push(outputs, std::mem::take(acks));
                Ok(())
            }
            Self::Keeper(keeper) => {
                keeper.received(cx, item);
                Ok(())
            }
            Self::Native(native) => native
                .received(cx, item)
                .map_err(|error| H::reason(cx, error)),
            Self::Dead => Ok(()),
        }
    }

    #[inline]
    pub(super) fn next(
        &mut self,
        cx: H::Cx<'_>,
        waker: &H::Node,
    ) -> Result<Next<Flowing<H>>, H::Reason> {
        match self {
            Self::Host(stage) => {
                let Some(outputs) = &mut stage.outputs else {
                    return Ok(Next::Idle);
                };
                match H::next(cx, outputs, waker)? {
                    Next::Item(value) => Ok(Next::Item(Flowing::Host(value))),
                    Next::Busy => Ok(Next::Busy),
                    Next::Idle => {
                        stage.outputs = None;
                        Ok(Next::Idle)
                    }
                }
            }
            Self::Jobs(jobs) => jobs.next(cx, waker),
            Self::Keeper(keeper) => keeper.next(cx).map_err(|error| H::reason(cx, error)),
            Self::Native(native) => Ok(native
                .next()
                .map_err(|error| H::reason(cx, error))?
                .map_or(Next::Idle, Next::Item)),
            Self::Dead => Ok(Next::Idle),
        }
    }

    /// Whether there may be outputs to take. A native stage is asked when its turn comes.
    pub(super) fn has_outputs(&self) -> bool {
        matches!(self, Self::Host(stage) if stage.outputs.is_some())
    }

    pub(super) fn stopped(&mut self, cx: H::Cx<'_>, reason: &H::Reason) -> Result<(), H::Reason> {
        match self {
            Self::Host(stage) => {
                // At a regular end there are none left.
                if let Some(outputs) = stage.outputs.take() {
                    H::discard(cx, outputs);
                }
                stage.outputs = H::stopped(cx, &stage.tube, reason)?;
            }
            Self::Native(native) => {
                native
                    .stopped(&H::kind(cx, reason))
                    .map_err(|error| H::reason(cx, error))?;
            }
            Self::Jobs(jobs) => {
                if let Some(outputs) = H::stopped(cx, &jobs.tube, reason)? {
                    jobs.push(Some(outputs), Vec::new());
                }
                jobs.end();
            }
            Self::Keeper(keeper) => keeper.stopped(),
            Self::Dead => {}
        }
        Ok(())
    }

    /// Tells it of an end after which nothing more is wanted of it. What it does to give its last
    /// outputs is done, as far as that does not have to wait for anything.
    pub(super) fn dismiss(&mut self, cx: H::Cx<'_>, reason: &H::Reason, waker: &H::Node) {
        let mut outcome = self.stopped(cx, reason);
        for _ in 0..BATCH {
            match outcome.and_then(|()| self.next(cx, waker)) {
                Ok(Next::Item(_)) => outcome = Ok(()),
                Ok(Next::Idle) => return,
                Ok(Next::Busy) => {
                    // It goes on by itself.
                    if let Self::Host(stage) = self {
                        stage.outputs = None;
                    }
                    return;
                }
                Err(further) => return H::report(cx, &further),
            }
        }
    }

    /// Whether it would rather be given many items at once, by whatever is above its siphon.
    pub(super) fn gathers_many(&self) -> bool {
        match self {
            Self::Keeper(keeper) => keeper.gathers(),
            Self::Native(native) => native.gathers(),
            stage => stage.gathers(),
        }
    }

    /// Whether an output takes with it all shares in confirmations that the stage has been given.
    pub(super) fn moves_acks(&self) -> bool {
        matches!(self, Self::Keeper(_))
    }

    /// Whether inputs are in it that nothing has come of yet.
    pub(super) fn keeps_acks(&self) -> bool {
        match self {
            Self::Keeper(keeper) => keeper.values().next().is_some(),
            stage => stage.has_gathered(),
        }
    }

    /// When it wants to be looked at.
    pub(super) fn wake_at(&self) -> Option<Duration> {
        match self {
            Self::Keeper(keeper) => keeper.wake_at(),
            _ => None,
        }
    }

    /// The flow had been held back from below.
    pub(super) fn resumed(&mut self) {
        if let Self::Keeper(keeper) = self {
            keeper.resumed();
        }
    }

    /// Gives up what it has, for good.
    pub(super) fn kill(&mut self, cx: H::Cx<'_>) {
        match std::mem::replace(self, Self::Dead) {
            Self::Host(HostStage {
                outputs: Some(outputs),
                ..
            }) => H::discard(cx, outputs),
            Self::Jobs(jobs) => jobs.kill(cx),
            _ => {}
        }
    }

    /// Takes all outputs and undoes them: what the stage would have to be given to make them again.
    /// Of a host's tube the outputs are returned as they are: undoing is for the host.
    pub(super) fn eject(
        &mut self,
        cx: H::Cx<'_>,
        waker: &H::Node,
        ready: VecDeque<Flowing<H>>,
    ) -> Result<Vec<Flowing<H>>, H::Reason> {
        let mut items = Vec::from(ready);
        if let Self::Native(native) = self {
            return Ok(native.reassemble(items, cx));
        }
        while let Next::Item(item) = self.next(cx, waker)? {
            items.push(item);
        }
        Ok(items)
    }
}
