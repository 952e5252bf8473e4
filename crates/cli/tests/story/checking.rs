//! `birthmark verify`, `digest` and `receipt show`, beside a running demonstration.

use std::fs;
use std::path::{Path, PathBuf};

use birthmark_testkit::Demonstration;
use serde_json::Value;
use tempfile::TempDir;

use crate::process::binary;
use crate::running::{output, texts};

struct Desk {
    demonstration: Demonstration,
    temporary: TempDir,
}

impl Desk {
    fn new() -> Self {
        let temporary = TempDir::new().unwrap();
        let kept = temporary.path().join("kept");
        let arguments = ["--photos", "1", "--dir", kept.to_str().unwrap()];
        let demonstration =
            Demonstration::start(&binary("birthmark-demo"), &arguments, temporary.path());
        Self {
            demonstration,
            temporary,
        }
    }

    fn photo(&self) -> PathBuf {
        let day = fs::read_dir(self.temporary.path().join("kept/photos")).unwrap();
        let files = day.flat_map(|day| fs::read_dir(day.unwrap().path()).unwrap());
        let mut photos = files.map(|file| file.unwrap().path());
        photos
            .find(|path| path.extension().is_some_and(|extension| extension == "jpg"))
            .unwrap()
    }

    fn genesis(&self) -> PathBuf {
        self.temporary.path().join("kept/validator/genesis.toml")
    }

    fn verify(&self, subject: &Path) -> (Option<i32>, Value) {
        let node = self.demonstration.node();
        let subject = subject.to_str().unwrap();
        let output = output(
            &["verify", "--json", "--node", node, subject],
            self.temporary.path(),
        );
        let (text, errors) = texts(&output);
        let findings: Value =
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}\n{errors}"));
        (output.status.code(), findings[0].clone())
    }

    fn show(&self, receipt: &Path, photo: &Path) -> (Option<i32>, String) {
        let genesis = self.genesis();
        let arguments = [
            "receipt",
            "show",
            "--genesis",
            genesis.to_str().unwrap(),
            "--photo",
            photo.to_str().unwrap(),
        ];
        let output = output(
            &[&arguments[..], &[receipt.to_str().unwrap()]].concat(),
            self.temporary.path(),
        );
        let (text, errors) = texts(&output);
        (output.status.code(), text + &errors)
    }
}

#[test]
fn a_fact_checker_learns_what_a_file_proves_and_what_not() {
    let desk = Desk::new();
    let photo = desk.photo();

    let (status, finding) = desk.verify(&photo);
    assert_eq!(
        (status, &finding["outcome"]),
        (Some(0), &Value::from("registered")),
        "{finding:#}"
    );
    assert_eq!(finding["matched"]["role"], "file");
    assert!(
        !finding["answer"]["not_proven"]
            .as_array()
            .unwrap()
            .is_empty()
    );

    // A service strips the metadata: the file digest is gone, the image-data digest finds the photo.
    let jpeg = fs::read(&photo).unwrap();
    let stripped = desk.temporary.path().join("kept/stripped.jpg");
    fs::write(&stripped, without_metadata(&jpeg)).unwrap();
    let (status, finding) = desk.verify(&stripped);
    assert_eq!(
        (status, &finding["matched"]["role"]),
        (Some(0), &Value::from("image-data")),
        "{finding:#}"
    );

    // One changed byte of the image itself: nothing finds it, and nobody calls it a fake.
    let mut changed = jpeg.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    let other = desk.temporary.path().join("kept/changed.jpg");
    fs::write(&other, changed).unwrap();
    let (status, finding) = desk.verify(&other);
    assert_eq!(
        (status, &finding["outcome"]),
        (Some(1), &Value::from("unknown")),
        "{finding:#}"
    );

    let receipt = photo.with_extension("receipt.json");
    let (status, text) = desk.show(&receipt, &photo);
    assert!(
        status == Some(0) && text.contains("the receipt holds"),
        "{text}"
    );
    let (status, text) = desk.show(&receipt, &other);
    assert!(
        status == Some(1) && text.contains("about another photo"),
        "{text}"
    );
    let forged = desk.temporary.path().join("kept/forged.json");
    let later = fs::read_to_string(&receipt)
        .unwrap()
        .replacen("\"time\": 1", "\"time\": 2", 1);
    fs::write(&forged, later).unwrap();
    let (status, text) = desk.show(&forged, &photo);
    assert!(status == Some(1) && text.contains("no proof"), "{text}");
}

#[test]
fn what_cannot_be_found_out_is_never_reported_as_unknown() {
    let temporary = TempDir::new().unwrap();
    let nobody = "http://127.0.0.1:9";
    let digest = "ab".repeat(32);
    let refused = output(&["verify", "--node", nobody, &digest], temporary.path());
    let (text, _) = texts(&refused);
    assert_eq!(refused.status.code(), Some(3), "{text}");
    assert!(
        text.contains("could not be found out") && !text.contains("not in the registry"),
        "{text}"
    );
    let missing = output(
        &["verify", "--node", nobody, "missing.jpg"],
        temporary.path(),
    );
    assert_eq!(missing.status.code(), Some(3));
    assert!(texts(&missing).0.contains("cannot read missing.jpg"));
    let wrong = output(
        &["verify", "--node", "ftp://example", &digest],
        temporary.path(),
    );
    assert_eq!(wrong.status.code(), Some(2));
    assert!(texts(&wrong).1.contains("does not begin with http"));
}

/// Drops APP1 to APP15 and comments, as services do.
fn without_metadata(jpeg: &[u8]) -> Vec<u8> {
    let mut out = jpeg[..2].to_vec();
    let mut rest = &jpeg[2..];
    while rest[0] == 0xFF && rest[1] != 0xDA {
        let length = 2 + usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        if !matches!(rest[1], 0xE1..=0xEF | 0xFE) {
            out.extend(&rest[..length]);
        }
        rest = &rest[length..];
    }
    out.extend(rest);
    out
}
