//! The program that packages and images contain, which has no rehearsal in it.
//!
//! A build of the whole workspace has the rehearsal's sources, because the demonstration needs
//! them. `cargo xtask test --only shipped-camera` builds and runs this without them.

#![cfg(not(feature = "rehearsal"))]
#![allow(clippy::unwrap_used, missing_docs)]

use std::process::{Command, Output};

fn start(settings: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("capture.toml");
    std::fs::write(&config, settings).unwrap();
    Command::new(env!("CARGO_BIN_EXE_birthmark-capture"))
        .arg("--config")
        .arg(&config)
        .output()
        .unwrap()
}

#[test]
fn files_and_paintings_are_refused_by_the_program_that_ships() {
    for source in [
        "kind = \"simulated\"\nsensor = 7\n",
        "kind = \"dng\"\nfolder = \"/tmp\"\n",
    ] {
        let ended = start(&format!("[source]\n{source}"));
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(78), "{said}");
        let sentence = "`source`: this program takes photos from a sensor only";
        assert!(said.contains(sentence), "{said}");
    }
}

#[test]
fn a_camera_that_was_not_told_its_source_does_not_start() {
    let ended = start("");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(78), "{said}");
    assert!(said.contains("`source`: is missing"), "{said}");
}

#[test]
fn no_landscape_is_painted_into_the_program_that_ships() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_birthmark-capture")).unwrap();
    let model = b"Simulated IMX477";
    assert!(!program.windows(model.len()).any(|bytes| bytes == model));
}
