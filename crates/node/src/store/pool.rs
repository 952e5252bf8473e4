//! The pool: signed transactions that wait for a block, each with the evidence other validators
//! check before they vote.

use birthmark_ledger::{TransactionHash, ValidatorId};
use birthmark_protocol::Timestamp;

use super::bulk::{Bulk, Column, Table};
use super::claims::{CLAIMS, SPENT, keys_of};
use super::receipt_id::ReceiptId;
use super::{Store, StoreError, on};
use crate::row_keys::Sealed;

/// A transaction in the pool.
#[derive(Clone, Debug)]
pub struct Pooled {
    /// Its name.
    pub hash: TransactionHash,
    /// Which validator took it from cameras.
    pub submitter: ValidatorId,
    /// How many records it has.
    pub records: u32,
    /// Since when it waits here, in milliseconds since 1970.
    pub since_ms: i64,
    /// Its canonical bytes.
    pub body: Vec<u8>,
    /// The authority's verdict and the openings. Forgotten once the transaction is in a block.
    pub evidence: Sealed,
}

/// How much waits for a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Waiting {
    /// Records in all transactions together.
    pub records: u64,
    /// When the oldest came, in milliseconds since 1970.
    pub oldest_ms: Option<i64>,
}

const POOL: Table = Table::new(
    "pool",
    &[
        "hash",
        "submitter",
        "records",
        "since_ms",
        "epoch",
        "claims",
        "tokens",
        "body",
        "evidence",
    ],
);

type Row = (i64, Vec<u8>, Vec<u8>, i64, i64, i64, Vec<u8>, Vec<u8>);

/// Puts a transaction into the pool, unless it is there or in a block: two equal statements are
/// one.
pub(super) async fn insert<C: Bulk>(
    connection: &mut C,
    pooled: &Pooled,
    claims: &[(Vec<u8>, ReceiptId)],
    tokens: &[(Vec<u8>, ReceiptId)],
) -> sqlx::Result<()> {
    if connection.is_registered(pooled.hash.as_bytes()).await? {
        return Ok(());
    }
    let columns = vec![
        Column::Bytes(vec![pooled.hash.as_bytes().to_vec()]),
        Column::Bytes(vec![pooled.submitter.as_bytes().to_vec()]),
        Column::Int(vec![i64::from(pooled.records)]),
        Column::Int(vec![pooled.since_ms]),
        Column::Int(vec![pooled.evidence.epoch]),
        Column::Bytes(vec![together(claims)]),
        Column::Bytes(vec![together(tokens)]),
        Column::Bytes(vec![pooled.body.clone()]),
        Column::Bytes(vec![pooled.evidence.bytes.clone()]),
    ];
    connection.insert_all(POOL, columns).await
}

impl Store {
    /// Puts a transaction into the pool, unless it is there.
    ///
    /// If we stop before the commit the sender, who keeps sending until it sees a block, sends it
    /// again.
    pub async fn pool(&self, pooled: &Pooled) -> Result<(), StoreError> {
        on!(&self.write, pool => {
            let mut tx = pool.begin().await?;
            insert(&mut *tx, pooled, &[], &[]).await?;
            tx.commit().await?;
        });
        Ok(())
    }

    /// The oldest transactions of the pool, at most `limit`.
    pub async fn pooled(&self, limit: usize) -> Result<Vec<Pooled>, StoreError> {
        const SQL: &str = "SELECT seq, hash, submitter, records, since_ms, epoch, body, evidence FROM pool \
            ORDER BY seq LIMIT $1";
        let rows: Vec<Row> = on!(&self.read, pool => {
            sqlx::query_as(SQL).bind(super::to_i64(limit as u64)).fetch_all(pool).await?
        });
        rows.into_iter()
            .map(|row| read(row).map(|(_, pooled)| pooled))
            .collect()
    }

    /// The transactions of one validator that came after row `after`, each with its row, oldest
    /// first, at most `limit`.
    pub async fn pooled_of(
        &self,
        submitter: &ValidatorId,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, Pooled)>, StoreError> {
        const SQL: &str = "SELECT seq, hash, submitter, records, since_ms, epoch, body, evidence FROM pool \
            WHERE submitter = $1 AND seq > $2 ORDER BY seq LIMIT $3";
        let rows: Vec<Row> = on!(&self.read, pool => {
            let query = sqlx::query_as(SQL).bind(submitter.as_bytes().to_vec()).bind(after);
            query.bind(super::to_i64(limit as u64)).fetch_all(pool).await?
        });
        rows.into_iter().map(read).collect()
    }

    /// What this validator took from cameras and signed under another key than this, at most
    /// `limit`: what others pushed here took no claims.
    pub async fn pooled_under_other_keys(
        &self,
        own: &ValidatorId,
        limit: usize,
    ) -> Result<Vec<Pooled>, StoreError> {
        const SQL: &str = "SELECT seq, hash, submitter, records, since_ms, epoch, body, evidence FROM pool \
            WHERE submitter <> $1 AND LENGTH(claims) > 0 ORDER BY seq LIMIT $2";
        let rows: Vec<Row> = on!(&self.read, pool => {
            let query = sqlx::query_as(SQL).bind(own.as_bytes().to_vec());
            query.bind(super::to_i64(limit as u64)).fetch_all(pool).await?
        });
        rows.into_iter()
            .map(|row| read(row).map(|(_, pooled)| pooled))
            .collect()
    }

    /// Puts a transaction in the place of one with the same records that can enter no block any
    /// more. It gets a row of its own, so that it is pushed.
    ///
    /// If we stop before the commit, the old one is there and is replaced again.
    pub async fn replace_pooled(
        &self,
        old: &TransactionHash,
        new: &Pooled,
    ) -> Result<(), StoreError> {
        const COPY: &str = "INSERT INTO pool (hash, submitter, records, since_ms, epoch, claims, tokens, body, evidence) \
            SELECT $2, $3, records, since_ms, $4, claims, tokens, $5, $6 FROM pool WHERE hash = $1";
        const POINT: &str = "UPDATE submissions SET tx = $2 WHERE tx = $1";
        on!(&self.write, pool => {
            let mut tx = pool.begin().await?;
            let (old, hash) = (old.as_bytes().to_vec(), new.hash.as_bytes().to_vec());
            let copy = sqlx::query(COPY).bind(old.clone()).bind(hash.clone());
            let copy = copy.bind(new.submitter.as_bytes().to_vec()).bind(new.evidence.epoch);
            copy.bind(new.body.clone()).bind(new.evidence.bytes.clone()).execute(&mut *tx).await?;
            sqlx::query(POINT).bind(old.clone()).bind(hash).execute(&mut *tx).await?;
            sqlx::query("DELETE FROM pool WHERE hash = $1").bind(old).execute(&mut *tx).await?;
            tx.commit().await?;
        });
        Ok(())
    }

    /// How many records of one validator wait.
    pub async fn pool_of(&self, submitter: &ValidatorId) -> Result<u64, StoreError> {
        const SQL: &str =
            "SELECT CAST(COALESCE(SUM(records), 0) AS BIGINT) FROM pool WHERE submitter = $1";
        let records: i64 = on!(&self.read, pool => {
            sqlx::query_scalar(SQL).bind(submitter.as_bytes().to_vec()).fetch_one(pool).await?
        });
        super::to_u64(records, "a count")
    }

    /// One transaction of the pool.
    pub async fn pooled_one(&self, hash: &TransactionHash) -> Result<Option<Pooled>, StoreError> {
        const SQL: &str = "SELECT seq, hash, submitter, records, since_ms, epoch, body, evidence FROM pool \
            WHERE hash = $1";
        let found: Option<Row> = on!(&self.read, pool => {
            sqlx::query_as(SQL).bind(hash.as_bytes().to_vec()).fetch_optional(pool).await?
        });
        found
            .map(|row| read(row).map(|(_, pooled)| pooled))
            .transpose()
    }

    /// How much waits for a block.
    pub async fn pool_waiting(&self) -> Result<Waiting, StoreError> {
        const SQL: &str =
            "SELECT CAST(COALESCE(SUM(records), 0) AS BIGINT), MIN(since_ms) FROM pool";
        let (records, oldest_ms): (i64, Option<i64>) =
            on!(&self.read, pool => sqlx::query_as(SQL).fetch_one(pool).await?);
        Ok(Waiting {
            records: super::to_u64(records, "a count")?,
            oldest_ms,
        })
    }

    /// Takes a transaction out of the pool that can never stand in a block, tells its submissions
    /// why, and gives back what they had taken: the same photo may come again.
    ///
    /// If we stop before the commit it is judged, and discarded, again.
    pub async fn discard(
        &self,
        hash: &TransactionHash,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        const REJECT: &str = "UPDATE submissions SET state = 2, reason = $2, decided_at = $3, tx = NULL, place = NULL \
            WHERE tx = $1 AND NOT EXISTS (SELECT 1 FROM transactions WHERE hash = $1)";
        on!(&self.write, pool => {
            let mut tx = pool.begin().await?;
            let hash = hash.as_bytes().to_vec();
            let taken: Option<(Vec<u8>, Vec<u8>)> = sqlx::query_as("SELECT claims, tokens FROM pool WHERE hash = $1").bind(hash.clone()).fetch_optional(&mut *tx).await?;
            if let Some((claims, tokens)) = taken && !tx.is_registered(&hash).await? {
                tx.free(CLAIMS, &keys_of(&claims)).await?;
                tx.free(SPENT, &keys_of(&tokens)).await?;
            }
            sqlx::query(REJECT).bind(hash.clone()).bind(reason.to_owned()).bind(now.unix()).execute(&mut *tx).await?;
            sqlx::query("DELETE FROM pool WHERE hash = $1").bind(hash).execute(&mut *tx).await?;
            tx.commit().await?;
        });
        Ok(())
    }
}

fn together(keys: &[(Vec<u8>, ReceiptId)]) -> Vec<u8> {
    keys.iter().flat_map(|(key, _)| key).copied().collect()
}

fn read(
    (seq, hash, submitter, records, since_ms, epoch, body, evidence): Row,
) -> Result<(i64, Pooled), StoreError> {
    let corrupt = |what: &str| StoreError::Corrupt(what.into());
    let hash = <[u8; 32]>::try_from(hash).map_err(|_| corrupt("a transaction hash"))?;
    let submitter = <[u8; 32]>::try_from(submitter).map_err(|_| corrupt("a submitter"))?;
    let pooled = Pooled {
        hash: TransactionHash::from_bytes(hash),
        submitter: ValidatorId::from_bytes(submitter),
        records: u32::try_from(records).map_err(|_| corrupt("a number of records"))?,
        since_ms,
        body,
        evidence: Sealed::stored(epoch, evidence),
    };
    Ok((seq, pooled))
}
