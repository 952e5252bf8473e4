//! A validator's two keys: P-256 for votes and transactions (a hardware key can hold it), Ed25519
//! for checkpoints (the transparency-log formats know no other that a small key can make).

use std::fmt;

use birthmark_protocol::{Digest, PublicKey, Signature};
use ed25519_dalek::Signer as _;
use p256::ecdsa::SigningKey;
use serde::{Deserialize, Serialize};

use crate::serial;

/// Signs votes and transactions. Behind it is a key in memory, or one that never leaves its
/// hardware.
pub trait VoteSigner {
    /// The key others know.
    fn public_key(&self) -> PublicKey;

    /// An ECDSA P-256 signature over SHA-256 of `message`.
    fn sign(&self, message: &[u8]) -> Result<Signature, SigningError>;
}

/// Why a key did not sign, or is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    /// The bytes are no private key.
    #[error("not a private key: {0}")]
    Key(&'static str),
    /// What holds the key did not sign.
    #[error("the key did not sign: {0}")]
    Refused(String),
}

/// A P-256 vote key in memory. Signatures are deterministic (RFC 6979).
pub struct VoteKey(SigningKey);

/// The Ed25519 keys of checkpoints in memory: one for cosignatures, and one with which the
/// validator signs as the log. The second is derived from the seed of the first: they have one
/// keeper, and one secret less can be lost.
pub struct CheckpointKey {
    cosigning: ed25519_dalek::SigningKey,
    log: ed25519_dalek::SigningKey,
}

/// The public half of a checkpoint key.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "KeyBytes", into = "KeyBytes")]
pub struct CheckpointPublicKey(ed25519_dalek::VerifyingKey);

#[derive(Serialize, Deserialize)]
struct KeyBytes(#[serde(with = "serial::bytes32")] [u8; 32]);

impl VoteKey {
    /// Takes the 32 bytes of the secret scalar.
    pub fn from_bytes(secret: &[u8; 32]) -> Result<Self, SigningError> {
        SigningKey::from_slice(secret)
            .map(Self)
            .map_err(|_| SigningError::Key("not a P-256 scalar"))
    }

    /// Reads PKCS#8 in PEM, as `openssl genpkey` writes it.
    pub fn from_pem(pem: &str) -> Result<Self, SigningError> {
        use p256::pkcs8::DecodePrivateKey;
        SigningKey::from_pkcs8_pem(pem)
            .map(Self)
            .map_err(|_| SigningError::Key("not a P-256 key in PKCS#8 PEM"))
    }
}

impl<K: VoteSigner + ?Sized> VoteSigner for std::sync::Arc<K> {
    fn public_key(&self) -> PublicKey {
        (**self).public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, SigningError> {
        (**self).sign(message)
    }
}

impl VoteSigner for VoteKey {
    fn public_key(&self) -> PublicKey {
        PublicKey::from(*self.0.verifying_key())
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, SigningError> {
        let signature: p256::ecdsa::Signature = self
            .0
            .try_sign(message)
            .map_err(|error| SigningError::Refused(error.to_string()))?;
        Ok(Signature::from(signature).normalized())
    }
}

impl fmt::Debug for VoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VoteKey(of {})", self.public_key().id())
    }
}

impl CheckpointKey {
    /// Takes the 32 bytes every Ed25519 key grows from.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let log_seed = Digest::tagged("birthmark/log-key/v1", &[seed]);
        Self {
            cosigning: ed25519_dalek::SigningKey::from_bytes(seed),
            log: ed25519_dalek::SigningKey::from_bytes(log_seed.as_bytes()),
        }
    }

    /// The key others know.
    pub fn public_key(&self) -> CheckpointPublicKey {
        CheckpointPublicKey(self.cosigning.verifying_key())
    }

    /// The key of its lines as the log.
    pub fn log_public_key(&self) -> CheckpointPublicKey {
        CheckpointPublicKey(self.log.verifying_key())
    }

    /// An Ed25519 signature over `message`, as the log.
    pub(crate) fn sign_as_log(&self, message: &[u8]) -> [u8; 64] {
        self.log.sign(message).to_bytes()
    }

    /// An Ed25519 signature over `message`.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.cosigning.sign(message).to_bytes()
    }
}

impl fmt::Debug for CheckpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckpointKey(of {:?})", self.public_key())
    }
}

impl CheckpointPublicKey {
    /// Takes 32 bytes; those that are no curve point or one of its few weak points are refused.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, SigningError> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes)
            .map_err(|_| SigningError::Key("not an Ed25519 public key"))?;
        if key.is_weak() {
            Err(SigningError::Key("a weak Ed25519 public key"))
        } else {
            Ok(Self(key))
        }
    }

    /// The 32 bytes.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// Whether this key signed `message`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0
            .verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature))
            .is_ok()
    }
}

impl TryFrom<KeyBytes> for CheckpointPublicKey {
    type Error = SigningError;

    fn try_from(bytes: KeyBytes) -> Result<Self, SigningError> {
        Self::from_bytes(&bytes.0)
    }
}

impl From<CheckpointPublicKey> for KeyBytes {
    fn from(key: CheckpointPublicKey) -> Self {
        Self(key.to_bytes())
    }
}

impl fmt::Debug for CheckpointPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckpointPublicKey({})", hex::encode(self.to_bytes()))
    }
}
