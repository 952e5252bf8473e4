//! The daemon's promises, told over its socket.

use birthmark_protocol::gps::GpsSecret;
use birthmark_protocol::{
    Bundle, CameraCertificate, Capture, Commitment, Digest, DigestRole, ImageClaim,
    ModificationLevel, Opening, PixelSource, Timestamp,
};
use birthmark_signer::messages::KeyStoreKind;
use birthmark_signer::{SignerCallError, SignerClient, SignerRefusal};
use birthmark_testkit::tpm::Swtpm;

use crate::authority::{TABLES, master_key, nuc_hash, provisioning_for};
use crate::running::Place;

pub fn bundle(name: &str) -> Bundle {
    let capture = Capture {
        source: PixelSource::Sensor,
        software: None,
        anchor: None,
        disclosure: None,
    };
    Bundle::captured(images(name), TIME, capture).unwrap()
}

/// When the photos of these tests were taken.
pub const TIME: Timestamp = Timestamp::from_unix(1_790_000_000);

/// A frame and the file made of it.
pub fn images(name: &str) -> Vec<ImageClaim> {
    let image = |role, level, text: &str, parent| ImageClaim {
        role,
        level,
        digest: Digest::of(format!("{name} {text}").as_bytes()),
        parent,
    };
    let raw = image(DigestRole::Raw, ModificationLevel::RAW, "raw", None);
    let file = image(
        DigestRole::File,
        ModificationLevel::PROCESSED,
        "file",
        Some(raw.digest),
    );
    vec![raw, file]
}

fn commitment(text: &str) -> Commitment {
    Commitment::new(&Digest::of(text.as_bytes()), &Opening::from_bytes([5; 32]))
}

pub fn refusal<T: std::fmt::Debug>(outcome: Result<T, SignerCallError>) -> SignerRefusal {
    match outcome {
        Err(SignerCallError::Refused(refusal)) => refusal,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

pub async fn provision(client: &mut SignerClient) {
    let (key, _) = client.enrol(false).await.unwrap();
    client
        .provision(&provisioning_for(&key).to_string())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_camera_is_enrolled_provisioned_used_and_found_again_after_a_power_cut() {
    let emulator = Swtpm::start().unwrap();
    let place = Place::with_tpm(&emulator, "", "");
    let running = place.start();
    let mut client = place.client().await;
    let status = client.status().await.unwrap();
    assert!(
        !status.provisioned && status.public_key.is_none() && status.key_store == KeyStoreKind::Tpm
    );
    assert!(status.problem.unwrap().contains("no signing key"));
    assert!(matches!(
        refusal(client.sign_bundle(&bundle("one"), None).await),
        SignerRefusal::NotProvisioned { .. }
    ));

    let (key, kind) = client.enrol(false).await.unwrap();
    assert_eq!(kind, KeyStoreKind::Tpm);
    let reply = client
        .provision(&provisioning_for(&key).to_string())
        .await
        .unwrap();
    assert_eq!(reply.table_ids, TABLES.map(i64::from));
    assert_eq!(
        (reply.device_serial.as_str(), reply.key_store),
        ("TEST-0001", KeyStoreKind::Tpm)
    );

    let signed = client.sign_bundle(&bundle("one"), None).await.unwrap();
    let certificate = CameraCertificate::from_der(&signed.certificate).unwrap();
    certificate
        .key()
        .p256()
        .unwrap()
        .verify_digest(&bundle("one").digest(None).unwrap(), &signed.signature)
        .unwrap();
    assert_eq!(signed.signature.normalized(), signed.signature);
    let salt = client.gps_salt(&Digest::of(b"raw")).await.unwrap();
    running.kill();

    let running = place.start();
    let mut client = place.client().await;
    let status = client.status().await.unwrap();
    assert!(
        status.provisioned && status.problem.is_none() && status.self_test_passed,
        "{status:?}"
    );
    assert!(status.certificate_not_after.unwrap() > 1_790_000_000);
    assert_eq!(status.signatures, 0);
    client.sign_bundle(&bundle("two"), None).await.unwrap();
    assert_eq!(
        client.gps_salt(&Digest::of(b"raw")).await.unwrap(),
        salt,
        "one photo, one salt, for ever"
    );
    assert_ne!(client.gps_salt(&Digest::of(b"other")).await.unwrap(), salt);
    let status = client.status().await.unwrap();
    assert!(status.signatures == 1 && status.last_signature.is_some());
    client.self_test().await.unwrap();
    drop(client);
    assert!(running.stop().success());
}

#[tokio::test]
async fn tokens_use_every_table_open_for_their_photo_only_and_never_repeat() {
    let emulator = Swtpm::start().unwrap();
    let place = Place::with_tpm(&emulator, "", "");
    let _running = place.start();
    let mut client = place.client().await;
    provision(&mut client).await;
    let (ours, other) = (commitment("ours"), commitment("other"));
    let (mut tables, mut indices, mut fingerprints) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..100 {
        let token = client.issue_token(&ours).await.unwrap();
        let master = master_key(token.table.get());
        let opened = token
            .open(&master, Some(&ours))
            .expect("the authority opens it");
        assert_eq!(opened.nuc, nuc_hash());
        assert!(opened.bound, "opened only through its photo's commitment");
        assert!(
            token.open(&master, Some(&other)).is_none(),
            "bound to one photo"
        );
        tables.push(token.table.get());
        indices.push(token.index.get());
        fingerprints.push(token.sealed.fingerprint());
    }
    for all in [&mut tables, &mut indices] {
        all.sort_unstable();
        all.dedup();
    }
    fingerprints.sort_unstable();
    fingerprints.dedup();
    assert_eq!(tables, TABLES, "all three tables, and no other");
    assert!(indices.len() > 50, "indices are drawn from all thousand");
    assert_eq!(fingerprints.len(), 100);
}

#[tokio::test]
async fn only_whole_bundles_of_a_known_version_are_signed() {
    let emulator = Swtpm::start().unwrap();
    let place = Place::with_tpm(&emulator, "", "");
    let _running = place.start();
    let mut client = place.client().await;
    provision(&mut client).await;

    let good = bundle("one").encode();
    let mut foreign = good.clone();
    foreign[0] = 2;
    let cases = [
        (good[..good.len() - 1].to_vec(), "the bytes end inside"),
        ([good.clone(), vec![0]].concat(), "1 bytes follow the end"),
        (foreign, "version 2 is not known"),
        (
            bundle("one").digest(None).unwrap().as_bytes().to_vec(),
            "not a bundle",
        ),
        (Vec::new(), "the bytes end inside version"),
    ];
    for (bytes, expected) in cases {
        let error = raw::sign(&place, &raw::base64(&bytes)).await.unwrap_err();
        assert!(
            error.contains("BadInput") && error.contains(expected),
            "{error}"
        );
    }
    let error = raw::sign(&place, "no base64!").await.unwrap_err();
    assert!(
        error.contains("BadInput") && error.contains("bundle"),
        "{error}"
    );
    raw::sign(&place, &raw::base64(&good)).await.unwrap();
    assert_eq!(client.status().await.unwrap().signatures, 1);
}

#[tokio::test]
async fn callers_may_not_administer_and_strangers_may_not_even_ask() {
    let emulator = Swtpm::start().unwrap();
    let me = rustix::process::geteuid().as_raw();
    let somebody = if me == 65_534 { 65_533 } else { 65_534 };
    let roles = |callers, administrators| {
        format!("callers = [{callers}]\nadministrators = [{administrators}]\n")
    };

    let place = Place::with_tpm(&emulator, &roles(me, somebody), "");
    let running = place.start();
    let mut client = place.client().await;
    let refused = [
        refusal(client.enrol(false).await),
        refusal(client.attest(&[1; 32]).await),
        refusal(client.provision("{}").await),
        refusal(client.reseal().await),
    ];
    for refusal in refused {
        assert!(
            matches!(&refusal, SignerRefusal::NotAllowed { reason } if reason.contains(&me.to_string())),
            "{refusal:?}"
        );
    }
    assert!(matches!(
        refusal(client.sign_bundle(&bundle("one"), None).await),
        SignerRefusal::NotProvisioned { .. }
    ));
    drop(client);
    running.stop();
    let log = place.log();
    assert_eq!(
        log.matches(&format!(" peer_uid={me}\n")).count(),
        4,
        "each refusal can be asked for by its user: {log}"
    );

    let place = Place::with_tpm(&emulator, &roles(somebody, me), "");
    let running = place.start();
    let mut client = place.client().await;
    provision(&mut client).await;
    for refusal in [
        refusal(client.sign_bundle(&bundle("one"), None).await),
        refusal(client.issue_token(&commitment("x")).await),
        refusal(client.gps_salt(&Digest::of(b"x")).await),
    ] {
        assert!(
            matches!(refusal, SignerRefusal::NotAllowed { .. }),
            "{refusal:?}"
        );
    }
    drop(client);
    running.stop();

    let place = Place::with_tpm(&emulator, &roles(somebody, somebody), "");
    let _running = place.start();
    let mut client = place.client().await;
    assert!(
        matches!(client.status().await, Err(SignerCallError::Call(_))),
        "permission denied by the socket itself"
    );
}

#[tokio::test]
async fn a_full_queue_and_a_silent_chip_are_named_at_once_and_in_time() {
    let emulator = Swtpm::start().unwrap();
    // Room for two: the daemon looks at its chip as it starts, which may be one of them.
    let place = Place::with_tpm(&emulator, "queue = 2\ndeadline_seconds = 1\n", "");
    let _running = place.start();
    let mut client = place.client().await;
    provision(&mut client).await;
    emulator.pause().unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..5 {
        let mut client = place.client().await;
        calls.spawn(async move {
            refusal(client.sign_bundle(&bundle(&number.to_string()), None).await)
        });
    }
    let refusals = calls.join_all().await;
    let count = |matching: fn(&SignerRefusal) -> bool| {
        refusals.iter().filter(|refusal| matching(refusal)).count()
    };
    assert!(
        count(|refusal| matches!(refusal, SignerRefusal::Late { .. })) >= 1,
        "{refusals:?}"
    );
    assert!(
        count(|refusal| matches!(refusal, SignerRefusal::Busy { .. })) >= 1,
        "{refusals:?}"
    );
    emulator.proceed().unwrap();
    let mut signed = client.sign_bundle(&bundle("again"), None).await;
    while matches!(
        signed,
        Err(SignerCallError::Refused(
            SignerRefusal::Late { .. } | SignerRefusal::Busy { .. }
        ))
    ) {
        signed = client.sign_bundle(&bundle("again"), None).await;
    }
    signed.unwrap();
}

#[tokio::test]
async fn a_missing_short_or_exchanged_credential_is_one_clear_sentence() {
    let emulator = Swtpm::start().unwrap();
    let place = Place::with_tpm(&emulator, "", "");
    let running = place.start();
    let mut client = place.client().await;
    provision(&mut client).await;
    client.sign_bundle(&bundle("one"), None).await.unwrap();
    drop(client);
    running.stop();

    // Not what this camera was enrolled with: nothing is signed, and the journal says which file it
    // is about.
    place.credential(&[0xa5; 32]);
    let running = place.start();
    let mut client = place.client().await;
    for refused in [
        refusal(client.sign_bundle(&bundle("two"), None).await),
        refusal(client.issue_token(&commitment("two")).await),
    ] {
        assert!(
            refused.to_string().contains("credential `chip-auth`"),
            "{refused}"
        );
    }
    drop(client);
    running.stop();

    // Unusable, or not there at all: the signer does not start, and trying again would not help.
    place.credential(b"hunter2");
    assert_eq!(place.spawn().end().code(), Some(78));
    assert!(
        place
            .log()
            .contains("credential `chip-auth` is unusable: has 7 bytes"),
        "{}",
        place.log()
    );
    std::fs::remove_file(place.path("credentials/chip-auth")).unwrap();
    assert_eq!(place.spawn().end().code(), Some(78));
    assert!(
        place.log().contains("credential `chip-auth` is missing"),
        "{}",
        place.log()
    );

    // Back in its place, everything is as it was.
    place.credential(&crate::chip::CREDENTIAL);
    let _running = place.start();
    place
        .client()
        .await
        .sign_bundle(&bundle("three"), None)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_cleared_replaced_or_missing_chip_is_one_clear_sentence() {
    let mut emulator = Swtpm::start().unwrap();
    let place = Place::with_tpm(&emulator, "", "");
    let running = place.start();
    let mut client = place.client().await;
    provision(&mut client).await;
    client.sign_bundle(&bundle("one"), None).await.unwrap();

    emulator.resume().unwrap();
    client
        .sign_bundle(&bundle("two"), None)
        .await
        .expect("a reset of the chip is survived");
    emulator.stop();
    let gone = refusal(client.sign_bundle(&bundle("three"), None).await).to_string();
    assert!(gone.contains("no TPM answers at swtpm:"), "{gone}");
    assert!(
        client
            .status()
            .await
            .unwrap()
            .problem
            .unwrap()
            .contains("no TPM answers")
    );

    emulator.replace().unwrap();
    let other = refusal(client.sign_bundle(&bundle("four"), None).await).to_string();
    assert!(
        other.contains("not the TPM this camera was provisioned with"),
        "{other}"
    );
    assert!(matches!(
        refusal(client.enrol(false).await),
        SignerRefusal::KeyStore { .. }
    ));
    let status = client.status().await.unwrap();
    assert!(status.problem.unwrap().contains("not the TPM") && status.provisioned);

    let (key, _) = client.enrol(true).await.unwrap();
    assert!(matches!(
        refusal(client.sign_bundle(&bundle("five"), None).await),
        SignerRefusal::NotProvisioned { .. }
    ));
    client
        .provision(&provisioning_for(&key).to_string())
        .await
        .unwrap();
    client.sign_bundle(&bundle("six"), None).await.unwrap();
    drop(client);
    assert!(running.stop().success());
}

#[tokio::test]
async fn secrets_bound_to_measurements_are_resealed_on_the_system_they_belong_to() {
    let emulator = Swtpm::start().unwrap();
    let place = Place::with_tpm(&emulator, "", "");
    let running = place.start();
    let mut client = place.client().await;
    provision(&mut client).await;
    assert!(client.status().await.unwrap().sealed_to_pcrs.is_empty());
    drop(client);
    running.stop();

    place.configure(&format!(
        "[tpm]\ntcti = \"{}\"\nsealed_to_pcrs = [7, 23]\n",
        emulator.tcti()
    ));
    let running = place.start();
    let mut client = place.client().await;
    assert_eq!(client.reseal().await.unwrap().sealed_to_pcrs, [7, 23]);
    client.issue_token(&commitment("one")).await.unwrap();
    drop(client);
    running.stop();

    crate::chip::extend_pcr(&emulator, 23);
    let _running = place.start();
    let mut client = place.client().await;
    let kept = refusal(client.issue_token(&commitment("two")).await).to_string();
    assert!(kept.contains("measurements (PCRs) have changed"), "{kept}");
    assert!(matches!(
        refusal(client.reseal().await),
        SignerRefusal::KeyStore { .. }
    ));
}

#[tokio::test]
async fn the_state_shows_no_secret_and_nobody_else_can_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let emulator = Swtpm::start().unwrap();
    let place = Place::with_tpm(&emulator, "", "");
    let running = place.start();
    let mut client = place.client().await;
    provision(&mut client).await;
    client.sign_bundle(&bundle("one"), None).await.unwrap();
    client.issue_token(&commitment("one")).await.unwrap();
    let salt = client.gps_salt(&Digest::of(b"raw")).await.unwrap();
    drop(client);
    running.stop();

    assert_eq!(
        std::fs::metadata(place.state())
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o700
    );
    let mut text = place.log();
    for entry in std::fs::read_dir(place.state()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600,
            "{path:?}"
        );
        text += &std::fs::read_to_string(path).unwrap();
    }
    let mut secrets: Vec<String> = TABLES
        .iter()
        .map(|table| hex::encode(master_key(*table).expose()))
        .collect();
    secrets.extend([hex::encode(nuc_hash().expose()), hex::encode(salt.expose())]);
    for secret in secrets {
        assert!(
            !text.contains(&secret[..16]),
            "part of a secret is in the state or the log"
        );
    }
    assert_ne!(
        GpsSecret::from_bytes([0; 32]).salt(&Digest::of(b"raw")),
        salt,
        "the GPS secret is not a default"
    );
}

/// Calls as anybody could write them, without our client.
pub mod raw {
    use base64::Engine as _;
    use serde_json::{Value, json};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use crate::running::Place;

    pub fn base64(bytes: &[u8]) -> String {
        base64::engine::general_purpose::STANDARD.encode(bytes)
    }

    pub async fn sign(place: &Place, bundle: &str) -> Result<Value, String> {
        let call =
            json!({"method": "org.birthmark.Signer.SignBundle", "parameters": {"bundle": bundle}});
        let reply = self::call(place, &call.to_string()).await;
        if reply.get("error").is_some() {
            Err(reply.to_string())
        } else {
            Ok(reply["parameters"].clone())
        }
    }

    pub async fn call(place: &Place, call: &str) -> Value {
        let mut socket = tokio::net::UnixStream::connect(place.socket())
            .await
            .unwrap();
        socket
            .write_all(format!("{call}\0").as_bytes())
            .await
            .unwrap();
        let mut reply = Vec::new();
        while !reply.ends_with(&[0]) {
            let mut byte = [0];
            assert_eq!(
                socket.read(&mut byte).await.unwrap(),
                1,
                "the signer hung up"
            );
            reply.push(byte[0]);
        }
        serde_json::from_slice(&reply[..reply.len() - 1]).unwrap()
    }
}
