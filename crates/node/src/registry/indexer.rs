//! Keeps the index of digests ([`IndexTree`]) up with the blocks, beside their making: no vote
//! waits for it.
//!
//! The tree is in memory, about 70 bytes a photo, and is made from the blocks at every start:
//! nothing is stored that could disagree with them. What is served and what is voted on are
//! snapshots of it. Whoever can change this memory can at most stop this validator: its answers are
//! refused by everyone who checks them, and so are its proposals.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use birthmark_daemon::Shutdown;
use birthmark_ledger::{
    BlockHeader, Height, IndexFollower, IndexRoot, IndexTree, Outline, Rules, Tip,
};
use birthmark_protocol::Digest;
use tokio::sync::watch;

use super::decided::outline;
use super::{Registry, RegistryError};
use crate::journal;

/// How many indexes that headers name are kept, so that a question about one is still answered
/// while the next ones come.
const KEPT: usize = 32;
/// So many blocks are read at once.
const PORTION: u32 = 64;
/// So many digests are inserted at once while the index is made at the start.
const AT_ONCE: usize = 1_000_000;
/// The pause after the store failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// How long who makes or judges a block waits for this index; then it is tried again.
const PATIENCE: Duration = Duration::from_millis(50);

/// The index as far as it is made.
pub struct Indexer {
    kept: RwLock<Kept>,
    /// After which block the newest is.
    height: watch::Sender<u64>,
}

struct Kept {
    newest: IndexRoot,
    /// Snapshots: those that headers name, and those that one may name next.
    trees: BTreeMap<u64, IndexTree>,
    roots: BTreeMap<u64, Digest>,
    /// The heights that headers name, oldest first.
    named: VecDeque<u64>,
}

impl Default for Indexer {
    fn default() -> Self {
        let genesis = IndexRoot::genesis();
        Self {
            kept: RwLock::new(Kept {
                newest: genesis,
                trees: [(0, IndexTree::new())].into(),
                roots: [(0, genesis.root)].into(),
                named: [0].into(),
            }),
            height: watch::Sender::new(0),
        }
    }
}

impl Indexer {
    /// The newest index there is.
    pub fn newest(&self) -> IndexRoot {
        self.kept().newest
    }

    /// The index after a block, as long as it is kept.
    pub fn tree(&self, height: Height) -> Option<IndexTree> {
        self.kept().trees.get(&height.get()).cloned()
    }

    /// The root after a block, waiting a moment for one that is still to come.
    pub async fn root(&self, height: Height) -> Option<Digest> {
        let reached = tokio::time::timeout(PATIENCE, self.reached(height));
        if reached.await.is_err() {
            return None;
        }
        self.kept().roots.get(&height.get()).copied()
    }

    /// Waits until the index has come this far.
    pub async fn reached(&self, height: Height) {
        // The sender lives as long as this does: waiting ends only with the height.
        let _ = self
            .height
            .subscribe()
            .wait_for(|newest| *newest >= height.get())
            .await;
    }

    fn kept(&self) -> std::sync::RwLockReadGuard<'_, Kept> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows what a follower has reached, with the header of its last block.
    fn publish(&self, follower: &IndexFollower, header: &BlockHeader) {
        let newest = follower.newest();
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        kept.newest = newest;
        kept.roots.insert(newest.height.get(), newest.root);
        kept.trees
            .insert(newest.height.get(), follower.tree().clone());
        let named = header.index_height.get();
        if kept.named.back() != Some(&named) {
            kept.named.push_back(named);
        }
        while kept.named.len() > KEPT {
            kept.named.pop_front();
        }
        let oldest = newest.height.get().saturating_sub(max_lag());
        kept.roots = kept.roots.split_off(&oldest);
        let Kept { trees, named, .. } = &mut *kept;
        let last = named.back().copied();
        trees.retain(|height, _| Some(*height) >= last || named.contains(height));
        drop(kept);
        self.height.send_replace(newest.height.get());
    }
}

/// How far the index in a header may be behind, by the rules of today.
fn max_lag() -> u64 {
    Rules::at(Height::GENESIS).max_index_lag
}

impl Registry {
    /// The index of digests.
    pub const fn indexer(&self) -> &Indexer {
        &self.indexer
    }

    /// The newest index that the block after a tip may name.
    pub async fn index_for(&self, tip: &Tip) -> Result<IndexRoot, RegistryError> {
        let oldest = Height::new(tip.height().next().get().saturating_sub(max_lag()));
        if tip.index().height < oldest {
            let reached = tokio::time::timeout(PATIENCE, self.indexer.reached(oldest));
            let behind = |_| RegistryError::IndexBehind(oldest.get());
            reached.await.map_err(behind)?;
        }
        let newest = self.indexer.newest();
        let is_between = (tip.index().height..=tip.height()).contains(&newest.height);
        Ok(if is_between { newest } else { *tip.index() })
    }

    /// Makes the index and keeps it up with the blocks until asked to stop.
    pub async fn follow_index(&self, shutdown: Shutdown) -> Result<(), RegistryError> {
        let (mut follower, mut heights) = (IndexFollower::genesis(), self.heights());
        while !shutdown.is_requested() {
            let pause = match self.catch_up(&mut follower).await {
                Ok(()) => Duration::MAX,
                Err(error @ RegistryError::Store(_)) => {
                    log::warn!("the index of digests waits for the database: {error}");
                    AFTER_FAILURE
                }
                Err(error) => return Err(error),
            };
            tokio::select! {
                _ = heights.changed() => {}
                () = tokio::time::sleep(pause) => {}
                () = shutdown.requested() => {}
            }
        }
        Ok(())
    }

    /// Makes the index of every block there is.
    pub async fn make_index(&self) -> Result<IndexFollower, RegistryError> {
        let mut follower = IndexFollower::genesis();
        self.catch_up(&mut follower).await?;
        Ok(follower)
    }

    async fn catch_up(&self, follower: &mut IndexFollower) -> Result<(), RegistryError> {
        let mut batch = Batch::after(follower.newest().height);
        loop {
            let tip = self.tip().height();
            if batch.last >= tip {
                return Ok(());
            }
            let portion = self.store.blocks_after(batch.last.get(), PORTION).await?;
            if portion.is_empty() {
                return Err(RegistryError::Damaged {
                    height: batch.last.next().get(),
                    reason: "it is missing".into(),
                });
            }
            for stored in portion {
                let block = outline(stored)?;
                let header = block.header().clone();
                if header.height > tip {
                    break;
                }
                batch.take(&block)?;
                // Until its headers can be named, no block needs a root of its own.
                let is_old = header.height.get() + 2 * max_lag() < tip.get();
                if is_old && batch.digests.len() < AT_ONCE {
                    continue;
                }
                let full = std::mem::replace(&mut batch, Batch::after(header.height));
                // Taken out, so that nothing shared has to be copied. Every error from here on ends
                // the indexer.
                let taken = std::mem::replace(follower, IndexFollower::genesis());
                *follower = add(taken, full).await?;
                if !is_old {
                    self.check_named(follower, &header);
                    self.indexer.publish(follower, &header);
                }
            }
        }
    }

    /// Says so if a decided block names another root than the blocks make: then more than two
    /// thirds of the validators are wrong, or what is stored here is.
    fn check_named(&self, follower: &IndexFollower, header: &BlockHeader) {
        let own = follower.root(header.index_height);
        if own.is_some_and(|root| root != header.index_root) {
            log::error!(
                MESSAGE_ID = journal::OTHER_INDEX, BLOCK_HEIGHT = header.height.get();
                "block {} names another root of the index after block {} than the stored blocks make: run `birthmark-node fsck`",
                header.height, header.index_height
            );
        }
    }
}

/// What some blocks hold.
struct Batch {
    last: Height,
    digests: Vec<(Digest, u64)>,
}

impl Batch {
    const fn after(height: Height) -> Self {
        Self {
            last: height,
            digests: Vec::new(),
        }
    }

    fn take(&mut self, block: &Outline) -> Result<(), RegistryError> {
        self.last = block.header().height;
        let digests = block.digests().map_err(|error| RegistryError::Damaged {
            height: self.last.get(),
            reason: error.to_string(),
        })?;
        self.digests.extend(digests);
        Ok(())
    }
}

/// Hashing a full block takes some ten milliseconds: not on the threads that answer requests.
async fn add(mut follower: IndexFollower, batch: Batch) -> Result<IndexFollower, RegistryError> {
    let work = move || {
        follower.add(batch.last, batch.digests);
        follower
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(RegistryError::Indexer)
}
