//! A camera's certificate is exchanged for another of the same key, and nothing is signed that no
//! validator takes in.

use birthmark_protocol::{Bundle, NucHash, Timestamp};
use birthmark_signer::SignerRefusal;
use birthmark_testkit::tpm::Swtpm;

use crate::authority::{TWO_YEARS, certificate_until, chain, nuc_hash, pem, provisioning_for};
use crate::daemon::{bundle, refusal};
use crate::running::Place;

const DAY: i64 = 86_400;

/// The photo of these tests, taken so many days from now.
pub fn taken(days: i64) -> Bundle {
    let today = bundle("a photo");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let time = now.unwrap().as_secs().cast_signed() + days * DAY;
    let capture = *today.capture().unwrap();
    Bundle::captured(today.images().to_vec(), Timestamp::from_unix(time), capture).unwrap()
}

#[tokio::test]
async fn a_photo_after_the_certificate_s_end_is_signed_once_it_is_renewed() {
    let emulator = Swtpm::start().unwrap();
    let place = Place::with_tpm(&emulator, "", "");
    let running = place.start();
    let mut client = place.client().await;
    let (key, _) = client.enrol(false).await.unwrap();
    let certificate =
        |seconds: i64, nuc: &NucHash| pem("CERTIFICATE", &certificate_until(&key, seconds, nuc));
    let mut file = provisioning_for(&key);
    // It ends in ten days.
    file["device_certificate"] = certificate(10 * DAY, &nuc_hash()).into();
    client.provision(&file.to_string()).await.unwrap();
    let old = client.sign_bundle(&taken(9), None).await.unwrap();
    let refused = refusal(client.sign_bundle(&taken(11), None).await);
    assert!(matches!(refused, SignerRefusal::NotProvisioned { .. }));
    assert!(refused.to_string().contains("birthmark renew"), "{refused}");

    // What is not this camera's new certificate changes nothing.
    let other_nuc = NucHash::from_bytes([1; 32]);
    let stranger = birthmark_protocol::PublicKey::from(
        *p256::ecdsa::SigningKey::from_slice(&[0x77; 32])
            .unwrap()
            .verifying_key(),
    );
    let of_stranger = certificate_until(&stranger, TWO_YEARS, &nuc_hash());
    for (wrong, reason) in [
        (
            certificate(5 * DAY, &nuc_hash()),
            "ends before the present one",
        ),
        (certificate(TWO_YEARS, &other_nuc), "another NUC hash"),
        (pem("CERTIFICATE", &of_stranger), "another camera"),
        ("no certificate".to_owned(), "device_certificate"),
    ] {
        let refused = refusal(client.renew(&wrong, &chain()).await);
        assert!(refused.to_string().contains(reason), "{refused}");
    }
    assert!(client.sign_bundle(&taken(11), None).await.is_err());

    let renewed = client
        .renew(&certificate(TWO_YEARS, &nuc_hash()), &chain())
        .await
        .unwrap();
    assert!(renewed.certificate_not_after.unwrap() > taken(700).time().unix());
    let new = client.sign_bundle(&taken(11), None).await.unwrap();
    assert_ne!(new.certificate, old.certificate);
    running.kill();

    let running = place.start();
    let mut client = place.client().await;
    let again = client.sign_bundle(&taken(12), None).await.unwrap();
    assert_eq!(again.certificate, new.certificate);
    let status = client.status().await.unwrap();
    assert_eq!(status.certificate_not_after, renewed.certificate_not_after);
    assert_eq!(
        status.authority.as_deref(),
        Some("http://127.0.0.1:8001/validate-cert")
    );
    drop(client);
    assert!(running.stop().success());
}
