//! What stands in a call and in its answer, read and refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthmark_protocol::Digest;
use birthmark_protocol::numbers::at_most;

use crate::error::SignerError;
use crate::messages::SignerRefusal;

/// What the caller hears; the operator reads the same in the journal.
pub(super) fn refusal(error: SignerError) -> SignerRefusal {
    let reason = error.to_string();
    match &error {
        SignerError::NotAllowed { user, .. } => log::warn!(PEER_UID = *user; "refused: {reason}"),
        _ => log::warn!("refused: {reason}"),
    }
    match error {
        SignerError::Busy(_) => SignerRefusal::Busy { reason },
        SignerError::Late(_) | SignerError::Stopping => SignerRefusal::Late { reason },
        SignerError::NotAllowed { .. } => SignerRefusal::NotAllowed { reason },
        SignerError::Input { field, reason } => SignerRefusal::BadInput {
            field: field.to_owned(),
            reason,
        },
        SignerError::NotProvisioned
        | SignerError::NotEnrolled
        | SignerError::CertificateEnded { .. } => SignerRefusal::NotProvisioned { reason },
        SignerError::NoOneTimeKeys => SignerRefusal::NoOneTimeKeys { reason },
        SignerError::Provisioning(_) | SignerError::Renewal(_) | SignerError::SelfTest(_) => {
            SignerRefusal::BadProvisioning { reason }
        }
        _ => SignerRefusal::KeyStore { reason },
    }
}

pub(super) fn decoded(field: &'static str, text: &str) -> Result<Vec<u8>, SignerRefusal> {
    STANDARD
        .decode(text)
        .map_err(|error| refusal(SignerError::input(field, error)))
}

pub(super) fn epoch_number(epoch: i64) -> Result<u32, SignerRefusal> {
    u32::try_from(epoch).map_err(|error| refusal(SignerError::input("epoch", error)))
}

pub(super) fn counted(count: usize) -> i64 {
    at_most(count)
}

pub(super) fn digest(field: &'static str, text: &str) -> Result<Digest, SignerRefusal> {
    text.parse()
        .map_err(|error| refusal(SignerError::input(field, error)))
}
