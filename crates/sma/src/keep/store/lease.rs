//! The right to serve one database.

use std::fs::File;
use std::path::PathBuf;
use std::str::FromStr;

use birthmark_http::Database;
use rustix::fs::{FlockOperation, flock};
use sqlx::PgConnection;
use sqlx::sqlite::SqliteConnectOptions;
use tokio::sync::Mutex;

use super::Store;

/// A number nobody else locks: "birthmrk" in ASCII.
const LOCK: i64 = 0x6269_7274_686d_726b;

/// Held for as long as this process may serve the database. Gone with the process, however it ends.
#[derive(Debug)]
pub enum Lease {
    /// A locked file beside the database.
    File(File),
    /// An advisory lock, held by one connection.
    Connection(Box<Mutex<PgConnection>>),
}

/// Why the lease could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another process serves this database.
    #[error("another process serves this database")]
    Taken,
    /// The file beside the database cannot be used.
    #[error("{path} must belong to this daemon's user (`ls -la`, `chown`): {error}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The database does not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl Store {
    /// Takes the lease of the database at `url`.
    pub async fn lease(&self, url: &str) -> Result<Lease, LeaseError> {
        match &self.database {
            Database::Sqlite(_) => {
                let options = SqliteConnectOptions::from_str(url)?;
                let path = options.get_filename().with_added_extension("lock");
                let file = File::create(&path).map_err(|error| LeaseError::File { path, error })?;
                flock(&file, FlockOperation::NonBlockingLockExclusive)
                    .map_err(|_| LeaseError::Taken)?;
                Ok(Lease::File(file))
            }
            Database::Postgres(pool) => {
                // Not the pool's any more: closing the pool must not wait for it.
                let mut connection = pool.acquire().await?.detach();
                let query = sqlx::query_scalar::<_, bool>("SELECT pg_try_advisory_lock($1)");
                if query.bind(LOCK).fetch_one(&mut connection).await? {
                    Ok(Lease::Connection(Box::new(Mutex::new(connection))))
                } else {
                    Err(LeaseError::Taken)
                }
            }
        }
    }
}

impl Lease {
    /// Makes sure that the lease is still held; takes it anew where a lost connection to PostgreSQL
    /// lost it.
    pub async fn keep(&self, store: &Store) -> Result<(), sqlx::Error> {
        let (Self::Connection(connection), Database::Postgres(pool)) = (self, &store.database)
        else {
            return Ok(());
        };
        let mut connection = connection.lock().await;
        if sqlx::query("SELECT 1")
            .execute(&mut *connection)
            .await
            .is_ok()
        {
            return Ok(());
        }
        let mut fresh = pool.acquire().await?.detach();
        let query = sqlx::query_scalar::<_, bool>("SELECT pg_try_advisory_lock($1)");
        if query.bind(LOCK).fetch_one(&mut fresh).await? {
            *connection = fresh;
            return Ok(());
        }
        log::error!(
            "another process has taken this database while it was away: nothing is changed by this one until that ends"
        );
        Err(sqlx::Error::Protocol(
            "another process serves this database".into(),
        ))
    }
}
