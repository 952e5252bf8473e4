//! Files that are still there, and whole, after the power failed.
//!
//! A file is written under another name (its draft), forced to the disk, moved into place, and then
//! its folder is forced to the disk too. Without that last step the move itself may be undone by a
//! power failure: until it has happened a crash may bring back the old state, but never a mixture
//! of both.
//!
//! Everything here blocks; call it from a thread that may wait for a disk.

use std::cell::RefCell;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, OFlags, RenameFlags};

/// For the owner only: secrets, openings, tokens.
pub const PRIVATE: u32 = 0o600;
/// The group may read: photos and what is said about them.
pub const SHARED: u32 = 0o640;
/// Everybody may read: certificates, receipts, public lists.
pub const PUBLIC: u32 = 0o644;

/// Replaces the file at `path`, or creates it; afterwards it is there with exactly these bytes and
/// this mode.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    // If we stop before the end, a draft stays behind; it is overwritten the next time and never
    // read.
    let draft = Draft::write(path, bytes, mode)?;
    rename_file(&draft.path, path)?;
    sync_folder(folder_of(path))
}

/// Creates the file at `path`. One that exists is never overwritten: that is an error of the kind
/// `AlreadyExists`.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    // Looked at first only so that nothing is written in vain; the move below is what makes sure.
    if fs::symlink_metadata(path).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let draft = Draft::write(path, bytes, mode)?;
    publish(&draft.path, path).inspect_err(|_| draft.discard())
}

/// Forces a file that another program or library wrote to the disk and gives it its final name,
/// which must be free.
pub fn publish_new(written: &Path, path: &Path) -> io::Result<()> {
    sync_file(&File::open(written)?, written)?;
    publish(written, path)
}

/// Writes a complete file and forces its content, but not yet its name, to the disk:
/// [`sync_folder`] does that, once for many files.
pub fn write_unnamed(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)?;
    fill(&mut file, path, bytes, mode).inspect_err(|_| {
        // Half a file helps nobody and may be what fills the disk.
        let _ = fs::remove_file(path);
    })
}

/// Moves a file and forces both folders to the disk.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    rename_file(from, to)?;
    sync_folder(folder_of(to))?;
    if folder_of(from) != folder_of(to) {
        sync_folder(folder_of(from))?;
    }
    Ok(())
}

/// Removes a file for good; one that is not there is removed already.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => note(Step::Removed, path),
    }
    sync_folder(folder_of(path))
}

/// Makes a folder with its parents, and forces their names to the disk.
pub fn make_folder(path: &Path) -> io::Result<()> {
    make_folder_with(path, 0o777)
}

/// The same for a folder that only its owner may enter.
pub fn make_private_folder(path: &Path) -> io::Result<()> {
    make_folder_with(path, 0o700)
}

fn make_folder_with(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        make_folder_with(parent, mode)?;
    }
    match DirBuilder::new().mode(mode).create(path) {
        // Another thread may have made it meanwhile; a file in its place is an error.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !path.is_dir() => {
            return Err(error);
        }
        _ => {}
    }
    sync_folder(folder_of(path))
}

/// Forces the names in a folder to the disk.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    note(Step::FolderSynced, path);
    Ok(())
}

/// Bytes that may still be written to the disk that holds `path`.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let about = rustix::fs::statvfs(path)?;
    Ok(about.f_bavail.saturating_mul(about.f_frsize))
}

/// What reached the disk, in this order; see [`traced`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The content of this file is on the disk.
    Synced,
    /// Something was moved to this name.
    Renamed,
    /// This name was removed.
    Removed,
    /// The names in this folder are on the disk.
    FolderSynced,
}

/// Runs `work` and tells what it made durable on this thread: a test that power may fail needs to
/// see the order of the steps, which no file shows afterwards.
pub fn traced<T>(work: impl FnOnce() -> T) -> (T, Vec<(Step, PathBuf)>) {
    let outer = TRACE.replace(Some(Vec::new()));
    let done = work();
    let steps = TRACE.replace(outer);
    (done, steps.into_iter().flatten().collect())
}

thread_local! {
    static TRACE: RefCell<Option<Vec<(Step, PathBuf)>>> = const { RefCell::new(None) };
}

fn note(step: Step, path: &Path) {
    TRACE.with_borrow_mut(|trace| {
        if let Some(steps) = trace {
            steps.push((step, path.to_owned()));
        }
    });
}

/// A complete file under another name, beside the one it will become.
struct Draft {
    path: PathBuf,
    /// Holds the lock that keeps a second writer of the same file away until the draft is in place.
    _file: File,
}

impl Draft {
    fn write(target: &Path, bytes: &[u8], mode: u32) -> io::Result<Self> {
        let path = beside(target);
        let mut file = lock_draft(&path, mode)?;
        fill(&mut file, &path, bytes, mode).inspect_err(|_| {
            let _ = fs::remove_file(&path);
        })?;
        Ok(Self { path, _file: file })
    }

    fn discard(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Opens the draft, which may be left over from a crash, for one writer at a time.
fn lock_draft(path: &Path, mode: u32) -> io::Result<File> {
    loop {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(mode)
            // Nobody else's link decides what is overwritten.
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
        // The writer before us may have moved this very file into place while we waited for its
        // lock.
        match fs::symlink_metadata(path) {
            Ok(named) if named.ino() == file.metadata()?.ino() => return Ok(file),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

fn fill(file: &mut File, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    // The process's umask, and the mode of a file that was there, have no say.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.set_len(0)?;
    file.write_all(bytes)?;
    sync_file(file, path)
}

fn sync_file(file: &File, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    note(Step::Synced, path);
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that syncs the folder afterwards"
)]
fn rename_file(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    note(Step::Renamed, to);
    Ok(())
}

/// Moves a finished file to a name that must be free, and makes the name durable.
fn publish(from: &Path, to: &Path) -> io::Result<()> {
    rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?;
    note(Step::Renamed, to);
    sync_folder(folder_of(to))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    /// What a power failure after each step would leave: the last name that reached the disk.
    fn assert_durable(steps: &[(Step, PathBuf)], path: &Path) {
        let place = |wanted: (Step, &Path)| {
            let found = steps
                .iter()
                .position(|(step, at)| (*step, at.as_path()) == wanted);
            found.unwrap_or_else(|| panic!("{wanted:?} is missing in {steps:?}"))
        };
        let synced = place((Step::Synced, &beside(path)));
        let renamed = place((Step::Renamed, path));
        let folder = place((Step::FolderSynced, path.parent().unwrap()));
        assert!(synced < renamed && renamed < folder, "{steps:?}");
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/entry");
        make_folder(path.parent().unwrap()).unwrap();
        replace(&path, b"the first is longer", PRIVATE).unwrap();
        replace(&path, b"second", PRIVATE).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(mode_of(&path), PRIVATE);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn content_is_on_the_disk_before_the_name_and_the_name_before_the_return() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("entry");
        let (done, steps) = traced(|| replace(&path, b"1", PRIVATE));
        done.unwrap();
        assert_durable(&steps, &path);
        let fresh = folder.path().join("fresh");
        let (done, steps) = traced(|| create(&fresh, b"1", PUBLIC));
        done.unwrap();
        assert_durable(&steps, &fresh);
        let (done, steps) = traced(|| remove(&fresh));
        done.unwrap();
        let folder = folder.path().to_owned();
        assert_eq!(
            steps,
            [(Step::Removed, fresh), (Step::FolderSynced, folder)]
        );
    }

    #[test]
    fn moving_to_another_folder_makes_both_folders_durable() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a/entry"), folder.path().join("b/entry"));
        for path in [&from, &to] {
            make_folder(path.parent().unwrap()).unwrap();
        }
        fs::write(&from, "moved").unwrap();
        let (done, steps) = traced(|| rename(&from, &to));
        done.unwrap();
        let expected = [
            (Step::Renamed, to.clone()),
            (Step::FolderSynced, folder.path().join("b")),
            (Step::FolderSynced, folder.path().join("a")),
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn a_new_folder_is_named_durably_in_its_parent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let (done, steps) = traced(|| make_private_folder(&path));
        done.unwrap();
        let expected = [
            (Step::FolderSynced, folder.path().to_owned()),
            (Step::FolderSynced, folder.path().join("a")),
        ];
        assert_eq!(steps, expected);
        assert_eq!(mode_of(&path), 0o700);
    }

    #[test]
    fn what_exists_is_never_overwritten_by_create() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        create(&path, b"first", PRIVATE).unwrap();
        let refused = create(&path, b"second", PRIVATE).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        let written = folder.path().join("key.unfinished");
        fs::write(&written, "third").unwrap();
        let refused = publish_new(&written, &path).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        let (done, steps) = traced(|| publish_new(&written, &folder.path().join("third")));
        done.unwrap();
        assert_eq!(steps.first(), Some(&(Step::Synced, written)));
        assert_eq!(
            steps.last().map(|(step, _)| *step),
            Some(Step::FolderSynced)
        );
    }

    #[test]
    fn a_draft_that_others_could_read_is_closed_before_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(beside(&path), "what a crash left behind, and longer").unwrap();
        fs::set_permissions(beside(&path), Permissions::from_mode(0o644)).unwrap();
        replace(&path, b"secret", PRIVATE).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"secret");
        assert_eq!(mode_of(&path), PRIVATE);
    }

    #[test]
    fn a_link_in_the_place_of_the_draft_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("entry"), folder.path().join("other"));
        fs::write(&other, "not ours").unwrap();
        std::os::unix::fs::symlink(&other, beside(&path)).unwrap();
        assert!(replace(&path, b"new", PRIVATE).is_err());
        assert_eq!(fs::read(&other).unwrap(), b"not ours");
    }

    #[test]
    fn writers_of_one_file_wait_for_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("entry");
        let whole: Vec<Vec<u8>> = (b'a'..b'e').map(|letter| vec![letter; 100_000]).collect();
        std::thread::scope(|scope| {
            for bytes in &whole {
                let path = &path;
                scope.spawn(move || (0..10).for_each(|_| replace(path, bytes, SHARED).unwrap()));
            }
        });
        assert!(whole.contains(&fs::read(&path).unwrap()));
        assert!(!beside(&path).exists());
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("entry");
        replace(&path, b"old", SHARED).unwrap();
        fs::create_dir(folder.path().join("entry.new")).unwrap();
        assert!(replace(&path, b"new", SHARED).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }
}
