//! Held against what a TPM really said, and against a credential that Python computed.

use p256::ecdsa::SigningKey;
use serde_json::Value;

use super::*;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../../spec/vectors/attestation.json")).unwrap()
}

fn bytes32(text: &Value) -> [u8; 32] {
    hex::decode(text.as_str().unwrap())
        .unwrap()
        .try_into()
        .unwrap()
}

fn case() -> (Value, Evidence, [u8; 32]) {
    let case = vectors()["cases"][0].clone();
    let evidence = serde_json::from_value(case["evidence"].clone()).unwrap();
    let nonce = bytes32(&case["nonce"]);
    (case, evidence, nonce)
}

#[test]
fn what_an_emulated_chip_said_is_understood() {
    let (case, evidence, nonce) = case();
    let checked = evidence.check(&nonce).unwrap();
    let spki = hex::encode(checked.signing_key.to_spki_der());
    assert_eq!(spki, case["signing_key_spki"]);
    let name = hex::encode(checked.attestation_key_name.as_bytes());
    assert_eq!(name, case["attestation_key_name"]);
    let pkcs1 = checked.endorsement_key.rsa_der().unwrap();
    assert_eq!(hex::encode(pkcs1), case["endorsement_key_pkcs1"]);
    let certificate = evidence.endorsement_certificate.as_deref().unwrap();
    checked
        .endorsement_key
        .is_certified_by(certificate)
        .unwrap();
    let again = serde_json::to_value(&evidence).unwrap();
    assert_eq!(again, case["evidence"]);
}

#[test]
fn no_part_of_it_can_be_changed_or_left_out() {
    let (_, evidence, nonce) = case();
    let name = evidence.check(&nonce).unwrap().attestation_key_name;
    assert_eq!(evidence.check(&[8; 32]), Err(AttestationError::Nonce));
    for part in 0..4 {
        let length = part_of(&mut evidence.clone(), part).len();
        for bit in 0..length * 8 {
            let mut bad = evidence.clone();
            part_of(&mut bad, part)[bit / 8] ^= 1 << (bit % 8);
            // Harmless bits of the attestation key change its name, so its chip opens no credential
            // for it.
            let believed = bad
                .check(&nonce)
                .is_ok_and(|checked| checked.attestation_key_name == name);
            assert!(!believed, "bit {bit} of part {part}");
        }
        for end in 0..length {
            let mut bad = evidence.clone();
            part_of(&mut bad, part).truncate(end);
            assert!(bad.check(&nonce).is_err(), "part {part} cut to {end} bytes");
        }
    }
}

fn part_of(evidence: &mut Evidence, part: usize) -> &mut Vec<u8> {
    match part {
        0 => &mut evidence.statement,
        1 => &mut evidence.signature,
        2 => &mut evidence.attestation_key,
        _ => &mut evidence.signing_key,
    }
}

#[test]
fn a_credential_is_the_one_another_language_computed() {
    let (_, evidence, nonce) = case();
    let name = evidence.check(&nonce).unwrap().attestation_key_name;
    for case in vectors()["credentials"].as_array().unwrap() {
        assert_eq!(hex::encode(name.as_bytes()), case["attestation_key_name"]);
        let private = SigningKey::from_slice(&bytes32(&case["endorsement_private_key"])).unwrap();
        let key = EndorsementKey::P256(PublicKey::from(*private.verifying_key()));
        let secret = CredentialSecret::from_bytes(bytes32(&case["secret"]));
        let random = SeedEncryption::P256(EccRandomness(bytes32(&case["ephemeral"])));
        let made = Credential::make(&key, &name, &secret, random).unwrap();
        assert_eq!(serde_json::to_value(&made).unwrap(), case["credential"]);
    }
}

#[test]
fn a_field_that_is_too_large_is_refused_while_reading() {
    use base64::Engine as _;

    let (case, _, _) = case();
    for field in ["statement", "endorsement_certificate"] {
        let mut large = case["evidence"].clone();
        large[field] = base64::engine::general_purpose::STANDARD
            .encode(vec![0; MAX_FIELD + 1])
            .into();
        let error = serde_json::from_value::<Evidence>(large).unwrap_err();
        assert!(error.to_string().contains("more than the"), "{error}");
    }
}
