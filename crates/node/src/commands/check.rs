//! `fsck`, `reindex` and `stats`: does everything agree, make it agree, how large is it.

use std::sync::Arc;

use anyhow::Context as _;
use birthmark_daemon::Program;
use birthmark_ledger::{Checkpoint, Epochs, IndexFollower, Known, Lookups, SignedCheckpoint, Tip};

use super::{command, open, open_stopped, say};
use crate::registry::{Decided, Registry, index_of, insert_statements};
use crate::settings::Settings;
use crate::store::NewBlock;

/// A number and what is counted, in the singular where it is one.
fn counted(number: u64, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

/// How many findings are named; more are counted.
const NAMED: usize = 100;

pub(super) fn add(program: Program<Settings>) -> Program<Settings> {
    let check = command(
        "fsck",
        "Recomputes every hash, signature, tree root and index entry from the blocks and says what does not agree",
    );
    let again = command(
        "reindex",
        "Builds everything that can be computed from the blocks again; stop the node before",
    );
    let stats = command(
        "stats",
        "Says how large the registry is, in records and bytes",
    );
    program
        .command(
            check,
            |settings, _, _| async move { run_fsck(&settings).await },
        )
        .command(again, |settings, _, _| async move {
            let (registry, _lock) = open_stopped(&settings).await?;
            let blocks = reindex(&registry).await?;
            say(&format!("{} indexed", counted(blocks, "block")))
        })
        .command(
            stats,
            |settings, _, _| async move { stats_of(&settings).await },
        )
}

/// So many blocks are indexed in one database transaction.
const PORTION: usize = 64;

/// What `fsck` found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Blocks that were checked.
    pub blocks: u64,
    /// Records in them.
    pub records: u64,
    /// What does not agree, at most a hundred of it.
    pub problems: Vec<String>,
    /// How many problems there are.
    pub count: u64,
}

impl Findings {
    fn add(&mut self, problem: String) {
        self.count += 1;
        if self.problems.len() < NAMED {
            self.problems.push(problem);
        }
    }
}

async fn run_fsck(settings: &Settings) -> anyhow::Result<()> {
    let findings = fsck(&open(settings).await?).await?;
    for problem in &findings.problems {
        say(problem)?;
    }
    say(&format!(
        "{} with {} checked, {}",
        counted(findings.blocks, "block"),
        counted(findings.records, "record"),
        counted(findings.count, "problem")
    ))?;
    anyhow::ensure!(
        findings.count == 0,
        "the registry is damaged; restore a backup, or fetch the blocks from another validator"
    );
    Ok(())
}

/// Checks bodies against index against tree against certificates.
pub async fn fsck(registry: &Registry) -> anyhow::Result<Findings> {
    let mut findings = Findings::default();
    let mut tip = Tip::genesis(registry.genesis());
    let mut digests = IndexFollower::genesis();
    let (mut entries, mut edits, mut nodes, mut transactions) = (0u64, 0u64, 0u64, 0u64);
    let (mut spent, mut stating, mut epochs) = (0u64, 0u64, Arc::new(Epochs::default()));
    for height in 1..=registry.store().height().await? {
        let decided = match registry.block(height).await {
            Ok(Some(decided)) => decided,
            Ok(None) => {
                findings.add(format!("block {height} is missing"));
                return Ok(findings);
            }
            Err(error) => {
                findings.add(error.to_string());
                return Ok(findings);
            }
        };
        let indexed = index_of(&decided.block, &decided.certificate, tip.frontier());
        let checked = check_block(registry, &tip, &decided, &indexed, &epochs, &mut findings);
        let Some(next) = checked.await? else {
            return Ok(findings);
        };
        insert_statements(Arc::make_mut(&mut epochs), &decided.block);
        spent += indexed.one_time_keys.len() as u64;
        stating += u64::from(indexed.states);
        check_index(registry, &indexed, &mut findings).await?;
        if let Err(error) = digests.check(&decided.block.header) {
            findings.add(format!("block {height}: {error}"));
        }
        digests.add(decided.block.header.height, indexed.images.iter().copied());
        let mut pairs: Vec<_> = indexed
            .images
            .iter()
            .map(|(digest, leaf)| (crate::store::prefix_of(digest), leaf))
            .collect();
        pairs.sort_unstable();
        pairs.dedup();
        entries += pairs.len() as u64;
        edits += indexed.edits.len() as u64;
        nodes += indexed.nodes.len() as u64;
        transactions += indexed.transactions.len() as u64;
        findings.blocks += 1;
        findings.records += indexed.leaves;
        tip = next;
    }
    for (table, expected) in [
        ("images", entries),
        ("edits", edits),
        ("nodes", nodes),
        ("transactions", transactions),
        ("one_time_keys", spent),
        ("statements", stating),
    ] {
        let found = registry.store().rows(table).await?;
        if found != expected {
            findings.add(format!(
                "the index {table} has {found} entries; the blocks make {expected}"
            ));
        }
    }
    Ok(findings)
}

async fn check_block(
    registry: &Registry,
    tip: &Tip,
    decided: &Decided,
    indexed: &NewBlock,
    epochs: &Arc<Epochs>,
    findings: &mut Findings,
) -> anyhow::Result<Option<Tip>> {
    let height = indexed.height;
    if indexed.body != decided.bytes {
        findings.add(format!(
            "block {height}: its bytes are not the canonical ones"
        ));
    }
    if indexed.frontier != decided.frontier.encode() {
        findings.add(format!(
            "block {height}: the stored right edge of the tree is not the one its records make"
        ));
    }
    if let Err(error) = decided
        .certificate
        .verify(&decided.block.header, tip.validators())
    {
        findings.add(format!("block {height}: {error}"));
    }
    let cosigned = SignedCheckpoint {
        checkpoint: Checkpoint::after(registry.genesis().chain_id.clone(), &decided.block.header),
        signatures: decided.checkpoint_lines.clone(),
    };
    if let Err(error) = cosigned.cosigners(tip.validators()) {
        findings.add(format!("block {height}: {error}"));
    }
    let known = known_before(registry, &decided.block.lookups(), indexed, epochs).await?;
    match tip.check(&decided.block, &known) {
        Ok(next) => Ok(Some(next)),
        Err(error) => {
            findings.add(format!("block {height}: {error}"));
            Ok(None)
        }
    }
}

/// What was registered before this block: the index knows the block itself and all later ones, too.
async fn known_before(
    registry: &Registry,
    lookups: &Lookups,
    block: &NewBlock,
    epochs: &Arc<Epochs>,
) -> anyhow::Result<Known> {
    let mut known = Known {
        epochs: Arc::clone(epochs),
        ..Known::default()
    };
    for name in &lookups.one_time_keys {
        let spender = registry.store().spender(name).await?;
        if spender.is_some_and(|leaf| leaf < block.first_leaf) {
            known.spent.insert(*name);
        }
    }
    for original in &lookups.originals {
        let found = registry.find(original).await?;
        let earlier = found.iter().filter(|found| found.leaf < block.first_leaf);
        let lowest = earlier
            .filter_map(|found| Some(found.record().image(original)?.level))
            .min();
        if let Some(level) = lowest {
            known.originals.insert(*original, level);
        }
    }
    for hash in &lookups.transactions {
        if registry
            .store()
            .transaction(hash)
            .await?
            .is_some_and(|(height, _)| height < block.height)
        {
            known.transactions.insert(*hash);
        }
    }
    Ok(known)
}

async fn check_index(
    registry: &Registry,
    block: &NewBlock,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let (store, height) = (registry.store(), block.height);
    for (hash, first, _) in &block.transactions {
        if store.transaction(hash).await? != Some((height, *first)) {
            findings.add(format!(
                "block {height}: transaction {hash} is not in the index where it should be"
            ));
        }
    }
    for (digest, leaf) in &block.images {
        // The first record after the one before is this one, however many others hold the digest.
        let found = store.leaves_of(digest, leaf.checked_sub(1), 1).await?;
        if !found.contains(leaf) {
            findings.add(format!(
                "block {height}: record {leaf} is not in the index of digests"
            ));
        }
    }
    for (original, leaf) in &block.edits {
        let found = store.edits_of(original, leaf.checked_sub(1), 1).await?;
        if !found.contains(leaf) {
            findings.add(format!(
                "block {height}: record {leaf} is not in the index of edits"
            ));
        }
    }
    for (name, leaf) in &block.one_time_keys {
        if store.spender(name).await? != Some(*leaf) {
            findings.add(format!(
                "block {height}: record {leaf} is not in the index of one-time keys"
            ));
        }
    }
    for (node, hash) in &block.nodes {
        if store.node(*node).await? != Some(*hash) {
            findings.add(format!(
                "block {height}: subtree {} of level {} is not stored as it should be",
                node.index, node.level
            ));
        }
    }
    Ok(())
}

/// Builds the index again from the blocks; how many there are.
pub async fn reindex(registry: &Registry) -> anyhow::Result<u64> {
    // If we stop in between, the index is incomplete: fsck says so, and running this again
    // completes it.
    registry.store().clear_index().await?;
    let mut frontier = birthmark_ledger::Frontier::new();
    let mut digests = IndexFollower::genesis();
    let height = registry.store().height().await?;
    let mut portion = Vec::with_capacity(PORTION);
    for at in 1..=height {
        let decided = registry.block(at).await?;
        let decided = decided.ok_or_else(|| anyhow::anyhow!("block {at} is missing"))?;
        let indexed = index_of(&decided.block, &decided.certificate, &frontier);
        frontier = birthmark_ledger::Frontier::parse(&indexed.frontier)?;
        let followed = digests.follow(&decided.block);
        followed.with_context(|| format!("block {at}"))?;
        portion.push(indexed);
        if portion.len() == PORTION || at == height {
            registry.store().index_blocks(&portion).await?;
            portion.clear();
        }
    }
    Ok(height)
}

async fn stats_of(settings: &Settings) -> anyhow::Result<()> {
    let registry = open(settings).await?;
    let sizes = registry.store().sizes().await?;
    let per = |bytes: u64| bytes.checked_div(sizes.records).unwrap_or(0);
    say(&format!("database            {}", registry.store().kind()))?;
    say(&format!("blocks              {}", sizes.blocks))?;
    say(&format!("records             {}", sizes.records))?;
    say(&format!("digests             {}", sizes.digests))?;
    say(&format!("submissions kept    {}", sizes.submissions))?;
    say(&format!(
        "canonical bytes     {} ({} per record)",
        sizes.block_bytes,
        per(sizes.block_bytes)
    ))?;
    say(&format!(
        "certificates        {} ({} per record)",
        sizes.certificate_bytes,
        per(sizes.certificate_bytes)
    ))?;
    say(&format!(
        "on disk with index  {} ({} per record)",
        sizes.disk_bytes,
        per(sizes.disk_bytes)
    ))
}
