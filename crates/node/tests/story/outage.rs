//! What is away comes back: authority, database, full queue.

use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};

use crate::authority::Authority;
use crate::camera::{Camera, digest, now};
use crate::world::{Base, World};

async fn stage(base: Base) -> (World, Authority, Camera) {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let world = World::started(base, folder, vec![authority.entry()]).await;
    (world, authority, camera)
}

/// The authority is down for the whole burst, the node is restarted meanwhile, then the authority
/// is back.
#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_was_away_loses_nobody_a_photo() {
    let (mut world, mut authority, camera) = stage(Base::Sqlite).await;
    authority.stop().await;
    let mut waiting = Vec::new();
    for _ in 0..60 {
        let photo = digest();
        waiting.push((
            photo,
            world
                .submit(
                    "/api/v1/submit-cert",
                    &camera.certificate_plan(photo, now()),
                )
                .await,
        ));
    }
    let (_, answer) = world
        .get(&format!("/api/v1/submission/{}", waiting[0].1))
        .await;
    assert_eq!(answer["status"], "pending_validation");
    assert_eq!(
        world.get("/api/v1/status").await.1["pending_submissions"],
        60
    );
    // Whoever looks is told so meanwhile.
    let page = crate::world::client().get(format!("{}/status", world.url));
    let mut said = String::new();
    for _ in 0..300 {
        let answer = page.try_clone().unwrap().send().await.unwrap();
        said = answer.text().await.unwrap();
        if said.contains("submissions wait") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(
        said.contains("submissions wait") && !said.contains("<td>answers</td>"),
        "{said}"
    );
    world.stop().await;
    world.start().await;
    assert_eq!(
        world.get("/api/v1/status").await.1["pending_submissions"],
        60
    );
    authority.start().await;
    for (photo, id) in &waiting {
        world.stored(id).await;
        assert_eq!(
            world.verify(photo).await.1["records"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
    }
    assert_eq!(
        world.get("/api/v1/status").await.1["pending_submissions"],
        0
    );
    world.stop().await;
}

/// PostgreSQL is restarted under load: who was told "accepted" is stored, and the node recovers by
/// itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_restarted_loses_nothing() {
    let (mut world, authority, camera) = stage(Base::postgres()).await;
    let mut accepted = Vec::new();
    let mut turned_away = 0;
    for round in 0..90 {
        if round == 30 {
            let Base::Postgres(server) = &mut world.base else {
                unreachable!()
            };
            server.stop().unwrap();
        }
        if round == 60 {
            let Base::Postgres(server) = &mut world.base else {
                unreachable!()
            };
            server.resume().unwrap();
        }
        let photo = digest();
        let (status, answer) = world
            .post(
                "/api/v1/submit-cert",
                &camera.certificate_plan(photo, now()),
            )
            .await;
        match status {
            202 => accepted.push((photo, answer["receipt_id"].as_str().unwrap().to_owned())),
            503 => turned_away += 1,
            other => panic!("{other} {answer}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(
        turned_away > 0,
        "while the database is away nobody is told that a photo is safe"
    );
    assert!(accepted.len() >= 30);
    for (photo, id) in &accepted {
        let mut answer = world.get(&format!("/api/v1/submission/{id}")).await;
        while answer.0 == 503 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            answer = world.get(&format!("/api/v1/submission/{id}")).await;
        }
        world.stored(id).await;
        assert_eq!(
            world.verify(photo).await.1["records"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
    }
    world.stop().await;
    drop(authority);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_says_when_to_come_back() {
    let (mut world, mut authority, camera) = stage(Base::Sqlite).await;
    world.stop().await;
    authority.stop().await;
    world.settings.limits.queue = 5;
    world.start().await;
    for _ in 0..5 {
        world
            .submit(
                "/api/v1/submit-cert",
                &camera.certificate_plan(digest(), now()),
            )
            .await;
    }
    let body = camera.certificate_plan(digest(), now());
    let answer = crate::world::client()
        .post(format!("{}/api/v1/submit-cert", world.url))
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 503);
    assert!(
        answer.headers()["retry-after"]
            .to_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            >= 1
    );
    authority.start().await;
    for _ in 0..600 {
        if world.post("/api/v1/submit-cert", &body).await.0 == 202 {
            return world.stop().await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the queue never emptied");
}

/// Another process holds the database's lock and does not let go; to the node that is the same as a
/// file it may not write.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_be_written_to_is_told_by_health_and_the_status_page() {
    let (mut world, authority, _) = stage(Base::Sqlite).await;
    assert_eq!(health(&world, 200).await["status"], "healthy");
    let file = SqliteConnectOptions::new().filename(world.folder.path().join("node.db"));
    let mut other = SqliteConnection::connect_with(&file).await.unwrap();
    let begin = sqlx::query("BEGIN IMMEDIATE");
    begin.execute(&mut other).await.unwrap();
    let said = health(&world, 503).await;
    assert_eq!(said["status"], "unhealthy");
    let trouble = "the database cannot be written to";
    assert_eq!(said["detail"], trouble);
    assert_eq!(world.get("/api/v1/status").await.1["trouble"], trouble);
    let page = crate::world::client().get(format!("{}/status", world.url));
    let page = page.send().await.unwrap().text().await.unwrap();
    assert!(
        page.contains("Photos are not taken in") && !page.contains("All is well"),
        "{page}"
    );
    let end = sqlx::query("ROLLBACK");
    end.execute(&mut other).await.unwrap();
    health(&world, 200).await;
    world.stop().await;
    drop(authority);
}

/// The answer of `/health` once it has this status.
async fn health(world: &World, status: u16) -> serde_json::Value {
    for _ in 0..600 {
        let (found, answer) = world.get("/health").await;
        if found == status {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("/health never answers {status}");
}
