//! Nothing goes wrong.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthmark_capture::client::CaptureCalls as _;
use birthmark_capture::dng;
use birthmark_capture::messages::CaptureRefusal;
use birthmark_capture::settings::Source;
use birthmark_capture::sidecar::Sidecar;
use birthmark_ledger::{Receipt, Trusted, verify_receipt};
use birthmark_protocol::image_data::image_data;
use birthmark_protocol::{Bundle, Digest, PublicKey, Signature};
use futures_util::StreamExt as _;
use serde_json::Value;

use crate::world::{RunningCamera, World, connect};

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_gets_its_receipt_and_everything_about_it_can_be_recomputed() {
    let mut world = World::new().await;
    world.settings.dng = true;
    let _signer = world.sign();
    let mut camera = world.shoot().await;
    let photo = camera.capture().await;
    camera
        .until("the receipt", |status| status.stored == 1)
        .await;

    let path = std::path::PathBuf::from(&photo.path);
    let jpeg = std::fs::read(&path).unwrap();
    assert_eq!(Digest::of(&jpeg).to_hex(), photo.file);
    assert_eq!(image_data(&jpeg).unwrap().digest.to_hex(), photo.image_data);
    let frame = std::fs::read(path.with_extension("dng")).unwrap();
    assert_eq!(Some(Digest::of(&frame).to_hex()), photo.dng_file);
    assert_eq!(
        dng::read_frame(&frame).unwrap().digest().to_hex(),
        photo.raw
    );

    let sidecar = std::fs::read(path.with_extension("json")).unwrap();
    let sidecar: Sidecar = serde_json::from_slice(&sidecar).unwrap();
    let decode = |text: &Option<String>| STANDARD.decode(text.as_ref().unwrap()).unwrap();
    let bundle = Bundle::decode(&STANDARD.decode(&sidecar.bundle).unwrap()).unwrap();
    let key = PublicKey::from_spki_der(&decode(&sidecar.camera_cert)).unwrap();
    let signature = Signature::from_der(&decode(&sidecar.bundle_signature)).unwrap();
    key.verify_digest(&bundle.digest(None).unwrap(), &signature)
        .unwrap();
    assert_eq!(bundle.images()[0].digest.to_hex(), photo.raw);
    assert!(!sidecar.timeline.is_empty());

    let receipt = std::fs::read(path.with_extension("jpg.birthmark")).unwrap();
    let receipt = Receipt::parse(&receipt).unwrap();
    let genesis = crate::receipts::genesis(&crate::receipts::test_vote_key());
    let verified = verify_receipt(&receipt, &Trusted::genesis(&genesis)).unwrap();
    assert_eq!(verified.record.bundle(), &bundle);
    assert_eq!(world.node.records().get(&photo.raw), Some(&1));
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_can_be_given_away() {
    let world = World::new().await;
    let _signer = world.sign();
    world.node.feel(crate::world::Mood::Busy);
    let mut camera = world.shoot().await;
    let photo = camera.capture().await;
    let id: birthmark_capture::queue::EntryId = photo.id.parse().unwrap();
    let entry = world
        .settings
        .state
        .join("queue")
        .join(id.shard())
        .join(&photo.id);
    // The entry has its proof a moment after the photo was taken.
    let entry: Value = loop {
        let read: Value = serde_json::from_slice(&std::fs::read(&entry).unwrap()).unwrap();
        if read["proof"].is_object() {
            break read;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let sidecar =
        std::fs::read_to_string(std::path::Path::new(&photo.path).with_extension("json")).unwrap();
    for secret in [
        &entry["opening"],
        &entry["proof"]["token"]["nonce"],
        &entry["proof"]["token"]["ciphertext"],
    ] {
        let secret = secret.as_str().unwrap();
        assert!(secret.len() >= 24 && !sidecar.contains(secret));
    }
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_comes_one_by_one_in_order_and_no_two_photos_are_alike() {
    let world = World::new().await;
    let _signer = world.sign();
    let mut camera = world.shoot().await;
    let mut photos = Vec::new();
    {
        let mut stream = std::pin::pin!(camera.calls.capture_series(5, 20).await.unwrap());
        while let Some(photo) = stream.next().await {
            photos.push(photo.unwrap().unwrap());
        }
    }
    assert_eq!(photos.len(), 5);
    assert!(photos.is_sorted_by(|a, b| a.id < b.id));
    let raws: std::collections::BTreeSet<_> = photos.iter().map(|photo| &photo.raw).collect();
    assert_eq!(raws.len(), 5);
    camera
        .until("all receipts", |status| status.stored == 5)
        .await;
    assert_eq!(world.node.records().len(), 5);
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_series_ends_when_the_caller_hangs_up() {
    let world = World::new().await;
    let _signer = world.sign();
    let mut camera = world.shoot().await;
    let mut other = connect(&world.settings.socket).await;
    {
        let mut stream = std::pin::pin!(other.capture_series(0, 0).await.unwrap());
        for _ in 0..3 {
            stream.next().await.unwrap().unwrap().unwrap();
        }
    }
    drop(other);
    let mut before = camera.status().await.photos;
    for _ in 0..100 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let after = camera.status().await.photos;
        if after == before {
            camera.stop().await;
            return;
        }
        before = after;
    }
    panic!("the camera went on shooting for nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_parameters_are_refused_by_name() {
    let world = World::new().await;
    let mut camera = world.shoot().await;
    for (count, interval, field) in [
        (-1, 0, "count"),
        (1, -1, "interval_ms"),
        (1, i64::MAX, "interval_ms"),
    ] {
        let mut stream =
            std::pin::pin!(camera.calls.capture_series(count, interval).await.unwrap());
        let refusal = stream.next().await.unwrap().unwrap().unwrap_err();
        assert!(refusal.to_string().starts_with(field), "{refusal}");
    }
    let refusal = camera
        .calls
        .retry_queue(Some("../x"))
        .await
        .unwrap()
        .unwrap_err();
    assert!(refusal.to_string().starts_with("id"), "{refusal}");
    camera.stop().await;
}

/// Why a step of a calibration is not begun.
async fn refused(camera: &mut RunningCamera, step: &str, frames: i64) -> String {
    let mut stream = std::pin::pin!(camera.calls.calibrate(step, frames).await.unwrap());
    stream
        .next()
        .await
        .unwrap()
        .unwrap()
        .unwrap_err()
        .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_calibration_tells_how_far_it_is_and_ends_with_the_hash_of_a_map() {
    let world = World::new().await;
    let mut camera = world.shoot().await;
    for (step, frames, expected) in [
        ("side", 8, "step"),
        ("flat", 3, "not 3"),
        ("flat", -1, "frames"),
        ("finish", 8, "first"),
    ] {
        let refusal = refused(&mut camera, step, frames).await;
        assert!(refusal.contains(expected), "{refusal}");
    }
    let mut told = Vec::new();
    for step in ["flat", "dark", "finish"] {
        let mut stream = std::pin::pin!(camera.calls.calibrate(step, 8).await.unwrap());
        while let Some(answer) = stream.next().await {
            told.push(answer.unwrap().unwrap());
        }
    }
    assert_eq!(told.len(), 8 + 8 + 1);
    let result = told.pop().unwrap().result.unwrap();
    assert_eq!(
        Digest::of(&std::fs::read(&result.map).unwrap()).to_hex(),
        result.nuc_hash
    );
    assert!(result.gain_deviation_permille > 1.0);
    for step in ["flat", "dark", "finish"] {
        let refusal = refused(&mut camera, step, 8).await;
        assert!(refusal.contains("exists"), "{step}: {refusal}");
    }
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_wanted_during_a_calibration_is_refused_at_once_with_what_to_do() {
    let mut world = World::new().await;
    // Five hundred frames of this size take many times longer than the calls below.
    world.settings.source = Some(Source::Simulated {
        sensor: 7,
        width: Some(2028),
        height: Some(1520),
    });
    let mut camera = world.shoot().await;
    let mut calibrating = connect(&world.settings.socket).await;
    {
        let mut frames = std::pin::pin!(calibrating.calibrate("flat", 500).await.unwrap());
        let first = frames.next().await.unwrap().unwrap().unwrap();
        assert_eq!((first.step.as_str(), first.done), ("flat", 1));
        let refusal = camera.calls.capture().await.unwrap().unwrap_err();
        assert!(
            matches!(&refusal, CaptureRefusal::Busy { reason } if reason.contains("calibrated") && reason.contains("wait")),
            "{refusal:?}"
        );
        let mut other = std::pin::pin!(camera.calls.calibrate("dark", 8).await.unwrap());
        let refusal = other.next().await.unwrap().unwrap().unwrap_err();
        assert!(
            matches!(refusal, CaptureRefusal::Busy { .. }),
            "{refusal:?}"
        );
        let next = frames.next().await.unwrap().unwrap().unwrap();
        assert!(next.done < 500, "the calibration was over before the calls");
    }
    drop(calibrating);
    for _ in 0..600 {
        if camera.calls.capture().await.unwrap().is_ok() {
            return camera.stop().await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the camera is still reserved for a calibration nobody listens to");
}
