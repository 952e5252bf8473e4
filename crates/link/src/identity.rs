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

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, section 7.1, test 1.
    const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    fn seed() -> [u8; 32] {
        hex::decode(SEED).unwrap().try_into().unwrap()
    }

    #[test]
    fn an_identity_is_the_public_half_of_its_seed() {
        let key = LinkKey::from_seed(&seed()).unwrap();
        assert_eq!(key.identity().to_string(), PUBLIC);
        // What is shown in a handshake says the same.
        let shown = key.certified();
        assert_eq!(Identity::from_spki(&shown.cert[0]), Some(*key.identity()));
        let printed = format!("{key:?}");
        assert!(
            printed.contains(PUBLIC) && !printed.contains(SEED),
            "{printed}"
        );
    }

    #[test]
    fn what_is_no_ed25519_key_is_nobody() {
        let spki = [&SPKI[..], &[7; 32]].concat();
        assert_eq!(Identity::from_spki(&spki), Some(Identity([7; 32])));
        let mut other_algorithm = spki.clone();
        other_algorithm[8] = 0x6e;
        for wrong in [
            &spki[..43],
            &[&spki[..], &[0]].concat(),
            &other_algorithm,
            &[],
        ] {
            assert_eq!(Identity::from_spki(wrong), None);
        }
    }

    #[test]
    fn identities_are_written_as_they_are_read() {
        let identity: Identity = PUBLIC.parse().unwrap();
        let json = serde_json::to_string(&identity).unwrap();
        assert_eq!(json, format!("\"{PUBLIC}\""));
        assert_eq!(serde_json::from_str::<Identity>(&json).unwrap(), identity);
        let mut wrong = vec![String::new(), PUBLIC[1..].into(), format!("{PUBLIC}00")];
        wrong.push(PUBLIC.replace('d', "g"));
        for text in wrong {
            let refused = text.parse::<Identity>().unwrap_err();
            assert!(refused.to_string().contains("64 hexadecimal"), "{text}");
            let json = serde_json::to_string(&text).unwrap();
            assert!(serde_json::from_str::<Identity>(&json).is_err(), "{text}");
        }
    }
}
