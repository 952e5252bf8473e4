//! Filling a registry with full blocks: valid records of a few makers, through the store's own
//! commit.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use birthmark_consensus::{Decided, cosign};
use birthmark_daemon::Credentials;
use birthmark_ledger::{
    BlockTime, Checkpoint, CommitCertificate, Genesis, IndexFollower, IndexRoot, Known, Label,
    Origin, Record, SetSignature, Source, Tip, Transaction, ValidatorId, VoteSigner as _,
};
use birthmark_node::identity;
use birthmark_node::registry::Registry;
use birthmark_node::settings::Settings;
use birthmark_node::store::{ReceiptId, Settlement, Store, Wanted};
use birthmark_protocol::{Bundle, Digest, DigestRole, ImageClaim, ModificationLevel, Timestamp};

/// When the registry of the benchmark began.
pub const START: i64 = 1_750_000_000;
const BLOCK: u64 = 1000;
/// Records that are stored in one database transaction: 64 blocks, as `import` does.
const PORTION: u64 = 64 * BLOCK;

/// The only digest of a record: known again without being kept.
pub fn digest(number: u64) -> Digest {
    Digest::tagged("birthmark/bench/photo", &[&number.to_be_bytes()])
}

/// A photo of one of 24 families of twelve makers, at any second of a month.
fn record(number: u64) -> Record {
    let image = ImageClaim {
        digest: digest(number),
        role: DigestRole::File,
        level: ModificationLevel::PROCESSED,
        parent: None,
    };
    let [one, two, ..] = *image.digest.as_bytes();
    let taken = START - i64::from(one) * 10_000 - i64::from(two);
    let label = |text: String| Label::new(&text).unwrap();
    let origin = Origin {
        source: Source::CameraCertificate,
        authority: label(format!("MAKER_NUMBER_{}", number % 12)),
        family: label(format!("Model {}", number % 24)),
        made_up_fingerprint: false,
    };
    let bundle = Bundle::new(vec![image], Timestamp::from_unix(taken), None).unwrap();
    Record::new(bundle, origin).unwrap()
}

/// The photo of its camera, as admission reserves it.
fn claim(number: u64) -> (Vec<u8>, ReceiptId) {
    let half = |text: &str| {
        let digest = Digest::tagged(text, &[&number.to_be_bytes()]);
        <[u8; 16]>::try_from(&digest.as_bytes()[..16]).unwrap()
    };
    let id = uuid::Uuid::from_bytes(half("birthmark/bench/id"));
    (half("birthmark/bench/claim").to_vec(), ReceiptId(id))
}

/// Fills the registry up to `records`, with the claims of the first `claimed`; returns how many
/// records a second that took, if there was anything to do.
pub async fn fill(
    settings: &Settings,
    keys: &Path,
    genesis: &Genesis,
    records: u64,
    claimed: u64,
) -> Option<f64> {
    let keys = identity::keys(&Credentials::at(keys)).unwrap();
    let store = Store::with_cache(&settings.database, settings.memory.database_mb)
        .await
        .unwrap();
    let registry = Arc::new(
        Registry::open(store.clone(), genesis.clone())
            .await
            .unwrap(),
    );
    // As a node would have it: the index that each header names is that after the block before.
    let mut index = IndexFollower::genesis();
    let stored = registry.tip();
    let there = (0..stored.frontier().size()).map(|number| (digest(number), number));
    index.add(stored.height(), there);
    let (first, started) = (registry.tip().frontier().size(), Instant::now());
    let mut at = first;
    while at < records {
        let next = (at + PORTION).min(records);
        let claims: Vec<_> = (at..next.min(claimed)).map(claim).collect();
        let taken = Settlement {
            claims,
            ..Settlement::default()
        };
        let now = Timestamp::from_unix(START);
        let wanted = Wanted::default();
        let settled = store.settle(&wanted, &[], now, |_| Ok(taken));
        settled.await.unwrap();
        let blocks = portion(&registry, genesis, &keys, at..next, &mut index);
        registry.append_all(&blocks, None).await.unwrap();
        if next / 100_000 > at / 100_000 {
            let rate = (next - first) as f64 / started.elapsed().as_secs_f64();
            eprintln!("  {next} records in the registry, {rate:.0}/s");
        }
        at = next;
    }
    store.close().await;
    (at > first).then(|| (at - first) as f64 / started.elapsed().as_secs_f64())
}

type Keys = birthmark_consensus::ValidatorKeys<birthmark_ledger::VoteKey>;

/// Full blocks that follow one another.
fn portion(
    registry: &Registry,
    genesis: &Genesis,
    keys: &Keys,
    records: Range<u64>,
    index: &mut IndexFollower,
) -> Vec<Decided> {
    let (mut tip, mut blocks) = (Tip::clone(&registry.tip()), Vec::new());
    for first in records.clone().step_by(BLOCK as usize) {
        let until = (first + BLOCK).min(records.end);
        let records = (first..until).map(record).collect();
        let decided = block(&tip, genesis, keys, records, index.newest());
        index.follow(&decided.block).unwrap();
        tip = decided.tip.clone();
        blocks.push(decided);
    }
    blocks
}

fn block(
    tip: &Tip,
    genesis: &Genesis,
    keys: &Keys,
    records: Vec<Record>,
    index: IndexRoot,
) -> Decided {
    let time = BlockTime::from_millis(START * 1000 + tip.height().get() as i64 * 1000 + 1000);
    let transaction = Transaction::sign(tip.chain(), records, &keys.vote).unwrap();
    let mut known = Known::default();
    known.verified.insert(transaction.hash());
    let mut builder = tip.builder(time, &known);
    builder.add(transaction).unwrap();
    let block = builder.finish(ValidatorId::of(&keys.vote.public_key()), index, None);
    let next = tip.check(&block, &known).unwrap();
    let signature = SetSignature {
        validator: 0,
        signature: cosign(&block, 0, &keys.vote).unwrap(),
    };
    let certificate = CommitCertificate {
        height: block.header.height,
        round: 0,
        block: block.hash(),
        signatures: vec![signature],
    };
    let name = &genesis.validators.at(0).unwrap().name;
    let checkpoint = Checkpoint::after(genesis.chain_id.clone(), &block.header);
    let checkpoint_lines = checkpoint
        .sign(name, &keys.checkpoint, time.timestamp())
        .unwrap();
    Decided {
        block,
        certificate,
        tip: next,
        checkpoint_lines,
    }
}
