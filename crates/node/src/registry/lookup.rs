//! From a digest to the records that hold it.

use std::collections::BTreeMap;
use std::sync::Arc;

use birthmark_ledger::{BlockHeader, Excerpt, Outline, Record, TransactionHash, ValidatorId};
use birthmark_protocol::Digest;

use super::decided::outline;
use super::{Registry, RegistryError};
use crate::index::Place;
use crate::store::StoredBlock;

/// How many blocks are read at once to fill index or filter: no request waits long behind them.
const PORTION: u32 = 8;

/// How many records with one digest are looked at where no answer shows them.
const MOST_RECORDS: usize = 1000;

/// Some of the records that hold a digest.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The records, oldest first.
    pub found: Vec<Found>,
    /// After which record to go on, if there are more.
    pub more: Option<u64>,
}

fn following(mut leaves: Vec<u64>, after: Option<u64>) -> Vec<u64> {
    leaves.retain(|leaf| after.is_none_or(|after| *leaf > after));
    leaves
}

/// The first `most`, and after which to go on if that is not all.
fn cut(mut leaves: Vec<u64>, most: usize) -> (Vec<u64>, Option<u64>) {
    if leaves.len() <= most {
        return (leaves, None);
    }
    leaves.truncate(most);
    let more = leaves.last().copied();
    (leaves, more)
}

/// A record and where it stands.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its index in the registry.
    pub leaf: u64,
    block: Arc<Outline>,
    excerpt: Excerpt,
}

impl Found {
    /// The header of the block that holds it.
    pub fn header(&self) -> &BlockHeader {
        self.block.header()
    }

    /// The transaction it came in.
    pub const fn transaction(&self) -> &TransactionHash {
        &self.excerpt.transaction
    }

    /// The validator that submitted it.
    pub const fn submitter(&self) -> &ValidatorId {
        &self.excerpt.submitter
    }

    /// The record itself.
    pub const fn record(&self) -> &Record {
        &self.excerpt.record
    }
}

impl Registry {
    /// The record at an index.
    pub async fn record(&self, leaf: u64) -> Result<Option<Found>, RegistryError> {
        if leaf >= self.tip().frontier().size() {
            return Ok(None);
        }
        if let Some(block) = self.shelf.with_leaf(leaf) {
            return excerpt(block, leaf);
        }
        let Some(stored) = self.store.block_of_leaf(leaf).await? else {
            return Ok(None);
        };
        excerpt(self.shelve(stored)?, leaf)
    }

    fn shelve(&self, stored: StoredBlock) -> Result<Arc<Outline>, RegistryError> {
        let block = Arc::new(outline(stored)?);
        self.shelf.insert(Arc::clone(&block));
        Ok(block)
    }

    /// The oldest records that hold this digest, as many as anything but an answer needs.
    pub async fn find(&self, digest: &Digest) -> Result<Vec<Found>, RegistryError> {
        Ok(self.page(digest, None, MOST_RECORDS).await?.found)
    }

    /// At most `most` of the records that hold this digest, oldest first, from the one after
    /// `after` on.
    pub async fn page(
        &self,
        digest: &Digest,
        after: Option<u64>,
        most: usize,
    ) -> Result<Page, RegistryError> {
        if let Some(page) = self.page_at_once(digest, after, most) {
            return page;
        }
        let leaves = match self.index.find(digest) {
            Place::Nowhere => Vec::new(),
            Place::At(leaves) => following(leaves, after),
            // One more than is shown tells whether there are more.
            Place::Unknown => self.store.leaves_of(digest, after, most + 1).await?,
        };
        let (leaves, more) = cut(leaves, most);
        let found = self
            .records(leaves, |record| record.image(digest).is_some())
            .await?;
        Ok(Page { found, more })
    }

    /// The same without waiting, if it is all in memory.
    pub fn page_at_once(
        &self,
        digest: &Digest,
        after: Option<u64>,
        most: usize,
    ) -> Option<Result<Page, RegistryError>> {
        let leaves = match self.index.find(digest) {
            Place::Nowhere => return Some(Ok(Page::default())),
            Place::At(leaves) => following(leaves, after),
            Place::Unknown if self.filter.may_contain(digest) => return None,
            Place::Unknown => return Some(Ok(Page::default())),
        };
        let size = self.tip().frontier().size();
        let (leaves, more) = cut(leaves, most);
        let mut found = Vec::with_capacity(leaves.len());
        for leaf in leaves.into_iter().filter(|leaf| *leaf < size) {
            match excerpt(self.shelf.with_leaf(leaf)?, leaf) {
                Ok(record) => found.extend(record),
                Err(error) => return Some(Err(error)),
            }
        }
        found.retain(|found| found.record().image(digest).is_some());
        Some(Ok(Page { found, more }))
    }

    /// The oldest records edited from this image, at most `most`.
    pub async fn edits(&self, original: &Digest, most: usize) -> Result<Vec<Found>, RegistryError> {
        let leaves = self.store.edits_of(original, None, most).await?;
        self.records(leaves, |record| record.edited_from() == Some(*original))
            .await
    }

    async fn records(
        &self,
        leaves: Vec<u64>,
        holds: impl Fn(&Record) -> bool,
    ) -> Result<Vec<Found>, RegistryError> {
        let mut found = BTreeMap::new();
        for leaf in leaves {
            let record = self.record(leaf).await?;
            if let Some(record) = record.filter(|found| holds(found.record())) {
                found.insert(leaf, record);
            }
        }
        Ok(found.into_values().collect())
    }

    /// Fills the index in memory from the blocks, unless the registry is too large for it. Blocks
    /// that are committed meanwhile put their digests in themselves.
    pub async fn fill_index(&self) -> Result<(), RegistryError> {
        let take = |digests: &[(Digest, u64)]| {
            self.index.insert_all(digests);
            !self.index.is_outgrown()
        };
        self.each_block(take).await?;
        self.index.completed();
        Ok(())
    }

    /// Fills the filter from the blocks, with room for as many digests as there are records, three
    /// times over.
    pub async fn fill_filter(&self) -> Result<(), RegistryError> {
        // First, so that no block falls between those that are read and those that put their
        // digests in themselves.
        self.filter
            .begin(self.tip().frontier().size().saturating_mul(3));
        let take = |digests: &[(Digest, u64)]| {
            self.filter.insert_all(digests);
            true
        };
        self.each_block(take).await?;
        self.filter.completed();
        Ok(())
    }

    /// Shows the digests of each block that is stored now, until `take` has seen enough.
    async fn each_block(
        &self,
        take: impl Fn(&[(Digest, u64)]) -> bool,
    ) -> Result<(), RegistryError> {
        let (mut height, until) = (0, self.tip().height().get());
        while height < until {
            let portion = self.store.blocks_after(height, PORTION).await?;
            if portion.is_empty() {
                return Err(RegistryError::Damaged {
                    height: height + 1,
                    reason: "it is missing".into(),
                });
            }
            for stored in portion {
                height = stored.height;
                let block = self.shelve(stored)?;
                let digests = block.digests().map_err(|error| damaged(height, &error))?;
                if !take(&digests) {
                    return Ok(());
                }
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

fn excerpt(block: Arc<Outline>, leaf: u64) -> Result<Option<Found>, RegistryError> {
    let height = block.header().height.get();
    let excerpt = block
        .record(leaf)
        .map_err(|error| damaged(height, &error))?;
    Ok(excerpt.map(|excerpt| Found {
        leaf,
        block,
        excerpt,
    }))
}

fn damaged(height: u64, error: &dyn std::fmt::Display) -> RegistryError {
    RegistryError::Damaged {
        height,
        reason: error.to_string(),
    }
}
