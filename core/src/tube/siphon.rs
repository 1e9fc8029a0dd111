//! The state of one siphon: a chain of stages between a fount and a drain.

use std::collections::VecDeque;

use super::chain::Chain;
use super::host::{Flowing, Host};
use super::inbox::Inbox;

/// A chain of stages with what is above and below it.
///
/// ```text
///   fount ──receive──> inbox ──> chain ──receive──> drain
///         <──pause────                  <──pause───
///         <──stop─────                  <──stop────
///         ──stopped──>                  ──stopped─>
/// ```
///
/// The contract, whatever those above and below do:
///
/// - Nothing is given to the drain while it holds a pause, and nothing after `stopped`.
/// - The fount is held back while the drain holds a pause, while outputs have nobody to take them,
///   and while a stage waits for something; or, if the inbox is a buffer, while that is full. It is
///   let go when all that waited here has gone.
/// - The drain hears `stopped` exactly once: with the fount's reason when all that the fount sent
///   has gone through; with an error, when a stage raised one; with the fount's answer after the
///   drain has asked to stop. One that comes later hears it when it comes.
/// - The fount hears `stop` at most once.
///
/// The functions of this module drive it; between their borrows, hosts' code runs.
pub struct Siphon<H: Host> {
    /// Out while it is at work.
    pub(super) chain: Option<Box<Chain<H>>>,
    pub(super) inbox: Inbox<Flowing<H>>,
    /// What came out of the chain when a pause had come meanwhile.
    pub(super) ready: VecDeque<Flowing<H>>,
    /// The drain would rather be given many items at once.
    pub(super) in_batches: bool,
    pub(super) upstream: Option<Upstream<H>>,
    /// What holds the fount back.
    pub(super) hold: Option<Hold<H>>,
    pub(super) downstream: Option<Downstream<H>>,
    /// How many pauses those below hold.
    pub(super) pauses: usize,
    /// Nothing is to be delivered for a moment, though nothing is held back.
    pub(super) frozen: usize,
    /// What went wrong outside the chain while that was at work.
    pub(super) broken: Option<H::Reason>,
    /// Hold the fount back from the start, until there is a drain.
    pub(super) waits_for_drain: bool,
    pub(super) started: bool,
    /// The first stage makes the items: there is nothing above.
    pub(super) is_source: bool,
    /// Somebody's loop is going to look at it again.
    pub(super) running: bool,
    /// A stage waits for something, or outputs for somebody to take them.
    pub(super) stuck: bool,
    /// Something that a stage waited for has happened.
    pub(super) woken: bool,
    /// The host wakes it at that time.
    pub(super) armed: Option<std::time::Duration>,
    /// The fount has said that it is at its end.
    pub(super) fount_is_over: bool,
    /// The fount's reason, until the chain has been told.
    pub(super) ended: Option<H::Reason>,
    pub(super) phase: Phase<H>,
}

/// How far a siphon is.
pub(super) enum Phase<H: Host> {
    /// It flows, or may.
    Open,
    /// A stage has failed: the fount has been stopped, what is below the stage goes on to its end.
    Failed,
    /// The drain wants no more, and the fount has been asked to stop.
    Stopping,
    /// All is over, but there is no drain to tell.
    Untold(H::Reason),
    /// The drain has been told.
    Over,
}

/// What is above.
pub enum Upstream<H: Host> {
    /// A siphon.
    Siphon(H::Node),
    /// A fan-out, of which this is the branch with that number; or a fan-in.
    Hub(H::Hub, usize),
    /// Anything else.
    Foreign(H::Fount),
}

/// What is below.
pub enum Downstream<H: Host> {
    /// A siphon.
    Siphon(H::Node),
    /// A fan-out; or a fan-in, of which this is the input with that number.
    Hub(H::Hub, usize),
    /// Anything else.
    Foreign(H::Drain),
}

/// What holds a fount back.
pub enum Hold<H: Host> {
    /// One pause of that siphon.
    Siphon(H::Node),
    /// One of that hub.
    Hub(H::Hub),
    /// One of a foreign fount.
    Token(H::Pause),
}

impl<H: Host> Siphon<H> {
    /// A siphon that nothing flows to yet.
    pub fn new(chain: Chain<H>, inbox: Inbox<Flowing<H>>) -> Self {
        Self {
            chain: Some(Box::new(chain)),
            inbox,
            ready: VecDeque::new(),
            in_batches: false,
            upstream: None,
            hold: None,
            downstream: None,
            pauses: 0,
            frozen: 0,
            broken: None,
            waits_for_drain: false,
            started: false,
            is_source: false,
            running: false,
            stuck: false,
            woken: false,
            armed: None,
            fount_is_over: false,
            ended: None,
            phase: Phase::Open,
        }
    }

    /// Holds its fount back from the start, until it has a drain.
    #[must_use]
    pub fn waiting_for_drain(mut self) -> Self {
        self.waits_for_drain = true;
        self
    }

    /// Makes the first stage the source: what it gives when it is started, which is when there is a
    /// drain, is all there is, and `end` the reason after it.
    pub fn be_source(&mut self, end: H::Reason) {
        self.is_source = true;
        self.fount_is_over = true;
        self.ended = Some(end);
    }

    /// What is above.
    pub fn upstream(&self) -> Option<&Upstream<H>> {
        self.upstream.as_ref()
    }

    /// What is below.
    pub fn downstream(&self) -> Option<&Downstream<H>> {
        self.downstream.as_ref()
    }

    /// What holds the fount back.
    pub fn hold(&self) -> Option<&Hold<H>> {
        self.hold.as_ref()
    }

    /// The chain, unless it is at work.
    pub fn chain(&self) -> Option<&Chain<H>> {
        self.chain.as_deref()
    }

    /// What waits before the chain.
    pub fn inbox(&self) -> &Inbox<Flowing<H>> {
        &self.inbox
    }

    /// What came out of the chain when a pause had come meanwhile.
    pub fn ready(&self) -> impl Iterator<Item = &Flowing<H>> {
        self.ready.iter()
    }

    /// Whether it would rather be given many items at once.
    pub fn gathers(&self) -> bool {
        self.chain().is_some_and(Chain::gathers)
    }

    /// The reasons that it keeps.
    pub fn reasons(&self) -> impl Iterator<Item = &H::Reason> {
        let untold = match &self.phase {
            Phase::Untold(reason) => Some(reason),
            _ => None,
        };
        let of_chain = self.chain.as_ref().and_then(|chain| chain.reason());
        let ended = self.ended.iter().chain(&self.broken);
        ended.chain(untold).chain(of_chain)
    }

    /// Whether those below hold a pause.
    pub fn is_paused(&self) -> bool {
        self.pauses > 0
    }

    /// Whether the flow is over, be it that nobody has been told yet.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Untold(_) | Phase::Over)
    }

    /// Whether the drain has been told that it is over.
    pub fn has_told(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Whether an item could only go straight through, so that there is no need to put it into a
    /// queue first.
    pub(super) fn is_straight(&self) -> bool {
        matches!(self.phase, Phase::Open)
            && self.pauses == 0
            && self.frozen == 0
            && !self.running
            && !self.in_batches
            && self.inbox.is_empty()
            && self.ready.is_empty()
            && self.chain().is_some_and(|chain| chain.stages().is_empty())
    }

    /// Whether items are taken in.
    pub(super) fn takes(&self) -> bool {
        matches!(self.phase, Phase::Open) && !self.fount_is_over
    }

    /// Whether the fount is to be held back.
    pub(super) fn should_hold(&self) -> bool {
        match self.phase {
            Phase::Open => {}
            // The fount is not to be heard any more.
            _ => return false,
        }
        if self.waits_for_drain && self.downstream.is_none() {
            return true;
        }
        if self.inbox.is_buffer() {
            return self.inbox.is_full();
        }
        self.pauses > 0 || self.stuck || !self.ready.is_empty() || !self.inbox.is_empty()
    }

    /// Takes out all that may lead back to this siphon, for a collector that breaks a cycle.
    pub fn clear(&mut self) -> impl Sized + use<H> {
        (
            self.chain.take(),
            self.inbox.take(),
            std::mem::take(&mut self.ready),
            self.upstream.take(),
            self.hold.take(),
            self.downstream.take(),
            self.ended.take(),
            self.broken.take(),
            std::mem::replace(&mut self.phase, Phase::Over),
        )
    }
}

impl<H: Host> Upstream<H> {
    pub(super) fn dup(&self, cx: H::Cx<'_>) -> Self {
        match self {
            Self::Siphon(node) => Self::Siphon(H::dup_node(cx, node)),
            Self::Hub(hub, index) => Self::Hub(H::dup_hub(cx, hub), *index),
            Self::Foreign(fount) => Self::Foreign(H::dup_fount(cx, fount)),
        }
    }
}

impl<H: Host> Downstream<H> {
    pub(super) fn dup(&self, cx: H::Cx<'_>) -> Self {
        match self {
            Self::Siphon(node) => Self::Siphon(H::dup_node(cx, node)),
            Self::Hub(hub, index) => Self::Hub(H::dup_hub(cx, hub), *index),
            Self::Foreign(drain) => Self::Foreign(H::dup_drain(cx, drain)),
        }
    }
}
