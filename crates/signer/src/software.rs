//! Keys in a file: a key store for developing without a TPM. It protects nothing from whoever can
//! read the file, which is why it exists only in builds that ask for it, and why every answer names
//! it.

use std::path::{Path, PathBuf};

use birthmark_daemon::random;
use birthmark_protocol::attestation::{Credential, Evidence};
use birthmark_protocol::{Digest, PublicKey, Signature};
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::pkcs8::DecodePrivateKey;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::blob::Blob;
use crate::key_store::{Health, KeyStore, KeyStoreError};
use crate::messages::KeyStoreKind;
use crate::state::{self, StateError};

/// Why a software key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SoftwareError {
    /// There is none.
    #[error("there is no signing key in {}: enrol this camera", path.display())]
    NoKey {
        /// Where it would be.
        path: PathBuf,
    },
    /// The file does not hold a key.
    #[error("{} does not hold a P-256 key", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// A signature that the key itself does not confirm.
    #[error("a signature did not verify under its own key")]
    WrongSignature,
    /// The system gave no randomness.
    #[error("the system's random numbers are unavailable")]
    Randomness,
    /// The private key of a provisioning file is not one.
    #[error("not a P-256 private key in PEM (PKCS #8)")]
    PrivateKey,
    /// Reading or writing failed.
    #[error(transparent)]
    State(#[from] StateError),
}

impl From<SoftwareError> for KeyStoreError {
    fn from(error: SoftwareError) -> Self {
        match error {
            error @ SoftwareError::NoKey { .. } => Self::NoKey(error.into()),
            error => Self::Other(error.into()),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    /// What a person who finds this file should know.
    note: String,
    /// The private scalar.
    #[serde(with = "crate::text::hex_secret")]
    private_key: Zeroizing<Vec<u8>>,
}

const NOTE: &str =
    "A development key of birthmark-signer. Not protected: never use it for photos that matter.";

/// The signing key in a file of mode 0600.
pub struct SoftwareStore {
    path: PathBuf,
}

impl SoftwareStore {
    /// Keeps its key in the folder of the signer's state.
    pub fn new(folder: &Path) -> Self {
        Self {
            path: folder.join("software-key.json"),
        }
    }

    fn read(&self) -> Result<SigningKey, SoftwareError> {
        let file: KeyFile = state::read(&self.path)?.ok_or_else(|| SoftwareError::NoKey {
            path: self.path.clone(),
        })?;
        SigningKey::from_slice(&file.private_key).map_err(|_| SoftwareError::Malformed {
            path: self.path.clone(),
        })
    }

    /// Makes this the camera's key.
    pub(crate) fn write(&self, key: &SigningKey) -> Result<(), SoftwareError> {
        let private_key = Zeroizing::new(key.to_bytes().to_vec());
        Ok(state::write(
            &self.path,
            &KeyFile {
                note: NOTE.to_owned(),
                private_key,
            },
        )?)
    }

    fn create(&self) -> Result<SigningKey, SoftwareError> {
        let key = draw()?;
        self.write(&key)?;
        Ok(key)
    }
}

fn draw() -> Result<SigningKey, SoftwareError> {
    loop {
        let bytes = random::bytes::<32>().map_err(|_| SoftwareError::Randomness)?;
        let bytes = Zeroizing::new(bytes);
        // All but one in four thousand million draws are scalars.
        if let Ok(key) = SigningKey::from_slice(bytes.as_slice()) {
            return Ok(key);
        }
    }
}

fn sign_with(key: &SigningKey, digest: &Digest) -> Result<Signature, SoftwareError> {
    let signature: p256::ecdsa::Signature = key
        .sign_prehash(digest.as_bytes())
        .map_err(|_| SoftwareError::WrongSignature)?;
    let signature = Signature::from(signature).normalized();
    public(key)
        .verify_digest(digest, &signature)
        .map_err(|_| SoftwareError::WrongSignature)?;
    Ok(signature)
}

fn one_time_key(blob: &Blob) -> Result<SigningKey, SoftwareError> {
    SigningKey::from_slice(&blob.private).map_err(|_| SoftwareError::PrivateKey)
}

/// The private key that a provisioning file brings.
pub(crate) fn private_key(pem: &str) -> Result<SigningKey, SoftwareError> {
    SigningKey::from_pkcs8_pem(pem).map_err(|_| SoftwareError::PrivateKey)
}

fn public(key: &SigningKey) -> PublicKey {
    PublicKey::from(*key.verifying_key())
}

impl KeyStore for SoftwareStore {
    fn kind(&self) -> KeyStoreKind {
        KeyStoreKind::Software
    }

    fn identity(&mut self) -> Result<Vec<u8>, KeyStoreError> {
        Ok(Vec::new())
    }

    fn pin(&mut self, _: Option<Vec<u8>>) {}

    fn public_key(&mut self) -> Result<PublicKey, KeyStoreError> {
        Ok(public(&self.read()?))
    }

    fn enrol(&mut self) -> Result<PublicKey, KeyStoreError> {
        match self.read() {
            Err(SoftwareError::NoKey { .. }) => Ok(public(&self.create()?)),
            other => Ok(public(&other?)),
        }
    }

    fn forget(&mut self) -> Result<(), KeyStoreError> {
        Ok(state::destroy(&self.path).map_err(SoftwareError::from)?)
    }

    fn sign(&mut self, digest: &Digest) -> Result<Signature, KeyStoreError> {
        Ok(sign_with(&self.read()?, digest)?)
    }

    fn seal(&mut self, secret: &[u8]) -> Result<Blob, KeyStoreError> {
        Ok(Blob {
            public: Vec::new(),
            private: secret.to_vec(),
            pcrs: Vec::new(),
        })
    }

    fn unseal(&mut self, blob: &Blob) -> Result<Zeroizing<Vec<u8>>, KeyStoreError> {
        Ok(Zeroizing::new(blob.private.clone()))
    }

    fn create_attestation_key(&mut self) -> Result<Blob, KeyStoreError> {
        Err(KeyStoreError::NeedsTpm("be attested"))
    }

    fn attest(&mut self, _: &Blob, _: &[u8; 32]) -> Result<Evidence, KeyStoreError> {
        Err(KeyStoreError::NeedsTpm("be attested"))
    }

    fn activate(&mut self, _: &Blob, _: &Credential) -> Result<Zeroizing<Vec<u8>>, KeyStoreError> {
        Err(KeyStoreError::NeedsTpm("activate a credential"))
    }

    fn create_one_time_key(&mut self) -> Result<Blob, KeyStoreError> {
        let key = draw()?;
        Ok(Blob {
            public: public(&key).to_compressed().to_vec(),
            private: key.to_bytes().to_vec(),
            pcrs: Vec::new(),
        })
    }

    fn one_time_public_key(&mut self, one_time_key: &Blob) -> Result<PublicKey, KeyStoreError> {
        Ok(public(&self::one_time_key(one_time_key)?))
    }

    fn certify_one_time_key(
        &mut self,
        _: &Blob,
        _: &Blob,
        _: &[u8; 32],
    ) -> Result<(Vec<u8>, Vec<u8>), KeyStoreError> {
        Err(KeyStoreError::NeedsTpm("vouch for one-time keys"))
    }

    fn knows_one_time_key(&mut self, one_time_key: &Blob) -> Result<bool, KeyStoreError> {
        Ok(self::one_time_key(one_time_key).is_ok())
    }

    fn sign_once(
        &mut self,
        one_time_key: &Blob,
        digest: &Digest,
    ) -> Result<Signature, KeyStoreError> {
        Ok(sign_with(&self::one_time_key(one_time_key)?, digest)?)
    }

    fn self_test(&mut self) -> Result<(), KeyStoreError> {
        self.sign(&Digest::of(b"birthmark self-test")).map(drop)
    }

    fn health(&mut self) -> Result<Health, KeyStoreError> {
        Ok(Health {
            chip: None,
            lockout: None,
        })
    }
}
