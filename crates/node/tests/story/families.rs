//! Families of images as strangers may make them, and what every answer about a photo carries.

use serde_json::{Value, json};

use crate::camera::{Camera, digest, now};
use crate::edits::{TOKEN, edit, signed, stage};
use crate::world::{Base, World, client};

async fn family(world: &World, image: &birthmark_protocol::Digest) -> Value {
    let (status, answer) = world.get(&format!("/api/v1/provenance/{image}")).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

fn distances(relatives: &Value) -> Vec<u64> {
    let relatives = relatives.as_array().unwrap().iter();
    relatives
        .map(|relative| relative["distance"].as_u64().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_line_and_a_large_family_are_cut_and_say_so() {
    let (mut world, authority, camera) = stage(Base::Sqlite).await;
    let photo = digest();
    let body = camera.certificate_plan(photo, now());
    let id = world.submit("/api/v1/submit-cert", &body).await;
    world.stored(&id).await;
    let mut line = vec![photo];
    for _ in 0..20 {
        let mut next = edit(*line.last().unwrap(), 1);
        next.image_data = None;
        let id = world.submit("/api/v1/submit-cert", &signed(&next)).await;
        world.stored(&id).await;
        line.push(next.image);
    }
    let steps: Vec<u64> = (1..=16).collect();
    for (image, direction, other) in [
        (line[20], "ancestors", "descendants"),
        (line[0], "descendants", "ancestors"),
    ] {
        let answer = family(&world, &image).await;
        assert_eq!(distances(&answer[direction]), steps, "{direction}");
        assert_eq!(
            (answer["is_cut"].as_bool(), distances(&answer[other]).len()),
            (Some(true), 0)
        );
    }
    let middle = family(&world, &line[10]).await;
    assert_eq!(
        (
            distances(&middle["ancestors"]).len(),
            distances(&middle["descendants"]).len(),
            &middle["is_cut"]
        ),
        (10, 10, &json!(false))
    );

    let mut last = String::new();
    for _ in 0..520 {
        let mut copy = edit(line[20], 2);
        copy.image_data = None;
        last = world.submit("/api/v1/submit-cert", &signed(&copy)).await;
    }
    world.stored(&last).await;
    let answer = family(&world, &line[20]).await;
    assert_eq!(
        (distances(&answer["descendants"]).len(), &answer["is_cut"]),
        (500, &json!(true))
    );
    world.stop().await;
    drop(authority);
}

/// Two cameras that each say the other's picture came second: nobody is walked in circles.
#[tokio::test(flavor = "multi_thread")]
async fn contradicting_claims_close_no_circle() {
    let (mut world, authority, camera) = stage(Base::Sqlite).await;
    let other = Camera::new(&authority, "CAM-0002").await;
    let (one, two) = (digest(), digest());
    for (camera, images) in [
        (&camera, [one, two, digest()]),
        (&other, [two, one, digest()]),
    ] {
        let id = world
            .submit("/api/v1/submit-cert", &camera.ours(images))
            .await;
        world.stored(&id).await;
    }
    for image in [one, two] {
        let answer = family(&world, &image).await;
        assert_eq!(answer["is_cut"], false);
        for direction in ["ancestors", "descendants"] {
            let relatives = answer[direction].as_array().unwrap();
            let mut named: Vec<_> = relatives
                .iter()
                .map(|relative| relative["image_hash"].as_str().unwrap())
                .collect();
            assert!(named.len() <= 3, "{answer}");
            named.sort_unstable();
            named.dedup();
            assert_eq!(named.len(), relatives.len(), "{answer}");
            assert!(!named.contains(&image.to_hex().as_str()), "{answer}");
        }
    }
    // An edit of something that does not exist yet would be the other way to close one.
    let (mut early, late) = (edit(digest(), 1), edit(digest(), 1));
    early.original = late.image;
    let refused = world.refused("/api/v1/submit-cert", &signed(&early)).await;
    assert!(refused.contains("not registered"), "{refused}");
    world.stop().await;
    drop(authority);
}

/// Both times, the family, who vouches and how strongly.
fn is_complete(answer: &Value, assurance: Option<&str>, family: &str) {
    assert_eq!(answer["assurance"].as_str(), assurance, "{answer}");
    assert_eq!(answer["device_family"], family, "{answer}");
    assert!(
        answer["timestamp"].is_i64() && answer["block_time"].is_string(),
        "{answer}"
    );
    assert!(
        answer["authority"].is_string() && answer.get("revocation").is_some(),
        "{answer}"
    );
    let finding = answer["finding"].as_str().unwrap();
    assert!(
        finding.contains("existed before") && finding.contains("own clock"),
        "{finding}"
    );
}

/// What is not proven, in sentences that can be quoted.
fn says_what_is_not_proven(answer: &Value, about: &str) {
    let sentences = answer["not_proven"].as_array().unwrap();
    assert!(sentences.len() >= 3, "{answer}");
    for sentence in sentences {
        let sentence = sentence.as_str().unwrap();
        assert!(sentence.len() > 20 && sentence.ends_with('.'), "{sentence}");
    }
    let all = answer["not_proven"].to_string();
    assert!(all.contains(about), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_about_a_photo_says_who_vouches_when_and_what_is_not_proven() {
    let (mut world, authority, camera) = stage(Base::Sqlite).await;
    let photos = [digest(), digest(), digest(), digest()];
    let server = json!({"image_hash": photos[2], "timestamp": now(), "submission_server_id": "gateway", "modification_level": 0});
    for (path, body) in [
        (
            "/api/v1/submit",
            camera.camera_plan(photos[0], &camera.token(), false),
        ),
        (
            "/api/v1/submit-cert",
            camera.certificate_plan(photos[1], now()),
        ),
    ] {
        let id = world.submit(path, &body).await;
        // Nothing is promised before it is in a block: no receipt, and no answer that says so.
        let (_, fate) = world.get(&format!("/api/v1/submission/{id}")).await;
        assert!(
            fate["status"] == "stored" || fate["receipt"].is_null(),
            "{fate}"
        );
        world.stored(&id).await;
    }
    let answer = client()
        .post(format!("{}/api/v1/blockchain/submit", world.url))
        .bearer_auth(TOKEN)
        .json(&server)
        .send()
        .await
        .unwrap();
    let answer: Value = answer.json().await.unwrap();
    world.stored(answer["receipt_id"].as_str().unwrap()).await;
    let mut copy = edit(photos[1], 1);
    copy.image = photos[3];
    let id = world.submit("/api/v1/submit-cert", &signed(&copy)).await;
    world.stored(&id).await;

    let (_, many) = world
        .post("/api/v1/verify", &json!({"image_hashes": photos}))
        .await;
    for (place, (assurance, name, about)) in [
        (Some("token"), "Test Camera", "could not be checked"),
        (Some("certificate"), "Test Camera", "never left the camera"),
        (None, "", "No camera was checked"),
        (Some("certificate"), "Test Editor 1.0", "what was changed"),
    ]
    .into_iter()
    .enumerate()
    {
        let (_, one) = world.verify(&photos[place]).await;
        for answer in [&one, &many["results"][place]] {
            is_complete(answer, assurance, name);
            is_complete(&answer["records"][0], assurance, name);
            says_what_is_not_proven(answer, about);
            says_what_is_not_proven(answer, "scene is what it seems");
        }
        let path = format!("/api/v1/blockchain/verify/{}", photos[place]);
        assert_eq!(world.get(&path).await.1, one, "the documents' address");
    }
    let answer = family(&world, &photos[3]).await;
    is_complete(&answer["ancestors"][0], Some("certificate"), "Test Camera");
    says_what_is_not_proven(&answer, "what it was made from");
    let answer = family(&world, &photos[1]).await;
    is_complete(
        &answer["descendants"][0],
        Some("certificate"),
        "Test Editor 1.0",
    );
    // Not finding a photo proves nothing against it, and the answer says so.
    let (status, answer) = world.verify(&digest()).await;
    assert_eq!((status, answer["verified"].as_bool()), (404, Some(false)));
    assert!(
        answer["finding"]
            .as_str()
            .unwrap()
            .contains("proves nothing about the photo")
    );
    world.stop().await;
    drop(authority);
}
