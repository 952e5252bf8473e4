//! The unit files, as systemd reads them and as it judges their sandboxes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::Options;
use super::step::Outcome;
use super::systemd::Analyze;
use crate::house::{self, House};

/// How exposed a daemon may be, in tenths of what `systemd-analyze security` says.
const EXPOSURE: u32 = 15;

pub(super) fn units(house: &House, _: &Options) -> Result<Outcome> {
    let analyze = match Analyze::find(house) {
        Ok(analyze) => analyze,
        Err(reason) => return Ok(Outcome::skipped(reason)),
    };
    let folder = analyze.place(house);
    let units = lay_out(&house.path("systemd"), &folder)?;
    let units: Vec<_> = units.iter().map(|unit| analyze.name_of(unit)).collect();
    // The colon: after our folder, systemd's own.
    let path = format!("{}:", analyze.name_of(&folder).display());
    let judged = judge(&units, || {
        let mut command = analyze.command(house);
        command.env("SYSTEMD_UNIT_PATH", &path);
        command
    });
    std::fs::remove_dir_all(&folder)?;
    judged?;
    as_nix_judges(house, &analyze)?;
    Ok(Outcome::passed())
}

/// The steps of the Nix check of the units, on trees like those of NixOS: nobody here can build
/// that check, and it must not fail the first person who can.
fn as_nix_judges(house: &House, analyze: &Analyze) -> Result<()> {
    let folder = analyze.place(house);
    std::fs::create_dir_all(&folder)?;
    for part in ["nix", "systemd"] {
        house::run(
            Command::new("cp")
                .arg("-r")
                .arg(house.path(part))
                .arg(&folder),
        )?;
    }
    let inside = analyze.name_of(&folder);
    let mut test = analyze.shell(house);
    test.arg(inside.join("nix/tests/look-at-units.sh"))
        .arg(inside);
    let ended = house::run(&mut test);
    std::fs::remove_dir_all(&folder)?;
    ended
}

fn judge(units: &[PathBuf], analyze: impl Fn() -> Command) -> Result<()> {
    let mut verify = analyze();
    verify.args(["verify", "--man=no", "--recursive-errors=one"]);
    silently(verify.args(units))?;
    let threshold = format!("--threshold={EXPOSURE}");
    for unit in units.iter().filter(|unit| is_service(unit)) {
        let mut judge = analyze();
        judge.args(["security", "--no-pager", "--offline=true", &threshold]);
        // The table is long; whether the unit is below the threshold is the exit status.
        house::run(judge.arg(unit).stdout(Stdio::null()))?;
    }
    Ok(())
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

fn is_service(unit: &Path) -> bool {
    unit.extension().is_some_and(|kind| kind == "service")
}

/// A copy of the units whose daemons are installed nowhere: each becomes a program that every
/// machine has.
fn lay_out(from: &Path, to: &Path) -> Result<Vec<PathBuf>> {
    if to.exists() {
        std::fs::remove_dir_all(to)?;
    }
    house::run(Command::new("cp").arg("-r").arg(from).arg(to))?;
    let mut units = Vec::new();
    for entry in std::fs::read_dir(to)? {
        let path = entry?.path();
        let kind = path.extension().and_then(|kind| kind.to_str());
        if !matches!(kind, Some("service" | "socket" | "timer")) {
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
    let lines = text.lines().map(|line| {
        let command = line.strip_prefix("ExecStart=/usr/bin/birthmark");
        let Some(command) = command.filter(|rest| rest.starts_with(['-', ' '])) else {
            return line.to_owned();
        };
        let words = command
            .find(' ')
            .and_then(|end| command.get(end..))
            .unwrap_or_default();
        format!("ExecStart=/usr/bin/env{words}")
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
        let bare = with_a_program("ExecStart=/usr/bin/birthmark-gps\n");
        assert_eq!(bare, "ExecStart=/usr/bin/env");
        let command = with_a_program("ExecStart=/usr/bin/birthmark renew\n");
        assert_eq!(command, "ExecStart=/usr/bin/env renew");
    }
}
