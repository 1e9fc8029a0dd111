//! Tubs that share their listeners, and the ways that lead to them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use marotte::transport::tokio::{Contact, TubOptions};
use marotte::{Error, Identity, Reconnector, Reference, Tub};

struct Echo;

#[marotte::remote]
impl Echo {
    fn echo(&self, value: i64) -> i64 {
        value
    }
}

fn designator(uri: &str) -> &str {
    let rest = uri.strip_prefix("ocapn://").expect("a URI");
    rest.split_once('.').expect("a transport").0
}

fn with_hints(uri: &str, hints: &str) -> String {
    format!("{}?{hints}", uri.split('?').next().expect("a URI"))
}

async fn echo(client: &Tub, uri: &str, value: i64) -> Result<i64, Error> {
    client
        .get_reference(uri)
        .send("echo", &(value,))
        .when()
        .await
}

#[tokio::test]
async fn tubs_on_one_listener_are_told_apart_by_key() {
    for address in ["noise://127.0.0.1:0", "noise+ws://127.0.0.1:0"] {
        let (one, client) = (Tub::new(), Tub::new());
        one.listen(address, None).await.unwrap();
        let other = one.make_tub();
        let uris = [&one, &other].map(|tub| tub.register_reference(Echo, Some("it")).unwrap());
        assert_eq!(echo(&client, &uris[0], 1).await.unwrap(), 1);
        assert_eq!(echo(&client, &uris[1], 2).await.unwrap(), 2);
        assert_eq!(
            [one.stats().calls_received, other.stats().calls_received],
            [2, 2]
        );
        // Each sees its own objects only.
        let secret = one.register_reference(Echo, None).unwrap();
        let elsewhere = secret.replace(designator(&uris[0]), designator(&uris[1]));
        assert!(echo(&client, &elsewhere, 1).await.is_err());
        assert_eq!(echo(&client, &secret, 3).await.unwrap(), 3);
        // One ends, and what was its own.
        let held: Reference = client.get_reference(&uris[1]).when().await.unwrap();
        other.close();
        let broken: Result<i64, _> = held.send("echo", &(1,)).when().await;
        assert!(matches!(broken, Err(Error::Disconnected(_))));
        assert!(matches!(
            echo(&client, &uris[1], 1).await,
            Err(Error::Disconnected(_))
        ));
        assert_eq!(echo(&client, &uris[0], 4).await.unwrap(), 4);
    }
}

#[tokio::test]
async fn ports_close_with_the_last_tub_that_is_found_there() {
    let client = Tub::new();
    let first = Tub::new();
    let listener = first.listen("noise://127.0.0.1:0", None).await.unwrap();
    let second = first.make_tub();
    let uri = second.register_reference(Echo, None).unwrap();
    drop(first);
    assert_eq!(echo(&client, &uri, 1).await.unwrap(), 1);
    drop(second);
    let address = listener.local_addr().unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
        if tokio::net::TcpStream::connect(address).await.is_err() {
            return;
        }
    }
    panic!("the port is open still");
}

#[tokio::test]
async fn ways_that_lead_elsewhere_are_passed_by() {
    let (server, mallory, client) = (Tub::new(), Tub::new(), Tub::new());
    let listener = server.listen("noise://127.0.0.1:0", None).await.unwrap();
    let theirs = mallory.listen("noise://127.0.0.1:0", None).await.unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = server.register_reference(Echo, None).unwrap();
    let ports = [
        1,
        theirs.local_addr().unwrap().port(),
        silent.local_addr().unwrap().port(),
        listener.local_addr().unwrap().port(),
    ];
    let hints: Vec<_> = ports
        .iter()
        .enumerate()
        .map(|(nth, port)| format!("host.{n}=127.0.0.1&port.{n}={port}", n = nth + 1))
        .collect();
    let uri = with_hints(&uri, &hints.join("&").replace(".1=", "="));
    let call = tokio::time::timeout(Duration::from_secs(5), echo(&client, &uri, 1));
    assert_eq!(call.await.expect("soon").unwrap(), 1);
    assert_eq!(mallory.stats().messages_received, 0);
}

#[tokio::test]
async fn each_way_that_leads_nowhere_is_named() {
    let (server, client) = (Tub::new(), Tub::new());
    server.listen("noise://127.0.0.1:0", None).await.unwrap();
    let uri = server.register_reference(Echo, None).unwrap();
    let uri = with_hints(
        &uri,
        "host=127.0.0.1&port=1&unix=/nowhere&url=ws://127.0.0.1:2",
    );
    let text = echo(&client, &uri, 1).await.unwrap_err().to_string();
    for way in ["127.0.0.1:1: ", "/nowhere: ", "127.0.0.1:2: "] {
        assert!(text.contains(&format!("cannot connect to {way}")), "{text}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_socket_in_the_file_system_and_what_was_left_of_one() {
    let path = std::env::temp_dir().join(format!("marotte-ports-{}", std::process::id()));
    let address = format!("noise+unix://{}", path.display());
    // A program that was killed leaves its name.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let (server, client) = (Tub::new(), Tub::new());
    server.listen(&address, None).await.unwrap();
    let uri = server.register_reference(Echo, None).unwrap();
    assert!(uri.ends_with(&format!("?unix={}", path.display())));
    assert_eq!(echo(&client, &uri, 1).await.unwrap(), 1);
    // Somebody listens there.
    let error = Tub::new().listen(&address, None).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    assert_eq!(echo(&client, &uri, 2).await.unwrap(), 2);
    server.close();
    for _ in 0..1000 {
        if !path.exists() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("the name is left");
}

#[tokio::test]
async fn addresses_and_urls_that_cannot_be_are_refused() {
    let tub = Tub::new();
    for (address, url) in [
        ("udp://127.0.0.1:0", None),
        ("noise://127.0.0.1:0", Some("wss://example.org")),
        ("noise+ws://127.0.0.1:0", Some("noise://example.org:1")),
    ] {
        assert!(tub.listen(address, url).await.is_err(), "{address} {url:?}");
    }
    tub.close();
    assert!(tub.listen("noise://127.0.0.1:0", None).await.is_err());
}

/// Waits until a reconnector stands so.
async fn stands(reconnector: &Reconnector, is_so: impl Fn(&Contact) -> bool) {
    for _ in 0..2000 {
        if is_so(&reconnector.contact()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("it stands as {:?}", reconnector.contact());
}

#[tokio::test]
async fn a_connection_is_kept_while_its_server_comes_and_goes() {
    let folder = std::env::temp_dir().join(format!("marotte-kept-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (key, uri_file) = (folder.join("key"), folder.join("it.uri"));
    let serve = async |address: String| {
        let mut options = TubOptions::default();
        options.identity = Some(Arc::new(
            Identity::load_or_create(&key, || [7; 32]).unwrap(),
        ));
        let tub = Tub::with_options(options);
        let listener = tub.listen(&address, None).await.unwrap();
        let uri = tub.register_in_file(Echo, &uri_file).unwrap();
        (tub, uri, listener.local_addr().unwrap())
    };
    let (server, uri, at) = serve("noise://127.0.0.1:0".to_owned()).await;
    let client = Tub::new();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let reconnector = client
        .connect_to(&uri, move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            panic!("this ends nothing");
        })
        .unwrap();
    let first = reconnector.reference().await.unwrap();
    assert_eq!(first.send("echo", &(1,)).when::<i64>().await.unwrap(), 1);
    server.close();
    stands(&reconnector, |contact| {
        matches!(contact, Contact::Waiting(_))
    })
    .await;
    let lost: Result<i64, _> = first.send("echo", &(2,)).when().await;
    assert!(matches!(lost, Err(Error::Disconnected(_))));
    // Nobody is there yet.
    reconnector.reset();
    stands(&reconnector, |contact| {
        matches!(contact, Contact::Waiting(error) if error.to_string().contains("refused"))
    })
    .await;
    let (server, again, _) = serve(format!("noise://{at}")).await;
    assert_eq!(again, uri);
    reconnector.reset();
    let second = reconnector.reference().await.unwrap();
    assert_eq!(second.send("echo", &(3,)).when::<i64>().await.unwrap(), 3);
    assert_eq!(count.load(Ordering::Relaxed), 2);
    reconnector.stop();
    assert!(reconnector.reference().await.is_none());
    // What there is stays.
    assert_eq!(second.send("echo", &(4,)).when::<i64>().await.unwrap(), 4);
    let other = client.connect_to(&uri, |_| {}).unwrap();
    server.close();
    stands(&other, |contact| matches!(contact, Contact::Waiting(_))).await;
    client.close();
    stands(&other, |contact| matches!(contact, Contact::Stopped)).await;
    assert!(client.connect_to("nonsense", |_| {}).is_err());
    std::fs::remove_dir_all(&folder).unwrap();
}
