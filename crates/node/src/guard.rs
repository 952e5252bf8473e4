//! A restored validator must not sign a second history: a small file beside the database remembers
//! how far it has signed.
//!
//! Whoever can change this file can make the node refuse to start, or, together with an old backup,
//! sign two blocks at one height; every receipt of the first then proves it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use birthmark_daemon::durable;

/// The memory of the last height this validator's signature was shown for.
#[derive(Debug, Clone)]
pub struct Guard(PathBuf);

impl Guard {
    /// In this file.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The height, 0 if nothing was signed.
    pub fn height(&self) -> anyhow::Result<u64> {
        match std::fs::read_to_string(&self.0) {
            Ok(text) => text
                .trim()
                .parse()
                .with_context(|| format!("{} holds no height", self.0.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", self.0.display())),
        }
    }

    /// Remembers a height; when this returns, a power failure does not take it back. One that is
    /// not higher than the one remembered changes nothing: blocks that are fetched again were
    /// signed before.
    ///
    /// If we stop in between, the file holds the height before. Alone, a validator calls this after
    /// its database: the file never holds more. In a network it calls this before its vote leaves:
    /// the file holds one height more while it is decided.
    pub fn remember(&self, height: u64) -> std::io::Result<()> {
        let before = self.height().map_err(std::io::Error::other)?;
        if height <= before {
            return Ok(());
        }
        durable::replace(&self.0, format!("{height}\n").as_bytes(), durable::SHARED)
    }

    /// Refuses a database that is older than what this validator has signed.
    pub fn check(&self, stored: u64) -> anyhow::Result<()> {
        let signed = self.height()?;
        anyhow::ensure!(
            signed <= stored,
            "the database ends at block {stored}, but this validator has signed up to block {signed}: it was set back. Restore a \
             newer backup or import the missing blocks. Only if no receipt of those blocks was ever shown to anybody, remove {}",
            self.0.display()
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_was_set_back_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let guard = Guard::at(folder.path().join("signed"));
        guard.check(0).unwrap();
        let (remembered, steps) = durable::traced(|| guard.remember(7));
        remembered.unwrap();
        let last = steps.last().unwrap();
        assert_eq!(
            last,
            &(durable::Step::FolderSynced, folder.path().to_owned()),
            "without it a power failure brings the height before back"
        );
        guard.check(7).unwrap();
        guard.check(8).unwrap();
        guard.remember(5).unwrap();
        assert_eq!(guard.height().unwrap(), 7, "it never goes back");
        assert!(
            guard
                .check(6)
                .unwrap_err()
                .to_string()
                .contains("signed up to block 7")
        );
        std::fs::write(guard.path(), "many").unwrap();
        assert!(guard.check(8).is_err());
    }
}
