//! The picture, in Chrome's trace format, which Perfetto (ui.perfetto.dev) and chrome://tracing show.
//!
//! Source: "Trace Event Format" (Google, 2016): a turn is a complete event (`X`), a message a flow from where
//! it was sent (`s`) to the turn that it caused (`f`).

use std::fmt::Write;

use super::{Event, Trace};
use crate::sync::lock;

impl Trace {
    /// The notes as JSON in Chrome's trace format. To see those of several vats in one picture, put the lists
    /// `traceEvents` of theirs together.
    ///
    /// ```
    /// use marotte::Trace;
    ///
    /// let trace = Trace::new("server", 1000, || 0);
    /// assert!(trace.to_chrome_json().starts_with(r#"{"traceEvents":[{"ph":"M""#));
    /// ```
    pub fn to_chrome_json(&self) -> String {
        let notes = lock(&self.notes);
        let process = process(&self.id);
        let mut out = String::from("{\"traceEvents\":[");
        let name = text(&self.name);
        let _ = write!(
            out,
            r#"{{"ph":"M","name":"process_name","pid":{process},"args":{{"name":{name}}}}}"#
        );
        let slice = |out: &mut String, what: &str, at_us: u64, long_us: u64| {
            let what = text(what);
            let _ = write!(
                out,
                r#",{{"ph":"X","cat":"turn","name":{what},"pid":{process},"tid":1,"ts":{at_us},"dur":{long_us}}}"#
            );
        };
        let flow = |out: &mut String, ends: bool, arrow: &str, at_us: u64| {
            let phase = if ends { r#""f","bp":"e""# } else { r#""s""# };
            let arrow = text(arrow);
            let _ = write!(
                out,
                r#",{{"ph":{phase},"cat":"message","name":"message","id":{arrow},"pid":{process},"tid":1,"ts":{at_us}}}"#
            );
        };
        for event in &notes.events {
            match event {
                Event::Sent {
                    at_us,
                    in_turn,
                    what,
                    arrow,
                } => {
                    // A flow begins in a slice.
                    if !in_turn {
                        slice(&mut out, &format!("send {what}"), *at_us, 1);
                    }
                    flow(&mut out, false, arrow, *at_us);
                }
                Event::Turn {
                    began_us,
                    ended_us,
                    what,
                    because,
                } => {
                    let long_us = ended_us.saturating_sub(*began_us).max(1);
                    slice(&mut out, what, *began_us, long_us);
                    if let Some(arrow) = because {
                        flow(&mut out, true, arrow, *began_us);
                    }
                }
            }
        }
        out.push_str("]}");
        out
    }
}

/// A number for the vat of that name; others have others, nearly always.
fn process(name: &str) -> u32 {
    // FNV-1a.
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    hash >> 1
}

/// A JSON string.
fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            '\0'..=' ' if letter != ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(letter));
            }
            _ => out.push(letter),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_json() {
        for hard in ["", "a b", "\"\\/\n\t\u{1}\u{1f}\u{7f}é\u{1f600}"] {
            let read: String = serde_json::from_str(&text(hard)).unwrap();
            assert_eq!(read, hard);
        }
    }
}
