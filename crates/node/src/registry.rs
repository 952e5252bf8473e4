//! The registry as this node holds it: the tip in memory, everything else looked up in the store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use birthmark_consensus::Decided as Agreed;
use birthmark_ledger::block::BlockFormatError;
use birthmark_ledger::merkle::Node;
use birthmark_ledger::note::NoteSignature;
use birthmark_ledger::{
    Block, CommitCertificate, Frontier, Genesis, Height, Known, Lookups, MerkleError, Receipt,
    ReceiptError, Record, SetLink, Tip, Transaction, TransactionHash, ValidatorSet,
};
use birthmark_protocol::bytes::DecodeError;
use birthmark_protocol::{Digest, ModificationLevel};
use tokio::sync::watch;

use crate::commands::Guard;
use crate::filter::Filter;
use crate::store::{NewBlock, STORED_LEVEL, Store, StoreError, StoredBlock};

mod cache;
mod index;

pub use index::index_of;

use cache::BlockCache;

/// The registry.
pub struct Registry {
    store: Store,
    genesis: Genesis,
    tip: RwLock<Arc<Tip>>,
    links: RwLock<Vec<Arc<SetLink>>>,
    cache: BlockCache,
    filter: Filter,
    height: watch::Sender<u64>,
}

/// A stored block, read.
#[derive(Debug)]
pub struct Decided {
    /// The block.
    pub block: Block,
    /// Its canonical bytes.
    pub bytes: Vec<u8>,
    /// Who decided it.
    pub certificate: CommitCertificate,
    /// The right edge of the tree after it.
    pub frontier: Frontier,
    /// This validator's line under the checkpoint of the tree after it.
    pub cosignature: Option<NoteSignature>,
}

/// A record and where it stands.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its index in the registry.
    pub leaf: u64,
    /// The block that holds it.
    pub decided: Arc<Decided>,
    /// Where in the block: transaction, record.
    place: (usize, usize),
}

/// Why the registry did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored block is not what it was: the disk or somebody with access to it changed it.
    #[error("block {height} is damaged: {reason}")]
    Damaged {
        /// Which block.
        height: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The database belongs to another registry.
    #[error("the database holds the registry {stored}, the genesis file is that of {given}")]
    OtherRegistry {
        /// What the database holds.
        stored: Digest,
        /// What the file says.
        given: Digest,
    },
    /// How far this validator has signed could not be remembered.
    #[error("the file of signed heights cannot be written: {0}")]
    Guard(#[source] std::io::Error),
    /// A receipt could not be cut.
    #[error("receipt: {0}")]
    Receipt(#[from] ReceiptError),
}

impl Decided {
    fn read(stored: StoredBlock) -> Result<Self, RegistryError> {
        let damaged = |reason: String| RegistryError::Damaged {
            height: stored.height,
            reason,
        };
        let block = Block::parse(&stored.body)
            .map_err(|error: BlockFormatError| damaged(error.to_string()))?;
        let certificate = CommitCertificate::parse(&stored.certificate)
            .map_err(|error: DecodeError| damaged(error.to_string()))?;
        let frontier = Frontier::parse(&stored.frontier)
            .map_err(|error: MerkleError| damaged(error.to_string()))?;
        if block.header.height.get() != stored.height || certificate.block != block.hash() {
            return Err(damaged(
                "it stands at another height or under another block's certificate".into(),
            ));
        }
        let cosignature = stored
            .cosignature
            .as_deref()
            .map(read_cosignature)
            .transpose()
            .map_err(damaged)?;
        Ok(Self {
            block,
            bytes: stored.body,
            certificate,
            frontier,
            cosignature,
        })
    }

    /// The record at an index, if this block holds it.
    fn find(self: &Arc<Self>, leaf: u64) -> Option<Found> {
        let mut at = self.block.header.first_index();
        for (position, transaction) in self.block.transactions.iter().enumerate() {
            let records = transaction.records().len() as u64;
            if (at..at + records).contains(&leaf) {
                let place = (position, usize::try_from(leaf - at).ok()?);
                return Some(Found {
                    leaf,
                    decided: Arc::clone(self),
                    place,
                });
            }
            at += records;
        }
        None
    }
}

impl Found {
    /// The transaction it came in.
    pub fn transaction(&self) -> Option<&Transaction> {
        self.decided.block.transactions.get(self.place.0)
    }

    /// The record itself.
    pub fn record(&self) -> Option<&Record> {
        self.transaction()?.records().get(self.place.1)
    }
}

impl Registry {
    /// Opens the registry of `genesis` in the store, or starts it there.
    pub async fn open(store: Store, genesis: Genesis) -> Result<Self, RegistryError> {
        let chain = genesis.hash();
        if let Some(stored) = store.state("genesis").await? {
            let stored = Digest::try_from(stored.as_slice())
                .map_err(|_| StoreError::Corrupt("the genesis hash".into()))?;
            if stored != chain {
                return Err(RegistryError::OtherRegistry {
                    stored,
                    given: chain,
                });
            }
        } else {
            store.put_state("genesis", chain.as_bytes()).await?;
        }
        let tip = Tip::genesis(&genesis);
        let registry = Self {
            filter: Filter::new(),
            tip: RwLock::new(Arc::new(tip)),
            links: RwLock::default(),
            cache: BlockCache::default(),
            height: watch::Sender::new(0),
            store,
            genesis,
        };
        registry.resume().await?;
        Ok(registry)
    }

    /// Reads the tip from the store again.
    pub async fn resume(&self) -> Result<(), RegistryError> {
        self.links
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        for height in self.store.set_changes().await? {
            let decided = self.must_block(height).await?;
            self.remember_link(&decided);
        }
        let height = self.store.height().await?;
        if height == 0 {
            return Ok(());
        }
        let decided = self.must_block(height).await?;
        let validators = self.validators_after(height);
        let tip = Tip::resume(&decided.block.header, validators, decided.frontier.clone())
            .map_err(|error| RegistryError::Damaged {
                height,
                reason: error.to_string(),
            })?;
        self.set_tip(tip);
        Ok(())
    }

    fn remember_link(&self, decided: &Decided) {
        let Some(change) = &decided.block.change else {
            return;
        };
        let link = SetLink {
            header: decided.block.header.clone(),
            certificate: decided.certificate.clone(),
            validators: change.next.clone(),
        };
        self.links
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::new(link));
    }

    fn set_tip(&self, tip: Tip) {
        let height = tip.height().get();
        *self.tip.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tip);
        self.height.send_replace(height);
    }

    /// The store behind it.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// What the registry starts from.
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The state after the last block.
    pub fn tip(&self) -> Arc<Tip> {
        Arc::clone(&self.tip.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The height of the last block, as it grows.
    pub fn heights(&self) -> watch::Receiver<u64> {
        self.height.subscribe()
    }

    /// What is certainly not registered.
    pub const fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Changes of validators before `height`, oldest first.
    pub fn links_before(&self, height: u64) -> Vec<SetLink> {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        links
            .iter()
            .filter(|link| link.header.height.get() < height)
            .map(|link| SetLink::clone(link))
            .collect()
    }

    /// Who decides the block after `height`.
    pub fn validators_after(&self, height: u64) -> ValidatorSet {
        let last = self.links_before(height.saturating_add(1)).pop();
        last.map_or_else(|| self.genesis.validators.clone(), |link| link.validators)
    }

    /// Answers a block's lookups.
    pub async fn known(&self, lookups: &Lookups) -> Result<Known, RegistryError> {
        let mut known = Known::default();
        for original in &lookups.originals {
            if let Some(level) = self.lowest_level(original).await? {
                known.originals.insert(*original, level);
            }
        }
        known.transactions = self.registered(&lookups.transactions).await?;
        Ok(known)
    }

    async fn registered(
        &self,
        hashes: &BTreeSet<TransactionHash>,
    ) -> Result<BTreeSet<TransactionHash>, RegistryError> {
        let mut known = BTreeSet::new();
        for hash in hashes {
            if self.store.transaction(hash).await?.is_some() {
                known.insert(*hash);
            }
        }
        Ok(known)
    }

    /// The lowest level an image is registered at.
    pub async fn lowest_level(
        &self,
        digest: &Digest,
    ) -> Result<Option<ModificationLevel>, RegistryError> {
        let found = self.find(digest).await?;
        Ok(found
            .iter()
            .filter_map(|found| Some(found.record()?.image(digest)?.level))
            .min())
    }

    /// Appends a block that was judged and decided.
    ///
    /// If we stop before the store's commit, the block is not there and will be decided or fetched again; after it, the
    /// block is there and the tip is rebuilt from it at the next start.
    pub async fn append(
        &self,
        decided: &Agreed,
        guard: Option<&Guard>,
    ) -> Result<(), RegistryError> {
        let Agreed {
            block,
            certificate,
            tip,
            cosignature,
        } = decided;
        let before = self.tip();
        let indexed = NewBlock {
            cosignature: cosignature_line(cosignature),
            ..index_of(block, certificate, before.frontier())
        };
        // Before, so that no answer misses it; after, because the filter may have been replaced meanwhile.
        self.filter.insert_all(&indexed.images);
        self.store.append_block(&indexed).await?;
        // Before anybody is shown the signature. If we stop here, the memory is one block short and the next start allows it.
        if let Some(guard) = guard {
            guard
                .remember(indexed.height)
                .map_err(RegistryError::Guard)?;
        }
        self.filter.insert_all(&indexed.images);
        let kept = Decided {
            bytes: indexed.body,
            frontier: tip.frontier().clone(),
            block: block.clone(),
            certificate: certificate.clone(),
            cosignature: Some(cosignature.clone()),
        };
        self.remember_link(&kept);
        self.cache.insert(Arc::new(kept));
        self.set_tip(tip.clone());
        Ok(())
    }

    /// The block at a height, once this validator stands by it: not in the instant between the commit and the tip.
    pub async fn block(&self, height: u64) -> Result<Option<Arc<Decided>>, RegistryError> {
        if height > self.tip().height().get() {
            return Ok(None);
        }
        self.stored_block(height).await
    }

    async fn stored_block(&self, height: u64) -> Result<Option<Arc<Decided>>, RegistryError> {
        if let Some(decided) = self.cache.at_height(height) {
            return Ok(Some(decided));
        }
        let Some(stored) = self.store.block(height).await? else {
            return Ok(None);
        };
        self.keep(stored).map(Some)
    }

    async fn must_block(&self, height: u64) -> Result<Arc<Decided>, RegistryError> {
        let missing = || RegistryError::Damaged {
            height,
            reason: "it is missing".into(),
        };
        self.stored_block(height).await?.ok_or_else(missing)
    }

    fn keep(&self, stored: StoredBlock) -> Result<Arc<Decided>, RegistryError> {
        let decided = Arc::new(Decided::read(stored)?);
        self.cache.insert(Arc::clone(&decided));
        Ok(decided)
    }

    /// The record at an index.
    pub async fn record(&self, leaf: u64) -> Result<Option<Found>, RegistryError> {
        if leaf >= self.tip().frontier().size() {
            return Ok(None);
        }
        if let Some(decided) = self.cache.with_leaf(leaf) {
            return Ok(decided.find(leaf));
        }
        let Some(stored) = self.store.block_of_leaf(leaf).await? else {
            return Ok(None);
        };
        Ok(self.keep(stored)?.find(leaf))
    }

    /// Every record that holds this digest, oldest first.
    pub async fn find(&self, digest: &Digest) -> Result<Vec<Found>, RegistryError> {
        if !self.filter.may_contain(digest) {
            return Ok(Vec::new());
        }
        let leaves = self.store.leaves_of(digest).await?;
        self.records(leaves, |record| record.image(digest).is_some())
            .await
    }

    /// Every record edited from this image.
    pub async fn edits(&self, original: &Digest) -> Result<Vec<Found>, RegistryError> {
        let leaves = self.store.edits_of(original).await?;
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
            if let Some(record) = record.filter(|found| found.record().is_some_and(&holds)) {
                found.insert(leaf, record);
            }
        }
        Ok(found.into_values().collect())
    }

    /// Cuts the receipt of a record.
    pub async fn receipt(&self, found: &Found) -> Result<Receipt, RegistryError> {
        let Decided {
            block, certificate, ..
        } = &*found.decided;
        let height = block.header.height.get();
        let before = match height.checked_sub(1) {
            None | Some(0) => Frontier::new(),
            Some(before) => self.must_block(before).await?.frontier.clone(),
        };
        let chain_id = self.genesis.chain_id.clone();
        Ok(Receipt::cut(
            chain_id,
            block,
            certificate.clone(),
            &before,
            found.leaf,
            self.links_before(height),
        )?)
    }

    /// The hash of a complete subtree: stored, or computed from the records below it.
    pub async fn subtree(&self, node: Node) -> Result<Digest, RegistryError> {
        if node.level >= STORED_LEVEL
            && let Some(hash) = self.store.node(node).await?
        {
            return Ok(hash);
        }
        let (mut frontier, mut leaf) = (Frontier::new(), node.first());
        while leaf < node.end() {
            let missing = || RegistryError::Damaged {
                height: 0,
                reason: format!("no block holds record {leaf}"),
            };
            let found = self.record(leaf).await?.ok_or_else(missing)?;
            let (transaction, record) = found
                .transaction()
                .zip(found.record())
                .ok_or_else(missing)?;
            frontier.append(record.leaf_hash(transaction.submitter()));
            leaf += 1;
        }
        Ok(frontier.root())
    }

    /// The next height.
    pub fn next_height(&self) -> Height {
        self.tip().height().next()
    }
}

/// Name, key id and signature, apart from each other by one space.
fn cosignature_line(cosignature: &NoteSignature) -> Option<Vec<u8>> {
    if cosignature.signature.is_empty() {
        return None;
    }
    let NoteSignature {
        name,
        key_id,
        signature,
    } = cosignature;
    Some(format!("{name} {} {}", hex::encode(key_id), hex::encode(signature)).into_bytes())
}

fn read_cosignature(line: &[u8]) -> Result<NoteSignature, String> {
    let unreadable = || "its cosignature cannot be read".to_owned();
    let text = std::str::from_utf8(line).map_err(|_| unreadable())?;
    let [name, key_id, signature] = text
        .split(' ')
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| unreadable())?;
    let mut id = [0; 4];
    hex::decode_to_slice(key_id, &mut id).map_err(|_| unreadable())?;
    let signature = hex::decode(signature).map_err(|_| unreadable())?;
    Ok(NoteSignature {
        name: name.to_owned(),
        key_id: id,
        signature,
    })
}
