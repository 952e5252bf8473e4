//! The real binary with a configuration and a socket of its own, ended with the test.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use birthmark_signer::SignerClient;
use birthmark_testkit::tpm::Swtpm;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Long enough for a loaded machine; nothing waits this long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with the signer's configuration, its state and its line to systemd.
pub struct Place {
    folder: TempDir,
    notices: UnixDatagram,
}

impl Place {
    /// A place for a signer with this TPM; `lines` stand before the TPM's table in the
    /// configuration.
    pub fn with_tpm(emulator: &Swtpm, lines: &str, tpm_lines: &str) -> Self {
        let place = Self::new();
        place.configure(&format!(
            "{lines}\n[tpm]\ntcti = \"{}\"\n{tpm_lines}\n",
            emulator.tcti()
        ));
        place
    }

    /// A place for a signer with this configuration.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let notices = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        notices.set_read_timeout(Some(PATIENCE)).unwrap();
        let place = Self { folder, notices };
        std::fs::create_dir(place.path("credentials")).unwrap();
        place.credential(&crate::chip::CREDENTIAL);
        place
    }

    /// Gives the signer another credential from its next start on.
    pub fn credential(&self, bytes: &[u8]) {
        let path = self.path("credentials/chip-auth");
        // One that is there may not be written to.
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
    }

    /// Writes the configuration: the places of this folder, then `lines`.
    pub fn configure(&self, lines: &str) {
        let (socket, state) = (self.socket(), self.state());
        let roles = if lines.contains("administrators") {
            ""
        } else {
            "callers = []\nadministrators = []\n"
        };
        let text = format!("socket = {socket:?}\nstate_directory = {state:?}\n{roles}{lines}\n");
        std::fs::write(self.path("signer.toml"), text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn socket(&self) -> PathBuf {
        self.path("signer")
    }

    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// Starts the signer and waits until it says it is ready.
    pub fn start(&self) -> Running {
        let running = self.spawn();
        let mut buffer = [0; 4096];
        loop {
            let read = self
                .notices
                .recv(&mut buffer)
                .expect("the signer becomes ready");
            if std::str::from_utf8(&buffer[..read])
                .unwrap()
                .contains("READY=1")
            {
                return running;
            }
        }
    }

    /// Starts the signer without waiting.
    pub fn spawn(&self) -> Running {
        self.forget_notices();
        let child = Command::new(env!("CARGO_BIN_EXE_birthmark-signer"))
            .arg("--config")
            .arg(self.path("signer.toml"))
            .env_clear()
            .env("NOTIFY_SOCKET", self.path("notify"))
            .env("CREDENTIALS_DIRECTORY", self.path("credentials"))
            .env("TSS2_LOG", "all+NONE")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(self.path("log")).unwrap())
            .spawn()
            .unwrap();
        Running(child)
    }

    /// A signer that was killed may have said that it is ready; the next one has not.
    fn forget_notices(&self) {
        self.notices.set_nonblocking(true).unwrap();
        while self.notices.recv(&mut [0; 4096]).is_ok() {}
        self.notices.set_nonblocking(false).unwrap();
    }

    /// Everything the latest signer wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    pub async fn client(&self) -> SignerClient {
        SignerClient::connect(&self.socket()).await.unwrap()
    }

    /// Writes a file for the signer to import, with these permissions.
    pub fn provisioning_file(&self, text: &str, mode: u32) -> PathBuf {
        let path = self.path("provisioning.json");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

/// A signer that is ended with the test, whatever happens.
pub struct Running(Child);

impl Running {
    /// Asks it to stop, and waits until it did.
    pub fn stop(mut self) -> ExitStatus {
        kill_process(
            Pid::from_raw(self.0.id().cast_signed()).unwrap(),
            Signal::TERM,
        )
        .unwrap();
        self.0.wait().unwrap()
    }

    /// Takes over a started signer.
    pub fn of(child: Child) -> Self {
        Self(child)
    }

    /// Waits for it to end by itself.
    pub fn end(mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }

    /// Takes the power away.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
