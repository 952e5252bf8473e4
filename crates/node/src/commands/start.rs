//! Before the first start: keys, genesis, tokens of submission servers.

use std::path::PathBuf;

use anyhow::Context as _;
use birthmark_daemon::{Credentials, Program};
use birthmark_ledger::{ChainId, KeyName, Validator};
use birthmark_protocol::{Digest, Timestamp};
use clap::{Arg, ArgAction, ArgMatches, value_parser};

use super::{command, path, path_argument, say};
use crate::settings::Settings;
use crate::{clock, identity, network, setup};

pub(super) fn add(program: Program<Settings>) -> Program<Settings> {
    let keys = command(
        "keys",
        "Draws this validator's keys into a folder and prints its entry for a genesis",
    )
    .arg(path_argument(
        "folder",
        "Where the three key files go; they become credentials of the unit",
    ))
    .arg(
        Arg::new("name")
            .long("name")
            .value_name("NAME")
            .required(true)
            .help("The validator's name, like library.example.edu"),
    );
    let genesis = command("genesis", "Puts a registry's genesis together from validators' entries; the same entries give the same genesis")
        .arg(path_argument("file", "The genesis to write"))
        .arg(Arg::new("chain-id").long("chain-id").value_name("NAME").required(true).help("The registry's name, like birthmark.example/registry"))
        .arg(Arg::new("start").long("start").value_name("SECONDS").value_parser(value_parser!(i64)).help("Seconds since 1970; now if left out"))
        .arg(Arg::new("rehearsal").long("rehearsal").action(ArgAction::SetTrue).help("A rehearsal: takes photos of simulated cameras, and every answer says so. No other registry does; it cannot be changed later"))
        .arg(Arg::new("any-size").long("any-size").action(ArgAction::SetTrue).help("Takes a number of validators that bears no more failures than a smaller one"))
        .arg(Arg::new("validator").long("validator").value_name("FILE").required(true).num_args(1..).value_parser(value_parser!(PathBuf)).help("Files with the entries that `keys` printed"));
    let identity = command(
        "identity",
        "Prints what the other validators pin in [[network.peers]] as this one's identity; its credentials must be there",
    );
    let token = command(
        "hash-token",
        "Prints the digest of a submission server's token, read from standard input, for the configuration",
    );
    program
        .command_without_settings(keys, |matches| async move { create_keys(&matches) })
        .command_without_settings(genesis, |matches| async move { create_genesis(&matches) })
        .command_without_settings(identity, |_| async move { print_identity() })
        .command_without_settings(token, |_| async move { hash_token() })
}

fn text<'a>(matches: &'a ArgMatches, name: &str) -> anyhow::Result<&'a String> {
    matches
        .get_one::<String>(name)
        .with_context(|| format!("{name} is missing"))
}

fn create_keys(matches: &ArgMatches) -> anyhow::Result<()> {
    let validator = setup::create_keys(
        &path(matches, "folder")?,
        KeyName::new(text(matches, "name")?).context("--name")?,
    )?;
    say(toml::to_string(&validator)?.trim_end())
}

fn create_genesis(matches: &ArgMatches) -> anyhow::Result<()> {
    let start = matches
        .get_one::<i64>("start")
        .copied()
        .map_or_else(clock::now, Timestamp::from_unix);
    let mut validators = Vec::new();
    for file in matches
        .get_many::<PathBuf>("validator")
        .into_iter()
        .flatten()
    {
        let entry = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        validators.push(
            toml::from_str::<Validator>(&entry)
                .with_context(|| format!("{} is no validator's entry", file.display()))?,
        );
    }
    let chain_id = ChainId::new(text(matches, "chain-id")?).context("--chain-id")?;
    let genesis = setup::genesis(chain_id, start, matches.get_flag("rehearsal"), validators)?;
    if let Some(advice) = network::size_advice(genesis.validators.len()) {
        anyhow::ensure!(matches.get_flag("any-size"), "{advice}, or say --any-size");
        log::warn!("{advice}");
    }
    setup::write_genesis(&path(matches, "file")?, &genesis)?;
    say(&format!("genesis hash {}", genesis.hash()))
}

fn print_identity() -> anyhow::Result<()> {
    let key = identity::link_key(&Credentials::from_environment())?;
    say(&key.identity().to_string())
}

fn hash_token() -> anyhow::Result<()> {
    let token = std::io::read_to_string(std::io::stdin()).context("cannot read the token")?;
    anyhow::ensure!(
        token.trim().len() >= 16,
        "a token of fewer than 16 characters can be guessed"
    );
    say(&Digest::of(token.trim().as_bytes()).to_hex())
}
