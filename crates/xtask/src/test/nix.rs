//! The steps that are Nix's: run where its programs are, skipped in words elsewhere.

use std::process::Stdio;

use anyhow::Result;

use super::Options;
use super::step::Outcome;
use crate::house::{self, House};
use crate::tools;

pub(super) fn format(house: &House, _: &Options) -> Result<Outcome> {
    on_nix_files(house, "nixfmt", "nixfmt_rs", "--check")
}

pub(super) fn dead_code(house: &House, _: &Options) -> Result<Outcome> {
    on_nix_files(house, "deadnix", "deadnix", "--fail")
}

fn on_nix_files(house: &House, name: &str, package: &str, mode: &str) -> Result<Outcome> {
    let files = house.tracked("*.nix")?;
    if files.is_empty() {
        return Ok(Outcome::skipped("there are no Nix files"));
    }
    let program = tools::find_or_install(house, name, package)?;
    house::run(house.program(program).arg(mode).args(files))?;
    Ok(Outcome::passed())
}

/// Evaluates every output for every system; builds nothing.
pub(super) fn evaluation(house: &House, _: &Options) -> Result<Outcome> {
    let Some(nix) = tools::find("nix") else {
        return Ok(Outcome::skipped("nix is not installed"));
    };
    let flakes = ["--extra-experimental-features", "nix-command flakes"];
    let mut inputs = house.program(&nix);
    inputs
        .args(flakes)
        .args(["flake", "archive", "--dry-run", "--json"]);
    if !inputs
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
    {
        return Ok(Outcome::skipped("the flake's inputs cannot be reached"));
    }
    let mut check = house.program(&nix);
    check
        .args(flakes)
        .args(["flake", "check", "--no-build", "--all-systems"]);
    house::run(&mut check)?;
    Ok(Outcome::passed())
}
