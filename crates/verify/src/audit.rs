//! Checking a whole registry from its parts: every header, every record, every transaction's
//! signature, and the root of the index in every header.
//!
//! Parts are given in order: those of headers as far as they are needed, then those of records.
//! Memory holds the index, about 70 bytes a photo, and the headers between two parts of records.
//!
//! Not judged here: rules between records (that an edit's original was registered earlier, that no
//! transaction stands twice) and evidence, which is forgotten once a block is decided. For them
//! more than two thirds of the validators answer.

use std::collections::VecDeque;

use birthmark_ledger::part::{HeadersPart, PartError, RecordsPart};
use birthmark_ledger::{
    BlockError, CertificateError, DecidedHeader, Genesis, Head, Height, IndexFollower, IndexRoot,
    TransactionError, Trusted, ValidatorSet, VerifyError, verify_head,
};
use birthmark_protocol::Digest;

/// A registry as far as it was checked.
pub struct Audit {
    chain: Digest,
    genesis: ValidatorSet,
    head: Head,
    /// Who decides the next header.
    validators: ValidatorSet,
    /// The hash that the next header names as the one before.
    previous: Digest,
    height: Height,
    /// Headers whose records were not given yet.
    waiting: VecDeque<DecidedHeader>,
    records: u64,
    index: IndexFollower,
}

/// What does not hold.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The newest header is not to be believed.
    #[error("the newest block: {0}")]
    Head(#[from] VerifyError),
    /// A part holds something else than its headers say.
    #[error(transparent)]
    Part(#[from] PartError),
    /// A header that does not follow.
    #[error("the header of height {0} does not follow the one before it")]
    Header(Height),
    /// A block that was not decided.
    #[error("block {height} was not decided: {error}")]
    Undecided {
        /// Its height.
        height: Height,
        /// What is wrong with its certificate.
        error: CertificateError,
    },
    /// A header that names other next validators than the registry's newest state shows.
    #[error("block {0} hands over to validators that are not shown")]
    Handover(Height),
    /// A block that is not the one of its header, or none.
    #[error("block {0} is missing, or another than its header says")]
    Block(Height),
    /// A transaction that its submitter did not sign.
    #[error("block {height}, transaction {position}: {error}")]
    Transaction {
        /// The block.
        height: Height,
        /// Where in it, from 0.
        position: usize,
        /// What is wrong.
        error: TransactionError,
    },
    /// A transaction of somebody who was no validator.
    #[error("block {height}, transaction {position}: its submitter was no validator")]
    Submitter {
        /// The block.
        height: Height,
        /// Where in it, from 0.
        position: usize,
    },
    /// An index that the blocks do not make.
    #[error("block {height}: {error}: the digests of the blocks before make another")]
    Index {
        /// The block.
        height: Height,
        /// What is wrong.
        error: BlockError,
    },
    /// It ends before its newest header.
    #[error("it ends at block {found} with {records} records; the newest block is {expected}")]
    Short {
        /// Where it ends.
        found: Height,
        /// How many records were there.
        records: u64,
        /// The newest block.
        expected: Height,
    },
}

impl Audit {
    /// Begins at the genesis, towards a newest header, whose decision is checked first.
    pub fn begin(genesis: &Genesis, head: Head) -> Result<Self, AuditError> {
        verify_head(&head, Trusted::genesis(genesis))?;
        Ok(Self {
            chain: genesis.hash(),
            head,
            genesis: genesis.validators.clone(),
            validators: genesis.validators.clone(),
            previous: genesis.hash(),
            height: Height::GENESIS,
            waiting: VecDeque::new(),
            records: 0,
            index: IndexFollower::genesis(),
        })
    }

    /// The last header that was checked.
    pub const fn height(&self) -> Height {
        self.height
    }

    /// How many records were checked.
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// The index after the last block that was checked.
    pub fn index(&self) -> IndexRoot {
        self.index.newest()
    }

    /// Checks the next headers. What stands after the newest header is passed over.
    pub fn headers(&mut self, part: &HeadersPart) -> Result<(), AuditError> {
        for decided in part.headers() {
            if self.height == self.head.header.height {
                return Ok(());
            }
            self.header(decided)?;
        }
        Ok(())
    }

    fn header(&mut self, decided: &DecidedHeader) -> Result<(), AuditError> {
        let header = &decided.header;
        let height = header.height;
        let follows = header.chain == self.chain
            && height == self.height.next()
            && header.previous == self.previous;
        if !follows {
            return Err(AuditError::Header(height));
        }
        let checked = decided.certificate.verify(header, &self.validators);
        checked.map_err(|error| AuditError::Undecided { height, error })?;
        (self.previous, self.height) = (header.hash(), height);
        self.waiting.push_back(decided.clone());
        if header.next_validators_hash != header.validators_hash {
            let mut sets = self.head.sets.iter();
            let next = sets.find(|link| link.header == *header);
            let next = next.filter(|link| link.validators.hash() == header.next_validators_hash);
            self.validators = next.ok_or(AuditError::Handover(height))?.validators.clone();
        }
        Ok(())
    }

    /// Checks the next records, whose headers were given before.
    pub fn part(&mut self, part: &RecordsPart) -> Result<(), AuditError> {
        part.check()?;
        for (block, certificate) in part.blocks() {
            let height = block.header.height;
            // The block at the end of one part may be the first of the next.
            if block.header.tree_size <= self.records {
                continue;
            }
            self.pass_empty_blocks()?;
            let decided = self.waiting.pop_front();
            let decided = decided.filter(|decided| decided.header == block.header);
            let decided = decided.ok_or(AuditError::Block(height))?;
            if decided.certificate != *certificate {
                let checked = certificate.verify(&block.header, self.validators_of(height));
                checked.map_err(|error| AuditError::Undecided { height, error })?;
            }
            self.signatures(block)?;
            let followed = self.index.follow(block);
            followed.map_err(|error| AuditError::Index { height, error })?;
            self.records = block.header.tree_size;
        }
        Ok(())
    }

    /// Headers without records: their index is checked all the same.
    fn pass_empty_blocks(&mut self) -> Result<(), AuditError> {
        while let Some(empty) = self.waiting.pop_front_if(|next| next.header.records == 0) {
            let header = &empty.header;
            let height = header.height;
            if header.tree_size != self.records {
                return Err(AuditError::Block(height));
            }
            let checked = self.index.check(header);
            checked.map_err(|error| AuditError::Index { height, error })?;
            self.index.add(height, []);
        }
        Ok(())
    }

    fn signatures(&self, block: &birthmark_ledger::Block) -> Result<(), AuditError> {
        let height = block.header.height;
        let validators = self.validators_of(height);
        for (position, transaction) in block.transactions.iter().enumerate() {
            let submitter = validators.get(transaction.submitter());
            let submitter = submitter.ok_or(AuditError::Submitter { height, position })?;
            let signed = transaction.verify(&self.chain, &submitter.vote_key);
            signed.map_err(|error| AuditError::Transaction {
                height,
                position,
                error,
            })?;
        }
        Ok(())
    }

    /// Who decided the block of a height, which lies before the last header.
    fn validators_of(&self, height: Height) -> &ValidatorSet {
        let mut later = self.head.sets.iter().rev();
        let before = later.find(|link| link.header.height < height);
        before.map_or(&self.genesis, |link| &link.validators)
    }

    /// Whether everything up to the newest header was there.
    pub fn finish(mut self) -> Result<IndexFollower, AuditError> {
        self.pass_empty_blocks()?;
        let newest = &self.head.header;
        if self.previous == newest.hash() && self.records == newest.tree_size {
            return Ok(self.index);
        }
        Err(AuditError::Short {
            found: self.height,
            records: self.records,
            expected: newest.height,
        })
    }
}

#[cfg(test)]
mod tests;
