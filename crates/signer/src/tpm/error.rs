//! What a chip can answer, sorted by what the owner can do about it.

use tss_esapi::WrapperErrorKind;
use tss_esapi::constants::Tss2ResponseCodeKind as Kind;

/// Why the TPM did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum TpmError {
    /// Nothing answers where the TPM should be.
    #[error(
        "no TPM answers at {tcti}: {reason}; check that the chip is seated, its driver loaded and the device readable for this user"
    )]
    Unreachable {
        /// Where it was looked for.
        tcti: String,
        /// What the software stack said.
        reason: String,
    },
    /// Too many failed authorisations, by anybody.
    #[error(
        "the TPM is in lockout after failed authorisations: wait until it recovers, or reset it with tpm2_dictionarylockout --clear-lockout"
    )]
    Lockout,
    /// The handle that should hold the signing key is empty.
    #[error(
        "there is no signing key at handle {handle:#x}: the TPM was never enrolled, or it has been cleared or replaced; provision this camera again"
    )]
    NoSigningKey {
        /// Where the key should be.
        handle: u32,
    },
    /// Another chip answers than the one this camera was provisioned with.
    #[error(
        "this is not the TPM this camera was provisioned with, or it has been cleared since: put the right chip back, or enrol and provision this camera again"
    )]
    OtherChip,
    /// A key made by somebody else sits where the signing key belongs.
    #[error(
        "the key at handle {handle:#x} is not a signing key of this camera ({reason}): remove it with tpm2_evictcontrol or configure another handle"
    )]
    ForeignKey {
        /// Where the key was found.
        handle: u32,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A stored blob belongs to another chip.
    #[error(
        "the {what} was made by another TPM, or this one has been cleared: provision this camera again"
    )]
    ForeignBlob {
        /// Which blob.
        what: &'static str,
    },
    /// The platform's measurements are not those the secret was sealed to.
    #[error(
        "the TPM keeps the secrets back because the system's measurements (PCRs) have changed since they were sealed: start the system they were sealed on and reseal, or provision again"
    )]
    Measurements,
    /// The chip asks for another credential than this daemon has.
    #[error(
        "the TPM does not accept the signer's credential `chip-auth`: it is not the one this camera was enrolled with; put that one back, or enrol and provision this camera again"
    )]
    WrongCredential,
    /// A signature did not verify under the chip's own key.
    #[error(
        "the TPM returned a signature that its own key does not confirm: the chip or its bus is faulty or tampered with"
    )]
    WrongSignature,
    /// The chip's own tests did not pass.
    #[error("the TPM fails its self-test: {0}")]
    SelfTest(String),
    /// More than a sealed object can hold.
    #[error("{length} bytes do not fit one sealed object, which holds {max}")]
    TooLong {
        /// How much was given.
        length: usize,
        /// How much fits.
        max: usize,
    },
    /// Something outside of the TPM's structures was handed to us.
    #[error("the {0} is malformed")]
    Malformed(&'static str),
    /// Any other refusal.
    #[error("the TPM refused to {operation}: {source}")]
    Refused {
        /// What it was asked.
        operation: &'static str,
        /// What it answered.
        source: tss_esapi::Error,
    },
}

impl TpmError {
    /// Sorts what the software stack answered.
    pub(super) fn from_tss(operation: &'static str, source: tss_esapi::Error) -> Self {
        match kind(&source) {
            Some(Kind::Lockout) => Self::Lockout,
            Some(Kind::PolicyFail | Kind::PcrChanged) => Self::Measurements,
            Some(Kind::BadAuth | Kind::AuthFail) => Self::WrongCredential,
            _ => Self::Refused { operation, source },
        }
    }

    /// Whether the chip answered that an object does not belong to it.
    pub(super) fn is_foreign_object(&self) -> bool {
        let Self::Refused { source, .. } = self else {
            return false;
        };
        matches!(
            kind(source),
            Some(Kind::Integrity | Kind::Sensitive | Kind::Binding | Kind::Value | Kind::Size)
        )
    }

    /// Whether a new connection may help: the chip was reset under us, or the line to it broke.
    pub(super) fn may_pass_on_a_new_connection(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. } | Self::NoSigningKey { .. } | Self::Unreachable { .. }
        )
    }
}

fn kind(error: &tss_esapi::Error) -> Option<Kind> {
    match error {
        tss_esapi::Error::Tss2Error(code) => code.kind(),
        tss_esapi::Error::WrapperError(_) => None,
    }
}

/// For a state that this crate's own structure rules out, without a panic if it were wrong.
pub(super) fn occupied(operation: &'static str) -> TpmError {
    TpmError::Refused {
        operation,
        source: tss_esapi::Error::WrapperError(WrapperErrorKind::InvalidHandleState),
    }
}
