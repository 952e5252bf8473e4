//! The parsers of `birthmark-ledger`.

use std::sync::LazyLock;

use birthmark_ledger::index::RangeProof;
use birthmark_ledger::{
    Block, BlockHeader, CommitCertificate, Frontier, Genesis, Outline, Receipt, Record, SetChange,
    SignedCheckpoint, SignedNote, TlogProof, Transaction, Trusted, ValidatorSet, verify_receipt,
};

/// Blocks and headers are written back byte for byte.
pub fn block(input: &[u8]) {
    if let Ok(block) = Block::parse(input) {
        assert_eq!(block.encode(), input);
        let _ = (block.lookups(), block.leaf_hashes());
    }
    if let Ok(outline) = Outline::parse(input.to_vec()) {
        // What its outline holds can be read or is refused, wherever it stands.
        let last = outline.header().tree_size;
        for leaf in outline.header().first_index()..last {
            let _ = outline.record(leaf);
        }
        let _ = outline.digests();
    }
    if let Ok(header) = BlockHeader::parse(input) {
        assert_eq!(header.encode(), input);
    }
}

/// Transactions and the leaves of the tree are written back byte for byte.
pub fn transaction(input: &[u8]) {
    if let Ok(transaction) = Transaction::parse(input) {
        assert_eq!(transaction.encode(), input);
    }
    if let Ok((record, submitter)) = Record::parse_leaf(input) {
        assert_eq!(record.leaf_bytes(&submitter), input);
    }
}

/// Answers of the index are written back byte for byte, and only those of the vectors lead to their
/// root.
pub fn index(input: &[u8]) {
    let Ok(proof) = RangeProof::parse(input) else {
        return;
    };
    assert_eq!(proof.encode(), input);
    if proof.root() == INDEX.root {
        let known = |answer: &IndexAnswer| answer.answer == hex::encode(input);
        let prefix = proof.prefix().to_string();
        // Every other range of this index is an honest answer, too: of those in the vectors there
        // is one each.
        let mut same = INDEX.answers.iter().filter(|one| one.prefix == prefix);
        assert!(same.all(known));
    }
}

#[derive(serde::Deserialize)]
struct IndexVectors {
    root: birthmark_protocol::Digest,
    answers: Vec<IndexAnswer>,
}

#[derive(serde::Deserialize)]
struct IndexAnswer {
    prefix: String,
    answer: String,
}

static INDEX: LazyLock<IndexVectors> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../spec/vectors/index.json"))
        .expect("the index's vectors")
});

/// Sets of validators, their changes, what they signed and the edge of their tree.
pub fn validators(input: &[u8]) {
    if let Ok(set) = ValidatorSet::parse(input) {
        assert_eq!(set.encode(), input);
    }
    if let Ok(change) = SetChange::parse(input) {
        assert_eq!(change.encode(), input);
    }
    if let Ok(certificate) = CommitCertificate::parse(input) {
        assert_eq!(certificate.encode(), input);
    }
    if let Ok(frontier) = Frontier::parse(input) {
        assert_eq!(frontier.encode(), input);
    }
}

/// Receipts, and genesis files in JSON. Under the genesis of the vectors nothing verifies but their
/// own records.
pub fn receipt(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input)
        && let Ok(genesis) = Genesis::from_json(text)
    {
        let _ = genesis.hash();
    }
    let Ok(receipt) = Receipt::parse(input) else {
        return;
    };
    assert_eq!(receipt.encode(), input);
    if verify_receipt(&receipt, &Trusted::genesis(&VECTORS.genesis)).is_ok() {
        let known = [&VECTORS.receipt, &VECTORS.handed_over_receipt];
        assert!(known.iter().any(|one| one.record == receipt.record));
    }
}

#[derive(serde::Deserialize)]
struct Vectors {
    genesis: Genesis,
    receipt: Receipt,
    handed_over_receipt: Receipt,
}

static VECTORS: LazyLock<Vectors> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../spec/vectors/ledger.json"))
        .expect("the ledger's vectors")
});

/// The texts that witnesses and mirrors of transparency logs exchange.
pub fn notes(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if let Ok(note) = SignedNote::parse(text) {
        assert_eq!(note.to_string(), text);
    }
    if let Ok(checkpoint) = SignedCheckpoint::parse(text) {
        assert_eq!(checkpoint.to_string(), text);
    }
    if let Ok(proof) = TlogProof::parse(text) {
        assert_eq!(proof.to_string(), text);
    }
}
