//! The workspace's folder, and running programs in it.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The workspace these commands work on.
#[derive(Debug, Clone)]
pub(crate) struct House {
    root: PathBuf,
    /// What every program finds in its environment.
    variables: Vec<(String, String)>,
}

impl House {
    /// The workspace this program was started in: cargo says where its manifest is.
    pub(crate) fn find() -> Result<Self> {
        let manifest =
            std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&manifest).ancestors().nth(2);
        let root = root.context("start this with `cargo xtask`")?.to_owned();
        Ok(Self::at(root))
    }

    /// The workspace in this folder.
    pub(crate) fn at(root: PathBuf) -> Self {
        let variables = Vec::new();
        Self { root, variables }
    }

    /// The same workspace, whose programs find this variable in their environment.
    pub(crate) fn with_variable(&self, name: &str, value: &str) -> Self {
        let mut house = self.clone();
        house.variables.push((name.to_owned(), value.to_owned()));
        house
    }

    /// A path in the workspace.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// Where cargo builds.
    pub(crate) fn target(&self) -> PathBuf {
        std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| self.path("target"), |given| self.root.join(given))
    }

    /// A program to be run at the top of the workspace.
    pub(crate) fn program(&self, name: impl Into<OsString>) -> Command {
        let mut command = Command::new(name.into());
        command.current_dir(&self.root);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        // Set by the cargo that runs us; they would point the inner cargo at this crate.
        for inherited in [
            "CARGO_MANIFEST_DIR",
            "CARGO_MANIFEST_PATH",
            "CARGO_PKG_NAME",
        ] {
            command.env_remove(inherited);
        }
        command
    }

    /// Cargo itself, the one that runs us.
    pub(crate) fn cargo(&self) -> Command {
        self.program(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }

    /// The files of the workspace under version control that end like this; an error outside of a
    /// clone, where a check of no file at all would pass.
    pub(crate) fn tracked(&self, pattern: &str) -> Result<Vec<PathBuf>> {
        let listing = output(self.program("git").args(["ls-files", "-z", "--", pattern]))?;
        let files = listing.split('\0').filter(|file| !file.is_empty());
        Ok(files.map(|file| self.root.join(file)).collect())
    }
}

/// Runs a program to its end with our own standard streams.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", shown(command));
    }
    Ok(())
}

/// What a program writes to standard output; its standard error is ours.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let ended = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    if !ended.status.success() {
        bail!("{} ended with {}", shown(command), ended.status);
    }
    String::from_utf8(ended.stdout).context("the program's output is not text")
}

/// Runs a program to its end, passes on what it writes to standard output as it comes, and keeps
/// it.
pub(crate) fn watch(command: &mut Command) -> Result<(Result<()>, String)> {
    let mut running = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    let mut kept = String::new();
    if let Some(said) = running.stdout.take() {
        for line in BufReader::new(said).lines() {
            let line = line.context("the program's output is not text")?;
            say(&line);
            kept.push_str(&line);
            kept.push('\n');
        }
    }
    let status = running.wait()?;
    let ended = match status.success() {
        true => Ok(()),
        false => Err(anyhow::anyhow!("{} ended with {status}", shown(command))),
    };
    Ok((ended, kept))
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(command.get_program());
    let words = command
        .get_args()
        .take(3)
        .map(|word| word.to_string_lossy());
    let words: Vec<_> = std::iter::once(program.to_string_lossy())
        .chain(words)
        .collect();
    words.join(" ")
}

/// Tells the person one line.
pub(crate) fn say(line: &str) {
    // Nobody is left to be told that standard error is gone.
    let _ = writeln!(std::io::stderr(), "{line}");
}
