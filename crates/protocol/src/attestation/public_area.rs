//! Public areas (TPMT_PUBLIC): a key, what it may do, and its name.

use der::asn1::UintRef;
use der::{Decode, Encode};
use x509_cert::Certificate;

use super::AttestationError;
use crate::bytes::{DecodeError, Reader};
use crate::digest::Digest;
use crate::public_key::PublicKey;

const ALG_RSA: u16 = 0x0001;
const ALG_AES: u16 = 0x0006;
const ALG_SHA256: u16 = 0x000b;
const ALG_NULL: u16 = 0x0010;
const ALG_RSASSA: u16 = 0x0014;
const ALG_RSAES: u16 = 0x0015;
const ALG_RSAPSS: u16 = 0x0016;
const ALG_OAEP: u16 = 0x0017;
const ALG_ECDSA: u16 = 0x0018;
const ALG_ECC: u16 = 0x0023;
const MODE_CFB: u16 = 0x0043;
const CURVE_P256: u16 = 0x0003;

const FIXED_TPM: u32 = 1 << 1;
const FIXED_PARENT: u32 = 1 << 4;
const SENSITIVE_DATA_ORIGIN: u32 = 1 << 5;
const RESTRICTED: u32 = 1 << 16;
const DECRYPT: u32 = 1 << 17;
const SIGN: u32 = 1 << 18;
/// What ties a key to the chip that made it.
const BOUND: u32 = FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN;

/// The attributes the specification defines; the others must be clear.
const DEFINED: u32 = 0x000f_0ff6;

/// Exponent 0 in a public area means this one.
const DEFAULT_EXPONENT: u32 = 65537;

/// The name of a key: its hash algorithm, then the hash of its public area. Two keys never share
/// one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyName([u8; 34]);

impl KeyName {
    pub(super) fn of(public_area: &[u8]) -> Self {
        let mut name = [0; 34];
        let bytes = ALG_SHA256
            .to_be_bytes()
            .into_iter()
            .chain(*Digest::of(public_area).as_bytes());
        for (to, from) in name.iter_mut().zip(bytes) {
            *to = from;
        }
        Self(name)
    }

    /// The 34 bytes.
    pub const fn as_bytes(&self) -> &[u8; 34] {
        &self.0
    }
}

impl PartialEq<KeyName> for Vec<u8> {
    fn eq(&self, name: &KeyName) -> bool {
        self.as_slice() == name.0
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    Rsa {
        modulus: Vec<u8>,
        exponent: u32,
    },
    Ecc {
        x: [u8; 32],
        y: [u8; 32],
        signs_sha256: bool,
    },
}

/// A parsed public area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicArea {
    what: &'static str,
    name: KeyName,
    attributes: u32,
    encrypts_with_aes128: bool,
    key: Key,
}

/// The key the chip's maker vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndorsementKey {
    /// RSA of 2048 bits.
    Rsa {
        /// The modulus, 256 bytes.
        modulus: Vec<u8>,
        /// The public exponent.
        exponent: u32,
    },
    /// P-256.
    P256(PublicKey),
}

impl PublicArea {
    /// Reads the bytes strictly; `what` names the key in errors.
    pub fn parse(what: &'static str, bytes: &[u8]) -> Result<Self, AttestationError> {
        let malformed = |error| AttestationError::Malformed(what, error);
        let mut reader = Reader::new(bytes);
        let kind = u16_of(&mut reader, "type").map_err(malformed)?;
        if u16_of(&mut reader, "name algorithm").map_err(malformed)? != ALG_SHA256 {
            return Err(AttestationError::Unsupported(
                what,
                "its name is not made with SHA-256",
            ));
        }
        let attributes = u32_of(&mut reader, "attributes").map_err(malformed)?;
        if attributes & !DEFINED != 0 {
            return Err(malformed(DecodeError::Value("attributes")));
        }
        sized(&mut reader, 32, "policy").map_err(malformed)?;
        let symmetric = symmetric(&mut reader).map_err(malformed)?;
        let encrypts_with_aes128 = symmetric.ok_or(AttestationError::Unsupported(
            what,
            "its symmetric cipher is not AES-128 in CFB mode",
        ))?;
        let key = match kind {
            ALG_RSA => rsa(&mut reader).map_err(malformed)?,
            ALG_ECC => ecc(&mut reader).map_err(malformed)?,
            _ => None,
        };
        let key = key.ok_or(AttestationError::Unsupported(
            what,
            "neither RSA-2048 nor P-256, or with another scheme",
        ))?;
        reader.end().map_err(malformed)?;
        Ok(Self {
            what,
            name: KeyName::of(bytes),
            attributes,
            encrypts_with_aes128,
            key,
        })
    }

    /// The key's name.
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// The point, if this is a P-256 key.
    pub fn p256(&self) -> Result<PublicKey, AttestationError> {
        let Key::Ecc { x, y, .. } = &self.key else {
            return Err(AttestationError::Unsupported(self.what, "not a P-256 key"));
        };
        PublicKey::from_sec1(&[&[4][..], x, y].concat())
            .map_err(|_| AttestationError::Unsupported(self.what, "not a point on P-256"))
    }

    /// Succeeds for a key that signs nothing but the chip's own statements.
    pub fn must_attest(&self) -> Result<(), AttestationError> {
        self.must_be_bound()?;
        if !self.has(RESTRICTED | SIGN) || self.has(DECRYPT) {
            return self.refuse(
                "could sign statements the chip never made (not a restricted signing key)",
            );
        }
        self.must_sign_with_sha256()
    }

    /// Succeeds for a key that signs anything it is given, but only inside its chip.
    pub fn must_sign_only_in_its_chip(&self) -> Result<(), AttestationError> {
        self.must_be_bound()?;
        if !self.has(SIGN) || self.has(RESTRICTED) || self.has(DECRYPT) {
            return self.refuse("is not a plain signing key");
        }
        self.must_sign_with_sha256()
    }

    /// Succeeds for a key made by the maker's profile for endorsement keys.
    pub fn into_endorsement_key(self) -> Result<EndorsementKey, AttestationError> {
        self.must_be_bound()?;
        if !self.has(RESTRICTED | DECRYPT) || self.has(SIGN) || !self.encrypts_with_aes128 {
            return self.refuse("is not an endorsement key (restricted, decrypting, AES-128)");
        }
        let Key::Rsa { modulus, exponent } = self.key else {
            return Ok(EndorsementKey::P256(self.p256()?));
        };
        Ok(EndorsementKey::Rsa { modulus, exponent })
    }

    fn must_be_bound(&self) -> Result<(), AttestationError> {
        if self.has(BOUND) {
            Ok(())
        } else {
            self.refuse("could exist outside of its chip")
        }
    }

    fn must_sign_with_sha256(&self) -> Result<(), AttestationError> {
        match self.key {
            Key::Ecc {
                signs_sha256: true, ..
            } => Ok(()),
            _ => self.refuse("does not sign with ECDSA, P-256 and SHA-256"),
        }
    }

    const fn has(&self, attributes: u32) -> bool {
        self.attributes & attributes == attributes
    }

    const fn refuse<T>(&self, reason: &'static str) -> Result<T, AttestationError> {
        Err(AttestationError::Attributes(self.what, reason))
    }
}

impl EndorsementKey {
    /// Succeeds when the certificate is about this key. The certificate's own signature is the
    /// caller's to verify.
    pub fn is_certified_by(&self, certificate: &[u8]) -> Result<(), AttestationError> {
        let parsed = Certificate::from_der(certificate)
            .map_err(|_| AttestationError::Certificate("is not X.509 in DER"))?;
        // Some makers name the key's purpose in the algorithm identifier, so only the key itself is
        // compared.
        let certified = parsed
            .tbs_certificate()
            .subject_public_key_info()
            .subject_public_key
            .raw_bytes();
        let equal = match self {
            Self::P256(key) => PublicKey::from_sec1(certified).is_ok_and(|other| other == *key),
            Self::Rsa { modulus, exponent } => {
                rsa_public_key(modulus, *exponent).is_ok_and(|der| der == certified)
            }
        };
        if equal {
            Ok(())
        } else {
            Err(AttestationError::Certificate("is about another key"))
        }
    }

    /// The key as an RSAPublicKey in DER (PKCS #1), what encryption libraries read; nothing for
    /// P-256.
    pub fn rsa_der(&self) -> Option<Vec<u8>> {
        let Self::Rsa { modulus, exponent } = self else {
            return None;
        };
        rsa_public_key(modulus, *exponent).ok()
    }
}

fn rsa_public_key(modulus: &[u8], exponent: u32) -> der::Result<Vec<u8>> {
    let exponent = exponent.to_be_bytes();
    vec![UintRef::new(modulus)?, UintRef::new(&exponent)?].to_der()
}

fn u16_of(reader: &mut Reader<'_>, what: &'static str) -> Result<u16, DecodeError> {
    reader.array(what).map(u16::from_be_bytes)
}

fn u32_of(reader: &mut Reader<'_>, what: &'static str) -> Result<u32, DecodeError> {
    reader.array(what).map(u32::from_be_bytes)
}

/// A TPM2B: two bytes of length, then at most `max` bytes.
pub(super) fn sized<'a>(
    reader: &mut Reader<'a>,
    max: usize,
    what: &'static str,
) -> Result<&'a [u8], DecodeError> {
    let length = usize::from(u16_of(reader, what)?);
    if length > max {
        return Err(DecodeError::Value(what));
    }
    reader.slice(length, what)
}

/// Whether there is a symmetric cipher; `None` for another one than AES-128-CFB.
fn symmetric(reader: &mut Reader<'_>) -> Result<Option<bool>, DecodeError> {
    match u16_of(reader, "symmetric algorithm")? {
        ALG_NULL => Ok(Some(false)),
        ALG_AES => {
            let (bits, mode) = (
                u16_of(reader, "cipher key length")?,
                u16_of(reader, "cipher mode")?,
            );
            Ok((bits == 128 && mode == MODE_CFB).then_some(true))
        }
        _ => Ok(None),
    }
}

fn rsa(reader: &mut Reader<'_>) -> Result<Option<Key>, DecodeError> {
    match u16_of(reader, "scheme")? {
        ALG_NULL | ALG_RSAES => {}
        ALG_RSASSA | ALG_RSAPSS | ALG_OAEP => {
            u16_of(reader, "scheme hash")?;
        }
        _ => return Ok(None),
    }
    let bits = u16_of(reader, "modulus length")?;
    let exponent = match u32_of(reader, "exponent")? {
        0 => DEFAULT_EXPONENT,
        other => other,
    };
    let modulus = sized(reader, 256, "modulus")?.to_vec();
    let top_bit = modulus.first().is_some_and(|byte| byte & 0x80 != 0);
    Ok((bits == 2048 && modulus.len() == 256 && top_bit).then_some(Key::Rsa { modulus, exponent }))
}

fn ecc(reader: &mut Reader<'_>) -> Result<Option<Key>, DecodeError> {
    let signs_sha256 = match u16_of(reader, "scheme")? {
        ALG_NULL => false,
        ALG_ECDSA => u16_of(reader, "scheme hash")? == ALG_SHA256,
        _ => return Ok(None),
    };
    let curve = u16_of(reader, "curve")?;
    let kdf = u16_of(reader, "key derivation")?;
    let x = coordinate(sized(reader, 32, "x")?);
    let y = coordinate(sized(reader, 32, "y")?);
    Ok((curve == CURVE_P256 && kdf == ALG_NULL).then_some(Key::Ecc { x, y, signs_sha256 }))
}

/// A chip may leave out leading zeros.
fn coordinate(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().rev().zip(bytes.iter().rev()) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use p256::ecdsa::SigningKey;

    /// A signing key's public area, written by hand from the specification.
    fn area(attributes: u32, key: &PublicKey) -> Vec<u8> {
        let sec1 = key.to_sec1();
        let mut out = vec![0x00, 0x23, 0x00, 0x0b];
        out.extend(attributes.to_be_bytes());
        out.extend([0x00, 0x00]); // no policy
        out.extend([0x00, 0x10]); // no symmetric cipher
        out.extend([0x00, 0x18, 0x00, 0x0b]); // ECDSA with SHA-256
        out.extend([0x00, 0x03, 0x00, 0x10]); // P-256, no key derivation
        for half in [&sec1[1..33], &sec1[33..]] {
            out.extend([0x00, 0x20]);
            out.extend(half);
        }
        out
    }

    fn key() -> PublicKey {
        PublicKey::from(*SigningKey::from_slice(&[7; 32]).unwrap().verifying_key())
    }

    #[test]
    fn a_signing_key_is_read_and_named() {
        let bytes = area(BOUND | SIGN, &key());
        let parsed = PublicArea::parse("signing key", &bytes).unwrap();
        parsed.must_sign_only_in_its_chip().unwrap();
        assert_eq!(parsed.p256().unwrap(), key());
        assert_eq!(parsed.name().as_bytes()[..2], [0x00, 0x0b]);
        assert_eq!(
            parsed.name().as_bytes()[2..],
            *Digest::of(&bytes).as_bytes()
        );
    }

    #[test]
    fn each_missing_property_is_refused() {
        for bit in [FIXED_TPM, FIXED_PARENT, SENSITIVE_DATA_ORIGIN, SIGN] {
            let parsed =
                PublicArea::parse("signing key", &area((BOUND | SIGN) & !bit, &key())).unwrap();
            assert!(parsed.must_sign_only_in_its_chip().is_err());
        }
        for extra in [RESTRICTED, DECRYPT] {
            let parsed =
                PublicArea::parse("signing key", &area(BOUND | SIGN | extra, &key())).unwrap();
            assert!(parsed.must_sign_only_in_its_chip().is_err());
        }
        let plain = PublicArea::parse("attestation key", &area(BOUND | SIGN, &key())).unwrap();
        assert!(
            plain
                .must_attest()
                .unwrap_err()
                .to_string()
                .contains("statements the chip never made")
        );
    }

    #[test]
    fn every_truncation_and_every_tail_is_refused() {
        let bytes = area(BOUND | SIGN, &key());
        for end in 0..bytes.len() {
            assert!(
                PublicArea::parse("signing key", &bytes[..end]).is_err(),
                "{end} bytes"
            );
        }
        assert!(PublicArea::parse("signing key", &[bytes, vec![0]].concat()).is_err());
    }
}
