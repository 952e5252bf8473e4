//! Programs beside cargo: found on the PATH or in a folder of our own, and installed there when a command cannot do
//! without.

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

/// The program of that name, compiled and kept for the next time if the machine has none.
pub(crate) fn find_or_install(house: &House, name: &str) -> Result<PathBuf> {
    if let Some(found) = find(name) {
        return Ok(found);
    }
    let folder = kept("tools")?;
    house::say(&format!("Installing {name} into {}", folder.display()));
    let mut install = house.cargo();
    // Unoptimised: it compiles in half the time and is still quick enough.
    install.args(["install", "--quiet", "--locked", "--debug", name, "--root"]);
    house::run(install.arg(&folder))?;
    find(name).with_context(|| format!("{name} was installed but is not there"))
}

/// A folder for what is made once per machine and serves every clone.
pub(crate) fn kept(name: &str) -> Result<PathBuf> {
    let folder = own_folder().context("neither $XDG_CACHE_HOME nor $HOME is set")?;
    Ok(folder.join(name))
}

fn own_folder() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    Some(cache?.join("birthmark"))
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
