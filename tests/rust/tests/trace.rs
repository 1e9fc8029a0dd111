//! Who sent what, because of which message.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use marotte::{Reference, Trace, Tub};
use serde_json::Value;

struct Shop(Reference);

#[marotte::remote]
impl Shop {
    /// Asks the warehouse, and waits for it.
    async fn buy(&self, what: String) -> Result<String, marotte::Error> {
        let has = self.0.send("has", &(&what,)).when::<bool>().await?;
        self.0.send_only("note", &(&what,))?;
        Ok(if has { what } else { String::new() })
    }
}

struct Warehouse;

#[marotte::remote]
impl Warehouse {
    fn has(&self, _what: String) -> bool {
        true
    }
    fn note(&self, _what: String) {}
}

/// What the pictures show: each turn by its name and process, and what it was caused by.
struct Picture {
    /// The ends of each arrow: where it begins, and the turns that it leads to.
    arrows: BTreeMap<String, (Option<String>, Vec<String>)>,
}

impl Picture {
    fn of(traces: &[Arc<Trace>]) -> Self {
        let mut arrows: BTreeMap<String, (Option<String>, Vec<String>)> = BTreeMap::new();
        for trace in traces {
            let all: Value = serde_json::from_str(&trace.to_chrome_json()).unwrap();
            let events = all["traceEvents"].as_array().unwrap();
            let name = events[0]["args"]["name"].as_str().unwrap();
            let slices: Vec<_> = events.iter().filter(|event| event["ph"] == "X").collect();
            for event in events {
                let phase = event["ph"].as_str().unwrap();
                if phase != "s" && phase != "f" {
                    continue;
                }
                let at = event["ts"].as_u64().unwrap();
                let around = |slice: &&&Value| {
                    let began = slice["ts"].as_u64().unwrap();
                    (began..=began + slice["dur"].as_u64().unwrap()).contains(&at)
                };
                // Each end is in a slice, or the picture would not show it.
                let inner = slices.iter().rfind(around).expect("a slice");
                let turn = format!("{name}: {}", inner["name"].as_str().unwrap());
                let arrow = arrows
                    .entry(event["id"].as_str().unwrap().to_owned())
                    .or_default();
                if phase == "s" {
                    assert!(arrow.0.replace(turn).is_none(), "an arrow begins once");
                } else {
                    arrow.1.push(turn);
                }
            }
        }
        Self { arrows }
    }

    /// The turns that lead to others.
    fn causes(&self) -> BTreeSet<(String, String)> {
        let whole = |(from, to): &(Option<String>, Vec<String>)| {
            let from = from.clone().expect("an arrow comes from somewhere");
            to.iter()
                .map(|to| (from.clone(), to.clone()))
                .collect::<Vec<_>>()
        };
        self.arrows.values().flat_map(whole).collect()
    }
}

#[tokio::test]
async fn the_notes_of_three_tubs_make_one_picture() {
    let (warehouse, shop, client) = (Tub::new(), Tub::new(), Tub::new());
    warehouse.listen("tcp://127.0.0.1:0", None).await.unwrap();
    shop.listen("noise://127.0.0.1:0", None).await.unwrap();
    let uri = warehouse.register_reference(Warehouse, None).unwrap();
    let held: Reference = shop.get_reference(&uri).when().await.unwrap();
    let uri = shop.register_reference(Shop(held), None).unwrap();
    let traces: Vec<_> = [
        (&warehouse, "warehouse"),
        (&shop, "shop"),
        (&client, "client"),
    ]
    .map(|(tub, name)| tub.trace(name))
    .into();
    let remote = client.get_reference(&uri);
    let bought = remote.send("buy", &("a \"pear\"",));
    assert_eq!(bought.when::<String>().await.unwrap(), "a \"pear\"");
    let done: Reference = remote.when().await.unwrap();
    drop(done);
    // The note may be on its way still.
    while warehouse.stats().calls_received < 3 {
        tokio::task::yield_now().await;
    }
    tokio::task::yield_now().await;
    let causes = Picture::of(&traces).causes();
    for (from, to) in [
        ("client: send buy", "shop: buy"),
        ("shop: buy", "warehouse: has"),
        ("shop: buy", "warehouse: note"),
        // It has waited, and gone on.
        ("shop: buy", "shop: buy"),
    ] {
        let arrow = (from.to_owned(), to.to_owned());
        assert!(causes.contains(&arrow), "{arrow:?} is not in {causes:#?}");
    }
    for tub in [&warehouse, &shop, &client] {
        tub.end_trace();
    }
    let before = traces[1].to_chrome_json();
    client
        .get_reference(&uri)
        .send("buy", &("x",))
        .when::<String>()
        .await
        .unwrap();
    assert_eq!(traces[1].to_chrome_json(), before);
}

#[tokio::test]
async fn what_a_peer_chooses_takes_little_and_an_end_is_one() {
    struct Slow;

    #[marotte::remote]
    impl Slow {
        async fn wait(&self, until: marotte::Promise) -> Result<i64, marotte::Error> {
            until.when::<i64>().await
        }
    }

    let (server, client) = (Tub::new(), Tub::new());
    server.listen("tcp://127.0.0.1:0", None).await.unwrap();
    let uri = server.register_reference(Slow, None).unwrap();
    // Two of one name, as two programs may have.
    let traces = [server.trace("it"), client.trace("it")];
    let remote = client.get_reference(&uri);
    let (until, resolver) = client.make_promise();
    let waiting = remote.send("wait", &(until,));
    let long = remote.send(&"é".repeat(1_000_000), &());
    assert!(long.when::<i64>().await.is_err());
    // Nothing is drawn from one to the other that has the same name only.
    Picture::of(&traces).causes();
    server.end_trace();
    let before = traces[0].to_chrome_json();
    assert!(before.len() < 10_000, "{}", before.len());
    // What had begun goes on, and is not noted.
    resolver.resolve(&7_i64);
    assert_eq!(waiting.when::<i64>().await.unwrap(), 7);
    assert_eq!(traces[0].to_chrome_json(), before);
}

#[tokio::test]
async fn only_the_newest_are_kept() {
    let tub = Tub::new();
    let trace = tub.trace("one");
    for _ in 0..60_000 {
        tub.eventually(|| {});
    }
    tub.flush_eventual_queue().await.unwrap();
    assert!(trace.lost() > 20_000);
    assert!(trace.to_chrome_json().len() < 40_000_000);
}

/// What subscribers of `tracing` have written.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Talkative;

#[marotte::remote]
impl Talkative {
    async fn talk(&self) {
        tokio::task::yield_now().await;
        tracing::info!("after waiting");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn subscribers_see_messages_and_connections() {
    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _default = tracing::subscriber::set_default(subscriber);
    let (server, client) = (Tub::new(), Tub::new());
    server.listen("noise://127.0.0.1:0", None).await.unwrap();
    let uri = server
        .register_reference(Talkative, Some("secret name"))
        .unwrap();
    client
        .get_reference(&uri)
        .send("talk", &())
        .when::<()>()
        .await
        .unwrap();
    server.close();
    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    assert!(
        text.contains(r#"message{selector="talk"}: trace: after waiting"#),
        "{text}"
    );
    assert!(text.contains("connection opened peer=ocapn://"), "{text}");
    let closed = "connection closed peer=\"ocapn://";
    assert!(
        text.contains(closed) && text.contains("the tub was closed"),
        "{text}"
    );
    let swiss = uri.split("/s/").nth(1).unwrap().split('?').next().unwrap();
    assert!(
        !text.contains(swiss) && !text.contains("secret name"),
        "{text}"
    );
}
