//! Cameras: one, many, and those of other authorities.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};

use anyhow::{Context as _, bail, ensure};
use axum::http::Method;
use birthmark_daemon::{Context, durable};
use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use super::client::{Client, refusal};
use super::{field, file, option, path, print, read, text};
use crate::keep::exchange::{DeviceRegistryFile, DevicesPage};
use crate::settings::Settings;
use crate::setup::write_once;

/// What the columns of a CSV file may be.
const HEADERS: [&str; 3] = [
    "serial,family,public_key_file",
    "serial,family,public_key_file,nuc_hash",
    "serial,family,public_key_file,nuc_hash,firmware",
];
/// Cameras sent in one piece when importing.
const PIECE: usize = 500;
/// A body-less request.
const NOTHING: Option<&Value> = None;

pub(super) fn provision_command() -> Command {
    Command::new("provision")
        .about("Register one camera and write the file it loads")
        .arg(option("serial", "SERIAL", "The maker's number").required(true))
        .arg(option("family", "NAME", "The model").required(true))
        .arg(file("public-key", "The camera's public key, PEM").conflicts_with("csr"))
        .arg(file("csr", "The camera's certificate request, PEM"))
        .arg(option(
            "nuc-hash",
            "HEX",
            "The NUC hash; made up if left out and `provisioning.simulate_nuc` says so",
        ))
        .arg(option("firmware", "VERSION", "What it runs"))
        .arg(
            file(
                "out",
                "The provisioning file, which must not exist; readable by its owner only",
            )
            .required(true),
        )
}

pub(super) async fn provision(
    settings: Settings,
    matches: ArgMatches,
    context: Context,
) -> anyhow::Result<()> {
    let out = path(&matches, "out").context("--out is missing")?;
    let target = NewFile::reserve(out)?;
    let pem = |name| path(&matches, name).map(read).transpose();
    let request = json!({
        "device_serial": text(&matches, "serial")?,
        "device_family": text(&matches, "family")?,
        "device_public_key": pem("public-key")?,
        "csr": pem("csr")?,
        "nuc_hash": matches.get_one::<String>("nuc-hash"),
        "firmware": matches.get_one::<String>("firmware"),
    });
    let answer = Client::once(
        &settings,
        &context.credentials,
        Method::POST,
        "/api/v1/devices/provision",
        Some(&request),
    )
    .await?;
    target.fill(&serde_json::to_vec_pretty(&answer)?)?;
    print(&format!(
        "The camera is registered. It loads {}; remove the file afterwards.",
        out.display()
    ))
}

pub(super) fn bulk_command() -> Command {
    Command::new("provision-bulk")
        .about("Register the cameras of a CSV file; can be called again after an interruption")
        .long_about("Register the cameras of a CSV file with the columns serial, family, public_key_file and, if known, nuc_hash and firmware.\n\nThe report gets one line of JSON per camera. Called again with the same report, cameras that stand in it as done are left out; one that was registered without its file being written is given the same file again.")
        .arg(file("csv", "The cameras").required(true))
        .arg(file("report", "What became of each: appended to").required(true))
        .arg(file("out", "The folder for the provisioning files").required(true))
}

pub(super) async fn bulk(
    settings: Settings,
    matches: ArgMatches,
    context: Context,
) -> anyhow::Result<()> {
    let named = |name: &str| path(&matches, name).with_context(|| format!("--{name} is missing"));
    let (csv, report, out) = (named("csv")?, named("report")?, named("out")?);
    let content = read(csv)?;
    let mut lines = content
        .lines()
        .zip(1..)
        .filter(|(line, _)| !line.trim().is_empty());
    let (header, _) = lines.next().context("the CSV file is empty")?;
    ensure!(
        HEADERS.contains(&header.replace(' ', "").as_str()),
        "the first line must be one of: {}",
        HEADERS.join("; ")
    );
    // Nothing is registered whose file could not be written.
    std::fs::create_dir_all(out).with_context(|| format!("{}", out.display()))?;
    let done = already_done(report)?;
    let mut entries = std::fs::File::options()
        .create(true)
        .append(true)
        .open(report)
        .with_context(|| format!("{}", report.display()))?;
    let client = Client::reach(&settings, &context.credentials).await?;
    let bar = indicatif::ProgressBar::new(content.lines().count().saturating_sub(1) as u64);
    let (mut registered, mut failed) = (0, 0);
    for (line, number) in lines {
        let fields: Vec<_> = line.split(',').map(str::trim).collect();
        let serial = fields.first().copied().context("an empty line")?;
        bar.inc(1);
        if done.contains(serial) {
            continue;
        }
        let outcome = provision_line(&client, &fields, out).await;
        let entry = match &outcome {
            Ok(()) => json!({"serial": serial, "line": number, "state": "done"}),
            Err(error) => {
                json!({"serial": serial, "line": number, "state": "failed", "reason": format!("{error:#}")})
            }
        };
        // If we stop before this line is written, the next call is given the camera's file again.
        writeln!(entries, "{entry}")?;
        entries.sync_data()?;
        if outcome.is_ok() {
            registered += 1
        } else {
            failed += 1
        }
        if context.shutdown.is_requested() {
            break;
        }
    }
    bar.finish_and_clear();
    client.finish().await?;
    print(&format!(
        "{registered} registered, {} left out as done, {failed} failed",
        done.len()
    ))?;
    ensure!(
        failed == 0,
        "{failed} {} not registered: see {}",
        if failed == 1 {
            "camera was"
        } else {
            "cameras were"
        },
        report.display()
    );
    Ok(())
}

/// The serials that stand in the report as done.
fn already_done(report: &std::path::PathBuf) -> anyhow::Result<HashSet<String>> {
    let file = match std::fs::File::open(report) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(HashSet::new()),
        Err(error) => return Err(error).with_context(|| format!("{}", report.display())),
    };
    let mut done = HashSet::new();
    for line in BufReader::new(file).lines() {
        // The last line may be cut off by an interruption.
        let Ok(entry) = serde_json::from_str::<Value>(&line?) else {
            continue;
        };
        if field(&entry, "state") == "done" {
            done.extend(field(&entry, "serial").as_str().map(str::to_owned));
        }
    }
    Ok(done)
}

async fn provision_line(
    client: &Client,
    fields: &[&str],
    out: &std::path::Path,
) -> anyhow::Result<()> {
    let [serial, family, key_file, rest @ ..] = fields else {
        bail!("expected serial, family, public_key_file")
    };
    let target = out.join(format!(
        "{}.json",
        serial.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "_")
    ));
    let optional = |place: usize| rest.get(place).filter(|text| !text.is_empty());
    let request = json!({
        "device_serial": serial,
        "device_family": family,
        "device_public_key": read(&key_file.into())?,
        "nuc_hash": optional(0),
        "firmware": optional(1),
    });
    // Reserved before the camera is registered: a file that cannot be written costs nothing then.
    let target = NewFile::reserve(&target)?;
    let (status, answer) = client
        .send(Method::POST, "/api/v1/devices/provision", Some(&request))
        .await?;
    ensure!(
        matches!(status, 200 | 201),
        "{}",
        refusal(&answer).unwrap_or_else(|| format!("status {status}"))
    );
    target.fill(&serde_json::to_vec_pretty(&answer)?)
}

/// A file that does not exist yet, and whose place is kept under another name until its content is
/// known. Readable by its owner only.
struct NewFile {
    unfinished: std::path::PathBuf,
    target: std::path::PathBuf,
}

impl NewFile {
    fn reserve(target: &std::path::Path) -> anyhow::Result<Self> {
        ensure!(!target.exists(), "{} exists already", target.display());
        let unfinished = target.with_added_extension("unfinished");
        // What an earlier attempt left behind is empty.
        if unfinished.exists() {
            std::fs::remove_file(&unfinished)
                .with_context(|| format!("{}", unfinished.display()))?;
        }
        write_once(&unfinished, b"")?;
        let target = target.to_owned();
        Ok(Self { unfinished, target })
    }

    fn fill(self, content: &[u8]) -> anyhow::Result<()> {
        let named = || format!("{}", self.target.display());
        let mut file = std::fs::File::options()
            .write(true)
            .open(&self.unfinished)
            .with_context(named)?;
        file.write_all(content).with_context(named)?;
        file.sync_all().with_context(named)?;
        // If we stop here, the camera's file can be asked for again.
        durable::publish_new(&self.unfinished, &self.target).with_context(named)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // Gone already after it was filled; otherwise an empty file of no use.
        let _ = std::fs::remove_file(&self.unfinished);
    }
}

pub(super) fn release_command() -> Command {
    Command::new("release-chip")
        .about("Let the chip that enrolled a camera enrol another one, after a repair")
        .arg(
            clap::Arg::new("serial")
                .required(true)
                .value_name("SERIAL")
                .help("The camera that it enrolled"),
        )
}

pub(super) async fn release(
    settings: Settings,
    matches: ArgMatches,
    context: Context,
) -> anyhow::Result<()> {
    let serial = text(&matches, "serial")?;
    let path = format!("/control/devices/{serial}/release-chip");
    Client::once(
        &settings,
        &context.credentials,
        Method::POST,
        &path,
        NOTHING,
    )
    .await?;
    print(&format!(
        "The chip of {serial} may enrol another camera; {serial} itself stays registered"
    ))
}

pub(super) fn export_command() -> Command {
    let what = clap::Arg::new("what")
        .required(true)
        .value_parser(["key-tables", "device-registry"])
        .help("What to export");
    Command::new("export")
        .about("Write key_tables.json or device_registry.json, with all secrets in the clear")
        .arg(what)
        .arg(file("to", "The file, which must not exist").required(true))
}

pub(super) async fn export(
    settings: Settings,
    matches: ArgMatches,
    context: Context,
) -> anyhow::Result<()> {
    let target = path(&matches, "to").context("--to is missing")?;
    let client = Client::reach(&settings, &context.credentials).await?;
    let content = match text(&matches, "what")? {
        "key-tables" => {
            client
                .ask(Method::GET, "/control/key-tables", NOTHING)
                .await?
        }
        _ => {
            let mut devices = Vec::new();
            let mut after = 0;
            loop {
                let page = client
                    .ask(
                        Method::GET,
                        &format!("/control/devices?after={after}"),
                        NOTHING,
                    )
                    .await?;
                let page: DevicesPage = serde_json::from_value(page)?;
                devices.extend(page.devices);
                let Some(next) = page.next else { break };
                after = next;
            }
            serde_json::to_value(DeviceRegistryFile { devices })?
        }
    };
    client.finish().await?;
    write_once(target, serde_json::to_string_pretty(&content)?.as_bytes())
}

pub(super) fn import_command() -> Command {
    Command::new("import")
        .about("Read the cameras of an authority in the field from its device_registry.json")
        .arg(file("from", "The file").required(true))
}

pub(super) async fn import(
    settings: Settings,
    matches: ArgMatches,
    context: Context,
) -> anyhow::Result<()> {
    let source = path(&matches, "from").context("--from is missing")?;
    let registry: DeviceRegistryFile =
        serde_json::from_str(&read(source)?).with_context(|| format!("{}", source.display()))?;
    let client = Client::reach(&settings, &context.credentials).await?;
    let bar = indicatif::ProgressBar::new(registry.devices.len() as u64);
    let (mut imported, mut known) = (0, 0);
    for piece in registry.devices.chunks(PIECE) {
        let answer = client
            .ask(Method::POST, "/control/devices", Some(&piece))
            .await?;
        let number = |name| field(&answer, name).as_u64().context("not an answer");
        imported += number("imported")?;
        known += number("known")?;
        bar.inc(piece.len() as u64);
    }
    bar.finish_and_clear();
    client.finish().await?;
    print(&format!(
        "{imported} cameras were imported, {known} were registered already"
    ))
}
