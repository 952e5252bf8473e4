//! The steps that are cargo's.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::Options;
use super::step::Outcome;
use crate::house::{self, House};
use crate::source::has_example;
use crate::{advisories as extract, tools};

pub(super) fn format(house: &House, _: &Options) -> Result<Outcome> {
    for workspace in ["Cargo.toml", "fuzz/Cargo.toml"] {
        let mut format = house.cargo();
        format.args(["fmt", "--all", "--manifest-path", workspace]);
        // Names the files; `cargo fmt` mends them.
        house::run(format.args(["--", "--check", "-l"]))?;
    }
    Ok(Outcome::passed())
}

pub(super) fn lints(house: &House, _: &Options) -> Result<Outcome> {
    let mut clippy = house.cargo();
    clippy.args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ]);
    house::run(&mut clippy)?;
    Ok(Outcome::passed())
}

/// Every lock file: the workspace, and the two that stand outside of it.
const MANIFESTS: [&str; 3] = [
    "Cargo.toml",
    "fuzz/Cargo.toml",
    "crates/camera-libcamera/Cargo.toml",
];

pub(super) fn licences(house: &House, _: &Options) -> Result<Outcome> {
    for manifest in MANIFESTS {
        let mut check = deny(house, manifest)?;
        check.args(["check", "--hide-inclusion-graph"]);
        // Of the two outside only what they have of their own is looked at: the lists of licences
        // and of second versions are the workspace's.
        let others = [
            "license-not-encountered",
            "license-exception-not-encountered",
            "unmatched-skip",
            "unnecessary-skip",
            "duplicate",
        ];
        if manifest == "Cargo.toml" {
            check.args(["--allow", "license-exception-not-encountered"]);
        } else {
            check.args(others.iter().flat_map(|code| ["--allow", code]));
        }
        house::run(check.args(["licenses", "bans", "sources"]))?;
    }
    Ok(Outcome::passed())
}

fn deny(house: &House, manifest: &str) -> Result<Command> {
    let deny = tools::find_or_install(house, "cargo-deny", "cargo-deny")?;
    let mut deny = house.program(deny);
    deny.args(["--manifest-path", manifest, "--config", "deny.toml"]);
    Ok(deny)
}

/// Known weaknesses of what we depend on, by the newest list that can be had: fetched now, or
/// fetched before and not older than cargo-deny accepts, which is 90 days, or the extract in the
/// tree, whose day the summary names.
pub(super) fn advisories(house: &House, _: &Options) -> Result<Outcome> {
    let mut fetch = deny(house, "Cargo.toml")?;
    let is_new = house::run(fetch.args(["--log-level", "off", "fetch", "db"])).is_ok();
    match (is_new, kept_list(house)) {
        (true, _) => {}
        (false, Some(day)) => house::say(&format!("no newer list than that of {day} can be had")),
        (false, None) => {
            house::say("no list of advisories can be reached, and none was kept");
            return by_extract(house);
        }
    }
    for manifest in MANIFESTS {
        let mut check = deny(house, manifest)?;
        check.args(["check", "--disable-fetch", "--hide-inclusion-graph"]);
        house::run(check.arg("advisories"))?;
    }
    Ok(Outcome::passed())
}

fn by_extract(house: &House) -> Result<Outcome> {
    let locks = MANIFESTS.map(|manifest| house.path(manifest).with_file_name("Cargo.lock"));
    let (day, hits) = extract::look(house, &locks)?;
    hits.iter().for_each(|hit| house::say(&hit.to_string()));
    anyhow::ensure!(hits.is_empty(), "{} known weaknesses", hits.len());
    Ok(Outcome::By(format!("the list of {day}")))
}

/// The day of the list that was fetched last, if there is one.
fn kept_list(house: &House) -> Option<String> {
    let lists = tools::cargo_home().ok()?.join("advisory-dbs");
    let lists = std::fs::read_dir(lists).ok()?.flatten();
    let list = lists.map(|entry| entry.path()).find(|path| path.is_dir())?;
    let mut ask = house.program("git");
    ask.arg("-C").arg(list).args(["log", "-1", "--format=%cs"]);
    let day = house::output(&mut ask).ok()?;
    Some(day.trim().to_owned())
}

/// Only of the crates that have examples: rustdoc reads a whole crate to find that it has none.
pub(super) fn doc_tests(house: &House, _: &Options) -> Result<Outcome> {
    let mut command = house.cargo();
    command.args(["test", "--doc", "--quiet", "--no-fail-fast"]);
    for package in packages_with_examples(house)? {
        command.args(["--package", &package]);
    }
    let (ended, said) = house::watch(&mut command)?;
    let results = said
        .lines()
        .filter_map(|line| line.strip_prefix("test result: "));
    let (mut passed, mut failed) = (0, 0);
    for result in results {
        passed += number_before(result, " passed");
        failed += number_before(result, " failed");
    }
    if failed == 0 {
        ended?;
    }
    Ok(Outcome::Ran { passed, failed })
}

fn packages_with_examples(house: &House) -> Result<Vec<String>> {
    let mut packages = vec![];
    for entry in std::fs::read_dir(house.path("crates"))? {
        let entry = entry?;
        let pattern = format!("crates/{}/src/*.rs", entry.file_name().display());
        let sources = house.tracked(&pattern)?;
        let mut texts = sources.iter().map(std::fs::read_to_string);
        // Files that are gone but still tracked have none.
        if texts.any(|text| text.is_ok_and(|text| has_example(&text))) {
            packages.push(format!("birthmark-{}", entry.file_name().display()));
        }
    }
    anyhow::ensure!(!packages.is_empty(), "no crate has an example");
    Ok(packages)
}

/// The number that stands before `word`.
fn number_before(text: &str, word: &str) -> u64 {
    let before = text.split(word).next().unwrap_or_default();
    let digits = before
        .rsplit(|letter: char| !letter.is_ascii_digit())
        .next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// The signer as it ships, without the development keys that the demonstration brings into a build
/// of everything.
pub(super) fn shipped_signer(house: &House, _: &Options) -> Result<Outcome> {
    shipped(house, &["--package", "birthmark-signer", "key_stores"])
}

/// The camera as it ships, without the painted scene that the demonstration brings into a build of
/// everything.
pub(super) fn shipped_camera(house: &House, _: &Options) -> Result<Outcome> {
    shipped(
        house,
        &["--package", "birthmark-capture", "--test", "shipped"],
    )
}

/// One crate by itself: what others of the workspace turn on in it stays off.
fn shipped(house: &House, selected: &[&str]) -> Result<Outcome> {
    let mut nextest = house.program(tools::find_or_install(
        house,
        "cargo-nextest",
        "cargo-nextest",
    )?);
    house::run(nextest.args(["nextest", "run"]).args(selected))?;
    Ok(Outcome::passed())
}

pub(super) fn tests(house: &House, _: &Options) -> Result<Outcome> {
    tools::find_or_install(house, "cargo-nextest", "cargo-nextest")?;
    // The runner keeps them in the workspace, wherever cargo builds: `store` in
    // .config/nextest.toml.
    let results = house.path("target/nextest/default/junit.xml");
    if results.exists() {
        std::fs::remove_file(&results).context("cannot remove the results of the last run")?;
    }
    let mut nextest = house.program(tools::find_or_install(
        house,
        "cargo-nextest",
        "cargo-nextest",
    )?);
    nextest.args(["nextest", "run", "--workspace", "--no-fail-fast"]);
    let ended = house::run(&mut nextest);
    if !results.exists() {
        // It did not come to running them.
        ended?;
    }
    counts(&results)
}

/// The sums the runner writes into the first element of its results.
fn counts(results: &Path) -> Result<Outcome> {
    let text = std::fs::read_to_string(results).context("the runner left no results")?;
    let sums = text
        .split("<testsuites ")
        .nth(1)
        .and_then(|rest| rest.split('>').next());
    let sums = sums.context("the runner's results have no sums")?;
    let number = |name: &str| -> Result<u64> {
        let value = sums
            .split(&format!("{name}=\""))
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        let value = value.with_context(|| format!("the runner's results have no {name}"))?;
        value
            .parse()
            .with_context(|| format!("{name} is no number"))
    };
    let failed = number("failures")? + number("errors")?;
    Ok(Outcome::Ran {
        passed: number("tests")?.saturating_sub(failed),
        failed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_of_a_doc_test_run_are_read() {
        let line =
            "FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        assert_eq!(number_before(line, " passed"), 12);
        assert_eq!(number_before(line, " failed"), 3);
        assert_eq!(number_before("nothing", " passed"), 0);
    }
}
