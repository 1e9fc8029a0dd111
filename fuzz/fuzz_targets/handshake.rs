//! The way to a session, over every transport: two honest ends, and bytes that are changed, dropped or put in
//! between them.

#![no_main]

use std::io;
use std::sync::Arc;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use marotte::captp::{Config, Keys, Profile};
use marotte::native::{BoxFuture, Home, Native, NativeVat, Runtime};
use marotte::transport::{Netlayer, Wire, ways_to};
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

struct End {
    connection: Arc<Connection<Native>>,
    wire: Wire,
    _vat: Arc<NativeVat>,
}

impl End {
    fn new(seed: u8, wire: Wire, place: Location, to: Option<Location>) -> Self {
        let vat = Vat::new(Home::new(Nothing));
        let config = Config {
            profile: Profile::default(),
            limits: Limits::default(),
            keys: Keys::from_seed([seed; 32]),
            location: place,
            reserved: to.is_none() && wire.authenticates(),
            boundaries: wire.has_boundaries(),
            now_ms: 0,
        };
        let connection = match to {
            Some(to) => vat.dial(config, Arc::new(Nothing), to),
            None => vat.connect(config, Arc::new(Nothing)),
        };
        Self {
            connection,
            wire,
            _vat: vat,
        }
    }

    fn flight(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut write = |bytes: &[u8]| -> io::Result<usize> {
            out.extend_from_slice(bytes);
            Ok(bytes.len())
        };
        // The buffer takes everything; a WebSocket that has ended says so.
        let _ = self.wire.flush(&self.connection, &mut write);
        out
    }

    fn read(&mut self, bytes: &[u8], piece: usize) {
        for piece in bytes.chunks(piece.max(1)) {
            if self.wire.read((), &self.connection, piece, 0).is_err() {
                assert!(self.connection.is_closed());
                return;
            }
        }
    }
}

fuzz_target!(|input: Input| {
    let layers = [
        Netlayer::Noise,
        Netlayer::NoiseWebSocket,
        Netlayer::Tcp,
        Netlayer::WebSocket,
    ];
    let layer = layers[usize::from(input.layer) % layers.len()];
    let limits = Limits::default();
    let (server, client) = (
        Arc::new(Identity::from_seed([1; 32])),
        Arc::new(Identity::from_seed([2; 32])),
    );
    let at = ([127, 0, 0, 1], 1).into();
    let place = layer.location(&server.designator(), at, None);
    let mut ways = ways_to(&place, &client, &limits, [3; 32]).expect("it leads somewhere");
    let accepted = layer.accept(&server, &limits, [4; 32]).expect("no bytes yet");
    let mut from = layer.location(&client.designator(), at, None);
    from.hints.clear();
    let mut ends = [
        End::new(5, ways.remove(0).1, from, Some(place.clone())),
        End::new(6, accepted, place, None),
    ];
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
        if honest {
            assert!(end.connection.is_open(), "{layer:?}: {:?}", end.connection.close_reason());
        }
        if let Some(peer) = end.connection.proven_peer() {
            // Whatever happened on the way, nobody else has either key.
            assert!(peer == server.designator() || peer == client.designator());
        }
    }
});
