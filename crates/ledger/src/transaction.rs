//! A transaction: the records one validator submits together, under one signature; or what
//! authorities stated about their epochs ([`crate::epochs`]), which are no leaves of the tree.
//!
//! Records are packed: what they share is written once, times as differences. A photo with one
//! digest takes about 36 bytes of a full block.
//!
//! ```text
//! u8  version (1)
//! 32  submitter
//! varint  number of makers (1–1,000), each: u8 source, u8 + text authority, u8 + text family, u8 made-up fingerprint 0|1,
//!         for cameras by one-time key u32 epoch,
//!         u8 where the pixels came from (0 not stated), and if stated: u8 0|1 and then 32 bytes of the software
//! varint  number of records (1–1,000), each:
//!     u8  bits 0–2 number of digests less one, bit 3 a root follows, bits 4–7 maker (15: varint of maker less 15 follows)
//!     varint  zigzag of the camera time less the previous record's (the first: less 0), wrapping at 64 bits
//!     varint  0 no anchor, else 1 + zigzag of the anchor less the previous record's anchor (of none: less 0)
//!     each digest: u8 bits 0–1 role, bits 2–3 level, bits 4–7 parent; 32 bytes digest
//!         parent, first digest: 0 none, 1 the 32 bytes of the original follow, 2 the name of the one-time key follows;
//!         others: position of an earlier digest, from 0
//!     32  GPS commitment, or disclosure root where the source of the pixels is stated, if there is one
//! 64  signature by the submitter's vote key over "birthmark/transaction/v1" ‖ 00 ‖ chain ‖ everything above
//! ```
//!
//! A transaction of statements:
//!
//! ```text
//! u8  0xe1 (statements, version 1)
//! 32  submitter
//! varint  number of statements (1–100), each as `birthmark_protocol::one_time::epoch` says, with its signature
//! 64  signature by the submitter's vote key over "birthmark/statements/v1" ‖ 00 ‖ chain ‖ everything above
//! ```
//!
//! Makers stand in the order in which records first use them, each once. An anchor is a height
//! alone: the registry knows the hash of its own block.

use std::fmt;

use birthmark_protocol::bundle::MAX_ANCHOR;
use birthmark_protocol::bytes::{DecodeError, Reader, put_optional32};
use birthmark_protocol::one_time::{EpochError, SignedEpochStatement};
use birthmark_protocol::{Digest, PublicKey, Signature, SignatureError};

use crate::keys::{SigningError, VoteSigner};
use crate::record::{Origin, Record, RecordError};
use crate::signatures;
use crate::validators::ValidatorId;
use crate::varint;

pub(crate) mod packing;

/// The version of the encoding this program writes.
pub const TRANSACTION_VERSION: u8 = 1;
/// How many records one transaction may hold.
pub const MAX_RECORDS: usize = 1000;

/// The first byte of a transaction of statements.
pub const STATEMENTS_VERSION: u8 = 0xe1;
/// How many statements one transaction may hold.
pub const MAX_STATEMENTS: usize = 100;

const DOMAIN: &[u8] = b"birthmark/transaction/v1\0";
const STATEMENTS_DOMAIN: &[u8] = b"birthmark/statements/v1\0";

/// The name of a transaction: a digest over all of its bytes.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct TransactionHash(Digest);

/// Records or statements submitted together by one validator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transaction {
    submitter: ValidatorId,
    content: Content,
    signature: Signature,
}

/// What a transaction holds.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Content {
    Records(Vec<Record>),
    Statements(Vec<SignedEpochStatement>),
}

/// Why something is not a transaction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// No record, or too many.
    #[error("a transaction has 1 to {MAX_RECORDS} records, not {0}")]
    Count(usize),
    /// No statement, or too many.
    #[error("a transaction of statements has 1 to {MAX_STATEMENTS} of them, not {0}")]
    Statements(usize),
    /// One of the statements is none.
    #[error("statement {position}: {error}")]
    Statement {
        /// Where in the transaction, from 0.
        position: usize,
        /// What is wrong with it.
        error: EpochError,
    },
    /// The bytes are not a transaction.
    #[error("not a transaction: {0}")]
    Decode(#[from] DecodeError),
    /// One of the records breaks a rule.
    #[error("record {position}: {error}")]
    Record {
        /// Where in the transaction, from 0.
        position: usize,
        /// What is wrong with it.
        error: RecordError,
    },
    /// The signature is malformed or does not hold.
    #[error("submitter's signature: {0}")]
    Signature(#[from] SignatureError),
    /// The key did not sign.
    #[error("cannot sign the transaction: {0}")]
    Signing(#[from] SigningError),
}

impl TransactionHash {
    /// Takes 32 stored bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Digest::from_bytes(bytes))
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The name of the transaction with these canonical bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Digest::tagged("birthmark/transaction-hash/v1", &[bytes]))
    }
}

impl fmt::Display for TransactionHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Transaction {
    /// Signs `records` as the submitting validator, for the registry whose genesis hash is `chain`.
    pub fn sign(
        chain: &Digest,
        records: Vec<Record>,
        key: &impl VoteSigner,
    ) -> Result<Self, TransactionError> {
        if records.is_empty() || records.len() > MAX_RECORDS {
            return Err(TransactionError::Count(records.len()));
        }
        Self::sign_content(chain, Content::Records(records), key)
    }

    /// Signs statements of authorities as the submitting validator.
    pub fn of_statements(
        chain: &Digest,
        statements: Vec<SignedEpochStatement>,
        key: &impl VoteSigner,
    ) -> Result<Self, TransactionError> {
        if statements.is_empty() || statements.len() > MAX_STATEMENTS {
            return Err(TransactionError::Statements(statements.len()));
        }
        for (position, signed) in statements.iter().enumerate() {
            let checked = signed.statement.check();
            checked.map_err(|error| TransactionError::Statement { position, error })?;
        }
        Self::sign_content(chain, Content::Statements(statements), key)
    }

    fn sign_content(
        chain: &Digest,
        content: Content,
        key: &impl VoteSigner,
    ) -> Result<Self, TransactionError> {
        let submitter = ValidatorId::of(&key.public_key());
        let message = content.signed_message(chain, &submitter);
        let signature = key.sign(&message)?.normalized();
        Ok(Self {
            submitter,
            content,
            signature,
        })
    }

    /// Which validator submitted the records.
    pub const fn submitter(&self) -> &ValidatorId {
        &self.submitter
    }

    /// The records, in the order in which they enter the tree.
    pub fn records(&self) -> &[Record] {
        match &self.content {
            Content::Records(records) => records,
            Content::Statements(_) => &[],
        }
    }

    /// The statements of authorities; none where there are records.
    pub fn statements(&self) -> &[SignedEpochStatement] {
        match &self.content {
            Content::Records(_) => &[],
            Content::Statements(statements) => statements,
        }
    }

    /// The submitter's signature.
    pub const fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.content.encode(&self.submitter);
        out.extend(self.signature.to_bytes());
        out
    }

    /// Its name: a digest over the canonical bytes.
    pub fn hash(&self) -> TransactionHash {
        TransactionHash::of(&self.encode())
    }

    /// Reads exactly one transaction.
    pub fn parse(bytes: &[u8]) -> Result<Self, TransactionError> {
        let mut reader = Reader::new(bytes);
        let transaction = Self::take(&mut reader)?;
        reader.end()?;
        Ok(transaction)
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, TransactionError> {
        let version = reader.byte("transaction version")?;
        let submitter = ValidatorId::from_bytes(reader.array("submitter")?);
        let content = match version {
            TRANSACTION_VERSION => Content::Records(packing::take_records(reader)?),
            STATEMENTS_VERSION => Content::Statements(take_statements(reader)?),
            other => return Err(DecodeError::Version(other).into()),
        };
        let signature = signatures::take_one(reader)?;
        Ok(Self {
            submitter,
            content,
            signature,
        })
    }

    /// Succeeds when `key` belongs to the submitter and signed these records for the registry
    /// `chain`.
    pub fn verify(&self, chain: &Digest, key: &PublicKey) -> Result<(), TransactionError> {
        if ValidatorId::of(key) != self.submitter {
            return Err(SignatureError::Mismatch.into());
        }
        Ok(key.verify(&self.signed_message(chain), &self.signature)?)
    }

    /// What its submitter signs in this registry.
    pub fn signed_message(&self, chain: &Digest) -> Vec<u8> {
        self.content.signed_message(chain, &self.submitter)
    }

    /// The leaf hashes of the records, in order.
    pub fn leaf_hashes(&self) -> impl Iterator<Item = Digest> + '_ {
        self.records()
            .iter()
            .map(|record| record.leaf_hash(&self.submitter))
    }
}

impl Content {
    fn encode(&self, submitter: &ValidatorId) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Records(records) => {
                out.push(TRANSACTION_VERSION);
                out.extend(submitter.as_bytes());
                packing::put_records(&mut out, records);
            }
            Self::Statements(statements) => {
                out.push(STATEMENTS_VERSION);
                out.extend(submitter.as_bytes());
                varint::put(&mut out, statements.len() as u64);
                out.extend(statements.iter().flat_map(SignedEpochStatement::encode));
            }
        }
        out
    }

    fn signed_message(&self, chain: &Digest, submitter: &ValidatorId) -> Vec<u8> {
        let domain = match self {
            Self::Records(_) => DOMAIN,
            Self::Statements(_) => STATEMENTS_DOMAIN,
        };
        [domain, chain.as_bytes(), &self.encode(submitter)].concat()
    }
}

/// Reads statements after the submitter.
pub(crate) fn take_statements(
    reader: &mut Reader<'_>,
) -> Result<Vec<SignedEpochStatement>, TransactionError> {
    let count = varint::take_count(reader, 1, MAX_STATEMENTS, "number of statements")?;
    let take = |position| {
        SignedEpochStatement::take(reader)
            .map_err(|error| TransactionError::Statement { position, error })
    };
    (0..count).map(take).collect()
}
