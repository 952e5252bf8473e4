//! Every way an answer can be no, each reached by breaking one thing about a camera that passes.

use std::sync::OnceLock;

use birthmark_protocol::certificate::{CameraExtensions, DeviceKey};
use birthmark_protocol::token_claim::PackedToken;
use birthmark_protocol::{KeyId, KeyIndex, MasterKey, NucHash, SealedNuc, TableId};

use super::*;
use crate::Settings;
use crate::issue::ca::{CameraSubject, Issuer, PrivateKey};
use crate::judge::cameras::IssuedCertificate;
use crate::judge::rules::{Revocation, Scope};
use crate::keep::store::RevocationRow;
use crate::keep::vault::Vault;

const NUC: [u8; 32] = [0xAA; 32];

fn now() -> Timestamp {
    Timestamp::from_unix(1_800_000_000)
}

fn table(number: i64) -> TableId {
    number.try_into().unwrap()
}

fn index() -> KeyIndex {
    KeyIndex::try_from(42).unwrap()
}

/// A master key that tells its table.
fn master(table: TableId) -> MasterKey {
    let [high, low] = table.get().to_be_bytes();
    let mut key = [7; 32];
    (key[0], key[1]) = (high, low);
    MasterKey::from_bytes(key)
}

/// All tables, opened from a vault as at a start. Made once: the vault takes its time on purpose.
fn key_tables() -> &'static KeyTables {
    static TABLES: OnceLock<KeyTables> = OnceLock::new();
    TABLES.get_or_init(|| {
        let (vault, _) = Vault::create(b"a test credential", [1; 16]).unwrap();
        let rows: Vec<_> = tables::all()
            .map(|table| {
                let sealed = tables::seal(&vault, table, &master(table)).unwrap();
                (i64::from(table), sealed)
            })
            .collect();
        KeyTables::open(&vault, &rows).unwrap()
    })
}

fn device(id: i64) -> Device {
    Device {
        id,
        tables: [1, 2, 3].map(table),
        family: "Family".into(),
        firmware: None,
        attested: false,
        simulated_nuc: false,
        binds_tokens: true,
        certificate: None,
        former: None,
        validations: 0.into(),
    }
}

/// What one judgement rests on; each test changes a part of it.
struct World {
    cameras: Cameras,
    rules: Rules,
    issuers: Vec<IssuerKey>,
    checked: CheckedCertificates,
    now: Timestamp,
}

impl World {
    fn of(device: Device) -> Self {
        let mut cameras = Cameras::default();
        cameras.insert(&NucHash::from_bytes(NUC), device);
        Self {
            cameras,
            rules: Rules::default(),
            issuers: Vec::new(),
            checked: CheckedCertificates::default(),
            now: now(),
        }
    }

    fn judge(&self, proof: &CameraProof) -> Result<Proof, Refusal> {
        let judge = Judge {
            tables: key_tables(),
            cameras: &self.cameras,
            rules: &self.rules,
            issuers: &self.issuers,
            checked: &self.checked,
            now: self.now,
        };
        let passed = judge.proof(proof, Some(&photo()));
        passed.map(|passed| passed.proof)
    }
}

fn photo() -> Commitment {
    Commitment::from_bytes([3; 32])
}

/// A token bound to the photo under a table's key.
fn token_under(table: TableId, nuc: [u8; 32]) -> CameraToken {
    let nuc = NucHash::from_bytes(nuc);
    CameraToken::issue(&nuc, &master(table), table, index(), [9; 12], &photo())
}

fn structured(token: CameraToken) -> CameraProof {
    CameraProof::Token(TokenClaim::Structured(token))
}

#[test]
fn a_token_is_refused_for_what_is_wrong_with_it() {
    let world = World::of(device(1));
    let good = token_under(table(2), NUC);
    assert_eq!(world.judge(&structured(good)), Ok(Proof::Token));

    let mut other_table = good;
    other_table.table = table(1);
    let of_nobody = token_under(table(2), [0xBB; 32]);
    let foreign_table = token_under(table(4), NUC);
    let key = master(table(1)).table_key(index(), DerivationProfile::A);
    let unbound = CameraToken {
        sealed: SealedNuc::seal(&NucHash::from_bytes(NUC), &key, [9; 12], &[]),
        table: table(1),
        index: index(),
    };
    for (token, refusal) in [
        (other_table, Refusal::NotOpened),
        (of_nobody, Refusal::UnknownDevice),
        (foreign_table, Refusal::ForeignTable),
        (unbound, Refusal::Unbound),
    ] {
        assert_eq!(world.judge(&structured(token)), Err(refusal));
    }
    let older = World::of(Device {
        binds_tokens: false,
        ..device(1)
    });
    assert_eq!(older.judge(&structured(unbound)), Ok(Proof::Token));
}

/// Decoys fail and do not count; if no key opens, the reason that says most is reported.
#[test]
fn of_three_keys_one_is_enough_and_the_most_telling_failure_counts() {
    let world = World::of(device(1));
    let packed = |token: CameraToken, keys: [i64; 3]| {
        CameraProof::Token(TokenClaim::Packed(PackedToken {
            sealed: token.sealed,
            keys: keys.map(|number| (table(number), index())),
        }))
    };
    let good = token_under(table(2), NUC);
    for keys in [[2, 8, 9], [8, 2, 9], [8, 9, 2]] {
        assert_eq!(world.judge(&packed(good, keys)), Ok(Proof::Token));
    }
    let none = world.judge(&packed(good, [7, 8, 9]));
    assert_eq!(none, Err(Refusal::NotOpened));
    let foreign = token_under(table(4), NUC);
    for keys in [[4, 8, 9], [8, 9, 4]] {
        let refused = world.judge(&packed(foreign, keys));
        assert_eq!(refused, Err(Refusal::ForeignTable));
    }
}

fn revoked(scope: Scope) -> Rules {
    let row = RevocationRow {
        id: 1,
        scope: String::new(),
        from_time: now().unix(),
        until_time: None,
        reason: "a test".into(),
        public_reason: None,
        created_at: 0,
        created_by: "a test".into(),
        lifted_at: None,
        lifted_by: None,
        mac: Vec::new(),
    };
    let device = None;
    Rules::new(&[Revocation { row, scope, device }])
}

#[test]
fn a_revocation_counts_from_its_moment_on_for_tokens_and_certificates() {
    let (issuer, mut world, certificate) = certified();
    let family = "Family".into();
    world.rules = revoked(Scope::Family { family });
    let by_certificate = CameraProof::Certificate(Box::new(certificate), None);
    let proofs = [structured(token_under(table(2), NUC)), by_certificate];
    for proof in &proofs {
        assert_eq!(world.judge(proof), Err(Refusal::Revoked));
    }
    world.now = now().plus(-1);
    world.issuers = vec![key_of(&issuer)];
    for proof in &proofs {
        assert!(world.judge(proof).is_ok());
    }
}

fn settings() -> Settings {
    Settings::rehearsal("judged")
}

fn key_of(issuer: &Issuer) -> IssuerKey {
    IssuerKey {
        public: issuer.public(),
        validity: issuer.validity(),
        distrusted_from: None,
    }
}

/// A certificate of a camera with this NUC hash and its number and key.
fn certificate(
    issuer: &Issuer,
    nuc: [u8; 32],
    moment: Timestamp,
) -> (CameraCertificate, IssuedCertificate) {
    let key = DeviceKey::P256(PrivateKey::generate().unwrap().public());
    let spki = key.to_spki_der();
    let token = CameraToken::issue_certificate(
        &NucHash::from_bytes(nuc),
        &master(table(2)),
        table(2),
        index(),
        [3; 12],
        &spki,
    );
    let extensions = CameraExtensions {
        manufacturer_id: "judged".into(),
        ma_endpoint: "https://authority.example".into(),
        token,
        device_family: "Family".into(),
    };
    let subject = CameraSubject {
        key: &key,
        extensions,
        attested: false,
    };
    let der = issuer.certify(&settings(), subject, moment).unwrap();
    let certificate = CameraCertificate::from_der(&der).unwrap();
    let issued = IssuedCertificate {
        serial: padded(certificate.serial()),
        issued_at: moment.unix(),
        issuer: KeyId::from_bytes([0; 8]),
        key_hash: Digest::of(&spki),
    };
    (certificate, issued)
}

/// A camera whose certificate passes, and its issuer.
fn certified() -> (Issuer, World, CameraCertificate) {
    let issuer = Issuer::root(&settings(), now().plus(-86_400)).unwrap();
    let (certificate, issued) = certificate(&issuer, NUC, now().plus(-3600));
    let mut world = World::of(Device {
        certificate: Some(issued),
        attested: true,
        ..device(1)
    });
    world.issuers = vec![key_of(&issuer)];
    (issuer, world, certificate)
}

fn alone(certificate: &CameraCertificate) -> CameraProof {
    CameraProof::Certificate(Box::new(certificate.clone()), None)
}

#[test]
fn a_certificate_is_refused_for_what_is_wrong_with_it() {
    let (issuer, mut world, good) = certified();
    let proof = world.judge(&alone(&good)).unwrap();
    let key = Digest::of(&good.key().to_spki_der());
    let attested = true;
    assert_eq!(proof, Proof::Certificate { key, attested });

    let stranger = Issuer::root(&settings(), now().plus(-86_400)).unwrap();
    let (foreign, _) = certificate(&stranger, NUC, now().plus(-3600));
    // Of our own issuer, for this camera's NUC hash, and never registered.
    let (never_issued, _) = certificate(&issuer, NUC, now().plus(-3600));
    let (of_nobody, _) = certificate(&issuer, [0xBB; 32], now().plus(-3600));
    for (certificate, refusal) in [
        (&foreign, Refusal::ForeignIssuer),
        (&never_issued, Refusal::NotIssued),
        (&of_nobody, Refusal::UnknownDevice),
    ] {
        assert_eq!(world.judge(&alone(certificate)), Err(refusal));
    }

    // The issuer's dates and the certificate's own.
    let (from, until) = issuer.validity();
    let begins = good.validity().0;
    for validity in [(begins.plus(1), until), (from, begins.plus(-1))] {
        world.issuers[0].validity = validity;
        assert_eq!(world.judge(&alone(&good)), Err(Refusal::Expired));
    }
    world.issuers[0].validity = (from, until);
    world.now = begins.plus(-86_400);
    assert_eq!(world.judge(&alone(&good)), Err(Refusal::Expired));
    world.now = now();

    world.issuers[0].distrusted_from = Some(now().plus(1));
    assert!(world.judge(&alone(&good)).is_ok(), "not yet");
    world.issuers[0].distrusted_from = Some(now());
    assert_eq!(world.judge(&alone(&good)), Err(Refusal::Distrusted));
}

/// A photo that waited in its camera comes with the certificate of when it was taken.
#[test]
fn the_certificate_before_the_present_one_passes_and_the_one_before_that_does_not() {
    let (issuer, mut world, oldest) = certified();
    let mut renew = || {
        let (certificate, issued) = certificate(&issuer, NUC, now().plus(-60));
        world.cameras.renew(1, issued);
        certificate
    };
    let (former, present) = (renew(), renew());
    assert!(world.judge(&alone(&former)).is_ok());
    assert!(world.judge(&alone(&present)).is_ok());
    assert_eq!(world.judge(&alone(&oldest)), Err(Refusal::NotIssued));
}

#[test]
fn a_certificate_and_a_token_of_two_cameras_contradict_each_other() {
    let (_, mut world, certificate) = certified();
    let other = [0xCC; 32];
    world.cameras.insert(&NucHash::from_bytes(other), device(2));
    let both = |token| {
        let token = Some(TokenClaim::Structured(token));
        CameraProof::Certificate(Box::new(certificate.clone()), token)
    };
    assert!(world.judge(&both(token_under(table(1), NUC))).is_ok());
    let foreign = world.judge(&both(token_under(table(1), other)));
    assert_eq!(foreign, Err(Refusal::Contradiction));
    // A good certificate does not carry a bad token.
    let bad = world.judge(&both(token_under(table(4), NUC)));
    assert_eq!(bad, Err(Refusal::ForeignTable));
}

/// Whoever forges tokens must not learn how far they got.
#[test]
fn refusals_of_tokens_look_alike_and_names_are_told_apart() {
    let alike = [
        Refusal::NotOpened,
        Refusal::UnknownDevice,
        Refusal::ForeignTable,
        Refusal::Unbound,
    ];
    let messages = alike.map(Refusal::message);
    assert!(messages.iter().all(|message| *message == messages[0]));
    let certificates = [
        Refusal::ForeignIssuer,
        Refusal::NotIssued,
        Refusal::Distrusted,
    ];
    let messages = certificates.map(Refusal::message);
    assert!(messages.iter().all(|message| *message == messages[0]));
    let names: std::collections::BTreeSet<_> = Refusal::ALL.map(Refusal::name).into();
    assert_eq!(names.len(), Refusal::ALL.len());
    // Totals are kept in places that these numbers name.
    for (refusal, place) in Refusal::ALL.into_iter().zip(1..) {
        assert_eq!(refusal as usize, place, "{refusal:?}");
    }
}
