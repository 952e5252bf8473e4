//! Provisioning files that must not be taken, and the one that must be destroyed.

use birthmark_protocol::PublicKey;
use birthmark_testkit::tpm::Swtpm;
use p256::ecdsa::SigningKey;
use serde_json::{Value, json};

use crate::authority::{
    TABLES, TWO_YEARS, authority_within, certificate_within, nuc_hash, pem, provisioning_for,
};
use crate::daemon::{bundle, refusal};
use crate::renewal::taken;
use crate::running::Place;

fn changed(good: &Value, change: impl FnOnce(&mut Value)) -> String {
    let mut file = good.clone();
    change(&mut file);
    file.to_string()
}

#[tokio::test]
async fn every_file_that_does_not_fit_is_refused_with_its_reason() {
    let emulator = Swtpm::start().unwrap();
    let place = Place::with_tpm(&emulator, "", "");
    let _running = place.start();
    let mut client = place.client().await;
    let (key, _) = client.enrol(false).await.unwrap();
    let good = provisioning_for(&key);
    let text = serde_json::to_string_pretty(&good).unwrap();
    let stranger = PublicKey::from(*SigningKey::from_slice(&[0x33; 32]).unwrap().verifying_key());
    let wrong_key = hex::encode([9; 32]);

    let cases = [
        (String::new(), "cut off after 0 lines"),
        (text[..text.len() / 2].to_owned(), "cut off after"),
        ("master keys: none".to_owned(), "no JSON at line 1"),
        (
            changed(&good, |file| {
                drop(file.as_object_mut().unwrap().remove("nuc_hash"))
            }),
            "missing field `nuc_hash`",
        ),
        (
            changed(&good, |file| file["nuc_hash"] = json!("c4c4")),
            "`nuc_hash` cannot be used: expected 64",
        ),
        (
            changed(&good, |file| file["device_certificate"] = json!("hello")),
            "`device_certificate` cannot be used",
        ),
        (
            provisioning_for(&stranger).to_string(),
            "belongs to another camera",
        ),
        (
            changed(&good, |file| {
                file["certificate_chain"] = file["device_certificate"].clone()
            }),
            "`certificate_chain` cannot be used",
        ),
        (
            changed(&good, |file| file["table_assignments"] = json!([3, 777])),
            "has 2 tables, a camera has 3",
        ),
        (
            changed(&good, |file| {
                file["table_assignments"] = json!([3, 777, 2500])
            }),
            "2500 is out of range",
        ),
        (
            changed(&good, |file| {
                file["table_assignments"] = json!([3, 777, 777])
            }),
            "names a table twice",
        ),
        (
            changed(&good, |file| file["table_assignments"] = json!([3, 777, 5])),
            "no key for table 5",
        ),
        (
            changed(&good, |file| file["master_keys"]["8"] = json!(wrong_key)),
            "other tables than the assigned",
        ),
        (
            changed(&good, |file| file["master_keys"]["777"] = json!(wrong_key)),
            "the master key does not open",
        ),
        (
            changed(&good, |file| file["nuc_hash"] = json!(wrong_key)),
            "another NUC hash",
        ),
        (
            changed(&good, move_away_from_the_certificate),
            "names a table that is not among them",
        ),
    ];
    for (file, expected) in cases {
        let refused = refusal(client.provision(&file).await).to_string();
        assert!(
            refused.contains(expected),
            "{refused:?} does not say {expected:?}"
        );
        assert!(
            !refused.contains(&wrong_key[..12]),
            "a key is repeated in {refused:?}"
        );
    }
    assert!(!client.status().await.unwrap().provisioned);
    assert!(!place.state().join("camera.json").exists());
    client.provision(&text).await.unwrap();
    client.sign_bundle(&bundle("one"), None).await.unwrap();
}

/// A file whose certificates are valid between these moments, the camera's and its issuer's; in
/// seconds from now.
fn dated(good: &Value, key: &PublicKey, leaf: (i64, i64), issuer: (i64, i64)) -> String {
    let leaf = certificate_within(key, leaf, &nuc_hash());
    let issuer = authority_within(issuer.0, issuer.1);
    changed(good, |file| {
        file["device_certificate"] = json!(pem("CERTIFICATE", &leaf));
        file["certificate_chain"] = json!([pem("CERTIFICATE", &issuer)]);
    })
}

#[tokio::test]
async fn certificates_whose_dates_do_not_hold_are_refused_at_import_and_at_renewal() {
    const DAY: i64 = 86_400;
    let emulator = Swtpm::start().unwrap();
    let place = Place::with_tpm(&emulator, "", "");
    let _running = place.start();
    let mut client = place.client().await;
    let (key, _) = client.enrol(false).await.unwrap();
    let good = provisioning_for(&key);
    let long = (-2 * TWO_YEARS, TWO_YEARS);
    let cases = [
        // An expired issuer, also where the leaf would go on.
        (
            (-30 * DAY, DAY),
            (-60 * DAY, -DAY),
            "\"CN=Test Authority\" ended at",
        ),
        ((-30 * DAY, -DAY), long, "the certificate ended at"),
        // A leaf whose time has not come, as the clock says: and one that claims to be older than
        // the time of its issuer.
        ((DAY, 30 * DAY), long, "is not valid before"),
        ((-DAY, DAY), (DAY, TWO_YEARS), "was not valid"),
        // A leaf that is older than who issued it.
        ((-30 * DAY, 30 * DAY), (-DAY, TWO_YEARS), "was not valid"),
    ];
    for (leaf, issuer, expected) in cases {
        let refused = refusal(client.provision(&dated(&good, &key, leaf, issuer)).await);
        assert!(refused.to_string().contains(expected), "{refused}");
        assert!(!client.status().await.unwrap().provisioned);
    }
    // The chain ends before the camera's own certificate: nothing is signed after that.
    let soon = dated(&good, &key, (-DAY, 30 * DAY), (-2 * DAY, DAY));
    client.provision(&soon).await.unwrap();
    let end = client.status().await.unwrap().certificate_not_after;
    client.sign_bundle(&taken(0), None).await.unwrap();
    let refused = refusal(client.sign_bundle(&taken(2), None).await).to_string();
    assert!(refused.contains("ended at") && end.is_some(), "{refused}");
    for (leaf, issuer, expected) in cases {
        let leaf = (leaf.0, leaf.1 + 30 * DAY * i64::from(leaf.1 == DAY));
        let certificate = pem("CERTIFICATE", &certificate_within(&key, leaf, &nuc_hash()));
        let chain = pem("CERTIFICATE", &authority_within(issuer.0, issuer.1));
        let refused = refusal(client.renew(&certificate, &chain).await).to_string();
        assert!(refused.contains(expected), "{refused}");
    }
    assert_eq!(client.status().await.unwrap().certificate_not_after, end);
}

/// The tables of somebody else: all different, all with keys, none the certificate's.
fn move_away_from_the_certificate(file: &mut Value) {
    file["table_assignments"] = json!([TABLES[0], 778, TABLES[2]]);
    let keys = file["master_keys"].as_object_mut().unwrap();
    let key = keys.remove("777").unwrap();
    keys.insert("778".into(), key);
}

#[tokio::test]
async fn a_file_is_imported_once_and_its_clear_copy_destroyed() {
    let emulator = Swtpm::start().unwrap();
    let place = Place::with_tpm(&emulator, "", "");
    let running = place.start();
    let mut client = place.client().await;
    let (key, _) = client.enrol(false).await.unwrap();
    drop(client);
    running.stop();

    let text = provisioning_for(&key).to_string();
    let file = place.provisioning_file(&text, 0o600);
    place.configure(&format!(
        "provisioning_file = {file:?}\n[tpm]\ntcti = \"{}\"\n",
        emulator.tcti()
    ));
    let running = place.start();
    let mut client = place.client().await;
    assert!(client.status().await.unwrap().provisioned);
    client.sign_bundle(&bundle("one"), None).await.unwrap();
    assert!(!file.exists(), "the clear copy is gone");
    drop(client);
    running.stop();

    let running = place.start();
    let mut client = place.client().await;
    assert!(
        client.status().await.unwrap().problem.is_none(),
        "without a file there is nothing to complain of"
    );
    client.sign_bundle(&bundle("two"), None).await.unwrap();
    drop(client);
    running.stop();
}

#[tokio::test]
async fn a_file_that_others_can_read_stays_and_the_fix_is_named() {
    let emulator = Swtpm::start().unwrap();
    let place = Place::with_tpm(&emulator, "", "");
    let running = place.start();
    let mut client = place.client().await;
    let (key, _) = client.enrol(false).await.unwrap();
    drop(client);
    running.stop();

    let text = provisioning_for(&key).to_string();
    for mode in [0o644, 0o640, 0o604] {
        let file = place.provisioning_file(&text, mode);
        place.configure(&format!(
            "provisioning_file = {file:?}\n[tpm]\ntcti = \"{}\"\n",
            emulator.tcti()
        ));
        let running = place.start();
        let mut client = place.client().await;
        let status = client.status().await.unwrap();
        let problem = status.problem.unwrap();
        assert!(
            !status.provisioned
                && problem.contains(&format!("{mode:04o}"))
                && problem.contains("chmod 600"),
            "{problem}"
        );
        assert!(file.exists() && place.log().contains("chmod 600"));
        drop(client);
        running.stop();
    }
}
