//! What a language must supply for flows.

use std::time::Duration;

use bytes::Bytes;

use super::ack::{Ack, Acked, Confirmed, settle};
use super::error::{Error, Problem, Reason};
use super::hub::Hub;
use super::siphon::Siphon;

/// A language in which tubes, founts and drains are written.
///
/// Nothing here is called while the machine's state is borrowed, but for [`Host::with`] and
/// [`Host::with_hub`], which borrow it, and the `dup_*` functions.
pub trait Host: Sized + 'static {
    /// Proof that the host may be touched.
    type Cx<'a>: Copy;
    /// What flows.
    type Value: Send;
    /// Why a flow stopped.
    type Reason: Send;
    /// A tube written in the language.
    type Tube: Send;
    /// What such a tube has returned and not all of which has been taken.
    type Outputs: Send;
    /// A fount that is not one of ours.
    type Fount: Send;
    /// A drain that is not one of ours.
    type Drain: Send;
    /// What holds back a fount that is not one of ours.
    type Pause: Send;
    /// Whom to tell what became of an item. If it is dropped, the item was lost.
    type Confirm: Send + Sync;
    /// A handle to a siphon.
    type Node: Send;
    /// A handle to a hub.
    type Hub: Send;

    /// Borrows a siphon's state.
    fn with<R>(cx: Self::Cx<'_>, node: &Self::Node, f: impl FnOnce(&mut Siphon<Self>) -> R) -> R;
    /// Borrows a hub's state.
    fn with_hub<R>(cx: Self::Cx<'_>, hub: &Self::Hub, f: impl FnOnce(&mut Hub<Self>) -> R) -> R;
    /// Another handle to the same siphon.
    fn dup_node(cx: Self::Cx<'_>, node: &Self::Node) -> Self::Node;
    /// Another handle to the same hub.
    fn dup_hub(cx: Self::Cx<'_>, hub: &Self::Hub) -> Self::Hub;
    /// Whether two handles are to the same siphon.
    fn is_same(one: &Self::Node, other: &Self::Node) -> bool;
    /// Another handle to the same fount.
    fn dup_fount(cx: Self::Cx<'_>, fount: &Self::Fount) -> Self::Fount;
    /// Another handle to the same drain.
    fn dup_drain(cx: Self::Cx<'_>, drain: &Self::Drain) -> Self::Drain;
    /// The same reason once more.
    fn dup_reason(cx: Self::Cx<'_>, reason: &Self::Reason) -> Self::Reason;
    /// The same value once more, for another branch.
    fn dup_value(cx: Self::Cx<'_>, value: &Self::Value) -> Self::Value;

    /// Tells a tube that its flow starts.
    ///
    /// # Errors
    /// What the tube raised.
    fn started(cx: Self::Cx<'_>, tube: &Self::Tube) -> Taken<Self>;
    /// Gives an item to a tube.
    ///
    /// # Errors
    /// What the tube raised.
    fn received(cx: Self::Cx<'_>, tube: &Self::Tube, item: Self::Value) -> Taken<Self>;
    /// Whether the tube would rather have many items at once, by [`Host::received_batch`].
    fn gathers(tube: &Self::Tube) -> bool;
    /// Gives several items to a tube.
    ///
    /// # Errors
    /// What the tube raised.
    fn received_batch(cx: Self::Cx<'_>, tube: &Self::Tube, items: Vec<Self::Value>) -> Taken<Self>;
    /// Tells a tube that its flow stopped.
    ///
    /// # Errors
    /// What the tube raised.
    fn stopped(cx: Self::Cx<'_>, tube: &Self::Tube, reason: &Self::Reason) -> Taken<Self>;
    /// Takes the next of a tube's outputs.
    ///
    /// # Errors
    /// What the tube raised.
    fn next(
        cx: Self::Cx<'_>,
        outputs: &mut Self::Outputs,
        waker: &Self::Node,
    ) -> Result<Next<Self::Value>, Self::Reason>;

    /// Gives up what a tube has returned, because the flow was stopped: what is being waited for is
    /// cancelled.
    fn discard(cx: Self::Cx<'_>, outputs: Self::Outputs);

    /// Holds a foreign fount back.
    ///
    /// # Errors
    /// What the fount raised.
    fn pause(cx: Self::Cx<'_>, fount: &Self::Fount) -> Result<Self::Pause, Self::Reason>;
    /// Lets it go on.
    ///
    /// # Errors
    /// What the fount raised.
    fn resume(cx: Self::Cx<'_>, pause: Self::Pause) -> Result<(), Self::Reason>;
    /// Stops it.
    ///
    /// # Errors
    /// What the fount raised.
    fn stop(cx: Self::Cx<'_>, fount: &Self::Fount) -> Result<(), Self::Reason>;
    /// Gives an item to a foreign drain.
    ///
    /// # Errors
    /// What the drain raised.
    fn receive(
        cx: Self::Cx<'_>,
        drain: &Self::Drain,
        item: Self::Value,
    ) -> Result<(), Self::Reason>;
    /// Whether the drain would rather have many items at once, by [`Host::receive_batch`].
    fn gathers_in(drain: &Self::Drain) -> bool;
    /// Gives several items to a foreign drain.
    ///
    /// # Errors
    /// What the drain raised.
    fn receive_batch(
        cx: Self::Cx<'_>,
        drain: &Self::Drain,
        items: Vec<Self::Value>,
    ) -> Result<(), Self::Reason>;
    /// Tells a foreign drain that its flow has stopped.
    ///
    /// # Errors
    /// What the drain raised.
    fn flow_stopped(
        cx: Self::Cx<'_>,
        drain: &Self::Drain,
        reason: Self::Reason,
    ) -> Result<(), Self::Reason>;

    /// Which branch of a router an item is for, and what of it goes there; `None` if it has no such
    /// branch.
    ///
    /// # Errors
    /// If the item is addressed to nobody at all.
    fn route(
        cx: Self::Cx<'_>,
        hub: &Self::Hub,
        item: Self::Value,
    ) -> Result<Option<(usize, Self::Value)>, Self::Reason>;
    /// Whom to tell what becomes of an item.
    fn tag(cx: Self::Cx<'_>, tube: &Self::Tube, item: &Self::Value) -> Self::Confirm;
    /// Tells what became of an item.
    fn confirm(cx: Self::Cx<'_>, confirm: Self::Confirm, outcome: Confirmed<Self::Reason>);
    /// The time on a clock that is never set.
    fn now(cx: Self::Cx<'_>) -> Duration;
    /// Calls [`wake`](super::wake) for the siphon at that time of the clock.
    fn wake_at(cx: Self::Cx<'_>, node: &Self::Node, time: Duration);

    /// One value of several, for `zip`.
    fn tuple(cx: Self::Cx<'_>, items: Vec<Self::Value>) -> Self::Value;
    /// One value of several, for batches.
    fn list(cx: Self::Cx<'_>, items: Vec<Self::Value>) -> Self::Value;
    /// Two values made into one, for `conflate`.
    ///
    /// # Errors
    /// What the function raised.
    fn merge(
        cx: Self::Cx<'_>,
        node: &Self::Node,
        old: Self::Value,
        new: Self::Value,
    ) -> Result<Self::Value, Self::Reason>;

    /// A host's value as bytes.
    ///
    /// # Errors
    /// [`Problem::WrongType`] if it is something else.
    fn to_bytes(cx: Self::Cx<'_>, value: Self::Value) -> Result<Bytes, Error>;
    /// A host's value as text.
    ///
    /// # Errors
    /// [`Problem::WrongType`] if it is something else.
    fn to_text(cx: Self::Cx<'_>, value: Self::Value) -> Result<String, Error>;
    /// Bytes as a host's value.
    fn from_bytes(cx: Self::Cx<'_>, bytes: &Bytes) -> Self::Value;
    /// Text as a host's value.
    fn from_text(cx: Self::Cx<'_>, text: &str) -> Self::Value;
    /// What a native stage raised, as a reason.
    fn reason(cx: Self::Cx<'_>, error: Error) -> Self::Reason;
    /// The reason of a flow that was stopped from below.
    fn stop_flow_called(cx: Self::Cx<'_>) -> Self::Reason;
    /// Reports what a tube, a fount or a drain raised.
    fn report(cx: Self::Cx<'_>, reason: &Self::Reason);
    /// What kind of reason it is: an end, a stop from below, or a failure.
    fn kind(cx: Self::Cx<'_>, reason: &Self::Reason) -> Reason;
    /// Whether a reason is that of a flow that came to its end as it should.
    fn is_end(cx: Self::Cx<'_>, reason: &Self::Reason) -> bool {
        !matches!(Self::kind(cx, reason), Reason::Failed(_))
    }
}

/// What a tube returned: nothing, or outputs to be taken.
pub type Taken<H> = Result<Option<<H as Host>::Outputs>, <H as Host>::Reason>;

/// What there is to take from a stage.
#[derive(Debug)]
pub enum Next<V> {
    /// An item.
    Item(V),
    /// Nothing; give it an input.
    Idle,
    /// Nothing yet; the siphon is woken when there is.
    Busy,
}

/// An item on its way through a chain: native stages pass on native data, so that nothing crosses
/// into the host's language between them.
pub enum Flowing<H: Host> {
    /// A value of the host.
    Host(H::Value),
    /// Bytes, shared with what they were cut from.
    Bytes(Bytes),
    /// Text.
    Text(String),
    /// One of the above, of which somebody wants to know what becomes of it.
    Acked(Box<Acked<H>>),
}

impl<H: Host> Flowing<H> {
    /// As a value of the host.
    #[inline]
    pub fn into_host(self, cx: H::Cx<'_>) -> H::Value {
        match self {
            Self::Host(value) => value,
            Self::Bytes(bytes) => H::from_bytes(cx, &bytes),
            Self::Text(text) => H::from_text(cx, &text),
            Self::Acked(acked) => {
                let Acked { item, acks } = *acked;
                // It leaves what can tell of it.
                settle(cx, acks, None);
                item.into_host(cx)
            }
        }
    }

    /// The host's value in it, if it is one.
    pub fn value(&self) -> Option<&H::Value> {
        match self {
            Self::Host(value) => Some(value),
            Self::Acked(acked) => acked.item().value(),
            Self::Bytes(_) | Self::Text(_) => None,
        }
    }

    /// Once more, for another branch.
    pub(super) fn dup(&self, cx: H::Cx<'_>) -> Self {
        match self {
            Self::Host(value) => Self::Host(H::dup_value(cx, value)),
            Self::Bytes(bytes) => Self::Bytes(bytes.clone()),
            Self::Text(text) => Self::Text(text.clone()),
            Self::Acked(acked) => {
                let acks = acked.acks.iter().map(Ack::dup).collect();
                acked.item.dup(cx).with(acks)
            }
        }
    }
}

/// What a native stage takes.
pub trait FromFlowing: Sized {
    /// Reads an item.
    ///
    /// # Errors
    /// [`Problem::WrongType`] if it is something else.
    fn from_flowing<H: Host>(cx: H::Cx<'_>, item: Flowing<H>) -> Result<Self, Error>;
}

/// What a native stage gives.
pub trait IntoFlowing {
    /// Makes an item of it.
    fn into_flowing<H: Host>(self) -> Flowing<H>;
}

impl FromFlowing for Bytes {
    #[inline]
    fn from_flowing<H: Host>(cx: H::Cx<'_>, item: Flowing<H>) -> Result<Self, Error> {
        match item {
            Flowing::Bytes(bytes) => Ok(bytes),
            Flowing::Host(value) => H::to_bytes(cx, value),
            Flowing::Text(_) => Err(Error::new(Problem::WrongType {
                expected: "bytes",
                found: "text".to_owned(),
            })),
            Flowing::Acked(acked) => Self::from_flowing(cx, acked.item),
        }
    }
}

impl IntoFlowing for Bytes {
    #[inline]
    fn into_flowing<H: Host>(self) -> Flowing<H> {
        Flowing::Bytes(self)
    }
}

impl FromFlowing for String {
    #[inline]
    fn from_flowing<H: Host>(cx: H::Cx<'_>, item: Flowing<H>) -> Result<Self, Error> {
        match item {
            Flowing::Text(text) => Ok(text),
            Flowing::Host(value) => H::to_text(cx, value),
            Flowing::Bytes(_) => Err(Error::new(Problem::WrongType {
                expected: "text",
                found: "bytes".to_owned(),
            })),
            Flowing::Acked(acked) => Self::from_flowing(cx, acked.item),
        }
    }
}

impl IntoFlowing for String {
    #[inline]
    fn into_flowing<H: Host>(self) -> Flowing<H> {
        Flowing::Text(self)
    }
}
