//! The bytes in which evidence is kept in the pool and passed between validators.
//!
//! ```text
//! u8  version (1)
//! u16 number of verdicts, big-endian, each: u32 length, then the signed verdict
//! u16 number of certificates, big-endian, each: u16 length, then the DER
//! u16 number of records, big-endian, each:
//!     u8  0 the submitter's word
//!     u8  1 a token alone: u16 position of the verdict, 32 bytes opening
//!     u8  2 our own cameras: as 1, then u16 position of the certificate, 64 bytes signature over the bundle's digest
//!     u8  3 cameras of the documents: as 1, then u8 route, and the request as it was sent: u8 0, or u8 1, u16 position
//!         of the certificate that was cut out of it, u32 where; then u32 length and what is left of it
//!     u8  4 a one-time key: 33 bytes key, 256 bytes of its authority's signature over its name, 64 bytes signature by the
//!         one-time key over the bundle's digest
//! ```

use birthmark_ledger::transaction::MAX_RECORDS;
use birthmark_protocol::bytes::{DecodeError, Reader};
use birthmark_protocol::certificate::MAX_DER;
use birthmark_protocol::one_time::OneTimeProof;
use birthmark_protocol::submission::SubmissionRoute;
use birthmark_protocol::{Opening, PublicKey, Signature, SignedVerdict};

use super::{CameraSigned, Evidence, EvidenceError, RequestBody, Vouching};

/// The version of the encoding this program writes.
pub const EVIDENCE_VERSION: u8 = 1;
/// How many bytes one signed verdict may have.
pub const MAX_VERDICT_BYTES: usize = 512 << 10;

impl Evidence {
    /// The bytes in which evidence is kept in the pool and passed between validators.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![EVIDENCE_VERSION];
        out.extend((self.verdicts.len() as u16).to_be_bytes());
        for verdict in self.verdicts.iter().map(SignedVerdict::encode) {
            out.extend((verdict.len() as u32).to_be_bytes());
            out.extend(verdict);
        }
        out.extend((self.certificates.len() as u16).to_be_bytes());
        for certificate in &self.certificates {
            out.extend((certificate.len() as u16).to_be_bytes());
            out.extend(certificate);
        }
        out.extend((self.vouching.len() as u16).to_be_bytes());
        self.vouching
            .iter()
            .for_each(|vouching| vouching.put(&mut out));
        out
    }

    /// Reads what [`Evidence::encode`] wrote.
    pub fn parse(bytes: &[u8]) -> Result<Self, EvidenceError> {
        let mut reader = Reader::new(bytes);
        let version = reader.byte("version")?;
        if version != EVIDENCE_VERSION {
            return Err(DecodeError::Version(version).into());
        }
        let count = take_count(&mut reader, "number of verdicts")?;
        let verdicts = (0..count)
            .map(|_| take_verdict(&mut reader))
            .collect::<Result<_, _>>()?;
        let count = take_count(&mut reader, "number of certificates")?;
        let certificates = (0..count)
            .map(|_| take_certificate(&mut reader))
            .collect::<Result<_, _>>()?;
        let count = take_count(&mut reader, "number of records")?;
        let vouching = (0..count)
            .map(|_| Vouching::take(&mut reader))
            .collect::<Result<_, _>>()?;
        reader.end()?;
        Ok(Self {
            verdicts,
            certificates,
            vouching,
        })
    }
}

impl Vouching {
    fn put(&self, out: &mut Vec<u8>) {
        let (verdict, opening, signed) = match self {
            Self::Word => return out.push(WORD),
            Self::OneTime(proof) => {
                out.push(ONE_TIME);
                out.extend(proof.key.to_compressed());
                out.extend(proof.key_signature);
                return out.extend(proof.signature.to_bytes());
            }
            Self::Verdict {
                verdict,
                opening,
                signed,
            } => (verdict, opening, signed),
        };
        out.push(match signed {
            CameraSigned::Nothing => TOKEN,
            CameraSigned::Bundle { .. } => BUNDLE,
            CameraSigned::Request { .. } => REQUEST,
        });
        out.extend(verdict.to_be_bytes());
        out.extend(opening.expose());
        match signed {
            CameraSigned::Nothing => {}
            CameraSigned::Bundle {
                certificate,
                signature,
            } => {
                out.extend(certificate.to_be_bytes());
                out.extend(signature.to_bytes());
            }
            CameraSigned::Request { route, body } => {
                out.push(route.to_byte());
                body.put(out);
            }
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = reader.byte("vouching")?;
        if kind == WORD {
            return Ok(Self::Word);
        }
        if kind == ONE_TIME {
            return take_one_time(reader);
        }
        let verdict = u16::from_be_bytes(reader.array("position of a verdict")?);
        let opening = Opening::from_bytes(reader.array("opening")?);
        let signed = match kind {
            TOKEN => CameraSigned::Nothing,
            BUNDLE => CameraSigned::Bundle {
                certificate: u16::from_be_bytes(reader.array("position of a certificate")?),
                signature: Signature::from_bytes(&reader.array("signature")?)
                    .map_err(|_| DecodeError::Value("signature"))?,
            },
            REQUEST => take_request(reader)?,
            _ => return Err(DecodeError::Value("vouching")),
        };
        Ok(Self::Verdict {
            verdict,
            opening,
            signed,
        })
    }
}

const WORD: u8 = 0;
const TOKEN: u8 = 1;
const BUNDLE: u8 = 2;
const REQUEST: u8 = 3;
const ONE_TIME: u8 = 4;

fn take_one_time(reader: &mut Reader<'_>) -> Result<Vouching, DecodeError> {
    let key = PublicKey::from_sec1(&reader.array::<33>("one-time key")?);
    let key_signature = reader.array("authority's signature")?;
    let signature = Signature::from_bytes(&reader.array("signature")?);
    Ok(Vouching::OneTime(Box::new(OneTimeProof {
        key: key.map_err(|_| DecodeError::Value("one-time key"))?,
        key_signature,
        signature: signature.map_err(|_| DecodeError::Value("signature"))?,
    })))
}

fn take_request(reader: &mut Reader<'_>) -> Result<CameraSigned, DecodeError> {
    let route = SubmissionRoute::from_byte(reader.byte("route")?);
    Ok(CameraSigned::Request {
        route: route.ok_or(DecodeError::Value("route"))?,
        body: RequestBody::take(reader)?,
    })
}

fn take_certificate(reader: &mut Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    let length = usize::from(u16::from_be_bytes(reader.array("length of a certificate")?));
    if length > MAX_DER {
        return Err(DecodeError::Value("length of a certificate"));
    }
    Ok(reader.slice(length, "certificate")?.to_vec())
}

fn take_count(reader: &mut Reader<'_>, what: &'static str) -> Result<usize, DecodeError> {
    let count = usize::from(u16::from_be_bytes(reader.array(what)?));
    if count > MAX_RECORDS {
        Err(DecodeError::Value(what))
    } else {
        Ok(count)
    }
}

fn take_verdict(reader: &mut Reader<'_>) -> Result<SignedVerdict, DecodeError> {
    let length = u32::from_be_bytes(reader.array("length of a verdict")?) as usize;
    if length > MAX_VERDICT_BYTES {
        return Err(DecodeError::Value("length of a verdict"));
    }
    SignedVerdict::decode(reader.slice(length, "verdict")?)
        .map_err(|_| DecodeError::Value("verdict"))
}
