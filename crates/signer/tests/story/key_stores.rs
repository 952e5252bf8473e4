//! What is absent from the builds that ship: software keys, and signatures of rehearsals.

use birthmark_protocol::{Bundle, Capture, PixelSource};
use birthmark_signer::SignerRefusal;
use birthmark_testkit::tpm::Swtpm;

use crate::daemon::{TIME, images, provision, refusal};
use crate::running::Place;

/// The camera's daemon builds the bundle, and says where its pixels came from.
fn from(source: PixelSource) -> Bundle {
    let capture = Capture {
        source,
        software: None,
        anchor: None,
        disclosure: None,
    };
    Bundle::captured(images("one"), TIME, capture).unwrap()
}

#[tokio::test]
async fn under_a_key_of_the_chip_only_builds_for_rehearsal_sign_what_no_sensor_delivered() {
    let emulator = Swtpm::start().unwrap();
    let place = Place::with_tpm(&emulator, "", "");
    let _running = place.start();
    let mut client = place.client().await;
    provision(&mut client).await;
    for source in [PixelSource::File, PixelSource::Simulated] {
        let outcome = client.sign_bundle(&from(source), None).await;
        if cfg!(feature = "rehearsal") {
            outcome.unwrap();
            continue;
        }
        let refused = refusal(outcome);
        let SignerRefusal::BadInput { field, reason } = &refused else {
            panic!("{refused:?}");
        };
        assert_eq!(field, "bundle");
        assert!(
            reason.contains(source.name()) && reason.contains("only what a sensor"),
            "{reason}"
        );
    }
    // A camera of the documents states none; ours must.
    let unstated = Bundle::new(images("one"), TIME, None).unwrap();
    let refused = refusal(client.sign_bundle(&unstated, None).await);
    assert!(
        refused.to_string().contains("states no source"),
        "{refused}"
    );
    client
        .sign_bundle(&from(PixelSource::Sensor), None)
        .await
        .unwrap();
}

#[cfg(not(feature = "software-keys"))]
#[test]
fn an_ordinary_build_refuses_software_keys() {
    let place = Place::new();
    place.configure("key_store = \"software\"\n");
    let ended = place.spawn().end();
    assert_eq!(ended.code(), Some(78));
    let log = place.log();
    assert!(
        log.contains("`key_store`: this build keeps keys in a TPM only"),
        "{log}"
    );
    assert!(!place.state().exists(), "nothing was made");
}

#[cfg(feature = "software-keys")]
#[tokio::test]
async fn a_development_build_names_its_software_keys_in_every_answer() {
    use birthmark_protocol::{CameraCertificate, Digest, PublicKey};
    use birthmark_signer::messages::KeyStoreKind;

    use crate::daemon::bundle;

    let place = Place::new();
    place.configure("key_store = \"software\"\n");
    let running = place.start();
    let mut client = place.client().await;
    let file = crate::authority::provisioning_with_private_key();
    let reply = client.provision(&file.to_string()).await.unwrap();
    assert_eq!(reply.key_store, KeyStoreKind::Software);
    let signed = client.sign_bundle(&bundle("one"), None).await.unwrap();
    assert_eq!(signed.key_store, KeyStoreKind::Software);
    let certificate = CameraCertificate::from_der(&signed.certificate).unwrap();
    certificate
        .key()
        .p256()
        .unwrap()
        .verify_digest(&bundle("one").digest(None).unwrap(), &signed.signature)
        .unwrap();
    assert_eq!(
        client.status().await.unwrap().key_store,
        KeyStoreKind::Software
    );
    client.gps_salt(&Digest::of(b"raw")).await.unwrap();
    assert!(
        refusal(client.attest(&[1; 32]).await)
            .to_string()
            .contains("needs a TPM")
    );
    let (key, kind) = client.enrol(false).await.unwrap();
    assert_eq!(
        (Some(&key), kind),
        (certificate.key().p256(), KeyStoreKind::Software)
    );
    let (fresh, _): (PublicKey, _) = client.enrol(true).await.unwrap();
    assert_ne!(fresh, key);
    assert!(
        place.log().contains("nothing it signs proves anything"),
        "{}",
        place.log()
    );
    drop(client);
    running.stop();
}
