//! What happens behind the 202 does not wait for itself: the authority is asked while the database
//! is at work.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use birthmark_node::settings::AuthoritySettings;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::authority::Authority;
use crate::camera::{Camera, digest};
use crate::world::{Base, World};

/// As many as one request of a node holds, twice, and the one that is asked about at once.
const SUBMISSIONS: u64 = 1001;

/// An authority that answers when it is told to.
struct Slow {
    leave: Semaphore,
    /// What each request asked about.
    asked: Mutex<Vec<BTreeSet<String>>>,
}

async fn answer(State(slow): State<Arc<Slow>>, request: Request) -> Response {
    let bytes = axum::body::to_bytes(request.into_body(), 8 << 20).await;
    let body: Value = serde_json::from_slice(&bytes.unwrap()).unwrap();
    let questions = body["requests"].as_array().unwrap();
    let about = questions
        .iter()
        .map(|question| question["commitment"].to_string());
    slow.asked.lock().unwrap().push(about.collect());
    slow.leave.acquire().await.unwrap().forget();
    let yes = |question: &Value| json!({"commitment": question["commitment"], "valid": true});
    let results: Vec<_> = questions.iter().map(yes).collect();
    axum::Json(json!({ "results": results })).into_response()
}

impl Slow {
    /// The requests that were as large as they become, once there are so many.
    async fn full_requests(&self, wanted: usize) -> Vec<BTreeSet<String>> {
        for _ in 0..1500 {
            let mut asked = self.asked.lock().unwrap().clone();
            asked.retain(|about| about.len() == 500);
            if asked.len() >= wanted {
                return asked;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{} requests", self.asked.lock().unwrap().len());
    }
}

async fn asking_a_slow_authority() -> (Authority, Camera, Arc<Slow>, World) {
    let folder = tempfile::tempdir().unwrap();
    let maker = Authority::found(folder.path()).await;
    let camera = Camera::new(&maker, "CAM-0001").await;
    let slow = Arc::new(Slow {
        leave: Semaphore::new(0),
        asked: Mutex::default(),
    });
    let router = axum::Router::new()
        .fallback(answer)
        .with_state(Arc::clone(&slow));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let entry = AuthoritySettings::new("slow", url);
    let world = World::started(Base::Sqlite, folder, vec![entry]).await;
    (maker, camera, slow, world)
}

#[tokio::test(flavor = "multi_thread")]
async fn photos_that_trickle_in_share_a_question() {
    let (maker, camera, slow, mut world) = asking_a_slow_authority().await;
    slow.leave.add_permits(1000);
    let began = Instant::now();
    for _ in 0..60 {
        let body = camera.camera_plan(digest(), &camera.token(), false);
        world.submit("/api/v1/submit", &body).await;
    }
    // The first goes at once, and then a tenth of a second passes between any two.
    let most = 2 + began.elapsed().as_millis() / 100;
    let asked = slow.asked.lock().unwrap().len();
    assert!(asked > 0 && asked as u128 <= most, "{asked} of {most}");
    world.stop().await;
    drop(maker);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_questions_are_asked_while_the_answers_before_them_are_written() {
    let (maker, camera, slow, mut world) = asking_a_slow_authority().await;

    // The first is asked about by itself, and the others come while that answer is awaited.
    let first = camera.camera_plan(digest(), &camera.token(), false);
    world.submit("/api/v1/submit", &first).await;
    for _ in 0..(SUBMISSIONS - 1) / 100 {
        let bodies: Vec<_> = (0..100)
            .map(|_| camera.camera_plan(digest(), &camera.token(), false))
            .collect();
        let sent = bodies
            .iter()
            .map(|body| world.submit("/api/v1/submit", body));
        futures_util::future::join_all(sent).await;
    }
    slow.leave.add_permits(1);
    slow.full_requests(1).await;

    // Nothing can be written from here on.
    let pool = sqlx::SqlitePool::connect(world.settings.database.as_str()).await;
    let mut writer = pool.unwrap().begin_with("BEGIN IMMEDIATE").await.unwrap();
    sqlx::query("UPDATE waiting SET tries = tries")
        .execute(&mut *writer)
        .await
        .unwrap();
    let pending = async || world.get("/api/v1/status").await.1["pending_submissions"].clone();
    let before = pending().await;
    slow.leave.add_permits(1);
    let asked = slow.full_requests(2).await;
    assert!(asked[0].is_disjoint(&asked[1]), "asked the same again");
    assert_eq!(pending().await, before);
    writer.rollback().await.unwrap();

    slow.leave.add_permits(1000);
    for _ in 0..1200 {
        let status = world.get("/api/v1/status").await.1;
        if status["pending_submissions"] == 0 && status["total_hashes"] == SUBMISSIONS {
            world.stop().await;
            drop(maker);
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not all were stored");
}
