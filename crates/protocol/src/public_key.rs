//! P-256 public keys and signatures: the only ones that sign anything of ours.

use std::fmt;

use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::ecdsa::{Signature as P256Signature, VerifyingKey};
use p256::pkcs8::{DecodePublicKey, EncodePublicKey};

use crate::digest::Digest;

/// A P-256 point: a camera's, an authority's or a validator's key.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// An ECDSA P-256 signature. Both forms of `s` are read; ours are written with the low one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(P256Signature);

/// The first eight bytes of SHA-256 over a key's SubjectPublicKeyInfo.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; 8]);

/// Why bytes are not a key or a signature, or why a signature does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not a P-256 SubjectPublicKeyInfo or point.
    #[error("not a P-256 public key")]
    Key,
    /// Not a DER-encoded ECDSA signature over P-256.
    #[error("not an ECDSA P-256 signature in DER")]
    Encoding,
    /// The signature was made by another key or over other bytes.
    #[error("the signature does not match")]
    Mismatch,
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo in DER.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, SignatureError> {
        VerifyingKey::from_public_key_der(der)
            .map(Self)
            .map_err(|_| SignatureError::Key)
    }

    /// Reads a SubjectPublicKeyInfo in PEM.
    pub fn from_pem(pem: &str) -> Result<Self, SignatureError> {
        VerifyingKey::from_public_key_pem(pem)
            .map(Self)
            .map_err(|_| SignatureError::Key)
    }

    /// Reads a SEC1 point, compressed (33 bytes) or not (65 bytes).
    pub fn from_sec1(bytes: &[u8]) -> Result<Self, SignatureError> {
        // The compact form (5) leaves out the sign of y: it would be a second spelling of a
        // compressed key.
        if !matches!(bytes.first(), Some(2..=4)) {
            return Err(SignatureError::Key);
        }
        VerifyingKey::from_sec1_bytes(bytes)
            .map(Self)
            .map_err(|_| SignatureError::Key)
    }

    /// The uncompressed point, 65 bytes.
    pub fn to_sec1(&self) -> [u8; 65] {
        fill(self.0.to_sec1_point(false).as_bytes())
    }

    /// The compressed point, 33 bytes.
    pub fn to_compressed(&self) -> [u8; 33] {
        fill(self.0.to_sec1_point(true).as_bytes())
    }

    /// SubjectPublicKeyInfo in DER: 91 bytes.
    pub fn to_spki_der(&self) -> Vec<u8> {
        let document = self.0.to_public_key_der();
        #[expect(
            clippy::disallowed_methods,
            reason = "a point of the curve has this form always"
        )]
        document
            .map(|document| document.as_bytes().to_vec())
            .unwrap_or_default()
    }

    /// Short name of the key.
    pub fn id(&self) -> KeyId {
        let digest = Digest::of(&self.to_spki_der());
        KeyId(fill(digest.as_bytes().split_at(8).0))
    }

    /// Checks a signature over `message` (hashed with SHA-256).
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureError> {
        self.verify_digest(&Digest::of(message), signature)
    }

    /// Checks a signature over a digest.
    pub fn verify_digest(
        &self,
        digest: &Digest,
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        self.0
            .verify_prehash(digest.as_bytes(), &signature.0)
            .map_err(|_| SignatureError::Mismatch)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id())
    }
}

impl Signature {
    /// Reads the DER form.
    pub fn from_der(der: &[u8]) -> Result<Self, SignatureError> {
        P256Signature::from_der(der)
            .map(Self)
            .map_err(|_| SignatureError::Encoding)
    }

    /// Reads `r ‖ s`, 64 bytes.
    pub fn from_bytes(bytes: &[u8; 64]) -> Result<Self, SignatureError> {
        P256Signature::from_slice(bytes)
            .map(Self)
            .map_err(|_| SignatureError::Encoding)
    }

    /// Reads `r` and `s` as big-endian integers of up to 32 bytes, as a TPM gives them.
    pub fn from_scalars(r: &[u8], s: &[u8]) -> Result<Self, SignatureError> {
        let (r, s) = (left_pad(r)?, left_pad(s)?);
        P256Signature::from_scalars(r, s)
            .map(Self)
            .map_err(|_| SignatureError::Encoding)
    }

    /// The same signature with the low form of `s`.
    pub fn normalized(&self) -> Self {
        Self(self.0.normalize_s())
    }

    /// `r ‖ s`, 64 bytes.
    pub fn to_bytes(&self) -> [u8; 64] {
        self.0.to_bytes().into()
    }

    /// The DER form.
    pub fn to_der(&self) -> Vec<u8> {
        self.0.to_der().as_bytes().to_vec()
    }
}

impl From<P256Signature> for Signature {
    fn from(signature: P256Signature) -> Self {
        Self(signature)
    }
}

impl From<VerifyingKey> for PublicKey {
    fn from(key: VerifyingKey) -> Self {
        Self(key)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", hex::encode(self.to_bytes()))
    }
}

impl KeyId {
    /// Takes the eight bytes.
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The eight bytes.
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl std::str::FromStr for KeyId {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, hex::FromHexError> {
        let mut bytes = [0; 8];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

fn fill<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    out
}

fn left_pad(bytes: &[u8]) -> Result<[u8; 32], SignatureError> {
    let missing = 32usize
        .checked_sub(bytes.len())
        .ok_or(SignatureError::Encoding)?;
    let mut out = [0; 32];
    out.iter_mut()
        .skip(missing)
        .zip(bytes)
        .for_each(|(to, from)| *to = *from);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::SigningKey;
    use p256::ecdsa::signature::hazmat::PrehashSigner;

    use super::*;

    fn pair() -> (SigningKey, PublicKey) {
        let key = SigningKey::from_slice(&[7; 32]).unwrap();
        let public = PublicKey::from(*key.verifying_key());
        (key, public)
    }

    #[test]
    fn a_signature_holds_for_its_message_and_key_only() {
        let (key, public) = pair();
        let signed: P256Signature = key.sign_prehash(Digest::of(b"text").as_bytes()).unwrap();
        let signature = Signature::from_der(&Signature::from(signed).to_der()).unwrap();
        assert_eq!(public.verify(b"text", &signature), Ok(()));
        assert_eq!(
            public.verify(b"other", &signature),
            Err(SignatureError::Mismatch)
        );
        let stranger = PublicKey::from(*SigningKey::from_slice(&[8; 32]).unwrap().verifying_key());
        assert_eq!(
            stranger.verify(b"text", &signature),
            Err(SignatureError::Mismatch)
        );
    }

    #[test]
    fn every_form_of_a_key_reads_back() {
        let (_, public) = pair();
        assert_eq!(PublicKey::from_sec1(&public.to_sec1()), Ok(public.clone()));
        assert_eq!(
            PublicKey::from_sec1(&public.to_compressed()),
            Ok(public.clone())
        );
        assert_eq!(PublicKey::from_spki_der(&public.to_spki_der()), Ok(public));
    }

    #[test]
    fn a_compressed_key_has_one_spelling() {
        let mut compressed = pair().1.to_compressed();
        compressed[0] = 5;
        assert_eq!(PublicKey::from_sec1(&compressed), Err(SignatureError::Key));
        assert_eq!(PublicKey::from_sec1(&[]), Err(SignatureError::Key));
    }

    #[test]
    fn scalars_shorter_than_32_bytes_are_padded_and_longer_ones_refused() {
        let padded = Signature::from_scalars(&[1], &[2, 3]).unwrap().to_bytes();
        assert_eq!((padded[31], padded[62], padded[63]), (1, 2, 3));
        assert_eq!(
            Signature::from_scalars(&[1; 33], &[1]),
            Err(SignatureError::Encoding)
        );
        assert_eq!(
            Signature::from_scalars(&[0], &[1]),
            Err(SignatureError::Encoding)
        );
    }
}
