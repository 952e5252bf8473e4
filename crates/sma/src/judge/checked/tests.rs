use birthmark_protocol::certificate::{CameraExtensions, DeviceKey};
use birthmark_protocol::{CameraToken, KeyIndex, MasterKey, NucHash, TableId, Timestamp};

use super::*;
use crate::Settings;
use crate::issue::ca::{CameraSubject, Issuer, PrivateKey};

fn now() -> Timestamp {
    Timestamp::from_unix(1_800_000_000)
}

fn issuer() -> Issuer {
    Issuer::root(&Settings::rehearsal("checked"), now()).unwrap()
}

fn key_of(issuer: &Issuer) -> IssuerKey {
    IssuerKey {
        public: issuer.public(),
        validity: issuer.validity(),
        distrusted_from: None,
    }
}

fn certificate(issuer: &Issuer) -> CameraCertificate {
    let key = DeviceKey::P256(PrivateKey::generate().unwrap().public());
    let token = CameraToken::issue_certificate(
        &NucHash::from_bytes([1; 32]),
        &MasterKey::from_bytes([2; 32]),
        TableId::try_from(1).unwrap(),
        KeyIndex::try_from(1).unwrap(),
        [3; 12],
        &key.to_spki_der(),
    );
    let extensions = CameraExtensions {
        manufacturer_id: "checked".into(),
        ma_endpoint: "https://authority.example".into(),
        token,
        device_family: "Family".into(),
    };
    let subject = CameraSubject {
        key: &key,
        extensions,
        attested: false,
    };
    let settings = Settings::rehearsal("checked");
    let der = issuer.certify(&settings, subject, now());
    CameraCertificate::from_der(&der.unwrap()).unwrap()
}

#[test]
fn a_certificate_is_known_by_every_byte_of_it() {
    let (checked, ours) = (CheckedCertificates::default(), issuer());
    let (certificate, keys) = (certificate(&ours), [key_of(&ours)]);
    for _ in 0..2 {
        let found = checked.issuer(&certificate, &keys).unwrap();
        assert_eq!(found.public, ours.public());
    }
    let mut changed = certificate.der().to_vec();
    *changed.last_mut().unwrap() ^= 1;
    let changed = CameraCertificate::from_der(&changed).unwrap();
    assert_eq!(changed.serial(), certificate.serial());
    assert!(checked.issuer(&changed, &keys).is_none());
}

#[test]
fn a_key_that_is_ours_no_more_signed_nothing() {
    let (checked, ours) = (CheckedCertificates::default(), issuer());
    let certificate = certificate(&ours);
    assert!(checked.issuer(&certificate, &[key_of(&ours)]).is_some());
    assert!(checked.issuer(&certificate, &[key_of(&issuer())]).is_none());
    assert!(checked.issuer(&certificate, &[]).is_none());
}

#[test]
fn only_what_our_keys_signed_is_remembered_and_not_all_is_forgotten_at_once() {
    let (checked, ours) = (CheckedCertificates::default(), issuer());
    let keys = [key_of(&ours)];
    assert!(checked.issuer(&certificate(&issuer()), &keys).is_none());
    assert_eq!(checked.0.len(), 0);
    for number in 0..2 * REMEMBERED as u64 {
        checked
            .0
            .insert(Digest::of(&number.to_be_bytes()), ours.public());
        assert!(checked.0.len() <= REMEMBERED);
    }
    assert!(checked.0.len() > REMEMBERED / 10 * 9);
}
