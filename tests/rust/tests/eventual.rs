//! Promises, sends and turns as a Rust program uses them, on tubs over TCP; and the examples that the
//! project comes from.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use marotte::deferred::{Deferred, set_unhandled_hook};
use marotte::promise::State;
use marotte::{Error, Promise, Reference, Tub};
use tokio::sync::oneshot;

const SUCCESS: &str = "success";

struct Build;

#[marotte::remote]
impl Build {
    fn get_results(&self) -> &'static str {
        SUCCESS
    }
}

struct Builder;

#[marotte::remote]
impl Builder {
    fn get_build(&self, number: i64) -> Result<Reference, Error> {
        if number == -1 {
            Ok(Reference::new(Build))
        } else {
            Err(Error::remote("KeyError: no such build"))
        }
    }
}

/// Tells when it is dropped.
struct Dropped(mpsc::Sender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[derive(Default)]
struct Status {
    heard: Mutex<Vec<String>>,
    dropped: Mutex<Option<mpsc::Sender<()>>>,
}

#[marotte::remote]
impl Status {
    fn get_builder(&self, name: String) -> Reference {
        assert_eq!(name, "full");
        Reference::new(Builder)
    }

    fn hear(&self, word: String) {
        self.heard.lock().unwrap().push(word);
    }

    async fn forever(&self) {
        let _told = Dropped(self.dropped.lock().unwrap().take().unwrap());
        std::future::pending::<()>().await;
    }

    fn add(&self, a: i64, b: i64) -> i64 {
        a + b
    }
}

struct Pair {
    server: Tub,
    client: Tub,
    uri: String,
    status: Arc<Status>,
}

async fn pair() -> Pair {
    let (server, client) = (Tub::new(), Tub::new());
    server.listen_tcp("127.0.0.1:0").await.unwrap();
    let status = Arc::new(Status::default());
    let uri = server.register_arc(Arc::clone(&status) as _, None).unwrap();
    Pair {
        server,
        client,
        uri,
        status,
    }
}

async fn within<T>(future: impl IntoFuture<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future)
        .await
        .expect("it ends within ten seconds")
}

// The examples of the notes from 2006.

/// Runs an example against a status that is there already; returns the round trips it took.
async fn with_status(example: impl FnOnce(Promise, oneshot::Sender<String>)) -> u64 {
    let pair = pair().await;
    let status: Reference = within(pair.client.get_reference(&pair.uri).when())
        .await
        .unwrap();
    let before = pair.client.stats().round_trips;
    let (done, results) = oneshot::channel();
    example(Promise::from(status), done);
    assert_eq!(within(results).await.unwrap(), "yay!");
    pair.client.stats().round_trips - before
}

fn check_results(results: &str) -> String {
    if results == SUCCESS { "yay!" } else { "boo" }.to_owned()
}

#[tokio::test]
async fn example_1_call_remote_and_deferreds() {
    let trips = with_status(|s, done| {
        let builder = within(async move {
            let status: Reference = s.when().await.unwrap();
            let d = status
                .call_remote::<Reference, _>("getBuilder", &("full",))
                .and_then(|builder| builder.call_remote::<Reference, _>("getBuild", &(-1,)))
                .and_then(|build| build.call_remote::<String, _>("getResults", &()));
            d.await.unwrap()
        });
        tokio::spawn(async move { done.send(check_results(&builder.await)) });
    })
    .await;
    assert_eq!(trips, 3);
}

#[tokio::test]
async fn example_2_send_and_when() {
    let trips = with_status(|s, done| {
        let b = s.send("getBuilder", &("full",));
        let b1 = b.send("getBuild", &(-1,));
        let r = b1.send("getResults", &());
        r.deferred::<String>()
            .add_callback(|results| check_results(&results))
            .add_callback(|said| {
                done.send(said).unwrap();
                String::new()
            });
    })
    .await;
    assert_eq!(trips, 1);
}

#[tokio::test]
async fn examples_3_to_5_as_if_it_were_here() {
    let trips = with_status(|s, done| {
        s.send("getBuilder", &("full",))
            .send("getBuild", &(-1,))
            .send("getResults", &())
            .then(|results: String| check_results(&results))
            .except(|oops| oops.to_string())
            .then(|said: String| drop(done.send(said)))
            .deferred::<()>();
    })
    .await;
    assert_eq!(trips, 1);
}

// Promises of one's own.

#[tokio::test]
async fn messages_wait_in_a_promise_in_order() {
    let tub = Tub::new();
    let status = Arc::new(Status::default());
    let (promise, resolver) = tub.make_promise();
    assert_eq!(promise.state(), State::Eventual);
    promise.send_only("hear", &("one",)).unwrap();
    let sum = promise.send("add", &(1, 2));
    promise.send_only("hear", &("two",)).unwrap();
    resolver.resolve(&Reference::from_arc(Arc::clone(&status) as _));
    promise.send_only("hear", &("three",)).unwrap();
    assert_eq!(within(sum.when::<i64>()).await.unwrap(), 3);
    within(tub.flush_eventual_queue()).await.unwrap();
    assert_eq!(*status.heard.lock().unwrap(), ["one", "two", "three"]);
    assert_eq!(promise.state(), State::Near);
}

#[tokio::test]
async fn a_smashed_promise_breaks_what_was_sent_to_it_before_and_after() {
    let tub = Tub::new();
    let (promise, resolver) = tub.make_promise();
    let before = promise.send("x", &()).send("y", &());
    resolver.smash("KeyError: gone");
    let after = promise.send("z", &());
    for broken in [before, after, promise] {
        let error = within(broken.when::<()>()).await.unwrap_err();
        let Error::Remote(error) = error else {
            panic!("{error:?}");
        };
        assert_eq!(
            (error.kind(), &*error.message),
            (Some("KeyError"), "KeyError: gone")
        );
        assert_eq!(broken.state(), State::Broken);
    }
    let (promise, resolver) = tub.make_promise();
    drop(resolver);
    let error = within(promise.when::<()>()).await.unwrap_err();
    assert!(error.to_string().contains("the resolver was dropped"));
}

#[tokio::test]
async fn a_promise_resolved_to_another_is_what_that_becomes_and_a_circle_breaks() {
    let tub = Tub::new();
    let (first, one) = tub.make_promise();
    let (second, two) = tub.make_promise();
    one.follow(second.clone());
    two.resolve(&7);
    assert_eq!(within(first.when::<i64>()).await.unwrap(), 7);

    let (a, to_b) = tub.make_promise();
    let (b, to_c) = tub.make_promise();
    let (c, to_a) = tub.make_promise();
    to_b.resolve(&b);
    to_c.follow(c.clone());
    to_a.resolve(&a);
    for promise in [a, b, c] {
        let error = within(promise.when::<()>()).await.unwrap_err();
        assert!(error.to_string().contains("itself"), "{error}");
    }
}

#[tokio::test]
async fn promises_are_made_of_futures_and_deferreds() {
    let tub = Tub::new();
    let answer = tub.promise_for(async { Ok::<_, Error>(41) });
    assert_eq!(
        within(answer.then(|n: i64| n + 1).when::<i64>())
            .await
            .unwrap(),
        42
    );
    let (deferred, resolver) = Deferred::<i64, String>::new();
    let promise = tub.promise_for(deferred);
    resolver.errback("no luck".to_owned()).unwrap();
    let error = within(promise.when::<i64>()).await.unwrap_err();
    assert!(error.to_string().contains("no luck"), "{error}");
    // The other way, before and after it has settled.
    let (promise, resolver) = tub.make_promise();
    let before = promise.deferred::<String>();
    resolver.resolve("text");
    assert_eq!(within(before).await.unwrap(), "text");
    assert_eq!(within(promise.deferred::<String>()).await.unwrap(), "text");
    let wrong = within(promise.deferred::<u8>()).await.unwrap_err();
    assert!(Error::from(wrong).to_string().contains("expected u8"));
}

// Turns.

#[tokio::test]
async fn a_turn_runs_to_its_end_and_one_that_panics_does_not_stop_the_next() {
    let tub = Tub::new();
    let seen: Arc<Mutex<Vec<u32>>> = Arc::default();
    let note = |number: u32| {
        let seen = Arc::clone(&seen);
        move || seen.lock().unwrap().push(number)
    };
    let (first, again) = (note(1), tub.clone());
    let later = note(4);
    tub.eventually(move || {
        again.eventually(later);
        first();
    });
    tub.eventually(|| panic!("a turn that fails, as it should"));
    tub.eventually(note(3));
    assert!(seen.lock().unwrap().is_empty());
    within(tub.flush_eventual_queue()).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [1, 3, 4]);
    assert_eq!(within(tub.fire_eventually(5)).await.unwrap(), 5);
}

#[tokio::test(flavor = "current_thread")]
async fn a_flood_of_turns_lets_others_have_their_say() {
    fn flood(tub: Tub, left: Arc<AtomicUsize>) {
        if left.fetch_sub(1, Relaxed) > 1 {
            tub.clone().eventually(move || flood(tub, left));
        }
    }
    let tub = Tub::new();
    let left = Arc::new(AtomicUsize::new(100_000));
    flood(tub.clone(), Arc::clone(&left));
    let mut chances = 0;
    while left.load(Relaxed) > 0 {
        tokio::task::yield_now().await;
        chances += 1;
    }
    assert!(chances > 100, "{chances}");
}

// What is far.

#[tokio::test]
async fn states_of_what_is_far_and_its_end() {
    let pair = pair().await;
    let promise = pair.client.get_reference(&pair.uri);
    let builder = promise.send("getBuilder", &("full",));
    assert_eq!(
        (promise.state(), builder.state()),
        (State::Remote, State::Remote)
    );
    let far: Reference = within(builder.when()).await.unwrap();
    assert_eq!((far.state(), builder.state()), (State::Far, State::Far));

    let (tell, told) = mpsc::channel();
    let late = tell.clone();
    let never = far.notify_on_disconnect(|_| panic!("it was taken back"));
    assert!(never.forget());
    let _watcher = far.notify_on_disconnect(move |reason| tell.send(reason).unwrap());
    pair.server.close();
    let reason = within(tokio::task::spawn_blocking(move || {
        let reason = told.recv().unwrap();
        (reason, told)
    }));
    let (reason, told) = reason.await.unwrap();
    assert!(matches!(reason, Error::Disconnected(_)));
    assert!(reason.to_string().contains("ocapn://"), "{reason}");
    assert_eq!(far.state(), State::Broken);
    let _watcher = far.notify_on_disconnect(move |reason| late.send(reason).unwrap());
    within(pair.client.flush_eventual_queue()).await.unwrap();
    assert_eq!(told.try_recv().unwrap(), reason);
    assert!(told.try_recv().is_err());
    let broken = within(far.send("getBuild", &(-1,)).when::<()>()).await;
    assert_eq!(broken, Err(reason));
}

#[tokio::test]
async fn a_message_without_an_answer_has_none_on_the_wire() {
    let pair = pair().await;
    let status: Reference = within(pair.client.get_reference(&pair.uri).when())
        .await
        .unwrap();
    let before = pair.server.stats().messages_sent;
    for _ in 0..100 {
        status.send_only("hear", &("psst",)).unwrap();
    }
    let sum = status.send("add", &(1, 1));
    assert_eq!(within(sum.when::<i64>()).await.unwrap(), 2);
    assert_eq!(pair.status.heard.lock().unwrap().len(), 100);
    assert_eq!(pair.server.stats().messages_sent - before, 1);
}

#[tokio::test]
async fn cancelling_a_call_drops_the_future_of_the_method() {
    let pair = pair().await;
    let status: Reference = within(pair.client.get_reference(&pair.uri).when())
        .await
        .unwrap();
    for with_deferred in [false, true] {
        let (tell, told) = mpsc::channel();
        *pair.status.dropped.lock().unwrap() = Some(tell);
        let ends = if with_deferred {
            let call = status.call_remote::<(), _>("forever", &());
            within(status.send("add", &(1, 1)).when::<i64>())
                .await
                .unwrap();
            call.cancel();
            within(call).await.unwrap_err().into()
        } else {
            let call = status.send("forever", &());
            within(status.send("add", &(1, 1)).when::<i64>())
                .await
                .unwrap();
            call.cancel();
            within(call.when::<()>()).await.unwrap_err()
        };
        assert_eq!(ends, Error::Cancelled);
        within(tokio::task::spawn_blocking(move || told.recv().unwrap()))
            .await
            .unwrap();
    }
    within(async {
        while pair.client.stats().questions > 0 || pair.server.stats().answers > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// One test for all of this: the hook is one for the whole program, and others run beside it.
#[tokio::test]
async fn a_broken_promise_that_nobody_looks_at_is_reported_once() {
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    set_unhandled_hook(move |unhandled| {
        if unhandled.to_string().contains("nobody will see me") {
            assert!(unhandled.made().is_none());
            tell.lock().unwrap().send(()).unwrap();
        }
    });
    let tub = Tub::new();
    for look in [false, true] {
        let (promise, resolver) = tub.make_promise();
        let next = promise.then(|n: i64| n);
        resolver.smash("nobody will see me");
        within(tub.flush_eventual_queue()).await.unwrap();
        if look {
            within(next.when::<i64>()).await.unwrap_err();
        }
        drop((promise, next));
    }
    assert_eq!(told.try_iter().count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_circle_that_two_threads_close_at_once_breaks() {
    let tub = Tub::new();
    for _ in 0..2_000 {
        let ((a, of_a), (b, of_b)) = (tub.make_promise(), tub.make_promise());
        let start = Arc::new(std::sync::Barrier::new(2));
        let threads = [(of_a, b.clone()), (of_b, a.clone())].map(|(resolver, other)| {
            let start = Arc::clone(&start);
            std::thread::spawn(move || {
                start.wait();
                resolver.follow(other);
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
        for promise in [a, b] {
            let error = within(promise.when::<()>()).await.unwrap_err();
            assert!(error.to_string().contains("itself"), "{error}");
        }
    }
}
