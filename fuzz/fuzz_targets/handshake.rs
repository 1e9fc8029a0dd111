//! The way to a session, over every transport: two honest ends, and bytes that are changed, dropped or put in
//! between them.

#![no_main]

use std::io;
use std::sync::Arc;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use marotte::captp::{Config, Keys, Profile};
use marotte::native::{BoxFuture, Home, Native, NativeVat, Runtime};
use marotte::transport::{Arrival, Netlayer, Place, Wire, ways_to};
use marotte::vat::{Connection, Driver, Vat};
use marotte::{Identity, Limits, Location};

#[derive(Arbitrary, Debug)]
struct Input {
    layer: u8,
    /// For each flight of bytes: how it is cut, and what happens to it.
    flights: Vec<(u8, Change)>,
}

#[derive(Arbitrary, Debug)]
enum Change {
    None,
    Byte(u16, u8),
    Cut(u16),
    Before(Vec<u8>),
    Instead(Vec<u8>),
    Again,
}

struct Nothing;

impl Runtime for Nothing {
    fn schedule_turns(&self) {}
    fn spawn(&self, _: BoxFuture<()>) {}
}

impl Driver for Nothing {
    fn wake(&self) {}
    fn idle(&self) {}
}

/// How far one end has come.
enum Stage {
    /// Nobody has said yet whom they want.
    Arriving(Arrival),
    /// There is no session before the peer is met.
    Greeting(Wire),
    Talking(Wire, Arc<Connection<Native>>),
    Gone,
}

struct End {
    stage: Stage,
    seed: u8,
    profile: Profile,
    identity: Arc<Identity>,
    place: Location,
    to: Option<Location>,
    vat: Arc<NativeVat>,
}

impl End {
    fn talk(&mut self, wire: Wire) {
        let config = Config {
            profile: self.profile,
            limits: Arc::default(),
            keys: Keys::from_seed([self.seed; 32]),
            location: self.place.clone(),
            reserved: self.to.is_none() && wire.authenticates(),
            boundaries: wire.has_boundaries(),
            now_ms: 0,
        };
        let connection = match self.to.clone() {
            Some(to) => self.vat.dial(config, Arc::new(Nothing), to),
            None => self.vat.connect(config, Arc::new(Nothing)),
        };
        let was_heard = wire.was_heard();
        self.stage = Stage::Talking(wire, connection);
        if was_heard {
            self.read_piece(&[]);
        }
    }

    fn flight(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        match &mut self.stage {
            Stage::Arriving(arrival) => arrival.output(&mut out),
            // A WebSocket that has ended says so.
            Stage::Greeting(wire) => drop(wire.greeting(&mut out)),
            Stage::Talking(wire, connection) => {
                let mut write = |bytes: &[u8]| -> io::Result<usize> {
                    out.extend_from_slice(bytes);
                    Ok(bytes.len())
                };
                // The buffer takes everything; as above.
                let _ = wire.flush(connection, &mut write);
            }
            Stage::Gone => {}
        }
        out
    }

    fn read(&mut self, bytes: &[u8], piece: usize) {
        for piece in bytes.chunks(piece.max(1)) {
            self.read_piece(piece);
        }
    }

    fn read_piece(&mut self, piece: &[u8]) {
        match std::mem::replace(&mut self.stage, Stage::Gone) {
            Stage::Arriving(mut arrival) => match arrival.receive(piece) {
                Ok(None) => self.stage = Stage::Arriving(arrival),
                Ok(Some(key)) if key == self.identity.public() => {
                    let wire = arrival.admit(&self.identity, &Arc::default(), [4; 32]);
                    self.talk(wire);
                }
                _ => {}
            },
            Stage::Greeting(mut wire) => match wire.greet(piece) {
                Ok(false) => self.stage = Stage::Greeting(wire),
                Ok(true) => self.talk(wire),
                Err(_) => {}
            },
            Stage::Talking(mut wire, connection) => {
                // A driver stops reading when it is over.
                if !connection.is_closed() && wire.read((), &connection, piece, 0).is_err() {
                    assert!(connection.is_closed());
                }
                self.stage = Stage::Talking(wire, connection);
            }
            Stage::Gone => {}
        }
    }

    fn connection(&self) -> Option<&Arc<Connection<Native>>> {
        match &self.stage {
            Stage::Talking(_, connection) => Some(connection),
            _ => None,
        }
    }
}

fuzz_target!(|input: Input| {
    let layers = [
        (Netlayer::Noise, Profile::MAROTTE),
        (Netlayer::NoiseWebSocket, Profile::MAROTTE),
        (Netlayer::Tcp, Profile::MAROTTE),
        (Netlayer::WebSocket, Profile::MAROTTE),
        // Whoever listens is asked who it is.
        (Netlayer::WebSocket, Profile::ENDO_1_1),
    ];
    let (layer, profile) = layers[usize::from(input.layer) % layers.len()];
    let limits = Arc::new(Limits::default());
    let (server, client) = (
        Arc::new(Identity::from_seed([1; 32])),
        Arc::new(Identity::from_seed([2; 32])),
    );
    let at = Place::new(layer, "127.0.0.1:1", None).expect("a place");
    let place = at.location(&server.designator());
    let mut ways = ways_to(&place, &client, &limits, profile, [3; 32]).expect("it leads somewhere");
    let mut from = at.location(&client.designator());
    from.hints.clear();
    let end = |seed, identity: &Arc<Identity>, place, to| End {
        stage: Stage::Gone,
        seed,
        profile,
        identity: Arc::clone(identity),
        place,
        to,
        vat: Vat::new(Home::new(Nothing)),
    };
    let mut ends = [
        end(5, &client, from, Some(place.clone())),
        end(6, &server, place, None),
    ];
    let mut wire = ways.remove(0).wire;
    if wire.greet(&[]).expect("no bytes yet") {
        ends[0].talk(wire);
    } else {
        ends[0].stage = Stage::Greeting(wire);
    }
    if layer.is_shared() {
        ends[1].stage = Stage::Arriving(Arrival::new(layer, &limits).expect("no bytes yet"));
    } else {
        let wire = layer.accept_plain(&server, &limits, profile);
        ends[1].talk(wire.expect("no bytes yet"));
    }
    let mut honest = true;
    let mut flights = input.flights.into_iter();
    for round in 0..12 {
        let from = round % 2;
        let mut flight = ends[from].flight();
        let (piece, change) = flights.next().unwrap_or((255, Change::None));
        let before = flight.clone();
        match change {
            Change::None => {}
            Change::Byte(at, by) if !flight.is_empty() => {
                let at = usize::from(at) % flight.len();
                flight[at] = flight[at].wrapping_add(by);
            }
            Change::Byte(..) => {}
            Change::Cut(at) => flight.truncate(usize::from(at)),
            Change::Before(bytes) => flight.splice(0..0, bytes).for_each(drop),
            Change::Instead(bytes) => flight = bytes,
            Change::Again => flight.extend_from_slice(&before),
        }
        honest &= flight == before;
        // tungstenite takes a request that comes in very many pieces for an attack.
        honest &= piece > 127 || matches!(layer, Netlayer::Noise | Netlayer::Tcp);
        ends[1 - from].read(&flight, usize::from(piece) + 1);
    }
    for end in &ends {
        let connection = end.connection();
        if honest {
            let why = connection.map(|connection| connection.close_reason());
            assert!(connection.is_some_and(|it| it.is_open()), "{layer:?}: {why:?}");
        }
        if let Some(peer) = connection.and_then(|it| it.proven_peer()) {
            // Whatever happened on the way, nobody else has either key.
            assert!(peer == server.designator() || peer == client.designator());
        }
    }
});
