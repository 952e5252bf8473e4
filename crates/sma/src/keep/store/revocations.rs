//! Revocations as they were pronounced and lifted. None is ever deleted.

use birthmark_http::with_pool;
use birthmark_protocol::Timestamp;
use sqlx::FromRow;

use super::Store;

/// A revocation.
#[derive(Debug, Clone, FromRow)]
pub struct RevocationRow {
    /// Its number.
    pub id: i64,
    /// What it covers, as JSON.
    pub scope: String,
    /// From when.
    pub from_time: i64,
    /// Until when; for good if not set.
    pub until_time: Option<i64>,
    /// Why.
    pub reason: String,
    /// When it was pronounced.
    pub created_at: i64,
    /// By whom.
    pub created_by: String,
    /// When it was lifted.
    pub lifted_at: Option<i64>,
    /// By whom.
    pub lifted_by: Option<String>,
}

impl Store {
    /// Stores a revocation; its number.
    pub async fn revoke(&self, row: &RevocationRow) -> Result<i64, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query_scalar("INSERT INTO revocations (scope, from_time, until_time, reason, created_at, created_by) VALUES ($1, $2, $3, $4, $5, $6) RETURNING id")
                .bind(&row.scope).bind(row.from_time).bind(row.until_time).bind(&row.reason).bind(row.created_at).bind(&row.created_by)
                .fetch_one(pool).await)
    }

    /// Ends a revocation; false if there is none of that number still in force.
    pub async fn lift(&self, id: i64, by: &str, now: Timestamp) -> Result<bool, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query("UPDATE revocations SET lifted_at = $1, lifted_by = $2 WHERE id = $3 AND lifted_at IS NULL")
                .bind(now.unix()).bind(by).bind(id).execute(pool).await.map(|done| done.rows_affected() > 0))
    }

    /// All revocations, oldest first.
    pub async fn revocations(&self) -> Result<Vec<RevocationRow>, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query_as("SELECT id, scope, from_time, until_time, reason, created_at, created_by, lifted_at, lifted_by FROM revocations ORDER BY id")
                .fetch_all(pool).await)
    }
}
