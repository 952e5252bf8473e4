//! What is left when the demonstration is killed goes all the same: a small process beside it waits
//! until it is gone, then ends the TPM emulator and removes the temporary folders.
//!
//! It learns of the end by a pipe that only the demonstration holds open, so it needs no clock and
//! misses no way to die. In a process group of its own it outlives a closed window.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::Context as _;

/// Reads what there is to clear, one thing a line, until the pipe closes.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
processes=
while IFS= read -r line; do
    case $line in
    "process "*) processes="$processes ${line#process }" ;;
    "remove "*) set -- "$@" "${line#remove }" ;;
    done) exit ;;
    esac
done
[ -z "$processes" ] || kill -KILL $processes
[ $# = 0 ] || rm -rf -- "$@"
"#;

/// The process that waits. It does nothing after a demonstration that cleared up itself.
#[derive(Debug)]
pub(crate) struct Reaper {
    process: Child,
    pipe: ChildStdin,
}

impl Reaper {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let mut process = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "birthmark-demo-reaper"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .process_group(0)
            .spawn()
            .context("cannot start /bin/sh")?;
        let pipe = process.stdin.take().context("the pipe to /bin/sh")?;
        Ok(Self { process, pipe })
    }

    /// A file or a folder that must not stay.
    pub(crate) fn remove(&mut self, path: &Path) -> anyhow::Result<()> {
        self.tell(&format!("remove {}", path.display()))
    }

    /// A process that must not stay.
    pub(crate) fn end(&mut self, process: u32) -> anyhow::Result<()> {
        self.tell(&format!("process {process}"))
    }

    /// Everything was cleared: nothing is left to do.
    pub(crate) fn dismiss(mut self) {
        if let Err(error) = self.tell("done") {
            log::debug!("the reaper is gone: {error:#}");
        }
        drop(self.pipe);
        if let Err(error) = self.process.wait() {
            log::debug!("the reaper cannot be waited for: {error}");
        }
    }

    fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        writeln!(self.pipe, "{line}").context("the process that clears up is gone")
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_closed_pipe_ends_processes_and_removes_folders() {
        let outer = TempDir::new().unwrap();
        let folder = outer.path().join("two words");
        std::fs::create_dir(&folder).unwrap();
        let mut sleeper = Command::new("sleep").arg("600").spawn().unwrap();
        let mut reaper = Reaper::start().unwrap();
        reaper.remove(&folder).unwrap();
        reaper.end(sleeper.id()).unwrap();
        let Reaper { mut process, pipe } = reaper;
        drop(pipe);
        assert!(!sleeper.wait().unwrap().success());
        process.wait().unwrap();
        assert!(!folder.exists());
    }

    #[test]
    fn after_an_orderly_end_nothing_is_touched() {
        let outer = TempDir::new().unwrap();
        let mut reaper = Reaper::start().unwrap();
        reaper.remove(outer.path()).unwrap();
        let begin = Instant::now();
        reaper.dismiss();
        assert!(outer.path().exists());
        assert!(begin.elapsed() < Duration::from_secs(60));
    }
}
