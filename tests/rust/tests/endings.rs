//! How sessions end, who notices, and who does not.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{Arc, Mutex};

use marotte::captp::{CloseReason, Profile};
use marotte::native::{Answer, reply};
use marotte::{Error, Limits, Promise, Reference, Referenceable};
use marotte_tests::{Pair, Side, object, outcome, reason, value};

/// Answers "now" at once, and anything else never.
fn slow(side: &Side) -> Arc<dyn Referenceable> {
    let never = side.forsaken();
    object(move |method, _| match method {
        "now" => reply(Ok::<_, Error>(1)),
        _ => Answer::Promise(never.clone()),
    })
}

/// A pair in which a waits for four things of every kind.
fn waiting() -> (Pair, Vec<Promise>) {
    let mut pair = Pair::new();
    pair.b.register("slow", slow(&pair.b));
    let fetched = pair.fetch("slow");
    pair.run();
    let call = fetched.send("later", &());
    let pipelined = call.send("more", &());
    let behind = pipelined.then(|n: i64| n);
    pair.run();
    // The last one has not even left.
    let unsent = fetched.send("later", &());
    (pair, vec![call, pipelined, behind, unsent])
}

fn all_broken(promises: &[Promise], expected: &str) {
    for (index, promise) in promises.iter().enumerate() {
        let reason = reason(promise);
        assert!(reason.contains(expected), "promise {index}: {reason}");
    }
}

#[test]
fn a_peer_that_hangs_up_breaks_every_pending_promise_with_the_reason() {
    let (mut pair, promises) = waiting();
    pair.at_a.hang_up("the peer hung up");
    pair.a.run();
    all_broken(
        &promises,
        "the connection to ocapn://bob.tcp-testing-only is gone: the peer hung up",
    );
}

#[test]
fn a_stream_that_ends_in_the_middle_of_a_message_breaks_every_pending_promise() {
    let (mut pair, promises) = waiting();
    pair.at_a.feed(b"100:<10'op:deliver<11'desc:exp");
    assert!(
        outcome::<i64>(&promises[0]).is_none(),
        "half a message does nothing"
    );
    pair.at_a
        .hang_up("the peer hung up in the middle of a message");
    pair.a.run();
    all_broken(&promises, "in the middle of a message");
}

#[test]
fn an_abort_of_the_peer_breaks_every_pending_promise_with_its_words() {
    let (mut pair, promises) = waiting();
    pair.at_a.feed(b"34:<8'op:abort19\"closing for the day>");
    pair.a.run();
    all_broken(&promises, "the peer ended the session: closing for the day");
}

#[test]
fn a_peer_that_breaks_the_protocol_is_told_and_both_sides_break_their_promises() {
    let (mut pair, promises) = waiting();
    pair.a.register("slow", slow(&pair.a));
    let theirs = pair.fetch_from_a("slow").send("later", &());
    pair.run();
    pair.at_a.feed(b"9:<5'bogus>");
    pair.run();
    all_broken(&promises, "not known here");
    all_broken(&[theirs], "the peer ended the session");
    assert!(matches!(
        pair.at_a.connection.close_reason(),
        Some(CloseReason::Protocol(_))
    ));
    assert!(matches!(
        pair.at_b.connection.close_reason(),
        Some(CloseReason::PeerAborted(_))
    ));
}

#[test]
fn an_answer_that_names_what_was_never_given_breaks_its_own_promise_as_well() {
    let (mut pair, promises) = waiting();
    // The second call's resolver is at position 2.
    let answer = "<10'op:deliver<11'desc:export2+>[7'fulfill<11'desc:export99+>]ff>";
    pair.at_a
        .feed(format!("{}:{answer}", answer.len()).as_bytes());
    pair.a.run();
    all_broken(&promises, "nothing is exported at position 99");
}

#[test]
fn calls_after_the_end_break_at_once_with_the_reason() {
    let mut pair = Pair::new();
    pair.b.register("slow", slow(&pair.b));
    let far = pair.fetch("slow");
    pair.run();
    pair.at_a.hang_up("the peer hung up");
    let late = far.send("now", &());
    pair.a.run();
    assert!(
        reason(&late).contains("the peer hung up"),
        "{}",
        reason(&late)
    );
    let fetched = pair.fetch("slow");
    assert!(
        reason(&fetched).contains("the peer hung up"),
        "{}",
        reason(&fetched)
    );
}

#[test]
fn values_that_arrived_before_the_end_stay() {
    let mut pair = Pair::new();
    pair.b.register("slow", slow(&pair.b));
    let now = pair.fetch("slow").send("now", &());
    pair.run();
    pair.at_a.hang_up("the peer hung up");
    assert_eq!(value::<i64>(&now), 1);
}

#[test]
fn the_end_releases_everything_that_was_held_for_the_peer() {
    let mut pair = Pair::new();
    let object = slow(&pair.a);
    pair.b.register(
        "keeper",
        marotte_tests::object({
            let kept = Mutex::new(Vec::new());
            move |_, args| {
                reply(
                    args.take1::<Reference>()
                        .map(|it| kept.lock().unwrap().push(it)),
                )
            }
        }),
    );
    let kept = pair
        .fetch("keeper")
        .send("keep", &(Reference::from_arc(Arc::clone(&object)),));
    pair.run();
    value::<()>(&kept);
    assert!(Arc::strong_count(&object) > 1, "it is exported");
    pair.at_a.hang_up("the peer hung up");
    assert_eq!(Arc::strong_count(&object), 1);
    assert_eq!(pair.at_a.tables(), [0; 4]);
}

#[test]
fn an_answer_that_is_ready_after_the_end_is_dropped() {
    let mut pair = Pair::new();
    let (late, resolver) = pair.b.promise();
    pair.b
        .register("late", object(move |_, _| Answer::Promise(late.clone())));
    let _call = pair.fetch("late").send("get", &());
    pair.run();
    pair.at_b.hang_up("the peer hung up");
    resolver.fulfil(Reference::from_arc(slow(&pair.b)));
    pair.b.run();
    assert_eq!(pair.at_b.tables(), [0; 4]);
}

#[test]
fn ending_twice_is_ending_once() {
    let (mut pair, promises) = waiting();
    pair.at_a.hang_up("first");
    pair.at_a.hang_up("second");
    pair.a.run();
    all_broken(&promises, "first");
}

#[test]
fn every_session_of_a_hostile_peer_leaves_the_others_alone() {
    let side = Side::new();
    side.register("it", slow(&side));
    let mut good = Pair::around(side);
    let fetched = good.fetch_from_a("it");
    let waits = fetched.send("later", &());
    good.run();
    for bytes in [
        &b"9:<5'bogus>"[..],
        b"999999999:",
        b"\xff\xff\xff",
        b"39:<10'op:deliver<11'desc:export9+>[1+]ff>",
        b"39:<10'op:deliver<11'desc:answer9+>[1+]ff>",
        b"26:<13'op:gc-exports[1+][1+]>",
        b"4:[[[[",
        b"<<<<<<<<",
    ] {
        let mut bad = good.another();
        bad.feed(bytes);
        assert!(bad.connection.is_closed(), "{}", bytes.escape_ascii());
        assert!(
            !bad.take_last_words().is_empty(),
            "it is told why: {}",
            bytes.escape_ascii()
        );
        assert_eq!(bad.tables(), [0; 4]);
    }
    assert!(good.at_a.connection.is_open());
    assert!(outcome::<i64>(&waits).is_none());
    let now = fetched.send("now", &());
    good.run();
    assert_eq!(value::<i64>(&now), 1);
    assert_eq!(good.a.vat.connections().len(), 1);
}

#[test]
fn a_vat_knows_its_open_connections_and_sums_up_the_ended_ones() {
    let mut pair = Pair::new();
    pair.b.register("slow", slow(&pair.b));
    let now = pair.fetch("slow").send("now", &());
    pair.run();
    value::<i64>(&now);
    let before = pair.a.vat.stats();
    assert_eq!(before.calls_sent, 2);
    assert_eq!(pair.a.vat.connections().len(), 1);
    pair.at_a.hang_up("the peer hung up");
    assert_eq!(pair.a.vat.connections().len(), 0);
    assert_eq!(
        pair.a.vat.stats().calls_sent,
        2,
        "what was counted stays counted"
    );
    assert_eq!(pair.a.vat.stats().exports, 0);
}

// Limits of the tables, which only a vat can check.

fn flooded(limits: Limits, flood: impl Fn(&Promise)) -> String {
    let mut pair = Pair::with(Profile::MAROTTE, limits);
    let kept = Mutex::new(Vec::new());
    let fresh = |_: &str, _: &mut marotte::native::Args<'_>| {
        reply(Ok::<_, Error>(Reference::from_arc(object(|_, _| {
            reply(Ok::<_, Error>(()))
        }))))
    };
    pair.b.register("fresh", object(fresh));
    pair.b.register(
        "keeper",
        object(move |_, args| {
            reply(
                args.take1::<Reference>()
                    .map(|it| kept.lock().unwrap().push(it)),
            )
        }),
    );
    let (fresh, keeper) = (pair.fetch("fresh"), pair.fetch("keeper"));
    pair.run();
    for _ in 0..20 {
        flood(&fresh);
        flood(&keeper);
        pair.run();
    }
    assert!(!pair.at_a.connection.is_open(), "no limit was passed");
    let reason = pair.at_a.connection.close_reason().unwrap().to_string();
    assert_eq!(pair.at_b.tables(), [0; 4]);
    reason
}

#[test]
fn too_many_exports_end_the_session_by_name() {
    let held = Mutex::new(Vec::new());
    let limits = Limits {
        max_exports: 10,
        ..Limits::default()
    };
    let reason = flooded(limits, |target| {
        held.lock().unwrap().push(target.send("get", &()))
    });
    assert!(reason.contains("max_exports"), "{reason}");
}

#[test]
fn too_many_imports_end_the_session_by_name() {
    let limits = Limits {
        max_imports: 10,
        ..Limits::default()
    };
    let reason = flooded(limits, |target| {
        let mine = Reference::from_arc(object(|_, _| reply(Ok::<_, Error>(()))));
        target.send_only("keep", &(mine,)).unwrap();
    });
    assert!(reason.contains("max_imports"), "{reason}");
}
