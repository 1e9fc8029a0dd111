//! Encrypted tubs, and who is not let in.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use marotte::transport::tokio::TubOptions;
use marotte::{Error, Identity, Reference, Tub};

struct Echo;

#[marotte::remote]
impl Echo {
    fn echo(&self, value: marotte::Value) -> marotte::Value {
        value
    }
}

fn tub(seed: u8) -> Tub {
    let mut options = TubOptions::default();
    options.identity = Some(Arc::new(Identity::from_seed([seed; 32])));
    options.introduce = true;
    Tub::with_options(options)
}

async fn serve(tub: &Tub) -> String {
    tub.listen_noise("127.0.0.1:0").await.unwrap();
    tub.register_reference(Echo, None).unwrap()
}

async fn within<T>(future: impl IntoFuture<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future)
        .await
        .expect("it ends within ten seconds")
}

#[tokio::test]
async fn calls_of_every_size() {
    let (server, client) = (tub(1), tub(2));
    let uri = serve(&server).await;
    assert!(uri.starts_with(&format!(
        "ocapn://{}.noise/s/",
        Identity::from_seed([1; 32]).designator()
    )));
    let remote = client.get_reference(&uri);
    let big = "x".repeat(3 << 20);
    let answers = [
        remote.send("echo", &("small",)),
        remote.send("echo", &(&big,)),
    ];
    assert_eq!(within(answers[0].when::<String>()).await.unwrap(), "small");
    assert!(within(answers[1].when::<String>()).await.unwrap() == big);
    assert_eq!(client.stats().round_trips, 1);
}

#[tokio::test]
async fn whoever_has_another_key_is_not_believed() {
    let (server, mallory, client) = (tub(1), tub(2), tub(3));
    let uri = serve(&server).await;
    let theirs = mallory.listen_noise("127.0.0.1:0").await.unwrap();
    let port = |uri: &str| uri.rsplit_once("port=").unwrap().1.to_owned();
    let uri = uri.replace(
        &port(&uri),
        &theirs.local_addr().unwrap().port().to_string(),
    );
    let error = within(client.get_reference(&uri).when::<Reference>())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Disconnected(_)), "{error:?}");
    assert_eq!(mallory.stats().messages_received, 0);
}

#[tokio::test]
async fn tubs_that_connect_to_each_other_at_once_keep_one_connection() {
    for _ in 0..20 {
        let tubs = [tub(1), tub(2)];
        let uris = [serve(&tubs[0]).await, serve(&tubs[1]).await];
        let both = [
            tubs[0].get_reference(&uris[1]),
            tubs[1].get_reference(&uris[0]),
        ];
        let echoes = both.map(|echo| echo.send("echo", &(1,)));
        for echo in echoes {
            assert_eq!(within(echo.when::<i32>()).await.unwrap(), 1);
        }
    }
}

#[tokio::test]
async fn a_reference_that_names_no_key_says_so() {
    let error = within(
        tub(1)
            .get_reference("ocapn://alice.noise/s/eA?host=127.0.0.1&port=1")
            .when::<()>(),
    )
    .await
    .unwrap_err();
    assert!(error.to_string().contains("names no key"), "{error}");
}

#[tokio::test]
async fn inside_of_a_websocket() {
    let (server, client, other) = (tub(1), tub(2), tub(3));
    let listener = server.listen("noise+ws://127.0.0.1:0", None).await.unwrap();
    let uri = server.register_reference(Echo, Some("it")).unwrap();
    assert!(uri.ends_with(&format!("?url=ws://{}", listener.local_addr().unwrap())));
    let big = "x".repeat(3 << 20);
    let remote = client.get_reference(&uri);
    assert!(
        within(remote.send("echo", &(&big,)).when::<String>())
            .await
            .unwrap()
            == big
    );
    // Where a way leads nowhere, the next is tried.
    let dead = server.listen_noise("127.0.0.1:0").await.unwrap();
    let uri = server.register_reference(Echo, None).unwrap();
    dead.close();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(uri.contains("&port=") && uri.contains("&url=ws://"));
    let remote = other.get_reference(&uri);
    assert_eq!(
        within(remote.send("echo", &(7,)).when::<i64>())
            .await
            .unwrap(),
        7
    );
}

#[tokio::test]
async fn a_peer_that_is_silent_or_one_too_many() {
    let mut options = TubOptions::default();
    options.limits.idle_ms = 200;
    options.limits.max_connections_per_address = 1;
    let (server, client, late) = (Tub::with_options(options), tub(2), tub(3));
    let uri = serve(&server).await;
    let remote = client.get_reference(&uri);
    for n in 0..3 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let echo = within(remote.send("echo", &(n,)).when::<i64>()).await;
        assert_eq!(echo, Ok(n));
    }
    let refused = within(late.get_reference(&uri).when::<Reference>()).await;
    assert!(matches!(refused, Err(Error::Disconnected(_))));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let error = within(remote.send("echo", &(1,)).when::<i64>())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("idle_ms"), "{error}");
    // There is a place again.
    let remote = late.get_reference(&uri);
    assert_eq!(
        within(remote.send("echo", &(1,)).when::<i64>()).await,
        Ok(1)
    );
}

#[tokio::test]
async fn whatever_was_revoked_is_reached_by_nobody() {
    let (server, client) = (tub(1), tub(2));
    server.listen_noise("127.0.0.1:0").await.unwrap();
    let object: Arc<dyn marotte::Referenceable> = Arc::new(Echo);
    let uri = server.register_arc(Arc::clone(&object), None).unwrap();
    let remote = client.get_reference(&uri);
    assert_eq!(
        within(remote.send("echo", &(1,)).when::<i64>()).await,
        Ok(1)
    );
    assert!(server.revoke_arc(&object));
    assert!(!server.revoke(&Reference::from_arc(object)));
    let error = within(remote.send("echo", &(1,)).when::<i64>())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("revoked"), "{error}");
}
