//! A PostgreSQL server for one test: its own folder, its own socket, no port.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use birthmark_daemon::users;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long the server may take until it answers.
const START_DEADLINE: Duration = Duration::from_secs(60);
const USER: &str = "birthmark";

/// A running server. It is stopped by its process id and its folder removed when this value goes.
#[derive(Debug)]
pub struct Postgres {
    folder: PathBuf,
    /// Removes the folder when this value goes, unless it is to be kept.
    #[expect(dead_code, reason = "held until the end")]
    temporary: Option<TempDir>,
    options: Vec<String>,
    process: Option<Child>,
    user: Option<(u32, u32)>,
}

impl Postgres {
    /// Whether the server is installed here.
    pub fn is_installed() -> bool {
        let version = Command::new("initdb")
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        version.is_ok_and(|status| status.success())
    }

    /// Makes a new, empty server and starts it.
    pub fn start() -> anyhow::Result<Self> {
        let folder =
            TempDir::with_prefix("birthmark-pg-").context("making a folder for PostgreSQL")?;
        let path = folder.path().to_owned();
        Self::over(path, Some(folder), &["fsync=off"])
    }

    /// Starts the server whose data are in this folder, or makes one there. What it holds is kept.
    pub fn kept(folder: &Path, options: &[&str]) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        Self::over(folder.to_owned(), None, options)
    }

    fn over(folder: PathBuf, temporary: Option<TempDir>, options: &[&str]) -> anyhow::Result<Self> {
        let user = server_user()?;
        if let Some((uid, gid)) = user {
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
            chown(&folder, Some(uid), Some(gid))
                .context("giving the folder to PostgreSQL's user")?;
        }
        let mut server = Self {
            folder,
            temporary,
            options: options.iter().map(|&option| option.to_owned()).collect(),
            process: None,
            user,
        };
        if !server.data().exists() {
            server.init()?;
        }
        server.resume()?;
        Ok(server)
    }

    fn init(&self) -> anyhow::Result<()> {
        let arguments = [
            "-A",
            "trust",
            "-U",
            USER,
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
            "-D",
        ];
        let made = self
            .command("initdb")
            .args(arguments)
            .arg(self.data())
            .output()
            .context("starting initdb")?;
        ensure!(
            made.status.success(),
            "initdb failed: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        Ok(())
    }

    /// The folder of everything the server writes, its logs included.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(path_of(program));
        command.current_dir("/").stdin(Stdio::null());
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Starts the server again after [`Postgres::stop`], with everything it had.
    pub fn resume(&mut self) -> anyhow::Result<()> {
        let log = fs::File::create(self.folder.join("server.log"))?;
        let mut command = self.command("postgres");
        command
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(&self.folder);
        command.args(["-c", "listen_addresses=", "-c", "max_connections=100"]);
        for option in &self.options {
            command.args(["-c", option]);
        }
        self.process = Some(
            command
                .stdout(log.try_clone()?)
                .stderr(log)
                .spawn()
                .context("starting postgres")?,
        );
        let deadline = Instant::now() + START_DEADLINE;
        while !self.answers() {
            if Instant::now() > deadline {
                bail!(
                    "PostgreSQL did not start: {}",
                    fs::read_to_string(self.folder.join("server.log"))?
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn answers(&self) -> bool {
        let ready = self
            .command("pg_isready")
            .arg("-q")
            .arg("-h")
            .arg(&self.folder)
            .status();
        ready.is_ok_and(|status| status.success())
    }

    /// Stops the server as an administrator does who cannot wait: connections are cut, committed
    /// data stays.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut process) = self.process.take() else {
            return Ok(());
        };
        kill_process(Pid::from_child(&process), Signal::INT).context("stopping PostgreSQL")?;
        process.wait().context("waiting for PostgreSQL")?;
        Ok(())
    }

    /// Creates an empty database and returns its URL.
    pub fn database(&self, name: &str) -> anyhow::Result<String> {
        let created = self
            .command("createdb")
            .arg("-U")
            .arg(USER)
            .arg("-h")
            .arg(&self.folder)
            .arg(name)
            .output()?;
        ensure!(
            created.status.success(),
            "createdb failed: {}",
            String::from_utf8_lossy(&created.stderr)
        );
        Ok(self.database_url(name))
    }

    /// Whether there is a database of this name.
    pub fn has_database(&self, name: &str) -> anyhow::Result<bool> {
        let listed = self
            .command("psql")
            .args([
                "-U",
                USER,
                "-Atq",
                "-c",
                "SELECT datname FROM pg_database",
                "-h",
            ])
            .arg(&self.folder)
            .arg("postgres")
            .output()?;
        let names = String::from_utf8_lossy(&listed.stdout);
        Ok(names.lines().any(|found| found == name))
    }

    /// The URL of a database.
    pub fn database_url(&self, name: &str) -> String {
        format!(
            "postgres:///{name}?host={}&user={USER}",
            self.folder.display()
        )
    }

    /// The server's process, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// The URL of the database that every server has from the beginning.
    pub fn url(&self) -> String {
        self.database_url("postgres")
    }

    /// The folder with the server's socket.
    pub fn socket_folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Fast shutdown, so that its helpers end with it; both only fail when it is gone
            // already.
            let _ = kill_process(Pid::from_child(&process), Signal::INT);
            let _ = process.wait();
        }
    }
}

/// A program of PostgreSQL's: where Debian puts the newest version, or in `PATH`.
fn path_of(program: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let found = versions
        .map(|entry| entry.path().join("bin").join(program))
        .filter(|path| path.exists());
    found.max().unwrap_or_else(|| PathBuf::from(program))
}

/// PostgreSQL refuses to run as root: then it runs as its own user, or as nobody.
fn server_user() -> anyhow::Result<Option<(u32, u32)>> {
    if fs::metadata("/proc/self")?.uid() != 0 {
        return Ok(None);
    }
    users::ids_of("postgres")
        .or_else(|| users::ids_of("nobody"))
        .map(Some)
        .context("no user to run PostgreSQL as")
}
