//! Calls, answers, listening and what is counted about them.

use super::{Call, Desc, Event, Pair, Profile, Target, config, label, text};

fn open() -> Pair {
    Pair::open(Profile::MAROTTE)
}

#[test]
fn a_call_arrives_as_it_was_made() {
    for profile in Profile::ALL {
        let mut pair = Pair::open(profile);
        let number = pair.a.call(Target::Export(0), "method", b"1+2\"hi", "q");
        pair.run();
        let call = pair.b.take_call();
        assert_eq!(call.to, Target::Export(0));
        assert_eq!(call.selector.as_deref(), Some("method"));
        assert_eq!(text(&call.args), "1+2\"hi");
        assert_eq!(call.answer, Some(number));
        assert!(call.resolver.is_some());
    }
}

#[test]
fn a_call_without_a_selector_arrives_without_one() {
    let mut pair = open();
    pair.a
        .session
        .deliver(Target::Export(0), None, b"1+", &[], None)
        .unwrap();
    pair.run();
    let call = pair.b.take_call();
    assert_eq!((call.selector, call.args), (None, b"1+".to_vec()));
}

#[test]
fn fire_and_forget_asks_for_nothing() {
    for profile in Profile::ALL {
        let mut pair = Pair::open(profile);
        assert_eq!(
            pair.a
                .session
                .deliver(Target::Export(0), Some("m"), b"", &[], None),
            Ok(None)
        );
        pair.run();
        let call = pair.b.take_call();
        assert_eq!(
            (call.answer, call.resolver),
            (None, None),
            "{}",
            profile.name
        );
        assert_eq!(pair.a.session.stats().questions, 0);
        assert_eq!(pair.a.session.stats().calls_sent, 0);
    }
}

#[test]
fn answers_reach_the_questions_they_belong_to_in_any_order() {
    let mut pair = open();
    for name in ["one", "two", "three"] {
        pair.a.call(Target::Export(0), name, b"", name);
    }
    pair.run();
    for call in pair.b.take_calls().into_iter().rev() {
        let mut value = Vec::new();
        crate::syrup::Writer::put_str(&mut value, call.selector.as_deref().unwrap());
        pair.b
            .session
            .settle(call.resolver.unwrap(), false, &value, &[]);
    }
    pair.run();
    let settled = |name: &str, value: &str| Event::Settled {
        question: name.to_owned(),
        broken: false,
        value: value.as_bytes().to_vec(),
        descs: Vec::new(),
    };
    let expected = [
        settled("three", "5\"three"),
        settled("two", "3\"two"),
        settled("one", "3\"one"),
    ];
    assert_eq!(pair.a.take_events(), expected);
}

#[test]
fn a_broken_answer_carries_any_reason_unchanged() {
    let mut pair = open();
    pair.a.call(Target::Export(0), "m", b"", "q");
    pair.run();
    let call = pair.b.take_call();
    pair.b
        .session
        .settle(call.resolver.unwrap(), true, b"5'oh-no", &[]);
    pair.run();
    let Event::Settled {
        broken: true,
        value,
        ..
    } = pair.a.take_events().remove(0)
    else {
        panic!("not broken");
    };
    assert_eq!(value, b"5'oh-no");
}

#[test]
fn the_first_resolution_wins() {
    let mut pair = open();
    pair.a.call(Target::Export(0), "m", b"", "q");
    pair.run();
    let resolver = pair.b.take_call().resolver.unwrap();
    pair.b.session.settle(resolver, false, b"1+", &[]);
    pair.b.session.settle(resolver, true, b"2+", &[]);
    pair.run();
    let events = pair.a.take_events();
    assert!(
        matches!(&events[..], [Event::Settled { value, .. }] if value == b"1+"),
        "{events:?}"
    );
    assert!(pair.a.session.is_open());
}

#[test]
fn references_take_the_places_of_holes() {
    let mut pair = open();
    let descs = [
        Desc::ImportObject(7),
        Desc::Export(3),
        Desc::ImportPromise(8),
    ];
    pair.a
        .session
        .deliver(
            Target::Export(0),
            Some("m"),
            b"[&1\"&]{1\"k&}&",
            &descs,
            None,
        )
        .unwrap();
    pair.run();
    let call = pair.b.take_call();
    assert_eq!(
        text(&call.args),
        "[<18'desc:import-object7+>1\"&]{1\"k<11'desc:export3+>}<19'desc:import-promise8+>"
    );
    assert_eq!(call.descs, descs);
}

#[test]
fn received_arguments_are_sent_on_with_descriptors_of_the_next_session() {
    let mut pair = open();
    let received =
        b"[<11'desc:export7+>]<4'null><18'desc:import-object1+><3'foo<11'desc:answer2+>>";
    let descs = [
        Desc::ImportObject(4),
        Desc::Export(5),
        Desc::ImportPromise(6),
    ];
    pair.a
        .session
        .deliver(Target::Export(0), Some("m"), received, &descs, None)
        .unwrap();
    pair.run();
    assert_eq!(
        text(&pair.b.take_call().args),
        "[<18'desc:import-object4+>]<4'null><11'desc:export5+><3'foo<19'desc:import-promise6+>>"
    );
}

#[test]
fn listening_is_answered_like_a_call_but_takes_no_answer_number() {
    for profile in Profile::ALL {
        let mut pair = Pair::open(profile);
        let at = pair.b.session.mention(None, || "promise".to_owned());
        pair.a
            .session
            .listen(Target::Export(at), "q".to_owned())
            .unwrap();
        pair.run();
        let Event::Listen { to, resolver } = pair.b.take_events().remove(0) else {
            panic!("not a listen");
        };
        assert_eq!(to, Target::Export(at));
        pair.b.session.settle(resolver, false, b"t", &[]);
        pair.run();
        let events = pair.a.take_events();
        assert!(matches!(&events[..], [Event::Settled { value, .. }] if value == b"t"));
        assert_eq!(pair.a.session.stats().questions, 0);
    }
}

// One round trip.

#[test]
fn three_pipelined_calls_are_written_before_any_reply_is_read() {
    for profile in Profile::ALL {
        let mut pair = Pair::open(profile);
        // Nothing runs in between, so nothing can have been read.
        let builder = pair
            .a
            .call(Target::Export(0), "getBuilder", b"5\"linux", "builder");
        let build = pair
            .a
            .call(Target::Answer(builder), "getBuild", b"1-", "build");
        pair.a
            .call(Target::Answer(build), "getResults", b"", "results");
        pair.a.flush();
        let wire: Vec<_> = pair
            .a
            .transcript
            .iter()
            .map(|message| text(message))
            .collect();
        assert_eq!(
            wire,
            [
                "<10'op:deliver<11'desc:export0+>[10'getBuilder5\"linux]1+<18'desc:import-object1+>>",
                "<10'op:deliver<11'desc:answer1+>[8'getBuild1-]2+<18'desc:import-object2+>>",
                "<10'op:deliver<11'desc:answer2+>[10'getResults]3+<18'desc:import-object3+>>",
            ],
            "{}",
            profile.name
        );
        assert_eq!(pair.a.session.stats().round_trips, 1);
        assert_eq!(
            pair.a.session.stats().messages_received,
            1,
            "the hello only"
        );
    }
}

/// Calls `count` methods, each when `wait` says so after the previous one was answered.
fn round_trips(count: usize, wait: bool) -> u64 {
    let mut pair = open();
    for _ in 0..count {
        pair.a.call(Target::Export(0), "m", b"", "q");
        if wait {
            pair.run();
            answer_all(&mut pair);
            pair.run();
        }
    }
    pair.run();
    answer_all(&mut pair);
    pair.run();
    pair.a.session.stats().round_trips
}

fn answer_all(pair: &mut Pair) {
    for call in pair.b.take_calls() {
        pair.b
            .session
            .settle(call.resolver.unwrap(), false, b"t", &[]);
    }
}

#[test]
fn round_trips_are_counted_by_their_dependence() {
    assert_eq!(round_trips(3, true), 3, "one at a time");
    assert_eq!(round_trips(3, false), 1, "all at once");
}

#[test]
fn a_call_made_after_an_answer_begins_a_new_round_trip_while_others_wait() {
    let mut pair = open();
    pair.a.call(Target::Export(0), "one", b"", "one");
    pair.a.call(Target::Export(0), "two", b"", "two");
    pair.run();
    let calls = pair.b.take_calls();
    pair.b
        .session
        .settle(calls[0].resolver.unwrap(), false, b"t", &[]);
    pair.run();
    pair.a.call(Target::Export(0), "three", b"", "three");
    pair.a.call(Target::Export(0), "four", b"", "four");
    assert_eq!(pair.a.session.stats().round_trips, 2);
}

#[test]
fn a_settled_listen_does_not_hide_a_call_that_waits() {
    let mut pair = open();
    let at = pair.b.session.mention(None, || "promise".to_owned());
    pair.a
        .session
        .listen(Target::Export(at), "listen".to_owned())
        .unwrap();
    pair.a.call(Target::Export(0), "slow", b"", "slow");
    pair.run();
    for event in pair.b.take_events() {
        if let Event::Listen { resolver, .. } = event {
            pair.b.session.settle(resolver, false, b"t", &[]);
        }
    }
    pair.run();
    // What was learnt begins one more round trip; the calls after it wait together.
    for name in ["two", "three"] {
        pair.a.call(Target::Export(0), name, b"", name);
    }
    assert_eq!(pair.a.session.stats().round_trips, 2);
}

#[test]
fn fire_and_forget_is_no_round_trip() {
    let mut pair = open();
    pair.a
        .session
        .deliver(Target::Export(0), Some("m"), b"", &[], None)
        .unwrap();
    assert_eq!(pair.a.session.stats().round_trips, 0);
}

#[test]
fn counters_say_what_happened() {
    let mut pair = open();
    pair.a.call(Target::Export(0), "m", b"", "q");
    pair.run();
    answer_all(&mut pair);
    pair.run();
    let (a, b) = (pair.a.session.stats(), pair.b.session.stats());
    assert_eq!((a.calls_sent, a.calls_received), (1, 0));
    assert_eq!((b.calls_sent, b.calls_received), (0, 1));
    // The hellos, the call and its answer.
    assert_eq!((a.messages_sent, a.messages_received), (2, 2));
    assert_eq!((b.messages_sent, b.messages_received), (2, 2));
}

#[test]
fn writes_and_reads_are_counted_as_the_driver_reports_them() {
    let mut pair = open();
    pair.a.session.note_write(10);
    pair.a.session.note_write(5);
    pair.a.session.note_read(7, 0);
    let stats = pair.a.session.stats();
    assert_eq!((stats.writes, stats.bytes_sent), (2, 15));
    assert_eq!((stats.reads, stats.bytes_received), (1, 7));
}

// After the end.

#[test]
fn commands_after_the_end_give_the_question_back_and_write_nothing() {
    let mut pair = open();
    pair.a.session.abort("done");
    pair.a.flush();
    pair.a.transcript.clear();
    let question = Some("q".to_owned());
    let back = pair
        .a
        .session
        .deliver(Target::Export(0), Some("m"), b"", &[], question);
    assert_eq!(back, Err(Some("q".to_owned())));
    assert_eq!(
        pair.a.session.listen(Target::Export(0), "l".to_owned()),
        Err("l".to_owned())
    );
    pair.a.session.settle(1, false, b"t", &[]);
    pair.a.session.abort("again");
    pair.a.session.collect();
    assert_eq!(pair.a.flush(), b"");
    assert_eq!(pair.a.reason(), "the session was closed here: done");
}

#[test]
fn an_abort_reaches_the_peer_with_its_reason() {
    for profile in Profile::ALL {
        let mut pair = Pair::open(profile);
        pair.a.session.abort("going home");
        pair.run();
        assert_eq!(
            pair.b.reason(),
            "the peer ended the session: going home",
            "{}",
            profile.name
        );
        assert_eq!(pair.b.transcript.len(), 0, "an abort is not answered");
    }
}

#[test]
fn the_remains_are_everything_that_was_held() {
    let mut pair = open();
    pair.a.call(Target::Export(0), "m", b"", "question");
    pair.a.send_object(1, "export");
    pair.a.session.imports().mention(1, || "import".to_owned());
    pair.a.session.answers().keep(1, "answer".to_owned());
    pair.a.session.abort("bye");
    let remains = pair.a.session.take_remains();
    assert_eq!(remains.questions, ["question"]);
    let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    assert_eq!(
        remains.rest,
        (names(&["export"]), names(&["import"]), names(&["answer"]))
    );
    let stats = pair.a.session.stats();
    assert_eq!(
        (stats.exports, stats.imports, stats.questions, stats.answers),
        (0, 0, 0, 0)
    );
}

// Message boundaries.

#[test]
fn a_transport_with_boundaries_gets_messages_without_frames() {
    let mut config = config("alice", Profile::ENDO_1_1);
    config.boundaries = true;
    let mut session = super::Session::<super::Names>::new(config);
    session.abort("bye");
    let (bytes, ends) = session.outbox().take(Vec::new());
    assert_eq!(ends.len(), 2, "one WebSocket message each");
    assert_eq!(label(&bytes[..ends[0]]), "op:start-session");
    assert_eq!(text(&bytes[ends[0]..ends[1]]), "<8'op:abort3\"bye>");
    assert_eq!(ends[1], bytes.len());
}

#[test]
fn a_profile_that_batches_gets_one_chunk_for_all() {
    let mut config = config("alice", Profile::MAROTTE);
    config.boundaries = true;
    let mut session = super::Session::<super::Names>::new(config);
    session.abort("bye");
    let (bytes, ends) = session.outbox().take(Vec::new());
    assert_eq!(ends, [bytes.len()]);
    assert!(bytes.starts_with(b"<16'op:start-session"));
}

#[test]
fn frames_are_right_for_bodies_of_every_number_of_digits() {
    for size in [0, 1, 8, 50, 80, 99, 100, 900, 999, 1_000, 9_999, 100_000] {
        let mut pair = open();
        let mut args = Vec::new();
        crate::syrup::Writer::put_bytes(&mut args, &vec![b'x'; size]);
        pair.a
            .session
            .deliver(Target::Export(0), None, &args, &[], None)
            .unwrap();
        pair.a
            .session
            .deliver(Target::Export(0), Some("next"), b"", &[], None)
            .unwrap();
        pair.run();
        let calls: Vec<Call> = pair.b.take_calls();
        assert_eq!(calls[0].args, args);
        assert_eq!(calls[1].selector.as_deref(), Some("next"));
    }
}

#[test]
fn output_is_written_in_pieces_without_loss() {
    let mut pair = open();
    pair.a.call(Target::Export(0), "one", b"", "q");
    let whole = pair.a.session.outbox().bytes().to_vec();
    let outbox = pair.a.session.outbox();
    let mut pieces = outbox.bytes()[..10].to_vec();
    outbox.consume(10);
    assert_eq!(outbox.len(), whole.len() - 10);
    // More is written while a part has gone already.
    pair.a.call(Target::Export(0), "two", b"", "q");
    let outbox = pair.a.session.outbox();
    pieces.extend_from_slice(outbox.bytes());
    outbox.consume(outbox.len());
    assert!(pieces.starts_with(&whole) && pieces.len() > whole.len());
    assert!(outbox.is_empty());
}

#[test]
fn promises_are_settled_by_operations_where_the_profile_has_them() {
    for (broken, operation) in [(false, "<10'op:resolve"), (true, "<8'op:break")] {
        let mut pair = Pair::open(Profile::RESOLVE_OPERATIONS);
        pair.a.call(Target::Export(0), "m", b"", "q");
        pair.run();
        let resolver = pair.b.take_call().resolver.unwrap();
        pair.b.session.settle(resolver, broken, b"5\"hello", &[]);
        let bytes = pair.b.session.outbox().bytes().to_vec();
        let expected = format!("{operation}<11'desc:export{resolver}+>5\"hello>");
        assert!(text(&bytes).contains(&expected), "{}", text(&bytes));
        pair.run();
        let settled = Event::Settled {
            question: "q".to_owned(),
            broken,
            value: b"5\"hello".to_vec(),
            descs: Vec::new(),
        };
        assert_eq!(pair.a.take_events(), [settled]);
    }
    // Understood in every dialect, from whoever has a resolver only.
    let mut pair = Pair::open(Profile::MAROTTE);
    let bad = pair.a.receive(b"<10'op:resolve<11'desc:export7+>1+>");
    assert!(bad.unwrap_err().to_string().contains("no resolver"));
}
