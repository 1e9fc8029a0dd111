//! Certificates of hand-offs: any bytes, and honest ones with a few bytes changed.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use marotte::captp::{Certificate, Give, Keys, Receive, Signed};
use marotte::{Limits, Location};

#[derive(Arbitrary, Debug)]
enum Input {
    Any(Vec<u8>),
    /// Where, and what is added there.
    Changed(Vec<(u16, u8)>),
}

fn give() -> Signed<Give> {
    let keys = Keys::from_seed([1; 32]);
    let give = Give {
        receiver: Keys::from_seed([2; 32]).public(),
        exporter: Location {
            transport: "noise".to_owned(),
            designator: "exporter".to_owned(),
            hints: [("host".to_owned(), "127.0.0.1".to_owned())].into(),
        },
        session: [3; 32],
        gifter_side: [4; 32],
        gift: b"gift".to_vec(),
    };
    Signed::new(give, &keys)
}

fn look<T: Certificate>(bytes: &[u8]) {
    let limits = Limits::default();
    let Ok(signed) = Signed::<T>::parse(bytes, &limits) else {
        return;
    };
    // What is kept is what has come, and is read the same again.
    let again = Signed::<T>::parse(signed.envelope(), &limits).expect("it was read before");
    for seed in 1..4 {
        let key = Keys::from_seed([seed; 32]).public();
        assert_eq!(signed.is_by(&key), again.is_by(&key));
    }
}

fuzz_target!(|input: Input| {
    match input {
        Input::Any(bytes) => {
            look::<Give>(&bytes);
            look::<Receive>(&bytes);
        }
        Input::Changed(changes) => {
            let honest = give();
            let mut bytes = honest.envelope().to_vec();
            let before = bytes.clone();
            for (at, by) in changes {
                let at = usize::from(at) % bytes.len();
                bytes[at] = bytes[at].wrapping_add(by);
            }
            look::<Give>(&bytes);
            if let Ok(signed) = Signed::<Give>::parse(&bytes, &Limits::default()) {
                let by_gifter = signed.is_by(&Keys::from_seed([1; 32]).public());
                // Nobody signs anything else for the gifter.
                assert!(!by_gifter || signed.value == honest.value, "{bytes:?} {before:?}");
            }
        }
    }
});
