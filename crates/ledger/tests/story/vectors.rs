//! The exact bytes, checked in for other implementers. A test fails if one of them changes.
//!
//! All keys are test keys: vote keys are the 32 bytes `01…01`, `02…02` and so on, checkpoint seeds
//! `65…65`, `66…66`. After a deliberate change of a format:
//! `BIRTHMARK_WRITE_VECTORS=1 cargo nextest run -p birthmark-ledger vectors`.

use birthmark_ledger::*;
use birthmark_protocol::PixelSource;
use birthmark_protocol::one_time::EpochStatement;
use serde_json::{Value, json};

use crate::world::*;

const PATH: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../spec/vectors/ledger.json"
);

fn computed() -> Value {
    let mut world = World::new(4);
    world.commit_records(vec![single("before", START), single("two", START + 3)]);
    let records = vec![
        photo("one"),
        single("three", START + 8),
        edit("cropped", 2, "one file"),
        captured("ours", PixelSource::Sensor, Some(1)),
    ];
    let transaction = world.transaction(records);
    let present = world.tip.validators().clone();
    let mut change = SetChange::propose(
        &present,
        set_of(&members(0..5)),
        Height::new(1),
        Height::new(9),
    );
    for member in &world.members[..3] {
        change
            .sign(world.tip.chain(), &present, &member.vote)
            .unwrap();
    }
    let block = world.build(vec![transaction.clone()], Some(change.clone()));
    world.commit(block.clone());
    let certificate = world.blocks[1].1.clone();
    let submitter = world.members[0].entry.id();
    let receipt = world.receipt(2, 2, vec![]);
    let anchored = world.receipt(2, 5, vec![]);
    let checkpoint = world.cosigned(&block, 0..3);
    let one_time = one_time_vectors();
    json!({
        "about": "Every format of the ledger in bytes, made by the tests of crates/ledger from keys that are test keys. docs/LEDGER.md says how to read them.",
        "genesis": world.genesis,
        "genesis_hash": world.genesis.hash(),
        "validators": hex::encode(present.encode()),
        "validators_hash": present.hash(),
        "verifier_keys": present.validators().iter().map(Validator::verifier_key).collect::<Vec<_>>(),
        "leaf": hex::encode(photo("one").leaf_bytes(&submitter)),
        "leaf_hash": photo("one").leaf_hash(&submitter),
        "transaction": hex::encode(transaction.encode()),
        "transaction_hash": transaction.hash(),
        "set_change": hex::encode(change.encode()),
        "header": hex::encode(block.header.encode()),
        "block_hash": block.hash(),
        "block": hex::encode(block.encode()),
        "frontier_before": hex::encode(world.frontiers[1].encode()),
        "frontier_after": hex::encode(world.frontiers[2].encode()),
        "precommit": hex::encode(certificate.vote(block.header.chain).signed_bytes()),
        "certificate": hex::encode(certificate.encode()),
        "checkpoint": checkpoint.to_string(),
        "tlog_proof": receipt.to_tlog_proof(checkpoint).to_string(),
        "receipt": receipt,
        "anchored_receipt": anchored,
        "one_time": one_time,
        "handed_over_receipt": handed_over_receipt(),
    })
}

/// In another run of the registry: one validator left and two joined before the photo came.
fn handed_over_receipt() -> Receipt {
    let mut world = World::new(4);
    let (present, next) = (world.tip.validators().clone(), members(1..6));
    let (first, last) = (Height::new(1), Height::new(9));
    let mut change = SetChange::propose(&present, set_of(&next), first, last);
    for member in &world.members[..3] {
        change
            .sign(world.tip.chain(), &present, &member.vote)
            .unwrap();
    }
    let block = world.build(vec![], Some(change));
    let link = SetLink {
        header: block.header.clone(),
        certificate: world.certify(&block),
        validators: set_of(&next),
    };
    world.commit(block);
    world.members = next;
    world.commit_records(vec![photo("after")]);
    world.receipt(2, 0, vec![link])
}

/// In a registry of its own: what an authority states, and a photo under a one-time key.
fn one_time_vectors() -> Value {
    let mut world = World::new(4);
    let signed = stated(EpochStatement::Key(epoch_key(7)));
    let signer = &world.members[0].vote;
    let statements = Transaction::of_statements(world.tip.chain(), vec![signed], signer).unwrap();
    let photos = world.transaction(vec![one_time("photo", "key", 7), photo("beside")]);
    let block = world.build(vec![statements.clone(), photos.clone()], None);
    world.commit(block);
    json!({
        "authority_key": hex::encode(VoteKey::from_bytes(&[0x77; 32]).unwrap().public_key().to_compressed()),
        "statements": hex::encode(statements.encode()),
        "photos": hex::encode(photos.encode()),
        "receipt": world.receipt(1, 0, vec![]),
    })
}

#[test]
fn no_byte_of_any_format_has_changed() {
    let computed = computed();
    if std::env::var_os("BIRTHMARK_WRITE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(&computed).unwrap();
        std::fs::write(PATH, text + "\n").unwrap();
    }
    let stored: Value = serde_json::from_str(&std::fs::read_to_string(PATH).unwrap()).unwrap();
    for (name, value) in computed.as_object().unwrap() {
        assert_eq!(stored.get(name), Some(value), "{name}");
    }
    assert_eq!(stored, computed);
}

#[test]
fn the_stored_bytes_read_and_verify() {
    let stored: Value = serde_json::from_str(&std::fs::read_to_string(PATH).unwrap()).unwrap();
    let bytes = |name: &str| hex::decode(stored[name].as_str().unwrap()).unwrap();
    let genesis: Genesis = serde_json::from_value(stored["genesis"].clone()).unwrap();
    let block = Block::parse(&bytes("block")).unwrap();
    let certificate = CommitCertificate::parse(&bytes("certificate")).unwrap();
    assert_eq!(
        certificate.verify(&block.header, &genesis.validators),
        Ok(())
    );
    assert_eq!(
        merkle::leaf_hash(&bytes("leaf")),
        serde_json::from_value(stored["leaf_hash"].clone()).unwrap()
    );
    let frontier = Frontier::parse(&bytes("frontier_after")).unwrap();
    assert_eq!(frontier.root(), block.header.tree_root);
    let receipt = serde_json::from_value::<Receipt>(stored["receipt"].clone()).unwrap();
    assert_eq!(
        verify_receipt(&receipt, &Trusted::genesis(&genesis))
            .unwrap()
            .height,
        Height::new(2)
    );
    let proof = TlogProof::parse(stored["tlog_proof"].as_str().unwrap()).unwrap();
    assert_eq!(proof.verify(&genesis.chain_id, &genesis.validators), Ok(()));
}
