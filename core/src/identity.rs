//! Who a tub is.

use std::fmt;
use std::io;
use std::path::Path;

use base32ct::{Base32Unpadded, Encoding};
use sha2::{Digest, Sha256};

use crate::captp::{Keys, PublicKey};
use crate::secret_file;
use crate::transport::crypto::exchange_public;

/// A tub's long-lived Ed25519 key. Its public half, in base32, is the tub's designator: whoever has a
/// reference to one of its objects knows it, and no address or name server is believed instead.
///
/// ```
/// use marotte::Identity;
///
/// let identity = Identity::from_seed([7; 32]);      // 32 secret random bytes, really
/// assert_eq!(identity.designator().len(), 52);
/// assert_eq!(Identity::key_of(&identity.designator()), Some(identity.public()));
/// ```
pub struct Identity {
    keys: Keys,
    seed: [u8; 32],
    exchange: [u8; 32],
    proof: [u8; 96],
}

/// What the signature of a proof begins with, so that it is of no use elsewhere.
const PROOF: &[u8] = b"marotte noise static key";

impl fmt::Debug for Identity {
    /// Leaves the secret out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.designator()).finish()
    }
}

impl Identity {
    /// Derives everything from 32 secret random bytes.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let keys = Keys::from_seed(seed);
        let exchange: [u8; 32] = Sha256::new()
            .chain_update(PROOF)
            .chain_update(seed)
            .finalize()
            .into();
        let mut proof = [0; 96];
        proof[..32].copy_from_slice(&keys.public().0);
        proof[32..].copy_from_slice(&keys.sign(&to_sign(&exchange_public(exchange))));
        Self {
            keys,
            seed,
            exchange,
            proof,
        }
    }

    /// Reads the identity that is kept in a file, or makes one there of what `fresh` gives: 32 secret
    /// random bytes. Only its owner may read the file.
    ///
    /// # Errors
    /// If the file cannot be read or made, or holds something else.
    pub fn load_or_create(path: &Path, fresh: impl FnOnce() -> [u8; 32]) -> io::Result<Self> {
        let Some(text) = secret_file::read(path)? else {
            let identity = Self::from_seed(fresh());
            secret_file::create(path, &Base32Unpadded::encode_string(&identity.seed))?;
            return Ok(identity);
        };
        let seed = Base32Unpadded::decode_vec(&text).ok();
        seed.and_then(|seed| seed.try_into().ok())
            .map(Self::from_seed)
            .ok_or_else(|| io::Error::other(format!("{} holds no tub's key", path.display())))
    }

    /// The public key.
    pub fn public(&self) -> PublicKey {
        self.keys.public()
    }

    /// The tub's name: its public key in base32, lower-case and without padding.
    pub fn designator(&self) -> String {
        designator(&self.public())
    }

    /// The key that a designator stands for, if it is of that kind.
    pub fn key_of(designator: &str) -> Option<PublicKey> {
        let key = Base32Unpadded::decode_vec(designator).ok()?;
        let key = PublicKey(key.try_into().ok()?);
        // Of the bits that are left over, one value is right.
        (self::designator(&key) == designator).then_some(key)
    }

    /// The designator of a key: see [`Self::key_of`].
    pub fn designator_of(key: &PublicKey) -> String {
        designator(key)
    }

    /// The key's signature over a message.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.keys.sign(message)
    }

    /// The key of key exchanges.
    pub(crate) fn exchange(&self) -> &[u8; 32] {
        &self.exchange
    }

    /// What shows a peer that the key of the exchange is ours: the public key, and its signature.
    pub(crate) fn proof(&self) -> &[u8; 96] {
        &self.proof
    }
}

/// The designator of a key.
pub(crate) fn designator(key: &PublicKey) -> String {
    Base32Unpadded::encode_string(&key.0)
}

/// Who has made an exchange with that static key, if the proof holds.
pub(crate) fn proven(proof: &[u8], exchange: &[u8]) -> Option<PublicKey> {
    let (key, signature) = proof.split_at_checked(32)?;
    let key = PublicKey(key.try_into().ok()?);
    key.verify(&to_sign(exchange), signature.try_into().ok()?)
        .then_some(key)
}

fn to_sign(exchange: &[u8]) -> Vec<u8> {
    [PROOF, exchange].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_of_one_key_and_one_exchange() {
        let (one, other) = (Identity::from_seed([1; 32]), Identity::from_seed([2; 32]));
        let public = exchange_public(*one.exchange());
        assert_eq!(proven(one.proof(), &public), Some(one.public()));
        assert_eq!(proven(other.proof(), &public), None);
        assert_eq!(proven(&one.proof()[..95], &public), None);
        let mut forged = *one.proof();
        forged[..32].copy_from_slice(&other.public().0);
        assert_eq!(proven(&forged, &public), None);
    }

    #[test]
    fn a_file_keeps_an_identity_from_everybody_else() {
        let folder = std::env::temp_dir().join(format!("marotte-identity-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("tub.key");
        let _ = std::fs::remove_file(&path);
        let made = Identity::load_or_create(&path, || [9; 32]).unwrap();
        let again = Identity::load_or_create(&path, || unreachable!("it is there")).unwrap();
        assert_eq!(made.designator(), again.designator());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        std::fs::write(&path, "something else").unwrap();
        let error = Identity::load_or_create(&path, || [9; 32]).unwrap_err();
        assert!(error.to_string().contains("holds no tub's key"));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_designator_is_written_one_way_only() {
        let name = Identity::from_seed([3; 32]).designator();
        assert!(Identity::key_of(&name).is_some());
        assert_eq!(Identity::key_of(&name.to_uppercase()), None);
        assert_eq!(Identity::key_of(&name[1..]), None);
        assert_eq!(Identity::key_of("alice"), None);
    }
}
