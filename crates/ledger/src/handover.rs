//! A change of validators as a receipt shows it: the last block of the former ones, and who left
//! and who joined.
//!
//! Institutions come and go one at a time, and each validator takes about 120 bytes: a receipt that
//! names only those that changed stays small after many handovers. Whom the new set consists of is
//! known to whoever knows the set before it; the header names its hash, so nothing has to be
//! believed about it.
//!
//! ```text
//! decided  the block that hands over
//! varint   number of validators that left, ascending: varint position in the former set
//! varint   number of validators that joined, in ascending order of their ids, as in a set
//! ```

use birthmark_protocol::bytes::{DecodeError, Reader};
use serde::{Deserialize, Serialize};

use crate::certificate::CommitCertificate;
use crate::header::BlockHeader;
use crate::validators::{MAX_VALIDATORS, Validator, ValidatorId, ValidatorSet};
use crate::varint;

/// A block whose validators handed over to others, with all of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetLink {
    /// The last block of the old set.
    pub header: BlockHeader,
    /// The old set's decision.
    pub certificate: CommitCertificate,
    /// The new set.
    pub validators: ValidatorSet,
}

/// A block whose validators handed over to others, some of whom they were themselves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Handover {
    /// The last block of the former set.
    pub header: BlockHeader,
    /// The former set's decision.
    pub certificate: CommitCertificate,
    /// Where in the former set those stand that left.
    pub left: Vec<u16>,
    /// Who joined.
    pub joined: Vec<Validator>,
}

impl Handover {
    /// Changes that follow one another, the first of them by the validators `first`.
    pub fn chain<'a>(
        first: &'a ValidatorSet,
        links: impl IntoIterator<Item = &'a SetLink>,
    ) -> Vec<Self> {
        let mut present = first;
        let one = |link: &'a SetLink| {
            let handover = Self::between(present, link);
            present = &link.validators;
            handover
        };
        links.into_iter().map(one).collect()
    }

    fn between(present: &ValidatorSet, link: &SetLink) -> Self {
        let next = &link.validators;
        let stays = |validator: &Validator, other: &ValidatorSet| {
            other.get(&validator.id()) == Some(validator)
        };
        // A set has at most a hundred validators: every position is a u16.
        let left = (0u16..).zip(present.validators());
        let left = left.filter(|(_, validator)| !stays(validator, next));
        let joined = next.validators().iter();
        Self {
            header: link.header.clone(),
            certificate: link.certificate.clone(),
            left: left.map(|(position, _)| position).collect(),
            joined: joined.filter(|one| !stays(one, present)).cloned().collect(),
        }
    }

    /// The validators that take over from `present`, if the change is one of that set: whoever left
    /// was in it, and nobody both left and joined.
    pub(crate) fn next(&self, present: &ValidatorSet) -> Option<ValidatorSet> {
        let left = self.left.iter();
        let left: Option<Vec<_>> = left.map(|at| present.at(usize::from(*at))).collect();
        let left = left?;
        if self.joined.iter().any(|joined| left.contains(&joined)) {
            return None;
        }
        let stayed = present.validators().iter();
        let stayed = stayed.filter(|validator| !left.contains(validator));
        ValidatorSet::new(stayed.chain(&self.joined).cloned().collect()).ok()
    }

    /// Writes who left and who joined.
    pub(crate) fn put_changes(&self, out: &mut Vec<u8>) {
        varint::put(out, self.left.len() as u64);
        for position in &self.left {
            varint::put(out, (*position).into());
        }
        varint::put(out, self.joined.len() as u64);
        self.joined.iter().for_each(|validator| validator.put(out));
    }

    /// Reads who left and who joined, in the one order in which they are written.
    pub(crate) fn take_changes(
        reader: &mut Reader<'_>,
    ) -> Result<(Vec<u16>, Vec<Validator>), DecodeError> {
        let count = varint::take_count(reader, 0, MAX_VALIDATORS, "number that left")?;
        let mut left = Vec::with_capacity(count);
        for _ in 0..count {
            let position = varint::take(reader, "who left")?;
            left.push(u16::try_from(position).map_err(|_| DecodeError::Value("who left"))?);
        }
        if !left.is_sorted_by(|one, next| one < next) {
            return Err(DecodeError::Value("order of those who left"));
        }
        let count = varint::take_count(reader, 0, MAX_VALIDATORS, "number that joined")?;
        let joined = (0..count).map(|_| Validator::take(reader));
        let joined = joined.collect::<Result<Vec<_>, _>>()?;
        let ids: Vec<ValidatorId> = joined.iter().map(Validator::id).collect();
        if !ids.is_sorted_by(|one, next| one < next) {
            return Err(DecodeError::Value("order of those who joined"));
        }
        Ok((left, joined))
    }
}
