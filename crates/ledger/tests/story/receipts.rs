//! Receipts: verified offline, against a genesis, and every way to bend one refused.

use birthmark_ledger::*;
use birthmark_protocol::PixelSource;

use crate::world::*;

/// Ten blocks by four validators; a receipt from the seventh.
fn story() -> (World, Receipt) {
    let mut world = World::new(4);
    for height in 0..10 {
        world.commit_records(
            (0..=height)
                .map(|n| photo(&format!("{height}-{n}")))
                .collect(),
        );
    }
    let index = world.blocks[6].0.header.first_index() + 3;
    let receipt = world.receipt(7, index, vec![]);
    (world, receipt)
}

#[test]
fn a_receipt_says_what_is_registered_where_when_and_by_whom() {
    let (world, receipt) = story();
    let read = Receipt::parse(&receipt.encode()).unwrap();
    let verified = verify_receipt(&read, &Trusted::genesis(&world.genesis)).unwrap();
    assert_eq!(verified.record, photo("6-3"));
    assert_eq!((verified.index, verified.height), (24, Height::new(7)));
    assert_eq!(verified.block_time, world.blocks[6].0.header.time);
    assert_eq!(
        verified.submitter_name.as_ref(),
        Some(&world.members[0].entry.name)
    );
    assert_eq!((verified.signers.len(), verified.validators), (3, 4));
}

#[test]
fn every_record_of_every_block_has_a_receipt() {
    let (world, _) = story();
    for (height, (block, _)) in world.blocks.iter().enumerate() {
        for (index, _, record) in block.records() {
            let receipt = world.receipt(height + 1, index, vec![]);
            let verified = verify_receipt(&receipt, &Trusted::genesis(&world.genesis)).unwrap();
            assert_eq!(&verified.record, record);
        }
    }
}

#[test]
fn a_block_gives_no_receipt_for_what_it_does_not_hold() {
    let (world, _) = story();
    let (block, certificate) = &world.blocks[6];
    let cut = |index, before| {
        Receipt::cut(
            world.genesis.chain_id.clone(),
            block,
            certificate.clone(),
            before,
            index,
            None,
            vec![],
        )
        .unwrap_err()
    };
    assert!(matches!(
        cut(0, &world.frontiers[6]),
        ReceiptError::NoRecord(0)
    ));
    assert!(matches!(
        cut(28, &world.frontiers[6]),
        ReceiptError::NoRecord(28)
    ));
    assert!(matches!(
        cut(24, &world.frontiers[5]),
        ReceiptError::Frontier(_)
    ));
}

#[test]
fn every_bent_receipt_is_refused() {
    let (world, good) = story();
    let trusted = Trusted::genesis(&world.genesis);
    let bent = |bend: &dyn Fn(&mut Receipt)| {
        let mut receipt = good.clone();
        bend(&mut receipt);
        verify_receipt(&receipt, &trusted).unwrap_err()
    };
    let root = VerifyError::Inclusion(MerkleError::Root);
    assert_eq!(bent(&|receipt| receipt.record = photo("forged")), root);
    assert_eq!(
        bent(&|receipt| receipt.submitter = member(9).entry.id()),
        root
    );
    assert_eq!(bent(&|receipt| receipt.proof.index += 1), root);
    assert_eq!(bent(&|receipt| receipt.proof.path[0] = digest("x")), root);
    assert_eq!(
        bent(&|receipt| receipt.proof.index = 3),
        VerifyError::NotInBlock
    );
    let size = bent(&|receipt| receipt.proof.size += 1);
    assert_eq!(
        size,
        VerifyError::TreeSize {
            proof: 29,
            header: 28
        }
    );
    let other = VerifyError::Certificate(CertificateError::OtherBlock);
    assert_eq!(
        bent(&|receipt| receipt.header.time = receipt.header.time.plus_millis(1)),
        other
    );
    assert_eq!(
        bent(&|receipt| receipt.header.tree_root = digest("x")),
        other
    );
    assert_eq!(bent(&|receipt| receipt.header.records = 28), other);
    let few = bent(&|receipt| receipt.certificate.signatures.truncate(2));
    assert_eq!(
        few,
        CertificateError::from(QuorumError::TooFew {
            have: 2,
            need: 3,
            of: 4
        })
        .into()
    );
    let name = bent(&|receipt| receipt.chain_id = "other.example".parse().unwrap());
    assert!(matches!(name, VerifyError::OtherRegistry(_)));
}

#[test]
fn another_registry_with_the_same_validators_and_name_is_another_registry() {
    let (world, receipt) = story();
    let later = Genesis {
        start: birthmark_protocol::Timestamp::from_unix(START + 1),
        ..world.genesis.clone()
    };
    let refused = verify_receipt(&receipt, &Trusted::genesis(&later));
    assert!(matches!(refused, Err(VerifyError::OtherRegistry(_))));
}

/// A registry that one institution began, four took over and then five others; a receipt from the
/// end.
fn handed_over() -> (World, Vec<SetLink>, Receipt) {
    let mut world = World::new(1);
    let mut links = Vec::new();
    for next in [members(0..4), members(3..8)] {
        world.commit_records(vec![photo("between")]);
        let present = world.tip.validators().clone();
        let mut change =
            SetChange::propose(&present, set_of(&next), Height::new(1), Height::new(99));
        for member in &world.members {
            change
                .sign(world.tip.chain(), &present, &member.vote)
                .unwrap();
        }
        world.commit(world.build(vec![], Some(change)));
        let (block, certificate) = world.blocks.last().unwrap().clone();
        links.push(SetLink {
            header: block.header,
            certificate,
            validators: set_of(&next),
        });
        world.members = next;
    }
    world.commit_records(vec![photo("last")]);
    let receipt = world.receipt(5, 2, links.clone());
    (world, links, receipt)
}

#[test]
fn a_receipt_carries_the_way_from_the_first_validators_to_its_own() {
    let (world, links, receipt) = handed_over();
    let trusted = Trusted::genesis(&world.genesis);
    let read = Receipt::parse(&receipt.encode()).unwrap();
    let verified = verify_receipt(&read, &trusted).unwrap();
    assert_eq!((verified.record, verified.validators), (photo("last"), 5));
    let early = world.receipt(3, 1, links[..1].to_vec());
    assert_eq!(verify_receipt(&early, &trusted).unwrap().validators, 4);
}

#[test]
fn a_way_with_a_missing_moved_or_forged_step_is_refused() {
    let (world, links, good) = handed_over();
    let trusted = Trusted::genesis(&world.genesis);
    let bent = |bend: &dyn Fn(&mut Receipt)| {
        let mut receipt = good.clone();
        bend(&mut receipt);
        verify_receipt(&receipt, &trusted).unwrap_err()
    };
    let others = CertificateError::OtherValidators;
    assert_eq!(
        bent(&|receipt| drop(receipt.handovers.pop())),
        others.into()
    );
    let skipped = VerifyError::OtherSet {
        block: Height::new(4),
        named: links[0].validators.hash(),
        trusted: world.genesis.validators.hash(),
        since: Height::new(1),
    };
    assert_eq!(bent(&|receipt| drop(receipt.handovers.remove(0))), skipped);
    assert_eq!(
        bent(&|receipt| receipt.handovers.swap(0, 1)),
        VerifyError::LinkOrder
    );
    let usurped = bent(&|receipt| receipt.handovers[1].joined = set_of(&members(20..25)).into());
    assert_eq!(usurped, VerifyError::LinkValidators(Height::new(4)));
    let stays = bent(&|receipt| receipt.handovers[1].left.truncate(2));
    assert_eq!(stays, VerifyError::LinkValidators(Height::new(4)));
    let nobody = bent(&|receipt| receipt.handovers[1].left.push(4));
    assert_eq!(nobody, VerifyError::LinkValidators(Height::new(4)));
    let doubled = bent(&|receipt| receipt.handovers.insert(0, receipt.handovers[0].clone()));
    assert_eq!(doubled, VerifyError::LinkOrder);
}

/// One registry's receipt has one form: a handover names nobody who both left and joined, and lists
/// everybody in one order.
#[test]
fn a_handover_has_one_form() {
    let (world, links, good) = handed_over();
    let trusted = Trusted::genesis(&world.genesis);
    // Of the four, three left for four others.
    let last = &good.handovers[1];
    assert_eq!((last.left.len(), last.joined.len()), (3, 4));
    let before = &links[0].validators;
    let stayed = (0..4).find(|at| !last.left.contains(at)).unwrap();
    let mut both = good.clone();
    let handover = &mut both.handovers[1];
    handover.left = (0..4).collect();
    handover.joined = links[1].validators.validators().to_vec();
    assert!(handover.joined.contains(before.at(stayed.into()).unwrap()));
    let read = Receipt::parse(&both.encode()).unwrap();
    assert_eq!(
        verify_receipt(&read, &trusted),
        Err(VerifyError::LinkValidators(Height::new(4)))
    );
    let said = |bend: &dyn Fn(&mut Handover)| {
        let mut bent = good.clone();
        bend(&mut bent.handovers[1]);
        Receipt::parse(&bent.encode()).unwrap_err().to_string()
    };
    let left = said(&|handover| handover.left.reverse());
    assert!(left.contains("order of those who left"), "{left}");
    let twice = said(&|handover| handover.left.insert(0, handover.left[0]));
    assert!(twice.contains("order of those who left"), "{twice}");
    let joined = said(&|handover| handover.joined.reverse());
    assert!(joined.contains("order of those who joined"), "{joined}");
}

#[test]
fn a_later_set_can_be_trusted_and_then_nothing_older_is() {
    let (world, links, receipt) = handed_over();
    let since = Height::new(5);
    let trusted = Trusted::genesis(&world.genesis).later(since, links[1].validators.clone());
    assert!(verify_receipt(&receipt, &trusted).is_ok());
    let old = world.receipt(3, 1, links[..1].to_vec());
    let too_old = VerifyError::TooOld {
        block: Height::new(3),
        since,
    };
    assert_eq!(verify_receipt(&old, &trusted), Err(too_old));
}

#[test]
fn whoever_trusts_a_named_set_needs_only_the_handovers_since() {
    let (world, links, receipt) = handed_over();
    let genesis = Trusted::genesis(&world.genesis);
    // The first handover was block 2: its new validators decide from block 3 on.
    let named = genesis
        .clone()
        .later(Height::new(3), links[0].validators.clone());
    let text = serde_json::to_string(&named).unwrap();
    assert_eq!(Trusted::from_json(&text).unwrap(), named);
    let short = Receipt {
        handovers: named.needed(receipt.handovers.clone()),
        ..receipt.clone()
    };
    assert_eq!(short.handovers, receipt.handovers[1..]);
    assert_eq!(short.handovers, named.handovers(&links));
    let read = Receipt::parse(&short.encode()).unwrap();
    let verified = verify_receipt(&read, &named).unwrap();
    assert_eq!(verified, verify_receipt(&receipt, &genesis).unwrap());
    // To the genesis alone it proves nothing, and says why.
    let said = verify_receipt(&read, &genesis).unwrap_err().to_string();
    let set = links[0].validators.hash();
    assert!(
        said.contains(&format!("was decided by the validators {set}"))
            && said.ends_with("the handovers in between are missing"),
        "{said}"
    );
}

#[test]
fn what_is_trusted_is_a_genesis_or_a_set_and_nothing_else() {
    let (world, _, _) = handed_over();
    let genesis = serde_json::to_string(&world.genesis).unwrap();
    let trusted = Trusted::genesis(&world.genesis);
    assert_eq!(Trusted::from_json(&genesis).unwrap(), trusted);
    let set = serde_json::to_string(&trusted).unwrap();
    for wrong in [
        genesis.replacen("chain_id", "chain", 1),
        set.replacen("rehearsal", "start", 1),
        set.replacen("\"since\":1", "\"since\":-1", 1),
        "[]".to_owned(),
    ] {
        assert!(Trusted::from_json(&wrong).is_err(), "{wrong}");
    }
}

/// A photo anchored to block 2 and registered in block 4.
fn anchored() -> (World, Receipt) {
    let mut world = World::new(4);
    for height in 1..=3 {
        world.commit_records(vec![photo(&format!("{height}"))]);
    }
    world.commit_records(vec![captured("ours", PixelSource::Sensor, Some(2))]);
    let index = world.blocks[3].0.header.first_index();
    let receipt = world.receipt(4, index, vec![]);
    (world, receipt)
}

#[test]
fn a_receipt_proves_both_ends_of_the_photos_time() {
    let (world, receipt) = anchored();
    let trusted = Trusted::genesis(&world.genesis);
    let verified = verify_receipt(&receipt, &trusted).unwrap();
    assert_eq!(verified.not_before, Some(world.blocks[1].0.header.time));
    assert_eq!(verified.block_time, world.blocks[3].0.header.time);
    // Whoever trusts only what came later learns only the later end.
    let later = trusted.later(Height::new(3), world.genesis.validators.clone());
    let verified = verify_receipt(&receipt, &later).unwrap();
    assert_eq!(verified.not_before, None);
}

#[test]
fn an_anchor_that_is_missing_exchanged_or_undecided_is_refused() {
    let (world, receipt) = anchored();
    let trusted = Trusted::genesis(&world.genesis);
    let with = |anchor| {
        let bent = Receipt {
            anchor,
            ..receipt.clone()
        };
        verify_receipt(&bent, &trusted).unwrap_err()
    };
    let (named, second) = (Some(Height::new(2)), world.decided(Height::new(2)));
    assert_eq!(
        with(None),
        VerifyError::Anchor {
            named,
            carried: None
        }
    );
    assert_eq!(
        with(Some(world.decided(Height::new(1)))),
        VerifyError::Anchor {
            named,
            carried: Some(Height::new(1))
        }
    );
    let mut earlier = second.clone();
    earlier.header.time = earlier.header.time.plus_millis(-86_400_000);
    assert!(matches!(
        with(Some(earlier)),
        VerifyError::AnchorCertificate(_)
    ));
    let mut fewer = second;
    fewer.certificate.signatures.pop();
    assert!(matches!(
        with(Some(fewer)),
        VerifyError::AnchorCertificate(_)
    ));
}

#[test]
fn in_json_a_receipt_is_its_bytes_in_base64() {
    let (_, receipt) = story();
    let text = serde_json::to_string(&receipt).unwrap();
    assert!(text.starts_with("\"QmlydGhtYXJrIHJlY2VpcHQ"), "{text}");
    assert_eq!(serde_json::from_str::<Receipt>(&text).unwrap(), receipt);
    for other in ["\"\"", "\"QQ==\"", "{}", "7", "\"not base64!\""] {
        assert!(serde_json::from_str::<Receipt>(other).is_err(), "{other}");
    }
}

/// The newest block of a registry, with these changes of validators.
fn head(world: &World, sets: &[SetLink]) -> Head {
    let DecidedHeader {
        header,
        certificate,
    } = world.decided(world.tip.height());
    Head {
        format: HeadFormat::V1,
        chain_id: world.genesis.chain_id.clone(),
        header,
        certificate,
        sets: sets.to_vec(),
    }
}

#[test]
fn the_newest_block_leads_to_the_validators_that_decided_it_and_former_ones_count_no_more() {
    let (world, links, _) = handed_over();
    let genesis = Trusted::genesis(&world.genesis);
    let newest = head(&world, &links);
    let text = serde_json::to_string(&newest).unwrap();
    let read = Head::from_json(&text).unwrap();
    let now = verify_head(&read, genesis.clone()).unwrap();
    assert_eq!(now.since(), links[1].header.height.next());
    assert_eq!(now.validators(), &links[1].validators);
    // Whoever knows the present validators needs no way to them.
    let known = head(&world, &[]);
    assert_eq!(verify_head(&known, now.clone()), Ok(now.clone()));
    assert!(verify_head(&known, genesis.clone()).is_err());

    // The first institution kept its key and goes on by itself.
    let mut former = World::new(1);
    for height in 0..6 {
        former.commit_records(vec![photo(&format!("another past {height}"))]);
    }
    let other_past = head(&former, &[]);
    assert!(verify_head(&other_past, genesis.clone()).is_ok());
    let refused = verify_head(&other_past, now).unwrap_err();
    assert!(matches!(refused, VerifyError::OtherSet { .. }), "{refused}");

    let mut bent = newest;
    bent.header.time = bent.header.time.plus_millis(1);
    assert!(verify_head(&bent, genesis.clone()).is_err());
    let mut foreign = world.genesis.clone();
    foreign.start = birthmark_protocol::Timestamp::from_unix(1);
    let refused = verify_head(&read, Trusted::genesis(&foreign)).unwrap_err();
    assert!(matches!(refused, VerifyError::OtherRegistry(_)));
}
