//! The room that is left on the disk. Below the reserve strangers are turned away first, and signed
//! photos last: a full disk stops everything.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Below this, nothing new is taken at all: blocks of what was taken before must still fit.
const LAST_BYTES: u64 = 64 << 20;

/// How much room there is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Space {
    /// Nothing more can be taken.
    None,
    /// Signed submissions are taken, others are not.
    Little,
    /// Enough.
    Enough,
}

/// Watches the disk of one folder.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    reserve: u64,
    free: AtomicU64,
}

impl Disk {
    /// The disk under this folder, with a reserve in bytes.
    pub fn new(folder: &Path, reserve: u64) -> std::io::Result<Self> {
        let disk = Self {
            folder: folder.to_path_buf(),
            reserve,
            free: AtomicU64::new(u64::MAX),
        };
        disk.look()?;
        Ok(disk)
    }

    /// Looks again how much is free, in bytes.
    pub fn look(&self) -> std::io::Result<u64> {
        let free = free_bytes(&self.folder)?;
        self.free.store(free, Ordering::Relaxed);
        Ok(free)
    }

    /// How much room there was when it was last looked.
    pub fn space(&self) -> Space {
        match self.free.load(Ordering::Relaxed) {
            free if free < LAST_BYTES.min(self.reserve) => Space::None,
            free if free < self.reserve => Space::Little,
            _ => Space::Enough,
        }
    }
}

/// What a program without privileges may still write below this folder.
pub fn free_bytes(folder: &Path) -> std::io::Result<u64> {
    let space = rustix::fs::statvfs(folder)?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_decides_who_is_turned_away() {
        let folder = tempfile::tempdir().unwrap();
        let space = |reserve| Disk::new(folder.path(), reserve).unwrap().space();
        assert_eq!(space(0), Space::Enough);
        assert_eq!(space(u64::MAX), Space::Little);
        let full = Disk::new(folder.path(), 1 << 30).unwrap();
        full.free.store(LAST_BYTES - 1, Ordering::Relaxed);
        assert_eq!(full.space(), Space::None);
        assert!(Disk::new(&folder.path().join("gone"), 1).is_err());
    }
}
