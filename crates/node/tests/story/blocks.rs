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

use crate::authority::Authority;
use crate::camera::Camera;
use crate::world::{Base, World};

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

/// The last block of a version is in its configuration: photos are taken and wait for the next one.
#[tokio::test(flavor = "multi_thread")]
async fn after_the_block_that_is_configured_photos_wait_for_the_next_version() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let mut world = World::prepare(Base::Sqlite, folder, vec![authority.entry()]);
    world.settings.blocks.halt_after = Some(1);
    world.start().await;
    world.registered(&camera).await;
    let body = camera.certificate_plan(crate::camera::digest(), crate::camera::now());
    let id = world.submit("/api/v1/submit-cert", &body).await;
    let mut status = world.get("/api/v1/status").await.1;
    while status["validated_submissions"] != 1 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        status = world.get("/api/v1/status").await.1;
    }
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    status = world.get("/api/v1/status").await.1;
    assert_eq!(status["block_height"], 1, "{status:#}");
    let warning = status["warnings"][0].as_str().unwrap();
    assert!(warning.contains("nothing after block 1"), "{warning}");
    world.stop().await;
    world.settings.blocks.halt_after = None;
    world.start().await;
    world.stored(&id).await;
    world.stop().await;
}
