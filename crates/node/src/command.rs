//! What `birthmark-node` does besides running: a validator's first day.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use birthmark_daemon::{Context, Program};
use birthmark_ledger::{ChainId, KeyName, Validator};
use birthmark_protocol::{Digest, Timestamp};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::settings::Settings;
use crate::{clock, setup};

/// The program with all its commands.
pub fn program() -> Program<Settings> {
    Program::new("A Birthmark validator: registers proofs of photos and answers who asks")
        .command(keys_command(), keys)
        .command(genesis_command(), genesis)
        .command(hash_token_command(), hash_token)
}

fn path(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name(value)
        .required(true)
        .value_parser(value_parser!(PathBuf))
        .help(help)
}

fn keys_command() -> Command {
    let name = Arg::new("name")
        .long("name")
        .value_name("NAME")
        .required(true)
        .value_parser(value_parser!(KeyName))
        .help("The name this validator signs with, like library.example.edu");
    Command::new("keys")
        .about("Draw this validator's keys, and its public entry for the registry's genesis")
        .arg(name)
        .arg(path(
            "out",
            "FOLDER",
            "Where `vote-key`, `checkpoint-key` and `validator.toml` go",
        ))
}

async fn keys(_: Settings, matches: ArgMatches, _: Context) -> anyhow::Result<()> {
    let name = matches.get_one::<KeyName>("name").context("no name")?;
    let folder = matches.get_one::<PathBuf>("out").context("no folder")?;
    let entry = setup::create_keys(folder, name.clone())?;
    let file = folder.join("validator.toml");
    write_new(&file, &toml::to_string(&entry)?)?;
    log::info!(
        "the keys are in {}; validator.toml is public",
        folder.display()
    );
    Ok(())
}

fn genesis_command() -> Command {
    let chain = Arg::new("chain")
        .long("chain")
        .value_name("NAME")
        .required(true)
        .value_parser(value_parser!(ChainId))
        .help("The registry's name, like example.org/registry");
    let start = Arg::new("start")
        .long("start")
        .value_name("SECONDS")
        .value_parser(value_parser!(i64))
        .help("When it starts, in Unix seconds [default: now]");
    let validators = path(
        "validator",
        "FILE",
        "The public entry of a validator; once for each",
    )
    .action(ArgAction::Append);
    Command::new("genesis")
        .about("Make the start of a registry from its validators' public entries")
        .args([chain, start, validators])
        .arg(path(
            "out",
            "FILE",
            "Where the genesis goes: the same file at every validator",
        ))
}

async fn genesis(_: Settings, matches: ArgMatches, _: Context) -> anyhow::Result<()> {
    let chain = matches.get_one::<ChainId>("chain").context("no name")?;
    let start = matches.get_one::<i64>("start").copied();
    let start = start.map_or_else(clock::now, Timestamp::from_unix);
    let files = matches.get_many::<PathBuf>("validator").unwrap_or_default();
    let validators = files
        .map(|file| read_entry(file))
        .collect::<anyhow::Result<_>>()?;
    let made = setup::genesis(chain.clone(), start, validators)?;
    let out = matches.get_one::<PathBuf>("out").context("no file")?;
    setup::write_genesis(out, &made)?;
    log::info!("{} has the genesis hash {}", out.display(), made.hash());
    Ok(())
}

fn read_entry(file: &Path) -> anyhow::Result<Validator> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    toml::from_str(&text).with_context(|| format!("{} is not a validator's entry", file.display()))
}

fn hash_token_command() -> Command {
    Command::new("hash-token").about("Read a submission server's bearer token from standard input and print what goes into the settings")
}

async fn hash_token(_: Settings, _: ArgMatches, _: Context) -> anyhow::Result<()> {
    let mut token = zeroize::Zeroizing::new(String::new());
    std::io::stdin().read_to_string(&mut token)?;
    let digest = Digest::of(token.trim_end_matches(['\r', '\n']).as_bytes());
    std::io::Write::write_all(
        &mut std::io::stdout(),
        format!("token_sha256 = \"{}\"\n", digest.to_hex()).as_bytes(),
    )?;
    Ok(())
}

fn write_new(file: &Path, text: &str) -> anyhow::Result<()> {
    let opened = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(file);
    let mut opened = opened.with_context(|| format!("cannot create {}", file.display()))?;
    std::io::Write::write_all(&mut opened, text.as_bytes())?;
    Ok(())
}
