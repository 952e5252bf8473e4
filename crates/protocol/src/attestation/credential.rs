//! A credential: a secret that only one chip can open, and only while one particular attestation
//! key is in it.
//!
//! What TPM2_MakeCredential does, in software: a random seed is encrypted to the endorsement key,
//! and from the seed come the keys that encrypt and authenticate the secret together with the
//! attestation key's name.

use aes_gcm::aes::Aes128;
use aes_gcm::aes::cipher::{BlockCipherEncrypt, KeyInit};
use hmac::{Hmac, Mac};
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::{NonZeroScalar, ProjectivePoint};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::public_area::{EndorsementKey, KeyName};
use super::{AttestationError, base64_bytes};
use crate::derivation::secret32;
use crate::numbers::at_most;
use crate::public_key::PublicKey;

secret32!(
    /// What the credential hides: whoever returns it owns the chip.
    CredentialSecret
);

/// The label of both ways to encrypt the seed, with its closing zero.
const IDENTITY: &[u8] = b"IDENTITY\0";
const BLOCK: usize = 16;

/// What the authority sends to the camera.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// The encrypted secret and its authentication (TPMS_ID_OBJECT), base64.
    #[serde(with = "base64_bytes")]
    pub blob: Vec<u8>,
    /// The seed, encrypted to the endorsement key, base64.
    #[serde(with = "base64_bytes")]
    pub encrypted_seed: Vec<u8>,
}

/// 32 random bytes for one exchange with a P-256 endorsement key.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct EccRandomness(pub [u8; 32]);

/// RSA-OAEP with SHA-256: gets the RSAPublicKey (DER), the label and the seed.
pub type OaepEncryption<'a> = &'a dyn Fn(&[u8], &[u8], &[u8]) -> Result<Vec<u8>, String>;

/// How the seed reaches the endorsement key. Randomness is an argument, as everywhere in this
/// crate.
pub enum SeedEncryption<'a> {
    /// RSA-OAEP by the caller's library.
    Rsa {
        /// 32 random bytes.
        seed: Zeroizing<[u8; 32]>,
        /// The encryption.
        encrypt: OaepEncryption<'a>,
    },
    /// Diffie-Hellman on P-256, done here.
    P256(EccRandomness),
}

impl Credential {
    /// Makes a credential for the attestation key of that name in the chip of that endorsement key.
    pub fn make(
        endorsement_key: &EndorsementKey,
        attestation_key: &KeyName,
        secret: &CredentialSecret,
        encryption: SeedEncryption<'_>,
    ) -> Result<Self, AttestationError> {
        let (seed, encrypted_seed) = match (endorsement_key, encryption) {
            (EndorsementKey::P256(key), SeedEncryption::P256(random)) => exchange(key, &random)?,
            (EndorsementKey::Rsa { .. }, SeedEncryption::Rsa { seed, encrypt }) => {
                let key = endorsement_key
                    .rsa_der()
                    .ok_or_else(|| failed("the key cannot be encoded"))?;
                let encrypted = encrypt(&key, IDENTITY, seed.as_slice())
                    .map_err(AttestationError::Credential)?;
                (seed, encrypted)
            }
            _ => {
                return Err(failed(
                    "the key is of another kind than the way to encrypt to it",
                ));
            }
        };
        Ok(Self {
            blob: protect(&seed, attestation_key, secret),
            encrypted_seed,
        })
    }
}

fn failed(reason: &str) -> AttestationError {
    AttestationError::Credential(reason.to_owned())
}

/// Agrees on a seed with the endorsement key; the second part is the ephemeral point as the chip
/// reads it.
fn exchange(
    key: &PublicKey,
    random: &EccRandomness,
) -> Result<(Zeroizing<[u8; 32]>, Vec<u8>), AttestationError> {
    let secret = NonZeroScalar::try_from(random.0.as_slice())
        .map_err(|_| failed("the random bytes are no scalar; draw again"))?;
    let theirs = p256::PublicKey::from_sec1_bytes(&key.to_sec1())
        .map_err(|_| failed("not a point on P-256"))?;
    let shared = (theirs.to_projective() * *secret)
        .to_affine()
        .to_sec1_point(false);
    let mine = (ProjectivePoint::GENERATOR * *secret)
        .to_affine()
        .to_sec1_point(false);
    let x_of = |point: &[u8]| point.get(1..33).map(<[u8]>::to_vec).unwrap_or_default();
    let y_of = |point: &[u8]| point.get(33..65).map(<[u8]>::to_vec).unwrap_or_default();
    let shared_x = Zeroizing::new(x_of(shared.as_bytes()));
    let (my_x, my_y) = (x_of(mine.as_bytes()), y_of(mine.as_bytes()));

    let mut hash = Sha256::new();
    hash.update(1_u32.to_be_bytes());
    hash.update(shared_x.as_slice());
    hash.update(IDENTITY);
    hash.update(&my_x);
    hash.update(x_of(&key.to_sec1()));
    let seed = Zeroizing::new(hash.finalize().into());

    let mut point = Vec::with_capacity(68);
    for coordinate in [my_x, my_y] {
        point.extend([0, 32]);
        point.extend(coordinate);
    }
    Ok((seed, point))
}

/// Encrypts the secret and authenticates it together with the attestation key's name.
fn protect(seed: &[u8; 32], name: &KeyName, secret: &CredentialSecret) -> Vec<u8> {
    let key: [u8; 16] = derive(seed, b"STORAGE\0", name.as_bytes());
    let mut identity = [&[0, 32][..], secret.expose()].concat();
    encrypt_cfb(&Zeroizing::new(key), &mut identity);
    let integrity: Zeroizing<[u8; 32]> = Zeroizing::new(derive(seed, b"INTEGRITY\0", &[]));
    let mac = authenticate(integrity.as_slice(), &[&identity, name.as_bytes()]);
    [&[0, 32][..], &mac, &identity].concat()
}

/// KDFa of the TPM specification, for up to 32 bytes: one block of HMAC-SHA256 in counter mode.
fn derive<const N: usize>(seed: &[u8; 32], label_and_zero: &[u8], context: &[u8]) -> [u8; N] {
    let bits = at_most::<u32, _>(N * 8).to_be_bytes();
    let block = Zeroizing::new(authenticate(
        seed,
        &[&1_u32.to_be_bytes(), label_and_zero, context, &bits],
    ));
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(block.iter()) {
        *to = *from;
    }
    out
}

fn authenticate(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC takes keys of every length, so the fallback is never used; with it nothing would verify.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return [0; 32];
    };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// AES-128 in cipher feedback mode with an initial vector of zeros: the key is used once.
fn encrypt_cfb(key: &[u8; 16], text: &mut [u8]) {
    let cipher = Aes128::new(&(*key).into());
    let mut feedback = [0_u8; BLOCK];
    for chunk in text.chunks_mut(BLOCK) {
        let mut stream = feedback.into();
        cipher.encrypt_block(&mut stream);
        for ((byte, mask), next) in chunk.iter_mut().zip(stream.iter()).zip(feedback.iter_mut()) {
            *byte ^= mask;
            *next = *byte;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cfb_matches_the_published_vector() {
        // With text and initial vector of zeros the first block is AES of zero, which RFC 4493
        // prints for this key.
        let key = hex::decode("2b7e151628aed2a6abf7158809cf4f3c")
            .unwrap()
            .try_into()
            .unwrap();
        let mut text = vec![0; 18];
        encrypt_cfb(&key, &mut text);
        assert_eq!(hex::encode(&text[..16]), "7df76b0c1ab899b33e42f047b91b546f");
        let mut second: aes_gcm::aes::Block = <[u8; 16]>::try_from(&text[..16]).unwrap().into();
        Aes128::new(&key.into()).encrypt_block(&mut second);
        assert_eq!(text[16..], second[..2]);
    }

    #[test]
    fn a_key_of_one_kind_refuses_the_way_of_the_other() {
        let key = p256::ecdsa::SigningKey::from_slice(&[3; 32]).unwrap();
        let endorsement = EndorsementKey::P256(PublicKey::from(*key.verifying_key()));
        let refuse = |_: &[u8], _: &[u8], _: &[u8]| Err("unused".to_owned());
        let rsa = SeedEncryption::Rsa {
            seed: Zeroizing::new([0; 32]),
            encrypt: &refuse,
        };
        let secret = CredentialSecret::from_bytes([1; 32]);
        let name = KeyName::of(b"an attestation key");
        assert!(Credential::make(&endorsement, &name, &secret, rsa).is_err());
        assert!(
            Credential::make(
                &endorsement,
                &name,
                &secret,
                SeedEncryption::P256(EccRandomness([0; 32]))
            )
            .is_err()
        );
        assert!(
            Credential::make(
                &endorsement,
                &name,
                &secret,
                SeedEncryption::P256(EccRandomness([9; 32]))
            )
            .is_ok()
        );
    }
}
