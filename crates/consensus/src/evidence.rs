//! Evidence: that an authority vouched for each record of a transaction. Checked before a vote,
//! never stored in a block.
//!
//! A record's claims and an opening give the commitment the authority was asked about; its signed
//! verdict says yes to that commitment. So a dishonest validator cannot register a photo nobody
//! vouched for.
//!
//! A verdict over a certificate names the certificate's key, and every voter checks the camera's
//! signature by that key itself. So neither a borrowed certificate nor a borrowed verdict proves
//! anything.
//!
//! A one-time key needs no verdict: its authority signed it beforehand, under the epoch's key that
//! stands in the ledger. A transaction of statements has evidence over no record; the statements
//! bring their authorities' signatures along.
//!
//! Whoever reads this encoding can match photos to commitments and to cameras: it travels only
//! between validators, and is forgotten once the block is decided.

use std::collections::{BTreeMap, BTreeSet};

use birthmark_ledger::{Height, Known, Label, Origin, Record, Source, Transaction, ValidatorId};
use birthmark_protocol::bytes::DecodeError;
use birthmark_protocol::one_time::{OneTimeProof, RsaBytes};
use birthmark_protocol::submission::{Submission, SubmissionRoute};
use birthmark_protocol::{
    CameraCertificate, Commitment, Digest, Opening, Proof, PublicKey, Signature, SignedVerdict,
    Timestamp, VerdictItem,
};

use self::checked::Own;

pub use self::checked::CheckedBefore;
pub use self::encoding::{EVIDENCE_VERSION, MAX_VERDICT_BYTES};
pub use self::request_body::RequestBody;

mod checked;
mod encoding;
mod request_body;

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
    /// Only the submitting validator's word: its authority signs no verdicts, or a submission
    /// server brought the record.
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
        /// Its body.
        body: RequestBody,
    },
}

/// The authorities a validator knows, from its own configuration.
pub trait Authorities: Send + Sync {
    /// The keys with which the authority of this name signed verdicts at this time. None: unknown,
    /// or it signs none.
    fn verdict_keys(&self, authority: &Label, at: Timestamp) -> Vec<PublicKey>;

    /// Whether one of those keys signed this verdict.
    fn is_signed(&self, authority: &Label, signed: &SignedVerdict) -> bool {
        let (keys, digest) = (
            self.verdict_keys(authority, signed.verdict.time()),
            signed.verdict.digest(),
        );
        keys.iter()
            .any(|key| self.signature_holds(key, &digest, &signed.signature))
    }

    /// Whether this key made this signature. Override it to verify faster.
    fn signature_holds(&self, key: &PublicKey, digest: &Digest, signature: &Signature) -> bool {
        key.verify_digest(digest, signature).is_ok()
    }

    /// Whether the RSA key of this modulus made this signature over the name of a one-time key
    /// (RSASSA-PSS with SHA-384, a salt of 48 bytes and the exponent 65537).
    fn key_signature_holds(&self, modulus: &RsaBytes, name: &Digest, signature: &RsaBytes) -> bool;

    /// Where evidence is remembered that was found good by these authorities.
    fn checked_before(&self) -> Option<&CheckedBefore> {
        None
    }

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
    /// The one-time key is not the one that the record names, its authority did not sign it, or it
    /// did not sign the record.
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
    /// Whether the transaction can never be voted for. An epoch that is not registered yet may come
    /// with the next block.
    pub const fn is_final(&self) -> bool {
        !matches!(self, Self::NoEpoch(_))
    }
}

impl Evidence {
    /// Succeeds when every record is vouched for. `known` has the hash of every decided block that
    /// a record names and the epochs as they stand before this block, `used` collects commitments
    /// over all transactions of a block.
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
        let memory = authorities.checked_before();
        let memory = memory.map(|memory| (memory, self.name(transaction, known)));
        let remembered = memory.and_then(|(memory, name)| memory.get(&name));
        let own = match remembered {
            Some(own) => own,
            None => self.verify(transaction, authorities, known)?,
        };
        if let Some((memory, name)) = memory {
            memory.add(name, &own);
        }
        if let Some((position, _)) = own.iter().find(|(_, one)| used.contains(one)) {
            return Err(EvidenceError::Reused(*position));
        }
        used.extend(own.iter().map(|(_, one)| *one));
        Ok(())
    }

    /// A digest over all that the outcome follows from, besides the authorities.
    fn name(&self, transaction: &Transaction, known: &Known) -> Digest {
        let (own, encoded) = (transaction.hash(), self.encode());
        let mut decided = Vec::new();
        for record in transaction.records() {
            let anchor = record
                .anchor()
                .and_then(|height| known.anchors.get(&height));
            decided.extend(anchor.map_or([0; 32], |block| *block.as_bytes()));
            let epoch = record.spent().and_then(|spent| {
                let origin = record.origin();
                let (authority, family) = (origin.authority.as_str(), origin.family.as_str());
                known.epochs.key(authority, family, spent.epoch)
            });
            decided.extend(epoch.map_or([0; 32], |epoch| *epoch.id().as_bytes()));
        }
        let parts = [own.as_bytes().as_slice(), &decided, &encoded];
        Digest::tagged("birthmark/evidence-checked/v1", &parts)
    }

    /// Verifies everything; the commitments, each behind one record.
    fn verify(
        &self,
        transaction: &Transaction,
        authorities: &dyn Authorities,
        known: &Known,
    ) -> Result<Own, EvidenceError> {
        let checked = Checked {
            answers: self.checked_answers(authorities)?,
            encoded: &self.certificates,
            certificates: self.read_certificates()?,
            authorities,
            known,
        };
        check_statements(transaction, authorities)?;
        let (mut own, mut seen) = (Vec::new(), BTreeSet::new());
        for (position, (record, vouching)) in
            transaction.records().iter().zip(&self.vouching).enumerate()
        {
            if let Some(one) = checked.commitment(transaction, record, vouching, position)? {
                if !seen.insert(one) {
                    return Err(EvidenceError::Reused(position));
                }
                own.push((position, one));
            }
        }
        Ok(own.into())
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
}

/// A verdict whose signature holds.
struct Answers<'a> {
    authority: Label,
    items: BTreeMap<Commitment, &'a VerdictItem>,
}

/// Evidence whose parts were read and whose verdicts hold.
struct Checked<'a> {
    answers: Vec<Answers<'a>>,
    encoded: &'a [Vec<u8>],
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

    /// Succeeds when the record's authority signed the one-time key that it names, and that key
    /// signed the record. Whether the key still counts and was not spent is for the ledger's rules.
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
                let other = EvidenceError::OtherClaims(position);
                let body = body.whole(self.encoded).ok_or(other.clone())?;
                let request = Submission::parse(*route, &body).map_err(|_| other)?;
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
