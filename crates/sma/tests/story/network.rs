//! TLS that is renewed while it serves, and which web pages may read answers.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use birthmark_http::TlsFiles;
use reqwest::{Certificate, Method};

use crate::stand::{Base, Stand, client};

/// Puts a new self-signed certificate and key of this machine into `folder`; the certificate.
fn renew(folder: &Path) -> Certificate {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
        .args(["ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"])
        .args(["-subj", "/CN=localhost", "-addext"])
        .args([
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-keyout",
            "tls.key.pem",
        ])
        .args(["-out", "tls.pem"])
        .current_dir(folder)
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{complaint}");
    Certificate::from_pem(&std::fs::read(folder.join("tls.pem")).unwrap()).unwrap()
}

/// Asks over TLS, trusting this certificate and no other.
async fn healthy(stand: &Stand, trusted: &Certificate) -> reqwest::Result<u16> {
    let client = reqwest::Client::builder()
        .tls_certs_only([trusted.clone()])
        .no_proxy()
        .timeout(Duration::from_secs(30))
        .build()
        .unwrap();
    let url = stand.url.replace("http://", "https://");
    let answer = client.get(format!("{url}/health")).send().await?;
    Ok(answer.status().as_u16())
}

#[tokio::test]
async fn a_renewed_tls_certificate_is_taken_while_it_serves() {
    let folder = tempfile::tempdir().unwrap();
    let first = renew(folder.path());
    let files = TlsFiles {
        certificate: folder.path().join("tls.pem"),
        key: folder.path().join("tls.key.pem"),
    };
    let stand = Stand::with(Base::Sqlite, |settings| settings.tls = Some(files.clone()));
    let mut stand = stand.await;
    assert_eq!(healthy(&stand, &first).await.unwrap(), 200);
    let in_the_clear = client().get(format!("{}/health", stand.url)).send().await;
    assert!(in_the_clear.is_err(), "{in_the_clear:?}");

    let second = renew(folder.path());
    // Looked at every ten seconds.
    let mut taken = false;
    for _ in 0..120 {
        taken = healthy(&stand, &second).await.is_ok();
        if taken {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(taken, "the renewed certificate was never used");
    assert!(healthy(&stand, &first).await.is_err());
    stand.stop().await;
}

/// What another origin's page is told about a path.
async fn allowed(stand: &Stand, method: Method, path: &str, origin: &str) -> Option<String> {
    let request = client()
        .request(method, format!("{}{path}", stand.url))
        .header("origin", origin)
        .header("access-control-request-method", "GET");
    let answer = request.send().await.unwrap();
    let header = answer.headers().get("access-control-allow-origin")?;
    Some(header.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn only_configured_origins_may_read_and_only_what_is_public() {
    let known = "https://known.example";
    let stand = Stand::with(Base::Sqlite, |settings| {
        settings.cors_origins = vec![known.into()];
    });
    let mut stand = stand.await;
    for method in [Method::GET, Method::OPTIONS] {
        let answer = allowed(&stand, method.clone(), "/revocations", known).await;
        assert_eq!(answer.as_deref(), Some(known), "{method}");
        let stranger = "https://stranger.example";
        assert_eq!(
            allowed(&stand, method.clone(), "/stats", stranger).await,
            None
        );
        // What needs a token is for no page of another origin.
        assert_eq!(
            allowed(&stand, method, "/api/v1/devices", known).await,
            None
        );
    }
    stand.stop().await;

    let mut silent = Stand::sqlite().await;
    assert_eq!(allowed(&silent, Method::GET, "/stats", known).await, None);
    silent.stop().await;
}
