//! The authority's side of attestation, which has no TPM, against what a TPM really says.

use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use birthmark_protocol::attestation::{
    AttestationError, CheckedEvidence, Credential, CredentialSecret, EndorsementKey, Evidence,
    PublicArea, SeedEncryption,
};
use birthmark_testkit::tpm::Swtpm;

use crate::chip::tpm;

const NONCE: [u8; 32] = [9; 32];

/// RSA-OAEP as the authority does it. The library reads keys with their algorithm identifier in
/// front.
pub fn encrypt(pkcs1: &[u8], label: &[u8], seed: &[u8]) -> Result<Vec<u8>, String> {
    let mut spki = vec![0x30, 0x82];
    spki.extend(u16::try_from(pkcs1.len() + 20).unwrap().to_be_bytes());
    spki.extend([
        0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
    ]);
    spki.extend([0x03, 0x82]);
    spki.extend(u16::try_from(pkcs1.len() + 1).unwrap().to_be_bytes());
    spki.push(0);
    spki.extend(pkcs1);
    let key = PublicEncryptingKey::from_der(&spki).map_err(|error| error.to_string())?;
    let key = OaepPublicEncryptingKey::new(key).map_err(|error| error.to_string())?;
    let mut out = vec![0; key.ciphertext_size()];
    let sealed = key
        .encrypt(&OAEP_SHA256_MGF1SHA256, seed, &mut out, Some(label))
        .map_err(|error| error.to_string())?;
    Ok(sealed.to_vec())
}

fn credential(checked: &CheckedEvidence, secret: &CredentialSecret) -> Credential {
    let encryption = SeedEncryption::Rsa {
        seed: [0x55; 32].into(),
        encrypt: &encrypt,
    };
    Credential::make(
        &checked.endorsement_key,
        &checked.attestation_key_name,
        secret,
        encryption,
    )
    .unwrap()
}

#[test]
fn an_authority_without_a_tpm_believes_the_right_chip_and_no_other() {
    let emulator = Swtpm::start().unwrap();
    let mut chip = tpm(&emulator);
    let key = chip.enrol().unwrap();
    let attestation_key = chip.create_attestation_key().unwrap();
    let evidence = chip.attest(&attestation_key, &NONCE).unwrap();
    assert_eq!(chip.volatile_handles().unwrap(), 2);

    let text = serde_json::to_string(&evidence).unwrap();
    let evidence: Evidence = serde_json::from_str(&text).unwrap();
    let checked = evidence.check(&NONCE).unwrap();
    assert_eq!(checked.signing_key, key);
    assert!(checked.firmware != 0);
    let certificate = evidence.endorsement_certificate.as_deref().unwrap();
    checked
        .endorsement_key
        .is_certified_by(certificate)
        .unwrap();
    assert!(matches!(
        checked.endorsement_key,
        EndorsementKey::Rsa { .. }
    ));

    let secret = CredentialSecret::from_bytes([0x42; 32]);
    let made = credential(&checked, &secret);
    assert_eq!(
        chip.activate(&attestation_key, &made).unwrap().as_slice(),
        secret.expose()
    );
    let other_key = chip.create_attestation_key().unwrap();
    assert!(
        chip.activate(&other_key, &made).is_err(),
        "another attestation key of the same chip"
    );
    drop(chip);

    let second = Swtpm::start().unwrap();
    let mut stranger = tpm(&second);
    let strange_key = stranger.create_attestation_key().unwrap();
    assert!(
        stranger.activate(&strange_key, &made).is_err(),
        "another chip"
    );
    stranger.enrol().unwrap();
    let strange = stranger
        .attest(&strange_key, &NONCE)
        .unwrap()
        .check(&NONCE)
        .unwrap();
    assert_eq!(
        strange.endorsement_key.is_certified_by(certificate),
        Err(AttestationError::Certificate("is about another key"))
    );
}

#[test]
fn evidence_does_not_survive_any_change() {
    let emulator = Swtpm::start().unwrap();
    let mut chip = tpm(&emulator);
    chip.enrol().unwrap();
    let attestation_key = chip.create_attestation_key().unwrap();
    let good = chip.attest(&attestation_key, &NONCE).unwrap();
    assert_eq!(good.check(&[8; 32]), Err(AttestationError::Nonce));

    let mut mixed = good.clone();
    mixed.signing_key = {
        chip.forget().unwrap();
        chip.enrol().unwrap();
        chip.attest(&attestation_key, &NONCE).unwrap().signing_key
    };
    assert_eq!(
        mixed.check(&NONCE),
        Err(AttestationError::OtherKey),
        "a statement about another key"
    );
    let mut mixed = good.clone();
    mixed.attestation_key = chip.create_attestation_key().unwrap().public;
    assert_eq!(
        mixed.check(&NONCE),
        Err(AttestationError::Signature),
        "signed by another attestation key"
    );
    let mut mixed = good.clone();
    mixed.attestation_key.clone_from(&good.signing_key);
    assert!(matches!(
        mixed.check(&NONCE),
        Err(AttestationError::Attributes("attestation key", _))
    ));

    let name = good.check(&NONCE).unwrap().attestation_key_name;
    for field in 0..4 {
        let length = part(&mut good.clone(), field).len();
        for bit in 0..length * 8 {
            let mut bad = good.clone();
            part(&mut bad, field)[bit / 8] ^= 1 << (bit % 8);
            // Harmless bits of the attestation key change its name, so its chip opens no credential
            // for it.
            let believed = bad
                .check(&NONCE)
                .is_ok_and(|checked| checked.attestation_key_name == name);
            assert!(!believed, "bit {bit} of part {field}");
        }
        for end in 0..length {
            let mut bad = good.clone();
            part(&mut bad, field).truncate(end);
            assert!(
                bad.check(&NONCE).is_err(),
                "part {field} cut to {end} bytes"
            );
        }
    }
    assert!(PublicArea::parse("endorsement key", &good.endorsement_key).is_ok());
}

fn part(evidence: &mut Evidence, field: usize) -> &mut Vec<u8> {
    match field {
        0 => &mut evidence.statement,
        1 => &mut evidence.signature,
        2 => &mut evidence.attestation_key,
        _ => &mut evidence.signing_key,
    }
}
