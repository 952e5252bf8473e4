//! `backup` and `restore`: everything the database holds, waiting submissions included.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Command as External;

use anyhow::Context as _;
use birthmark_daemon::{Program, durable};
use birthmark_ledger::Genesis;
use birthmark_protocol::Digest;

use super::{command, path, path_argument, say};
use crate::identity;
use crate::node_lock::NodeLock;
use crate::settings::Settings;
use crate::store::{Store, StoreUrl};

pub(super) fn add(program: Program<Settings>) -> Program<Settings> {
    let backup = command(
        "backup",
        "Copies the whole database into a file while the node runs",
    )
    .arg(path_argument(
        "file",
        "The file to write; it must not exist",
    ));
    let restore = command(
        "restore",
        "Puts a backup of `backup` in the place of an empty or missing database; stop the node before",
    )
    .arg(path_argument("file", "The backup"));
    program
        .command(backup, |settings, matches, _| async move {
            let file = path(&matches, "file")?;
            write(&settings, &file).await?;
            say(&format!("{} holds the database", file.display()))
        })
        .command(restore, |settings, matches, _| async move {
            let _lock = NodeLock::for_command(settings.row_keys().as_deref())?;
            read(&settings, &path(&matches, "file")?).await?;
            say("restored; run `birthmark-node fsck` before the node starts")
        })
}

async fn write(settings: &Settings, file: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        !file.exists(),
        "{} exists and is not overwritten",
        file.display()
    );
    // Made before anything is written into it: a backup is for its operator's eyes. What an earlier
    // attempt left behind is worth nothing.
    let unfinished = file.with_added_extension("unfinished");
    durable::replace(&unfinished, b"", durable::PRIVATE)
        .with_context(|| format!("cannot create {}", unfinished.display()))?;
    if settings.database.is_postgres() {
        let arguments = ["--format=custom", "--no-owner", "--file"];
        tool("pg_dump", &arguments, &unfinished, settings)?;
    } else {
        let store = Store::open(&settings.database).await?;
        // One consistent copy, whatever the node writes meanwhile.
        store.copy_into(&unfinished).await?;
    }
    // If we stop here, only the unfinished file is there, under its own name.
    durable::publish_new(&unfinished, file)
        .with_context(|| format!("cannot write {}", file.display()))
}

async fn read(settings: &Settings, file: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(file.exists(), "{} does not exist", file.display());
    let genesis = identity::read_genesis(&settings.genesis)?;
    if settings.database.is_postgres() {
        let arguments = [
            "--no-owner",
            "--exit-on-error",
            "--single-transaction",
            "--dbname",
        ];
        let run = External::new("pg_restore")
            .args(arguments)
            .arg(settings.database.as_str())
            .arg(file)
            .output();
        return finished("pg_restore", run);
    }
    let target = settings
        .database
        .file()
        .context("the database is no file")?;
    check_backup(file, &genesis).await?;
    check_empty(&target).await?;
    let partial = target.with_extension("restoring");
    copy_private(file, &partial).with_context(|| format!("cannot write {}", partial.display()))?;
    // An empty database's log would be read into the restored one.
    for log in ["-wal", "-shm"] {
        let mut name = target.as_os_str().to_owned();
        name.push(log);
        let name = Path::new(&name);
        durable::remove(name).with_context(|| format!("cannot remove {}", name.display()))?;
    }
    // If we stop here, no database is in place and the command can be run again.
    durable::rename(&partial, &target).with_context(|| format!("cannot write {}", target.display()))
}

/// Refuses whatever `backup` did not write, and what belongs to another registry.
async fn check_backup(file: &Path, genesis: &Genesis) -> anyhow::Result<()> {
    let no_backup = || format!("{} is not a backup of a validator", file.display());
    let stored = stored_genesis(file).await.with_context(no_backup)?;
    let stored = stored.with_context(no_backup)?;
    anyhow::ensure!(
        stored == genesis.hash(),
        "{} is a backup of the registry with the genesis hash {stored}, and the genesis file has {}",
        file.display(),
        genesis.hash()
    );
    Ok(())
}

/// A database that holds blocks is not replaced.
async fn check_empty(target: &Path) -> anyhow::Result<()> {
    if !target.exists() {
        return Ok(());
    }
    let url = StoreUrl::new(format!("sqlite://{}", target.display()));
    let existing = Store::look(&url).await;
    let height = match existing {
        Ok(Some(store)) => {
            let height = store.height().await;
            store.close().await;
            height
        }
        Ok(None) => return Ok(()),
        Err(error) => Err(error),
    };
    let is_empty = matches!(height, Ok(0));
    anyhow::ensure!(
        is_empty,
        "{} holds blocks or cannot be read; move it away first",
        target.display()
    );
    Ok(())
}

async fn stored_genesis(file: &Path) -> anyhow::Result<Option<Digest>> {
    let url = StoreUrl::new(format!("sqlite://{}", file.display()));
    let Some(store) = Store::look(&url).await? else {
        return Ok(None);
    };
    let stored = store.state("genesis").await;
    let height = store.height().await;
    store.close().await;
    height?;
    let stored = stored?.map(|hash| Digest::try_from(hash.as_slice()));
    Ok(stored.transpose()?)
}

fn copy_private(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut target = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(to)?;
    std::io::copy(&mut std::fs::File::open(from)?, &mut target)?;
    target.sync_all()
}

fn tool(name: &str, arguments: &[&str], file: &Path, settings: &Settings) -> anyhow::Result<()> {
    finished(
        name,
        External::new(name)
            .args(arguments)
            .arg(file)
            .arg(settings.database.as_str())
            .output(),
    )
}

fn finished(name: &str, run: std::io::Result<std::process::Output>) -> anyhow::Result<()> {
    let output = run.with_context(|| {
        format!("cannot start {name}; it comes with PostgreSQL's client programs")
    })?;
    anyhow::ensure!(
        output.status.success(),
        "{name}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
