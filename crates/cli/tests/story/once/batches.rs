//! Batches that are interrupted: by the camera's power, by the authority's, by the end of an epoch,
//! by the loss of the chip.

use std::time::Duration;

use crate::once::kit::{Kit, stage};
use crate::running::until;

/// However often the power fails on either side, the camera has its keys in the end, and the
/// authority has counted each of them once.
#[test]
fn a_batch_that_is_cut_off_again_and_again_is_fetched_once() {
    const KEYS: usize = 12;
    let mut stage = stage("wait");
    stage.camera.wants(KEYS);
    for cut in 0..8 {
        stage.camera.start();
        // From the first keys that are made to the signatures takes some five seconds.
        std::thread::sleep(Duration::from_millis(400 + 700 * cut));
        stage.camera.kill();
        if cut % 2 == 1 {
            stage.authority.take().unwrap().kill();
            stage.authority = Some(stage.maker.institutions.start_authority());
        }
    }
    stage.camera.start();
    until("the keys", || stage.camera.ready_keys().len() == KEYS);
    let list = stage.maker.epoch_list();
    assert_eq!(list[0]["issued"], KEYS, "{list}");
    let photo = stage.camera.photo();
    stage.camera.receipt_of(&photo);
}

/// The epoch ends while the camera, without a network, has half a batch. The half goes, and the
/// next epoch's batch is fetched as if nothing had been.
#[test]
fn half_a_batch_of_an_epoch_that_ended_is_in_nobody_s_way() {
    let mut stage = stage("wait");
    stage.camera.wants(40);
    stage.camera.start();
    let drafts = |camera: &Kit| {
        let epochs = std::fs::read_dir(camera.signer_folder().join("one-time"));
        let folders = epochs
            .into_iter()
            .flatten()
            .map(|epoch| epoch.unwrap().path());
        let files = folders.flat_map(|epoch| std::fs::read_dir(epoch.join("draft")));
        files.flatten().count()
    };
    until("some keys", || drafts(&stage.camera) >= 8);
    // The authority has begun it, too, as far as it knows.
    stage.camera.kill();
    stage.travel(20);
    stage.camera.fetches_keys(4);
    let photo = stage.camera.photo();
    stage.camera.receipt_of(&photo);
    assert_eq!(drafts(&stage.camera), 0);
    let list = stage.maker.epoch_list();
    let issued = list
        .as_array()
        .unwrap()
        .iter()
        .map(|epoch| &epoch["issued"]);
    assert_eq!(issued.collect::<Vec<_>>(), [0, 4], "{list}");
}

/// A withdrawn epoch: no more keys, and what is signed under the ones that are out is kept with the
/// validator's sentence.
#[test]
fn keys_of_a_withdrawn_epoch_are_neither_signed_nor_taken() {
    let mut stage = stage("wait");
    stage.camera.fetches_keys(2);
    let early = stage.camera.photo();
    stage.camera.receipt_of(&early);
    let withdraw = ["epoch", "withdraw", "--family", crate::once::kit::FAMILY];
    stage.maker.institutions.administer(&withdraw);
    // A start fetches at once what comes within a minute.
    stage.validator.take().unwrap().stop();
    stage.validator = Some(stage.maker.institutions.start_validator());
    until("the withdrawal", || {
        let log = stage.maker.log("node");
        let taken = stage.maker.statements();
        assert!(!log.contains("panicked"), "{log}");
        taken == 2
    });
    let late = stage.camera.photo();
    until("the refusal", || {
        let listed = stage.camera.birthmark(&["queue", "list"]);
        listed.text.contains("withdrew")
    });
    assert!(!Kit::receipt(&late).exists());
    stage.camera.stop();
    stage.camera.wants(20);
    stage.camera.start();
    until("the sentence", || {
        let log = stage.camera.log("capture");
        log.contains("withdrew the keys of epoch")
    });
}

/// A factory-new chip in the old one's place is another camera: it signs nothing, says why, and the
/// photos wait.
#[test]
fn a_chip_that_was_exchanged_signs_nothing_and_no_photo_is_lost() {
    let mut stage = stage("wait");
    stage.camera.fetches_keys(3);
    let early = stage.camera.photo();
    stage.camera.receipt_of(&early);
    stage.camera.stop();
    stage.camera.tpm.replace().unwrap();
    stage.camera.start();
    let photo = stage.camera.photo();
    until("the sentence", || {
        let log = stage.camera.log("capture");
        log.contains("photos wait for their signature")
    });
    let listed = stage.camera.birthmark(&["queue", "list"]);
    assert!(listed.text.contains("not the TPM"), "{}", listed.text);
    assert!(photo.exists() && !Kit::receipt(&photo).exists());
    // No key was used up in trying.
    assert_eq!(stage.camera.ready_keys().len(), 2);
}
