//! A proposal that names its transactions instead of holding them.
//!
//! Nearly all of them were pushed to every member before, with their evidence, and were judged
//! there. So a proposer sends their names, and who lacks one asks for it: what would be megabytes a
//! second time are 32 bytes a transaction.
//!
//! ```text
//! u16 + header, u16 number of transactions, each: 32 hash, u8 0|1 and then the set change up to the end
//! ```

use birthmark_ledger::block::MAX_TRANSACTIONS;
use birthmark_ledger::{Block, BlockHeader, SetChange, Transaction, TransactionHash};
use birthmark_protocol::Digest;
use birthmark_protocol::bytes::{DecodeError, Reader};

use crate::application::Offer;
use crate::proposal::Proposal;

/// A proposed block by the names of its transactions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BareProposal {
    /// The block's header.
    pub header: BlockHeader,
    /// Its transactions, in order.
    pub transactions: Vec<TransactionHash>,
    /// Its set change.
    pub change: Option<SetChange>,
}

impl BareProposal {
    /// What is sent of a block.
    pub fn of(block: &Block) -> Self {
        Self {
            header: block.header.clone(),
            transactions: block.transactions.iter().map(Transaction::hash).collect(),
            change: block.change.clone(),
        }
    }

    /// The block's hash.
    pub fn block(&self) -> Digest {
        self.header.hash()
    }

    /// The bytes that travel.
    pub fn encode(&self) -> Vec<u8> {
        let header = self.header.encode();
        let mut out = (header.len() as u16).to_be_bytes().to_vec();
        out.extend(header);
        out.extend((self.transactions.len() as u16).to_be_bytes());
        for hash in &self.transactions {
            out.extend(hash.as_bytes());
        }
        out.push(u8::from(self.change.is_some()));
        out.extend(self.change.iter().flat_map(SetChange::encode));
        out
    }

    /// Reads exactly one.
    pub fn parse(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let length = usize::from(u16::from_be_bytes(reader.array("length of a header")?));
        let header = BlockHeader::parse(reader.slice(length, "header")?)?;
        let count = usize::from(u16::from_be_bytes(reader.array("number of transactions")?));
        if count > MAX_TRANSACTIONS {
            return Err(DecodeError::Value("number of transactions"));
        }
        let hashes = (0..count).map(|_| reader.array("transaction hash"));
        let transactions = hashes
            .map(|hash| hash.map(TransactionHash::from_bytes))
            .collect::<Result<_, _>>()?;
        let change = match reader.flag("set change")? {
            true => {
                let rest = reader.slice(reader.remaining(), "set change")?;
                let change = SetChange::parse(rest);
                Some(change.map_err(|_| DecodeError::Value("set change"))?)
            }
            false => None,
        };
        reader.end()?;
        Ok(Self {
            header,
            transactions,
            change,
        })
    }

    /// The whole proposal, from all of its transactions in order.
    pub fn with(self, offers: Vec<Offer>) -> Proposal {
        let (transactions, evidence) = offers
            .into_iter()
            .map(|offer| (offer.transaction, offer.evidence))
            .unzip();
        let Self { header, change, .. } = self;
        Proposal {
            block: Block {
                header,
                transactions,
                change,
            },
            evidence,
        }
    }
}
