//! How the `birthmark` command finds a demonstration that runs on this machine: a file that the
//! demonstration keeps locked, in the caller's own runtime folder.
//!
//! Trust: whoever can write into that folder can have the command ask another validator, and could
//! change the command's environment as well. A file that nobody holds locked is what a killed
//! demonstration left, and is not believed.

use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// The validator that is asked where nothing else is said.
pub const USUAL_VALIDATOR: &str = "http://127.0.0.1:8545";
/// Where a camera's daemons listen.
const USUAL_SOCKETS: &str = "/run/birthmark";

/// Where the parts of a running demonstration answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demonstration {
    /// The validator's address.
    pub validator: String,
    /// The genesis of its registry.
    pub genesis: PathBuf,
    /// The capture daemon's socket.
    pub capture: PathBuf,
    /// The signer's socket.
    pub signer: PathBuf,
}

/// A demonstration that can be found. It cannot any more when this goes.
#[derive(Debug)]
pub struct Announced {
    path: PathBuf,
    _locked: File,
}

impl Announced {
    /// The file by which it is found.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            log::debug!("{} cannot be removed: {error}", self.path.display());
        }
    }
}

impl Demonstration {
    /// Lets the command find this one. Only the first of several is found.
    pub fn announce(&self) -> anyhow::Result<Option<Announced>> {
        match place() {
            Some(path) => self.announce_at(path),
            None => Ok(None),
        }
    }

    /// The one that runs, if one does.
    pub fn find() -> Option<Self> {
        Self::find_at(&place()?)
    }

    fn announce_at(&self, path: PathBuf) -> anyhow::Result<Option<Announced>> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let opened = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        let mut file = opened.with_context(|| format!("cannot write {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        file.set_len(0)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        Ok(Some(Announced {
            path,
            _locked: file,
        }))
    }

    fn find_at(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {}
            // Nobody holds it: what is in it was left by a demonstration that was killed.
            Ok(()) | Err(TryLockError::Error(_)) => return None,
        }
        serde_json::from_str(&fs::read_to_string(path).ok()?).ok()
    }
}

/// The validator to ask: that of a running demonstration, or the one on this machine's usual port.
pub fn validator() -> String {
    Demonstration::find().map_or_else(|| USUAL_VALIDATOR.to_owned(), |found| found.validator)
}

/// The socket of the capture daemon: this camera's, or that of a running demonstration.
pub fn capture_socket() -> PathBuf {
    socket("capture", |found| found.capture)
}

/// The socket of the signer: this camera's, or that of a running demonstration.
pub fn signer_socket() -> PathBuf {
    socket("signer", |found| found.signer)
}

fn socket(name: &str, of: impl FnOnce(Demonstration) -> PathBuf) -> PathBuf {
    let usual = Path::new(USUAL_SOCKETS).join(name);
    if usual.exists() {
        return usual;
    }
    Demonstration::find().map_or(usual, of)
}

/// The caller's own folder for what lasts no longer than a session.
fn place() -> Option<PathBuf> {
    let folder = |name: &str| {
        let path = PathBuf::from(std::env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let runtime = folder("XDG_RUNTIME_DIR");
    let cache = || folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
    Some(runtime.or_else(cache)?.join("birthmark").join("demo.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demonstration(port: u16) -> Demonstration {
        Demonstration {
            validator: format!("http://127.0.0.1:{port}"),
            genesis: "/tmp/genesis.toml".into(),
            capture: "/tmp/a".into(),
            signer: "/tmp/b".into(),
        }
    }

    #[test]
    fn a_demonstration_is_found_while_it_runs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("birthmark/demo.json");
        assert_eq!(Demonstration::find_at(&path), None);
        let first = demonstration(1).announce_at(path.clone()).unwrap().unwrap();
        assert_eq!(Demonstration::find_at(&path), Some(demonstration(1)));
        assert!(
            demonstration(2)
                .announce_at(path.clone())
                .unwrap()
                .is_none()
        );
        assert_eq!(Demonstration::find_at(&path), Some(demonstration(1)));
        drop(first);
        assert_eq!(Demonstration::find_at(&path), None);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_killed_one_left_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("demo.json");
        fs::write(&path, serde_json::to_vec(&demonstration(1)).unwrap()).unwrap();
        assert_eq!(Demonstration::find_at(&path), None);
        let second = demonstration(2).announce_at(path.clone()).unwrap();
        assert!(second.is_some());
        assert_eq!(Demonstration::find_at(&path), Some(demonstration(2)));
    }
}
