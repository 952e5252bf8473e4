//! Small things the node remembers, and how large the rest has become.

use super::{Store, StoreError, on, to_u64};

/// How many rows and bytes the store has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Sizes {
    /// Blocks.
    pub blocks: u64,
    /// Records in them.
    pub records: u64,
    /// Digests in the index.
    pub digests: u64,
    /// Canonical bytes of all blocks.
    pub block_bytes: u64,
    /// Bytes of all certificates.
    pub certificate_bytes: u64,
    /// Submissions that are remembered.
    pub submissions: u64,
    /// Bytes on disk with every index.
    pub disk_bytes: u64,
}

/// Under names that begin so, what witnesses cosigned last is kept.
const COSIGNED: &str = "cosigned/";
/// Under names that begin so, proofs of members' misbehaviour are kept.
const MISBEHAVIOUR: &str = "misbehaviour/";

pub(super) const PUT: &str = "INSERT INTO node_state (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";

impl Store {
    /// A remembered value.
    pub async fn state(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        const SQL: &str = "SELECT value FROM node_state WHERE name = $1";
        Ok(on!(&self.read, pool => sqlx::query_scalar(SQL).bind(name).fetch_optional(pool).await?))
    }

    /// Remembers a value.
    pub async fn put_state(&self, name: &'static str, value: &[u8]) -> Result<(), StoreError> {
        on!(&self.write, pool => {
            sqlx::query(PUT).bind(name).bind(value.to_vec()).execute(pool).await?;
        });
        Ok(())
    }

    /// Keeps what proves a member's misbehaviour, once.
    pub async fn put_misbehaviour(&self, name: &str, proof: &[u8]) -> Result<(), StoreError> {
        let name = format!("{MISBEHAVIOUR}{name}");
        on!(&self.write, pool => {
            sqlx::query(PUT).bind(name).bind(proof.to_vec()).execute(pool).await?;
        });
        Ok(())
    }

    /// Keeps the checkpoint that a witness cosigned last.
    pub async fn put_cosigned(&self, witness: &str, checkpoint: &[u8]) -> Result<(), StoreError> {
        let name = format!("{COSIGNED}{witness}");
        on!(&self.write, pool => {
            sqlx::query(PUT).bind(name).bind(checkpoint.to_vec()).execute(pool).await?;
        });
        Ok(())
    }

    /// The checkpoint that a witness cosigned last.
    pub async fn cosigned(&self, witness: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.state(&format!("{COSIGNED}{witness}")).await
    }

    /// Every proof of a member's misbehaviour.
    pub async fn misbehaviours(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        const SQL: &str = "SELECT value FROM node_state WHERE name LIKE 'misbehaviour/%' ORDER BY name LIMIT 1000";
        Ok(on!(&self.read, pool => sqlx::query_scalar(SQL).fetch_all(pool).await?))
    }

    /// How large everything is. Reads whole tables: for operators, not for requests.
    pub async fn sizes(&self) -> Result<Sizes, StoreError> {
        const BLOCKS: &str = "SELECT COUNT(*), CAST(COALESCE(SUM(leaves), 0) AS BIGINT), \
            CAST(COALESCE(SUM(LENGTH(body)), 0) AS BIGINT), CAST(COALESCE(SUM(LENGTH(certificate)), 0) AS BIGINT) FROM blocks";
        const OTHERS: &str =
            "SELECT (SELECT COUNT(*) FROM images), (SELECT COUNT(*) FROM submissions)";
        let blocks: (i64, i64, i64, i64) =
            on!(&self.read, pool => sqlx::query_as(BLOCKS).fetch_one(pool).await?);
        let (digests, submissions): (i64, i64) =
            on!(&self.read, pool => sqlx::query_as(OTHERS).fetch_one(pool).await?);
        Ok(Sizes {
            blocks: to_u64(blocks.0, "a count")?,
            records: to_u64(blocks.1, "a count")?,
            block_bytes: to_u64(blocks.2, "a size")?,
            certificate_bytes: to_u64(blocks.3, "a size")?,
            digests: to_u64(digests, "a count")?,
            submissions: to_u64(submissions, "a count")?,
            disk_bytes: self.disk_bytes().await?,
        })
    }

    /// How many rows one of the tables has.
    pub async fn rows(&self, table: &str) -> Result<u64, StoreError> {
        let sql = match table {
            "images" => "SELECT COUNT(*) FROM images",
            "edits" => "SELECT COUNT(*) FROM edits",
            "nodes" => "SELECT COUNT(*) FROM nodes",
            "claims" => "SELECT COUNT(*) FROM claims",
            "transactions" => "SELECT COUNT(*) FROM transactions",
            "one_time_keys" => "SELECT COUNT(*) FROM one_time_keys",
            "statements" => "SELECT COUNT(*) FROM statements",
            other => {
                return Err(StoreError::Corrupt(format!(
                    "there is no table {other} to count"
                )));
            }
        };
        let rows: i64 = on!(&self.read, pool => sqlx::query_scalar(sql).fetch_one(pool).await?);
        to_u64(rows, "a count")
    }

    /// Bytes on disk of some tables with their indexes.
    pub async fn part_bytes(&self, tables: &[&str]) -> Result<u64, StoreError> {
        const SQLITE: &str = "SELECT CAST(COALESCE(SUM(pgsize), 0) AS BIGINT) FROM dbstat \
            WHERE aggregate = TRUE AND name IN (SELECT name FROM sqlite_master WHERE tbl_name = $1)";
        const POSTGRES: &str = "SELECT pg_total_relation_size(CAST(CAST($1 AS TEXT) AS regclass))";
        let mut bytes = 0;
        for table in tables {
            let sql = if self.kind() == "SQLite" {
                SQLITE
            } else {
                POSTGRES
            };
            let part: i64 = on!(&self.read, pool => sqlx::query_scalar(sql).bind((*table).to_owned()).fetch_one(pool).await?);
            bytes += to_u64(part, "a size")?;
        }
        Ok(bytes)
    }

    /// Bytes of the whole database on disk.
    pub async fn disk_bytes(&self) -> Result<u64, StoreError> {
        const SQLITE: &str =
            "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()";
        const POSTGRES: &str = "SELECT CAST(SUM(pg_total_relation_size(c.oid)) AS BIGINT) FROM pg_class c \
            WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace";
        let sql = if self.kind() == "SQLite" {
            SQLITE
        } else {
            POSTGRES
        };
        let bytes: Option<i64> =
            on!(&self.read, pool => sqlx::query_scalar(sql).fetch_one(pool).await?);
        to_u64(bytes.unwrap_or(0), "a size")
    }
}
