//! The authority's answer, signed, so that every validator can check that the authority said yes
//! without asking it again.
//!
//! A verdict covers one commitment or a whole batch, under one signature. A no is signed like a
//! yes: otherwise whoever stands between authority and validator could refuse photos in the
//! authority's name.
//!
//! ```text
//! u8   version (1)
//! u8 + text  manufacturer
//! i64  time of the verdict, big-endian seconds since 1970
//! u16  number of items, big-endian (1–1,000), each:
//!      32   commitment
//!      u8   0 no, 1 yes
//!      u8   what was judged: 0 a token alone, 1 a certificate, 2 a certificate whose key a TPM attested
//!      32   for a certificate: SHA-256 of its SubjectPublicKeyInfo
//!      u8   0, or 1 if the authority made up the sensor's fingerprint (a rehearsal camera)
//!      u8 + text  device family, empty for a no
//! ```
//!
//! The key signs `SHA-256("birthmark/verdict/v1" ‖ 00 ‖ bytes)`. An item names a family, never a
//! device. A certificate's item names its key, so that a verdict says nothing to whoever cannot
//! sign with that key.

use serde::{Deserialize, Serialize};

use crate::bytes::{DecodeError, Reader, put_short_text};
use crate::commitment::Commitment;
use crate::digest::Digest;
use crate::numbers::Timestamp;
use crate::numbers::at_most;
use crate::public_key::{PublicKey, Signature, SignatureError};

/// The version of the encoding this program writes.
pub const VERDICT_VERSION: u8 = 1;
/// The domain of an authority's signature over a verdict.
pub const VERDICT_DOMAIN: &str = "birthmark/verdict/v1";
/// How many commitments one verdict may cover.
pub const MAX_ITEMS: usize = 1000;

/// How strongly a record is vouched for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Assurance {
    /// The authority knows the camera; the signature could not be checked.
    Token = 0,
    /// The signature was checked under the authority's certificate chain.
    Certificate = 1,
    /// And the authority saw a TPM attest the key.
    Attested = 2,
}

impl Assurance {
    /// The assurance behind a stored byte.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Token),
            1 => Some(Self::Certificate),
            2 => Some(Self::Attested),
            _ => None,
        }
    }

    /// The byte that is signed and stored.
    pub const fn to_byte(self) -> u8 {
        self as u8
    }

    /// The word used in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Certificate => "certificate",
            Self::Attested => "attested",
        }
    }
}

/// What an authority judged.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Proof {
    /// A token alone. Whoever signed the photo is not known.
    Token,
    /// A certificate. It proves something only together with a signature by this key.
    Certificate {
        /// SHA-256 of the certificate's SubjectPublicKeyInfo.
        key: Digest,
        /// Whether the authority saw a TPM attest this key.
        attested: bool,
    },
}

/// What the authority says about one commitment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerdictItem {
    /// The commitment that was asked about.
    pub commitment: Commitment,
    /// Whether a genuine, unrevoked camera stands behind it.
    pub valid: bool,
    /// What was judged.
    pub proof: Proof,
    /// Whether the authority made up the fingerprint of the camera's sensor, as it does for
    /// rehearsals.
    pub is_made_up: bool,
    /// The camera's family; empty for a refusal.
    pub device_family: String,
}

impl Proof {
    /// How strongly a record may be vouched for by it. A token alone is never more than a token.
    pub const fn assurance(&self) -> Assurance {
        match self {
            Self::Token => Assurance::Token,
            Self::Certificate {
                attested: false, ..
            } => Assurance::Certificate,
            Self::Certificate { attested: true, .. } => Assurance::Attested,
        }
    }

    /// The key that must have signed the photo, if one is named.
    pub const fn key(&self) -> Option<&Digest> {
        match self {
            Self::Token => None,
            Self::Certificate { key, .. } => Some(key),
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.push(self.assurance().to_byte());
        out.extend(self.key().iter().flat_map(|key| *key.as_bytes()));
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let assurance = Assurance::from_byte(reader.byte("what was judged")?)
            .ok_or(DecodeError::Value("what was judged"))?;
        if assurance == Assurance::Token {
            return Ok(Self::Token);
        }
        Ok(Self::Certificate {
            key: reader.array("certificate's key")?.into(),
            attested: assurance == Assurance::Attested,
        })
    }
}

/// An authority's answer to one question or a batch of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    manufacturer: String,
    time: Timestamp,
    items: Vec<VerdictItem>,
}

/// A verdict and the signature over it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedVerdict {
    /// The answer.
    pub verdict: Verdict,
    /// Made by one of the authority's verdict keys.
    pub signature: Signature,
}

/// Why something is not a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerdictError {
    /// No item, or too many.
    #[error("a verdict has 1 to 1000 items, not {0}")]
    Count(usize),
    /// A text does not fit its length byte.
    #[error("{0} is longer than 255 bytes")]
    TooLong(&'static str),
    /// The bytes are not a verdict.
    #[error("not a verdict: {0}")]
    Decode(#[from] DecodeError),
    /// The signature is malformed or does not hold.
    #[error("verdict signature: {0}")]
    Signature(#[from] SignatureError),
}

impl Verdict {
    /// Puts an answer together.
    pub fn new(
        manufacturer: &str,
        time: Timestamp,
        items: Vec<VerdictItem>,
    ) -> Result<Self, VerdictError> {
        if items.is_empty() || items.len() > MAX_ITEMS {
            return Err(VerdictError::Count(items.len()));
        }
        if manufacturer.len() > 255 {
            return Err(VerdictError::TooLong("manufacturer"));
        }
        if items.iter().any(|item| item.device_family.len() > 255) {
            return Err(VerdictError::TooLong("device family"));
        }
        Ok(Self {
            manufacturer: manufacturer.to_owned(),
            time,
            items,
        })
    }

    /// Who answers.
    pub fn manufacturer(&self) -> &str {
        &self.manufacturer
    }

    /// When the authority answered.
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    /// The answers, in the order of the questions.
    pub fn items(&self) -> &[VerdictItem] {
        &self.items
    }

    /// The answer about one commitment.
    pub fn item(&self, commitment: &Commitment) -> Option<&VerdictItem> {
        self.items
            .iter()
            .find(|item| item.commitment == *commitment)
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERDICT_VERSION];
        let mut fits = put_short_text(&mut out, &self.manufacturer);
        out.extend(self.time.unix().to_be_bytes());
        out.extend(at_most::<u16, _>(self.items.len()).to_be_bytes());
        for item in &self.items {
            out.extend(item.commitment.as_bytes());
            out.push(u8::from(item.valid));
            item.proof.put(&mut out);
            out.push(u8::from(item.is_made_up));
            fits &= put_short_text(&mut out, &item.device_family);
        }
        debug_assert!(fits, "lengths were checked when the verdict was made");
        out
    }

    /// Reads canonical bytes; anything else than exactly one verdict is refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, VerdictError> {
        let mut reader = Reader::new(bytes);
        let version = reader.byte("version")?;
        if version != VERDICT_VERSION {
            return Err(DecodeError::Version(version).into());
        }
        let manufacturer = reader.short_text("manufacturer")?;
        let time = Timestamp::from_unix(i64::from_be_bytes(reader.array("time")?));
        let count = usize::from(u16::from_be_bytes(reader.array("number of items")?));
        if count > MAX_ITEMS {
            return Err(VerdictError::Count(count));
        }
        let items = (0..count)
            .map(|_| decode_item(&mut reader))
            .collect::<Result<_, _>>()?;
        reader.end()?;
        Self::new(manufacturer, time, items)
    }

    /// What the authority's key signs.
    pub fn digest(&self) -> Digest {
        Digest::tagged(VERDICT_DOMAIN, &[&self.encode()])
    }
}

impl SignedVerdict {
    /// Succeeds when `key` signed this verdict.
    pub fn verify(&self, key: &PublicKey) -> Result<(), VerdictError> {
        Ok(key.verify_digest(&self.verdict.digest(), &self.signature)?)
    }

    /// The verdict's bytes, then 64 bytes of signature: how validators pass it on.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.verdict.encode();
        out.extend(self.signature.to_bytes());
        out
    }

    /// Reads what [`SignedVerdict::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, VerdictError> {
        let (verdict, signature) = bytes
            .split_last_chunk::<64>()
            .ok_or(DecodeError::Truncated("signature"))?;
        Ok(Self {
            verdict: Verdict::decode(verdict)?,
            signature: Signature::from_bytes(signature)?,
        })
    }
}

fn decode_item(reader: &mut Reader<'_>) -> Result<VerdictItem, DecodeError> {
    let commitment = Commitment::from_bytes(reader.array("commitment")?);
    let valid = reader.flag("valid")?;
    let proof = Proof::take(reader)?;
    let is_made_up = reader.flag("made-up fingerprint")?;
    let device_family = reader.short_text("device family")?.to_owned();
    Ok(VerdictItem {
        commitment,
        valid,
        proof,
        is_made_up,
        device_family,
    })
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::SigningKey;
    use p256::ecdsa::signature::hazmat::PrehashSigner;
    use proptest::prelude::*;

    use super::*;

    fn item(byte: u8, valid: bool) -> VerdictItem {
        VerdictItem {
            commitment: Commitment::from_bytes([byte; 32]),
            valid,
            proof: match byte % 3 {
                0 => Proof::Token,
                one_or_two => Proof::Certificate {
                    key: Digest::of(&[byte]),
                    attested: one_or_two == 2,
                },
            },
            is_made_up: byte % 2 == 1,
            device_family: "Raspberry Pi".into(),
        }
    }

    fn signed(verdict: Verdict) -> (SignedVerdict, PublicKey) {
        let key = SigningKey::from_slice(&[5; 32]).unwrap();
        let signature: p256::ecdsa::Signature =
            key.sign_prehash(verdict.digest().as_bytes()).unwrap();
        (
            SignedVerdict {
                verdict,
                signature: signature.into(),
            },
            PublicKey::from(*key.verifying_key()),
        )
    }

    #[test]
    fn one_changed_item_breaks_the_signature_of_the_batch() {
        let verdict = Verdict::new(
            "maker",
            Timestamp::from_unix(1),
            vec![item(1, true), item(2, false)],
        )
        .unwrap();
        let (mut signed, key) = signed(verdict);
        assert_eq!(signed.verify(&key), Ok(()));
        signed.verdict.items[1].valid = true;
        assert_eq!(
            signed.verify(&key),
            Err(VerdictError::Signature(SignatureError::Mismatch))
        );
    }

    #[test]
    fn empty_and_oversized_verdicts_are_refused() {
        let make = |items| Verdict::new("maker", Timestamp::from_unix(1), items);
        assert_eq!(make(vec![]), Err(VerdictError::Count(0)));
        assert_eq!(
            make(vec![item(1, true); 1001]),
            Err(VerdictError::Count(1001))
        );
        let long = VerdictItem {
            device_family: "x".repeat(256),
            ..item(1, true)
        };
        assert_eq!(
            make(vec![long]),
            Err(VerdictError::TooLong("device family"))
        );
    }

    #[test]
    fn a_token_alone_is_never_more_than_a_token() {
        let key = Digest::of(b"key");
        let of = |attested| Proof::Certificate { key, attested }.assurance();
        assert_eq!(Proof::Token.assurance(), Assurance::Token);
        assert_eq!(
            (of(false), of(true)),
            (Assurance::Certificate, Assurance::Attested)
        );
        assert_eq!(Proof::Token.key(), None);
    }

    proptest! {
        #[test]
        fn every_verdict_reads_back(manufacturer in ".{0,40}", time: i64, bytes in proptest::collection::vec(any::<(u8, bool)>(), 1..20)) {
            let items = bytes.into_iter().map(|(byte, valid)| item(byte, valid)).collect();
            let (signed, _) = signed(Verdict::new(&manufacturer, Timestamp::from_unix(time), items).unwrap());
            prop_assert_eq!(SignedVerdict::decode(&signed.encode()).unwrap(), signed);
        }

        #[test]
        fn any_bytes_either_read_back_exactly_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(verdict) = Verdict::decode(&bytes) {
                prop_assert_eq!(verdict.encode(), bytes);
            }
        }
    }
}
