//! Two vats that connect to each other at once, and inbound connections that are used to fetch.

use std::sync::Arc;

use marotte::native::reply;
use marotte::{Error, Referenceable};
use marotte_tests::{Net, object, value};
use proptest::prelude::*;

fn named(name: &'static str) -> Arc<dyn Referenceable> {
    object(move |_, _| reply(Ok::<_, Error>(name)))
}

fn two() -> Net {
    let net = Net::new(2);
    for (side, name) in net.sides.iter().zip(["zero", "one"]) {
        side.vat.believe_hellos(true);
        side.register("name", named(name));
    }
    net
}

proptest! {
    /// Whatever arrives first, one connection is kept, and what was to be asked for over either is.
    #[test]
    fn of_two_connections_one_is_kept(
        order in prop::collection::vec((0..2_usize, any::<bool>()), 0..12),
        swap in any::<bool>(),
    ) {
        let mut net = two();
        let links = if swap {
            [net.join(1, 0), net.join(0, 1)]
        } else {
            [net.join(0, 1), net.join(1, 0)]
        };
        let asked = links.map(|link| {
            let object = net.fetch(link, "name");
            (object.send("get", &()), net.links[link].to)
        });
        for (link, to_dialler) in order {
            net.move_one(links[link], to_dialler);
        }
        net.run();
        for (name, to) in asked {
            let expected = ["zero", "one"][to];
            prop_assert_eq!(value::<String>(&name), expected);
        }
        let open = links.map(|link| {
            let link = &net.links[link];
            (link.at_from.connection.is_closed(), link.at_to.connection.is_closed())
        });
        prop_assert!(open.iter().all(|(from, to)| from == to), "{open:?}");
        prop_assert_eq!(open.iter().filter(|(closed, _)| *closed).count(), 1);
    }
}

#[test]
fn an_inbound_connection_is_used_to_fetch_if_its_peer_is_believed() {
    for believes in [true, false] {
        let mut net = Net::new(2);
        net.sides[1].vat.believe_hellos(believes);
        net.sides[0].register("name", named("zero"));
        net.join(0, 1);
        net.run();
        let found = net.sides[1].vat.connection_to(&Net::location(0));
        assert_eq!(found.is_some(), believes);
    }
}

#[test]
fn who_is_not_believed_makes_no_crossing() {
    let mut net = Net::new(2);
    for side in &net.sides {
        side.register("name", named("any"));
    }
    let links = [net.join(0, 1), net.join(1, 0)];
    let names = links.map(|link| net.fetch(link, "name").send("get", &()));
    net.run();
    for name in names {
        assert_eq!(value::<String>(&name), "any");
    }
    for link in &net.links {
        assert!(link.at_from.connection.is_open() && link.at_to.connection.is_open());
    }
}
