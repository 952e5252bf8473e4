//! What the signer says over Varlink. The service and its clients share these types.

use serde::{Deserialize, Serialize};
use zlink::introspect::Type;

/// The interface's name.
pub const INTERFACE: &str = "org.birthmark.Signer";

/// Where the signing key lives. Named in every answer, so that nobody takes a development key for a
/// chip's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
#[zlink(rename_all = "snake_case")]
pub enum KeyStoreKind {
    /// In a TPM, which it cannot leave.
    Tpm,
    /// In a file of a development build.
    Software,
}

/// The TPM's manufacturer and firmware.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Chip {
    /// The maker's short name.
    pub manufacturer: String,
    /// The maker's name for the chip.
    pub model: String,
    /// The firmware version.
    pub firmware: String,
}

/// The TPM's protection against guessed passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Lockout {
    /// Whether authorisations are refused now.
    pub locked: bool,
    /// Failed attempts so far.
    pub failures: u32,
    /// How many are allowed.
    pub allowed: u32,
    /// After how many seconds one failure is forgiven.
    pub recovery_seconds: u32,
}

/// The answer to `SignBundle`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct SignBundleReply {
    /// The digest that was signed, 64 hexadecimal characters.
    pub bundle_digest: String,
    /// The signature: ECDSA P-256 with the low `s`, DER in base64.
    pub signature: String,
    /// The certificate it verifies under, DER in base64.
    pub certificate: String,
    /// Where the key lives.
    pub key_store: KeyStoreKind,
}

/// The answer to `IssueToken`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct IssueTokenReply {
    /// The encrypted NUC hash, 64 hexadecimal characters.
    pub ciphertext: String,
    /// The nonce, 24 hexadecimal characters.
    pub nonce: String,
    /// The authentication tag, 32 hexadecimal characters.
    pub auth_tag: String,
    /// Which table.
    pub table_id: i64,
    /// Which key of the table.
    pub key_index: i64,
    /// Where the signing key lives.
    pub key_store: KeyStoreKind,
}

/// The answer to `GpsSalt`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct GpsSaltReply {
    /// The salt, 64 hexadecimal characters. Whoever has it can find out the place by guessing.
    pub salt: String,
    /// Where the signing key lives.
    pub key_store: KeyStoreKind,
}

impl std::fmt::Debug for GpsSaltReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GpsSaltReply(secret)")
    }
}

/// The answer to `Status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct StatusReply {
    /// Where the key lives.
    pub key_store: KeyStoreKind,
    /// The camera's public key, PEM; absent before enrolment and when the key store does not
    /// answer.
    pub public_key: Option<String>,
    /// Whether the camera can sign and issue tokens.
    pub provisioned: bool,
    /// The serial number the authority gave.
    pub device_serial: Option<String>,
    /// The model.
    pub device_family: Option<String>,
    /// The three tables.
    pub table_ids: Vec<i64>,
    /// The last second of the certificate's validity, Unix time.
    pub certificate_not_after: Option<i64>,
    /// Where validators ask about this camera, as the certificate says.
    pub authority: Option<String>,
    /// The measurements the secrets are sealed to.
    pub sealed_to_pcrs: Vec<i64>,
    /// When the last signature of this run was made, Unix time.
    pub last_signature: Option<i64>,
    /// How many signatures this run made.
    pub signatures: i64,
    /// Whether the key store's latest test of itself passed.
    pub self_test_passed: bool,
    /// The chip, if it is one and answers.
    pub chip: Option<Chip>,
    /// The chip's protection against guessing.
    pub lockout: Option<Lockout>,
    /// What is wrong, in a sentence; absent when nothing is.
    pub problem: Option<String>,
}

/// The answer to `Enrol`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct EnrolReply {
    /// The camera's public key, PEM.
    pub public_key: String,
    /// Where the key lives.
    pub key_store: KeyStoreKind,
}

/// The answer to `Attest`: everything an authority needs to believe in the chip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct AttestReply {
    /// The endorsement key's certificate, DER in base64, if the chip has one.
    pub endorsement_certificate: Option<String>,
    /// The endorsement key (TPMT_PUBLIC), base64.
    pub endorsement_key: String,
    /// The attestation key (TPMT_PUBLIC), base64.
    pub attestation_key: String,
    /// The signing key (TPMT_PUBLIC), base64.
    pub signing_key: String,
    /// What the chip says about the signing key (TPMS_ATTEST), base64.
    pub statement: String,
    /// The attestation key's signature, DER in base64.
    pub signature: String,
    /// Where the key lives.
    pub key_store: KeyStoreKind,
}

/// The answer to `Activate`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct ActivateReply {
    /// The credential's secret, hexadecimal.
    pub secret: String,
    /// Where the key lives.
    pub key_store: KeyStoreKind,
}

impl std::fmt::Debug for ActivateReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ActivateReply(secret)")
    }
}

/// The answer to `Provision`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct ProvisionReply {
    /// The serial number the authority gave.
    pub device_serial: String,
    /// The model.
    pub device_family: String,
    /// The three tables.
    pub table_ids: Vec<i64>,
    /// Where the key lives.
    pub key_store: KeyStoreKind,
}

/// The answer to `Renew`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct RenewReply {
    /// The last second of the certificate's validity, Unix time.
    pub certificate_not_after: Option<i64>,
    /// Where the key lives.
    pub key_store: KeyStoreKind,
}

/// The answer to `Reseal`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct ResealReply {
    /// The measurements the secrets are sealed to now.
    pub sealed_to_pcrs: Vec<i64>,
    /// Where the key lives.
    pub key_store: KeyStoreKind,
}

/// The answer to `SelfTest`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct SelfTestReply {
    /// Where the key lives.
    pub key_store: KeyStoreKind,
}

/// The answer to `DraftKeys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct DraftKeysReply {
    /// How many keys of the batch are made.
    pub made: i64,
    /// Where the keys live.
    pub key_store: KeyStoreKind,
}

/// The answer to `BatchRequest`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct BatchRequestReply {
    /// The blinded keys one after the other, base64.
    pub blinded: String,
    /// By the camera's key, DER in base64.
    pub signature: String,
    /// The certificate it verifies under, DER in base64.
    pub certificate: String,
    /// Where the keys live.
    pub key_store: KeyStoreKind,
}

/// One opened key, as an authority takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct OpenedKey {
    /// What it was blinded with, hexadecimal.
    pub seed: String,
    /// TPMT_PUBLIC, base64.
    pub public: String,
    /// TPMS_ATTEST, base64.
    pub statement: String,
    /// The attestation key's signature, DER in base64.
    pub signature: String,
}

/// The answer to `AnswerChallenge`. While the chip has not spoken about every key, all but
/// `is_complete` is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct AnswerChallengeReply {
    /// Whether this is the whole answer: otherwise ask again.
    pub is_complete: bool,
    /// The keys that were chosen.
    pub opened: Vec<OpenedKey>,
    /// The blinded keys that were not, base64.
    pub left: String,
    /// By the camera's key, DER in base64.
    pub signature: String,
    /// The certificate it verifies under, DER in base64.
    pub certificate: String,
    /// Where the keys live.
    pub key_store: KeyStoreKind,
}

/// The answer to `TakeSignatures`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct TakeSignaturesReply {
    /// How many keys of the epoch wait for a photo.
    pub ready: i64,
    /// Where the keys live.
    pub key_store: KeyStoreKind,
}

/// The answer to `SignOnce`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct SignOnceReply {
    /// The digest that was signed, 64 hexadecimal characters.
    pub bundle_digest: String,
    /// By the one-time key, DER in base64.
    pub signature: String,
    /// The one-time key, compressed, hexadecimal.
    pub one_time_key: String,
    /// The authority's signature over it, base64.
    pub key_signature: String,
    /// The authority.
    pub authority: String,
    /// The device family.
    pub device_family: String,
    /// The epoch.
    pub epoch: i64,
    /// The last second at which validators take the photo, Unix time.
    pub good_until: i64,
    /// Where the keys live.
    pub key_store: KeyStoreKind,
}

/// How many keys of an epoch there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct EpochStock {
    /// The epoch.
    pub epoch: i64,
    /// When it begins, Unix time.
    pub from: i64,
    /// When it ends, Unix time.
    pub until: i64,
    /// Keys that are made and not signed.
    pub drafts: i64,
    /// Keys that wait for a photo.
    pub ready: i64,
}

/// The answer to `OneTimeStock`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct OneTimeStockReply {
    /// By epoch, oldest first.
    pub epochs: Vec<EpochStock>,
    /// Where the keys live.
    pub key_store: KeyStoreKind,
}

/// Why the signer refuses, in the words of its interface.
#[derive(Clone, Debug, PartialEq, Eq, zlink::ReplyError, zlink::introspect::ReplyError)]
#[zlink(interface = "org.birthmark.Signer")]
pub enum SignerRefusal {
    /// Too many requests are waiting; try again.
    Busy {
        /// A sentence for people.
        reason: String,
    },
    /// The key store did not answer in time.
    Late {
        /// A sentence for people.
        reason: String,
    },
    /// The caller may not do this.
    NotAllowed {
        /// A sentence for people.
        reason: String,
    },
    /// A parameter is wrong.
    BadInput {
        /// Which.
        field: String,
        /// A sentence for people.
        reason: String,
    },
    /// The camera must be provisioned first.
    NotProvisioned {
        /// A sentence for people.
        reason: String,
    },
    /// The provisioning file is refused.
    BadProvisioning {
        /// A sentence for people.
        reason: String,
    },
    /// No one-time key is left for this moment.
    NoOneTimeKeys {
        /// A sentence for people.
        reason: String,
    },
    /// The key store refused: cleared, replaced, locked, gone.
    KeyStore {
        /// A sentence for people.
        reason: String,
    },
}

impl std::fmt::Display for SignerRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BadInput { field, reason } => write!(f, "`{field}` {reason}"),
            Self::Busy { reason }
            | Self::Late { reason }
            | Self::NotAllowed { reason }
            | Self::NotProvisioned { reason }
            | Self::BadProvisioning { reason }
            | Self::NoOneTimeKeys { reason }
            | Self::KeyStore { reason } => f.write_str(reason),
        }
    }
}

impl std::error::Error for SignerRefusal {}
