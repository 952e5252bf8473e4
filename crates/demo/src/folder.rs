//! Where the demonstration keeps its files.
//!
//! Trust: whoever can change what is in here can do everything the demonstration's daemons can. Its
//! keys are for nothing else.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

/// Written last: a folder with this file holds a whole demonstration.
const WHOLE: &str = "demo.toml";
/// The first file that is written, and by which a folder of ours is known.
const README: &str = "README";

/// A folder for everything, and another one for sockets, whose paths must be short.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    temporary: Option<TempDir>,
    sockets: TempDir,
    /// Nobody else uses a folder that is kept while this is open.
    _lock: Option<File>,
}

/// What a demonstration that goes on must have as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    /// The authority's port: certificates name its address.
    pub(crate) sma_port: u16,
    /// The camera's sensor, by which its serial number is known.
    pub(crate) sensor: u64,
    /// The camera's key is in an emulated TPM, not in a file.
    pub(crate) has_chip: bool,
    /// Where the camera's key is, in words.
    pub(crate) key_store: String,
}

impl Folder {
    /// Makes a temporary folder, or takes `kept`, which must be new, empty, or of an earlier
    /// demonstration.
    pub(crate) fn prepare(kept: Option<&Path>) -> anyhow::Result<Self> {
        let sockets = TempDir::with_prefix("birthmark-")
            .context("cannot make a temporary folder for sockets")?;
        let Some(kept) = kept else {
            let temporary = TempDir::with_prefix("birthmark-demo-")
                .context("cannot make a temporary folder; give one with --dir")?;
            return Ok(Self {
                path: temporary.path().to_owned(),
                temporary: Some(temporary),
                sockets,
                _lock: None,
            });
        };
        fs::create_dir_all(kept)
            .with_context(|| format!("--dir: cannot make the folder {}", kept.display()))?;
        let path = kept
            .canonicalize()
            .with_context(|| format!("--dir: cannot use {}", kept.display()))?;
        refuse_others(&path)?;
        let mut folder = Self {
            path,
            temporary: None,
            sockets,
            _lock: None,
        };
        if !folder.path.join(README).exists() {
            folder.file(
                README,
                b"Made by `birthmark-demo`. The keys in here are for this demonstration only.\n",
            )?;
        }
        folder._lock = Some(folder.lock()?);
        Ok(folder)
    }

    /// The whole folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The folders that go when the demonstration ends.
    pub(crate) fn temporary(&self) -> impl Iterator<Item = &Path> {
        let folders = self.temporary.iter().chain([&self.sockets]);
        folders.map(TempDir::path)
    }

    /// Whether it stays when the demonstration ends.
    pub(crate) fn is_kept(&self) -> bool {
        self.temporary.is_none()
    }

    /// What an earlier demonstration left here, if one did.
    pub(crate) fn kept(&self) -> anyhow::Result<Option<Kept>> {
        let path = self.path.join(WHOLE);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path)?;
        let kept = toml::from_str(&text);
        kept.with_context(|| format!("--dir: {} is damaged", path.display()))
            .map(Some)
    }

    /// Notes that everything a later demonstration needs is here.
    pub(crate) fn keep(&self, kept: &Kept) -> anyhow::Result<()> {
        let text = toml::to_string(kept)?;
        self.file(WHOLE, text.as_bytes()).map(drop)
    }

    /// Where a socket of that name belongs.
    pub(crate) fn socket(&self, name: &str) -> PathBuf {
        self.sockets.path().join(name)
    }

    /// A subfolder for one part, for its owner's eyes only.
    pub(crate) fn part(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.path.join(name);
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path);
        made.with_context(|| format!("cannot make the folder {}", path.display()))?;
        Ok(path)
    }

    /// Writes a file for its owner's eyes only.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> anyhow::Result<PathBuf> {
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
    pub(crate) fn leave(self) {
        for folder in self.temporary.into_iter().chain([self.sockets]) {
            let path = folder.path().to_owned();
            if let Err(error) = folder.close() {
                eprintln!(
                    "birthmark-demo: the folder {} could not be removed: {error}",
                    path.display()
                );
            }
        }
    }

    fn lock(&self) -> anyhow::Result<File> {
        let lock = File::open(self.path.join(README))?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(TryLockError::WouldBlock) => bail!(
                "--dir: another demonstration is using {}",
                self.path.display()
            ),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }
}

/// Refuses a folder with something in it that no demonstration made whole.
fn refuse_others(path: &Path) -> anyhow::Result<()> {
    if path.join(WHOLE).exists() || fs::read_dir(path)?.next().is_none() {
        return Ok(());
    }
    if path.join(README).exists() && path.join("authority").exists() {
        bail!(
            "--dir: the demonstration in {} was ended before it was set up: remove the folder",
            path.display()
        );
    }
    bail!(
        "--dir: {} is not empty; the demonstration changes nothing it did not make itself",
        path.display()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Kept {
        Kept {
            sma_port: 8001,
            sensor: 7,
            has_chip: true,
            key_store: "a chip".into(),
        }
    }

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

    #[test]
    fn a_whole_demonstration_is_opened_again_and_half_a_one_is_not() {
        let outer = TempDir::new().unwrap();
        let first = Folder::prepare(Some(outer.path())).unwrap();
        first.part("authority").unwrap();
        first.leave();
        let error = Folder::prepare(Some(outer.path())).unwrap_err().to_string();
        assert!(error.contains("remove the folder"), "{error}");
        fs::remove_dir(outer.path().join("authority")).unwrap();
        fs::remove_file(outer.path().join("README")).unwrap();

        let first = Folder::prepare(Some(outer.path())).unwrap();
        assert_eq!(first.kept().unwrap(), None);
        first.keep(&kept()).unwrap();
        first.leave();
        let second = Folder::prepare(Some(outer.path())).unwrap();
        assert_eq!(second.kept().unwrap(), Some(kept()));
    }

    #[test]
    fn two_demonstrations_do_not_share_a_folder() {
        let outer = TempDir::new().unwrap();
        let first = Folder::prepare(Some(outer.path())).unwrap();
        first.keep(&kept()).unwrap();
        let error = Folder::prepare(Some(outer.path())).unwrap_err().to_string();
        assert!(error.contains("another demonstration"), "{error}");
        first.leave();
        assert!(Folder::prepare(Some(outer.path())).is_ok());
    }

    /// Whoever else uses this machine reads none of the keys.
    #[test]
    fn parts_and_files_are_for_their_owner_alone_and_nothing_is_overwritten() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = Folder::prepare(None).unwrap();
        let part = folder.part("authority/credentials").unwrap();
        let file = folder
            .file("authority/credentials/vault", b"a secret")
            .unwrap();
        for (path, expected) in [(&part, 0o700), (&file, 0o600)] {
            let mode = path.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, expected, "{}", path.display());
        }
        // A folder that is opened again keeps its keys.
        let again = folder.file("authority/credentials/vault", b"another");
        let refused = format!("{:#}", again.unwrap_err());
        assert!(refused.contains("credentials/vault"), "{refused}");
        assert_eq!(fs::read(&file).unwrap(), b"a secret");
        assert_eq!(folder.part("authority/credentials").unwrap(), part);
        folder.leave();
    }

    /// The path of a socket has at most 107 bytes, however deep the folder is that was chosen.
    #[test]
    fn sockets_have_short_paths_and_go_with_the_demonstration() {
        let outer = TempDir::new().unwrap();
        let deep = outer.path().join("x".repeat(120));
        let folder = Folder::prepare(Some(&deep)).unwrap();
        let socket = folder.socket("org.birthmark.Capture");
        assert!(socket.as_os_str().len() < 108, "{}", socket.display());
        std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let goes: Vec<_> = folder.temporary().map(Path::to_owned).collect();
        assert_eq!(goes, [socket.parent().unwrap()]);
        folder.leave();
        assert!(!socket.exists() && deep.join(README).exists());
    }

    #[test]
    fn a_note_that_was_damaged_is_named_and_not_taken_for_none() {
        let outer = TempDir::new().unwrap();
        let folder = Folder::prepare(Some(outer.path())).unwrap();
        folder.keep(&kept()).unwrap();
        let note = folder.path().join(WHOLE);
        fs::write(&note, "sma_port = 'x'").unwrap();
        let error = format!("{:#}", folder.kept().unwrap_err());
        assert!(error.contains("demo.toml is damaged"), "{error}");
        folder.leave();
    }
}
