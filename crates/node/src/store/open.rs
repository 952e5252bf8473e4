//! Opening the database a URL names.

use std::str::FromStr;
use std::time::Duration;

use birthmark_http::Database;
use birthmark_http::database::without_left_overs;
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::{Store, StoreError};

/// `sqlite:///var/lib/birthmark-node/node.db` or `postgres:///birthmark?host=/run/postgresql`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoreUrl(String);

static SQLITE_MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES_MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/postgres");

const READERS: u32 = 8;
const POSTGRES_CONNECTIONS: u32 = 16;
/// Megabytes of SQLite's cache where nobody says how many.
const CACHE_MB: usize = 64;
/// How many pages of 4 KiB are written beside the file before they are moved into it. A page that
/// is written again meanwhile is moved once; if we stop, the next start reads that much.
const CHECKPOINT_PAGES: &str = "16384";
/// What the file beside it keeps of its size once its pages were moved.
const JOURNAL_BYTES: &str = "134217728";
/// A caller who waits longer than this is better told that we are overloaded.
const PATIENCE: Duration = Duration::from_secs(5);

impl StoreUrl {
    /// Takes a URL as it stands in the configuration.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// Checks that the URL names a database we know.
    pub fn check(&self) -> Result<(), StoreError> {
        match self.is_postgres() {
            true => PgConnectOptions::from_str(&self.0).map(drop),
            false if self.0.starts_with("sqlite:") => {
                SqliteConnectOptions::from_str(&self.0).map(drop)
            }
            false => {
                return Err(StoreError::Url(
                    "must begin with sqlite: or postgres:".into(),
                ));
            }
        }
        .map_err(|error| StoreError::Url(error.to_string()))
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this names a PostgreSQL server.
    pub fn is_postgres(&self) -> bool {
        self.0.starts_with("postgres:") || self.0.starts_with("postgresql:")
    }

    /// The database file, for SQLite.
    pub fn file(&self) -> Option<std::path::PathBuf> {
        if self.is_postgres() {
            return None;
        }
        let options = SqliteConnectOptions::from_str(&self.0).ok()?;
        Some(options.get_filename().to_path_buf())
    }
}

/// The log that SQLite keeps beside a file while it is written.
fn wal_of(file: &std::path::Path) -> std::path::PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

impl Store {
    /// Opens the database and brings its schema up to date.
    pub async fn open(url: &StoreUrl) -> Result<Self, StoreError> {
        Self::with_cache(url, CACHE_MB).await
    }

    /// The same with so many megabytes of SQLite's cache for who writes, and a sixteenth of it for
    /// each who reads. PostgreSQL has its own configuration.
    pub async fn with_cache(url: &StoreUrl, megabytes: usize) -> Result<Self, StoreError> {
        url.check()?;
        if url.is_postgres() {
            Self::open_postgres(&url.0).await
        } else {
            Self::open_sqlite(&url.0, megabytes).await
        }
    }

    /// Opens a database that exists, to look at it and nothing else: no file is made, no row is
    /// written, the schema stays as it is. `None` if there is none yet.
    pub async fn look(url: &StoreUrl) -> Result<Option<Self>, StoreError> {
        url.check()?;
        let database = if url.is_postgres() {
            let options = birthmark_http::database::postgres(&url.0)?;
            // The server drops what takes longer than whoever looks is willing to wait.
            let options = options.options([
                ("default_transaction_read_only", "on"),
                ("statement_timeout", "30s"),
            ]);
            let pool = PgPoolOptions::new()
                .max_connections(2)
                .acquire_timeout(PATIENCE);
            let pool = pool.connect_with(options).await?;
            let begun = sqlx::query("SELECT 1 FROM pg_tables WHERE tablename = 'blocks'");
            if begun.fetch_optional(&pool).await?.is_none() {
                return Ok(None);
            }
            Database::Postgres(pool)
        } else {
            let options = SqliteConnectOptions::from_str(&url.0)?;
            let file = options.get_filename().to_path_buf();
            if !file.exists() {
                return Ok(None);
            }
            // Beside a file that nobody writes, opening it the usual way would leave files of
            // whoever looks.
            let is_in_use = wal_of(&file).exists();
            let options = options
                .create_if_missing(false)
                .read_only(true)
                .immutable(!is_in_use);
            let pool = SqlitePoolOptions::new()
                .max_connections(1)
                .acquire_timeout(PATIENCE);
            Database::Sqlite(pool.connect_with(options).await?)
        };
        Ok(Some(Self {
            read: database.clone(),
            write: database,
        }))
    }

    /// The same for a daemon that ends if it cannot: the error says what to do.
    pub async fn open_or_explain(url: &StoreUrl, cache_mb: usize) -> anyhow::Result<Self> {
        Self::with_cache(url, cache_mb).await.map_err(|error| {
            let explained = birthmark_http::database::cannot_open(url.as_str(), &error);
            anyhow::Error::new(error).context(explained)
        })
    }

    async fn open_sqlite(url: &str, cache_mb: usize) -> Result<Self, StoreError> {
        // FULL: a commit that returned survives power loss. WAL: readers never wait for the writer.
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(PATIENCE)
            // What is deleted is overwritten: reasons of refusals, for one, are not sealed.
            .pragma("secure_delete", "ON")
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
            .pragma("journal_size_limit", JOURNAL_BYTES);
        // SQLite counts in KiB; less than two megabytes is less than it has by itself.
        let cache = |megabytes: usize| format!("-{}", megabytes.max(2).saturating_mul(1024));
        let writer = without_left_overs(SqlitePoolOptions::new())
            .max_connections(1)
            .acquire_timeout(PATIENCE)
            .test_before_acquire(false);
        let write = writer
            .connect_with(options.clone().pragma("cache_size", cache(cache_mb)))
            .await?;
        SQLITE_MIGRATIONS.run(&write).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(PATIENCE)
            .test_before_acquire(false);
        let read = readers
            .connect_with(
                options
                    .pragma("cache_size", cache(cache_mb / 16))
                    .read_only(true)
                    .create_if_missing(false),
            )
            .await?;
        Ok(Self {
            read: Database::Sqlite(read),
            write: Database::Sqlite(write),
        })
    }

    async fn open_postgres(url: &str) -> Result<Self, StoreError> {
        let options = birthmark_http::database::postgres(url)?.application_name("birthmark-node");
        let pool = PgPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS)
            .acquire_timeout(PATIENCE)
            // A ping before every query nearly doubles its cost; a dead connection shows at its
            // first use and is replaced.
            .test_before_acquire(false)
            .connect_with(options)
            .await?;
        POSTGRES_MIGRATIONS.run(&pool).await?;
        Ok(Self {
            read: Database::Postgres(pool.clone()),
            write: Database::Postgres(pool),
        })
    }
}
