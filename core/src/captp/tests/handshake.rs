//! How sessions begin, and how they fail to.

use super::super::keys::write_signature;
use super::{CloseReason, Config, End, Event, Keys, Pair, Profile, Target, config, location, text};
use crate::Limits;
use crate::syrup::Writer;

/// A hello with parts of the test's choosing. `signed` is what the signature covers.
fn hello(version: &str, seed: u8, location: &[u8], signed: &[u8]) -> Vec<u8> {
    let keys = Keys::from_seed([seed; 32]);
    let mut out = Vec::new();
    out.put_record("op:start-session", |out| {
        out.put_str(version);
        keys.public().write(out);
        out.extend_from_slice(location);
        write_signature(out, &keys.sign(signed));
    });
    out
}

fn location_bytes() -> Vec<u8> {
    let mut out = Vec::new();
    location("mallory").write(&mut out);
    out
}

fn wrapped(location: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_record("my-location", |out| out.extend_from_slice(location));
    out
}

fn good_hello() -> Vec<u8> {
    hello("1.0", 9, &location_bytes(), &wrapped(&location_bytes()))
}

/// Feeds one message to a fresh session, which must refuse it; returns the reason it gave its peer.
fn refused(message: &[u8]) -> String {
    let mut end = End::new(config("alice", Profile::MAROTTE));
    end.flush();
    end.transcript.clear();
    let reason = end.receive(message).unwrap_err();
    end.flush();
    let CloseReason::Protocol(reason) = reason else {
        panic!("{reason:?}")
    };
    let mut abort = Vec::new();
    abort.put_record("op:abort", |out| out.put_str(&reason));
    assert_eq!(
        end.transcript.iter().map(|m| text(m)).collect::<Vec<_>>(),
        [text(&abort)]
    );
    reason
}

#[test]
fn two_ends_meet_and_agree_on_the_session() {
    for profile in Profile::ALL {
        let pair = Pair::open(profile);
        assert!(
            pair.a.session.is_open() && pair.b.session.is_open(),
            "{}",
            profile.name
        );
        assert_eq!(pair.a.session.session_id(), pair.b.session.session_id());
        assert_eq!(pair.a.session.peer_location(), Some(&location("bob")));
        assert_eq!(pair.b.session.peer_location(), Some(&location("alice")));
        assert_eq!(pair.a.session.deadline_ms(), None);
    }
}

#[test]
fn two_ends_of_different_profiles_understand_each_other() {
    for one in Profile::ALL {
        for other in Profile::ALL {
            let mut pair = Pair::with(config("alice", one), config("bob", other)).opened();
            pair.a.call(Target::Export(0), "ask", b"1+", "q");
            pair.run();
            let call = pair.b.take_call();
            pair.b
                .session
                .settle(call.resolver.unwrap(), false, b"2+", &[]);
            pair.run();
            let events = pair.a.take_events();
            let settled = matches!(&events[..], [Event::Settled { value, .. }] if value == b"2+");
            assert!(settled, "{} to {}: {events:?}", one.name, other.name);
        }
    }
}

#[test]
fn a_hello_delivered_byte_by_byte_is_the_same_hello() {
    for profile in Profile::ALL {
        let mut pair = Pair::new(profile);
        pair.max_piece = 1;
        pair.run();
        assert!(
            pair.a.session.is_open() && pair.b.session.is_open(),
            "{}",
            profile.name
        );
    }
}

#[test]
fn a_good_hello_of_a_stranger_is_accepted() {
    let mut end = End::new(config("alice", Profile::MAROTTE));
    end.receive(&good_hello()).unwrap();
    assert_eq!(end.events, [Event::Established]);
}

#[test]
fn a_wrong_version_is_refused() {
    let signed = wrapped(&location_bytes());
    assert_eq!(
        refused(&hello("1.1", 9, &location_bytes(), &signed)),
        "invalid-version"
    );
    assert_eq!(
        refused(&hello("", 9, &location_bytes(), &signed)),
        "invalid-version"
    );
}

#[test]
fn a_signature_over_anything_else_is_refused() {
    let bare = location_bytes();
    // The draft's text, which no implementation follows: without the wrapper.
    assert_eq!(
        refused(&hello("1.0", 9, &bare, &bare)),
        "Invalid location signature"
    );
    let mut other = Vec::new();
    location("bob").write(&mut other);
    let message = hello("1.0", 9, &bare, &wrapped(&other));
    assert_eq!(refused(&message), "Invalid location signature");
}

#[test]
fn a_flipped_bit_in_the_signature_is_refused() {
    let mut message = good_hello();
    let at = message.len() - 10;
    message[at] ^= 1;
    assert_eq!(refused(&message), "Invalid location signature");
}

#[test]
fn a_location_whose_hints_are_in_another_order_verifies_as_it_stands() {
    // Endo sorts keys differently; the signature covers the bytes as sent.
    let location = b"<10'ocapn-peer9'websocket1\"x{4\"port1\"13\"url1\"u}>";
    let message = hello("1.0", 9, location, &wrapped(location));
    let mut end = End::new(config("alice", Profile::MAROTTE));
    end.receive(&message).unwrap();
    assert_eq!(end.session.peer_location().unwrap().hints["url"], "u");
}

#[test]
fn a_location_with_one_hint_twice_is_refused() {
    let location = b"<10'ocapn-peer9'websocket1\"x{3\"url1\"u3\"url1\"v}>";
    let reason = refused(&hello("1.0", 9, location, &wrapped(location)));
    assert!(reason.contains("twice"), "{reason}");
}

#[test]
fn malformed_locations_are_refused() {
    for location in [
        &b"f"[..],
        b"<10'ocapn-node3'tcp1\"xf>",
        b"<10'ocapn-peer3\"tcp1\"xf>",
        b"<10'ocapn-peer3'tcp1\"xt>",
        b"<10'ocapn-peer3'tcp1\"x{1\"a1+}>",
        b"<10'ocapn-peer3'tcp1\"x{1'a1\"b}>",
        b"<10'ocapn-peer3'tcp1\"xff>",
        b"<10'ocapn-peer3'tcp1\"x>",
    ] {
        let reason = refused(&hello("1.0", 9, location, &wrapped(location)));
        assert!(
            reason.starts_with("malformed"),
            "{}: {reason}",
            text(location)
        );
    }
}

#[test]
fn a_location_without_hints_is_accepted() {
    let location = b"<10'ocapn-peer5'onion1\"xf>";
    let mut end = End::new(config("alice", Profile::MAROTTE));
    end.receive(&hello("1.0", 9, location, &wrapped(location)))
        .unwrap();
    assert!(end.session.peer_location().unwrap().hints.is_empty());
}

#[test]
fn a_second_hello_is_refused() {
    let mut pair = Pair::open(Profile::MAROTTE);
    let reason = pair.b.receive(&good_hello()).unwrap_err();
    assert_eq!(
        reason,
        CloseReason::Protocol("a second op:start-session".to_owned())
    );
    pair.run();
    assert!(
        pair.a.reason().contains("a second op:start-session"),
        "{}",
        pair.a.reason()
    );
}

#[test]
fn any_operation_before_the_hello_is_refused() {
    for message in [
        &b"<10'op:deliver<11'desc:export0+>[]ff>"[..],
        b"<15'op:deliver-only<11'desc:export0+>[]>",
        b"<9'op:listen<11'desc:export0+><18'desc:import-object1+>f>",
        b"<13'op:gc-exports[][]>",
        b"<13'op:gc-answers[]>",
    ] {
        assert_eq!(
            refused(message),
            "the first message must be op:start-session"
        );
    }
}

#[test]
fn an_abort_before_the_hello_ends_the_session_with_its_reason() {
    let mut end = End::new(config("alice", Profile::MAROTTE));
    let reason = end.receive(b"<8'op:abort3\"bye>").unwrap_err();
    assert_eq!(reason, CloseReason::PeerAborted("bye".to_owned()));
    assert_eq!(end.reason(), "the peer ended the session: bye");
    // An abort is not answered.
    end.flush();
    assert_eq!(end.transcript.len(), 1);
}

#[test]
fn every_truncated_hello_is_refused() {
    let whole = good_hello();
    for len in 0..whole.len() {
        let mut end = End::new(config("alice", Profile::MAROTTE));
        assert!(end.receive(&whole[..len]).is_err(), "cut to {len} bytes");
    }
}

// Calls before the session is open.

#[test]
fn calls_made_early_are_held_back_and_follow_the_hello() {
    let mut pair = Pair::new(Profile::MAROTTE);
    pair.a.call(Target::Export(0), "early", b"", "q");
    pair.a.flush();
    assert_eq!(pair.a.transcript.len(), 1, "only the hello may be written");
    assert_eq!(
        pair.a.session.stats().messages_sent,
        2,
        "the held call counts as sent"
    );
    pair.b.flush();
    let hello = pair.b.transcript[0].clone();
    pair.a.receive(&hello).unwrap();
    pair.a.flush();
    assert!(
        text(&pair.a.transcript[1]).contains("early"),
        "{}",
        text(&pair.a.transcript[1])
    );
    assert_eq!(pair.a.session.stats().messages_sent, 2);
}

#[test]
fn a_session_that_fails_to_open_drops_what_it_held() {
    let mut end = End::new(config("alice", Profile::MAROTTE));
    end.call(Target::Export(0), "secret", b"", "q");
    end.receive(b"<5'hello>").unwrap_err();
    end.flush();
    assert!(
        end.transcript
            .iter()
            .all(|message| !text(message).contains("secret"))
    );
}

// Deadline.

fn slow(handshake_ms: u64, now_ms: u64) -> Config {
    let limits = Limits {
        handshake_ms,
        ..Limits::default()
    };
    Config {
        limits: limits.into(),
        now_ms,
        ..config("alice", Profile::MAROTTE)
    }
}

#[test]
fn a_peer_that_says_no_hello_in_time_is_given_up() {
    let mut end = End::new(slow(500, 1_000));
    assert_eq!(end.session.deadline_ms(), Some(1_500));
    assert_eq!(end.session.handle_timeout(1_499), Ok(()));
    let reason = end.session.handle_timeout(1_500).unwrap_err();
    assert_eq!(
        reason.to_string(),
        "the peer sent no op:start-session within 500 ms"
    );
    assert_eq!(end.session.closed(), Some(&reason));
    assert_eq!(end.session.deadline_ms(), None);
}

#[test]
fn a_hello_in_time_ends_the_deadline() {
    let mut end = End::new(slow(500, 1_000));
    end.receive(&good_hello()).unwrap();
    assert_eq!(end.session.deadline_ms(), None);
    assert_eq!(end.session.handle_timeout(1_000_000), Ok(()));
    assert!(end.session.is_open());
}

#[test]
fn an_endless_deadline_is_legal() {
    let end = End::new(slow(u64::MAX, 1_000));
    assert_eq!(end.session.deadline_ms(), Some(u64::MAX));
}
