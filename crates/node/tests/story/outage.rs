//! What is away comes back: authority, database, full queue.

use std::time::Duration;

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

/// The authority is down for the whole burst, the node is restarted meanwhile, then the authority is back.
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

/// PostgreSQL is restarted under load: who was told "accepted" is stored, and the node recovers by itself.
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
