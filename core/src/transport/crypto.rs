//! What the encrypted stream is made of.

use chacha20poly1305::{AeadInPlace, ChaCha20Poly1305, KeyInit};
use curve25519_dalek::MontgomeryPoint;
use sha2::{Digest, Sha256};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};

/// 32 secret random bytes, for one connection.
pub type Seed = [u8; 32];

/// The libraries that are here for signatures as well, as snow takes them; and randomness from a seed: what is
/// random is the driver's to give, like time and bytes.
pub(super) struct Seeded(pub(super) Seed);

impl CryptoResolver for Seeded {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Stream {
            seed: self.0,
            count: 0,
        }))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        match choice {
            DHChoice::Curve25519 => Some(Box::new(X25519::default())),
            DHChoice::Curve448 => None,
        }
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        match choice {
            HashChoice::SHA256 => Some(Box::new(Hashing(Sha256::new()))),
            _ => None,
        }
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        match choice {
            CipherChoice::ChaChaPoly => Some(Box::new(Sealing([0; 32]))),
            CipherChoice::AESGCM => None,
        }
    }
}

/// SHA-256 of the seed and a counter.
struct Stream {
    seed: Seed,
    count: u64,
}

impl Random for Stream {
    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), snow::Error> {
        for chunk in into.chunks_mut(32) {
            let block = Sha256::new()
                .chain_update(b"marotte noise ephemeral key")
                .chain_update(self.seed)
                .chain_update(self.count.to_le_bytes())
                .finalize();
            chunk.copy_from_slice(&block[..chunk.len()]);
            self.count += 1;
        }
        Ok(())
    }
}

/// The public half of a secret key for exchanges.
pub(crate) fn exchange_public(secret: [u8; 32]) -> [u8; 32] {
    MontgomeryPoint::mul_base_clamped(secret).to_bytes()
}

/// X25519 (RFC 7748).
#[derive(Default)]
struct X25519 {
    secret: [u8; 32],
    public: [u8; 32],
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, secret: &[u8]) {
        // snow gives as many bytes as `priv_len` says.
        if let Ok(secret) = secret.try_into() {
            self.secret = secret;
            self.public = exchange_public(secret);
        }
    }

    fn generate(&mut self, random: &mut dyn Random) -> Result<(), snow::Error> {
        let mut secret = [0; 32];
        random.try_fill_bytes(&mut secret)?;
        self.set(&secret);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &self.secret
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        let point = public.first_chunk::<32>().ok_or(snow::Error::Dh)?;
        let shared = MontgomeryPoint(*point).mul_clamped(self.secret);
        out.first_chunk_mut::<32>()
            .ok_or(snow::Error::Dh)?
            .copy_from_slice(&shared.to_bytes());
        Ok(())
    }
}

struct Hashing(Sha256);

impl Hash for Hashing {
    fn name(&self) -> &'static str {
        "SHA256"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0 = Sha256::new();
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        out[..32].copy_from_slice(&self.0.finalize_reset());
    }
}

/// ChaCha20-Poly1305 (RFC 8439) with the nonces of the Noise framework: four zero bytes, and a counter.
struct Sealing([u8; 32]);

/// What it adds to a message.
const TAG: usize = 16;

fn nonce(count: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&count.to_le_bytes());
    nonce
}

impl Cipher for Sealing {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.0 = *key;
    }

    fn encrypt(&self, count: u64, seen: &[u8], plain: &[u8], out: &mut [u8]) -> usize {
        let (body, rest) = out.split_at_mut(plain.len());
        body.copy_from_slice(plain);
        let cipher = ChaCha20Poly1305::new(&self.0.into());
        let tag = cipher
            .encrypt_in_place_detached(&nonce(count).into(), seen, body)
            .unwrap_or_else(|_| {
                // Only messages of more than 256 GiB fail; but nothing is ever sent in clear.
                body.fill(0);
                Default::default()
            });
        rest[..TAG].copy_from_slice(&tag);
        plain.len() + TAG
    }

    fn decrypt(
        &self,
        count: u64,
        seen: &[u8],
        sealed: &[u8],
        out: &mut [u8],
    ) -> Result<usize, snow::Error> {
        let (body, tag) = sealed
            .split_last_chunk::<TAG>()
            .ok_or(snow::Error::Decrypt)?;
        let out = out.get_mut(..body.len()).ok_or(snow::Error::Decrypt)?;
        out.copy_from_slice(body);
        ChaCha20Poly1305::new(&self.0.into())
            .decrypt_in_place_detached(&nonce(count).into(), seen, out, tag.into())
            .map_err(|_| snow::Error::Decrypt)?;
        Ok(body.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7748, section 5.2.
    #[test]
    fn the_curve_is_that_of_the_standard() {
        let bytes = |hex: &str| data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
        let secret = bytes("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4");
        let public = bytes("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c");
        let shared = bytes("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
        let mut dh = X25519::default();
        dh.set(&secret);
        let mut out = [0; 56];
        dh.dh(&public, &mut out).unwrap();
        assert_eq!(&out[..32], &shared);
        assert!(dh.dh(&public[1..], &mut out).is_err());
    }

    #[test]
    fn a_seed_gives_the_same_again_and_another_one_does_not() {
        let take = |seed: u8| {
            let mut bytes = [0; 100];
            let mut random = Seeded([seed; 32]).resolve_rng().unwrap();
            random.try_fill_bytes(&mut bytes[..50]).unwrap();
            random.try_fill_bytes(&mut bytes[50..]).unwrap();
            bytes
        };
        assert_eq!(take(1), take(1));
        assert_ne!(take(1)[..32], take(2)[..32]);
        assert_ne!(take(1)[..32], take(1)[64..96]);
    }
}
