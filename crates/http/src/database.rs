//! Opens PostgreSQL or SQLite by URL, each with the options that keep what was promised.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{PgPool, SqlitePool};

/// A pool of connections to one of the two databases.
#[derive(Debug, Clone)]
pub enum Database {
    /// Embedded: a file beside the service.
    Sqlite(SqlitePool),
    /// PostgreSQL.
    Postgres(PgPool),
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Neither of the two.
    #[error("{0:?} is neither a sqlite: nor a postgres: URL")]
    Scheme(String),
    /// The URL is wrong, or nobody answers.
    #[error("cannot open the database: {0}")]
    Database(#[from] sqlx::Error),
}

/// Runs the same expression with the pool of either database: `with_pool!(database, pool => query.execute(pool).await)`.
#[macro_export]
macro_rules! with_pool {
    ($database:expr, $pool:ident => $body:expr) => {
        match $database {
            $crate::Database::Sqlite($pool) => $body,
            $crate::Database::Postgres($pool) => $body,
        }
    };
}

impl Database {
    /// Whether `url` names one of the two databases.
    pub fn knows(url: &str) -> bool {
        ["sqlite:", "postgres:", "postgresql:"]
            .iter()
            .any(|scheme| url.starts_with(scheme))
    }

    /// Opens the database behind `url`, with at most `connections` at once. A missing SQLite file is created.
    pub async fn open(url: &str, connections: u32) -> Result<Self, OpenError> {
        if url.starts_with("sqlite:") {
            let pool = SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(Duration::from_secs(10))
                .test_before_acquire(false)
                .idle_timeout(None)
                .max_lifetime(None)
                .connect_with(sqlite(url)?)
                .await?;
            return Ok(Self::Sqlite(pool));
        }
        if !Self::knows(url) {
            return Err(OpenError::Scheme(
                url.split(':').next().unwrap_or_default().to_owned(),
            ));
        }
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(Duration::from_secs(5))
            // A ping before every statement would double the cost of short ones; a dead connection shows itself.
            .test_before_acquire(false)
            .connect_with(PgConnectOptions::from_str(url)?)
            .await?;
        Ok(Self::Postgres(pool))
    }

    /// Succeeds when the database answers.
    pub async fn ping(&self) -> Result<(), sqlx::Error> {
        with_pool!(self, pool => sqlx::query("SELECT 1").execute(pool).await.map(|_| ()))
    }

    /// Waits until every connection is closed.
    pub async fn close(&self) {
        with_pool!(self, pool => pool.close().await);
    }
}

fn sqlite(url: &str) -> Result<SqliteConnectOptions, sqlx::Error> {
    Ok(SqliteConnectOptions::from_str(url)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // A commit that was reported survives a power cut.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(10)))
}
