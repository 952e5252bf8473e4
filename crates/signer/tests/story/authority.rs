//! A manufacturer authority small enough for these tests: one key, one kind of certificate, one
//! kind of file.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthmark_protocol::token::SealedNuc;
use birthmark_protocol::{
    CameraExtensions, CameraToken, DerivationProfile, KeyIndex, MasterKey, NucHash, PublicKey,
    TableId,
};
use der::{Decode, Encode};
use p256::ecdsa::{DerSignature, SigningKey};
use serde_json::{Value, json};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder, CertificateBuilder};
use x509_cert::certificate::TbsCertificate;
use x509_cert::ext::pkix::BasicConstraints;
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::{Time, Validity};

pub const TABLES: [u16; 3] = [3, 777, 2499];
const CERTIFICATE_INDEX: i64 = 137;
/// In seconds.
pub const TWO_YEARS: i64 = 2 * 365 * 86_400;

/// Test keys: everybody knows them.
pub fn master_key(table: u16) -> MasterKey {
    let [high, low] = table.to_be_bytes();
    let mut bytes = [0x5a; 32];
    (bytes[0], bytes[1]) = (high, low);
    MasterKey::from_bytes(bytes)
}

pub fn nuc_hash() -> NucHash {
    NucHash::from_bytes([0xc4; 32])
}

fn authority_key() -> SigningKey {
    SigningKey::from_slice(&[0x11; 32]).unwrap()
}

/// What the authority would answer to a provisioning request for this key.
pub fn provisioning_for(key: &PublicKey) -> Value {
    let keys: serde_json::Map<String, Value> = TABLES
        .iter()
        .map(|table| {
            (
                table.to_string(),
                hex::encode(master_key(*table).expose()).into(),
            )
        })
        .collect();
    json!({
        "device_serial": "TEST-0001",
        "device_family": "Raspberry Pi",
        "device_certificate": pem("CERTIFICATE", &certificate_for(key)),
        "certificate_chain": [pem("CERTIFICATE", &authority_certificate())],
        "table_assignments": TABLES,
        "master_keys": keys,
        "nuc_hash": hex::encode(nuc_hash().expose()),
        "simulated_nuc_hash": true,
        "provisioning_id": "not needed by a camera",
    })
}

/// The camera of an authority that makes the key itself, as older ones do.
#[cfg(feature = "software-keys")]
pub fn provisioning_with_private_key() -> Value {
    use p256::pkcs8::{EncodePrivateKey, LineEnding};

    let key = SigningKey::from_slice(&[0x22; 32]).unwrap();
    let mut file = provisioning_for(&PublicKey::from(*key.verifying_key()));
    file["device_private_key"] = key.to_pkcs8_pem(LineEnding::LF).unwrap().as_str().into();
    file
}

pub fn certificate_for(key: &PublicKey) -> Vec<u8> {
    certificate_until(key, TWO_YEARS, &nuc_hash())
}

/// The certificate's chain as one text.
pub fn chain() -> String {
    pem("CERTIFICATE", &authority_certificate())
}

/// A certificate for this key that is good for so many seconds from now, or ended so long ago.
pub fn certificate_until(key: &PublicKey, seconds: i64, nuc: &NucHash) -> Vec<u8> {
    certificate_within(key, (-TWO_YEARS, seconds), nuc)
}

/// A certificate for this key that is valid between these moments; in seconds from now.
pub fn certificate_within(key: &PublicKey, (begin, seconds): (i64, i64), nuc: &NucHash) -> Vec<u8> {
    let table = TableId::try_from(i64::from(TABLES[1])).unwrap();
    let index = KeyIndex::try_from(CERTIFICATE_INDEX).unwrap();
    let table_key = master_key(TABLES[1]).table_key(index, DerivationProfile::A);
    let sealed = SealedNuc::seal(nuc, &table_key, [7; 12], &[]);
    let extensions = CameraExtensions {
        manufacturer_id: "test-maker".into(),
        ma_endpoint: "http://127.0.0.1:8001/validate-cert".into(),
        token: CameraToken {
            sealed,
            table,
            index,
        },
        device_family: "Raspberry Pi".into(),
    };
    build(
        "CN=Camera TEST-0001",
        &key.to_spki_der(),
        false,
        extensions.write().unwrap(),
        (begin, seconds),
    )
}

fn authority_certificate() -> Vec<u8> {
    authority_within(-2 * TWO_YEARS, 2 * TWO_YEARS)
}

/// The authority's certificate, valid between these moments; in seconds from now.
pub fn authority_within(begin: i64, end: i64) -> Vec<u8> {
    let key = PublicKey::from(*authority_key().verifying_key());
    build(
        "CN=Test Authority",
        &key.to_spki_der(),
        true,
        Vec::new(),
        (begin, end),
    )
}

fn build(
    subject: &str,
    spki: &[u8],
    authority: bool,
    extensions: Vec<Extension>,
    (begin, end): (i64, i64),
) -> Vec<u8> {
    let profile = Profile {
        subject: Name::from_str(subject).unwrap(),
        authority,
    };
    let moment = |seconds: i64| {
        let away = Duration::from_secs(seconds.unsigned_abs());
        let now = SystemTime::now();
        Time::try_from(if seconds < 0 { now - away } else { now + away }).unwrap()
    };
    let validity = Validity::new(moment(begin), moment(end));
    let spki = SubjectPublicKeyInfoOwned::from_der(spki).unwrap();
    let mut builder =
        CertificateBuilder::new(profile, SerialNumber::from(7_u32), validity, spki).unwrap();
    for extension in extensions {
        builder.add_extension(extension).unwrap();
    }
    builder
        .build::<_, DerSignature>(&authority_key())
        .unwrap()
        .to_der()
        .unwrap()
}

struct Profile {
    subject: Name,
    authority: bool,
}

impl BuilderProfile for Profile {
    fn get_issuer(&self, _: &Name) -> Name {
        Name::from_str("CN=Test Authority").unwrap()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        _: spki::SubjectPublicKeyInfoRef<'_>,
        _: spki::SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        let constraints = BasicConstraints {
            ca: self.authority,
            path_len_constraint: None,
        };
        Ok(vec![constraints.to_extension(tbs.subject(), &[])?])
    }
}

pub fn pem(label: &str, der: &[u8]) -> String {
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        wrapped(&STANDARD.encode(der))
    )
}

fn wrapped(text: &str) -> String {
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    lines.join("\n")
}
