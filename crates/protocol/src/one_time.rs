//! One-time keys: a photo that proves an attested camera and links to no other photo.
//!
//! A camera makes P-256 keys in its chip, each for one photo. Its authority signs them **blind**
//! (RSABSSA-SHA384-PSS-Deterministic of RFC 9474, RSA of 2,048 bits with exponent 65537), so that
//! nobody can match a key to the request in which it was signed: not the authority, not the
//! validators, not both together. What remains visible is the family and the epoch.
//!
//! The authority's key is one for each family and epoch, and stands in the ledger ([`epoch`]): a
//! key made to mark one camera would be seen. That the keys live in a chip is shown by cut and
//! choose ([`batch`]).
//!
//! The deterministic variant is used because the message is a digest over a fresh P-256 key, which
//! nobody can guess. Nothing here does RSA.

pub mod batch;
pub mod epoch;
mod submission;

use crate::digest::Digest;
use crate::public_key::PublicKey;

pub use epoch::{
    EpochCount, EpochError, EpochId, EpochKey, EpochStatement, EpochWithdrawal, NotAccepted,
    SignedEpochStatement,
};
pub use submission::{OneTimeProof, OneTimeSubmission};

/// How many bytes a modulus, a blinded key and a blind signature have.
pub const RSA_BYTES: usize = 256;
/// A modulus, a blinded key, a blind signature or the signature behind it.
pub type RsaBytes = [u8; RSA_BYTES];

/// What is signed blind, and the name under which a key is spent: a digest over the key and the
/// epoch it is good for.
pub fn key_name(epoch: &EpochId, key: &PublicKey) -> Digest {
    Digest::tagged(
        "birthmark/one-time-key/v1",
        &[epoch.as_bytes(), &key.to_compressed()],
    )
}

/// A record's one-time key, as far as the registry keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SpentKey {
    /// The epoch whose key of the authority signed it.
    pub epoch: u32,
    /// The name of the one-time key.
    pub name: Digest,
}
