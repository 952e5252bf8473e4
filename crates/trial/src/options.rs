//! The command line of a trial.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::{Parser, Subcommand};

use crate::changes::{self as change, At, Change};
use crate::plan::{self, Kind, Trouble, When};
use crate::relay::Weather;

/// How long it takes after the last trouble until the end, at least.
const AFTERWARDS: Duration = Duration::from_secs(5);

/// Run a network of validators on this machine, load it, disturb it, and check that nothing that
/// was accepted is lost and that all have the same history.
#[derive(Parser, Debug)]
#[command(name = "birthmark-trial", max_term_width = 100, after_help = STATUSES)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
    /// How many validators: 1, 4, 7 or 10
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = size)]
    pub(crate) validators: usize,
    /// Photos offered a second
    #[arg(long, value_name = "PHOTOS", default_value_t = 20.0)]
    pub(crate) rate: f64,
    /// End after so long; otherwise with Ctrl-C, or after the last trouble
    #[arg(long, value_name = "SECONDS")]
    pub(crate) seconds: Option<u64>,
    /// Kill validators without warning and start them again: 1,2@10+20 kills two of them after 10
    /// seconds, for 20 seconds
    #[arg(long, value_name = "WHO@FROM+FOR")]
    kill: Vec<When>,
    /// Hold validators (SIGSTOP) and let them go on
    #[arg(long, value_name = "WHO@FROM+FOR")]
    pause: Vec<When>,
    /// Cut validators off from all others; they reach each other
    #[arg(long, value_name = "WHO@FROM+FOR")]
    partition: Vec<When>,
    /// Set the database of validators back to what it was: 4@5+20 keeps a snapshot after 5 seconds
    /// and puts it in place 20 seconds later
    #[arg(long, value_name = "WHO@FROM+FOR")]
    rollback: Vec<When>,
    /// Fill the volume of validators' databases, a small one in memory; only root can have it
    #[arg(long, value_name = "WHO@FROM+FOR")]
    fill: Vec<When>,
    /// Set the clocks of validators five minutes ahead; needs libfaketime (`apt install faketime`)
    #[arg(long, value_name = "WHO@FROM+FOR")]
    ahead: Vec<When>,
    /// Set the clocks of validators five minutes behind
    #[arg(long, value_name = "WHO@FROM+FOR")]
    behind: Vec<When>,
    /// A further machine, which follows from the beginning, becomes a validator: 5@10
    #[arg(long, value_name = "WHO@FROM")]
    join: Vec<At>,
    /// A validator leaves and follows from then on
    #[arg(long, value_name = "WHO@FROM")]
    leave: Vec<At>,
    /// A validator is started with another vote key, which the others then take for its old one
    #[arg(long, value_name = "WHO@FROM")]
    replace: Vec<At>,
    /// What every link delays, one way
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    delay: u64,
    /// How many packets every link loses
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    loss: f64,
    /// Kill, hold, cut off, fill disks and move clocks at random for so long
    #[arg(long, value_name = "MINUTES")]
    soak: Option<f64>,
    /// What the random troubles follow from; drawn and printed if left out
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Measure with so many photos at once: rate, latency, CPU, bytes on links, catching up
    #[arg(long, value_name = "PHOTOS", conflicts_with_all = ["soak", "kill", "pause", "partition", "rollback", "fill", "ahead", "behind", "join", "leave", "replace"])]
    pub(crate) measure: Option<usize>,
    /// Keep databases and journals in this folder, which must not exist; they are kept in a
    /// temporary one if the trial fails
    #[arg(long, value_name = "FOLDER")]
    pub(crate) dir: Option<PathBuf>,
}

/// What else this program is.
#[derive(Subcommand, Debug)]
pub(crate) enum Role {
    /// The authority of a trial, in a process of its own
    #[command(hide = true)]
    Authority {
        /// Where its keys and its database are
        folder: PathBuf,
    },
}

const STATUSES: &str = "Exit status: 0 all went as it must, 1 it did not, 2 it could not run.";

impl Options {
    /// What happens to whom, in the order of time.
    pub(crate) fn troubles(&self, seed: u64) -> anyhow::Result<Vec<Trouble>> {
        let mut troubles = match self.soak {
            Some(minutes) => plan::random(seed, self.validators, minutes_of(minutes)?),
            None => Vec::new(),
        };
        let kinds = [
            ("--kill", Kind::Kill, &self.kill),
            ("--pause", Kind::Pause, &self.pause),
            ("--partition", Kind::Partition, &self.partition),
            ("--rollback", Kind::Rollback, &self.rollback),
            ("--fill", Kind::Full, &self.fill),
            ("--ahead", Kind::Ahead, &self.ahead),
            ("--behind", Kind::Behind, &self.behind),
        ];
        for (option, kind, all) in kinds {
            for when in all {
                let trouble = when.trouble(kind, self.machines());
                troubles.push(trouble.context(option)?);
            }
        }
        troubles.sort_by_key(|trouble| trouble.from);
        Ok(troubles)
    }

    /// Which validators come, go and change their keys.
    pub(crate) fn changes(&self) -> Vec<Change> {
        let kinds = [
            (change::Kind::Join, &self.join),
            (change::Kind::Leave, &self.leave),
            (change::Kind::Replace, &self.replace),
        ];
        let all = kinds
            .into_iter()
            .flat_map(|(kind, all)| all.iter().map(move |at| at.change(kind)));
        all.collect()
    }

    /// How many machines there are: the validators, and those that join them.
    pub(crate) fn machines(&self) -> usize {
        let changes = self.changes();
        let last = changes.iter().map(|change| change.who + 1).max();
        self.validators.max(last.unwrap_or(0))
    }

    /// How long photos are offered; until Ctrl-C if nothing says it.
    pub(crate) fn length(&self, troubles: &[Trouble]) -> anyhow::Result<Option<Duration>> {
        if let Some(seconds) = self.seconds {
            return Ok(Some(Duration::from_secs(seconds)));
        }
        if let Some(minutes) = self.soak {
            return minutes_of(minutes).map(Some);
        }
        let ends = troubles.iter().map(|trouble| trouble.from + trouble.lasts);
        let changes = self.changes();
        let ends = ends.chain(changes.iter().map(|change| change.from));
        Ok(ends.max().map(|last| last + AFTERWARDS))
    }

    /// How links behave.
    pub(crate) fn weather(&self) -> anyhow::Result<Weather> {
        ensure!((0.0..=50.0).contains(&self.loss), "--loss: must be 0 to 50");
        Ok(Weather {
            is_cut: false,
            delay: Duration::from_millis(self.delay),
            loss: (self.loss * 10.0).round() as u32,
        })
    }
}

fn minutes_of(minutes: f64) -> anyhow::Result<Duration> {
    Duration::try_from_secs_f64(minutes * 60.0).context("--soak: no length of time")
}

/// A number of validators that is worth having.
fn size(text: &str) -> Result<usize, String> {
    let size: usize = text.parse().map_err(|_| "must be a number".to_owned())?;
    if !(1..=10).contains(&size) {
        return Err("must be 1, 4, 7 or 10".to_owned());
    }
    birthmark_node::network::size_advice(size).map_or(Ok(size), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_lasts_until_a_while_after_its_last_trouble() {
        let read = |words: &[&str]| Options::try_parse_from([&["trial"], words].concat());
        let options = read(&["--kill", "1@2+3", "--partition", "1,2@4+10"]).unwrap();
        let troubles = options.troubles(1).unwrap();
        assert_eq!(troubles.len(), 2);
        let length = options.length(&troubles).unwrap();
        assert_eq!(length, Some(Duration::from_secs(19)));
        let endless = read(&[]).unwrap();
        assert_eq!(endless.length(&[]).unwrap(), None);
        assert!(read(&["--validators", "5"]).is_err());
        assert!(read(&["--measure", "5", "--soak", "1"]).is_err());
        let stranger = read(&["--pause", "5@1+1"]).unwrap().troubles(1);
        assert!(stranger.is_err(), "there are four");
    }
}
