//! Holds this crate against the vectors of `spec/vectors`, which another language computed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use birthmark_protocol::disclosure::Leaf;
use birthmark_protocol::gps::{GpsSecret, Position};
use birthmark_protocol::image_data::image_data;
use birthmark_protocol::json::Value;
use birthmark_protocol::nuc::{NucMap, nuc_hash};
use birthmark_protocol::one_time::batch::{
    BlindingSeed, blinded_digest, chosen, opening_nonce, request_digest,
};
use birthmark_protocol::one_time::{
    EpochStatement, OneTimeSubmission, SignedEpochStatement, key_name,
};
use birthmark_protocol::submission::{Submission, SubmissionRoute};
use birthmark_protocol::{
    Bundle, CameraToken, Commitment, DerivationProfile, Digest, Disclosure, Edit, KeyIndex,
    MasterKey, NucHash, OpenedBy, Opening, PublicKey, SealedNuc, SignedVerdict, SoftwareExtensions,
    TableId, Timestamp, python_json,
};
use serde_json::{Value as Json, json};

fn cases(text: &str) -> Vec<Json> {
    let file: Json = serde_json::from_str(text).unwrap();
    let cases = file["cases"].as_array().unwrap().clone();
    assert!(!cases.is_empty() && file["source"].is_string());
    cases
}

macro_rules! vectors {
    ($name:literal) => {
        cases(include_str!(concat!(
            "../../../spec/vectors/",
            $name,
            ".json"
        )))
    };
}

fn text<'a>(case: &'a Json, name: &str) -> &'a str {
    case[name]
        .as_str()
        .unwrap_or_else(|| panic!("{name} is a text"))
}

fn bytes(case: &Json, name: &str) -> Vec<u8> {
    hex::decode(text(case, name)).unwrap()
}

fn digest(case: &Json, name: &str) -> Digest {
    text(case, name).parse().unwrap()
}

fn master(case: &Json) -> MasterKey {
    MasterKey::from_hex(text(case, "master_key")).unwrap()
}

#[test]
fn table_keys() {
    for case in vectors!("key-derivation") {
        let index = KeyIndex::try_from(case["key_index"].as_i64().unwrap()).unwrap();
        for (name, profile) in [("A", DerivationProfile::A), ("B", DerivationProfile::B)] {
            assert_eq!(
                hex::encode(master(&case).table_key(index, profile).expose()),
                text(&case, name)
            );
        }
    }
}

#[test]
fn tokens_in_all_layouts() {
    for case in vectors!("tokens") {
        let token: CameraToken = serde_json::from_value(case["structured"].clone()).unwrap();
        for layout in ["packed_base64", "packed_hex_of_base64"] {
            assert_eq!(
                SealedNuc::from_packed_text(text(&case, layout)).unwrap(),
                token.sealed
            );
        }
        assert_eq!(
            SealedNuc::from_extension(&bytes(&case, "extension_hex")).unwrap(),
            token.sealed
        );
        assert_eq!(token.sealed.fingerprint(), digest(&case, "fingerprint"));

        let nuc = NucHash::from_hex(text(&case, "nuc_hash")).unwrap();
        let commitment = case["commitment"]
            .as_str()
            .map(|text| Commitment::from(text.parse::<Digest>().unwrap()));
        let opened = match text(&case, "opened_by") {
            "bare" => (
                token.open_certificate(&master(&case), b"any key"),
                OpenedBy::BareMasterKey,
            ),
            "A" => (
                token.open(&master(&case), commitment.as_ref()),
                OpenedBy::Derived(DerivationProfile::A),
            ),
            _ => (
                token.open(&master(&case), commitment.as_ref()),
                OpenedBy::Derived(DerivationProfile::B),
            ),
        };
        let (token_opened, by) = (opened.0.unwrap(), opened.1);
        assert_eq!((&token_opened.nuc, token_opened.by), (&nuc, by));
        if let Some(commitment) = commitment.filter(|_| text(&case, "opened_by") == "A") {
            let issued = CameraToken::issue(
                &nuc,
                &master(&case),
                token.table,
                token.index,
                token.sealed.nonce,
                &commitment,
            );
            assert_eq!(issued, token);
        }
    }
}

#[test]
fn pythons_json() {
    for case in vectors!("python-json") {
        let value = Value::parse(text(&case, "text").as_bytes()).unwrap();
        assert_eq!(python_json::dumps(&value), text(&case, "dumps"));
    }
}

#[test]
fn bundles_and_commitments() {
    for case in vectors!("bundles") {
        let bundle = Bundle::decode(&bytes(&case, "bundle")).unwrap();
        assert_eq!(bundle.encode(), bytes(&case, "bundle"));
        assert_eq!(bundle.time().unix(), case["timestamp"].as_i64().unwrap());
        assert_eq!(
            bundle.gps().map(|gps| gps.to_hex()),
            case["gps_hash"].as_str().map(str::to_owned)
        );
        for (image, listed) in bundle
            .images()
            .iter()
            .zip(case["image_hashes"].as_array().unwrap())
        {
            assert_eq!(
                (image.digest, image.role.name()),
                (digest(listed, "image_hash"), text(listed, "role"))
            );
        }
        let capture = bundle.capture().map(|capture| {
            json!({
                "source": capture.source,
                "software": capture.software,
                "anchor": capture.anchor,
                "disclosure_root": capture.disclosure,
            })
        });
        assert_eq!(capture.unwrap_or_default(), case["capture"]);
        let block = case["anchor_block"]
            .as_str()
            .map(|text| text.parse().unwrap());
        let signed = bundle.digest(block.as_ref()).unwrap();
        assert_eq!(signed, digest(&case, "bundle_digest"));
        let opening = Opening::from_hex(text(&case, "opening")).unwrap();
        assert_eq!(
            Commitment::new(&signed, &opening).digest(),
            digest(&case, "commitment")
        );
    }
}

#[test]
fn disclosures() {
    for case in vectors!("disclosures") {
        let shown: Disclosure = serde_json::from_value(case["disclosure"].clone()).unwrap();
        assert_eq!(shown.verify(&digest(&case, "root")), Ok(()));
        assert_eq!(serde_json::to_value(shown).unwrap(), case["disclosure"]);
    }
}

#[test]
fn verdicts() {
    for case in vectors!("verdicts") {
        let signed = SignedVerdict::decode(&bytes(&case, "signed_verdict")).unwrap();
        assert_eq!(signed.encode(), bytes(&case, "signed_verdict"));
        let key = PublicKey::from_sec1(&bytes(&case, "public_key")).unwrap();
        assert_eq!(signed.verify(&key), Ok(()));
        assert_eq!(signed.verdict.digest(), digest(&case, "digest"));
        assert_eq!(signed.verdict.manufacturer(), text(&case, "manufacturer"));
        for (item, listed) in signed
            .verdict
            .items()
            .iter()
            .zip(case["items"].as_array().unwrap())
        {
            assert_eq!(item.commitment.digest(), digest(listed, "commitment"));
            assert_eq!(Json::from(item.valid), listed["valid"]);
            assert_eq!(
                (item.proof.assurance().name(), item.device_family.as_str()),
                (text(listed, "assurance"), text(listed, "device_family"))
            );
            assert_eq!(json!(item.proof.key()), listed["key"]);
            assert_eq!(json!(item.is_made_up), listed["made_up_fingerprint"]);
        }
    }
}

#[test]
fn submissions_of_every_kind() {
    for case in vectors!("submissions") {
        let route = match text(&case, "route") {
            "/api/v1/submit" => SubmissionRoute::Submit,
            "/api/v1/submit-legacy" => SubmissionRoute::Legacy,
            _ => SubmissionRoute::Certificate,
        };
        let body = text(&case, "body");
        let submission = Submission::parse(route, body.as_bytes()).unwrap();
        assert_eq!(
            hex::encode(submission.bundle.encode()),
            text(&case, "bundle")
        );
        let Some(form) = case["signed_form"].as_str() else {
            assert!(submission.camera.signed().is_none());
            continue;
        };
        let signed = submission.camera.signed().unwrap();
        assert_eq!(format!("{:?}", signed.verify().unwrap()), form);
        let issuer = PublicKey::from_sec1(&bytes(&case, "issuer_key")).unwrap();
        assert_eq!(signed.certificate.verify_issuer(&issuer), Ok(()));

        let later = body.replacen("1795000000", "1795000001", 1);
        let forged = Submission::parse(route, later.as_bytes()).unwrap();
        assert!(
            forged.camera.signed().unwrap().verify().is_err(),
            "{form} does not cover the time"
        );
    }
}

#[test]
fn edits_and_what_is_wrong_with_them() {
    for case in vectors!("edits") {
        let read = Edit::parse(text(&case, "body").as_bytes());
        if let Some(field) = case["refused_field"].as_str() {
            let error = read.unwrap_err().to_string();
            assert!(error.starts_with(&format!("body.{field}: ")), "{error}");
            continue;
        }
        let mut edit = read.unwrap();
        assert_eq!(hex::encode(edit.bundle.encode()), text(&case, "bundle"));
        assert_eq!(
            edit.signed_digest().unwrap(),
            digest(&case, "signed_digest")
        );
        let issuer = PublicKey::from_sec1(&bytes(&case, "issuer_key")).unwrap();
        assert_eq!(edit.certificate.verify_issuer(&issuer), Ok(()));
        let SoftwareExtensions {
            developer,
            endpoint,
            application,
            version,
        } = edit.certificate.extensions();
        for (name, value) in [
            ("developer", developer),
            ("endpoint", endpoint),
            ("application", application),
            ("version", version),
        ] {
            assert_eq!(value, text(&case, name));
        }
        assert_eq!(edit.verify(), Ok(()));
        edit.original = Digest::of(b"another photo");
        assert!(edit.verify().is_err(), "the original is signed, too");
    }
}

#[test]
fn our_token_is_bound_to_its_photo() {
    let ours = vectors!("submissions").pop().unwrap();
    let submission =
        Submission::parse(SubmissionRoute::Certificate, text(&ours, "body").as_bytes()).unwrap();
    let token = submission.camera.fresh().unwrap().token;
    let master = MasterKey::from_bytes(*Digest::of(b"master").as_bytes());
    let expected = NucHash::from_bytes(*Digest::of(b"nuc").as_bytes());
    let fresh = submission.camera.fresh().unwrap();
    let commitment = Commitment::new(&submission.bundle_digest().unwrap(), &fresh.opening);
    let opened = token.open(&master, Some(&commitment)).unwrap();
    let by = OpenedBy::Derived(DerivationProfile::A);
    assert_eq!((opened.nuc, opened.by, opened.bound), (expected, by, true));
    assert_eq!(
        token.open(&master, Some(&Commitment::from_bytes([0; 32]))),
        None
    );
    assert_eq!(token.table, TableId::try_from(42).unwrap());
}

#[test]
fn places() {
    for case in vectors!("gps") {
        let pair = |name: &str| {
            (
                case["nmea"][name][0].as_str().unwrap(),
                case["nmea"][name][1].as_str().unwrap(),
            )
        };
        let time = Timestamp::from_unix(case["time"].as_i64().unwrap());
        let altitude = text(&case["nmea"], "altitude");
        let position =
            Position::from_nmea(pair("latitude"), pair("longitude"), altitude, time).unwrap();
        assert_eq!(position.to_string(), text(&case, "position"));
        let secret = GpsSecret::from_hex(text(&case, "gps_secret")).unwrap();
        let salt = secret.salt(&digest(&case, "raw_digest"));
        assert_eq!(hex::encode(salt.expose()), text(&case, "salt"));
        let leaf = Leaf::place(&position, Digest::from_bytes(*salt.expose()));
        assert_eq!(leaf.digest(), digest(&case, "leaf_digest"));
    }
}

#[test]
fn nuc_maps() {
    for case in vectors!("nuc-maps") {
        let file = bytes(&case, "file");
        let map = NucMap::decode(&file).unwrap();
        let listed =
            |name: &str| -> Vec<i8> { serde_json::from_value(case[name].clone()).unwrap() };
        assert_eq!(
            (map.dark(), map.gain()),
            (&listed("dark")[..], &listed("gain")[..])
        );
        assert_eq!(map.header().sensor, text(&case, "sensor"));
        assert_eq!(map.header().temperature_milli, -1500);
        assert_eq!(map.encode(), file);
        assert_eq!(
            hex::encode(nuc_hash(&file).expose()),
            text(&case, "nuc_hash")
        );
    }
}

#[test]
fn pictures() {
    let mut seen: HashMap<String, String> = HashMap::new();
    for case in vectors!("image-data") {
        let file = STANDARD.decode(text(&case, "file_base64")).unwrap();
        assert_eq!(Digest::of(&file), digest(&case, "file_digest"));
        let found = image_data(&file).unwrap();
        assert_eq!(
            (found.digest, found.trailing),
            (
                digest(&case, "image_data_digest"),
                case["trailing"].as_u64().unwrap()
            )
        );
        let name = case["same_as"]
            .as_str()
            .unwrap_or(text(&case, "name"))
            .to_owned();
        let first = seen
            .entry(found.digest.to_hex())
            .or_insert_with(|| name.clone());
        assert_eq!(*first, name, "equal digests belong to the same picture");
    }
}

#[test]
fn statements_about_epochs() {
    let [case] = &vectors!("one-time")[..] else {
        panic!("one case")
    };
    let authority = PublicKey::from_sec1(&bytes(case, "authority_key")).unwrap();
    for stated in case["statements"].as_array().unwrap() {
        let signed = SignedEpochStatement::decode(&bytes(stated, "signed")).unwrap();
        assert_eq!(signed.statement.digest(), digest(stated, "digest"));
        assert_eq!(signed.verify(&authority), Ok(()));
        assert_eq!(signed.encode(), bytes(stated, "signed"));
        let kind = match &signed.statement {
            EpochStatement::Key(key) => {
                assert_eq!(key.modulus.as_slice(), bytes(case, "rsa_modulus"));
                assert_eq!(key.id().as_bytes(), digest(stated, "digest").as_bytes());
                "key"
            }
            EpochStatement::Count(_) => "count",
            EpochStatement::Withdrawal(_) => "withdrawal",
        };
        assert_eq!(stated["kind"], kind);
    }
}

#[test]
fn batches_and_submissions_of_one_time_keys() {
    let [case] = &vectors!("one-time")[..] else {
        panic!("one case")
    };
    let stated = SignedEpochStatement::decode(&bytes(&case["statements"][0], "signed")).unwrap();
    let EpochStatement::Key(epoch) = stated.statement else {
        panic!("the first is a key")
    };
    for blinding in case["blindings"].as_array().unwrap() {
        let key = PublicKey::from_sec1(&bytes(blinding, "key")).unwrap();
        assert_eq!(key_name(&epoch.id(), &key), digest(blinding, "name"));
        assert!(BlindingSeed::from_hex(text(blinding, "seed")).is_ok());
    }
    let batch = &case["batch"];
    let blinded = blinded_digest(&bytes(batch, "blinded"));
    assert_eq!(blinded, digest(batch, "blinded_digest"));
    let asked = request_digest(&epoch.id(), &blinded);
    assert_eq!(asked, digest(batch, "request_digest"));
    let challenge: [u8; 32] = bytes(batch, "challenge").try_into().unwrap();
    let keys = bytes(batch, "blinded").len() / 256;
    assert_eq!(json!(chosen(&challenge, &blinded, keys)), batch["chosen"]);
    let nonce = opening_nonce(&challenge, &blinded);
    assert_eq!(nonce, digest(batch, "opening_nonce"));

    let sent = &case["submission"];
    let read = OneTimeSubmission::parse(text(sent, "body").as_bytes()).unwrap();
    assert_eq!(read.bundle.encode(), bytes(sent, "bundle"));
    assert_eq!(read.proof.name(&epoch.id()), digest(sent, "name"));
    let signed = read.bundle_digest().unwrap();
    assert_eq!(
        read.proof.key.verify_digest(&signed, &read.proof.signature),
        Ok(())
    );
}
