//! Revocations as they were pronounced and lifted. None is ever deleted.

use birthmark_http::with_pool;
use birthmark_protocol::Timestamp;
use sqlx::FromRow;

use super::Store;
use crate::keep::rows::{self, Authenticated, Content};
use crate::keep::vault::Vault;

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
    /// Why, for this authority's own people.
    pub reason: String,
    /// Why, for everybody.
    pub public_reason: Option<String>,
    /// When it was pronounced.
    pub created_at: i64,
    /// By whom.
    pub created_by: String,
    /// When it was lifted.
    pub lifted_at: Option<i64>,
    /// By whom.
    pub lifted_by: Option<String>,
    /// Authenticates all of this.
    pub mac: Vec<u8>,
}

impl Authenticated for RevocationRow {
    const TABLE: &'static str = "revocations";

    fn name(&self) -> String {
        format!("revocation {}", self.id)
    }

    fn content(&self) -> Content {
        Content::of(Self::TABLE)
            .number(self.id)
            .bytes(self.scope.as_bytes())
            .number(self.from_time)
            .optional_number(self.until_time)
            .bytes(self.reason.as_bytes())
            .optional_text(self.public_reason.as_deref())
            .number(self.created_at)
            .bytes(self.created_by.as_bytes())
            .optional_number(self.lifted_at)
            .optional_text(self.lifted_by.as_deref())
    }

    fn mac(&self) -> &[u8] {
        &self.mac
    }
}

impl Store {
    /// Stores a revocation under the next number, which it returns.
    pub async fn revoke(&self, vault: &Vault, mut row: RevocationRow) -> Result<i64, sqlx::Error> {
        let _one = self.writing.lock().await;
        with_pool!(&self.database, pool => {
            let mut transaction = pool.begin_with(self.to_write()).await?;
            let last: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(id), 0) FROM revocations").fetch_one(&mut *transaction).await?;
            row.id = last + 1;
            sqlx::query("INSERT INTO revocations (id, scope, from_time, until_time, reason, public_reason, created_at, created_by, mac) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)")
                .bind(row.id).bind(&row.scope).bind(row.from_time).bind(row.until_time).bind(&row.reason).bind(&row.public_reason)
                .bind(row.created_at).bind(&row.created_by).bind(rows::digest(vault, &row))
                .execute(&mut *transaction).await?;
            seal_set!(transaction, vault, "revocations", "SELECT mac FROM revocations ORDER BY id");
            // If we stop here, nothing is revoked, and the operator sees that the command failed.
            transaction.commit().await?;
            Ok(row.id)
        })
    }

    /// Ends a revocation; false if there is none of that number still in force.
    pub async fn lift(
        &self,
        vault: &Vault,
        id: i64,
        by: &str,
        now: Timestamp,
    ) -> Result<bool, sqlx::Error> {
        let _one = self.writing.lock().await;
        with_pool!(&self.database, pool => {
            let mut transaction = pool.begin_with(self.to_write()).await?;
            let found: Option<RevocationRow> = sqlx::query_as("SELECT id, scope, from_time, until_time, reason, public_reason, created_at, created_by, lifted_at, lifted_by, mac FROM revocations WHERE id = $1 AND lifted_at IS NULL")
                .bind(id).fetch_optional(&mut *transaction).await?;
            let Some(mut row) = found else { return Ok(false) };
            (row.lifted_at, row.lifted_by) = (Some(now.unix()), Some(by.to_owned()));
            sqlx::query("UPDATE revocations SET lifted_at = $1, lifted_by = $2, mac = $3 WHERE id = $4")
                .bind(row.lifted_at).bind(&row.lifted_by).bind(rows::digest(vault, &row)).bind(id)
                .execute(&mut *transaction).await?;
            seal_set!(transaction, vault, "revocations", "SELECT mac FROM revocations ORDER BY id");
            // If we stop here, the revocation is still in force.
            transaction.commit().await?;
            Ok(true)
        })
    }

    /// All revocations, oldest first.
    pub async fn revocations(&self) -> Result<Vec<RevocationRow>, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query_as("SELECT id, scope, from_time, until_time, reason, public_reason, created_at, created_by, lifted_at, lifted_by, mac FROM revocations ORDER BY id")
                .fetch_all(pool).await)
    }
}
