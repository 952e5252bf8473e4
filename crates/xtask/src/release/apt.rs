//! A repository that apt reads: the packages, an index for each architecture, and a signed list of
//! the indexes.
//!
//! apt believes the list by its signature, each index by its digest in the list, and each package
//! by its digest in the index. So whoever serves the folder can keep an upgrade back, and change
//! nothing.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use super::packages::{Package, Packages};
use super::signing::Key;
use crate::house;

const SUITE: &str = "stable";
const COMPONENT: &str = "main";

pub(crate) fn lay_out(packages: &Packages, key: &Key, folder: &Path) -> anyhow::Result<()> {
    let (pool, dists) = (folder.join("pool"), folder.join("dists").join(SUITE));
    std::fs::create_dir_all(&pool)?;
    let mut indexes = Vec::new();
    for (architecture, packages) in packages.by_architecture() {
        let index = format!("{COMPONENT}/binary-{architecture}/Packages");
        let mut text = String::new();
        for package in packages {
            take(package, &pool, &mut text)?;
        }
        let path = dists.join(&index);
        std::fs::create_dir_all(path.parent().context("an index without a folder")?)?;
        std::fs::write(&path, text)?;
        // Without the moment and the name: the same packages give the same bytes.
        house::run(Command::new("gzip").args(["-9nk"]).arg(&path))?;
        indexes.extend([index.clone(), format!("{index}.gz")]);
    }
    let architectures: Vec<_> = packages.by_architecture().map(|(name, _)| name).collect();
    let release = release(&architectures, packages.version(), &indexes, &dists)?;
    std::fs::write(dists.join("Release"), release)?;
    key.sign(&dists.join("Release"), &dists.join("Release.gpg"))?;
    key.sign_within(&dists.join("Release"), &dists.join("InRelease"))
}

/// Copies a package into the pool and adds its paragraph to the index.
fn take(package: &Package, pool: &Path, index: &mut String) -> anyhow::Result<()> {
    let name = package
        .file
        .file_name()
        .context("a package without a name")?;
    let to = pool.join(name);
    std::fs::copy(&package.file, &to)
        .with_context(|| format!("copying {}", package.file.display()))?;
    let (digest, size) = digest_and_size(&to)?;
    writeln!(index, "{}", package.control.trim_end())?;
    writeln!(index, "Filename: pool/{}", name.to_string_lossy())?;
    writeln!(index, "Size: {size}\nSHA256: {digest}\n")?;
    Ok(())
}

fn release(
    architectures: &[&str],
    version: &str,
    indexes: &[String],
    dists: &Path,
) -> anyhow::Result<String> {
    let mut date = Command::new("date");
    date.args(["-u", "+%a, %d %b %Y %H:%M:%S UTC"]);
    let date = house::output(date.env("LC_ALL", "C"))?;
    let mut text = format!(
        "Origin: Birthmark\nLabel: Birthmark\nSuite: {SUITE}\nCodename: {SUITE}\nVersion: {version}\nDate: {}\nArchitectures: {}\nComponents: {COMPONENT}\nSHA256:\n",
        date.trim_end(),
        architectures.join(" ")
    );
    for index in indexes {
        let (digest, size) = digest_and_size(&dists.join(index))?;
        writeln!(text, " {digest} {size} {index}")?;
    }
    Ok(text)
}

fn digest_and_size(file: &Path) -> anyhow::Result<(String, u64)> {
    let said = house::output(Command::new("sha256sum").arg("--").arg(file))?;
    let digest = said.split_whitespace().next();
    let digest = digest.context("sha256sum says nothing")?;
    // A backslash in front: the name had to be escaped.
    let digest = digest.trim_start_matches('\\').to_owned();
    Ok((digest, std::fs::metadata(file)?.len()))
}
