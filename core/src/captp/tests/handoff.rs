//! Certificates, against golden bytes and against forgers.

use super::vectors::{hex, keys, vectors};
use crate::captp::{Give, Receive, Signed};
use crate::limits::Limits;

fn golden<T: crate::captp::Certificate>(name: &str) -> (Vec<u8>, Signed<T>) {
    let envelope = hex(&vectors()["handoff"][name]);
    let signed = Signed::parse(&envelope, &Limits::default()).unwrap();
    (envelope, signed)
}

#[test]
fn the_golden_certificates_are_read_and_written_the_same() {
    let (envelope, give) = golden::<Give>("give_envelope");
    assert_eq!(give.value.gift, [0xaa; 32]);
    assert_eq!(give.value.receiver, keys("B").public());
    assert!(give.is_by(&keys("C").public()) && !give.is_by(&keys("A").public()));
    let again = Signed::new(give.value.clone(), &keys("C"));
    assert_eq!(again.envelope(), envelope);
    let (envelope, receive) = golden::<Receive>("receive_envelope");
    assert_eq!(receive.value.count, 0);
    assert_eq!(receive.value.give, give);
    assert!(receive.is_by(&keys("B").public()));
    let again = Signed::new(receive.value, &keys("B"));
    assert_eq!(again.envelope(), envelope);
}

#[test]
fn no_byte_of_a_certificate_can_be_changed_or_left_out() {
    let (envelope, _) = golden::<Receive>("receive_envelope");
    for at in 0..envelope.len() {
        let cut = Signed::<Receive>::parse(&envelope[..at], &Limits::default());
        assert!(cut.is_err(), "cut at {at}");
        for bit in [1, 0x20, 0x80] {
            let mut forged = envelope.clone();
            forged[at] ^= bit;
            let forged = Signed::<Receive>::parse(&forged, &Limits::default());
            let passes = forged.is_ok_and(|receive| {
                receive.is_by(&keys("B").public()) && receive.value.give.is_by(&keys("C").public())
            });
            assert!(!passes, "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn one_kind_of_certificate_is_not_taken_for_another() {
    let (give, _) = golden::<Give>("give_envelope");
    assert!(Signed::<Receive>::parse(&give, &Limits::default()).is_err());
}
