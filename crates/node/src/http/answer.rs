//! What an answer about a photo says.

use birthmark_ledger::{Record, Source};
use birthmark_protocol::{Digest, DigestRole, ModificationLevel, Timestamp};
use serde::Serialize;

use super::App;
use super::verify::Sightings;
use crate::registry::Found;
use crate::words;

/// The answer to "is this registered?". The first seven fields are those of the documents; ours come after.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Evidence<'a> {
    /// Whether a record of exactly this data exists.
    pub verified: bool,
    /// What was asked.
    #[schema(value_type = String)]
    pub image_hash: Digest,
    /// When the device says the photo was taken, in seconds since 1970. A claim.
    #[schema(value_type = Option<i64>)]
    pub timestamp: Option<Timestamp>,
    /// The block that holds the record.
    pub block_height: Option<u64>,
    /// The institution that took the submission.
    pub aggregator: Option<&'a str>,
    /// The transaction that holds the record.
    pub tx_hash: Option<&'a str>,
    /// The commitment to the place, if the photographer made one.
    #[schema(value_type = Option<String>)]
    pub gps_hash: Option<Digest>,
    /// `token`, `certificate` or `attested`; null for a submission server's word.
    pub assurance: Option<&'static str>,
    /// Who brought the strongest record: a camera by token, certificate or attested, software, or a submission server.
    #[schema(value_type = Option<String>)]
    pub source: Option<Source>,
    /// When the registry's validators agreed on the block (RFC 3339, UTC): the photo existed before it.
    pub block_time: Option<&'a str>,
    /// 0 straight from the sensor, 1 processed, 2 modified.
    #[schema(value_type = Option<u8>)]
    pub modification_level: Option<ModificationLevel>,
    /// What the image was made from.
    #[schema(value_type = Option<String>)]
    pub parent_image_hash: Option<Digest>,
    /// The family of the camera, or the editing software.
    pub device_family: Option<&'a str>,
    /// Who vouched.
    pub authority: Option<&'a str>,
    /// What is known against it, such as a withdrawn firmware.
    pub revocation: Option<&'a str>,
    /// A sentence that may be quoted.
    pub finding: &'a str,
    /// What is not proven. Quote it too.
    pub not_proven: Vec<&'static str>,
    /// Records of this data, the strongest first: at most 64 of the oldest. Others may have registered it as well.
    pub records: &'a [Sighting],
    /// Where to ask for the next of them, if there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more: Option<&'a str>,
}

/// One record of an image.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Sighting {
    /// The record's index in the registry.
    pub index: u64,
    /// The block that holds it.
    pub block_height: u64,
    /// The block's time (RFC 3339, UTC).
    pub block_time: Option<String>,
    /// The device's claim, in seconds since 1970.
    #[schema(value_type = i64)]
    pub timestamp: Timestamp,
    /// The institution that took the submission.
    pub aggregator: Option<String>,
    /// The transaction.
    pub tx_hash: String,
    /// The commitment to the place.
    #[schema(value_type = Option<String>)]
    pub gps_hash: Option<Digest>,
    /// Who brought it: a camera by token, certificate or attested, software, or a submission server.
    #[schema(value_type = String)]
    pub source: Source,
    /// How strongly the device is vouched for.
    pub assurance: Option<&'static str>,
    /// Who vouched.
    pub authority: String,
    /// The family of the camera, or the software.
    pub device_family: String,
    /// What the digest was computed over.
    #[schema(value_type = String)]
    pub role: DigestRole,
    /// 0 straight from the sensor, 1 processed, 2 modified.
    #[schema(value_type = u8)]
    pub modification_level: ModificationLevel,
    /// What it was made from.
    #[schema(value_type = Option<String>)]
    pub parent_image_hash: Option<Digest>,
    /// What is known against it.
    pub revocation: Option<String>,
    /// A sentence that may be quoted.
    pub finding: String,
}

impl App {
    /// What is known against a record: by this node's operator, or by the authority itself.
    fn notice(&self, record: &Record, registered: Timestamp) -> Option<String> {
        let authority = self.book.get(record.origin().authority.as_str());
        let said = || authority?.notice(record, registered);
        self.settings.notice(record, registered).or_else(said)
    }

    /// What one record says about an image.
    pub fn sighting(&self, found: &Found, digest: &Digest) -> Option<Sighting> {
        let record = found.record();
        let image = record.image(digest)?;
        let header = found.header();
        let origin = record.origin();
        Some(Sighting {
            index: found.leaf,
            block_height: header.height.get(),
            block_time: words::block_moment(header.time),
            timestamp: record.time(),
            aggregator: self
                .registry
                .validator_name(header.height.get(), found.submitter()),
            tx_hash: found.transaction().to_string(),
            gps_hash: record.gps(),
            source: origin.source,
            assurance: origin
                .source
                .assurance()
                .map(birthmark_protocol::Assurance::name),
            authority: origin.authority.to_string(),
            device_family: origin.family.to_string(),
            role: image.role,
            modification_level: image.level,
            parent_image_hash: record.parent(digest),
            revocation: self.notice(record, header.time.timestamp()),
            finding: finding_of(record, header.time),
        })
    }
}

fn finding_of(record: &Record, registered: birthmark_ledger::BlockTime) -> String {
    let origin = record.origin();
    words::finding(
        origin.source,
        origin.authority.as_str(),
        origin.family.as_str(),
        record.time(),
        registered,
    )
}

impl<'a> Evidence<'a> {
    /// The answer from records of the image.
    pub fn of(image_hash: Digest, sightings: &'a Sightings) -> Self {
        let Sightings { records, more } = sightings;
        // The strongest speaks for all, of equals the oldest: being first proves nothing by itself.
        let Some(strongest) = records.first() else {
            return Self::none(image_hash);
        };
        Self {
            verified: true,
            image_hash,
            timestamp: Some(strongest.timestamp),
            block_height: Some(strongest.block_height),
            aggregator: strongest.aggregator.as_deref(),
            tx_hash: Some(&strongest.tx_hash),
            gps_hash: strongest.gps_hash,
            assurance: strongest.assurance,
            source: Some(strongest.source),
            block_time: strongest.block_time.as_deref(),
            modification_level: Some(strongest.modification_level),
            parent_image_hash: strongest.parent_image_hash,
            device_family: Some(&strongest.device_family),
            authority: Some(&strongest.authority),
            revocation: strongest.revocation.as_deref(),
            finding: &strongest.finding,
            not_proven: words::limits(strongest.source),
            records,
            more: more.as_deref(),
        }
    }

    /// The answer when there is no record.
    pub fn none(image_hash: Digest) -> Self {
        Self {
            verified: false,
            image_hash,
            timestamp: None,
            block_height: None,
            aggregator: None,
            tx_hash: None,
            gps_hash: None,
            assurance: None,
            source: None,
            block_time: None,
            modification_level: None,
            parent_image_hash: None,
            device_family: None,
            authority: None,
            revocation: None,
            finding: words::NOT_FOUND,
            not_proven: Vec::new(),
            records: &[],
            more: None,
        }
    }
}

impl Sighting {
    /// The lower, the more its record is worth in an answer.
    pub(super) const fn rank(&self) -> (bool, u8, u64) {
        (self.revocation.is_some(), strength(self.source), self.index)
    }
}

const fn strength(source: Source) -> u8 {
    match source {
        Source::CameraAttested => 0,
        Source::CameraCertificate => 1,
        Source::CameraToken => 2,
        Source::Software => 3,
        Source::Server => 4,
    }
}
