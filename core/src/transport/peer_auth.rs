//! What is said in a plain WebSocket before the session, in the dialects of Endo and Goblins.
//!
//! ```text
//!   client                                                        server
//!     │  <init:peer-auth challenge>                                 │
//!     │ ───────────────────────────────────────────────────────────▶│
//!     │  <desc:sig-envelope <init:peer-auth challenge> signature>   │
//!     │ ◀───────────────────────────────────────────────────────────│
//!     │  op:start-session, and so on                                │
//!     │ ◀──────────────────────────────────────────────────────────▶│
//! ```
//!
//! The signature is over the record as it came, by the key that the server's designator stands for. So the
//! client knows that the server has been asked; it does not know that nobody is in between, and the server
//! does not know who the client is. Encryption is for that.
//!
//! Source: the netlayers of that name in `@endo/ocapn` 1.1 and in Goblins 0.18.

use std::sync::Arc;

use super::wire::WireError;
use crate::captp::{PublicKey, read_signature, write_signature};
use crate::identity::Identity;
use crate::syrup::{Cursor, SyrupError, Token, Writer};

/// The part of one end, without I/O.
///
/// ```text
///   client: Asks ──the right answer──▶ Over      server: Asked ──any message──▶ Over
/// ```
pub struct PeerAuth(State);

enum State {
    Asks { challenge: Vec<u8>, key: PublicKey },
    Asked(Arc<Identity>),
    Over,
}

impl std::fmt::Debug for PeerAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_over() {
            "PeerAuth(over)"
        } else {
            "PeerAuth(under way)"
        })
    }
}

/// What a message was.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// The session's: this is over.
    Session,
    /// The answer of whoever has this key.
    Met(PublicKey),
    /// A question, and what is to be answered before anything else is said.
    Asked(Vec<u8>),
}

const LABEL: &str = "init:peer-auth";

impl PeerAuth {
    /// The client's part, towards whoever has that key; `random` is 32 random bytes. The message is to be sent
    /// first.
    pub fn asking(key: PublicKey, random: &[u8; 32]) -> (Self, Vec<u8>) {
        let mut challenge = Vec::new();
        challenge.put_record(LABEL, |out| out.put_bytes(random));
        let state = State::Asks {
            challenge: challenge.clone(),
            key,
        };
        (Self(state), challenge)
    }

    /// The server's part. Nothing of the session is to be sent before this is over: a client that asks takes
    /// no other answer.
    pub fn asked(identity: &Arc<Identity>) -> Self {
        Self(State::Asked(Arc::clone(identity)))
    }

    /// True if only the session's messages are left.
    pub fn is_over(&self) -> bool {
        matches!(self.0, State::Over)
    }

    /// Takes a message.
    ///
    /// # Errors
    /// If the server is somebody else than is meant, or either says something that it must not.
    pub fn receive(&mut self, message: &[u8]) -> Result<Heard, WireError> {
        let broken = |why: &str| WireError::Protocol(why.to_owned());
        match std::mem::replace(&mut self.0, State::Over) {
            State::Over => Ok(Heard::Session),
            State::Asks { challenge, key } => {
                let signature = signature(message, &challenge)
                    .map_err(|_| broken("the server does not answer init:peer-auth"))?;
                if !key.verify(&challenge, &signature) {
                    return Err(broken(
                        "whoever answers has another key than the reference names",
                    ));
                }
                Ok(Heard::Met(key))
            }
            // Peers of other dialects begin with the session at once.
            State::Asked(identity) => match is_challenge(message) {
                Ok(None) => Ok(Heard::Session),
                Ok(Some(())) => {
                    let mut answer = Vec::new();
                    answer.put_record("desc:sig-envelope", |out| {
                        out.extend_from_slice(message);
                        write_signature(out, &identity.sign(message));
                    });
                    Ok(Heard::Asked(answer))
                }
                Err(_) => Err(broken("init:peer-auth must have 32 to 64 random bytes")),
            },
        }
    }
}

fn malformed<T>(at: usize) -> Result<T, SyrupError> {
    let why = "not a message of init:peer-auth";
    Err(SyrupError::Malformed { at, why })
}

/// `None` if it is another message, an error if it is none that may be.
fn is_challenge(message: &[u8]) -> Result<Option<()>, SyrupError> {
    let mut cursor = Cursor::new(message);
    let (Ok(Token::Record), Ok(Token::Symbol(LABEL))) = (cursor.next(), cursor.next()) else {
        return Ok(None);
    };
    let Token::Bytes(random) = cursor.next()? else {
        return malformed(0);
    };
    // What is signed is nothing else that has a meaning anywhere.
    let is_whole = matches!(cursor.next()?, Token::EndRecord) && cursor.is_empty();
    if is_whole && (32..=64).contains(&random.len()) {
        Ok(Some(()))
    } else {
        malformed(0)
    }
}

/// The signature in the envelope around the challenge.
fn signature(message: &[u8], challenge: &[u8]) -> Result<[u8; 64], SyrupError> {
    let mut cursor = Cursor::new(message);
    let (Token::Record, Token::Symbol("desc:sig-envelope")) = (cursor.next()?, cursor.next()?)
    else {
        return malformed(0);
    };
    if !cursor.eat(challenge) {
        return malformed(0);
    }
    let signature = read_signature(&mut cursor)?;
    match cursor.next()? {
        Token::EndRecord if cursor.is_empty() => Ok(signature),
        _ => malformed(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(seed: u8) -> Arc<Identity> {
        Arc::new(Identity::from_seed([seed; 32]))
    }

    #[test]
    fn whoever_has_the_key_is_met() {
        let (mut client, challenge) = PeerAuth::asking(identity(1).public(), &[7; 32]);
        assert_eq!(challenge.len(), 54);
        let mut server = PeerAuth::asked(&identity(1));
        let Ok(Heard::Asked(answer)) = server.receive(&challenge) else {
            panic!("it is a question");
        };
        assert_eq!(answer.len(), 176);
        assert_eq!(
            client.receive(&answer),
            Ok(Heard::Met(identity(1).public()))
        );
        for end in [&mut client, &mut server] {
            assert!(end.is_over());
            assert_eq!(end.receive(b"anything"), Ok(Heard::Session));
        }
    }

    #[test]
    fn a_server_that_is_not_asked_begins() {
        let mut server = PeerAuth::asked(&identity(1));
        assert_eq!(server.receive(b"<16'op:start-session>"), Ok(Heard::Session));
        assert!(server.is_over());
    }

    #[test]
    fn nothing_else_is_an_answer() {
        let (_, challenge) = PeerAuth::asking(identity(1).public(), &[7; 32]);
        let answer = |seed, message: &[u8]| match PeerAuth::asked(&identity(seed)).receive(message)
        {
            Ok(Heard::Asked(answer)) => answer,
            other => panic!("{other:?}"),
        };
        let right = answer(1, &challenge);
        let (_, other) = PeerAuth::asking(identity(1).public(), &[8; 32]);
        let mut flipped = right.clone();
        flipped[100] ^= 1;
        let wrong: [&[u8]; 7] = [
            &answer(2, &challenge),
            &answer(1, &other),
            &flipped,
            &right[..right.len() - 1],
            &[&right[..], b"f"].concat(),
            &challenge,
            b"",
        ];
        for wrong in wrong {
            let (mut client, _) = PeerAuth::asking(identity(1).public(), &[7; 32]);
            assert!(client.receive(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_not_random_bytes_is_not_signed() {
        for bad in [
            &b"<14'init:peer-auth31:0123456789012345678901234567890>"[..],
            b"<14'init:peer-auth32\"01234567890123456789012345678901>",
            b"<14'init:peer-auth32:01234567890123456789012345678901>f",
            b"<14'init:peer-auth32:01234567890123456789012345678901f>",
            b"<14'init:peer-auth>",
        ] {
            assert!(PeerAuth::asked(&identity(1)).receive(bad).is_err());
        }
    }
}
