//! Beginning, saving and bringing back an authority.

use std::io::{BufReader, BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use birthmark_daemon::{Context, durable};
use birthmark_protocol::numbers::TABLES;
use clap::{ArgMatches, Command};

use super::{file, path, print, read};
use crate::keep::dump;
use crate::keep::exchange::KeyTablesFile;
use crate::keep::store::Store;
use crate::settings::Settings;
use crate::setup::{self, Root, write_public};

pub(super) fn init_command() -> Command {
    Command::new("init")
        .about("Begin an authority: certificate authority, verdict key, 2,500 key tables")
        .long_about("Begin an authority: certificate authority, verdict key, 2,500 key tables.\n\nNeeds the credentials `authority-vault` (seals the database) and `root-passphrase`. Refuses a database that holds an authority already.")
        .arg(file("root-key", "Where the new root's private key goes, encrypted; carry it away afterwards"))
        .arg(file("out", "The folder for the public files [default: beside the root's key]"))
        .arg(file("import-root", "An existing root certificate, PEM").requires("import-intermediate"))
        .arg(file("import-intermediate", "An existing intermediate certificate, PEM").requires("import-intermediate-key"))
        .arg(file("import-intermediate-key", "The intermediate's private key, PEM").requires("import-root"))
        .arg(file("key-tables", "Master keys of an authority in the field: key_tables.json"))
}

pub(super) async fn init(
    settings: Settings,
    matches: ArgMatches,
    context: Context,
) -> anyhow::Result<()> {
    let import = |name| path(&matches, name).map(read).transpose();
    let root = match (
        import("import-root")?,
        import("import-intermediate")?,
        import("import-intermediate-key")?,
    ) {
        (Some(certificate), Some(intermediate), Some(intermediate_key)) => Root::Imported {
            certificate,
            intermediate,
            intermediate_key,
        },
        _ => Root::New {
            key_file: path(&matches, "root-key")
                .context("give --root-key for a new root, or the --import options")?,
        },
    };
    let keys = path(&matches, "key-tables").map(|file| -> anyhow::Result<_> {
        let tables: KeyTablesFile =
            serde_json::from_str(&read(file)?).with_context(|| format!("{}", file.display()))?;
        tables.master_keys()
    });
    let beside = path(&matches, "root-key")
        .and_then(|file| file.parent())
        .map(PathBuf::from);
    let folder = path(&matches, "out")
        .cloned()
        .or(beside)
        .unwrap_or_else(|| PathBuf::from("."));
    let bar = indicatif::ProgressBar::new(TABLES.into()).with_message("sealing the key tables");
    bar.set_style(indicatif::ProgressStyle::with_template(
        "{msg} {wide_bar} {pos} of {len}",
    )?);
    let founded = setup::found(
        &settings,
        &context.credentials,
        root,
        keys.transpose()?,
        |done| bar.set_position(done),
    )
    .await?;
    bar.finish_and_clear();
    for (name, content) in [
        ("root.pem", &founded.root),
        ("intermediate.pem", &founded.intermediate),
        ("verdict-key.pem", &founded.verdict_key),
    ] {
        // Whoever runs a validator copies these.
        write_public(&folder.join(name), content.as_bytes())?;
    }
    print(&format!(
        "The authority {} is ready. Public files: {}",
        settings.manufacturer_id,
        folder.display()
    ))
}

pub(super) fn backup_command() -> Command {
    Command::new("backup")
        .about("Write the whole database into one file; secrets stay sealed")
        .arg(file("to", "The file, which must not exist").required(true))
}

pub(super) async fn backup(
    settings: Settings,
    matches: ArgMatches,
    _: Context,
) -> anyhow::Result<()> {
    let target = path(&matches, "to").context("--to is missing")?;
    anyhow::ensure!(!target.exists(), "{} exists already", target.display());
    let store = Store::open_or_explain(&settings.database, 2).await?;
    let unfinished = target.with_added_extension("unfinished");
    // What an earlier attempt left behind is worth nothing.
    durable::replace(&unfinished, b"", durable::PRIVATE)
        .with_context(|| format!("{}", unfinished.display()))?;
    let mut out = BufWriter::new(std::fs::File::options().write(true).open(&unfinished)?);
    let rows = dump::backup(&store, &mut out).await?;
    out.flush()?;
    drop(out);
    // If we stop here, only the unfinished file is there, under its own name.
    durable::publish_new(&unfinished, target).with_context(|| format!("{}", target.display()))?;
    print(&format!("{rows} rows were written to {}", target.display()))
}

pub(super) fn restore_command() -> Command {
    Command::new("restore")
        .about("Read a backup into an empty database")
        .arg(file("from", "The backup").required(true))
}

pub(super) async fn restore(
    settings: Settings,
    matches: ArgMatches,
    context: Context,
) -> anyhow::Result<()> {
    let source = path(&matches, "from").context("--from is missing")?;
    let store = Store::open_or_explain(&settings.database, 2).await?;
    let lease = store.lease(&settings.database).await?;
    let input = std::fs::File::open(source).with_context(|| format!("{}", source.display()))?;
    let rows = dump::restore(&store, BufReader::new(input)).await?;
    setup::open_vault(&store, &context.credentials)
        .await
        .context("the backup was read, but cannot be used")?;
    drop(lease);
    print(&format!("{rows} rows were read"))
}
