//! Opens PostgreSQL or SQLite by URL, each with the options that keep what was promised.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use birthmark_daemon::users;
use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, PgPool, SqlitePool};

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

/// Runs the same expression with the pool of either database:
/// `with_pool!(database, pool => query.execute(pool).await)`.
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

    /// Opens the database behind `url`, with at most `connections` at once. A missing SQLite file
    /// is created.
    pub async fn open(url: &str, connections: u32) -> Result<Self, OpenError> {
        if url.starts_with("sqlite:") {
            let pool = without_left_overs(SqlitePoolOptions::new())
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
            let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
            return Err(OpenError::Scheme(scheme.to_owned()));
        }
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(Duration::from_secs(5))
            // A ping before every statement would double the cost of short ones; a dead connection
            // shows itself.
            .test_before_acquire(false)
            .connect_with(postgres(url)?)
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

/// A sentence for the journal about a database that could not be opened: which one, and what to do.
///
/// The address of a server may hold a password, so only files are named.
pub fn cannot_open(url: &str, error: &(dyn std::error::Error + 'static)) -> String {
    let place = match url.strip_prefix("sqlite:") {
        Some(file) => file.split('?').next().unwrap_or(file),
        None => "of the PostgreSQL server",
    };
    let place = place.strip_prefix("//").unwrap_or(place);
    let folder = match url.starts_with("sqlite:") {
        true => Path::new(place).parent(),
        false => None,
    };
    if let Some(folder) = folder.filter(|folder| !folder.as_os_str().is_empty() && !folder.exists())
    {
        return format!(
            "cannot open the database {place}: there is no folder {}; make it for this daemon's user first",
            folder.display()
        );
    }
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    match causes
        .find_map(|cause| advice(cause.downcast_ref()).or_else(|| of_schema(cause.downcast_ref())))
    {
        Some(advice) => format!("cannot open the database {place}: {advice}"),
        None => format!("cannot open the database {place}"),
    }
}

/// A schema that this program does not know was made by one that came after it.
fn of_schema(error: Option<&MigrateError>) -> Option<&'static str> {
    match error? {
        MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..) => Some(
            "a newer version of this program has changed it; install that version again, or restore a backup from before",
        ),
        _ => None,
    }
}

fn advice(error: Option<&sqlx::Error>) -> Option<&'static str> {
    match error? {
        sqlx::Error::Database(refusal) => of_code(refusal.code()?.as_ref()),
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => {
            Some("the server does not answer; is it running (`systemctl status postgresql`)?")
        }
        _ => None,
    }
}

/// SQLite's numbers, of which the last byte is the kind, and PostgreSQL's five characters.
fn of_code(code: &str) -> Option<&'static str> {
    match code {
        "28000" | "28P01" => return Some("the server does not let this user in"),
        "3D000" => return Some("the server has no such database; create it first"),
        "53100" => return Some("the server's disk is full; free room on it"),
        _ if code.len() == 5 => return None,
        _ => {}
    }
    match code.parse::<u32>().ok()? & 0xff {
        8 | 14 => {
            Some("its folder and files must belong to this daemon's user (`ls -la`, `chown`)")
        }
        10 => Some("its disk fails or is full (`df -h`, `journalctl -k`)"),
        11 | 26 => Some("it is damaged or no database; restore the last backup"),
        13 => Some("its disk is full; free room on it (`df -h`)"),
        _ => None,
    }
}

/// How to reach the PostgreSQL server behind `url`. Where neither that nor `PGUSER` names a user,
/// it is the one this process runs as, as PostgreSQL's own programs have it: over the local socket
/// the server believes nothing else.
pub fn postgres(url: &str) -> Result<PgConnectOptions, sqlx::Error> {
    let options = PgConnectOptions::from_str(url)?;
    if names_a_user(url) || std::env::var_os("PGUSER").is_some() {
        return Ok(options);
    }
    Ok(match own_name() {
        Some(name) => options.username(&name),
        None => options,
    })
}

fn names_a_user(url: &str) -> bool {
    let address = url.split_once("://").map_or(url, |(_, address)| address);
    let (server, rest) = address.split_at(address.find(['/', '?']).unwrap_or(address.len()));
    let before = server.rsplit_once('@').map(|(user, _)| user);
    let parameters = rest
        .split_once('?')
        .map_or("", |(_, parameters)| parameters);
    before.is_some_and(|user| !user.is_empty() && !user.starts_with(':'))
        || parameters.split('&').any(|one| one.starts_with("user="))
}

fn own_name() -> Option<String> {
    // A user that no directory knows: systemd says who it started us as.
    users::own_name().or_else(|| std::env::var("USER").ok())
}

/// Connections of this pool are given up when a transaction was left open on them.
///
/// When the disk is full, SQLite ends a transaction by itself and refuses to end it a second time.
/// sqlx then takes it for open, begins the next ones inside of it, and one that is rolled back
/// leaves a real one open: from there on each commit would succeed and none would last.
pub fn without_left_overs(pool: SqlitePoolOptions) -> SqlitePoolOptions {
    pool.before_acquire(|connection, _| Box::pin(async { Ok(!connection.is_in_transaction()) }))
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

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(url: &str) -> String {
        let error = Database::open(url, 1).await.unwrap_err();
        cannot_open(url, &error)
    }

    #[tokio::test]
    async fn what_cannot_be_opened_is_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let damaged = folder.path().join("damaged.db");
        std::fs::write(
            &damaged,
            "no database at all, but long enough to be looked at",
        )
        .unwrap();
        let said = refused(&format!("sqlite://{}", damaged.display())).await;
        let name = damaged.display();
        assert_eq!(
            said,
            format!(
                "cannot open the database {name}: it is damaged or no database; restore the last backup"
            )
        );
        let missing = folder.path().join("no/such.db");
        let said = refused(&format!("sqlite://{}?cache=private", missing.display())).await;
        assert!(
            said.contains("no/such.db: there is no folder ") && said.contains("make it"),
            "{said}"
        );
        let folder = folder.path().join("folder.db");
        std::fs::create_dir(&folder).unwrap();
        let said = refused(&format!("sqlite://{}", folder.display())).await;
        assert!(
            said.contains("folder.db: its folder and files must belong"),
            "{said}"
        );
    }

    /// As on a full disk: no file may grow, then it may again.
    fn set_largest_file(bytes: Option<u64>) {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Fsize);
        limit.current = bytes;
        setrlimit(Resource::Fsize, limit).unwrap();
    }

    /// A transaction that inserts a row of a page and more.
    async fn insert(pool: &SqlitePool, number: i64, is_kept: bool) -> sqlx::Result<()> {
        let mut transaction = pool.begin().await?;
        let row = sqlx::query("INSERT INTO rows VALUES ($1, randomblob(8000))");
        row.bind(number).execute(&mut *transaction).await?;
        match is_kept {
            true => transaction.commit().await,
            false => Ok(()),
        }
    }

    #[tokio::test]
    async fn what_was_committed_after_the_disk_was_full_is_there() {
        use tokio::signal::unix::{SignalKind, signal};
        // The kernel ends a program whose file may not grow, unless it listens.
        let _listening = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()));
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("rows.db").display());
        let database = Database::open(&url, 1).await.unwrap();
        let Database::Sqlite(pool) = &database else {
            panic!("another database")
        };
        let table = sqlx::query("CREATE TABLE rows (number INTEGER PRIMARY KEY, bytes BLOB)");
        table.execute(pool).await.unwrap();
        insert(pool, 1, true).await.unwrap();

        let log = std::fs::metadata(folder.path().join("rows.db-wal")).unwrap();
        set_largest_file(Some(log.len()));
        insert(pool, 2, true).await.unwrap_err();
        set_largest_file(None);
        insert(pool, 3, false).await.unwrap();
        insert(pool, 4, true).await.unwrap();

        let other = Database::open(&url, 1).await.unwrap();
        let Database::Sqlite(other) = &other else {
            panic!("another database")
        };
        let numbers = sqlx::query_scalar("SELECT number FROM rows ORDER BY number");
        let numbers: Vec<i64> = numbers.fetch_all(other).await.unwrap();
        assert_eq!(numbers, [1, 4]);
    }

    #[test]
    fn over_the_local_socket_we_are_who_we_are() {
        let output = std::process::Command::new("id").arg("-un").output();
        let me = String::from_utf8(output.unwrap().stdout).unwrap();
        let user = |url: &str| postgres(url).unwrap().get_username().to_owned();
        for url in [
            "postgres:///registry?host=/run/postgresql",
            "postgres://db.example:5432/registry",
            "postgresql://db.example",
        ] {
            assert_eq!(user(url), me.trim(), "{url}");
        }
        for url in [
            "postgres://clerk@db.example/registry",
            "postgres://clerk:secret@db.example:5432/registry?sslmode=require",
            "postgres:///registry?host=/run/postgresql&user=clerk",
        ] {
            assert_eq!(user(url), "clerk", "{url}");
        }
    }

    #[tokio::test]
    async fn the_address_of_a_server_is_kept_to_itself() {
        let said = refused("postgres://name:secret@127.0.0.1:1/registry").await;
        assert!(
            said.starts_with("cannot open the database of the PostgreSQL server: "),
            "{said}"
        );
        assert!(!said.contains("secret"), "{said}");
    }
}
