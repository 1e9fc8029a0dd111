//! After any amount of traffic, what is held for it is nothing.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{Arc, Mutex};

use marotte::captp::Profile;
use marotte::native::{Answer, reply};
use marotte::{Error, Limits, Promise, Reference, Referenceable, Value};
use marotte_tests::{Pair, object, outcome, value};

const CALLS: usize = 2_000;

fn fresh() -> Reference {
    Reference::from_arc(object(|_, _| reply(Ok::<_, Error>(1))))
}

/// Runs `traffic` under every profile; afterwards all tables must be empty.
fn leaves_nothing(
    served: impl Fn(&Pair) -> Arc<dyn Referenceable>,
    traffic: impl Fn(&mut Pair, &Promise),
) {
    for profile in Profile::ALL {
        let mut pair = Pair::with(profile, Limits::default());
        let object = served(&pair);
        pair.b.register("it", object);
        let it = pair.fetch("it");
        pair.run();
        traffic(&mut pair, &it);
        drop(it);
        pair.collect();
        let tables = [pair.at_a.tables(), pair.at_b.tables()];
        assert_eq!(
            tables, [[0; 4]; 2],
            "{}: exports, imports, questions, answers",
            profile.name
        );
    }
}

fn calls(pair: &mut Pair, it: &Promise, method: &str, args: impl Fn(usize) -> Value) {
    for n in 0..CALLS {
        let answer = it.send(method, &(args(n),));
        if n % 7 == 0 {
            pair.run();
            assert!(outcome::<Value>(&answer).is_some());
        }
    }
    pair.run();
}

#[test]
fn plain_calls_leave_nothing() {
    leaves_nothing(
        |_| object(|_, args| reply(args.take1::<i64>())),
        |pair, it| calls(pair, it, "echo", |n| Value::from(n as i64)),
    );
}

#[test]
fn failing_calls_leave_nothing() {
    leaves_nothing(
        |_| object(|_, _| reply(Err::<(), _>("no"))),
        |pair, it| calls(pair, it, "fail", |_| Value::Null),
    );
}

#[test]
fn calls_with_fresh_objects_leave_nothing() {
    leaves_nothing(
        |_| object(|_, args| reply(args.take1::<Value>().map(drop))),
        |pair, it| calls(pair, it, "take", |_| Value::from(fresh())),
    );
}

#[test]
fn calls_that_answer_with_fresh_objects_leave_nothing() {
    leaves_nothing(
        |_| object(|_, _| reply(Ok::<_, Error>(fresh()))),
        |pair, it| calls(pair, it, "make", |_| Value::Null),
    );
}

#[test]
fn objects_that_go_there_and_back_leave_nothing() {
    leaves_nothing(
        |_| object(|_, args| reply(args.take1::<Value>())),
        |pair, it| {
            calls(pair, it, "echo", |_| {
                Value::from(vec![Value::from(fresh()), Value::from(1)])
            })
        },
    );
}

#[test]
fn callbacks_leave_nothing() {
    leaves_nothing(
        |_| {
            object(|_, args| match args.take1::<Reference>() {
                Ok(callback) => Answer::Promise(callback.send("call", &())),
                Err(error) => reply(Err::<(), _>(error)),
            })
        },
        |pair, it| calls(pair, it, "call", |_| Value::from(fresh())),
    );
}

#[test]
fn pipelined_calls_leave_nothing() {
    leaves_nothing(
        |_| object(|_, _| reply(Ok::<_, Error>(fresh()))),
        |pair, it| {
            for _ in 0..CALLS / 10 {
                let last = it.send("make", &()).send("get", &());
                pair.step();
                drop(last);
            }
            pair.run();
        },
    );
}

#[test]
fn a_hundred_thousand_pipelined_calls_leave_nothing() {
    const MANY: usize = 100_000;
    for is_chain in [true, false] {
        let mut pair = Pair::new();
        fn maker() -> Reference {
            Reference::from_arc(object(|_, _| reply(Ok::<_, Error>(maker()))))
        }
        let first = maker().near().unwrap();
        pair.b.register("it", first);
        let it = pair.fetch("it");
        pair.run();
        let mut last = it.clone();
        for _ in 0..MANY {
            let on = if is_chain { &last } else { &it };
            last = on.send("make", &());
        }
        pair.run();
        assert!(matches!(outcome::<Value>(&last), Some(Ok(_))));
        drop((it, last));
        pair.collect();
        let tables = [pair.at_a.tables(), pair.at_b.tables()];
        assert_eq!(tables, [[0; 4]; 2]);
    }
}

#[test]
fn promises_as_arguments_leave_nothing() {
    leaves_nothing(
        |_| {
            object(|_, args| match args.take1::<Value>() {
                Ok(Value::Reference(promised)) => Answer::Promise(Promise::from(promised)),
                other => reply(other),
            })
        },
        |pair, it| {
            for n in 0..CALLS / 10 {
                let first = it.send("echo", &(n,));
                let second = it.send("echo", &(first,));
                let (late, resolver) = pair.a.promise();
                let third = it.send("echo", &(late,));
                pair.run();
                assert_eq!(value::<usize>(&second), n);
                resolver.fulfil(fresh());
                pair.run();
                assert!(value::<Reference>(&third).is_near());
            }
        },
    );
}

#[test]
fn promises_as_answers_leave_nothing() {
    leaves_nothing(
        |pair| {
            let (late, resolver) = pair.b.promise();
            let resolver = Mutex::new(Some(resolver));
            object(move |method, _| match method {
                "fulfil" => reply(Ok::<_, Error>(
                    resolver
                        .lock()
                        .unwrap()
                        .take()
                        .map(|it| it.fulfil(fresh()))
                        .is_some(),
                )),
                // Inside a list it is exported as a promise.
                _ => reply(Ok::<_, Error>(vec![late.clone()])),
            })
        },
        |pair, it| {
            let lists: Vec<_> = (0..50).map(|_| it.send("get", &())).collect();
            pair.run();
            let inner: Vec<_> = lists.iter().flat_map(value::<Vec<Promise>>).collect();
            assert_eq!(inner.len(), 50);
            let done = it.send("fulfil", &());
            pair.run();
            assert!(value::<bool>(&done));
            for promise in &inner {
                assert!(!value::<Reference>(promise).is_near());
            }
        },
    );
}

#[test]
fn an_object_that_is_no_longer_referred_to_is_dropped_over_there() {
    let mut pair = Pair::new();
    let mine: Arc<dyn Referenceable> = object(|_, _| reply(Ok::<_, Error>(())));
    pair.b.register(
        "it",
        object(|_, args| reply(args.take1::<Value>().map(drop))),
    );
    let done = pair
        .fetch("it")
        .send("take", &(Reference::from_arc(Arc::clone(&mine)),));
    pair.run();
    value::<()>(&done);
    assert_eq!(Arc::strong_count(&mine), 2, "until it is given back");
    pair.collect();
    assert_eq!(Arc::strong_count(&mine), 1);
}

#[test]
fn a_reference_keeps_the_object_for_as_long_as_it_lives() {
    let mut pair = Pair::new();
    let theirs: Arc<dyn Referenceable> = object(|_, _| reply(Ok::<_, Error>(5)));
    let served = Arc::clone(&theirs);
    pair.b.register(
        "it",
        object(move |_, _| reply(Ok::<_, Error>(Reference::from_arc(Arc::clone(&served))))),
    );
    let promise = pair.fetch("it").send("get", &());
    pair.collect();
    let far: Reference = value(&promise);
    let other = far.clone();
    drop((promise, far));
    pair.collect();
    assert_eq!(
        Arc::strong_count(&theirs),
        3,
        "held here, by its server and by the export"
    );
    let answer = other.send("call", &());
    pair.run();
    assert_eq!(value::<i64>(&answer), 5);
    drop(other);
    pair.collect();
    assert_eq!(Arc::strong_count(&theirs), 2);
}
