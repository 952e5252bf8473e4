//! Encryption at rest: everything secret in the database is sealed under keys from one credential.
//!
//! Whoever reads the database without the credential learns which cameras exist and when they were
//! provisioned, but no master key, no NUC hash and no private key. Whoever has both is the
//! authority.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use argon2::Argon2;
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

const PROOF: &[u8] = b"birthmark/vault/v1";
const NONCE: usize = 12;
/// The shortest credential that is accepted.
pub const SHORTEST_SECRET: usize = 16;

/// The keys behind everything sealed.
pub struct Vault {
    cipher: Aes256Gcm,
    index: Zeroizing<[u8; 32]>,
    audit: Zeroizing<[u8; 32]>,
    rows: Zeroizing<[u8; 32]>,
}

/// Why something sealed could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// The credential is too short to protect anything.
    #[error("the credential must have at least {SHORTEST_SECRET} bytes")]
    Short,
    /// Another credential sealed this database.
    #[error("the credential does not belong to this database")]
    WrongCredential,
    /// Sealed bytes were changed, or belong somewhere else.
    #[error("sealed {0} was changed in the database")]
    Tampered(&'static str),
    /// The key derivation or cipher refused.
    #[error("the cipher failed")]
    Cipher,
}

/// What stands in the database so that a wrong credential is noticed.
#[derive(Debug, Clone)]
pub struct VaultProof {
    /// Makes the same credential give other keys elsewhere.
    pub salt: [u8; 16],
    /// Known bytes, sealed.
    pub proof: Vec<u8>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(secret)")
    }
}

impl Vault {
    /// Makes a new vault under `secret`, and what to store about it.
    pub fn create(secret: &[u8], salt: [u8; 16]) -> Result<(Self, VaultProof), VaultError> {
        let vault = Self::derive(secret, &salt)?;
        let proof = vault.seal("proof", PROOF)?;
        Ok((vault, VaultProof { salt, proof }))
    }

    /// Opens the vault that `proof` describes.
    pub fn open(secret: &[u8], proof: &VaultProof) -> Result<Self, VaultError> {
        let vault = Self::derive(secret, &proof.salt)?;
        match vault.unseal("proof", &proof.proof) {
            Ok(known) if known.as_slice() == PROOF => Ok(vault),
            _ => Err(VaultError::WrongCredential),
        }
    }

    fn derive(secret: &[u8], salt: &[u8]) -> Result<Self, VaultError> {
        if secret.len() < SHORTEST_SECRET {
            return Err(VaultError::Short);
        }
        let mut stretched = Zeroizing::new([0; 32]);
        Argon2::default()
            .hash_password_into(secret, salt, stretched.as_mut_slice())
            .map_err(|_| VaultError::Cipher)?;
        let expand = |purpose: &[u8]| {
            let mut key = Zeroizing::new([0; 32]);
            let expanded =
                Hkdf::<Sha256>::new(None, stretched.as_slice()).expand(purpose, key.as_mut_slice());
            expanded.map(|()| key).map_err(|_| VaultError::Cipher)
        };
        let cipher = Aes256Gcm::new((&*expand(b"birthmark/vault/seal/v1")?).into());
        Ok(Self {
            cipher,
            index: expand(b"birthmark/vault/index/v1")?,
            audit: expand(b"birthmark/vault/audit/v1")?,
            rows: expand(b"birthmark/vault/rows/v1")?,
        })
    }

    /// Encrypts `plain`. What was sealed under one label opens under no other.
    pub fn seal(&self, label: &str, plain: &[u8]) -> Result<Vec<u8>, VaultError> {
        let nonce: [u8; NONCE] = crate::random::bytes().map_err(|_| VaultError::Cipher)?;
        let payload = Payload {
            msg: plain,
            aad: label.as_bytes(),
        };
        let sealed = self
            .cipher
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|_| VaultError::Cipher)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Decrypts what was sealed under `label`.
    pub fn unseal(&self, label: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let (nonce, sealed) = sealed
            .split_first_chunk::<NONCE>()
            .ok_or(VaultError::Tampered("value"))?;
        let payload = Payload {
            msg: sealed,
            aad: label.as_bytes(),
        };
        let plain = self.cipher.decrypt(&Nonce::from(*nonce), payload);
        plain
            .map(Zeroizing::new)
            .map_err(|_| VaultError::Tampered("value"))
    }

    /// Decrypts exactly 32 bytes.
    pub fn unseal32(&self, label: &str, sealed: &[u8]) -> Result<Zeroizing<[u8; 32]>, VaultError> {
        let plain = self.unseal(label, sealed)?;
        plain
            .as_slice()
            .try_into()
            .map(Zeroizing::new)
            .map_err(|_| VaultError::Tampered("key"))
    }

    /// A number that finds a secret value again without telling it.
    pub fn index_of(&self, secret: &[u8]) -> [u8; 32] {
        keyed(&self.index, &[secret])
    }

    /// A keyed digest of a row's content.
    pub fn row_digest(&self, content: &[u8]) -> [u8; 32] {
        keyed(&self.rows, &[content])
    }

    /// A keyed digest for the audit log.
    pub fn audit_digest(&self, parts: &[&[u8]]) -> [u8; 32] {
        keyed(&self.audit, parts)
    }
}

fn keyed(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC fills short keys up with zeros to the hash's block.
    let mut block = Zeroizing::new([0; 64]);
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new((&*block).into());
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"a test credential";

    #[test]
    fn only_the_same_credential_opens_the_vault() {
        let (_, proof) = Vault::create(SECRET, [1; 16]).unwrap();
        assert!(Vault::open(SECRET, &proof).is_ok());
        assert_eq!(
            Vault::open(b"another test credential", &proof).unwrap_err(),
            VaultError::WrongCredential
        );
        assert_eq!(
            Vault::create(b"short", [1; 16]).unwrap_err(),
            VaultError::Short
        );
    }

    #[test]
    fn sealed_bytes_open_only_under_their_label_and_unchanged() {
        let (vault, _) = Vault::create(SECRET, [1; 16]).unwrap();
        let mut sealed = vault.seal("table 7", &[9; 32]).unwrap();
        assert_eq!(*vault.unseal32("table 7", &sealed).unwrap(), [9; 32]);
        assert!(vault.unseal32("table 8", &sealed).is_err());
        sealed[20] ^= 1;
        assert!(vault.unseal32("table 7", &sealed).is_err());
        assert!(vault.unseal("table 7", &[1, 2]).is_err());
    }
}
