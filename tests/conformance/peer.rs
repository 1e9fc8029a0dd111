//! The objects that the `OCapN` conformance suite asks a peer for.
//!
//! usage: `conformance_peer PORT [PROFILE]`
//!
//! Listens on loopback, prints the peer's locator, and serves until it is killed. What the suite wants
//! of each object is told by its tests.

use std::sync::{Arc, Mutex};

use marotte::captp::Profile;
use marotte::native::{Answer, Args, Resolver, reply};
use marotte::transport::tokio::TubOptions;
use marotte::{Error, Promise, Reference, Referenceable, Symbol, Tub, Value};
use marotte_tests::object;

fn car_factory_builder() -> Arc<dyn Referenceable> {
    object(|_, args| reply(args.finish().map(|()| Reference::from_arc(car_factory()))))
}

fn car_factory() -> Arc<dyn Referenceable> {
    object(|_, args| {
        reply(args.take1::<(Symbol, Symbol)>().map(|(color, model)| {
            let (color, model) = (color.0, model.0);
            let vroom = format!("Vroom! I am a {color} {model} car!");
            Reference::from_arc(object(move |_, _| reply(Ok::<_, Error>(&vroom))))
        }))
    })
}

struct Echo;

impl Referenceable for Echo {
    fn deliver(self: Arc<Self>, method: Option<&str>, mut args: Args<'_>) -> Answer {
        // A symbol that comes first is an argument like any other, here.
        let symbol = method.map(|name| Value::Symbol(Symbol(name.to_owned())));
        let mut all: Vec<Value> = symbol.into_iter().collect();
        while args.finish().is_err() {
            match args.take() {
                Ok(value) => all.push(value),
                Err(error) => return reply::<(), _>(Err(error)),
            }
        }
        reply(Ok::<_, Error>(all))
    }
}

fn greeter() -> Arc<dyn Referenceable> {
    object(|_, args| {
        reply(args.take1::<Promise>().map(|whom| {
            // The answer is of no interest, but it is asked for.
            let _ = whom.call(&("Hello",)).except(|_| ());
        }))
    })
}

/// Takes what a resolver of the protocol's takes.
fn resolver(resolver: Resolver) -> Arc<dyn Referenceable> {
    let resolver = Mutex::new(Some(resolver));
    object(move |method, args| {
        let value = match args.take1::<Value>() {
            Ok(value) => value,
            Err(error) => return reply::<(), _>(Err(error)),
        };
        let resolver = resolver.lock().expect("nothing panics in between").take();
        match (resolver, method) {
            (Some(resolver), "fulfill") => resolver.resolve(&value),
            (Some(resolver), _) => resolver.smash(Error::with_reason(&value).unwrap_or_else(|e| e)),
            (None, _) => {}
        }
        reply(Ok::<_, Error>(()))
    })
}

fn promise_resolver(tub: &Tub) -> Arc<dyn Referenceable> {
    let tub = tub.clone();
    object(move |_, _| {
        let (promise, its_resolver) = tub.make_promise();
        let its_resolver = Reference::from_arc(resolver(its_resolver));
        reply(Ok::<_, Error>((promise, its_resolver)))
    })
}

fn enlivener(tub: &Tub) -> Arc<dyn Referenceable> {
    let tub = tub.clone();
    object(move |_, args| match args.take1::<Value>() {
        Ok(Value::SturdyRef(sturdy)) => Answer::Promise(tub.get_reference(&sturdy.to_string())),
        Ok(_) => reply::<(), _>(Err(Error::remote("TypeError: not a sturdy reference"))),
        Err(error) => reply::<(), _>(Err(error)),
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let port = args
        .next()
        .ok_or("usage: conformance_peer PORT [PROFILE]")?;
    let profile = args.next().unwrap_or_else(|| "draft-2026-07".to_owned());
    let mut options = TubOptions::default();
    options.profile = Profile::named(&profile).ok_or("there is no such profile")?;
    options.introduce = true;
    options.believe = true;
    let tub = Tub::with_options(options);
    let listener = tub.listen_tcp(&format!("127.0.0.1:{port}")).await?;
    for (name, object) in [
        ("JadQ0++RzsD4M+40uLxTWVaVqM10DcBJ", car_factory_builder()),
        ("IO58l1laTyhcrgDKbEzFOO32MDd6zE5w", Arc::new(Echo) as _),
        ("VMDDd1voKWarCe2GvgLbxbVFysNzRPzx", greeter()),
        ("IokCxYmMj04nos2JN1TDoY1bT8dXh6Lr", promise_resolver(&tub)),
        ("gi02I1qghIwPiKGKleCQAOhpy3ZtYRpB", enlivener(&tub)),
    ] {
        tub.register_arc(object, Some(name))?;
    }
    println!("{}", listener.location());
    std::future::pending::<()>().await;
    Ok(())
}
