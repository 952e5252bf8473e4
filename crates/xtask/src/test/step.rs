//! One step of the test command, and what became of all of them.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Options;
use super::leftovers::Mark;
use crate::house::{self, House};

/// A named part of the test command.
pub(super) struct Step {
    pub(super) name: &'static str,
    run: fn(&House, &Options) -> Result<Outcome>,
}

/// How a step that did not fail as a whole ended.
pub(super) enum Outcome {
    /// It ran; so many tests passed, so many failed.
    Ran { passed: u64, failed: u64 },
    /// A check that counts as one test, and what it was made by.
    By(String),
    /// It could not run here.
    Skipped { reason: &'static str },
}

impl Outcome {
    /// A check that counts as one test.
    pub(super) const fn passed() -> Self {
        Self::Ran {
            passed: 1,
            failed: 0,
        }
    }

    pub(super) const fn skipped(reason: &'static str) -> Self {
        Self::Skipped { reason }
    }
}

impl Step {
    pub(super) const fn new(
        name: &'static str,
        run: fn(&House, &Options) -> Result<Outcome>,
    ) -> Self {
        Self { name, run }
    }

    pub(super) fn run(&self, house: &House, mark: &Mark, options: &Options) -> Report {
        house::say(&format!("\n── {} ──", self.name));
        let started = Instant::now();
        let outcome = (self.run)(&house.marked(mark), options).unwrap_or_else(|error| {
            house::say(&format!("{} failed: {error:#}", self.name));
            Outcome::Ran {
                passed: 0,
                failed: 1,
            }
        });
        if let Outcome::Skipped { reason } = outcome {
            house::say(&format!("skipped: {reason}"));
        }
        Report {
            outcome,
            took: started.elapsed(),
        }
    }
}

/// A step's end.
pub(super) struct Report {
    outcome: Outcome,
    took: Duration,
}

/// What became of everything.
#[derive(Default)]
pub(super) struct Tally {
    lines: Vec<String>,
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Tally {
    pub(super) fn add(&mut self, step: &Step, report: Report) {
        let what = match report.outcome {
            Outcome::Ran { passed, failed } => {
                self.passed += passed;
                self.failed += failed;
                format!("{passed} passed, {failed} failed")
            }
            Outcome::By(what) => {
                self.passed += 1;
                format!("1 passed, 0 failed, by {what}")
            }
            Outcome::Skipped { reason } => {
                self.skipped += 1;
                format!("skipped: {reason}")
            }
        };
        let seconds = report.took.as_secs();
        self.lines
            .push(format!("{:<15} {seconds:>5} s  {what}", step.name));
    }

    pub(super) fn add_leftovers(&mut self, processes: Vec<String>) {
        for process in &processes {
            house::say(&format!("left running, and ended now: {process}"));
        }
        match processes.len() {
            0 => self.passed += 1,
            _ => self.failed += 1,
        }
        let count = processes.len();
        self.lines.push(format!(
            "{:<15} {:>7}  {count} left running",
            "processes", ""
        ));
    }

    /// The table, and as the last line the sum. Says whether nothing failed.
    pub(super) fn conclude(self) -> Result<bool> {
        let (passed, failed, skipped) = (self.passed, self.failed, self.skipped);
        let mut out = std::io::stdout().lock();
        writeln!(out, "\n── summary ──\n{}", self.lines.join("\n"))?;
        writeln!(out, "{passed} passed, {failed} failed, {skipped} skipped")?;
        Ok(failed == 0)
    }
}
