//! The chain over audit rows: each is bound to all before it by a keyed digest, and where old rows
//! were removed stands a proof.

use serde::Serialize;

use super::entry::{Entry, LENGTH};
use super::{Act, Waiting};
use crate::keep::store::{AuditRow, Store};
use crate::keep::vault::Vault;
use birthmark_protocol::Timestamp;

/// How many validations one row holds.
const ROW: usize = 1000;
/// The bytes of a link.
const LINK: usize = 32;

/// The end of the chain: what the next row is bound to.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub seq: i64,
    pub link: Vec<u8>,
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

impl Head {
    /// Where the chain of this database ends.
    pub async fn of(store: &Store) -> Result<Self, sqlx::Error> {
        let (seq, mut link) = store.audit_head().await?;
        // An anchor is longer by its proof.
        link.truncate(LINK);
        Ok(Self { seq, link })
    }

    /// The rows of what waits.
    pub fn rows(
        self,
        vault: &Vault,
        waiting: &Waiting,
    ) -> Result<Vec<AuditRow>, serde_json::Error> {
        let mut head = self;
        let acts = waiting.acts.iter().map(row_of_act);
        let passes = waiting
            .passes
            .chunks(ROW)
            .map(|pass| Ok(row_of_passes(pass)));
        let chained = acts.chain(passes).map(|row| Ok(head.append(vault, row?)));
        chained.collect()
    }

    fn append(&mut self, vault: &Vault, mut row: AuditRow) -> AuditRow {
        self.seq += 1;
        row.seq = self.seq;
        row.link = link(vault, &self.link, &row).to_vec();
        self.link.clone_from(&row.link);
        row
    }
}

/// A row that has no place yet.
fn row_of_act(act: &Act) -> Result<AuditRow, serde_json::Error> {
    Ok(AuditRow {
        seq: 0,
        kind: "admin".into(),
        first_time: act.time,
        last_time: act.time,
        entries: 1,
        content: serde_json::to_vec(act)?,
        link: Vec::new(),
    })
}

/// A row that has no place yet.
fn row_of_passes(entries: &[Entry]) -> AuditRow {
    let time = |entry: Option<&Entry>| entry.map_or(0, |entry| entry.time);
    let mut content = Vec::with_capacity(entries.len() * LENGTH);
    entries.iter().for_each(|entry| entry.write(&mut content));
    AuditRow {
        seq: 0,
        kind: "validations".into(),
        first_time: time(entries.first()),
        last_time: time(entries.last()),
        entries: entries.iter().map(|_| 1).sum(),
        content,
        link: Vec::new(),
    }
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

/// Where pruned rows ended, with a proof that pruning put it there: otherwise whoever can change
/// the database could cut off the oldest rows and move the beginning.
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
    // An anchor is a link and a proof; before the first pruning there is neither.
    let mut before = stored.iter().copied().take(LINK).collect::<Vec<_>>();
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
            report.entries += row.entries.unsigned_abs();
            (seq, before) = (row.seq, row.link);
            (report.head, report.link) = (seq, hex::encode(&before));
        }
    }
}
