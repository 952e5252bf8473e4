//! What people and programs read beside the answers: pages, interface, metrics, events,
//! checkpoints.

use birthmark_ledger::{ConsistencyProof, SignedCheckpoint, TlogProof};
use serde_json::json;

use crate::authority::Authority;
use crate::camera::{Camera, digest};
use crate::world::{Base, World, client};

async fn text(world: &World, path: &str) -> (u16, String, String) {
    let answer = client()
        .get(format!("{}{path}", world.url))
        .send()
        .await
        .unwrap();
    let kind = answer
        .headers()
        .get("content-type")
        .map(|kind| kind.to_str().unwrap().to_owned())
        .unwrap_or_default();
    (answer.status().as_u16(), kind, answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_events_and_checkpoints_tell_the_same_story() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let mut world = World::prepare(Base::Sqlite, folder, vec![authority.entry()]);
    world.settings.http.operator = Some("Library <Test>".into());
    world.start().await;

    let (_, _, page) = text(&world, "/status").await;
    assert!(page.contains("not asked yet"), "{page}");
    let mut events = client()
        .get(format!("{}/api/v1/events/blocks", world.url))
        .send()
        .await
        .unwrap();
    let (mut photos, mut sizes) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let photo = world.registered(&camera).await;
        photos.push(photo);
        let (_, _, note) = text(&world, "/api/v1/checkpoint").await;
        let checkpoint = SignedCheckpoint::parse(&note).unwrap();
        checkpoint
            .verify(&world.genesis.chain_id, &world.genesis.validators)
            .unwrap();
        sizes.push(checkpoint.checkpoint);
    }
    let event = String::from_utf8(events.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(
        event.contains("event: block") && event.contains("\"tree_size\":1"),
        "{event}"
    );

    for (old, new) in [(0, 3), (1, 2), (0, 1), (2, 3)] {
        let (old, new) = (&sizes[old], &sizes[new]);
        let (status, proof) = world
            .get(&format!(
                "/api/v1/consistency?old={}&new={}",
                old.size, new.size
            ))
            .await;
        assert_eq!(status, 200, "{proof}");
        let proof: ConsistencyProof = serde_json::from_value(proof).unwrap();
        proof.verify(&old.root, &new.root).unwrap();
    }
    assert_eq!(world.get("/api/v1/consistency?old=1&new=1000").await.0, 400);
    let (_, _, proof) = text(&world, &format!("/api/v1/tlog-proof/{}", photos[1])).await;
    TlogProof::parse(&proof)
        .unwrap()
        .verify(&world.genesis.chain_id, &world.genesis.validators)
        .unwrap();

    // One answer per question, in order.
    let unknown = digest();
    let (status, answer) = world
        .post(
            "/api/v1/verify",
            &json!({"image_hashes": [photos[0], unknown, photos[2]]}),
        )
        .await;
    let found: Vec<_> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["verified"].as_bool().unwrap())
        .collect();
    assert_eq!((status, found), (200, vec![true, false, true]));
    let many: Vec<_> = (0..1001).map(|_| unknown).collect();
    assert_eq!(
        world
            .post("/api/v1/verify", &json!({ "image_hashes": many }))
            .await
            .0,
        422
    );

    // Pages work without scripts and say the words.
    let (status, kind, page) = text(&world, &format!("/verify?image_hash={}", photos[0])).await;
    assert_eq!((status, kind.as_str()), (200, "text/html; charset=utf-8"));
    assert!(
        page.contains("Registered")
            && page.contains("What is not proven")
            && page.contains("Library &#60;Test&#62;"),
        "{page}"
    );
    assert!(
        text(&world, &format!("/?image_hash={unknown}"))
            .await
            .2
            .contains("No record of exactly this data")
    );
    assert!(
        text(&world, "/?image_hash=%3Cscript%3E")
            .await
            .2
            .contains("no SHA-256 digest")
    );
    let (_, _, page) = text(&world, "/status").await;
    assert!(
        page.contains("test-maker") && page.contains("<td>answers</td>"),
        "{page}"
    );
    for (path, expected) in [
        ("/docs", "text/html"),
        ("/style.css", "text/css"),
        ("/verify.js", "text/javascript"),
        ("/verifier.js", "text/javascript"),
        ("/verifier.wasm", "application/wasm"),
        ("/favicon.ico", "image/svg+xml"),
        ("/openapi.json", "application/json"),
    ] {
        let (status, kind, _) = text(&world, path).await;
        assert_eq!(
            (status, kind.starts_with(expected)),
            (200, true),
            "{path} {kind}"
        );
    }
    let (_, _, metrics) = text(&world, "/metrics").await;
    assert!(
        metrics.contains("birthmark_node_records 4")
            && metrics.contains("birthmark_node_submissions_accepted_total 4"),
        "{metrics}"
    );

    // Old blocks never change and say so; the newest may be followed by another.
    let answer = client()
        .get(format!("{}/api/v1/block/1", world.url))
        .send()
        .await
        .unwrap();
    assert!(
        answer.headers()["cache-control"]
            .to_str()
            .unwrap()
            .contains("immutable")
    );
    let answer = client()
        .get(format!("{}/api/v1/block/latest", world.url))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["cache-control"], "no-cache");
    drop(events);
    world.stop().await;
    drop(authority);
}

#[test]
fn the_interface_changes_only_on_purpose() {
    insta::assert_snapshot!(birthmark_node::http::document());
}
