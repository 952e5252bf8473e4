//! The daemons as separate processes: the binaries that ship, told apart by nothing but their
//! settings.

use std::fs::File;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Long enough for a loaded machine; nothing waits this long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(120);

/// A binary of the workspace. Cargo builds them all with `--workspace`; for this crate alone only
/// `birthmark`.
pub fn binary(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_birthmark")).with_file_name(name);
    assert!(
        path.exists(),
        "{} is not built: run the tests with --workspace",
        path.display()
    );
    path
}

/// A running daemon, ended with the test.
pub struct Daemon {
    child: Child,
}

impl Daemon {
    /// Starts a daemon in `folder`, where its settings lie as NAME.toml, and waits until it says it
    /// is ready.
    pub fn start(name: &str, folder: &Path) -> Self {
        let notices = folder.join(format!("{name}.notify"));
        let _ = std::fs::remove_file(&notices);
        let line = UnixDatagram::bind(&notices).unwrap();
        line.set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let log = File::options()
            .create(true)
            .append(true)
            .open(folder.join(format!("{name}.log")))
            .unwrap();
        let child = command(name, folder)
            .env("NOTIFY_SOCKET", &notices)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut daemon = Self { child };
        daemon.wait_until_ready(name, folder, &line);
        daemon
    }

    fn wait_until_ready(&mut self, name: &str, folder: &Path, line: &UnixDatagram) {
        let begin = std::time::Instant::now();
        let mut buffer = [0; 4096];
        loop {
            let read = line.recv(&mut buffer);
            let is_ready = |read| String::from_utf8_lossy(&buffer[..read]).contains("READY=1");
            if read.is_ok_and(is_ready) {
                return;
            }
            let gone = self.child.try_wait().unwrap();
            assert!(
                gone.is_none() && begin.elapsed() < PATIENCE,
                "{name} does not start: {}",
                log(name, folder)
            );
        }
    }

    /// Ends it at once, as a power cut does.
    pub fn kill(self) {
        drop(self);
    }

    /// Asks it to stop and waits until it did.
    pub fn stop(mut self) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everything a daemon wrote.
pub fn log(name: &str, folder: &Path) -> String {
    std::fs::read_to_string(folder.join(format!("{name}.log"))).unwrap()
}

/// The library that moves a program's clock: it comes with `faketime`, from Debian's package or
/// from the Nix shell.
fn clock_library() -> PathBuf {
    let search = std::env::var_os("PATH").expect("a search path");
    let mut folders = std::env::split_paths(&search);
    let program = folders.find_map(|folder| folder.join("faketime").canonicalize().ok());
    let program = program.expect("install the package faketime");
    let root = program.parent().and_then(Path::parent).unwrap();
    let beside = std::fs::read_dir(root.join("lib")).into_iter().flatten();
    let mut folders = beside.flatten().map(|entry| entry.path().join("faketime"));
    let library = "libfaketime.so.1";
    let of_nix = [root.join("lib").join(library)].into_iter();
    let known = of_nix.chain(folders.by_ref().map(|folder| folder.join(library)));
    let mut known = known.filter(|path| path.exists());
    known.next().expect("faketime comes with its library")
}

/// Whose clock stands in the file `clock` of this folder, if there is one: `+400d` is 400 days
/// ahead. A change is seen within a second, by programs that run too.
pub fn with_clock<'a>(command: &'a mut Command, folder: &Path) -> &'a mut Command {
    let clock = folder.join("clock");
    if !clock.exists() {
        return command;
    }
    command
        .env("LD_PRELOAD", clock_library())
        .env("FAKETIME_TIMESTAMP_FILE", clock)
        .env("FAKETIME_CACHE_DURATION", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("NO_FAKE_STAT", "1")
}

/// A binary with its settings and credentials.
pub fn command(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(binary(&format!("birthmark-{name}")));
    command
        .arg("--config")
        .arg(folder.join(format!("{name}.toml")))
        .env("CREDENTIALS_DIRECTORY", folder.join(format!("{name}-keys")))
        .env("TSS2_LOG", "all+NONE")
        .stdin(Stdio::null());
    with_clock(&mut command, folder);
    command
}

/// Runs a program to its end, which must be good, and returns what it printed.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let printed = text(&output.stdout);
    assert!(
        output.status.success(),
        "{command:?}\n{printed}\n{}",
        text(&output.stderr)
    );
    printed
}
