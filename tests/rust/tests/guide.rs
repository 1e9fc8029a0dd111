//! The examples of the guides in docs; tests/python/test_guide.py checks that they are the same.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[test]
#[rustfmt::skip]
fn the_guide_to_deferreds_is_right() {
    use marotte::deferred::{Deferred, Failure};

    let (answer, resolver) = Deferred::<String, String>::new();
    let city = "Oslo";
    let line = answer
        .map(move |weather| format!("{city}: {weather}"))
        .or_else(|failure| match failure {
            Failure::Error(why) => Ok(format!("nothing known: {why}")),
            other => Err(other),                    // cancelled, timed out, …
        });
    resolver.callback("rain".to_owned()).unwrap();
    assert_eq!(line.try_take().unwrap(), Ok("Oslo: rain".to_owned()));
}

#[tokio::test]
#[rustfmt::skip]
async fn the_guide_to_promises_is_right() {
    use marotte::{Reference, Tub};

    struct Adder;

    #[marotte::remote]
    impl Adder {
        fn add(&self, a: i64, b: i64) -> i64 {
            a + b
        }
    }

    let tub = Tub::new();
    let (adder, resolver) = tub.make_promise();
    let sum = adder.send("add", &(1, 2));               // waits in the promise
    resolver.resolve(&Reference::new(Adder));
    assert_eq!(sum.when::<i64>().await.unwrap(), 3);
}
