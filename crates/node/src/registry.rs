//! The registry as this node holds it: the tip in memory, everything else looked up in the store.

use std::sync::{Arc, PoisonError, RwLock};

use birthmark_consensus::Decided as Agreed;
use birthmark_ledger::merkle::Node;
use birthmark_ledger::note::NoteSignature;
use birthmark_ledger::{
    Block, DecidedHeader, Epochs, Frontier, Genesis, Handover, Height, Outline, Receipt,
    ReceiptError, SetLink, Tip, Transaction, TransactionHash, needed_anchor,
};
use birthmark_protocol::Digest;
use tokio::sync::watch;

use crate::filter::Filter;
use crate::guard::Guard;
use crate::index::Index;
use crate::settings::MemorySettings;
use crate::store::{NewBlock, STORED_LEVEL, Store, StoreError, StoredBlock};

mod cache;
mod checkpoints;
mod decided;
mod index;
mod indexer;
mod known;
mod lookup;
mod sets;
mod shelf;
mod verified;

pub use decided::Decided;
pub use index::index_of;
pub use indexer::Indexer;
pub use lookup::{Found, Page};

use cache::BlockCache;
use decided::written_lines;
use shelf::Shelf;
use verified::Verified;

/// The registry.
pub struct Registry {
    store: Store,
    genesis: Genesis,
    tip: RwLock<Arc<Tip>>,
    links: RwLock<Vec<Arc<SetLink>>>,
    /// What authorities stated about their epochs, up to the tip.
    epochs: RwLock<Arc<Epochs>>,
    cache: BlockCache,
    shelf: Shelf,
    index: Index,
    indexer: Indexer,
    filter: Filter,
    verified: Verified,
    height: watch::Sender<u64>,
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
    /// The index of digests was not made to its end.
    #[error("the index of digests: {0}")]
    Indexer(#[source] tokio::task::JoinError),
    /// No block can be made before the index has come further.
    #[error("the index of digests has not come to block {0} yet")]
    IndexBehind(u64),
    /// The tree was never of these sizes.
    #[error("consistency: {0}")]
    Consistency(#[from] birthmark_ledger::MerkleError),
    /// A receipt could not be cut.
    #[error("receipt: {0}")]
    Receipt(#[from] ReceiptError),
}

pub(crate) fn insert_statements(epochs: &mut Epochs, block: &Block) {
    let statements = block.transactions.iter().flat_map(Transaction::statements);
    statements.for_each(|signed| epochs.insert(signed.clone()));
}

impl Registry {
    /// Opens the registry of `genesis` in the store, or starts it there, for work that asks it
    /// little.
    pub async fn open(store: Store, genesis: Genesis) -> Result<Self, RegistryError> {
        Self::with_memory(store, genesis, MemorySettings::SMALL).await
    }

    /// Opens the registry with this much memory for answers.
    pub async fn with_memory(
        store: Store,
        genesis: Genesis,
        memory: MemorySettings,
    ) -> Result<Self, RegistryError> {
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
            epochs: RwLock::default(),
            cache: BlockCache::default(),
            shelf: Shelf::new(memory.blocks_bytes()),
            index: Index::new(memory.index_bytes()),
            indexer: Indexer::default(),
            verified: Verified::default(),
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
        self.read_epochs().await?;
        let height = self.store.height().await?;
        if height == 0 {
            return Ok(());
        }
        let decided = self.must_block(height).await?;
        let validators = self.validators_after(height);
        let tip = Tip::resume(
            &self.genesis,
            &decided.block.header,
            validators,
            decided.frontier.clone(),
        )
        .map_err(|error| RegistryError::Damaged {
            height,
            reason: error.to_string(),
        })?;
        self.set_tip(tip);
        Ok(())
    }

    async fn read_epochs(&self) -> Result<(), RegistryError> {
        let mut epochs = Epochs::default();
        for height in self.store.statement_heights().await? {
            let decided = self.must_block(height).await?;
            insert_statements(&mut epochs, &decided.block);
        }
        *self.epochs.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(epochs);
        Ok(())
    }

    fn remember_epochs(&self, block: &Block) {
        if block
            .transactions
            .iter()
            .all(|one| one.statements().is_empty())
        {
            return;
        }
        let mut epochs = self.epochs.write().unwrap_or_else(PoisonError::into_inner);
        insert_statements(Arc::make_mut(&mut epochs), block);
    }

    /// What authorities stated about their epochs.
    pub fn epochs(&self) -> Arc<Epochs> {
        Arc::clone(&self.epochs.read().unwrap_or_else(PoisonError::into_inner))
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

    /// Remembers that a transaction's signature by its submitter holds in this registry.
    pub fn remember_verified(&self, transaction: TransactionHash) {
        self.verified.insert(transaction);
    }

    /// What is certainly not registered.
    pub const fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Where everything registered stands.
    pub const fn index(&self) -> &Index {
        &self.index
    }

    /// Bytes of the blocks that are kept for answers.
    pub fn kept_bytes(&self) -> usize {
        self.shelf.bytes()
    }

    /// Appends a block that was judged and decided.
    ///
    /// If we stop before the store's commit, the block is not there and will be decided or fetched
    /// again; after it, the block is there and the tip is rebuilt from it at the next start.
    pub async fn append(
        &self,
        decided: &Agreed,
        guard: Option<&Guard>,
    ) -> Result<(), RegistryError> {
        self.append_all(std::slice::from_ref(decided), guard).await
    }

    /// Appends blocks that follow one another, all or none: whoever has many at once spares the
    /// disk most of the work.
    pub async fn append_all(
        &self,
        decided: &[Agreed],
        guard: Option<&Guard>,
    ) -> Result<(), RegistryError> {
        let Some(last) = decided.last() else {
            return Ok(());
        };
        let indexed = self.indexed(decided);
        // Before, so that no answer misses it; after, because the filter may have been replaced
        // meanwhile.
        for block in &indexed {
            self.index.insert_all(&block.images);
            self.filter.insert_all(&block.images);
        }
        self.store.append_blocks(&indexed).await?;
        // Before anybody is shown the signature. If we stop here, the memory is one block short and
        // the next start allows it.
        if let Some(guard) = guard {
            let height = last.block.header.height.get();
            guard.remember(height).map_err(RegistryError::Guard)?;
        }
        for (agreed, block) in decided.iter().zip(indexed) {
            self.filter.insert_all(&block.images);
            self.keep_agreed(agreed, block.body);
        }
        self.set_tip(last.tip.clone());
        Ok(())
    }

    fn indexed(&self, decided: &[Agreed]) -> Vec<NewBlock> {
        let mut before = self.tip().frontier().clone();
        let one = |agreed: &Agreed| {
            let block = index_of(&agreed.block, &agreed.certificate, &before);
            before = agreed.tip.frontier().clone();
            NewBlock {
                checkpoint_lines: written_lines(&agreed.checkpoint_lines),
                ..block
            }
        };
        decided.iter().map(one).collect()
    }

    fn keep_agreed(&self, agreed: &Agreed, bytes: Vec<u8>) {
        if let Ok(outline) = Outline::parse(bytes.clone()) {
            self.shelf.insert(Arc::new(outline));
        }
        let kept = Decided {
            bytes,
            frontier: agreed.tip.frontier().clone(),
            block: agreed.block.clone(),
            certificate: agreed.certificate.clone(),
            checkpoint_lines: agreed.checkpoint_lines.clone(),
        };
        self.remember_link(&kept);
        self.remember_epochs(&kept.block);
        self.cache.insert(Arc::new(kept));
    }

    /// Replaces the lines under the checkpoint after a block; they were verified.
    pub async fn put_lines(
        &self,
        height: u64,
        lines: Vec<NoteSignature>,
    ) -> Result<(), RegistryError> {
        let Some(written) = written_lines(&lines) else {
            return Ok(());
        };
        let decided = self.must_block(height).await?;
        self.store.put_lines(height, &written).await?;
        let cosigned = Decided {
            block: decided.block.clone(),
            bytes: decided.bytes.clone(),
            certificate: decided.certificate.clone(),
            frontier: decided.frontier.clone(),
            checkpoint_lines: lines,
        };
        self.cache.insert(Arc::new(cosigned));
        Ok(())
    }

    /// The block at a height, once this validator stands by it: not in the instant between the
    /// commit and the tip.
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

    /// Cuts the receipt of a record.
    pub async fn receipt(&self, found: &Found) -> Result<Receipt, RegistryError> {
        let height = found.header().height.get();
        let decided = self.must_block(height).await?;
        let Decided {
            block, certificate, ..
        } = &*decided;
        let before = match height.checked_sub(1) {
            None | Some(0) => Frontier::new(),
            Some(before) => self.must_block(before).await?.frontier.clone(),
        };
        let chain_id = self.genesis.chain_id.clone();
        let anchor = match needed_anchor(found.record()) {
            Some(height) => Some(self.decided_header(height).await?),
            None => None,
        };
        Ok(Receipt::cut(
            chain_id,
            block,
            certificate.clone(),
            &before,
            found.leaf,
            anchor,
            Handover::chain(&self.genesis.validators, &self.links_before(height)),
        )?)
    }

    async fn decided_header(&self, height: Height) -> Result<DecidedHeader, RegistryError> {
        let decided = self.must_block(height.get()).await?;
        Ok(DecidedHeader {
            header: decided.block.header.clone(),
            certificate: decided.certificate.clone(),
        })
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
            frontier.append(found.record().leaf_hash(found.submitter()));
            leaf += 1;
        }
        Ok(frontier.root())
    }

    /// The next height.
    pub fn next_height(&self) -> Height {
        self.tip().height().next()
    }
}
