//! The processes that are measured: the node as it ships, the framework alone, an authority.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use birthmark_node::settings::Settings;

use crate::load;

/// A running process. It is stopped by its id when this value goes.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
}

/// CPU seconds of a process so far, with all of its threads.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // The kernel counts in hundredths of a second everywhere.
    ticks as f64 / 100.0
}

/// CPU seconds of a process and of those it started.
pub fn family_cpu_seconds(parent: u32) -> f64 {
    let is_child = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let of: u32 = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
        (of == parent).then_some(())
    };
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let children: f64 = pids
        .filter(|pid| is_child(*pid).is_some())
        .map(cpu_seconds)
        .sum();
    cpu_seconds(parent) + children
}

impl Process {
    /// The node's own program with these settings.
    pub async fn node(folder: &Path, settings: &Settings) -> Self {
        let config = folder.join("node.toml");
        std::fs::write(&config, toml::to_string(settings).unwrap()).unwrap();
        let log = std::fs::File::create(folder.join("node.log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_birthmark-node"))
            .arg("--config")
            .arg(&config)
            .env("CREDENTIALS_DIRECTORY", folder.join("keys"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut process = Self {
            child,
            address: settings.http.listen,
        };
        process.wait_until_it_answers(folder).await;
        process
    }

    async fn wait_until_it_answers(&mut self, folder: &Path) {
        let started = Instant::now();
        while load::ask(self.address, "/health").await.is_none() {
            let log = || std::fs::read_to_string(folder.join("node.log")).unwrap();
            assert!(self.child.try_wait().unwrap().is_none(), "{}", log());
            assert!(started.elapsed() < Duration::from_secs(120), "{}", log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// This program again, in another role; it prints its address first.
    pub fn role(arguments: &[&str]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        Self {
            child,
            address: line.trim().parse().unwrap(),
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Megabytes in memory: now and at most.
    pub fn megabytes(&self) -> (f64, f64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            let kilobytes: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
            kilobytes / 1024.0
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    /// Asks it to stop and waits.
    pub fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port nobody uses at the moment.
pub fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}
