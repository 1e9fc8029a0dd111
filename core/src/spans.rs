//! Spans and events of the crate `tracing`, where they are wanted: feature `tracing`. Without it all of this is
//! nothing.

/// A message that a local object is at work on.
#[derive(Debug, Clone)]
pub(crate) struct Span(#[cfg(feature = "tracing")] tracing::Span);

#[cfg(feature = "tracing")]
impl Span {
    /// A message with that selector.
    pub(crate) fn of(selector: Option<&str>) -> Self {
        Self(tracing::debug_span!(
            target: "marotte",
            "message",
            selector = selector.unwrap_or_default()
        ))
    }

    /// The one that we are in.
    pub(crate) fn current() -> Self {
        Self(tracing::Span::current())
    }

    /// Runs `f` in it.
    pub(crate) fn run<T>(&self, f: impl FnOnce() -> T) -> T {
        self.0.in_scope(f)
    }
}

#[cfg(not(feature = "tracing"))]
impl Span {
    pub(crate) fn of(_selector: Option<&str>) -> Self {
        Self()
    }

    pub(crate) fn current() -> Self {
        Self()
    }

    pub(crate) fn run<T>(&self, f: impl FnOnce() -> T) -> T {
        f()
    }
}

/// Tells subscribers what has happened to a connection.
#[cfg(feature = "tracing")]
pub(crate) fn note(note: &crate::host::Note<'_>) {
    use crate::host::Note;
    match note {
        Note::Opened(peer) => tracing::debug!(target: "marotte", %peer, "connection opened"),
        Note::Closed { reason, broke, .. } if *broke => {
            tracing::info!(target: "marotte", peer = note.peer(), %reason, "connection closed");
        }
        Note::Closed { reason, .. } => {
            tracing::debug!(target: "marotte", peer = note.peer(), %reason, "connection closed");
        }
    }
}

#[cfg(not(feature = "tracing"))]
pub(crate) fn note(_note: &crate::host::Note<'_>) {}
