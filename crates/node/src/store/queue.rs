//! Submissions: taken, asked about, settled.

use birthmark_protocol::Timestamp;
use uuid::Uuid;

use super::bulk::{Bulk, Column, Keys, Table};
use super::{Store, StoreError, on};
use crate::store::pool::Pooled;

/// The name a submission is answered under. Equal submissions have equal names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ReceiptId(pub Uuid);

/// A submission that passed every check a node can make by itself.
#[derive(Clone, Debug)]
pub struct NewSubmission {
    /// Its name.
    pub id: ReceiptId,
    /// Which authority is asked.
    pub authority: String,
    /// What it is asked, and what becomes of the answer.
    pub request: Vec<u8>,
    /// When it came.
    pub received_at: Timestamp,
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
    /// What is asked.
    pub request: Vec<u8>,
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

const SUBMISSIONS: Table = Table {
    name: "submissions",
    columns: &["id", "state", "authority", "received_at"],
};
const WAITING: Table = Table {
    name: "waiting",
    columns: &["id", "authority", "request"],
};
const WAITING_BY_SEQ: Table = Table {
    name: "waiting",
    columns: &["seq"],
};
const CLAIMS: Keys = Keys {
    table: "claims",
    key: "claim",
};
const SPENT: Keys = Keys {
    table: "spent_tokens",
    key: "token",
};

const WAITING_STATE: i64 = 0;
const VALIDATED: i64 = 1;
const REJECTED: i64 = 2;

impl ReceiptId {
    pub(super) fn bytes(self) -> Vec<u8> {
        self.0.as_bytes().to_vec()
    }

    pub(super) fn from_stored(bytes: &[u8]) -> Result<Self, StoreError> {
        Uuid::from_slice(bytes)
            .map(Self)
            .map_err(|_| StoreError::Corrupt("a receipt id".into()))
    }
}

impl Store {
    /// Takes submissions; those that are known already are left as they are. Returns the names of the new ones.
    ///
    /// If we stop before the commit, none was taken and no sender was told so; after it, all of them will be asked about.
    pub async fn enqueue(
        &self,
        submissions: &[NewSubmission],
    ) -> Result<Vec<ReceiptId>, StoreError> {
        on!(&self.write, pool => {
            let mut tx = pool.begin().await?;
            let columns = vec![
                Column::Bytes(submissions.iter().map(|new| new.id.bytes()).collect()),
                Column::Int(vec![WAITING_STATE; submissions.len()]),
                Column::Text(submissions.iter().map(|new| new.authority.clone()).collect()),
                Column::Int(submissions.iter().map(|new| new.received_at.unix()).collect()),
            ];
            let new = tx.insert(SUBMISSIONS, columns).await?;
            let new = new.iter().map(|id| ReceiptId::from_stored(id)).collect::<Result<Vec<_>, _>>()?;
            let taken = first_of_each(submissions, &new);
            let columns = vec![
                Column::Bytes(taken.iter().map(|new| new.id.bytes()).collect()),
                Column::Text(taken.iter().map(|new| new.authority.clone()).collect()),
                Column::Bytes(taken.iter().map(|new| new.request.clone()).collect()),
            ];
            if !taken.is_empty() {
                tx.insert_all(WAITING, columns).await?;
            }
            tx.commit().await?;
            Ok(new)
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

    /// The oldest submissions waiting for an authority, after `seq`.
    pub async fn waiting(
        &self,
        authority: &str,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Waiting>, StoreError> {
        const SQL: &str = "SELECT seq, id, request FROM waiting WHERE authority = $1 AND seq > $2 ORDER BY seq LIMIT $3";
        let rows: Vec<(i64, Vec<u8>, Vec<u8>)> = on!(&self.read, pool => {
            sqlx::query_as(SQL).bind(authority).bind(after).bind(super::to_i64(limit as u64)).fetch_all(pool).await?
        });
        let waiting = |(seq, id, request): (i64, Vec<u8>, Vec<u8>)| {
            Ok(Waiting {
                seq,
                id: ReceiptId::from_stored(&id)?,
                request,
            })
        };
        rows.into_iter().map(waiting).collect()
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

    /// Who took these claims, for those that are taken.
    pub async fn claimed(
        &self,
        claims: &[Vec<u8>],
    ) -> Result<Vec<(Vec<u8>, ReceiptId)>, StoreError> {
        self.owners(CLAIMS, claims).await
    }

    /// Which submissions these tokens were spent for, for those that are spent.
    pub async fn spent(&self, tokens: &[Vec<u8>]) -> Result<Vec<(Vec<u8>, ReceiptId)>, StoreError> {
        self.owners(SPENT, tokens).await
    }

    async fn owners(
        &self,
        table: Keys,
        keys: &[Vec<u8>],
    ) -> Result<Vec<(Vec<u8>, ReceiptId)>, StoreError> {
        let rows = on!(&self.read, pool => {
            let mut connection = pool.acquire().await?;
            connection.owners(table, keys).await?
        });
        rows.into_iter()
            .map(|(key, id)| Ok((key, ReceiptId::from_stored(&id)?)))
            .collect()
    }

    /// Reserves claims and tokens for submissions an authority vouched for; returns who owns each now.
    ///
    /// If we stop after this, the reserving submissions are still waiting, are asked about again, and find their own names.
    pub async fn reserve(
        &self,
        claims: &[(Vec<u8>, ReceiptId)],
        tokens: &[(Vec<u8>, ReceiptId)],
    ) -> Result<Reserved, StoreError> {
        on!(&self.write, pool => {
            let mut tx = pool.begin().await?;
            let mut owners = Reserved::default();
            for (table, wanted, owned) in [(CLAIMS, claims, &mut owners.claims), (SPENT, tokens, &mut owners.tokens)] {
                if wanted.is_empty() {
                    continue;
                }
                let wanted: Vec<_> = wanted.iter().map(|(key, id)| (key.clone(), id.bytes())).collect();
                tx.take(table, &wanted).await?;
                let keys: Vec<_> = wanted.into_iter().map(|(key, _)| key).collect();
                for (key, id) in tx.owners(table, &keys).await? {
                    owned.insert(key, ReceiptId::from_stored(&id)?);
                }
            }
            tx.commit().await?;
            Ok(owners)
        })
    }

    /// Records what became of submissions, and puts the transaction they stand in into the pool.
    ///
    /// One database transaction: if we stop before its commit they are still waiting; after it they are in the pool or refused.
    pub async fn settle(
        &self,
        decisions: &[Decision],
        queue: &[i64],
        pooled: Option<&Pooled>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        const REJECT: &str =
            "UPDATE submissions SET state = 2, reason = $2, decided_at = $3 WHERE id = $1";
        const SAME: &str = "UPDATE submissions SET state = o.state, tx = o.tx, place = o.place, reason = o.reason, decided_at = $3 \
            FROM (SELECT state, tx, place, reason FROM submissions WHERE id = $2) AS o WHERE submissions.id = $1";
        on!(&self.write, pool => {
            let mut tx = pool.begin().await?;
            if let Some(pooled) = pooled {
                super::pool::insert(&mut *tx, pooled).await?;
                tx.place(pooled.hash.as_bytes(), now.unix(), &places(decisions)).await?;
            }
            for Decision { id, settled } in decisions {
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

    /// Forgets what became of submissions decided before `before`. Their records stay.
    pub async fn forget_decided(&self, before: Timestamp) -> Result<u64, StoreError> {
        const SQL: &str = "DELETE FROM submissions WHERE decided_at IS NOT NULL AND decided_at < $1 \
            AND (tx IS NULL OR tx IN (SELECT hash FROM transactions))";
        let rows = on!(&self.write, pool => sqlx::query(SQL).bind(before.unix()).execute(pool).await?.rows_affected());
        Ok(rows)
    }
}

/// Who owns what was wanted.
#[derive(Debug, Default)]
pub struct Reserved {
    /// By claim.
    pub claims: std::collections::HashMap<Vec<u8>, ReceiptId>,
    /// By token.
    pub tokens: std::collections::HashMap<Vec<u8>, ReceiptId>,
}

fn places(decisions: &[Decision]) -> Vec<(Vec<u8>, i64)> {
    let place = |decision: &Decision| match decision.settled {
        Settled::Placed(place) => Some((decision.id.bytes(), i64::from(place))),
        _ => None,
    };
    decisions.iter().filter_map(place).collect()
}

/// The same submission may stand twice in one batch; it waits once.
fn first_of_each<'a>(
    submissions: &'a [NewSubmission],
    new: &[ReceiptId],
) -> Vec<&'a NewSubmission> {
    let mut new: std::collections::HashSet<_> = new.iter().copied().collect();
    submissions
        .iter()
        .filter(|submission| new.remove(&submission.id))
        .collect()
}
