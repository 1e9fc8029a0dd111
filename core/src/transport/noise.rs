//! The encrypted stream: Noise, with both ends' Ed25519 keys.
//!
//! The pattern is `Noise_XX_25519_ChaChaPoly_SHA256`. Every record is two bytes of length, big-endian,
//! and as many bytes.
//!
//! ```text
//!   initiator                                             responder
//!     │  whom I mean (32 bytes, its Ed25519 key), e          │
//!     │ ────────────────────────────────────────────────────▶│
//!     │                e, ee, s, es, proof (96 bytes)        │
//!     │ ◀────────────────────────────────────────────────────│
//!     │  s, se, proof (96 bytes)                             │
//!     │ ────────────────────────────────────────────────────▶│
//!     │  records of at most 65,519 bytes of framed messages  │
//!     │ ◀───────────────────────────────────────────────────▶│
//! ```
//!
//! A proof is an Ed25519 public key and its signature over the sender's static key of the exchange. The
//! prologue has a label and the key that is meant. So the initiator's key is seen by the responder only,
//! who it is meant for is seen by all.
//!
//! Source: the Noise Protocol Framework, revision 34; signing the exchange's key with an identity's is
//! libp2p-noise's and Endo's `ocapn-noise` way.

use std::sync::Arc;

use snow::{Builder, HandshakeState, TransportState};

use super::crypto::{Seed, Seeded};
use super::framing::Deframer;
use super::wire::WireError;
use crate::captp::{CloseReason, PublicKey};
use crate::identity::{Identity, designator, proven};
use crate::limits::Limits;

const PATTERN: &str = "Noise_XX_25519_ChaChaPoly_SHA256";
const PROLOGUE: &[u8] = b"marotte-noise-1";
/// What encryption adds to a record.
const TAG: usize = 16;
/// The most that a record holds.
const MOST: usize = u16::MAX as usize;
/// The longest record of a handshake.
const HANDSHAKE: usize = 256;

/// One end of an encrypted stream, without I/O.
///
/// ```text
///   Initiator: AwaitsAnswer ──▶ Open        Responder: AwaitsCall ──▶ AwaitsProof ──▶ Open
///                                    anything wrong ──▶ Failed
/// ```
pub(super) struct NoiseCodec {
    stage: Stage,
    /// The beginning of a record whose end has not come.
    input: Vec<u8>,
    deframer: Deframer,
    /// Records of the handshake that wait to be written.
    pub(super) output: Vec<u8>,
    spare: Vec<u8>,
}

enum Stage {
    AwaitsAnswer {
        state: Box<HandshakeState>,
        identity: Arc<Identity>,
        peer: PublicKey,
    },
    AwaitsCall(Arc<Identity>, Seed),
    AwaitsProof(Box<HandshakeState>),
    Open(Box<TransportState>),
    Failed,
}

fn broken(why: &str) -> WireError {
    WireError::Protocol(why.to_owned())
}

impl From<snow::Error> for WireError {
    fn from(_: snow::Error) -> Self {
        // What exactly was wrong helps only who tries to forge it.
        broken("the encryption does not fit: a record was damaged, forged, or meant for another")
    }
}

fn builder<'a>(
    identity: &'a Identity,
    prologue: &'a [u8],
    seed: Seed,
) -> Result<Builder<'a>, WireError> {
    let pattern = PATTERN.parse().map_err(|_| broken("no such pattern"))?;
    Ok(Builder::with_resolver(pattern, Box::new(Seeded(seed)))
        .local_private_key(identity.exchange())?
        .prologue(prologue)?)
}

fn prologue(responder: &PublicKey) -> Vec<u8> {
    [PROLOGUE, &responder.0].concat()
}

impl NoiseCodec {
    fn new(stage: Stage, limits: &Arc<Limits>) -> Self {
        Self {
            stage,
            input: Vec::new(),
            deframer: Deframer::new(Arc::clone(limits)),
            output: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// The connecting end, to the one who has that key.
    pub(super) fn initiator(
        identity: &Arc<Identity>,
        peer: PublicKey,
        limits: &Arc<Limits>,
        seed: Seed,
    ) -> Result<Self, WireError> {
        let prologue = prologue(&peer);
        let mut state = Box::new(builder(identity, &prologue, seed)?.build_initiator()?);
        let mut message = [0; HANDSHAKE];
        message[..32].copy_from_slice(&peer.0);
        let length = 32 + state.write_message(&[], &mut message[32..])?;
        let identity = Arc::clone(identity);
        let stage = Stage::AwaitsAnswer {
            state,
            identity,
            peer,
        };
        let mut codec = Self::new(stage, limits);
        record(&mut codec.output, &message[..length]);
        Ok(codec)
    }

    /// The accepting end.
    pub(super) fn responder(identity: &Arc<Identity>, limits: &Arc<Limits>, seed: Seed) -> Self {
        Self::new(Stage::AwaitsCall(Arc::clone(identity), seed), limits)
    }

    /// What the peer has said already; [`Self::receive`] takes it up.
    #[cfg(feature = "websocket")]
    pub(super) fn heard(mut self, stream: Vec<u8>) -> Self {
        self.input = stream;
        self
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open(_))
    }

    pub(super) fn is_partial(&self) -> bool {
        !self.input.is_empty() || self.deframer.is_partial()
    }

    /// Goes on with the handshake, while there is nobody yet to hand messages to. Returns who the peer is,
    /// once; what comes after that waits for [`Self::receive`].
    pub(super) fn greet(&mut self, bytes: &[u8]) -> Result<Option<PublicKey>, WireError> {
        self.input.extend_from_slice(bytes);
        while !self.is_open() {
            let Some(body) = first_record(&self.input)?.map(<[u8]>::to_vec) else {
                break;
            };
            self.input.drain(..2 + body.len());
            if let Some(peer) = self.shake(&body)? {
                return Ok(Some(peer));
            }
        }
        Ok(None)
    }

    /// Takes what was read. `met` is told the peer's designator, once; `handle` gets the messages.
    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
        met: &mut dyn FnMut(String),
        handle: &mut dyn FnMut(&[u8]) -> Result<(), CloseReason>,
    ) -> Result<(), CloseReason> {
        let mut joined = std::mem::take(&mut self.input);
        let mut bytes = if joined.is_empty() {
            bytes
        } else {
            joined.extend_from_slice(bytes);
            &joined
        };
        while let Some((head, rest)) = bytes.split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*head));
            if !self.is_open() {
                first_record(bytes)?;
            }
            let Some((body, rest)) = rest.split_at_checked(length) else {
                break;
            };
            bytes = rest;
            if let Stage::Open(state) = &mut self.stage {
                let mut plain = std::mem::take(&mut self.spare);
                plain.resize(length, 0);
                let count = state
                    .read_message(body, &mut plain)
                    .map_err(WireError::from)?;
                let done = self.deframer.feed(&plain[..count], handle);
                self.spare = plain;
                done?;
            } else if let Some(peer) = self.shake(body)? {
                met(designator(&peer));
            }
        }
        if !bytes.is_empty() {
            self.input.extend_from_slice(bytes);
        }
        // Nothing is kept per idle connection.
        self.spare.clear();
        self.spare.shrink_to(0);
        Ok(())
    }

    /// Goes on with the handshake. Returns who the peer is, once it is known.
    fn shake(&mut self, body: &[u8]) -> Result<Option<PublicKey>, WireError> {
        let mut payload = [0; HANDSHAKE];
        match std::mem::replace(&mut self.stage, Stage::Failed) {
            Stage::AwaitsCall(identity, seed) => {
                let (meant, call) = split_call(body)?;
                let key = identity.public();
                if meant != key {
                    return Err(broken("whoever is meant is not here"));
                }
                let prologue = prologue(&key);
                let mut state = Box::new(builder(&identity, &prologue, seed)?.build_responder()?);
                state.read_message(call, &mut payload)?;
                let length = state.write_message(identity.proof(), &mut payload)?;
                record(&mut self.output, &payload[..length]);
                self.stage = Stage::AwaitsProof(state);
                Ok(None)
            }
            Stage::AwaitsAnswer {
                mut state,
                identity,
                peer,
            } => {
                let length = state.read_message(body, &mut payload)?;
                if self::peer(&state, &payload[..length])? != peer {
                    return Err(broken(
                        "whoever answers has another key than the reference names",
                    ));
                }
                let length = state.write_message(identity.proof(), &mut payload)?;
                record(&mut self.output, &payload[..length]);
                self.stage = Stage::Open(Box::new(state.into_transport_mode()?));
                Ok(Some(peer))
            }
            Stage::AwaitsProof(mut state) => {
                let length = state.read_message(body, &mut payload)?;
                let peer = peer(&state, &payload[..length])?;
                self.stage = Stage::Open(Box::new(state.into_transport_mode()?));
                Ok(Some(peer))
            }
            Stage::Open(_) | Stage::Failed => Err(broken("the handshake has failed")),
        }
    }

    /// Appends what is to be sent, in records. Only when open.
    pub(super) fn send(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
        let Stage::Open(state) = &mut self.stage else {
            return Err(broken("the connection is not open"));
        };
        for chunk in plain.chunks(MOST - TAG) {
            let length = chunk.len() + TAG;
            // It fits: the chunk was cut so.
            out.extend_from_slice(&(length as u16).to_be_bytes());
            let start = out.len();
            out.resize(start + length, 0);
            state.write_message(chunk, &mut out[start..])?;
        }
        Ok(())
    }
}

/// Whom the initiator of an encrypted stream that begins so wants; `None` if more of it must come first.
///
/// # Errors
/// If it is no such stream.
pub fn meant(stream: &[u8]) -> Result<Option<PublicKey>, WireError> {
    match first_record(stream)? {
        Some(body) => split_call(body).map(|(key, _)| Some(key)),
        None => Ok(None),
    }
}

fn split_call(body: &[u8]) -> Result<(PublicKey, &[u8]), WireError> {
    body.split_first_chunk::<32>()
        .map(|(key, call)| (PublicKey(*key), call))
        .ok_or_else(|| broken("this is no encrypted connection"))
}

/// The first record of a handshake, once it is there.
fn first_record(stream: &[u8]) -> Result<Option<&[u8]>, WireError> {
    let Some((head, rest)) = stream.split_first_chunk::<2>() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes(*head));
    if length > HANDSHAKE {
        return Err(broken("a handshake's record is too long"));
    }
    Ok(rest.get(..length))
}

fn peer(state: &HandshakeState, proof: &[u8]) -> Result<PublicKey, WireError> {
    state
        .get_remote_static()
        .and_then(|exchange| proven(proof, exchange))
        .ok_or_else(|| broken("the peer has not shown that its key is its own"))
}

fn record(out: &mut Vec<u8>, body: &[u8]) {
    // Records of the handshake are short.
    out.extend_from_slice(&(body.len() as u16).to_be_bytes());
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn identity(seed: u8) -> Arc<Identity> {
        Arc::new(Identity::from_seed([seed; 32]))
    }

    /// One end, who it has met, and what it has heard.
    struct End {
        codec: NoiseCodec,
        met: Option<String>,
        heard: Vec<Vec<u8>>,
    }

    impl End {
        fn new(codec: NoiseCodec) -> Self {
            Self {
                codec,
                met: None,
                heard: Vec::new(),
            }
        }

        fn receive(&mut self, bytes: &[u8], piece: usize) -> Result<(), CloseReason> {
            let Self { codec, met, heard } = self;
            for piece in bytes.chunks(piece.max(1)) {
                codec.receive(
                    piece,
                    &mut |peer| assert!(met.replace(peer).is_none(), "met once"),
                    &mut |message| {
                        heard.push(message.to_vec());
                        Ok(())
                    },
                )?;
            }
            Ok(())
        }

        fn take(&mut self) -> Vec<u8> {
            std::mem::take(&mut self.codec.output)
        }
    }

    fn pair(meant: u8) -> (End, End) {
        let limits = Arc::new(Limits::default());
        let initiator =
            NoiseCodec::initiator(&identity(1), identity(meant).public(), &limits, [1; 32])
                .unwrap();
        let responder = NoiseCodec::responder(&identity(2), &limits, [2; 32]);
        (End::new(initiator), End::new(responder))
    }

    fn shake(one: &mut End, other: &mut End, piece: usize) -> Result<(), CloseReason> {
        for _ in 0..2 {
            other.receive(&one.take(), piece)?;
            one.receive(&other.take(), piece)?;
        }
        Ok(())
    }

    #[test]
    fn both_learn_who_the_other_is() {
        let (mut one, mut other) = pair(2);
        shake(&mut one, &mut other, 1).unwrap();
        assert_eq!(one.met, Some(identity(2).designator()));
        assert_eq!(other.met, Some(identity(1).designator()));
        assert!(one.codec.is_open() && other.codec.is_open());
    }

    #[test]
    fn whoever_is_not_meant_does_not_answer() {
        let (mut one, mut other) = pair(3);
        let error = shake(&mut one, &mut other, 1000).unwrap_err();
        assert!(error.to_string().contains("whoever is meant is not here"));
        assert_eq!(other.take(), b"");
    }

    #[test]
    fn whoever_answers_for_another_is_found_out() {
        // A responder that says that it is the one who is meant, and has not the key.
        let meant = prologue(&identity(3).public());
        let liar = identity(2);
        let mut buffer = [0; HANDSHAKE];
        for proof in [*liar.proof(), *identity(3).proof()] {
            let (mut one, _) = pair(3);
            let call = one.take();
            let mut state = builder(&liar, &meant, [3; 32])
                .unwrap()
                .build_responder()
                .unwrap();
            state.read_message(&call[2 + 32..], &mut buffer).unwrap();
            let length = state.write_message(&proof, &mut buffer).unwrap();
            let mut answer = Vec::new();
            record(&mut answer, &buffer[..length]);
            assert!(one.receive(&answer, 1000).is_err());
            assert!(one.met.is_none() && !one.codec.is_open());
        }
    }

    proptest! {
        #[test]
        fn messages_arrive_whole_whatever_pieces_they_come_in(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..8),
            big in 0..300_000_usize,
            piece in 1..100_000_usize,
        ) {
            let (mut one, mut other) = pair(2);
            shake(&mut one, &mut other, piece).unwrap();
            let big = vec![7; big];
            let mut all: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
            all.push(&big);
            let mut plain = Vec::new();
            for message in &all {
                plain.extend_from_slice(format!("{}:", message.len()).as_bytes());
                plain.extend_from_slice(message);
            }
            let mut out = Vec::new();
            one.codec.send(&plain, &mut out).unwrap();
            other.receive(&out, piece).unwrap();
            prop_assert_eq!(&other.heard, &all);
            prop_assert!(!other.codec.is_partial());
        }

        #[test]
        fn a_byte_that_was_changed_ends_the_connection(at in any::<prop::sample::Index>(), by in 1..=255_u8) {
            let (mut one, mut other) = pair(2);
            // Everything that the initiator says, with one byte changed.
            let call = one.take();
            let at = at.index(2 + 64 + 2 + 160 + 2 + 10 + TAG);
            let mut total = 0;
            let mut deliver = |bytes: &[u8], other: &mut End| {
                let mut bytes = bytes.to_vec();
                if (total..total + bytes.len()).contains(&at) {
                    bytes[at - total] ^= by;
                }
                total += bytes.len();
                other.receive(&bytes, 1000)
            };
            let mut result = deliver(&call, &mut other);
            if result.is_ok() {
                result = one.receive(&other.take(), 1000);
            }
            if result.is_ok() && one.codec.is_open() {
                result = deliver(&one.take(), &mut other);
                let mut out = Vec::new();
                one.codec.send(b"8:messages", &mut out).unwrap();
                result = result.and_then(|()| deliver(&out, &mut other));
            }
            // It was found out; or the rest of a longer record is waited for still.
            let waits = result.is_ok() && other.codec.is_partial();
            prop_assert!(result.is_err() || waits);
            prop_assert!(other.heard.is_empty());
        }

        #[test]
        fn noise_of_other_kinds_does_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..2000), piece in 1..500_usize) {
            let (mut one, mut other) = pair(2);
            let _ = other.receive(&bytes, piece);
            let _ = one.receive(&bytes, piece);
            prop_assert!(one.heard.is_empty() && other.heard.is_empty());
            prop_assert!(one.codec.input.len() <= 2 + MOST && other.codec.input.len() <= 2 + MOST);
        }
    }
}
