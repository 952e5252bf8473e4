//! Verifiers that are not ours accept what a registry says of itself.

mod packages;

use std::cell::RefCell;

use birthmark_protocol::Digest;
use signed_note::{Note, StandardVerifier, Verifier, VerifierList};
use tlog_tiles::tlog;

use crate::authority::Authority;
use crate::camera::{Camera, digest};
use crate::world::{Base, World, client};

async fn fetch(world: &World, path: &str) -> (u16, Vec<u8>) {
    let answer = client()
        .get(format!("{}{path}", world.url))
        .send()
        .await
        .unwrap();
    let status = answer.status().as_u16();
    (status, answer.bytes().await.unwrap().to_vec())
}

async fn text(world: &World, path: &str) -> String {
    let (status, bytes) = fetch(world, path).await;
    assert_eq!(status, 200, "{path}");
    String::from_utf8(bytes).unwrap()
}

/// The hashes of a tree as the other library stores them while it grows.
#[derive(Default)]
struct Stored(RefCell<Vec<tlog::Hash>>);

impl tlog::HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog::Hash>, tlog::Error> {
        let stored = self.0.borrow();
        Ok(indexes
            .iter()
            .map(|index| stored[*index as usize])
            .collect())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn software_for_transparency_logs_accepts_checkpoint_and_tiles() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let mut world = World::started(Base::Sqlite, folder, vec![authority.entry()]).await;
    let photos: Vec<Digest> = (0..5).map(|_| digest()).collect();
    for photo in &photos {
        let body = camera.ours([*photo, digest(), digest()]);
        let id = world.submit("/api/v1/submit-cert", &body).await;
        world.stored(&id).await;
    }

    // A key from the policy file verifies the checkpoint as the log's.
    let policy = text(&world, "/api/v1/tlog-policy").await;
    let keys = policy.lines().filter_map(|line| line.strip_prefix("log "));
    let known = keys.map(|key| Box::new(StandardVerifier::new(key).unwrap()) as Box<dyn Verifier>);
    let known = VerifierList::new(known.collect());
    let note = Note::from_bytes(text(&world, "/checkpoint").await.as_bytes()).unwrap();
    let (verified, others) = note.verify(&known).unwrap();
    assert_eq!(verified.len(), 1);
    assert_eq!(verified[0].name(), world.genesis.chain_id.as_str());
    assert_eq!(
        others.len(),
        1,
        "the cosignature is for verifiers that read those"
    );
    let checkpoint = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
    assert_eq!(checkpoint.size(), 5);

    // The entries hash to the tile, and the tile to the root that was signed.
    let (status, tile) = fetch(&world, "/tile/0/000.p/5").await;
    assert_eq!((status, tile.len()), (200, 5 * 32));
    let (_, bundle) = fetch(&world, "/tile/entries/000.p/5").await;
    let (mut rest, stored) = (bundle.as_slice(), Stored::default());
    for (number, hash) in tile.chunks(32).enumerate() {
        let (length, after) = rest.split_first_chunk::<2>().unwrap();
        let (entry, after) = after.split_at(u16::from_be_bytes(*length).into());
        assert_eq!(tlog::record_hash(entry).0.as_slice(), hash);
        let hashes = tlog::stored_hashes(number as u64, entry, &stored).unwrap();
        stored.0.borrow_mut().extend(hashes);
        rest = after;
    }
    assert!(rest.is_empty());
    let root = tlog::tree_hash(5, &stored).unwrap();
    assert_eq!(root.0, checkpoint.hash().0);

    // Nothing is served that is not there yet, or under a second name.
    for path in [
        "/tile/0/000",
        "/tile/0/000.p/6",
        "/tile/1/000.p/1",
        "/tile/entries/000",
        "/tile/0/0.p/5",
    ] {
        assert_eq!(fetch(&world, path).await.0, 404, "{path}");
    }
    world.stop().await;
    drop(authority);
}
