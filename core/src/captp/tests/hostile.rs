//! Messages that no honest peer sends: each ends the session, and the peer hears why.

use std::sync::Arc;

use super::{CloseReason, End, Limits, Pair, Profile, Target, config};
use crate::syrup::tests::tree::unhex;

/// Sends `message` from b to an open session; returns the reason that b is told.
fn refused_under(limits: Limits, message: &[u8]) -> String {
    let mut config_a = config("alice", Profile::MAROTTE);
    config_a.limits = limits.into();
    let mut pair = Pair::with(config_a, config("bob", Profile::MAROTTE)).opened();
    let Err(CloseReason::Protocol(reason)) = pair.a.receive(message) else {
        panic!("not refused: {}", message.escape_ascii());
    };
    assert!(
        pair.a.events.is_empty(),
        "the owner is not troubled with it"
    );
    pair.run();
    assert_eq!(
        pair.b.reason(),
        format!("the peer ended the session: {reason}")
    );
    // Whatever comes later is not even read.
    assert_eq!(
        pair.a.receive(b"<8'op:abort3\"bye>"),
        Err(CloseReason::Protocol(reason.clone()))
    );
    reason
}

fn refused(message: &[u8]) -> String {
    refused_under(Limits::default(), message)
}

fn rest_refused(messages: &[&[u8]]) {
    for message in messages {
        refused(message);
    }
}

#[test]
fn an_unknown_operation_is_refused() {
    let reason = refused(b"<8'op:flush<11'desc:export1+>>");
    assert!(reason.contains("not known"), "{reason}");
}

#[test]
fn what_is_no_record_is_refused() {
    rest_refused(&[
        b"[]",
        b"1+",
        b"{}",
        b"t",
        b"5\"hello",
        b"<10\"op:deliver>",
        b"<>",
        b"&",
    ]);
}

#[test]
fn deliveries_of_a_wrong_shape_are_refused() {
    rest_refused(&[
        b"<10'op:deliver>",
        b"<10'op:deliver<11'desc:export0+>>",
        b"<10'op:deliver<11'desc:export0+>[]>",
        b"<10'op:deliver<11'desc:export0+>[]f>",
        b"<10'op:deliver<11'desc:export0+>[]fff>",
        b"<10'op:deliver<11'desc:export0+>[]tf>",
        b"<10'op:deliver<11'desc:export0+>[]1-f>",
        b"<10'op:deliver<11'desc:export0+>[]ft>",
        b"<10'op:deliver<11'desc:export0+>[]f<11'desc:export1+>>",
        b"<10'op:deliver<11'desc:export0+>{}ff>",
        b"<10'op:deliver<11'desc:export0+>t[]ff>",
        b"<10'op:deliver<18'desc:import-object0+>[]ff>",
        b"<10'op:deliver<11'desc:export1->[]ff>",
        b"<10'op:deliver<11'desc:export1\"x>[]ff>",
        b"<10'op:deliver<11'desc:export>[]ff>",
        b"<10'op:deliver<11'desc:export1+2+>[]ff>",
        b"<10'op:deliver1+[]ff>",
        b"<15'op:deliver-only<11'desc:export0+>[]ff>",
    ]);
}

#[test]
fn other_operations_of_a_wrong_shape_are_refused() {
    rest_refused(&[
        b"<9'op:listen<11'desc:export1+>>",
        b"<9'op:listen<11'desc:export1+>f>",
        b"<9'op:listen<11'desc:export1+><11'desc:export1+>>",
        b"<9'op:listen<11'desc:export1+><18'desc:import-object2+>1+>",
        b"<9'op:listen<11'desc:export1+><18'desc:import-object2+>ff>",
        b"<9'op:listen<18'desc:import-object1+><18'desc:import-object2+>f>",
        b"<13'op:gc-exports>",
        b"<13'op:gc-exports[1+]>",
        b"<13'op:gc-exports[t][t]>",
        b"<13'op:gc-answers>",
        b"<13'op:gc-answers[1-]>",
        b"<13'op:gc-answers[][]>",
        b"<8'op:abort>",
        b"<8'op:abort3:bye>",
    ]);
}

#[test]
fn malformed_descriptors_in_arguments_are_refused() {
    rest_refused(&[
        b"<10'op:deliver<11'desc:export0+>[<11'desc:export1->]ff>",
        b"<10'op:deliver<11'desc:export0+>[[<18'desc:import-object>]]ff>",
        b"<10'op:deliver<11'desc:export0+>[{1\"k<11'desc:answer1\"x>}]ff>",
        b"<10'op:deliver<11'desc:export0+>[<19'desc:import-promise1+1+>]ff>",
        b"<10'op:deliver<11'desc:export0+>[<11'desc:export18446744073709551616+>]ff>",
    ]);
}

#[test]
fn every_reject_of_the_codec_is_refused_as_an_argument() {
    let text = include_str!("../../../../tests/vectors/syrup/rejects.json");
    let rows: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
    for row in &rows {
        let mut message = b"<10'op:deliver<11'desc:export0+>[1+".to_vec();
        message.extend_from_slice(&unhex(row["hex"].as_str().unwrap()));
        message.extend_from_slice(b"]ff>");
        let bracket = row["name"] == "closing bracket alone";
        assert!(bracket || !refused(&message).is_empty());
    }
}

#[test]
fn every_truncated_delivery_is_refused() {
    let whole =
        b"<10'op:deliver<11'desc:export0+>[1'm{1\"k[1+<4'null>]}]7+<18'desc:import-object5+>>";
    for len in 0..whole.len() {
        refused(&whole[..len]);
    }
}

// The tables.

#[test]
fn an_answer_number_in_use_is_refused() {
    let mut pair = Pair::open(Profile::MAROTTE);
    pair.a.session.answers().keep(3, "answer".to_owned());
    let reason = pair
        .a
        .receive(b"<10'op:deliver<11'desc:export0+>[]3+f>")
        .unwrap_err();
    assert_eq!(
        reason,
        CloseReason::Protocol("an answer number is used twice".to_owned())
    );
}

fn asking() -> Pair {
    let mut pair = Pair::open(Profile::MAROTTE);
    pair.a.call(Target::Export(0), "m", b"", "q");
    pair.run();
    pair
}

fn misuse(args: &str) -> String {
    let mut pair = asking();
    let message = format!("<10'op:deliver<11'desc:export1+>{args}ff>");
    let reason = pair.a.receive(message.as_bytes()).unwrap_err().to_string();
    pair.run();
    assert!(pair.b.session.closed().is_some());
    reason
}

#[test]
fn a_resolver_is_not_to_be_called_by_any_other_name() {
    for args in ["[1+]", "[7\"fulfill]", "[7'Fulfill1+]", "[4'peek1+]"] {
        let reason = misuse(args);
        assert!(
            reason.contains("fulfill and break only"),
            "{args}: {reason}"
        );
    }
}

#[test]
fn a_resolver_takes_exactly_one_value() {
    for args in [
        "[]",
        "[7'fulfill]",
        "[5'break]",
        "[7'fulfill1+2+]",
        "[7'fulfill5'break1+]",
    ] {
        let reason = misuse(args);
        assert!(reason.contains("takes one value"), "{args}: {reason}");
    }
}

#[test]
fn a_used_resolver_that_was_given_back_is_gone() {
    let mut pair = asking();
    pair.a
        .receive(b"<10'op:deliver<11'desc:export1+>[7'fulfillt]ff>")
        .unwrap();
    pair.a.receive(b"<13'op:gc-exports[1+][1+]>").unwrap();
    assert!(pair.a.receive(b"<13'op:gc-exports[1+][1+]>").is_err());
}

// Limits.

#[test]
fn nesting_beyond_the_limit_is_refused_by_name() {
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!("<10'op:deliver<11'desc:export0+>[{open}{close}]ff>")
    };
    let limits = Limits {
        max_depth: 10,
        ..Limits::default()
    };
    let reason = refused_under(limits, nested(11).as_bytes());
    assert!(reason.contains("max_depth"), "{reason}");
    let reason = refused(nested(100_000).as_bytes());
    assert!(reason.contains("max_depth"), "{reason}");
}

#[test]
fn digits_beyond_the_limit_are_refused_by_name() {
    let limits = Limits {
        max_digits: 20,
        ..Limits::default()
    };
    let message = format!("<10'op:deliver<11'desc:export0+>[{}+]ff>", "9".repeat(21));
    let reason = refused_under(limits, message.as_bytes());
    assert!(reason.contains("max_digits"), "{reason}");
}

#[test]
fn references_beyond_the_limit_are_refused_by_name() {
    let limits = Limits {
        max_references: 3,
        ..Limits::default()
    };
    let call = |count: usize| {
        let references = "<18'desc:import-object1+>".repeat(count);
        format!("<10'op:deliver<11'desc:export0+>[{references}]ff>")
    };
    let mut config_a = config("alice", Profile::MAROTTE);
    config_a.limits = limits.clone().into();
    let mut pair = Pair::with(config_a, config("bob", Profile::MAROTTE)).opened();
    pair.a.receive(call(3).as_bytes()).unwrap();
    let reason = refused_under(limits, call(4).as_bytes());
    assert!(reason.contains("max_references"), "{reason}");
}

#[test]
fn answers_beyond_the_limit_are_refused_by_name() {
    let limits = Limits {
        max_answers: 0,
        ..Limits::default()
    };
    let reason = refused_under(limits, b"<10'op:deliver<11'desc:export0+>[]1+f>");
    assert_eq!(reason, "limit passed: max_answers");
}

#[test]
fn a_frame_beyond_the_limit_is_refused_before_it_has_arrived() {
    let mut config_a = config("alice", Profile::MAROTTE);
    Arc::make_mut(&mut config_a.limits).max_message_bytes = 1_000;
    let mut pair = Pair::with(config_a, config("bob", Profile::MAROTTE)).opened();
    pair.a.feed(b"1001:");
    assert!(
        pair.a.reason().contains("max_message_bytes"),
        "{}",
        pair.a.reason()
    );
    pair.run();
    assert!(
        pair.b.reason().contains("max_message_bytes"),
        "{}",
        pair.b.reason()
    );
}

#[test]
fn a_raw_message_beyond_the_limit_is_refused_before_it_has_arrived() {
    let mut config_a = config("alice", Profile::SUITE_2026_02);
    Arc::make_mut(&mut config_a.limits).max_message_bytes = 1_000;
    let mut pair = Pair::with(config_a, config("bob", Profile::SUITE_2026_02)).opened();
    pair.a.feed(b"<10'op:deliver<11'desc:export0+>[2000:");
    assert!(
        pair.a.reason().contains("max_message_bytes"),
        "{}",
        pair.a.reason()
    );
}

#[test]
fn a_peer_that_calls_too_often_is_cut_off() {
    let mut config_a = config("alice", Profile::SUITE_2026_02);
    Arc::make_mut(&mut config_a.limits).max_calls_per_second = 5;
    let mut pair = Pair::with(config_a, config("bob", Profile::SUITE_2026_02)).opened();
    for round in 0..3 {
        pair.a.session.note_read(1, 10_000 + 1_000 * round);
        for _ in 0..5 {
            pair.b.call(Target::Export(0), "m", b"[]", "q");
        }
        pair.run();
        assert!(pair.a.session.closed().is_none());
    }
    pair.b.call(Target::Export(0), "m", b"[]", "q");
    pair.run();
    assert!(pair.a.reason().contains("max_calls_per_second"));
}

#[test]
fn a_peer_that_is_silent_is_cut_off_where_that_was_asked_for() {
    let mut config_a = config("alice", Profile::SUITE_2026_02);
    Arc::make_mut(&mut config_a.limits).idle_ms = 500;
    let mut pair = Pair::with(config_a, config("bob", Profile::SUITE_2026_02)).opened();
    assert_eq!(pair.b.session.deadline_ms(), None, "by default it is not");
    pair.a.session.note_read(1, 10_000);
    assert_eq!(pair.a.session.deadline_ms(), Some(10_500));
    assert_eq!(pair.a.session.handle_timeout(10_499), Ok(()));
    let reason = pair.a.session.handle_timeout(10_500).unwrap_err();
    assert!(reason.to_string().contains("idle_ms"));
    assert_eq!(pair.a.session.deadline_ms(), None);
}

#[test]
fn limits_of_no_limit_are_legal() {
    let limits = Limits {
        max_message_bytes: usize::MAX,
        max_depth: usize::MAX,
        max_digits: usize::MAX,
        max_references: usize::MAX,
        max_exports: usize::MAX,
        max_imports: usize::MAX,
        max_answers: usize::MAX,
        max_unsent_bytes: usize::MAX,
        max_waiting_bytes: usize::MAX,
        max_map_calls: u64::MAX,
        max_gifts: usize::MAX,
        max_argument_bytes: usize::MAX,
        max_calls_per_second: u64::MAX,
        max_connections_per_address: usize::MAX,
        handshake_ms: u64::MAX,
        idle_ms: u64::MAX,
        silence_ms: u64::MAX,
    };
    for profile in Profile::ALL {
        let mut config_a = config("alice", profile);
        config_a.limits = limits.clone().into();
        let mut pair = Pair::with(config_a, config("bob", profile)).opened();
        pair.b.call(Target::Export(0), "m", b"[<4'null>12+]", "q");
        pair.run();
        assert_eq!(
            pair.a.take_call().args,
            b"[<4'null>12+]",
            "{}",
            profile.name
        );
    }
}

#[test]
fn a_closed_session_says_so_in_its_debug_output() {
    let mut end = End::new(config("alice", Profile::MAROTTE));
    end.session.abort("over");
    assert!(format!("{:?}", end.session).contains("over"));
}
