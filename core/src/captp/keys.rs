//! Session keys, signatures and the identifiers made of them.
//!
//! Source: OCapN CapTP draft, "Cryptography"; the s-expression forms as written by the Python
//! suite, Endo and Goblins.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::syrup::{Cursor, SyrupError, Token, Writer};

/// A session's own Ed25519 key pair. Fresh for every connection.
pub struct Keys {
    seed: [u8; 32],
    public: PublicKey,
    /// What signing needs, which is large, until [`Self::rest`].
    signing: Option<Box<SigningKey>>,
}

impl std::fmt::Debug for Keys {
    /// Leaves the secret out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Keys").field(&self.public()).finish()
    }
}

impl Keys {
    /// Derives the pair from 32 secret random bytes.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let signing = SigningKey::from_bytes(&seed);
        Self {
            seed,
            public: PublicKey(signing.verifying_key().to_bytes()),
            signing: Some(Box::new(signing)),
        }
    }

    /// Makes these small: signing takes longer from now on. Sessions sign their hello, and then hardly ever.
    pub(crate) fn rest(&mut self) {
        self.signing = None;
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// The nth secret of a kind, which nobody can tell from random bytes who has not the key.
    pub(crate) fn secret(&self, kind: &[u8], n: u64) -> [u8; 32] {
        Sha256::new()
            .chain_update(self.seed)
            .chain_update(kind)
            .chain_update(n.to_be_bytes())
            .finalize()
            .into()
    }

    /// Signs bytes; the 64 bytes are R, then S.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        match &self.signing {
            Some(signing) => signing.sign(message),
            None => SigningKey::from_bytes(&self.seed).sign(message),
        }
        .to_bytes()
    }
}

/// An Ed25519 public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// Writes the key as the list that keys are on the wire.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.put_list(|out| {
            out.put_symbol("public-key");
            out.put_list(|out| {
                out.put_symbol("ecc");
                for (name, value) in [("curve", "Ed25519"), ("flags", "eddsa")] {
                    out.put_list(|out| {
                        out.put_symbol(name);
                        out.put_symbol(value);
                    });
                }
                out.put_list(|out| {
                    out.put_symbol("q");
                    out.put_bytes(&self.0);
                });
            });
        });
    }

    /// Reads what [`Self::write`] writes.
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Self, SyrupError> {
        use Token::{EndList, List, Symbol};
        for expected in [
            List,
            Symbol("public-key"),
            List,
            Symbol("ecc"),
            List,
            Symbol("curve"),
            Symbol("Ed25519"),
            EndList,
            List,
            Symbol("flags"),
            Symbol("eddsa"),
            EndList,
            List,
            Symbol("q"),
        ] {
            expect(cursor, expected, "not an Ed25519 public key")?;
        }
        let key = read_32(cursor)?;
        for _ in 0..3 {
            expect(cursor, EndList, "not an Ed25519 public key")?;
        }
        Ok(Self(key))
    }

    /// The public identifier: the double SHA-256 of the serialised key.
    pub fn id(&self) -> [u8; 32] {
        let mut bytes = Vec::with_capacity(96);
        self.write(&mut bytes);
        double_sha256(&bytes)
    }

    /// True if `signature` is this key's over `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        VerifyingKey::from_bytes(&self.0)
            .and_then(|key| key.verify_strict(message, &Signature::from_bytes(signature)))
            .is_ok()
    }

    /// The identifier of the session between two sides.
    pub fn session_id(&self, other: &Self) -> [u8; 32] {
        let (mine, theirs) = (self.id(), other.id());
        let mut bytes = b"prot0".to_vec();
        bytes.extend_from_slice(&mine.min(theirs));
        bytes.extend_from_slice(&mine.max(theirs));
        double_sha256(&bytes)
    }
}

fn double_sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(bytes)).into()
}

fn expect(
    cursor: &mut Cursor<'_>,
    expected: Token<'_>,
    why: &'static str,
) -> Result<(), SyrupError> {
    let at = cursor.position();
    if cursor.next()? == expected {
        Ok(())
    } else {
        Err(SyrupError::Malformed { at, why })
    }
}

fn read_32(cursor: &mut Cursor<'_>) -> Result<[u8; 32], SyrupError> {
    let at = cursor.position();
    match cursor.next()? {
        Token::Bytes(bytes) => bytes.try_into().map_err(|_| SyrupError::Malformed {
            at,
            why: "32 bytes are due here",
        }),
        _ => Err(SyrupError::Malformed {
            at,
            why: "32 bytes are due here",
        }),
    }
}

/// Writes a signature as the list that signatures are on the wire.
pub(crate) fn write_signature(out: &mut Vec<u8>, signature: &[u8; 64]) {
    let (r, s) = signature.split_at(32);
    out.put_list(|out| {
        out.put_symbol("sig-val");
        out.put_list(|out| {
            out.put_symbol("eddsa");
            for (name, half) in [("r", r), ("s", s)] {
                out.put_list(|out| {
                    out.put_symbol(name);
                    out.put_bytes(half);
                });
            }
        });
    });
}

/// Reads what [`write_signature`] writes.
pub(crate) fn read_signature(cursor: &mut Cursor<'_>) -> Result<[u8; 64], SyrupError> {
    use Token::{EndList, List, Symbol};
    const WHY: &str = "not an EdDSA signature";
    for expected in [List, Symbol("sig-val"), List, Symbol("eddsa")] {
        expect(cursor, expected, WHY)?;
    }
    let mut signature = [0; 64];
    for (name, half) in ["r", "s"].into_iter().zip(signature.chunks_mut(32)) {
        expect(cursor, List, WHY)?;
        expect(cursor, Symbol(name), WHY)?;
        half.copy_from_slice(&read_32(cursor)?);
        expect(cursor, EndList, WHY)?;
    }
    expect(cursor, EndList, WHY)?;
    expect(cursor, EndList, WHY)?;
    Ok(signature)
}
