//! What peers may let wait in our promises.

use marotte::captp::Profile;
use marotte::native::Answer;
use marotte::{Limits, Promise};
use marotte_tests::{Pair, object, outcome, reason};

fn pair(max_waiting_bytes: usize) -> (Pair, Promise) {
    let limits = Limits {
        max_waiting_bytes,
        ..Limits::default()
    };
    let mut pair = Pair::with(Profile::MAROTTE, limits);
    let forsaken = pair.b.forsaken();
    pair.b.register(
        "never",
        object(move |_, _| Answer::Promise(forsaken.clone())),
    );
    let never = pair.fetch("never").send("get", &());
    pair.run();
    (pair, never)
}

#[test]
fn messages_that_wait_in_a_promise_are_counted_against_their_sender() {
    let (mut pair, never) = pair(1 << 20);
    let text = "x".repeat(1 << 10);
    // Each costs its bytes and 256 more.
    for _ in 0..700 {
        never.send_only("put", &(text.as_str(),)).expect("passable");
    }
    pair.run();
    assert!(pair.at_a.connection.is_open());
    for _ in 0..200 {
        never.send_only("put", &(text.as_str(),)).expect("passable");
    }
    let last = never.send("put", &());
    pair.run();
    assert!(
        reason(&last).contains("limit passed: max_waiting_bytes"),
        "{}",
        reason(&last)
    );
}

#[test]
fn what_waits_no_more_is_not_counted() {
    let limits = Limits {
        max_waiting_bytes: 1 << 20,
        ..Limits::default()
    };
    let mut pair = Pair::with(Profile::MAROTTE, limits);
    pair.b.register(
        "echo",
        object(|_, args| marotte::native::reply(args.take1::<String>())),
    );
    let echo = pair.fetch("echo");
    let text = "x".repeat(1 << 16);
    for _ in 0..100 {
        let answer = echo.send("echo", &(text.as_str(),));
        pair.run();
        assert!(outcome::<String>(&answer).is_some_and(|answer| answer.is_ok()));
    }
    assert!(pair.at_a.connection.is_open());
}
