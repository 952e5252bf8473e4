//! The node as a process of its own, as systemd would start it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::world::World;

pub struct Process(Child);

impl Process {
    /// Starts the node at a fixed free port, so that it can be started there again.
    pub fn start(world: &World) -> Self {
        Self::start_with(world, &[])
    }

    pub fn start_with(world: &World, arguments: &[&str]) -> Self {
        let config = world.folder.path().join("node.toml");
        std::fs::write(&config, toml::to_string(&world.settings).unwrap()).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_birthmark-node"));
        Self::spawn(program, &config, &world.credentials(), arguments)
    }

    /// Starts a program; its journal goes into a file beside its configuration.
    pub fn spawn(program: &Path, config: &Path, credentials: &Path, arguments: &[&str]) -> Self {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(config.with_extension("log"))
            .unwrap();
        // As many open files as its unit would allow it.
        let child = Command::new("sh")
            .args(["-c", "ulimit -n \"$(ulimit -Hn)\"; exec \"$@\"", "sh"])
            .arg(program)
            .arg("--config")
            .arg(config)
            .args(arguments)
            .env("CREDENTIALS_DIRECTORY", credentials)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self(child)
    }

    /// SIGKILL: no handler runs, nothing is flushed.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// SIGTERM, as systemd asks; the exit status.
    pub fn ended_when_asked(&mut self) -> Option<i32> {
        let id = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        self.0.wait().unwrap().code()
    }

    /// Waits until it answers.
    pub async fn healthy(&mut self, world: &World) {
        let client = crate::world::client();
        for _ in 0..1200 {
            let answer = client.get(format!("{}/health", world.url)).send().await;
            if answer.is_ok_and(|answer| answer.status() == 200) {
                return;
            }
            assert!(
                self.0.try_wait().unwrap().is_none(),
                "{}",
                std::fs::read_to_string(world.folder.path().join("node.log")).unwrap()
            );
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("the node did not come up");
    }

    /// Files and connections it has open.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.0.id()))
            .unwrap()
            .count()
    }

    /// Memory it holds, in kilobytes.
    pub fn resident_kb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A world whose node is to run as a process: the port must be known before.
pub fn at_a_free_port(world: &mut World) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    world.settings.http.listen = listener.local_addr().unwrap();
    world.url = format!("http://{}", world.settings.http.listen);
}
