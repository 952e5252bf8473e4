//! The keys of links.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// What stands before an Ed25519 seed in PKCS#8.
const PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
/// What stands before an Ed25519 public key in a SubjectPublicKeyInfo.
const SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// The key with which a validator shows on links who it is. It signs nothing else.
pub struct LinkKey(Arc<CertifiedKey>, Identity);

/// Who is at the other end of a link: its Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Identity([u8; 32]);

/// Why something is no identity or no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not what is configured.
    #[error("an identity has 64 hexadecimal characters")]
    Format,
    /// The cryptography refused the seed.
    #[error("the link key cannot be used: {0}")]
    Key(String),
}

impl LinkKey {
    /// Takes the 32 bytes every Ed25519 key grows from.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, IdentityError> {
        let der = Zeroizing::new([PKCS8.as_slice(), seed].concat());
        let der = PrivatePkcs8KeyDer::from(der.as_slice());
        let refused = |error: &dyn fmt::Display| IdentityError::Key(error.to_string());
        let key = rustls::crypto::aws_lc_rs::sign::any_eddsa_type(&der)
            .map_err(|error| refused(&error))?;
        let spki = key
            .public_key()
            .ok_or_else(|| refused(&"it has no public half"))?;
        let identity = Identity::from_spki(&spki).ok_or(IdentityError::Format)?;
        let shown = CertificateDer::from(spki.to_vec());
        let certified = CertifiedKey::new(vec![shown], key);
        Ok(Self(Arc::new(certified), identity))
    }

    /// What the others are told.
    pub const fn identity(&self) -> &Identity {
        &self.1
    }

    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0)
    }
}

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LinkKey(of {})", self.1)
    }
}

impl Identity {
    /// Reads what a handshake shows.
    pub(crate) fn from_spki(spki: &[u8]) -> Option<Self> {
        let key = spki.strip_prefix(&SPKI)?;
        key.try_into().ok().map(Self)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| IdentityError::Format)?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Identity {
    type Error = IdentityError;

    fn try_from(text: String) -> Result<Self, IdentityError> {
        text.parse()
    }
}

impl From<Identity> for String {
    fn from(identity: Identity) -> Self {
        identity.to_string()
    }
}
