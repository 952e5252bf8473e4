//! Nothing a test starts may outlive it: processes are marked by their environment, and looked for at the end.

use std::fs;
use std::path::Path;

use crate::house::House;

const VARIABLE: &str = "BIRTHMARK_TEST_RUN";

/// The mark of one run of the test command, inherited by every process it starts.
pub(crate) struct Mark(String);

impl Mark {
    pub(super) fn new() -> Self {
        let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        Self(format!("{}-{}", std::process::id(), since.as_nanos()))
    }

    /// The environment variable that carries the mark.
    pub(crate) fn variable(&self) -> (&'static str, &str) {
        (VARIABLE, &self.0)
    }

    /// Ends every process that still carries the mark, and says what they were.
    pub(super) fn end_leftovers(&self) -> Vec<String> {
        let carried = format!("{VARIABLE}={}", self.0);
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let mut found = Vec::new();
        for process in processes {
            if carries(&process.path(), carried.as_bytes()) {
                let id = process.file_name().to_string_lossy().into_owned();
                found.push(format!("{id} {}", command_line(&process.path())));
                // A process that has ended in between is what we want.
                let _ = std::process::Command::new("kill")
                    .args(["-KILL", &id])
                    .status();
            }
        }
        found
    }
}

fn carries(process: &Path, variable: &[u8]) -> bool {
    let environment = fs::read(process.join("environ")).unwrap_or_default();
    environment
        .split(|byte| *byte == 0)
        .any(|entry| entry == variable)
}

fn command_line(process: &Path) -> String {
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
