//! Lists of what was withdrawn: numbered, dated, remembered, and named in every answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use birthmark_node::settings::AuthoritySettings;
use birthmark_node::store::Store;
use serde_json::{Value, json};

use crate::authority::Authority;
use crate::camera::Camera;
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
    world.stop().await;

    // The first one again, genuine and signed: it is not believed, and every answer says that nothing newer is known.
    *mirror.instead.lock().unwrap() = Some(first);
    restarted(&mut world, &mirror).await;
    assert_eq!(seen(&world).await, higher);
    let answer = world.verify(&photo).await.1;
    assert_eq!(answer["revocations_checked"], "never", "{answer}");
    assert!(sentences(&answer).contains("was never had"), "{answer}");
    let health = world.get("/health").await.1;
    assert!(
        health["warnings"].to_string().contains("was never had"),
        "{health}"
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

/// A firmware that was withdrawn is named in answers about its family, and a whole family stands in the headline.
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

/// Where an authority signs nothing, that it was asked is this validator's word, and every answer says so.
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
