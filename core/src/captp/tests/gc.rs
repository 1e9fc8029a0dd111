//! Who holds what: mentions, releases and answer numbers.

use super::{Desc, Event, Names, Pair, Payload, Profile, Session, Target, text};

fn open() -> Pair {
    Pair::open(Profile::MAROTTE)
}

/// What an owner does with received descriptors: it counts each mention.
fn import<P: Payload<Import = String>>(session: &mut Session<P>, descs: &[Desc]) {
    for desc in descs {
        if let Desc::ImportObject(at) | Desc::ImportPromise(at) = desc {
            session.imports().mention(*at, || format!("import {at}"));
        }
    }
}

fn dropped(events: &[Event]) -> Vec<String> {
    let exports = |event: &Event| match event {
        Event::Dropped { exports, .. } => exports.clone(),
        _ => Vec::new(),
    };
    events.iter().flat_map(exports).collect()
}

#[test]
fn one_object_has_one_position_however_often_it_is_mentioned() {
    let mut pair = open();
    let first = pair.a.send_object(77, "object");
    assert_eq!(pair.a.send_object(77, "object"), first);
    assert_ne!(pair.a.send_object(78, "other"), first);
    assert_eq!(pair.a.session.stats().exports, 2);
    assert_eq!(pair.a.session.export(first), Some(&mut "object".to_owned()));
}

#[test]
fn position_zero_is_never_given_to_an_object() {
    let mut pair = open();
    assert!((0..10).all(|i| pair.a.send_object(i, "object") != 0));
}

#[test]
fn every_mention_is_counted_and_given_back_at_once() {
    let mut pair = open();
    let at = pair.a.session.mention(Some(1), || "object".to_owned());
    // Four mentions in one message are four.
    for _ in 0..3 {
        pair.a
            .session
            .mention(Some(1), || unreachable!("it has a position"));
    }
    let descs = std::array::from_fn::<_, 4, _>(|_| Desc::ImportObject(at));
    pair.a
        .session
        .deliver(Target::Export(0), Some("m"), b"[&&]&&", &descs, None)
        .unwrap();
    pair.run();
    let call = pair.b.take_call();
    import(&mut pair.b.session, &call.descs);
    pair.b.session.release(at);
    pair.collect();
    let message = pair.b.transcript.last().unwrap();
    assert_eq!(text(message), format!("<13'op:gc-exports[{at}+][4+]>"));
    assert_eq!(dropped(&pair.a.take_events()), ["object"]);
    assert_eq!(pair.a.session.stats().exports, 0);
    assert_eq!(pair.b.session.stats().imports, 0);
}

#[test]
fn releases_may_come_in_parts_and_free_the_object_with_the_last() {
    let mut pair = open();
    let at = pair.a.send_object(1, "object");
    pair.a.send_object(1, "object");
    pair.a.send_object(1, "object");
    pair.run();
    pair.a
        .receive(format!("<13'op:gc-exports[{at}+][1+]>").as_bytes())
        .unwrap();
    pair.a
        .receive(format!("<13'op:gc-exports[{at}+{at}+][0+1+]>").as_bytes())
        .unwrap();
    assert_eq!(dropped(&pair.a.take_events()), Vec::<String>::new());
    pair.a
        .receive(format!("<13'op:gc-exports[{at}+][1+]>").as_bytes())
        .unwrap();
    assert_eq!(dropped(&pair.a.take_events()), ["object"]);
}

#[test]
fn a_mention_that_crosses_a_release_keeps_the_object() {
    let mut pair = open();
    let at = pair.a.send_object(1, "object");
    pair.run();
    let call = pair.b.take_call();
    import(&mut pair.b.session, &call.descs);
    // The release is on its way while the object is mentioned again.
    pair.b.session.release(at);
    pair.b.session.collect();
    assert_eq!(pair.a.send_object(1, "object"), at);
    pair.run();
    assert_eq!(dropped(&pair.a.take_events()), Vec::<String>::new());
    assert!(pair.a.session.export(at).is_some());
    let call = pair.b.take_call();
    import(&mut pair.b.session, &call.descs);
    pair.b.session.release(at);
    pair.collect();
    assert_eq!(dropped(&pair.a.take_events()), ["object"]);
}

#[test]
fn a_freed_position_is_used_again_for_another_object() {
    let mut pair = open();
    let at = pair.a.send_object(1, "object");
    pair.run();
    let call = pair.b.take_call();
    import(&mut pair.b.session, &call.descs);
    pair.b.session.release(at);
    pair.collect();
    assert_eq!(pair.a.send_object(2, "another"), at);
    assert_eq!(pair.a.session.export(at), Some(&mut "another".to_owned()));
}

#[test]
fn a_freed_object_that_is_mentioned_again_is_exported_anew() {
    let mut pair = open();
    let at = pair.a.send_object(1, "object");
    pair.a.send_object(2, "other");
    pair.a
        .receive(format!("<13'op:gc-exports[{at}+][1+]>").as_bytes())
        .unwrap();
    assert_eq!(pair.a.send_object(1, "object"), at);
    assert_eq!(pair.a.session.stats().exports, 2);
}

#[test]
fn releasing_what_is_not_held_writes_nothing() {
    let mut pair = open();
    pair.a.session.release(5);
    pair.a.session.collect();
    assert_eq!(pair.a.flush(), b"");
}

#[test]
fn giving_back_more_than_was_given_ends_the_session() {
    for deltas in ["[2+]", "[18446744073709551615+]"] {
        let mut pair = open();
        let at = pair.a.send_object(1, "object");
        let message = format!("<13'op:gc-exports[{at}+]{deltas}>");
        let reason = pair.a.receive(message.as_bytes()).unwrap_err().to_string();
        assert!(reason.contains("gives back what it has not"), "{reason}");
        pair.run();
        assert!(
            pair.b.reason().contains("gives back what it has not"),
            "{}",
            pair.b.reason()
        );
    }
}

#[test]
fn giving_back_an_unknown_position_ends_the_session() {
    for at in ["1", "999", "18446744073709551615"] {
        let mut pair = open();
        let message = format!("<13'op:gc-exports[{at}+][1+]>");
        assert!(pair.a.receive(message.as_bytes()).is_err(), "{at}");
    }
}

#[test]
fn the_bootstrap_may_be_given_back_any_number_of_times() {
    let mut pair = open();
    for _ in 0..3 {
        pair.a.receive(b"<13'op:gc-exports[0+][1000+]>").unwrap();
    }
    assert!(pair.a.session.is_open());
}

#[test]
fn positions_and_deltas_of_different_number_end_the_session() {
    let mut pair = open();
    let at = pair.a.send_object(1, "object");
    assert!(
        pair.a
            .receive(format!("<13'op:gc-exports[{at}+][]>").as_bytes())
            .is_err()
    );
}

// Resolvers.

#[test]
fn a_resolver_is_given_back_after_it_was_used() {
    for profile in Profile::ALL {
        let mut pair = Pair::open(profile);
        for _ in 0..5 {
            pair.a.call(Target::Export(0), "m", b"", "q");
        }
        pair.run();
        for call in pair.b.take_calls() {
            pair.b
                .session
                .settle(call.resolver.unwrap(), false, b"t", &[]);
        }
        assert_eq!(pair.a.session.stats().exports, 5, "{}", profile.name);
        pair.run();
        pair.collect();
        let stats = pair.a.session.stats();
        assert_eq!((stats.exports, stats.questions), (0, 0), "{}", profile.name);
    }
}

#[test]
fn a_resolver_is_not_shown_as_an_object_of_the_owner() {
    let mut pair = open();
    pair.a.call(Target::Export(0), "m", b"", "q");
    assert_eq!(pair.a.session.export(1), None);
}

#[test]
fn references_in_a_resolution_that_comes_too_late_are_given_back() {
    let mut pair = open();
    pair.a.call(Target::Export(0), "m", b"", "q");
    pair.run();
    let resolver = pair.b.take_call().resolver.unwrap();
    pair.b.session.settle(resolver, false, b"t", &[]);
    let at = pair.b.session.mention(Some(1), || "object".to_owned());
    pair.b
        .session
        .settle(resolver, false, b"&", &[Desc::ImportObject(at)]);
    pair.run();
    pair.collect();
    assert_eq!(dropped(&pair.b.take_events()), ["object"]);
}

// Answers.

#[test]
fn an_answer_number_is_not_used_again_before_the_peer_was_told() {
    let mut pair = open();
    let first = pair.a.call(Target::Export(0), "m", b"", "q");
    pair.run();
    let call = pair.b.take_call();
    pair.b.session.answers().keep(first, "answer".to_owned());
    pair.b
        .session
        .settle(call.resolver.unwrap(), false, b"t", &[]);
    pair.run();
    let second = pair.a.call(Target::Export(0), "m", b"", "q");
    assert_ne!(second, first);
    pair.collect();
    let third = pair.a.call(Target::Export(0), "m", b"", "q");
    assert_eq!(third, first);
    pair.run();
    assert!(pair.b.session.is_open(), "{:?}", pair.b.session.closed());
}

#[test]
fn a_used_resolver_does_not_answer_a_later_question_of_the_same_number() {
    let mut pair = open();
    let first = pair.a.call(Target::Export(0), "m", b"", "first");
    pair.run();
    let resolver = pair.b.take_call().resolver.unwrap();
    let resolve = format!("<10'op:deliver<11'desc:export{resolver}+>[7'fulfillt]ff>");
    pair.a.receive(resolve.as_bytes()).unwrap();
    pair.a.take_events();
    pair.a.session.collect();
    let second = pair.a.call(Target::Export(0), "m", b"", "second");
    assert_eq!(second, first);
    pair.a.receive(resolve.as_bytes()).unwrap();
    assert_eq!(pair.a.take_events(), []);
}

#[test]
fn an_answer_given_back_is_handed_to_the_owner_to_drop() {
    let mut pair = open();
    pair.b.session.answers().keep(4, "answer".to_owned());
    pair.b.receive(b"<13'op:gc-answers[4+5+]>").unwrap();
    let expected = Event::Dropped {
        exports: Vec::new(),
        answers: vec!["answer".to_owned()],
    };
    assert_eq!(pair.b.take_events(), [expected]);
    assert!(pair.b.session.answers().is_empty());
}

// When releases are written.

fn release_many(session: &mut Session<Names>, count: u64) {
    for at in 1..=count {
        session.imports().mention(at, || "import".to_owned());
        session.release(at);
    }
}

#[test]
fn few_releases_wait_for_the_driver_to_collect_them() {
    let mut pair = open();
    release_many(&mut pair.a.session, 63);
    assert!(pair.a.session.has_garbage());
    assert_eq!(pair.a.flush(), b"");
    pair.a.session.collect();
    assert!(!pair.a.session.has_garbage());
    pair.a.flush();
    assert_eq!(pair.a.transcript.len(), 1, "all in one message");
}

#[test]
fn many_releases_ride_along_with_the_next_flush() {
    let mut pair = open();
    release_many(&mut pair.a.session, 64);
    pair.a.flush();
    assert_eq!(pair.a.transcript.len(), 1);
    assert!(!pair.a.session.has_garbage());
}

#[test]
fn nothing_is_collected_before_the_session_is_open() {
    let mut pair = Pair::new(Profile::MAROTTE);
    release_many(&mut pair.a.session, 100);
    assert!(!pair.a.session.has_garbage());
    pair.a.session.collect();
    pair.a.flush();
    assert_eq!(pair.a.transcript.len(), 1, "the hello only");
}
