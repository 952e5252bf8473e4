//! Photos under one-time keys with everything real: an emulated chip, the signer, the camera, the
//! authority and the validator, each a process of its own.

mod batches;
mod kill;
mod kit;
mod ten_years;

use serde_json::Value;

use crate::once::kit::{FAMILY, Kit, Maker, stage};
use crate::running::until;

/// A batch is fetched by itself, and a photo under one of its keys is as good as one under the
/// certificate, without anybody being asked.
#[test]
fn a_photo_under_a_one_time_key_is_attested_with_its_family_and_epoch() {
    let mut stage = stage("wait");
    stage.camera.fetches_keys(8);
    // The authority is gone: nobody asks it about a photo.
    drop(stage.authority.take());
    let photo = stage.camera.photo();
    stage.camera.receipt_of(&photo);
    let sidecar = stage.camera.sidecar(&photo);
    let key = sidecar["one_time_key"].as_str().unwrap();
    assert_eq!(key.len(), 66);
    assert_eq!(sidecar["camera_cert"], Value::Null, "{sidecar}");

    let found = stage.maker.answer_about(&Kit::file_digest(&sidecar));
    assert_eq!(found["assurance"], "attested", "{found}");
    assert_eq!(found["device_family"], FAMILY, "{found}");
    assert_eq!(found["epoch"], stage.maker.epochs()[0], "{found}");
    assert_eq!(found["revocation"], Value::Null, "{found}");
    let genesis = stage.maker.institutions.genesis();
    let said = stage.camera.birthmark(&[
        "verify",
        "--node",
        &stage.maker.institutions.validator,
        "--genesis",
        genesis.to_str().unwrap(),
        photo.to_str().unwrap(),
    ]);
    assert!(said.well().contains("attested"));
}

/// Whoever chose the certificate for the time when keys are out is told of every photo that takes
/// it; whoever chose to wait waits.
#[test]
fn what_happens_when_no_key_is_left_is_chosen_beforehand_and_said() {
    for (choice, proof) in [("certificate", "camera_cert"), ("wait", "one_time_key")] {
        let mut stage = stage(choice);
        stage.camera.fetches_keys(1);
        let first = stage.camera.photo();
        stage.camera.receipt_of(&first);
        assert!(stage.camera.sidecar(&first)["one_time_key"].is_string());
        let second = stage.camera.photo();
        if choice == "wait" {
            until("the sentence", || {
                stage.camera.log("capture").contains("there are new ones")
            });
            assert!(stage.camera.sidecar(&second)["bundle_signature"].is_null());
            stage.camera.restart_capture();
        }
        stage.camera.receipt_of(&second);
        let sidecar = stage.camera.sidecar(&second);
        assert!(sidecar[proof].is_string(), "{choice}: {sidecar}");
        if choice == "certificate" {
            let log = stage.camera.log("capture");
            assert!(log.contains("which ties it to others"), "{log}");
        }
    }
}

/// Files on the card that broke: each is one key, said and gone, and no photo with it.
#[test]
fn a_damaged_key_is_said_and_no_photo_is_lost() {
    let mut stage = stage("wait");
    stage.camera.fetches_keys(6);
    stage.camera.stop();
    let keys = stage.camera.ready_keys();
    // One is cut off, and of another the chip's part is changed.
    std::fs::write(&keys[0], b"{\"blob\": ").unwrap();
    let text = std::fs::read_to_string(&keys[1]).unwrap();
    let mut key: Value = serde_json::from_str(&text).unwrap();
    let private = key["blob"]["private"].as_str().unwrap().to_owned();
    let (begin, end) = private.split_at(private.len() - 8);
    let other = if end == "00000000" {
        "11111111"
    } else {
        "00000000"
    };
    key["blob"]["private"] = format!("{begin}{other}").into();
    std::fs::write(&keys[1], serde_json::to_vec(&key).unwrap()).unwrap();
    stage.camera.start();
    let photos: Vec<_> = (0..4).map(|_| stage.camera.photo()).collect();
    for photo in &photos {
        stage.camera.receipt_of(photo);
    }
    // Six keys, four photos: whoever takes one more meets the damaged ones.
    let fifth = stage.camera.photo();
    until("the damaged keys' end", || {
        stage.camera.ready_keys().is_empty()
    });
    let log = stage.camera.log("signer");
    assert_eq!(log.matches("was damaged on the disk").count(), 2, "{log}");
    stage.camera.fetches_keys(2);
    stage.camera.receipt_of(&fifth);
}

/// A proof that waited until no validator takes it any more is made anew under a key of today; the
/// photo's time stays its own.
#[test]
fn a_photo_that_waits_beyond_its_epoch_s_grace_is_signed_anew_and_keeps_its_time() {
    let mut stage = stage("wait");
    stage.camera.fetches_keys(4);
    let early = stage.camera.photo();
    stage.camera.receipt_of(&early);
    drop(stage.validator.take());
    let photo = stage.camera.photo();
    until("its signature", || {
        stage.camera.sidecar(&photo)["one_time_key"].is_string()
    });
    let first = stage.camera.sidecar(&photo);
    stage.travel(60);
    stage.camera.fetches_keys(4);
    stage.camera.receipt_of(&photo);
    let second = stage.camera.sidecar(&photo);
    assert_ne!(first["one_time_key"], second["one_time_key"]);
    assert_eq!(first["bundle"], second["bundle"]);
    let found = stage.maker.answer_about(&Kit::file_digest(&second));
    assert_eq!(found["assurance"], "attested", "{found}");
    // Of an epoch that is over the authority says how many keys it signed.
    let list = stage.maker.epoch_list();
    assert_eq!(list[0]["issued"], 4, "{list}");
    assert_eq!(list[0]["is_closed"], true, "{list}");
}

/// An authority that wanted to know this camera again would give it an epoch's key of its own. The
/// validators' registry has another one, and the camera makes no keys for it.
#[test]
fn a_camera_that_is_shown_another_key_than_the_registry_s_takes_none() {
    let mut stage = stage("wait");
    let folder = tempfile::TempDir::new().unwrap();
    let marking = Maker::found(
        folder.path(),
        &stage.camera.tpm.endorsement_authorities().unwrap(),
    );
    let _marking = marking.institutions.start_authority();
    marking.new_epoch();
    let honest = stage.maker.institutions.authority.clone();
    let shown = marking.institutions.authority.clone();
    stage.camera.change("capture", &honest, &shown);
    stage.camera.start();
    until("the sentence", || {
        let log = stage.camera.log("capture");
        log.contains("is not the one in the registry of")
    });
    assert!(!stage.camera.signer_folder().join("one-time").exists());
    // The photo waits for keys that nobody marked.
    let photo = stage.camera.photo();
    stage.camera.change("capture", &shown, &honest);
    stage.camera.stop();
    stage.camera.fetches_keys(2);
    stage.camera.receipt_of(&photo);
}

/// A clock that is years off signs nothing under a key of another time, and loses no photo.
#[test]
fn a_clock_that_is_wrong_by_years_loses_no_photo() {
    let mut stage = stage("wait");
    stage.camera.fetches_keys(3);
    let first = stage.camera.photo();
    stage.camera.receipt_of(&first);
    stage.camera.set_clock(Some(-3000));
    let photo = stage.camera.photo();
    until("the sentence", || {
        stage.camera.log("capture").contains("there are new ones")
    });
    assert!(!Kit::receipt(&photo).exists());
    stage.camera.set_clock(None);
    let today = stage.camera.photo();
    stage.camera.receipt_of(&today);
    // It says a time that no validator believes; who took it may look at it, and nothing else
    // waits for it.
    until("the refusal", || {
        let listed = stage.camera.birthmark(&["queue", "list"]);
        listed.text.contains("refused") || Kit::receipt(&photo).exists()
    });
}
