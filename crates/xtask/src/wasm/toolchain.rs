//! A compiler for browsers: this machine's own if it has the target, otherwise Debian forky's,
//! unpacked into a folder.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::TARGET;
use crate::debian::Tree;
use crate::house::{self, House};

/// Debian's compiler, its standard library for browsers, and the linker for it.
const TREE: Tree = Tree {
    name: "wasm",
    release: "forky",
    packages: "base-files,rustc,lld,libstd-rust-dev-wasm32",
};

/// A compiler that builds for browsers.
pub(crate) struct Toolchain {
    /// What cargo must find in its environment to use it.
    variables: Vec<(&'static str, OsString)>,
}

impl Toolchain {
    /// This machine's own compiler, or Debian's; or why there is none here, in words.
    pub(crate) fn find(house: &House) -> Result<Self, &'static str> {
        let own = Self { variables: vec![] };
        if own.builds_for_browsers(house) {
            return Ok(own);
        }
        let unpacked = TREE.get(house)?;
        Self::of_tree(&unpacked).map_err(|error| {
            house::say(&format!("{error:#}"));
            "Debian's compiler cannot be used here, as said above"
        })
    }

    /// Whether nothing has to be fetched for it.
    pub(crate) fn is_at_hand(house: &House) -> bool {
        let own = Self { variables: vec![] };
        own.builds_for_browsers(house) || TREE.is_kept()
    }

    /// Cargo, using this compiler.
    pub(crate) fn cargo(&self, house: &House) -> Command {
        let mut cargo = house.cargo();
        cargo.envs(self.variables.iter().map(|(name, value)| (name, value)));
        cargo
    }

    /// What the compiler calls itself, with its version.
    pub(crate) fn name(&self, house: &House) -> Result<String> {
        let said = house::output(self.rustc(house).arg("--version"))?;
        Ok(said.trim().to_owned())
    }

    fn builds_for_browsers(&self, house: &House) -> bool {
        let mut compiler = self.rustc(house);
        compiler.args(["--print", "target-libdir", "--target", TARGET]);
        house::output(&mut compiler).is_ok_and(|folder| Path::new(folder.trim()).exists())
    }

    fn rustc(&self, house: &House) -> Command {
        let own = self.variables.iter().find(|(name, _)| *name == "RUSTC");
        house.program(own.map_or("rustc".into(), |(_, program)| program.clone()))
    }

    /// The unpacked programs need their own C library, so each is started through its loader by a
    /// script beside the tree.
    fn of_tree(tree: &Path) -> Result<Self> {
        let sysroot = tree.join("usr");
        let rustc = format!(
            "{} --sysroot {}",
            sysroot.join("bin/rustc").display(),
            sysroot.display()
        );
        let linker = sysroot.join("bin/wasm-ld").display().to_string();
        let variables = vec![
            ("RUSTC", script(tree, "rustc", &rustc)?.into()),
            (
                "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER",
                script(tree, "wasm-ld", &linker)?.into(),
            ),
        ];
        Ok(Self { variables })
    }
}

/// Writes the script that starts `command` with the loader and libraries of `tree`.
#[expect(
    clippy::disallowed_methods,
    reason = "a build tool may be made anew after a power failure"
)]
fn script(tree: &Path, name: &str, command: &str) -> Result<PathBuf> {
    let folder = tree.parent().context("the tree has no folder")?;
    let path = folder.join(name);
    let multiarch = format!("{}-linux-gnu", std::env::consts::ARCH);
    let text = format!(
        "#!/bin/sh\nexec {} --library-path {} {command} \"$@\"\n",
        loader(tree)?.display(),
        tree.join("usr/lib").join(multiarch).display(),
    );
    if fs::read_to_string(&path).is_ok_and(|written| written == text) {
        return Ok(path);
    }
    // Written aside and renamed: another clone may be about to start it.
    let aside = folder.join(format!("{name}-{}", std::process::id()));
    fs::write(&aside, text)?;
    fs::set_permissions(&aside, fs::Permissions::from_mode(0o755))?;
    fs::rename(&aside, &path)?;
    Ok(path)
}

/// The dynamic loader that the tree's programs name, by this machine's kind.
fn loader(tree: &Path) -> Result<PathBuf> {
    ["lib64/ld-linux-x86-64.so.2", "lib/ld-linux-aarch64.so.1"]
        .map(|name| tree.join(name))
        .into_iter()
        .find(|path| path.exists())
        .context("the unpacked packages hold no dynamic loader of a kind we know")
}
