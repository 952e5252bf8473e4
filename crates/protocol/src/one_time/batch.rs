//! How a camera gets its one-time keys signed, without anybody seeing them, and how the authority
//! knows that they live in a chip: cut and choose.
//!
//! The camera blinds `2n` keys and sends them, signed by its certified key. The authority draws a
//! challenge, which decides on the `n` that are opened: for those the camera shows the key, the
//! seed it was blinded with, and its chip's statement about the key, all of it signed by the
//! certified key again, so that nobody else can fail in its name. The other `n` are signed. One key
//! that is not in the chip is found with a probability of one half, `j` of them with at least
//! `1 − 2⁻ʲ`, and whoever is found gets no keys any more.
//!
//! ```text
//! blinded digest   T("birthmark/blinded-keys/v1", the blinded keys, 256 bytes each)
//! signed           T("birthmark/one-time-batch/v1", epoch id ‖ blinded digest)
//! opened           the n positions i with the smallest T("birthmark/one-time-choice/v1", challenge ‖ blinded digest ‖ u16 i)
//! in the chip's statement   T("birthmark/one-time-opening/v1", challenge ‖ blinded digest)
//! signed with the openings  T("birthmark/one-time-opened/v1", challenge ‖ blinded digest ‖ for each: 32 seed ‖ u16 length and
//!                  public area ‖ u16 length and statement ‖ u16 length and signature)
//! stream of a seed          T("birthmark/blinding/v1", seed ‖ u32 0) ‖ T(…, seed ‖ u32 1) ‖ …
//! ```
//!
//! From the stream of its seed a key is blinded as RFC 9474 says: the first 48 bytes are the salt;
//! each following 256, little-endian, are a candidate for the blind until one is below the modulus
//! and has an inverse.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{EpochId, RSA_BYTES};
use crate::attestation::{AttestationError, CertifyStatement, PublicArea};
use crate::derivation::secret32;
use crate::digest::Digest;
use crate::numbers::at_most;
use crate::public_key::{PublicKey, Signature};

/// How many keys one batch may get signed; twice as many are sent.
pub const MAX_BATCH: usize = 1000;
/// How many bytes a request about a batch may have.
pub const MAX_BATCH_BYTES: usize = 4 << 20;
/// No structure of a chip is longer.
const MAX_FIELD: usize = 1024;

secret32!(
    /// What one key was blinded with. Whoever has it can match the signed key to its batch.
    BlindingSeed
);

/// Draws what a seed stands for.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct BlindingStream {
    seed: [u8; 32],
    counter: u32,
    left: Vec<u8>,
}

/// The first question: a batch of blinded keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BatchRequest {
    /// The camera's certificate, DER in base64.
    pub camera_cert: String,
    /// Which epoch's key shall sign.
    pub epoch: u32,
    /// The blinded keys one after the other, an even number of them, in base64.
    pub blinded: String,
    /// By the certificate's key over what the module says, DER in base64.
    pub signature: String,
}

/// The answer to it, the same for the same batch however often it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchChallenge {
    /// 32 bytes in hexadecimal, drawn after the batch was there.
    pub challenge: String,
}

/// The second question: half of the keys opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BatchOpening {
    /// The camera's certificate, DER in base64.
    pub camera_cert: String,
    /// Which epoch's key shall sign.
    pub epoch: u32,
    /// The challenge that is answered, 64 hexadecimal characters.
    pub challenge: String,
    /// The keys that were chosen, in ascending order of their positions.
    pub opened: Vec<OpenedKey>,
    /// The blinded keys that were not chosen, one after the other, in base64.
    pub blinded: String,
    /// By the certificate's key over all that is opened, DER in base64.
    pub signature: String,
}

/// One opened key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OpenedKey {
    /// What it was blinded with, 64 hexadecimal characters.
    pub seed: String,
    /// The key's public area (TPMT_PUBLIC), base64.
    pub public: String,
    /// What the attestation key signed about it (TPMS_ATTEST), base64.
    pub statement: String,
    /// The attestation key's signature, DER in base64.
    pub signature: String,
}

/// An opened key as it is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// What it was blinded with.
    pub seed: BlindingSeed,
    /// TPMT_PUBLIC.
    pub public: Vec<u8>,
    /// TPMS_ATTEST.
    pub statement: Vec<u8>,
    /// The attestation key's signature, DER.
    pub signature: Vec<u8>,
}

/// The answer: the blind signatures of the keys that were not chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchSignatures {
    /// One after the other, in base64.
    pub signatures: String,
}

/// The digest of a batch of blinded keys.
pub fn blinded_digest(blinded: &[u8]) -> Digest {
    Digest::tagged("birthmark/blinded-keys/v1", &[blinded])
}

/// What the camera's certified key signs to ask for a batch.
pub fn request_digest(epoch: &EpochId, blinded: &Digest) -> Digest {
    Digest::tagged(
        "birthmark/one-time-batch/v1",
        &[epoch.as_bytes(), blinded.as_bytes()],
    )
}

/// What the chip's statement about each opened key must contain.
pub fn opening_nonce(challenge: &[u8; 32], blinded: &Digest) -> Digest {
    Digest::tagged(
        "birthmark/one-time-opening/v1",
        &[challenge, blinded.as_bytes()],
    )
}

/// What the camera's certified key signs to answer a challenge.
pub fn opened_digest(challenge: &[u8; 32], blinded: &Digest, opened: &[Opened]) -> Digest {
    let mut content = Vec::new();
    for one in opened {
        content.extend(one.seed.expose());
        for part in [&one.public, &one.statement, &one.signature] {
            // What was read has at most so many bytes; anything longer would be cut and the
            // signature not hold.
            let length = at_most::<u16, _>(part.len());
            content.extend(length.to_be_bytes());
            content.extend(part);
        }
    }
    let parts: [&[u8]; 3] = [challenge, blinded.as_bytes(), &content];
    Digest::tagged("birthmark/one-time-opened/v1", &parts)
}

/// Which keys of a batch of `2n` are opened, in ascending order; `None` when the number is odd,
/// zero or too large.
pub fn chosen(challenge: &[u8; 32], blinded: &Digest, keys: usize) -> Option<Vec<u16>> {
    let count = u16::try_from(keys).ok()?;
    if keys == 0 || keys > 2 * MAX_BATCH || !keys.is_multiple_of(2) {
        return None;
    }
    let rank = |position: u16| {
        let parts: [&[u8]; 3] = [challenge, blinded.as_bytes(), &position.to_be_bytes()];
        (
            Digest::tagged("birthmark/one-time-choice/v1", &parts),
            position,
        )
    };
    let mut ranks: Vec<_> = (0..count).map(rank).collect();
    ranks.sort_unstable();
    ranks.truncate(keys / 2);
    let mut positions: Vec<_> = ranks.into_iter().map(|(_, position)| position).collect();
    positions.sort_unstable();
    Some(positions)
}

/// The keys of a batch, if the bytes are whole ones.
pub fn split(bytes: &[u8]) -> Option<&[[u8; RSA_BYTES]]> {
    let (keys, rest) = bytes.as_chunks::<RSA_BYTES>();
    rest.is_empty().then_some(keys)
}

impl OpenedKey {
    /// Reads the fields; the error names the one that is wrong.
    pub fn read(&self) -> Result<Opened, &'static str> {
        let bytes = |text: &str, name| match STANDARD.decode(text) {
            Ok(bytes) if bytes.len() <= MAX_FIELD => Ok(bytes),
            _ => Err(name),
        };
        Ok(Opened {
            seed: BlindingSeed::from_hex(&self.seed).map_err(|_| "seed")?,
            public: bytes(&self.public, "public")?,
            statement: bytes(&self.statement, "statement")?,
            signature: bytes(&self.signature, "signature")?,
        })
    }
}

impl From<&Opened> for OpenedKey {
    fn from(opened: &Opened) -> Self {
        Self {
            seed: hex::encode(opened.seed.expose()),
            public: STANDARD.encode(&opened.public),
            statement: STANDARD.encode(&opened.statement),
            signature: STANDARD.encode(&opened.signature),
        }
    }
}

impl Opened {
    /// The key, if the attestation key made this statement about it, over this nonce, and it cannot
    /// leave its chip.
    pub fn key(
        &self,
        attestation_key: &PublicArea,
        nonce: &Digest,
    ) -> Result<PublicKey, AttestationError> {
        let area = PublicArea::parse("one-time key", &self.public)?;
        area.must_sign_only_in_its_chip()?;
        let signature = Signature::from_der(&self.signature);
        attestation_key
            .p256()?
            .verify_digest(
                &Digest::of(&self.statement),
                &signature.map_err(|_| AttestationError::Signature)?,
            )
            .map_err(|_| AttestationError::Signature)?;
        let statement = CertifyStatement::parse(&self.statement)?;
        if statement.nonce != nonce.as_bytes() {
            return Err(AttestationError::Nonce);
        }
        if statement.name != *area.name() {
            return Err(AttestationError::OtherKey);
        }
        area.p256()
    }
}

impl BlindingSeed {
    /// Begins the stream that this seed stands for.
    pub fn stream(&self) -> BlindingStream {
        BlindingStream {
            seed: *self.expose(),
            counter: 0,
            left: Vec::new(),
        }
    }
}

impl BlindingStream {
    /// Fills `out` with the next bytes.
    pub fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            if self.left.is_empty() {
                let parts: [&[u8]; 2] = [&self.seed, &self.counter.to_be_bytes()];
                let block = Digest::tagged("birthmark/blinding/v1", &parts);
                self.left.extend(block.as_bytes().iter().rev());
                // 2^32 blocks are far more than any key takes.
                self.counter = self.counter.wrapping_add(1);
            }
            *byte = self.left.pop().unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_keys_are_chosen_and_another_challenge_chooses_others() {
        let digest = blinded_digest(&[7; 4 * RSA_BYTES]);
        let first = chosen(&[1; 32], &digest, 2000).unwrap();
        assert_eq!(first.len(), 1000);
        assert!(first.is_sorted() && first.iter().all(|position| *position < 2000));
        let second = chosen(&[2; 32], &digest, 2000).unwrap();
        let both = first.iter().filter(|one| second.contains(one)).count();
        // Of 1,000 positions about 500 are in both; 350 to 650 fails once in 10^40.
        assert!((350..650).contains(&both), "{both}");
        let elsewhere = blinded_digest(&[8; 4 * RSA_BYTES]);
        assert_ne!(chosen(&[1; 32], &elsewhere, 2000).unwrap(), first);
    }

    #[test]
    fn each_position_is_opened_half_of_the_time() {
        let digest = blinded_digest(&[]);
        let mut times = [0; 8];
        for round in 0..1000_u16 {
            let mut challenge = [0; 32];
            challenge[..2].copy_from_slice(&round.to_be_bytes());
            for position in chosen(&challenge, &digest, 8).unwrap() {
                times[usize::from(position)] += 1;
            }
        }
        assert!(
            times.iter().all(|times| (400..600).contains(times)),
            "{times:?}"
        );
    }

    #[test]
    fn batches_of_no_keys_of_an_odd_number_or_of_too_many_are_none() {
        let digest = blinded_digest(&[]);
        for keys in [0, 1, 3, 2 * MAX_BATCH + 2, 1 << 20] {
            assert_eq!(chosen(&[1; 32], &digest, keys), None, "{keys}");
        }
        assert_eq!(split(&[0; 255]), None);
        assert_eq!(split(&[0; 512]).unwrap().len(), 2);
    }

    #[test]
    fn a_stream_is_the_same_however_it_is_read() {
        let seed = BlindingSeed::from_bytes([9; 32]);
        let (mut whole, mut parts) = ([0; 100], [0; 100]);
        seed.stream().fill(&mut whole);
        let mut stream = seed.stream();
        let (first, rest) = parts.split_at_mut(33);
        stream.fill(first);
        stream.fill(rest);
        assert_eq!(whole, parts);
        let block = Digest::tagged("birthmark/blinding/v1", &[&[9; 32], &[0, 0, 0, 0]]);
        assert_eq!(&whole[..32], block.as_bytes());
    }
}
