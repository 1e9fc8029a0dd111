//! The three dependent calls, one at a time or pipelined, measured.

use std::error::Error;
use std::fmt::Write as _;
use std::time::Instant;

use marotte::{Promise, Reference, Tub};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::history::Results;
use crate::junit::to_micros;

/// How the calls are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// Each call waits for the result of the one before.
    OneAtATime,
    /// Each call is sent to the promise for the result of the one before.
    Pipelined,
}

/// What is asked for.
pub(crate) struct Question {
    pub(crate) uri: String,
    pub(crate) mode: Mode,
    /// The first one if there is none.
    pub(crate) builder: Option<String>,
    pub(crate) build: i64,
}

/// One line of output; the clients in the other languages print the same.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    client: &'static str,
    mode: Mode,
    round_trips: u64,
    ms: f64,
    builder: String,
    number: u64,
    passed: u64,
    failed: u64,
    skipped: u64,
    /// Of everything in the results: equal digests, equal results.
    digest: String,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

pub(crate) async fn ask(question: Question) -> Result<Answer, Box<dyn Error>> {
    let tub = Tub::new();
    // Connecting is not measured: that is why the reference is waited for.
    let status: Reference = tub.get_reference(&question.uri).when().await?;
    let builder = match question.builder {
        Some(name) => name,
        None => {
            let builders: Vec<Named> = status.send("getBuilders", &()).when().await?;
            let first = builders.into_iter().next();
            first
                .ok_or("there are no builders yet: the folder of reports is empty")?
                .name
        }
    };
    let trips_before = tub.stats().round_trips;
    let began = Instant::now();
    let results: Results = match question.mode {
        Mode::OneAtATime => {
            let builder: Reference = status.send("getBuilder", &(&builder,)).when().await?;
            let build: Reference = builder.send("getBuild", &(question.build,)).when().await?;
            build.send("getResults", &()).when().await?
        }
        Mode::Pipelined => {
            let builder: Promise = status.send("getBuilder", &(&builder,));
            let build: Promise = builder.send("getBuild", &(question.build,));
            build.send("getResults", &()).when().await?
        }
    };
    let ms = began.elapsed().as_secs_f64() * 1e3;
    Ok(Answer {
        client: "rust",
        mode: question.mode,
        round_trips: tub.stats().round_trips - trips_before,
        ms: (ms * 1e3).round() / 1e3,
        digest: digest(&results),
        builder: results.name,
        number: results.number,
        passed: results.passed,
        failed: results.failed,
        skipped: results.skipped,
    })
}

/// A digest that every language computes alike: of the fields in order, each ended by a unit
/// separator, times in whole microseconds.
fn digest(results: &Results) -> String {
    let mut hash = Sha256::new();
    let mut put = |field: &dyn std::fmt::Display| hash.update(format!("{field}\u{1f}"));
    put(&results.name);
    for number in [
        results.number,
        results.passed,
        results.failed,
        results.skipped,
    ] {
        put(&number);
    }
    put(&to_micros(results.seconds));
    put(&results.finished);
    for test in &results.tests {
        put(&test.name);
        put(&test.classname);
        put(&to_micros(test.seconds));
        put(&test.outcome);
        put(&test.message);
    }
    let mut hex = String::new();
    for byte in hash.finalize() {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}
