//! Secrets come from systemd's folder or not at all.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use birthmark_daemon::{CredentialError, Credentials};

use crate::running::{Place, Running, binary};

const SEAL: &str = "test-seal-7f3a";

fn write(folder: &Path, mode: u32) {
    std::fs::create_dir_all(folder).unwrap();
    let file = folder.join("clock-seal");
    std::fs::write(&file, SEAL).unwrap();
    std::fs::set_permissions(file, Permissions::from_mode(mode)).unwrap();
}

/// Runs a sealed clock, with this folder of credentials, to the end it must come to.
fn refused(place: &Place, folder: Option<&Path>) -> String {
    let mut command = place.command(&binary());
    command.arg("--config").arg(place.path("clock.toml"));
    if let Some(folder) = folder {
        command.env("CREDENTIALS_DIRECTORY", folder);
    }
    let (status, log) = Running::of(&mut command).end();
    assert_eq!(status.code(), Some(78), "{log}");
    log
}

#[test]
fn a_missing_secret_names_the_line_the_unit_lacks() {
    let place = Place::with("sealed = true");
    let log = refused(&place, None);
    assert!(
        log.contains("`LoadCredential=clock-seal:") && log.contains("$CREDENTIALS_DIRECTORY"),
        "{log}"
    );
    let folder = place.path("credentials");
    std::fs::create_dir(&folder).unwrap();
    let log = refused(&place, Some(&folder));
    assert!(
        log.contains("`clock-seal` is missing: add `LoadCredential=clock-seal:"),
        "{log}"
    );
}

#[test]
fn a_secret_open_to_all_is_refused_and_not_told() {
    let place = Place::with("sealed = true");
    let folder = place.path("credentials");
    write(&folder, 0o644);
    let log = refused(&place, Some(&folder));
    assert!(log.contains("open to all users (mode 0644)"), "{log}");
    assert!(!log.contains(SEAL));
}

#[test]
fn a_good_secret_is_used_and_not_told() {
    let place = Place::with("sealed = true");
    let folder = place.path("credentials");
    write(&folder, 0o400);
    let mut command = place.command(&binary());
    command
        .arg("--config")
        .arg(place.path("clock.toml"))
        .env("CREDENTIALS_DIRECTORY", &folder);
    let running = Running::of(&mut command);
    place.await_notice("READY=1");
    running.signal(rustix::process::Signal::TERM);
    let (status, log) = running.end();
    assert!(status.success());
    assert!(
        log.contains("sealed with Secret(clock-seal), 14 bytes"),
        "{log}"
    );
    assert!(!log.contains(SEAL));
}

#[test]
fn the_group_bits_of_systemds_access_lists_are_no_exposure() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 0o440);
    let secret = Credentials::at(folder.path()).secret("clock-seal").unwrap();
    assert_eq!(secret.text().unwrap(), SEAL);
    assert_eq!(secret.array::<14>().unwrap().as_slice(), SEAL.as_bytes());
    assert!(matches!(
        secret.array::<32>(),
        Err(CredentialError::Unusable { .. })
    ));
    assert!(!format!("{secret:?}").contains(SEAL));
}

#[test]
fn names_that_leave_the_folder_and_things_that_are_no_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("inner"), 0o400);
    let credentials = Credentials::at(folder.path());
    for name in ["inner/clock-seal", "../clock-seal", ".", "", "inner"] {
        let refused = credentials.optional(name);
        assert!(
            matches!(refused, Err(CredentialError::Unusable { .. })),
            "{name}"
        );
    }
    assert!(credentials.optional("absent").unwrap().is_none());
}
