//! Golden bytes: keys, identifiers, the hello and every operation.

use serde_json::Value as Json;

use super::super::keys::{read_signature, write_signature};
use super::super::op::parse;
use super::super::{Desc, Framing, Keys, Profile, PublicKey, Target};
use super::{Call, End, Event, Pair, config, location, text};
use crate::syrup::tests::tree::unhex;
use crate::syrup::{Cursor, Writer, scan};
use crate::{Limits, Location};

pub(super) fn vectors() -> Json {
    serde_json::from_str(include_str!("../../../../tests/vectors/captp/ocapn.json")).unwrap()
}

pub(super) fn hex(json: &Json) -> Vec<u8> {
    unhex(json.as_str().unwrap())
}

fn op(name: &str) -> Vec<u8> {
    hex(&vectors()["ops"][name])
}

pub(super) fn keys(name: &str) -> Keys {
    Keys::from_seed(hex(&vectors()["keys"][name]["seed"]).try_into().unwrap())
}

// Keys and identifiers.

#[test]
fn public_keys_and_their_identifiers_are_the_golden_ones() {
    for (name, row) in vectors()["keys"].as_object().unwrap() {
        let public = keys(name).public();
        assert_eq!(public.0.as_slice(), hex(&row["public"]), "{name}");
        let mut wire = Vec::new();
        public.write(&mut wire);
        assert_eq!(text(&wire), text(&hex(&row["public_key_syrup"])), "{name}");
        assert_eq!(public.id().as_slice(), hex(&row["public_id"]), "{name}");
        assert_eq!(
            PublicKey::read(&mut Cursor::new(&wire)).unwrap(),
            public,
            "{name}"
        );
    }
}

#[test]
fn session_identifiers_are_the_golden_ones_from_either_side() {
    for (pair, id) in vectors()["session_ids"].as_object().unwrap() {
        let (one, other) = pair.split_once('-').unwrap();
        let (one, other) = (keys(one).public(), keys(other).public());
        assert_eq!(one.session_id(&other).as_slice(), hex(id), "{pair}");
        assert_eq!(other.session_id(&one).as_slice(), hex(id), "{pair}");
    }
}

#[test]
fn handoff_signatures_are_the_golden_ones_and_verify() {
    let handoff = &vectors()["handoff"];
    for (signer, signed, signature) in [("C", "give", "give_sig"), ("B", "receive", "receive_sig")]
    {
        let (message, signature) = (hex(&handoff[signed]), hex(&handoff[signature]));
        let signature: [u8; 64] = signature.try_into().unwrap();
        assert_eq!(keys(signer).sign(&message), signature, "{signed}");
        assert!(
            keys(signer).public().verify(&message, &signature),
            "{signed}"
        );
        assert!(
            !keys("A").public().verify(&message, &signature),
            "{signed}: another's key"
        );
        // The envelope ends in the signature's wire form.
        let mut wire = Vec::new();
        write_signature(&mut wire, &signature);
        let envelope = hex(&handoff[format!("{signed}_envelope")]);
        assert!(
            text(&envelope).ends_with(&format!("{}>", text(&wire))),
            "{signed}"
        );
        assert_eq!(
            read_signature(&mut Cursor::new(&wire)).unwrap(),
            signature,
            "{signed}"
        );
    }
}

#[test]
fn keys_show_no_secret_when_printed() {
    let seed = "0001020304";
    let printed = format!("{:?}", keys("A"));
    assert!(
        !printed.contains(seed) && !printed.contains("0, 1, 2, 3, 4"),
        "{printed}"
    );
}

#[test]
fn every_truncated_public_key_and_signature_is_refused() {
    let mut key = Vec::new();
    keys("A").public().write(&mut key);
    let mut signature = Vec::new();
    write_signature(&mut signature, &[7; 64]);
    for len in 0..key.len() {
        assert!(
            PublicKey::read(&mut Cursor::new(&key[..len])).is_err(),
            "{len}"
        );
    }
    for len in 0..signature.len() {
        assert!(
            read_signature(&mut Cursor::new(&signature[..len])).is_err(),
            "{len}"
        );
    }
}

// The hello.

#[test]
fn the_location_is_written_in_its_golden_form() {
    let golden = hex(&vectors()["start_session"]["location_syrup"]);
    let mut out = Vec::new();
    location("alice").write(&mut out);
    assert_eq!(text(&out), text(&golden));
    assert_eq!(
        Location::read(&mut Cursor::new(&golden)).unwrap(),
        location("alice")
    );
}

#[test]
fn the_hello_is_the_golden_one_under_every_profile() {
    let golden = hex(&vectors()["start_session"]["message"]);
    for profile in Profile::ALL {
        let mut end = End::new(config("alice", profile));
        let written = end.flush();
        assert_eq!(text(&end.transcript[0]), text(&golden), "{}", profile.name);
        let frame = if profile.framing == Framing::Raw {
            ""
        } else {
            "295:"
        };
        assert_eq!(
            text(&written),
            format!("{frame}{}", text(&golden)),
            "{}",
            profile.name
        );
    }
}

#[test]
fn the_golden_hello_is_accepted() {
    let mut end = End::new(config("bob", Profile::ENDO_1_1));
    end.receive(&hex(&vectors()["start_session"]["message"]))
        .unwrap();
    assert_eq!(end.events, [Event::Established]);
    assert_eq!(end.session.peer_location(), Some(&location("alice")));
    let id = end.session.session_id().unwrap();
    assert_eq!(id.as_slice(), hex(&vectors()["session_ids"]["A-B"]));
}

// Operations, read.

fn parsed(message: &[u8]) -> String {
    let limits = Limits::default();
    let mut cursor = Cursor::new(message);
    let op = parse(&mut cursor, &limits).unwrap();
    assert!(cursor.is_empty(), "{}", text(message));
    format!("{op:?}")
}

#[test]
fn every_golden_operation_is_understood() {
    for (name, message) in vectors()["ops"].as_object().unwrap() {
        let message = hex(message);
        scan(&mut Cursor::new(&message), &Limits::default()).unwrap();
        assert!(!parsed(&message).is_empty(), "{name}");
    }
}

#[test]
fn every_golden_operation_cut_short_is_refused() {
    for (name, message) in vectors()["ops"].as_object().unwrap() {
        let message = hex(message);
        for len in 0..message.len() {
            let limits = Limits::default();
            let result = parse(&mut Cursor::new(&message[..len]), &limits);
            assert!(result.is_err(), "{name} cut to {len} bytes");
        }
    }
}

#[test]
fn dialects_of_one_operation_mean_the_same() {
    for (one, other) in [
        ("gc_exports(draft/Endo)", "gc_export(main suite)"),
        ("gc_answers(draft/Endo)", "gc_answer(main suite)"),
        ("listen(3 field)", "listen(draft, 2 field)"),
    ] {
        assert_eq!(parsed(&op(one)), parsed(&op(other)), "{one}");
    }
    // Goblins of 2024 left the lists out.
    assert_eq!(
        parsed(b"<12'op:gc-export5+2+>"),
        parsed(b"<12'op:gc-export[5+][2+]>")
    );
    assert_eq!(
        parsed(b"<12'op:gc-answer5+>"),
        parsed(b"<12'op:gc-answer[5+]>")
    );
}

/// The call that a message asks an open session for.
fn call(message: &[u8]) -> Call {
    let mut pair = Pair::open(Profile::MAROTTE);
    pair.a.receive(message).unwrap();
    pair.a.take_call()
}

#[test]
fn a_fetch_is_read_in_all_its_parts() {
    let call = call(&op("deliver_fetch"));
    assert_eq!(call.to, Target::Export(0));
    assert_eq!(call.selector.as_deref(), Some("fetch"));
    assert_eq!(text(&call.args), "32:JadQ0++RzsD4M+40uLxTWVaVqM10DcBJ");
    assert_eq!(call.descs, []);
    assert_eq!((call.answer, call.resolver), (Some(3), Some(5)));
}

#[test]
fn descriptors_are_found_in_order_at_any_depth() {
    let call = call(
        b"<15'op:deliver-only<11'desc:answer4+>[<18'desc:import-object1+>[{1\"k<19'desc:import-promise2+>}\
        8\"<fake>&&]<3'foo<11'desc:export3+>><11'desc:answer4+>]>",
    );
    assert_eq!((call.to, call.selector), (Target::Answer(4), None));
    let expected = [
        Desc::ImportObject(1),
        Desc::ImportPromise(2),
        Desc::Export(3),
        Desc::Answer(4),
    ];
    assert_eq!(call.descs, expected);
}

#[test]
fn records_whose_labels_only_begin_like_a_descriptors_are_none() {
    let call = call(
        b"<15'op:deliver-only<11'desc:export0+>[<12'desc:exports1+><10'desc:error1\"x><11'desc:tagged1'a1+>]>",
    );
    assert_eq!(call.descs, []);
}

// Operations, written.

/// What an end writes after `act`, without frames.
fn written(profile: Profile, act: impl FnOnce(&mut End)) -> Vec<String> {
    let mut pair = Pair::open(profile);
    act(&mut pair.a);
    pair.a.flush();
    pair.a
        .transcript
        .iter()
        .map(|message| text(message))
        .collect()
}

/// Moves the counters so that the next question is number 3 and its resolver is at 5.
fn advance(end: &mut End) {
    for _ in 0..2 {
        end.call(Target::Export(0), "x", b"", "early");
        end.session.mention(None, || "filler".to_owned());
    }
    end.flush();
    end.transcript.clear();
}

#[test]
fn a_fetch_is_written_as_the_golden_one() {
    for profile in Profile::ALL {
        let messages = written(profile, |end| {
            advance(end);
            let number = end.call(
                Target::Export(0),
                "fetch",
                b"32:JadQ0++RzsD4M+40uLxTWVaVqM10DcBJ",
                "q",
            );
            assert_eq!(number, 3);
        });
        assert_eq!(messages, [text(&op("deliver_fetch"))], "{}", profile.name);
    }
}

#[test]
fn a_settlement_is_written_as_the_profile_says() {
    for profile in Profile::ALL {
        let messages = written(profile, |end| end.session.settle(1, false, b"2\"ok", &[]));
        let golden = if profile.deliver_only {
            "<15'op:deliver-only<11'desc:export1+>[7'fulfill2\"ok]>".to_owned()
        } else if profile.resolve_operations {
            "<10'op:resolve<11'desc:export1+>2\"ok>".to_owned()
        } else {
            text(&op("deliver_no_answer_no_resolver"))
        };
        assert_eq!(messages, [golden], "{}", profile.name);
    }
}

#[test]
fn fire_and_forget_is_written_as_the_suite_wants_it() {
    let messages = written(Profile::SUITE_2026_02, |end| {
        let mut args = Vec::new();
        args.put_bytes(&[0xaa; 32]);
        args.push(b'&');
        let (to, descs) = (Target::Export(0), [Desc::Export(5)]);
        end.session
            .deliver(to, Some("deposit-gift"), &args, &descs, None)
            .unwrap();
    });
    assert_eq!(messages, [text(&op("deliver_only(main suite)"))]);
}

#[test]
fn a_listen_is_written_as_the_profile_says() {
    for profile in Profile::ALL {
        let messages = written(profile, |end| {
            end.session.mention(None, || "filler".to_owned());
            end.session
                .listen(Target::Export(1), "q".to_owned())
                .unwrap();
        });
        let name = if profile.listen_partial {
            "listen(3 field)"
        } else {
            "listen(draft, 2 field)"
        };
        assert_eq!(messages, [text(&op(name))], "{}", profile.name);
    }
}

#[test]
fn releases_are_written_as_the_profile_says() {
    for profile in Profile::ALL {
        let messages = written(profile, |end| {
            for (position, mentions) in [(1, 1), (2, 4)] {
                for _ in 0..mentions {
                    end.session
                        .imports()
                        .mention(position, || "import".to_owned());
                }
                end.session.release(position);
            }
            end.session.collect();
        });
        let name = if profile.plural_gc {
            "gc_exports(draft/Endo)"
        } else {
            "gc_export(main suite)"
        };
        assert_eq!(messages, [text(&op(name))], "{}", profile.name);
    }
}

#[test]
fn answers_are_given_back_as_the_profile_says() {
    for profile in Profile::ALL {
        let mut pair = Pair::open(profile);
        for question in ["one", "two"] {
            pair.a.call(Target::Export(0), "m", b"", question);
        }
        pair.run();
        for Call { resolver, .. } in pair.b.take_calls() {
            pair.b.session.settle(resolver.unwrap(), false, b"t", &[]);
        }
        pair.run();
        pair.a.transcript.clear();
        pair.a.session.collect();
        pair.a.flush();
        let label = if profile.plural_gc {
            "13'op:gc-answers"
        } else {
            "12'op:gc-answer"
        };
        let written: Vec<_> = pair
            .a
            .transcript
            .iter()
            .map(|message| text(message))
            .collect();
        // Numbers begin at 1, because some peers refuse 0.
        assert_eq!(written, [format!("<{label}[1+2+]>")], "{}", profile.name);
    }
}

#[test]
fn an_abort_is_written_as_the_golden_one() {
    for profile in Profile::ALL {
        let messages = written(profile, |end| end.session.abort("bye"));
        assert_eq!(messages, [text(&op("abort"))], "{}", profile.name);
    }
}

// Profiles.

#[test]
fn the_profile_table_is_the_one_of_the_survey() {
    use Framing::{LengthPrefixed, Raw};
    // name, framing, deliver-only, plural gc, three-field listen, batching, answers as arguments
    for (name, framing, only, plural, partial, batch, answers) in [
        ("marotte", LengthPrefixed, false, true, false, true, true),
        (
            "draft-2026-07",
            LengthPrefixed,
            false,
            true,
            false,
            false,
            false,
        ),
        ("endo-1.1", LengthPrefixed, false, true, true, false, false),
        ("suite-2026-02", Raw, true, false, true, false, false),
        ("suite-2026-02b", Raw, false, false, true, false, false),
    ] {
        let profile = Profile::named(name).unwrap();
        assert_eq!(profile.name, name);
        assert_eq!(profile.captp_version, "1.0", "{name}");
        assert_eq!(profile.framing, framing, "{name}");
        assert_eq!(
            (
                profile.deliver_only,
                profile.plural_gc,
                profile.listen_partial
            ),
            (only, plural, partial),
            "{name}"
        );
        assert_eq!(
            (profile.batch_websocket, profile.answer_arguments),
            (batch, answers),
            "{name}"
        );
    }
    assert_eq!(Profile::ALL.len(), 6);
    assert_eq!(Profile::named("no such profile"), None);
}
