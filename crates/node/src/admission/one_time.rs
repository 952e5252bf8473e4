//! Submissions under one-time keys: everything is checked here, and nobody is asked.

use birthmark_ledger::{Epochs, KeyFault};
use birthmark_protocol::Timestamp;
use birthmark_protocol::one_time::{OneTimeSubmission, SpentKey};

use super::asked::OneTime;
use super::{Asked, Claimed, Hidden, Refused, Request, check_time, draw_opening};
use crate::authorities::AuthorityBook;
use crate::lookup_key::LookupKey;
use crate::signatures;

/// Checks a submission against the epochs that the registry holds. Whether the key is spent is for
/// its caller to look up.
pub fn check(
    submission: OneTimeSubmission,
    epochs: &Epochs,
    book: &AuthorityBook,
    key: &LookupKey,
    now: Timestamp,
) -> Result<Request, Refused> {
    check_time(submission.time(), now)?;
    let OneTimeSubmission {
        authority,
        family,
        epoch,
        ..
    } = &submission;
    // An authority that this validator does not know may state what it likes.
    if !book
        .get(authority)
        .is_some_and(|authority| authority.signs())
    {
        return Err(Refused::UnknownIssuer);
    }
    let epoch_key = epochs
        .counts(authority, family, *epoch, now)
        .map_err(Refused::OneTimeKey)?;
    let name = submission.proof.name(&epoch_key.id());
    let digest = submission.bundle_digest().map_err(Refused::Anchor)?;
    let proof = &submission.proof;
    let signed = signatures::verify_name(&epoch_key.modulus, &name, &proof.key_signature)
        && signatures::verify_digest(&proof.key, &digest, &proof.signature);
    if !signed {
        return Err(Refused::OneTimeSignature);
    }
    let one_time = OneTime {
        authority: submission.authority,
        family: submission.family,
        is_made_up: epoch_key.is_made_up,
        spent: SpentKey {
            epoch: submission.epoch,
            name,
        },
        proof: submission.proof,
    };
    let claimed = Claimed {
        bundle: submission.bundle,
        digest,
    };
    Ok(Request::new(
        key,
        claimed,
        Hidden::ByUs(draw_opening()?),
        None,
        &name,
        Some(&name),
        Asked::OneTime(Box::new(one_time)),
    ))
}

impl Refused {
    /// A one-time key that a record holds already.
    pub const SPENT_KEY: Self = Self::OneTimeKey(KeyFault::Spent);
}
