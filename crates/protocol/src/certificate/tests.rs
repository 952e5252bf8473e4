use proptest::prelude::*;

use super::*;

fn extensions() -> CameraExtensions {
    CameraExtensions {
        manufacturer_id: "test-maker".into(),
        ma_endpoint: "http://127.0.0.1:8001/validate-cert".into(),
        token: CameraToken {
            sealed: SealedNuc {
                ciphertext: [1; 32],
                nonce: [2; 12],
                tag: [3; 16],
            },
            table: 42.try_into().unwrap(),
            index: 137.try_into().unwrap(),
        },
        device_family: "Raspberry Pi".into(),
    }
}

fn raw(field: Field, value: &[u8]) -> Extension {
    field.slot().extension(Ok(value.to_vec())).unwrap()
}

fn field_form(from: &CameraExtensions) -> Vec<Extension> {
    vec![
        raw(Field::ManufacturerId, from.manufacturer_id.as_bytes()),
        raw(Field::MaEndpoint, from.ma_endpoint.as_bytes()),
        raw(Field::EncryptedNuc, &from.token.sealed.to_extension()),
        raw(Field::KeyTableId, &from.token.table.get().to_be_bytes()),
        raw(Field::KeyIndex, &from.token.index.get().to_be_bytes()),
        raw(Field::DeviceFamily, from.device_family.as_bytes()),
    ]
}

#[test]
fn ours_and_the_fields_forms_mean_the_same() {
    let ours = extensions();
    assert_eq!(
        CameraExtensions::read(&ours.write().unwrap()).unwrap(),
        ours
    );
    assert_eq!(CameraExtensions::read(&field_form(&ours)).unwrap(), ours);
}

#[test]
fn a_missing_a_repeated_and_a_wrong_extension_are_named() {
    let good = field_form(&extensions());
    for (position, name) in [
        "manufacturerID",
        "maEndpoint",
        "encryptedNUC",
        "keyTableID",
        "keyIndex",
        "deviceFamily",
    ]
    .into_iter()
    .enumerate()
    {
        let mut without = good.clone();
        let removed = without.remove(position);
        assert_eq!(
            CameraExtensions::read(&without),
            Err(CertificateError::Missing(name))
        );
        let mut twice = good.clone();
        twice.push(removed);
        assert_eq!(
            CameraExtensions::read(&twice),
            Err(CertificateError::Repeated(name))
        );
    }
    let mut out_of_range = good;
    out_of_range[3] = raw(Field::KeyTableId, &2500u16.to_be_bytes());
    let error = CameraExtensions::read(&out_of_range)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "extension keyTableID is malformed: 2500 is out of range 0–2499"
    );
}

#[test]
fn certificates_made_by_openssl_are_read_and_their_signatures_checked() {
    let ca = IssuerCertificate::from_pem_or_der(include_bytes!("../../tests/fixtures/test-ca.pem"))
        .unwrap();
    for der in [
        &include_bytes!("../../tests/fixtures/test-camera-der.der")[..],
        include_bytes!("../../tests/fixtures/test-camera-raw.der"),
    ] {
        let certificate = CameraCertificate::from_der(der).unwrap();
        assert_eq!(certificate.extensions(), &extensions());
        assert_eq!(certificate.verify_issuer(&ca.key), Ok(()));
        assert!(certificate.key().p256().is_some());
        let stranger = certificate.key().p256().unwrap();
        assert!(certificate.verify_issuer(stranger).is_err());
    }
}

#[test]
fn a_changed_byte_in_the_signed_part_breaks_the_signature() {
    let ca = IssuerCertificate::from_pem_or_der(include_bytes!("../../tests/fixtures/test-ca.pem"))
        .unwrap();
    let mut der = include_bytes!("../../tests/fixtures/test-camera-der.der").to_vec();
    let at = der
        .windows(12)
        .position(|window| window == b"Raspberry Pi")
        .unwrap();
    der[at] = b'S';
    let certificate = CameraCertificate::from_der(&der).unwrap();
    assert_eq!(certificate.extensions().device_family, "Saspberry Pi");
    assert_eq!(
        certificate.verify_issuer(&ca.key),
        Err(SignatureError::Mismatch.into())
    );
}

#[test]
fn a_ca_is_no_camera_and_a_camera_no_ca() {
    let ca = include_bytes!("../../tests/fixtures/test-ca.pem");
    assert_eq!(
        CameraCertificate::from_pem_or_der(ca).unwrap_err(),
        CertificateError::IsAuthority
    );
    let camera = include_bytes!("../../tests/fixtures/test-camera-der.der");
    assert_eq!(
        IssuerCertificate::from_pem_or_der(camera).unwrap_err(),
        CertificateError::NotAuthority
    );
}

#[test]
fn a_critical_extension_that_is_unknown_and_another_usage_are_refused() {
    let refused = |der: &[u8]| CameraCertificate::from_der(der).unwrap_err();
    let critical = refused(include_bytes!(
        "../../tests/fixtures/test-camera-critical.der"
    ));
    assert_eq!(
        critical.to_string(),
        "the critical extension 1.2.3.4 is not understood"
    );
    let usage = refused(include_bytes!("../../tests/fixtures/test-camera-usage.der"));
    assert_eq!(usage, CertificateError::Usage);
    let issuer = include_bytes!("../../tests/fixtures/test-ca-usage.pem");
    assert_eq!(
        IssuerCertificate::from_pem_or_der(issuer).unwrap_err(),
        CertificateError::Usage
    );
}

#[test]
fn rsa_keys_are_certified_from_2048_bits_on() {
    let big = include_bytes!("../../tests/fixtures/test-rsa2048.spki.der");
    assert!(matches!(
        DeviceKey::from_spki_der(big),
        Ok(DeviceKey::Rsa { bits: 2048, .. })
    ));
    let small = include_bytes!("../../tests/fixtures/test-rsa1024.spki.der");
    assert_eq!(DeviceKey::from_spki_der(small), Err(CertificateError::Key));
    let other_curve = include_bytes!("../../tests/fixtures/test-p384.spki.der");
    assert_eq!(
        DeviceKey::from_spki_der(other_curve),
        Err(CertificateError::Key)
    );
}

#[test]
fn too_many_bytes_are_refused_before_they_are_parsed() {
    assert_eq!(
        CameraCertificate::from_der(&[0x30; MAX_DER + 1]).unwrap_err(),
        CertificateError::TooLarge(MAX_DER + 1)
    );
}

proptest! {
    #[test]
    fn any_change_to_a_certificate_is_an_error_or_a_certificate(at in 0usize..600, byte: u8) {
        let mut der = include_bytes!("../../tests/fixtures/test-camera-der.der").to_vec();
        let at = at % der.len();
        der[at] = byte;
        let _ = CameraCertificate::from_der(&der);
    }
}

/// Certificates of `make.sh chain`: root 2020 to 2040, intermediate 2022 to 2032, leaf 2024 to 2030.
mod chain {
    use super::*;

    const ROOT: &[u8] = include_bytes!("../../tests/fixtures/chain-root.pem");
    const SHORT_ROOT: &[u8] = include_bytes!("../../tests/fixtures/chain-short-root.pem");
    const MIDDLE: &[u8] = include_bytes!("../../tests/fixtures/chain-middle.pem");
    const LEAF: &[u8] = include_bytes!("../../tests/fixtures/chain-leaf.pem");
    const EARLY_LEAF: &[u8] = include_bytes!("../../tests/fixtures/chain-early-leaf.pem");
    const LATE_LEAF: &[u8] = include_bytes!("../../tests/fixtures/chain-late-leaf.pem");
    const OTHER_ROOT: &[u8] = include_bytes!("../../tests/fixtures/test-ca.pem");

    /// The first of June of these years.
    const IN_2021: i64 = 1_622_505_600;
    const IN_2023: i64 = 1_685_577_600;
    const IN_2025: i64 = 1_748_736_000;
    const IN_2031: i64 = 1_938_038_400;
    const IN_2035: i64 = 2_064_268_800;

    fn verified(leaf: &[u8], issuers: &[&[u8]], now: i64) -> Result<(), String> {
        let leaf = CameraCertificate::from_pem_or_der(leaf).unwrap();
        let read = |pem: &&[u8]| IssuerCertificate::from_pem_or_der(pem).unwrap();
        let issuers: Vec<_> = issuers.iter().map(read).collect();
        let verified = leaf.verify_chain(&issuers, Timestamp::from_unix(now));
        verified.map_err(|error| error.to_string())
    }

    #[test]
    fn a_chain_holds_with_its_root_without_it_and_with_nothing_above() {
        for issuers in [&[MIDDLE, ROOT][..], &[MIDDLE], &[]] {
            assert_eq!(verified(LEAF, issuers, IN_2025), Ok(()));
        }
    }

    #[test]
    fn every_date_along_the_chain_counts() {
        let chain = [MIDDLE, ROOT];
        for (leaf, issuers, now, said) in [
            (
                LEAF,
                &chain[..],
                IN_2023,
                "the certificate is not valid before 1704067200",
            ),
            (LEAF, &chain, IN_2031, "the certificate ended at 1893456000"),
            // The leaf outlives its issuer: that it is good itself is not enough.
            (LATE_LEAF, &chain, IN_2035, "begins at 1988150400, when"),
            (EARLY_LEAF, &chain, IN_2025, "begins at 1609459200, when"),
            (EARLY_LEAF, &chain, IN_2021, "begins at 1609459200, when"),
        ] {
            let refused = verified(leaf, issuers, now).unwrap_err();
            assert!(refused.contains(said), "{refused}");
        }
        let issuers = |issuers: &[&[u8]], now: i64| {
            let read = |pem: &&[u8]| IssuerCertificate::from_pem_or_der(pem).unwrap();
            let issuers: Vec<_> = issuers.iter().map(read).collect();
            IssuerCertificate::verify_chain(&issuers, Timestamp::from_unix(now))
        };
        let ended = issuers(&chain, IN_2035).unwrap_err();
        assert!(
            matches!(&ended, ChainError::Ended { link: Link::Issuer(name), .. } if name.contains("middle")),
            "{ended}"
        );
        let early = issuers(&chain, IN_2021).unwrap_err();
        assert!(matches!(early, ChainError::NotYetValid { .. }), "{early}");
        assert_eq!(issuers(&chain, IN_2031), Ok(()));
    }

    #[test]
    fn who_did_not_issue_and_who_allows_none_below_are_named() {
        let foreign = verified(LEAF, &[MIDDLE, OTHER_ROOT], IN_2025).unwrap_err();
        assert!(
            foreign.contains("Test CA") && foreign.contains("did not issue"),
            "{foreign}"
        );
        let turned = verified(LEAF, &[ROOT, MIDDLE], IN_2025).unwrap_err();
        assert!(turned.contains("did not issue the certificate"), "{turned}");
        // The same key and name, and room for no intermediate.
        let short = verified(LEAF, &[MIDDLE, SHORT_ROOT], IN_2025).unwrap_err();
        assert!(
            short.contains("does not allow a chain of this length"),
            "{short}"
        );
        let long = verified(
            LEAF,
            &[MIDDLE, ROOT, ROOT, ROOT, ROOT, ROOT, ROOT, ROOT, ROOT],
            IN_2025,
        );
        assert!(long.unwrap_err().contains("of this length"));
    }
}
