//! Lists of what was withdrawn: numbered, dated, remembered, and named in every answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use birthmark_node::settings::AuthoritySettings;
use birthmark_node::store::Store;
use birthmark_protocol::Digest;
use serde_json::{Value, json};

use crate::authority::Authority;
use crate::camera::{Camera, digest, now};
use crate::process::{Process, at_a_free_port};
use crate::world::{Base, World, client};

/// Stands before an authority's list: passes it on, or answers with one from before.
struct Mirror {
    behind: String,
    instead: Mutex<Option<String>>,
    asked: AtomicU64,
}

async fn answer(State(mirror): State<Arc<Mirror>>) -> Response {
    mirror.asked.fetch_add(1, Ordering::SeqCst);
    let instead = mirror.instead.lock().unwrap().clone();
    match instead {
        Some(text) => text.into_response(),
        None => fetch(&mirror.behind).await.into_response(),
    }
}

async fn fetch(url: &str) -> String {
    let answer = client().get(url).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.text().await.unwrap()
}

async fn seen(world: &World) -> Vec<(String, u64)> {
    let store = Store::look(&world.settings.database)
        .await
        .unwrap()
        .unwrap();
    let numbers = store.list_numbers().await.unwrap();
    store.close().await;
    numbers
}

/// Starts the node and waits until it has asked for the list and dealt with it.
async fn restarted(world: &mut World, mirror: &Mirror) {
    let before = mirror.asked.load(Ordering::SeqCst);
    world.start().await;
    while mirror.asked.load(Ordering::SeqCst) == before {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
}

fn sentences(answer: &Value) -> String {
    answer["not_proven"].to_string()
}

async fn an_older_list_does_not_replace_a_newer_one(base: Base) {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let _other = Camera::new(&authority, "CAM-0002").await;
    let mirror = Arc::new(Mirror {
        behind: format!("{}/revocations", authority.url),
        instead: Mutex::default(),
        asked: AtomicU64::new(0),
    });
    let router = axum::Router::new()
        .fallback(answer)
        .with_state(Arc::clone(&mirror));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/revocations", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });

    let mut world = World::prepare(base, folder, vec![authority.entry()]);
    world.settings.authorities[0].revocation_feed = Some(url);
    restarted(&mut world, &mirror).await;
    let photo = world.registered(&camera).await;
    let answer = world.verify(&photo).await.1;
    assert!(
        answer["revocations_checked"]
            .as_str()
            .unwrap()
            .starts_with("20"),
        "{answer}"
    );
    assert!(!sentences(&answer).contains("withdr"), "{answer}");
    let first = fetch(&mirror.behind).await;
    let number = seen(&world).await;
    assert_eq!(number.len(), 1, "{number:?}");
    world.stop().await;

    // The next list says more, and has a higher number. (Numbers may follow the clock.)
    tokio::time::sleep(Duration::from_millis(1100)).await;
    authority.revoke("CAM-0002").await;
    restarted(&mut world, &mirror).await;
    let higher = seen(&world).await;
    assert!(higher[0].1 > number[0].1, "{number:?} {higher:?}");
    let again = world.registered(&camera).await;
    let answer = world.verify(&again).await.1;
    assert!(answer["revocation"].is_null(), "{answer}");
    assert!(
        sentences(&answer).contains("withdrew single cameras"),
        "{answer}"
    );
    let checked = answer["revocations_checked"].clone();
    world.stop().await;

    // The first one again, genuine and signed: it is not believed. What was believed before still
    // is, and every answer says since when nothing newer is known.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    *mirror.instead.lock().unwrap() = Some(first);
    restarted(&mut world, &mirror).await;
    assert_eq!(seen(&world).await, higher);
    let answer = world.verify(&again).await.1;
    assert_eq!(answer["revocations_checked"], checked, "{answer}");
    assert!(
        sentences(&answer).contains("withdrew single cameras"),
        "{answer}"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_list_does_not_replace_a_newer_one_even_over_a_restart_on_sqlite() {
    an_older_list_does_not_replace_a_newer_one(Base::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_list_does_not_replace_a_newer_one_even_over_a_restart_on_postgresql() {
    an_older_list_does_not_replace_a_newer_one(Base::postgres()).await;
}

/// Asks until the answer about a photo is as wanted.
async fn answered(world: &World, photo: &Digest, wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..400 {
        let answer = world.verify(photo).await.1;
        if wanted(&answer) {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no answer is as wanted: {}", world.verify(photo).await.1);
}

/// Writes something else in the place of every list that the database keeps, as somebody does who
/// can write to it.
async fn change_kept_lists(world: &World) -> u64 {
    const SQL: &str = "UPDATE node_state SET value = $1 WHERE name LIKE 'list-bytes/%'";
    let (url, other) = (world.settings.database.as_str(), b"{}".to_vec());
    match &world.base {
        Base::Sqlite => {
            let pool = sqlx::SqlitePool::connect(url).await.unwrap();
            let done = sqlx::query(SQL).bind(other).execute(&pool).await.unwrap();
            pool.close().await;
            done.rows_affected()
        }
        Base::Postgres(_) => {
            let pool = sqlx::PgPool::connect(url).await.unwrap();
            let done = sqlx::query(SQL).bind(other).execute(&pool).await.unwrap();
            pool.close().await;
            done.rows_affected()
        }
    }
}

/// What an authority withdrew stays withdrawn after a restart that finds it away, and answers say
/// how old that knowledge is.
async fn a_withdrawal_stays_over_a_restart(base: Base) {
    let folder = tempfile::tempdir().unwrap();
    let mut authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let mut world = World::prepare(base, folder, vec![authority.entry()]);
    let entry = &mut world.settings.authorities[0];
    entry.revocation_feed = Some(format!("{}/revocations", authority.url));
    entry.revocations = Some(format!("{}/crl", authority.url));
    at_a_free_port(&mut world);
    let mut process = Process::start(&world);
    process.healthy(&world).await;
    let photo = world.registered(&camera).await;
    process.kill();

    let scope = json!({"kind": "family", "family": "Test Camera"});
    let request = json!({"scope": scope, "reason": "ticket 8", "public_reason": "keys were copied", "from": 1_600_000_000});
    let revocations = format!("{}/api/v1/revocations", authority.url);
    let made = client().post(revocations).json(&request).send().await;
    assert_eq!(made.unwrap().status(), 201);
    let mut process = Process::start(&world);
    process.healthy(&world).await;
    let is_withdrawn = |answer: &Value| answer["revocation"].to_string().contains("copied");
    let before = answered(&world, &photo, is_withdrawn).await;
    let checked = before["revocations_checked"].clone();
    assert!(checked.as_str().unwrap().starts_with("20"), "{before}");
    let body = camera.certificate_plan(digest(), now());
    let refused = world.refused("/api/v1/submit-cert", &body).await;
    assert!(refused.contains("revoked by its authority"), "{refused}");

    // The authority goes, and the node dies where it stands.
    authority.stop().await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    process.kill();
    let mut process = Process::start(&world);
    process.healthy(&world).await;
    let answer = world.verify(&photo).await.1;
    assert!(is_withdrawn(&answer), "{answer}");
    assert_eq!(answer["revocations_checked"], checked, "{answer}");
    let refused = world.refused("/api/v1/submit-cert", &body).await;
    assert!(refused.contains("revoked by its authority"), "{refused}");
    process.kill();

    // What somebody else wrote into the database is not believed: then nothing is known, and that
    // is said.
    assert_eq!(change_kept_lists(&world).await, 2);
    let mut process = Process::start(&world);
    process.healthy(&world).await;
    let answer = world.verify(&photo).await.1;
    assert_eq!(answer["revocations_checked"], "never", "{answer}");
    assert!(sentences(&answer).contains("was never had"), "{answer}");
    let health = world.get("/health").await.1;
    assert!(
        health["warnings"].to_string().contains("was never had"),
        "{health}"
    );
    process.kill();

    // A list of an authority that is no longer configured is forgotten.
    world.settings.authorities[0].revocation_feed = None;
    let mut process = Process::start(&world);
    process.healthy(&world).await;
    process.kill();
    assert_eq!(change_kept_lists(&world).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_stays_over_a_restart_while_its_authority_is_away_on_sqlite() {
    a_withdrawal_stays_over_a_restart(Base::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_stays_over_a_restart_while_its_authority_is_away_on_postgresql() {
    a_withdrawal_stays_over_a_restart(Base::postgres()).await;
}

/// A firmware that was withdrawn is named in answers about its family, and a whole family stands in
/// the headline.
#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_firmware_is_named_in_answers_about_its_family() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let mut world = World::prepare(Base::Sqlite, folder, vec![authority.entry()]);
    world.start().await;
    let photo = world.registered(&camera).await;
    let answer = world.verify(&photo).await.1;
    assert_eq!(
        answer["revocations_checked"],
        Value::Null,
        "no list is configured: {answer}"
    );
    assert!(sentences(&answer).contains("reads no list"), "{answer}");
    world.stop().await;
    let scope = json!({"kind": "firmware", "family": "Test Camera", "from": "2.00", "to": "2.10"});
    let request = json!({"scope": scope, "reason": "ticket 7", "public_reason": "signs without a sensor", "from": 1_600_000_000, "even_if_none": true});
    let made = client()
        .post(format!("{}/api/v1/revocations", authority.url))
        .json(&request)
        .send()
        .await
        .unwrap();
    assert_eq!(made.status(), 201, "{}", made.text().await.unwrap());
    world.settings.authorities[0].revocation_feed = Some(format!("{}/revocations", authority.url));
    world.start().await;
    for _ in 0..200 {
        let answer = world.verify(&photo).await.1;
        if sentences(&answer).contains("firmware 2.00 to 2.10") {
            assert!(
                sentences(&answer).contains("signs without a sensor"),
                "{answer}"
            );
            assert!(answer["revocation"].is_null(), "{answer}");
            return world.stop().await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the list was never followed");
}

/// Where an authority signs nothing, that it was asked is this validator's word, and every answer
/// says so.
#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_signs_nothing_is_named_in_every_answer() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let unsigned = AuthoritySettings {
        verdict_keys: Vec::new(),
        ..authority.entry()
    };
    for (entry, says) in [(authority.entry(), false), (unsigned, true)] {
        let folder = tempfile::tempdir().unwrap();
        let mut world = World::started(Base::Sqlite, folder, vec![entry]).await;
        let photo = world.registered(&camera).await;
        let answer = world.verify(&photo).await.1;
        let said = sentences(&answer).contains("the authority signs nothing");
        assert_eq!(said, says, "{answer}");
        world.stop().await;
    }
}
