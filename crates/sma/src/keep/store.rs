//! The database: the truth about keys, cameras, revocations, operators and what was done.
//!
//! One serving process per database: what it keeps in memory would otherwise miss what another one
//! changes. The lease below makes a second one refuse to start. Whoever can write to the database
//! can at most make cameras be refused or forgotten: what is secret is sealed, rows that say who is
//! believed carry a keyed digest, and audit rows are chained under a key that does not stand here.

/// Writes the digest over all rows of a table whose rows are few, in the transaction that changed
/// one.
macro_rules! seal_set {
    ($transaction:ident, $vault:expr, $table:literal, $macs:literal) => {
        let macs: Vec<Vec<u8>> = sqlx::query_scalar($macs)
            .fetch_all(&mut *$transaction)
            .await?;
        sqlx::query("INSERT INTO row_sets (name, mac) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET mac = excluded.mac")
            .bind($table)
            .bind(crate::keep::rows::set_digest($vault, $table, &macs))
            .execute(&mut *$transaction)
            .await?;
    };
}

mod audit;
mod devices;
mod keys;
mod lease;
mod one_time;
mod operators;
mod revocations;

use std::sync::Arc;

use birthmark_http::{Database, with_pool};
use tokio::sync::Mutex;

pub use audit::{AuditRow, HourlyCount};
pub use devices::{CertificateRow, DeviceQuery, DeviceRow, Flag, NewDevice};
pub use keys::{KeyPurpose, SigningKeyRow};
pub use lease::{Lease, LeaseError};
pub use one_time::{ALL_EPOCHS, BatchRow, Begun, EnrolmentRow, EpochRow};
pub use operators::OperatorRow;
pub use revocations::RevocationRow;

/// The authority's database.
#[derive(Debug, Clone)]
pub struct Store {
    database: Database,
    /// Held by whoever changes rows that one digest covers together.
    writing: Arc<Mutex<()>>,
}

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It does not answer, or the URL is wrong.
    #[error(transparent)]
    Open(#[from] birthmark_http::database::OpenError),
    /// Its tables could not be brought up to date.
    #[error("the database's tables could not be brought up to date: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

impl Store {
    /// Opens the database and brings its tables up to date.
    pub async fn open(url: &str, connections: u32) -> Result<Self, StoreError> {
        let database = Database::open(url, connections).await?;
        match &database {
            Database::Sqlite(pool) => sqlx::migrate!("./migrations/sqlite").run(pool).await?,
            Database::Postgres(pool) => sqlx::migrate!("./migrations/postgres").run(pool).await?,
        }
        Ok(Self {
            database,
            writing: Arc::default(),
        })
    }

    /// The same, with an error for the operator: which database it is, and what to do.
    pub async fn open_or_explain(url: &str, connections: u32) -> anyhow::Result<Self> {
        Self::open(url, connections).await.map_err(|error| {
            let explained = birthmark_http::database::cannot_open(url, &error);
            anyhow::Error::new(error).context(explained)
        })
    }

    /// Succeeds when the database answers.
    pub async fn ping(&self) -> Result<(), sqlx::Error> {
        self.database.ping().await
    }

    /// Waits until every connection is closed.
    pub async fn close(&self) {
        self.database.close().await;
    }

    /// The pool itself, for whole-database work such as backups.
    pub const fn database(&self) -> &Database {
        &self.database
    }

    /// How a transaction begins that reads before it writes. One of SQLite's that only read so far
    /// is refused when somebody else has written meanwhile, so it says at once that it will write.
    const fn to_write(&self) -> &'static str {
        match self.database {
            Database::Sqlite(_) => "BEGIN IMMEDIATE",
            Database::Postgres(_) => "BEGIN",
        }
    }

    /// The digest over all rows of a table, if one was ever written.
    pub async fn row_set(&self, table: &str) -> Result<Option<Vec<u8>>, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query_scalar("SELECT mac FROM row_sets WHERE name = $1").bind(table).fetch_optional(pool).await)
    }

    async fn count(&self, query: &'static str) -> Result<i64, sqlx::Error> {
        with_pool!(&self.database, pool => sqlx::query_scalar(query).fetch_one(pool).await)
    }
}

/// Whether an insert was refused because the value is there already; the name of the column if the
/// database tells.
pub fn is_duplicate(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.is_unique_violation())
}
