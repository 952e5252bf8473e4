//! The unit files, as systemd reads them and as it judges their sandboxes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::Options;
use super::step::Outcome;
use crate::house::{self, House};
use crate::tools;

/// The units use settings of this version; an older one would call them unknown.
const SYSTEMD: u32 = 257;
/// How exposed a daemon may be, in tenths of what `systemd-analyze security` says.
const EXPOSURE: u32 = 15;

pub(super) fn units(house: &House, _: &Options) -> Result<Outcome> {
    let Some(analyze) = tools::find("systemd-analyze") else {
        return Ok(Outcome::skipped("systemd-analyze is not installed"));
    };
    if version(house, &analyze).is_none_or(|version| version < SYSTEMD) {
        return Ok(Outcome::skipped(
            "systemd-analyze is older than 257; the guest of the step `machines` has that",
        ));
    }
    let folder = house.target().join("units");
    let units = lay_out(&house.path("systemd"), &folder)?;
    let about = |verb: &[&str]| {
        let mut command = house.program(&analyze);
        // The colon: after our folder, systemd's own.
        let path = format!("{}:", folder.display());
        command.args(verb).env("SYSTEMD_UNIT_PATH", path);
        command
    };
    let mut verify = about(&["verify", "--man=no", "--recursive-errors=one"]);
    silently(verify.args(&units))?;
    let threshold = format!("--threshold={EXPOSURE}");
    for unit in units.iter().filter(|unit| is_service(unit)) {
        let mut judge = about(&["security", "--no-pager", "--offline=true", &threshold]);
        // The table is long; whether the unit is below the threshold is the exit status.
        house::run(judge.arg(unit).stdout(Stdio::null()))?;
    }
    Ok(Outcome::passed())
}

/// An unknown setting is only a warning to systemd; to us, anything it says is an error.
fn silently(command: &mut Command) -> Result<()> {
    let ended = command.output().context("cannot start systemd-analyze")?;
    let said = String::from_utf8_lossy(&ended.stderr);
    anyhow::ensure!(
        ended.status.success() && said.is_empty(),
        "systemd says:\n{said}"
    );
    Ok(())
}

fn version(house: &House, analyze: &Path) -> Option<u32> {
    let mut ask = house.program(analyze);
    let said = house::output(ask.arg("--version")).ok()?;
    said.split_whitespace().nth(1)?.parse().ok()
}

fn is_service(unit: &Path) -> bool {
    unit.extension().is_some_and(|kind| kind == "service")
}

/// A copy of the units whose daemons are installed nowhere: each becomes a program that every machine has.
fn lay_out(from: &Path, to: &Path) -> Result<Vec<PathBuf>> {
    if to.exists() {
        std::fs::remove_dir_all(to)?;
    }
    house::run(Command::new("cp").arg("-r").arg(from).arg(to))?;
    let mut units = Vec::new();
    for entry in std::fs::read_dir(to)? {
        let path = entry?.path();
        let kind = path.extension().and_then(|kind| kind.to_str());
        if !matches!(kind, Some("service" | "socket")) {
            continue;
        }
        let text = std::fs::read_to_string(&path).context("a unit is no text")?;
        std::fs::write(&path, with_a_program(&text))?;
        // A template is judged as one of its instances.
        units.push(
            match path
                .to_str()
                .and_then(|name| name.strip_suffix("@.service"))
            {
                Some(name) => PathBuf::from(format!("{name}@one.service")),
                None => path,
            },
        );
    }
    units.sort();
    Ok(units)
}

fn with_a_program(text: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once(' ') {
        Some((program, words)) if program.starts_with("ExecStart=/usr/bin/birthmark-") => {
            format!("ExecStart=/usr/bin/env {words}")
        }
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_keeps_everything_but_its_program() {
        let text = "[Service]\nExecStart=/usr/bin/birthmark-gps --config /etc/a.toml\nUser=b";
        assert_eq!(
            with_a_program(text),
            "[Service]\nExecStart=/usr/bin/env --config /etc/a.toml\nUser=b"
        );
    }
}
