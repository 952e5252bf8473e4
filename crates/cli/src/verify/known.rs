//! Which genesis is believed: the one that is named, the one that was named for this validator before, or the machine's.
//!
//! Trust: whoever can write the folder of remembered genesis files, or the machine's file, decides what `verify` believes
//! here. A validator cannot.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use birthmark_ledger::Genesis;

/// Where an administrator puts the genesis of the registry that this machine belongs to.
const OF_THIS_MACHINE: &str = "/etc/birthmark/genesis.toml";

/// The genesis to check against; a named one is remembered for this validator's address.
pub fn genesis(node: &str, named: Option<&Path>) -> anyhow::Result<Option<Genesis>> {
    let remembered = folder().map(|folder| folder.join(file_name(node)));
    let Some(named) = named else {
        let mut known = remembered.into_iter().chain([OF_THIS_MACHINE.into()]);
        return match known.find(|file| file.exists()) {
            Some(file) => crate::receipt::read_genesis(&file).map(Some),
            None => Ok(None),
        };
    };
    let genesis = crate::receipt::read_genesis(named)?;
    if let Some(file) = remembered {
        remember(named, &file)
            .with_context(|| format!("the genesis cannot be remembered in {}", file.display()))?;
    }
    Ok(Some(genesis))
}

fn remember(named: &Path, file: &Path) -> std::io::Result<()> {
    let text = std::fs::read(named)?;
    if std::fs::read(file).is_ok_and(|known| known == text) {
        return Ok(());
    }
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let new = file.with_extension("new");
    std::fs::write(&new, text)?;
    std::fs::rename(new, file)
}

/// `$XDG_CONFIG_HOME/birthmark/genesis`, or the same below the home folder; nothing for a user without either.
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
