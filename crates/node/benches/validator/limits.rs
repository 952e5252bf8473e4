//! The limits, measured in the same run on the same cores.

use std::path::Path;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use birthmark_ledger::{VoteKey, VoteSigner as _};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use crate::database::Database;
use crate::load::{self, Requests, Seen};
use crate::process::{Process, cpu_seconds};

/// Rows of one commit, as a node takes submissions.
const BATCH: usize = 1000;
const COMMITS: usize = 100;

/// What one request costs a server, and how many it answers beside its client.
pub struct Http {
    pub rate: f64,
    pub cpu: f64,
}

/// One signature, from the bytes of the key, while every core checks some: two that share their
/// circuits are slower together than one alone, and the node uses both.
pub fn signature_seconds() -> f64 {
    let key = VoteKey::from_bytes(&[7; 32]).unwrap();
    let public = key.public_key().to_sec1();
    let signature = key.sign(b"text").unwrap().to_bytes();
    let count = 10_000;
    let check = || {
        for _ in 0..count {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public)
                .verify(b"text", &signature)
                .unwrap();
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let before = cpu_seconds(std::process::id());
    std::thread::scope(|threads| (0..cores).for_each(|_| drop(threads.spawn(check))));
    (cpu_seconds(std::process::id()) - before) / (count * cores) as f64
}

/// The process that is the framework alone, with answers of so many bytes: `bare SIZE`.
pub async fn bare(size: &str) {
    use axum::routing::{get, post};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let answer = bytes::Bytes::from(vec![b'.'; size.parse().unwrap()]);
    let router = axum::Router::new()
        .route("/answer", get(move || std::future::ready(answer.clone())))
        .route(
            "/echo",
            post(
                |axum::Json(body): axum::Json<serde_json::Value>| async move {
                    let answer = body.get("timestamp").cloned();
                    (axum::http::StatusCode::ACCEPTED, axum::Json(answer))
                },
            ),
        );
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router).await.unwrap();
}

fn http(
    server: &Process,
    scratch: &Path,
    connections: usize,
    requests: &Requests,
    status: u16,
) -> Http {
    let before = cpu_seconds(server.id());
    let seen = load::send(scratch, server.address, connections, requests, status);
    assert_eq!(seen.others, 0, "the framework refused");
    Http {
        rate: seen.expected as f64 / seen.seconds,
        cpu: (cpu_seconds(server.id()) - before) / seen.expected as f64,
    }
}

/// The framework alone, asked so often for an answer of so many bytes.
pub fn questions(scratch: &Path, connections: usize, count: usize, size: usize) -> Http {
    let server = Process::role(&["bare", &size.to_string()]);
    let gets = Requests::get((0..count).map(|_| "/answer".to_owned()));
    // Once to warm up.
    load::send(scratch, server.address, connections, &gets, 200);
    http(&server, scratch, connections, &gets, 200)
}

/// The framework alone, given submissions over as many connections as the node.
pub fn submissions(scratch: &Path, connections: usize, bodies: &[String]) -> Http {
    let server = Process::role(&["bare", "0"]);
    let posts = Requests::post("/echo", bodies);
    http(&server, scratch, connections, &posts, 202)
}

/// CPU seconds for one row of a thousand in a durable commit: a random key of 32 bytes and 100
/// bytes beside it.
pub async fn row_seconds(database: &Database) -> f64 {
    let rows = |commit: usize| {
        (0..BATCH).map(move |row| {
            let name = format!("{commit} {row}");
            birthmark_protocol::Digest::of(name.as_bytes())
                .as_bytes()
                .to_vec()
        })
    };
    let before = database.cpu_seconds();
    if database.is_postgres() {
        let mut connection = sqlx::PgConnection::connect(database.url()).await.unwrap();
        postgres(&mut connection, rows).await;
        let seconds = (database.cpu_seconds() - before) / (BATCH * COMMITS) as f64;
        sqlx::query("DROP TABLE row_limit")
            .execute(&mut connection)
            .await
            .unwrap();
        return seconds;
    }
    let folder = tempfile::tempdir_in(database.folder()).unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(folder.path().join("limit.db"))
        .create_if_missing(true)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
        .synchronous(sqlx::sqlite::SqliteSynchronous::Full);
    let mut connection = options.connect().await.unwrap();
    let create = "CREATE TABLE row_limit (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID";
    sqlx::query(create).execute(&mut connection).await.unwrap();
    for commit in 0..COMMITS {
        let mut insert = sqlx::QueryBuilder::<sqlx::Sqlite>::new("INSERT INTO row_limit ");
        insert.push_values(rows(commit), |mut list, key| {
            list.push_bind(key).push_bind(vec![7u8; 100]);
        });
        insert.build().execute(&mut connection).await.unwrap();
    }
    (database.cpu_seconds() - before) / (BATCH * COMMITS) as f64
}

async fn postgres<I: Iterator<Item = Vec<u8>>>(
    connection: &mut sqlx::PgConnection,
    rows: impl Fn(usize) -> I,
) {
    let create = "CREATE TABLE row_limit (key BYTEA PRIMARY KEY, value BYTEA)";
    sqlx::query(create).execute(&mut *connection).await.unwrap();
    let on: String = sqlx::query("SHOW synchronous_commit")
        .fetch_one(&mut *connection)
        .await
        .unwrap()
        .get(0);
    assert_eq!(on, "on", "a commit that is not durable is no limit");
    for commit in 0..COMMITS {
        sqlx::query("INSERT INTO row_limit SELECT * FROM UNNEST($1::bytea[], $2::bytea[])")
            .bind(rows(commit).collect::<Vec<_>>())
            .bind(vec![vec![7u8; 100]; BATCH])
            .execute(&mut *connection)
            .await
            .unwrap();
    }
}

/// CPU seconds of server and database for each request, beside what the clients saw.
pub fn measured(
    server: &Process,
    database: &Database,
    send: impl FnOnce() -> Seen,
    count: usize,
) -> (Seen, f64) {
    let before = cpu_seconds(server.id()) + database.server_cpu_seconds();
    let seen = send();
    let after = cpu_seconds(server.id()) + database.server_cpu_seconds();
    (seen, (after - before) / count as f64)
}
