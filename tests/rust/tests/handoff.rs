//! Three vats: one introduces another to an object of the third.

use std::sync::{Arc, Mutex};

use marotte::native::reply;
use marotte::{Error, Promise, Reference};
use marotte_tests::{Net, object, outcome, reason, value};

const GIFTER: usize = 0;
const EXPORTER: usize = 1;
const RECEIVER: usize = 2;

/// Gifter and exporter have met, gifter and receiver too; the receiver has dialled the exporter, who
/// has not heard it yet if `late`. The exporter's object logs what it gets; the receiver's "friend"
/// sends "hello from friend" to whatever it is given, and keeps it.
struct Three {
    net: Net,
    log: Arc<Mutex<Vec<String>>>,
    kept: Arc<Mutex<Vec<Promise>>>,
    to_exporter: Promise,
    to_friend: Promise,
}

const GIFTER_TO_EXPORTER: usize = 0;
const RECEIVER_TO_EXPORTER: usize = 2;

fn three(late: bool) -> Three {
    let mut net = Net::new(3);
    for side in &net.sides {
        side.vat.introduce_peers(true);
    }
    let log = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::new(Mutex::new(Vec::new()));
    let logged = Arc::clone(&log);
    let target = object(move |method, _| {
        let mut log = logged.lock().expect("no test thread panicked");
        log.push(method.to_owned());
        reply(Ok::<_, Error>(log.len() as i64))
    });
    net.sides[EXPORTER].register("log", target);
    let keep = Arc::clone(&kept);
    net.sides[RECEIVER].register(
        "friend",
        object(move |_, args| match args.take1::<Promise>() {
            Ok(gift) => {
                let result = gift.send("hello from friend", &());
                keep.lock().expect("no test thread panicked").push(gift);
                marotte::native::Answer::Promise(result)
            }
            Err(error) => reply::<(), _>(Err(error)),
        }),
    );
    net.join(GIFTER, EXPORTER);
    net.join(GIFTER, RECEIVER);
    net.join(RECEIVER, EXPORTER);
    net.links[RECEIVER_TO_EXPORTER].stuck = late;
    let to_exporter = net.fetch(GIFTER_TO_EXPORTER, "log");
    let to_friend = net.fetch(1, "friend");
    net.run();
    Three {
        net,
        log,
        kept,
        to_exporter,
        to_friend,
    }
}

impl Three {
    fn log(&self) -> Vec<String> {
        self.log.lock().expect("no test thread panicked").clone()
    }

    /// The far reference itself, as a user gets it.
    fn reference(&self) -> Reference {
        value(&self.to_exporter)
    }
}

#[test]
fn the_receiver_ends_with_a_connection_of_its_own_and_the_same_object() {
    let mut three = three(false);
    let first = three.to_friend.send("take", &(three.reference(),));
    let second = three.to_friend.send("take", &(three.reference(),));
    three.net.run();
    assert_eq!((value::<i64>(&first), value::<i64>(&second)), (1, 2));
    let gifts = three.kept.lock().expect("no test thread panicked").clone();
    let [one, other] = &gifts[..] else {
        panic!("two gifts")
    };
    assert_eq!(
        value::<Reference>(one),
        value::<Reference>(other),
        "identity"
    );
    // What it sends now passes the gifter by.
    let before = three.net.links[GIFTER_TO_EXPORTER].at_from.stats();
    let direct = one.send("directly", &());
    three.net.run();
    assert_eq!(value::<i64>(&direct), 3);
    assert_eq!(
        three.net.links[GIFTER_TO_EXPORTER]
            .at_from
            .stats()
            .messages_sent,
        before.messages_sent
    );
    // The gifter may go.
    three.net.links[GIFTER_TO_EXPORTER].at_from.hang_up("gone");
    three.net.links[GIFTER_TO_EXPORTER].at_to.hang_up("gone");
    let after = one.send("after", &());
    three.net.run();
    assert_eq!(value::<i64>(&after), 4);
}

#[test]
fn order_is_kept_across_an_introduction() {
    let mut three = three(false);
    let reference = three.reference();
    // The exporter hears nothing of the gifter for a while, the receiver does.
    three.net.links[GIFTER_TO_EXPORTER].stuck = true;
    let one = three.to_exporter.send("from the gifter", &());
    let _two = three.to_friend.send("take", &(reference,));
    three.net.run();
    assert!(three.log().is_empty(), "the gift waits for its deposit");
    assert!(outcome::<i64>(&one).is_none());
    three.net.links[GIFTER_TO_EXPORTER].stuck = false;
    three.net.run();
    assert_eq!(three.log(), ["from the gifter", "hello from friend"]);
}

#[test]
fn a_gift_waits_for_the_connection_and_holds_up_nothing_else() {
    let mut three = three(true);
    let gift = three.to_friend.send("take", &(three.reference(),));
    let other = three.to_exporter.send("meanwhile", &());
    three.net.run();
    assert!(outcome::<i64>(&gift).is_none());
    assert_eq!(value::<i64>(&other), 1);
    three.net.links[RECEIVER_TO_EXPORTER].stuck = false;
    three.net.run();
    assert_eq!(value::<i64>(&gift), 2);
}

#[test]
fn a_gift_breaks_if_the_exporter_cannot_be_reached() {
    let mut three = three(true);
    let gift = three.to_friend.send("take", &(three.reference(),));
    three.net.run();
    three.net.links[RECEIVER_TO_EXPORTER]
        .at_from
        .hang_up("no route");
    three.net.run();
    assert!(reason(&gift).contains("no route"), "{}", reason(&gift));
}

#[test]
fn a_gift_breaks_if_the_gifter_leaves_before_it_has_deposited_it() {
    let mut three = three(false);
    let reference = three.reference();
    three.net.links[GIFTER_TO_EXPORTER].stuck = true;
    let gift = three.to_friend.send("take", &(reference,));
    three.net.run();
    three.net.links[GIFTER_TO_EXPORTER].at_to.hang_up("lost");
    three.net.run();
    assert!(reason(&gift).contains("lost"), "{}", reason(&gift));
}

#[test]
fn nobody_else_can_use_a_gift_and_nobody_can_use_it_twice() {
    let mut three = three(true);
    let gift = three.to_friend.send("take", &(three.reference(),));
    three.net.run();
    three.net.links[RECEIVER_TO_EXPORTER].stuck = false;
    three.net.run();
    assert_eq!(value::<i64>(&gift), 1);
    // Replayed on the same session: the count was used.
    let replayed = withdrawal(&three.net.links[RECEIVER_TO_EXPORTER].at_from.written);
    let exporter = &mut three.net.links[RECEIVER_TO_EXPORTER].at_to;
    exporter.feed(&replayed);
    let answer = exporter.take_last_words();
    assert!(
        answer.contains("the hand-off's count was used before"),
        "{answer}"
    );
    // On another session of the same peer: made out for another session.
    let again = three.net.join(RECEIVER, EXPORTER);
    three.net.run();
    let exporter = &mut three.net.links[again].at_to;
    exporter.feed(&replayed);
    let answer = exporter.take_last_words();
    assert!(answer.contains("made out for another session"), "{answer}");
}

/// The frame that asks for a gift, with other numbers for the answer.
fn withdrawal(written: &[u8]) -> Vec<u8> {
    let mut rest = written;
    while let Some(colon) = rest.iter().position(|&byte| byte == b':') {
        let length: usize = String::from_utf8_lossy(&rest[..colon])
            .parse()
            .expect("a length");
        let message = &rest[colon + 1..][..length];
        rest = &rest[colon + 1 + length..];
        if message.windows(13).any(|part| part == b"withdraw-gift") {
            let end = message.iter().rposition(|&byte| byte == b']');
            let mut changed = message[..=end.expect("a list of arguments")].to_vec();
            changed.extend_from_slice(b"77+<18'desc:import-object77+>>");
            return [format!("{}:", changed.len()).as_bytes(), &changed].concat();
        }
    }
    panic!("nobody asked for a gift");
}
