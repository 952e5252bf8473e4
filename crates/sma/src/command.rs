//! The command line.

use std::path::PathBuf;

use anyhow::Context as _;
use birthmark_daemon::{Context, Program};
use clap::{Arg, ArgMatches, Command, value_parser};

use crate::settings::Settings;
use crate::setup::{self, Root};

/// The program with all its commands.
pub fn program() -> Program<Settings> {
    Program::new("Certifies cameras, and says whether one stands behind a photo without learning which photo").command(init_command(), init)
}

fn init_command() -> Command {
    let root_key = Arg::new("root-key")
        .long("root-key")
        .value_name("FILE")
        .required(true)
        .value_parser(value_parser!(PathBuf))
        .help("Where the root's private key goes, encrypted; carry it away afterwards");
    let folder = Arg::new("out")
        .long("out")
        .value_name("FOLDER")
        .value_parser(value_parser!(PathBuf))
        .help("Where the public files go [default: beside the root's key]");
    Command::new("init")
        .about("Begin an authority: certificate authority, verdict key, 2,500 key tables")
        .arg(root_key)
        .arg(folder)
}

async fn init(settings: Settings, matches: ArgMatches, context: Context) -> anyhow::Result<()> {
    let key_file = matches
        .get_one::<PathBuf>("root-key")
        .context("no root key")?;
    let beside = key_file.parent().map(PathBuf::from).unwrap_or_default();
    let folder = matches.get_one::<PathBuf>("out").cloned().unwrap_or(beside);
    let bar = indicatif::ProgressBar::new(birthmark_protocol::numbers::TABLES.into())
        .with_message("key tables");
    let founded = setup::found(
        &settings,
        &context.credentials,
        Root::New { key_file },
        None,
        |done| bar.set_position(done),
    )
    .await?;
    bar.finish();
    for (name, content) in [
        ("root.pem", &founded.root),
        ("intermediate.pem", &founded.intermediate),
        ("verdict-key.pem", &founded.verdict_key),
    ] {
        setup::write_once(&folder.join(name), content.as_bytes())?;
    }
    Ok(())
}
