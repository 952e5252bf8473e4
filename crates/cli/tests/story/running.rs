//! Starting `birthmark`, and never leaving it behind.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something that happens by itself.
pub fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !happened() {
        assert!(begin.elapsed() < PATIENCE, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// `birthmark` with arguments and a temporary folder of its own.
pub fn birthmark(arguments: &[&str], temporary: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_birthmark"));
    command
        .args(arguments)
        .env("TMPDIR", temporary)
        .env("XDG_RUNTIME_DIR", temporary)
        .env("XDG_CONFIG_HOME", temporary.join("config"))
        .env_remove("BIRTHMARK_NODE")
        .env_remove("BIRTHMARK_GENESIS")
        .stdin(Stdio::null());
    crate::process::with_clock(&mut command, temporary);
    command
}

/// Runs to the end.
pub fn output(arguments: &[&str], temporary: &Path) -> Output {
    birthmark(arguments, temporary).output().unwrap()
}

/// What a program wrote to standard output and standard error.
pub fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}
