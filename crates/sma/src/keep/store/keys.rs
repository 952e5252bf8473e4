//! Key tables, signing keys and the vault's proof.

use birthmark_http::with_pool;
use birthmark_protocol::{TableId, Timestamp};
use sqlx::FromRow;

use super::Store;
use crate::keep::vault::VaultProof;

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
        proof: &VaultProof,
        tables: &[(TableId, Vec<u8>)],
        keys: &[SigningKeyRow],
        now: Timestamp,
    ) -> Result<(), sqlx::Error> {
        with_pool!(&self.database, pool => {
            let mut transaction = pool.begin().await?;
            sqlx::query("INSERT INTO vault (id, salt, proof, created_at) VALUES (1, $1, $2, $3)")
                .bind(proof.salt.to_vec()).bind(&proof.proof).bind(now.unix()).execute(&mut *transaction).await?;
            for (table, sealed) in tables {
                sqlx::query("INSERT INTO key_tables (table_id, sealed) VALUES ($1, $2)")
                    .bind(i64::from(*table)).bind(sealed).execute(&mut *transaction).await?;
            }
            for key in keys {
                sqlx::query("INSERT INTO signing_keys (key_id, purpose, certificate, sealed, not_before, not_after, retired_at) VALUES ($1, $2, $3, $4, $5, $6, $7)")
                    .bind(&key.key_id).bind(&key.purpose).bind(&key.certificate).bind(&key.sealed)
                    .bind(key.not_before).bind(key.not_after).bind(key.retired_at).execute(&mut *transaction).await?;
            }
            // If we stop here, nothing was begun, and the next attempt finds an empty database.
            transaction.commit().await
        })
    }

    /// Puts a new key in the place of all earlier ones of its purpose, which sign nothing from now on.
    pub async fn replace_key(
        &self,
        key: &SigningKeyRow,
        now: Timestamp,
    ) -> Result<(), sqlx::Error> {
        with_pool!(&self.database, pool => {
            let mut transaction = pool.begin().await?;
            sqlx::query("UPDATE signing_keys SET retired_at = $1 WHERE purpose = $2 AND retired_at IS NULL")
                .bind(now.unix()).bind(&key.purpose).execute(&mut *transaction).await?;
            sqlx::query("INSERT INTO signing_keys (key_id, purpose, certificate, sealed, not_before, not_after) VALUES ($1, $2, $3, $4, $5, $6)")
                .bind(&key.key_id).bind(&key.purpose).bind(&key.certificate).bind(&key.sealed)
                .bind(key.not_before).bind(key.not_after).execute(&mut *transaction).await?;
            // If we stop here, the old key stays in use.
            transaction.commit().await
        })
    }

    /// All sealed master keys.
    pub async fn key_tables(&self) -> Result<Vec<(i64, Vec<u8>)>, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query_as("SELECT table_id, sealed FROM key_tables ORDER BY table_id").fetch_all(pool).await)
    }

    /// All keys that sign or signed, oldest first. Of two keys of one second, the one still in use comes last.
    pub async fn signing_keys(&self) -> Result<Vec<SigningKeyRow>, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query_as("SELECT key_id, purpose, certificate, sealed, not_before, not_after, retired_at FROM signing_keys ORDER BY not_before, retired_at IS NULL, retired_at, key_id")
                .fetch_all(pool).await)
    }
}
