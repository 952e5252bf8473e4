//! Revocations.

use anyhow::{Context as _, bail};
use axum::http::Method;
use birthmark_daemon::Context;
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, value_parser};
use serde_json::Value;

use super::client::{Client, refusal};
use super::{field, moment, option, print, text};
use crate::judge::rules::Scope;
use crate::settings::Settings;
use crate::tell::revocation::RevokeRequest;

pub(super) fn revoke_command() -> Command {
    Command::new("revoke")
        .about("Revoke a camera, a model, or a range; holds for the very next question")
        .arg(option("device", "SERIAL", "One camera"))
        .arg(option("family", "NAME", "Every camera of a model"))
        .arg(option(
            "firmware",
            "FROM..TO",
            "Every camera provisioned with a firmware of this range",
        ))
        .arg(option(
            "certificates",
            "FIRST..LAST",
            "Certificates by serial number, in hexadecimal",
        ))
        .arg(option(
            "issued",
            "FROM..UNTIL",
            "Certificates issued between two moments (RFC 3339 or seconds since 1970)",
        ))
        .group(
            ArgGroup::new("scope")
                .args(["device", "family", "firmware", "certificates", "issued"])
                .required(true),
        )
        .arg(option("from", "MOMENT", "From when [default: now]"))
        .arg(option("until", "MOMENT", "Until when [default: for good]"))
        .arg(option("reason", "TEXT", "Why; stays in the authority's database").required(true))
        .arg(option(
            "public-reason",
            "TEXT",
            "Why, for everybody: stands in the public list at once",
        ))
        .arg(
            Arg::new("even-if-none")
                .long("even-if-none")
                .action(ArgAction::SetTrue)
                .help("Do not ask when no registered camera is covered"),
        )
}

fn ends(text: &str) -> anyhow::Result<(&str, &str)> {
    text.split_once("..")
        .with_context(|| format!("{text:?} is not FROM..TO"))
}

fn scope(matches: &ArgMatches) -> anyhow::Result<Scope> {
    let given = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    if let Some(serial) = given("device") {
        return Ok(Scope::Device {
            serial: serial.into(),
        });
    }
    if let Some(range) = given("firmware") {
        let (from, to) = ends(range)?;
        return Ok(Scope::Firmware {
            family: None,
            from: from.into(),
            to: to.into(),
        });
    }
    if let Some(range) = given("certificates") {
        let (first, last) = ends(range)?;
        return Ok(Scope::Certificates {
            first: first.into(),
            last: last.into(),
        });
    }
    if let Some(range) = given("issued") {
        let (from, until) = ends(range)?;
        return Ok(Scope::Issued {
            from: moment(from)?,
            until: moment(until)?,
        });
    }
    match given("family") {
        Some(family) => Ok(Scope::Family {
            family: family.into(),
        }),
        None => bail!("say what to revoke"),
    }
}

pub(super) async fn revoke(
    settings: Settings,
    matches: ArgMatches,
    context: Context,
) -> anyhow::Result<()> {
    let at = |name: &str| {
        matches
            .get_one::<String>(name)
            .map(|text| moment(text))
            .transpose()
    };
    let mut request = RevokeRequest {
        scope: scope(&matches)?,
        from: at("from")?,
        until: at("until")?,
        reason: text(&matches, "reason")?.into(),
        public_reason: matches.get_one::<String>("public-reason").cloned(),
        even_if_none: matches.get_flag("even-if-none"),
    };
    let client = Client::reach(&settings, &context.credentials).await?;
    let mut answer = pronounce(&client, &request).await?;
    // 409: nothing is covered, which a mistyped name looks like.
    if let (409, refused) = &answer {
        let sentence = refusal(refused).context("the authority refused without a reason")?;
        if !confirmed(&sentence)? {
            client.finish().await?;
            bail!("{sentence}; nothing was revoked. Give --even-if-none to revoke all the same");
        }
        request.even_if_none = true;
        answer = pronounce(&client, &request).await?;
    }
    client.finish().await?;
    let (status, answer) = answer;
    if status != 201 {
        bail!(refusal(&answer).unwrap_or_else(|| format!("the authority answered {status}")));
    }
    print(&format!(
        "Revocation {} is in force; it covers {} registered cameras",
        field(&answer, "id"),
        field(&answer, "cameras")
    ))
}

async fn pronounce(client: &Client, request: &RevokeRequest) -> anyhow::Result<(u16, Value)> {
    client
        .send(Method::POST, "/api/v1/revocations", Some(request))
        .await
}

/// Whether the person at the terminal says yes; nobody does where there is none.
fn confirmed(sentence: &str) -> anyhow::Result<bool> {
    use std::io::{IsTerminal, Write};
    let (input, mut output) = (std::io::stdin(), std::io::stderr());
    if !input.is_terminal() || !output.is_terminal() {
        return Ok(false);
    }
    write!(output, "{sentence}. Revoke all the same? [y/N] ")?;
    output.flush()?;
    let mut line = String::new();
    input.read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

pub(super) fn lift_command() -> Command {
    Command::new("lift").about("Lift a revocation").arg(
        Arg::new("id")
            .required(true)
            .value_parser(value_parser!(i64))
            .help("The revocation's number"),
    )
}

pub(super) async fn lift(
    settings: Settings,
    matches: ArgMatches,
    context: Context,
) -> anyhow::Result<()> {
    let id = matches.get_one::<i64>("id").context("no number")?;
    Client::once(
        &settings,
        &context.credentials,
        Method::DELETE,
        &format!("/api/v1/revocations/{id}"),
        None::<&Value>,
    )
    .await?;
    print(&format!("Revocation {id} is lifted"))
}

pub(super) fn list_command() -> Command {
    Command::new("revocations").about("List all revocations as JSON, newest first")
}

pub(super) async fn list(
    settings: Settings,
    _: ArgMatches,
    context: Context,
) -> anyhow::Result<()> {
    let answer = Client::once(
        &settings,
        &context.credentials,
        Method::GET,
        "/api/v1/revocations",
        None::<&Value>,
    )
    .await?;
    print(&serde_json::to_string_pretty(&answer)?)
}
