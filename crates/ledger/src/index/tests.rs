use proptest::prelude::*;

use super::*;

fn digest(number: u64) -> Digest {
    Digest::of(&number.to_be_bytes())
}

/// A digest with this key.
fn with_key(key: u64, rest: u8) -> Digest {
    let mut bytes = [rest; 32];
    bytes[..8].copy_from_slice(&key.to_be_bytes());
    Digest::from_bytes(bytes)
}

fn tree(digests: &[(Digest, u64)]) -> IndexTree {
    let mut tree = IndexTree::new();
    tree.insert_all(digests.iter().copied());
    tree
}

/// `photos` records of three digests each.
fn registry(photos: u64) -> Vec<(Digest, u64)> {
    (0..photos * 3)
        .map(|number| (digest(number), number / 3))
        .collect()
}

fn index_of(tree: &IndexTree) -> IndexRoot {
    IndexRoot {
        height: Height::new(7),
        root: tree.root(),
    }
}

fn ask(tree: &IndexTree, prefix: Prefix) -> Range {
    let bytes = tree.answer(prefix);
    assert_eq!(bytes, tree.prove(prefix).encode());
    let proof = RangeProof::parse(&bytes).unwrap();
    proof.verify(prefix, &index_of(tree)).unwrap()
}

#[test]
fn the_empty_index_proves_that_nothing_is_registered() {
    let tree = IndexTree::new();
    assert_eq!(tree.root(), IndexRoot::genesis().root);
    for width in [0, 1, 13, 64] {
        let range = ask(&tree, Prefix::of(IndexKey::of(&digest(1)), width));
        assert_eq!(range.find(&digest(1)), Ok(None));
        assert_eq!(
            (range.prefix(), range.entries()),
            (Prefix::ALL, [].as_slice())
        );
    }
}

#[test]
fn every_digest_is_found_and_every_neighbour_is_absent_at_every_width() {
    let digests = registry(250);
    let tree = tree(&digests);
    for (digest, position) in &digests {
        let key = IndexKey::of(digest);
        assert_eq!(tree.positions(key), [*position]);
        for width in [6, 12, 64] {
            let range = ask(&tree, Prefix::of(key, width));
            assert!(range.find(digest).unwrap().unwrap().are(&[*position]));
            assert_eq!(range.as_of(), Height::new(7));
        }
        for near in [key.number().wrapping_add(1), key.number().wrapping_sub(1)] {
            let range = ask(&tree, Prefix::of(IndexKey::from_number(near), 9));
            assert_eq!(range.find(&with_key(near, 0)), Ok(None));
        }
    }
}

#[test]
fn the_ranges_of_one_width_hold_all_of_the_index_between_them() {
    let digests = registry(500);
    let tree = tree(&digests);
    for width in [0, 1, 4] {
        let ranges = Prefix::all_of(width).map(|prefix| ask(&tree, prefix).entries().len());
        assert_eq!(ranges.sum::<usize>(), digests.len());
    }
}

#[test]
fn every_record_of_a_digest_is_named() {
    let mut digests = registry(40);
    let often: Vec<u64> = (100..100 + MAX_LISTED as u64 + 1).collect();
    digests.extend([5, 9, 70].map(|position| (with_key(1 << 60, 1), position)));
    // A made-up digest that begins like it: one more record to read.
    digests.push((with_key(1 << 60, 2), 71));
    digests.extend(
        often
            .iter()
            .map(|position| (with_key(3 << 60, 1), *position)),
    );
    let tree = tree(&digests);
    let all = ask(&tree, Prefix::ALL);
    let few = all.find(&with_key(1 << 60, 1)).unwrap().unwrap();
    assert_eq!(*few, Positions::Listed(vec![5, 9, 70, 71]));
    assert!(few.are(&[5, 9, 70, 71]) && !few.are(&[5, 9, 70]) && !few.are(&[9, 5, 70, 71]));
    let many = all.find(&with_key(3 << 60, 1)).unwrap().unwrap();
    assert_eq!(many.count(), often.len() as u64);
    assert!(many.are(&often) && !many.are(&often[1..]));
    assert!(matches!(many, Positions::Hashed { .. }));
    assert_eq!(tree.positions(IndexKey::from_number(3 << 60)), often);
}

#[test]
fn keys_that_agree_to_the_last_bit_but_one_still_have_their_places() {
    let digests: Vec<_> = (0..64).map(|key| (with_key(key, 0), key)).collect();
    let tree = tree(&digests);
    for (digest, position) in &digests {
        let range = ask(&tree, Prefix::of(IndexKey::of(digest), 64));
        assert!(range.find(digest).unwrap().unwrap().are(&[*position]));
    }
}

#[test]
fn a_hidden_key_and_a_hidden_record_lead_to_another_root() {
    let mut digests = registry(200);
    digests.push((digests[10].0, 4000));
    let honest = tree(&digests);
    for hidden in 0..digests.len() {
        let mut rest = digests.clone();
        rest.remove(hidden);
        let prefix = Prefix::of(IndexKey::of(&digests[hidden].0), 3);
        let lie = tree(&rest).prove(prefix);
        assert_eq!(
            lie.verify(prefix, &index_of(&honest)),
            Err(RangeError::Root)
        );
    }
    let asked = Prefix::of(IndexKey::from_number(0), 3);
    let other = Prefix::of(IndexKey::from_number(u64::MAX), 3);
    assert!(matches!(
        honest.prove(other).verify(asked, &index_of(&honest)),
        Err(RangeError::OtherRange { .. })
    ));
    let range = ask(&honest, asked);
    let outside = range.find(&with_key(u64::MAX, 0));
    assert!(matches!(outside, Err(RangeError::OtherRange { .. })));
}

#[test]
fn no_corruption_of_any_answer_is_believed() {
    let mut digests = registry(400);
    digests.extend((0..20).map(|position| (with_key(77, 0), position)));
    let tree = tree(&digests);
    let index = index_of(&tree);
    let mut refused = 0;
    let mut state = 1u64;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    for width in [0, 2, 4, 6, 64] {
        let prefix = Prefix::of(IndexKey::from_number(77), width);
        let honest = tree.prove(prefix).encode();
        for _ in 0..2000 {
            let mut bytes = honest.clone();
            match random() % 4 {
                0 => bytes.truncate(random() % honest.len()),
                1 => bytes.push(random() as u8),
                2 => drop(bytes.remove(random() % honest.len())),
                _ => {
                    let at = random() % honest.len();
                    bytes[at] ^= 1 << (random() % 8);
                }
            }
            if bytes == honest {
                continue;
            }
            let proof = RangeProof::parse(&bytes);
            assert!(
                proof
                    .and_then(|proof| proof.verify(prefix, &index))
                    .is_err()
            );
            refused += 1;
        }
    }
    assert!(refused > 9_900, "{refused}");
}

#[test]
fn every_way_to_be_malformed_has_its_own_reason() {
    let parse = |bytes: &[u8]| RangeProof::parse(bytes).unwrap_err();
    assert_eq!(parse(&[2]), RangeError::Decode(DecodeError::Version(2)));
    assert_eq!(parse(&[1, 65]), RangeError::Width(65));
    assert_eq!(parse(&[1, 3, 0b0001_0000]), RangeError::PrefixBits);
    let too_deep = RangeError::TooDeep {
        siblings: 4,
        width: 3,
    };
    assert_eq!(parse(&[1, 3, 0b0010_0000, 4]), too_deep);
    assert_eq!(parse(&[1, 0, 0, 33]), RangeError::Kind(33));
    assert_eq!(parse(&[1, 0, 0, 255, 0, 0]), RangeError::NotJoined(0));
    let trailing = RangeError::Decode(DecodeError::Trailing(1));
    assert_eq!(parse(&[1, 0, 0, 0, 0]), trailing);
    let one = |last: u8| [[0; 7].as_slice(), &[last, 0]].concat();
    let bucket = |keys: &[u8]| {
        let keys: Vec<_> = keys.iter().flat_map(|key| one(*key)).collect();
        [&[1, 0, 0, 2], keys.as_slice()].concat()
    };
    assert!(RangeProof::parse(&bucket(&[1, 2])).is_ok());
    assert_eq!(parse(&bucket(&[1, 1])), RangeError::Order);
    assert_eq!(parse(&bucket(&[2, 1])), RangeError::Order);
    let misplaced = [&[1, 1, 0x80, 1], [0; 32].as_slice(), &[1], &one(5)].concat();
    assert!(matches!(
        parse(&misplaced),
        RangeError::Misplaced { key: 5, .. }
    ));
    let deep = [&[1, 64], [0; 8].as_slice(), &[64], &[0; 64 * 32], &[255]].concat();
    assert_eq!(parse(&deep), RangeError::Depth);
    // A node that is shown although the way down should go on.
    let tree = tree(&registry(100));
    let mut stops = tree.prove(Prefix::ALL).encode();
    stops.splice(1..2, [1, 0]);
    assert_eq!(parse(&stops), RangeError::Stops(1));
    let count = [&[1, 0, 0, 1], [0; 8].as_slice(), &[1 << 1 | 1, 0]].concat();
    let few = DecodeError::Value("number of positions");
    assert_eq!(parse(&count), RangeError::Decode(few));
}

#[test]
fn a_snapshot_stays_as_it_was() {
    let mut tree = tree(&registry(300));
    let (before, root) = (tree.clone(), tree.root());
    tree.insert_all((0..500).map(|number| (digest(10_000 + number), 1000 + number)));
    assert_ne!(tree.root(), root);
    assert_eq!(before.root(), root);
    assert_eq!(ask(&before, Prefix::ALL).entries().len(), 900);
}

#[test]
fn a_range_that_hides_follows_from_the_size_of_the_registry() {
    let key = IndexKey::of(&digest(1));
    let width = |records| Prefix::hiding(key, records, 1000).width();
    assert_eq!(
        [0, 1, 1999, 2000, 3999, 4000].map(width),
        [0, 0, 0, 1, 1, 2]
    );
    assert_eq!([1_000_000, 10_000_000, 100_000_000].map(width), [9, 13, 16]);
    assert_eq!(Prefix::hiding(key, 7, 0), Prefix::ALL);
}

#[test]
fn a_prefix_is_written_in_bits() {
    let key = IndexKey::from_number(0b1011 << 60);
    for (width, text) in [(0, "all"), (1, "1"), (4, "1011"), (6, "101100")] {
        let prefix = Prefix::of(key, width);
        assert_eq!(prefix.to_string(), text);
        assert_eq!(text.parse(), Ok(prefix));
    }
    assert!(Prefix::of(key, 2).covers(Prefix::of(key, 4)));
    assert!(!Prefix::of(key, 4).covers(Prefix::of(key, 2)));
    let long = "0".repeat(65);
    for wrong in ["", "2", "1 ", "ALL", &long] {
        assert_eq!(wrong.parse::<Prefix>(), Err(PrefixError));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_root_does_not_depend_on_the_order(
        keys in proptest::collection::vec((0u64..4000, 0u64..50), 0..400),
        cuts in proptest::collection::vec(0usize..400, 0..6),
        spread: bool,
    ) {
        // Dense keys meet deep in the tree, hashed ones near its root.
        let pair = |(key, position): &(u64, u64)| {
            (if spread { digest(*key) } else { with_key(*key, 0) }, *position)
        };
        let digests: Vec<_> = keys.iter().map(pair).collect();
        let at_once = tree(&digests);
        let mut one_by_one = IndexTree::new();
        for digest in digests.iter().rev() {
            one_by_one.insert_all([*digest]);
        }
        let mut in_parts = IndexTree::new();
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(digests.len())).collect();
        cuts.extend([0, digests.len()]);
        cuts.sort_unstable();
        for part in cuts.windows(2) {
            in_parts.insert_all(digests[part[0]..part[1]].iter().copied());
        }
        prop_assert_eq!(at_once.root(), one_by_one.root());
        prop_assert_eq!(at_once.root(), in_parts.root());
        let range = ask(&at_once, Prefix::ALL);
        let distinct: std::collections::BTreeSet<_> = digests.iter().map(|(digest, _)| IndexKey::of(digest)).collect();
        prop_assert_eq!(range.entries().len(), distinct.len());
    }

    #[test]
    fn what_is_read_is_what_would_be_written(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(proof) = RangeProof::parse(&bytes) {
            prop_assert_eq!(proof.encode(), bytes);
        }
    }

    #[test]
    fn positions_read_back(positions in proptest::collection::btree_set(0u64..1 << 60, 1..24)) {
        let positions: Vec<_> = positions.into_iter().collect();
        let all = Positions::of(&positions);
        let mut out = Vec::new();
        all.put(&mut out);
        let mut reader = Reader::new(&out);
        prop_assert_eq!(Positions::take(&mut reader), Ok(all));
        prop_assert_eq!(reader.end(), Ok(()));
    }
}
