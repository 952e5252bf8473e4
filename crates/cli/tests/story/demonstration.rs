//! `birthmark demo`.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use tempfile::TempDir;

use crate::running::{Demonstration, children, output, texts};

#[test]
fn every_photo_goes_from_shutter_to_verified_and_stays_where_asked() {
    let temporary = TempDir::new().unwrap();
    let kept = temporary.path().join("kept");
    let dir = kept.to_str().unwrap();
    let output = output(
        &["demo", "--json", "--photos", "2", "--dir", dir],
        temporary.path(),
    );
    let (text, errors) = texts(&output);
    assert!(output.status.success(), "{text}\n{errors}");
    assert_eq!(errors, "", "nothing is said that people need not read");
    let summary: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(summary["all_verified"], true, "{summary:#}");
    let photos = summary["photos"].as_array().unwrap();
    assert_eq!(photos.len(), 2);
    assert_ne!(photos[0]["digest"], photos[1]["digest"]);
    for photo in photos {
        let path = Path::new(photo["path"].as_str().unwrap());
        let jpeg = fs::read(path).unwrap();
        assert_eq!(
            jpeg[..3],
            [0xFF, 0xD8, 0xFF],
            "{} is a JPEG",
            path.display()
        );
        assert_eq!(
            photo["answer"]["assurance"], "attested",
            "the emulated TPM attested the key"
        );
        assert!(path.with_extension("receipt.json").exists());
    }
    assert!(
        summary["key_store"].as_str().unwrap().contains("swtpm"),
        "the tests run with a TPM emulator"
    );
    assert_only_kept(temporary.path(), &kept);
}

#[test]
fn ctrl_c_leaves_neither_files_nor_processes() {
    let temporary = TempDir::new().unwrap();
    let demonstration = Demonstration::start(&["--photos", "1"], temporary.path());
    let emulators = children(demonstration.pid());
    assert!(
        !emulators.is_empty(),
        "an emulated TPM belongs to the demonstration"
    );
    let address = demonstration
        .node()
        .trim_start_matches("http://")
        .to_owned();
    assert_eq!(demonstration.interrupt().code(), Some(130));
    let left: Vec<_> = fs::read_dir(temporary.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    for process in emulators {
        assert!(
            !Path::new(&format!("/proc/{process}")).exists(),
            "process {process} is left"
        );
    }
    TcpListener::bind(&address).expect("the port is free again");
}

#[test]
fn a_taken_port_is_one_sentence() {
    let temporary = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for option in ["--sma-port", "--node-port"] {
        let output = output(&["demo", "--once", option, &port], temporary.path());
        let (_, errors) = texts(&output);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(
            errors.contains(option) && errors.contains(&port),
            "{errors}"
        );
        assert_eq!(errors.trim_end().lines().count(), 1, "{errors}");
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_folder_in_use_is_left_as_it_is() {
    let temporary = TempDir::new().unwrap();
    let folder = temporary.path().join("thesis");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("chapter.txt"), "years of work").unwrap();
    let output = output(
        &["demo", "--once", "--dir", folder.to_str().unwrap()],
        temporary.path(),
    );
    let (_, errors) = texts(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(errors.contains("is not empty"), "{errors}");
    assert_only_kept(temporary.path(), &folder);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
}

#[test]
fn a_folder_that_cannot_be_made_is_one_sentence() {
    let temporary = TempDir::new().unwrap();
    let file = temporary.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let below = file.join("folder");
    let output = output(
        &["demo", "--once", "--dir", below.to_str().unwrap()],
        temporary.path(),
    );
    let (_, errors) = texts(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(errors.contains("--dir: cannot make the folder"), "{errors}");
    assert_eq!(errors.trim_end().lines().count(), 1, "{errors}");
}

/// A full disk: a file system of one megabyte, where this machine lets us mount one.
#[test]
fn a_full_disk_is_a_sentence_and_no_panic() {
    let temporary = TempDir::new().unwrap();
    let script = r#"mount -t tmpfs -o size=1m none "$1" && exec "$2" demo --once --photos 1 --dir "$1/demo""#;
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", script, "sh"]);
    command
        .arg(temporary.path().join("small"))
        .arg(env!("CARGO_BIN_EXE_birthmark"));
    fs::create_dir(temporary.path().join("small")).unwrap();
    let output = command.env("TMPDIR", temporary.path()).output().unwrap();
    let (text, errors) = texts(&output);
    if errors.contains("unshare") || errors.contains("mount") {
        panic!("this test needs user namespaces: {errors}");
    }
    assert_eq!(output.status.code(), Some(2), "{text}\n{errors}");
    let sentence = errors.lines().last().unwrap();
    assert!(sentence.starts_with("birthmark: "), "{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
}

/// Nothing but `kept` is left in the folder for temporary files.
fn assert_only_kept(temporary: &Path, kept: &Path) {
    let left: Vec<_> = fs::read_dir(temporary)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(left, [kept]);
}
