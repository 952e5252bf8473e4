//! Where the demonstration keeps its files.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

/// A folder for everything, and another one for sockets, whose paths must be short.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    temporary: Option<TempDir>,
    sockets: TempDir,
}

impl Folder {
    /// Makes a temporary folder, or takes `kept`, which must be new or empty.
    pub fn prepare(kept: Option<&Path>) -> anyhow::Result<Self> {
        let sockets = TempDir::with_prefix("birthmark-")
            .context("cannot make a temporary folder for sockets")?;
        let Some(kept) = kept else {
            let temporary = TempDir::with_prefix("birthmark-demo-")
                .context("cannot make a temporary folder; give one with --dir")?;
            return Ok(Self {
                path: temporary.path().to_owned(),
                temporary: Some(temporary),
                sockets,
            });
        };
        fs::create_dir_all(kept)
            .with_context(|| format!("--dir: cannot make the folder {}", kept.display()))?;
        let path = kept
            .canonicalize()
            .with_context(|| format!("--dir: cannot use {}", kept.display()))?;
        if fs::read_dir(&path)?.next().is_some() {
            bail!(
                "--dir: {} is not empty; the demonstration changes nothing it did not make itself",
                path.display()
            );
        }
        let folder = Self {
            path,
            temporary: None,
            sockets,
        };
        folder.file(
            "README",
            b"Made by `birthmark demo`. The keys in here are for this demonstration only.\n",
        )?;
        Ok(folder)
    }

    /// The whole folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it stays when the demonstration ends.
    pub fn is_kept(&self) -> bool {
        self.temporary.is_none()
    }

    /// Where a socket of that name belongs.
    pub fn socket(&self, name: &str) -> PathBuf {
        self.sockets.path().join(name)
    }

    /// A subfolder for one part, for its owner's eyes only.
    pub fn part(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.path.join(name);
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path);
        made.with_context(|| format!("cannot make the folder {}", path.display()))?;
        Ok(path)
    }

    /// Writes a file for its owner's eyes only.
    pub fn file(&self, name: &str, content: &[u8]) -> anyhow::Result<PathBuf> {
        let path = self.path.join(name);
        let opened = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        opened
            .and_then(|mut file| std::io::Write::write_all(&mut file, content))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// Removes what is temporary.
    pub fn leave(self) {
        for folder in self.temporary.into_iter().chain([self.sockets]) {
            let path = folder.path().to_owned();
            if let Err(error) = folder.close() {
                eprintln!(
                    "birthmark: the folder {} could not be removed: {error}",
                    path.display()
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_something_in_it_is_left_alone() {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
        let error = Folder::prepare(Some(folder.path()))
            .unwrap_err()
            .to_string();
        assert!(error.contains("is not empty"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_temporary_folder_goes_and_a_chosen_one_stays() {
        let temporary = Folder::prepare(None).unwrap();
        let path = temporary.path().to_owned();
        temporary.leave();
        assert!(!path.exists());
        let outer = TempDir::new().unwrap();
        let kept = Folder::prepare(Some(&outer.path().join("new"))).unwrap();
        let path = kept.path().to_owned();
        kept.leave();
        assert!(path.join("README").exists());
    }
}
