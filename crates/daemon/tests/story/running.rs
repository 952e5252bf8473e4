//! Starting the real clock, hearing what it tells systemd, and never leaving it behind.

use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Long enough for a loaded machine; nothing waits this long unless it is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The clock's binary, built with the tests.
pub fn binary() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let profile = tests.parent().unwrap().parent().unwrap();
    let clock = profile.join("examples/birthmark-clock");
    assert!(
        clock.exists(),
        "run `cargo build --examples` first: {clock:?}"
    );
    clock
}

/// Runs a command of the clock to its end: status, standard output, standard error.
pub fn ask(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(binary())
        .args(arguments)
        .env_clear()
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// A folder with the clock's configuration, its socket and its line to systemd.
pub struct Place {
    folder: TempDir,
    notices: UnixDatagram,
}

impl Place {
    /// A place whose configuration says where the socket is, and these lines.
    pub fn with(lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let notices = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        notices.set_read_timeout(Some(PATIENCE)).unwrap();
        let place = Self { folder, notices };
        let socket = place.socket();
        let text = format!("socket = {socket:?}\n{lines}\n");
        std::fs::write(place.path("clock.toml"), text).unwrap();
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn socket(&self) -> PathBuf {
        self.path("varlink")
    }

    /// The clock's command line, with systemd's side of it but without sockets.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("NOTIFY_SOCKET", self.path("notify"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// Starts the clock and waits until it says it is ready.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.command(&binary());
        command.arg("--config").arg(self.path("clock.toml"));
        let running = Running::of(command.args(arguments));
        self.await_notice("READY=1");
        running
    }

    /// The next thing systemd is told.
    pub fn notice(&self) -> String {
        let mut buffer = [0; 4096];
        let read = self.notices.recv(&mut buffer).expect("a notice");
        String::from_utf8(buffer[..read].to_vec()).unwrap()
    }

    /// Skips what systemd is told up to a notice with this text, which is returned.
    pub fn await_notice(&self, text: &str) -> String {
        loop {
            let notice = self.notice();
            if notice.contains(text) {
                return notice;
            }
        }
    }
}

/// A clock that is ended with the test, whatever happens.
pub struct Running(Child);

impl Running {
    pub fn of(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(self.0.id().cast_signed()).unwrap();
        kill_process(id, signal).unwrap();
    }

    /// Waits for its end: the status and everything it wrote to standard error.
    pub fn end(mut self) -> (ExitStatus, String) {
        let mut log = String::new();
        let mut errors = self.0.stderr.take().unwrap();
        errors.read_to_string(&mut log).unwrap();
        (self.0.wait().unwrap(), log)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
