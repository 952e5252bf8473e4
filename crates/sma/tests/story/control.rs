//! What only this machine's administrator may do: refusals name the field, what was done is in the
//! log, and nobody else can do it.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use birthmark_http::Peer;
use birthmark_sma::api::{Api, router};
use birthmark_sma::authority::Authority;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::stand::{PASSPHRASE, Stand, credentials};

/// An authority without a network, and the stand it belongs to.
async fn administered() -> (Stand, Arc<Authority>) {
    let mut stand = Stand::sqlite().await;
    stand.stop().await;
    let credentials = credentials(stand.folder.path());
    let authority = Authority::open(stand.settings.clone(), &credentials).await;
    (stand, Arc::new(authority.unwrap()))
}

/// Sends one request from this peer; the answer's status and body.
async fn send(
    authority: &Arc<Authority>,
    peer: Peer,
    method: Method,
    path: &str,
    body: &Value,
) -> (u16, Value) {
    let api = Api {
        authority: Arc::clone(authority),
        open: false,
    };
    let text = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .extension(peer)
        .body(Body::from(text))
        .unwrap();
    let answer = router(api).oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    let bytes = to_bytes(answer.into_body(), 1 << 24).await.unwrap();
    // An empty answer has no JSON.
    let body = serde_json::from_slice(&bytes).ok().unwrap_or_default();
    (status, body)
}

async fn post(authority: &Arc<Authority>, path: &str, body: Value) -> (u16, Value) {
    send(authority, Peer::Unix { uid: 0 }, Method::POST, path, &body).await
}

/// The field that an answer complains about.
fn field(answer: &Value) -> String {
    let location = answer["detail"][0]["loc"].as_array();
    let steps = location.unwrap_or_else(|| panic!("{answer}")).iter();
    let steps: Vec<_> = steps.skip(1).map(|step| step.as_str().unwrap()).collect();
    steps.join(".")
}

#[tokio::test]
async fn a_token_that_makes_no_sense_is_refused_by_field() {
    let (_stand, authority) = administered().await;
    let token = |change: &dyn Fn(&mut Value)| {
        let mut token = json!({"name": "anna", "roles": ["read"], "days": null});
        change(&mut token);
        token
    };
    let (provision, serial) = (json!(["provision"]), json!(["CAM-1"]));
    for (body, named) in [
        (token(&|body| body["name"] = "".into()), "name"),
        (token(&|body| body["name"] = "a b".into()), "name"),
        (token(&|body| body["name"] = "é".into()), "name"),
        (token(&|body| body["name"] = "x".repeat(65).into()), "name"),
        (token(&|body| body["roles"] = json!([])), "roles"),
        (token(&|body| body["roles"] = json!(["reed"])), "roles"),
        // No token administers.
        (
            token(&|body| body["roles"] = json!(["administer"])),
            "roles",
        ),
        // Only a token that enrols cameras names some.
        (token(&|body| body["serials"] = serial.clone()), "roles"),
        (token(&|body| body["cameras"] = 1.into()), "roles"),
        (token(&|body| body["roles"] = provision.clone()), "serials"),
        (
            token(&|body| {
                body["roles"] = provision.clone();
                body["cameras"] = 0.into();
            }),
            "serials",
        ),
        (
            token(&|body| {
                body["roles"] = provision.clone();
                body["cameras"] = 2.into();
                body["serials"] = serial.clone();
            }),
            "serials",
        ),
    ] {
        let (status, answer) = post(&authority, "/control/tokens", body.clone()).await;
        assert_eq!((status, &*field(&answer)), (422, named), "{body}: {answer}");
    }
    let unknown = token(&|body| body["role"] = "read".into());
    let (status, answer) = post(&authority, "/control/tokens", unknown).await;
    assert_eq!(status, 422, "{answer}");
    assert!(answer.to_string().contains("role"), "{answer}");
    assert!(authority.store.operators().await.unwrap().is_empty());

    let good = token(&|_| {});
    let (status, made) = post(&authority, "/control/tokens", good.clone()).await;
    assert_eq!(status, 201, "{made}");
    assert!(made["token"].as_str().unwrap().starts_with("bma_"));
    let (status, again) = post(&authority, "/control/tokens", good.clone()).await;
    assert_eq!(status, 409, "{again}");
    // Neither a second withdrawal nor the same name once more: the log must stay readable.
    let withdraw = async |name: &str| {
        let (path, peer) = (format!("/control/tokens/{name}"), Peer::Unix { uid: 0 });
        send(&authority, peer, Method::DELETE, &path, &Value::Null)
            .await
            .0
    };
    assert_eq!(withdraw("otto").await, 404);
    assert_eq!(withdraw("anna").await, 204);
    assert_eq!(withdraw("anna").await, 404);
    let (status, again) = post(&authority, "/control/tokens", good).await;
    assert_eq!(status, 409, "{again}");
}

#[tokio::test]
async fn keys_are_replaced_and_distrusted_only_with_what_fits() {
    let (stand, authority) = administered().await;
    let root_key = std::fs::read_to_string(stand.path("root.key.pem")).unwrap();
    let intermediate = authority.keyring().issuer.id();
    let stranger = birthmark_sma::ca::PrivateKey::generate().unwrap();
    let stranger = stranger.to_encrypted_pem(PASSPHRASE).unwrap();
    for (key, passphrase) in [
        (&*root_key, None),
        (&*root_key, Some("another passphrase")),
        (stranger.as_str(), Some(PASSPHRASE)),
        ("not PEM", Some(PASSPHRASE)),
    ] {
        let body = json!({"root_key": key, "passphrase": passphrase});
        let (status, answer) = post(&authority, "/control/rotate-ca", body).await;
        assert_eq!((status, &*field(&answer)), (422, "root_key"), "{answer}");
        // The key that was sent is nobody's to read.
        assert!(!answer.to_string().contains("PRIVATE KEY"), "{answer}");
    }
    assert_eq!(authority.keyring().issuer.id(), intermediate);
    let good = json!({"root_key": root_key, "passphrase": PASSPHRASE});
    assert_eq!(post(&authority, "/control/rotate-ca", good).await.0, 204);
    assert_ne!(authority.keyring().issuer.id(), intermediate);

    let distrust = async |key: &str| {
        let body = json!({"key": key, "from": 0});
        post(&authority, "/control/distrust", body).await
    };
    let (status, answer) = distrust("xyz").await;
    assert_eq!((status, &*field(&answer)), (422, "key"));
    assert_eq!(distrust("0000000000000000").await.0, 404);
    let in_use = authority.keyring().issuer.id().to_string();
    assert_eq!(distrust(&in_use).await.0, 409);
    assert_eq!(distrust(&intermediate.to_string()).await.0, 204);
    let none = post(
        &authority,
        "/control/devices/CAM-1/release-chip",
        Value::Null,
    );
    assert_eq!(none.await.0, 404);

    let acts = authority.store.recent_acts(50).await.unwrap();
    let done: Vec<Value> = acts
        .iter()
        .map(|row| serde_json::from_slice(&row.content).unwrap())
        .collect();
    let actions: Vec<_> = done.iter().map(|act| act["action"].as_str()).collect();
    assert_eq!(actions, [Some("distrust key"), Some("rotate intermediate")]);
    assert_eq!(done[0]["actor"], "local user 0");
}

/// A file of another authority is taken camera by camera: what is wrong is named, what came before
/// it is registered, and the log says how many.
#[tokio::test]
async fn an_import_that_stops_in_the_middle_says_where_and_is_in_the_log() {
    let (_stand, authority) = administered().await;
    let camera = |number: u8| {
        json!({
            "device_serial": format!("CAM-{number}"), "nuc_hash": hex::encode([number; 32]),
            "table_assignments": [1, 2, 3], "device_family": "Test",
            "provisioned_at": "2024-05-01T12:00:00.123456",
        })
    };
    for (name, value) in [
        ("nuc_hash", json!("aa")),
        ("nuc_hash", json!("zz".repeat(32))),
        ("table_assignments", json!([1, 2])),
        ("table_assignments", json!([1, 2, 2500])),
        ("device_serial", json!("")),
        ("device_serial", json!("x".repeat(129))),
        ("device_certificate", json!("not PEM")),
        ("provisioned_at", json!("yesterday")),
    ] {
        let mut wrong = camera(9);
        wrong[name] = value;
        let body = json!([wrong]);
        let (status, answer) = post(&authority, "/control/devices", body).await;
        let named = format!("devices.0.{name}");
        assert_eq!((status, field(&answer)), (422, named), "{answer}");
    }
    let mut wrong = camera(3);
    wrong["nuc_hash"] = camera(1)["nuc_hash"].clone();
    let body = json!([camera(1), camera(2), wrong, camera(4)]);
    let (status, answer) = post(&authority, "/control/devices", body).await;
    assert_eq!(status, 422, "{answer}");
    assert_eq!(field(&answer), "devices.2.nuc_hash");
    assert_eq!(authority.store.count_devices().await.unwrap(), 2);
    assert_eq!(authority.with_cameras(|cameras| cameras.len()), 2);
    let acts = authority.store.recent_acts(1).await.unwrap();
    let act: Value = serde_json::from_slice(&acts[0].content).unwrap();
    assert_eq!(
        (&act["action"], &act["target"]),
        (&json!("import devices"), &json!("2"))
    );

    // Mended, the same file goes on where it stopped.
    let body = json!([camera(1), camera(2), camera(3), camera(4)]);
    let (status, answer) = post(&authority, "/control/devices", body).await;
    assert_eq!(
        (status, &answer),
        (200, &json!({"imported": 2, "known": 2}))
    );
    let first = authority.store.device("CAM-1").await.unwrap().unwrap();
    // Such files name no zone and mean UTC.
    assert_eq!(first.provisioned_at, 1_714_564_800);
}

#[tokio::test]
async fn no_path_of_the_administrator_answers_on_the_network() {
    let (_stand, authority) = administered().await;
    let (_, made) = post(
        &authority,
        "/control/tokens",
        json!({"name": "all", "roles": ["read", "review", "revoke", "validate"]}),
    )
    .await;
    let token = made["token"].as_str().unwrap();
    let network = Peer::Tcp {
        remote: "127.0.0.1:5".parse().unwrap(),
        local: "127.0.0.1:8001".parse().unwrap(),
    };
    for (method, path) in [
        (Method::GET, "/control/tokens"),
        (Method::POST, "/control/tokens"),
        (Method::DELETE, "/control/tokens/all"),
        (Method::POST, "/control/rotate-ca"),
        (Method::POST, "/control/rotate-verdict-key"),
        (Method::POST, "/control/distrust"),
        (Method::POST, "/control/devices/CAM-1/release-chip"),
        (Method::GET, "/control/epochs"),
        (Method::POST, "/control/epochs"),
        (Method::POST, "/control/epochs/withdraw"),
        (Method::GET, "/control/audit"),
        (Method::GET, "/control/key-tables"),
        (Method::GET, "/control/devices"),
        (Method::POST, "/control/devices"),
    ] {
        let (status, answer) = send(&authority, network, method.clone(), path, &json!({})).await;
        assert_eq!(status, 403, "{method} {path}: {answer}");
        // With a token as well: none of them administers.
        let request = Request::builder()
            .method(method)
            .uri(path)
            .extension(network);
        let request = request.header("authorization", format!("Bearer {token}"));
        let api = Api {
            authority: Arc::clone(&authority),
            open: true,
        };
        let answer = router(api).oneshot(request.body(Body::from("{}")).unwrap());
        assert_eq!(answer.await.unwrap().status(), 403, "{path}");
    }
    assert_eq!(authority.store.operators().await.unwrap().len(), 1);
}
