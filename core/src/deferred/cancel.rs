//! Cancelling.

use super::chain::Cancel;
use super::host::Host;

/// Cancels a Deferred.
///
/// - Not fired yet: its canceller is asked. If that fires it, so be it; otherwise, or if there is
///   none, it fails with the host's "cancelled" failure. Without a canceller, the result that its
///   maker gives it later is swallowed, once.
/// - Waiting for another one: that one is cancelled, to any depth.
/// - Fired: nothing.
///
/// # Errors
/// What a canceller raises; the Deferred is then as it was before.
pub fn cancel<H: Host>(cx: H::Cx<'_>, link: &H::Link) -> Result<(), H::Raised> {
    let mut link = H::dup(cx, link);
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
                link = inner;
            }
            Cancel::Nothing => return Ok(()),
        }
    }
}
