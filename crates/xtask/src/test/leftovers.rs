//! Nothing a test starts may outlive it: processes are marked by their environment, and looked for
//! at the end.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::house::House;

const VARIABLE: &str = "BIRTHMARK_TEST_RUN";

/// The mark of one run of the test command, inherited by every process it starts.
pub(crate) struct Mark(String);

impl Mark {
    pub(super) fn new() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "before 1970 the process id alone is the mark"
        )]
        let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        Self(format!("{}-{}", std::process::id(), since.as_nanos()))
    }

    /// The environment variable that carries the mark.
    pub(crate) fn variable(&self) -> (&'static str, &str) {
        (VARIABLE, &self.0)
    }

    /// Ends every process that still carries the mark, and says what they were.
    pub(super) fn end_leftovers(&self) -> Vec<String> {
        // Who was told to leave gets a moment to do so: a browser has many processes. One look that
        // finds nobody is not enough, for a process that is just being started shows no
        // environment.
        let mut empty_looks = 0;
        for _ in 0..20 {
            empty_looks = if self.carriers().is_empty() {
                empty_looks + 1
            } else {
                0
            };
            if empty_looks == 2 {
                return Vec::new();
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let carriers = self.carriers();
        for (id, _) in &carriers {
            // A process that has ended in between is what we want.
            let _ = Command::new("kill").args(["-KILL", id]).status();
        }
        let shown = carriers.iter().map(|(id, words)| format!("{id} {words}"));
        shown.collect()
    }

    /// The processes that carry the mark, and their command lines.
    fn carriers(&self) -> Vec<(String, String)> {
        let carried = format!("{VARIABLE}={}", self.0);
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let carriers = processes.filter(|process| carries(&process.path(), carried.as_bytes()));
        let described = carriers.map(|process| {
            let id = process.file_name().to_string_lossy().into_owned();
            (id, command_line(&process.path()))
        });
        described.collect()
    }
}

fn carries(process: &Path, variable: &[u8]) -> bool {
    #[expect(
        clippy::disallowed_methods,
        reason = "a process that has ended has no mark"
    )]
    let environment = fs::read(process.join("environ")).unwrap_or_default();
    environment
        .split(|byte| *byte == 0)
        .any(|entry| entry == variable)
}

fn command_line(process: &Path) -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "a process that has ended is named by its number"
    )]
    let words = fs::read(process.join("cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).replace('\0', " ")
}

impl House {
    /// The same workspace, whose programs carry the mark.
    pub(super) fn marked(&self, mark: &Mark) -> House {
        let (name, value) = mark.variable();
        self.with_variable(name, value)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Child;
    use std::time::Instant;

    use super::*;

    #[test]
    fn what_carries_the_mark_is_named_and_ended() {
        let (mark, other) = (Mark::new(), Mark("another run".to_owned()));
        let start = |mark: &Mark| {
            let (name, value) = mark.variable();
            let mut sleeper = Command::new("sleep");
            let sleeper = sleeper.arg("600").env(name, value).spawn().unwrap();
            wait_until_it_shows_its_environment(&sleeper, mark);
            sleeper
        };
        let (mut ours, mut theirs) = (start(&mark), start(&other));
        let found = mark.end_leftovers();
        assert_eq!(found, [format!("{} sleep 600 ", ours.id())]);
        assert!(!ours.wait().unwrap().success());
        assert!(
            theirs.try_wait().unwrap().is_none(),
            "others are left alone"
        );
        theirs.kill().unwrap();
        theirs.wait().unwrap();
        assert!(mark.end_leftovers().is_empty());
    }

    /// A process is started some moments before the kernel shows what it was started with.
    fn wait_until_it_shows_its_environment(sleeper: &Child, mark: &Mark) {
        let id = sleeper.id().to_string();
        let shown = || mark.carriers().iter().any(|(carrier, _)| *carrier == id);
        let deadline = Instant::now() + Duration::from_secs(30);
        while !shown() {
            assert!(Instant::now() < deadline, "{id} never shows its mark");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
