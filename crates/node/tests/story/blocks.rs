//! Blocks as the only validator decides them, without cameras and an authority.

use birthmark_consensus::{Decided, cosign};
use birthmark_daemon::Credentials;
use birthmark_ledger::{
    BlockTime, CommitCertificate, IndexRoot, Label, Lookups, Origin, Record, SetSignature, Source,
    Transaction, ValidatorId, VoteSigner as _,
};
use birthmark_node::identity;
use birthmark_node::registry::Registry;
use birthmark_protocol::{Bundle, Digest, DigestRole, ImageClaim, ModificationLevel, Timestamp};

use crate::world::World;

fn record(
    digest: Digest,
    level: ModificationLevel,
    original: Option<Digest>,
    taken: i64,
) -> Record {
    let image = ImageClaim {
        digest,
        role: DigestRole::File,
        level,
        parent: None,
    };
    let label = Label::new("test-maker").unwrap();
    let origin = Origin {
        source: match original {
            None => Source::CameraToken,
            Some(_) => Source::Software,
        },
        authority: label.clone(),
        family: label,
        made_up_fingerprint: false,
    };
    let bundle = Bundle::new(vec![image], Timestamp::from_unix(taken), None).unwrap();
    Record::with_original(bundle, original, origin).unwrap()
}

/// A photo of a camera.
pub fn photo(digest: Digest) -> Record {
    record(digest, ModificationLevel::RAW, None, 0)
}

/// The same photo once more: who says another second says something else.
pub fn photo_again(digest: Digest, taken: i64) -> Record {
    record(digest, ModificationLevel::RAW, None, taken)
}

/// A picture made from another.
pub fn edit(digest: Digest, original: Digest) -> Record {
    record(digest, ModificationLevel::PROCESSED, Some(original), 0)
}

/// The registry's next block.
pub async fn decided(world: &World, registry: &Registry, records: Vec<Record>) -> Decided {
    let tip = registry.tip();
    if tip.height().next().get() - tip.index().height.get() > 60 {
        registry.make_index().await.unwrap();
    }
    let index = registry.index_for(&tip).await.unwrap();
    decided_with(world, registry, records, index).await
}

/// The registry's next block, with this index in its header.
pub async fn decided_with(
    world: &World,
    registry: &Registry,
    records: Vec<Record>,
    index: IndexRoot,
) -> Decided {
    let keys = identity::keys(&Credentials::at(world.credentials())).unwrap();
    let tip = registry.tip();
    let transaction = Transaction::sign(tip.chain(), records, &keys.vote).unwrap();
    let known = registry
        .known(&Lookups::of(std::slice::from_ref(&transaction)))
        .await
        .unwrap();
    let time = BlockTime::from_millis(1_790_000_000_000 + tip.height().get() as i64);
    let mut builder = tip.builder(time, &known);
    builder.add(transaction).unwrap();
    let block = builder.finish(ValidatorId::of(&keys.vote.public_key()), index, None);
    let signature = SetSignature {
        validator: 0,
        signature: cosign(&block, 0, &keys.vote).unwrap(),
    };
    let certificate = CommitCertificate {
        height: block.header.height,
        round: 0,
        block: block.hash(),
        signatures: vec![signature],
    };
    Decided {
        tip: tip.check(&block, &known).unwrap(),
        block,
        certificate,
        checkpoint_lines: Vec::new(),
    }
}
