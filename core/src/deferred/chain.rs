//! The ladder of one Deferred, as a machine that never calls anybody.

use std::collections::VecDeque;

use crate::flat::drop_flat;

use super::host::{AlreadyCalled, Firing, Host, Outcome};

/// The ladder of one Deferred.
///
/// ```text
///            fire                     a rung returns a Deferred
///  Empty ───────────▶ Settled ─────────────────────────────────▶ Waiting
///                      │  ▲ ▲                                       │
///          take a rung │  │ └───────────── that one's result ───────┘
///                      ▼  │ its result
///                     running
/// ```
///
/// `pause` holds it in any state; so does waiting. While it is running, what is added to it waits.
/// It is driven by the functions of this module: each takes one step under a borrow, and calls the
/// host after that.
pub struct Chain<H: Host> {
    state: State<H>,
    /// The next rung. Most Deferreds have one, and many wait: it needs no memory of its own.
    first: Option<Entry<H>>,
    rest: VecDeque<Entry<H>>,
    canceller: Option<H::Canceller>,
    paused: i32,
    called: bool,
    running: bool,
    /// One result that comes after a cancellation is let pass without a word.
    swallow: bool,
    /// The host was told that a failure rests here.
    noted: bool,
}

pub(super) enum State<H: Host> {
    Empty,
    Settled(Outcome<H>),
    Waiting(H::BackLink),
}

/// A rung of the ladder.
pub enum Entry<H: Host> {
    /// Called with a value; failures pass by.
    Callback(H::Callback),
    /// Called with a failure; values pass by.
    Errback(H::Callback),
    /// Called with either.
    Both(H::Callback),
    /// One for each.
    Pair(Box<(H::Callback, H::Callback)>),
    /// Another Deferred waits for this one's result.
    Feed(H::Link),
}

/// What is to be done next, outside of the borrow.
pub(super) enum Step<H: Host> {
    /// Nothing: the chain is pending, paused or running.
    Stop,
    /// The chain has come to its end.
    Rest(Note),
    /// Drop a rung that has no say, and go on.
    Skip(Entry<H>),
    /// Call this.
    Call(H::Callback, Outcome<H>),
    /// Call one of these, and drop the other.
    Choose(Box<(H::Callback, H::Callback)>, Outcome<H>),
    /// Fire another Deferred, then go on with the result.
    Fire(Box<Firing<H>>),
    /// Hand the outcome to the Deferred that waits for it.
    Feed {
        outer: H::Link,
        outcome: Outcome<H>,
        note: Note,
    },
}

/// What the host is to be told about the failure at the end of a chain.
// As wide as a pointer: a byte beside pointers makes each move of a `Step` a slow one.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Note {
    Nothing,
    FailureRests,
    FailureLeft,
}

/// What firing comes to: two things to be dropped outside of the borrow, and what is next.
type Fired<H> = (Option<<H as Host>::Canceller>, Garbage<H>, Step<H>);

/// What was replaced under a borrow, to be dropped outside of it: that may run a user's code.
pub(super) struct Garbage<H: Host> {
    _state: State<H>,
}

/// What cancelling a Deferred comes to.
pub(super) enum Cancel<H: Host> {
    /// Ask the canceller.
    Ask(H::Canceller),
    /// There is none: break it off.
    Break,
    /// It waits for another one: cancel that.
    Inner(H::Link),
    /// It has fired.
    Nothing,
}

impl<H: Host> Chain<H> {
    /// A ladder without rungs, for a Deferred that has not fired.
    pub fn new(canceller: Option<H::Canceller>) -> Self {
        Self {
            state: State::Empty,
            first: None,
            rest: VecDeque::new(),
            canceller,
            paused: 0,
            called: false,
            running: false,
            swallow: false,
            noted: false,
        }
    }

    /// One that has fired already. A failure here is not noted as unhandled until a rung has run.
    pub fn fired(outcome: Outcome<H>) -> Self {
        let mut chain = Self::new(None);
        chain.state = State::Settled(outcome);
        chain.called = true;
        chain
    }

    /// True once it has fired.
    pub fn called(&self) -> bool {
        self.called
    }

    /// Overrides that. For hosts whose users could always write it.
    pub fn set_called(&mut self, called: bool) {
        self.called = called;
    }

    /// How often it was paused more than unpaused; counts one while it waits for another.
    pub fn paused(&self) -> i32 {
        self.paused
    }

    /// Overrides that. For hosts whose users could always write it.
    pub fn set_paused(&mut self, paused: i32) {
        self.paused = paused;
    }

    /// The latest result, if there is one.
    pub fn outcome(&self) -> Option<&Outcome<H>> {
        match &self.state {
            State::Settled(outcome) => Some(outcome),
            State::Empty | State::Waiting(_) => None,
        }
    }

    /// Puts another outcome in the place of the latest, and returns what was there. Nothing runs.
    pub fn replace(&mut self, outcome: Outcome<H>) -> Option<Outcome<H>> {
        match std::mem::replace(&mut self.state, State::Settled(outcome)) {
            State::Settled(old) => Some(old),
            State::Empty | State::Waiting(_) => None,
        }
    }

    /// The Deferred that it waits for.
    pub fn waiting_on(&self) -> Option<&H::BackLink> {
        match &self.state {
            State::Waiting(back) => Some(back),
            State::Empty | State::Settled(_) => None,
        }
    }

    /// The failure at its end, if it has fired and all rungs have run. For a destructor that
    /// reports it.
    pub fn unhandled(&self) -> Option<&H::Failure> {
        match &self.state {
            State::Settled(Err(failure)) if self.called => Some(failure),
            _ => None,
        }
    }

    /// The canceller, until it fires.
    pub fn canceller(&self) -> Option<&H::Canceller> {
        self.canceller.as_ref()
    }

    /// Sets the canceller, and returns the old one.
    pub fn set_canceller(&mut self, canceller: Option<H::Canceller>) -> Option<H::Canceller> {
        std::mem::replace(&mut self.canceller, canceller)
    }

    /// The rungs that have not run yet.
    pub fn entries(&self) -> impl Iterator<Item = &Entry<H>> {
        self.first.iter().chain(&self.rest)
    }

    /// Adds a rung at the end and runs nothing. To have it run, use [`add`](super::add).
    #[inline(always)]
    pub fn push(&mut self, entry: Entry<H>) {
        if self.first.is_none() && self.rest.is_empty() {
            self.first = Some(entry);
        } else {
            self.rest.push_back(entry);
        }
    }

    /// Adds a rung before all others and runs nothing.
    pub fn push_front(&mut self, entry: Entry<H>) {
        if let Some(second) = self.first.replace(entry) {
            self.rest.push_front(second);
        }
    }

    #[inline(always)]
    fn pop(&mut self) -> Option<Entry<H>> {
        self.first.take().or_else(|| self.rest.pop_front())
    }

    fn has_entries(&self) -> bool {
        self.first.is_some() || !self.rest.is_empty()
    }

    /// Adds a rung; says what is to run now.
    #[inline(always)]
    pub(super) fn add(&mut self, cx: H::Cx<'_>, entry: Entry<H>) -> Step<H> {
        self.push(entry);
        self.proceed(cx)
    }

    /// Fires it.
    #[inline(always)]
    pub(super) fn fire(
        &mut self,
        cx: H::Cx<'_>,
        outcome: Outcome<H>,
    ) -> Result<Fired<H>, AlreadyCalled<H>> {
        if self.called {
            return Err(AlreadyCalled(outcome));
        }
        self.called = true;
        let garbage = self.swap(State::Settled(outcome));
        // The canceller may hold this very Deferred, and is never asked again.
        Ok((self.canceller.take(), garbage, self.proceed(cx)))
    }

    /// True if a late outcome is to be let pass, this once.
    pub(super) fn swallow(&mut self) -> bool {
        std::mem::take(&mut self.swallow)
    }

    /// The next step of a chain that may go on.
    #[inline(always)]
    pub(super) fn proceed(&mut self, cx: H::Cx<'_>) -> Step<H> {
        // One that waits is paused too, unless a host's user has overridden that.
        let waits = matches!(self.state, State::Waiting(_));
        if self.running || self.paused != 0 || !self.called || waits {
            return Step::Stop;
        }
        self.take(cx)
    }

    /// Takes the next rung.
    #[inline(always)]
    fn take(&mut self, cx: H::Cx<'_>) -> Step<H> {
        let Some(entry) = self.pop() else {
            return Step::Rest(self.end());
        };
        let failed = matches!(self.state, State::Settled(Err(_)));
        match entry {
            Entry::Callback(callback) if !failed => Step::Call(callback, self.give(cx)),
            Entry::Errback(errback) if failed => Step::Call(errback, self.give(cx)),
            Entry::Both(callback) => Step::Call(callback, self.give(cx)),
            Entry::Pair(pair) => Step::Choose(pair, self.give(cx)),
            Entry::Feed(outer) => {
                let outcome = self.take_outcome(cx);
                Step::Feed {
                    outer,
                    outcome,
                    note: self.leave(),
                }
            }
            passed_by => {
                self.running = true;
                Step::Skip(passed_by)
            }
        }
    }

    /// A rung that had no say is gone. As after one that had: a pause that was made meanwhile is
    /// looked at where the next run begins.
    pub(super) fn skipped(&mut self, cx: H::Cx<'_>) -> Step<H> {
        self.running = false;
        self.take(cx)
    }

    /// The outcome for a rung that runs now.
    #[inline(always)]
    fn give(&mut self, cx: H::Cx<'_>) -> Outcome<H> {
        let outcome = self.take_outcome(cx);
        let (given, stays) = H::split(cx, outcome);
        self.state = State::Settled(stays);
        self.running = true;
        given
    }

    #[inline(always)]
    fn take_outcome(&mut self, cx: H::Cx<'_>) -> Outcome<H> {
        let unit = State::Settled(Ok(H::unit(cx)));
        match std::mem::replace(&mut self.state, unit) {
            State::Settled(outcome) => outcome,
            // A host may have forced `called` or `paused`.
            State::Empty | State::Waiting(_) => Ok(H::unit(cx)),
        }
    }

    /// What a rung returned takes the place of its argument; says what is next. The chain goes on
    /// although it may have been paused meanwhile: pausing is looked at where a run begins.
    #[inline(always)]
    pub(super) fn returned(&mut self, cx: H::Cx<'_>, outcome: Outcome<H>) -> (Garbage<H>, Step<H>) {
        self.running = false;
        let garbage = self.swap(State::Settled(outcome));
        (garbage, self.take(cx))
    }

    /// A rung returned a Deferred that has no result yet.
    pub(super) fn wait(&mut self, back: H::BackLink) -> (Garbage<H>, Note) {
        self.running = false;
        self.paused += 1;
        let garbage = self.swap(State::Waiting(back));
        (garbage, self.leave())
    }

    /// The Deferred that this one waited for has a result.
    pub(super) fn fed(&mut self, cx: H::Cx<'_>, outcome: Outcome<H>) -> (Garbage<H>, Step<H>) {
        self.paused -= 1;
        let garbage = self.swap(State::Settled(outcome));
        (garbage, self.proceed(cx))
    }

    /// Takes the result away if the chain has come to its end and nothing holds it: what adding a
    /// rung that returns a unit would come to.
    pub fn take_ready(&mut self, cx: H::Cx<'_>) -> Option<(Outcome<H>, bool)> {
        if self.running || !self.called || self.has_entries() {
            return None;
        }
        let (outcome, note) = self.steal(cx)?;
        Some((outcome, note == Note::FailureLeft))
    }

    /// Takes the result away for a Deferred that would otherwise wait, if there is one to be had.
    pub(super) fn steal(&mut self, cx: H::Cx<'_>) -> Option<(Outcome<H>, Note)> {
        if self.paused != 0 || self.outcome().is_none() {
            return None;
        }
        // It is in the hands of a rung, or there are more of them: another thread is at it.
        if !H::SHARES && (self.running || self.has_entries()) {
            return None;
        }
        let outcome = self.take_outcome(cx);
        Some((outcome, self.leave()))
    }

    pub(super) fn pause(&mut self) {
        self.paused += 1;
    }

    pub(super) fn unpause(&mut self, cx: H::Cx<'_>) -> Step<H> {
        self.paused -= 1;
        self.proceed(cx)
    }

    pub(super) fn cancel(&mut self, cx: H::Cx<'_>) -> Cancel<H> {
        if self.called {
            let inner = self.waiting_on().and_then(|back| H::forth(cx, back));
            return inner.map_or(Cancel::Nothing, Cancel::Inner);
        }
        match &self.canceller {
            Some(canceller) => Cancel::Ask(H::dup_canceller(cx, canceller)),
            None => {
                self.swallow = true;
                Cancel::Break
            }
        }
    }

    fn swap(&mut self, state: State<H>) -> Garbage<H> {
        Garbage {
            _state: std::mem::replace(&mut self.state, state),
        }
    }

    /// All rungs have run.
    fn end(&mut self) -> Note {
        if matches!(self.state, State::Settled(Err(_))) {
            self.noted = true;
            Note::FailureRests
        } else {
            self.leave()
        }
    }

    /// No failure rests here any more. For hosts whose `await` looks at the result where it is.
    pub fn mark_handled(&mut self) -> bool {
        self.leave() == Note::FailureLeft
    }

    fn leave(&mut self) -> Note {
        if std::mem::take(&mut self.noted) {
            Note::FailureLeft
        } else {
            Note::Nothing
        }
    }
}

impl<H: Host> Drop for Chain<H> {
    /// Deferreds hold one another, in chains deeper than any stack.
    fn drop(&mut self) {
        let deep = match &self.state {
            State::Empty => false,
            State::Settled(outcome) => !H::is_shallow(outcome),
            State::Waiting(_) => true,
        };
        if deep || self.has_entries() {
            let state = std::mem::replace(&mut self.state, State::Empty);
            drop_flat((self.first.take(), std::mem::take(&mut self.rest), state));
        }
    }
}
