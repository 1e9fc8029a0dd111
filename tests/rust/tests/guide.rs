//! The example of docs/deferreds.md; tests/python/test_guide.py checks that it is the same.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[test]
#[rustfmt::skip]
fn the_guide_is_right() {
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
