//! Asking without naming the photo: what is fetched, and what it proves.
//!
//! The answerer sees a range of the index that holds about a thousand photos at least, and where
//! something was found, parts of the registry with a thousand records each, some of them decoys.
//! The answer is complete: [`Standing`] is a decided header, the [`Range`] under its index leaves
//! nothing out, and the [`Newest`] records are those that came after that index.
//!
//! What it still tells: how often a range is asked, and whoever guesses a photo can see whether its
//! range was asked. Who answers all questions of one asker can compare the range with the parts,
//! and is left with the photos of that range which stand in these parts: [`DECOYS`] others at
//! least. Where something is known against a camera, the ranges of an edit's originals are asked,
//! too, which mostly tells which edit it is. A mirror or another address for each kind of question
//! tells nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use birthmark_ledger::index::{Entry, Positions, Prefix, Range, RangeError, RangeProof};
use birthmark_ledger::part::{HeadersPart, PartError, RecordsPart};
use birthmark_ledger::part::{part_of_height, part_of_record};
use birthmark_ledger::{
    BlockHeader, DecidedHeader, Handover, Head, Height, IndexKey, Receipt, ReceiptError, Record,
    Trusted, VerifyError, needed_anchor, verify_head, verify_receipt,
};
use birthmark_protocol::Digest;

use crate::sentences::when;

mod session;

pub use session::{NOTICES, Session};

/// Among how many photos a question hides one, in a registry that holds so many.
pub const AMONG: u64 = 1000;
/// How many other photos of a range the fetched parts hold at least, as far as the range has so
/// many.
pub const DECOYS: usize = 7;

/// Where the registry stands, believed for its certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    trusted: Trusted,
    head: Head,
    /// The changes of validators since, as receipts show them.
    handovers: Vec<Handover>,
}

/// The blocks since the index that the newest header names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Newest {
    /// From the index's block on; without it where the index is that of the genesis.
    headers: Vec<DecidedHeader>,
    first: u64,
    end: u64,
}

/// Parts of the registry that were fetched, by number.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// Around records.
    pub records: BTreeMap<u64, RecordsPart>,
    /// Headers.
    pub headers: BTreeMap<u64, HeadersPart>,
}

/// Why nothing is proven.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// Not the answer that was asked for.
    #[error("what it says about its newest block cannot be read: {0}")]
    Head(#[source] ReceiptError),
    /// The newest header is not to be believed.
    #[error("its newest block: {0}")]
    Undecided(#[from] VerifyError),
    /// The index is not to be believed.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// A part is none, or holds something else than its headers say.
    #[error(transparent)]
    Part(#[from] PartError),
    /// Headers that do not lead from the index to the newest block.
    #[error("its headers do not lead from the index's block {0} to its newest block")]
    Headers(Height),
    /// Records after the index that are not those of the headers.
    #[error(
        "its newest records are not those that its headers say: record {0} is missing or another"
    )]
    Records(u64),
    /// More records than are listed.
    #[error("{0} records hold it or a digest that begins like it, too many for a private question")]
    TooMany(u64),
    /// A part or record that was not fetched.
    #[error("record {0} was not sent")]
    Missing(u64),
    /// A header that a receipt needs was not sent.
    #[error("the header of block {0} was not sent")]
    MissingHeader(Height),
    /// No receipt can be cut.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// Not even text.
    #[error("what it says about its newest block is no text")]
    Text,
    /// Not the list that was asked for.
    #[error("its list of what was withdrawn cannot be read: {0}")]
    Notices(#[source] serde_json::Error),
    /// It cannot be asked in this way.
    #[error("it has no index of its digests, so it cannot be asked without naming the photo")]
    NoIndex,
    /// A file that should be there.
    #[error("it has no {0}")]
    NoFile(String),
}

impl LookupError {
    /// Whether something was answered that contradicts what the validators signed, or itself.
    /// Otherwise nothing was answered.
    pub const fn is_contradiction(&self) -> bool {
        !matches!(self, Self::NoIndex | Self::NoFile(_) | Self::TooMany(_))
    }
}

impl Standing {
    /// Where it is asked for.
    pub const ADDRESS: &str = "api/v1/head";

    /// Reads what a validator or a mirror says, and believes it if it was decided by the validators
    /// of the genesis that is trusted, or of a later set, or by those that they handed over to.
    pub fn read(trusted: &Trusted, text: &str) -> Result<Self, LookupError> {
        let head = Head::from_json(text).map_err(LookupError::Head)?;
        verify_head(&head, trusted.clone())?;
        Ok(Self {
            handovers: trusted.handovers(&head.sets),
            trusted: trusted.clone(),
            head,
        })
    }

    /// The newest header.
    pub const fn newest(&self) -> &BlockHeader {
        &self.head.header
    }

    /// How many validators signed the newest header.
    pub const fn signers(&self) -> usize {
        self.head.certificate.signatures.len()
    }

    /// What is said of a digest that no answer names.
    pub fn absence(&self) -> String {
        let header = self.newest();
        let signed = match self.signers() {
            1 => "One validator".to_owned(),
            many => format!("{many} validators"),
        };
        format!(
            "Proven: not in this registry as of block {}, {}. {signed} signed that block, its index of all digests was \
             checked, and the photo was not named.",
            header.height,
            when(header.time.timestamp().unix()),
        )
    }

    /// The range to ask for a digest.
    pub fn question(&self, digest: &Digest) -> Prefix {
        let records = self.head.header.tree_size;
        Prefix::hiding(IndexKey::of(digest), records, AMONG)
    }

    /// Where a range is asked for.
    pub fn address(&self, range: Prefix) -> String {
        format!("api/v1/index/{}/{range}", self.head.header.index_height)
    }

    /// Reads a range.
    pub fn range(&self, asked: Prefix, bytes: &[u8]) -> Result<Range, LookupError> {
        let index = self.head.header.index();
        Ok(RangeProof::parse(bytes)?.verify(asked, &index)?)
    }

    /// The parts of headers from the index's block to the newest.
    pub const fn header_parts(&self) -> RangeInclusive<u64> {
        let header = &self.head.header;
        part_of_height(header.index_height)..=part_of_height(header.height)
    }

    /// Follows the headers from the index's block to the newest.
    pub fn follow(&self, parts: &Parts) -> Result<Newest, LookupError> {
        let last = &self.head.header;
        let from = last.index_height;
        let broken = || LookupError::Headers(from);
        let sent = parts.headers.range(self.header_parts());
        let headers: Vec<_> = sent
            .flat_map(|(_, part)| part.headers())
            .filter(|one| (from..=last.height).contains(&one.header.height))
            .cloned()
            .collect();
        let follow = |one: &DecidedHeader, next: &DecidedHeader| {
            next.header.previous == one.header.hash()
                && next.header.height == one.header.height.next()
        };
        if !headers.is_sorted_by(follow) || headers.last().map(|one| &one.header) != Some(last) {
            return Err(broken());
        }
        let first = match headers.first() {
            Some(first) if first.header.height == from => first.header.tree_size,
            Some(first) if from == Height::GENESIS && first.header.height == from.next() => 0,
            _ => return Err(broken()),
        };
        Ok(Newest {
            first,
            end: last.tree_size,
            headers,
        })
    }

    /// Cuts the receipt of a record and verifies it.
    pub fn receipt(&self, parts: &Parts, position: u64) -> Result<Receipt, LookupError> {
        let missing = LookupError::Missing(position);
        let part = parts
            .records
            .get(&part_of_record(position))
            .ok_or(missing)?;
        let record = part
            .record(position)
            .ok_or(LookupError::Missing(position))?;
        let anchor = match needed_anchor(record) {
            None => None,
            Some(height) => Some(parts.header(height)?.clone()),
        };
        let chain = self.trusted.chain_id().clone();
        let receipt = part.receipt(chain, position, anchor, &self.handovers)?;
        verify_receipt(&receipt, &self.trusted)?;
        Ok(receipt)
    }
}

impl Newest {
    /// The parts of records that came after the index.
    pub fn record_parts(&self) -> impl Iterator<Item = u64> {
        let last = self.end.checked_sub(1).filter(|_| self.first < self.end);
        last.into_iter()
            .flat_map(|last| part_of_record(self.first)..=part_of_record(last))
    }

    /// Every digest that came after the index, with its records.
    pub fn digests(&self, parts: &Parts) -> Result<BTreeMap<Digest, Vec<u64>>, LookupError> {
        let (mut found, mut next) = (BTreeMap::<_, Vec<_>>::new(), self.first);
        for number in self.record_parts() {
            let missing = LookupError::Records(next);
            let part = parts.records.get(&number).ok_or(missing)?;
            part.check()?;
            for (block, _) in part.blocks() {
                let header = &block.header;
                // A part may have grown since the newest header was read.
                if header.tree_size <= next || next >= self.end {
                    continue;
                }
                let known = self.headers.iter().any(|one| one.header == *header);
                if !known || header.first_index() != next {
                    return Err(LookupError::Records(next));
                }
                for (digest, position) in block.digests() {
                    found.entry(digest).or_default().push(position);
                }
                next = header.tree_size;
            }
        }
        match next == self.end {
            true => Ok(found),
            false => Err(LookupError::Records(next)),
        }
    }
}

impl Parts {
    /// The record at a place, if it is here and holds this digest.
    fn record_with(&self, position: u64, digest: &Digest) -> Option<&Record> {
        let part = self.records.get(&part_of_record(position))?;
        let record = part.record(position)?;
        record.image(digest).is_some().then_some(record)
    }

    fn header(&self, height: Height) -> Result<&DecidedHeader, LookupError> {
        let part = self.headers.get(&part_of_height(height));
        let found = part.and_then(|part| part.at(height));
        found.ok_or(LookupError::MissingHeader(height))
    }

    /// The parts of headers that receipts of these records need, as far as their records are here.
    pub fn anchors(&self, positions: impl IntoIterator<Item = u64>) -> BTreeSet<u64> {
        let record = |position| {
            self.records
                .get(&part_of_record(position))?
                .record(position)
        };
        let anchors = positions
            .into_iter()
            .filter_map(record)
            .filter_map(needed_anchor);
        anchors.map(part_of_height).collect()
    }
}

/// The records that could hold a digest, of the index and of those after it.
pub fn positions(
    digest: &Digest,
    range: &Range,
    newest: &BTreeMap<Digest, Vec<u64>>,
) -> Result<BTreeSet<u64>, LookupError> {
    let mut found: BTreeSet<u64> = newest.get(digest).into_iter().flatten().copied().collect();
    match range.find(digest)? {
        None => {}
        Some(Positions::Listed(positions)) => found.extend(positions),
        Some(Positions::Hashed { count, .. }) => return Err(LookupError::TooMany(*count)),
    }
    Ok(found)
}

/// Adds parts to those that are fetched, until they hold [`DECOYS`] photos of this range besides
/// one that is wanted, as far as the range has so many. `below` draws a number below the one it is
/// given.
fn draw_decoys(range: &Range, parts: &mut BTreeSet<u64>, mut below: impl FnMut(usize) -> usize) {
    // A photo has up to three digests in one record: of one record at most one counts.
    let records: BTreeSet<u64> = range.entries().iter().filter_map(first_of).collect();
    let is_held = |parts: &BTreeSet<u64>, record: &u64| parts.contains(&part_of_record(*record));
    loop {
        let (held, others): (Vec<u64>, Vec<u64>) =
            records.iter().partition(|record| is_held(parts, record));
        if held.len() > DECOYS || others.is_empty() {
            return;
        }
        let at = below(others.len()).min(others.len() - 1);
        parts.extend(others.get(at).copied().map(part_of_record));
    }
}

/// The first record that an entry of the index names.
fn first_of(entry: &Entry) -> Option<u64> {
    match &entry.positions {
        Positions::Listed(positions) => positions.first().copied(),
        Positions::Hashed { .. } => None,
    }
}

#[cfg(test)]
pub(crate) mod tests;
