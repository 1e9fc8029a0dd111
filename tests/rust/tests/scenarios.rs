//! The scenarios of `tests/vectors/promise`: order, exactly-once settling and empty tables, whatever the
//! delays, and whenever the connection is lost.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use marotte::native::Resolver;
use marotte::promise::State;
use marotte::{Error, Promise, Reference, Referenceable, Tub, Value};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

#[derive(Deserialize)]
struct Scenario {
    name: String,
    delays_ms: Vec<u64>,
    cut_before: Option<usize>,
    steps: Vec<Step>,
    expected: Vec<String>,
}

#[derive(Deserialize)]
struct Step {
    #[serde(rename = "do")]
    what: String,
    into: Option<usize>,
    on: Option<usize>,
    give: Option<usize>,
    number: Option<u64>,
    slot: Option<usize>,
    how: Option<String>,
    to: Option<usize>,
    ms: Option<u64>,
}

type Nodes = Arc<Mutex<BTreeMap<usize, Arc<Node>>>>;

/// An object of either side.
struct Node {
    name: usize,
    nodes: Nodes,
    tub: Tub,
    /// For each message the slot that it was sent through, and its number.
    noted: Mutex<Vec<(usize, u64)>>,
    open: Mutex<HashMap<usize, Resolver>>,
}

impl Node {
    fn new(name: usize, nodes: &Nodes, tub: &Tub) -> Arc<Self> {
        let node = Arc::new(Self {
            name,
            nodes: Arc::clone(nodes),
            tub: tub.clone(),
            noted: Mutex::default(),
            open: Mutex::default(),
        });
        nodes.lock().unwrap().insert(name, Arc::clone(&node));
        node
    }
}

#[marotte::remote]
impl Node {
    fn name(&self) -> usize {
        self.name
    }

    fn note(&self, number: u64, slot: usize) -> u64 {
        self.noted.lock().unwrap().push((slot, number));
        number
    }

    fn child(&self, name: usize) -> Reference {
        Reference::from_arc(Self::new(name, &self.nodes, &self.tub) as _)
    }

    fn fail(&self) -> Result<(), Error> {
        Err(Error::remote("RuntimeError: no luck"))
    }

    fn echo(&self, value: Value) -> Value {
        value
    }

    fn later(&self, slot: usize) -> Promise {
        let (promise, resolver) = self.tub.make_promise();
        self.open.lock().unwrap().insert(slot, resolver);
        promise
    }

    fn release(&self, slot: usize, how: String, value: Value) {
        let resolver = self.open.lock().unwrap().remove(&slot);
        resolve(resolver.unwrap(), slot, &how, &value);
    }
}

fn resolve(resolver: Resolver, slot: usize, how: &str, value: &Value) {
    match how {
        "to" => resolver.resolve(value),
        "value" => resolver.resolve(&slot),
        _ => resolver.smash(format!("RuntimeError: smashed {slot}")),
    }
}

/// Passes on what two ends say, late, until it is cut.
struct Link {
    port: u16,
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Link {
    async fn new(port: u16, delays: Vec<u64>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tasks: Arc<Mutex<Vec<JoinHandle<()>>>> = Arc::default();
        let link = Self {
            port: listener.local_addr().unwrap().port(),
            tasks: Arc::clone(&tasks),
        };
        tokio::spawn(async move {
            let (near, _) = listener.accept().await.unwrap();
            let far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let (near_in, near_out) = near.into_split();
            let (far_in, far_out) = far.into_split();
            let mut tasks = tasks.lock().unwrap();
            tasks.push(tokio::spawn(pass_on(near_in, far_out, delays.clone())));
            tasks.push(tokio::spawn(pass_on(far_in, near_out, delays)));
        });
        link
    }

    fn cut(&self) {
        for task in self.tasks.lock().unwrap().drain(..) {
            task.abort();
        }
    }
}

async fn pass_on(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin + Send + 'static,
    delays: Vec<u64>,
) {
    let (sender, mut chunks) = tokio::sync::mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let write = async move {
        while let Some((due, chunk)) = chunks.recv().await {
            sleep_until(due).await;
            if to.write_all(&chunk).await.is_err() {
                return;
            }
        }
    };
    let read = async move {
        let mut buffer = [0; 1 << 16];
        for delay in delays.iter().cycle() {
            match from.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(count) => {
                    let due = Instant::now() + Duration::from_millis(*delay);
                    let _ = sender.send((due, buffer[..count].to_vec()));
                }
            }
        }
    };
    // Both halves in one task, so that to abort it closes the connections.
    tokio::join!(write, read);
}

/// How a slot ended, and how often it was told.
struct Slot {
    told: Arc<AtomicUsize>,
    ended: Promise,
}

/// Takes the steps.
struct Client {
    tub: Tub,
    nodes: Nodes,
    slots: HashMap<usize, Promise>,
    resolvers: HashMap<usize, Resolver>,
    kept: BTreeMap<usize, Slot>,
    /// What each slot was when it was last looked at.
    states: HashMap<usize, State>,
}

/// The ways that a reference may go.
fn may_become(before: State, after: State) -> bool {
    use State::{Broken, Eventual, Far, Near, Remote};
    match (before, after) {
        (Eventual | Remote, _) => true,
        (Far, after) => matches!(after, Far | Broken),
        (Near, after) => after == Near,
        (Broken, after) => after == Broken,
    }
}

impl Client {
    fn look_at_states(&mut self) {
        for (slot, promise) in &self.slots {
            let after = promise.state();
            if let Some(before) = self.states.insert(*slot, after) {
                assert!(
                    may_become(before, after),
                    "slot {slot} was {before:?} and is {after:?}"
                );
            }
        }
    }

    fn keep(&mut self, slot: Option<usize>, promise: Promise) {
        let slot = slot.unwrap();
        let told = Arc::new(AtomicUsize::new(0));
        let (fulfilled, broken) = (Arc::clone(&told), Arc::clone(&told));
        let ended = promise
            .then(move |value: Value| {
                fulfilled.fetch_add(1, Relaxed);
                value
            })
            .except(move |error| {
                // Failures of the first callback only: it never fails.
                broken.fetch_add(1, Relaxed);
                format!("broken:{error}")
            });
        self.slots.insert(slot, promise);
        self.kept.insert(slot, Slot { told, ended });
    }

    async fn take(&mut self, step: &Step) {
        let on = step.on.map(|on| self.slots[&on].clone());
        let send = |method: &str, args: (usize,)| on.as_ref().unwrap().send(method, &args);
        match step.what.as_str() {
            "note" => {
                let args = (step.number.unwrap(), step.on.unwrap());
                let on = on.as_ref().unwrap();
                if step.into.is_none() {
                    on.send_only("note", &args).unwrap();
                } else {
                    let answer = on.send("note", &args);
                    self.keep(step.into, answer);
                }
            }
            "child" => {
                let answer = send("child", (step.into.unwrap(),));
                self.keep(step.into, answer);
            }
            "fail" => {
                let answer = on.unwrap().send("fail", &());
                self.keep(step.into, answer);
            }
            "echo" => {
                let given = &self.slots[&step.give.unwrap()];
                let answer = on.unwrap().send("echo", &(given,));
                self.keep(step.into, answer);
            }
            "later" => {
                let answer = self.slots[&0].send("later", &(step.into.unwrap(),));
                self.keep(step.into, answer);
            }
            "release" => {
                let value = step.to.map(|to| &self.slots[&to]);
                let args = (step.slot.unwrap(), step.how.as_ref().unwrap(), value);
                self.slots[&0].send_only("release", &args).unwrap();
            }
            "make" => {
                let (promise, resolver) = self.tub.make_promise();
                self.resolvers.insert(step.into.unwrap(), resolver);
                self.keep(step.into, promise);
            }
            "resolve" => {
                let slot = step.slot.unwrap();
                let resolver = self.resolvers.remove(&slot).unwrap();
                match step.to {
                    Some(to) => resolver.resolve(&self.slots[&to]),
                    None => resolve(resolver, slot, step.how.as_ref().unwrap(), &Value::Null),
                }
            }
            "node" => {
                let node = Node::new(step.into.unwrap(), &self.nodes, &self.tub);
                let node = self.tub.reference_arc(node as Arc<dyn Referenceable>);
                self.keep(step.into, Promise::from(node));
            }
            "drop" => drop(self.slots.remove(&step.slot.unwrap())),
            "pause" => sleep(Duration::from_millis(step.ms.unwrap())).await,
            other => panic!("no step {other}"),
        }
    }
}

async fn describe(value: Value, nodes: &Nodes) -> String {
    let reference = match value {
        Value::Str(text) => return text,
        Value::Reference(reference) => reference,
        Value::Int(number) => return format!("value:{number}"),
        other => panic!("{other:?}"),
    };
    let Some(near) = reference.near() else {
        let name = reference.send("name", &()).when::<usize>().await;
        return name.map_or_else(
            |error| format!("broken:{error}"),
            |name| format!("far:{name}"),
        );
    };
    let nodes = nodes.lock().unwrap();
    let is_it = |node: &&Arc<Node>| std::ptr::addr_eq(Arc::as_ptr(node), Arc::as_ptr(&near));
    format!("mine:{}", nodes.values().find(is_it).unwrap().name)
}

fn fits(said: &str, expected: &str, is_cut: bool) -> bool {
    if is_cut && said.contains("is gone") {
        return true;
    }
    match expected.strip_prefix("broken:") {
        Some(why) => said.starts_with("broken:") && said.contains(why),
        None => said == expected,
    }
}

fn check_order(nodes: &Nodes) {
    for node in nodes.lock().unwrap().values() {
        let mut last = HashMap::new();
        for (slot, number) in &*node.noted.lock().unwrap() {
            let before = last.insert(slot, number);
            assert!(before < Some(number), "object {}, slot {slot}", node.name);
        }
    }
}

fn check_arrival(scenario: &Scenario, mine: &Nodes, far: &Nodes) {
    let mut arrived = BTreeSet::new();
    for (kind, nodes) in [("mine", mine), ("far", far)] {
        for node in nodes.lock().unwrap().values() {
            for (_, number) in &*node.noted.lock().unwrap() {
                let is_new = arrived.insert((*number, format!("{kind}:{}", node.name)));
                assert!(is_new, "{number} arrived twice");
            }
        }
    }
    let sent = scenario.steps.iter().filter(|step| step.what == "note");
    let sent: BTreeSet<_> = sent
        .map(|step| {
            (
                step.number.unwrap(),
                scenario.expected[step.on.unwrap()].clone(),
            )
        })
        .filter(|(_, at)| at.starts_with("mine") || at.starts_with("far"))
        .collect();
    assert_eq!(arrived, sent);
}

async fn play(scenario: &Scenario) {
    let (server, tub) = (Tub::new(), Tub::new());
    let listener = server.listen_tcp("127.0.0.1:0").await.unwrap();
    let far = Nodes::default();
    let uri = server
        .register_arc(Node::new(0, &far, &server) as _, Some("it"))
        .unwrap();
    let port = listener.local_addr().unwrap().port();
    let link = Link::new(port, scenario.delays_ms.clone()).await;
    let uri = uri.replace(&format!("port={port}"), &format!("port={}", link.port));
    let root: Reference = tub.get_reference(&uri).when().await.unwrap();
    let mine = Nodes::default();
    let mut client = Client {
        tub: tub.clone(),
        nodes: Arc::clone(&mine),
        slots: HashMap::from([(0, Promise::from(root))]),
        resolvers: HashMap::new(),
        kept: BTreeMap::new(),
        states: HashMap::new(),
    };
    let is_cut = scenario.cut_before.is_some();
    for (index, step) in scenario.steps.iter().enumerate() {
        if scenario.cut_before == Some(index) {
            link.cut();
        }
        client.take(step).await;
        client.look_at_states();
    }
    assert_eq!(client.kept.len(), scenario.expected.len() - 1);
    for (slot, kept) in std::mem::take(&mut client.kept) {
        let value: Value = kept.ended.when().await.unwrap();
        client.look_at_states();
        assert_eq!(kept.told.load(Relaxed), 1);
        let expected = &scenario.expected[slot];
        let said = describe(value, &mine).await;
        assert!(
            fits(&said, expected, is_cut),
            "slot {slot}: {said}, not {expected}"
        );
    }
    tub.flush_eventual_queue().await.unwrap();
    server.flush_eventual_queue().await.unwrap();
    check_order(&mine);
    check_order(&far);
    if !is_cut {
        check_arrival(scenario, &mine, &far);
    }
    client.look_at_states();
    for (slot, state) in &client.states {
        if client.slots.contains_key(slot) && !is_cut {
            let (kind, _) = scenario.expected[*slot].split_once(':').unwrap();
            let expected = match kind {
                "far" => State::Far,
                "broken" => State::Broken,
                _ => State::Near,
            };
            assert_eq!(*state, expected, "slot {slot}");
        }
    }
    drop(client);
    // Objects hold their tub, and tables hold objects.
    for nodes in [&mine, &far] {
        for node in std::mem::take(&mut *nodes.lock().unwrap()).values() {
            node.open.lock().unwrap().clear();
        }
    }
    loop {
        let tables = [server.stats(), tub.stats()]
            .map(|stats| [stats.exports, stats.imports, stats.questions, stats.answers]);
        if tables == [[0; 4]; 2] {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn scenarios() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../vectors/promise/scenarios.json"
    );
    let scenarios: Vec<Scenario> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(scenarios.len() > 20);
    let mut running = tokio::task::JoinSet::new();
    for scenario in scenarios {
        running.spawn(async move {
            let ends = timeout(Duration::from_secs(10), play(&scenario)).await;
            assert!(ends.is_ok(), "{} does not end", scenario.name);
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
}
