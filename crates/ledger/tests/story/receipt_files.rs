//! Receipts as files: small, read back exactly, and refused with a reason of their own however they
//! were changed.

use birthmark_ledger::receipt::{FIRST_LINE, MAX_RECEIPT_BYTES};
use birthmark_ledger::*;
use birthmark_protocol::PixelSource;
use birthmark_protocol::bytes::DecodeError;

use crate::world::*;

/// Two blocks by so many validators; the receipt of a photo in the second that is anchored to the
/// first.
fn anchored(validators: u8) -> (World, Receipt) {
    let mut world = World::new(validators);
    world.commit_records(vec![photo("before")]);
    world.commit_records(vec![
        captured("ours", PixelSource::Sensor, Some(1)),
        photo("beside"),
    ]);
    let receipt = world.receipt(2, 1, vec![]);
    (world, receipt)
}

#[test]
fn a_file_says_what_it_is_and_reads_back() {
    let (world, receipt) = anchored(4);
    let bytes = receipt.encode();
    assert!(bytes.starts_with(b"Birthmark receipt."));
    let read = Receipt::parse(&bytes).unwrap();
    assert_eq!(read, receipt);
    let verified = verify_receipt(&read, &Trusted::genesis(&world.genesis)).unwrap();
    assert_eq!(verified.not_before, Some(world.blocks[0].0.header.time));
}

/// A registry of ten million records and ten validators, all of whom signed both blocks.
#[test]
fn ten_million_records_and_ten_validators_take_less_than_four_kilobytes() {
    let (_, mut receipt) = anchored(10);
    let size = 10_000_000u64;
    receipt.header.tree_size = size;
    receipt.proof.size = size;
    receipt.proof.index = size - 2;
    // The longest path of such a tree is that of a leaf in its largest subtree.
    receipt.proof.path = vec![digest("step"); 24];
    receipt.header.height = Height::new(20_000);
    let all = |certificate: &mut CommitCertificate| {
        let signature = certificate.signatures[0].signature;
        certificate.signatures = (0..10)
            .map(|validator| SetSignature {
                validator,
                signature,
            })
            .collect();
    };
    all(&mut receipt.certificate);
    let anchor = receipt.anchor.as_mut().unwrap();
    all(&mut anchor.certificate);
    anchor.header.tree_size = size - 1000;
    let length = receipt.encode().len();
    assert!((2500..4096).contains(&length), "{length} bytes");
    println!("{length} bytes");
}

/// The same after two handovers between sets of ten, every one of whose members signed: a handover
/// names only who left and who joined. A set that is named instead of the genesis keeps the receipt
/// as small as it was before the first.
#[test]
fn one_handover_fits_into_four_kilobytes_and_those_before_a_named_set_cost_nothing() {
    let mut world = World::new(10);
    let mut links = vec![];
    for first in [1, 2] {
        let (present, next) = (world.tip.validators().clone(), members(first..first + 10));
        let mut change =
            SetChange::propose(&present, set_of(&next), Height::new(1), Height::new(99));
        for member in &world.members {
            change
                .sign(world.tip.chain(), &present, &member.vote)
                .unwrap();
        }
        let block = world.build(vec![world.transaction(vec![photo("then")])], Some(change));
        world.commit(block.clone());
        links.push(SetLink {
            certificate: certify(&world.members, &block, 0..10),
            header: block.header,
            validators: set_of(&next),
        });
        world.members = next;
    }
    world.commit_records(vec![photo("before")]);
    let last = captured("ours", PixelSource::Sensor, Some(3));
    world.commit_records(vec![last, photo("beside")]);
    let mut receipt = world.receipt(4, 3, links.clone());
    receipt.certificate = certify(&world.members, &world.blocks[3].0, 0..10);
    let anchor = receipt.anchor.as_mut().unwrap();
    anchor.certificate = certify(&world.members, &world.blocks[2].0, 0..10);
    let genesis = Trusted::genesis(&world.genesis);
    let verified = verify_receipt(&receipt, &genesis).unwrap();
    assert_eq!(verified.signers.len(), 10);
    let set = |at: usize| links[at].validators.clone();
    let after_first = genesis.clone().later(Height::new(2), set(0));
    let after_both = genesis.later(Height::new(3), set(1));
    // A path of ten million records has 24 hashes, this one has 3; the numbers of such a registry
    // take three bytes more each.
    let more = 21 * 32 + 24;
    let length = |trusted: &Trusted| {
        let handovers = trusted.needed(receipt.handovers.clone());
        let short = Receipt {
            handovers,
            ..receipt.clone()
        };
        let bytes = short.encode();
        let read = Receipt::parse(&bytes).unwrap();
        assert_eq!(verify_receipt(&read, trusted).unwrap(), verified);
        bytes.len() + more
    };
    let (one, none) = (length(&after_first), length(&after_both));
    println!("{one} bytes with one handover, {none} without");
    assert!((2500..4096).contains(&none), "{none} bytes");
    assert!((none + 900..4096).contains(&one), "{one} bytes");
}

fn refused(bytes: &[u8], trusted: &Trusted) -> Option<String> {
    match Receipt::parse(bytes) {
        Err(error) => Some(error.to_string()),
        Ok(receipt) => verify_receipt(&receipt, trusted)
            .err()
            .map(|error| error.to_string()),
    }
}

#[test]
fn every_way_of_changing_a_file_is_refused_for_a_reason_of_its_own() {
    let (world, good) = anchored(4);
    let trusted = Trusted::genesis(&world.genesis);
    type Change<'a> = (&'a str, &'a dyn Fn(&mut Receipt));
    let anchor = |change: fn(&mut DecidedHeader)| {
        move |receipt: &mut Receipt| change(receipt.anchor.as_mut().unwrap())
    };
    let earlier = anchor(|anchor| anchor.header.time = anchor.header.time.plus_millis(-1));
    let other = anchor(|anchor| anchor.header.height = Height::new(7));
    let changes: [Change<'_>; 13] = [
        ("belongs to another registry (other.example)", &|receipt| {
            receipt.chain_id = "other.example".parse().unwrap();
        }),
        ("belongs to another registry", &|receipt| {
            receipt.header.chain = digest("another genesis");
        }),
        ("the record is not in the tree", &|receipt| {
            receipt.record = photo("forged")
        }),
        ("the record is not in the tree", &|receipt| {
            receipt.submitter = member(9).entry.id();
        }),
        ("the path leads to another root", &|receipt| {
            receipt.proof.path[0] = digest("x")
        }),
        (
            "stands before the block that is said to hold it",
            &|receipt| receipt.proof.index = 0,
        ),
        ("hashes", &|receipt| {
            receipt.proof.path.pop();
        }),
        ("the signature of", &|receipt| {
            receipt.header.time = receipt.header.time.plus_millis(1);
        }),
        ("2 of 4 validators signed; 3 are needed", &|receipt| {
            receipt.certificate.signatures.truncate(2);
        }),
        ("not in ascending order of validators", &|receipt| {
            receipt.certificate.signatures.swap(0, 1);
        }),
        ("carries None", &|receipt| receipt.anchor = None),
        (
            "the block that the record is anchored to: the signature of",
            &earlier,
        ),
        ("carries Some(Height(7))", &other),
    ];
    for (reason, change) in changes {
        let mut bent = good.clone();
        change(&mut bent);
        let said = refused(&bent.encode(), &trusted).unwrap();
        assert!(said.contains(reason), "{reason}: {said}");
    }
    let bytes = good.encode();
    let cut = refused(&bytes[..bytes.len() - 1], &trusted).unwrap();
    assert!(cut.contains("the bytes end inside"), "{cut}");
    let longer = refused(&[&bytes[..], b"x"].concat(), &trusted).unwrap();
    assert!(longer.contains("1 bytes follow the end"), "{longer}");
    let mut version = bytes.clone();
    version[FIRST_LINE.len()] = 2;
    let said = Receipt::parse(&version).unwrap_err();
    assert!(
        matches!(said, ReceiptError::Decode(DecodeError::Version(2))),
        "{said}"
    );
    assert!(matches!(Receipt::parse(b"{}"), Err(ReceiptError::Other)));
    let long = vec![0; MAX_RECEIPT_BYTES + 1];
    assert!(matches!(Receipt::parse(&long), Err(ReceiptError::TooLong)));
}

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % limit
    }
}

fn corrupted(bytes: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bent = bytes.to_vec();
    let at = numbers.below(bent.len());
    match numbers.below(6) {
        0 => bent[at] ^= 1 << numbers.below(8),
        1 => bent[at] = numbers.below(256) as u8,
        2 => bent.truncate(at),
        3 => drop(bent.remove(at)),
        4 => bent.insert(at, numbers.below(256) as u8),
        _ => {
            let from = numbers.below(bent.len());
            let length = 1 + numbers.below(64.min(bent.len() - from));
            let moved: Vec<_> = bent[from..from + length].to_vec();
            for (offset, byte) in moved.into_iter().enumerate() {
                if let Some(place) = bent.get_mut(at + offset) {
                    *place = byte;
                }
            }
        }
    }
    bent
}

#[test]
fn ten_thousand_random_corruptions_are_all_refused() {
    let mut numbers = Numbers(20_261_130);
    let (world, receipt) = anchored(1);
    let beside = world.receipt(2, 2, vec![]);
    // One signature is checked sooner than two: most are tried without an anchor.
    for (receipt, count) in [(beside, 8500), (receipt, 1500)] {
        let trusted = Trusted::genesis(&world.genesis);
        let bytes = receipt.encode();
        assert_eq!(refused(&bytes, &trusted), None);
        let mut tried = 0;
        while tried < count {
            let bent = corrupted(&bytes, &mut numbers);
            if bent != bytes {
                let is_refused = refused(&bent, &trusted).is_some();
                assert!(is_refused, "{tried}: {}", hex::encode(&bent));
                tried += 1;
            }
        }
    }
}
