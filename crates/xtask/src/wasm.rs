//! `cargo xtask wasm`: the pure crates and the browser's verifier for `wasm32-unknown-unknown`.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::house::{self, House};
use crate::tools;

const TARGET: &str = "wasm32-unknown-unknown";
const PACKAGES: [&str; 3] = [
    "birthmark-protocol",
    "birthmark-ledger",
    "birthmark-verify-wasm",
];

pub(crate) fn run(house: &House) -> Result<()> {
    if !is_possible(house) {
        add_target(house)?;
    }
    build(house)
}

/// Whether the compiler can build for browsers.
pub(crate) fn is_possible(house: &House) -> bool {
    let mut compiler = house.program("rustc");
    compiler.args(["--print", "target-libdir", "--target", TARGET]);
    house::output(&mut compiler).is_ok_and(|folder| Path::new(folder.trim()).exists())
}

fn add_target(house: &House) -> Result<()> {
    if tools::find("rustup").is_none() {
        bail!(
            "this compiler has no {TARGET}: on Debian install libstd-rust-dev-wasm32, elsewhere use rustup"
        );
    }
    house::run(house.program("rustup").args(["target", "add", TARGET]))
        .with_context(|| format!("the compiler has no {TARGET}"))
}

/// Builds, and says how large the modules are.
pub(crate) fn build(house: &House) -> Result<()> {
    let mut build = house.cargo();
    build.args(["build", "--release", "--target", TARGET]);
    for package in PACKAGES {
        build.args(["--package", package]);
    }
    house::run(build.stdin(Stdio::null()))?;
    let folder = house.target().join(TARGET).join("release");
    let entries =
        std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries.flatten() {
        if entry
            .path()
            .extension()
            .is_some_and(|ending| ending == "wasm")
        {
            let bytes = entry.metadata()?.len();
            house::say(&format!("{}: {bytes} bytes", entry.file_name().display()));
        }
    }
    Ok(())
}
