//! Operators who act at the same moment: each act holds when its answer comes, and the database and
//! the memory of the authority say the same.

use std::sync::Arc;

use birthmark_protocol::PublicKey;
use birthmark_sma::authority::Authority;
use birthmark_sma::keyring::Keyring;
use birthmark_sma::store::CertificateRow;
use serde_json::{Value, json};

use crate::camera::{Camera, commitment, public_key};
use crate::stand::{Stand, client, credentials};

/// The authority of a stopped stand.
async fn opened(stand: &Stand) -> Arc<Authority> {
    let credentials = credentials(stand.folder.path());
    let authority = Authority::open(stand.settings.clone(), &credentials).await;
    Arc::new(authority.unwrap())
}

/// Sends these at once; the answers in their order.
async fn at_once(stand: &Stand, path: &str, bodies: Vec<Value>) -> Vec<(u16, Value)> {
    let send = |body: Value| {
        let request = client().post(format!("{}{path}", stand.url)).json(&body);
        tokio::spawn(async move {
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.json().await.unwrap())
        })
    };
    let sent: Vec<_> = bodies.into_iter().map(send).collect();
    let mut answers = Vec::new();
    for one in sent {
        answers.push(one.await.unwrap());
    }
    answers
}

async fn all_hold(mut stand: Stand) {
    let mut cameras = Vec::new();
    for number in 0..16 {
        cameras.push(Camera::provision(&stand, &format!("CAM-{number}")).await);
    }
    let scope = |number| json!({"kind": "device", "serial": format!("CAM-{number}")});
    let bodies = (0..16).map(|number| json!({"scope": scope(number), "reason": "a test"}));
    let answers = at_once(&stand, "/api/v1/revocations", bodies.collect()).await;
    let mut numbers = Vec::new();
    for (status, answer) in answers {
        assert_eq!(status, 201, "{answer}");
        numbers.push(answer["id"].as_i64().unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=16).collect::<Vec<_>>());
    for camera in &cameras {
        assert!(!camera.is_valid(&stand).await);
    }
    let (_, list) = stand.get("/revocations").await;
    let list: Value = serde_json::from_str(list["signed"].as_str().unwrap()).unwrap();
    assert_eq!(list["revocations"].as_array().unwrap().len(), 16);

    // Half of them are lifted at once, and the others stay.
    let lifting = (1..=8).map(|id| {
        let request = client().delete(format!("{}/api/v1/revocations/{id}", stand.url));
        tokio::spawn(async move { request.send().await.unwrap().status().as_u16() })
    });
    for lifted in lifting.collect::<Vec<_>>() {
        assert_eq!(lifted.await.unwrap(), 204);
    }
    let mut valid = 0;
    for camera in &cameras {
        valid += usize::from(camera.is_valid(&stand).await);
    }
    assert_eq!(valid, 8);
    // So it is after a restart: the digest over all of them fits.
    stand.stop().await;
    stand.start().await;
    let (_, all) = stand.get("/api/v1/revocations").await;
    let in_force = all.as_array().unwrap().iter();
    assert_eq!(in_force.filter(|one| one["lifted_at"].is_null()).count(), 8);
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn revocations_of_one_moment_all_hold_on_sqlite() {
    all_hold(Stand::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn revocations_of_one_moment_all_hold_on_postgresql() {
    all_hold(Stand::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_keys_replaced_at_one_moment_the_last_is_in_use() {
    let mut stand = Stand::sqlite().await;
    stand.stop().await;
    let authority = opened(&stand).await;
    let replace = || {
        let authority = Arc::clone(&authority);
        tokio::spawn(async move { authority.rotate_verdict_key().await.unwrap() })
    };
    let replacing: Vec<_> = (0..6).map(|_| replace()).collect();
    let mut keys = Vec::new();
    for one in replacing {
        keys.push(PublicKey::from_pem(&one.await.unwrap()).unwrap().id());
    }
    let (memory, stored) = (
        authority.keyring(),
        Keyring::load(&authority.store, &authority.vault)
            .await
            .unwrap(),
    );
    assert_eq!(memory.verdict_keys.len(), 7);
    assert_eq!(memory.verdict_key_id(), stored.verdict_key_id());
    assert!(keys.contains(&memory.verdict_key_id().unwrap()));
    let signature = memory.sign_bytes(b"a message").unwrap();
    let named = &stored.verdict_keys.last().unwrap().public;
    assert!(named.verify(b"a message", &signature).is_ok());
    let rows = authority.store.signing_keys().await.unwrap();
    let in_use = rows
        .iter()
        .filter(|row| row.purpose == "verdict" && row.retired_at.is_none());
    assert_eq!(in_use.count(), 1);
    authority.store.close().await;
}

async fn so_many_and_no_more(mut stand: Stand) {
    let create = ["token", "create", "card", "--role", "provision"];
    let token = stand
        .command(&[&create[..], &["--cameras", "3"]].concat())
        .await
        .unwrap();
    let send = |number: usize| {
        let body = json!({"device_serial": format!("CAM-{number}"), "device_family": "Test", "device_public_key": public_key()});
        let request = client()
            .post(format!("{}/api/v1/devices/provision", stand.url))
            .bearer_auth(token.trim())
            .json(&body);
        tokio::spawn(async move { request.send().await.unwrap().status().as_u16() })
    };
    let mut statuses = Vec::new();
    for one in (0..10).map(send).collect::<Vec<_>>() {
        statuses.push(one.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses[..3], [201; 3], "{statuses:?}");
    assert_eq!(statuses[3..], [403; 7], "{statuses:?}");
    let listed = stand.command(&["token", "list"]).await.unwrap();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed[0]["used"], 3);
    stand.stop().await;
    stand.start().await;
    assert_eq!(stand.get("/stats").await.1["total_devices"], 3);
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_shown_by_many_at_once_enrols_no_more_than_it_says_on_sqlite() {
    so_many_and_no_more(Stand::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_shown_by_many_at_once_enrols_no_more_than_it_says_on_postgresql() {
    so_many_and_no_more(Stand::postgres().await).await;
}

/// Both changes write the row's digest: the one that read the row before the other must not put an
/// older digest over it, or the authority would not start again.
#[tokio::test]
async fn a_chip_released_while_its_certificate_is_renewed_leaves_the_row_whole() {
    let mut stand = Stand::sqlite().await;
    let camera = Camera::provision(&stand, "CAM-1").await;
    stand.stop().await;
    let authority = opened(&stand).await;
    let before = authority.store.device("CAM-1").await.unwrap().unwrap();
    let present = authority.store.certificate_of(before.id).await;
    let renewed = CertificateRow {
        serial: vec![7; 16],
        ..present.unwrap().unwrap()
    };
    let (store, vault) = (&authority.store, &authority.vault);
    let row = store.renew(vault, &before, &renewed).await.unwrap();
    assert!(!store.release_chip(vault, &before).await.unwrap());
    assert!(store.release_chip(vault, &row.unwrap()).await.unwrap());
    store.close().await;
    drop(authority);

    stand.start().await;
    assert!(camera.is_valid(&stand).await);
    // The certificate before the present one still counts.
    let question = json!({"camera_cert": camera.certificate_base64(), "commitment": commitment(1).to_string()});
    let (_, answer) = stand.post("/validate-cert", &question).await;
    assert_eq!(answer["valid"], true, "{answer}");
    stand.stop().await;
}
