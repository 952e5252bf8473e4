//! Submissions: taken, asked about, settled.

use std::collections::HashSet;

use birthmark_protocol::Timestamp;
use sqlx::AssertSqlSafe;

use super::bulk::{Bulk, Column, Table};
use super::claims::{CLAIMS, Owners, SPENT, Wanted, keys_of, owned};
use super::receipt_id::ReceiptId;
use super::{Store, StoreError, on};
use crate::row_keys::Sealed;
use crate::store::pool::Pooled;

/// A submission that passed every check a node can make by itself.
#[derive(Clone, Debug)]
pub struct NewSubmission {
    /// Its name.
    pub id: ReceiptId,
    /// Which authority is asked.
    pub authority: String,
    /// Whether its signature was checked here.
    pub kind: Kind,
    /// What it is asked, and what becomes of the answer.
    pub request: Sealed,
    /// When it came.
    pub received_at: Timestamp,
}

/// Whether a submission can have come from anybody.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// A signature was checked here, under a certificate of a pinned authority; or a server showed
    /// its token.
    Signed,
    /// Only the authority can tell: a stranger can make as many of these as he likes.
    Unverified,
}

impl Kind {
    pub(super) const fn number(self) -> i64 {
        match self {
            Self::Signed => 0,
            Self::Unverified => 1,
        }
    }

    fn from_stored(number: i64) -> Result<Self, StoreError> {
        match number {
            0 => Ok(Self::Signed),
            1 => Ok(Self::Unverified),
            _ => Err(StoreError::Corrupt("a submission's kind".into())),
        }
    }
}

/// How far a submission has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// The authority has not answered yet.
    Waiting,
    /// The authority vouched; a block is next.
    Validated,
    /// Refused, for ever.
    Rejected,
    /// In a block.
    Stored,
}

/// What is known of a submission.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Submission {
    /// How far it has come.
    pub state: State,
    /// Why it was refused, or what else its sender should know.
    pub reason: Option<String>,
    /// When it came.
    pub received_at: Timestamp,
    /// The record in the registry, once it is in a block.
    pub leaf: Option<u64>,
}

/// A submission that has to be asked about.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Its place in the queue.
    pub seq: i64,
    /// Its name.
    pub id: ReceiptId,
    /// Whether its signature was checked here.
    pub kind: Kind,
    /// When it came.
    pub received_at: Timestamp,
    /// How often its authority stumbled over it.
    pub tries: u32,
    /// What is asked.
    pub request: Sealed,
}

/// What became of one submission.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Which one.
    pub id: ReceiptId,
    /// What happened.
    pub settled: Settled,
}

/// What an answer of the authority leads to.
#[derive(Clone, Debug)]
pub enum Settled {
    /// It stands in the transaction at this place.
    Placed(u32),
    /// It is refused.
    Rejected(String),
    /// The same photo of the same camera came before, under this name.
    SameAs(ReceiptId),
}

/// A submission that was refused is asked anew when it comes again: what was wrong may be right
/// now, or the refusal was of a copy that somebody else had spoiled.
const SUBMISSIONS: Table = Table {
    name: "submissions",
    columns: &["id", "state", "kind", "authority", "received_at"],
    conflict: "ON CONFLICT (id) DO UPDATE SET state = excluded.state, kind = excluded.kind, reason = NULL, \
        received_at = excluded.received_at, decided_at = NULL WHERE submissions.state = 2",
};
const WAITING: Table = Table::new(
    "waiting",
    &[
        "id",
        "authority",
        "kind",
        "retry_at",
        "tries",
        "epoch",
        "request",
    ],
);
const WAITING_BY_SEQ: Table = Table::new("waiting", &["seq"]);
const WAITING_STATE: i64 = 0;
const VALIDATED: i64 = 1;
const REJECTED: i64 = 2;

impl Store {
    /// Takes submissions; those that wait or were vouched for are left as they are. Returns for
    /// whom each of the new ones waits.
    ///
    /// If we stop before the commit, none was taken and no sender was told so; after it, all of
    /// them will be asked about.
    pub async fn enqueue(
        &self,
        submissions: Vec<NewSubmission>,
    ) -> Result<Vec<(String, Kind)>, StoreError> {
        // The same submission may stand twice in one batch; it waits once.
        let mut taken = first_of_each(submissions);
        on!(&self.write, pool => {
            let mut tx = pool.begin().await?;
            let columns = vec![
                Column::Bytes(taken.iter().map(|new| new.id.bytes()).collect()),
                Column::Int(vec![WAITING_STATE; taken.len()]),
                Column::Int(taken.iter().map(|new| new.kind.number()).collect()),
                Column::Text(taken.iter().map(|new| new.authority.clone()).collect()),
                Column::Int(taken.iter().map(|new| new.received_at.unix()).collect()),
            ];
            let new = tx.insert(SUBMISSIONS, columns).await?;
            let new = new.iter().map(|id| ReceiptId::from_stored(id)).collect::<Result<HashSet<_>, _>>()?;
            taken.retain(|one| new.contains(&one.id));
            let columns = vec![
                Column::Bytes(taken.iter().map(|new| new.id.bytes()).collect()),
                Column::Text(taken.iter().map(|new| new.authority.clone()).collect()),
                Column::Int(taken.iter().map(|new| new.kind.number()).collect()),
                Column::Int(vec![0; taken.len()]),
                Column::Int(vec![0; taken.len()]),
                Column::Int(taken.iter().map(|new| new.request.epoch).collect()),
                Column::Bytes(taken.iter_mut().map(|new| std::mem::take(&mut new.request.bytes)).collect()),
            ];
            if !taken.is_empty() {
                tx.insert_all(WAITING, columns).await?;
            }
            tx.commit().await?;
            Ok(taken.into_iter().map(|new| (new.authority, new.kind)).collect())
        })
    }

    /// What is known of a submission.
    pub async fn submission(&self, id: ReceiptId) -> Result<Option<Submission>, StoreError> {
        const SQL: &str = "SELECT s.state, s.reason, s.received_at, s.place, t.first_leaf \
            FROM submissions s LEFT JOIN transactions t ON t.hash = s.tx WHERE s.id = $1";
        type Row = (i64, Option<String>, i64, Option<i64>, Option<i64>);
        let row: Option<Row> = on!(&self.read, pool => sqlx::query_as(SQL).bind(id.bytes()).fetch_optional(pool).await?);
        row.map(|(state, reason, received_at, place, first)| {
            let leaf = first
                .zip(place)
                .map(|(first, place)| super::to_u64(first + place, "a leaf"))
                .transpose()?;
            let state = match (state, leaf) {
                (WAITING_STATE, _) => State::Waiting,
                (VALIDATED, None) => State::Validated,
                (VALIDATED, Some(_)) => State::Stored,
                (REJECTED, _) => State::Rejected,
                _ => return Err(StoreError::Corrupt("a submission's state".into())),
            };
            Ok(Submission {
                state,
                reason,
                received_at: Timestamp::from_unix(received_at),
                leaf,
            })
        })
        .transpose()
    }

    /// The oldest submissions that wait for an authority and were not set aside.
    pub async fn waiting(
        &self,
        authority: &str,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Waiting>, StoreError> {
        const SQL: &str = "SELECT w.seq, w.id, w.kind, s.received_at, w.tries, w.epoch, w.request FROM waiting w \
            JOIN submissions s ON s.id = w.id WHERE w.authority = $1 AND w.retry_at = 0 AND w.seq > $2 \
            ORDER BY w.seq LIMIT $3";
        let rows: Vec<WaitingRow> = on!(&self.read, pool => {
            sqlx::query_as(SQL).bind(authority).bind(after).bind(super::to_i64(limit as u64)).fetch_all(pool).await?
        });
        rows.into_iter().map(waiting_of).collect()
    }

    /// The submission that was set aside and is due again first.
    pub async fn set_aside_and_due(
        &self,
        authority: &str,
        now: Timestamp,
    ) -> Result<Option<Waiting>, StoreError> {
        const SQL: &str = "SELECT w.seq, w.id, w.kind, s.received_at, w.tries, w.epoch, w.request FROM waiting w \
            JOIN submissions s ON s.id = w.id WHERE w.authority = $1 AND w.retry_at > 0 AND w.retry_at <= $2 \
            ORDER BY w.retry_at, w.seq LIMIT 1";
        let row: Option<WaitingRow> = on!(&self.read, pool => {
            sqlx::query_as(SQL).bind(authority).bind(now.unix()).fetch_optional(pool).await?
        });
        row.map(waiting_of).transpose()
    }

    /// Sets a submission aside: it is asked about again at `retry_at`, and delays nobody until
    /// then.
    ///
    /// If we stop before the commit it is asked about, and set aside, again.
    pub async fn set_aside(
        &self,
        seq: i64,
        tries: u32,
        retry_at: Timestamp,
    ) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE waiting SET tries = $2, retry_at = $3 WHERE seq = $1";
        on!(&self.write, pool => {
            sqlx::query(SQL).bind(seq).bind(i64::from(tries)).bind(retry_at.unix()).execute(pool).await?;
        });
        Ok(())
    }

    /// Asks again at once about what was set aside fewer than `tries` times: the authority is back.
    pub async fn take_up(&self, authority: &str, tries: u32) -> Result<(), StoreError> {
        const SQL: &str =
            "UPDATE waiting SET retry_at = 0 WHERE authority = $1 AND retry_at > 0 AND tries < $2";
        on!(&self.write, pool => {
            sqlx::query(SQL).bind(authority).bind(i64::from(tries)).execute(pool).await?;
        });
        Ok(())
    }

    /// Forgets a submission that waits, as if it had never come.
    pub async fn forget_waiting(&self, seq: i64, id: ReceiptId) -> Result<(), StoreError> {
        on!(&self.write, pool => {
            let mut tx = pool.begin().await?;
            sqlx::query("DELETE FROM waiting WHERE seq = $1").bind(seq).execute(&mut *tx).await?;
            sqlx::query("DELETE FROM submissions WHERE id = $1").bind(id.bytes()).execute(&mut *tx).await?;
            tx.commit().await?;
        });
        Ok(())
    }

    /// The oldest epoch under which a row is sealed.
    pub async fn oldest_epoch(&self) -> Result<Option<i64>, StoreError> {
        // Waiting rows come in the order of their epochs; the pool's do not quite, but there are
        // few.
        const WAITING: &str = "SELECT epoch FROM waiting ORDER BY seq LIMIT 1";
        const POOL: &str = "SELECT MIN(epoch) FROM pool";
        let waiting: Option<i64> =
            on!(&self.read, pool => sqlx::query_scalar(WAITING).fetch_optional(pool).await?);
        let pooled: Option<i64> =
            on!(&self.read, pool => sqlx::query_scalar(POOL).fetch_one(pool).await?);
        Ok(waiting.into_iter().chain(pooled).min())
    }

    /// Forgets what waits under keys that are gone, as if it had never come: its senders hear that
    /// it is unknown and send it again. Returns how many submissions that were.
    ///
    /// One database transaction: if we stop before its commit, the next start does it.
    pub async fn forget_unreadable(&self, known: &[i64]) -> Result<u64, StoreError> {
        let list = known
            .iter()
            .map(i64::to_string)
            .collect::<Vec<_>>()
            .join(", ");
        // Nothing but numbers of ours stands in the list.
        let waiting = format!(
            "DELETE FROM submissions WHERE id IN (SELECT id FROM waiting WHERE epoch NOT IN ({list}))"
        );
        let pooled = format!(
            "DELETE FROM submissions WHERE tx IN (SELECT hash FROM pool WHERE epoch NOT IN ({list}))"
        );
        let taken = format!("SELECT claims, tokens FROM pool WHERE epoch NOT IN ({list})");
        let rows = ["waiting", "pool"]
            .map(|table| format!("DELETE FROM {table} WHERE epoch NOT IN ({list})"));
        on!(&self.write, pool => {
            let mut tx = pool.begin().await?;
            let freed: Vec<(Vec<u8>, Vec<u8>)> = sqlx::query_as(AssertSqlSafe(taken)).fetch_all(&mut *tx).await?;
            let (claims, tokens) = (freed.iter().flat_map(|(claims, _)| keys_of(claims)).collect::<Vec<_>>(), freed.iter().flat_map(|(_, tokens)| keys_of(tokens)).collect::<Vec<_>>());
            tx.free(CLAIMS, &claims).await?;
            tx.free(SPENT, &tokens).await?;
            let mut forgotten = 0;
            for sql in [waiting, pooled] {
                forgotten += sqlx::query(AssertSqlSafe(sql)).execute(&mut *tx).await?.rows_affected();
            }
            for sql in rows {
                sqlx::query(AssertSqlSafe(sql)).execute(&mut *tx).await?;
            }
            tx.commit().await?;
            Ok(forgotten)
        })
    }

    /// How many submissions of each kind wait for each authority.
    pub async fn waiting_by_kind(&self) -> Result<Vec<(String, Kind, u64)>, StoreError> {
        const SQL: &str = "SELECT authority, kind, COUNT(*) FROM waiting GROUP BY authority, kind";
        let rows: Vec<(String, i64, i64)> =
            on!(&self.read, pool => sqlx::query_as(SQL).fetch_all(pool).await?);
        let row = |(authority, kind, count)| {
            let count = super::to_u64(count, "a count")?;
            Ok((authority, Kind::from_stored(kind)?, count))
        };
        rows.into_iter().map(row).collect()
    }

    /// How many submissions wait for an authority.
    pub async fn waiting_count(&self) -> Result<u64, StoreError> {
        let count: i64 = on!(&self.read, pool => sqlx::query_scalar("SELECT COUNT(*) FROM waiting").fetch_one(pool).await?);
        super::to_u64(count, "a count")
    }

    /// Which authorities submissions wait for, and since when.
    pub async fn waiting_authorities(&self) -> Result<Vec<(String, u64, Timestamp)>, StoreError> {
        const SQL: &str = "SELECT w.authority, COUNT(*), MIN(s.received_at) FROM waiting w \
            JOIN submissions s ON s.id = w.id GROUP BY w.authority ORDER BY w.authority";
        let rows: Vec<(String, i64, i64)> =
            on!(&self.read, pool => sqlx::query_as(SQL).fetch_all(pool).await?);
        let row = |(name, count, since)| {
            Ok((
                name,
                super::to_u64(count, "a count")?,
                Timestamp::from_unix(since),
            ))
        };
        rows.into_iter().map(row).collect()
    }

    /// Records what became of submissions, and puts the transaction they stand in into the pool.
    /// `judge` is told who owns which of the claims and tokens already, and decides; what the
    /// placed ones need is theirs from then on.
    ///
    /// One database transaction: if we stop before its commit they are still waiting and own
    /// nothing; after it they are in the pool or refused.
    pub async fn settle(
        &self,
        wanted: &Wanted,
        queue: &[i64],
        now: Timestamp,
        judge: impl FnOnce(&Owners) -> Result<Settlement, StoreError> + Send,
    ) -> Result<(), StoreError> {
        const REJECT: &str =
            "UPDATE submissions SET state = 2, reason = $2, decided_at = $3 WHERE id = $1";
        const SAME: &str = "UPDATE submissions SET state = o.state, tx = o.tx, place = o.place, reason = o.reason, decided_at = $3 \
            FROM (SELECT state, tx, place, reason FROM submissions WHERE id = $2) AS o WHERE submissions.id = $1";
        on!(&self.write, pool => {
            let mut tx = pool.begin().await?;
            tx.lock_keys().await?;
            let owners = Owners {
                claims: owned(tx.owners(CLAIMS, &wanted.claims).await?)?,
                tokens: owned(tx.owners(SPENT, &wanted.tokens).await?)?,
            };
            let Settlement { decisions, pooled, claims, tokens } = judge(&owners)?;
            tx.take(CLAIMS, &claims).await?;
            tx.take(SPENT, &tokens).await?;
            if let Some(pooled) = pooled {
                super::pool::insert(&mut *tx, &pooled, &claims, &tokens).await?;
                tx.place(pooled.hash.as_bytes(), now.unix(), &places(&decisions)).await?;
            }
            for Decision { id, settled } in &decisions {
                let query = match settled {
                    Settled::Placed(_) => continue,
                    Settled::Rejected(reason) => sqlx::query(REJECT).bind(id.bytes()).bind(reason.clone()),
                    Settled::SameAs(first) => sqlx::query(SAME).bind(id.bytes()).bind(first.bytes()),
                };
                query.bind(now.unix()).execute(&mut *tx).await?;
            }
            tx.delete(WAITING_BY_SEQ, queue).await?;
            tx.commit().await?;
            Ok(())
        })
    }

    /// Forgets refusals of submissions that anybody could have made: those decided before `before`,
    /// and the oldest beyond `most` of them.
    pub async fn forget_refused_strangers(
        &self,
        before: Timestamp,
        most: u32,
    ) -> Result<u64, StoreError> {
        // The first one beyond those that are kept; the index of refused strangers alone is read.
        const BEYOND: &str = "SELECT decided_at FROM submissions WHERE state = 2 AND kind = 1 \
            ORDER BY decided_at DESC LIMIT 1 OFFSET $1";
        const DELETE: &str =
            "DELETE FROM submissions WHERE state = 2 AND kind = 1 AND decided_at < $1";
        let beyond: Option<i64> = on!(&self.read, pool => {
            sqlx::query_scalar(BEYOND).bind(i64::from(most)).fetch_optional(pool).await?
        });
        let until = beyond.map_or(before.unix(), |beyond| before.unix().max(beyond + 1));
        let rows = on!(&self.write, pool => sqlx::query(DELETE).bind(until).execute(pool).await?.rows_affected());
        Ok(rows)
    }

    /// Forgets what became of submissions decided before `before`. Their records stay.
    pub async fn forget_decided(&self, before: Timestamp) -> Result<u64, StoreError> {
        const SQL: &str = "DELETE FROM submissions WHERE decided_at IS NOT NULL AND decided_at < $1 \
            AND (tx IS NULL OR tx IN (SELECT hash FROM transactions))";
        let rows = on!(&self.write, pool => sqlx::query(SQL).bind(before.unix()).execute(pool).await?.rows_affected());
        Ok(rows)
    }
}

/// What becomes of submissions that were answered.
#[derive(Debug, Default)]
pub struct Settlement {
    /// One decision for each; the placed ones first, since another may share their fate.
    pub decisions: Vec<Decision>,
    /// The transaction of the placed ones.
    pub pooled: Option<Pooled>,
    /// The claims that are theirs now.
    pub claims: Vec<(Vec<u8>, ReceiptId)>,
    /// The tokens that are spent now.
    pub tokens: Vec<(Vec<u8>, ReceiptId)>,
}

type WaitingRow = (i64, Vec<u8>, i64, i64, i64, i64, Vec<u8>);

fn waiting_of(
    (seq, id, kind, received_at, tries, epoch, request): WaitingRow,
) -> Result<Waiting, StoreError> {
    Ok(Waiting {
        seq,
        id: ReceiptId::from_stored(&id)?,
        kind: Kind::from_stored(kind)?,
        received_at: Timestamp::from_unix(received_at),
        tries: u32::try_from(tries).map_err(|_| StoreError::Corrupt("a number of tries".into()))?,
        request: Sealed::stored(epoch, request),
    })
}

fn places(decisions: &[Decision]) -> Vec<(Vec<u8>, i64)> {
    let place = |decision: &Decision| match decision.settled {
        Settled::Placed(place) => Some((decision.id.bytes(), i64::from(place))),
        _ => None,
    };
    decisions.iter().filter_map(place).collect()
}

fn first_of_each(submissions: Vec<NewSubmission>) -> Vec<NewSubmission> {
    let mut seen = HashSet::new();
    let mut first = submissions;
    first.retain(|submission| seen.insert(submission.id));
    first
}
