//! E-order: messages on one reference arrive in the order sent, also when its promise turns out to
//! be somewhere else than where the first of them went.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{Arc, Mutex};

use marotte::native::{Answer, reply};
use marotte::{Error, Promise, Reference, Referenceable};
use marotte_tests::{Pair, Resolver, object};
use proptest::prelude::*;

/// What was noted: on which reference, and the how manyeth on it.
type Log = Arc<Mutex<Vec<(i64, i64)>>>;

fn recorder(log: &Log) -> Arc<dyn Referenceable> {
    let log = Arc::clone(log);
    object(move |_, args| match args.take2::<i64, i64>() {
        Ok((reference, number)) => {
            log.lock().unwrap().push((reference, number));
            reply(Ok::<_, Error>(()))
        }
        Err(error) => reply(Err::<(), _>(error)),
    })
}

/// Answers with its argument, promises included.
fn same() -> Arc<dyn Referenceable> {
    object(|_, args| match args.take1::<Promise>() {
        Ok(promise) => Answer::Promise(promise),
        Err(error) => reply(Err::<(), _>(error)),
    })
}

/// What one reference is, in the end.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// An object of a's, by way of b.
    Ours,
    /// An object of b's.
    Theirs,
    /// A promise of a's, by way of b, that becomes an object of a's later.
    OurPromise,
    /// A promise of b's that becomes an object of a's later.
    TheirPromise,
    /// By way of b twice.
    Twice,
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Send(usize),
    /// So many bytes arrive at a or b.
    ToA(usize),
    ToB(usize),
    TurnsOfA,
    TurnsOfB,
    Flush,
    Resolve(usize),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (0..4_usize).prop_map(Action::Send),
        3 => (1..200_usize).prop_map(Action::ToA),
        3 => (1..200_usize).prop_map(Action::ToB),
        2 => Just(Action::TurnsOfA),
        2 => Just(Action::TurnsOfB),
        3 => Just(Action::Flush),
        1 => (0..4_usize).prop_map(Action::Resolve),
    ]
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Ours),
        Just(Kind::Theirs),
        Just(Kind::OurPromise),
        Just(Kind::TheirPromise),
        Just(Kind::Twice),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn messages_on_one_reference_arrive_in_order(
        kinds in prop::collection::vec(kind(), 4),
        actions in prop::collection::vec(action(), 1..60),
    ) {
        let mut pair = Pair::new();
        let log = Log::default();
        let target = recorder(&log);
        pair.b.register("same", same());
        pair.b.register("recorder", recorder(&log));
        let same = pair.fetch("same");
        let theirs = pair.fetch("recorder");
        pair.run();
        let mut late: Vec<Option<(Resolver, bool)>> = Vec::new();
        let mut references = Vec::new();
        for kind in &kinds {
            let mine = pair.a.near(Arc::clone(&target));
            let (reference, resolver) = match kind {
                Kind::Ours => (same.send("same", &(mine,)), None),
                Kind::Theirs => (same.send("same", &(theirs.clone(),)), None),
                Kind::Twice => {
                    let once = same.send("same", &(mine,));
                    (same.send("same", &(once,)), None)
                }
                Kind::OurPromise => {
                    let (promise, resolver) = pair.a.promise();
                    (same.send("same", &(promise,)), Some((resolver, true)))
                }
                Kind::TheirPromise => {
                    let (promise, resolver) = pair.b.promise();
                    let name = format!("late{}", references.len());
                    pair.b.register(&name, object(move |_, _| Answer::Promise(promise.clone())));
                    (pair.fetch(&name).send("get", &()), Some((resolver, false)))
                }
            };
            references.push(reference);
            late.push(resolver);
        }
        let mut sent = [0_i64; 4];
        for action in actions {
            match action {
                Action::Send(index) => {
                    references[index].send_only("note", &(index as i64, sent[index])).unwrap();
                    sent[index] += 1;
                }
                Action::ToA(count) => { pair.at_a.deliver(count); }
                Action::ToB(count) => { pair.at_b.deliver(count); }
                Action::TurnsOfA => pair.a.run(),
                Action::TurnsOfB => pair.b.run(),
                Action::Flush => pair.flush(),
                Action::Resolve(index) => resolve(&mut late[index], &target),
            }
        }
        for slot in &mut late {
            resolve(slot, &target);
        }
        pair.run();
        for (index, count) in sent.iter().enumerate() {
            references[index].send_only("note", &(index as i64, *count)).unwrap();
        }
        pair.run();
        let log = log.lock().unwrap();
        for (index, count) in sent.iter().enumerate() {
            let heard: Vec<i64> = log.iter().filter(|(of, _)| *of == index as i64).map(|(_, n)| *n).collect();
            prop_assert_eq!(heard, (0..=*count).collect::<Vec<_>>(), "reference {} of {:?}", index, kinds);
        }
        drop((same, theirs, references));
        pair.collect();
        prop_assert_eq!(pair.at_a.tables()[2], 0, "no question is left");
    }
}

fn resolve(slot: &mut Option<(Resolver, bool)>, target: &Arc<dyn Referenceable>) {
    if let Some((resolver, _)) = slot.take() {
        resolver.fulfil(Reference::from_arc(Arc::clone(target)));
    }
}
