//! What a validator is asked and answers.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::bundle::{Capture, PixelSource};
use crate::digest::{Digest, DigestRole};
use crate::numbers::{ModificationLevel, Timestamp};
use crate::source::Source;
use crate::verdict::Assurance;

/// `202` to a submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Accepted {
    /// Ask `/api/v1/submission/{receipt_id}` what became of it.
    pub receipt_id: String,
    /// How far it has come.
    pub status: Stage,
    /// The same in words.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub message: Cow<'static, str>,
}

/// How far a submission has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Its authority has not answered yet.
    PendingValidation,
    /// Its authority vouches for the camera; it waits for the next block.
    Validated,
    /// It will never be registered.
    Rejected,
    /// It is in a block.
    Stored,
}

/// What became of a submission.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Fate {
    /// The name its sender was given.
    pub receipt_id: String,
    /// How far it has come.
    pub status: Stage,
    /// Why it was refused, or what it waits for.
    #[serde(default)]
    pub reason: Option<String>,
    /// When it came, in seconds since 1970. Validators of the documents do not say.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = i64))]
    pub received_at: Option<Timestamp>,
    /// The block that holds it.
    #[serde(default)]
    pub block_height: Option<u64>,
    /// The transaction that holds it.
    #[serde(default)]
    pub tx_hash: Option<String>,
    /// Its digests, once it is stored.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub image_hashes: Vec<Digest>,
    /// The receipt as it was written, once it is stored.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub receipt: Option<Box<RawValue>>,
}

/// Many digests at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Question {
    /// Up to 1,000 digests, in hexadecimal.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub image_hashes: Vec<Digest>,
}

/// An answer for each digest, in the order of the question; one that stands in it twice is answered
/// once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Findings<'a> {
    /// One for each digest.
    #[serde(bound(deserialize = ""))]
    pub results: Vec<Finding<'a>>,
}

/// Everything that a validator knows against records, for whoever does not name the photo he asks
/// about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Notices {
    /// What is known, in no order.
    pub notices: Vec<Notice>,
}

/// One statement against an authority's devices, judged by the time of a record's block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Notice {
    /// The authority whose devices it concerns.
    pub authority: String,
    /// The device family it concerns; all of them without one.
    pub device_family: Option<String>,
    /// The first block time it concerns, in seconds since 1970.
    #[cfg_attr(feature = "openapi", schema(value_type = i64))]
    pub from: Timestamp,
    /// The last block time it concerns; none if it still holds.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<i64>))]
    pub until: Option<Timestamp>,
    /// What is known, in a sentence for everyone.
    pub reason: String,
}

impl Notice {
    /// Whether it concerns a record of this authority and family that was registered at this time.
    pub fn concerns(&self, authority: &str, family: &str, registered: Timestamp) -> bool {
        self.authority == authority
            && self.device_family.as_deref().is_none_or(|of| of == family)
            && self.from <= registered
            && self.until.is_none_or(|until| registered <= until)
    }
}

/// The answer to "is this registered?". The first seven fields are those of the documents; ours
/// come after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Finding<'a> {
    /// Whether a record of exactly this data exists.
    pub verified: bool,
    /// What was asked.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub image_hash: Digest,
    /// When the device says the photo was taken, in seconds since 1970. A claim.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<i64>))]
    pub timestamp: Option<Timestamp>,
    /// The block that holds the record.
    #[serde(default)]
    pub block_height: Option<u64>,
    /// The institution that took the submission.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub aggregator: Option<Cow<'a, str>>,
    /// The transaction that holds the record.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub tx_hash: Option<Cow<'a, str>>,
    /// The commitment to the place, if the photographer made one.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub gps_hash: Option<Digest>,
    /// `token`, `certificate` or `attested`; null for a submission server's word.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub assurance: Option<Assurance>,
    /// Who brought the strongest record: a camera by token, certificate or attested, software, or a
    /// submission server.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub source: Option<Source>,
    /// The epoch of the one-time key, where the camera proved itself by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
    /// When the registry's validators agreed on the block (RFC 3339, UTC): the photo existed before
    /// it.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub block_time: Option<Cow<'a, str>>,
    /// 0 straight from the sensor, 1 processed, 2 modified.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u8>))]
    pub modification_level: Option<ModificationLevel>,
    /// What the image was made from.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub parent_image_hash: Option<Digest>,
    /// The family of the camera, or the editing software.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub device_family: Option<Cow<'a, str>>,
    /// Who vouched.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub authority: Option<Cow<'a, str>>,
    /// Whether it is a rehearsal and no evidence: of a registry that is one, or of a camera whose
    /// authority made up its sensor's fingerprint.
    #[serde(default)]
    pub rehearsal: bool,
    /// What a camera of ours claims beside the digests; null for all others.
    #[serde(default)]
    pub capture: Option<CaptureView>,
    /// What is known against it, such as a withdrawn firmware.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub revocation: Option<Cow<'a, str>>,
    /// When the authority's list of what it withdrew was last had (RFC 3339, UTC); `never` if it
    /// never was; null if the validator reads no such list.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub revocations_checked: Option<Cow<'a, str>>,
    /// A sentence that may be quoted.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub finding: Cow<'a, str>,
    /// What is not proven. Quote it too.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub not_proven: Vec<Cow<'static, str>>,
    /// Records of this data, the strongest first: at most 64 of the oldest. Others may have
    /// registered it as well.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Sighting>))]
    pub records: Cow<'a, [Sighting]>,
    /// Where to ask for the next of them, if there are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub more: Option<Cow<'a, str>>,
}

/// One record of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Sighting {
    /// The record's index in the registry.
    pub index: u64,
    /// The block that holds it.
    pub block_height: u64,
    /// The block's time (RFC 3339, UTC).
    #[serde(default)]
    pub block_time: Option<String>,
    /// The device's claim, in seconds since 1970.
    #[cfg_attr(feature = "openapi", schema(value_type = i64))]
    pub timestamp: Timestamp,
    /// The institution that took the submission.
    #[serde(default)]
    pub aggregator: Option<String>,
    /// The transaction.
    pub tx_hash: String,
    /// The commitment to the place.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub gps_hash: Option<Digest>,
    /// Who brought it: a camera by token, certificate or attested, software, or a submission
    /// server.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub source: Source,
    /// How strongly the device is vouched for.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub assurance: Option<Assurance>,
    /// Who vouched.
    pub authority: String,
    /// The family of the camera, or the software.
    pub device_family: String,
    /// The epoch of the one-time key, where the camera proved itself by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
    /// What the digest was computed over.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub role: DigestRole,
    /// 0 straight from the sensor, 1 processed, 2 modified.
    #[cfg_attr(feature = "openapi", schema(value_type = u8))]
    pub modification_level: ModificationLevel,
    /// What it was made from.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub parent_image_hash: Option<Digest>,
    /// Whether it is a rehearsal and no evidence.
    #[serde(default)]
    pub rehearsal: bool,
    /// What a camera of ours claims beside the digests; null for all others.
    #[serde(default)]
    pub capture: Option<CaptureView>,
    /// What is known against it.
    #[serde(default)]
    pub revocation: Option<String>,
    /// A sentence that may be quoted.
    pub finding: String,
}

/// What a camera of ours claims beside the digests, under its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CaptureView {
    /// Where its program took the pixels from: `sensor`, `file` or `simulated`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub source: PixelSource,
    /// Digest of the system image that ran, where the system measures it.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub software: Option<Digest>,
    /// Height of the newest block the camera had checked: the photo is younger than that block. The
    /// receipt proves it.
    pub anchor: Option<u64>,
    /// Root over what the photographer may disclose.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub disclosure_root: Option<Digest>,
}

impl From<&Capture> for CaptureView {
    fn from(capture: &Capture) -> Self {
        Self {
            source: capture.source,
            software: capture.software,
            anchor: capture.anchor,
            disclosure_root: capture.disclosure,
        }
    }
}

impl Finding<'_> {
    /// What kind of device brought the strongest record. Older validators say only how strongly it
    /// is vouched for.
    pub fn source(&self) -> Option<Source> {
        self.source.or(self.assurance.map(Source::camera))
    }
}

/// How a validator is doing. The documents' fields first, ours after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Status {
    /// The validator's name.
    pub node_id: String,
    /// The newest block.
    pub block_height: u64,
    /// Records in the registry.
    pub total_hashes: u64,
    /// Submissions that wait for their authority.
    pub pending_submissions: u64,
    /// RFC 3339, UTC; null before the first block.
    pub last_block_time: Option<String>,
    /// How many validators decide.
    pub validator_nodes: usize,
    /// `single` or `bft`; `follower` if this node is no validator.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub consensus_mode: Cow<'static, str>,
    /// Since the daemon started.
    pub uptime: String,
    /// Which registry.
    pub chain_id: String,
    /// What it started from.
    pub genesis_hash: String,
    /// The root of the tree of records.
    pub tree_root: String,
    /// Submissions an authority vouched for, waiting for a block.
    pub validated_submissions: u64,
    /// The program's version.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub version: Cow<'static, str>,
    /// What keeps the validator from its work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// What does not, and should be looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The other nodes of its network, as it sees them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberStatus>,
    /// Who is asked, outside of the registry, to cosign its checkpoints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub witnesses: Vec<WitnessStatus>,
}

/// A witness of the registry, as this validator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WitnessStatus {
    /// Its name.
    pub name: String,
    /// How many records the checkpoint has that it cosigned last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// When, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// What is wrong with it, as the end of a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// `202` to a change of validators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangeTaken {
    /// What becomes of it, in words.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub message: Cow<'static, str>,
}

/// Another node of the network, as this one sees it. It may be otherwise: what the others see says
/// more than one alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MemberStatus {
    /// Its name among the validators, or in the settings.
    pub name: String,
    /// Whether it decides the next block; otherwise it follows.
    pub is_validator: bool,
    /// Whether messages reach it.
    pub is_linked: bool,
    /// How long ago it said anything, in seconds; absent if it never did since this validator
    /// started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_seconds_ago: Option<u64>,
    /// Its newest block, as it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_height: Option<u64>,
    /// How many blocks this validator has more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks_behind: Option<u64>,
    /// Of the newest blocks, at most 100, that this validator helped to decide: for so many nothing
    /// was heard of its vote.
    pub votes_missed: u32,
    /// How many blocks those are.
    pub votes_expected: u32,
}

/// `/health` of a validator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ValidatorHealth {
    /// `healthy` or `unhealthy`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub status: Cow<'static, str>,
    /// The validator's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What does not make it unhealthy, and should be looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_of_the_documents_alone_is_read() {
        let digest = Digest::of(b"photo");
        let answer = json!({"verified": true, "image_hash": digest, "timestamp": 1_795_000_000});
        let finding: Finding = serde_json::from_value(answer).unwrap();
        assert!(finding.verified && finding.records.is_empty());
        assert_eq!(finding.timestamp, Some(Timestamp::from_unix(1_795_000_000)));
        assert_eq!(finding.source(), None);
        let older = json!({"verified": true, "image_hash": digest, "assurance": "attested", "new_field": 1});
        let finding: Finding = serde_json::from_value(older).unwrap();
        assert_eq!(finding.source(), Some(Source::CameraAttested));
        let nothing = json!({"image_hash": digest});
        assert!(serde_json::from_value::<Finding>(nothing).is_err());
    }

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        let finding = Finding {
            verified: true,
            image_hash: Digest::of(b"photo"),
            timestamp: Some(Timestamp::from_unix(5)),
            block_height: Some(7),
            aggregator: Some("library.example".into()),
            tx_hash: Some("ab".into()),
            gps_hash: None,
            assurance: Some(Assurance::Certificate),
            source: Some(Source::CameraCertificate),
            epoch: None,
            block_time: None,
            modification_level: None,
            parent_image_hash: None,
            device_family: Some("Model".into()),
            authority: Some("maker.example".into()),
            rehearsal: false,
            capture: None,
            revocation: None,
            revocations_checked: Some("never".into()),
            finding: "A sentence.".into(),
            not_proven: vec!["That the scene is real.".into()],
            records: Cow::Borrowed(&[]),
            more: None,
        };
        let text = serde_json::to_string(&finding).unwrap();
        assert_eq!(serde_json::from_str::<Finding>(&text).unwrap(), finding);
    }

    #[test]
    fn a_receipt_is_passed_on_as_it_was_written() {
        let text = r#"{"receipt_id":"7b","status":"stored","receipt":{"b":1, "a":[2]}}"#;
        let fate: Fate = serde_json::from_str(text).unwrap();
        assert_eq!(fate.status, Stage::Stored);
        assert_eq!(fate.receipt.unwrap().get(), r#"{"b":1, "a":[2]}"#);
        let unknown = text.replace("stored", "done");
        assert!(serde_json::from_str::<Fate>(&unknown).is_err());
    }
}
