//! Operators' tokens, stored hashed.

use birthmark_http::with_pool;
use birthmark_protocol::Timestamp;
use sqlx::FromRow;

use super::Store;

/// An operator's token.
#[derive(Debug, Clone, FromRow)]
pub struct OperatorRow {
    /// Whose it is.
    pub name: String,
    /// SHA-256 of the token.
    pub token_hash: Vec<u8>,
    /// What it allows, separated by commas.
    pub roles: String,
    /// When it was made.
    pub created_at: i64,
    /// Until when it is good.
    pub expires_at: Option<i64>,
    /// When it was withdrawn.
    pub revoked_at: Option<i64>,
}

impl Store {
    /// Stores a token. Fails if the name is taken.
    pub async fn add_operator(&self, row: &OperatorRow) -> Result<(), sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query("INSERT INTO operators (name, token_hash, roles, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)")
                .bind(&row.name).bind(&row.token_hash).bind(&row.roles).bind(row.created_at).bind(row.expires_at)
                .execute(pool).await.map(|_| ()))
    }

    /// Withdraws a token; false if there is none of that name in force.
    pub async fn revoke_operator(&self, name: &str, now: Timestamp) -> Result<bool, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query("UPDATE operators SET revoked_at = $1 WHERE name = $2 AND revoked_at IS NULL")
                .bind(now.unix()).bind(name).execute(pool).await.map(|done| done.rows_affected() > 0))
    }

    /// All tokens, also withdrawn ones.
    pub async fn operators(&self) -> Result<Vec<OperatorRow>, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query_as("SELECT name, token_hash, roles, created_at, expires_at, revoked_at FROM operators ORDER BY name")
                .fetch_all(pool).await)
    }
}
