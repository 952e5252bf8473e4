//! The signer inside another program, under systemd's eyes, and through power cuts.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use birthmark_daemon::{Context, Credentials, Shutdown};
use birthmark_protocol::attestation::{Credential, CredentialSecret, SeedEncryption};
use birthmark_signer::{SignerClient, SignerSettings, TpmSettings};
use birthmark_testkit::tpm::Swtpm;

use crate::authority::provisioning_for;
use crate::daemon::{bundle, provision};
use crate::running::{Place, Running};

#[tokio::test]
async fn inside_another_program_it_leaves_the_chip_as_it_found_it() {
    let emulator = Swtpm::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let settings = SignerSettings {
        socket: folder.path().join("signer"),
        callers: Vec::new(),
        administrators: Vec::new(),
        state_directory: folder.path().join("state"),
        tpm: TpmSettings {
            tcti: emulator.tcti(),
            ..TpmSettings::default()
        },
        ..SignerSettings::default()
    };
    let credentials = folder.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::write(credentials.join("chip-auth"), crate::chip::CREDENTIAL).unwrap();
    let mode = std::fs::Permissions::from_mode(0o400);
    std::fs::set_permissions(credentials.join("chip-auth"), mode).unwrap();
    let credentials = Credentials::at(credentials);
    let shutdown = Shutdown::default();
    let (context, addresses) = Context::embedded(credentials, shutdown.clone());
    let daemon = tokio::spawn(birthmark_signer::run(settings, context));
    let addresses = addresses.await.unwrap();
    let mut client = SignerClient::connect(addresses.unix("varlink").unwrap())
        .await
        .unwrap();
    provision(&mut client).await;
    client.sign_bundle(&bundle("one"), None).await.unwrap();
    drop(client);
    shutdown.request();
    daemon.await.unwrap().unwrap();
    assert_eq!(
        crate::chip::tool(&emulator, "tpm2_getcap", &["handles-transient"]),
        ""
    );
    assert_eq!(
        crate::chip::tool(&emulator, "tpm2_getcap", &["handles-loaded-session"]),
        ""
    );
    let kept = crate::chip::tool(&emulator, "tpm2_getcap", &["handles-persistent"]);
    assert!(kept.contains("0x81020001"), "{kept}");
}

#[tokio::test]
async fn an_authority_attests_it_over_the_socket() {
    let emulator = Swtpm::start().unwrap();
    let place = Place::with_tpm(&emulator, "", "");
    let _running = place.start();
    let mut client = place.client().await;
    assert!(
        client
            .attest(&[3; 32])
            .await
            .unwrap_err()
            .to_string()
            .contains("not been enrolled")
    );
    let (key, _) = client.enrol(false).await.unwrap();
    let checked = client
        .attest(&[3; 32])
        .await
        .unwrap()
        .check(&[3; 32])
        .unwrap();
    assert_eq!(checked.signing_key, key);
    let again = client
        .attest(&[4; 32])
        .await
        .unwrap()
        .check(&[4; 32])
        .unwrap();
    assert_eq!(
        again.attestation_key_name, checked.attestation_key_name,
        "one attestation key per enrolment"
    );

    let secret = CredentialSecret::from_bytes([0x42; 32]);
    let encryption = SeedEncryption::Rsa {
        seed: [0x55; 32].into(),
        encrypt: &crate::attestation::encrypt,
    };
    let made = Credential::make(
        &checked.endorsement_key,
        &checked.attestation_key_name,
        &secret,
        encryption,
    )
    .unwrap();
    assert_eq!(
        client.activate(&made).await.unwrap().as_slice(),
        secret.expose()
    );
}

#[tokio::test]
async fn it_leaves_when_idle_and_is_there_again_at_the_next_call() {
    let emulator = Swtpm::start().unwrap();
    let place = Place::with_tpm(&emulator, "idle_seconds = 1\n", "");
    let socket = UnixListener::bind(place.path("passed")).unwrap();
    let first = activated(&place, &socket);
    let mut client = SignerClient::connect(&place.path("passed")).await.unwrap();
    provision(&mut client).await;
    drop(client);
    assert!(first.end().success(), "{}", place.log());
    assert_eq!(
        crate::chip::tool(&emulator, "tpm2_getcap", &["handles-transient"]),
        ""
    );

    let second = activated(&place, &socket);
    let mut client = SignerClient::connect(&place.path("passed")).await.unwrap();
    client.sign_bundle(&bundle("one"), None).await.unwrap();
    drop(client);
    assert!(second.end().success(), "{}", place.log());
}

/// Starts the signer as systemd would: with a listening socket, and with a watchdog to feed.
fn activated(place: &Place, socket: &UnixListener) -> Running {
    let script = "exec 3<&0 0</dev/null; LISTEN_PID=$$ WATCHDOG_PID=$$ exec \"$@\"";
    let child = Command::new("/bin/sh")
        .args([
            "-c",
            script,
            "sh",
            env!("CARGO_BIN_EXE_birthmark-signer"),
            "--config",
        ])
        .arg(place.path("signer.toml"))
        .env_clear()
        .env("CREDENTIALS_DIRECTORY", place.path("credentials"))
        .env("LISTEN_FDS", "1")
        .env("LISTEN_FDNAMES", "varlink")
        .env("WATCHDOG_USEC", "60000000")
        .env("TSS2_LOG", "all+NONE")
        .stdin(std::os::fd::OwnedFd::from(socket.try_clone().unwrap()))
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(place.path("log")).unwrap())
        .spawn()
        .unwrap();
    Running::of(child)
}

#[tokio::test]
async fn an_import_cut_off_at_any_moment_happens_in_the_end() {
    let emulator = Swtpm::start().unwrap();
    let place = Place::with_tpm(&emulator, "", "");
    let running = place.start();
    let (key, _) = place.client().await.enrol(false).await.unwrap();
    running.stop();
    let text = provisioning_for(&key).to_string();
    let file = place.provisioning_file(&text, 0o600);
    place.configure(&format!(
        "provisioning_file = {file:?}\n[tpm]\ntcti = \"{}\"\n",
        emulator.tcti()
    ));
    let mut survived = 0;
    for round in 0..15_u64 {
        let running = place.spawn();
        std::thread::sleep(std::time::Duration::from_millis(round * 12));
        running.kill();
        let stored = place.state().join("camera.json").exists();
        assert!(
            stored || std::fs::read_to_string(&file).unwrap() == text,
            "neither imported nor still to import"
        );
        survived += u32::from(!stored);
        if !file.exists() {
            std::fs::remove_file(place.state().join("camera.json")).unwrap();
            place.provisioning_file(&text, 0o600);
        }
    }
    assert!(
        survived > 0,
        "at least the first was cut off before it began"
    );
    let _running = place.start();
    let mut client = place.client().await;
    let status = client.status().await.unwrap();
    assert!(status.provisioned && status.problem.is_none(), "{status:?}");
    client.sign_bundle(&bundle("one"), None).await.unwrap();
    assert!(!file.exists());
}

#[tokio::test]
async fn it_describes_itself_as_services_of_systemd_do() {
    let emulator = Swtpm::start().unwrap();
    let place = Place::with_tpm(&emulator, "", "");
    let _running = place.start();
    let call = r#"{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"org.birthmark.Signer"}}"#;
    let reply = crate::daemon::raw::call(&place, call).await;
    let description = reply["parameters"]["description"]
        .as_str()
        .unwrap()
        .to_owned();
    for method in [
        "SignBundle",
        "IssueToken",
        "GpsSalt",
        "Status",
        "SelfTest",
        "Enrol",
        "Attest",
        "Activate",
        "Provision",
        "Reseal",
    ] {
        assert!(
            description.contains(&format!("method {method}(")),
            "{description}"
        );
    }
    assert!(
        description.contains("tpm,") && description.contains("software"),
        "{description}"
    );
}

#[tokio::test]
async fn an_import_cut_off_while_its_file_was_overwritten_is_finished() {
    let emulator = Swtpm::start().unwrap();
    let place = Place::new();
    place.configure(&format!("[tpm]\ntcti = \"{}\"\n", emulator.tcti()));
    let running = place.start();
    let (key, _) = place.client().await.enrol(false).await.unwrap();
    running.stop();
    let text = provisioning_for(&key).to_string();
    let file = place.provisioning_file(&text, 0o600);
    place.configure(&format!(
        "provisioning_file = {file:?}\n[tpm]\ntcti = \"{}\"\n",
        emulator.tcti()
    ));
    place.start().stop();
    assert!(!file.exists());
    for zeros in [1, text.len()] {
        let overwritten = "\0".repeat(zeros) + &text[zeros..];
        place.provisioning_file(&overwritten, 0o600);
        let running = place.start();
        let status = place.client().await.status().await.unwrap();
        assert!(status.provisioned && status.problem.is_none(), "{status:?}");
        assert!(!file.exists());
        running.stop();
    }
}
