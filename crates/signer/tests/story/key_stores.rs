//! Software keys: absent from ordinary builds, and named everywhere in the others.

use crate::running::Place;

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

    use crate::daemon::{bundle, refusal};

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
