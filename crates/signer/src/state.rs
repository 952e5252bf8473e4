//! The signer's files: small, for nobody else's eyes, and never half written.
//!
//! Whoever can change these files can make the signer fail or issue tokens that no authority opens;
//! they can neither sign nor read a secret, which only the key store can unseal.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use birthmark_daemon::durable;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

/// Why a file of the signer's state is unusable.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is not what this program writes.
    #[error("{} is damaged ({reason}): restore it, or provision this camera again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io {
        action,
        path,
        source,
    }
}

/// Makes the folder if it is missing, for its owner only.
pub(crate) fn prepare(folder: &Path) -> Result<(), StateError> {
    durable::make_private_folder(folder).map_err(failed("make the folder", folder))
}

/// Reads a file; nothing if there is none.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StateError> {
    let text = match fs::read(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", path)(error)),
    };
    let parsed = serde_json::from_slice(&text);
    parsed.map(Some).map_err(|error| StateError::Damaged {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

/// Replaces a file as one step: a reader, and a camera that loses power, sees the old or the new
/// one.
pub(crate) fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), StateError> {
    let text = serde_json::to_vec_pretty(value).map(Zeroizing::new);
    let text = text.map_err(|error| StateError::Damaged {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    durable::replace(path, &text, durable::PRIVATE).map_err(failed("replace", path))
}

/// Overwrites a file and removes it. On flash memory old contents may survive inside the medium;
/// the file system at least no longer leads to them.
pub(crate) fn destroy(path: &Path) -> Result<(), StateError> {
    let overwrite = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(path)?;
        let length = file.metadata()?.len();
        io::copy(&mut io::Read::take(io::repeat(0), length), &mut file)?;
        file.sync_all()
    };
    overwrite().map_err(failed("overwrite", path))?;
    // If we stop here, a file of zeros remains.
    durable::remove(path).map_err(failed("remove", path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("camera.json");
        assert_eq!(read::<u32>(&path).unwrap(), None);
        fs::write(
            folder.path().join("camera.json.new"),
            "what a lost draft left",
        )
        .unwrap();
        write(&path, &7_u32).unwrap();
        assert_eq!(read::<u32>(&path).unwrap(), Some(7));
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn damage_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("camera.json");
        fs::write(&path, "{").unwrap();
        let error = read::<u32>(&path).unwrap_err().to_string();
        assert!(
            error.contains("camera.json is damaged") && error.contains("provision"),
            "{error}"
        );
    }

    #[test]
    fn destroying_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret.json");
        fs::write(&path, "secret").unwrap();
        let held = fs::File::open(&path).unwrap();
        destroy(&path).unwrap();
        assert!(!path.exists());
        let mut left = String::new();
        io::Read::read_to_string(&mut io::Read::take(held, 100), &mut left).unwrap();
        assert_eq!(
            left,
            "\0".repeat(6),
            "even a reader that had it open sees zeros"
        );
    }
}
