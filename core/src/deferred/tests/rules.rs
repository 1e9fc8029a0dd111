//! The rules of the ladder, one by one.

use super::toy::{Canceller, End, Event, Failure, Held, Op, Rung, Script, Value, World};
use crate::deferred::{Chain, pause, unpause};

/// A callback that ends so.
fn script(name: u32, end: End) -> Script {
    Script {
        name,
        ops: Vec::new(),
        end,
    }
}

/// A rung that is called with either, and passes it on.
fn pass(name: u32) -> Rung {
    Rung::Both(script(name, End::Same))
}

fn ok(value: i32) -> Result<Value, Failure> {
    Ok(Some(value))
}

fn err(error: i32) -> Result<Value, Failure> {
    Err(Failure::Error(error))
}

fn called(name: u32, given: Result<Value, Failure>) -> Event {
    Event::Called(name, given)
}

/// Does all that with Deferreds that have no canceller; returns them and what happened.
fn done<const N: usize>(deferreds: usize, ops: [Op; N]) -> (World, Vec<Event>) {
    done_with(&vec![None; deferreds], ops)
}

fn done_with<const N: usize>(
    cancellers: &[Option<Canceller>],
    ops: [Op; N],
) -> (World, Vec<Event>) {
    let world = World::new(cancellers);
    ops.iter().for_each(|op| world.run(op));
    let log = world.log.borrow().clone();
    (world, log)
}

#[test]
fn callbacks_run_in_order_each_with_what_the_last_returned() {
    let (world, log) = done(
        1,
        [
            Op::Add(0, Rung::Callback(script(1, End::Return(ok(11))))),
            Op::Add(0, Rung::Callback(script(2, End::Return(ok(12))))),
            Op::Fire(0, ok(10)),
            Op::Add(0, Rung::Callback(script(3, End::Return(ok(13))))),
        ],
    );
    assert_eq!(
        log,
        [called(1, ok(10)), called(2, ok(11)), called(3, ok(12))]
    );
    assert_eq!(world.state(0).result, Held::Outcome(ok(13)));
}

#[test]
fn a_result_passes_by_rungs_of_the_other_rail() {
    let (_, log) = done(
        1,
        [
            Op::Add(0, Rung::Errback(script(1, End::Same))),
            Op::Add(0, Rung::Callback(script(2, End::Return(err(1))))),
            Op::Add(0, Rung::Callback(script(3, End::Same))),
            Op::Add(0, Rung::Errback(script(4, End::Return(ok(5))))),
            Op::Add(0, pass(5)),
            Op::Fire(0, ok(0)),
        ],
    );
    assert_eq!(log, [called(2, ok(0)), called(4, err(1)), called(5, ok(5))]);
}

#[test]
fn a_failure_of_a_callback_is_not_for_the_errback_beside_it() {
    let pair = Rung::Pair(script(1, End::Return(err(9))), script(2, End::Same));
    let (_, log) = done(1, [Op::Add(0, pair.clone()), Op::Fire(0, ok(0))]);
    assert_eq!(log, [called(1, ok(0))]);
    let (_, log) = done(1, [Op::Add(0, pair), Op::Fire(0, err(0))]);
    assert_eq!(log, [called(2, err(0))]);
}

#[test]
fn it_fires_once() {
    let (world, log) = done(1, [Op::Fire(0, ok(1)), Op::Fire(0, ok(2))]);
    assert_eq!(log, [Event::AlreadyCalled(0)]);
    assert_eq!(world.state(0).result, Held::Outcome(ok(1)));
}

#[test]
fn what_a_callback_adds_to_its_own_deferred_runs_after_it() {
    let first = Script {
        name: 1,
        ops: vec![Op::Add(0, pass(2))],
        end: End::Return(ok(7)),
    };
    let (_, log) = done(
        1,
        [
            Op::Add(0, Rung::Callback(first)),
            Op::Add(0, pass(3)),
            Op::Fire(0, ok(0)),
        ],
    );
    assert_eq!(log, [called(1, ok(0)), called(3, ok(7)), called(2, ok(7))]);
}

#[test]
fn a_pause_holds_what_is_to_begin_and_is_counted() {
    let (world, log) = done(
        1,
        [
            Op::Pause(0),
            Op::Pause(0),
            Op::Add(0, pass(1)),
            Op::Fire(0, ok(0)),
            Op::Unpause(0),
        ],
    );
    assert_eq!(log, []);
    assert_eq!((world.state(0).called, world.state(0).paused), (true, 1));
    world.run(&Op::Unpause(0));
    assert_eq!(*world.log.borrow(), [called(1, ok(0))]);
}

#[test]
fn a_pause_made_by_a_callback_holds_the_next_run_only() {
    let pauses = Script {
        name: 1,
        ops: vec![Op::Pause(0)],
        end: End::Same,
    };
    let (_, log) = done(
        1,
        [
            Op::Add(0, Rung::Both(pauses)),
            // It has no say, and makes no difference.
            Op::Add(0, Rung::Errback(script(2, End::Same))),
            Op::Add(0, pass(3)),
            Op::Fire(0, ok(0)),
            Op::Add(0, pass(4)),
        ],
    );
    assert_eq!(log, [called(1, ok(0)), called(3, ok(0))]);
}

#[test]
fn one_unpause_too_many_holds_for_ever() {
    let world = World::new(&[None]);
    unpause::<super::toy::Toy>((), &world.link(0));
    world.run(&Op::Fire(0, ok(0)));
    world.run(&Op::Add(0, pass(1)));
    assert_eq!((world.log.borrow().len(), world.state(0).paused), (0, -1));
    pause::<super::toy::Toy>((), &world.link(0));
    world.run(&Op::Add(0, pass(2)));
    assert_eq!(world.log.borrow().len(), 2);
}

#[test]
fn a_returned_deferred_with_a_result_is_taken_from_at_once() {
    let (world, log) = done(
        2,
        [
            Op::Fire(1, ok(5)),
            Op::Add(0, Rung::Callback(script(1, End::Deferred(1)))),
            Op::Add(0, pass(2)),
            Op::Fire(0, ok(0)),
        ],
    );
    assert_eq!(log, [called(1, ok(0)), called(2, ok(5))]);
    assert_eq!(world.state(1).result, Held::Outcome(Ok(None)));
}

#[test]
fn a_returned_deferred_without_a_result_is_waited_for() {
    let (world, log) = done(
        2,
        [
            Op::Add(0, Rung::Callback(script(1, End::Deferred(1)))),
            Op::Add(0, pass(2)),
            Op::Fire(0, ok(0)),
        ],
    );
    assert_eq!(log, [called(1, ok(0))]);
    let state = world.state(0);
    assert_eq!((state.result, state.paused), (Held::WaitsFor(1), 1));
    // What is added to the inner one later gets nothing.
    world.run(&Op::Add(1, pass(3)));
    world.run(&Op::Fire(1, err(5)));
    let log = world.log.borrow()[1..].to_vec();
    assert_eq!(log, [called(2, err(5)), called(3, Ok(None))]);
    assert_eq!(world.state(0).paused, 0);
}

#[test]
fn a_returned_deferred_that_is_paused_is_waited_for() {
    let (world, _) = done(
        2,
        [
            Op::Fire(1, ok(5)),
            Op::Pause(1),
            Op::Add(0, Rung::Callback(script(1, End::Deferred(1)))),
            Op::Fire(0, ok(0)),
        ],
    );
    assert_eq!(world.state(0).result, Held::WaitsFor(1));
    world.run(&Op::Unpause(1));
    assert_eq!(world.state(0).result, Held::Outcome(ok(5)));
}

#[test]
fn an_outer_that_is_paused_is_fed_and_holds_the_inner() {
    let (world, log) = done(
        2,
        [
            Op::Add(0, Rung::Callback(script(1, End::Deferred(1)))),
            Op::Add(0, pass(2)),
            Op::Fire(0, ok(0)),
            Op::Add(1, pass(3)),
            Op::Pause(0),
            Op::Fire(1, ok(5)),
        ],
    );
    assert_eq!(log, [called(1, ok(0))]);
    assert_eq!(world.state(0).result, Held::Outcome(ok(5)));
    world.run(&Op::Unpause(0));
    world.run(&Op::Add(1, pass(4)));
    let log = world.log.borrow()[1..].to_vec();
    assert_eq!(
        log,
        [called(2, ok(5)), called(3, Ok(None)), called(4, Ok(None))]
    );
}

#[test]
fn one_that_returns_itself_waits_for_itself() {
    let (world, _) = done(
        1,
        [
            Op::Add(0, Rung::Callback(script(1, End::Deferred(0)))),
            Op::Fire(0, ok(0)),
            Op::Cancel(0),
        ],
    );
    assert_eq!(world.state(0).result, Held::WaitsFor(0));
}

#[test]
fn one_that_is_fired_by_a_callback_runs_to_its_end_first() {
    let fires = End::Fire(1, ok(5), ok(6));
    let (_, log) = done(
        2,
        [
            Op::Add(1, pass(1)),
            Op::Add(0, Rung::Callback(script(2, fires))),
            Op::Add(0, pass(3)),
            Op::Fire(0, ok(0)),
        ],
    );
    assert_eq!(log, [called(2, ok(0)), called(1, ok(5)), called(3, ok(6))]);
}

#[test]
fn one_that_is_fired_by_a_callback_too_late_is_its_failure() {
    let fires = End::Fire(1, ok(5), ok(6));
    let (_, log) = done(
        2,
        [
            Op::Fire(1, ok(4)),
            Op::Add(0, Rung::Callback(script(2, fires))),
            Op::Add(0, pass(3)),
            Op::Fire(0, ok(0)),
        ],
    );
    let late = Err(Failure::AlreadyCalled);
    assert_eq!(log, [called(2, ok(0)), called(3, late)]);
}

#[test]
fn cancelled_without_a_canceller_it_swallows_one_late_result() {
    let (world, log) = done(
        1,
        [
            Op::Cancel(0),
            Op::Fire(0, ok(1)),
            Op::Fire(0, ok(2)),
            Op::Cancel(0),
        ],
    );
    assert_eq!(log, [Event::AlreadyCalled(0)]);
    assert_eq!(
        world.state(0).result,
        Held::Outcome(Err(Failure::Cancelled))
    );
}

#[test]
fn a_canceller_is_asked_and_may_fire_it() {
    let cancellers = [
        Some(Canceller::Nothing),
        Some(Canceller::Fire(ok(3))),
        Some(Canceller::Raise),
    ];
    let (world, log) = done_with(
        &cancellers,
        [
            Op::Cancel(0),
            Op::Fire(0, ok(1)),
            Op::Cancel(1),
            Op::Cancel(1),
            Op::Cancel(2),
            Op::Cancel(2),
        ],
    );
    use Event::{AlreadyCalled, Asked, Raised};
    let cancelled = [Asked(0), AlreadyCalled(0), Asked(1)];
    // As it was before, and asked again.
    let raised = [Asked(2), Raised(2), Asked(2), Raised(2)];
    assert_eq!(log, [&cancelled[..], &raised[..]].concat());
    assert_eq!(
        world.state(0).result,
        Held::Outcome(Err(Failure::Cancelled))
    );
    assert_eq!(world.state(1).result, Held::Outcome(ok(3)));
    assert!(!world.state(2).called);
}

#[test]
fn one_that_waits_has_the_innermost_cancelled() {
    let (world, log) = done_with(
        &[None, None, Some(Canceller::Nothing)],
        [
            Op::Add(0, Rung::Callback(script(1, End::Deferred(1)))),
            Op::Add(1, Rung::Callback(script(2, End::Deferred(2)))),
            Op::Fire(0, ok(0)),
            Op::Fire(1, ok(0)),
            Op::Cancel(0),
        ],
    );
    assert_eq!(log[2..], [Event::Asked(2)]);
    assert_eq!(
        world.state(0).result,
        Held::Outcome(Err(Failure::Cancelled))
    );
}

#[test]
fn the_host_is_told_where_failures_rest() {
    let (world, _) = done(2, [Op::Fire(0, err(1)), Op::Fire(1, ok(0))]);
    assert!(world.state(0).rests && !world.state(1).rests);
    // It goes on to another one.
    world.run(&Op::Add(1, Rung::Callback(script(1, End::Deferred(0)))));
    assert!(!world.state(0).rests && world.state(1).rests);
    world.run(&Op::Add(1, Rung::Errback(script(2, End::Return(ok(2))))));
    assert!(!world.state(1).rests);
}

#[test]
fn a_result_is_taken_where_nothing_holds_it() {
    let mut chain = Chain::<super::toy::Toy>::fired(err(3));
    assert_eq!(chain.unhandled(), Some(&Failure::Error(3)));
    chain.pause();
    assert!(chain.take_ready(()).is_none());
    let mut chain = Chain::<super::toy::Toy>::fired(err(3));
    assert_eq!(chain.take_ready(()), Some((err(3), false)));
    assert_eq!(chain.unhandled(), None);
    assert!(Chain::<super::toy::Toy>::new(None).take_ready(()).is_none());
}
