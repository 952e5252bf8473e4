//! What a stranger may take of the validator: never the room of those whose proof can be checked
//! here.

use birthmark_node::row_keys::Sealed;
use birthmark_node::store::{
    Decision, Kind, NewSubmission, ReceiptId, Settled, Settlement, Store, Wanted,
};
use uuid::Uuid;

use crate::authority::Authority;
use crate::camera::{Camera, digest, now};
use crate::world::{Base, World};

#[tokio::test(flavor = "multi_thread")]
async fn tokens_nobody_can_check_never_keep_out_a_signed_photo() {
    let folder = tempfile::tempdir().unwrap();
    let mut authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let mut world = World::prepare(Base::Sqlite, folder, vec![authority.entry()]);
    world.settings.limits.queue = 50;
    world.start().await;
    authority.stop().await;
    let (mut taken, mut said) = (0, String::new());
    for _ in 0..60 {
        let body = camera.camera_plan(digest(), &camera.token(), false);
        let (status, answer) = world.post("/api/v1/submit", &body).await;
        match status {
            202 => taken += 1,
            503 => said = answer["detail"].as_str().unwrap().to_owned(),
            other => panic!("{other}: {answer}"),
        }
    }
    assert_eq!(
        taken, 10,
        "a fifth of the queue is for what only the authority can check"
    );
    assert!(said.contains("without a certificate"), "{said}");
    let genuine = camera.certificate_plan(digest(), now());
    let id = world.submit("/api/v1/submit-cert", &genuine).await;
    // The count is right after a restart as well.
    world.stop().await;
    world.start().await;
    let body = camera.camera_plan(digest(), &camera.token(), false);
    assert_eq!(world.post("/api/v1/submit", &body).await.0, 503);
    authority.start().await;
    world.stored(&id).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_away_takes_no_room_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let mut away = Authority::found_named(folder.path(), "away").await;
    let there = Authority::found_named(folder.path(), "there").await;
    let lost = Camera::new(&away, "CAM-0001").await;
    let lucky = Camera::new(&there, "CAM-0002").await;
    let mut world = World::prepare(Base::Sqlite, folder, vec![away.entry(), there.entry()]);
    world.settings.limits.queue = 10;
    world.start().await;
    away.stop().await;
    for _ in 0..5 {
        let body = lost.certificate_plan(digest(), now());
        world.submit("/api/v1/submit-cert", &body).await;
    }
    let body = lost.certificate_plan(digest(), now());
    assert_eq!(world.post("/api/v1/submit-cert", &body).await.0, 503);
    for _ in 0..10 {
        world.registered(&lucky).await;
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn below_the_reserve_strangers_are_turned_away_first() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let mut world = World::prepare(Base::Sqlite, folder, vec![authority.entry()]);
    // More than any disk has: everything below it counts as nearly full.
    world.settings.limits.disk_reserve_mb = 1 << 40;
    world.start().await;
    let body = camera.camera_plan(digest(), &camera.token(), false);
    let (status, answer) = world.post("/api/v1/submit", &body).await;
    assert_eq!(status, 503, "{answer}");
    let said = answer["detail"].as_str().unwrap();
    assert!(said.contains("disk is nearly full"), "{said}");
    world.registered(&camera).await;
    world.stop().await;
    drop(authority);
}

fn refused(number: u128, kind: Kind) -> (NewSubmission, Decision) {
    let id = ReceiptId(Uuid::from_u128(number));
    let new = NewSubmission {
        id,
        authority: "maker".into(),
        kind,
        request: Sealed::stored(1, vec![1, 2, 3]),
        received_at: now(),
    };
    let settled = Settled::Rejected("the authority does not vouch for this camera".into());
    (new, Decision { id, settled })
}

/// However many strangers are refused, only the newest refusals are remembered, and those for an
/// hour; who showed a signature is told for as long as ever.
async fn refused_strangers_leave_a_bounded_trace(base: Base) {
    let world = World::prepare(base, tempfile::tempdir().unwrap(), Vec::new());
    let store = Store::open(&world.settings.database).await.unwrap();
    let all = (0..30).map(|number| refused(number, Kind::Unverified));
    let signed = (100..105).map(|number| refused(number, Kind::Signed));
    let (new, decisions): (Vec<_>, Vec<_>) = all.chain(signed).unzip();
    store.enqueue(new).await.unwrap();
    let waiting = store.waiting("maker", 0, 100).await.unwrap();
    assert_eq!(waiting.len(), 35);
    for (at, decision) in decisions.into_iter().enumerate() {
        let seq = waiting
            .iter()
            .find(|one| one.id == decision.id)
            .unwrap()
            .seq;
        let settlement = Settlement {
            decisions: vec![decision],
            ..Settlement::default()
        };
        let later = now().plus(at as i64);
        let (wanted, queue) = (Wanted::default(), [seq]);
        let settled = store.settle(&wanted, &queue, later, |_| Ok(settlement));
        settled.await.unwrap();
    }
    let count = async || store.sizes().await.unwrap().submissions;
    assert_eq!(count().await, 35);
    let hour_ago = now().plus(-3600);
    store.forget_refused_strangers(hour_ago, 10).await.unwrap();
    assert_eq!(
        count().await,
        15,
        "the ten newest strangers and the five that were signed"
    );
    store
        .forget_refused_strangers(now().plus(7200), 10)
        .await
        .unwrap();
    assert_eq!(
        count().await,
        5,
        "an hour later only those that were signed"
    );
    store.close().await;
}

#[tokio::test]
async fn refused_strangers_leave_a_bounded_trace_on_sqlite() {
    refused_strangers_leave_a_bounded_trace(Base::Sqlite).await;
}

#[tokio::test]
async fn refused_strangers_leave_a_bounded_trace_on_postgresql() {
    refused_strangers_leave_a_bounded_trace(Base::postgres()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_over_its_budget_waits_and_is_not_refused() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let busy = Camera::new(&authority, "CAM-0001").await;
    let calm = Camera::new(&authority, "CAM-0002").await;
    let mut world = World::prepare(Base::Sqlite, folder, vec![authority.entry()]);
    world.settings.limits.photos_per_camera_per_hour = 3;
    world.start().await;
    let thief = busy.stolen_certificate();
    for _ in 0..5 {
        let stolen = thief.certificate_plan(digest(), now());
        world.refused("/api/v1/submit-cert", &stolen).await;
    }
    for _ in 0..3 {
        world.registered(&busy).await;
    }
    let body = busy.certificate_plan(digest(), now());
    let url = format!("{}/api/v1/submit-cert", world.url);
    let answer = crate::world::client().post(url).json(&body).send().await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 429);
    let wait: u64 = answer.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=1200).contains(&wait), "{wait}");
    let said: serde_json::Value = answer.json().await.unwrap();
    assert!(
        said["detail"].as_str().unwrap().contains("this camera"),
        "{said}"
    );
    world.registered(&calm).await;
    world.stop().await;
}
