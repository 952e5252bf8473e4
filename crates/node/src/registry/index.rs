//! What is stored beside a block: everything here can be computed again from the blocks alone.

use birthmark_ledger::{Block, CommitCertificate, Frontier};

use crate::store::{NewBlock, STORED_LEVEL};

/// The block's index, and the subtrees it completes on top of the tree before it.
pub fn index_of(block: &Block, certificate: &CommitCertificate, before: &Frontier) -> NewBlock {
    let header = &block.header;
    let mut frontier = before.clone();
    let mut new = NewBlock {
        height: header.height.get(),
        first_leaf: header.first_index(),
        leaves: u64::from(header.records),
        time_ms: header.time.millis(),
        body: block.encode(),
        certificate: certificate.encode(),
        hands_over: block.change.is_some(),
        states: block
            .transactions
            .iter()
            .any(|one| !one.statements().is_empty()),
        ..NewBlock::default()
    };
    let mut first = header.first_index();
    for transaction in &block.transactions {
        let records = transaction.records().len() as u64;
        new.transactions.push((transaction.hash(), first, records));
        first += records;
    }
    for (leaf, transaction, record) in block.records() {
        new.images
            .extend(record.images().iter().map(|image| (image.digest, leaf)));
        new.one_time_keys
            .extend(record.spent().map(|spent| (spent.name, leaf)));
        new.edits
            .extend(record.edited_from().map(|original| (original, leaf)));
        frontier.append_with(record.leaf_hash(transaction.submitter()), |node, hash| {
            if node.level >= STORED_LEVEL {
                new.nodes.push((node, hash));
            }
        });
    }
    new.frontier = frontier.encode();
    new
}
