//! Validators that join, leave and change their key while photos come in: by the commands that
//! operators type, one change after another.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use birthmark_node::setup;

use crate::network::{Network, name};

/// How long it may take until a change is decided.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often the present validators are asked for.
const EVERY: Duration = Duration::from_millis(1000);

/// What changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A machine that follows becomes a validator.
    Join,
    /// A validator leaves, and follows.
    Leave,
    /// A validator is started with another vote key.
    Replace,
}

/// A change and when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) kind: Kind,
    /// The machine, from 0.
    pub(crate) who: usize,
    pub(crate) from: Duration,
}

/// `WHO@FROM` as it is given on the command line: `5@10`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At {
    who: usize,
    from: Duration,
}

impl FromStr for At {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (who, from) = text
            .split_once('@')
            .context("must look like 5@10: who@from, in seconds")?;
        let who: usize = who
            .parse()
            .with_context(|| format!("{who:?} is no number"))?;
        let from: f64 = from
            .parse()
            .with_context(|| format!("{from:?} is no number"))?;
        Ok(Self {
            who: who.checked_sub(1).context("machines count from 1")?,
            from: Duration::try_from_secs_f64(from).context("no time of a trial")?,
        })
    }
}

impl At {
    pub(crate) const fn change(self, kind: Kind) -> Change {
        Change {
            kind,
            who: self.who,
            from: self.from,
        }
    }
}

impl Change {
    fn in_words(self) -> String {
        let number = self.who + 1;
        match self.kind {
            Kind::Join => format!("{number} joins"),
            Kind::Leave => format!("{number} leaves"),
            Kind::Replace => format!("{number} changes its key"),
        }
    }
}

/// Changes that are still to come, and the one that waits for its block.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    coming: VecDeque<Change>,
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    change: Change,
    /// The vote key that counts afterwards, or no longer.
    key: String,
    since: Instant,
    asked: Instant,
}

impl Changes {
    pub(crate) fn new(mut changes: Vec<Change>) -> Self {
        changes.sort_by_key(|change| change.from);
        Self {
            coming: changes.into(),
            waiting: None,
        }
    }

    /// Whether nothing is to come any more.
    pub(crate) fn are_over(&self) -> bool {
        self.coming.is_empty() && self.waiting.is_none()
    }

    /// Does what is due; what happened, in words.
    pub(crate) async fn turn(
        &mut self,
        network: &mut Network,
        passed: Duration,
    ) -> anyhow::Result<Option<String>> {
        if let Some(waiting) = &mut self.waiting {
            if waiting.asked.elapsed() < EVERY {
                return Ok(None);
            }
            waiting.asked = Instant::now();
            let change = waiting.change;
            if network.is_decided(change, &waiting.key).await? {
                let seconds = waiting.since.elapsed().as_secs_f64();
                self.waiting = None;
                network.set_validator(change.who, change.kind != Kind::Leave);
                let (count, quorum) = (network.validators(), network.quorum());
                return Ok(Some(format!(
                    "{} after {seconds:.1} s: {count} validators, {quorum} needed",
                    change.in_words()
                )));
            }
            ensure!(
                waiting.since.elapsed() < PATIENCE,
                "{} is not decided after {} s",
                change.in_words(),
                PATIENCE.as_secs()
            );
            return Ok(None);
        }
        let is_due = self.coming.front().is_some_and(|next| next.from <= passed);
        let Some(change) = self.coming.pop_front_if(|_| is_due) else {
            return Ok(None);
        };
        let key = network.change(change).await?;
        let now = Instant::now();
        self.waiting = Some(Waiting {
            change,
            key,
            since: now,
            asked: now,
        });
        Ok(Some(format!("{}: agreed and handed in", change.in_words())))
    }
}

impl Network {
    /// Proposes a change, has it signed, and hands it in; the vote key it is about.
    async fn change(&mut self, change: Change) -> anyhow::Result<String> {
        let own = name(change.who + 1)?;
        let is_known = self.members.get(change.who).is_some();
        ensure!(is_known, "there is no machine {}", change.who + 1);
        let signers: Vec<_> = (0..self.members.len())
            .filter(|at| self.is_validator(*at) && *at != change.who)
            .collect();
        let first = *signers.first().context("nobody is left to sign")?;
        let file = self.folder.join(format!("change-{own}.toml"));
        if file.exists() {
            std::fs::remove_file(&file)?;
        }
        let file = text(&file)?;
        let before = self.entry(change.who).await?;
        let mut key = key_of(&before)?;
        match change.kind {
            Kind::Join => {
                let entry = self.put_entry(change.who, &before)?;
                self.command(first, &["propose", &file, "--add", &entry])
                    .await?;
            }
            Kind::Leave => {
                self.command(first, &["propose", &file, "--remove", own.as_str()])
                    .await?;
            }
            Kind::Replace => {
                self.draw_key(change.who)?;
                let entry = self.entry(change.who).await?;
                key = key_of(&entry)?;
                let entry = self.put_entry(change.who, &entry)?;
                let replace = ["propose", &file, "--replace", own.as_str(), &entry];
                self.command(first, &replace).await?;
            }
        }
        for at in signers {
            let shown = self.command(at, &["show", &file]).await?;
            let code = shown.lines().find_map(|line| line.strip_prefix("code "));
            let code = code.context("a change without a code")?;
            self.command(at, &["sign", &file, "--shown", code]).await?;
        }
        self.command(first, &["submit", &file]).await?;
        Ok(key)
    }

    /// Whether the first validator's database says that the change is made.
    async fn is_decided(&self, change: Change, key: &str) -> anyhow::Result<bool> {
        let mut others = (0..self.members.len()).filter(|at| *at != change.who);
        let asked = others.find(|at| self.is_validator(*at));
        let asked = asked.context("nobody is left to ask")?;
        let listed = self.command(asked, &["list"]).await?;
        Ok(listed.contains(key) == (change.kind != Kind::Leave))
    }

    async fn entry(&self, at: usize) -> anyhow::Result<String> {
        let own = name(at + 1)?;
        self.command(at, &["entry", "--name", own.as_str()]).await
    }

    fn put_entry(&self, at: usize, entry: &str) -> anyhow::Result<String> {
        let path = self.folder.join(format!("entry-{}.toml", at + 1));
        std::fs::write(&path, entry)?;
        text(&path)
    }

    /// Puts another vote key in the place of the one that a machine has, and starts it with it.
    fn draw_key(&mut self, at: usize) -> anyhow::Result<()> {
        let own = name(at + 1)?;
        let member = self.members.get_mut(at).context("no such machine")?;
        let drawn: PathBuf = member.folder.join("drawn");
        if drawn.exists() {
            std::fs::remove_dir_all(&drawn)?;
        }
        setup::create_keys(&drawn, own)?;
        member.ask_to_stop()?;
        member.stopped()?;
        let key = "vote-key";
        std::fs::copy(drawn.join(key), member.folder.join("keys").join(key))?;
        member.start()
    }

    /// Types `birthmark-node members …` at a machine; what it says.
    async fn command(&self, at: usize, arguments: &[&str]) -> anyhow::Result<String> {
        let member = self.members.get(at).context("no such machine")?;
        let mut command = member.command();
        command.arg("members").args(arguments);
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            bail!("members {}: {said}{why}", arguments.join(" "));
        }
        Ok(said)
    }
}

fn text(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().context("a folder whose name is no text")?;
    Ok(text.to_owned())
}

/// The vote key in an entry, as `members list` writes it.
fn key_of(entry: &str) -> anyhow::Result<String> {
    let line = entry.lines().find_map(|line| {
        let (name, key) = line.split_once(" = ")?;
        (name == "vote_key").then(|| key.trim_matches('"').to_owned())
    });
    line.context("an entry without a vote key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_names_who_and_when() {
        let at: At = "5@2.5".parse().unwrap();
        let change = at.change(Kind::Join);
        assert_eq!((change.who, change.from), (4, Duration::from_millis(2500)));
        for wrong in ["5", "0@1", "x@1", "1@-1", "@1"] {
            assert!(wrong.parse::<At>().is_err(), "{wrong}");
        }
    }
}
