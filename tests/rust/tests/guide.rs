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

#[tokio::test]
#[rustfmt::skip]
async fn the_guide_to_tubs_is_right() {
    use marotte::Tub;

    struct Greeter;

    #[marotte::remote]
    impl Greeter {
        fn greet(&self, name: String) -> String {
            format!("Hello, {name}!")
        }
    }

    let (shop, client) = (Tub::new(), Tub::new());
    shop.listen("noise://127.0.0.1:0", None).await.unwrap();
    let visit = shop.make_tub();
    let uri = visit.register_reference(Greeter, None).unwrap();
    let reconnector = client.connect_to(&uri, |_| println!("connected")).unwrap();
    let greeter = reconnector.reference().await.unwrap();
    let hello: String = greeter.send("greet", &("you",)).when().await.unwrap();
    assert_eq!(hello, "Hello, you!");
    visit.close();                              // the greeter is gone, the shop is open
}

#[tokio::test]
#[rustfmt::skip]
async fn the_guide_to_tubes_is_right() {
    use bytes::Bytes;
    use futures_util::{sink, stream};
    use marotte::tube::framing::{FinalLine, Lines};
    use marotte::tube::{Error, Fount, receiver};

    let chunks = stream::iter(["one\ntw", "o\n"].map(Bytes::from));
    let lines = Fount::new(chunks).through(Lines::new(1000, FinalLine::Error));
    let lengths = lines.through(receiver(|line: Bytes| [line.len()]));
    let mut sum = 0;
    let adding = sink::unfold(&mut sum, |sum, length| async move {
        *sum += length;
        Ok::<_, Error>(sum)
    });
    lengths.flow_to(adding).await.unwrap();
    assert_eq!(sum, 6);
}
