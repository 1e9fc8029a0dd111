//! JUnit XML, as nextest, pytest, Node and many others write it, to a list of tests.
//!
//! `junit.py` follows the same rules, so that both servers say the same of the same report.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use roxmltree::{Document, Node};
use serde::{Deserialize, Serialize};

/// Longest message kept of one test, in characters: enough for a failure's end of a traceback.
const MESSAGE_LIMIT: usize = 4000;

/// One test of a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Test {
    pub(crate) name: String,
    pub(crate) classname: String,
    pub(crate) seconds: f64,
    /// `passed`, `failed` or `skipped`.
    pub(crate) outcome: String,
    pub(crate) message: String,
}

/// What a report says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Report {
    pub(crate) tests: Vec<Test>,
    pub(crate) seconds: f64,
    /// Microseconds since 1970, if the report says when it began.
    pub(crate) finished: Option<i64>,
}

/// Reads a report.
///
/// # Errors
/// If it is not well-formed, or is some other kind of XML. A document type is refused: reports have
/// none, and entities could make a small file huge.
pub(crate) fn parse(bytes: &[u8]) -> Result<Report, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    let document = Document::parse(text).map_err(|error| error.to_string())?;
    let root = document.root_element();
    if !matches!(root.tag_name().name(), "testsuites" | "testsuite") {
        return Err(format!(
            "it is not a JUnit report: the root is <{}>",
            root.tag_name().name()
        ));
    }
    let tests: Vec<Test> = root
        .descendants()
        .filter(|node| node.has_tag_name("testcase"))
        .map(test)
        .collect();
    let micros = duration(root, &tests);
    let started = root
        .descendants()
        .filter(is_suite)
        .find_map(|suite| instant(suite.attribute("timestamp")?));
    Ok(Report {
        tests,
        seconds: seconds(micros),
        finished: started.and_then(|started| started.checked_add(micros)),
    })
}

fn is_suite(node: &Node<'_, '_>) -> bool {
    matches!(node.tag_name().name(), "testsuites" | "testsuite")
}

fn test(case: Node<'_, '_>) -> Test {
    let mut outcome = "passed";
    let mut message = String::new();
    for child in case.children() {
        let found = match child.tag_name().name() {
            "failure" | "error" => "failed",
            "skipped" => "skipped",
            _ => continue,
        };
        // A failure in the test outweighs whatever its set-up or tear-down added.
        if outcome == "passed" || (outcome == "skipped" && found == "failed") {
            outcome = found;
            message = explanation(child);
        }
    }
    Test {
        name: attribute(case, "name"),
        classname: attribute(case, "classname"),
        seconds: seconds(micros(case).unwrap_or(0)),
        outcome: outcome.to_owned(),
        message,
    }
}

/// The `message` attribute and the text, once each, shortened.
fn explanation(node: Node<'_, '_>) -> String {
    let short = attribute(node, "message");
    let short = short.trim();
    let text: String = node
        .descendants()
        .filter(Node::is_text)
        .filter_map(|node| node.text())
        .collect();
    let text = text.trim();
    let whole = if text.is_empty() {
        short.to_owned()
    } else if text.contains(short) {
        text.to_owned()
    } else {
        format!("{short}\n\n{text}")
    };
    match whole.char_indices().nth(MESSAGE_LIMIT) {
        None => whole,
        Some((cut, _)) => {
            let more = whole[cut..].chars().count();
            format!("{}\n… ({more} more characters)", &whole[..cut])
        }
    }
}

fn attribute(node: Node<'_, '_>, name: &str) -> String {
    node.attribute(name).unwrap_or_default().to_owned()
}

/// The root's own time; else that of the parts it names; else that of all tests.
fn duration(root: Node<'_, '_>, tests: &[Test]) -> i64 {
    if let Some(own) = micros(root) {
        return own;
    }
    match root.children().filter_map(micros).sum() {
        0 => tests.iter().map(|test| to_micros(test.seconds)).sum(),
        parts => parts,
    }
}

/// The attribute `time`, if it is a sensible number of seconds, in microseconds: those add up
/// alike in every language.
fn micros(node: Node<'_, '_>) -> Option<i64> {
    let time: f64 = node.attribute("time")?.trim().parse().ok()?;
    (0.0..1e9).contains(&time).then(|| to_micros(time))
}

/// Rounds as `Math.round` does.
pub(crate) fn to_micros(seconds: f64) -> i64 {
    // In range: at most 1e15 for what `micros` lets through; a peer's nonsense saturates.
    (seconds * 1e6 + 0.5).floor() as i64
}

fn seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}

/// A time in ISO 8601, in microseconds since 1970; without a zone it is taken as UTC.
fn instant(text: &str) -> Option<i64> {
    let text = text.trim();
    let instant: Timestamp = match text.parse() {
        Ok(instant) => instant,
        Err(_) => {
            let local: DateTime = text.parse().ok()?;
            local.to_zoned(TimeZone::UTC).ok()?.timestamp()
        }
    };
    Some(instant.as_microsecond())
}

/// The time as `2026-01-31T12:00:00Z`.
pub(crate) fn iso(micros: i64) -> String {
    let instant = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
    instant.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
#[path = "junit_tests.rs"]
mod tests;
