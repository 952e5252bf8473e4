//! Every endpoint, asked what it does not expect: a clear refusal, and everything is as before.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::authority::Authority;
use crate::camera::{Camera, digest, now};
use crate::world::{Base, World, client};

/// Every operation of the interface, from its own description: none can be forgotten.
fn operations() -> Vec<(String, String)> {
    let document: Value = serde_json::from_str(&birthmark_node::http::document()).unwrap();
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            found.push((method.to_uppercase(), path.clone()));
        }
    }
    assert!(found.len() >= 20, "{found:?}");
    found
}

async fn send(world: &World, method: &str, path: &str, body: Option<&[u8]>) -> (u16, String) {
    let method = method.parse().unwrap();
    let mut request = client().request(method, format!("{}{path}", world.url));
    if let Some(body) = body {
        request = request.body(body.to_vec());
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    // An event stream never ends.
    match status {
        200 => (status, String::new()),
        _ => (status, answer.text().await.unwrap()),
    }
}

fn detail(text: &str) -> Value {
    let answer: Value = serde_json::from_str(text).unwrap_or_else(|_| panic!("no JSON: {text}"));
    answer
        .get("detail")
        .unwrap_or_else(|| panic!("{text}"))
        .clone()
}

async fn total(world: &World) -> Value {
    world.get("/api/v1/status").await.1["total_hashes"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_addresses_bodies_and_methods_are_refused_in_words_at_every_endpoint() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let mut world = World::started(Base::Sqlite, folder, vec![authority.entry()]).await;
    let photo = digest();
    let id = world
        .submit(
            "/api/v1/submit-cert",
            &camera.certificate_plan(photo, now()),
        )
        .await;
    world.stored(&id).await;
    let long = "a".repeat(5000);
    let parts = [
        "x",
        "-1",
        "0x1",
        "1e3",
        "%00",
        "%ff%fe",
        "..%2f..%2fetc%2fpasswd",
        "9223372036854775808",
        "18446744073709551616",
        "%D9%A3",
        "'%20OR%201=1--",
        "{image_hash}",
        &long,
    ];
    let bodies: [&[u8]; 8] = [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\"text\"",
        b"\xff\xfe\x00",
        b"{\"image_hash\":1}",
        b"{\"a\":{\"a\":{\"a\":[[[",
    ];
    for (method, path) in operations() {
        if let Some((before, after)) = path.split_once('{') {
            let after = after.split_once('}').unwrap().1;
            for part in parts {
                let wrong = format!("{before}{part}{after}");
                let (status, text) = send(&world, &method, &wrong, None).await;
                assert!(
                    matches!(status, 400 | 404 | 414 | 422),
                    "{wrong} {status} {text}"
                );
                detail(&text);
            }
        }
        if method == "POST" {
            // This validator is nobody's witness, and says so before it reads anything.
            let is_witness = path.starts_with("/witness/");
            for body in bodies {
                let (status, text) = send(&world, &method, &path, Some(body)).await;
                assert!(
                    matches!(status, 400 | 401 | 422) || (is_witness && status == 404),
                    "{path} {status} {text}"
                );
                detail(&text);
            }
            let (status, _) = send(&world, &method, &path, Some(&vec![b' '; 100_000])).await;
            assert!(
                matches!(status, 401 | 413) || (is_witness && status == 404),
                "{path} {status}"
            );
        } else {
            // What only answers does not mind a body.
            let known = path
                .replace("{image_hash}", &photo.to_hex())
                .replace("{height}/{prefix}", "0/all")
                .replace("{part}", "0")
                .replace("{height}", "1")
                .replace("/tile/{path}", "/tile/0/000.p/1");
            let known = known.replace("{receipt_id}", &id);
            let (status, text) = send(&world, &method, &known, Some(b"{\"a\":1}")).await;
            let is_query = path.ends_with("/consistency") || path.ends_with("/epochs");
            // This registry has no witnesses and this validator is nobody's, and both say so.
            let is_unwitnessed = path.ends_with("/witnessed") || path.starts_with("/witness/");
            assert!(
                status == 200 || (is_query && status == 422) || (is_unwitnessed && status == 404),
                "{known} {status} {text}"
            );
        }
        for other in ["PUT", "DELETE", "PATCH", "TRACE", "BREW"] {
            let (status, text) = send(&world, other, &path.replace(['{', '}'], ""), None).await;
            assert!(
                matches!(status, 404 | 405),
                "{other} {path} {status} {text}"
            );
            detail(&text);
        }
    }
    for query in [
        "",
        "?old=1",
        "?old=-1&new=1",
        "?old=1&old=2&new=3",
        "?old=2&new=1",
        "?old=0&new=18446744073709551615",
        "?old=a&new=%ff",
    ] {
        let (status, text) =
            send(&world, "GET", &format!("/api/v1/consistency{query}"), None).await;
        assert!(matches!(status, 400 | 422), "{query} {status} {text}");
        detail(&text);
    }
    for query in [
        "?before=-1",
        "?limit=x",
        "?before=1&before=2",
        "?limit=99999999999",
    ] {
        let (status, text) = send(&world, "GET", &format!("/api/v1/blocks{query}"), None).await;
        assert_eq!(status, 422, "{query} {text}");
        detail(&text);
    }
    assert_eq!(total(&world).await, 1);
    assert_eq!(world.verify(&photo).await.0, 200);
    world.stop().await;
    drop(authority);
}

/// What a client says when it does not speak HTTP properly: refused or cut off, never answered with
/// success or our own failure.
#[tokio::test(flavor = "multi_thread")]
async fn broken_http_is_refused_or_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::started(Base::Sqlite, folder, Vec::new()).await;
    let address = world.url["http://".len()..].to_owned();
    let post = "POST /api/v1/submit HTTP/1.1\r\nhost: x\r\n";
    let many = "x: y\r\n".repeat(5000);
    let long = format!("x: {}\r\n", "y".repeat(100_000));
    for request in [
        "\r\n\r\n\r\n",
        "GARBAGE\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\0 a TLS greeting\r\n\r\n",
        "GET /api/v1/status HTTP/1.1\r\nhost: x\r\nno colon\r\n\r\n",
        &format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(100_000)),
        &format!("GET /api/v1/status HTTP/1.1\r\nhost: x\r\n{many}\r\n"),
        &format!("GET /api/v1/status HTTP/1.1\r\nhost: x\r\n{long}\r\n"),
        &format!("{post}content-length: -1\r\n\r\n{{}}"),
        &format!("{post}content-length: 18446744073709551616\r\n\r\n{{}}"),
        &format!("{post}content-length: 2\r\ncontent-length: 3\r\n\r\n{{}}x"),
        &format!("{post}transfer-encoding: chunked\r\n\r\nzz\r\n{{}}\r\n0\r\n\r\n"),
        &format!("{post}transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n{{}}\r\n0\r\n\r\n"),
        &format!("{post}content-length: 9999999999\r\n\r\n{{}}"),
    ] {
        let mut connection = TcpStream::connect(&address).await.unwrap();
        let _ = connection.write_all(request.as_bytes()).await;
        let mut answer = vec![0; 64];
        // A connection that is cut is an answer too.
        let count = connection.read(&mut answer).await.ok().unwrap_or_default();
        let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
        let shown: String = request.chars().take(60).collect();
        assert!(
            answer.is_empty()
                || answer.starts_with("HTTP/1.1 4")
                || answer.starts_with("HTTP/1.0 4"),
            "{shown:?}: {answer}"
        );
    }
    assert_eq!(world.get("/health").await.0, 200);
    world.stop().await;
}

/// A genuine certificate with any one byte changed is nobody's, and one with a thousand extensions
/// is just refused.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_with_any_byte_changed_are_refused() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let mut world = World::started(Base::Sqlite, folder, vec![authority.entry()]).await;
    let good = camera.certificate_plan(digest(), now());
    let der = camera.certificate().der().to_vec();
    let asked = client();
    let send = async |certificate: &[u8]| {
        let mut body = good.clone();
        body["camera_cert"] = STANDARD.encode(certificate).into();
        let request = asked
            .post(format!("{}/api/v1/submit-cert", world.url))
            .json(&body);
        request.send().await.unwrap().status().as_u16()
    };
    for place in 0..der.len() {
        let mut changed = der.clone();
        changed[place] ^= 0x55;
        let status = send(&changed).await;
        assert!(matches!(status, 400 | 422), "byte {place}: {status}");
    }
    for end in [0, 1, 2, 10, der.len() / 2, der.len() - 1] {
        assert_eq!(send(&der[..end]).await, 422);
    }
    assert_eq!(send(&[&der[..], &[0]].concat()).await, 422);
    // The list of extensions, a thousand times over: as large as it says, and still refused.
    assert!(matches!(send(&der.repeat(12)).await, 413 | 422));
    assert_eq!(total(&world).await, 0);
    let id = world.submit("/api/v1/submit-cert", &good).await;
    world.stored(&id).await;
    world.stop().await;
    drop(authority);
}

/// Cameras' clocks at both ends of what a number can hold.
#[tokio::test(flavor = "multi_thread")]
async fn the_ends_of_time_are_answered_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let mut world = World::started(Base::Sqlite, folder, vec![authority.entry()]).await;
    let at = birthmark_protocol::Timestamp::from_unix;
    for end in [i64::MAX, i64::MAX - 1, now().unix() + 330] {
        let body = camera.certificate_plan(digest(), at(end));
        assert!(
            world
                .refused("/api/v1/submit-cert", &body)
                .await
                .contains("future")
        );
    }
    for end in [i64::MIN, i64::MIN + 1, -1, 0] {
        let photo = digest();
        let id = world
            .submit(
                "/api/v1/submit-cert",
                &camera.certificate_plan(photo, at(end)),
            )
            .await;
        world.stored(&id).await;
        let (status, answer) = world.verify(&photo).await;
        assert_eq!((status, answer["timestamp"].as_i64()), (200, Some(end)));
        assert!(
            answer["finding"]
                .as_str()
                .unwrap()
                .contains("existed before")
        );
    }
    let far = json!({"image_hash": digest(), "timestamp": 1e300});
    assert_eq!(world.post("/api/v1/submit", &far).await.0, 422);
    world.stop().await;
    drop(authority);
}
