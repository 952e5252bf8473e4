//! The bytes of the index, checked in for other implementers: `spec/vectors/check_index.py` is a
//! second reading of them.
//!
//! After a deliberate change:
//! `BIRTHMARK_WRITE_VECTORS=1 cargo nextest run -p birthmark-ledger index_vectors`.

use birthmark_ledger::index::{MAX_LISTED, Prefix};
use birthmark_ledger::*;
use birthmark_protocol::Digest;
use serde_json::{Value, json};

use crate::world::*;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec/vectors/index.json");

/// Photos of three digests, one of which is registered again, one often, and keys that differ in
/// their last bits only.
fn digests() -> Vec<(Digest, u64)> {
    let photos = (0..60u64).flat_map(|photo| {
        ["raw", "file", "image-data"].map(|kind| (digest(format!("photo {photo} {kind}")), photo))
    });
    let again = [(digest("photo 3 raw"), 70), (digest("photo 3 raw"), 300)];
    let often = (100..101 + MAX_LISTED as u64).map(|at| (digest("photo 5 file"), at));
    let close = (0..40u8).map(|last| {
        let mut bytes = [0xAB; 32];
        bytes[7] = last;
        (Digest::from_bytes(bytes), 400 + u64::from(last))
    });
    photos.chain(again).chain(often).chain(close).collect()
}

fn computed() -> Value {
    let digests = digests();
    let mut tree = IndexTree::new();
    tree.insert_all(digests.iter().copied());
    let asked = [
        ("photo 3 raw", 0),
        ("photo 5 file", 4),
        ("photo 7 file", 64),
        ("nobody's", 3),
        ("nobody's", 64),
    ];
    let named = asked.map(|(name, width)| (digest(name), width));
    let close = [(digests[digests.len() - 1].0, 60)];
    let case = |(digest, width): &(Digest, u8)| {
        let key = IndexKey::of(digest);
        let prefix = Prefix::of(key, *width);
        json!({
            "asked": digest,
            "prefix": prefix.to_string(),
            "answer": hex::encode(tree.prove(prefix).encode()),
            "positions": tree.positions(key),
        })
    };
    json!({
        "about": "The index of digests, made by the tests of crates/ledger. docs/LEDGER.md says how to read it.",
        "empty_root": IndexTree::new().root(),
        "digests": digests,
        "root": tree.root(),
        "answers": named.iter().chain(&close).map(case).collect::<Vec<_>>(),
    })
}

#[test]
fn no_byte_of_the_index_has_changed() {
    let computed = computed();
    if std::env::var_os("BIRTHMARK_WRITE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(&computed).unwrap();
        std::fs::write(PATH, text + "\n").unwrap();
    }
    let stored: Value = serde_json::from_str(&std::fs::read_to_string(PATH).unwrap()).unwrap();
    assert_eq!(stored, computed);
}
