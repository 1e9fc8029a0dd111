//! Tubs on tokio: what a peer, a handler or a shutdown must not be able to do.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use marotte::{Promise, Reference, Tub, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Desk {
    notes: AtomicUsize,
    held: Mutex<Option<Reference>>,
}

#[marotte::remote]
impl Desk {
    fn echo(&self, value: Value) -> Value {
        value
    }

    fn note(&self, _: Value) {
        self.notes.fetch_add(1, Ordering::SeqCst);
    }

    fn notes(&self) -> usize {
        self.notes.load(Ordering::SeqCst)
    }

    fn hold(&self, reference: Reference) {
        *self.held.lock().expect("no panic here") = Some(reference);
    }

    fn boom(&self) -> u32 {
        panic!("on purpose")
    }

    async fn late_boom(&self) -> u32 {
        tokio::task::yield_now().await;
        panic!("on purpose")
    }

    async fn never(&self) -> u32 {
        std::future::pending().await
    }

    fn clone(&self, args: u32, method: u32) -> u32 {
        args + method
    }

    fn _hidden(&self) -> u32 {
        42
    }

    #[cfg(any())]
    fn absent(&self, _: NoSuchType) {}
}

async fn pair() -> (Tub, Tub, Promise) {
    let (server, client) = (Tub::new(), Tub::new());
    server.listen_tcp("127.0.0.1:0").await.expect("a port");
    let uri = server
        .register_reference(Desk::default(), None)
        .expect("a listener");
    let desk = client.get_reference(&uri);
    (server, client, desk)
}

async fn number(promise: Promise) -> Result<u32, String> {
    let settled = timeout(SOON, promise.when::<u32>())
        .await
        .expect("it settles");
    settled.map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_panic_is_the_failure_of_one_call() {
    let (_server, _client, desk) = pair().await;
    for method in ["boom", "lateBoom"] {
        let error = number(desk.send(method, &())).await.expect_err("it panics");
        assert!(error.contains("RuntimeError"), "{error}");
    }
    let near = _server.reference(Desk::default());
    assert!(number(near.send("boom", &())).await.is_err());
    assert_eq!(number(near.send("clone", &(1, 2))).await, Ok(3));
    assert_eq!(number(desk.send("clone", &(1, 2))).await, Ok(3));
}

#[tokio::test]
async fn what_begins_with_an_underscore_is_private() {
    let (_server, _client, desk) = pair().await;
    for name in ["_hidden", "Hidden", "hidden", "absent"] {
        let error = number(desk.send(name, &()))
            .await
            .expect_err("it is private");
        assert!(error.contains("no remote method"), "{error}");
    }
}

#[tokio::test]
async fn integers_of_every_size_come_back() {
    let (_server, _client, desk) = pair().await;
    let echoed = desk.send("echo", &(u128::MAX,)).when::<u128>().await;
    assert_eq!(echoed, Ok(u128::MAX));
    assert!(serde_json::to_string(&Value::BigInt("1".repeat(50))).is_err());
}

#[tokio::test]
async fn a_peer_is_not_believed_whose_name_it_takes() {
    // A listener that never answers stands for the victim.
    let victim = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = victim.local_addr().expect("an address");
    // The attacker calls itself as the victim does, and connects to us.
    let (us, attacker) = (Tub::new(), Tub::new());
    let ours = us.listen_tcp("127.0.0.1:0").await.expect("a port");
    let named = attacker.listen_tcp("127.0.0.1:0").await.expect("a port");
    let uri = us
        .register_reference(Desk::default(), None)
        .expect("a listener");
    assert_eq!(
        number(attacker.get_reference(&uri).send("clone", &(1, 2))).await,
        Ok(3)
    );
    let name = &named.location().designator;
    let victims = format!(
        "ocapn://{name}.tcp-testing-only/s/c2VjcmV0?host=127.0.0.1&port={}",
        at.port()
    );
    let calls = attacker.stats().calls_received;
    let _asked = us.get_reference(&victims);
    let (mut socket, _) = timeout(SOON, victim.accept())
        .await
        .expect("dialled")
        .expect("accepted");
    assert!(
        socket.read_u8().await.is_ok(),
        "our hello goes where the reference says"
    );
    assert_eq!(
        attacker.stats().calls_received,
        calls,
        "nothing is asked of the attacker"
    );
    drop(ours);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sides_that_only_send_do_not_stop_each_other() {
    const EACH: usize = 400;
    let (server, client) = (Tub::new(), Tub::new());
    server.listen_tcp("127.0.0.1:0").await.expect("a port");
    let desk = Arc::new(Desk::default());
    let uri = server
        .register_arc(Arc::<Desk>::clone(&desk), None)
        .expect("a listener");
    // Both references go over the one connection.
    let there: Reference = client.get_reference(&uri).when().await.expect("a desk");
    let mine = (Reference::new(Desk::default()),);
    there.send("hold", &mine).when::<()>().await.expect("held");
    let here = desk
        .held
        .lock()
        .expect("no panic here")
        .take()
        .expect("held");
    let much = Value::Bytes(vec![7; 64 << 10]);
    for _ in 0..EACH {
        here.send_only("note", &(&much,)).expect("passable");
        there.send_only("note", &(&much,)).expect("passable");
    }
    for desk in [here, there] {
        let notes = number(Promise::from(desk).send("notes", &())).await;
        assert_eq!(notes, Ok(EACH as u32));
    }
}

#[tokio::test]
async fn many_large_calls_at_once_fit_a_websocket() {
    let (server, client) = (Tub::new(), Tub::new());
    server
        .listen_websocket("127.0.0.1:0")
        .await
        .expect("a port");
    let uri = server
        .register_reference(Desk::default(), None)
        .expect("a listener");
    let desk = client.get_reference(&uri);
    let large = Value::Bytes(vec![7; 1 << 20]);
    let calls: Vec<_> = (0..80).map(|_| desk.send("note", &(&large,))).collect();
    for call in calls {
        let done = timeout(Duration::from_secs(60), call.when::<()>()).await;
        assert_eq!(done.expect("it settles"), Ok(()));
    }
}

#[tokio::test]
async fn callbacks_run_after_their_tub_was_dropped() {
    let (server, client, desk) = pair().await;
    let chained = desk.send("never", &()).except(|error| error.to_string());
    desk.when::<Reference>().await.expect("a desk");
    drop((client, desk));
    let text = timeout(SOON, chained.when::<String>())
        .await
        .expect("it settles");
    assert!(text.is_ok_and(|text| text.contains("the tub was dropped")));
    drop(server);
}

#[test]
fn a_promise_breaks_when_its_runtime_is_gone() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    let tub = runtime.block_on(async { Tub::new() });
    drop(runtime);
    let promise = tub.get_reference("ocapn://x.tcp-testing-only/s/eA?host=127.0.0.1&port=1");
    assert!(!promise.is_pending());
}

#[tokio::test]
async fn closing_does_not_wait_for_a_peer_that_does_not_read() {
    let server = Tub::new();
    let listener = server.listen_tcp("127.0.0.1:0").await.expect("a port");
    let mut idle = TcpStream::connect(listener.local_addr().expect("a port"))
        .await
        .expect("a connection");
    idle.write_u8(b'1').await.expect("half a frame");
    server.close();
    let mut rest = Vec::new();
    timeout(SOON, idle.read_to_end(&mut rest))
        .await
        .expect("the connection ends")
        .ok();
}
