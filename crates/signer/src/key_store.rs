//! What a place that holds the camera's keys must be able to do.

use birthmark_protocol::attestation::{Credential, Evidence};
use birthmark_protocol::{Digest, PublicKey, Signature};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::messages::{Chip, KeyStoreKind, Lockout};

/// An object that only its key store can load: a sealed secret or a private key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blob {
    /// The public area (TPMT_PUBLIC), in hexadecimal.
    #[serde(with = "crate::text::hex_bytes")]
    pub public: Vec<u8>,
    /// The private area, encrypted by the chip.
    #[serde(with = "crate::text::hex_bytes")]
    pub private: Vec<u8>,
    /// The measurements it is bound to; none means the chip alone.
    #[serde(default)]
    pub pcrs: Vec<u8>,
}

/// Why a key store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// The TPM's reason.
    #[cfg(feature = "tpm")]
    #[error(transparent)]
    Tpm(#[from] crate::tpm::TpmError),
    /// The software store's reason.
    #[cfg(feature = "software-keys")]
    #[error(transparent)]
    Software(#[from] crate::software::SoftwareError),
    /// Only a TPM can do this.
    #[cfg(feature = "software-keys")]
    #[error("software keys cannot {0}: that needs a TPM")]
    NeedsTpm(&'static str),
}

impl KeyStoreError {
    /// Whether the store works but holds no signing key.
    pub fn is_no_key(&self) -> bool {
        match self {
            #[cfg(feature = "tpm")]
            Self::Tpm(error) => matches!(error, crate::tpm::TpmError::NoSigningKey { .. }),
            #[cfg(feature = "software-keys")]
            Self::Software(error) => matches!(error, crate::software::SoftwareError::NoKey { .. }),
            #[cfg(feature = "software-keys")]
            Self::NeedsTpm(_) => false,
        }
    }
}

/// How the store is.
#[derive(Debug)]
pub struct Health {
    /// Who made the chip, if it is one.
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

    /// Tests everything there is to test.
    fn self_test(&mut self) -> Result<(), KeyStoreError>;

    /// Describes the store without straining it.
    fn health(&mut self) -> Result<Health, KeyStoreError>;
}

/// A TPM with its policy for sealing.
#[cfg(feature = "tpm")]
pub struct TpmStore {
    /// The chip.
    pub tpm: crate::tpm::Tpm,
    /// The measurements that sealed secrets are bound to.
    pub pcrs: Vec<u8>,
}

#[cfg(feature = "tpm")]
impl KeyStore for TpmStore {
    fn kind(&self) -> KeyStoreKind {
        KeyStoreKind::Tpm
    }

    fn identity(&mut self) -> Result<Vec<u8>, KeyStoreError> {
        Ok(self.tpm.storage_root()?)
    }

    fn pin(&mut self, identity: Option<Vec<u8>>) {
        self.tpm.pin(identity);
    }

    fn public_key(&mut self) -> Result<PublicKey, KeyStoreError> {
        Ok(self.tpm.public_key()?)
    }

    fn enrol(&mut self) -> Result<PublicKey, KeyStoreError> {
        Ok(self.tpm.enrol()?)
    }

    fn forget(&mut self) -> Result<(), KeyStoreError> {
        Ok(self.tpm.forget()?)
    }

    fn sign(&mut self, digest: &Digest) -> Result<Signature, KeyStoreError> {
        Ok(self.tpm.sign(digest)?)
    }

    fn seal(&mut self, secret: &[u8]) -> Result<Blob, KeyStoreError> {
        Ok(self.tpm.seal(secret, &self.pcrs)?)
    }

    fn unseal(&mut self, blob: &Blob) -> Result<Zeroizing<Vec<u8>>, KeyStoreError> {
        Ok(self.tpm.unseal(blob)?)
    }

    fn create_attestation_key(&mut self) -> Result<Blob, KeyStoreError> {
        Ok(self.tpm.create_attestation_key()?)
    }

    fn attest(
        &mut self,
        attestation_key: &Blob,
        nonce: &[u8; 32],
    ) -> Result<Evidence, KeyStoreError> {
        Ok(self.tpm.attest(attestation_key, nonce)?)
    }

    fn activate(
        &mut self,
        attestation_key: &Blob,
        credential: &Credential,
    ) -> Result<Zeroizing<Vec<u8>>, KeyStoreError> {
        Ok(self.tpm.activate(attestation_key, credential)?)
    }

    fn self_test(&mut self) -> Result<(), KeyStoreError> {
        Ok(self.tpm.self_test()?)
    }

    fn health(&mut self) -> Result<Health, KeyStoreError> {
        self.tpm.test_result()?;
        Ok(Health {
            chip: Some(self.tpm.describe()?),
            lockout: Some(self.tpm.lockout()?),
        })
    }
}
