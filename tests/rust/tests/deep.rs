//! Chains far deeper than any stack: made by a peer or by ourselves, they must not overflow it.

use std::sync::Arc;

use marotte::native::{Answer, reply};
use marotte::{Error, Promise, Reference, Referenceable, Value};
use marotte_tests::{Pair, Side, object, outcome, reason, value};

const DEPTH: usize = 100_000;

/// Answers every message with itself.
fn myself() -> Arc<dyn Referenceable> {
    struct Myself;
    impl Referenceable for Myself {
        fn deliver(self: Arc<Self>, method: Option<&str>, _: marotte::native::Args<'_>) -> Answer {
            match method {
                Some("end") => reply(Ok::<_, Error>(7)),
                _ => reply(Ok::<_, Error>(Reference::from_arc(self))),
            }
        }
    }
    Arc::new(Myself)
}

fn chain(first: &Promise) -> Promise {
    let mut last = first.clone();
    for _ in 0..DEPTH {
        last = last.send("next", &());
    }
    last
}

#[test]
fn a_deep_pipelined_chain_is_answered() {
    let mut pair = Pair::new();
    pair.b.register("it", myself());
    let last = chain(&pair.fetch("it")).send("end", &());
    pair.run();
    assert_eq!(value::<i64>(&last), 7);
}

#[test]
fn a_deep_pipelined_chain_on_a_broken_promise_breaks() {
    let mut pair = Pair::new();
    let last = chain(&pair.fetch("nobody"));
    pair.run();
    assert!(
        reason(&last).contains("no object is registered"),
        "{}",
        reason(&last)
    );
}

#[test]
fn a_deep_chain_on_a_late_answer_of_the_peer_is_answered() {
    let mut pair = Pair::new();
    let (late, resolver) = pair.b.promise();
    pair.b
        .register("late", object(move |_, _| Answer::Promise(late.clone())));
    let last = chain(&pair.fetch("late").send("get", &())).send("end", &());
    pair.run();
    assert!(outcome::<i64>(&last).is_none());
    resolver.fulfil(Reference::from_arc(myself()));
    pair.run();
    assert_eq!(value::<i64>(&last), 7);
}

#[test]
fn a_deep_chain_on_an_answer_that_breaks_late_breaks() {
    let mut pair = Pair::new();
    let (late, resolver) = pair.b.promise();
    pair.b
        .register("late", object(move |_, _| Answer::Promise(late.clone())));
    let last = chain(&pair.fetch("late").send("get", &()));
    pair.run();
    resolver.smash("too bad");
    pair.run();
    assert_eq!(reason(&last), "too bad");
}

#[test]
fn a_deep_chain_waiting_for_a_peer_that_hangs_up_breaks() {
    let mut pair = Pair::new();
    let (late, _resolver) = pair.b.promise();
    pair.b
        .register("late", object(move |_, _| Answer::Promise(late.clone())));
    let last = chain(&pair.fetch("late").send("get", &()));
    pair.run();
    pair.at_a.hang_up("the peer hung up");
    pair.at_b.hang_up("the peer hung up");
    assert!(reason(&last).contains("hung up"), "{}", reason(&last));
}

#[test]
fn a_deep_local_chain_on_a_promise_that_breaks_breaks() {
    let side = Side::new();
    let (late, resolver) = side.promise();
    let last = chain(&late);
    resolver.smash("too bad");
    side.run();
    assert_eq!(reason(&last), "too bad");
}

#[test]
fn a_deep_local_chain_on_plain_data_breaks() {
    let side = Side::new();
    let data = side
        .near(object(|_, _| reply(Ok::<_, Error>(1))))
        .send("get", &());
    let last = chain(&data);
    side.run();
    assert!(reason(&last).contains("plain data"), "{}", reason(&last));
}

#[test]
fn a_deep_local_chain_on_a_reference_whose_connection_is_gone_breaks() {
    let mut pair = Pair::new();
    pair.b.register("it", myself());
    let far = pair.fetch("it").send("next", &());
    pair.run();
    let far: Reference = value(&far);
    pair.at_a.hang_up("the peer hung up");
    let (late, resolver) = pair.a.promise();
    let last = chain(&late);
    resolver.fulfil(far);
    pair.a.run();
    assert!(reason(&last).contains("hung up"), "{}", reason(&last));
}

#[test]
fn a_deep_chain_that_nobody_waits_for_is_dropped() {
    let side = Side::new();
    let witness = Arc::new(());
    let seen = Arc::clone(&witness);
    let first = side.forsaken();
    drop(chain(&first).then(move |_: i64| drop(seen)));
    assert_eq!(
        Arc::strong_count(&witness),
        2,
        "each promise is held by the one before"
    );
    drop(first);
    assert_eq!(
        Arc::strong_count(&witness),
        1,
        "every promise of the chain is gone"
    );
}

#[test]
fn a_deep_list_of_answers_inside_answers_is_dropped() {
    let mut pair = Pair::new();
    pair.b.register(
        "wrap",
        object(|_, args| reply(args.take1::<Value>().map(|value| vec![value]))),
    );
    let wrap = pair.fetch("wrap");
    let mut last = wrap.send("wrap", &(1,));
    for _ in 0..DEPTH {
        last = wrap.send("wrap", &(last,));
    }
    pair.run();
    assert!(outcome::<Value>(&last).expect("it has settled").is_ok());
    drop((wrap, last));
    pair.collect();
    assert_eq!(pair.at_b.tables(), [0; 4]);
}

#[test]
fn a_deep_chain_of_callbacks_runs() {
    let side = Side::new();
    let (late, resolver) = side.promise();
    let mut last = late.send("end", &());
    for _ in 0..DEPTH {
        last = last.then(|n: i64| n + 1);
    }
    resolver.fulfil(Reference::from_arc(myself()));
    side.run();
    assert_eq!(value::<i64>(&last), 7 + DEPTH as i64);
}

#[test]
fn promises_resolved_to_promises_without_end_settle() {
    let side = Side::new();
    let (late, resolver) = side.promise();
    let echo = side.near(object(|_, args| match args.take1::<Promise>() {
        Ok(promise) => Answer::Promise(promise),
        Err(error) => reply(Err::<(), _>(error)),
    }));
    let mut last = late.send("end", &());
    for _ in 0..DEPTH {
        // Each answer is the promise before it.
        last = echo.send("echo", &(last,));
    }
    side.run();
    resolver.fulfil(Reference::from_arc(myself()));
    side.run();
    assert_eq!(value::<i64>(&last), 7);
}
