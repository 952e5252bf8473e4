//! The clock of one validator, which a library that is loaded before its program moves.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use tempfile::NamedTempFile;

/// How far a clock is moved, in seconds: too far for blocks, not so far that a validator which is
/// started again refuses to run.
pub(crate) const MOVED: i64 = 300;
/// Where distributions keep the library.
const KNOWN: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/run/current-system/sw/lib/libfaketime.so.1",
];

/// A clock that stands in a file.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// A clock that is right, in a file beside the validator.
    pub(crate) fn beside(folder: &Path) -> anyhow::Result<Self> {
        let clock = Self {
            library: library()?,
            file: folder.join("clock"),
        };
        clock.set(0)?;
        Ok(clock)
    }

    /// So many seconds ahead, or behind. Programs that run see it within a second.
    pub(crate) fn set(&self, seconds: i64) -> anyhow::Result<()> {
        let folder = self.file.parent().context("the clock's folder")?;
        // Never half a file for who reads it meanwhile.
        let mut written = NamedTempFile::new_in(folder)?;
        write!(written, "{seconds:+}")?;
        written.persist(&self.file)?;
        Ok(())
    }

    /// A program that is started so has this clock. Pauses and timeouts go by the other one, which
    /// counts since the start of the machine and is nobody's to move.
    pub(crate) fn give(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", &self.file)
            .env("FAKETIME_CACHE_DURATION", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1");
    }
}

fn library() -> anyhow::Result<PathBuf> {
    let named = std::env::var_os("BIRTHMARK_LIBFAKETIME").map(PathBuf::from);
    let all = named.into_iter().chain(KNOWN.iter().map(PathBuf::from));
    let Some(found) = all.into_iter().find(|path| path.is_file()) else {
        bail!(
            "libfaketime is not there, which moves clocks: install the package faketime, or name the library in BIRTHMARK_LIBFAKETIME"
        );
    };
    Ok(found)
}
