//! Programs beside cargo: found on the PATH or in a folder of our own, and installed there when a
//! command cannot do without.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::house::{self, House};

/// The program of that name, if the machine has it.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = own_folder().map(|folder| folder.join("tools/bin"));
    std::env::split_paths(&path)
        .chain(own)
        .chain(postgresql_folders())
        // Debian leaves it off the PATH of people.
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join(name))
        .find(|program| is_program(program))
}

/// The program of that name; compiled from this package of the registry, and kept for the next
/// time, if the machine has none.
pub(crate) fn find_or_install(house: &House, name: &str, package: &str) -> Result<PathBuf> {
    if let Some(found) = find(name) {
        return Ok(found);
    }
    let folder = kept("tools")?;
    install(house, package, &folder, &[])?;
    find(name).with_context(|| format!("{name} was installed but is not there"))
}

/// The program `name` of the package `package` in exactly this version, compiled and kept.
pub(crate) fn find_or_install_version(
    house: &House,
    package: &str,
    name: &str,
    version: &str,
) -> Result<PathBuf> {
    let folder = kept(&format!("{name}-{version}"))?;
    let program = folder.join("bin").join(name);
    if !is_program(&program) {
        let version = format!("={version}");
        let exactly = [
            "--version",
            &version,
            "--bin",
            name,
            "--no-default-features",
        ];
        install(house, package, &folder, &exactly)?;
    }
    Ok(program)
}

fn install(house: &House, package: &str, folder: &Path, options: &[&str]) -> Result<()> {
    house::say(&format!("Installing {package} into {}", folder.display()));
    // Unoptimised: it compiles in half the time and is still quick enough.
    let install = |lock: &[&str]| {
        let mut cargo = house.cargo();
        cargo.args(["install", "--quiet", "--debug", package]);
        cargo.args(lock).args(options).arg("--root").arg(folder);
        house::run(&mut cargo)
    };
    install(&["--locked"]).or_else(|error| {
        // A registry's mirror may not have the newest releases that a lock file names.
        house::say(&format!("{error:#}; again with the versions to be had"));
        install(&[])
    })
}

/// A folder for what is made once per machine and serves every clone.
pub(crate) fn kept(name: &str) -> Result<PathBuf> {
    let folder = own_folder().context("neither $XDG_CACHE_HOME nor $HOME is set")?;
    Ok(folder.join(name))
}

/// Where cargo keeps what it downloads.
pub(crate) fn cargo_home() -> Result<PathBuf> {
    let given = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let usual = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo"));
    let home = given.or_else(usual);
    home.context("neither $CARGO_HOME nor $HOME is set")
}

fn own_folder() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    Some(cache?.join("birthmark"))
}

/// Where pyenv keeps the programs of each Python, the newest last in the alphabet and first here.
pub(crate) fn pyenv_folders() -> Vec<PathBuf> {
    let named = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let usual = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".pyenv"));
    let versions = named.or_else(usual).map(|root| root.join("versions"));
    let versions = versions.and_then(|folder| std::fs::read_dir(folder).ok());
    let versions = versions.into_iter().flatten().flatten();
    let mut folders: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort();
    folders.reverse();
    folders
}

/// Debian keeps the server's programs off the PATH, one folder per version.
fn postgresql_folders() -> Vec<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql");
    let versions = versions.into_iter().flatten().flatten();
    versions.map(|version| version.path().join("bin")).collect()
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}
