//! Evidence: that an authority vouched for each record of a transaction. Checked before a vote, never stored in a block.
//!
//! A record's claims and an opening give the commitment the authority was asked about; its signed verdict says yes to
//! that commitment. So a dishonest validator cannot register a photo nobody vouched for.
//!
//! A verdict over a certificate names the certificate's key, and every voter checks the camera's signature by that key
//! itself. So neither a borrowed certificate nor a borrowed verdict proves anything.
//!
//! ```text
//! u8  version (1)
//! u16 number of verdicts, big-endian, each: u32 length, then the signed verdict
//! u16 number of certificates, big-endian, each: u16 length, then the DER
//! u16 number of records, big-endian, each:
//!     u8  0 the submitter's word
//!     u8  1 a token alone: u16 position of the verdict, 32 bytes opening
//!     u8  2 our own cameras: as 1, then u16 position of the certificate, 64 bytes signature over the bundle's digest
//!     u8  3 cameras of the documents: as 1, then u8 route, u32 length and the request as it was sent
//!     u8  4 a one-time key: 33 bytes key, 256 bytes of its authority's signature over its name, 64 bytes signature by the
//!         one-time key over the bundle's digest
//! ```
//!
//! A one-time key needs no verdict: its authority signed it beforehand, under the epoch's key that stands in the ledger.
//! A transaction of statements has evidence over no record; the statements bring their authorities' signatures along.
//!
//! Whoever reads this encoding can match photos to commitments and to cameras: it travels only between validators, and
//! is forgotten once the block is decided.

use std::collections::{BTreeMap, BTreeSet};

use birthmark_ledger::transaction::MAX_RECORDS;
use birthmark_ledger::{Height, Known, Label, Origin, Record, Source, Transaction, ValidatorId};
use birthmark_protocol::bytes::{DecodeError, Reader};
use birthmark_protocol::certificate::MAX_DER;
use birthmark_protocol::one_time::{OneTimeProof, RsaBytes};
use birthmark_protocol::submission::{MAX_SUBMISSION, Submission, SubmissionRoute};
use birthmark_protocol::{
    CameraCertificate, Commitment, Digest, Opening, Proof, PublicKey, Signature, SignedVerdict,
    Timestamp, VerdictItem,
};

/// The version of the encoding this program writes.
pub const EVIDENCE_VERSION: u8 = 1;
/// How many bytes one signed verdict may have.
pub const MAX_VERDICT_BYTES: usize = 512 << 10;

/// What proves that the records of one transaction were vouched for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Evidence {
    /// The authorities' signed answers, each perhaps covering many records.
    pub verdicts: Vec<SignedVerdict>,
    /// Certificates of cameras of ours in DER, each once.
    pub certificates: Vec<Vec<u8>>,
    /// For each record, in order, what stands behind it.
    pub vouching: Vec<Vouching>,
}

/// What stands behind one record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Vouching {
    /// A verdict over the record's commitment.
    Verdict {
        /// Which of the evidence's verdicts, from 0.
        verdict: u16,
        /// Opens the commitment.
        opening: Opening,
        /// What the camera itself signed.
        signed: CameraSigned,
    },
    /// A key that its authority signed blind.
    OneTime(Box<OneTimeProof>),
    /// Only the submitting validator's word: its authority signs no verdicts, or a submission server brought the record.
    Word,
}

/// The camera's own signature, where its key is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CameraSigned {
    /// Nothing that can be checked: a token alone.
    Nothing,
    /// The bundle.
    Bundle {
        /// Which of the evidence's certificates, from 0.
        certificate: u16,
        /// By the certificate's key, over the bundle's digest.
        signature: Signature,
    },
    /// A text in one of the documents' forms, which only the whole request rebuilds.
    Request {
        /// Where the request was sent.
        route: SubmissionRoute,
        /// Its body, byte for byte.
        body: Vec<u8>,
    },
}

/// The authorities a validator knows, from its own configuration.
pub trait Authorities: Send + Sync {
    /// The keys with which the authority of this name signed verdicts at this time. None: unknown, or it signs none.
    fn verdict_keys(&self, authority: &Label, at: Timestamp) -> Vec<PublicKey>;

    /// Whether one of those keys signed this verdict. Override it to verify faster, or to remember what was verified.
    fn is_signed(&self, authority: &Label, signed: &SignedVerdict) -> bool {
        let keys = self.verdict_keys(authority, signed.verdict.time());
        keys.iter().any(|key| signed.verify(key).is_ok())
    }

    /// Whether this key made this signature. Override it to verify faster.
    fn signature_holds(&self, key: &PublicKey, digest: &Digest, signature: &Signature) -> bool {
        key.verify_digest(digest, signature).is_ok()
    }

    /// Whether the RSA key of this modulus made this signature over the name of a one-time key (RSASSA-PSS with SHA-384, a
    /// salt of 48 bytes and the exponent 65537).
    fn key_signature_holds(&self, modulus: &RsaBytes, name: &Digest, signature: &RsaBytes) -> bool;

    /// Whether records of this origin need nothing but the word of this validator.
    fn accepts_word(&self, submitter: &ValidatorId, origin: &Origin) -> bool;
}

/// Why evidence does not carry its transaction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// One entry per record.
    #[error("the evidence is for {found} records; the transaction has {expected}")]
    Count {
        /// What the evidence has.
        found: usize,
        /// What the transaction has.
        expected: usize,
    },
    /// A verdict's authority is unknown or did not sign it.
    #[error("verdict {0} is not signed by a known key of its authority")]
    Signature(usize),
    /// The record's authority is another than the verdict's.
    #[error("record {0} names another authority than its verdict")]
    OtherAuthority(usize),
    /// The verdict does not say yes to this record.
    #[error("record {0} is not covered by its verdict")]
    NotCovered(usize),
    /// The authority said no.
    #[error("the authority refused record {0}")]
    RefusedByAuthority(usize),
    /// The record claims another family than the authority named.
    #[error("record {0} names another device family than its verdict")]
    OtherFamily(usize),
    /// The record claims something else than the authority said.
    #[error("record {0} claims another assurance than its authority gave")]
    Assurance(usize),
    /// The record hides that its camera is a rehearsal camera, or says so of another.
    #[error("record {0} and its verdict differ about the fingerprint of the sensor")]
    MadeUp(usize),
    /// The verdict is about a certificate, and no signature by its key is there.
    #[error("record {0} is not signed by the key that its verdict names")]
    Camera(usize),
    /// The request in the evidence is not the one that the record was made from.
    #[error("record {0} says something else than the request it was made from")]
    OtherClaims(usize),
    /// The record names a block that this registry does not have.
    #[error("record {record} is anchored to block {height}, which is not known here")]
    Anchor {
        /// Where in the transaction, from 0.
        record: usize,
        /// The block.
        height: Height,
    },
    /// The epoch of a one-time key is not registered yet.
    #[error("record {0} has a one-time key of an epoch that is not registered")]
    NoEpoch(usize),
    /// The one-time key is not the one that the record names, its authority did not sign it, or it did not sign the record.
    #[error("record {0} is not signed by a one-time key of its authority")]
    OneTimeKey(usize),
    /// No known key of its authority signed the statement.
    #[error("statement {0} is not signed by a known key of its authority")]
    Statement(usize),
    /// One yes of an authority stands behind two records.
    #[error("record {0} uses a commitment a second time")]
    Reused(usize),
    /// The submitter's word is not enough.
    #[error("record {0} has no verdict, and the submitter's word is not enough for it")]
    Word(usize),
    /// The bytes are not evidence.
    #[error("not evidence: {0}")]
    Decode(#[from] DecodeError),
}

impl EvidenceError {
    /// Whether the transaction can never be voted for. An epoch that is not registered yet may come with the next block.
    pub const fn is_final(&self) -> bool {
        !matches!(self, Self::NoEpoch(_))
    }
}

impl Evidence {
    /// Succeeds when every record is vouched for. `known` has the hash of every decided block that a record names and the
    /// epochs as they stand before this block, `used` collects commitments over all transactions of a block.
    pub fn check(
        &self,
        transaction: &Transaction,
        authorities: &dyn Authorities,
        known: &Known,
        used: &mut BTreeSet<Commitment>,
    ) -> Result<(), EvidenceError> {
        let (found, expected) = (self.vouching.len(), transaction.records().len());
        if found != expected {
            return Err(EvidenceError::Count { found, expected });
        }
        let checked = Checked {
            answers: self.checked_answers(authorities)?,
            certificates: self.read_certificates()?,
            authorities,
            known,
        };
        check_statements(transaction, authorities)?;
        let mut own = BTreeSet::new();
        for (position, (record, vouching)) in
            transaction.records().iter().zip(&self.vouching).enumerate()
        {
            match checked.commitment(transaction, record, vouching, position)? {
                Some(one) if used.contains(&one) || !own.insert(one) => {
                    return Err(EvidenceError::Reused(position));
                }
                _ => {}
            }
        }
        used.extend(own);
        Ok(())
    }

    fn read_certificates(&self) -> Result<Vec<CameraCertificate>, EvidenceError> {
        let read = self.certificates.iter().map(|der| {
            CameraCertificate::from_der(der)
                .map_err(|_| EvidenceError::Decode(DecodeError::Value("certificate")))
        });
        read.collect()
    }

    fn checked_answers(
        &self,
        authorities: &dyn Authorities,
    ) -> Result<Vec<Answers<'_>>, EvidenceError> {
        let checked = self.verdicts.iter().enumerate().map(|(position, signed)| {
            let error = EvidenceError::Signature(position);
            let authority = Label::new(signed.verdict.manufacturer()).map_err(|_| error.clone())?;
            let holds = authorities.is_signed(&authority, signed);
            let items = signed
                .verdict
                .items()
                .iter()
                .map(|item| (item.commitment, item))
                .collect();
            if holds {
                Ok(Answers { authority, items })
            } else {
                Err(error)
            }
        });
        checked.collect()
    }

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

/// A verdict whose signature holds.
struct Answers<'a> {
    authority: Label,
    items: BTreeMap<Commitment, &'a VerdictItem>,
}

/// Evidence whose parts were read and whose verdicts hold.
struct Checked<'a> {
    answers: Vec<Answers<'a>>,
    certificates: Vec<CameraCertificate>,
    authorities: &'a dyn Authorities,
    known: &'a Known,
}

impl Checked<'_> {
    /// Succeeds when the record is vouched for, with the commitment that carries it.
    fn commitment(
        &self,
        transaction: &Transaction,
        record: &Record,
        vouching: &Vouching,
        position: usize,
    ) -> Result<Option<Commitment>, EvidenceError> {
        let (verdict, opening, signed) = match vouching {
            Vouching::Verdict {
                verdict,
                opening,
                signed,
            } => (verdict, opening, signed),
            Vouching::OneTime(proof) => {
                return self.one_time(record, proof, position).map(|()| None);
            }
            Vouching::Word => {
                let accepted = self
                    .authorities
                    .accepts_word(transaction.submitter(), record.origin());
                return match accepted {
                    true => Ok(None),
                    false => Err(EvidenceError::Word(position)),
                };
            }
        };
        let answer = self
            .answers
            .get(usize::from(*verdict))
            .ok_or(EvidenceError::NotCovered(position))?;
        let digest = self.bundle_digest(record, position)?;
        let commitment = Commitment::new(&digest, opening);
        let item = answer.item(record, &commitment, position)?;
        if let Proof::Certificate { key, .. } = &item.proof {
            let signer = self.signer(record, signed, &digest, position)?;
            if signer != *key {
                return Err(EvidenceError::Camera(position));
            }
        }
        Ok(Some(commitment))
    }

    /// Succeeds when the record's authority signed the one-time key that it names, and that key signed the record. Whether
    /// the key still counts and was not spent is for the ledger's rules.
    fn one_time(
        &self,
        record: &Record,
        proof: &OneTimeProof,
        position: usize,
    ) -> Result<(), EvidenceError> {
        let wrong = EvidenceError::OneTimeKey(position);
        let spent = record.spent().ok_or(wrong.clone())?;
        let origin = record.origin();
        let (authority, family) = (origin.authority.as_str(), origin.family.as_str());
        let epoch = self.known.epochs.key(authority, family, spent.epoch);
        let epoch = epoch.ok_or(EvidenceError::NoEpoch(position))?;
        let digest = self.bundle_digest(record, position)?;
        let authorities = self.authorities;
        let holds = proof.name(&epoch.id()) == spent.name
            && authorities.signature_holds(&proof.key, &digest, &proof.signature)
            && authorities.key_signature_holds(&epoch.modulus, &spent.name, &proof.key_signature);
        if holds { Ok(()) } else { Err(wrong) }
    }

    fn bundle_digest(&self, record: &Record, position: usize) -> Result<Digest, EvidenceError> {
        let anchor = record.anchor();
        let block = anchor.and_then(|height| self.known.anchors.get(&height));
        record
            .bundle()
            .digest(block)
            .map_err(|_| EvidenceError::Anchor {
                record: position,
                height: anchor.unwrap_or(Height::GENESIS),
            })
    }

    /// The key that signed what the record says, by its digest.
    fn signer(
        &self,
        record: &Record,
        signed: &CameraSigned,
        digest: &Digest,
        position: usize,
    ) -> Result<Digest, EvidenceError> {
        let unsigned = EvidenceError::Camera(position);
        let holds = |certificate: &CameraCertificate, digest: &Digest, signature: &Signature| {
            let key = certificate.key().p256();
            key.is_some_and(|key| self.authorities.signature_holds(key, digest, signature))
        };
        match signed {
            CameraSigned::Nothing => Err(unsigned),
            CameraSigned::Bundle {
                certificate,
                signature,
            } => {
                let certificate = self.certificates.get(usize::from(*certificate));
                let certificate = certificate.ok_or(unsigned.clone())?;
                match holds(certificate, digest, signature) {
                    true => Ok(certificate.key().digest()),
                    false => Err(unsigned),
                }
            }
            CameraSigned::Request { route, body } => {
                let request = Submission::parse(*route, body)
                    .map_err(|_| EvidenceError::OtherClaims(position))?;
                if request.bundle != *record.bundle() {
                    return Err(EvidenceError::OtherClaims(position));
                }
                let claims = request.camera.signed().ok_or(unsigned.clone())?;
                let mut texts = claims.texts.iter();
                match texts.any(|text| holds(&claims.certificate, &text.digest, &claims.signature))
                {
                    true => Ok(claims.certificate.key().digest()),
                    false => Err(unsigned),
                }
            }
        }
    }
}

impl Answers<'_> {
    /// The authority's yes to this record, if the record says what the authority said.
    fn item(
        &self,
        record: &Record,
        commitment: &Commitment,
        position: usize,
    ) -> Result<&VerdictItem, EvidenceError> {
        let origin = record.origin();
        if origin.authority != self.authority {
            return Err(EvidenceError::OtherAuthority(position));
        }
        let item = self
            .items
            .get(commitment)
            .ok_or(EvidenceError::NotCovered(position))?;
        if !item.valid {
            return Err(EvidenceError::RefusedByAuthority(position));
        }
        if item.device_family != origin.family.as_str() {
            return Err(EvidenceError::OtherFamily(position));
        }
        if item.is_made_up != origin.made_up_fingerprint {
            return Err(EvidenceError::MadeUp(position));
        }
        if origin.source != Source::camera(item.proof.assurance()) {
            return Err(EvidenceError::Assurance(position));
        }
        Ok(item)
    }
}

/// Succeeds when each statement was made by its authority.
fn check_statements(
    transaction: &Transaction,
    authorities: &dyn Authorities,
) -> Result<(), EvidenceError> {
    for (position, signed) in transaction.statements().iter().enumerate() {
        let wrong = EvidenceError::Statement(position);
        let statement = &signed.statement;
        let authority = Label::new(statement.authority()).map_err(|_| wrong.clone())?;
        let digest = statement.digest();
        let keys = authorities.verdict_keys(&authority, statement.time());
        let holds = |key: &PublicKey| authorities.signature_holds(key, &digest, &signed.signature);
        if !keys.iter().any(holds) {
            return Err(wrong);
        }
    }
    Ok(())
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
                out.extend((body.len() as u32).to_be_bytes());
                out.extend(body);
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
    let length = u32::from_be_bytes(reader.array("length of a request")?) as usize;
    if length > MAX_SUBMISSION {
        return Err(DecodeError::Value("length of a request"));
    }
    Ok(CameraSigned::Request {
        route: route.ok_or(DecodeError::Value("route"))?,
        body: reader.slice(length, "request")?.to_vec(),
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
