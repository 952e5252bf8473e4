//! Receipts of a registry with one validator. Each block is the first: what it holds is all the
//! registry holds.

use birthmark_ledger::{
    Block, BlockTime, CheckpointKey, CommitCertificate, Frontier, Genesis, Head, HeadFormat, Known,
    Origin, Receipt, Record, SetSignature, Source, Tip, Transaction, Validator, ValidatorId,
    ValidatorSet, Vote, VoteKey, VoteKind, VoteSigner as _,
};
use birthmark_protocol::{Bundle, Digest, DigestRole, ImageClaim, ModificationLevel, Timestamp};

const START: i64 = 1_790_000_000;

/// The test validator's vote key. Good for nothing else.
pub fn test_vote_key() -> VoteKey {
    VoteKey::from_bytes(&[0x51; 32]).unwrap()
}

/// A key that belongs to no validator of the registry.
pub fn other_key() -> VoteKey {
    VoteKey::from_bytes(&[0x52; 32]).unwrap()
}

pub fn genesis(key: &VoteKey) -> Genesis {
    let checkpoint = CheckpointKey::from_seed(&[0x53; 32]);
    let validator = Validator {
        name: "validator.test.example".parse().unwrap(),
        vote_key: key.public_key(),
        checkpoint_key: checkpoint.public_key(),
        log_key: checkpoint.log_public_key(),
    };
    Genesis {
        chain_id: "test.example/registry".parse().unwrap(),
        start: Timestamp::from_unix(START),
        rehearsal: true,
        validators: ValidatorSet::new(vec![validator]).unwrap(),
    }
}

/// A photo nobody took.
pub fn other_bundle() -> Bundle {
    let image = ImageClaim {
        digest: Digest::of(b"another photo"),
        role: DigestRole::Raw,
        level: ModificationLevel::RAW,
        parent: None,
    };
    Bundle::new(vec![image], Timestamp::from_unix(START), None).unwrap()
}

/// The receipt of a photo in the registry of the validator with this key.
pub fn cut(bundle: &Bundle, key: &VoteKey) -> Receipt {
    let genesis = genesis(key);
    let tip = Tip::genesis(&genesis);
    let origin = Origin {
        source: Source::CameraAttested,
        authority: "TEST_MAKER".parse().unwrap(),
        family: "Test camera".parse().unwrap(),
        made_up_fingerprint: false,
    };
    let record = Record::new(bundle.clone(), origin).unwrap();
    let known = Known::default();
    // A block is younger than what it holds.
    let time = bundle.time().unix().max(START) + 1;
    let mut builder = tip.builder(BlockTime::from_millis(time * 1000), &known);
    let transaction = Transaction::sign(tip.chain(), vec![record], key).unwrap();
    builder.add(transaction).unwrap();
    let proposer = ValidatorId::of(&key.public_key());
    let block = builder.finish(proposer, *tip.index(), None);
    let certificate = certify(&block, key);
    let (chain_id, before) = (genesis.chain_id.clone(), Frontier::new());
    Receipt::cut(chain_id, &block, certificate, &before, 0, None, Vec::new()).unwrap()
}

/// The block at a height of the registry of the validator with this key; the blocks before it are
/// empty like it.
pub fn head(height: u64, key: &VoteKey) -> Head {
    let (genesis, known) = (genesis(key), Known::default());
    let mut tip = Tip::genesis(&genesis);
    let proposer = ValidatorId::of(&key.public_key());
    let build = |tip: &Tip| {
        let second = START + 1 + tip.height().get().cast_signed();
        let builder = tip.builder(BlockTime::from_millis(second * 1000), &known);
        builder.finish(proposer, *tip.index(), None)
    };
    for _ in 1..height {
        tip = tip.check(&build(&tip), &known).unwrap();
    }
    let block = build(&tip);
    Head {
        format: HeadFormat::V1,
        chain_id: genesis.chain_id,
        header: block.header.clone(),
        certificate: certify(&block, key),
        sets: Vec::new(),
    }
}

fn certify(block: &Block, key: &VoteKey) -> CommitCertificate {
    let (height, round, hash) = (block.header.height, 0, block.hash());
    let vote = Vote {
        chain: block.header.chain,
        kind: VoteKind::Precommit,
        height,
        round,
        block: Some(hash),
    };
    let signature = SetSignature {
        validator: 0,
        signature: key.sign(&vote.signed_bytes()).unwrap(),
    };
    CommitCertificate {
        height,
        round,
        block: hash,
        signatures: vec![signature],
    }
}
