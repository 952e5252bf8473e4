//! A release as people get it: packages in a signed apt repository, images, and the digests of all
//! of it, signed.
//!
//! Nothing is built here and nothing is published: `cargo xtask dist` and Nix build, the owner
//! copies the folder to where people look. The key is the owner's, in the owner's gpg; whoever can
//! sign with it can have any program installed on every machine that upgrades from the repository.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};

use crate::house::{self, House};

mod apt;
mod packages;
mod signing;

use packages::Packages;
use signing::Key;

/// `cargo xtask release`
#[derive(clap::Args, Debug)]
pub(crate) struct ReleaseOptions {
    /// The owner's OpenPGP key, by its whole fingerprint; gpg has its secret half
    #[arg(long, value_name = "FINGERPRINT")]
    key: String,
    /// The folder with the packages that `cargo xtask dist` made, for one architecture or several
    #[arg(long, default_value = "target/debian")]
    packages: PathBuf,
    /// An image of a card or a server, or any other file that belongs to the release
    #[arg(long = "with", value_name = "FILE")]
    others: Vec<PathBuf>,
    /// Where the release is laid out
    #[arg(long, default_value = "target/release-to-publish")]
    out: PathBuf,
}

/// Lays out a release and signs it.
pub(crate) fn run(house: &House, options: &ReleaseOptions) -> anyhow::Result<()> {
    std::env::set_current_dir(house.path("."))?;
    let out = &options.out;
    ensure!(
        !out.exists(),
        "{} is there already: a release that people may have is not changed. Name another folder by --out",
        out.display()
    );
    let key = Key::find(&options.key)?;
    let packages = Packages::read(&options.packages)?;
    // Whole or not at all: what a run that was cut off left behind has another name, and goes.
    let unfinished = out.with_extension("unfinished");
    if unfinished.exists() {
        std::fs::remove_dir_all(&unfinished)?;
    }
    lay_out(&packages, &options.others, &key, &unfinished)?;
    #[expect(
        clippy::disallowed_methods,
        reason = "a release that a power failure undoes is laid out again before anybody has it"
    )]
    let named = std::fs::rename(&unfinished, out);
    named.with_context(|| format!("naming {}", out.display()))?;
    house::say(&format!(
        "{}: version {}, signed by {}",
        out.display(),
        packages.version(),
        key.fingerprint()
    ));
    Ok(())
}

fn lay_out(
    packages: &Packages,
    others: &[PathBuf],
    key: &Key,
    folder: &Path,
) -> anyhow::Result<()> {
    apt::lay_out(packages, key, &folder.join("apt"))?;
    for file in others {
        let name = file.file_name().context("--with names no file")?;
        let to = folder.join(name);
        if to.exists() {
            bail!("--with names two files that are called {}", to.display());
        }
        std::fs::copy(file, &to).with_context(|| format!("copying {}", file.display()))?;
    }
    std::fs::write(folder.join("birthmark-archive-keyring.asc"), key.public()?)?;
    let sums = sums(folder)?;
    std::fs::write(folder.join("SHA256SUMS"), sums)?;
    key.sign(&folder.join("SHA256SUMS"), &folder.join("SHA256SUMS.asc"))
}

/// The digest of every file below `folder`, in the form that `sha256sum --check` reads.
fn sums(folder: &Path) -> anyhow::Result<String> {
    let mut files = Vec::new();
    collect(folder, folder, &mut files)?;
    files.sort();
    let mut sum = std::process::Command::new("sha256sum");
    house::output(sum.current_dir(folder).arg("--").args(&files))
}

fn collect(top: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(top, &path, files)?;
        } else {
            files.push(path.strip_prefix(top)?.to_owned());
        }
    }
    Ok(())
}
