//! What an attacker tries against one validator, each as a failing attempt.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthmark_protocol::{Digest, PixelSource};
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

/// An authority of the attacker's own, which would say yes to everything, is never asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_authority_and_an_address_of_the_attackers_choice_are_never_asked() {
    let (mut world, authority, _) = stage(Base::Sqlite).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let foreign = Authority::found_named(elsewhere.path(), "attacker").await;
    let own = Camera::new(&foreign, "EVIL-1").await;
    let text = world
        .refused(
            "/api/v1/submit-cert",
            &own.certificate_plan(digest(), now()),
        )
        .await;
    assert!(
        text.contains("not issued by an authority this node knows"),
        "{text}"
    );
    let text = world
        .refused(
            "/api/v1/submit-cert",
            &own.ours([digest(), digest(), digest()]),
        )
        .await;
    assert!(text.contains("not issued by"), "{text}");

    // A listener that would notice any connection.
    let trap = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/validate", trap.local_addr().unwrap());
    let called = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&called);
    let trapper = tokio::spawn(async move {
        while trap.accept().await.is_ok() {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    let images = (digest(), digest());
    for name in [NAME, "attacker"] {
        let body = own.two_hashes(images.0, images.1, name, &address);
        let id = world.submit("/api/v1/submit", &body).await;
        assert_eq!(world.decided(&id).await["status"], "rejected");
    }
    assert_eq!(
        called.load(Ordering::SeqCst),
        0,
        "the node connected to an address from a request"
    );
    assert_eq!(world.verify(&images.0).await.0, 404);
    trapper.abort();
    world.stop().await;
    drop((authority, foreign));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_where_nobody_is_configured() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let mut world = World::started(Base::Sqlite, folder, Vec::new()).await;
    let text = world
        .refused(
            "/api/v1/submit",
            &camera.camera_plan(digest(), &camera.token(), false),
        )
        .await;
    assert!(text.contains("no default authority"), "{text}");
    world.stop().await;
}

/// Without it, whoever owns any camera got a record of the best assurance with somebody else's
/// published certificate.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_one_camera_beside_the_certificate_of_another_is_refused() {
    let (mut world, authority, one) = stage(Base::Sqlite).await;
    let two = Camera::new(&authority, "CAM-0002").await;
    for (signer, token_of) in [(&one, &two), (&two, &one)] {
        for packed in [false, true] {
            let photo = digest();
            let body = signer.with_token_of(token_of, photo, packed);
            let id = world.submit("/api/v1/submit", &body).await;
            let decided = world.decided(&id).await;
            assert_eq!(decided["status"], "rejected", "{decided}");
            let reason = decided["reason"].as_str().unwrap();
            assert!(reason.contains("do not belong together"), "{reason}");
            assert_eq!(world.verify(&photo).await.0, 404);
            // The same with its own token is a camera of the documents as it should be.
            let own = signer.with_token_of(signer, photo, packed);
            let id = world.submit("/api/v1/submit", &own).await;
            world.stored(&id).await;
            assert_eq!(world.verify(&photo).await.1["assurance"], "certificate");
        }
    }
    world.stop().await;
    drop(authority);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_cameras_certificate_beside_anybodys_token_registers_nothing() {
    let (mut world, authority, good) = stage(Base::Sqlite).await;
    let stolen = Camera::new(&authority, "CAM-0002").await;
    authority.revoke("CAM-0002").await;
    for body in [
        stolen.with_token_of(&good, digest(), false),
        good.with_token_of(&stolen, digest(), false),
    ] {
        let id = world.submit("/api/v1/submit", &body).await;
        assert_eq!(world.decided(&id).await["status"], "rejected");
    }
    world.stop().await;
    drop(authority);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulation_is_taken_by_a_rehearsal_only() {
    let (mut world, authority, camera) = stage(Base::Sqlite).await;
    for source in [PixelSource::Simulated, PixelSource::File] {
        let painted = camera.captured([digest(), digest(), digest()], now(), source, None);
        let text = world.refused("/api/v1/submit-cert", &painted).await;
        assert!(text.contains("this registry is no rehearsal"), "{text}");
    }
    world.stop().await;
    drop(authority);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_anchor_is_a_block_of_this_registry_and_dates_the_photo_from_below() {
    let (mut world, authority, camera) = stage(Base::Sqlite).await;
    let first = world
        .submit(
            "/api/v1/submit-cert",
            &camera.ours([digest(), digest(), digest()]),
        )
        .await;
    world.stored(&first).await;
    let (_, block) = world.get("/api/v1/block/1").await;
    let hash: Digest = block["block_hash"].as_str().unwrap().parse().unwrap();
    let anchored = |photo, anchor| {
        let images = [photo, digest(), digest()];
        camera.captured(images, now(), PixelSource::Sensor, Some(anchor))
    };
    let text = world
        .refused("/api/v1/submit-cert", &anchored(digest(), (1, digest())))
        .await;
    assert!(text.contains("follows another registry"), "{text}");
    let (status, answer) = world
        .post("/api/v1/submit-cert", &anchored(digest(), (99, hash)))
        .await;
    assert_eq!(status, 503, "{answer}");
    assert!(answer.to_string().contains("no block 99 yet"), "{answer}");

    let photo = digest();
    let id = world
        .submit("/api/v1/submit-cert", &anchored(photo, (1, hash)))
        .await;
    world.stored(&id).await;
    let url = format!("{}/api/v1/receipt/{photo}", world.url);
    let answer = crate::world::client().get(url).send().await.unwrap();
    let receipt = birthmark_ledger::Receipt::parse(&answer.bytes().await.unwrap()).unwrap();
    let trusted = birthmark_ledger::Trusted::genesis(&world.genesis);
    let verified = birthmark_ledger::verify_receipt(&receipt, &trusted).unwrap();
    let not_before = verified.not_before.unwrap();
    assert!(not_before < verified.block_time);
    assert_eq!(json!(not_before), receipt_time(&block));
    world.stop().await;
    drop(authority);
}

fn receipt_time(block: &Value) -> Value {
    block["header"]["time"].clone()
}

async fn tokens_and_duplicates(base: Base) {
    let (mut world, authority, camera) = stage(base).await;
    let (token, photo) = (camera.token(), digest());
    let first = world
        .submit("/api/v1/submit", &camera.camera_plan(photo, &token, false))
        .await;
    world.stored(&first).await;

    // Replayed for another photo: refused. For the same photo: the first receipt, and no second
    // record.
    let text = world
        .refused(
            "/api/v1/submit",
            &camera.camera_plan(digest(), &token, false),
        )
        .await;
    assert!(text.contains("already used for another photo"), "{text}");
    let again = world
        .submit("/api/v1/submit", &camera.camera_plan(photo, &token, false))
        .await;
    assert_eq!(again, first);
    assert_eq!(
        world.verify(&photo).await.1["records"]
            .as_array()
            .unwrap()
            .len(),
        1
    );

    // The same with a certificate, later, signed anew.
    let shot = digest();
    let first = world
        .submit("/api/v1/submit-cert", &camera.certificate_plan(shot, now()))
        .await;
    world.stored(&first).await;
    let again = world
        .submit(
            "/api/v1/submit-cert",
            &camera.certificate_plan(shot, now().plus(1)),
        )
        .await;
    assert_eq!(again, first);

    // Somebody else was first with this digest: the author is not locked out.
    let other = Camera::new(&authority, "CAM-0002").await;
    let body = other.certificate_plan(shot, now().plus(-5));
    let id = world.submit("/api/v1/submit-cert", &body).await;
    assert_ne!(id, first);
    world.stored(&id).await;
    assert_eq!(
        world.verify(&shot).await.1["records"]
            .as_array()
            .unwrap()
            .len(),
        2
    );

    // Two cameras of a family that claim the same second for the same photo say the same: one
    // record, two receipts.
    let (twin, time) = (digest(), now());
    let one = world
        .submit("/api/v1/submit-cert", &camera.certificate_plan(twin, time))
        .await;
    world.stored(&one).await;
    let two = world
        .submit("/api/v1/submit-cert", &other.certificate_plan(twin, time))
        .await;
    world.stored(&two).await;
    assert_ne!(one, two);
    world.stored(&one).await;

    // One token for two photos at once: exactly one of them is registered.
    let (token, photos) = (camera.token(), [digest(), digest()]);
    let bodies = photos.map(|photo| camera.camera_plan(photo, &token, false));
    let (one, two) = tokio::join!(
        world.post("/api/v1/submit", &bodies[0]),
        world.post("/api/v1/submit", &bodies[1])
    );
    let mut outcomes = Vec::new();
    for (status, answer) in [one, two] {
        outcomes.push(match status {
            202 => world.decided(answer["receipt_id"].as_str().unwrap()).await["status"]
                .as_str()
                .unwrap()
                .to_owned(),
            _ => "refused".to_owned(),
        });
    }
    outcomes.sort();
    assert!(
        outcomes
            .iter()
            .filter(|outcome| *outcome == "stored")
            .count()
            == 1,
        "{outcomes:?}"
    );
    let (status, report) = world.get("/api/v1/status").await;
    assert_eq!(
        (status, report["total_hashes"].as_u64()),
        (200, Some(5)),
        "{report}"
    );
    world.stop().await;
    drop(authority);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_spent_once_and_a_photo_has_one_receipt_per_camera_on_sqlite() {
    tokens_and_duplicates(Base::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_spent_once_and_a_photo_has_one_receipt_per_camera_on_postgresql() {
    tokens_and_duplicates(Base::postgres()).await;
}

/// Somebody who answers in the authority's name, with a key nobody pinned, is not believed, and
/// nothing is lost meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_verdict_registers_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Authority::found_named(elsewhere.path(), "elsewhere").await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let (genuine, mut deceived) = (authority.entry(), authority.entry());
    deceived.verdict_keys = other.entry().verdict_keys;
    let mut world = World::started(Base::Sqlite, folder, vec![deceived]).await;
    let photo = digest();
    let body = camera.certificate_plan(photo, now());
    let id = world.submit("/api/v1/submit-cert", &body).await;
    for _ in 0..1200 {
        let page = crate::world::client().get(format!("{}/status", world.url));
        let page = page.send().await.unwrap().text().await.unwrap();
        if page.contains("forged") {
            let (_, fate) = world.get(&format!("/api/v1/submission/{id}")).await;
            assert_eq!(fate["status"], "pending_validation", "{fate}");
            assert_eq!(world.verify(&photo).await.0, 404);
            world.stop().await;
            world.settings.authorities = vec![genuine];
            world.start().await;
            world.stored(&id).await;
            return world.stop().await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the forgery was never noticed");
}

/// One bad submission among good ones touches none of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_batch_spoils_nobody() {
    let (mut world, mut authority, camera) = stage(Base::Sqlite).await;
    authority.stop().await;
    let stranger_folder = tempfile::tempdir().unwrap();
    let strangers = Authority::found_named(stranger_folder.path(), "strangers").await;
    let stranger = Camera::new(&strangers, "EVIL-1").await;
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for round in 0..20 {
        good.push(
            world
                .submit(
                    "/api/v1/submit",
                    &camera.camera_plan(digest(), &camera.token(), false),
                )
                .await,
        );
        if round % 4 == 0 {
            // A token no table of this authority opens.
            bad.push(
                world
                    .submit(
                        "/api/v1/submit",
                        &stranger.camera_plan(digest(), &stranger.token(), false),
                    )
                    .await,
            );
        }
    }
    authority.start().await;
    for id in &good {
        world.stored(id).await;
    }
    for id in &bad {
        let fate = world.decided(id).await;
        assert_eq!(fate["status"], "rejected");
        assert!(
            fate["reason"].as_str().unwrap().contains("does not vouch"),
            "{fate}"
        );
    }
    world.stop().await;
    drop(strangers);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_signature_and_a_wrong_time_are_refused_and_leave_nothing() {
    let (mut world, authority, camera) = stage(Base::Sqlite).await;
    let thief = camera.stolen_certificate();
    for body in [
        thief.certificate_plan(digest(), now()),
        thief.ours([digest(), digest(), digest()]),
        thief.camera_plan(digest(), &camera.token(), true),
    ] {
        let path = if body.get("camera_cert").is_some() {
            "/api/v1/submit-cert"
        } else {
            "/api/v1/submit"
        };
        let text = world.refused(path, &body).await;
        assert!(text.contains("signature does not match"), "{text}");
    }
    // Signed for one photo, sent with another.
    let mut moved = camera.certificate_plan(digest(), now());
    moved["image_hash"] = digest().to_hex().into();
    assert!(
        world
            .refused("/api/v1/submit-cert", &moved)
            .await
            .contains("signature")
    );
    let mut garbage = camera.certificate_plan(digest(), now());
    garbage["bundle_signature"] = STANDARD
        .encode([0x30, 0x06, 0x02, 0x01, 0x00, 0x02, 0x01, 0x00])
        .into();
    assert!(matches!(
        world.post("/api/v1/submit-cert", &garbage).await.0,
        400 | 422
    ));

    let text = world
        .refused(
            "/api/v1/submit-cert",
            &camera.certificate_plan(digest(), now().plus(400)),
        )
        .await;
    assert!(text.contains("in the future"), "{text}");
    // Offline for weeks is not grounds for refusal.
    let id = world
        .submit(
            "/api/v1/submit-cert",
            &camera.certificate_plan(digest(), now().plus(-90 * 86_400)),
        )
        .await;
    world.stored(&id).await;
    assert_eq!(world.get("/api/v1/status").await.1["total_hashes"], 1);
    world.stop().await;
    drop(authority);
}

/// Neither answers nor exports nor the authority learn what must stay apart.
#[tokio::test(flavor = "multi_thread")]
async fn openings_stay_out_of_answers_blocks_and_the_settled_database() {
    let (mut world, authority, camera) = stage(Base::Sqlite).await;
    let body = camera.ours([digest(), digest(), digest()]);
    let opening = body["opening"].as_str().unwrap().to_owned();
    let certificate = body["camera_cert"].as_str().unwrap().to_owned();
    let id = world.submit("/api/v1/submit-cert", &body).await;
    let fate = world.stored(&id).await;
    let image = body["image_hashes"][0]["image_hash"].as_str().unwrap();
    let mut texts = vec![fate.to_string()];
    for path in [
        format!("/api/v1/verify/{image}"),
        "/api/v1/block/1".into(),
        format!("/api/v1/provenance/{image}"),
    ] {
        texts.push(world.get(&path).await.1.to_string());
    }
    for text in &texts {
        assert!(
            !text.contains(&opening) && !text.contains(&certificate) && !text.contains("CAM-0001")
        );
    }
    let block = crate::world::client()
        .get(format!("{}/api/v1/block/1/bytes", world.url))
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let raw_opening = hex::decode(&opening).unwrap();
    assert!(!block.windows(32).any(|window| window == raw_opening));
    world.stop().await;
    // Rows that hold an opening are gone from the tables; the database's own free pages are
    // overwritten by use.
    let store = birthmark_node::store::Store::open(&world.settings.database)
        .await
        .unwrap();
    assert_eq!(
        (
            store.waiting_count().await.unwrap(),
            store.pool_waiting().await.unwrap().records
        ),
        (0, 0)
    );
    store.close().await;
    drop(authority);
}
