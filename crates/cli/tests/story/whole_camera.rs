//! The whole camera against a real authority and a real validator, each a process of its own: new
//! camera, photo, receipt, and then strangers' tools that know nothing of ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use birthmark_protocol::Digest;
use birthmark_testkit::tpm::Swtpm;
use serde_json::Value;
use tempfile::TempDir;

use crate::institutions::Institutions;
use crate::outfit::Outfit;
use crate::process::run;
use crate::running::until;

#[test]
fn a_new_camera_is_provisioned_and_its_photo_is_proven_to_strangers() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let tpm = Swtpm::start().unwrap();
    let makers = tpm.endorsement_authorities().unwrap();
    let institutions = Institutions::found(folder, &makers);
    let _authority = institutions.start_authority();
    let validator = institutions.start_validator();
    let camera = Outfit::switch_on(folder, tpm, &institutions);

    a_new_camera_says_what_it_lacks(&camera);
    let nuc_hash = its_sensor_is_measured_once(&camera);
    provision(&camera, &institutions, &nuc_hash);
    until("a fix", || camera.birthmark(&["gps"]).status == Some(0));

    let photo = camera.birthmark(&["capture", "--json"]);
    assert_eq!(photo.status, Some(0), "{}", photo.text);
    let photo = photo.json();
    assert_eq!(photo["disclosure_root"].as_str().unwrap().len(), 64);
    let path = PathBuf::from(photo["path"].as_str().unwrap());
    let receipt = path.with_extension("jpg.birthmark");
    until("the receipt", || receipt.exists());
    let sidecar = fs::read_to_string(path.with_extension("json")).unwrap();
    assert!(sidecar.contains("\"key_store\": \"tpm\""), "{sidecar}");

    anybody_finds_it(&camera, &institutions, &path, &receipt);
    everything_about_the_camera_is_well(&camera);
    strangers_confirm_it(&institutions, &path);
    the_authority_knows_no_digest(folder, &photo);

    it_checks_the_newest_block(&camera, 1);
    validator.stop();
    let (entry, late) = a_proof_waits_for_the_validator(&camera, folder);
    the_authority_can_open_the_token(&institutions, &entry, &nuc_hash);
    let _validator = institutions.start_validator();
    camera.birthmark(&["queue", "retry"]).well();
    until("the late receipt", || !entry.exists());
    both_ends_of_its_time_are_proven(&camera, &institutions, &late);
    let checked = camera.birthmark(&["check"]).well();
    assert!(checked.contains("signed and registered"), "{checked}");
}

/// As soon as there is one, photos name it.
fn it_checks_the_newest_block(camera: &Outfit, height: u64) {
    until("the newest block", || {
        let status = camera.birthmark(&["status", "--json"]);
        status.json()["anchor"]["height"] == height
    });
    let said = camera.birthmark(&["status"]).well();
    assert!(said.contains("newest block 1 of "), "{said}");
}

/// The photo was taken while the validator was away: it names the last block that was checked.
fn both_ends_of_its_time_are_proven(camera: &Outfit, institutions: &Institutions, photo: &Path) {
    let receipt = photo.with_extension("jpg.birthmark");
    let genesis = institutions.genesis();
    let shown = camera.birthmark(&[
        "receipt",
        "show",
        "--json",
        "--genesis",
        genesis.to_str().unwrap(),
        receipt.to_str().unwrap(),
    ]);
    let proven = shown.json();
    assert_eq!(proven["holds"], true, "{proven}");
    let read = birthmark_ledger::Receipt::parse(&fs::read(&receipt).unwrap()).unwrap();
    assert_eq!(read.record.bundle().anchor(), Some(1));
    assert!(read.anchor.unwrap().header.time < read.header.time);
    assert!(proven.to_string().contains("taken after"), "{proven}");
}

fn a_new_camera_says_what_it_lacks(camera: &Outfit) {
    let info = camera.birthmark(&["info"]);
    assert_eq!(info.status, Some(1));
    assert!(info.text.contains("birthmark provision"), "{}", info.text);
    let test = camera.birthmark(&["test"]);
    assert_eq!(test.status, Some(1), "{}", test.text);
    assert!(test.text.contains("✗ identity"), "{}", test.text);
}

/// As the manufacturer does it; returns the hash of the map.
fn its_sensor_is_measured_once(camera: &Outfit) -> String {
    let handless = camera.birthmark(&["calibrate"]);
    assert_eq!(handless.status, Some(2), "{}", handless.text);
    assert!(handless.text.contains("--no-pause"), "{}", handless.text);
    let measure = ["calibrate", "--no-pause", "--frames", "8", "--json"];
    let measured = camera.birthmark(&measure);
    assert_eq!(measured.status, Some(0), "{}", measured.text);
    let result = measured.json();
    let map = fs::read(result["map"].as_str().unwrap()).unwrap();
    assert_eq!(Digest::of(&map).to_hex(), result["nuc_hash"]);
    let plot = fs::read(result["plot"].as_str().unwrap()).unwrap();
    assert!(plot.starts_with(b"<svg"));
    let again = camera.birthmark(&measure);
    assert_eq!(again.status, Some(2), "{}", again.text);
    assert!(again.text.contains("was calibrated"), "{}", again.text);
    result["nuc_hash"].as_str().unwrap().to_owned()
}

fn provision(camera: &Outfit, institutions: &Institutions, nuc_hash: &str) {
    let token = camera.place("enrolment-token");
    std::fs::write(&token, institutions.enrolment_token("lab", "STORY-0001")).unwrap();
    let arguments = [
        "provision",
        "--token-file",
        token.to_str().unwrap(),
        "--authority",
        &institutions.authority,
        "--serial",
        "STORY-0001",
        "--family",
        "Story camera",
        "--nuc-hash",
        nuc_hash,
        "--require-attestation",
    ];
    let said = camera.birthmark(&arguments).well();
    assert!(said.contains("the authority saw the TPM attest"), "{said}");
    // An answer that was lost is given once more to whoever has the token and the camera's key.
    let again = camera.birthmark(&arguments).well();
    assert!(
        again.contains("the authority saw the TPM attest"),
        "{again}"
    );
}

fn anybody_finds_it(camera: &Outfit, institutions: &Institutions, photo: &Path, receipt: &Path) {
    let node = institutions.validator.as_str();
    let genesis = institutions.genesis();
    for (ending, role) in [("jpg", "file"), ("dng", "file")] {
        let file = photo.with_extension(ending);
        let known = ["--genesis", genesis.to_str().unwrap()];
        let asked = ["verify", "--json", "--node", node, file.to_str().unwrap()];
        let found = camera.birthmark(&[&asked[..], &known].concat());
        assert_eq!(found.status, Some(0), "{}", found.text);
        let finding = &found.json()[0];
        assert_eq!(finding["matched"]["role"], role);
        let facts = finding["facts"].as_array().unwrap();
        let is_attested = |fact: &Value| fact["value"].as_str().unwrap().starts_with("attested");
        assert!(facts.iter().any(is_attested));
    }
    let shown = camera.birthmark(&[
        "receipt",
        "show",
        "--genesis",
        genesis.to_str().unwrap(),
        "--photo",
        photo.to_str().unwrap(),
        receipt.to_str().unwrap(),
    ]);
    assert!(shown.well().contains("the receipt holds"));
}

fn everything_about_the_camera_is_well(camera: &Outfit) {
    let test = camera.birthmark(&["test"]).well();
    assert_eq!(test.lines().count(), 7, "{test}");
    assert!(test.lines().all(|line| line.starts_with('✓')), "{test}");
    camera.birthmark(&["info"]).well();
    let status = camera.birthmark(&["status"]).well();
    assert!(status.contains("story.example/registry"), "{status}");
}

/// `openssl` and the standard library of Python, with the authority's public certificates.
fn strangers_confirm_it(institutions: &Institutions, photo: &Path) {
    let said = run(script().arg(photo).args([
        institutions.public("root.pem"),
        institutions.public("intermediate.pem"),
    ]));
    for expected in [
        "file ",
        "image-data ",
        "DNG ",
        "raw ",
        "signature ",
        "certificate ",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    // A single changed bit is noticed: in the picture, in the claims, in the signature.
    let other = photo.with_file_name("tampered.jpg");
    let mut bytes = fs::read(photo).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&other, bytes).unwrap();
    let sidecar = fs::read_to_string(photo.with_extension("json")).unwrap();
    fs::write(other.with_extension("json"), &sidecar).unwrap();
    assert!(!script().arg(&other).output().unwrap().status.success());
    fs::copy(photo, &other).unwrap();
    let parsed: Value = serde_json::from_str(&sidecar).unwrap();
    for field in ["bundle", "bundle_signature"] {
        let right = parsed[field].as_str().unwrap();
        let wrong = right.replacen(&right[20..24], "AAAA", 1);
        assert_ne!(right, wrong);
        fs::write(other.with_extension("json"), sidecar.replace(right, &wrong)).unwrap();
        let output = script().arg(&other).output().unwrap();
        assert!(!output.status.success(), "{field}");
    }
}

fn script() -> Command {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec/check-photo.py");
    let mut command = Command::new("python3");
    command.arg(path);
    command
}

fn the_authority_knows_no_digest(folder: &Path, photo: &Value) {
    let mut seen = crate::process::log("sma", folder).into_bytes();
    seen.extend(fs::read(folder.join("authority.db")).unwrap());
    // There is no log while nothing is in it.
    seen.extend(
        fs::read(folder.join("authority.db-wal"))
            .ok()
            .unwrap_or_default(),
    );
    let contains = |part: &[u8]| seen.windows(part.len()).any(|bytes| bytes == part);
    assert!(contains(b"STORY-0001"), "the search finds what is there");
    for name in ["raw", "file", "image_data", "dng_file", "disclosure_root"] {
        let text = photo[name].as_str().unwrap();
        let digits = text.as_bytes().chunks(2);
        let bytes: Vec<u8> = digits
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        assert!(!contains(text.as_bytes()) && !contains(&bytes), "{name}");
    }
}

/// Returns the queue's file of the proof, and the photo.
fn a_proof_waits_for_the_validator(camera: &Outfit, folder: &Path) -> (PathBuf, PathBuf) {
    let photo = camera.birthmark(&["capture", "--json"]).json();
    let id = photo["id"].as_str().unwrap();
    let shards = fs::read_dir(folder.join("capture-state/queue")).unwrap();
    let mut entries = shards.map(|shard| shard.unwrap().path().join(id));
    let entry = entries.find(|path| path.exists()).unwrap();
    until("trouble", || {
        camera.birthmark(&["status"]).status == Some(1)
    });
    let listed = camera.birthmark(&["queue", "list"]).well();
    assert!(
        listed.contains(id) && listed.contains("cannot be reached"),
        "{listed}"
    );
    let test = camera.birthmark(&["test"]);
    assert!(test.text.contains("✗ validator"), "{}", test.text);
    (entry, photo["path"].as_str().unwrap().into())
}

fn the_authority_can_open_the_token(institutions: &Institutions, entry: &Path, nuc_hash: &str) {
    let read: Value = serde_json::from_str(&fs::read_to_string(entry).unwrap()).unwrap();
    let table = read["proof"]["token"]["table_id"].as_i64().unwrap();
    let master_key = institutions.master_key(table);
    let opened = run(script()
        .arg("--token")
        .arg(entry)
        .args([master_key.as_str(), nuc_hash]));
    assert!(
        opened.contains("opens to the camera's NUC hash"),
        "{opened}"
    );
    let other_key = institutions.master_key((table + 1) % 2_500);
    let mut wrong = script();
    wrong
        .arg("--token")
        .arg(entry)
        .args([other_key.as_str(), nuc_hash]);
    assert!(!wrong.output().unwrap().status.success());
}
