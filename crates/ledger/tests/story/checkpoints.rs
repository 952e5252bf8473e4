//! Checkpoints, cosignatures and proofs as other transparency-log software reads them.

use birthmark_ledger::note::SignedNote;
use birthmark_ledger::*;
use birthmark_protocol::Timestamp;

use crate::world::*;

fn story() -> (World, SignedCheckpoint) {
    let mut world = World::new(4);
    world.commit_records(vec![photo("one"), photo("two"), photo("three")]);
    let checkpoint = world.cosigned(&world.blocks[0].0, [0, 1, 3]);
    (world, checkpoint)
}

/// The example of the cosignature specification: its texts, and what its public parts must come out
/// as.
const PUBLISHED: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
    \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
    \u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";

#[test]
fn the_published_checkpoint_reads_and_writes_back() {
    let read = SignedCheckpoint::parse(PUBLISHED).unwrap();
    assert_eq!(
        (read.checkpoint.size, read.signatures.len()),
        (20_852_163, 2)
    );
    let [log, witness] = read.signatures.as_slice() else {
        panic!("two lines")
    };
    assert_eq!(
        (log.key_id, log.signature.len()),
        ([0x03, 0x3d, 0xe0, 0xae], 64)
    );
    assert_eq!(
        (witness.signature.len(), &witness.signature[..8]),
        (72, 1_679_315_147u64.to_be_bytes().as_slice())
    );
    assert_eq!(read.to_string(), PUBLISHED);
}

#[test]
fn a_cosigned_checkpoint_verifies_with_the_block_time() {
    let (world, checkpoint) = story();
    let read = SignedCheckpoint::parse(&checkpoint.to_string()).unwrap();
    assert_eq!(read, checkpoint);
    let times = read
        .verify(&world.genesis.chain_id, &world.genesis.validators)
        .unwrap();
    assert_eq!(times.len(), 3);
    assert!(
        times
            .values()
            .all(|time| *time == world.blocks[0].0.header.time.timestamp())
    );
}

#[test]
fn what_a_cosignature_covers_is_exactly_the_specified_text() {
    use ed25519_dalek::Verifier as _;
    let (world, checkpoint) = story();
    let (line, member) = (&checkpoint.signatures[1], &world.members[0]);
    let (time, signature) = line.signature.split_first_chunk::<8>().unwrap();
    let message = format!(
        "cosignature/v1\ntime {}\n{}",
        u64::from_be_bytes(*time),
        checkpoint.checkpoint.text()
    );
    let key =
        ed25519_dalek::VerifyingKey::from_bytes(&member.entry.checkpoint_key.to_bytes()).unwrap();
    let signature = ed25519_dalek::Signature::from_slice(signature).unwrap();
    assert!(key.verify(message.as_bytes(), &signature).is_ok());
    let verifier_key = member.entry.verifier_key();
    assert!(verifier_key.starts_with(&format!(
        "{}+{}+",
        member.entry.name,
        hex::encode(line.key_id)
    )));
}

#[test]
fn too_few_wrong_or_foreign_cosignatures_do_not_carry() {
    let (world, good) = story();
    let (origin, set) = (&world.genesis.chain_id, &world.genesis.validators);
    let mut few = good.clone();
    few.signatures.truncate(4);
    assert_eq!(
        few.verify(origin, set),
        Err(NoteError::TooFew {
            have: 2,
            need: 3,
            of: 4
        })
    );
    let mut twice = few.clone();
    twice.signatures.push(few.signatures[1].clone());
    assert_eq!(
        twice.verify(origin, set),
        Err(NoteError::TooFew {
            have: 2,
            need: 3,
            of: 4
        })
    );
    let mut moved = good.clone();
    moved.checkpoint.size += 1;
    assert!(matches!(
        moved.verify(origin, set),
        Err(NoteError::Invalid(_))
    ));
    let mut backdated = good.clone();
    backdated.signatures[1].signature[7] ^= 1;
    assert!(matches!(
        backdated.verify(origin, set),
        Err(NoteError::Invalid(_))
    ));
    let mut forged = good.clone();
    forged.signatures[0].signature[7] ^= 1;
    assert!(matches!(
        forged.verify(origin, set),
        Err(NoteError::Invalid(_))
    ));
    let other: ChainId = "other.example".parse().unwrap();
    assert_eq!(
        good.verify(&other, set),
        Err(NoteError::Origin(other.clone()))
    );
}

#[test]
fn a_validator_signs_as_the_log_under_the_registrys_name() {
    use ed25519_dalek::Verifier as _;
    let (world, checkpoint) = story();
    let (line, member) = (&checkpoint.signatures[0], &world.members[0]);
    let origin = &world.genesis.chain_id;
    assert_eq!(line.name, origin.as_str());
    assert_ne!(member.entry.log_key, member.entry.checkpoint_key);
    let key = ed25519_dalek::VerifyingKey::from_bytes(&member.entry.log_key.to_bytes()).unwrap();
    let signature = ed25519_dalek::Signature::from_slice(&line.signature).unwrap();
    let text = checkpoint.checkpoint.text();
    assert!(key.verify(text.as_bytes(), &signature).is_ok());
    let verifier = member.entry.log_verifier_key(origin);
    let start = format!("{origin}+{}+", hex::encode(line.key_id));
    assert!(verifier.starts_with(&start), "{verifier}");
}

#[test]
fn lines_as_the_log_never_make_a_quorum() {
    let (world, mut checkpoint) = story();
    let as_log = |member: &Member| checkpoint.checkpoint.sign_as_log(&member.checkpoint);
    checkpoint.signatures = world.members.iter().map(as_log).collect();
    let refused = checkpoint.verify(&world.genesis.chain_id, &world.genesis.validators);
    let (have, need, of) = (0, 3, 4);
    assert_eq!(refused, Err(NoteError::TooFew { have, need, of }));
}

#[test]
fn the_policy_file_names_every_key_and_the_quorum() {
    let (world, _) = story();
    let policy = world
        .genesis
        .validators
        .tlog_policy(&world.genesis.chain_id, []);
    let lines: Vec<_> = policy.lines().collect();
    let starting = |word: &str| lines.iter().filter(|line| line.starts_with(word)).count();
    assert_eq!((starting("log "), starting("witness ")), (4, 4));
    assert!(policy.contains("\ngroup validators 3 "));
    assert!(policy.ends_with("\nquorum validators\n"));
    assert!(!policy.contains("outside"), "{policy}");
}

/// They are named and not needed: the validators' quorum stays the policy's.
#[test]
fn the_policy_file_names_witnesses_outside_of_the_registry() {
    let (world, _) = story();
    let key: witness::VerifierKey = member(50).entry.verifier_key().parse().unwrap();
    let named = [(&key, "https://witness.example/w")];
    let set = &world.genesis.validators;
    let policy = set.tlog_policy(&world.genesis.chain_id, named);
    let line = format!(
        "\nwitness outside+{} {key} https://witness.example/w\n",
        key.name()
    );
    assert!(policy.contains(&line), "{policy}");
    assert!(policy.contains(&format!("\ngroup witnesses 1 outside+{}\n", key.name())));
    assert!(policy.contains("\ngroup both 2 validators witnesses\n"));
    assert!(policy.ends_with("\nquorum validators\n"), "{policy}");
}

#[test]
fn witnesses_may_sign_beside_validators() {
    let (world, mut checkpoint) = story();
    let stranger = member(50);
    let line = checkpoint.checkpoint.cosign(
        &stranger.entry.name,
        &stranger.checkpoint,
        Timestamp::from_unix(START),
    );
    checkpoint.signatures.insert(0, line.unwrap());
    assert!(
        checkpoint
            .verify(&world.genesis.chain_id, &world.genesis.validators)
            .is_ok()
    );
    assert_eq!(checkpoint.cosigners(&set_of(&[stranger])).unwrap().len(), 1);
}

#[test]
fn a_time_before_1970_is_not_signed() {
    let (world, checkpoint) = story();
    let member = &world.members[0];
    let refused = checkpoint.checkpoint.cosign(
        &member.entry.name,
        &member.checkpoint,
        Timestamp::from_unix(-1),
    );
    assert_eq!(refused, Err(NoteError::Time));
}

#[test]
fn malformed_notes_are_refused_by_part() {
    let good = story().1.to_string();
    let refused = |text: &str| match SignedCheckpoint::parse(text) {
        Err(NoteError::Format(part)) => part,
        other => panic!("expected a refusal, got {other:?}"),
    };
    assert_eq!(refused(&good.replace("\n3\n", "\n03\n")), "tree size");
    assert_eq!(refused(&good.replace("\n3\n", "\n+3\n")), "tree size");
    assert_eq!(
        refused(&good.replacen("\n\n", "\nextension\n\n", 1)),
        "number of checkpoint lines"
    );
    assert_eq!(refused(&good.replace('\u{2014}', "-")), "signature line");
    assert_eq!(refused(good.trim_end()), "last line");
    assert_eq!(refused("no blank line\n"), "blank line");
    assert_eq!(refused(&good.replacen("registry", "Registry", 1)), "origin");
    let many = format!("text\n\n{}", "\u{2014} a AAAAAAA=\n".repeat(257));
    assert_eq!(
        SignedNote::parse(&many),
        Err(NoteError::Format("number of signatures"))
    );
    assert_eq!(
        SignedNote::parse(&"x".repeat(1 << 17)),
        Err(NoteError::TooLong)
    );
}

#[test]
fn a_proof_text_verifies_and_no_other_leaf_does() {
    let (world, checkpoint) = story();
    let receipt = world.receipt(1, 1, vec![]);
    let text = receipt.to_tlog_proof(checkpoint).to_string();
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\nextra "));
    let read = TlogProof::parse(&text).unwrap();
    assert_eq!(read.to_string(), text);
    let (origin, set) = (&world.genesis.chain_id, &world.genesis.validators);
    assert_eq!(read.verify(origin, set), Ok(()));
    assert_eq!(Record::parse_leaf(&read.leaf).unwrap().0, photo("two"));
    let forged = TlogProof {
        leaf: photo("four").leaf_bytes(&member(0).entry.id()),
        ..read.clone()
    };
    assert_eq!(forged.verify(origin, set), Err(MerkleError::Root.into()));
    let moved = TlogProof { index: 0, ..read };
    assert_eq!(moved.verify(origin, set), Err(MerkleError::Root.into()));
    for (from, to) in [
        ("index 1", "index 01"),
        ("extra ", "extra !"),
        ("tlog-proof@v1", "tlog-proof@v2"),
    ] {
        assert!(matches!(
            TlogProof::parse(&text.replacen(from, to, 1)),
            Err(NoteError::Format(_))
        ));
    }
}
