//! The steps that are cargo's.

use std::path::Path;

use anyhow::{Context, Result};

use super::Options;
use super::step::Outcome;
use crate::house::{self, House};
use crate::tools;

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

pub(super) fn licences(house: &House, _: &Options) -> Result<Outcome> {
    let deny = tools::find_or_install(house, "cargo-deny")?;
    let mut check = house.program(deny);
    house::run(check.args([
        "check",
        "--hide-inclusion-graph",
        "licenses",
        "bans",
        "sources",
    ]))?;
    Ok(Outcome::passed())
}

pub(super) fn advisories(house: &House, _: &Options) -> Result<Outcome> {
    let deny = tools::find_or_install(house, "cargo-deny")?;
    let mut fetch = house.program(&deny);
    if house::run(fetch.args(["--log-level", "off", "fetch", "db"])).is_err() {
        return Ok(Outcome::skipped("the advisory database cannot be reached"));
    }
    let mut check = house.program(&deny);
    house::run(check.args([
        "check",
        "--disable-fetch",
        "--hide-inclusion-graph",
        "advisories",
    ]))?;
    Ok(Outcome::passed())
}

pub(super) fn doc_tests(house: &House, _: &Options) -> Result<Outcome> {
    let mut command = house.cargo();
    command.args(["test", "--workspace", "--doc", "--quiet", "--no-fail-fast"]);
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

/// The number that stands before `word`.
fn number_before(text: &str, word: &str) -> u64 {
    let before = text.split(word).next().unwrap_or_default();
    let digits = before
        .rsplit(|letter: char| !letter.is_ascii_digit())
        .next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// The signer as it ships, without the development keys that the demonstration brings into a build of everything.
pub(super) fn shipped_signer(house: &House, _: &Options) -> Result<Outcome> {
    let mut nextest = house.program(tools::find_or_install(house, "cargo-nextest")?);
    let selected = [
        "nextest",
        "run",
        "--package",
        "birthmark-signer",
        "key_stores",
    ];
    house::run(nextest.args(selected))?;
    Ok(Outcome::passed())
}

pub(super) fn tests(house: &House, _: &Options) -> Result<Outcome> {
    tools::find_or_install(house, "cargo-nextest")?;
    // The runner keeps them in the workspace, wherever cargo builds: `store` in .config/nextest.toml.
    let results = house.path("target/nextest/default/junit.xml");
    if results.exists() {
        std::fs::remove_file(&results).context("cannot remove the results of the last run")?;
    }
    let mut nextest = house.program(tools::find_or_install(house, "cargo-nextest")?);
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
