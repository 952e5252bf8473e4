//! How close a validator comes to what its parts allow, measured in the same run:
//! `cargo xtask bench validator`.
//!
//! `cargo xtask bench validator -- --records 10000000 --database postgres --keep DIR` fills a
//! registry once and uses it again. The node runs as it ships, in a process of its own; clients,
//! authority and PostgreSQL share its cores.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs
)]

mod cameras;
mod database;
mod fill;
mod limits;
mod load;
mod process;
mod run;
mod table;

use std::path::PathBuf;

use clap::Parser;

/// What is measured, and how large.
#[derive(Parser)]
struct Options {
    /// Records in the registry when answers are measured.
    #[arg(long, default_value_t = 100_000)]
    records: u64,
    /// So many of them with the claim that admission keeps for each: the slowest part of filling.
    #[arg(long, default_value_t = u64::MAX)]
    claims: u64,
    /// Submissions of each kind.
    #[arg(long, default_value_t = 20_000)]
    submissions: usize,
    /// Questions of each kind.
    #[arg(long, default_value_t = 200_000)]
    lookups: usize,
    /// `sqlite` or `postgres`.
    #[arg(long, default_value = "sqlite")]
    database: String,
    /// A folder to keep the filled registry in and to use it again.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Only fills.
    #[arg(long)]
    only_fill: bool,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut runtime = match arguments.first().map(String::as_str) {
        // The clients leave the cores to what is measured.
        Some("client") => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime.enable_all().build().unwrap();
    match arguments.first().map(String::as_str) {
        Some("client") => runtime.block_on(load::client(&arguments[1..])),
        Some("bare") => runtime.block_on(limits::bare(&arguments[1])),
        Some("authority") => runtime.block_on(cameras::authority(arguments[1].as_ref())),
        _ => runtime.block_on(run::run(Options::parse())),
    }
}
