//! Starting `birthmark`, and never leaving it behind.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
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
        .env_remove("BIRTHMARK_NODE")
        .stdin(Stdio::null());
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

/// A demonstration that keeps running until it is dropped or interrupted.
pub struct Demonstration {
    child: Child,
    /// Everything printed until it waits for Ctrl-C.
    pub printed: Vec<String>,
}

impl Demonstration {
    /// Starts one and waits until it invites people to its page.
    pub fn start(arguments: &[&str], temporary: &Path) -> Self {
        let mut child = birthmark(&[&["demo"], arguments].concat(), temporary)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut demonstration = Self {
            child,
            printed: Vec::new(),
        };
        for line in lines {
            let line = line.unwrap();
            let waits = line.contains("Ctrl-C ends");
            demonstration.printed.push(line);
            if waits {
                return demonstration;
            }
        }
        panic!("the demonstration ended: {:#?}", demonstration.printed);
    }

    /// The validator's address.
    pub fn node(&self) -> &str {
        let line = self
            .printed
            .iter()
            .find(|line| line.starts_with("validator"));
        line.unwrap().rsplit(' ').next().unwrap()
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Presses Ctrl-C and waits for the end.
    pub fn interrupt(mut self) -> std::process::ExitStatus {
        signal("-INT", self.child.id());
        self.child.wait().unwrap()
    }
}

impl Drop for Demonstration {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            signal("-TERM", self.child.id());
            self.child.wait().unwrap();
        }
    }
}

fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill").args([name, &pid.to_string()]).status();
    assert!(sent.unwrap().success());
}

/// The processes a process has started.
pub fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let all = std::fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten();
    let threads = all.flatten().map(|thread| thread.path().join("children"));
    let lists = threads.filter_map(|path| std::fs::read_to_string(path).ok());
    let found = lists.chain(text.ok()).flat_map(|list| {
        let numbers = list
            .split_whitespace()
            .map(|number| number.parse::<u32>().unwrap());
        numbers.collect::<Vec<_>>()
    });
    let mut found: Vec<_> = found.collect();
    found.sort_unstable();
    found.dedup();
    found
}
