//! Random programs: the ladder and the model do the same.

use proptest::prelude::*;

use super::model::Model;
use super::toy::{Canceller, End, Failure, Op, Rung, Script, Value, World};

pub(in crate::deferred) const DEFERREDS: usize = 5;

fn outcome() -> impl Strategy<Value = Result<Value, Failure>> {
    prop_oneof![
        (0..100).prop_map(|value| Ok(Some(value))),
        (0..100).prop_map(|error| Err(Failure::Error(error))),
    ]
}

pub(in crate::deferred) fn canceller() -> impl Strategy<Value = Option<Canceller>> {
    prop_oneof![
        4 => Just(None),
        2 => Just(Some(Canceller::Nothing)),
        2 => outcome().prop_map(|outcome| Some(Canceller::Fire(outcome))),
        1 => Just(Some(Canceller::Raise)),
    ]
}

/// `depth`: so deep may callbacks stand in what callbacks do.
pub(in crate::deferred) fn op(depth: u32) -> BoxedStrategy<Op> {
    let number = 0..DEFERREDS;
    prop_oneof![
        4 => (number.clone(), outcome()).prop_map(|(number, outcome)| Op::Fire(number, outcome)),
        8 => (number.clone(), rung(depth)).prop_map(|(number, rung)| Op::Add(number, rung)),
        2 => number.clone().prop_map(Op::Cancel),
        1 => number.clone().prop_map(Op::Pause),
        // Twice as often, for it is no use while a Deferred waits.
        2 => number.prop_map(Op::Unpause),
    ]
    .boxed()
}

fn rung(depth: u32) -> impl Strategy<Value = Rung> {
    prop_oneof![
        3 => script(depth).prop_map(Rung::Callback),
        2 => script(depth).prop_map(Rung::Errback),
        3 => script(depth).prop_map(Rung::Both),
        2 => (script(depth), script(depth)).prop_map(|(one, other)| Rung::Pair(one, other)),
    ]
}

fn script(depth: u32) -> impl Strategy<Value = Script> {
    let end = prop_oneof![
        3 => outcome().prop_map(End::Return),
        2 => Just(End::Same),
        4 => (0..DEFERREDS).prop_map(End::Deferred),
        1 => (0..DEFERREDS, outcome(), outcome())
            .prop_map(|(number, outcome, result)| End::Fire(number, outcome, result)),
    ];
    let ops = match depth.checked_sub(1) {
        Some(less) => prop::collection::vec(op(less), 0..3).boxed(),
        None => Just(Vec::new()).boxed(),
    };
    (any::<u32>(), ops, end).prop_map(|(name, ops, end)| Script { name, ops, end })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn does_what_the_model_does(
        cancellers in prop::collection::vec(canceller(), DEFERREDS),
        ops in prop::collection::vec(op(2), 1..40),
    ) {
        let world = World::new(&cancellers);
        let mut model = Model::new(&cancellers);
        for op in &ops {
            world.run(op);
            model.op(op);
            prop_assert_eq!(&*world.log.borrow(), &model.log, "after {:?}", op);
            prop_assert_eq!(world.states(), model.states(), "after {:?}", op);
        }
    }
}
