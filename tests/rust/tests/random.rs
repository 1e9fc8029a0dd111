//! Random histories of two vats, honest and not.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{Arc, Mutex};

use marotte::captp::Profile;
use marotte::native::{Answer, reply};
use marotte::{Error, Limits, Promise, Reference, Referenceable, Value};
use marotte_tests::{Pair, Resolver, Side, object, outcome, value};
use proptest::prelude::*;

/// What one side does next. Numbers choose among what there is.
#[derive(Debug, Clone)]
enum Move {
    /// Calls something with nothing.
    Get {
        target: usize,
        late: bool,
    },
    /// Passes something to something, which passes it back.
    Echo {
        target: usize,
        argument: usize,
    },
    /// Has the far side call something.
    Bounce {
        target: usize,
        argument: usize,
    },
    /// Lends a fresh object.
    Lend {
        target: usize,
    },
    /// Settles something that the far side waits for.
    Settle {
        which: usize,
        well: bool,
    },
    Forget {
        which: usize,
    },
    Run {
        steps: usize,
    },
    Collect,
}

fn any_move() -> impl Strategy<Value = Move> {
    let number = 0_usize..1_000;
    prop_oneof![
        (number.clone(), any::<bool>()).prop_map(|(target, late)| Move::Get { target, late }),
        (number.clone(), number.clone())
            .prop_map(|(target, argument)| Move::Echo { target, argument }),
        (number.clone(), number.clone())
            .prop_map(|(target, argument)| Move::Bounce { target, argument }),
        number.clone().prop_map(|target| Move::Lend { target }),
        (number.clone(), any::<bool>()).prop_map(|(which, well)| Move::Settle { which, well }),
        number.prop_map(|which| Move::Forget { which }),
        (0_usize..5).prop_map(|steps| Move::Run { steps }),
        Just(Move::Collect),
    ]
}

type Late = Arc<Mutex<Vec<Resolver>>>;

/// An object that can do everything that the moves ask for. What it answers late is noted in
/// `late`, with promises from `pool`.
fn partner(pool: Arc<Mutex<Vec<(Promise, Resolver)>>>, late: Late) -> Arc<dyn Referenceable> {
    object(move |method, args| match method {
        "get" => reply(Ok::<_, Error>(Reference::from_arc(partner(
            Arc::clone(&pool),
            Arc::clone(&late),
        )))),
        "late" => match pool.lock().unwrap().pop() {
            Some((promise, resolver)) => {
                late.lock().unwrap().push(resolver);
                Answer::Promise(promise)
            }
            None => reply(Ok::<_, Error>(1)),
        },
        "echo" => reply(args.take1::<Value>()),
        "bounce" => match args.take1::<Value>() {
            Ok(Value::Reference(target)) => Answer::Promise(target.send("echo", &("back",))),
            other => reply(other),
        },
        other => Answer::no_such_method(Some(other)),
    })
}

/// One side with what it holds and what it owes.
struct Player {
    held: Vec<Promise>,
    late: Late,
    pool: Arc<Mutex<Vec<(Promise, Resolver)>>>,
}

impl Player {
    fn new(side: &Side) -> Self {
        let (pool, late) = (Arc::default(), Late::default());
        side.register("it", partner(Arc::clone(&pool), Arc::clone(&late)));
        Self {
            held: Vec::new(),
            late,
            pool,
        }
    }

    fn pick(&self, number: usize) -> Promise {
        self.held[number % self.held.len()].clone()
    }

    fn settle(&self, which: usize, well: bool) {
        let resolver = {
            let mut late = self.late.lock().unwrap();
            if late.is_empty() {
                return;
            }
            let which = which % late.len();
            late.swap_remove(which)
        };
        if well {
            resolver.fulfil(Reference::from_arc(partner(
                Arc::default(),
                Late::default(),
            )));
        } else {
            resolver.smash("smashed");
        }
    }

    fn act(&mut self, action: &Move) {
        match *action {
            Move::Get { target, late } => {
                let method = if late { "late" } else { "get" };
                self.held.push(self.pick(target).send(method, &()));
            }
            Move::Echo { target, argument } => {
                self.held
                    .push(self.pick(target).send("echo", &(self.pick(argument),)));
            }
            Move::Bounce { target, argument } => {
                self.held
                    .push(self.pick(target).send("bounce", &(self.pick(argument),)));
            }
            Move::Lend { target } => {
                let mine = Reference::from_arc(partner(Arc::default(), Late::default()));
                self.held.push(self.pick(target).send("echo", &(mine,)));
            }
            Move::Settle { which, well } => self.settle(which, well),
            // The first is the way back in.
            Move::Forget { which } if self.held.len() > 1 => {
                let which = 1 + which % (self.held.len() - 1);
                drop(self.held.swap_remove(which));
            }
            Move::Forget { .. } | Move::Run { .. } | Move::Collect => {}
        }
    }
}

fn play(profile: Profile, piece: usize, moves: &[(bool, Move)]) -> (Pair, Player, Player) {
    let mut pair = Pair::with(profile, Limits::default());
    pair.piece = piece;
    let (mut a, mut b) = (Player::new(&pair.a), Player::new(&pair.b));
    a.held.push(pair.fetch("it"));
    b.held.push(pair.fetch_from_a("it"));
    for (side, player) in [(&pair.a, &a), (&pair.b, &b)] {
        let promises: Vec<_> = (0..5).map(|_| side.promise()).collect();
        player.pool.lock().unwrap().extend(promises);
    }
    for (by_a, action) in moves {
        match action {
            Move::Run { steps } => (0..*steps).for_each(|_| {
                pair.step();
            }),
            Move::Collect if *by_a => pair.at_a.connection.collect(),
            Move::Collect => pair.at_b.connection.collect(),
            action => (if *by_a { &mut a } else { &mut b }).act(action),
        }
    }
    (pair, a, b)
}

/// Runs until nobody waits: what is settled may set off calls that are answered late, too.
fn settle_all(pair: &mut Pair, a: &Player, b: &Player) {
    loop {
        pair.run();
        let count = [a, b].map(|player| player.late.lock().unwrap().len());
        if count == [0, 0] {
            return;
        }
        for (player, count) in [a, b].into_iter().zip(count) {
            (0..count).for_each(|_| player.settle(0, true));
        }
    }
}

fn any_moves() -> impl Strategy<Value = Vec<(bool, Move)>> {
    prop::collection::vec((any::<bool>(), any_move()), 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn every_promise_settles_and_the_session_stays_open(
        moves in any_moves(),
        piece in 1_usize..200,
        profile in 0_usize..Profile::ALL.len(),
    ) {
        let (mut pair, a, b) = play(Profile::ALL[profile], piece, &moves);
        settle_all(&mut pair, &a, &b);
        prop_assert!(pair.at_a.connection.is_open(), "{:?}", pair.at_a.connection.close_reason());
        for promise in a.held.iter().chain(&b.held) {
            prop_assert!(outcome::<Value>(promise).is_some(), "{promise:?}");
        }
    }

    #[test]
    fn nothing_is_held_once_everything_is_forgotten(
        moves in any_moves(),
        profile in 0_usize..Profile::ALL.len(),
    ) {
        let (mut pair, a, b) = play(Profile::ALL[profile], usize::MAX, &moves);
        settle_all(&mut pair, &a, &b);
        drop((a, b));
        for _ in 0..5 {
            pair.collect();
        }
        prop_assert_eq!([pair.at_a.tables(), pair.at_b.tables()], [[0; 4]; 2]);
    }

    #[test]
    fn a_connection_lost_at_any_time_breaks_what_waits_for_it(
        moves in any_moves(),
        bytes in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let (mut pair, a, b) = play(Profile::MAROTTE, 11, &moves);
        pair.at_a.feed(&bytes);
        pair.at_a.hang_up("the peer hung up");
        pair.at_b.hang_up("the peer hung up");
        settle_all(&mut pair, &a, &b);
        for promise in a.held.iter().chain(&b.held) {
            prop_assert!(outcome::<Value>(promise).is_some(), "{promise:?}");
        }
        prop_assert_eq!([pair.at_a.tables(), pair.at_b.tables()], [[0; 4]; 2]);
    }

    #[test]
    fn calls_on_one_promise_arrive_in_order_whatever_it_becomes(
        pauses in prop::collection::vec(0_usize..4, 1..40),
        settle_at in 0_usize..40,
        piece in 1_usize..300,
    ) {
        let mut pair = Pair::new();
        pair.piece = piece;
        let log: Arc<Mutex<Vec<usize>>> = Arc::default();
        let notes = Arc::clone(&log);
        let recorder = object(move |_, args| {
            reply(args.take1().map(|n| notes.lock().unwrap().push(n)))
        });
        let (late, resolver) = pair.b.promise();
        let mut resolver = Some((resolver, recorder));
        pair.b.register("late", object(move |_, _| Answer::Promise(late.clone())));
        let it = pair.fetch("late").send("get", &());
        for (n, &pause) in pauses.iter().enumerate() {
            if n == settle_at && let Some((resolver, recorder)) = resolver.take() {
                resolver.fulfil(Reference::from_arc(recorder));
            }
            it.send_only("note", &(n,)).unwrap();
            for _ in 0..pause {
                pair.step();
            }
        }
        if let Some((resolver, recorder)) = resolver.take() {
            resolver.fulfil(Reference::from_arc(recorder));
        }
        pair.run();
        prop_assert_eq!(log.lock().unwrap().clone(), (0..pauses.len()).collect::<Vec<_>>());
    }

    #[test]
    fn hostile_messages_never_panic_and_never_settle_what_they_should_not(
        messages in prop::collection::vec(any_message(), 0..30),
    ) {
        let mut pair = Pair::new();
        let player = Player::new(&pair.a);
        pair.a.register("data", object(|_, _| reply(Ok::<_, Error>(1))));
        let mut end = pair.another();
        for message in &messages {
            end.feed(format!("{}:{message}", message.len()).as_bytes());
        }
        while !player.late.lock().unwrap().is_empty() {
            player.settle(0, true);
        }
        pair.a.run();
        end.hang_up("over");
        pair.a.run();
        prop_assert_eq!(end.tables(), [0; 4]);
        // The neighbour does not notice.
        let now = pair.fetch_from_a("data").send("get", &());
        pair.run();
        prop_assert_eq!(value::<i64>(&now), 1);
    }
}

/// A message of the right shape, with positions of any kind.
fn any_message() -> impl Strategy<Value = String> {
    let target = prop_oneof![
        3 => Just("<11'desc:export0+>".to_owned()),
        1 => (0_u64..4).prop_map(|at| format!("<11'desc:export{at}+>")),
        3 => (0_u64..6).prop_map(|at| format!("<11'desc:answer{at}+>")),
    ];
    let reference = prop_oneof![
        (0_u64..4).prop_map(|at| format!("<18'desc:import-object{at}+>")),
        (0_u64..4).prop_map(|at| format!("<19'desc:import-promise{at}+>")),
        (0_u64..4).prop_map(|at| format!("<11'desc:export{at}+>")),
        (0_u64..6).prop_map(|at| format!("<11'desc:answer{at}+>")),
        Just("[{}]".to_owned()),
    ];
    let args = prop_oneof![
        4 => Just("5'fetch2:it".to_owned()),
        1 => Just("4'late".to_owned()),
        1 => Just("3'get".to_owned()),
        2 => reference.clone().prop_map(|it| format!("4'echo{it}")),
        2 => reference.clone().prop_map(|it| format!("6'bounce{it}")),
        1 => reference.prop_map(|it| format!("7'fulfill{it}")),
    ];
    let tail = prop_oneof![
        Just("ff".to_owned()),
        (0_u64..6).prop_map(|number| format!("{number}+f")),
        (0_u64..6, 0_u64..4)
            .prop_map(|(number, at)| format!("{number}+<18'desc:import-object{at}+>")),
    ];
    prop_oneof![
        8 => (target.clone(), args, tail)
            .prop_map(|(to, args, tail)| format!("<10'op:deliver{to}[{args}]{tail}>")),
        1 => (target, 0_u64..4)
            .prop_map(|(to, at)| format!("<9'op:listen{to}<18'desc:import-object{at}+>>")),
        1 => (0_u64..4).prop_map(|at| format!("<13'op:gc-exports[{at}+][1+]>")),
        1 => (0_u64..6).prop_map(|number| format!("<13'op:gc-answers[{number}+]>")),
    ]
}
