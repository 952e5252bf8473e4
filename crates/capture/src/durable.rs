//! Files that are there after the power failed.
//!
//! A file is written under another name, forced to the disk, moved into place, and then its folder is forced to the disk
//! too: until that has happened a crash may bring back the old state, never a mixture.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Photos and what is said about them may be read by the group.
pub const SHARED: u32 = 0o640;
/// Openings and tokens are nobody else's business.
pub const PRIVATE: u32 = 0o600;

/// Writes a complete file and forces it, but not yet its name, to the disk.
pub fn write_unnamed(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a file helps nobody and may be what fills the disk.
        let _ = fs::remove_file(path);
    }
    written
}

/// Replaces the file at `path`; afterwards it is there with these bytes, whatever happens.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let fresh = beside(path);
    write_unnamed(&fresh, bytes, mode)?;
    // If we stop here, a file ending in `.new` stays behind; it is overwritten the next time and never read.
    rename(&fresh, path)
}

/// Moves a file and forces both folders to the disk.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
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
        _ => {}
    }
    sync_folder(folder_of(path))
}

/// Makes a folder with its parents, and forces their names to the disk.
pub fn make_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        make_folder(parent)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_folder(folder_of(path))
}

/// Forces the names in a folder to the disk.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
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

/// Bytes that may still be written to the disk that holds `path`.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let about = rustix::fs::statvfs(path)?;
    Ok(about.f_bavail.saturating_mul(about.f_frsize))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/entry");
        make_folder(path.parent().unwrap()).unwrap();
        replace(&path, b"first", PRIVATE).unwrap();
        replace(&path, b"second", PRIVATE).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            PRIVATE
        );
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(!path.exists());
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
