//! Tokens of operators, rotation of keys, and the audit chain.

use anyhow::{Context as _, ensure};
use axum::http::Method;
use birthmark_daemon::Context;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::Value;

use super::client::Client;
use super::{field, file, moment, option, path, print, read, text};
use crate::clock;
use crate::settings::Settings;
use crate::setup::ROOT_CREDENTIAL;
use crate::tell::api::control::{Distrust, NewToken, RotateCa};
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
    let days = option(
        "days",
        "DAYS",
        "Days until it expires [default: 7 if it enrols cameras, else never]",
    )
    .value_parser(value_parser!(u32));
    let serial = option(
        "serial",
        "SERIAL",
        "A camera that a token with the role provision enrols; can be given again",
    )
    .action(ArgAction::Append);
    let cameras = option(
        "cameras",
        "NUMBER",
        "How many cameras it enrols, whichever they are",
    )
    .value_parser(value_parser!(u32))
    .conflicts_with("serial");
    Command::new("token")
        .about("Make, withdraw and list tokens of operators, cards and validators")
        .subcommand_required(true)
        .subcommand(
            Command::new("create")
                .about("Make a token and print it, once")
                .arg(name())
                .arg(role)
                .arg(serial)
                .arg(cameras)
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
            let all = |name: &str| {
                let given = asked.get_many::<String>(name);
                given.into_iter().flatten().cloned().collect()
            };
            let request = NewToken {
                name: text(asked, "name")?.into(),
                roles: all("role"),
                days: asked.get_one("days").copied(),
                serials: all("serial"),
                cameras: asked.get_one("cameras").copied(),
            };
            let answer = client
                .ask(Method::POST, "/control/tokens", Some(&request))
                .await?;
            let token = field(&answer, "token").as_str();
            token.context("the answer holds no token")?.to_owned()
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
    let key = field(&answer, "public_key").as_str();
    print(key.context("the answer holds no key")?)
}

pub(super) fn distrust_command() -> Command {
    Command::new("distrust")
        .about("Declare that a retired key may have been in other hands: nothing it signed is believed")
        .long_about("Declare that a retired intermediate or verdict key may have been in other hands: nothing it signed is believed any more.\n\nCertificates of cameras under a distrusted intermediate are refused and stand in its revocation list. Verdicts are not ours to take back: tell the validators to remove a distrusted verdict key. A key in use has to be replaced first (rotate-ca, rotate-verdict-key).")
        .arg(
            Arg::new("key")
                .required(true)
                .value_name("KEY")
                .help("The key's id, 16 hexadecimal characters"),
        )
        .arg(option("from", "MOMENT", "Since when [default: now]"))
}

pub(super) async fn distrust(
    settings: Settings,
    matches: ArgMatches,
    context: Context,
) -> anyhow::Result<()> {
    let from = matches.get_one::<String>("from");
    let request = Distrust {
        key: text(&matches, "key")?.into(),
        from: from.map_or_else(|| Ok(clock::now().unix()), |text| moment(text))?,
    };
    Client::once(
        &settings,
        &context.credentials,
        Method::POST,
        "/control/distrust",
        Some(&request),
    )
    .await?;
    print(&format!(
        "Nothing that key {} signed is believed any more",
        request.key
    ))
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
