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

/// One signature, from the bytes of the key.
pub fn signature_seconds() -> f64 {
    let key = VoteKey::from_bytes(&[7; 32]).unwrap();
    let public = key.public_key().to_sec1();
    let signature = key.sign(b"text").unwrap().to_bytes();
    let before = cpu_seconds(std::process::id());
    let count = 20_000;
    for _ in 0..count {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public)
            .verify(b"text", &signature)
            .unwrap();
    }
    (cpu_seconds(std::process::id()) - before) / f64::from(count)
}

/// The process that is the framework alone: `bare`.
pub async fn bare() {
    use axum::routing::{get, post};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let router = axum::Router::new()
        .route("/hello", get(|| async { "hello" }))
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

fn http(server: &Process, scratch: &Path, requests: &Requests, count: usize, status: u16) -> Http {
    let before = cpu_seconds(server.id());
    let seen = load::send(scratch, server.address, 32, requests, status);
    assert_eq!(seen.others, 0, "the framework refused");
    Http {
        rate: count as f64 / seen.seconds,
        cpu: (cpu_seconds(server.id()) - before) / count as f64,
    }
}

/// The framework alone: questions and, with a body, submissions.
pub fn framework(scratch: &Path, lookups: usize, bodies: &[String]) -> (Http, Http) {
    let server = Process::role(&["bare"]);
    let gets = Requests::get((0..lookups).map(|_| "/hello".to_owned()));
    // Once to warm up.
    load::send(scratch, server.address, 32, &gets, 200);
    let get = http(&server, scratch, &gets, lookups, 200);
    let posts = Requests::post("/echo", bodies);
    let post = http(&server, scratch, &posts, bodies.len(), 202);
    (get, post)
}

/// CPU seconds for one row of a thousand in a durable commit: a random key of 32 bytes and 100 bytes beside it.
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
