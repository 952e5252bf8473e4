//! The parsers of `birthmark-protocol`.

use birthmark_protocol::attestation::Evidence;
use birthmark_protocol::authority_request::{Batch, Question};
use birthmark_protocol::certificate::{IssuerCertificate, LeafExtensions as _};
use birthmark_protocol::gps::Position;
use birthmark_protocol::json::Value;
use birthmark_protocol::nuc::NucMap;
use birthmark_protocol::submission::{RegisteredHash, Submission, SubmissionRoute};
use birthmark_protocol::{
    Bundle, CameraCertificate, CameraToken, DeviceKey, Disclosure, Edit, PublicKey, SealedNuc,
    Signature, SignedVerdict, SoftwareCertificate, SoftwareExtensions, Timestamp, python_json,
};

/// JSON that we read is read by everybody, and Python's form of it means the same.
pub fn json(input: &[u8]) {
    let Ok(value) = Value::parse(input) else {
        return;
    };
    if let Err(error) = serde_json::from_slice::<serde_json::Value>(input) {
        // The common reader rounds the largest numbers less exactly than we do.
        assert!(
            error.to_string().starts_with("number out of range"),
            "only we read this: {error}"
        );
    }
    let text = python_json::dumps(&value);
    assert_eq!(Value::parse(text.as_bytes()).as_ref(), Ok(&value));
    assert_eq!(python_json::dumps(&value), text);
}

/// Every route, and everything the node computes from what was read.
pub fn submission(input: &[u8]) {
    for route in [
        SubmissionRoute::Submit,
        SubmissionRoute::Legacy,
        SubmissionRoute::Certificate,
    ] {
        match Submission::parse(route, input) {
            Ok(submission) => {
                let bytes = submission.bundle.encode();
                assert_eq!(Bundle::decode(&bytes).as_ref(), Ok(&submission.bundle));
                let _ = (
                    submission.bundle_digest(),
                    submission.authority(),
                    submission.camera.spends(),
                );
                if let Some(signed) = submission.camera.signed() {
                    assert!(!signed.texts.is_empty());
                }
            }
            Err(error) => assert!(
                serde_json::to_string(&error).is_ok_and(|body| body.starts_with("{\"detail\":"))
            ),
        }
    }
    let _ = RegisteredHash::parse(input);
}

/// A request of editing software, and a certificate of its own kind.
pub fn edit(input: &[u8]) {
    match Edit::parse(input) {
        Ok(edit) => {
            let bytes = edit.bundle.encode();
            assert_eq!(Bundle::decode(&bytes).as_ref(), Ok(&edit.bundle));
            let images = edit.bundle.images();
            assert!(
                images
                    .iter()
                    .all(|image| image.digest != edit.original && image.level.get() > 0)
            );
            assert!(edit.certificate.extensions().name().len() <= 255);
            let _ = edit.verify();
        }
        Err(error) => assert!(
            serde_json::to_string(&error).is_ok_and(|body| body.starts_with("{\"detail\":"))
        ),
    }
    if let Ok(certificate) = SoftwareCertificate::from_pem_or_der(input) {
        let written = certificate.extensions().write();
        let read = written.and_then(|written| SoftwareExtensions::read(&written));
        assert_eq!(read.as_ref(), Ok(certificate.extensions()));
    }
}

/// Every question, and the question we would ask about the same camera.
pub fn authority_request(input: &[u8]) {
    let questions = [
        Question::parse_token(input),
        Question::parse_certificate(input),
        Question::parse_nuc(input),
    ];
    let batch = Batch::parse(input)
        .map(|batch| batch.questions)
        .unwrap_or_default();
    for question in questions.into_iter().chain(batch).flatten() {
        let body = serde_json::to_vec(&question.to_json()).expect("JSON");
        let again = if question.to_json().get("camera_cert").is_some() {
            Question::parse_certificate(&body)
        } else {
            Question::parse_token(&body)
        };
        assert_eq!(
            format!("{:?}", again.expect("what we ask can be read")),
            format!("{question:?}")
        );
    }
}

/// NUC maps are written back byte for byte.
pub fn nuc(input: &[u8]) {
    if let Ok(map) = NucMap::decode(input) {
        assert_eq!(map.encode(), input);
    }
}

/// Positions have one spelling; receivers' fields are read or refused.
pub fn gps(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if let Ok(position) = text.parse::<Position>() {
        assert_eq!(position.to_string(), text);
    }
    let mut fields = text.split(',');
    let mut next = || fields.next().unwrap_or_default();
    let (latitude, longitude) = ((next(), next()), (next(), next()));
    if let Ok(position) = Position::from_nmea(latitude, longitude, next(), Timestamp::from_unix(0))
    {
        let again = Position::new(
            position.latitude(),
            position.longitude(),
            position.altitude(),
            position.time(),
        );
        assert_eq!(again, Ok(position));
    }
}

/// What a photographer shows is of one photo, and hiding more of it changes nothing about that.
pub fn disclosure(input: &[u8]) {
    let Ok(shown) = serde_json::from_slice::<Disclosure>(input) else {
        return;
    };
    let hidden = shown.showing(&[]);
    assert_eq!(hidden.shown().count(), 0);
    assert_eq!(hidden.verify(&shown.root()), Ok(()));
    let text = serde_json::to_vec(&shown).expect("what was read can be written");
    assert_eq!(serde_json::from_slice(&text).ok(), Some(shown));
}

/// Bundles are written back byte for byte.
pub fn bundle(input: &[u8]) {
    if let Ok(bundle) = Bundle::decode(input) {
        assert_eq!(bundle.encode(), input);
    }
}

/// All layouts of a token.
pub fn token(input: &[u8]) {
    if let Ok(sealed) = SealedNuc::from_packed(input) {
        assert_eq!(sealed.to_packed(), input);
    }
    if let Ok(sealed) = SealedNuc::from_extension(input) {
        assert_eq!(sealed.to_extension(), input);
    }
    if let Ok(text) = std::str::from_utf8(input)
        && let Ok(sealed) = SealedNuc::from_packed_text(text)
    {
        assert_eq!(
            SealedNuc::from_packed_text(&hex::encode(sealed.to_packed())),
            Ok(sealed)
        );
    }
    if let Ok(token) = serde_json::from_slice::<CameraToken>(input) {
        let text = serde_json::to_vec(&token).expect("JSON");
        assert_eq!(
            serde_json::from_slice::<CameraToken>(&text).expect("what we write"),
            token
        );
    }
}

/// Certificates of cameras and of authorities.
pub fn certificate(input: &[u8]) {
    if let Ok(certificate) = CameraCertificate::from_der(input) {
        assert_eq!(certificate.der(), input);
        assert!(certificate.extensions().write().is_ok());
    }
    let _ = (
        CameraCertificate::from_pem_or_der(input),
        IssuerCertificate::from_pem_or_der(input),
    );
}

/// Public keys and signatures.
pub fn keys(input: &[u8]) {
    if let Ok(key) = DeviceKey::from_spki_der(input) {
        assert_eq!(DeviceKey::from_spki_der(&key.to_spki_der()), Ok(key));
    }
    if let Ok(key) = PublicKey::from_sec1(input) {
        assert_eq!(PublicKey::from_sec1(&key.to_compressed()), Ok(key));
    }
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = PublicKey::from_pem(text);
    }
    if let Ok(signature) = Signature::from_der(input) {
        assert_eq!(Signature::from_bytes(&signature.to_bytes()), Ok(signature));
        assert_eq!(signature.to_der(), input);
    }
}

/// Verdicts are written back byte for byte.
pub fn verdict(input: &[u8]) {
    if let Ok(verdict) = SignedVerdict::decode(input) {
        assert_eq!(verdict.encode(), input);
    }
}

/// Statements about epochs, and submissions under one-time keys.
pub fn one_time(input: &[u8]) {
    use birthmark_protocol::one_time::{OneTimeSubmission, SignedEpochStatement};
    if let Ok(signed) = SignedEpochStatement::decode(input) {
        assert_eq!(signed.encode(), input);
    }
    if let Ok(submission) = OneTimeSubmission::parse(input) {
        let json = submission.to_json().unwrap_or_default();
        assert_eq!(OneTimeSubmission::parse(&json).as_ref(), Ok(&submission));
    }
}

/// What a TPM says about its keys.
pub fn attestation(input: &[u8]) {
    use birthmark_protocol::attestation::{CertifyStatement, PublicArea};
    let _ = PublicArea::parse("key", input);
    let _ = CertifyStatement::parse(input);
    if let Ok(evidence) = serde_json::from_slice::<Evidence>(input) {
        let _ = evidence.check(&[0; 32]);
    }
}
