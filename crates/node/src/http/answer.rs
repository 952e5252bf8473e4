//! What an answer about a photo says.

use std::borrow::Cow;

use birthmark_ledger::{Record, Source};
use birthmark_protocol::api::{CaptureView, Finding, Sighting};
use birthmark_protocol::{Digest, DigestRole, Timestamp};
use birthmark_verify::sentences;
use birthmark_verify::sighted::{Sighted, strength};

use super::App;
use crate::clock;
use crate::registry::Found;

/// Some of the records of an image.
#[derive(Default)]
pub struct Sightings {
    /// What each says, the strongest first.
    pub records: Vec<Sighting>,
    /// Where to ask for those that are left out.
    pub more: Option<String>,
    /// When the list of what the strongest's maker withdrew was last had.
    pub checked: Option<String>,
    /// What that leaves open.
    pub cautions: Vec<Cow<'static, str>>,
}

/// What the maker's list of what it withdrew says about one record.
#[derive(Default)]
pub(super) struct Withdrawals {
    pub(super) checked: Option<String>,
    pub(super) cautions: Vec<Cow<'static, str>>,
}

impl App {
    /// What is known against a record: by this node's operator, or by the authority itself.
    fn notice(&self, record: &Record, registered: Timestamp) -> Option<String> {
        let authority = self.book.get(record.origin().authority.as_str());
        let said = || authority?.notice(record, registered);
        let withdrawn = || self.withdrawn_epoch(record, registered);
        let by_operator = self.settings.notice(record, registered);
        by_operator.or_else(said).or_else(withdrawn)
    }

    /// Said where the authority withdrew the epoch of a record's one-time key by the time of its
    /// block.
    fn withdrawn_epoch(&self, record: &Record, registered: Timestamp) -> Option<String> {
        let (spent, origin) = (record.spent()?, record.origin());
        let (authority, family) = (origin.authority.as_str(), origin.family.as_str());
        let epochs = self.registry.epochs();
        let from = epochs.withdrawn_from(authority, family, spent.epoch)?;
        (registered >= from).then(|| {
            let epoch = spent.epoch;
            format!("its authority withdrew the one-time keys of epoch {epoch}")
        })
    }

    /// What one record says about an image, for sentences about it.
    pub(super) fn sighted<'a>(&self, found: &'a Found, digest: &Digest) -> Option<Sighted<'a>> {
        let header = found.header();
        let sighted = Sighted::new(found.record(), digest, header.height, header.time)?;
        Some(Sighted {
            is_in_rehearsal: self.registry.genesis().rehearsal,
            ..sighted
        })
    }

    /// When the maker's list of what it withdrew was last had, and what that leaves open about a
    /// record.
    pub(super) fn withdrawals(&self, record: &Record, registered: Timestamp) -> Withdrawals {
        let origin = record.origin();
        let authority = self.book.get(origin.authority.as_str());
        let Some(authority) = authority.filter(|_| origin.source.is_camera()) else {
            return Withdrawals::default();
        };
        let mut cautions = Vec::new();
        if !authority.signs() {
            cautions.push(Cow::Borrowed(sentences::UNSIGNED));
        }
        let Some(times) = authority.feed_times() else {
            cautions.push(Cow::Borrowed(sentences::NO_LIST));
            return Withdrawals {
                checked: None,
                cautions,
            };
        };
        let Some(fetched) = times.fetched else {
            cautions.push(Cow::Borrowed(sentences::NEVER_HAD));
            return Withdrawals {
                checked: Some("never".into()),
                cautions,
            };
        };
        let suspicions = authority.suspicions(record, registered);
        cautions.extend(suspicions.into_iter().map(Cow::Owned));
        if times.next.is_some_and(|next| clock::now() > next) {
            cautions.push(Cow::Borrowed(sentences::PAST_DATE));
        }
        Withdrawals {
            checked: sentences::moment(fetched.unix()),
            cautions,
        }
    }

    /// What one record says about an image.
    pub fn sighting(&self, found: &Found, digest: &Digest) -> Option<Sighting> {
        let record = found.record();
        let header = found.header();
        let sighted = self.sighted(found, digest)?;
        let origin = record.origin();
        let revocation = self.notice(record, header.time.timestamp());
        Some(Sighting {
            index: found.leaf,
            block_height: header.height.get(),
            block_time: sentences::block_moment(header.time),
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
            epoch: record.spent().map(|spent| spent.epoch),
            role: sighted.role,
            modification_level: sighted.level,
            parent_image_hash: sighted.parent,
            rehearsal: sighted.is_rehearsal(),
            capture: record.bundle().capture().map(CaptureView::from),
            finding: sentences::finding(&sighted, revocation.as_deref()),
            revocation,
        })
    }
}

/// The answer from records of the image.
pub fn finding(image_hash: Digest, sightings: &Sightings) -> Finding<'_> {
    let Sightings {
        records,
        more,
        checked,
        cautions,
    } = sightings;
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
        epoch: strongest.epoch,
        block_time: strongest.block_time.as_deref().map(Cow::Borrowed),
        modification_level: Some(strongest.modification_level),
        parent_image_hash: strongest.parent_image_hash,
        device_family: Some(Cow::Borrowed(&strongest.device_family)),
        authority: Some(Cow::Borrowed(&strongest.authority)),
        rehearsal: strongest.rehearsal,
        capture: strongest.capture,
        revocation: strongest.revocation.as_deref().map(Cow::Borrowed),
        revocations_checked: checked.as_deref().map(Cow::Borrowed),
        finding: Cow::Borrowed(&strongest.finding),
        not_proven: limits(strongest.source, strongest.role, cautions),
        records: Cow::Borrowed(records),
        more: more.as_deref().map(Cow::Borrowed),
    }
}

fn limits(
    source: Source,
    role: DigestRole,
    cautions: &[Cow<'static, str>],
) -> Vec<Cow<'static, str>> {
    let limits = sentences::limits(source, role)
        .into_iter()
        .map(Cow::Borrowed);
    limits.chain(cautions.iter().cloned()).collect()
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
        epoch: None,
        block_time: None,
        modification_level: None,
        parent_image_hash: None,
        device_family: None,
        authority: None,
        rehearsal: false,
        capture: None,
        revocation: None,
        revocations_checked: None,
        finding: Cow::Borrowed(sentences::NOT_FOUND),
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
