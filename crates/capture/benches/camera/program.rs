//! The real program in a process of its own, and what the kernel says about it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use birthmark_capture::settings::Source;
use birthmark_daemon::varlink::{self, Bounded, Peers};
use zlink::Connection;

use crate::world::World;

pub struct Program {
    process: Process,
    pub calls: Connection<Bounded>,
    /// From its start until it took a call.
    pub ready_after: Duration,
}

/// Ended when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The sensor the speeds are promised for.
pub fn full_sensor(world: &mut World) {
    world.settings.source = Some(Source::Simulated {
        sensor: 7,
        width: None,
        height: None,
    });
}

impl Program {
    pub async fn start(world: &World) -> Self {
        let config = world.path("capture.toml");
        std::fs::write(&config, toml::to_string(&world.settings).unwrap()).unwrap();
        let begin = Instant::now();
        let mut command = Command::new(env!("CARGO_BIN_EXE_birthmark-capture"));
        command.arg("--config").arg(&config).stdin(Stdio::null());
        let log = std::fs::File::create(world.path("log")).unwrap();
        let process = Process(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let deadline = Duration::from_secs(300);
        loop {
            let peers = Peers::same_user();
            if let Ok(calls) = varlink::connect(&world.settings.socket, &peers, deadline).await {
                return Self {
                    process,
                    calls,
                    ready_after: begin.elapsed(),
                };
            }
            assert!(begin.elapsed() < deadline, "the camera does not start");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Resident memory in MiB, open handles, and threads.
    pub fn needs(&self) -> (f64, usize, usize) {
        let about = Path::new("/proc").join(self.process.0.id().to_string());
        let status = std::fs::read_to_string(about.join("status")).unwrap();
        let field = |name: &str| -> f64 {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        let handles = std::fs::read_dir(about.join("fd")).unwrap().count();
        (
            field("VmRSS:") / 1024.0,
            handles,
            field("Threads:") as usize,
        )
    }
}
