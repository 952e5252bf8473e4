//! What only this module can reach: the emulator has no P-256 endorsement certificate, so that key
//! is made directly.

use birthmark_protocol::attestation::{
    CredentialSecret, EccRandomness, EndorsementKey, PublicArea, SeedEncryption,
};
use birthmark_testkit::tpm::Swtpm;
use tss_esapi::abstraction::AsymmetricAlgorithmSelection;
use tss_esapi::handles::SessionHandle;
use tss_esapi::interface_types::ecc::EccCurve;

use super::*;

fn tcti(emulator: &Swtpm) -> Tcti {
    emulator.tcti().parse().unwrap()
}

fn auth() -> Rc<ChipAuth> {
    Rc::new(ChipAuth::from_credential(&[0x5a; 32]).unwrap())
}

#[test]
fn a_credential_for_a_p256_endorsement_key_opens_in_its_chip_only_with_its_attestation_key() {
    let emulator = Swtpm::start().unwrap();
    let connection = Connection::open(&tcti(&emulator), &auth(), None).unwrap();
    let Connection {
        chip,
        primary,
        session,
        ..
    } = &connection;
    let attestation_key = attestation_key::create(chip, primary, session).unwrap();
    let other_key = attestation_key::create(chip, primary, session).unwrap();
    let endorsement =
        endorsement::with_algorithm(AsymmetricAlgorithmSelection::Ecc(EccCurve::NistP256));

    let (loaded, public) = endorsement.key(chip).unwrap();
    drop(loaded);
    let area = PublicArea::parse("endorsement key", &public::marshalled(&public).unwrap()).unwrap();
    let key = area.into_endorsement_key().unwrap();
    assert!(matches!(key, EndorsementKey::P256(_)));
    let name = PublicArea::parse("attestation key", &attestation_key.public)
        .unwrap()
        .name()
        .clone();
    let secret = CredentialSecret::from_bytes([0x42; 32]);
    let credential = Credential::make(
        &key,
        &name,
        &secret,
        SeedEncryption::P256(EccRandomness([0x17; 32])),
    )
    .unwrap();

    let open = |blob: &Blob| {
        let loaded = seal::load(chip, primary, session, blob, "attestation key").unwrap();
        let (endorsement_key, _) = endorsement.key(chip).unwrap();
        activate::activate(
            chip,
            primary,
            &loaded,
            &endorsement_key,
            &credential.blob,
            &credential.encrypted_seed,
        )
    };
    assert_eq!(open(&attestation_key).unwrap().as_slice(), secret.expose());
    assert!(open(&other_key).is_err());
}

#[test]
fn handles_of_a_dead_owner_are_flushed_at_start() {
    let emulator = Swtpm::start().unwrap();
    let connection = Connection::open(&tcti(&emulator), &auth(), None).unwrap();
    let session = SessionHandle::from(connection.session.auth());
    connection
        .chip
        .ask("save a session", |context| {
            context.context_save(session.into())
        })
        .unwrap();
    // A process that is killed runs no destructors, so its key and its saved session stay in the
    // chip.
    std::mem::forget(connection);

    let onlooker = Chip::connect(&tcti(&emulator)).unwrap();
    assert_eq!(
        onlooker.volatile_handles().unwrap().len(),
        2,
        "what the dead owner left"
    );
    drop(onlooker);
    let next = Connection::open(&tcti(&emulator), &auth(), None).unwrap();
    assert_eq!(
        next.chip.volatile_handles().unwrap().len(),
        2,
        "the new storage root and session"
    );
    drop(next);
    let onlooker = Chip::connect(&tcti(&emulator)).unwrap();
    assert_eq!(onlooker.volatile_handles().unwrap(), []);
}
