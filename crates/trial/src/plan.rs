//! What is done to the network, and when.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use crate::random::Random;

/// Something that happens to some validators for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) kind: Kind,
    /// Positions, from 0.
    pub(crate) who: Vec<usize>,
    pub(crate) from: Duration,
    pub(crate) lasts: Duration,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Killed without warning, and started again.
    Kill,
    /// Held, and let go on.
    Pause,
    /// Cut off from all others.
    Partition,
    /// Its database is set back to what it was at the beginning of the trouble.
    Rollback,
    /// The volume of its database is full.
    Full,
    /// Its clock stands minutes ahead.
    Ahead,
    /// Its clock stands minutes behind.
    Behind,
}

impl Kind {
    /// What the journal of a trial says of it.
    pub(crate) const fn words(self) -> [&'static str; 2] {
        match self {
            Self::Kill => ["killed", "started again"],
            Self::Pause => ["held", "let go on"],
            Self::Partition => ["cut off from the others", "linked again"],
            Self::Rollback => ["kept a snapshot", "set back to the snapshot"],
            Self::Full => ["has a full disk", "has room again"],
            Self::Ahead => ["has its clock ahead", "has its clock right again"],
            Self::Behind => ["has its clock behind", "has its clock right again"],
        }
    }

    /// Whether somebody in this trouble may still vote: nothing can be said of those who need it.
    pub(crate) const fn is_doubtful(self) -> bool {
        matches!(self, Self::Full | Self::Ahead | Self::Behind)
    }

    /// Whether clocks are moved.
    pub(crate) const fn moves_clocks(self) -> bool {
        matches!(self, Self::Ahead | Self::Behind)
    }
}

/// `WHO@FROM+FOR` as it is given on the command line: `1,2@10+20`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct When {
    who: Vec<usize>,
    from: Duration,
    lasts: Duration,
}

impl FromStr for When {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let parts = text.split_once('@').and_then(|(who, when)| {
            let (from, lasts) = when.split_once('+')?;
            Some((who, from, lasts))
        });
        let (who, from, lasts) = parts.context("must look like 1,2@10+20: who@from+seconds")?;
        let number = |text: &str| -> anyhow::Result<usize> {
            let number: usize = text
                .parse()
                .with_context(|| format!("{text:?} is no number"))?;
            number.checked_sub(1).context("validators count from 1")
        };
        let seconds = |text: &str| -> anyhow::Result<Duration> {
            let seconds: f64 = text
                .parse()
                .with_context(|| format!("{text:?} is no number"))?;
            Duration::try_from_secs_f64(seconds).context("no time of a trial")
        };
        Ok(Self {
            who: who.split(',').map(number).collect::<Result<_, _>>()?,
            from: seconds(from)?,
            lasts: seconds(lasts)?,
        })
    }
}

impl When {
    /// The trouble of that kind, in a network of that size.
    pub(crate) fn trouble(&self, kind: Kind, size: usize) -> anyhow::Result<Trouble> {
        if let Some(stranger) = self.who.iter().find(|who| **who >= size) {
            bail!("there is no validator {}; there are {size}", stranger + 1);
        }
        ensure!(!self.who.is_empty(), "nobody is named");
        Ok(Trouble {
            kind,
            who: self.who.clone(),
            from: self.from,
            lasts: self.lasts,
        })
    }
}

/// Troubles that follow from a seed, for so long: the same seed makes the same.
pub(crate) fn random(seed: u64, size: usize, length: Duration) -> Vec<Trouble> {
    let mut random = Random::from_seed(seed);
    let (mut troubles, mut partition_ends) = (Vec::new(), Duration::ZERO);
    let tolerated = (size - 1) / 3;
    let mut at = Duration::from_secs(3);
    while at < length {
        let lasts = Duration::from_millis(random.between(500, 20_000));
        let kind = match random.between(1, 10) {
            1..=3 => Kind::Kill,
            4..=5 => Kind::Pause,
            6..=7 => Kind::Partition,
            8 => Kind::Full,
            9 => Kind::Ahead,
            _ => Kind::Behind,
        };
        // Most of what happens is borne; some of it is not, and sometimes it is everybody.
        let count = match random.between(1, 10) {
            _ if kind.is_doubtful() => 1,
            1..=6 => tolerated.max(1),
            7..=9 => tolerated + 1,
            _ => size,
        };
        let is_possible = kind != Kind::Partition || (count < size && partition_ends < at);
        if is_possible {
            let trouble = Trouble {
                kind,
                who: some(&mut random, size, count),
                from: at,
                lasts,
            };
            if kind == Kind::Partition {
                partition_ends = at + lasts;
            }
            troubles.push(trouble);
        }
        at += Duration::from_millis(random.between(500, 15_000));
    }
    troubles
}

fn some(random: &mut Random, size: usize, count: usize) -> Vec<usize> {
    let mut all: Vec<_> = (0..size).collect();
    while all.len() > count {
        let out = random.between(0, all.len() as u64 - 1) as usize;
        all.remove(out);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_names_who_and_when() {
        let when: When = "1,4@2.5+10".parse().unwrap();
        let trouble = when.trouble(Kind::Kill, 4).unwrap();
        assert_eq!(trouble.who, [0, 3]);
        assert_eq!(trouble.from, Duration::from_millis(2500));
        assert_eq!(trouble.lasts, Duration::from_secs(10));
        let stranger = when.trouble(Kind::Pause, 3).unwrap_err().to_string();
        assert!(stranger.contains("no validator 4"), "{stranger}");
        for wrong in ["1", "1@2", "0@1+1", "x@1+1", "1@-1+1", "@1+1"] {
            assert!(wrong.parse::<When>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_seed_makes_the_same_troubles_and_all_kinds_of_them() {
        let length = Duration::from_secs(1800);
        let troubles = random(42, 4, length);
        assert_eq!(troubles, random(42, 4, length));
        assert_ne!(troubles, random(43, 4, length));
        for kind in [
            Kind::Kill,
            Kind::Pause,
            Kind::Partition,
            Kind::Full,
            Kind::Ahead,
            Kind::Behind,
        ] {
            assert!(troubles.iter().any(|trouble| trouble.kind == kind));
        }
        assert!(troubles.iter().any(|trouble| trouble.who.len() == 1));
        assert!(troubles.iter().any(|trouble| trouble.who.len() == 4));
        assert!(troubles.iter().all(|trouble| trouble.from < length));
        let mut ends = Duration::ZERO;
        for cut in troubles.iter().filter(|one| one.kind == Kind::Partition) {
            assert!(cut.from >= ends, "one partition at a time");
            ends = cut.from + cut.lasts;
        }
    }
}
