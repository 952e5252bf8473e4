//! Tokens of operators, rotation of keys, and the audit chain.

use anyhow::{Context as _, ensure};
use axum::http::Method;
use birthmark_daemon::Context;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::Value;

use super::client::Client;
use super::{field, file, option, path, print, read, text};
use crate::settings::Settings;
use crate::setup::ROOT_CREDENTIAL;
use crate::tell::api::control::{NewToken, RotateCa};
use crate::tell::operators::Role;

/// A body-less request.
const NOTHING: Option<&Value> = None;

pub(super) fn token_command() -> Command {
    let name = || Arg::new("name").required(true).help("Whose");
    let roles = Role::OF_TOKENS.map(Role::name);
    let role = Arg::new("role")
        .long("role")
        .required(true)
        .action(ArgAction::Append)
        .value_parser(roles)
        .help("What it allows; can be given again");
    let days = option("days", "DAYS", "Days until it expires [default: never]")
        .value_parser(value_parser!(u32));
    Command::new("token")
        .about("Make, withdraw and list operators' tokens")
        .subcommand_required(true)
        .subcommand(
            Command::new("create")
                .about("Make a token and print it, once")
                .arg(name())
                .arg(role)
                .arg(days),
        )
        .subcommand(Command::new("revoke").about("Withdraw a token").arg(name()))
        .subcommand(Command::new("list").about("List tokens as JSON"))
}

pub(super) async fn token(
    settings: Settings,
    matches: ArgMatches,
    context: Context,
) -> anyhow::Result<()> {
    let client = Client::reach(&settings, &context.credentials).await?;
    let output = match matches.subcommand() {
        Some(("create", asked)) => {
            let roles = asked
                .get_many::<String>("role")
                .into_iter()
                .flatten()
                .cloned()
                .collect();
            let request = NewToken {
                name: text(asked, "name")?.into(),
                roles,
                days: asked.get_one("days").copied(),
            };
            let answer = client
                .ask(Method::POST, "/control/tokens", Some(&request))
                .await?;
            field(&answer, "token")
                .as_str()
                .unwrap_or_default()
                .to_owned()
        }
        Some(("revoke", asked)) => {
            let name = text(asked, "name")?;
            client
                .ask(Method::DELETE, &format!("/control/tokens/{name}"), NOTHING)
                .await?;
            format!("The token of {name} is withdrawn")
        }
        _ => serde_json::to_string_pretty(
            &client.ask(Method::GET, "/control/tokens", NOTHING).await?,
        )?,
    };
    client.finish().await?;
    print(&output)
}

pub(super) fn rotate_ca_command() -> Command {
    Command::new("rotate-ca")
        .about("Put a new intermediate in the place of the one in use")
        .long_about("Put a new intermediate in the place of the one in use. Needs the root's private key for this moment, and its passphrase in the credential `root-passphrase`.")
        .arg(file("root-key", "The root's private key, PEM").required(true))
}

pub(super) async fn rotate_ca(
    settings: Settings,
    matches: ArgMatches,
    context: Context,
) -> anyhow::Result<()> {
    let root_key = read(path(&matches, "root-key").context("--root-key is missing")?)?;
    let passphrase = context.credentials.optional(ROOT_CREDENTIAL)?;
    let passphrase = passphrase
        .as_ref()
        .map(|secret| secret.text().map(str::to_owned))
        .transpose()?;
    Client::once(
        &settings,
        &context.credentials,
        Method::POST,
        "/control/rotate-ca",
        Some(&RotateCa {
            root_key,
            passphrase,
        }),
    )
    .await?;
    print(
        "A new intermediate certifies cameras from now on; certificates of the old one stay valid",
    )
}

pub(super) fn rotate_verdict_command() -> Command {
    Command::new("rotate-verdict-key")
        .about("Put a new verdict key in the place of the one in use, and print its public half")
}

pub(super) async fn rotate_verdict(
    settings: Settings,
    _: ArgMatches,
    context: Context,
) -> anyhow::Result<()> {
    let answer = Client::once(
        &settings,
        &context.credentials,
        Method::POST,
        "/control/rotate-verdict-key",
        NOTHING,
    )
    .await?;
    print(field(&answer, "public_key").as_str().unwrap_or_default())
}

pub(super) fn audit_command() -> Command {
    let verify = Command::new("verify")
        .about("Check that no audit row was changed or removed")
        .arg(option(
            "expect-link",
            "HEX",
            "A link noted earlier as the head: fails if the log no longer ends with it",
        ));
    Command::new("audit")
        .about("Look after the audit log")
        .subcommand_required(true)
        .subcommand(verify)
}

pub(super) async fn audit(
    settings: Settings,
    matches: ArgMatches,
    context: Context,
) -> anyhow::Result<()> {
    let report = Client::once(
        &settings,
        &context.credentials,
        Method::GET,
        "/control/audit",
        NOTHING,
    )
    .await?;
    print(&serde_json::to_string_pretty(&report)?)?;
    ensure!(
        field(&report, "broken").is_null(),
        "the audit log was tampered with"
    );
    let asked = matches.subcommand_matches("verify");
    if let Some(expected) = asked.and_then(|asked| asked.get_one::<String>("expect-link")) {
        ensure!(
            field(&report, "link") == expected.as_str(),
            "the audit log does not end where it was noted to end"
        );
    }
    Ok(())
}
