//! What operators read in the journal: each trouble once, its end once, and never who came or with
//! which photo.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

use crate::authority::Authority;
use crate::camera::{Camera, digest, now};
use crate::process::{Process, at_a_free_port};
use crate::world::{Base, World};

fn log(world: &World) -> String {
    std::fs::read_to_string(world.folder.path().join("node.log")).unwrap()
}

/// Waits until a line says this; how many do.
async fn said(world: &World, words: &str) -> usize {
    for _ in 0..1200 {
        let count = log(world)
            .lines()
            .filter(|line| line.contains(words))
            .count();
        if count > 0 {
            return count;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nobody said {words:?}:\n{}", log(world));
}

fn database(world: &mut World) -> &mut birthmark_testkit::postgres::Postgres {
    match &mut world.base {
        Base::Postgres(server) => server,
        Base::Sqlite => unreachable!(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_trouble_is_told_once_and_so_is_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let mut world = World::prepare(Base::postgres(), folder, vec![authority.entry()]);
    at_a_free_port(&mut world);
    let mut node = Process::start(&world);
    node.healthy(&world).await;

    authority.stop().await;
    let photo = digest();
    let id = world
        .submit(
            "/api/v1/submit-cert",
            &camera.certificate_plan(photo, now()),
        )
        .await;
    assert_eq!(
        said(&world, "submissions wait, asking again from time to time").await,
        1
    );
    authority.start().await;
    world.stored(&id).await;
    assert_eq!(said(&world, "the authority answers again").await, 1);
    assert_eq!(said(&world, "block 1 holds 1 records").await, 1);

    database(&mut world).stop().unwrap();
    let body = camera.certificate_plan(digest(), now());
    for _ in 0..20 {
        assert_eq!(world.post("/api/v1/submit-cert", &body).await.0, 503);
        // What is registered is known without it, what became of a submission is not.
        assert_eq!(world.verify(&photo).await.0, 200);
        let fate = format!("/api/v1/submission/{id}");
        assert_eq!(world.get(&fate).await.0, 503);
    }
    assert_eq!(said(&world, "submissions cannot be stored").await, 1);
    assert_eq!(said(&world, "the database does not answer (").await, 1);
    database(&mut world).resume().unwrap();
    let mut status = 503;
    while status == 503 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        status = world.post("/api/v1/submit-cert", &body).await.0;
    }
    assert_eq!(status, 202);
    assert_eq!(said(&world, "submissions are stored again").await, 1);
    // The database's absence is not blamed on the authority.
    assert_eq!(said(&world, "asking again from time to time").await, 1);

    let thief = camera.stolen_certificate();
    for _ in 0..30 {
        let forged = thief.certificate_plan(digest(), now());
        assert!(matches!(
            world.post("/api/v1/submit-cert", &forged).await.0,
            400 | 503
        ));
    }
    assert_eq!(said(&world, "their proof does not hold").await, 1);
    let log = log(&world);
    assert!(
        !log.contains(&photo.to_hex()) && !log.contains("CAM-0001"),
        "{log}"
    );
    drop((node, authority));
}

/// Even where everything is logged, nothing says who asked for what.
#[tokio::test(flavor = "multi_thread")]
async fn addresses_of_clients_and_digests_are_never_logged() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let mut world = World::prepare(Base::Sqlite, folder, vec![authority.entry()]);
    at_a_free_port(&mut world);
    let mut node = Process::start_with(&world, &["--log", "trace"]);
    node.healthy(&world).await;
    let (photo, unknown) = (digest(), digest());
    let good = camera.ours([photo, digest(), digest()]);
    let bad = camera.stolen_certificate().certificate_plan(photo, now());
    for request in [
        post(&good.to_string()),
        post(&bad.to_string()),
        post(&good.to_string()[1..]),
        format!("GET /api/v1/verify/{unknown} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
        "GARBAGE\r\n\r\n".into(),
    ] {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 77], 0).into()).unwrap();
        let mut connection = socket.connect(world.settings.http.listen).await.unwrap();
        connection.write_all(request.as_bytes()).await.unwrap();
        let _ = connection.read_to_end(&mut Vec::new()).await;
    }
    said(&world, "holds 1 records").await;
    let log = log(&world);
    for secret in [
        "127.0.0.77",
        &photo.to_hex(),
        &unknown.to_hex(),
        "CAM-0001",
        good["opening"].as_str().unwrap(),
        good["camera_token"]["ciphertext"].as_str().unwrap(),
    ] {
        assert!(!log.contains(secret), "{secret} stands in the log:\n{log}");
    }
    drop((node, authority));
}

fn post(body: &str) -> String {
    format!(
        "POST /api/v1/submit-cert HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}
