//! A demonstration as a process of its own, ended with the test.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

/// A demonstration that keeps running until it is dropped or gets a signal.
#[derive(Debug)]
pub struct Demonstration {
    child: Child,
    /// Everything printed until it waits for Ctrl-C.
    pub printed: Vec<String>,
}

impl Demonstration {
    /// Starts `program` with a folder of its own for what is temporary, and waits until it invites
    /// people to its page.
    #[expect(
        clippy::panic,
        reason = "a fixture that does not come up fails the test"
    )]
    pub fn start(program: &Path, arguments: &[&str], temporary: &Path) -> Self {
        let mut child = command(program, arguments, temporary)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let out = child.stdout.take();
        let mut demonstration = Self {
            child,
            printed: Vec::new(),
        };
        for line in out.into_iter().flat_map(|out| BufReader::new(out).lines()) {
            let line = line.unwrap_or_else(|error| panic!("what it prints is not text: {error}"));
            let waits = line.contains("Ctrl-C ends");
            demonstration.printed.push(line);
            if waits {
                return demonstration;
            }
        }
        panic!("the demonstration ended: {:#?}", demonstration.printed);
    }

    /// The validator's address.
    #[expect(clippy::panic, reason = "a fixture that says nothing fails the test")]
    pub fn node(&self) -> &str {
        let mut lines = self.printed.iter();
        let line = lines.find(|line| line.starts_with("validator"));
        line.and_then(|line| line.rsplit(' ').next())
            .unwrap_or_else(|| panic!("no validator: {:#?}", self.printed))
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, such as `INT`, and waits for the end.
    pub fn end_with(mut self, signal: &str) -> std::io::Result<ExitStatus> {
        send(signal, self.child.id())?;
        self.child.wait()
    }
}

impl Drop for Demonstration {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // It may have ended by itself in between.
            let _ = send("TERM", self.child.id());
            let _ = self.child.wait();
        }
    }
}

/// `program` with arguments, temporary files in a folder of its own, and not to be found by others.
pub fn command(program: &Path, arguments: &[&str], temporary: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("TMPDIR", temporary)
        .env("XDG_RUNTIME_DIR", temporary)
        .env_remove("BIRTHMARK_NODE")
        .stdin(Stdio::null());
    command
}

fn send(signal: &str, process: u32) -> std::io::Result<()> {
    let mut kill = Command::new("kill");
    kill.args([format!("-{signal}"), process.to_string()]);
    kill.status().map(drop)
}

/// The processes that a process has started and that still run.
pub fn children(process: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task"));
    let threads = threads.into_iter().flatten().flatten();
    let lists = threads.map(|thread| thread.path().join("children"));
    let lists = lists.filter_map(|path| std::fs::read_to_string(path).ok());
    let mut found: Vec<u32> = lists
        .flat_map(|list| {
            let numbers = list.split_whitespace().map(str::parse);
            numbers.filter_map(Result::ok).collect::<Vec<_>>()
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}
