//! Blind RSA signatures over one-time keys: RSABSSA-SHA384-PSS-Deterministic of RFC 9474, with RSA
//! of 2,048 bits.
//!
//! The authority signs with [`EpochSecret`]; a camera blinds and unblinds with [`EpochVerifier`].
//! This is the only crate that uses RSA with secret keys. Its operations on the secret key are
//! blinded once more and checked before they leave (`rsa`'s own countermeasures), and their result
//! goes to whoever asked as it is: there is no padding whose check could tell anything.
//!
//! A modulus that was made to mark cameras cannot do so: a signature only exists for values that
//! are 65537th powers modulo every factor, a camera verifies each signature it gets, and the key
//! stands in the ledger for all of them.

mod encoding;

use birthmark_protocol::Digest;
use birthmark_protocol::one_time::RsaBytes;
use birthmark_protocol::one_time::batch::BlindingSeed;
use crypto_bigint::{BoxedUint, Gcd};
use getrandom::SysRng;
use rsa::hazmat::{rsa_decrypt_and_check, rsa_encrypt};
use rsa::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};
use rsa::pss::{Signature, VerifyingKey};
use rsa::signature::Verifier as _;
use rsa::traits::PublicKeyParts as _;
use rsa::{PrivateKey, PublicKey};
use sha2::Sha384;
use zeroize::Zeroizing;

const BITS: u32 = 2048;
const EXPONENT: u64 = 65_537;
/// So many candidates for a blind are tried; each is good with a probability of more than one half.
const MOST_CANDIDATES: usize = 256;

/// The public side of an epoch's key.
#[derive(Debug, Clone)]
pub struct EpochVerifier {
    key: PublicKey,
    verifier: VerifyingKey<Sha384>,
}

/// The secret side of an epoch's key, which only its authority has.
pub struct EpochSecret {
    key: PrivateKey,
    modulus: RsaBytes,
}

/// Why an operation did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlindError {
    /// No key could be drawn: the system gave no randomness.
    #[error("no RSA key can be drawn, the system gives no randomness")]
    Randomness,
    /// Not an RSA key of 2,048 bits with exponent 65537.
    #[error("not an RSA key of 2,048 bits with the exponent 65537")]
    Key,
    /// The value to sign is not below the modulus.
    #[error("the blinded value is not below the modulus")]
    Range,
    /// The value shares a factor with the modulus.
    #[error("the name cannot be blinded under this key")]
    Blinding,
    /// The signature is not one of this key over this name.
    #[error("the signature is not by this epoch's key over this one-time key")]
    Mismatch,
    /// The result of the secret operation did not verify, or there was no randomness to hide it.
    #[error("the signature did not verify after it was made")]
    Fault,
}

/// A blinded name, and what takes the blind away.
struct Blinding {
    blinded: BoxedUint,
    inverse: Zeroizing<BoxedUint>,
}

impl std::fmt::Debug for EpochSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EpochSecret(secret)")
    }
}

impl EpochVerifier {
    /// The key with this modulus.
    pub fn from_modulus(modulus: &RsaBytes) -> Result<Self, BlindError> {
        let key = PublicKey::new(number(modulus)?, BoxedUint::from(EXPONENT));
        let key = key.map_err(|_| BlindError::Key)?;
        // The salt has as many bytes as the hash.
        let verifier = VerifyingKey::new(key.clone());
        Ok(Self { key, verifier })
    }

    /// The name, blinded with what the seed stands for. The same seed gives the same value.
    pub fn blind(&self, name: &Digest, seed: &BlindingSeed) -> Result<RsaBytes, BlindError> {
        fixed(&self.blinding(name, seed)?.blinded).ok_or(BlindError::Blinding)
    }

    /// Takes the blind away again. Succeeds only with a signature of this key over this name.
    pub fn unblind(
        &self,
        name: &Digest,
        seed: &BlindingSeed,
        blind_signature: &RsaBytes,
    ) -> Result<RsaBytes, BlindError> {
        let inverse = self.blinding(name, seed)?.inverse;
        let signature = number(blind_signature)?.mul_mod(&inverse, self.key.n());
        let signature = fixed(&signature).ok_or(BlindError::Mismatch)?;
        self.verify(name, &signature)?;
        Ok(signature)
    }

    /// Succeeds when the epoch's key signed this name.
    pub fn verify(&self, name: &Digest, signature: &RsaBytes) -> Result<(), BlindError> {
        let signature = Signature::try_from(signature.as_slice());
        let signature = signature.map_err(|_| BlindError::Mismatch)?;
        self.verifier
            .verify(name.as_bytes(), &signature)
            .map_err(|_| BlindError::Mismatch)
    }

    /// RFC 9474, section 4.2: encode the name with a random salt, multiply it with the power of a
    /// random number.
    fn blinding(&self, name: &Digest, seed: &BlindingSeed) -> Result<Blinding, BlindError> {
        let modulus = self.key.n();
        let mut stream = seed.stream();
        let mut salt = [0; encoding::HASH];
        stream.fill(&mut salt);
        let encoded = number(&encoding::encode(name.as_bytes(), &salt))?;
        if encoded.gcd(modulus.as_ref()) != BoxedUint::one_with_precision(BITS) {
            return Err(BlindError::Blinding);
        }
        for _ in 0..MOST_CANDIDATES {
            let mut candidate = Zeroizing::new([0; 256]);
            stream.fill(candidate.as_mut_slice());
            let blind = BoxedUint::from_le_slice(candidate.as_slice(), BITS);
            let blind = Zeroizing::new(blind.map_err(|_| BlindError::Blinding)?);
            if *blind >= **modulus {
                continue;
            }
            let Some(inverse) = Option::from(blind.invert_mod(modulus)) else {
                continue;
            };
            let power = rsa_encrypt(&self.key, &blind).map_err(|_| BlindError::Blinding)?;
            return Ok(Blinding {
                blinded: encoded.mul_mod(&power, modulus),
                inverse: Zeroizing::new(inverse),
            });
        }
        Err(BlindError::Blinding)
    }
}

impl EpochSecret {
    /// Draws a new key. Takes a second or so.
    pub fn generate() -> Result<Self, BlindError> {
        let key = PrivateKey::new(&mut SysRng, BITS as usize);
        Self::new(key.map_err(|_| BlindError::Randomness)?)
    }

    /// Reads what [`EpochSecret::to_der`] wrote, and checks it.
    pub fn from_der(der: &[u8]) -> Result<Self, BlindError> {
        let key = PrivateKey::from_pkcs8_der(der).map_err(|_| BlindError::Key)?;
        key.validate().map_err(|_| BlindError::Key)?;
        Self::new(key)
    }

    fn new(mut key: PrivateKey) -> Result<Self, BlindError> {
        key.precompute().map_err(|_| BlindError::Key)?;
        let modulus = fixed(key.n().as_ref()).filter(|modulus| modulus[0] >> 7 == 1);
        match modulus {
            Some(modulus) if *key.e_bytes() == [1, 0, 1] => Ok(Self { key, modulus }),
            _ => Err(BlindError::Key),
        }
    }

    /// PKCS #8, for whoever seals it.
    pub fn to_der(&self) -> Result<Zeroizing<Vec<u8>>, BlindError> {
        let der = self.key.to_pkcs8_der().map_err(|_| BlindError::Key)?;
        Ok(Zeroizing::new(der.as_bytes().to_vec()))
    }

    /// The modulus, as it is published.
    pub const fn modulus(&self) -> &RsaBytes {
        &self.modulus
    }

    /// Signs blinded values, without knowing what they hide.
    pub fn sign(&self, blinded: &[RsaBytes]) -> Result<Vec<RsaBytes>, BlindError> {
        blinded.iter().map(|value| self.sign_one(value)).collect()
    }

    fn sign_one(&self, value: &RsaBytes) -> Result<RsaBytes, BlindError> {
        if value >= &self.modulus {
            return Err(BlindError::Range);
        }
        let signed = rsa_decrypt_and_check(&self.key, Some(&mut SysRng), &number(value)?);
        fixed(&signed.map_err(|_| BlindError::Fault)?).ok_or(BlindError::Fault)
    }
}

fn number(bytes: &RsaBytes) -> Result<BoxedUint, BlindError> {
    BoxedUint::from_be_slice(bytes, BITS).map_err(|_| BlindError::Range)
}

fn fixed(number: &BoxedUint) -> Option<RsaBytes> {
    RsaBytes::try_from(number.to_be_bytes().as_ref()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Python computed these from the document.
    #[test]
    fn blinding_signing_and_unblinding_give_what_the_vectors_say() {
        let text = include_str!("../../../spec/vectors/one-time.json");
        let file: serde_json::Value = serde_json::from_str(text).unwrap();
        let case = &file["cases"][0];
        let bytes = |value: &serde_json::Value| hex::decode(value.as_str().unwrap()).unwrap();
        let secret = EpochSecret::from_der(&bytes(&case["rsa_secret"])).unwrap();
        assert_eq!(secret.modulus().as_slice(), bytes(&case["rsa_modulus"]));
        let verifier = EpochVerifier::from_modulus(secret.modulus()).unwrap();
        for blinding in case["blindings"].as_array().unwrap() {
            let name: Digest = blinding["name"].as_str().unwrap().parse().unwrap();
            let seed = BlindingSeed::from_hex(blinding["seed"].as_str().unwrap()).unwrap();
            let blinded = verifier.blind(&name, &seed).unwrap();
            assert_eq!(blinded.as_slice(), bytes(&blinding["blinded"]));
            let signed = secret.sign(&[blinded]).unwrap()[0];
            assert_eq!(signed.as_slice(), bytes(&blinding["blind_signature"]));
            let signature = verifier.unblind(&name, &seed, &signed).unwrap();
            assert_eq!(signature.as_slice(), bytes(&blinding["signature"]));
        }
    }

    fn seed(byte: u8) -> BlindingSeed {
        BlindingSeed::from_bytes([byte; 32])
    }

    #[test]
    fn a_signature_that_was_made_blind_verifies_and_no_other_does() {
        let secret = EpochSecret::generate().unwrap();
        let verifier = EpochVerifier::from_modulus(secret.modulus()).unwrap();
        let (name, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let blinded = verifier.blind(&name, &seed(1)).unwrap();
        assert_eq!(verifier.blind(&name, &seed(1)).unwrap(), blinded);
        assert_ne!(verifier.blind(&name, &seed(2)).unwrap(), blinded);
        let signed = secret.sign(&[blinded]).unwrap()[0];
        let signature = verifier.unblind(&name, &seed(1), &signed).unwrap();
        assert_eq!(verifier.verify(&name, &signature), Ok(()));
        assert_eq!(
            verifier.verify(&other, &signature),
            Err(BlindError::Mismatch)
        );
        assert_eq!(
            verifier.unblind(&name, &seed(2), &signed),
            Err(BlindError::Mismatch)
        );
        let read = EpochSecret::from_der(&secret.to_der().unwrap()).unwrap();
        assert_eq!(read.modulus(), secret.modulus());
        assert_eq!(read.sign(&[blinded]).unwrap(), [signed]);
    }

    /// An authority that signs one camera's keys with a key of its own would know them again.
    #[test]
    fn a_signature_by_another_key_is_noticed_by_the_camera() {
        let (secret, marking) = (
            EpochSecret::generate().unwrap(),
            EpochSecret::generate().unwrap(),
        );
        let verifier = EpochVerifier::from_modulus(secret.modulus()).unwrap();
        let name = Digest::of(b"one");
        let mut blinded = verifier.blind(&name, &seed(1)).unwrap();
        // So that it is in the range of both.
        blinded[0] = 0;
        let signed = marking.sign(&[blinded]).unwrap()[0];
        assert_eq!(
            verifier.unblind(&name, &seed(1), &signed),
            Err(BlindError::Mismatch)
        );
    }

    #[test]
    fn a_value_above_the_modulus_is_refused() {
        let secret = EpochSecret::generate().unwrap();
        assert_eq!(secret.sign(&[[0xff; 256]]), Err(BlindError::Range));
        assert_eq!(secret.sign(&[*secret.modulus()]), Err(BlindError::Range));
    }

    #[test]
    fn even_and_short_moduli_are_no_keys() {
        assert_eq!(
            EpochVerifier::from_modulus(&[0; 256]).err(),
            Some(BlindError::Key)
        );
        let mut even = [0xff; 256];
        even[255] = 0xfe;
        assert_eq!(
            EpochVerifier::from_modulus(&even).err(),
            Some(BlindError::Key)
        );
    }
}
