//! The tip: all a validator must remember to build the next block and to judge one.
//!
//! Judging is deterministic: the same tip, block and answers give the same verdict on every machine
//! in every year. It asks no authority and no clock; whether the authority vouched and whether the
//! time is plausible is asked beside it, before a vote.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use birthmark_protocol::{Digest, ModificationLevel};

use crate::block::{Block, transactions_root};
use crate::epochs::{Epochs, KeyFault};
use crate::fault::{BlockError, TransactionFault};
use crate::genesis::Genesis;
use crate::header::{BlockHeader, BlockTime, Height, IndexRoot};
use crate::merkle::Frontier;
use crate::record::Record;
use crate::rules::Rules;
use crate::transaction::{Transaction, TransactionHash};
use crate::validators::ValidatorSet;

/// The state after a block, or after the genesis.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tip {
    chain: Digest,
    height: Height,
    hash: Digest,
    time: BlockTime,
    rehearsal: bool,
    validators: ValidatorSet,
    frontier: Frontier,
    index: IndexRoot,
}

/// What the store answered to a block's lookups.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Known {
    /// For each registered original the lowest level it is registered at.
    pub originals: BTreeMap<Digest, ModificationLevel>,
    /// Those of the transactions that already are in a block.
    pub transactions: BTreeSet<TransactionHash>,
    /// The hash of each anchor that is decided; the genesis hash for height 0.
    pub anchors: BTreeMap<Height, Digest>,
    /// Everything authorities stated about their epochs.
    pub epochs: Arc<Epochs>,
    /// Those of the one-time keys that stand in a record.
    pub spent: BTreeSet<Digest>,
    /// Transactions whose signature this program made or verified itself, for this registry: not
    /// verified again. The name covers every byte, the signature too. May always be empty.
    pub verified: BTreeSet<TransactionHash>,
}

impl Tip {
    /// Before the first block.
    pub fn genesis(genesis: &Genesis) -> Self {
        let hash = genesis.hash();
        Self {
            chain: hash,
            height: Height::GENESIS,
            hash,
            time: BlockTime::from_millis(genesis.start.unix().saturating_mul(1000)),
            rehearsal: genesis.rehearsal,
            validators: genesis.validators.clone(),
            frontier: Frontier::new(),
            index: IndexRoot::genesis(),
        }
    }

    /// After a stored block: its header, the validators that decide the next, and the frontier
    /// stored with it.
    pub fn resume(
        genesis: &Genesis,
        header: &BlockHeader,
        validators: ValidatorSet,
        frontier: Frontier,
    ) -> Result<Self, BlockError> {
        if header.chain != genesis.hash() {
            return Err(BlockError::Header("chain"));
        }
        if header.next_validators_hash != validators.hash() {
            return Err(BlockError::Header("next validators hash"));
        }
        if header.tree_size != frontier.size() || header.tree_root != frontier.root() {
            return Err(BlockError::Header("tree root"));
        }
        let (chain, height, time) = (header.chain, header.height, header.time);
        Ok(Self {
            chain,
            height,
            hash: header.hash(),
            time,
            rehearsal: genesis.rehearsal,
            validators,
            frontier,
            index: header.index(),
        })
    }

    /// The registry, by its genesis hash.
    pub const fn chain(&self) -> &Digest {
        &self.chain
    }

    /// The height of the last block.
    pub const fn height(&self) -> Height {
        self.height
    }

    /// The hash of the last block; the genesis hash before the first.
    pub const fn hash(&self) -> &Digest {
        &self.hash
    }

    /// The time of the last block.
    pub const fn time(&self) -> BlockTime {
        self.time
    }

    /// Who decides the next block.
    pub const fn validators(&self) -> &ValidatorSet {
        &self.validators
    }

    /// Whether the registry is a rehearsal.
    pub const fn rehearsal(&self) -> bool {
        self.rehearsal
    }

    /// The right edge of the tree.
    pub const fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// The index of digests in the last block's header.
    pub const fn index(&self) -> &IndexRoot {
        &self.index
    }

    /// Judges a block; what comes back is the tip after it. Whether the root of its index is right
    /// takes an index: see [`IndexTree`](crate::IndexTree).
    pub fn check(&self, block: &Block, known: &Known) -> Result<Self, BlockError> {
        self.check_limits(block)?;
        let frontier = self.check_header(block)?;
        self.check_transactions(&block.transactions, block.header.time, known)?;
        if let Some(change) = &block.change {
            change.verify(&self.chain, &self.validators, block.header.height)?;
        }
        let next = block
            .change
            .as_ref()
            .map_or(&self.validators, |change| &change.next);
        Ok(Self {
            chain: self.chain,
            height: block.header.height,
            hash: block.hash(),
            time: block.header.time,
            rehearsal: self.rehearsal,
            validators: next.clone(),
            frontier,
            index: block.header.index(),
        })
    }

    fn check_limits(&self, block: &Block) -> Result<(), BlockError> {
        let rules = Rules::at(self.height.next());
        let limits = [
            (
                "records",
                count_records(&block.transactions),
                rules.max_records,
            ),
            (
                "transactions",
                block.transactions.len(),
                rules.max_transactions,
            ),
            ("bytes", block.encode().len(), rules.max_bytes),
        ];
        match limits.into_iter().find(|(_, found, most)| found > most) {
            Some((what, found, most)) => Err(BlockError::TooMuch { what, found, most }),
            None => Ok(()),
        }
    }

    fn check_header(&self, block: &Block) -> Result<Frontier, BlockError> {
        let header = &block.header;
        if header.time <= self.time {
            return Err(BlockError::Time);
        }
        if self.validators.get(&header.proposer).is_none() {
            return Err(BlockError::Proposer);
        }
        let next = block
            .change
            .as_ref()
            .map_or(&self.validators, |change| &change.next);
        let frontier = self.grown(&block.transactions);
        let fields = [
            ("chain", header.chain == self.chain),
            ("height", header.height == self.height.next()),
            ("previous hash", header.previous == self.hash),
            (
                "number of records",
                header.records as usize == count_records(&block.transactions),
            ),
            ("tree size", header.tree_size == frontier.size()),
            ("tree root", header.tree_root == frontier.root()),
            (
                "transactions root",
                header.transactions_root
                    == transactions_root(&block.transactions, block.change.as_ref()),
            ),
            (
                "validators hash",
                header.validators_hash == self.validators.hash(),
            ),
            (
                "next validators hash",
                header.next_validators_hash == next.hash(),
            ),
            ("index height", self.is_index_in_time(header)),
            (
                "index root",
                header.index_height > self.index.height || header.index_root == self.index.root,
            ),
        ];
        match fields.into_iter().find(|(_, right)| !right) {
            Some((field, _)) => Err(BlockError::Header(field)),
            None => Ok(frontier),
        }
    }

    /// An index never goes back, is that after an earlier block, and does not lag far behind.
    fn is_index_in_time(&self, header: &BlockHeader) -> bool {
        let lag = self
            .height
            .next()
            .get()
            .checked_sub(header.index_height.get());
        let most = Rules::at(self.height.next()).max_index_lag;
        header.index_height >= self.index.height && lag.is_some_and(|lag| (1..=most).contains(&lag))
    }

    fn check_transactions(
        &self,
        transactions: &[Transaction],
        time: BlockTime,
        known: &Known,
    ) -> Result<(), BlockError> {
        let mut earlier = Earlier::default();
        for (position, transaction) in transactions.iter().enumerate() {
            let checked = self.check_after(transaction, time, known, &mut earlier);
            checked.map_err(|error| BlockError::Transaction { position, error })?;
        }
        Ok(())
    }

    pub(crate) fn check_after(
        &self,
        transaction: &Transaction,
        time: BlockTime,
        known: &Known,
        earlier: &mut Earlier,
    ) -> Result<(), TransactionFault> {
        let hash = transaction.hash();
        if known.transactions.contains(&hash) || earlier.transactions.contains(&hash) {
            return Err(TransactionFault::Repeated);
        }
        let submitter = self
            .validators
            .get(transaction.submitter())
            .ok_or(TransactionFault::Submitter)?;
        if !known.verified.contains(&hash) {
            transaction.verify(&self.chain, &submitter.vote_key)?;
        }
        let latest = time
            .timestamp()
            .plus(Rules::at(self.height.next()).max_camera_lead);
        let own_statements = self.check_statements(transaction, time, known, earlier)?;
        let (mut own, mut own_keys) = (Levels::default(), BTreeSet::new());
        for (position, record) in transaction.records().iter().enumerate() {
            if record.time() > latest {
                return Err(TransactionFault::Future { record: position });
            }
            self.check_capture(record, position)?;
            check_one_time(
                record,
                time,
                known,
                [&earlier.spent, &own_keys],
                earlier.epochs(known),
            )
            .map_err(|error| TransactionFault::OneTimeKey {
                record: position,
                error,
            })?;
            own_keys.extend(record.spent().map(|spent| spent.name));
            check_original(record, position, [&known.originals, &earlier.levels, &own])?;
            remember(
                &mut own,
                record
                    .images()
                    .iter()
                    .map(|image| (image.digest, image.level)),
            );
        }
        earlier.transactions.insert(hash);
        earlier.spent.extend(own_keys);
        earlier.epochs = own_statements.or(earlier.epochs.take());
        remember(&mut earlier.levels, own);
        Ok(())
    }

    /// The epochs after the transaction's statements; `None` where it has none.
    fn check_statements(
        &self,
        transaction: &Transaction,
        time: BlockTime,
        known: &Known,
        earlier: &Earlier,
    ) -> Result<Option<Epochs>, TransactionFault> {
        if transaction.statements().is_empty() {
            return Ok(None);
        }
        let mut epochs = earlier.epochs(known).clone();
        for (position, signed) in transaction.statements().iter().enumerate() {
            let checked = epochs.check(signed, time.timestamp());
            checked.map_err(|error| TransactionFault::Statement {
                statement: position,
                error,
            })?;
            epochs.insert(signed.clone());
        }
        Ok(Some(epochs))
    }

    /// What a camera of ours claims beside its digests, as far as the registry can judge it.
    fn check_capture(&self, record: &Record, position: usize) -> Result<(), TransactionFault> {
        if record.bundle().is_rehearsal() && !self.rehearsal {
            return Err(TransactionFault::Rehearsal { record: position });
        }
        match record.anchor() {
            Some(anchor) if anchor > self.height => Err(TransactionFault::Anchor {
                record: position,
                anchor,
            }),
            _ => Ok(()),
        }
    }

    pub(crate) fn grown(&self, transactions: &[Transaction]) -> Frontier {
        let mut frontier = self.frontier.clone();
        transactions
            .iter()
            .flat_map(Transaction::leaf_hashes)
            .for_each(|leaf| frontier.append(leaf));
        frontier
    }
}

/// The lowest level each image is registered at.
type Levels = BTreeMap<Digest, ModificationLevel>;

/// What stands earlier in the same block.
#[derive(Default)]
pub(crate) struct Earlier {
    transactions: BTreeSet<TransactionHash>,
    levels: Levels,
    spent: BTreeSet<Digest>,
    /// With what was stated in this block, if anything was.
    epochs: Option<Epochs>,
}

impl Earlier {
    fn epochs<'a>(&'a self, known: &'a Known) -> &'a Epochs {
        self.epochs.as_ref().unwrap_or(&known.epochs)
    }
}

/// A one-time key counts while its epoch does, and once in the whole registry.
fn check_one_time(
    record: &Record,
    time: BlockTime,
    known: &Known,
    earlier: [&BTreeSet<Digest>; 2],
    epochs: &Epochs,
) -> Result<(), KeyFault> {
    let Some(spent) = record.spent() else {
        return Ok(());
    };
    let origin = record.origin();
    let (authority, family) = (origin.authority.as_str(), origin.family.as_str());
    let key = epochs.counts(authority, family, spent.epoch, time.timestamp())?;
    if key.is_made_up != origin.made_up_fingerprint {
        return Err(KeyFault::MadeUp);
    }
    if known.spent.contains(&spent.name) || earlier.iter().any(|keys| keys.contains(&spent.name)) {
        return Err(KeyFault::Spent);
    }
    Ok(())
}

/// An original stands in an earlier block, or earlier in this one: so no chain of originals can
/// close.
fn check_original(
    record: &Record,
    position: usize,
    registered: [&Levels; 3],
) -> Result<(), TransactionFault> {
    let Some(original) = record.edited_from() else {
        return Ok(());
    };
    let Some(lowest) = registered
        .iter()
        .filter_map(|levels| levels.get(&original))
        .min()
    else {
        return Err(TransactionFault::UnknownOriginal { record: position });
    };
    // Levels never fall within a record, so its first image has the lowest.
    let own = record.images().first().map(|image| image.level);
    if own < Some(*lowest) {
        Err(TransactionFault::LevelFalls { record: position })
    } else {
        Ok(())
    }
}

fn remember(levels: &mut Levels, images: impl IntoIterator<Item = (Digest, ModificationLevel)>) {
    for (digest, level) in images {
        let lowest = levels.entry(digest).or_insert(level);
        *lowest = level.min(*lowest);
    }
}

pub(crate) fn count_records(transactions: &[Transaction]) -> usize {
    transactions
        .iter()
        .map(|transaction| transaction.records().len())
        .sum()
}
