//! `birthmark disclose`: shows some of what a camera committed to about a photo, and checks what
//! others show.
//!
//! The photographer keeps the leaves; the registry holds only their root. Exit status: 0 done, or
//! what is shown belongs to the photo; 1 it does not; 2 wrong usage.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use birthmark_ledger::{Trusted, verify_receipt};
use birthmark_protocol::disclosure::{Disclosure, LeafKind};
use birthmark_protocol::gps::Position;
use birthmark_verify::sentences::when;
use clap::{Args, Subcommand};

use crate::receipt::read_receipt;
use crate::terminal::Style;
use crate::verify::known::read_genesis;

/// `birthmark disclose …`
#[derive(Subcommand, Debug)]
pub enum DiscloseCommand {
    /// Write a copy of a photo's leaves in which only some are shown
    Show(ShowOptions),
    /// Check that what somebody shows belongs to a registered photo
    #[command(after_help = "Exit status: 0 it belongs to the photo, 1 it does not, 2 wrong usage.")]
    Check(CheckOptions),
}

/// `birthmark disclose show`
#[derive(Args, Debug, Clone)]
pub struct ShowOptions {
    /// The leaves, as the camera stored them beside the photo
    #[arg(value_name = "LEAVES")]
    pub leaves: PathBuf,
    /// What to show
    #[arg(required = true, value_name = "KIND", value_parser = kind)]
    pub kinds: Vec<LeafKind>,
    /// Where the copy goes; standard output if left out
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `birthmark disclose check`
#[derive(Args, Debug, Clone)]
pub struct CheckOptions {
    /// What is shown
    #[arg(value_name = "SHOWN")]
    pub shown: PathBuf,
    /// The photo's receipt
    #[arg(long, value_name = "FILE")]
    pub receipt: PathBuf,
    /// The genesis of the registry
    #[arg(long, value_name = "FILE")]
    pub genesis: PathBuf,
}

fn kind(name: &str) -> Result<LeafKind, String> {
    let found = LeafKind::ALL.into_iter().find(|kind| kind.name() == name);
    let names = || LeafKind::ALL.map(LeafKind::name).join(", ");
    found.ok_or_else(|| format!("one of: {}", names()))
}

/// Runs the command.
pub fn run(command: &DiscloseCommand) -> anyhow::Result<ExitCode> {
    match command {
        DiscloseCommand::Show(options) => show(options),
        DiscloseCommand::Check(options) => check(options),
    }
}

fn read(path: &Path) -> anyhow::Result<Disclosure> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} holds no leaves", path.display()))
}

fn show(options: &ShowOptions) -> anyhow::Result<ExitCode> {
    let all = read(&options.leaves)?;
    for kind in &options.kinds {
        let has = all.shown().any(|leaf| leaf.kind == *kind);
        ensure!(has, "{} shows no {}", options.leaves.display(), kind.name());
    }
    let shown = serde_json::to_string_pretty(&all.showing(&options.kinds))? + "\n";
    let Some(out) = &options.out else {
        print!("{shown}");
        return Ok(ExitCode::SUCCESS);
    };
    ensure!(
        !out.exists(),
        "{} exists and is not overwritten",
        out.display()
    );
    std::fs::write(out, shown).with_context(|| format!("cannot write {}", out.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn check(options: &CheckOptions) -> anyhow::Result<ExitCode> {
    let shown = read(&options.shown)?;
    let receipt = read_receipt(&options.receipt)?;
    let genesis = read_genesis(&options.genesis)?;
    let style = Style::of_standard_output();
    let refused = |reason: String| {
        println!("{} {reason}", style.bad("this is not of the photo:"));
        Ok(ExitCode::FAILURE)
    };
    let verified = match verify_receipt(&receipt, &Trusted::genesis(&genesis)) {
        Ok(verified) => verified,
        Err(error) => return refused(error.to_string()),
    };
    let capture = verified.record.bundle().capture();
    let Some(root) = capture.and_then(|capture| capture.disclosure) else {
        return refused("its record commits to nothing that could be shown".into());
    };
    if let Err(error) = shown.verify(&root) {
        return refused(error.to_string());
    }
    println!(
        "{}",
        style.good("The photo's camera committed to this before it was registered")
    );
    for leaf in shown.shown() {
        println!(
            "  {:<13} {}",
            leaf.kind.name(),
            in_words(leaf.kind, &leaf.value)
        );
    }
    let before = when(verified.block_time.timestamp().unix());
    println!(
        "  Existed before {before}. It is not proven that it is true: the camera, or whoever held it, said so."
    );
    Ok(ExitCode::SUCCESS)
}

/// A value as people read it; as it stands where it says something else.
fn in_words(kind: LeafKind, value: &str) -> String {
    match kind {
        LeafKind::Place => value
            .parse::<Position>()
            .map_or_else(|_| value.to_owned(), |place| place_in_words(&place)),
        LeafKind::ExactTime => value
            .parse::<i64>()
            .map_or_else(|_| value.to_owned(), |millis| when(millis.div_euclid(1000))),
        _ => value.to_owned(),
    }
}

fn place_in_words(place: &Position) -> String {
    let degrees = |value: i32, [positive, negative]: [&str; 2]| {
        let side = if value < 0 { negative } else { positive };
        let value = value.unsigned_abs();
        format!("{}.{:05}° {side}", value / 100_000, value % 100_000)
    };
    let altitude = place.altitude();
    let altitude =
        altitude.map_or_else(String::new, |metres| format!(", {metres} m above the sea"));
    format!(
        "{}, {}{altitude}, {}",
        degrees(place.latitude(), ["N", "S"]),
        degrees(place.longitude(), ["E", "W"]),
        when(place.time().unix())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_people_write_them() {
        assert_eq!(
            in_words(LeafKind::Place, "4811730|-1151667|545|0"),
            "48.11730° N, 11.51667° W, 545 m above the sea, 1970-01-01 00:00:00 UTC"
        );
        assert_eq!(
            in_words(LeafKind::ExactTime, "1999"),
            "1970-01-01 00:00:01 UTC"
        );
        assert_eq!(in_words(LeafKind::Place, "somewhere"), "somewhere");
        assert_eq!(in_words(LeafKind::Author, "A. B."), "A. B.");
    }

    #[test]
    fn kinds_are_named_as_the_leaves_name_them() {
        assert_eq!(kind("exact-time"), Ok(LeafKind::ExactTime));
        assert!(kind("salt").unwrap_err().contains("place, exact-time"));
    }
}
