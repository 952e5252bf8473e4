//! Everything the signer does with its TPM.

use birthmark_protocol::Digest;
use birthmark_signer::tpm::{ChipAuth, Tcti, Tpm, TpmError};
use birthmark_testkit::tpm::Swtpm;

pub const HANDLE: u32 = 0x8102_0001;

pub fn tpm(emulator: &Swtpm) -> Tpm {
    Tpm::new(tcti(emulator), HANDLE, auth(), None)
}

/// The credential of the signer in these tests.
pub const CREDENTIAL: [u8; 32] = [0x5a; 32];

pub fn auth() -> ChipAuth {
    ChipAuth::from_credential(&CREDENTIAL).unwrap()
}

fn tcti(emulator: &Swtpm) -> Tcti {
    emulator.tcti().parse().unwrap()
}

#[test]
fn the_key_is_made_once_and_survives_everything_but_being_forgotten() {
    let mut emulator = Swtpm::start().unwrap();
    let mut chip = tpm(&emulator);
    assert!(matches!(
        chip.public_key(),
        Err(TpmError::NoSigningKey { handle: HANDLE })
    ));
    let key = chip.enrol().unwrap();
    assert_eq!(
        chip.enrol().unwrap(),
        key,
        "a second enrolment keeps the key"
    );
    drop(chip);

    emulator.resume().unwrap();
    let mut chip = tpm(&emulator);
    assert_eq!(chip.public_key().unwrap(), key, "it survives a power cut");
    chip.forget().unwrap();
    assert!(matches!(
        chip.public_key(),
        Err(TpmError::NoSigningKey { .. })
    ));
    assert_ne!(chip.enrol().unwrap(), key);
}

#[test]
fn signatures_are_low_s_and_no_two_are_alike() {
    let emulator = Swtpm::start().unwrap();
    let mut chip = tpm(&emulator);
    let key = chip.enrol().unwrap();
    let digest = Digest::of(b"a bundle");
    let mut seen = Vec::new();
    for _ in 0..40 {
        let signature = chip.sign(&digest).unwrap();
        key.verify_digest(&digest, &signature).unwrap();
        assert_eq!(signature.normalized(), signature);
        assert!(!seen.contains(&signature.to_bytes()));
        seen.push(signature.to_bytes());
    }
}

#[test]
fn a_chip_that_loses_power_between_two_signatures_is_used_again() {
    let mut emulator = Swtpm::start().unwrap();
    let mut chip = tpm(&emulator);
    let key = chip.enrol().unwrap();
    let digest = Digest::of(b"a bundle");
    chip.sign(&digest).unwrap();
    emulator.resume().unwrap();
    key.verify_digest(&digest, &chip.sign(&digest).unwrap())
        .unwrap();
    emulator.stop();
    assert!(
        chip.sign(&digest)
            .unwrap_err()
            .to_string()
            .contains("no TPM answers")
    );
    emulator.resume().unwrap();
    chip.sign(&digest).unwrap();
}

#[test]
fn what_is_sealed_opens_in_this_chip_only() {
    let mut emulator = Swtpm::start().unwrap();
    let mut chip = tpm(&emulator);
    let root = chip.storage_root().unwrap();
    let secret: Vec<u8> = (0..128).collect();
    let blob = chip.seal(&secret, &[]).unwrap();
    assert_eq!(chip.unseal(&blob).unwrap().as_slice(), secret);
    assert!(matches!(
        chip.seal(&[0; 129], &[]),
        Err(TpmError::TooLong {
            length: 129,
            max: 128
        })
    ));
    for window in secret.windows(8) {
        assert!(
            !blob.private.windows(8).any(|stored| stored == window),
            "the blob shows part of the secret"
        );
    }
    drop(chip);

    emulator.replace().unwrap();
    let mut other = tpm(&emulator);
    assert!(matches!(
        other.unseal(&blob),
        Err(TpmError::ForeignBlob {
            what: "sealed secret"
        })
    ));
    let mut pinned = Tpm::new(tcti(&emulator), HANDLE, auth(), Some(root));
    assert!(matches!(pinned.unseal(&blob), Err(TpmError::OtherChip)));
    assert!(matches!(
        pinned.sign(&Digest::of(b"")),
        Err(TpmError::OtherChip)
    ));
}

#[test]
fn a_secret_bound_to_measurements_stays_closed_when_they_change() {
    let emulator = Swtpm::start().unwrap();
    let mut chip = tpm(&emulator);
    let blob = chip.seal(b"secret", &[7, 23]).unwrap();
    assert_eq!(blob.pcrs, [7, 23]);
    assert_eq!(chip.unseal(&blob).unwrap().as_slice(), b"secret");
    drop(chip);

    extend_pcr(&emulator, 23);
    let mut chip = tpm(&emulator);
    assert!(matches!(chip.unseal(&blob), Err(TpmError::Measurements)));
    let again = chip.seal(b"secret", &[7, 23]).unwrap();
    assert_eq!(chip.unseal(&again).unwrap().as_slice(), b"secret");
    assert!(
        chip.seal(b"secret", &[24])
            .unwrap_err()
            .to_string()
            .contains("PCRs 0 to 23")
    );
}

/// What a person can do who is root on the camera, or in the group `tss`, with the signer's files
/// and the usual tools, but without its credential.
#[test]
fn the_chip_gives_the_secrets_to_nobody_without_the_daemon_s_credential() {
    let emulator = Swtpm::start().unwrap();
    let mut chip = tpm(&emulator);
    let key = chip.enrol().unwrap();
    let digest = Digest::of(b"a picture that no camera took");
    key.verify_digest(&digest, &chip.sign(&digest).unwrap())
        .unwrap();
    let blobs = [
        chip.seal(b"master keys", &[]).unwrap(),
        chip.seal(b"master keys", &[7]).unwrap(),
    ];
    drop(chip);

    // Another program of ours, with another credential.
    let other = ChipAuth::from_credential(&[0xa5; 32]).unwrap();
    let mut stranger = Tpm::new(tcti(&emulator), HANDLE, other, None);
    for blob in &blobs {
        let refused = stranger.unseal(blob).unwrap_err();
        assert!(matches!(refused, TpmError::WrongCredential), "{refused}");
    }
    let refused = stranger.sign(&digest).unwrap_err();
    assert!(matches!(refused, TpmError::WrongCredential), "{refused}");
    drop(stranger);

    // Tools that know nothing of our code.
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("digest"), digest.as_bytes()).unwrap();
    let handle = format!("{HANDLE:#x}");
    let signed = path("signature");
    let sign = ["-c", &handle, "-g", "sha256", "-d", "-o", &signed];
    let said = refused_tool(
        &emulator,
        "tpm2_sign",
        &[&sign[..], &[&path("digest")]].concat(),
    );
    assert!(said.contains("authorization"), "{said}");
    let root = path("root");
    tool(
        &emulator,
        "tpm2_createprimary",
        &[
            "-C",
            "o",
            "-g",
            "sha256",
            "-G",
            "ecc256:aes128cfb",
            "-a",
            "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt",
            "-c",
            &root,
        ],
    );
    let [blob, bound] = &blobs;
    for (name, bytes) in [("public", &blob.public), ("private", &blob.private)] {
        // The tools want each area with its length before it.
        let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        std::fs::write(path(name), [&length[..], bytes].concat()).unwrap();
    }
    let loaded = path("loaded");
    tool(
        &emulator,
        "tpm2_load",
        &[
            "-C",
            &root,
            "-u",
            &path("public"),
            "-r",
            &path("private"),
            "-c",
            &loaded,
        ],
    );
    let said = refused_tool(&emulator, "tpm2_unseal", &["-c", &loaded]);
    assert!(said.contains("authorization"), "{said}");

    // The daemon itself still can.
    let mut chip = tpm(&emulator);
    for blob in [blob, bound] {
        assert_eq!(chip.unseal(blob).unwrap().as_slice(), b"master keys");
    }
    chip.sign(&digest).unwrap();
}

#[test]
fn a_camera_whose_credential_is_lost_can_start_over() {
    let emulator = Swtpm::start().unwrap();
    let key = tpm(&emulator).enrol().unwrap();
    let auth = ChipAuth::from_credential(&[0xa5; 32]).unwrap();
    let mut chip = Tpm::new(tcti(&emulator), HANDLE, auth, None);
    assert!(chip.sign(&Digest::of(b"")).is_err());
    chip.forget().unwrap();
    assert_ne!(chip.enrol().unwrap(), key);
    chip.sign(&Digest::of(b"")).unwrap();
}

#[test]
fn a_key_of_somebody_else_at_our_handle_is_refused() {
    let emulator = Swtpm::start().unwrap();
    // The emulator's manufacturer puts the RSA endorsement key there, as a real chip's does.
    let mut chip = Tpm::new(tcti(&emulator), 0x8101_0001, auth(), None);
    let error = chip.enrol().unwrap_err();
    assert!(
        matches!(
            error,
            TpmError::ForeignKey {
                handle: 0x8101_0001,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("tpm2_evictcontrol"));
}

#[test]
fn the_chip_tests_itself_and_reports_its_lockout() {
    let emulator = Swtpm::start().unwrap();
    let mut chip = tpm(&emulator);
    chip.self_test().unwrap();
    let lockout = chip.lockout().unwrap();
    assert!(
        !lockout.locked && lockout.failures == 0 && lockout.allowed > 0,
        "{lockout:?}"
    );
    assert_eq!(chip.describe().unwrap().manufacturer, "IBM");
    drop(chip);

    lock_out(&emulator);
    let mut chip = tpm(&emulator);
    assert!(chip.lockout().unwrap().locked);
    chip.enrol().unwrap();
    chip.sign(&Digest::of(b"")).unwrap();
}

#[test]
fn nothing_is_left_in_the_chip_by_thousands_of_operations() {
    let count = std::env::var("BIRTHMARK_SIGNATURES").map_or(2_000, |text| text.parse().unwrap());
    let emulator = Swtpm::start().unwrap();
    let mut chip = tpm(&emulator);
    let key = chip.enrol().unwrap();
    let blob = chip.seal(&[1; 128], &[]).unwrap();
    let bound = chip.seal(&[2; 32], &[7]).unwrap();
    let attestation_key = chip.create_attestation_key().unwrap();
    let before = chip.volatile_handles().unwrap();
    assert_eq!(before, 2, "the storage root and one session");
    let started = std::time::Instant::now();
    for round in 0..count {
        let digest = Digest::of(format!("bundle {round}").as_bytes());
        key.verify_digest(&digest, &chip.sign(&digest).unwrap())
            .unwrap();
        if round % 250 == 0 {
            chip.unseal(&blob).unwrap();
            chip.unseal(&bound).unwrap();
            chip.seal(&[3; 128], &[7]).unwrap();
            chip.attest(&attestation_key, &[4; 32]).unwrap();
            // Failures must give everything back too.
            chip.activate(&attestation_key, &garbage()).unwrap_err();
            assert_eq!(
                chip.volatile_handles().unwrap(),
                before,
                "after {round} signatures"
            );
        }
    }
    println!(
        "{count} signatures in {:.1} s",
        started.elapsed().as_secs_f64()
    );
    assert_eq!(chip.volatile_handles().unwrap(), before);
    drop(chip);
    assert_eq!(tool(&emulator, "tpm2_getcap", &["handles-transient"]), "");
    assert_eq!(
        tool(&emulator, "tpm2_getcap", &["handles-loaded-session"]),
        ""
    );
    assert_eq!(
        tool(&emulator, "tpm2_getcap", &["handles-saved-session"]),
        ""
    );
}

fn garbage() -> birthmark_protocol::attestation::Credential {
    birthmark_protocol::attestation::Credential {
        blob: vec![7; 68],
        encrypted_seed: vec![9; 256],
    }
}

/// Runs one of the tpm2-tools, which know nothing of our code.
pub fn tool(emulator: &Swtpm, name: &str, arguments: &[&str]) -> String {
    let output = std::process::Command::new(name)
        .args(arguments)
        .env("TPM2TOOLS_TCTI", emulator.tcti())
        .output()
        .expect("tpm2-tools are installed");
    assert!(
        output.status.success(),
        "{name}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The same for what must not succeed; answers with what the tool said.
fn refused_tool(emulator: &Swtpm, name: &str, arguments: &[&str]) -> String {
    let output = std::process::Command::new(name)
        .args(arguments)
        .env("TPM2TOOLS_TCTI", emulator.tcti())
        .output()
        .expect("tpm2-tools are installed");
    assert!(!output.status.success(), "{name} succeeded");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn extend_pcr(emulator: &Swtpm, number: u8) {
    tool(
        emulator,
        "tpm2_pcrextend",
        &[&format!("{number}:sha256={}", "07".repeat(32))],
    );
}

/// Guesses a password until the chip has had enough, as an attacker would.
fn lock_out(emulator: &Swtpm) {
    tool(
        emulator,
        "tpm2_dictionarylockout",
        &[
            "--setup-parameters",
            "--max-tries=1",
            "--recovery-time=1000",
        ],
    );
    tool(
        emulator,
        "tpm2_nvdefine",
        &[
            "0x1500001",
            "--size=8",
            "--attributes=authread|authwrite",
            "--index-auth=right",
        ],
    );
    for _ in 0..2 {
        let guess = std::process::Command::new("tpm2_nvread")
            .args(["0x1500001", "--auth=wrong"])
            .env("TPM2TOOLS_TCTI", emulator.tcti())
            .output()
            .unwrap();
        assert!(!guess.status.success());
    }
}
