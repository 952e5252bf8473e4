//! Sets of validators, what makes a decision, and how sets change.

use birthmark_ledger::change::ChangeError;
use birthmark_ledger::*;

use crate::world::*;

#[test]
fn more_than_two_thirds_decide_for_every_size_of_set() {
    for validators in 1..=100usize {
        let needed = quorum(validators);
        assert!(
            3 * needed > 2 * validators,
            "{validators}: {needed} is not more than two thirds"
        );
        assert!(
            3 * (needed - 1) <= 2 * validators,
            "{validators}: {needed} is more than necessary"
        );
        assert!(needed <= validators);
        let faulty = (validators - 1) / 3;
        assert!(
            2 * needed - validators > faulty,
            "{validators}: two decisions could share only faulty ones"
        );
    }
    assert_eq!(
        [1, 2, 3, 4, 5, 7, 10, 100].map(quorum),
        [1, 2, 3, 3, 4, 5, 7, 67]
    );
}

#[test]
fn a_certificate_holds_with_a_quorum_and_not_one_less() {
    for validators in [1, 2, 3, 4, 7, 10] {
        let world = World::new(validators);
        let block = world.build(vec![], None);
        let need = quorum(validators.into());
        let enough = certify(&world.members, &block, 0..need);
        assert_eq!(
            enough.verify(&block.header, &world.genesis.validators),
            Ok(())
        );
        let less = certify(&world.members, &block, 1..need);
        let too_few = QuorumError::TooFew {
            have: need - 1,
            need,
            of: validators.into(),
        };
        assert_eq!(
            less.verify(&block.header, &world.genesis.validators),
            Err(too_few.into())
        );
    }
}

#[test]
fn nobody_counts_twice_and_no_stranger_counts() {
    let world = World::new(4);
    let block = world.build(vec![], None);
    let set = &world.genesis.validators;
    let good = world.certify(&block);
    let verify =
        |certificate: &CommitCertificate| certificate.verify(&block.header, set).unwrap_err();

    let mut twice = good.clone();
    twice.signatures[1] = twice.signatures[0];
    assert_eq!(verify(&twice), QuorumError::Order.into());
    let mut unordered = good.clone();
    unordered.signatures.swap(0, 1);
    assert_eq!(verify(&unordered), QuorumError::Order.into());
    let mut outside = good.clone();
    outside.signatures[2].validator = 4;
    assert_eq!(verify(&outside), QuorumError::Stranger(4).into());
    let mut borrowed = good.clone();
    borrowed.signatures[2].validator = 3;
    let name = set.at(3).unwrap().name.clone();
    assert_eq!(verify(&borrowed), QuorumError::Invalid(name).into());
}

#[test]
fn one_wrong_signature_spoils_even_a_certificate_with_more_than_enough() {
    let world = World::new(4);
    let block = world.build(vec![], None);
    let mut certificate = certify(&world.members, &block, 0..4);
    certificate.signatures[0].signature = certificate.signatures[1].signature;
    assert!(
        certificate
            .verify(&block.header, &world.genesis.validators)
            .is_err()
    );
}

#[test]
fn a_certificate_decides_its_own_block_height_and_round_only() {
    let world = World::new(1);
    let block = world.build(vec![], None);
    let set = &world.genesis.validators;
    let good = world.certify(&block);
    let other = world.build(vec![world.transaction(vec![photo("one")])], None);
    assert_eq!(
        good.verify(&other.header, set),
        Err(CertificateError::OtherBlock)
    );
    let later = CommitCertificate {
        round: 1,
        ..good.clone()
    };
    assert!(matches!(
        later.verify(&block.header, set),
        Err(CertificateError::Quorum(_))
    ));
    let strangers = good.verify(&block.header, &set_of(&members([9])));
    assert_eq!(strangers, Err(CertificateError::OtherValidators));
}

#[test]
fn a_prevote_is_no_precommit_and_nothing_is_no_block() {
    let vote = Vote {
        chain: digest("chain"),
        kind: VoteKind::Precommit,
        height: Height::new(1),
        round: 0,
        block: Some(digest("block")),
    };
    let mut seen = std::collections::BTreeSet::new();
    for vote in [
        vote,
        Vote {
            kind: VoteKind::Prevote,
            ..vote
        },
        Vote {
            block: None,
            ..vote
        },
        Vote {
            height: Height::new(2),
            ..vote
        },
        Vote { round: 1, ..vote },
        Vote {
            chain: digest("other"),
            ..vote
        },
    ] {
        assert!(seen.insert(vote.signed_bytes()));
        assert_eq!(vote.signed_bytes().len(), 18 + 32 + 1 + 8 + 4 + 1 + 32);
    }
}

#[test]
fn no_two_validators_share_a_name_or_a_key() {
    let (one, two) = (member(1).entry, member(2).entry);
    let make = |validators: &[&Validator]| {
        ValidatorSet::new(validators.iter().copied().cloned().collect())
    };
    assert_eq!(make(&[]), Err(SetError::Count(0)));
    let namesake = Validator {
        name: one.name.clone(),
        ..two.clone()
    };
    assert_eq!(
        make(&[&one, &namesake]),
        Err(SetError::SameName(one.name.clone()))
    );
    let same_vote = Validator {
        vote_key: one.vote_key.clone(),
        ..two.clone()
    };
    assert!(matches!(
        make(&[&one, &same_vote]),
        Err(SetError::SameKey(_))
    ));
    let same_checkpoint = Validator {
        log_key: one.checkpoint_key,
        ..two.clone()
    };
    assert!(matches!(
        make(&[&one, &same_checkpoint]),
        Err(SetError::SameKey(_))
    ));
    let same_twice = Validator {
        log_key: two.checkpoint_key,
        ..two.clone()
    };
    assert!(matches!(make(&[&same_twice]), Err(SetError::SameKey(_))));
    assert_eq!(make(&[&one, &two]).unwrap(), make(&[&two, &one]).unwrap());
}

#[test]
fn a_weak_checkpoint_key_is_refused() {
    let mut identity = [0; 32];
    identity[0] = 1;
    assert!(CheckpointPublicKey::from_bytes(&identity).is_err());
}

#[test]
fn the_same_genesis_file_has_the_same_hash_however_it_is_written() {
    let world = World::new(3);
    let hash = world.genesis.hash();
    let toml = toml::to_string(&world.genesis).unwrap();
    let commented = format!("# our registry\n{toml}");
    assert_eq!(toml::from_str::<Genesis>(&commented).unwrap().hash(), hash);
    let json = serde_json::to_string_pretty(&world.genesis).unwrap();
    assert_eq!(Genesis::from_json(&json).unwrap().hash(), hash);
    let reversed: Vec<_> = world
        .genesis
        .validators
        .validators()
        .iter()
        .rev()
        .cloned()
        .collect();
    let reordered = Genesis {
        validators: ValidatorSet::new(reversed).unwrap(),
        ..world.genesis.clone()
    };
    assert_eq!(reordered.hash(), hash);
    let renamed = Genesis {
        chain_id: "other.example".parse().unwrap(),
        ..world.genesis.clone()
    };
    assert_ne!(renamed.hash(), hash);
    let misspelt = json.replace("\"start\"", "\"strat\"");
    assert!(
        Genesis::from_json(&misspelt)
            .unwrap_err()
            .to_string()
            .contains("strat")
    );
}

/// The world whose next block carries a change to other validators.
fn with_change(world: &World, next: &[u8], signers: &[usize]) -> SetChange {
    let present = world.tip.validators();
    let next = set_of(&members(next.iter().copied()));
    let mut change = SetChange::propose(present, next, Height::new(1), Height::new(10));
    for signer in signers {
        change
            .sign(world.tip.chain(), present, &world.members[*signer].vote)
            .unwrap();
    }
    change
}

#[test]
fn a_set_changes_when_its_quorum_agrees() {
    let mut world = World::new(4);
    let change = with_change(&world, &[0, 1, 2, 3, 4], &[2, 0, 1]);
    let block = world.build(vec![], Some(change));
    let next = block.change.as_ref().unwrap().next.clone();
    assert_eq!(block.header.next_validators_hash, next.hash());
    assert_eq!(
        block.header.validators_hash,
        world.genesis.validators.hash()
    );
    world.commit(block);
    assert_eq!(world.tip.validators(), &next);
    assert_eq!(
        world.build(vec![], None).header.validators_hash,
        next.hash()
    );
}

#[test]
fn a_set_does_not_change_otherwise() {
    let world = World::new(4);
    let refused = |change: SetChange| match world
        .tip
        .check(&world.build(vec![], Some(change)), &Known::default())
    {
        Err(BlockError::Change(error)) => error,
        other => panic!("expected a refused change, got {other:?}"),
    };
    let few = refused(with_change(&world, &[0, 1], &[0, 1]));
    assert_eq!(
        few,
        QuorumError::TooFew {
            have: 2,
            need: 3,
            of: 4
        }
        .into()
    );
    let same = refused(with_change(&world, &[0, 1, 2, 3], &[0, 1, 2]));
    assert_eq!(same, ChangeError::Same);
    let mut late = with_change(&world, &[0, 1], &[0, 1, 2]);
    late.not_before = Height::new(2);
    assert!(matches!(refused(late), ChangeError::Height { .. }));
    let mut elsewhere = with_change(&world, &[0, 1], &[0, 1, 2]);
    elsewhere.present = digest("another set");
    assert_eq!(refused(elsewhere), ChangeError::OtherSet);
    let mut swapped = with_change(&world, &[0, 1], &[0, 1, 2]);
    swapped.next = set_of(&members([7, 8]));
    assert!(matches!(
        refused(swapped),
        ChangeError::Quorum(QuorumError::Invalid(_))
    ));
}

#[test]
fn only_members_sign_a_change_and_each_once() {
    let world = World::new(4);
    let present = world.tip.validators();
    let mut change = with_change(&world, &[0, 1], &[1, 1, 1]);
    assert_eq!(change.signatures.len(), 1);
    let stranger = change.sign(world.tip.chain(), present, &member(9).vote);
    assert_eq!(stranger, Err(ChangeError::Stranger));
}
