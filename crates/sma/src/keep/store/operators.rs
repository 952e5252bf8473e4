//! Operators' tokens, stored hashed.

use birthmark_http::with_pool;
use birthmark_protocol::Timestamp;
use sqlx::FromRow;

use super::Store;
use crate::keep::rows::{self, Authenticated, Content};
use crate::keep::vault::Vault;

/// An operator's token.
#[derive(Debug, Clone, FromRow)]
pub struct OperatorRow {
    /// Whose it is.
    pub name: String,
    /// SHA-256 of the token.
    pub token_hash: Vec<u8>,
    /// What it allows, separated by commas.
    pub roles: String,
    /// The cameras it may enrol, as a JSON list of serials; null where `cameras` says how many.
    pub serials: Option<String>,
    /// How many cameras it may enrol.
    pub cameras: Option<i64>,
    /// How many it has enrolled.
    pub used: i64,
    /// When it was made.
    pub created_at: i64,
    /// Until when it is good.
    pub expires_at: Option<i64>,
    /// When it was withdrawn.
    pub revoked_at: Option<i64>,
    /// Authenticates all of this.
    pub mac: Vec<u8>,
}

impl Authenticated for OperatorRow {
    const TABLE: &'static str = "operators";

    fn name(&self) -> String {
        format!("operator {}", self.name)
    }

    fn content(&self) -> Content {
        Content::of(Self::TABLE)
            .bytes(self.name.as_bytes())
            .bytes(&self.token_hash)
            .bytes(self.roles.as_bytes())
            .optional_text(self.serials.as_deref())
            .optional_number(self.cameras)
            .number(self.used)
            .number(self.created_at)
            .optional_number(self.expires_at)
            .optional_number(self.revoked_at)
    }

    fn mac(&self) -> &[u8] {
        &self.mac
    }
}

impl Store {
    /// Stores a token. Fails if the name is taken.
    pub async fn add_operator(&self, vault: &Vault, row: &OperatorRow) -> Result<(), sqlx::Error> {
        let mac = rows::digest(vault, row);
        let _one = self.writing.lock().await;
        with_pool!(&self.database, pool => {
            let mut transaction = pool.begin_with(self.to_write()).await?;
            sqlx::query("INSERT INTO operators (name, token_hash, roles, serials, cameras, used, created_at, expires_at, mac) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)")
                .bind(&row.name).bind(&row.token_hash).bind(&row.roles).bind(&row.serials).bind(row.cameras).bind(row.used)
                .bind(row.created_at).bind(row.expires_at).bind(mac)
                .execute(&mut *transaction).await?;
            seal_set!(transaction, vault, "operators", "SELECT mac FROM operators ORDER BY id");
            // If we stop here, there is no token, and nobody was told one.
            transaction.commit().await
        })
    }

    /// Withdraws a token that is in force.
    pub async fn revoke_operator(
        &self,
        vault: &Vault,
        row: &OperatorRow,
        now: Timestamp,
    ) -> Result<(), sqlx::Error> {
        let mut row = row.clone();
        row.revoked_at = Some(now.unix());
        let mac = rows::digest(vault, &row);
        let _one = self.writing.lock().await;
        with_pool!(&self.database, pool => {
            let mut transaction = pool.begin_with(self.to_write()).await?;
            sqlx::query("UPDATE operators SET revoked_at = $1, mac = $2 WHERE name = $3")
                .bind(row.revoked_at).bind(mac).bind(&row.name).execute(&mut *transaction).await?;
            seal_set!(transaction, vault, "operators", "SELECT mac FROM operators ORDER BY id");
            // If we stop here, the token is still in force, and the operator sees that the command
            // failed.
            transaction.commit().await
        })
    }

    /// All tokens, also withdrawn ones, oldest first.
    pub async fn operators(&self) -> Result<Vec<OperatorRow>, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query_as("SELECT name, token_hash, roles, serials, cameras, used, created_at, expires_at, revoked_at, mac FROM operators ORDER BY id")
                .fetch_all(pool).await)
    }
}
