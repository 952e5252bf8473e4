//! Which genesis is believed: the one that is named, that of a demonstration which runs here,
//! the one that was named for this validator before, or this machine's own.
//!
//! Trust: whoever can write one of these files decides what `verify` believes here. A validator
//! cannot.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use birthmark_daemon::durable;
use birthmark_ledger::{Genesis, Trusted};

use crate::demonstration::Demonstration;

/// Where the genesis of the registry lies that this machine belongs to: an administrator's file, or
/// the one of a validator that founded its registry when it was started first.
const OF_THIS_MACHINE: [&str; 2] = [
    "/etc/birthmark/genesis.toml",
    "/var/lib/birthmark-node/genesis.toml",
];

/// The genesis to check against; a named one is remembered for this validator's address.
pub fn genesis(node: &str, named: Option<&Path>) -> anyhow::Result<Option<Genesis>> {
    let remembered = folder().map(|folder| folder.join(file_name(node)));
    let Some(named) = named else {
        let running = Demonstration::find().filter(|found| found.validator == node);
        let running = running.map(|found| found.genesis);
        let of_this_machine = OF_THIS_MACHINE.map(PathBuf::from);
        let mut known = running.into_iter().chain(remembered).chain(of_this_machine);
        return match known.find(|file| file.exists()) {
            Some(file) => read_genesis(&file).map(Some),
            None => Ok(None),
        };
    };
    let genesis = read_genesis(named)?;
    if let Some(file) = remembered {
        remember(named, &file)
            .with_context(|| format!("the genesis cannot be remembered in {}", file.display()))?;
    }
    Ok(Some(genesis))
}

/// What is believed: a later set of validators where one is named, otherwise the genesis. Both
/// named must be of one registry.
pub fn trusted(
    node: &str,
    named: Option<&Path>,
    set: Option<&Path>,
) -> anyhow::Result<Option<Trusted>> {
    let Some(set) = set else {
        return Ok(genesis(node, named)?.map(|genesis| Trusted::genesis(&genesis)));
    };
    let trusted = read_trusted(set)?;
    if let Some(named) = named {
        let (own, other) = (trusted.chain(), read_genesis(named)?.hash());
        ensure!(
            own == other,
            "--trusted: {} is of the registry with the genesis {own}, and --genesis {} is {other}",
            set.display(),
            named.display()
        );
    }
    Ok(Some(trusted))
}

/// Reads a genesis, TOML or JSON.
pub fn read_genesis(path: &Path) -> anyhow::Result<Genesis> {
    let text = read(path)?;
    if text.trim_start().starts_with('{') {
        return Ok(Genesis::from_json(&text)?);
    }
    toml::from_str(&text).with_context(|| format!("{} is not a genesis", path.display()))
}

/// Reads a genesis, or a later set of validators that is trusted in its place; TOML or JSON.
pub fn read_trusted(path: &Path) -> anyhow::Result<Trusted> {
    let text = read(path)?;
    if text.trim_start().starts_with('{') {
        return Trusted::from_json(&text).with_context(|| path.display().to_string());
    }
    // A genesis does not say from which block on its validators decide: from the first.
    match text.lines().any(|line| line.starts_with("since")) {
        true => toml::from_str(&text).with_context(|| path.display().to_string()),
        false => Ok(Trusted::genesis(&read_genesis(path)?)),
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the genesis {}", path.display()))
}

fn remember(named: &Path, file: &Path) -> std::io::Result<()> {
    let text = std::fs::read(named)?;
    if std::fs::read(file).is_ok_and(|known| known == text) {
        return Ok(());
    }
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    durable::replace(file, &text, durable::PUBLIC)
}

/// `$XDG_CONFIG_HOME/birthmark/genesis`, or the same below the home folder; nothing for a user
/// without either.
fn folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let config = set("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(set("HOME")?).join(".config")))?;
    Some(config.join("birthmark/genesis"))
}

/// An address as a file's name. Two addresses never share one.
fn file_name(node: &str) -> String {
    let mut name = String::new();
    for character in node.trim_end_matches('/').chars() {
        match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' => name.push(character),
            other => name.push_str(&format!("_{:x}_", u32::from(other))),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_has_a_file_name_of_its_own() {
        assert_eq!(
            file_name("http://127.0.0.1:8545/"),
            "http_3a__2f__2f_127.0.0.1_3a_8545"
        );
        assert_ne!(file_name("http://a/b"), file_name("http://a_2f_b"));
        assert!(!file_name("http://../../etc").contains('/'));
    }

    #[test]
    fn what_was_remembered_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (named, kept) = (folder.path().join("named"), folder.path().join("a/kept"));
        for text in ["first", "second"] {
            std::fs::write(&named, text).unwrap();
            remember(&named, &kept).unwrap();
            assert_eq!(std::fs::read_to_string(&kept).unwrap(), text);
        }
    }
}
