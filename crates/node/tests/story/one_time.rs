//! Photos under one-time keys: checked without asking anyone, spent once, gone with their epoch,
//! and tied to nothing.

use std::time::Duration;

use birthmark_ledger::{Receipt, Source};
use birthmark_node::commands::{fsck, reindex};
use birthmark_node::registry::Registry;
use birthmark_node::store::Store;
use birthmark_protocol::one_time::{OneTimeSubmission, RsaBytes};
use crypto_bigint::{BoxedUint, NonZero};
use serde_json::Value;

use crate::camera::{digest, now, random};
use crate::mint::{EPOCH, FAMILY, Held, Mint, body};
use crate::network::Network;
use crate::world::{Base, World};

const PATH: &str = "/api/v1/submit-once";

async fn stage(base: Base) -> (World, Mint) {
    let folder = tempfile::tempdir().unwrap();
    let mint = Mint::open(folder.path()).await;
    let world = World::started(base, folder, vec![mint.entry()]).await;
    (world, mint)
}

/// Submits until the epoch is registered.
async fn submit(world: &World, photo: &OneTimeSubmission) -> Value {
    for _ in 0..200 {
        let (status, answer) = world.post(PATH, &body(photo)).await;
        if status != 503 {
            assert_eq!(status, 202, "{answer}");
            let id = answer["receipt_id"].as_str().unwrap();
            return world.stored(id).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the epoch was never registered");
}

fn receipt_in(fate: &Value) -> Receipt {
    serde_json::from_value(fate["receipt"].clone()).unwrap()
}

async fn refused(world: &World, photo: &OneTimeSubmission) -> String {
    world.refused(PATH, &body(photo)).await
}

async fn a_photo_is_checked_alone_and_its_key_spent_once(base: Base) {
    let (mut world, mint) = stage(base).await;
    let (held, image) = (mint.held(0), digest());
    let photo = held.photo(image);
    let fate = submit(&world, &photo).await;
    let record = receipt_in(&fate).record;
    assert_eq!(record.origin().source, Source::CameraOneTime);
    assert_eq!(record.spent().unwrap().epoch, EPOCH);
    let (status, found) = world.verify(&image).await;
    assert_eq!(status, 200, "{found}");
    assert_eq!(found["assurance"], "attested");
    assert_eq!(
        (&found["device_family"], &found["epoch"]),
        (&FAMILY.into(), &EPOCH.into())
    );
    assert!(
        found["finding"].as_str().unwrap().contains("one-time key"),
        "{found}"
    );

    // The same photo again is the same; another one under this key is refused, and after a restart
    // as well.
    let again = submit(&world, &photo).await;
    assert_eq!(again["receipt_id"], fate["receipt_id"]);
    let second = held.photo(digest());
    assert!(refused(&world, &second).await.contains("used before"));
    world.stop().await;
    world.start().await;
    assert!(refused(&world, &second).await.contains("used before"));
    let other = submit(&world, &mint.held(0).photo(digest())).await;
    assert_ne!(other["receipt_id"], fate["receipt_id"]);
    world.stop().await;

    // Everything beside the blocks can be computed from them again, spent keys and epochs too.
    let store = Store::open(&world.settings.database).await.unwrap();
    let registry = Registry::open(store, world.genesis.clone()).await.unwrap();
    assert_eq!(
        fsck(&registry).await.unwrap().problems,
        Vec::<String>::new()
    );
    reindex(&registry).await.unwrap();
    assert_eq!(
        fsck(&registry).await.unwrap().problems,
        Vec::<String>::new()
    );
    let name = photo.proof.name(&mint.key.id());
    assert!(registry.store().spender(&name).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_is_checked_without_asking_anyone_and_its_key_spent_once() {
    a_photo_is_checked_alone_and_its_key_spent_once(Base::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_spent_once_on_postgres() {
    a_photo_is_checked_alone_and_its_key_spent_once(Base::postgres()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_keys_and_signatures_are_refused() {
    let (world, mint) = stage(Base::Sqlite).await;
    submit(&world, &mint.held(0).photo(digest())).await;
    let good = mint.held(0);
    // A key that the authority never signed, under a signature for another one.
    let soft = Held {
        secret: mint.held(1).secret,
        signature: good.signature,
    };
    assert!(
        refused(&world, &soft.photo(digest()))
            .await
            .contains("not signed by its authority")
    );
    let mut stolen = good.photo(digest());
    stolen.bundle = good.photo(digest()).bundle;
    assert!(
        refused(&world, &stolen)
            .await
            .contains("did not sign the claims")
    );
    let mut elsewhere = good.photo(digest());
    elsewhere.authority = "nobody".into();
    assert!(refused(&world, &elsewhere).await.contains("authority"));
    let mut later = good.photo(digest());
    later.epoch += 1;
    let (status, answer) = world.post(PATH, &body(&later)).await;
    assert_eq!(status, 503, "an epoch may still come: {answer}");
    // None of that spent the key.
    submit(&world, &good.photo(digest())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_epoch_is_refused_and_answers_say_so_by_block_time() {
    let (mut world, mint) = stage(Base::Sqlite).await;
    let image = digest();
    submit(&world, &mint.held(0).photo(image)).await;
    let from = now().plus(1);
    // A count before its epoch's end keeps nothing else from the registry.
    mint.count();
    mint.withdraw(from);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    // A start fetches at once what otherwise comes within a minute.
    world.stop().await;
    world.start().await;
    let late = mint.held(0);
    for attempt in 0.. {
        let (status, answer) = world.post(PATH, &body(&late.photo(digest()))).await;
        if status == 400 {
            assert!(
                answer["detail"].as_str().unwrap().contains("withdrew"),
                "{answer}"
            );
            break;
        }
        assert!(attempt < 200, "the withdrawal was never registered");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The photo that was registered before stays what it was.
    let (_, found) = world.verify(&image).await;
    assert_eq!(found["revocation"], Value::Null, "{found}");
}

/// A key that its holder uses twice, at two of four validators at the same moment: neither of them
/// can know. One photo is registered, everywhere the same, and the other is told why not.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_photos_under_one_key_at_two_validators_one_is_registered() {
    let folder = tempfile::tempdir().unwrap();
    let mint = Mint::open(folder.path()).await;
    let mut network = Network::founded_by(4, 4).await;
    for member in &mut network.members {
        member.world.settings.authorities.push(mint.entry());
    }
    for number in 0..4 {
        network.start(number);
    }
    for number in 0..4 {
        network.healthy(number).await;
    }
    for number in 0..4 {
        submit(network.world(number), &mint.held(0).photo(digest())).await;
    }
    for _ in 0..3 {
        let (held, images) = (mint.held(0), [digest(), digest()]);
        let bodies = images.map(|image| body(&held.photo(image)));
        let (one, other) = tokio::join!(
            network.world(0).post(PATH, &bodies[0]),
            network.world(1).post(PATH, &bodies[1]),
        );
        let mut fates = Vec::new();
        for (number, (status, answer)) in [one, other].into_iter().enumerate() {
            fates.push(match status {
                202 => {
                    let id = answer["receipt_id"].as_str().unwrap();
                    network.world(number).decided(id).await
                }
                400 => answer,
                status => panic!("{status}: {answer}"),
            });
        }
        let stored = fates.iter().filter(|fate| fate["status"] == "stored");
        assert_eq!(stored.count(), 1, "{fates:?}");
        let refused = fates
            .iter()
            .find(|fate| fate["status"] != "stored")
            .unwrap();
        let said = refused["reason"].as_str().or(refused["detail"].as_str());
        assert!(said.unwrap().contains("used before"), "{refused}");
        let winner = usize::from(fates[1]["status"] == "stored");
        network.registered(&images[winner], &[0, 1, 2, 3]).await;
        for number in 0..4 {
            let (_, answer) = network.world(number).verify(&images[1 - winner]).await;
            assert_eq!(answer["verified"], false, "{answer}");
        }
    }
}

/// Until the last second of its grace a key counts, and not a second later, whenever it signed.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_refused_once_its_epoch_s_grace_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let (until, grace) = (now().plus(5), 3);
    let last = until.plus(grace.into());
    let mint = Mint::open_until(folder.path(), until, grace).await;
    let world = World::started(Base::Sqlite, folder, vec![mint.entry()]).await;
    let early = submit(&world, &mint.held(0).photo(digest())).await;
    assert!(now() <= last, "this machine is too slow for the test");
    let late = mint.held(0).photo(digest());
    while now() <= last {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let said = refused(&world, &late).await;
    assert!(said.contains("and its grace ended"), "{said}");
    // What was registered in time stays what it is.
    let record = receipt_in(&early).record;
    let (_, found) = world.verify(&record.bundle().images()[0].digest).await;
    assert_eq!(found["assurance"], "attested", "{found}");
}

/// A photo as the maker and a validator together know it.
#[derive(Clone)]
struct Pooled {
    camera: usize,
    block: String,
    known: Vec<u8>,
}

/// 20 cameras with 10 photos each, one of every camera in each round. The maker and the validator
/// pool everything: which camera asked for what and what was answered, every request, every block.
/// The same is done with certificates.
#[tokio::test(flavor = "multi_thread")]
async fn maker_and_validator_together_cannot_tell_which_photos_are_one_cameras() {
    const CAMERAS: usize = 20;
    const PHOTOS: usize = 10;
    let (world, mint) = stage(Base::Sqlite).await;
    submit(&world, &mint.held(CAMERAS).photo(digest())).await;
    let (mut sent, mut pooled) = (Vec::new(), Vec::new());
    for _ in 0..PHOTOS {
        let photos = (0..CAMERAS).map(|camera| (digest(), camera, mint.held(camera)));
        let mut round: Vec<_> = photos.collect();
        // Cameras do not send in any order.
        round.sort_by_key(|(image, ..)| *image.as_bytes());
        let mut waiting = Vec::new();
        for (image, camera, held) in round {
            let request = held.photo(image);
            waiting.push((camera, world.submit(PATH, &body(&request)).await, request));
        }
        for (camera, id, request) in waiting {
            let receipt = receipt_in(&world.stored(&id).await);
            let mut known = request.to_json().unwrap();
            known.extend(hex::encode(receipt.encode()).into_bytes());
            let block = receipt.header.height.to_string();
            pooled.push(Pooled {
                camera,
                block,
                known,
            });
            sent.push(request);
        }
    }
    // What a classifier that compares bytes takes for one camera's photos is one camera's as often
    // as any two photos of different rounds are: one time in 20.
    let (right, taken) = linked_by_bytes(&pooled);
    let chance = taken as f64 / CAMERAS as f64;
    assert!(
        right as f64 <= chance + 5.0 * chance.sqrt() + 3.0,
        "{right} of {taken} pairs were one camera's, {chance} by chance"
    );
    // What the maker knows of a camera stands in no photo.
    let seen = mint.seen.lock().unwrap().clone();
    assert!(seen.iter().all(|one| one.camera <= CAMERAS));
    for one in &seen {
        for photo in &pooled {
            let text = String::from_utf8_lossy(&photo.known);
            assert!(!text.contains(&hex::encode(one.blinded)));
            assert!(!text.contains(&hex::encode(one.signed)));
        }
    }
    // And every request explains every photo equally well: for each pair there is a blind that
    // leads from one to the other. So whoever has to name the camera can only guess, however much
    // he computes.
    let modulus = Modulus::of(&mint.key.modulus);
    for request in sent.iter().step_by(37) {
        let signature = number(&request.proof.key_signature);
        let encoded = modulus.power(&signature);
        for one in seen.iter().step_by(7) {
            let (blinded, signed) = (number(&one.blinded), number(&one.signed));
            let blind = modulus.quotient(&signed, &signature);
            assert_eq!(modulus.product(&encoded, &modulus.power(&blind)), blinded);
        }
    }
    // The same classifier finds every camera where certificates are used.
    let certificates: Vec<_> = (0..CAMERAS).map(|_| random::<300>()).collect();
    for photo in &mut pooled {
        let certificate = hex::encode(certificates[photo.camera]);
        photo.known.extend(certificate.into_bytes());
    }
    let (found, _) = linked_by_bytes(&pooled);
    assert_eq!(found, CAMERAS * PHOTOS * (PHOTOS - 1) / 2);
}

/// Which pairs of photos share 16 bytes that at most a tenth of all photos have, and that say more
/// than the photo's block: how many of them are one camera's, and how many there are.
fn linked_by_bytes(pooled: &[Pooled]) -> (usize, usize) {
    use std::collections::{BTreeSet, HashMap};
    let mut blocks: HashMap<&str, BTreeSet<usize>> = HashMap::new();
    let mut holders: HashMap<&[u8], BTreeSet<usize>> = HashMap::new();
    for (index, photo) in pooled.iter().enumerate() {
        blocks.entry(&photo.block).or_default().insert(index);
        for window in photo.known.windows(16) {
            holders.entry(window).or_default().insert(index);
        }
    }
    let only_time = |photos: &BTreeSet<usize>| {
        let of = |index: &usize| &blocks[pooled[*index].block.as_str()];
        photos.iter().all(|index| of(index).is_subset(photos))
            && photos.iter().any(|index| of(index).len() > 1)
    };
    let mut pairs = BTreeSet::new();
    for photos in holders.values() {
        if photos.len() < 2 || photos.len() > pooled.len() / 10 || only_time(photos) {
            continue;
        }
        for one in photos {
            pairs.extend(photos.range(one + 1..).map(|other| (*one, *other)));
        }
    }
    let same = |(one, other): &&(usize, usize)| pooled[*one].camera == pooled[*other].camera;
    (pairs.iter().filter(same).count(), pairs.len())
}

/// Numbers modulo the epoch's modulus.
struct Modulus(NonZero<BoxedUint>);

impl Modulus {
    fn of(bytes: &RsaBytes) -> Self {
        Self(NonZero::new(number(bytes)).unwrap())
    }

    fn product(&self, one: &BoxedUint, other: &BoxedUint) -> BoxedUint {
        one.mul_mod(other, &self.0)
    }

    fn quotient(&self, one: &BoxedUint, other: &BoxedUint) -> BoxedUint {
        self.product(
            one,
            &Option::<BoxedUint>::from(other.invert_mod(&self.0)).unwrap(),
        )
    }

    /// To the power of 65537.
    fn power(&self, base: &BoxedUint) -> BoxedUint {
        let squares = (0..16).fold(base.clone(), |power, _| self.product(&power, &power));
        self.product(&squares, base)
    }
}

fn number(bytes: &RsaBytes) -> BoxedUint {
    BoxedUint::from_be_slice(bytes, 2048).unwrap()
}
