//! Why the signer refuses a request.

use birthmark_daemon::random::NoRandomness;
use birthmark_protocol::Timestamp;

use crate::key_store::KeyStoreError;
use crate::provisioning::ProvisioningError;
use crate::state::StateError;

/// A refusal, sorted by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// Too many requests are waiting.
    #[error("{0} requests are waiting already: try again in a moment")]
    Busy(usize),
    /// The request's time ran out.
    #[error("the key store did not answer within {0} seconds")]
    Late(u64),
    /// The daemon is ending.
    #[error("the signer is stopping")]
    Stopping,
    /// The caller may not do this.
    #[error("user {user} may not {action}")]
    NotAllowed {
        /// The caller's number.
        user: u32,
        /// What was asked.
        action: &'static str,
    },
    /// A parameter is wrong.
    #[error("`{field}` {reason}")]
    Input {
        /// Which.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no camera here yet.
    #[error("this camera has not been provisioned: run `birthmark provision`")]
    NotProvisioned,
    /// There is a key, and something else than a camera behind it.
    #[error("this camera has not been enrolled: run `birthmark provision`")]
    NotEnrolled,
    /// None is left for this moment.
    #[error("no one-time key of the present epoch is left")]
    NoOneTimeKeys,
    /// The key in the store is not the one the certificate is for.
    #[error(
        "the key store holds another key than this camera's certificate names: the TPM was cleared or replaced; provision this camera again"
    )]
    OtherKey,
    /// The certificate ended before the photo was taken.
    #[error(
        "this camera's certificate ended at {until} (seconds since 1970), before the photo was taken: it is signed once the certificate is renewed (`birthmark renew`)"
    )]
    CertificateEnded {
        /// Its last second.
        until: Timestamp,
    },
    /// A renewed certificate is not one for this camera.
    #[error("the renewed certificate is refused: {0}")]
    Renewal(&'static str),
    /// The sealed secrets are not what was sealed.
    #[error("the sealed {0} came back damaged: provision this camera again")]
    Damaged(&'static str),
    /// Checking a fresh import failed.
    #[error("the self-test after provisioning failed, nothing was kept: {0}")]
    SelfTest(String),
    /// The system's random numbers failed.
    #[error("the system's random numbers are unavailable")]
    Randomness,
    /// The provisioning file is refused.
    #[error(transparent)]
    Provisioning(#[from] ProvisioningError),
    /// The key store refused.
    #[error(transparent)]
    KeyStore(#[from] KeyStoreError),
    /// A file is unusable.
    #[error(transparent)]
    State(#[from] StateError),
}

impl From<NoRandomness> for SignerError {
    fn from(_: NoRandomness) -> Self {
        Self::Randomness
    }
}

impl SignerError {
    /// A refusal of one parameter.
    pub(crate) fn input(field: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Input {
            field,
            reason: reason.to_string(),
        }
    }
}
