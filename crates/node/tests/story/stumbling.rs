//! Authorities that are not well, and fronts that say no in their name: nobody's photo is delayed
//! or refused because of it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use birthmark_node::settings::AuthoritySettings;
use serde_json::{Value, json};

use crate::authority::Authority;
use crate::camera::{Camera, digest};
use crate::world::{Base, World};

/// An authority of the documents that fails on some tokens: it signs nothing and knows batches.
#[derive(Default)]
struct Stumbling {
    /// The ciphertexts it fails on.
    bad: Mutex<BTreeSet<String>>,
    asked: AtomicU64,
}

async fn serve(router: axum::Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

async fn body_of(request: Request) -> Value {
    let bytes = axum::body::to_bytes(request.into_body(), 8 << 20).await;
    serde_json::from_slice(&bytes.unwrap()).unwrap()
}

async fn stumble(State(state): State<Arc<Stumbling>>, request: Request) -> Response {
    state.asked.fetch_add(1, Ordering::SeqCst);
    let body = body_of(request).await;
    let questions = body["requests"].as_array().unwrap();
    let is_bad = |question: &Value| {
        let text = question["camera_token"]["ciphertext"].as_str().unwrap();
        state.bad.lock().unwrap().contains(text)
    };
    if questions.iter().any(is_bad) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let yes = |question: &Value| json!({"commitment": question["commitment"], "valid": true});
    let results: Vec<_> = questions.iter().map(yes).collect();
    axum::Json(json!({ "results": results })).into_response()
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_questions_it_stumbles_over_delay_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let maker = Authority::found(folder.path()).await;
    let camera = Camera::new(&maker, "CAM-0001").await;
    let state = Arc::new(Stumbling::default());
    let router = axum::Router::new()
        .fallback(stumble)
        .with_state(Arc::clone(&state));
    let entry = AuthoritySettings::new("stumbling", serve(router).await);
    let mut world = World::started(Base::Sqlite, folder, vec![entry]).await;
    for _ in 0..50 {
        let token = camera.token();
        let text = hex::encode(token.sealed.ciphertext);
        state.bad.lock().unwrap().insert(text);
        let body = camera.camera_plan(digest(), &token, false);
        world.submit("/api/v1/submit", &body).await;
    }
    for _ in 0..3 {
        let started = Instant::now();
        let body = camera.camera_plan(digest(), &camera.token(), false);
        let id = world.submit("/api/v1/submit", &body).await;
        world.stored(&id).await;
        let took = started.elapsed();
        assert!(took < Duration::from_secs(20), "a good photo took {took:?}");
    }
    // What it stumbles over is asked about ever more seldom, and never given up.
    let before = state.asked.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked = state.asked.load(Ordering::SeqCst) - before;
    assert!(asked <= 60, "{asked} questions a second");
    let waiting = world.get("/api/v1/status").await.1["pending_submissions"].clone();
    assert_eq!(waiting, 50);
    // Once the authority is mended they are registered as well.
    state.bad.lock().unwrap().clear();
    for _ in 0..1200 {
        if world.get("/api/v1/status").await.1["pending_submissions"] == 0 {
            world.stop().await;
            drop(maker);
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("what was set aside was never asked about again");
}

/// Stands before a real authority and, while it is told to, answers no in its name.
struct Front {
    behind: String,
    lies: AtomicBool,
    lied: AtomicU64,
}

async fn lie(State(front): State<Arc<Front>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    if request.method() == axum::http::Method::GET {
        let url = format!("{}{path}", front.behind);
        let answer = crate::world::client().get(url).send().await.unwrap();
        return answer.bytes().await.unwrap().into_response();
    }
    let body = body_of(request).await;
    if front.lies.load(Ordering::SeqCst) {
        front.lied.fetch_add(1, Ordering::SeqCst);
        let questions = body["requests"].as_array().unwrap();
        let no = |question: &Value| json!({"commitment": question["commitment"], "valid": false});
        let results: Vec<_> = questions.iter().map(no).collect();
        return axum::Json(json!({ "results": results })).into_response();
    }
    let url = format!("{}{path}", front.behind);
    let answer = crate::world::client().post(url).json(&body).send().await;
    let answer: Value = answer.unwrap().json().await.unwrap();
    axum::Json(answer).into_response()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsigned_no_of_an_authority_that_signs_is_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let front = Arc::new(Front {
        behind: authority.url.clone(),
        lies: AtomicBool::new(true),
        lied: AtomicU64::new(0),
    });
    let router = axum::Router::new()
        .fallback(lie)
        .with_state(Arc::clone(&front));
    let mut entry = authority.entry();
    entry.endpoint = serve(router).await;
    let mut world = World::started(Base::Sqlite, folder, vec![entry]).await;
    let id = world
        .submit(
            "/api/v1/submit-cert",
            &camera.ours([digest(), digest(), digest()]),
        )
        .await;
    for _ in 0..400 {
        if front.lied.load(Ordering::SeqCst) >= 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let fate = world.get(&format!("/api/v1/submission/{id}")).await.1;
    assert_eq!(fate["status"], "pending_validation", "{fate}");
    front.lies.store(false, Ordering::SeqCst);
    world.stored(&id).await;
    world.stop().await;
}
