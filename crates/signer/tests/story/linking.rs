//! What a validator that sees two submissions of one camera can recognise it by. The list stands in
//! docs/PROTOCOL.md, section 6.1; whatever else they had in common would fail here.

use birthmark_protocol::submission::OurSubmission;
use birthmark_protocol::{
    Bundle, Capture, Commitment, Digest, DigestRole, ImageClaim, ModificationLevel, Opening,
    PixelSource, Timestamp,
};
use birthmark_signer::SignerClient;
use birthmark_testkit::tpm::Swtpm;
use serde_json::Value;

use crate::daemon::provision;
use crate::running::Place;

/// Bytes in a row that chance does not repeat in texts as short as these.
const RUN: usize = 4;

#[tokio::test]
async fn two_submissions_of_one_camera_share_nothing_but_what_is_listed() {
    let emulator = Swtpm::start().unwrap();
    let place = Place::with_tpm(&emulator, "", "");
    let _running = place.start();
    let mut client = place.client().await;
    provision(&mut client).await;
    let one = submission(&mut client, "one", 1_790_000_000).await;
    let other = submission(&mut client, "other", 1_800_123_456).await;

    let mut shared = Vec::new();
    compare("", &one, &other, &mut shared);
    shared.retain(|name| {
        !["/camera_token/table_id", "/camera_token/key_index"].contains(&name.as_str())
    });
    assert_eq!(
        shared,
        [
            "/bundle_version",
            "/image_hashes/0/role",
            "/image_hashes/0/modification_level",
            "/image_hashes/0/parent_image_hash",
            "/image_hashes/1/role",
            "/image_hashes/1/modification_level",
            "/source",
            "/camera_cert",
        ],
        "tables and indices may be equal by chance, one in three and one in a thousand; nothing else may"
    );
    no_bytes_in_common(&one, &other);
}

async fn submission(client: &mut SignerClient, name: &str, time: i64) -> Value {
    let digest = |part: &str| Digest::of(format!("{name} {part}").as_bytes());
    let claim = |part, role, level, parent| ImageClaim {
        digest: digest(part),
        role,
        level,
        parent,
    };
    let raw = claim("raw", DigestRole::Raw, ModificationLevel::RAW, None);
    let file = claim(
        "file",
        DigestRole::File,
        ModificationLevel::PROCESSED,
        Some(digest("raw")),
    );
    let capture = Capture {
        source: PixelSource::Sensor,
        software: None,
        anchor: None,
        disclosure: Some(digest("leaves")),
    };
    let bundle = Bundle::captured(vec![raw, file], Timestamp::from_unix(time), capture).unwrap();
    let opening = Opening::from_bytes(*digest("a random opening").as_bytes());
    let signed = client.sign_bundle(&bundle, None).await.unwrap();
    let commitment = Commitment::new(&signed.digest, &opening);
    let token = client.issue_token(&commitment).await.unwrap();
    let request = OurSubmission::new(
        &bundle,
        None,
        &signed.certificate,
        token,
        &opening,
        &signed.signature,
    );
    serde_json::to_value(request.unwrap()).unwrap()
}

/// Names the fields with equal values.
fn compare(name: &str, one: &Value, other: &Value, shared: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(fields), Value::Object(others)) => {
            assert!(fields.keys().eq(others.keys()));
            for (field, value) in fields {
                compare(&format!("{name}/{field}"), value, &others[field], shared);
            }
        }
        (Value::Array(values), Value::Array(others)) => {
            assert_eq!(values.len(), others.len());
            for (number, (value, other)) in values.iter().zip(others).enumerate() {
                compare(&format!("{name}/{number}"), value, other, shared);
            }
        }
        (one, other) if one == other => shared.push(name.to_owned()),
        _ => {}
    }
}

/// Even parts of the unequal fields have nothing in common.
fn no_bytes_in_common(one: &Value, other: &Value) {
    let (mut mine, mut theirs) = (Vec::new(), Vec::new());
    secrets(one, &mut mine);
    secrets(other, &mut theirs);
    assert_eq!(
        mine.len(),
        8,
        "three of a token, opening, signature, place, two digests: {mine:?}"
    );
    for (text, other) in mine
        .iter()
        .flat_map(|text| theirs.iter().map(move |other| (text, other)))
    {
        let repeated = text
            .windows(RUN)
            .find(|run| other.windows(RUN).any(|there| there == *run));
        assert_eq!(repeated, None, "{text:?} and {other:?}");
    }
}

/// The bytes of every text that is a value of its own; a parent repeats a digest of the same
/// submission.
fn secrets(value: &Value, found: &mut Vec<Vec<u8>>) {
    match value {
        Value::Object(fields) => {
            let known = ["camera_cert", "role", "source", "parent_image_hash"];
            let own = fields
                .iter()
                .filter(|(name, _)| !known.contains(&name.as_str()));
            for (name, value) in own {
                secrets(value, found);
                // DER's tags and lengths around the two numbers are the same in all signatures.
                if name == "bundle_signature" {
                    found.last_mut().unwrap().drain(..5);
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| secrets(value, found)),
        Value::String(text) => found.push(bytes(text)),
        _ => {}
    }
}

fn bytes(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    let base64 = base64::engine::general_purpose::STANDARD;
    hex::decode(text).or_else(|_| base64.decode(text)).unwrap()
}
