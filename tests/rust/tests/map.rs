//! Parts of values, and what is done to each item of a list over there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use marotte::native::{Answer, reply};
use marotte::{Error, Limits, Promise, Reference, Referenceable, Symbol, Value};
use marotte_tests::{Pair, object, outcome, reason, value};
use serde::Serialize;

/// A number as an object: "double" gives its double, "add" a new number, "fail" fails if it is 3,
/// "near" the numbers around it.
fn number(n: i64) -> Arc<dyn Referenceable> {
    object(move |method, args| match method {
        "get" => reply(Ok::<_, Error>(n)),
        "add" => match args.take1::<i64>() {
            Ok(m) => reply(Ok::<_, Error>(Reference::from_arc(number(n + m)))),
            Err(error) => reply::<(), _>(Err(error)),
        },
        "fail" if n == 3 => reply::<(), _>(Err(Error::remote("ValueError: three"))),
        "fail" => reply(Ok::<_, Error>(())),
        "around" => reply(Ok::<_, Error>(
            [n - 1, n + 1].map(|m| Reference::from_arc(number(m))),
        )),
        _ => Answer::no_such_method(Some(method)),
    })
}

#[derive(Serialize)]
struct Report {
    name: &'static str,
    steps: Vec<Step>,
}

#[derive(Serialize)]
struct Step {
    text: &'static str,
    number: Reference,
}

fn report() -> Report {
    let step = |text, n| Step {
        text,
        number: Reference::from_arc(number(n)),
    };
    Report {
        name: "nightly",
        steps: vec![step("compile", 10), step("test", 20)],
    }
}

/// b has "numbers", a list of objects, "plain", a list of data, and "report".
fn pair() -> (Pair, Promise) {
    pair_with(Limits::default())
}

fn pair_with(limits: Limits) -> (Pair, Promise) {
    let mut pair = Pair::with(marotte::captp::Profile::MAROTTE, limits);
    pair.b.register(
        "lists",
        object(|method, args| match method {
            "numbers" => reply(args.take1::<i64>().map(|count| {
                (1..=count)
                    .map(|n| Reference::from_arc(number(n)))
                    .collect::<Vec<_>>()
            })),
            "plain" => reply(Ok::<_, Error>((1, "two", [3, 4]))),
            "nothing" => reply(Ok::<_, Error>(())),
            "report" => reply(Ok::<_, Error>(report())),
            "echo" => reply(args.take1::<Value>()),
            _ => Answer::no_such_method(Some(method)),
        }),
    );
    let lists = pair.fetch("lists");
    pair.run();
    (pair, lists)
}

/// How often a had to wait for an answer before it went on.
fn round_trips(pair: &Pair) -> u64 {
    pair.at_a.stats().round_trips
}

#[test]
fn a_part_of_a_value_comes_in_the_same_round_trip() {
    let (mut pair, lists) = pair();
    let before = round_trips(&pair);
    let report = lists.send("report", &());
    let text = report.get(&("steps", 0, "text"));
    let last = report.get(&("steps", -1, "text"));
    let whole = report.get(&());
    // The part is an object: messages to it travel along, and so does the rest of a path.
    let number = report
        .get(&("steps", 1, "number"))
        .send("add", &(1,))
        .send("get", &());
    pair.run();
    assert_eq!(value::<String>(&text), "compile");
    assert_eq!(value::<String>(&last), "test");
    assert_eq!(value::<i64>(&number), 21);
    assert!(outcome::<Value>(&whole).is_some_and(|whole| whole.is_ok()));
    assert_eq!(round_trips(&pair) - before, 1);
}

#[test]
fn a_path_that_leads_nowhere_says_where_it_ended() {
    let (mut pair, lists) = pair();
    let report = lists.send("report", &());
    let cases = [
        (report.get("stops"), "KeyError: \"stops\""),
        (
            report.get(&("steps", 2)),
            "IndexError: index 2 of a list of 2",
        ),
        (
            report.get(&("steps", -3)),
            "IndexError: index -3 of a list of 2",
        ),
        (
            report.get(&("steps", "x")),
            "a list is asked for by an index",
        ),
        (
            report.get(&("name", 0)),
            "only lists and dictionaries have parts",
        ),
        (report.get(&(5,)), "a key must be text"),
        (lists.get(&("x",)), "an object has methods only"),
        (
            report.get(&("steps", 0, "number", "x")),
            "an object has methods only",
        ),
        (
            report.send("other", &()),
            "a message was sent to plain data",
        ),
    ];
    pair.run();
    for (promise, expected) in cases {
        let reason = reason(&promise);
        assert!(reason.contains(expected), "{reason}");
    }
}

#[test]
fn mapping_takes_one_round_trip_and_one_answer_however_long_the_list_is() {
    let (mut pair, lists) = pair();
    let before = (round_trips(&pair), pair.at_b.stats().messages_sent);
    let list = lists.send("numbers", &(1000,));
    let sums = list.map(|item| item.send("add", &(1,)).send("get", &()));
    pair.run();
    assert_eq!(value::<Vec<i64>>(&sums), (2..=1001).collect::<Vec<_>>());
    assert_eq!(round_trips(&pair) - before.0, 1);
    // The list, which is an answer too, and what was made of it.
    assert_eq!(pair.at_b.stats().messages_sent - before.1, 2);
    drop((list, sums));
    pair.collect();
    assert_eq!(pair.at_a.tables(), [0, 1, 0, 0]);
    assert_eq!(pair.at_b.tables(), [1, 0, 0, 0]);
}

#[test]
fn the_result_may_be_any_value_with_the_item_and_results_inside() {
    #[derive(Serialize)]
    struct Row {
        item: Promise,
        double: Promise,
        same: Vec<Promise>,
        fixed: &'static str,
    }
    let (mut pair, lists) = pair();
    let rows = lists.send("plain", &()).map(|item| {
        let double = lists.send("echo", &(&item,));
        Row {
            double: double.clone(),
            same: vec![item.clone(), double],
            item,
            fixed: "x",
        }
    });
    let texts = rows.map(|row| row.get(&("fixed",)));
    pair.run();
    let rows: Value = value(&rows);
    let rows = format!("{rows:?}");
    assert_eq!(rows.matches("fixed").count(), 3, "{rows}");
    assert_eq!(value::<Vec<String>>(&texts), ["x", "x", "x"]);
}

#[test]
fn maps_nest() {
    let (mut pair, lists) = pair();
    let around = lists.send("numbers", &(3,)).map(|n| {
        n.send("around", &())
            .map(|m| (m.send("get", &()), n.send("get", &())))
    });
    pair.run();
    assert_eq!(
        value::<Vec<Vec<(i64, i64)>>>(&around),
        [[(0, 1), (2, 1)], [(1, 2), (3, 2)], [(2, 3), (4, 3)]]
    );
}

#[test]
fn a_function_may_use_what_lies_around_it() {
    let (mut pair, lists) = pair();
    let heard = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&heard);
    let listener = pair.a.near(object(move |_, args| {
        let n = args.take1::<i64>();
        counted.fetch_add(n.unwrap_or(1000) as usize, Ordering::Relaxed);
        reply(Ok::<_, Error>(()))
    }));
    let told = lists.send("numbers", &(3,)).map(|n| {
        listener
            .send_only("tell", &(n.send("get", &()),))
            .expect("passable");
    });
    pair.run();
    assert!(outcome::<Value>(&told).is_some_and(|told| told.is_ok()));
    // The argument is a promise that the far side resolves.
    pair.run();
    assert!(heard.load(Ordering::Relaxed) > 0);
}

#[test]
fn one_failure_breaks_the_result_and_the_rest_is_done_all_the_same() {
    let (mut pair, lists) = pair();
    let list = lists.send("numbers", &(5,));
    let all = list.map(|n| n.send("fail", &()));
    pair.run();
    assert_eq!(reason(&all), "ValueError: three");
}

#[test]
fn what_is_no_list_cannot_be_mapped_over_but_nothing_has_no_items() {
    let (mut pair, lists) = pair();
    let report = lists.send("report", &()).map(|item| item);
    let object = lists.map(|item| item);
    let nothing = lists.send("nothing", &()).map(|item| item);
    pair.run();
    assert!(
        reason(&report).contains("only a list"),
        "{}",
        reason(&report)
    );
    assert!(
        reason(&object).contains("methods only"),
        "{}",
        reason(&object)
    );
    assert!(outcome::<()>(&nothing).is_some_and(|end| end.is_ok()));
}

#[test]
fn the_stand_in_is_of_no_use_elsewhere_and_says_so() {
    let (mut pair, lists) = pair();
    let mut kept = None;
    let list = lists.send("numbers", &(2,));
    let items = list.map(|item| {
        kept = Some((item.clone(), item.send("get", &())));
        item
    });
    let (item, result) = kept.expect("the function was called");
    let late = item.send("get", &());
    pair.run();
    for promise in [&item, &result, &late] {
        assert!(
            reason(promise).contains("given to map"),
            "{}",
            reason(promise)
        );
    }
    assert_eq!(value::<Vec<Reference>>(&items).len(), 2);
    // Nothing is recorded any more.
    let plain = lists.send("plain", &());
    pair.run();
    assert!(outcome::<Value>(&plain).is_some_and(|plain| plain.is_ok()));
}

#[test]
fn a_function_that_sends_too_much_or_forges_symbols_is_refused_here() {
    let (mut pair, lists) = pair();
    let list = lists.send("plain", &());
    let long = list.map(|item| {
        for _ in 0..1001 {
            item.send_only("x", &()).expect("passable");
        }
    });
    let forged = list.map(|_| Symbol("marotte:0:0".to_owned()));
    pair.run();
    assert!(
        reason(&long).contains("more than 1000"),
        "{}",
        reason(&long)
    );
    assert!(reason(&forged).contains("marotte:"), "{}", reason(&forged));
}

#[test]
fn a_peer_gets_no_more_calls_out_of_one_message_than_the_limit() {
    let limits = Limits {
        max_map_calls: 100,
        ..Limits::default()
    };
    let (mut pair, lists) = pair_with(limits);
    let list = lists.send("numbers", &(20,));
    let some = list.map(|n| n.send("get", &()));
    let nested = list.map(|_| list.map(|n| n.send("get", &())));
    let long = list.map(|n| n.send("add", &("x".repeat(10_000),)));
    pair.run();
    assert_eq!(value::<Vec<i64>>(&some).len(), 20);
    for promise in [&nested, &long] {
        assert_eq!(reason(promise), "limit passed: max_map_calls");
    }
    assert!(pair.at_b.connection.is_open());
}

#[test]
fn what_is_no_program_breaks_its_answer_only() {
    let (mut pair, lists) = pair();
    let list = lists.send("plain", &());
    let slot = |n: u32| Symbol(format!("marotte:0:{n}"));
    let forged = |args: &dyn Fn(&Promise) -> Promise| args(&list);
    let map = "marotte:map";
    let refused = [
        forged(&|list| list.send(map, &())),
        forged(&|list| list.send(map, &(0,))),
        forged(&|list| list.send(map, &(-1, [0; 0], 0))),
        forged(&|list| list.send(map, &("0", [0; 0], 0))),
        forged(&|list| list.send(map, &(0, 7, 0))),
        forged(&|list| list.send(map, &(0, [7], 0))),
        forged(&|list| list.send(map, &(0, [[0; 0]], 0))),
        // A result that is not there, that comes later, that is asked for without being wanted.
        forged(&|list| list.send(map, &(0, [0; 0], slot(7)))),
        forged(&|list| list.send(map, &(0, [(slot(1), "x", true)], 0))),
        forged(&|list| list.send(map, &(0, [(slot(0), "x", true, slot(1))], 0))),
        forged(&|list| list.send(map, &(0, [(slot(0), "x", false)], slot(1)))),
        forged(&|list| list.send(map, &(0, [("text", "x", true)], 0))),
        forged(&|list| list.send(map, &(0, [(slot(0), 7, true)], 0))),
        forged(&|list| list.send(map, &(0, [(slot(0), "x", "y")], 0))),
    ];
    pair.run();
    for (index, promise) in refused.iter().enumerate() {
        let end = outcome::<Value>(promise);
        // A symbol that stands for nothing is a symbol.
        let is_symbol = index == 7 || index == 10;
        assert_eq!(end.is_some_and(|end| end.is_ok()), is_symbol, "{index}");
    }
    assert!(pair.at_b.connection.is_open());
}

#[test]
fn long_chains_of_maps_need_no_stack_and_paths_are_bounded() {
    let (mut pair, lists) = pair();
    let (promise, resolver) = pair.b.promise();
    pair.b.register(
        "waits",
        object(move |_, _| Answer::Promise(promise.clone())),
    );
    let mut last = pair.fetch("waits").send("get", &());
    for _ in 0..20_000 {
        last = last.map(|item| item);
    }
    pair.run();
    // A list that holds a promise for a list, and so on: the path passes them all.
    let mut nested = lists.send("echo", &([7],));
    for _ in 0..99 {
        nested = lists.send("echo", &([nested],));
    }
    let deep = nested.get(&vec![0; 100]);
    let deeper = nested.get(&vec![0; 1001]);
    drop(nested);
    resolver.smash("no list after all");
    pair.run();
    assert_eq!(reason(&last), "no list after all");
    assert_eq!(value::<i64>(&deep), 7);
    assert!(reason(&deeper).contains("more than 1000 keys"));
}

#[test]
fn maps_over_maps_settle_one_after_the_other() {
    let (mut pair, lists) = pair();
    let (promise, resolver) = pair.b.promise();
    pair.b.register(
        "waits",
        object(move |method, _| match method {
            "list" => reply(Ok::<_, Error>([1, 2])),
            _ => Answer::Promise(promise.clone()),
        }),
    );
    let waits = pair.fetch("waits");
    let mut last = waits.send("get", &()).send("list", &());
    for _ in 0..20_000 {
        last = last.map(|item| item);
    }
    pair.run();
    resolver.fulfil(Reference::from_arc(object(|_, _| {
        reply(Ok::<_, Error>([1, 2]))
    })));
    pair.run();
    assert_eq!(value::<Vec<i64>>(&last), [1, 2]);
    drop(lists);
}
