//! Evidence: that an authority vouched for each record of a transaction. Checked before a vote, never stored in a block.
//!
//! A record's claims and an opening give the commitment the authority was asked about; its signed verdict says yes to
//! that commitment. So a dishonest validator cannot register a photo nobody vouched for.
//!
//! ```text
//! u8  version (1)
//! u16 number of verdicts, big-endian, each: u32 length, then the signed verdict
//! u16 number of records, big-endian, each:
//!     u8  0 the submitter's word
//!     u8  1, then u16 position of the verdict, 32 bytes opening
//! ```
//!
//! Whoever reads this encoding can match photos to commitments: it travels only between validators.

use std::collections::{BTreeMap, BTreeSet};

use birthmark_ledger::transaction::MAX_RECORDS;
use birthmark_ledger::{Label, Origin, Record, Source, Transaction, ValidatorId};
use birthmark_protocol::bytes::{DecodeError, Reader};
use birthmark_protocol::{
    Assurance, Commitment, Opening, PublicKey, SignedVerdict, Timestamp, VerdictItem,
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
    },
    /// Only the submitting validator's word: its authority signs no verdicts, or a submission server brought the record.
    Word,
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
    /// The record claims more than the authority said.
    #[error("record {0} claims an attested camera; its authority says otherwise")]
    Assurance(usize),
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

impl Evidence {
    /// Succeeds when every record is vouched for. `used` collects commitments over all transactions of a block.
    pub fn check(
        &self,
        transaction: &Transaction,
        authorities: &dyn Authorities,
        used: &mut BTreeSet<Commitment>,
    ) -> Result<(), EvidenceError> {
        let (found, expected) = (self.vouching.len(), transaction.records().len());
        if found != expected {
            return Err(EvidenceError::Count { found, expected });
        }
        let answers = self.checked_answers(authorities)?;
        let mut own = BTreeSet::new();
        for (position, (record, vouching)) in
            transaction.records().iter().zip(&self.vouching).enumerate()
        {
            match vouching {
                Vouching::Word
                    if authorities.accepts_word(transaction.submitter(), record.origin()) => {}
                Vouching::Word => return Err(EvidenceError::Word(position)),
                Vouching::Verdict { verdict, opening } => {
                    let answer = answers
                        .get(usize::from(*verdict))
                        .ok_or(EvidenceError::NotCovered(position))?;
                    let commitment = Commitment::new(&record.bundle().digest(), opening);
                    answer.check(record, &commitment, position)?;
                    if used.contains(&commitment) || !own.insert(commitment) {
                        return Err(EvidenceError::Reused(position));
                    }
                }
            }
        }
        used.extend(own);
        Ok(())
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
        out.extend((self.vouching.len() as u16).to_be_bytes());
        for vouching in &self.vouching {
            match vouching {
                Vouching::Word => out.push(0),
                Vouching::Verdict { verdict, opening } => {
                    out.push(1);
                    out.extend(verdict.to_be_bytes());
                    out.extend(opening.expose());
                }
            }
        }
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
        let count = take_count(&mut reader, "number of records")?;
        let vouching = (0..count)
            .map(|_| take_vouching(&mut reader))
            .collect::<Result<_, _>>()?;
        reader.end()?;
        Ok(Self { verdicts, vouching })
    }
}

/// A verdict whose signature holds.
struct Answers<'a> {
    authority: Label,
    items: BTreeMap<Commitment, &'a VerdictItem>,
}

impl Answers<'_> {
    fn check(
        &self,
        record: &Record,
        commitment: &Commitment,
        position: usize,
    ) -> Result<(), EvidenceError> {
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
        let overclaims =
            origin.source == Source::CameraAttested && item.assurance != Assurance::Attested;
        if overclaims {
            Err(EvidenceError::Assurance(position))
        } else {
            Ok(())
        }
    }
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

fn take_vouching(reader: &mut Reader<'_>) -> Result<Vouching, DecodeError> {
    if !reader.flag("vouching")? {
        return Ok(Vouching::Word);
    }
    let verdict = u16::from_be_bytes(reader.array("position of a verdict")?);
    Ok(Vouching::Verdict {
        verdict,
        opening: Opening::from_bytes(reader.array("opening")?),
    })
}
