//! Import of an existing PostgreSQL chain of the node plan's schema (`blocks`, `transactions`,
//! `image_hashes`).
//!
//! What that chain registered cannot be checked any more: it becomes records on this node's word,
//! under the name of the institution that had aggregated it, and every answer says so. Its times
//! and hashes are kept; its heights are not.

use anyhow::Context as _;
use birthmark_consensus::{Evidence, Vouching};
use birthmark_daemon::{Context as Daemon, Program};
use birthmark_ledger::{Label, Origin, Record, Source, Transaction, VoteKey};
use birthmark_protocol::{Bundle, Digest, DigestRole, ImageClaim, ModificationLevel, Timestamp};
use clap::Arg;
use sqlx::postgres::{PgPool, PgPoolOptions};

use super::{command, open, say};
use crate::registry::Registry;
use crate::row_keys::RowKeys;
use crate::settings::Settings;
use crate::store::Pooled;
use crate::{clock, identity};

const PORTION: usize = 1000;

pub(super) fn add(program: Program<Settings>) -> Program<Settings> {
    let import = command("import-plan-chain", "Takes over the hashes of an existing PostgreSQL chain of the node plan's schema; stop the node before")
        .arg(Arg::new("url").value_name("URL").required(true).help("postgres: URL of the existing chain"));
    program.command(import, |settings, matches, context| async move {
        let url = matches.get_one::<String>("url").context("the URL is missing")?;
        let (taken, known) = take_over(&settings, &context, url).await?;
        say(&format!("{taken} hashes wait for their blocks, {known} were registered already; start the node now"))
    })
}

struct OldHash {
    digest: Digest,
    time: Timestamp,
    gps: Option<Digest>,
    aggregator: String,
}

async fn take_over(settings: &Settings, context: &Daemon, url: &str) -> anyhow::Result<(u64, u64)> {
    let registry = open(settings).await?;
    let key = identity::vote_key(&context.credentials)?;
    let (_, rows) = crate::run::secrets(settings, registry.store(), &context.credentials).await?;
    let old = PgPoolOptions::new()
        .max_connections(1)
        .connect(url)
        .await
        .context("cannot open the existing chain")?;
    let (mut taken, mut known, mut after) = (0, 0, (-1i64, String::new()));
    loop {
        let portion = read(&old, &mut after).await?;
        if portion.is_empty() {
            return Ok((taken, known));
        }
        let mut records = Vec::new();
        for hash in portion {
            if registry.find(&hash.digest).await?.is_empty() {
                records.push(record(&hash)?);
            } else {
                known += 1;
            }
        }
        taken += records.len() as u64;
        keep(&registry, &rows, &key, records).await?;
    }
}

/// The next hashes in the order of the old chain. `CHAR(64)` is compared as what it is: as text it
/// would be a full scan.
async fn read(old: &PgPool, after: &mut (i64, String)) -> anyhow::Result<Vec<OldHash>> {
    const SQL: &str = "SELECT i.block_height, CAST(i.image_hash AS TEXT), i.timestamp, CAST(i.gps_hash AS TEXT), t.aggregator_id \
        FROM image_hashes i JOIN transactions t ON t.tx_id = i.tx_id \
        WHERE (i.block_height, i.image_hash) > ($1, $2::char(64)) ORDER BY i.block_height, i.image_hash LIMIT $3";
    type Row = (i64, String, i64, Option<String>, String);
    let limit = i64::try_from(PORTION)?;
    let rows: Vec<Row> = sqlx::query_as(SQL)
        .bind(after.0)
        .bind(after.1.clone())
        .bind(limit)
        .fetch_all(old)
        .await?;
    if let Some((height, hash, ..)) = rows.last() {
        *after = (*height, hash.clone());
    }
    let hash = |(_, hash, time, gps, aggregator): Row| {
        let digest = hash
            .trim()
            .parse::<Digest>()
            .with_context(|| format!("image_hash {hash:?}"))?;
        let gps = gps
            .map(|gps| gps.trim().parse::<Digest>())
            .transpose()
            .context("gps_hash")?;
        anyhow::Ok(OldHash {
            digest,
            time: Timestamp::from_unix(time),
            gps,
            aggregator,
        })
    };
    rows.into_iter().map(hash).collect()
}

fn record(hash: &OldHash) -> anyhow::Result<Record> {
    let image = ImageClaim {
        digest: hash.digest,
        role: DigestRole::Unstated,
        level: ModificationLevel::RAW,
        parent: None,
    };
    let bundle = Bundle::new(vec![image], hash.time, hash.gps)?;
    let origin = Origin {
        source: Source::Server,
        authority: Label::new(&hash.aggregator)?,
        family: Label::new("earlier chain")?,
        made_up_fingerprint: false,
    };
    Ok(Record::new(bundle, origin)?)
}

/// If we stop after this, the same hashes are signed and pooled again by the next run, in a
/// transaction of the same name.
async fn keep(
    registry: &Registry,
    rows: &RowKeys,
    key: &VoteKey,
    records: Vec<Record>,
) -> anyhow::Result<()> {
    if records.is_empty() {
        return Ok(());
    }
    let count = u32::try_from(records.len())?;
    let vouching = records.iter().map(|_| Vouching::Word).collect();
    let transaction = Transaction::sign(&registry.genesis().hash(), records, key)?;
    let evidence = Evidence {
        vouching,
        ..Evidence::default()
    };
    let hash = transaction.hash();
    let pooled = Pooled {
        hash,
        submitter: *transaction.submitter(),
        records: count,
        since_ms: clock::now_millis().millis(),
        body: transaction.encode(),
        evidence: rows.seal(hash.as_bytes(), &evidence.encode())?,
    };
    Ok(registry.store().pool(&pooled).await?)
}
