//! Verifiers from the Python registry, against what a running registry says.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Options;
use super::step::Outcome;
use crate::house::{self, House};
use crate::tools;

/// Exactly these: a newer one is looked at by a person before it decides whether our tests pass.
const PACKAGES: [&str; 3] = [
    "aics-tlog==0.2.1",
    "aics-witness==0.1.0",
    "cryptography==50.0.2",
];
/// The Python that the packages ask for.
const PYTHON: &str = "import sys; sys.exit(sys.version_info < (3, 12))";

/// Installs the packages into a folder of their own and runs the tests that need them.
pub(super) fn packages(house: &House, _: &Options) -> Result<Outcome> {
    let Some(python) = python(house) else {
        return Ok(Outcome::skipped("no Python of 3.12 or newer is installed"));
    };
    let folder = house.target().join("foreign");
    if let Err(error) = install(house, &python, &folder) {
        house::say(&format!("{error:#}"));
        return Ok(Outcome::skipped(
            "the packages cannot be had from the Python registry, as said above",
        ));
    }
    let programs = folder.join("bin");
    let house = house.with_variable("BIRTHMARK_FOREIGN", &programs.to_string_lossy());
    let nextest = tools::find_or_install(&house, "cargo-nextest", "cargo-nextest")?;
    let mut tests = house.program(nextest);
    tests.args(["nextest", "run", "--workspace", "--run-ignored", "only"]);
    house::run(tests.args(["-E", "test(/^foreign::packages::/)"]))?;
    Ok(Outcome::passed())
}

/// A Python that the packages run on: on the PATH, or one of those that pyenv keeps.
fn python(house: &House) -> Option<PathBuf> {
    let named = ["python3.14", "python3.13", "python3.12", "python3"];
    let kept = tools::pyenv_folders();
    let kept = kept.into_iter().map(|folder| folder.join("python3"));
    let found = named.iter().filter_map(|name| tools::find(name));
    found.chain(kept).find(|python| {
        let asked = house.program(python).args(["-c", PYTHON]).output();
        asked.is_ok_and(|asked| asked.status.success())
    })
}

/// Installs them, unless just these are there already.
fn install(house: &House, python: &Path, folder: &Path) -> Result<()> {
    let done = folder.join("installed");
    let wanted = PACKAGES.join("\n");
    if std::fs::read_to_string(&done).is_ok_and(|kept| kept == wanted) {
        return Ok(());
    }
    let mut make = house.program(python);
    house::run(make.args(["-m", "venv", "--clear"]).arg(folder))?;
    let mut install = house.program(folder.join("bin/pip"));
    install.args(["install", "--quiet", "--disable-pip-version-check"]);
    house::run(install.args(PACKAGES))?;
    Ok(std::fs::write(done, wanted)?)
}
