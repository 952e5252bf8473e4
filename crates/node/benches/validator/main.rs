//! How close a validator comes to what its parts allow, measured in the same run: `cargo xtask bench validator`.
//!
//! `BENCH_RECORDS` (100,000), `BENCH_SUBMISSIONS` (5,000) and `BENCH_DATABASE` (a postgres: URL instead of SQLite) change
//! the size. Client and server share this machine's cores, as the limits' own measurement did.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs
)]

mod load;
mod parts;

use std::time::Instant;

use birthmark_daemon::{Context, Credentials, Shutdown};
use birthmark_ledger::{ChainId, KeyName};
use birthmark_node::settings::Settings;
use birthmark_node::{setup, store::Store};
use birthmark_protocol::{Digest, Timestamp};

fn number(name: &str, by_default: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(by_default)
}

fn line(what: &str, value: f64, unit: &str, limit: Option<(f64, &str)>) {
    match limit {
        Some((limit, of)) => println!(
            "{what:<44} {value:>12.1} {unit:<8} {:>5.0} % of {of} ({limit:.1})",
            100.0 * value / limit
        ),
        None => println!("{what:<44} {value:>12.1} {unit}"),
    }
}

#[tokio::main]
async fn main() {
    let (records, submissions) = (
        number("BENCH_RECORDS", 100_000),
        number("BENCH_SUBMISSIONS", 5_000),
    );
    let folder = tempfile::tempdir().unwrap();
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    println!("{records} records, {submissions} submissions, {cores} cores");

    let verify = parts::ecdsa_seconds();
    line("ECDSA P-256 verification", verify * 1e6, "us", None);
    let bare = load::bare_framework().await;
    line("bare framework, GET", bare.rate, "/s", None);

    let at = folder.path();
    let validator =
        setup::create_keys(&at.join("keys"), KeyName::new("bench.example").unwrap()).unwrap();
    let genesis = setup::genesis(
        ChainId::new("bench.example/registry").unwrap(),
        Timestamp::from_unix(1_700_000_000),
        vec![validator],
    )
    .unwrap();
    setup::write_genesis(&at.join("genesis.toml"), &genesis).unwrap();
    let database = std::env::var("BENCH_DATABASE")
        .unwrap_or_else(|_| format!("sqlite://{}", at.join("node.db").display()));
    let mut settings = Settings::new(database, at.join("genesis.toml"));
    settings.signed_heights = Some(at.join("signed"));
    settings.http.listen = "127.0.0.1:0".parse().unwrap();
    settings.limits.requests_per_minute = 0;
    settings.limits.submissions_per_minute = 0;

    let (authority, bodies) = parts::submissions(at, submissions).await;
    settings.default_authority = Some(authority.id.clone());
    settings.authorities = vec![authority];
    let digests = parts::fill(&settings, &at.join("keys"), &genesis, records).await;

    let shutdown = Shutdown::default();
    let (context, ready) = Context::embedded(Credentials::at(at.join("keys")), shutdown.clone());
    let node = tokio::spawn(birthmark_node::run(settings.clone(), context));
    let address = ready
        .await
        .unwrap()
        .tcp(birthmark_node::HTTP_SOCKET)
        .unwrap();
    load::wait_for_filter(address).await;

    let misses: Vec<_> = (0..20_000u32)
        .map(|at| Digest::of(&at.to_be_bytes()))
        .collect();
    let miss = load::lookups(address, &misses).await;
    line(
        "verify, misses",
        miss.rate,
        "/s",
        Some((bare.rate, "the bare framework")),
    );
    line("verify, misses, p99", miss.p99 * 1e3, "ms", None);
    let hits: Vec<_> = (0..20_000usize)
        .map(|at| digests[at.wrapping_mul(7919) % digests.len()])
        .collect();
    let hit = load::lookups(address, &hits).await;
    line(
        "verify, hits all over the registry",
        hit.rate,
        "/s",
        Some((bare.rate, "the bare framework")),
    );
    line("verify, hits, p99", hit.p99 * 1e3, "ms", None);

    let started = Instant::now();
    let accepted = load::submit(address, bodies).await;
    let rate = accepted as f64 / started.elapsed().as_secs_f64();
    let per_submission = verify + 1.0 / (bare.rate / cores) + 10e-6;
    line(
        "durable submissions, certificate known",
        rate,
        "/s",
        Some((
            cores / per_submission,
            "one signature, HTTP and a batched row",
        )),
    );
    let drained = load::drain(address, records + accepted).await;
    line(
        "the same until all are in blocks",
        accepted as f64 / (started.elapsed().as_secs_f64().max(drained)),
        "/s",
        None,
    );

    shutdown.request();
    node.await.unwrap().unwrap();
    let sizes = Store::open(&settings.database)
        .await
        .unwrap()
        .sizes()
        .await
        .unwrap();
    let each = |bytes: u64| bytes as f64 / sizes.records as f64;
    line(
        "canonical bytes per record",
        each(sizes.block_bytes),
        "B",
        Some((64.0, "what is allowed")),
    );
    let allowed = if settings.database.is_postgres() {
        220.0
    } else {
        140.0
    };
    line(
        "on disk with index, per record",
        each(sizes.disk_bytes),
        "B",
        Some((allowed, "what is allowed")),
    );
}
