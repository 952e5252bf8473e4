//! What an entry of the queue holds, in the protocol's types, and the request that is made of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthmark_protocol::one_time::{OneTimeProof, OneTimeSubmission};
use birthmark_protocol::submission::OurSubmission;
use birthmark_protocol::{Bundle, Opening, PublicKey, Signature, Timestamp};

use super::node::Request;
use crate::keep::queue::Entry;
use crate::send::certificate;
use crate::send::signer::{Proof, ProvedBy};

/// What is missing in an entry, or unreadable: it was damaged on the card.
#[derive(Debug, thiserror::Error)]
#[error("the entry holds no {0}")]
pub(super) struct Lacks(&'static str);

/// What an entry holds, in the protocol's types.
pub(super) fn contents(entry: &Entry) -> Result<(Bundle, Opening), Lacks> {
    let bytes = STANDARD
        .decode(&entry.bundle)
        .map_err(|_| Lacks("bundle"))?;
    let bundle = Bundle::decode(&bytes).map_err(|_| Lacks("bundle"))?;
    let opening = Opening::from_hex(&entry.opening).map_err(|_| Lacks("opening"))?;
    Ok((bundle, opening))
}

/// Whether no validator takes the proof any more: its certificate, or the epoch of its one-time
/// key, ended too long ago. Then the photo is signed anew, and its time stays the capture's.
pub(super) fn is_outdated(proof: &Proof, now: Timestamp) -> Result<bool, Lacks> {
    match &proof.by {
        ProvedBy::Certificate { certificate, .. } => {
            let der = STANDARD.decode(certificate);
            let der = der.map_err(|_| Lacks("certificate"))?;
            Ok(certificate::is_outdated(&der, now))
        }
        // To the second: a key that an epoch's last day still gives must not be taken for an old
        // one, or photo after photo would use it up.
        ProvedBy::OneTimeKey { good_until, .. } => Ok(now.unix() > *good_until),
    }
}

pub(super) fn request(entry: &Entry, proof: &Proof) -> Result<Request, Lacks> {
    let (bundle, opening) = contents(entry)?;
    let decode = |text: &str, what| STANDARD.decode(text).map_err(|_| Lacks(what));
    let signature = decode(&proof.signature, "signature")?;
    let signature = Signature::from_der(&signature).map_err(|_| Lacks("signature"))?;
    match &proof.by {
        ProvedBy::Certificate { certificate, token } => {
            let certificate = decode(certificate, "certificate")?;
            let submission = OurSubmission::new(
                &bundle,
                entry.anchor_block,
                &certificate,
                *token,
                &opening,
                &signature,
            );
            let submission = submission.map_err(|_| Lacks("bundle"))?;
            Ok(Request::Certificate(Box::new(submission)))
        }
        ProvedBy::OneTimeKey {
            authority,
            device_family,
            epoch,
            one_time_key,
            key_signature,
            good_until: _,
        } => {
            let damaged = || Lacks("one-time key");
            let key = hex::decode(one_time_key).map_err(|_| damaged())?;
            let key_signature = decode(key_signature, "one-time key")?;
            let submission = OneTimeSubmission {
                bundle,
                anchor_block: entry.anchor_block,
                authority: authority.clone(),
                family: device_family.clone(),
                epoch: *epoch,
                proof: OneTimeProof {
                    key: PublicKey::from_sec1(&key).map_err(|_| damaged())?,
                    key_signature: key_signature.try_into().map_err(|_| damaged())?,
                    signature,
                },
            };
            Ok(Request::Once(Box::new(submission)))
        }
    }
}
