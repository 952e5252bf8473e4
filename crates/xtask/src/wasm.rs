//! `cargo xtask wasm`: the browser's verifier, and the pure crates for `wasm32-unknown-unknown`.
//!
//! What a page loads is written to `target/wasm/page`: the module, and the JavaScript that
//! `wasm-bindgen` makes for it; and into `crates/node/src/pages`, where validators take it from.
//! The test command builds it again and compares.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, anyhow, bail};

use crate::house::{self, House};
use crate::tools;

mod npm;
mod toolchain;

pub(crate) use toolchain::Toolchain;

const TARGET: &str = "wasm32-unknown-unknown";
/// With it the pure crates are built, as its dependencies.
const PACKAGE: &str = "birthmark-verify-wasm";
/// The cargo profile of what browsers download: small before fast.
const PROFILE: &str = "browser";
/// The files that a page loads.
pub(crate) const FILES: [&str; 2] = ["birthmark_verify_wasm.js", "birthmark_verify_wasm_bg.wasm"];

/// The same as they are checked in and served by every validator, so that a clone has a page
/// without a compiler for browsers.
const CHECKED_IN: [&str; 2] = ["verifier.js", "verifier.wasm"];
const PAGES: &str = "crates/node/src/pages";
/// Beside them: which compiler made them. Another one makes other bytes of the same code.
const MADE_BY: &str = "verifier.made-by";

/// How what is checked in compares with what was built.
pub(crate) enum Compared {
    /// The same bytes.
    Same,
    /// Another compiler made what is checked in, so bytes tell nothing.
    OtherCompiler,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Copy what a page loads into this folder as well
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Write a package with types for npm into this folder as well
    #[arg(long, value_name = "FOLDER")]
    npm: Option<PathBuf>,
}

pub(crate) fn run(house: &House, options: &Options) -> Result<()> {
    let toolchain = Toolchain::find(house).map_err(|reason| {
        anyhow!(
            "this compiler has no {TARGET} (`rustup target add {TARGET}` adds it), and {reason}"
        )
    })?;
    let page = build(house, &toolchain)?;
    house::say(&format!("with {}:", toolchain.name(house)?));
    for name in FILES {
        let made = page.join(name);
        let bytes = made.metadata()?.len();
        house::say(&format!("{}: {bytes} bytes", made.display()));
        if let Some(out) = &options.out {
            fs::create_dir_all(out)?;
            fs::copy(made, out.join(name))?;
        }
    }
    if let Some(folder) = &options.npm {
        npm::write(house, folder)?;
    }
    check_in(house, &page, &toolchain)
}

/// The verifier as a package of npm, which was built before, in a folder of its own.
pub(crate) fn package(house: &House) -> Result<PathBuf> {
    let folder = house.target().join("npm");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    npm::write(house, &folder)?;
    Ok(folder)
}

/// Puts what was built where the validator takes it from.
fn check_in(house: &House, page: &Path, toolchain: &Toolchain) -> Result<()> {
    let pages = house.path(PAGES);
    for (made, name) in FILES.iter().zip(CHECKED_IN) {
        fs::copy(page.join(made), pages.join(name))?;
    }
    let name = toolchain.name(house)?;
    Ok(fs::write(pages.join(MADE_BY), name + "\n")?)
}

/// Whether the verifier that validators serve is what its source gives.
pub(crate) fn compare(house: &House, page: &Path, toolchain: &Toolchain) -> Result<Compared> {
    let pages = house.path(PAGES);
    let made_by = fs::read_to_string(pages.join(MADE_BY))?;
    if made_by.trim_end() != toolchain.name(house)? {
        return Ok(Compared::OtherCompiler);
    }
    for (made, name) in FILES.iter().zip(CHECKED_IN) {
        if fs::read(page.join(made))? != fs::read(pages.join(name))? {
            bail!(
                "{PAGES}/{name} is not what its source gives: run `cargo xtask wasm` and commit what it writes"
            );
        }
    }
    Ok(Compared::Same)
}

/// Builds, and says in which folder the files for a page are.
pub(crate) fn build(house: &House, toolchain: &Toolchain) -> Result<PathBuf> {
    let bindgen = bindgen(house)?;
    // A folder of its own: another compiler would make cargo build the rest of it anew.
    let folder = house.target().join("wasm");
    let mut build = toolchain.cargo(house);
    build.args(["build", "--quiet", "--profile", PROFILE, "--target", TARGET]);
    build.arg("--target-dir").arg(&folder);
    build.args(["--package", PACKAGE]);
    build.env("CARGO_ENCODED_RUSTFLAGS", flags(house)?);
    house::run(build.stdin(Stdio::null()))?;
    let page = folder.join("page");
    let mut bind = house.program(bindgen);
    bind.args(["--target", "web", "--no-typescript"]);
    bind.args(["--remove-name-section", "--remove-producers-section"]);
    bind.arg("--out-dir").arg(&page);
    house::run(bind.arg(module(house)))?;
    Ok(page)
}

/// The module as the compiler made it.
fn module(house: &House) -> PathBuf {
    let folder = house.target().join("wasm").join(TARGET);
    folder.join(PROFILE).join("birthmark_verify_wasm.wasm")
}

/// The same bytes come out of every clone: no path of this machine gets into the module. With
/// vectors a photo is hashed faster; every browser since 2023 has them.
fn flags(house: &House) -> Result<OsString> {
    let mut flags = vec![OsString::from("-Ctarget-feature=+simd128")];
    flags.push(remap(house.path("."), "/birthmark"));
    // One folder per registry, called after its address.
    let registries = tools::cargo_home()?.join("registry/src");
    for registry in fs::read_dir(&registries).into_iter().flatten() {
        flags.push(remap(registry?.path(), "/registry"));
    }
    Ok(flags.join(&OsString::from("\u{1f}")))
}

fn remap(from: PathBuf, to: &str) -> OsString {
    let mut flag = OsString::from("--remap-path-prefix=");
    flag.push(from);
    flag.push("=");
    flag.push(to);
    flag
}

/// `wasm-bindgen` in the version of the crate: the two speak a format that changes.
fn bindgen(house: &House) -> Result<PathBuf> {
    let lock = fs::read_to_string(house.path("Cargo.lock"))?;
    let version = locked_version(&lock, "wasm-bindgen");
    let version = version.context("Cargo.lock has no wasm-bindgen")?;
    tools::find_or_install_version(house, "wasm-bindgen-cli", "wasm-bindgen", version)
}

/// The version of a package that a lock file names.
fn locked_version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| **line != name);
    lines
        .nth(1)?
        .strip_prefix("version = \"")?
        .strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_comes_from_the_lock_file() {
        let lock = "[[package]]\nname = \"wasm-bindgen\"\nversion = \"0.2.130\"\nsource = \"x\"\n\
                    [[package]]\nname = \"wasm-bindgen-macro\"\nversion = \"0.2.131\"\n";
        assert_eq!(locked_version(lock, "wasm-bindgen"), Some("0.2.130"));
        assert_eq!(locked_version(lock, "wasm"), None);
    }
}
