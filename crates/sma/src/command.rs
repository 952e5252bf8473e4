//! The command line. While the authority runs, commands reach it through the control socket;
//! otherwise they open the database themselves. Either way they pass the same checks and leave the
//! same traces in the audit log.

mod begin;
mod cameras;
mod client;
mod epochs;
mod keys;
mod revoke;

use std::path::PathBuf;

use anyhow::Context as _;
use birthmark_daemon::Program;
use clap::{Arg, ArgMatches, value_parser};

use serde_json::Value;

use crate::settings::Settings;

/// The program with all its commands.
pub fn program() -> Program<Settings> {
    Program::new("Certifies cameras, and says whether one stands behind a photo without learning which photo")
        .command(begin::init_command(), begin::init)
        .command(begin::backup_command(), begin::backup)
        .command(begin::restore_command(), begin::restore)
        .command(cameras::provision_command(), cameras::provision)
        .command(cameras::bulk_command(), cameras::bulk)
        .command(cameras::export_command(), cameras::export)
        .command(cameras::import_command(), cameras::import)
        .command(revoke::revoke_command(), revoke::revoke)
        .command(revoke::lift_command(), revoke::lift)
        .command(revoke::list_command(), revoke::list)
        .command(keys::token_command(), keys::token)
        .command(keys::rotate_ca_command(), keys::rotate_ca)
        .command(keys::rotate_verdict_command(), keys::rotate_verdict)
        .command(keys::distrust_command(), keys::distrust)
        .command(cameras::release_command(), cameras::release)
        .command(epochs::epoch_command(), epochs::epochs)
        .command(keys::audit_command(), keys::audit)
}

/// An option with a value.
fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

/// An option with a path.
fn file(name: &'static str, help: &'static str) -> Arg {
    option(name, "FILE", help).value_parser(value_parser!(PathBuf))
}

fn text<'a>(matches: &'a ArgMatches, name: &str) -> anyhow::Result<&'a str> {
    matches
        .get_one::<String>(name)
        .map(String::as_str)
        .with_context(|| format!("--{name} is missing"))
}

fn path<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a PathBuf> {
    matches.get_one::<PathBuf>(name)
}

/// A moment: RFC 3339 or seconds since 1970.
fn moment(text: &str) -> anyhow::Result<i64> {
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    let parsed = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339);
    Ok(parsed
        .with_context(|| format!("{text:?} is neither RFC 3339 nor seconds since 1970"))?
        .unix_timestamp())
}

fn read(path: &PathBuf) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))
}

/// A field of an answer; null if it is not there.
fn field<'a>(answer: &'a Value, name: &str) -> &'a Value {
    answer.get(name).unwrap_or(&Value::Null)
}

/// Prints an answer, which is what the command was called for.
fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    writeln!(std::io::stdout(), "{}", text.trim_end()).context("cannot write to standard output")
}
