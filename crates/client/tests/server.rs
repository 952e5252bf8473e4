//! The clients against a real server on this machine: what it may send, and what is made of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use birthmark_client::{Authority, CallError, HttpClient, Options, Validator};
use birthmark_protocol::Digest;
use birthmark_protocol::api::Stage;
use serde_json::{Value, json};

async fn serve(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, router).await });
    address
}

/// A server that gives every request the same answer.
async fn always<R: IntoResponse + Clone + Send + Sync + 'static>(answer: R) -> String {
    let router = Router::new().fallback(move || {
        let answer = answer.clone();
        async move { answer }
    });
    format!("http://{}", serve(router).await)
}

fn small() -> Options {
    Options {
        largest_answer: 1000,
        timeout: Duration::from_secs(5),
        ..Options::default()
    }
}

fn client(address: &str) -> HttpClient {
    HttpClient::new(address, &small()).unwrap()
}

async fn refusal(status: u16, body: &'static str) -> CallError {
    let status = StatusCode::from_u16(status).unwrap();
    let address = always((status, body)).await;
    client(&address)
        .get("x")
        .await
        .unwrap()
        .success()
        .unwrap_err()
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused_announced_or_not() {
    let announced = always("x".repeat(1001)).await;
    let error = client(&announced).get("x").await.unwrap_err();
    assert!(
        matches!(&error, CallError::Nonsense(why) if why.contains("1000 bytes")),
        "{error}"
    );

    // Chunks without an announcement, and without an end.
    let endless = Router::new().fallback(|| async {
        let chunks = std::iter::repeat(Ok::<_, std::convert::Infallible>(Bytes::from_static(
            &[b'x'; 100],
        )));
        Body::from_stream(futures_util::stream::iter(chunks))
    });
    let endless = format!("http://{}", serve(endless).await);
    let error = client(&endless).get("x").await.unwrap_err();
    assert!(
        matches!(&error, CallError::Nonsense(why) if why.contains("1000 bytes")),
        "{error}"
    );

    let exact = always("x".repeat(1000)).await;
    assert_eq!(client(&exact).get("x").await.unwrap().body().len(), 1000);
}

#[tokio::test]
async fn a_redirect_is_never_followed() {
    let visited = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&visited);
    let elsewhere = Router::new().fallback(move |uri: Uri| {
        seen.lock().unwrap().push(uri.to_string());
        async { "stolen" }
    });
    let elsewhere = format!("http://{}/trap", serve(elsewhere).await);
    let router = Router::new().fallback(move || {
        let elsewhere = elsewhere.clone();
        async move { Redirect::temporary(&elsewhere) }
    });
    let address = format!("http://{}", serve(router).await);
    let secret = client(&address).with_token(Some("secret".to_owned().into()));
    let error = secret
        .post("x", &json!({"proof": 1}))
        .await
        .unwrap()
        .success()
        .unwrap_err();
    assert!(
        matches!(error, CallError::Unexpected { status: 307, .. }),
        "{error}"
    );
    assert!(visited.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_refusal_counts_only_in_the_form_of_this_house() {
    for (body, sentence) in [
        (
            r#"{"detail":"the certificate has expired"}"#,
            "the certificate has expired",
        ),
        (
            r#"{"detail":[{"loc":["body","timestamp"],"msg":"too far ahead","type":"value_error"}]}"#,
            "timestamp: too far ahead",
        ),
    ] {
        let error = refusal(422, body).await;
        let CallError::Refused {
            status: 422,
            reason,
        } = error
        else {
            panic!("{error}")
        };
        assert_eq!(reason, sentence);
    }
    for strange in [
        "<html>Bad Request</html>",
        "",
        "{}",
        r#"{"detail":{"code":7}}"#,
    ] {
        let error = refusal(400, strange).await;
        assert!(
            matches!(error, CallError::Unexpected { status: 400, .. }),
            "{error}"
        );
    }
    let long = format!(r#"{{"detail":"{}\u001b[31m"}}"#, "x".repeat(400));
    let error = refusal(400, Box::leak(long.into_boxed_str())).await;
    let CallError::Refused { reason, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(
        reason,
        "x".repeat(300),
        "cut, and without control characters"
    );
}

#[tokio::test]
async fn a_busy_server_says_when_to_come_back() {
    let body = Json(json!({"detail": "the queue is full"}));
    let address = always((
        StatusCode::SERVICE_UNAVAILABLE,
        [(header::RETRY_AFTER, "7")],
        body,
    ))
    .await;
    let error = client(&address)
        .get("x")
        .await
        .unwrap()
        .success()
        .unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    assert_eq!(error.to_string(), "is busy: the queue is full");
    for (status, page) in [(429, "slow down"), (502, "<html>"), (504, ""), (408, "")] {
        let error = refusal(status, page).await;
        assert!(
            matches!(
                error,
                CallError::Busy {
                    retry_after: None,
                    ..
                }
            ),
            "{status}: {error}"
        );
    }
    // A date instead of seconds is no number of seconds.
    let dated = always((
        StatusCode::SERVICE_UNAVAILABLE,
        [(header::RETRY_AFTER, "Wed, 21 Oct 2026 07:28:00 GMT")],
    ))
    .await;
    let error = client(&dated)
        .get("x")
        .await
        .unwrap()
        .success()
        .unwrap_err();
    assert_eq!(error.retry_after(), None);
}

#[tokio::test]
async fn an_addresss_path_and_the_token_stand_in_every_request() {
    type Seen = Arc<Mutex<Vec<(String, Option<String>)>>>;
    async fn note(State(seen): State<Seen>, request: Request) -> Response {
        let token = request.headers().get(header::AUTHORIZATION);
        let token = token.map(|token| token.to_str().unwrap().to_owned());
        seen.lock()
            .unwrap()
            .push((request.uri().to_string(), token));
        Json(json!({"nonce": "00"})).into_response()
    }
    let seen = Seen::default();
    let router = Router::new().fallback(note).with_state(Arc::clone(&seen));
    let address = format!("http://{}/maker", serve(router).await);
    let authority = Authority::new(&address, &small())
        .unwrap()
        .with_token(Some("bma_7".to_owned().into()));
    authority.begin_attestation().await.unwrap();
    authority.fetch(&format!("{address}/crl")).await.unwrap();
    let expected = [
        (
            "/maker/api/v1/attestation/begin".to_owned(),
            Some("Bearer bma_7".to_owned()),
        ),
        ("/maker/crl".to_owned(), None),
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_left_in_time() {
    let router = Router::new().fallback(|| async {
        tokio::time::sleep(Duration::from_secs(60)).await;
    });
    let address = format!("http://{}", serve(router).await);
    let options = Options {
        timeout: Duration::from_millis(100),
        ..Options::default()
    };
    let error = HttpClient::new(&address, &options)
        .unwrap()
        .get("x")
        .await
        .unwrap_err();
    assert_eq!(
        error,
        CallError::Unreachable("it did not answer in time".into())
    );
    let nobody = HttpClient::new("http://127.0.0.1:1", &options).unwrap();
    let error = nobody.get("x").await.unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
}

async fn validator(router: Router) -> Validator {
    Validator::new(&format!("http://{}", serve(router).await), &small()).unwrap()
}

#[tokio::test]
async fn a_validators_answers_are_read() {
    let digest = Digest::of(b"photo");
    let unknown = json!({"verified": false, "image_hash": digest});
    let stored =
        json!({"receipt_id": "7b", "status": "stored", "received_at": 5, "receipt": {"a": 1}});
    let router = Router::new()
        .route(
            "/api/v1/submit-cert",
            post(|| async {
                let accepted =
                    json!({"receipt_id": "7b", "status": "pending_validation", "message": "x"});
                (StatusCode::ACCEPTED, Json(accepted))
            }),
        )
        .route("/api/v1/submission/7b", get(|| async { Json(stored) }))
        .route(
            "/api/v1/verify/{digest}",
            get(|| async { (StatusCode::NOT_FOUND, Json(unknown)) }),
        )
        .fallback(|| async { (StatusCode::NOT_FOUND, Json(json!({"detail": "not here"}))) });
    let validator = validator(router).await;
    let accepted = validator.submit(&json!({})).await.unwrap();
    assert_eq!(
        (accepted.receipt_id.as_str(), accepted.status),
        ("7b", Stage::PendingValidation)
    );
    let fate = validator.fate("7b").await.unwrap().unwrap();
    assert_eq!(fate.receipt.unwrap().get(), r#"{"a":1}"#);
    assert!(validator.fate("8c").await.unwrap().is_none());
    assert!(validator.fate("../../verify").await.is_err());
    assert!(!validator.verify(&digest).await.unwrap().verified);
    assert!(
        validator.verify(&Digest::of(b"other")).await.is_err(),
        "an answer about another digest"
    );
    assert!(validator.receipt(&digest, None).await.unwrap().is_none());
}

#[tokio::test]
async fn a_wrong_server_cannot_make_a_submission_forgotten() {
    let router = Router::new().fallback(|| async { (StatusCode::NOT_FOUND, "<html>") });
    let error = validator(router).await.fate("7b").await.unwrap_err();
    assert!(
        matches!(error, CallError::Unexpected { status: 404, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_receipt_number_that_leads_elsewhere_is_nonsense() {
    let accepted = json!({"receipt_id": "../../evil", "status": "pending_validation"});
    let router = Router::new().fallback(|| async { (StatusCode::ACCEPTED, Json(accepted)) });
    let error = validator(router)
        .await
        .submit(&json!({}))
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Nonsense(_)), "{error}");
}

#[tokio::test]
async fn a_validator_is_not_taken_for_an_authority() {
    let health = |body: &'static str| async move {
        let address = always((StatusCode::OK, body)).await;
        let authority = Authority::new(&address, &small()).unwrap();
        authority.reach().await
    };
    health(r#"{"status": "ok", "service": "birthmark-sma"}"#)
        .await
        .unwrap();
    health("fine").await.unwrap();
    let refused = health(r#"{"status": "healthy", "node_id": "library.example"}"#).await;
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("library.example, and no authority"), "{said}");
}

#[tokio::test]
async fn tls_where_none_is_spoken_is_said_in_words() {
    let address = always("plain").await.replace("http:", "https:");
    let said = client(&address).get("x").await.err().unwrap().to_string();
    assert!(
        said.contains("does not speak TLS") && said.contains("http://"),
        "{said}"
    );
}

#[tokio::test]
async fn an_authority_without_makers_of_chips_is_no_error() {
    let missing = json!({"detail": "this authority trusts no makers"});
    let address = always((StatusCode::NOT_FOUND, Json(missing))).await;
    let authority = Authority::new(&address, &small()).unwrap();
    assert!(authority.begin_attestation().await.unwrap().is_none());
    let answer: Value =
        json!({"results": [{"commitment": null, "valid": false, "message": "unreadable"}]});
    let authority = Authority::new(&always(Json(answer)).await, &small()).unwrap();
    let batch = authority.validate_batch(&[]).await.unwrap();
    assert!(!batch.results[0].valid && batch.verdict.is_none());
}

/// Whoever keeps the other end of the line: from which port each request came.
async fn ports(options: &Options, requests: usize) -> Vec<u16> {
    let seen = Arc::<Mutex<Vec<u16>>>::default();
    let keeper = Arc::clone(&seen);
    let router = Router::new().fallback(move |ConnectInfo(peer): ConnectInfo<SocketAddr>| {
        keeper.lock().unwrap().push(peer.port());
        async { "x" }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async { axum::serve(listener, service).await });
    let client = HttpClient::new(&address, options).unwrap();
    for _ in 0..requests {
        client.get("x").await.unwrap();
    }
    let seen = seen.lock().unwrap();
    seen.clone()
}

#[tokio::test]
async fn requests_that_are_kept_apart_share_no_connection() {
    let together = ports(&small(), 5).await;
    assert!(together.iter().all(|port| *port == together[0]));
    let apart = Options {
        apart: true,
        ..small()
    };
    let apart: std::collections::BTreeSet<_> = ports(&apart, 5).await.into_iter().collect();
    assert_eq!(apart.len(), 5);
}

/// What a SOCKS proxy was told: the user's name, and the host by its name.
type Told = Arc<Mutex<Vec<(String, String)>>>;

async fn counted(line: &mut tokio::net::TcpStream) -> Vec<u8> {
    use tokio::io::AsyncReadExt as _;
    let length = line.read_u8().await.unwrap();
    let mut bytes = vec![0; length.into()];
    line.read_exact(&mut bytes).await.unwrap();
    bytes
}

async fn pass_on(mut line: tokio::net::TcpStream, target: SocketAddr, told: Told) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
    assert_eq!(line.read_u8().await.unwrap(), 5);
    counted(&mut line).await;
    // Name and password are wanted.
    line.write_all(&[5, 2]).await.unwrap();
    assert_eq!(line.read_u8().await.unwrap(), 1);
    let name = counted(&mut line).await;
    counted(&mut line).await;
    line.write_all(&[1, 0]).await.unwrap();
    let mut asked = [0; 4];
    line.read_exact(&mut asked).await.unwrap();
    assert_eq!(asked, [5, 1, 0, 3], "a connection to a host by its name");
    let host = counted(&mut line).await;
    line.read_u16().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    told.lock().unwrap().push((text(name), text(host)));
    line.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])
        .await
        .unwrap();
    let mut other = tokio::net::TcpStream::connect(target).await.unwrap();
    // It ends when either side does.
    let _ = copy_bidirectional(&mut line, &mut other).await;
}

async fn proxy(target: SocketAddr, told: Told) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((line, _)) = listener.accept().await {
            tokio::spawn(pass_on(line, target, Arc::clone(&told)));
        }
    });
    address
}

#[tokio::test]
async fn a_proxy_is_told_another_name_for_each_request_and_looks_hosts_up_itself() {
    let target = serve(Router::new().fallback(|| async { "x" })).await;
    let told = Told::default();
    let socks = proxy(target, Arc::clone(&told)).await;
    let options = |scheme: &str| Options {
        apart: true,
        socks: Some(format!("{scheme}://{socks}").parse().unwrap()),
        ..small()
    };
    let client = HttpClient::new("http://validator.example", &options("socks5h")).unwrap();
    for _ in 0..3 {
        client.get("x").await.unwrap();
    }
    let told = told.lock().unwrap().clone();
    let names: std::collections::BTreeSet<_> = told.iter().map(|(name, _)| name).collect();
    assert_eq!((told.len(), names.len()), (3, 3), "{told:?}");
    assert!(told.iter().all(|(_, host)| host == "validator.example"));
    let leaking = HttpClient::new("http://validator.example", &options("socks5"));
    assert!(leaking.unwrap_err().to_string().contains("socks5h"));
}
