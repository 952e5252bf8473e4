//! Answers about single certificates, and the files of the authority that others pin.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use birthmark_sma::ca;
use reqwest::StatusCode;

use crate::camera::Camera;
use crate::stand::{Stand, client, openssl};

/// A request of openssl's about certificates under an issuer.
fn request(folder: &Path, issuer: &str, asked: &[&str]) -> Vec<u8> {
    let begin = ["ocsp", "-no_nonce", "-issuer", issuer];
    let end = ["-reqout", "request.der"];
    openssl(folder, &[&begin[..], asked, &end].concat());
    std::fs::read(folder.join("request.der")).unwrap()
}

async fn answer(stand: &Stand, request: Vec<u8>) -> Vec<u8> {
    let post = client().post(format!("{}/ocsp", stand.url)).body(request);
    let answer = post.send().await.unwrap();
    let kind = answer.headers()["content-type"].to_str().unwrap();
    assert_eq!(kind, "application/ocsp-response");
    answer.bytes().await.unwrap().to_vec()
}

/// What openssl reads in an answer, signature checked.
fn read(folder: &Path, answer: &[u8], issuer: &str, asked: &[&str]) -> String {
    std::fs::write(folder.join("answer.der"), answer).unwrap();
    let begin = ["ocsp", "-respin", "answer.der", "-no_nonce"];
    let trust = ["-CAfile", "root.pem", "-verify_other", issuer];
    let about = [&["-issuer", issuer][..], asked].concat();
    openssl(folder, &[&begin[..], &trust, &about].concat())
}

/// An answer that says only why there is none.
fn status_only(status: u8) -> Vec<u8> {
    vec![0x30, 3, 0x0A, 1, status]
}

fn write_authority(stand: &Stand) {
    std::fs::write(stand.path("root.pem"), &stand.founded.root).unwrap();
    std::fs::write(stand.path("old.pem"), &stand.founded.intermediate).unwrap();
}

fn write_camera(stand: &Stand, camera: &Camera, name: &str) {
    let pem = camera.answer["device_certificate"].as_str().unwrap();
    std::fs::write(stand.path(name), pem).unwrap();
}

#[tokio::test]
async fn what_cannot_be_answered_about_a_certificate_is_said_in_the_protocols_own_words() {
    let mut stand = Stand::sqlite().await;
    let camera = Camera::provision(&stand, "CAM-1").await;
    write_authority(&stand);
    write_camera(&stand, &camera, "camera.pem");
    let folder = stand.folder.path().to_owned();
    let (malformed, unauthorized) = (status_only(1), status_only(6));

    for garbage in [&b""[..], &[0x30], &[0x30, 0], &[0xFF; 100]] {
        assert_eq!(answer(&stand, garbage.to_vec()).await, malformed);
    }
    let mut longer = request(&folder, "old.pem", &["-cert", "camera.pem"]);
    longer.push(0);
    assert_eq!(answer(&stand, longer).await, malformed, "bytes behind it");

    // Twenty at once, and no more.
    let numbers: Vec<_> = (1..=21).map(|number| number.to_string()).collect();
    let asked: Vec<_> = numbers
        .iter()
        .flat_map(|number| ["-serial", number.as_str()])
        .collect();
    let many = answer(&stand, request(&folder, "old.pem", &asked[..40])).await;
    let text = read(&folder, &many, "old.pem", &asked[..40]);
    assert_eq!(text.matches(": unknown").count(), 20, "{text}");
    let too_many = request(&folder, "old.pem", &asked);
    assert_eq!(answer(&stand, too_many).await, malformed);

    // About certificates of an issuer that is none of ours: nobody here may answer.
    let foreign = request(&folder, "root.pem", &["-serial", "1"]);
    assert_eq!(answer(&stand, foreign).await, unauthorized);

    // A request in the path, as caches between like it.
    let one = request(&folder, "old.pem", &["-cert", "camera.pem"]);
    let mut url = reqwest::Url::parse(&stand.url).unwrap();
    let text = STANDARD.encode(&one);
    url.path_segments_mut().unwrap().extend(["ocsp", &text]);
    let got = client().get(url).send().await.unwrap();
    let got = got.bytes().await.unwrap();
    let text = read(&folder, &got, "old.pem", &["-cert", "camera.pem"]);
    assert!(text.contains("camera.pem: good"), "{text}");
    let wrong = client().get(format!("{}/ocsp/!!", stand.url));
    let wrong = wrong.send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.text().await.unwrap().contains("base64"));
    let large = client().post(format!("{}/ocsp", stand.url));
    let large = large.body(vec![0; 64 * 1024 + 1]).send().await.unwrap();
    assert_eq!(large.status(), StatusCode::PAYLOAD_TOO_LARGE);
    stand.stop().await;
}

/// Each intermediate has a responder under it, also the one that certifies nobody any more.
#[tokio::test]
async fn a_former_intermediate_still_answers_and_a_distrusted_one_takes_all_back() {
    let mut stand = Stand::sqlite().await;
    let old = Camera::provision(&stand, "CAM-1").await;
    write_authority(&stand);
    write_camera(&stand, &old, "camera.pem");
    let folder = stand.folder.path().to_owned();
    let root_key = stand.path("root.key.pem");
    let rotate = ["rotate-ca", "--root-key", root_key.to_str().unwrap()];
    stand.command(&rotate).await.unwrap();
    let new = Camera::provision(&stand, "CAM-2").await;
    write_camera(&stand, &new, "new-camera.pem");
    let chain = new.answer["certificate_chain"][0].as_str().unwrap();
    std::fs::write(stand.path("new.pem"), chain).unwrap();

    let old_one = ["-cert", "camera.pem"];
    let about_old = request(&folder, "old.pem", &old_one);
    let said = answer(&stand, about_old.clone()).await;
    let said = read(&folder, &said, "old.pem", &old_one);
    assert!(said.contains("camera.pem: good"), "{said}");
    let new_one = ["-cert", "new-camera.pem"];
    let about_new = request(&folder, "new.pem", &new_one);
    let said = answer(&stand, about_new.clone()).await;
    let said = read(&folder, &said, "new.pem", &new_one);
    assert!(said.contains("new-camera.pem: good"), "{said}");

    let der = birthmark_sma::setup::der_of(&stand.founded.intermediate).unwrap();
    let key = ca::public_key_of(&der).unwrap().id().to_string();
    stand.command(&["distrust", &key]).await.unwrap();
    let said = answer(&stand, about_old).await;
    let said = read(&folder, &said, "old.pem", &old_one);
    assert!(said.contains("camera.pem: revoked"), "{said}");
    let said = answer(&stand, about_new).await;
    let said = read(&folder, &said, "new.pem", &new_one);
    assert!(said.contains("new-camera.pem: good"), "{said}");
    stand.stop().await;
}

#[tokio::test]
async fn the_files_that_others_pin_are_served_as_they_were_made() {
    let mut stand = Stand::sqlite().await;
    let fetch = async |path: &str| {
        let answer = client().get(format!("{}{path}", stand.url)).send().await;
        let answer = answer.unwrap();
        let kind = answer.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        let cached = answer.headers()["cache-control"].to_str().unwrap();
        assert_eq!(cached, "no-store", "{path}");
        (kind, answer.bytes().await.unwrap().to_vec())
    };
    let (kind, root) = fetch("/ca/root.pem").await;
    assert_eq!(kind, "application/x-pem-file");
    assert_eq!(String::from_utf8(root).unwrap(), stand.founded.root);
    let (_, first) = fetch("/ca/intermediate.pem").await;
    let first = String::from_utf8(first).unwrap();
    assert_eq!(first, stand.founded.intermediate);
    let (kind, der) = fetch("/ca/intermediate.der").await;
    assert_eq!(
        (&*kind, &*ca::pem(&der)),
        ("application/pkix-cert", &*first)
    );

    // Former ones stay, the newest last; in DER there is the one in use.
    let root_key = stand.path("root.key.pem");
    let rotate = ["rotate-ca", "--root-key", root_key.to_str().unwrap()];
    stand.command(&rotate).await.unwrap();
    let (_, both) = fetch("/ca/intermediate.pem").await;
    let both = String::from_utf8(both).unwrap();
    let (_, der) = fetch("/ca/intermediate.der").await;
    assert_eq!(both, format!("{first}{}", ca::pem(&der)));
    stand.stop().await;
}
