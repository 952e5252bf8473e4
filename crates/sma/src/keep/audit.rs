//! The audit log: every validation that passed and every act of an operator, written in batches off
//! the hot path.
//!
//! A pass is remembered by its time, its assurance and, if it was about a commitment, a keyed
//! digest of it: with the commitment at hand one can show that it was asked about, but the log
//! alone holds neither a digest nor a camera. A refusal adds one to a counter of its hour:
//! strangers can be refused as often as they like, and must not fill the disk by it. Rows are
//! chained by a keyed digest, and where old rows were removed a keyed proof says so. Whoever can
//! change the database but lacks the credential can at most cut off the newest rows, which
//! comparing with a head noted elsewhere shows.

mod chain;
mod entry;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use birthmark_protocol::{Assurance, Commitment, Timestamp};
use serde::{Deserialize, Serialize};

pub use chain::{ChainReport, prune, verify};

use chain::Head;
use entry::Entry;

use crate::judge::Refusal;
use crate::judge::cameras::DeviceId;
use crate::keep::store::{AuditRow, HourlyCount, Store, is_duplicate};
use crate::keep::vault::Vault;

/// How many passes may wait for the database. Beyond it, validation stops rather than go
/// unrecorded.
pub const LARGEST_BACKLOG: usize = 1_000_000;

/// How one validation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// When.
    pub time: Timestamp,
    /// What was vouched for, or why not.
    pub result: Result<Assurance, Refusal>,
    /// What it was about.
    pub commitment: Option<Commitment>,
}

/// An act of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// When.
    pub time: i64,
    /// Who.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub target: String,
}

/// The log's writing end.
#[derive(Debug)]
pub struct AuditLog {
    waiting: Mutex<Waiting>,
    totals: [AtomicU64; Refusal::ALL.len() + 1],
    writer: tokio::sync::Mutex<Writer>,
    /// Passes in the writer's hands.
    unwritten: AtomicUsize,
}

/// The chain's end, and what is being appended to it.
#[derive(Debug)]
struct Writer {
    head: Head,
    batch: Option<Batch>,
}

/// Rows that stay as they are until the database has them: an attempt may have succeeded without
/// our hearing of it.
#[derive(Debug)]
struct Batch {
    rows: Vec<AuditRow>,
    counts: Vec<HourlyCount>,
    activity: Vec<(DeviceId, i64, i64)>,
}

#[derive(Debug, Default)]
struct Waiting {
    passes: Vec<Entry>,
    /// Validations by hour and outcome.
    counts: BTreeMap<(i64, &'static str), i64>,
    acts: Vec<Act>,
    activity: Vec<(DeviceId, i64, i64)>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.passes.is_empty()
            && self.counts.is_empty()
            && self.acts.is_empty()
            && self.activity.is_empty()
    }
}

impl Outcome {
    /// The word in statistics.
    const fn name(&self) -> &'static str {
        match self.result {
            Ok(_) => "pass",
            Err(refusal) => refusal.name(),
        }
    }

    /// The place of its total.
    const fn place(&self) -> usize {
        match self.result {
            Ok(_) => 0,
            Err(refusal) => refusal as usize,
        }
    }
}

impl AuditLog {
    /// Continues the log of this database.
    pub async fn open(store: &Store) -> Result<Self, sqlx::Error> {
        let head = Head::of(store).await?;
        Ok(Self {
            waiting: Mutex::default(),
            totals: Default::default(),
            writer: tokio::sync::Mutex::new(Writer { head, batch: None }),
            unwritten: AtomicUsize::new(0),
        })
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether so many passes more can be remembered.
    pub fn has_room(&self, more: usize) -> bool {
        self.backlog() + more <= LARGEST_BACKLOG
    }

    /// Remembers validations until the next [`AuditLog::write`]. On a disk that is nearly full
    /// refusals are counted since the start only: they are what is given up first.
    pub fn record(&self, vault: &Vault, outcomes: &[Outcome], disk_is_low: bool) {
        let passes: Vec<_> = outcomes
            .iter()
            .filter_map(|outcome| Entry::of(vault, outcome))
            .collect();
        for outcome in outcomes {
            if let Some(total) = self.totals.get(outcome.place()) {
                total.fetch_add(1, Ordering::Relaxed);
            }
        }
        let kept = outcomes
            .iter()
            .filter(|outcome| outcome.result.is_ok() || !disk_is_low);
        let mut waiting = self.waiting();
        for outcome in kept {
            let hour = outcome.time.unix().div_euclid(3600);
            *waiting.counts.entry((hour, outcome.name())).or_default() += 1;
        }
        waiting.passes.extend(passes);
    }

    /// How many validations ended in which way since the start.
    pub fn totals(&self) -> Vec<(&'static str, u64)> {
        let names = std::iter::once("pass").chain(Refusal::ALL.map(Refusal::name));
        names
            .zip(&self.totals)
            .map(|(name, total)| (name, total.load(Ordering::Relaxed)))
            .collect()
    }

    /// Remembers an act until the next [`AuditLog::write`].
    pub fn act(&self, act: Act) {
        self.waiting().acts.push(act);
    }

    /// Remembers how busy cameras were on a day.
    pub fn activity(&self, activity: impl IntoIterator<Item = (DeviceId, i64, i64)>) {
        self.waiting().activity.extend(activity);
    }

    /// How many passes wait to be written.
    pub fn backlog(&self) -> usize {
        self.waiting().passes.len() + self.unwritten.load(Ordering::Relaxed)
    }

    /// Writes what waits. What could not be written waits on, also when the caller gives up in the
    /// middle.
    pub async fn write(&self, store: &Store, vault: &Vault) -> Result<(), sqlx::Error> {
        let mut writer = self.writer.lock().await;
        loop {
            let Some(batch) = &writer.batch else {
                let waiting = std::mem::take(&mut *self.waiting());
                if waiting.is_empty() {
                    return Ok(());
                }
                self.unwritten
                    .store(waiting.passes.len(), Ordering::Relaxed);
                writer.batch = Some(Batch::of(vault, writer.head.clone(), waiting)?);
                continue;
            };
            batch.write(store).await?;
            if let Some(last) = batch.rows.last() {
                writer.head = Head {
                    seq: last.seq,
                    link: last.link.clone(),
                };
            }
            writer.batch = None;
            self.unwritten.store(0, Ordering::Relaxed);
        }
    }
}

impl Batch {
    fn of(vault: &Vault, head: Head, waiting: Waiting) -> Result<Self, sqlx::Error> {
        let rows = head.rows(vault, &waiting);
        let counts = waiting.counts.into_iter();
        let count = |((hour, outcome), amount): ((i64, &str), i64)| HourlyCount {
            hour,
            outcome: outcome.into(),
            amount,
        };
        Ok(Self {
            // Texts and numbers always have a JSON form.
            rows: rows.map_err(|error| sqlx::Error::Encode(error.into()))?,
            counts: counts.map(count).collect(),
            activity: waiting.activity,
        })
    }

    async fn write(&self, store: &Store) -> Result<(), sqlx::Error> {
        let written = store.append_audit(&self.rows, &self.counts, &self.activity);
        match written.await {
            // Its numbers are taken: by itself, if an earlier attempt was committed but its caller
            // or its connection was gone.
            Err(error) if is_duplicate(&error) && self.is_stored(store).await? => Ok(()),
            written => written,
        }
    }

    async fn is_stored(&self, store: &Store) -> Result<bool, sqlx::Error> {
        let head = Head::of(store).await?;
        Ok(self.rows.last().is_some_and(|last| last.link == head.link))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(time: i64) -> Outcome {
        Outcome {
            time: Timestamp::from_unix(time),
            result: Ok(Assurance::Token),
            commitment: None,
        }
    }

    fn refusal(time: i64) -> Outcome {
        Outcome {
            result: Err(Refusal::Expired),
            ..pass(time)
        }
    }

    fn vault() -> Vault {
        Vault::create(b"a test credential", [1; 16]).unwrap().0
    }

    async fn store(folder: &std::path::Path) -> Store {
        let url = format!("sqlite://{}", folder.join("audit.db").display());
        Store::open(&url, 1).await.unwrap()
    }

    #[tokio::test]
    async fn beyond_the_backlog_no_pass_is_taken_and_refusals_take_no_room() {
        let (folder, vault) = (tempfile::tempdir().unwrap(), vault());
        let log = AuditLog::open(&store(folder.path()).await).await.unwrap();
        log.record(&vault, &vec![pass(7); LARGEST_BACKLOG - 1], false);
        assert!(log.has_room(1) && !log.has_room(2));
        log.record(&vault, &vec![refusal(7); 1000], false);
        assert!(log.has_room(1), "refusals are counters");
        log.record(&vault, &[pass(7)], false);
        assert!(log.has_room(0) && !log.has_room(1));
    }

    #[tokio::test]
    async fn on_a_disk_that_is_nearly_full_refusals_are_counted_in_memory_only() {
        let (folder, vault) = (tempfile::tempdir().unwrap(), vault());
        let store = store(folder.path()).await;
        let log = AuditLog::open(&store).await.unwrap();
        log.record(&vault, &[pass(3600), refusal(3600)], true);
        log.record(&vault, &[pass(7200), refusal(7199)], false);
        log.write(&store, &vault).await.unwrap();
        let count = |hour, outcome: &str, amount| HourlyCount {
            hour,
            outcome: outcome.into(),
            amount,
        };
        let kept = store.hourly_since(0).await.unwrap();
        let expected = [
            count(1, "expired", 1),
            count(1, "pass", 1),
            count(2, "pass", 1),
        ];
        assert_eq!(kept, expected);
        let totals = log.totals();
        let total = |name| totals.iter().find(|(known, _)| *known == name).unwrap().1;
        assert_eq!(
            (total("pass"), total("expired"), total("revoked")),
            (2, 2, 0)
        );
    }

    /// What waits while the database is away is neither lost nor written twice.
    #[tokio::test]
    async fn what_could_not_be_written_waits_and_is_written_once() {
        let (folder, vault) = (tempfile::tempdir().unwrap(), vault());
        let away = store(folder.path()).await;
        let log = AuditLog::open(&away).await.unwrap();
        log.record(&vault, &vec![pass(7); 2500], false);
        log.act(Act {
            time: 8,
            actor: "anna".into(),
            action: "revoke".into(),
            target: "x".into(),
        });
        away.close().await;
        log.write(&away, &vault).await.unwrap_err();
        assert_eq!(log.backlog(), 2500);
        // What comes meanwhile follows it.
        log.record(&vault, &[pass(9)], false);
        assert_eq!(log.backlog(), 2501);

        let back = store(folder.path()).await;
        log.write(&back, &vault).await.unwrap();
        assert_eq!(log.backlog(), 0);
        let report = verify(&back, &vault).await.unwrap();
        // An act, three rows of at most a thousand, and the late one.
        assert_eq!(
            (report.rows, report.entries, report.broken),
            (5, 2502, None)
        );
        assert_eq!(back.hourly_since(0).await.unwrap()[0].amount, 2501);
        assert_eq!(back.recent_acts(5).await.unwrap().len(), 1);
    }

    /// The database took the rows, but the connection broke before it said so.
    #[tokio::test]
    async fn an_attempt_that_succeeded_unheard_is_not_repeated() {
        let (folder, vault) = (tempfile::tempdir().unwrap(), vault());
        let store = store(folder.path()).await;
        let log = AuditLog::open(&store).await.unwrap();
        log.record(&vault, &[pass(7), pass(8)], false);
        let waiting = std::mem::take(&mut *log.waiting());
        let mut writer = log.writer.lock().await;
        let batch = Batch::of(&vault, writer.head.clone(), waiting).unwrap();
        batch.write(&store).await.unwrap();
        writer.batch = Some(batch);
        drop(writer);
        log.record(&vault, &[pass(9)], false);
        log.write(&store, &vault).await.unwrap();
        let report = verify(&store, &vault).await.unwrap();
        assert_eq!((report.rows, report.entries, report.broken), (2, 3, None));
        assert_eq!(store.hourly_since(0).await.unwrap()[0].amount, 3);
    }

    /// Rows of somebody else under the same numbers are no success.
    #[tokio::test]
    async fn numbers_that_another_writer_took_are_an_error() {
        let (folder, vault) = (tempfile::tempdir().unwrap(), vault());
        let store = store(folder.path()).await;
        let [one, other] = [
            AuditLog::open(&store).await.unwrap(),
            AuditLog::open(&store).await.unwrap(),
        ];
        one.record(&vault, &[pass(7)], false);
        one.write(&store, &vault).await.unwrap();
        other.record(&vault, &[pass(8)], false);
        other.write(&store, &vault).await.unwrap_err();
        assert_eq!(other.backlog(), 1);
        assert_eq!(verify(&store, &vault).await.unwrap().entries, 1);
    }
}
