use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// The leaves and roots every RFC 6962 implementation tests with.
const LEAVES: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn leaf(position: u64) -> Digest {
    leaf_hash(&position.to_be_bytes())
}

/// Every complete subtree of a tree of `size` numbered leaves, and its frontier.
fn grown(size: u64) -> (Frontier, BTreeMap<Node, Digest>) {
    let (mut frontier, mut nodes) = (Frontier::new(), BTreeMap::new());
    for position in 0..size {
        frontier.append_with(leaf(position), |node, hash| {
            nodes.insert(node, hash);
        });
    }
    (frontier, nodes)
}

/// The root as RFC 6962 §2.1 defines it, by recursion.
fn defined_root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
            node_hash(&defined_root(left), &defined_root(right))
        }
    }
}

#[test]
fn the_published_roots_come_out() {
    let leaves = LEAVES.map(|text| leaf_hash(&hex::decode(text).unwrap()));
    for (size, expected) in ROOTS.iter().enumerate() {
        assert_eq!(
            root(leaves[..size].iter().copied()).to_hex(),
            *expected,
            "size {size}"
        );
    }
}

#[test]
fn the_published_paths_come_out() {
    let mut frontier = Frontier::new();
    let mut nodes = BTreeMap::new();
    for text in LEAVES {
        frontier.append_with(leaf_hash(&hex::decode(text).unwrap()), |node, hash| {
            nodes.insert(node, hash);
        });
    }
    let path = |plan: Result<ProofPlan, _>| -> Vec<String> {
        let path = plan
            .unwrap()
            .assemble(|node| nodes.get(&node).copied())
            .unwrap();
        path.iter().map(Digest::to_hex).collect()
    };
    assert_eq!(
        path(ProofPlan::inclusion(0, 8)),
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ]
    );
    assert_eq!(
        path(ProofPlan::inclusion(5, 8)),
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]
    );
    assert_eq!(
        path(ProofPlan::inclusion(2, 3)),
        ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]
    );
    assert_eq!(
        path(ProofPlan::consistency(6, 8)),
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]
    );
    assert_eq!(
        path(ProofPlan::consistency(2, 5)),
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ]
    );
}

#[test]
fn every_leaf_of_every_small_tree_is_provable_and_nothing_else_is() {
    for size in 1..=40 {
        let (frontier, nodes) = grown(size);
        for index in 0..size {
            let path = ProofPlan::inclusion(index, size)
                .unwrap()
                .assemble(|node| nodes.get(&node).copied());
            let proof = InclusionProof {
                index,
                size,
                path: path.unwrap(),
            };
            assert_eq!(proof.verify(&leaf(index), &frontier.root()), Ok(()));
            assert_eq!(
                proof.verify(&leaf(index + 1), &frontier.root()),
                Err(MerkleError::Root)
            );
            let moved = InclusionProof {
                index: (index + 1) % size,
                ..proof.clone()
            };
            assert!(size == 1 || moved.verify(&leaf(index), &frontier.root()).is_err());
            let mut longer = proof.clone();
            longer.path.push(leaf(index));
            assert!(matches!(
                longer.verify(&leaf(index), &frontier.root()),
                Err(MerkleError::Length { .. })
            ));
        }
        let outside = InclusionProof {
            index: size,
            size,
            path: vec![],
        };
        assert_eq!(
            outside.verify(&leaf(size), &frontier.root()),
            Err(MerkleError::Index { index: size, size })
        );
    }
}

#[test]
fn every_small_tree_is_consistent_with_its_past_and_no_other() {
    let roots: Vec<_> = (0..=40).map(|size| grown(size).0.root()).collect();
    for new in 0..=40u64 {
        let (_, nodes) = grown(new);
        for old in 0..=new {
            let path = ProofPlan::consistency(old, new)
                .unwrap()
                .assemble(|node| nodes.get(&node).copied());
            let proof = ConsistencyProof {
                old,
                new,
                path: path.unwrap(),
            };
            let (old_root, new_root) = (&roots[old as usize], &roots[new as usize]);
            assert_eq!(proof.verify(old_root, new_root), Ok(()), "{old} to {new}");
            assert_eq!(proof.verify(&leaf(99), new_root), Err(MerkleError::Root));
            assert!(old == 0 || proof.verify(old_root, &leaf(99)) == Err(MerkleError::Root));
        }
    }
    assert_eq!(
        ProofPlan::consistency(2, 1),
        Err(MerkleError::Sizes { old: 2, new: 1 })
    );
}

#[test]
fn proofs_at_the_end_of_u64_do_not_overflow() {
    let proof = InclusionProof {
        index: u64::MAX - 1,
        size: u64::MAX,
        path: vec![leaf(0); 64],
    };
    assert!(proof.verify(&leaf(0), &leaf(1)).is_err());
    let proof = ConsistencyProof {
        old: 1 << 63,
        new: u64::MAX,
        path: vec![leaf(0); 3],
    };
    assert!(proof.verify(&leaf(0), &leaf(1)).is_err());
    assert!(
        ProofPlan::inclusion(u64::MAX - 1, u64::MAX)
            .unwrap()
            .nodes()
            .count()
            <= 64 * 64
    );
}

#[test]
fn a_missing_node_is_named() {
    let plan = ProofPlan::inclusion(0, 3).unwrap();
    let missing = plan.assemble(|node| (node.level == 0 && node.index == 1).then(|| leaf(1)));
    assert_eq!(missing, Err(MerkleError::Missing(Node::leaf(2))));
}

#[test]
fn a_frontier_whose_length_does_not_fit_is_refused() {
    let bytes = grown(5).0.encode();
    assert_eq!(bytes.len(), 8 + 2 * 32);
    for cut in 0..bytes.len() {
        assert!(Frontier::parse(&bytes[..cut]).is_err());
    }
    assert!(Frontier::parse(&[bytes.as_slice(), &[0; 32]].concat()).is_err());
    let endless = [[0xff; 8].as_slice(), &[0; 64 * 32]].concat();
    assert_eq!(
        Frontier::parse(&endless),
        Err(MerkleError::Frontier("no registry is that large"))
    );
}

proptest! {
    #[test]
    fn appending_gives_the_defined_root(size in 0u64..600) {
        let leaves: Vec<_> = (0..size).map(leaf).collect();
        prop_assert_eq!(grown(size).0.root(), defined_root(&leaves));
    }

    #[test]
    fn a_stored_frontier_goes_on_where_it_stopped(size in 0u64..300, more in 0u64..50) {
        let mut frontier = Frontier::parse(&grown(size).0.encode()).unwrap();
        (size..size + more).for_each(|position| frontier.append(leaf(position)));
        prop_assert_eq!(frontier, grown(size + more).0);
    }

    #[test]
    fn a_block_and_the_frontier_before_it_prove_its_leaves(before in 0u64..300, count in 1u64..60, pick: proptest::sample::Index) {
        let index = before + pick.index(count as usize) as u64;
        let leaves: Vec<_> = (before..before + count).map(leaf).collect();
        let proof = prove_in_block(&grown(before).0, &leaves, index).unwrap();
        prop_assert_eq!(proof.verify(&leaf(index), &grown(before + count).0.root()), Ok(()));
        if before > 0 {
            let outside = prove_in_block(&grown(before).0, &leaves, before - 1);
            prop_assert_eq!(outside, Err(MerkleError::Index { index: before - 1, size: before + count }));
        }
    }

    #[test]
    fn no_flipped_bit_verifies(size in 2u64..200, index: proptest::sample::Index, bit: proptest::sample::Index) {
        let index = index.index(size as usize) as u64;
        let (frontier, nodes) = grown(size);
        let path = ProofPlan::inclusion(index, size).unwrap().assemble(|node| nodes.get(&node).copied()).unwrap();
        let mut bytes: Vec<u8> = path.iter().flat_map(|hash| *hash.as_bytes()).collect();
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let path = bytes.as_chunks::<32>().0.iter().copied().map(Digest::from_bytes).collect();
        let proof = InclusionProof { index, size, path };
        prop_assert_eq!(proof.verify(&leaf(index), &frontier.root()), Err(MerkleError::Root));
    }
}
