//! Private keys of the authority: drawn, read from PEM, sealed.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use birthmark_protocol::{PublicKey, Signature};
use p256::SecretKey;
use p256::ecdsa::SigningKey;
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use zeroize::Zeroizing;

/// A P-256 private key.
#[derive(Clone)]
pub struct PrivateKey(SigningKey);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The system gave no randomness.
    #[error("no randomness: {0}")]
    Random(#[from] crate::random::NoRandomness),
    /// Not a P-256 key in PKCS#8 or SEC1 PEM.
    #[error("not a P-256 private key in PEM (PKCS#8 or SEC1)")]
    Format,
    /// The key is encrypted and the passphrase is wrong or missing.
    #[error("the private key is encrypted and the passphrase does not open it")]
    Passphrase,
    /// The key could not be written.
    #[error("the private key could not be written")]
    Encoding,
}

impl PrivateKey {
    /// Draws a key.
    pub fn generate() -> Result<Self, KeyError> {
        loop {
            let scalar = Zeroizing::new(crate::random::bytes::<32>()?);
            // All but one in 2^32 draws are scalars of the curve.
            if let Ok(key) = SigningKey::from_slice(scalar.as_slice()) {
                return Ok(Self(key));
            }
        }
    }

    /// Takes a 32-byte scalar.
    pub fn from_scalar(scalar: &[u8; 32]) -> Result<Self, KeyError> {
        SigningKey::from_slice(scalar)
            .map(Self)
            .map_err(|_| KeyError::Format)
    }

    /// The scalar, for whoever seals it.
    pub fn to_scalar(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes().into())
    }

    /// Reads PEM: PKCS#8, encrypted PKCS#8 or SEC1.
    pub fn from_pem(pem: &str, passphrase: Option<&str>) -> Result<Self, KeyError> {
        // `openssl ecparam -genkey` writes the curve's name in front of the key.
        let begin = pem.rfind("-----BEGIN").ok_or(KeyError::Format)?;
        let (_, pem) = pem.split_at(begin);
        let decoded = der::pem::decode_vec(pem.as_bytes());
        let (label, der) = decoded.map_err(|_| KeyError::Format)?;
        let der = Zeroizing::new(der);
        let secret = match label {
            "PRIVATE KEY" => SecretKey::from_pkcs8_der(&der).map_err(|_| KeyError::Format)?,
            "EC PRIVATE KEY" => SecretKey::from_sec1_der(&der).map_err(|_| KeyError::Format)?,
            "ENCRYPTED PRIVATE KEY" => {
                let sealed = EncryptedPrivateKeyInfoRef::try_from(der.as_slice())
                    .map_err(|_| KeyError::Format)?;
                let opened = sealed
                    .decrypt(passphrase.ok_or(KeyError::Passphrase)?)
                    .map_err(|_| KeyError::Passphrase)?;
                SecretKey::from_pkcs8_der(opened.as_bytes()).map_err(|_| KeyError::Format)?
            }
            _ => return Err(KeyError::Format),
        };
        Ok(Self(SigningKey::from(&secret)))
    }

    /// Writes encrypted PKCS#8 (scrypt, AES-256-CBC), which `openssl pkey` reads.
    pub fn to_encrypted_pem(&self, passphrase: &str) -> Result<Zeroizing<String>, KeyError> {
        let plain = SecretKey::from(&self.0)
            .to_pkcs8_der()
            .map_err(|_| KeyError::Encoding)?;
        let sealed =
            PrivateKeyInfoRef::try_from(plain.as_bytes()).and_then(|key| key.encrypt(passphrase));
        sealed
            .map_err(|_| KeyError::Encoding)?
            .to_pem("ENCRYPTED PRIVATE KEY", der::pem::LineEnding::LF)
            .map_err(|_| KeyError::Encoding)
    }

    /// Writes PKCS#8 in the clear, for the camera the key was made for.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        SecretKey::from(&self.0)
            .to_pkcs8_pem(der::pem::LineEnding::LF)
            .map_err(|_| KeyError::Encoding)
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey::from(*self.0.verifying_key())
    }

    /// The key in the form the certificate builder takes.
    pub const fn signer(&self) -> &SigningKey {
        &self.0
    }

    /// The key in the form that signs fast.
    pub fn fast(&self) -> Result<FastKey, KeyError> {
        let (scalar, point) = (self.to_scalar(), self.public().to_sec1());
        let pair = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            scalar.as_slice(),
            &point,
        );
        pair.map(FastKey).map_err(|_| KeyError::Format)
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateKey({})", self.public().id())
    }
}

/// A key on the hot path: seven times as fast as the other form.
pub struct FastKey(EcdsaKeyPair);

impl FastKey {
    /// Signs SHA-256 of `message`.
    pub fn sign(&self, message: &[u8]) -> Option<Signature> {
        let signature = self.0.sign(&SystemRandom::new(), message).ok()?;
        let bytes = signature.as_ref().try_into().ok()?;
        Signature::from_bytes(bytes)
            .ok()
            .map(|signature| signature.normalized())
    }
}

impl std::fmt::Debug for FastKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FastKey(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encrypted_key_opens_with_its_passphrase_only() {
        let key = PrivateKey::generate().unwrap();
        let pem = key.to_encrypted_pem("a test passphrase").unwrap();
        assert_eq!(
            PrivateKey::from_pem(&pem, Some("a test passphrase"))
                .unwrap()
                .public(),
            key.public()
        );
        assert!(matches!(
            PrivateKey::from_pem(&pem, Some("another")),
            Err(KeyError::Passphrase)
        ));
        assert!(matches!(
            PrivateKey::from_pem(&pem, None),
            Err(KeyError::Passphrase)
        ));
    }

    #[test]
    fn both_forms_of_a_key_sign_alike() {
        let key = PrivateKey::generate().unwrap();
        let signature = key.fast().unwrap().sign(b"message").unwrap();
        assert_eq!(key.public().verify(b"message", &signature), Ok(()));
    }
}
