//! Cancelling.

use super::chain::Cancel;
use super::host::Host;

/// Cancels a Deferred.
///
/// - Not fired yet: its canceller is asked. If that fires it, so be it; otherwise, or if there is
///   none, it fails with the host's "cancelled" failure. Without a canceller, the result that its
///   maker gives it later is swallowed, once.
/// - Waiting for another one: that one is cancelled, to any depth.
/// - Fired, or waiting for itself in a circle: nothing.
///
/// # Errors
/// What a canceller raises; the Deferred is then as it was before.
pub fn cancel<H: Host>(cx: H::Cx<'_>, link: &H::Link) -> Result<(), H::Raised> {
    let mut link = H::dup(cx, link);
    // Deferreds that wait for one another in a circle: one that we have passed is seen again
    // (Brent's way of finding a cycle: it is moved up after 1, 2, 4, 8... steps).
    let mut passed = H::dup(cx, &link);
    let (mut steps, mut limit) = (0_u64, 1_u64);
    loop {
        match H::with(cx, &link, |chain| chain.cancel(cx)) {
            Cancel::Ask(canceller) => {
                H::call_canceller(cx, &link, &canceller)?;
                if H::with(cx, &link, |chain| chain.called()) {
                    return Ok(());
                }
                return H::fire_cancelled(cx, &link);
            }
            Cancel::Break => return H::fire_cancelled(cx, &link),
            Cancel::Inner(inner) => {
                if H::cancel_foreign(cx, &inner)? {
                    return Ok(());
                }
                if H::is_same(&inner, &passed) {
                    return Ok(());
                }
                steps += 1;
                if steps == limit {
                    (steps, limit) = (0, limit * 2);
                    passed = H::dup(cx, &inner);
                }
                link = inner;
            }
            Cancel::Nothing => return Ok(()),
        }
    }
}
