//! Calls on promises: one round trip, in order, with references and promises both ways.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{Arc, Mutex};

use marotte::captp::Profile;
use marotte::native::{Answer, reply};
use marotte::{Error, Limits, Promise, Reference, Referenceable, Value};
use marotte_tests::{Pair, object, outcome, reason, value};

type Log = Arc<Mutex<Vec<i64>>>;

/// Notes every number it is told, and answers with it.
fn recorder() -> (Arc<dyn Referenceable>, Log) {
    let log = Log::default();
    let notes = Arc::clone(&log);
    let recorder = object(move |method, args| match method {
        "note" => reply(
            args.take1::<i64>()
                .inspect(|&n| notes.lock().unwrap().push(n)),
        ),
        _ => Answer::no_such_method(Some(method)),
    });
    (recorder, log)
}

fn noted(log: &Log) -> Vec<i64> {
    log.lock().unwrap().clone()
}

/// Answers "get" with another object, now.
fn holder(inner: Arc<dyn Referenceable>) -> Arc<dyn Referenceable> {
    object(move |_, _| reply(Ok::<_, Error>(Reference::from_arc(Arc::clone(&inner)))))
}

#[test]
fn a_chain_of_three_dependent_calls_takes_one_round_trip() {
    for profile in Profile::ALL {
        let mut pair = Pair::with(profile, Limits::default());
        let (recorder, _) = recorder();
        pair.b.register("server", holder(holder(recorder)));
        let last = pair
            .fetch("server")
            .send("getBuilder", &("linux",))
            .send("getBuild", &(-1,));
        let last = last.send("note", &(3,));
        let before = pair.at_a.stats();
        assert_eq!(
            before.messages_received, 1,
            "nothing but the hello was read"
        );
        assert_eq!(before.calls_sent, 4, "fetch and three calls are written");
        pair.run();
        assert_eq!(value::<i64>(&last), 3, "{}", profile.name);
        assert_eq!(pair.at_a.stats().round_trips, 1, "{}", profile.name);
    }
}

#[test]
fn the_same_chain_one_at_a_time_takes_four() {
    let mut pair = Pair::new();
    let (recorder, _) = recorder();
    pair.b.register("server", holder(holder(recorder)));
    let server = pair.fetch("server");
    pair.run();
    let builder = server.send("getBuilder", &());
    pair.run();
    let build = builder.send("getBuild", &());
    pair.run();
    let last = build.send("note", &(3,));
    pair.run();
    assert_eq!(value::<i64>(&last), 3);
    assert_eq!(pair.at_a.stats().round_trips, 4);
}

#[test]
fn pipelined_deliveries_are_on_the_wire_before_any_reply() {
    let mut pair = Pair::new();
    let last = pair.fetch("server").send("one", &()).send("two", &(true,));
    assert!(outcome::<Value>(&last).is_none());
    // Only a writes: b has not even been fed.
    pair.at_a.connection.begin_batch();
    let (bytes, _) = pair.at_a.connection.take_output(Vec::new());
    pair.at_a.written = bytes;
    let labels: Vec<String> = pair.at_a.take_messages();
    assert_eq!(
        labels,
        [
            "<10'op:deliver<11'desc:export0+>[5'fetch6:server]1+<18'desc:import-object1+>>",
            "<10'op:deliver<11'desc:answer1+>[3'one]2+<18'desc:import-object2+>>",
            "<10'op:deliver<11'desc:answer2+>[3'twot]3+<18'desc:import-object3+>>",
        ]
    );
}

// Order.

#[test]
fn a_buffer_that_is_used_again_brings_nothing_of_what_it_held() {
    let mut pair = Pair::new();
    pair.b
        .register("it", object(|_, _| reply(Ok::<_, Error>(1))));
    let it = pair.fetch("it");
    pair.run();
    let held = b"what was written to somebody else".to_vec();
    let (nothing, ends) = pair.at_a.connection.take_output(held.clone());
    assert_eq!((nothing, ends), (Vec::new(), Vec::new()));
    let answer = it.send("call", &());
    let (call, _) = pair.at_a.connection.take_output(held);
    assert!(call.windows(10).any(|part| part == b"op:deliver"));
    let (nothing, _) = pair.at_a.connection.take_output(call);
    assert!(nothing.is_empty());
    drop(answer);
}

#[test]
fn calls_to_one_object_arrive_in_the_order_they_were_made() {
    let mut pair = Pair::new();
    pair.piece = 7;
    let (recorder, log) = recorder();
    pair.b.register("it", recorder);
    let it = pair.fetch("it");
    for n in 0..200 {
        it.send_only("note", &(n,)).unwrap();
    }
    pair.run();
    assert_eq!(noted(&log), (0..200).collect::<Vec<_>>());
}

#[test]
fn calls_made_before_and_after_the_answer_came_keep_their_order() {
    let mut pair = Pair::new();
    let (recorder, log) = recorder();
    pair.b.register("it", recorder);
    let it = pair.fetch("it");
    for n in 0..50 {
        it.send_only("note", &(n,)).unwrap();
        pair.step();
    }
    pair.run();
    assert_eq!(noted(&log), (0..50).collect::<Vec<_>>());
}

#[test]
fn calls_that_waited_for_a_late_answer_go_before_later_ones() {
    let mut pair = Pair::new();
    let (recorder, log) = recorder();
    let (late, resolver) = pair.b.promise();
    pair.b
        .register("late", object(move |_, _| Answer::Promise(late.clone())));
    let it = pair.fetch("late").send("get", &());
    for n in 0..3 {
        it.send_only("note", &(n,)).unwrap();
    }
    pair.run();
    resolver.fulfil(Reference::from_arc(recorder));
    for n in 3..20 {
        it.send_only("note", &(n,)).unwrap();
        pair.step();
    }
    pair.run();
    assert_eq!(noted(&log), (0..20).collect::<Vec<_>>());
}

#[test]
fn calls_that_waited_for_a_result_go_before_later_ones_when_its_call_leaves() {
    let mut pair = Pair::new();
    let (recorder, log) = recorder();
    pair.b.register("it", holder(recorder));
    let far = pair.fetch("it").send("get", &());
    let holder = pair.fetch("it");
    pair.run();
    assert!(outcome::<Value>(&far).is_some());
    let holder: Reference = value(&holder);
    // The holder is only promised here, so the call to it waits, and so does the one on its result.
    let (late, resolver) = pair.a.promise();
    let result = late.send("get", &());
    result.send_only("note", &(1,)).unwrap();
    resolver.fulfil(holder);
    pair.a.run();
    result.send_only("note", &(2,)).unwrap();
    pair.run();
    assert_eq!(noted(&log), [1, 2]);
}

#[test]
fn a_call_on_an_answer_is_not_overtaken_by_a_later_one_on_the_object_itself() {
    let mut pair = Pair::new();
    let (recorder, log) = recorder();
    let (late, resolver) = pair.b.promise();
    pair.b
        .register("late", object(move |_, _| Answer::Promise(late.clone())));
    let it = pair.fetch("late").send("get", &());
    pair.run();
    it.send_only("note", &(1,)).unwrap();
    resolver.fulfil(Reference::from_arc(recorder));
    pair.b.run();
    // The first call and the answer cross; then b reads both calls at once, the one on its answer
    // and the one on its object.
    pair.flush();
    pair.at_a.deliver(usize::MAX);
    it.send_only("note", &(2,)).unwrap();
    pair.flush();
    pair.at_b.deliver(usize::MAX);
    pair.run();
    assert_eq!(noted(&log), [1, 2]);
}

// Failures.

#[test]
fn calls_on_a_promise_that_breaks_break_with_its_reason() {
    let mut pair = Pair::new();
    pair.b.register(
        "it",
        object(|_, _| reply(Err::<(), _>("ValueError: no such build"))),
    );
    let first = pair.fetch("it").send("get", &());
    let (second, third) = (first.send("x", &()), first.send("y", &()).send("z", &()));
    pair.run();
    for promise in [first, second, third] {
        assert_eq!(reason(&promise), "ValueError: no such build");
    }
    assert!(pair.at_a.connection.is_open());
}

#[test]
fn a_call_on_plain_data_breaks() {
    let mut pair = Pair::new();
    pair.b
        .register("it", object(|_, _| reply(Ok::<_, Error>(vec![1, 2]))));
    let on_data = pair.fetch("it").send("get", &()).send("append", &(3,));
    pair.run();
    assert!(
        reason(&on_data).contains("plain data"),
        "{}",
        reason(&on_data)
    );
}

#[test]
fn an_unknown_name_and_an_unknown_method_break_only_their_own_promise() {
    let mut pair = Pair::new();
    let (recorder, log) = recorder();
    pair.b.register("it", recorder);
    let nobody = pair.fetch("nobody");
    let it = pair.fetch("it");
    let bad = it.send("frobnicate", &());
    let good = it.send("note", &(5,));
    pair.run();
    assert!(reason(&nobody).contains("no object is registered"));
    assert!(reason(&bad).contains("frobnicate"), "{}", reason(&bad));
    assert_eq!(value::<i64>(&good), 5);
    assert_eq!(noted(&log), [5]);
}

// References both ways.

#[test]
fn a_callback_is_called_by_the_far_side() {
    let mut pair = Pair::new();
    let (recorder, log) = recorder();
    pair.b.register(
        "caller",
        object(|_, args| match args.take1::<Reference>() {
            Ok(callback) => Answer::Promise(callback.send("note", &(42,))),
            Err(error) => reply(Err::<(), _>(error)),
        }),
    );
    let answer = pair
        .fetch("caller")
        .send("call", &(Reference::from_arc(recorder),));
    pair.run();
    assert_eq!(noted(&log), [42]);
    assert_eq!(value::<i64>(&answer), 42);
}

fn echo() -> Arc<dyn Referenceable> {
    object(|_, args| reply(args.take1::<Value>()))
}

#[test]
fn an_object_that_went_there_and_back_is_the_same_object() {
    let mut pair = Pair::new();
    pair.b.register("echo", echo());
    let (recorder, _) = recorder();
    let sent = Reference::from_arc(recorder);
    let back = pair.fetch("echo").send("echo", &(sent.clone(),));
    pair.run();
    let back: Reference = value(&back);
    assert!(back.is_near());
    assert_eq!(back, sent);
}

#[test]
fn one_far_object_is_one_reference_however_it_came() {
    let mut pair = Pair::new();
    let (recorder, _) = recorder();
    pair.b.register("it", holder(recorder));
    let it = pair.fetch("it");
    let (one, other) = (it.send("get", &()), it.send("get", &()));
    pair.run();
    assert_eq!(value::<Reference>(&one), value::<Reference>(&other));
}

#[test]
fn references_deep_inside_values_arrive_in_their_places() {
    let mut pair = Pair::new();
    pair.b.register("echo", echo());
    let (one, two) = (
        Reference::from_arc(recorder().0),
        Reference::from_arc(recorder().0),
    );
    let sent = Value::Dict(
        [
            (
                "longest key".to_owned(),
                Value::List(vec![Value::from(one), Value::Null]),
            ),
            ("k".to_owned(), Value::from(two)),
        ]
        .into(),
    );
    let back = pair.fetch("echo").send("echo", &(sent.clone(),));
    pair.run();
    assert_eq!(value::<Value>(&back), sent);
}

#[test]
fn an_unanswered_question_is_an_argument_of_the_next_call_in_the_same_round_trip() {
    for profile in Profile::ALL {
        let mut pair = Pair::with(profile, Limits::default());
        pair.b.register("sum", adder());
        let sum = pair.fetch("sum");
        let first = sum.send("add", &(1, 2));
        let second = sum.send("add", &(first, 10));
        pair.run();
        assert_eq!(value::<i64>(&second), 13, "{}", profile.name);
        if profile.answer_arguments {
            assert_eq!(pair.at_a.stats().round_trips, 1, "{}", profile.name);
        }
    }
}

/// Adds two numbers, of which the first may be only promised.
fn adder() -> Arc<dyn Referenceable> {
    object(|_, args| match (args.take::<Value>(), args.take::<i64>()) {
        (Ok(Value::Int(a)), Ok(b)) => reply(Ok::<_, Error>(a + i128::from(b))),
        (Ok(Value::Reference(a)), Ok(b)) => {
            Answer::Promise(Promise::from(a).then(move |a: i64| a + b))
        }
        other => reply(Err::<(), _>(format!("TypeError: {other:?}"))),
    })
}

#[test]
fn a_local_promise_as_an_argument_settles_over_there() {
    for profile in Profile::ALL {
        let mut pair = Pair::with(profile, Limits::default());
        pair.b.register("sum", adder());
        let (late, resolver) = pair.a.promise();
        let number = late.send("note", &(5,));
        let sum = pair.fetch("sum").send("add", &(number, 10));
        pair.run();
        assert!(outcome::<i64>(&sum).is_none(), "it waits");
        resolver.fulfil(Reference::from_arc(recorder().0));
        pair.run();
        assert_eq!(value::<i64>(&sum), 15, "{}", profile.name);
    }
}

#[test]
fn a_local_promise_that_breaks_breaks_over_there() {
    let mut pair = Pair::new();
    pair.b.register("sum", adder());
    let (late, resolver) = pair.a.promise();
    let sum = pair.fetch("sum").send("add", &(late, 10));
    pair.run();
    resolver.smash("ValueError: gone");
    pair.run();
    assert_eq!(reason(&sum), "ValueError: gone");
}

#[test]
fn calls_on_a_promise_of_the_peer_travel_to_it_and_wait_there() {
    let mut pair = Pair::new();
    let (late, resolver) = pair.b.promise();
    let promised = Arc::new(Mutex::new(Some(late)));
    // A list, so that the promise arrives as an import and not as the answer itself.
    pair.b.register(
        "it",
        object(move |_, _| reply(Ok::<_, Error>(vec![promised.lock().unwrap().take()]))),
    );
    let list = pair.fetch("it").send("get", &());
    pair.run();
    let mut list: Vec<Promise> = value(&list);
    let it = list.pop().unwrap();
    let answer = it.send("note", &(9,));
    pair.run();
    assert!(outcome::<i64>(&answer).is_none());
    let (recorder, log) = recorder();
    resolver.fulfil(Reference::from_arc(recorder));
    pair.run();
    assert_eq!(noted(&log), [9]);
    assert_eq!(value::<i64>(&answer), 9);
}

#[test]
fn an_object_of_a_third_vat_is_lent_through_the_one_between() {
    let mut near = Pair::new();
    let mut far = Pair::new();
    // c is `far.b`; the vat between is `near.b` towards a and `far.a` towards c.
    let (recorder, log) = recorder();
    far.b.register("it", recorder);
    let it = far.fetch("it");
    far.run();
    let it: Reference = value(&it);
    near.b.register(
        "lender",
        object(move |_, _| reply(Ok::<_, Error>(it.clone()))),
    );
    let answer = near.fetch("lender").send("get", &()).send("note", &(4,));
    for _ in 0..5 {
        near.run();
        far.run();
    }
    assert_eq!(noted(&log), [4]);
    assert_eq!(value::<i64>(&answer), 4);
}
