//! What a language must supply for its Deferreds.

use super::Chain;

/// A language that has Deferreds: Rust closures, Python, JavaScript.
///
/// Core calls [`call`](Self::call), [`call_canceller`](Self::call_canceller),
/// [`cancel_foreign`](Self::cancel_foreign), [`fire_cancelled`](Self::fire_cancelled),
/// [`handed_on`](Self::handed_on) and [`failure_rests`](Self::failure_rests) between its steps,
/// where the host may do whatever it likes. All the others are bookkeeping: they run no code of a
/// user's, because core may call them under a short borrow.
pub trait Host: Sized + 'static {
    /// Proof that the host may be touched: `()` in Rust, `Python<'_>` in Python.
    type Cx<'a>: Copy;
    /// What a callback is given and returns.
    type Value;
    /// What an errback is given.
    type Failure;
    /// A function of one outcome, called at most once.
    type Callback;
    /// What is asked to stop the work behind a Deferred.
    type Canceller;
    /// What a canceller raises.
    type Raised;
    /// A shared handle on a Deferred.
    type Link;
    /// A handle from a Deferred on the one it waits for. Where no collector finds cycles, it is
    /// weak.
    type BackLink;

    /// True if what [`split`](Self::split) leaves behind is as good as what it gives away. If it is
    /// not, nobody may take a result from a rung that is looking at it.
    const SHARES: bool = true;

    /// The value that stays behind where a result was taken away.
    fn unit(cx: Self::Cx<'_>) -> Self::Value;
    /// Divides an outcome: one handle to give away, and what stays. Where values cannot be shared,
    /// a [`unit`](Self::unit) stays.
    fn split(cx: Self::Cx<'_>, outcome: Outcome<Self>) -> (Outcome<Self>, Outcome<Self>);
    /// Another handle on the same Deferred.
    fn dup(cx: Self::Cx<'_>, link: &Self::Link) -> Self::Link;
    /// Another handle on the same canceller.
    fn dup_canceller(cx: Self::Cx<'_>, canceller: &Self::Canceller) -> Self::Canceller;
    /// True if both are handles on one Deferred.
    fn is_same(one: &Self::Link, other: &Self::Link) -> bool;
    /// A handle back on a Deferred that is waited for.
    fn back(cx: Self::Cx<'_>, link: &Self::Link) -> Self::BackLink;
    /// The Deferred at the other end, if it is still there.
    fn forth(cx: Self::Cx<'_>, back: &Self::BackLink) -> Option<Self::Link>;
    /// Runs `f` on the Deferred's chain under a short borrow; `f` never calls into user code.
    fn with<R>(cx: Self::Cx<'_>, link: &Self::Link, f: impl FnOnce(&mut Chain<Self>) -> R) -> R;

    /// Calls a callback of the Deferred `link`. What it raises is a failure.
    fn call(
        cx: Self::Cx<'_>,
        link: &Self::Link,
        callback: Self::Callback,
        outcome: Outcome<Self>,
    ) -> Returned<Self>;
    /// Calls a canceller.
    ///
    /// # Errors
    /// What it raises; the Deferred is then as it was.
    fn call_canceller(
        cx: Self::Cx<'_>,
        link: &Self::Link,
        canceller: &Self::Canceller,
    ) -> Result<(), Self::Raised>;
    /// Fires a Deferred that is being cancelled with the host's "cancelled" failure.
    ///
    /// # Errors
    /// What an overriding method raises.
    fn fire_cancelled(cx: Self::Cx<'_>, link: &Self::Link) -> Result<(), Self::Raised>;
    /// Cancels a Deferred whose class does that in a way of its own; returns false to have the
    /// usual done.
    ///
    /// # Errors
    /// What an overriding method raises.
    fn cancel_foreign(cx: Self::Cx<'_>, link: &Self::Link) -> Result<bool, Self::Raised> {
        let _ = (cx, link);
        Ok(false)
    }
    /// Told when the outcome of one Deferred is about to become that of another, which waited for
    /// it or was about to. For hosts that keep beside a Deferred what its value stands for.
    fn handed_on(cx: Self::Cx<'_>, from: &Self::Link, to: &Self::Link) {
        let _ = (cx, from, to);
    }
    /// The failure of firing a Deferred for the second time.
    fn already_called(cx: Self::Cx<'_>, link: &Self::Link) -> Self::Failure;
    /// True if dropping this drops no other Deferred, as far as one can see at a glance.
    fn is_shallow(outcome: &Outcome<Self>) -> bool {
        let _ = outcome;
        false
    }
    /// Told when a chain has come to its end with a failure (`rests`), and when that failure has
    /// been taken further after all. For hosts whose destructors cannot ask
    /// [`Chain::unhandled`].
    fn failure_rests(cx: Self::Cx<'_>, link: &Self::Link, rests: bool) {
        let _ = (cx, link, rests);
    }
}

/// How something ended: with a value or with a failure.
pub type Outcome<H> = Result<<H as Host>::Value, <H as Host>::Failure>;

/// What a callback gave back.
pub enum Returned<H: Host> {
    /// A result, for the next rung.
    Outcome(Outcome<H>),
    /// Another Deferred, to wait for.
    Deferred(H::Link),
    /// A result, for the next rung; but first another Deferred is to be fired, and run to its end.
    /// It comes to the same as [`fire`](super::fire) within the callback, but takes no stack,
    /// however many fire one another so.
    Fire(Box<Firing<H>>),
}

/// See [`Returned::Fire`].
pub struct Firing<H: Host> {
    /// What the callback returns.
    pub result: Outcome<H>,
    /// The Deferred to fire.
    pub other: H::Link,
    /// What to fire it with.
    pub outcome: Outcome<H>,
}

/// A Deferred fires once; this is the outcome that came too late.
pub struct AlreadyCalled<H: Host>(pub Outcome<H>);
