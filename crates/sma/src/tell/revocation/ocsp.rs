//! Online certificate status, RFC 6960: is this certificate good, now?

use birthmark_http::ApiError;
use birthmark_protocol::Timestamp;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::ECDSA_WITH_SHA_256;
use der::asn1::{BitString, ContextSpecific, GeneralizedTime, Null, OctetString};
use der::{Decode, Encode, Sequence, TagMode, TagNumber};
use sha2::Digest as _;
use spki::AlgorithmIdentifierOwned;
use x509_cert::Certificate;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::{Extension, Extensions};
use x509_cert::serial_number::SerialNumber;

use crate::authority::Authority;
use crate::clock;
use crate::issue::ca::Issuer;
use crate::judge::cameras::padded;
use crate::tell::responders::Responder;

const BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");
const NONCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.2");
const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
/// How many certificates one request may ask about.
const MOST: usize = 20;
/// Names of issuers in a request are hashes, and come back in the answer.
const LONGEST_HASH: usize = 64;
/// How long a nonce may be, RFC 9654.
const NONCE_LENGTHS: std::ops::RangeInclusive<usize> = 1..=128;
/// How long an answer may be kept by others. A revocation must not hide behind an old answer, so
/// hardly at all.
const KEEP: i64 = 60;

#[derive(Debug, Sequence)]
struct OcspRequest {
    tbs: TbsRequest,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    signature: Option<der::Any>,
}

#[derive(Debug, Sequence)]
struct TbsRequest {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    version: Option<u8>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    requestor: Option<GeneralName>,
    requests: Vec<SingleRequest>,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Extensions>,
}

#[derive(Debug, Sequence)]
struct SingleRequest {
    certificate: CertId,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Extensions>,
}

#[derive(Debug, Clone, Sequence)]
struct CertId {
    algorithm: AlgorithmIdentifierOwned,
    issuer_name: OctetString,
    issuer_key: OctetString,
    serial: SerialNumber,
}

#[derive(Debug, Sequence)]
struct RevokedInfo {
    time: GeneralizedTime,
}

#[derive(Debug, Sequence)]
struct SingleResponse {
    certificate: CertId,
    status: der::Any,
    this_update: GeneralizedTime,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    next_update: Option<GeneralizedTime>,
}

#[derive(Debug, Sequence)]
struct ResponseData {
    /// byKey [2] KeyHash.
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT")]
    responder: OctetString,
    produced_at: GeneralizedTime,
    responses: Vec<SingleResponse>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Extensions>,
}

#[derive(Debug, Sequence)]
struct BasicResponse {
    data: ResponseData,
    algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
    /// The responder's certificate, so that whoever asks finds its way to the intermediate.
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    certificates: Vec<Certificate>,
}

#[derive(Debug, Sequence)]
struct ResponseBytes {
    kind: ObjectIdentifier,
    response: OctetString,
}

enum Status {
    Good,
    Revoked(Timestamp),
    Unknown,
}

/// An answer that carries only a status: 1 the request is malformed, 2 internal error, 6 nobody
/// here knows this issuer.
fn failure(status: u8) -> Vec<u8> {
    vec![0x30, 0x03, 0x0A, 0x01, status]
}

impl OcspRequest {
    /// Whether it asks for no more, and makes us repeat no more, than an honest client would.
    fn is_modest(&self) -> bool {
        let hashes = |single: &SingleRequest| {
            let id = &single.certificate;
            [id.issuer_name.as_bytes(), id.issuer_key.as_bytes()].map(<[u8]>::len)
        };
        let requests = &self.tbs.requests;
        (1..=MOST).contains(&requests.len())
            && requests
                .iter()
                .all(|one| hashes(one).iter().all(|length| *length <= LONGEST_HASH))
    }

    /// The nonce to repeat, if there is one. An impossible one makes the request malformed.
    fn nonce(&self) -> Result<Option<&Extension>, der::Error> {
        let mut extensions = self.tbs.extensions.iter().flatten();
        let Some(nonce) = extensions.find(|extension| extension.extn_id == NONCE) else {
            return Ok(None);
        };
        let value = OctetString::from_der(nonce.extn_value.as_bytes())?;
        if NONCE_LENGTHS.contains(&value.as_bytes().len()) {
            Ok(Some(nonce))
        } else {
            Err(der::ErrorKind::Failed.into())
        }
    }
}

impl Authority {
    /// Answers a request in DER. Always an answer: a failure is one, too.
    pub fn ocsp(&self, request: &[u8]) -> Result<Vec<u8>, ApiError> {
        let Ok(request) = OcspRequest::from_der(request) else {
            return Ok(failure(1));
        };
        let nonce = match request.nonce() {
            Ok(nonce) if request.is_modest() => nonce.cloned(),
            _ => return Ok(failure(1)),
        };
        let (keyring, responders) = (self.keyring(), self.responders());
        let first = request.tbs.requests.first();
        let asked = first.map(|single| &single.certificate);
        let issuer = keyring
            .issuers
            .iter()
            .find(|issuer| asked.is_some_and(|asked| is_of(asked, issuer)));
        let found = issuer.and_then(|issuer| Some((issuer, responders.of(issuer.id())?)));
        let Some((issuer, responder)) = found else {
            return Ok(failure(6));
        };
        let now = clock::now();
        let distrusted = keyring.distrusted(issuer.id(), now);
        let responses = request.tbs.requests.into_iter().map(|single| {
            let ours = is_of(&single.certificate, issuer);
            let serial = single.certificate.serial.as_bytes();
            let status = match (ours, distrusted) {
                (false, _) => Status::Unknown,
                (true, Some(since)) => Status::Revoked(since),
                (true, None) => self.status_of(serial, now),
            };
            (single.certificate, status)
        });
        answer(responder, responses.collect(), nonce, now).map_err(ApiError::internal)
    }

    fn status_of(&self, serial: &[u8], now: Timestamp) -> Status {
        let rules = self.rules();
        self.with_cameras(|cameras| {
            let Some(device) = cameras.by_certificate(&padded(serial)) else {
                return Status::Unknown;
            };
            let covering = rules.covering(device, now);
            covering.map_or(Status::Good, |window| Status::Revoked(window.since()))
        })
    }
}

/// Whether a certificate is said to be of this issuer.
fn is_of(id: &CertId, issuer: &Issuer) -> bool {
    let body = issuer.certificate.tbs_certificate();
    let Ok(name) = body.subject().to_der() else {
        return false;
    };
    let key = body
        .subject_public_key_info()
        .subject_public_key
        .raw_bytes();
    let hash = |bytes: &[u8]| match id.algorithm.oid {
        SHA256 => sha2::Sha256::digest(bytes).to_vec(),
        SHA1 => aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, bytes)
            .as_ref()
            .to_vec(),
        _ => Vec::new(),
    };
    hash(&name) == id.issuer_name.as_bytes() && hash(key) == id.issuer_key.as_bytes()
}

fn moment(time: Timestamp) -> Result<GeneralizedTime, der::Error> {
    let seconds = u64::try_from(time.unix()).map_err(|_| der::ErrorKind::DateTime)?;
    GeneralizedTime::from_unix_duration(std::time::Duration::from_secs(seconds))
}

fn status_der(status: &Status) -> Result<der::Any, der::Error> {
    let tagged = |number, value: Vec<u8>| -> Result<Vec<u8>, der::Error> {
        // The alternatives of CertStatus are implicitly tagged: the tag byte takes the place of the
        // value's own.
        let mut bytes = value;
        if let Some(first) = bytes.first_mut() {
            *first = number;
        }
        Ok(bytes)
    };
    let bytes = match status {
        Status::Good => tagged(0x80, Null.to_der()?)?,
        Status::Revoked(since) => tagged(
            0xA1,
            RevokedInfo {
                time: moment(*since)?,
            }
            .to_der()?,
        )?,
        Status::Unknown => tagged(0x82, Null.to_der()?)?,
    };
    der::Any::from_der(&bytes)
}

fn answer(
    responder: &Responder,
    responses: Vec<(CertId, Status)>,
    nonce: Option<Extension>,
    now: Timestamp,
) -> Result<Vec<u8>, der::Error> {
    let single = |(certificate, status): (CertId, Status)| {
        Ok(SingleResponse {
            certificate,
            status: status_der(&status)?,
            this_update: moment(now)?,
            next_update: Some(moment(now.plus(KEEP))?),
        })
    };
    let certificate = Certificate::from_der(&responder.certificate)?;
    let key = certificate.tbs_certificate().subject_public_key_info();
    let key = key.subject_public_key.raw_bytes();
    let key_hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, key);
    let data = ResponseData {
        responder: OctetString::new(key_hash.as_ref())?,
        produced_at: moment(now)?,
        responses: responses
            .into_iter()
            .map(single)
            .collect::<Result<_, der::Error>>()?,
        extensions: nonce.map(|nonce| vec![nonce]),
    };
    use p256::ecdsa::signature::Signer;
    let signature: p256::ecdsa::DerSignature = responder.key.signer().sign(&data.to_der()?);
    let basic = BasicResponse {
        data,
        algorithm: AlgorithmIdentifierOwned {
            oid: ECDSA_WITH_SHA_256,
            parameters: None,
        },
        signature: BitString::from_bytes(signature.as_bytes())?,
        certificates: vec![certificate],
    };
    let bytes = ResponseBytes {
        kind: BASIC,
        response: OctetString::new(basic.to_der()?)?,
    };
    let body = ContextSpecific {
        tag_number: TagNumber(0),
        tag_mode: TagMode::Explicit,
        value: bytes,
    }
    .to_der()?;
    let successful = [0x0A, 0x01, 0x00];
    let mut out = vec![0x30];
    out.extend(der::Length::try_from(successful.len() + body.len())?.to_der()?);
    out.extend(successful);
    out.extend(body);
    Ok(out)
}
