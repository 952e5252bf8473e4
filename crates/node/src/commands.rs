//! The operator's commands of `birthmark-node`.

mod backup;
mod check;
mod doctor;
mod members;
mod plan_chain;
mod running;
mod start;
mod status;
mod token;
mod transfer;
mod witness;

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use birthmark_daemon::Program;
use clap::{Arg, ArgMatches, Command, value_parser};

use crate::identity;
use crate::node_lock::NodeLock;
use crate::registry::Registry;
use crate::settings::Settings;
use crate::store::Store;

pub use check::{Findings, fsck, reindex};
pub use transfer::{Cosigner, export, import};

/// Adds every command.
pub fn add(program: Program<Settings>) -> Program<Settings> {
    let program = start::add(program);
    let program = check::add(program);
    let program = transfer::add(program);
    let program = backup::add(program);
    let program = plan_chain::add(program);
    let program = status::add(program);
    let program = token::add(program);
    let program = witness::add(program);
    let program = members::add(program);
    doctor::add(program)
}

/// The registry of the configured database, for a command that changes it: refused while the node
/// runs.
async fn open_stopped(settings: &Settings) -> anyhow::Result<(Registry, Option<NodeLock>)> {
    let lock = NodeLock::for_command(settings.row_keys().as_deref())?;
    Ok((open(settings).await?, lock))
}

/// The registry of the configured database.
async fn open(settings: &Settings) -> anyhow::Result<Registry> {
    let genesis = identity::read_genesis(&settings.genesis)?;
    let store = Store::open_or_explain(&settings.database, settings.memory.database_mb).await?;
    Ok(Registry::open(store, genesis).await?)
}

fn path_argument(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .value_name(name.to_uppercase())
        .required(true)
        .value_parser(value_parser!(PathBuf))
        .help(help)
}

fn path(matches: &ArgMatches, name: &str) -> anyhow::Result<PathBuf> {
    matches
        .get_one::<PathBuf>(name)
        .cloned()
        .with_context(|| format!("{name} is missing"))
}

fn command(name: &'static str, about: &'static str) -> Command {
    Command::new(name).about(about)
}

fn say(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("cannot write to standard output")
}
