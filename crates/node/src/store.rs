//! The store: domain verbs over SQLite or PostgreSQL, chosen by the URL.
//!
//! SQL is written once and runs on both; only many rows at once are said differently (`bulk`).
//! Whoever can write to the database can stop this node or make it lie about what is pending, but
//! cannot forge a block: receipts carry signatures made elsewhere, and `fsck` recomputes everything
//! else from the blocks.

mod bulk;
mod chain;
mod claims;
mod lists;
mod open;
mod pool;
mod queue;
mod receipt_id;
mod state;

pub use chain::{BlockSummary, NewBlock, STORED_LEVEL, StoredBlock};
pub use claims::{Owners, Wanted};
pub use lists::{Believed, KeptList};
pub use open::StoreUrl;
pub use pool::{Pooled, Waiting as PoolWaiting};
pub use queue::{Decision, Kind, NewSubmission, Settled, Settlement, State, Submission, Waiting};
pub use receipt_id::ReceiptId;
pub use state::Sizes;

use birthmark_daemon::Elsewhere;
pub(crate) use birthmark_http::{Database, with_pool as on};
use birthmark_protocol::numbers::at_most;

/// The node's database. SQLite has one writer and many readers; PostgreSQL's pool serves both.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) read: Database,
    pub(crate) write: Database,
}

/// Why the store did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is away, busy or full. Asking again later may help.
    #[error("the database did not answer: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// The database holds something this program never writes.
    #[error("the database holds something unreadable: {0}")]
    Corrupt(String),
    /// The schema could not be brought up to date.
    #[error("cannot prepare the database: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The URL names no database we know.
    #[error("database URL: {0}")]
    Url(String),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                Self::Corrupt(error.to_string())
            }
            error => Self::Unavailable(error),
        }
    }
}

impl Store {
    /// Succeeds when the database answers and can be written to.
    pub async fn ping(&self) -> Result<(), StoreError> {
        on!(&self.write, pool => {
            sqlx::query("SELECT 1").execute(pool).await?;
        });
        Ok(())
    }

    /// Succeeds when a row can be written. It is taken back again, so nothing reaches the disk.
    pub async fn try_write(&self) -> Result<(), StoreError> {
        on!(&self.write, pool => {
            let mut tx = pool.begin().await?;
            sqlx::query("INSERT INTO node_state (name, value) VALUES ('a look', $1)")
                .bind(Vec::<u8>::new())
                .execute(&mut *tx)
                .await?;
            tx.rollback().await?;
        });
        Ok(())
    }

    /// The store's part of a self-check. A server that is away is nothing that a restart of ours
    /// would mend, and photos are looked up in memory meanwhile; a file of ours is.
    pub async fn check(&self) -> anyhow::Result<()> {
        match (self.ping().await, &self.write) {
            (Err(error), Database::Postgres(_)) => Err(Elsewhere::new(error).into()),
            (answered, _) => Ok(answered?),
        }
    }

    /// Copies the whole database into a file, consistently, while others write. SQLite only.
    pub async fn copy_into(&self, file: &std::path::Path) -> Result<(), StoreError> {
        let Database::Sqlite(pool) = &self.write else {
            return Err(StoreError::Url("not an SQLite database".into()));
        };
        let file = file
            .to_str()
            .ok_or_else(|| StoreError::Url("the file's name is not UTF-8".into()))?;
        sqlx::query("VACUUM INTO $1")
            .bind(file)
            .execute(pool)
            .await?;
        Ok(())
    }

    /// Which kind of database this is, for people.
    pub const fn kind(&self) -> &'static str {
        match self.write {
            Database::Sqlite(_) => "SQLite",
            Database::Postgres(_) => "PostgreSQL",
        }
    }

    /// Waits for running statements and closes every connection.
    pub async fn close(&self) {
        on!(&self.read, pool => pool.close().await);
        on!(&self.write, pool => pool.close().await);
    }
}

/// Stored integers are signed; ours never are.
pub(crate) fn to_i64(number: u64) -> i64 {
    at_most(number)
}

pub(crate) fn to_u64(number: i64, what: &str) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Corrupt(format!("{what} is negative")))
}

/// The first eight bytes of a digest, as the index holds them.
pub(crate) fn prefix_of(digest: &birthmark_protocol::Digest) -> i64 {
    let (prefix, _) = digest
        .as_bytes()
        .split_first_chunk::<8>()
        .unwrap_or((&[0; 8], &[]));
    i64::from_be_bytes(*prefix)
}
