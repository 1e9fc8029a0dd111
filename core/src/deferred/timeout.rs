//! Giving up after a while.

use super::chain::Entry;
use super::host::Host;
use super::{add, cancel};

/// A host whose Deferreds can be timed out against a clock.
///
/// A timeout is two rungs and an alarm. The alarm notes that it rang and cancels the Deferred; the
/// first rung turns the "cancelled" failure into a "timed out" one if it rang; the second stops the
/// clock if it did not.
pub trait Timed: Host {
    /// What rings after a given time.
    type Clock: ?Sized;
    /// The state of one timeout, shared by alarm and rungs.
    type Alarm;

    /// Sets the alarm on the clock: it shall call [`ring`] once, unless it is stopped.
    ///
    /// # Errors
    /// What the clock raises.
    fn set_alarm(
        cx: Self::Cx<'_>,
        link: &Self::Link,
        clock: &Self::Clock,
        alarm: &Self::Alarm,
    ) -> Result<(), Self::Raised>;
    /// Notes that it rang.
    fn rang(cx: Self::Cx<'_>, alarm: &Self::Alarm);
    /// The first rung: see [`Timed`].
    fn translate(alarm: &Self::Alarm, cx: Self::Cx<'_>) -> Self::Callback;
    /// The second rung: see [`Timed`].
    fn stop(alarm: &Self::Alarm, cx: Self::Cx<'_>) -> Self::Callback;
}

/// Cancels the Deferred unless the rungs that it has by now are through before the alarm rings.
///
/// # Errors
/// What the clock raises.
pub fn add_timeout<H: Timed>(
    cx: H::Cx<'_>,
    link: &H::Link,
    clock: &H::Clock,
    alarm: &H::Alarm,
) -> Result<(), H::Raised> {
    H::set_alarm(cx, link, clock, alarm)?;
    add::<H>(cx, link, Entry::Both(H::translate(alarm, cx)));
    add::<H>(cx, link, Entry::Both(H::stop(alarm, cx)));
    Ok(())
}

/// What the alarm does.
///
/// # Errors
/// What a canceller raises.
pub fn ring<H: Timed>(cx: H::Cx<'_>, link: &H::Link, alarm: &H::Alarm) -> Result<(), H::Raised> {
    H::rang(cx, alarm);
    cancel::<H>(cx, link)
}
