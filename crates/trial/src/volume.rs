//! A small volume in memory for one validator's database, which can be filled.

use std::ffi::CStr;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// Large enough for the database of a long trial, and for what it needs to be tidy.
const OPTIONS: &CStr = c"size=512m,mode=0700";
/// How much is written at once.
static PIECE: [u8; 1 << 16] = [0; 1 << 16];

/// A volume that is there as long as this value.
#[derive(Debug)]
pub(crate) struct Volume {
    folder: PathBuf,
}

impl Volume {
    /// An empty volume over this folder, which it makes.
    pub(crate) fn over(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        mount(
            "birthmark-trial",
            folder,
            "tmpfs",
            MountFlags::NODEV,
            OPTIONS,
        )
        .context("a volume that can be filled cannot be mounted: only root can do that")?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }

    /// Leaves no byte free.
    pub(crate) fn fill(&self) -> anyhow::Result<()> {
        let mut ballast = File::options()
            .create(true)
            .append(true)
            .open(self.ballast())?;
        loop {
            match ballast.write(&PIECE) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error).context("filling a volume"),
            }
        }
    }

    /// Makes room again.
    pub(crate) fn empty(&self) -> anyhow::Result<()> {
        match std::fs::remove_file(self.ballast()) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).context("emptying a volume")
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Keeps what is on it in a folder beside, whose name ends in `kept`.
    fn leave(&self) -> anyhow::Result<()> {
        self.empty()?;
        let kept = self.folder.with_extension("kept");
        std::fs::create_dir_all(&kept)?;
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                std::fs::copy(entry.path(), kept.join(entry.file_name()))?;
            }
        }
        unmount(&self.folder, UnmountFlags::empty())?;
        std::fs::remove_dir(&self.folder)?;
        Ok(())
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if let Err(error) = self.leave() {
            eprintln!("{} stays: {error:#}", self.folder.display());
        }
    }
}
