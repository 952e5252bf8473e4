//! What a place that holds the camera's keys must be able to do.

use birthmark_protocol::attestation::{Credential, Evidence};
use birthmark_protocol::{Digest, PublicKey, Signature};
use zeroize::Zeroizing;

use crate::blob::Blob;
use crate::messages::{Chip, KeyStoreKind, Lockout};

/// Why a key store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// The store works, and holds no signing key.
    #[error(transparent)]
    NoKey(Reason),
    /// Only a TPM can do this.
    #[error("software keys cannot {0}: that needs a TPM")]
    NeedsTpm(&'static str),
    /// Anything else that the store says.
    #[error(transparent)]
    Other(Reason),
}

/// What the store itself said. Which stores there are is not this module's business.
pub type Reason = Box<dyn std::error::Error + Send + Sync>;

/// How the store is.
#[derive(Debug)]
pub struct Health {
    /// The chip's manufacturer and firmware, if the store is one.
    pub chip: Option<Chip>,
    /// The protection against guessing, if there is one.
    pub lockout: Option<Lockout>,
}

/// Holds the signing key and seals secrets. Lives on one thread.
pub trait KeyStore {
    /// Which kind it is: named in every answer.
    fn kind(&self) -> KeyStoreKind;

    /// What identifies this store among others of its kind, once and for all.
    fn identity(&mut self) -> Result<Vec<u8>, KeyStoreError>;

    /// From now on accepts only the store with this identity, or any.
    fn pin(&mut self, identity: Option<Vec<u8>>);

    /// The public half of the signing key.
    fn public_key(&mut self) -> Result<PublicKey, KeyStoreError>;

    /// Makes the signing key unless there is one.
    fn enrol(&mut self) -> Result<PublicKey, KeyStoreError>;

    /// Destroys the signing key.
    fn forget(&mut self) -> Result<(), KeyStoreError>;

    /// Signs a digest. The signature has been verified and has the low `s`.
    fn sign(&mut self, digest: &Digest) -> Result<Signature, KeyStoreError>;

    /// Seals up to 128 bytes.
    fn seal(&mut self, secret: &[u8]) -> Result<Blob, KeyStoreError>;

    /// Opens what [`KeyStore::seal`] made.
    fn unseal(&mut self, blob: &Blob) -> Result<Zeroizing<Vec<u8>>, KeyStoreError>;

    /// Makes an attestation key.
    fn create_attestation_key(&mut self) -> Result<Blob, KeyStoreError>;

    /// Collects evidence that the signing key lives in a genuine chip.
    fn attest(
        &mut self,
        attestation_key: &Blob,
        nonce: &[u8; 32],
    ) -> Result<Evidence, KeyStoreError>;

    /// Opens a credential.
    fn activate(
        &mut self,
        attestation_key: &Blob,
        credential: &Credential,
    ) -> Result<Zeroizing<Vec<u8>>, KeyStoreError>;

    /// Makes a key for one photo, which is kept outside of the store.
    fn create_one_time_key(&mut self) -> Result<Blob, KeyStoreError>;

    /// The public half of a key that [`KeyStore::create_one_time_key`] made.
    fn one_time_public_key(&mut self, one_time_key: &Blob) -> Result<PublicKey, KeyStoreError>;

    /// What the attestation key says about a one-time key, as an answer to `nonce`: statement and
    /// signature.
    fn certify_one_time_key(
        &mut self,
        attestation_key: &Blob,
        one_time_key: &Blob,
        nonce: &[u8; 32],
    ) -> Result<(Vec<u8>, Vec<u8>), KeyStoreError>;

    /// Whether the store can use this one-time key; not if it is damaged, or another store's. An
    /// error says nothing about the key: the store itself cannot be asked.
    fn knows_one_time_key(&mut self, one_time_key: &Blob) -> Result<bool, KeyStoreError>;

    /// Signs a digest with a one-time key. The caller noted before that the key is used.
    fn sign_once(
        &mut self,
        one_time_key: &Blob,
        digest: &Digest,
    ) -> Result<Signature, KeyStoreError>;

    /// Tests everything there is to test.
    fn self_test(&mut self) -> Result<(), KeyStoreError>;

    /// Describes the store without straining it.
    fn health(&mut self) -> Result<Health, KeyStoreError>;
}
