//! A TPM emulator for one test: `swtpm` in a folder of its own, with an endorsement key and its
//! certificate.
//!
//! It serves one client at a time, so every test starts its own.

use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long the emulator may take until it listens.
const START_DEADLINE: Duration = Duration::from_secs(20);
/// How often a pair of ports may be snatched by somebody else before giving up.
const PORT_ATTEMPTS: usize = 10;

/// A running emulator. It is stopped by its process id and its folder removed when this value goes.
#[derive(Debug)]
pub struct Swtpm {
    folder: PathBuf,
    /// Goes with this value; a folder that was given stays.
    _temporary: Option<TempDir>,
    port: u16,
    process: Option<Child>,
}

impl Swtpm {
    /// Whether the emulator is installed here.
    pub fn is_installed() -> bool {
        Command::new("swtpm")
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Makes a new TPM with an RSA-2048 endorsement key, certified by an authority of its own, and
    /// starts it.
    pub fn start() -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("birthmark-swtpm-")
            .context("making a folder for the TPM emulator")?;
        manufacture(folder.path())?;
        Self::power_on(folder.path().to_owned(), Some(folder))
    }

    /// Starts the TPM whose state is in this folder; makes a new one there if the folder is empty.
    pub fn start_in(folder: PathBuf) -> anyhow::Result<Self> {
        if !state(&folder).exists() {
            manufacture(&folder)?;
        }
        Self::power_on(folder, None)
    }

    fn power_on(folder: PathBuf, temporary: Option<TempDir>) -> anyhow::Result<Self> {
        for _ in 0..PORT_ATTEMPTS {
            let port = free_port_pair()?;
            if let Some(process) = launch(&state(&folder), port)? {
                return Ok(Self {
                    folder,
                    _temporary: temporary,
                    port,
                    process: Some(process),
                });
            }
        }
        bail!("no pair of consecutive free ports for the TPM emulator");
    }

    /// How a TPM software stack reaches this TPM.
    pub fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }

    /// The process id of the emulator, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Takes the power away. What was persistent stays.
    pub fn stop(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        // Both only fail when the process is gone already, which is what is wanted.
        let _ = process.kill();
        let _ = process.wait();
    }

    /// Lets the chip stop answering, as one on a bad bus does.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it answer again.
    pub fn proceed(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.pid().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        kill_process(pid.context("the TPM emulator is off")?, signal)
            .context("signalling the TPM emulator")
    }

    /// Gives the power back, on the same ports.
    pub fn resume(&mut self) -> anyhow::Result<()> {
        self.stop();
        self.process = launch(&state(&self.folder), self.port)?;
        ensure!(
            self.process.is_some(),
            "the ports of the TPM emulator were taken while it was off"
        );
        Ok(())
    }

    /// Puts a factory-new TPM in this one's place: same address, other seeds, nothing in it.
    pub fn replace(&mut self) -> anyhow::Result<()> {
        self.stop();
        fs::remove_dir_all(state(&self.folder)).context("removing the old TPM's state")?;
        manufacture(&self.folder)?;
        self.resume()
    }

    /// The certificates that vouch for the endorsement key: the issuer's first, then the root's,
    /// each as PEM.
    pub fn endorsement_authorities(&self) -> anyhow::Result<Vec<String>> {
        ["issuercert.pem", "swtpm-localca-rootca-cert.pem"]
            .iter()
            .map(|name| {
                let path = self.folder.join("ca").join(name);
                fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
            })
            .collect()
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        self.stop();
    }
}

fn state(folder: &Path) -> PathBuf {
    folder.join("state")
}

/// Makes the TPM's seeds, its endorsement key and the key's certificate, with a certificate
/// authority inside `folder`.
fn manufacture(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(state(folder)).context("making the TPM's state folder")?;
    fs::create_dir_all(folder.join("ca")).context("making the TPM authority's folder")?;
    let configuration = write_configuration(folder)?;
    let output = Command::new("swtpm_setup")
        .args([
            "--tpm2",
            "--createek",
            "--create-ek-cert",
            "--lock-nvram",
            "--overwrite",
            "--pcr-banks",
            "sha256",
        ])
        .arg("--tpmstate")
        .arg(state(folder))
        .arg("--config")
        .arg(configuration)
        .stdin(Stdio::null())
        .output()
        .context("starting swtpm_setup: is the package swtpm-tools installed?")?;
    ensure!(
        output.status.success(),
        "swtpm_setup failed: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn write_configuration(folder: &Path) -> anyhow::Result<PathBuf> {
    let shown = folder.display();
    let write = |name: &str, text: String| -> anyhow::Result<PathBuf> {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    };
    write(
        "ca.conf",
        format!(
            "statedir = {shown}/ca\nsigningkey = {shown}/ca/signkey.pem\n\
             issuercert = {shown}/ca/issuercert.pem\ncertserial = {shown}/ca/certserial\n"
        ),
    )?;
    write(
        "ca.options",
        "--platform-manufacturer Test\n--platform-version 1\n--platform-model Emulator\n".into(),
    )?;
    write(
        "setup.conf",
        format!(
            "create_certs_tool = swtpm_localca\ncreate_certs_tool_config = {shown}/ca.conf\n\
             create_certs_tool_options = {shown}/ca.options\n"
        ),
    )
}

/// The emulator's control port must follow its data port directly: the software stack computes it.
/// Drawn from ports that the kernel gives nobody who asks for any, so that they are still there
/// after the power was off.
fn free_port_pair() -> anyhow::Result<u16> {
    let is_free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    for _ in 0..200 {
        let drawn = RandomState::new().hash_one(std::process::id()) % 8000;
        let port = 15_000 + 2 * u16::try_from(drawn)?;
        if is_free(port) && is_free(port + 1) {
            return Ok(port);
        }
    }
    bail!("found no two consecutive free ports");
}

/// Starts the emulator; `None` if somebody took a port in between.
fn launch(state: &Path, port: u16) -> anyhow::Result<Option<Child>> {
    let mut process = Command::new("swtpm")
        .args(["socket", "--tpm2", "--flags", "startup-clear,not-need-init"])
        .arg("--tpmstate")
        .arg(format!("dir={}", state.display()))
        .arg("--server")
        .arg(format!("type=tcp,port={port},bindaddr=127.0.0.1"))
        .arg("--ctrl")
        .arg(format!("type=tcp,port={},bindaddr=127.0.0.1", port + 1))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C on the terminal is for who uses the chip, who then lets go of it in good order.
        .process_group(0)
        .spawn()
        .context("starting swtpm")?;
    let control = SocketAddr::from((Ipv4Addr::LOCALHOST, port + 1));
    let deadline = Instant::now() + START_DEADLINE;
    while Instant::now() < deadline {
        if process.try_wait()?.is_some() {
            return Ok(None);
        }
        if TcpStream::connect(control).is_ok() {
            return Ok(Some(process));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = process.kill();
    let _ = process.wait();
    bail!(
        "the TPM emulator did not listen within {} seconds",
        START_DEADLINE.as_secs()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_emulator_leaves_neither_process_nor_folder() {
        let tpm = Swtpm::start().unwrap();
        let process = PathBuf::from(format!("/proc/{}", tpm.pid().unwrap()));
        let folder = tpm.folder.clone();
        assert!(process.exists() && folder.exists());
        drop(tpm);
        assert!(!process.exists() && !folder.exists());
    }

    #[test]
    fn a_folder_that_was_given_keeps_its_chip() {
        let folder = TempDir::new().unwrap();
        let first = Swtpm::start_in(folder.path().to_owned()).unwrap();
        let maker = first.endorsement_authorities().unwrap();
        drop(first);
        let again = Swtpm::start_in(folder.path().to_owned()).unwrap();
        assert_eq!(again.endorsement_authorities().unwrap(), maker);
    }

    #[test]
    fn two_emulators_run_side_by_side() {
        let (one, two) = (Swtpm::start().unwrap(), Swtpm::start().unwrap());
        assert_ne!(one.tcti(), two.tcti());
        assert_ne!(
            one.endorsement_authorities().unwrap(),
            two.endorsement_authorities().unwrap()
        );
    }
}
