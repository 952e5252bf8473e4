//! Key tables, signing keys and the vault's proof.

use birthmark_http::with_pool;
use birthmark_protocol::{TableId, Timestamp};
use sqlx::FromRow;

use super::Store;
use crate::keep::rows::{self, Authenticated, Content};
use crate::keep::vault::{Vault, VaultProof};

/// What a signing key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPurpose {
    /// The root: its private key is not here.
    Root,
    /// Signs certificates of cameras.
    Intermediate,
    /// Signs verdicts.
    Verdict,
}

impl KeyPurpose {
    /// The word in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Intermediate => "intermediate",
            Self::Verdict => "verdict",
        }
    }
}

/// A key that signs or signed.
#[derive(Debug, Clone, FromRow)]
pub struct SigningKeyRow {
    /// The short name of the key.
    pub key_id: Vec<u8>,
    /// What it is for.
    pub purpose: String,
    /// Its certificate in DER.
    pub certificate: Vec<u8>,
    /// The private key, sealed; none for the root.
    pub sealed: Option<Vec<u8>>,
    /// From when it may sign.
    pub not_before: i64,
    /// Until when what it signed holds.
    pub not_after: i64,
    /// Since when it signs nothing new.
    pub retired_at: Option<i64>,
    /// Since when it may have been in other hands: nothing it signed is believed any more.
    pub distrusted_from: Option<i64>,
    /// Authenticates all of this.
    pub mac: Vec<u8>,
}

impl Authenticated for SigningKeyRow {
    const TABLE: &'static str = "signing_keys";

    fn name(&self) -> String {
        format!("{} key {}", self.purpose, hex::encode(&self.key_id))
    }

    fn content(&self) -> Content {
        Content::of(Self::TABLE)
            .bytes(&self.key_id)
            .bytes(self.purpose.as_bytes())
            .bytes(&self.certificate)
            .optional(self.sealed.as_deref())
            .number(self.not_before)
            .number(self.not_after)
            .optional_number(self.retired_at)
            .optional_number(self.distrusted_from)
    }

    fn mac(&self) -> &[u8] {
        &self.mac
    }
}

macro_rules! insert_key {
    ($transaction:ident, $vault:expr, $key:expr) => {
        sqlx::query("INSERT INTO signing_keys (key_id, purpose, certificate, sealed, not_before, not_after, mac) VALUES ($1, $2, $3, $4, $5, $6, $7)")
            .bind(&$key.key_id).bind(&$key.purpose).bind(&$key.certificate).bind(&$key.sealed)
            .bind($key.not_before).bind($key.not_after).bind(rows::digest($vault, $key))
            .execute(&mut *$transaction).await?
    };
}

macro_rules! update_key {
    ($transaction:ident, $vault:expr, $row:ident) => {
        sqlx::query("UPDATE signing_keys SET retired_at = $1, distrusted_from = $2, mac = $3 WHERE key_id = $4")
            .bind($row.retired_at).bind($row.distrusted_from).bind(rows::digest($vault, &$row)).bind(&$row.key_id)
            .execute(&mut *$transaction).await?
    };
}

impl Store {
    /// What is known about the vault; none before the authority was set up.
    pub async fn vault_proof(&self) -> Result<Option<VaultProof>, sqlx::Error> {
        let row: Option<(Vec<u8>, Vec<u8>)> = with_pool!(&self.database, pool =>
            sqlx::query_as("SELECT salt, proof FROM vault").fetch_optional(pool).await)?;
        let Some((salt, proof)) = row else {
            return Ok(None);
        };
        let salt = salt
            .try_into()
            .map_err(|_| sqlx::Error::Decode("the vault's salt has another length".into()))?;
        Ok(Some(VaultProof { salt, proof }))
    }

    /// Stores everything a new authority begins with, or nothing.
    pub async fn begin(
        &self,
        vault: &Vault,
        proof: &VaultProof,
        tables: &[(TableId, Vec<u8>)],
        keys: &[SigningKeyRow],
        now: Timestamp,
    ) -> Result<(), sqlx::Error> {
        let _one = self.writing.lock().await;
        with_pool!(&self.database, pool => {
            let mut transaction = pool.begin_with(self.to_write()).await?;
            sqlx::query("INSERT INTO vault (id, salt, proof, created_at) VALUES (1, $1, $2, $3)")
                .bind(proof.salt.to_vec()).bind(&proof.proof).bind(now.unix()).execute(&mut *transaction).await?;
            for (table, sealed) in tables {
                sqlx::query("INSERT INTO key_tables (table_id, sealed) VALUES ($1, $2)")
                    .bind(i64::from(*table)).bind(sealed).execute(&mut *transaction).await?;
            }
            for key in keys {
                insert_key!(transaction, vault, key);
            }
            seal_set!(transaction, vault, "signing_keys", "SELECT mac FROM signing_keys ORDER BY key_id");
            // If we stop here, nothing was begun, and the next attempt finds an empty database.
            transaction.commit().await
        })
    }

    /// Puts a new key in the place of all earlier ones of its purpose, which sign nothing from now
    /// on.
    pub async fn replace_key(
        &self,
        vault: &Vault,
        key: &SigningKeyRow,
        now: Timestamp,
    ) -> Result<(), sqlx::Error> {
        let _one = self.writing.lock().await;
        with_pool!(&self.database, pool => {
            let mut transaction = pool.begin_with(self.to_write()).await?;
            let in_use: Vec<SigningKeyRow> = sqlx::query_as("SELECT key_id, purpose, certificate, sealed, not_before, not_after, retired_at, distrusted_from, mac FROM signing_keys WHERE purpose = $1 AND retired_at IS NULL")
                .bind(&key.purpose).fetch_all(&mut *transaction).await?;
            for mut row in in_use {
                row.retired_at = Some(now.unix());
                update_key!(transaction, vault, row);
            }
            insert_key!(transaction, vault, key);
            seal_set!(transaction, vault, "signing_keys", "SELECT mac FROM signing_keys ORDER BY key_id");
            // If we stop here, the old key stays in use.
            transaction.commit().await
        })
    }

    /// Notes since when a key may have been in other hands; false if there is no such key.
    pub async fn distrust_key(
        &self,
        vault: &Vault,
        key_id: &[u8],
        from: Timestamp,
    ) -> Result<bool, sqlx::Error> {
        let _one = self.writing.lock().await;
        with_pool!(&self.database, pool => {
            let mut transaction = pool.begin_with(self.to_write()).await?;
            let found: Option<SigningKeyRow> = sqlx::query_as("SELECT key_id, purpose, certificate, sealed, not_before, not_after, retired_at, distrusted_from, mac FROM signing_keys WHERE key_id = $1")
                .bind(key_id.to_vec()).fetch_optional(&mut *transaction).await?;
            let Some(mut row) = found else { return Ok(false) };
            row.distrusted_from = Some(from.unix());
            update_key!(transaction, vault, row);
            seal_set!(transaction, vault, "signing_keys", "SELECT mac FROM signing_keys ORDER BY key_id");
            // If we stop here, the key is still believed, and the operator sees that the command
            // failed.
            transaction.commit().await?;
            Ok(true)
        })
    }

    /// All sealed master keys.
    pub async fn key_tables(&self) -> Result<Vec<(i64, Vec<u8>)>, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query_as("SELECT table_id, sealed FROM key_tables ORDER BY table_id").fetch_all(pool).await)
    }

    /// All keys that sign or signed.
    pub async fn signing_keys(&self) -> Result<Vec<SigningKeyRow>, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query_as("SELECT key_id, purpose, certificate, sealed, not_before, not_after, retired_at, distrusted_from, mac FROM signing_keys ORDER BY key_id")
                .fetch_all(pool).await)
    }
}
