//! Every encoding reads back, has one form only, and never makes its reader fall over.

use birthmark_ledger::note::SignedNote;
use birthmark_ledger::receipt::FIRST_LINE;
use birthmark_ledger::*;
use birthmark_protocol::bundle::MAX_ANCHOR;
use birthmark_protocol::{
    Bundle, Capture, DigestRole, ImageClaim, ModificationLevel, PixelSource, Timestamp,
};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::world::*;

fn any_origin() -> impl Strategy<Value = Origin> {
    let source = prop_oneof![
        Just(Source::CameraToken),
        Just(Source::CameraCertificate),
        Just(Source::CameraAttested),
        Just(Source::Software),
        Just(Source::Server),
        Just(Source::CameraOneTime),
    ];
    let parts = (source, "[A-Z]{0,3}", "[a-zü ]{0,3}", any::<bool>());
    parts.prop_map(|(source, authority, family, made_up_fingerprint)| Origin {
        source,
        authority: authority.parse().unwrap(),
        family: family.parse().unwrap(),
        made_up_fingerprint,
    })
}

prop_compose! {
    fn any_record()(
        digests in proptest::collection::hash_set(any::<[u8; 32]>(), 2..=9),
        roles in proptest::collection::vec(0u8..4, 9),
        levels in proptest::collection::vec(0u8..3, 9),
        parents in proptest::collection::vec(any::<Index>(), 9),
        time in prop_oneof![any::<i64>(), START - 1000..START],
        root: Option<[u8; 32]>,
        pixels in 0u8..4,
        software: Option<[u8; 32]>,
        anchor in proptest::option::of(prop_oneof![0u64..9, 0..=MAX_ANCHOR]),
        origin in any_origin(),
        is_edit: bool,
    ) -> Record {
        let digests: Vec<_> = digests.into_iter().map(birthmark_protocol::Digest::from_bytes).collect();
        let (original, digests) = digests.split_first().unwrap();
        let edited = origin.source == Source::Software || (origin.source == Source::Server && is_edit);
        let mut levels = levels;
        levels.sort_unstable();
        let images = digests.iter().enumerate().map(|(position, digest)| ImageClaim {
            digest: *digest,
            role: DigestRole::from_byte(roles[position]).unwrap(),
            level: ModificationLevel::try_from(i64::from(levels[position].max(u8::from(edited)))).unwrap(),
            parent: (position > 0).then(|| digests[parents[position].index(position)]),
        });
        let (images, time, root) = (images.collect(), Timestamp::from_unix(time), root.map(Into::into));
        let bundle = match PixelSource::from_byte(pixels).filter(|_| origin.source.is_camera()) {
            None => Bundle::new(images, time, root),
            Some(source) => Bundle::captured(images, time, Capture {
                source,
                software: software.map(Into::into),
                anchor,
                disclosure: root,
            }),
        };
        let bundle = bundle.unwrap();
        if origin.source == Source::CameraOneTime {
            // Few different epochs, so that makers are shared.
            let epoch = u32::from(roles[8]);
            let spent = SpentKey { epoch, name: *original };
            Record::one_time(bundle, origin, spent).unwrap()
        } else {
            Record::with_original(bundle, edited.then_some(*original), origin).unwrap()
        }
    }
}

/// Whether a reader takes these bytes.
type Reads = fn(&[u8]) -> bool;

fn transaction_of(records: Vec<Record>) -> Transaction {
    Transaction::sign(&digest("chain"), records, &member(0).vote).unwrap()
}

/// A block with a bit of everything.
fn block() -> Block {
    let world = World::new(4);
    let mut change = SetChange::propose(
        world.tip.validators(),
        set_of(&members(0..5)),
        Height::new(1),
        Height::new(9),
    );
    change
        .sign(
            world.tip.chain(),
            world.tip.validators(),
            &world.members[1].vote,
        )
        .unwrap();
    let records = vec![
        photo("one"),
        single("two", -5),
        edit("three", 2, "one file"),
    ];
    world.build(vec![world.transaction(records)], Some(change))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_transaction_reads_back(records in proptest::collection::vec(any_record(), 1..40)) {
        let transaction = transaction_of(records);
        let bytes = transaction.encode();
        prop_assert_eq!(Transaction::parse(&bytes).unwrap(), transaction);
    }

    #[test]
    fn every_leaf_reads_back(record in any_record(), submitter: [u8; 32]) {
        let submitter = ValidatorId::from_bytes(submitter);
        let bytes = record.leaf_bytes(&submitter);
        prop_assert_eq!(Record::parse_leaf(&bytes).unwrap(), (record, submitter));
    }

    #[test]
    fn a_changed_byte_reads_as_itself_or_not_at_all(at: Index, to: u8) {
        let mut bytes = block().encode();
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(read) = Block::parse(&bytes) {
            prop_assert_eq!(read.encode(), bytes);
        }
    }

    #[test]
    fn cut_or_extended_bytes_do_not_read(cut: Index, more in proptest::collection::vec(any::<u8>(), 1..5)) {
        let block = block();
        let certificate = certify(&members(0..4), &block, 0..3);
        let record = photo("one").leaf_bytes(&member(0).entry.id());
        let readers: [(Vec<u8>, Reads); 7] = [
            (block.encode(), |bytes| Block::parse(bytes).is_ok()),
            (block.header.encode(), |bytes| BlockHeader::parse(bytes).is_ok()),
            (block.transactions[0].encode(), |bytes| Transaction::parse(bytes).is_ok()),
            (block.change.as_ref().unwrap().encode(), |bytes| SetChange::parse(bytes).is_ok()),
            (certificate.encode(), |bytes| CommitCertificate::parse(bytes).is_ok()),
            (set_of(&members(0..4)).encode(), |bytes| ValidatorSet::parse(bytes).is_ok()),
            (record, |bytes| Record::parse_leaf(bytes).is_ok()),
        ];
        for (bytes, reads) in readers {
            prop_assert!(reads(&bytes));
            prop_assert!(!reads(&bytes[..cut.index(bytes.len())]));
            prop_assert!(!reads(&[bytes.as_slice(), &more].concat()));
        }
    }

    #[test]
    fn no_bytes_make_a_reader_fall_over(bytes in proptest::collection::vec(any::<u8>(), 0..400), version in 0u8..3) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() { *first = version }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let _ = Block::parse(&bytes);
        let _ = Record::parse_leaf(&bytes);
        let _ = Frontier::parse(&bytes);
        let _ = SignedNote::parse(&text);
        let _ = SignedCheckpoint::parse(&text);
        let _ = TlogProof::parse(&text);
        if let Ok(read) = Receipt::parse(&[FIRST_LINE, &bytes].concat()) {
            prop_assert_eq!(read.encode(), [FIRST_LINE, &bytes].concat())
        }
        if let Ok(read) = Transaction::parse(&bytes) { prop_assert_eq!(read.encode(), bytes.clone()) }
        if let Ok(read) = CommitCertificate::parse(&bytes) { prop_assert_eq!(read.encode(), bytes.clone()) }
        if let Ok(read) = ValidatorSet::parse(&bytes) { prop_assert_eq!(read.encode(), bytes) }
    }

    #[test]
    fn every_receipt_reads_back_from_its_bytes(record in any_record()) {
        let mut receipt = receipt();
        receipt.record = record;
        prop_assert_eq!(Receipt::parse(&receipt.encode()).unwrap(), receipt);
    }
}

fn receipt() -> Receipt {
    let mut world = World::new(1);
    world.commit_records(vec![photo("one")]);
    world.receipt(1, 0, vec![])
}

#[test]
fn only_a_camera_states_where_its_pixels_came_from() {
    let bundle = captured("one", PixelSource::Sensor, None).bundle().clone();
    let server = Record::new(bundle, origin(Source::Server));
    assert_eq!(server, Err(RecordError::NoCamera));
}

#[test]
fn a_header_has_always_the_same_length() {
    let header = block().header;
    assert_eq!(
        header.encode().len(),
        birthmark_ledger::header::HEADER_BYTES
    );
    assert_eq!(BlockHeader::parse(&header.encode()).unwrap(), header);
}

#[test]
fn a_high_s_is_refused_wherever_a_signature_is_read() {
    let bytes = transaction_of(vec![photo("one")]).encode();
    let (body, signature) = bytes.split_last_chunk::<64>().unwrap();
    let order =
        hex::decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").unwrap();
    let mut high = [0; 32];
    let mut borrow = 0i32;
    for at in (0..32).rev() {
        let difference = i32::from(order[at]) - i32::from(signature[32 + at]) - borrow;
        borrow = i32::from(difference < 0);
        high[at] = difference.rem_euclid(256) as u8;
    }
    let malleated = [body, &signature[..32], &high].concat();
    let error = Transaction::parse(&malleated).unwrap_err().to_string();
    assert_eq!(
        error,
        "not a transaction: high s of a signature has a value that is not allowed"
    );
}

#[test]
fn a_packed_transaction_has_one_form() {
    let bytes = transaction_of(vec![single("a", START), single("b", START)]).encode();
    // Byte 33 counts the makers; the only one is "EXAMPLE_MAKER" and "Raspberry Pi", and states no
    // source.
    let maker = &bytes[34..34 + 1 + 1 + 13 + 1 + 12 + 2];
    let (before, after) = (&bytes[..33], &bytes[34 + maker.len()..]);
    let unused = [before, &[2], maker, b"\x00\x01X\x01Y\x00\x00", after].concat();
    let error = Transaction::parse(&unused).unwrap_err().to_string();
    assert!(error.contains("a maker that no record uses"), "{error}");
    let none = [before, &[0], after].concat();
    assert!(
        Transaction::parse(&none)
            .unwrap_err()
            .to_string()
            .contains("number of makers")
    );
}

#[test]
fn more_than_a_thousand_records_are_no_transaction() {
    let records: Vec<_> = (0..1001).map(|n| single(&format!("{n}"), START)).collect();
    let refused = Transaction::sign(&digest("chain"), records, &member(0).vote);
    assert_eq!(refused, Err(TransactionError::Count(1001)));
    let none = Transaction::sign(&digest("chain"), vec![], &member(0).vote);
    assert_eq!(none, Err(TransactionError::Count(0)));
}

#[test]
fn a_block_that_is_too_long_is_not_looked_into() {
    let error = Block::parse(&vec![0; (1 << 20) + 1]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a block has at most 1048576 bytes, not 1048577"
    );
}

#[test]
fn nothing_in_a_record_can_name_a_camera() {
    let record = photo("one");
    let (origin, submitter) = (record.origin(), member(0).entry.id());
    // Version, submitter, source, two texts, whether the fingerprint is made up, no original, the
    // bundle: nothing else.
    let texts = 1 + origin.authority.as_str().len() + 1 + origin.family.as_str().len();
    let expected = 1 + 32 + 1 + texts + 1 + 1 + record.bundle().encode().len();
    assert_eq!(record.leaf_bytes(&submitter).len(), expected);
}
