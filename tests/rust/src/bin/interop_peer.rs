//! The Rust side of the tests between languages: `interop_peer serve tcp|ws` prints a URI and
//! serves until it is killed; `interop_peer call URI` prints a line for each check,
//! `interop_peer chain URI` what a chain of dependent calls gives, and `interop_peer chains URI` what
//! chains of up to eight calls cost: a line of JSON for each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use marotte::captp::Profile;
use marotte::transport::tokio::TubOptions;
use marotte::{Error, Promise, Reference, Symbol, Tub, Value};

#[derive(Clone, Default)]
struct Service {
    depth: i32,
    kept: Arc<Mutex<Option<Reference>>>,
}

#[marotte::remote]
impl Service {
    fn next(&self) -> Reference {
        Reference::new(Self {
            depth: self.depth + 1,
            ..Self::default()
        })
    }

    fn depth(&self) -> i32 {
        self.depth
    }

    fn echo(&self, value: Value) -> Value {
        value
    }

    fn itself(&self) -> Reference {
        Reference::new(self.clone())
    }

    fn fail(&self, message: String) -> Result<(), String> {
        Err(message)
    }

    fn call(&self, listener: Reference, value: Value) -> Promise {
        listener.send("notify", &(value,))
    }

    fn keep(&self, thing: Reference) -> Promise {
        let depth = thing.send("depth", &());
        *self.kept.lock().expect("nobody panics here") = Some(thing);
        depth
    }

    fn kept(&self) -> Result<Promise, String> {
        let kept = self.kept.lock().expect("nobody panics here");
        let thing = kept.as_ref().ok_or("nothing was kept")?;
        Ok(thing.send("depth", &()))
    }

    async fn sum(&self, one: Promise, other: i64) -> Result<i64, Error> {
        Ok(one.when::<i64>().await? + other)
    }
}

/// Notes what it is told, and answers how often it was.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Vec<Value>>>);

#[marotte::remote]
impl Listener {
    fn notify(&self, value: Value) -> usize {
        let mut noted = self.0.lock().expect("no check panics in between");
        noted.push(value);
        noted.len()
    }
}

fn values() -> Vec<Value> {
    let huge = format!("1{}", "0".repeat(300));
    let nested = Value::List(vec![
        Value::Dict(BTreeMap::from([
            ("a".to_owned(), Value::Null),
            (String::new(), Value::List(vec![])),
            ("Ω".to_owned(), Value::Bytes(vec![0, 255])),
        ])),
        Value::Dict(BTreeMap::new()),
    ]);
    vec![
        Value::Null,
        Value::Bool(true),
        Value::Bool(false),
        Value::Int(0),
        Value::Int(-1),
        Value::Int(i128::from(i64::MAX)),
        Value::Int(i128::MIN),
        Value::BigInt(huge.clone()),
        Value::BigInt(format!("-{huge}")),
        Value::Float(0.5),
        Value::Float(f64::INFINITY),
        Value::Float(5e-324),
        Value::from(""),
        Value::from("Grüße, 世界 🌍\0"),
        Value::Symbol(Symbol("red".to_owned())),
        Value::Bytes(vec![]),
        Value::Bytes((0..=255).collect()),
        Value::List(vec![]),
        nested,
    ]
}

async fn check_values(remote: &Promise) -> Result<(), String> {
    for value in values() {
        let back: Value = remote.send("echo", &(&value,)).when().await.map_err(text)?;
        expect(back == value, || format!("{value:?} came back as {back:?}"))?;
    }
    Ok(())
}

async fn check_chain(remote: &Promise, tub: &Tub) -> Result<(), String> {
    let before = tub.stats().round_trips;
    let end = remote
        .send("itself", &())
        .send("itself", &())
        .send("echo", &("end",));
    let end: String = end.when().await.map_err(text)?;
    let trips = tub.stats().round_trips - before;
    expect(end == "end" && trips == 1, || {
        format!("{end:?} after {trips} round trips")
    })
}

async fn check_error(remote: &Promise) -> Result<(), String> {
    match remote.send("fail", &("the reason",)).when::<Value>().await {
        Ok(value) => Err(format!("it did not fail, but gave {value:?}")),
        Err(error) => expect(error.to_string().contains("the reason"), || {
            error.to_string()
        }),
    }
}

async fn check_callback(remote: &Promise) -> Result<(), String> {
    let listener = Listener::default();
    let reference = Reference::new(listener.clone());
    for (value, count) in [("a", 1), ("b", 2)] {
        let told: i64 = remote
            .send("call", &(&reference, value))
            .when()
            .await
            .map_err(text)?;
        expect(told == count, || format!("told {told} times"))?;
    }
    let noted = listener
        .0
        .lock()
        .expect("no check panics in between")
        .clone();
    expect(noted == [Value::from("a"), Value::from("b")], || {
        format!("{noted:?}")
    })
}

async fn check_promise(remote: &Promise) -> Result<(), String> {
    let one = remote.send("echo", &(40,));
    let sum: i64 = remote.send("sum", &(one, 2)).when().await.map_err(text)?;
    expect(sum == 42, || sum.to_string())
}

fn expect(holds: bool, problem: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(problem()) }
}

fn text(error: Error) -> String {
    error.to_string()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut options = TubOptions::default();
    if let Ok(name) = std::env::var("PROFILE") {
        options.profile = Profile::named(&name).expect("a profile");
    }
    let tub = Tub::with_options(options);
    match [&args[0][..], &args[1][..]] {
        ["serve", scheme] => {
            tub.listen(&format!("{scheme}://127.0.0.1:0"), None)
                .await
                .expect("a port is free");
            println!(
                "{}",
                tub.register_reference(Service::default(), None)
                    .expect("it listens")
            );
            std::future::pending::<()>().await;
        }
        ["call", uri] => {
            let remote = tub.get_reference(uri);
            let fetched = remote.when::<Reference>().await.map(|_| ()).map_err(text);
            report("fetch", fetched);
            report("chain", check_chain(&remote, &tub).await);
            report("values", check_values(&remote).await);
            report("error", check_error(&remote).await);
            report("callback", check_callback(&remote).await);
            report("promise", check_promise(&remote).await);
        }
        ["chain", uri] => {
            let builder = tub.get_reference(uri).send("itself", &());
            let end = builder.send("itself", &()).send("echo", &("end",));
            println!("{}", end.when::<String>().await.expect("it arrives"));
        }
        ["introduce", exporter] => introduce(exporter, &args[2]).await.expect("they meet"),
        ["chains", uri] => chains(&tub, uri).await.expect("every chain ends"),
        _ => panic!("usage: interop_peer serve tcp|ws, or interop_peer call URI"),
    }
}

/// Passes an object of the one to the other, which is to call it without us.
async fn introduce(exporter: &str, receiver: &str) -> Result<(), Error> {
    let mut options = TubOptions::default();
    options.introduce = true;
    let tub = Tub::with_options(options);
    let thing: Reference = tub.get_reference(exporter).send("next", &()).when().await?;
    let to: Reference = tub.get_reference(receiver).when().await?;
    assert_eq!(to.send("keep", &(&thing,)).when::<i32>().await?, 1);
    assert_eq!(to.send("kept", &()).when::<i32>().await?, 1);
    println!("calls received {}", tub.stats().calls_received);
    Ok(())
}

async fn chains(tub: &Tub, uri: &str) -> Result<(), Error> {
    let remote = Promise::from(tub.get_reference(uri).when::<Reference>().await?);
    for length in 1..=8 {
        for _ in 0..3 {
            let trips = tub.stats().round_trips;
            let begun = Instant::now();
            let mut end = remote.clone();
            for _ in 1..length {
                end = end.send("next", &());
            }
            assert_eq!(end.send("depth", &()).when::<i32>().await?, length - 1);
            let ms = begun.elapsed().as_secs_f64() * 1000.0;
            let trips = tub.stats().round_trips - trips;
            println!(r#"{{"length": {length}, "ms": {ms}, "round_trips": {trips}}}"#);
        }
    }
    Ok(())
}

fn report(check: &str, result: Result<(), String>) {
    println!(
        "{check} {}",
        result.err().unwrap_or_else(|| "ok".to_owned())
    );
}
