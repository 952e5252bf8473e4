//! One validator of a trial: the program that ships, with its keys, its database and its journal in
//! a folder of its own.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use birthmark_node::Settings;
use rustix::process::{Pid, Signal, kill_process};

use crate::clock::{Clock, MOVED};
use crate::http;
use crate::plan::Kind;
use crate::volume::Volume;

/// The folder of its database, which may be a volume of its own.
pub(crate) const DATA: &str = "data";
/// The files of its database.
const DATABASE: [&str; 3] = ["node.db", "node.db-wal", "node.db-shm"];
/// How long a validator may take to start, or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A child process that does not outlive this value.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> anyhow::Result<Self> {
        let program = command.get_program().to_owned();
        let child = command.spawn();
        let child = child.with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self(child))
    }

    pub(crate) const fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = Pid::from_child(&self.0);
        kill_process(id, signal).context("a process cannot be signalled")
    }

    /// CPU seconds so far, of all its threads.
    fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let path = format!("/proc/{}/stat", self.0.id());
        let stat = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let fields = stat.rsplit_once(") ").map(|(_, fields)| fields);
        let mut fields = fields
            .context("a process without figures")?
            .split(' ')
            .skip(11);
        let mut ticks = || {
            anyhow::Ok(
                fields
                    .next()
                    .context("a process without CPU time")?
                    .parse::<u32>()?,
            )
        };
        // The kernel counts in hundredths of a second everywhere.
        Ok((f64::from(ticks()?) + f64::from(ticks()?)) / 100.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A validator, whether it runs or not.
pub(crate) struct Member {
    pub(crate) settings: Settings,
    pub(crate) folder: PathBuf,
    program: PathBuf,
    process: Option<Process>,
    is_paused: bool,
    /// Of processes that are gone.
    spent: f64,
    /// Where its clock can be moved.
    clock: Option<Clock>,
    /// Where its disk can be filled.
    volume: Option<Volume>,
    is_full: bool,
}

impl Member {
    pub(crate) const fn new(settings: Settings, folder: PathBuf, program: PathBuf) -> Self {
        Self {
            settings,
            folder,
            program,
            process: None,
            is_paused: false,
            spent: 0.0,
            clock: None,
            volume: None,
            is_full: false,
        }
    }

    /// Gives it what it needs for these troubles, before its first start.
    pub(crate) fn prepare(&mut self, kinds: &[Kind]) -> anyhow::Result<()> {
        if kinds.iter().any(|kind| kind.moves_clocks()) {
            self.clock = Some(Clock::beside(&self.folder)?);
        }
        if kinds.contains(&Kind::Full) {
            self.volume = Some(Volume::over(&self.data())?);
        }
        Ok(())
    }

    /// Where its database is.
    fn data(&self) -> PathBuf {
        self.folder.join(DATA)
    }

    /// So many of these troubles are its own now.
    pub(crate) fn set_clock(&self, ahead: usize, behind: usize) -> anyhow::Result<()> {
        let seconds = match (ahead, behind) {
            (0, 0) => 0,
            (_, 0) => MOVED,
            _ => -MOVED,
        };
        self.clock
            .as_ref()
            .map_or(Ok(()), |clock| clock.set(seconds))
    }

    /// Fills its disk, or makes room.
    pub(crate) fn set_full(&mut self, is_full: bool) -> anyhow::Result<()> {
        let Some(volume) = &self.volume else {
            return Ok(());
        };
        if is_full != self.is_full {
            match is_full {
                true => volume.fill()?,
                false => volume.empty()?,
            }
        }
        self.is_full = is_full;
        Ok(())
    }

    /// Where it answers.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.settings.http.listen
    }

    /// Whether it runs and is not held.
    pub(crate) const fn is_up(&self) -> bool {
        self.process.is_some() && !self.is_paused
    }

    /// Starts it, if it does not run.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        if self.process.is_some() {
            return Ok(());
        }
        std::fs::write(self.config(), toml::to_string(&self.settings)?)?;
        let mut journal = File::options();
        let journal = journal.create(true).append(true).open(self.journal())?;
        let process = Process::spawn(
            self.command()
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(journal),
        )?;
        if self.is_paused {
            process.signal(Signal::STOP)?;
        }
        self.process = Some(process);
        Ok(())
    }

    /// The program with its settings and its keys.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(self.config());
        command.env("CREDENTIALS_DIRECTORY", self.folder.join("keys"));
        if let Some(clock) = &self.clock {
            clock.give(&mut command);
        }
        command
    }

    fn config(&self) -> PathBuf {
        self.folder.join("node.toml")
    }

    /// Copies the database of a validator that does not run into a folder beside it, as a snapshot
    /// of its volume would.
    pub(crate) fn snapshot(&self) -> anyhow::Result<()> {
        let kept = self.folder.join("snapshot");
        std::fs::create_dir_all(&kept)?;
        for file in DATABASE {
            if self.data().join(file).exists() {
                std::fs::copy(self.data().join(file), kept.join(file))?;
            }
        }
        Ok(())
    }

    /// Sets the database of a validator that does not run back to the snapshot.
    pub(crate) fn set_back(&self) -> anyhow::Result<()> {
        let kept = self.folder.join("snapshot");
        for file in DATABASE {
            let (here, kept) = (self.data().join(file), kept.join(file));
            if here.exists() {
                std::fs::remove_file(&here)?;
            }
            if kept.exists() {
                std::fs::copy(kept, here)?;
            }
        }
        Ok(())
    }

    /// SIGKILL: no handler runs, nothing is flushed.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(process) = self.process.take() {
            self.spent += process.cpu_seconds()?;
        }
        Ok(())
    }

    /// SIGSTOP, or SIGCONT.
    pub(crate) fn pause(&mut self, is_paused: bool) -> anyhow::Result<()> {
        self.is_paused = is_paused;
        let signal = if is_paused {
            Signal::STOP
        } else {
            Signal::CONT
        };
        self.process.as_ref().map_or(Ok(()), |it| it.signal(signal))
    }

    /// Asks it to stop.
    pub(crate) fn ask_to_stop(&self) -> anyhow::Result<()> {
        self.process
            .as_ref()
            .map_or(Ok(()), |it| it.signal(Signal::TERM))
    }

    /// Waits until it has stopped.
    pub(crate) fn stopped(&mut self) -> anyhow::Result<()> {
        let Some(mut process) = self.process.take() else {
            return Ok(());
        };
        let asked = Instant::now();
        while process.child().try_wait()?.is_none() {
            if asked.elapsed() > PATIENCE {
                bail!(
                    "a validator does not stop when asked: {}",
                    self.end_of_journal()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Waits until it answers.
    pub(crate) async fn answers(&mut self) -> anyhow::Result<()> {
        let (began, request) = (Instant::now(), http::get("/health"));
        loop {
            let asked = http::ask(self.address(), &request, Duration::from_secs(2)).await;
            if asked.is_ok() {
                return Ok(());
            }
            self.still_runs()?;
            if began.elapsed() > PATIENCE {
                bail!("a validator does not answer: {}", self.end_of_journal());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Fails if it has ended by itself. Without room it may: systemd starts it again, as this does.
    pub(crate) fn still_runs(&mut self) -> anyhow::Result<()> {
        let ended = match &mut self.process {
            Some(process) => process.child().try_wait()?,
            None => None,
        };
        if ended.is_some() && self.is_full {
            self.process = None;
            return Ok(());
        }
        match ended {
            Some(status) => bail!(
                "a validator ended by itself ({status}): {}",
                self.end_of_journal()
            ),
            None => Ok(()),
        }
    }

    /// CPU seconds so far.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let now = self
            .process
            .as_ref()
            .map_or(Ok(0.0), Process::cpu_seconds)?;
        Ok(self.spent + now)
    }

    /// What it wrote.
    pub(crate) fn journal(&self) -> PathBuf {
        self.folder.join("node.log")
    }

    fn end_of_journal(&self) -> String {
        last_lines(&self.journal())
    }
}

fn last_lines(path: &Path) -> String {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let lines: Vec<_> = text.lines().rev().take(5).collect();
            let lines: Vec<_> = lines.into_iter().rev().collect();
            format!("{}:\n{}", path.display(), lines.join("\n"))
        }
        Err(error) => format!("{} cannot be read: {error}", path.display()),
    }
}
