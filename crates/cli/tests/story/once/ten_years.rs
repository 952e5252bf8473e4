//! Ten years of one camera: its clock and everybody's is moved from renewal to renewal and from
//! epoch to epoch, the maker changes its keys, the chip breaks. Every photo ends with a receipt.

use std::fs;
use std::path::PathBuf;

use crate::once::kit::{Kit, Stage, stage};
use crate::running::until;

/// Days between two looks at the camera: a renewal is due in the last 90 days of two years, and
/// asked for by a timer every day.
const STEP: i64 = 80;
/// Years in the test's short form; `BIRTHMARK_YEARS=10` for the long one. The maker's root ends
/// after ten.
const YEARS: i64 = 3;

#[test]
fn ten_years_of_renewals_epochs_and_repairs_end_with_a_receipt_for_every_photo() {
    let years = std::env::var("BIRTHMARK_YEARS").map_or(YEARS, |text| text.parse().unwrap());
    let mut stage = stage("certificate");
    let (mut photos, mut renewals): (Vec<PathBuf>, u32) = (Vec::new(), 0);
    let end = years * 365 - 10;
    let days: Vec<i64> = (0..)
        .map(|step| step * STEP)
        .take_while(|day| *day < end)
        .collect();
    stage.camera.wants(1);
    // An intermediate lasts five years.
    let (repair, new_issuers) = (2, [days.len() / 3, days.len() * 2 / 3]);
    for (step, day) in days.iter().enumerate() {
        if step > 0 {
            stage.travel_with(*day, |stage| {
                new_verdict_key(stage, step);
                if new_issuers.contains(&step) {
                    new_intermediate(stage, step);
                }
            });
        }
        if step == repair {
            exchange_the_chip(&mut stage);
        }
        let said = stage.camera.birthmark(&["renew", "--if-due"]).well();
        renewals += u32::from(said.contains("renewed the certificate"));
        // One photo under a one-time key, and one when there is none left.
        let present = *stage.maker.epochs().last().unwrap();
        stage.camera.restart_capture();
        until("a key of the present epoch", || {
            !stage.camera.ready_keys_of(present).is_empty()
        });
        let unlinkable = stage.camera.photo();
        stage.camera.receipt_of(&unlinkable);
        assert!(stage.camera.sidecar(&unlinkable)["one_time_key"].is_string());
        let certified = stage.camera.photo();
        until("its signature", || {
            stage.camera.sidecar(&certified)["bundle_signature"].is_string()
        });
        photos.extend([unlinkable, certified]);
    }
    for photo in &photos {
        let receipt = stage.camera.receipt_of(photo);
        assert!(receipt.header.height.get() > 0);
    }
    let expected = u32::try_from(years / 2).unwrap();
    assert!(renewals >= expected, "{renewals} renewals in {years} years");
    let list = stage.maker.epoch_list();
    let epochs = list.as_array().unwrap().len();
    println!(
        "{years} years: {} photos, {renewals} renewals, {epochs} epochs, every photo with its receipt",
        photos.len()
    );
}

/// A verdict key is certified for a year: the maker makes a new one and tells the validator.
fn new_verdict_key(stage: &Stage, step: usize) {
    let institutions = &stage.maker.institutions;
    let key = institutions.administer(&["rotate-verdict-key"]);
    let file = institutions.public(&format!("verdict-key-{step}.pem"));
    fs::write(&file, key).unwrap();
    let more = format!("verdict_keys = [{file:?}, ");
    institutions.change("node", "verdict_keys = [", &more);
}

/// So is the intermediate for five. Certificates of the old one stay good.
fn new_intermediate(stage: &Stage, step: usize) {
    let institutions = &stage.maker.institutions;
    let root = stage.folder.path().join("root.key.pem");
    institutions.administer(&["rotate-ca", "--root-key", root.to_str().unwrap()]);
    let all =
        crate::once::kit::get_text(&format!("{}/ca/intermediate.pem", institutions.authority));
    let begin = all.rfind("-----BEGIN CERTIFICATE-----").unwrap();
    let file = institutions.public(&format!("intermediate-{step}.pem"));
    fs::write(&file, all.split_at(begin).1).unwrap();
    institutions.change("node", "ca = [", &format!("ca = [{file:?}, "));
}

/// The chip broke with a photo unsigned. The operator puts another one in and enrols the camera
/// again; what had waited is signed by the new one.
fn exchange_the_chip(stage: &mut Stage) {
    stage.camera.stop();
    stage.camera.tpm.replace().unwrap();
    stage.camera.start();
    let waiting = stage.camera.photo();
    until("the sentence", || {
        let log = stage.camera.log("capture");
        log.contains("not the TPM this camera was provisioned with")
    });
    assert!(!Kit::receipt(&waiting).exists());
    stage.camera.provision_again(&stage.maker, "ONCE-0002");
    stage.camera.receipt_of(&waiting);
}
