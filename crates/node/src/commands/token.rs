//! `token`: takes the token that an authority gave to this validator, so that it answers at a
//! validator's rate.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use birthmark_daemon::{Program, durable};
use clap::{Arg, ArgMatches, value_parser};
use zeroize::Zeroizing;

use super::{command, path, say};
use crate::authorities::token_credential;
use crate::authority::{AskError, AuthorityClient};
use crate::settings::{AuthoritySettings, Settings};

/// Where systemd looks for what units import.
const CREDSTORE: &str = "/etc/credstore";
/// Fewer characters can be guessed.
const SHORTEST: usize = 16;

pub(super) fn add(program: Program<Settings>) -> Program<Settings> {
    let token = command(
        "token",
        "Takes the token that an authority gave to this validator, read from standard input, and keeps it as a credential",
    )
    .long_about(
        "Takes the token that an authority gave to this validator, read from standard input, asks the authority whether it knows \
         it, and keeps it as a credential of the unit.\n\nThe authority's administrator makes one with `birthmark-sma token create \
         NAME --role validate`. It counts from the node's next start.",
    )
    .arg(
        Arg::new("authority")
            .value_name("AUTHORITY")
            .required(true)
            .help("The authority's id, as it stands in the configuration"),
    )
    .arg(
        Arg::new("to")
            .long("to")
            .value_name("FOLDER")
            .value_parser(value_parser!(PathBuf))
            .default_value(CREDSTORE)
            .help("Where credentials lie"),
    );
    program.command(token, |settings, matches, _| async move {
        keep(&settings, &matches).await
    })
}

async fn keep(settings: &Settings, matches: &ArgMatches) -> anyhow::Result<()> {
    let id: &String = matches
        .get_one("authority")
        .context("AUTHORITY is missing")?;
    let configured = settings.authorities.iter().find(|entry| entry.id == *id);
    let entry = configured.with_context(|| {
        let known: Vec<_> = settings.authorities.iter().map(|one| &one.id).collect();
        format!("the configuration has no authority {id:?}; it has {known:?}")
    })?;
    let name = match &entry.token_credential {
        Some(name) => name.clone(),
        None => token_credential(id).with_context(|| {
            format!("{id:?} can be no file's name: set `token_credential` in its entry")
        })?,
    };
    let token = read()?;
    let known = ask(entry, &token).await?;
    let file = path(matches, "to")?.join(&name);
    // An earlier token is replaced: it is no use any more where this one is known.
    durable::replace(&file, token.as_bytes(), durable::PRIVATE)
        .with_context(|| format!("{}", file.display()))?;
    say(&format!(
        "{known}. Its token is kept in {}, and counts from the node's next start",
        file.display()
    ))
}

fn read() -> anyhow::Result<Zeroizing<String>> {
    if std::io::stdin().is_terminal() {
        write!(std::io::stderr(), "The token: ").context("cannot ask for the token")?;
    }
    let mut line = Zeroizing::new(String::new());
    std::io::stdin()
        .read_line(&mut line)
        .context("cannot read the token")?;
    let token = Zeroizing::new(line.trim().to_owned());
    ensure!(
        token.len() >= SHORTEST && token.chars().all(|letter| letter.is_ascii_graphic()),
        "this is no token: it has {} characters, and what authorities print has no spaces and at least {SHORTEST}",
        token.chars().count()
    );
    Ok(token)
}

/// Asks with an empty batch, which authorities answer to those that they know. One that does not
/// know the token is an error; one that is away may know it.
async fn ask(entry: &AuthoritySettings, token: &Zeroizing<String>) -> anyhow::Result<String> {
    let id = &entry.id;
    if !entry.batches {
        return Ok(format!("{id} was not asked: it knows no batches"));
    }
    let client = AuthorityClient::with_token(entry, Some(token.clone()))?;
    match client.ask_batch(&[]).await {
        Ok(_) | Err(AskError::Question(_)) => Ok(format!("{id} knows this validator")),
        Err(AskError::Token(reason)) => anyhow::bail!(
            "{id} does not know this token ({reason}): ask its administrator for one with the role `validate`"
        ),
        Err(error) => Ok(format!(
            "Whether {id} knows this validator is not known: {error}"
        )),
    }
}
