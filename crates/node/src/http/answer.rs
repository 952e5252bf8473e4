//! What an answer about a photo says.

use std::borrow::Cow;

use birthmark_ledger::{Record, Source};
use birthmark_protocol::api::{CaptureView, Finding, Sighting};
use birthmark_protocol::{Digest, Timestamp};

use super::App;
use super::verify::Sightings;
use crate::registry::Found;
use crate::words;

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
            assurance: origin.source.assurance(),
            authority: origin.authority.to_string(),
            device_family: origin.family.to_string(),
            role: image.role,
            modification_level: image.level,
            parent_image_hash: record.parent(digest),
            rehearsal: self.is_rehearsal(record),
            capture: record.bundle().capture().map(CaptureView::from),
            revocation: self.notice(record, header.time.timestamp()),
            finding: finding_of(record, header.time, self.is_rehearsal(record)),
        })
    }

    /// Whether a record is no evidence: everything in a registry that is a rehearsal, and elsewhere what comes from a
    /// camera whose authority made up its sensor's fingerprint.
    fn is_rehearsal(&self, record: &Record) -> bool {
        self.registry.genesis().rehearsal || record.origin().made_up_fingerprint
    }
}

fn finding_of(record: &Record, registered: birthmark_ledger::BlockTime, rehearsal: bool) -> String {
    let origin = record.origin();
    words::finding(
        origin.source,
        origin.authority.as_str(),
        origin.family.as_str(),
        record.time(),
        registered,
        rehearsal,
    )
}

/// The answer from records of the image.
pub fn finding(image_hash: Digest, sightings: &Sightings) -> Finding<'_> {
    let Sightings { records, more } = sightings;
    // The strongest speaks for all, of equals the oldest: being first proves nothing by itself.
    let Some(strongest) = records.first() else {
        return no_finding(image_hash);
    };
    Finding {
        verified: true,
        image_hash,
        timestamp: Some(strongest.timestamp),
        block_height: Some(strongest.block_height),
        aggregator: strongest.aggregator.as_deref().map(Cow::Borrowed),
        tx_hash: Some(Cow::Borrowed(&strongest.tx_hash)),
        gps_hash: strongest.gps_hash,
        assurance: strongest.assurance,
        source: Some(strongest.source),
        block_time: strongest.block_time.as_deref().map(Cow::Borrowed),
        modification_level: Some(strongest.modification_level),
        parent_image_hash: strongest.parent_image_hash,
        device_family: Some(Cow::Borrowed(&strongest.device_family)),
        authority: Some(Cow::Borrowed(&strongest.authority)),
        rehearsal: strongest.rehearsal,
        capture: strongest.capture,
        revocation: strongest.revocation.as_deref().map(Cow::Borrowed),
        finding: Cow::Borrowed(&strongest.finding),
        not_proven: limits(strongest.source),
        records: Cow::Borrowed(records),
        more: more.as_deref().map(Cow::Borrowed),
    }
}

fn limits(source: Source) -> Vec<Cow<'static, str>> {
    words::limits(source)
        .into_iter()
        .map(Cow::Borrowed)
        .collect()
}

/// The answer when there is no record.
pub fn no_finding(image_hash: Digest) -> Finding<'static> {
    Finding {
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
        rehearsal: false,
        capture: None,
        revocation: None,
        finding: Cow::Borrowed(words::NOT_FOUND),
        not_proven: Vec::new(),
        records: Cow::Borrowed(&[]),
        more: None,
    }
}

/// The lower, the more its record is worth in an answer.
pub(super) const fn rank(sighting: &Sighting) -> (bool, u8, u64) {
    (
        sighting.revocation.is_some(),
        strength(sighting.source),
        sighting.index,
    )
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
