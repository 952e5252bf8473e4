//! Checking a receipt against nothing but a genesis (or a later set one trusts). No network, no
//! clock.
//!
//! What a receipt cannot tell: whether a certificate was revoked later, and whether validators who
//! left long ago kept their keys and now sign another past. Against the second, trust a recent set
//! as well ([`Trusted::later`]).

use std::borrow::Cow;

use birthmark_protocol::Digest;
use serde::{Deserialize, Serialize};

use crate::certificate::{CertificateError, CommitCertificate};
use crate::genesis::{Genesis, GenesisError};
use crate::handover::{Handover, SetLink};
use crate::head::Head;
use crate::header::{BlockHeader, BlockTime, Height};
use crate::label::{ChainId, KeyName};
use crate::merkle::MerkleError;
use crate::receipt::{DecidedHeader, Receipt, needed_anchor};
use crate::record::Record;
use crate::validators::{ValidatorId, ValidatorSet};

/// What the verifier believes before it reads the receipt: a genesis, or the validators that took
/// over later.
///
/// Such a later set can be named in a file of its own, TOML or JSON: the registry's name, the hash
/// of its genesis, whether it is a rehearsal, the first height that the set decides, and the set as
/// in a genesis. Whoever trusts it needs only the handovers since, and believes no former
/// validators any more.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trusted {
    chain_id: ChainId,
    #[serde(rename = "genesis")]
    chain: Digest,
    rehearsal: bool,
    since: Height,
    validators: ValidatorSet,
}

/// What a verified receipt says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified {
    /// What is registered.
    pub record: Record,
    /// The validator that took the submission.
    pub submitter: ValidatorId,
    /// Its name, if it was in the set that decided the block.
    pub submitter_name: Option<KeyName>,
    /// The record's place in the registry, from 0.
    pub index: u64,
    /// The block that holds it.
    pub height: Height,
    /// The block's hash.
    pub block: Digest,
    /// The block's time: the photo existed before it.
    pub block_time: BlockTime,
    /// The time of the block that the camera had checked: the photo was taken after it. `None`
    /// where the record names none, or one that is older than the set of validators that is
    /// trusted.
    pub not_before: Option<BlockTime>,
    /// Who signed the decision.
    pub signers: Vec<KeyName>,
    /// How many validators there were.
    pub validators: usize,
}

/// Why a receipt does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// It belongs to another registry.
    #[error("the receipt belongs to another registry ({0})")]
    OtherRegistry(ChainId),
    /// Its block is older than what the verifier trusts.
    #[error(
        "the receipt's block {block} is older than the trusted validators, which decide from {since} on"
    )]
    TooOld {
        /// The receipt's block.
        block: Height,
        /// The first height of the trusted set.
        since: Height,
    },
    /// Changes of validators are not in order.
    #[error("the changes of validators are not in ascending order of heights")]
    LinkOrder,
    /// The handovers do not begin with the validators that are trusted.
    #[error(
        "block {block} was decided by the validators {named}; trusted are, from block {since} on, the validators {trusted}, \
         and the handovers in between are missing"
    )]
    OtherSet {
        /// The first block whose validators would have to be the trusted ones.
        block: Height,
        /// The hash of the set that its header names.
        named: Digest,
        /// The hash of the trusted set.
        trusted: Digest,
        /// The first height of the trusted set.
        since: Height,
    },
    /// A change of validators was not decided.
    #[error("change of validators at height {height}: {error}")]
    Link {
        /// The old set's last block.
        height: Height,
        /// What is wrong with it.
        error: CertificateError,
    },
    /// The block names other next validators than the receipt shows.
    #[error("the validators after height {0} are not the ones their predecessors named")]
    LinkValidators(Height),
    /// The block was not decided.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The proof is about another tree.
    #[error("the proof is for a tree of {proof} leaves; the header's tree has {header}")]
    TreeSize {
        /// What the proof says.
        proof: u64,
        /// What the header says.
        header: u64,
    },
    /// The record is older than the block that is said to hold it.
    #[error("the record stands before the block that is said to hold it")]
    NotInBlock,
    /// The record names another block as its anchor than the receipt carries.
    #[error("the record is anchored to block {named:?}; the receipt carries {carried:?}")]
    Anchor {
        /// What the record names.
        named: Option<Height>,
        /// What the receipt carries.
        carried: Option<Height>,
    },
    /// The anchor was not decided.
    #[error("the block that the record is anchored to: {0}")]
    AnchorCertificate(CertificateError),
    /// The record does not stand there.
    #[error("the record is not in the tree: {0}")]
    Inclusion(#[from] MerkleError),
}

impl Trusted {
    /// Trusts a registry from its beginning.
    pub fn genesis(genesis: &Genesis) -> Self {
        Self {
            chain_id: genesis.chain_id.clone(),
            chain: genesis.hash(),
            rehearsal: genesis.rehearsal,
            since: Height::new(1),
            validators: genesis.validators.clone(),
        }
    }

    /// Reads the JSON of a genesis, or of a later set.
    pub fn from_json(text: &str) -> Result<Self, GenesisError> {
        match serde_json::from_str(text) {
            Ok(trusted) => Ok(trusted),
            // Only a set says since when; what is wrong with anything else is said of a genesis.
            Err(error) if text.contains("\"since\"") => Err(error.into()),
            Err(_) => Genesis::from_json(text).map(|genesis| Self::genesis(&genesis)),
        }
    }

    /// Trusts a later set of the same registry, for blocks from `since` on.
    pub fn later(self, since: Height, validators: ValidatorSet) -> Self {
        Self {
            since,
            validators,
            ..self
        }
    }

    /// The registry's name.
    pub const fn chain_id(&self) -> &ChainId {
        &self.chain_id
    }

    /// The hash of its genesis.
    pub const fn chain(&self) -> Digest {
        self.chain
    }

    /// Whether the registry is a rehearsal.
    pub const fn is_rehearsal(&self) -> bool {
        self.rehearsal
    }

    /// The handovers that are still needed by whoever trusts this.
    pub fn needed(&self, mut handovers: Vec<Handover>) -> Vec<Handover> {
        handovers.retain(|handover| handover.header.height >= self.since);
        handovers
    }

    /// The changes of validators since, as receipts show them.
    pub fn handovers(&self, links: &[SetLink]) -> Vec<Handover> {
        let since = links.iter().filter(|link| link.header.height >= self.since);
        Handover::chain(&self.validators, since)
    }

    /// The first height that the trusted validators decide.
    pub const fn since(&self) -> Height {
        self.since
    }

    /// The trusted validators.
    pub const fn validators(&self) -> &ValidatorSet {
        &self.validators
    }

    /// The validators that decided the block of `header`, following the handovers in between.
    fn validators_of<'a>(
        &'a self,
        header: &BlockHeader,
        handovers: &[Handover],
    ) -> Result<Cow<'a, ValidatorSet>, VerifyError> {
        if header.height < self.since {
            return Err(VerifyError::TooOld {
                block: header.height,
                since: self.since,
            });
        }
        let heights = handovers.iter().map(|handover| handover.header.height);
        let heights = heights.chain([header.height]);
        if !heights.is_sorted_by(|one, next| one < next) {
            return Err(VerifyError::LinkOrder);
        }
        let headers = handovers.iter().map(|handover| &handover.header);
        let mut needed = headers.chain([header]);
        let first = needed.find(|header| header.height >= self.since);
        let trusted = self.validators.hash();
        if let Some(first) = first.filter(|first| first.validators_hash != trusted) {
            self.check_chain(first)?;
            return Err(VerifyError::OtherSet {
                block: first.height,
                named: first.validators_hash,
                trusted,
                since: self.since,
            });
        }
        let mut validators = Cow::Borrowed(&self.validators);
        let is_needed = |handover: &&Handover| handover.header.height >= self.since;
        for handover in handovers.iter().filter(is_needed) {
            validators = Cow::Owned(self.follow(handover, &validators)?);
        }
        Ok(validators)
    }

    fn follow(
        &self,
        handover: &Handover,
        present: &ValidatorSet,
    ) -> Result<ValidatorSet, VerifyError> {
        let header = &handover.header;
        let height = header.height;
        self.check_chain(header)?;
        let decided = handover.certificate.verify(header, present);
        decided.map_err(|error| VerifyError::Link { height, error })?;
        let next = handover.next(present);
        let next = next.filter(|next| header.next_validators_hash == next.hash());
        next.ok_or(VerifyError::LinkValidators(height))
    }

    fn check_chain(&self, header: &BlockHeader) -> Result<(), VerifyError> {
        if header.chain == self.chain {
            Ok(())
        } else {
            Err(VerifyError::OtherRegistry(self.chain_id.clone()))
        }
    }
}

/// Checks a receipt: registry, handovers, decision, place. Every error names what does not hold.
pub fn verify_receipt(receipt: &Receipt, trusted: &Trusted) -> Result<Verified, VerifyError> {
    let header = &receipt.header;
    trusted.check_chain(header)?;
    if receipt.chain_id != trusted.chain_id {
        return Err(VerifyError::OtherRegistry(receipt.chain_id.clone()));
    }
    let validators = trusted.validators_of(header, &receipt.handovers)?;
    receipt.certificate.verify(header, &validators)?;
    check_place(receipt)?;
    let not_before = check_anchor(receipt, trusted)?;
    Ok(Verified {
        record: receipt.record.clone(),
        submitter: receipt.submitter,
        submitter_name: validators
            .get(&receipt.submitter)
            .map(|validator| validator.name.clone()),
        index: receipt.proof.index,
        height: header.height,
        block: header.hash(),
        block_time: header.time,
        not_before,
        signers: signers(&receipt.certificate, &validators),
        validators: validators.len(),
    })
}

/// Checks the newest block that somebody shows, and answers what to trust from then on: the
/// validators that decided it, from the first block that they decided. Whoever remembers that
/// believes no former validators any more.
pub fn verify_head(head: &Head, trusted: Trusted) -> Result<Trusted, VerifyError> {
    trusted.check_chain(&head.header)?;
    if head.chain_id != trusted.chain_id {
        return Err(VerifyError::OtherRegistry(head.chain_id.clone()));
    }
    let ascends = |one: &SetLink, next: &SetLink| one.header.height < next.header.height;
    if !head.sets.is_sorted_by(ascends) {
        return Err(VerifyError::LinkOrder);
    }
    let handovers = trusted.handovers(&head.sets);
    let validators = trusted.validators_of(&head.header, &handovers)?;
    head.certificate.verify(&head.header, &validators)?;
    let last = head.sets.last();
    Ok(
        match last.filter(|link| link.header.height >= trusted.since) {
            Some(link) => trusted.later(link.header.height.next(), link.validators.clone()),
            None => trusted,
        },
    )
}

impl From<&Genesis> for Trusted {
    fn from(genesis: &Genesis) -> Self {
        Self::genesis(genesis)
    }
}

/// The time of the anchor, if it can be proven by what is trusted.
fn check_anchor(receipt: &Receipt, trusted: &Trusted) -> Result<Option<BlockTime>, VerifyError> {
    let carried = receipt.anchor.as_ref().map(|anchor| anchor.header.height);
    let named = needed_anchor(&receipt.record);
    if carried != named {
        return Err(VerifyError::Anchor { named, carried });
    }
    let Some(DecidedHeader {
        header,
        certificate,
    }) = &receipt.anchor
    else {
        return Ok(None);
    };
    trusted.check_chain(header)?;
    let earlier = receipt
        .handovers
        .partition_point(|handover| handover.header.height < header.height);
    let (handovers, _) = receipt.handovers.split_at(earlier);
    let validators = match trusted.validators_of(header, handovers) {
        Ok(validators) => validators,
        Err(VerifyError::TooOld { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    certificate
        .verify(header, &validators)
        .map_err(VerifyError::AnchorCertificate)?;
    Ok(Some(header.time))
}

fn check_place(receipt: &Receipt) -> Result<(), VerifyError> {
    let Receipt { header, proof, .. } = receipt;
    if proof.size != header.tree_size {
        return Err(VerifyError::TreeSize {
            proof: proof.size,
            header: header.tree_size,
        });
    }
    if proof.index < header.first_index() {
        return Err(VerifyError::NotInBlock);
    }
    Ok(proof.verify(
        &receipt.record.leaf_hash(&receipt.submitter),
        &header.tree_root,
    )?)
}

fn signers(certificate: &CommitCertificate, validators: &ValidatorSet) -> Vec<KeyName> {
    let named = certificate
        .signatures
        .iter()
        .filter_map(|entry| validators.at(entry.validator.into()));
    named.map(|validator| validator.name.clone()).collect()
}
