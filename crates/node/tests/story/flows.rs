//! Every way a camera submits, from the request to a receipt that verifies offline.

use birthmark_protocol::Digest;
use serde_json::{Value, json};

use crate::authority::{Authority, NAME};
use crate::camera::{Camera, digest, now};
use crate::world::{Base, World};

async fn stage(base: Base) -> (World, Authority, Camera) {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let world = World::started(base, folder, vec![authority.entry()]).await;
    (world, authority, camera)
}

/// The node plan: submit with a certificate, wait, verify by hash.
async fn the_node_plans_flow(world: &World, camera: &Camera) {
    let image = digest();
    let id = world
        .submit(
            "/api/v1/submit-cert",
            &camera.certificate_plan(image, now()),
        )
        .await;
    let fate = world.stored(&id).await;
    let (status, found) = world.verify(&image).await;
    assert_eq!(status, 200);
    let names: Vec<_> = found.as_object().unwrap().keys().take(7).cloned().collect();
    assert_eq!(
        names,
        [
            "verified",
            "image_hash",
            "timestamp",
            "block_height",
            "aggregator",
            "tx_hash",
            "gps_hash"
        ]
    );
    assert_eq!(found["verified"], true);
    assert_eq!(found["aggregator"], "library.example");
    assert_eq!(found["assurance"], "certificate");
    assert_eq!(found["device_family"], "Test Camera");
    assert_eq!(
        (&found["tx_hash"], &found["block_height"]),
        (&fate["tx_hash"], &fate["block_height"])
    );
    let (_, block) = world
        .get(&format!("/api/v1/block/{}", fate["block_height"]))
        .await;
    assert_eq!(
        block["transactions"][0]["records"][0]["image_hashes"][0]["image_hash"],
        image.to_hex()
    );
    let upper = world
        .get(&format!("/api/v1/verify/{}", image.to_hex().to_uppercase()))
        .await;
    assert_eq!(upper.0, 200, "capitals are read");
}

/// The integration plan: raw and processed hash under one receipt.
async fn the_two_hash_flow(world: &World, authority: &Authority, camera: &Camera) {
    let (raw, processed) = (digest(), digest());
    let body = camera.two_hashes(raw, processed, NAME, &format!("{}/validate", authority.url));
    let id = world.submit("/api/v1/submit", &body).await;
    let fate = world.stored(&id).await;
    assert_eq!(fate["image_hashes"], json!([raw, processed]));
    let (_, found) = world.verify(&processed).await;
    assert_eq!(
        (
            found["assurance"].as_str(),
            found["modification_level"].as_u64()
        ),
        (Some("token"), Some(1))
    );
    assert_eq!(found["parent_image_hash"], raw.to_hex());
    let (_, found) = world.verify(&raw).await;
    assert_eq!(
        (
            found["modification_level"].as_u64(),
            found["parent_image_hash"].as_str()
        ),
        (Some(0), None)
    );
}

async fn the_other_flows(world: &World, camera: &Camera) {
    let images = [digest(), digest(), digest()];
    let ours = world
        .submit("/api/v1/submit-cert", &camera.ours(images))
        .await;
    let (plain, signed, packed) = (digest(), digest(), digest());
    let with_token = world
        .submit(
            "/api/v1/submit",
            &camera.camera_plan(plain, &camera.token(), false),
        )
        .await;
    let with_certificate = world
        .submit(
            "/api/v1/submit",
            &camera.camera_plan(signed, &camera.token(), true),
        )
        .await;
    let legacy = world
        .submit("/api/v1/submit-legacy", &camera.legacy(packed))
        .await;
    for id in [&ours, &with_token, &with_certificate, &legacy] {
        world.stored(id).await;
    }
    let assurance = async |image: Digest| {
        world.verify(&image).await.1["assurance"]
            .as_str()
            .map(str::to_owned)
    };
    for image in images {
        assert_eq!(assurance(image).await.as_deref(), Some("certificate"));
    }
    assert_eq!(assurance(plain).await.as_deref(), Some("token"));
    assert_eq!(assurance(signed).await.as_deref(), Some("certificate"));
    assert_eq!(assurance(packed).await.as_deref(), Some("token"));
    assert_eq!(
        world.verify(&packed).await.1["gps_hash"],
        Digest::of(b"place").to_hex()
    );
}

/// What is not there, and what is no question.
async fn misses(world: &World) {
    let image = digest();
    let (status, missing) = world.verify(&image).await;
    assert_eq!((status, missing["verified"].as_bool()), (404, Some(false)));
    assert_eq!(missing["image_hash"], image.to_hex());
    for field in [
        "timestamp",
        "block_height",
        "aggregator",
        "tx_hash",
        "gps_hash",
        "assurance",
    ] {
        assert_eq!(missing[field], Value::Null, "{field}");
    }
    for text in ["abc", &"g".repeat(64), &"a".repeat(65)] {
        let (status, answer) = world.get(&format!("/api/v1/verify/{text}")).await;
        assert_eq!(
            (status, answer["detail"][0]["loc"].clone()),
            (422, json!(["path", "image_hash"]))
        );
    }
    assert_eq!(world.get("/api/v1/block/999999").await.0, 404);
    assert_eq!(
        world
            .get("/api/v1/submission/00000000-0000-0000-0000-000000000000")
            .await
            .0,
        404
    );
    assert_eq!(world.get("/api/v1/submission/x").await.0, 422);
}

async fn the_whole_story(base: Base) {
    let (mut world, mut authority, camera) = stage(base).await;
    the_node_plans_flow(&world, &camera).await;
    the_two_hash_flow(&world, &authority, &camera).await;
    the_other_flows(&world, &camera).await;
    misses(&world).await;
    let (status, state) = world.get("/api/v1/status").await;
    assert_eq!(
        (
            status,
            state["total_hashes"].as_u64(),
            state["pending_submissions"].as_u64()
        ),
        (200, Some(6), Some(0)),
        "{state}"
    );
    assert_eq!(world.get("/health").await.0, 200);
    world.stop().await;

    // Everything is there again after a restart, and the chain goes on.
    world.start().await;
    let image = digest();
    let id = world
        .submit(
            "/api/v1/submit-cert",
            &camera.certificate_plan(image, now()),
        )
        .await;
    world.stored(&id).await;
    assert_eq!(world.get("/api/v1/status").await.1["total_hashes"], 7);
    world.stop().await;
    authority.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_flow_ends_in_a_receipt_on_sqlite() {
    the_whole_story(Base::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_flow_ends_in_a_receipt_on_postgresql() {
    the_whole_story(Base::postgres()).await;
}
