//! `backup` and `restore`: everything the database holds, waiting submissions included.

use std::path::Path;
use std::process::Command as External;

use anyhow::Context as _;
use birthmark_daemon::Program;

use super::{command, path, path_argument, say};
use crate::settings::Settings;
use crate::store::Store;

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
        "Puts a backup in the place of an empty or missing database; stop the node before",
    )
    .arg(path_argument("file", "The backup"));
    program
        .command(backup, |settings, matches, _| async move {
            let file = path(&matches, "file")?;
            write(&settings, &file).await?;
            say(&format!("{} holds the database", file.display()))
        })
        .command(restore, |settings, matches, _| async move {
            read(&settings, &path(&matches, "file")?)?;
            say("restored; run `birthmark-node fsck` before the node starts")
        })
}

async fn write(settings: &Settings, file: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        !file.exists(),
        "{} exists and is not overwritten",
        file.display()
    );
    if settings.database.is_postgres() {
        return tool(
            "pg_dump",
            &["--format=custom", "--no-owner", "--file"],
            file,
            settings,
        );
    }
    let store = Store::open(&settings.database).await?;
    // One consistent copy, whatever the node writes meanwhile.
    store.copy_into(file).await?;
    std::fs::File::open(file)?.sync_all()?;
    Ok(())
}

fn read(settings: &Settings, file: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(file.exists(), "{} does not exist", file.display());
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
    anyhow::ensure!(
        !target.exists(),
        "{} exists; move it away first",
        target.display()
    );
    let partial = target.with_extension("restoring");
    std::fs::copy(file, &partial).with_context(|| format!("cannot write {}", partial.display()))?;
    std::fs::File::open(&partial)?.sync_all()?;
    // If we stop here, no database is in place and the command can be run again.
    std::fs::rename(&partial, &target)?;
    Ok(())
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
