//! The audit log: every validation and every act of an operator, written in batches off the hot path.
//!
//! A validation is remembered by its outcome, its time and, if it was about a commitment, a keyed digest of it: with the
//! commitment at hand one can show that it was asked about, but the log alone holds neither a digest nor a camera. Rows
//! are chained by a keyed digest, and where old rows were removed a keyed proof says so. Whoever can change the database
//! but lacks the credential can at most cut off the newest rows, which comparing with a head noted elsewhere shows.

mod entry;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use birthmark_protocol::{Assurance, Commitment, Timestamp};
use serde::{Deserialize, Serialize};

pub use entry::{Entry, decode};

use crate::judge::Refusal;
use crate::registry::DeviceId;
use crate::store::{AuditRow, HourlyCount, Store};
use crate::vault::Vault;

/// How many validations one row holds.
const ROW: usize = 1000;
/// The bytes of a link.
const LINK: usize = 32;
/// How many validations may wait for the database. Beyond it, validation stops rather than go unrecorded.
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
pub struct Journal {
    waiting: Mutex<Waiting>,
    totals: [AtomicU64; Refusal::ALL.len() + 1],
    writer: tokio::sync::Mutex<Head>,
}

#[derive(Debug, Default)]
struct Waiting {
    outcomes: Vec<Outcome>,
    acts: Vec<Act>,
    activity: Vec<(DeviceId, i64, i64)>,
}

#[derive(Debug, Clone)]
struct Head {
    seq: i64,
    link: Vec<u8>,
}

/// What a check of the chain found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChainReport {
    /// Rows looked at.
    pub rows: u64,
    /// Things recorded in them.
    pub entries: u64,
    /// The number of the last row.
    pub head: i64,
    /// The link of the last row, to be noted elsewhere.
    pub link: String,
    /// The first row that does not fit, and why.
    pub broken: Option<(i64, String)>,
}

impl Outcome {
    /// The word in statistics.
    pub const fn name(&self) -> &'static str {
        match self.result {
            Ok(_) => "pass",
            Err(refusal) => refusal.name(),
        }
    }
}

impl Journal {
    /// Continues the log of this database.
    pub async fn open(store: &Store) -> Result<Self, sqlx::Error> {
        let (seq, mut link) = store.audit_head().await?;
        // An anchor is longer by its proof.
        link.truncate(LINK);
        Ok(Self {
            waiting: Mutex::default(),
            totals: Default::default(),
            writer: tokio::sync::Mutex::new(Head { seq, link }),
        })
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether so many validations more can be remembered.
    pub fn has_room(&self, more: usize) -> bool {
        self.waiting().outcomes.len() + more <= LARGEST_BACKLOG
    }

    /// Remembers validations until the next [`Journal::write`].
    pub fn record(&self, outcomes: impl IntoIterator<Item = Outcome>) {
        let mut waiting = self.waiting();
        for outcome in outcomes {
            let place = outcome
                .result
                .err()
                .map_or(0, |refusal| usize::from(refusal.to_byte()));
            if let Some(total) = self.totals.get(place) {
                total.fetch_add(1, Ordering::Relaxed);
            }
            waiting.outcomes.push(outcome);
        }
    }

    /// How many validations ended in which way since the start.
    pub fn totals(&self) -> Vec<(&'static str, u64)> {
        let names = std::iter::once("pass").chain(Refusal::ALL.map(Refusal::name));
        names
            .zip(&self.totals)
            .map(|(name, total)| (name, total.load(Ordering::Relaxed)))
            .collect()
    }

    /// Remembers an act until the next [`Journal::write`].
    pub fn act(&self, act: Act) {
        self.waiting().acts.push(act);
    }

    /// Remembers how busy cameras were on a day.
    pub fn activity(&self, activity: impl IntoIterator<Item = (DeviceId, i64, i64)>) {
        self.waiting().activity.extend(activity);
    }

    /// How many validations wait to be written.
    pub fn backlog(&self) -> usize {
        self.waiting().outcomes.len()
    }

    /// Writes what waits. What could not be written waits on.
    pub async fn write(&self, store: &Store, vault: &Vault) -> Result<(), sqlx::Error> {
        let mut head = self.writer.lock().await;
        let taken = std::mem::take(&mut *self.waiting());
        if taken.outcomes.is_empty() && taken.acts.is_empty() && taken.activity.is_empty() {
            return Ok(());
        }
        let (rows, end) = chain(vault, head.clone(), &taken);
        match store
            .append_audit(&rows, &hourly(&taken.outcomes), &taken.activity)
            .await
        {
            Ok(()) => {
                *head = end;
                Ok(())
            }
            Err(error) => {
                self.put_back(taken);
                Err(error)
            }
        }
    }

    fn put_back(&self, mut earlier: Waiting) {
        let mut waiting = self.waiting();
        earlier.outcomes.append(&mut waiting.outcomes);
        earlier.acts.append(&mut waiting.acts);
        earlier.activity.append(&mut waiting.activity);
        *waiting = earlier;
    }
}

fn hourly(outcomes: &[Outcome]) -> Vec<HourlyCount> {
    let mut counts: BTreeMap<(i64, &'static str), i64> = BTreeMap::new();
    for outcome in outcomes {
        *counts
            .entry((outcome.time.unix().div_euclid(3600), outcome.name()))
            .or_default() += 1;
    }
    counts
        .into_iter()
        .map(|((hour, outcome), amount)| HourlyCount {
            hour,
            outcome: outcome.into(),
            amount,
        })
        .collect()
}

fn chain(vault: &Vault, mut head: Head, taken: &Waiting) -> (Vec<AuditRow>, Head) {
    let validations = taken.outcomes.chunks(ROW).map(|chunk| {
        let content = chunk
            .iter()
            .flat_map(|outcome| Entry::of(vault, outcome).encode())
            .collect();
        let times = (
            chunk.first().map_or(0, |outcome| outcome.time.unix()),
            chunk.last().map_or(0, |outcome| outcome.time.unix()),
        );
        ("validations", times, chunk.len(), content)
    });
    let acts = taken.acts.iter().map(|act| {
        // Texts and numbers always have a JSON form.
        let content = serde_json::to_vec(act).unwrap_or_default();
        ("admin", (act.time, act.time), 1, content)
    });
    let rows = acts
        .chain(validations)
        .map(|(kind, (first_time, last_time), entries, content)| {
            head.seq += 1;
            let entries = i64::try_from(entries).unwrap_or(i64::MAX);
            let mut row = AuditRow {
                seq: head.seq,
                kind: kind.into(),
                first_time,
                last_time,
                entries,
                content,
                link: Vec::new(),
            };
            row.link = link(vault, &head.link, &row).to_vec();
            head.link.clone_from(&row.link);
            row
        });
    let rows = rows.collect();
    (rows, head)
}

fn link(vault: &Vault, before: &[u8], row: &AuditRow) -> [u8; 32] {
    let numbers = [row.seq, row.first_time, row.last_time, row.entries]
        .map(i64::to_be_bytes)
        .concat();
    let kind = [row.kind.as_bytes(), &[0]].concat();
    vault.audit_digest(&[
        b"birthmark/audit/v1",
        &[u8::from(!before.is_empty())],
        before,
        &numbers,
        &kind,
        &row.content,
    ])
}

/// Where pruned rows ended, with a proof that pruning put it there: otherwise whoever can change the database could cut off
/// the oldest rows and move the beginning.
fn anchor(vault: &Vault, seq: i64, link: &[u8]) -> Vec<u8> {
    let proof = vault.audit_digest(&[b"birthmark/audit/anchor/v1", &seq.to_be_bytes(), link]);
    [link, &proof].concat()
}

/// Removes rows of before `time`; how many.
pub async fn prune(store: &Store, vault: &Vault, time: Timestamp) -> Result<u64, sqlx::Error> {
    store
        .prune_audit(time, |seq, link| anchor(vault, seq, link))
        .await
}

/// Checks every row of the chain.
pub async fn verify(store: &Store, vault: &Vault) -> Result<ChainReport, sqlx::Error> {
    let (mut seq, stored) = store.audit_anchor().await?;
    let mut before = stored.get(..LINK).unwrap_or_default().to_vec();
    let mut report = ChainReport {
        rows: 0,
        entries: 0,
        head: seq,
        link: hex::encode(&before),
        broken: None,
    };
    let never_pruned = seq == 0 && stored.is_empty();
    if !never_pruned && stored != anchor(vault, seq, &before) {
        report.broken = Some((seq, "the beginning of the log was moved".into()));
        return Ok(report);
    }
    loop {
        let rows = store.audit_after(seq, 200).await?;
        if rows.is_empty() {
            return Ok(report);
        }
        for row in rows {
            let problem = match () {
                () if row.seq != seq + 1 => {
                    Some(format!("{} rows before it are missing", row.seq - seq - 1))
                }
                () if row.link != link(vault, &before, &row) => {
                    Some("it was changed, or one before it was removed".to_owned())
                }
                () => None,
            };
            if let Some(problem) = problem {
                report.broken = Some((row.seq, problem));
                return Ok(report);
            }
            report.rows += 1;
            report.entries += u64::try_from(row.entries).unwrap_or_default();
            (seq, before) = (row.seq, row.link);
            (report.head, report.link) = (seq, hex::encode(&before));
        }
    }
}
