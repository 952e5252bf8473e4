//! Cameras with certificates, and photos that they really sign.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthmark_daemon::random;
use birthmark_node::clock;
use birthmark_protocol::submission::certificate_lines;
use birthmark_protocol::{CameraCertificate, Digest};
use birthmark_sma::ca::{FastKey, PrivateKey};
use p256::pkcs8::{EncodePublicKey as _, LineEnding};
use serde_json::{Value, json};

use crate::http;

/// How long the authority may take to certify one.
const PATIENCE: Duration = Duration::from_secs(20);

/// A camera.
#[derive(Debug)]
pub struct Camera {
    key: FastKey,
    certificate: String,
}

/// A photo that was never seen before, as it is submitted.
#[derive(Debug)]
pub struct Photo {
    /// By what it is registered.
    pub digest: Digest,
    /// What `/api/v1/submit-cert` takes.
    pub body: String,
}

impl Camera {
    /// A camera with this key and the certificate for it.
    pub fn new(key: &PrivateKey, certificate: &CameraCertificate) -> anyhow::Result<Self> {
        Ok(Self {
            key: key.fast().context("the camera's key")?,
            certificate: STANDARD.encode(certificate.der()),
        })
    }

    /// A camera that the authority at this address certifies now.
    pub async fn provisioned(authority: SocketAddr, number: usize) -> anyhow::Result<Self> {
        let key = PrivateKey::generate()?;
        let public = key.signer().verifying_key();
        let pem = public.to_public_key_pem(LineEnding::LF)?;
        let run: [u8; 4] = random::bytes()?;
        let serial = format!("TRIAL-{:08x}-{number}", u32::from_be_bytes(run));
        let wanted = json!({
            "device_serial": serial, "device_family": "Trial Camera", "device_public_key": pem
        });
        let request = http::post("/api/v1/devices/provision", &wanted.to_string());
        let (status, answer) = http::ask(authority, &request, PATIENCE).await?;
        ensure!(status == 201, "the authority certifies no camera: {status}");
        let answer: Value = serde_json::from_slice(&answer)?;
        let pem = answer.get("device_certificate").and_then(Value::as_str);
        let pem = pem.context("the authority's answer has no certificate")?;
        Self::new(&key, &CameraCertificate::from_pem_or_der(pem.as_bytes())?)
    }

    /// A new photo, as the documents' cameras with certificates send it.
    pub fn photo(&self) -> anyhow::Result<Photo> {
        let (digest, now) = (Digest::from_bytes(random::bytes()?), clock::now());
        let text = certificate_lines(&digest, &self.certificate, now, None);
        let signature = self.key.sign(text.as_bytes()).context("the camera's key")?;
        let body = json!({
            "image_hash": digest, "camera_cert": self.certificate, "software_cert": null,
            "timestamp": now, "bundle_signature": STANDARD.encode(signature.to_der())
        });
        let body = body.to_string();
        Ok(Photo { digest, body })
    }
}
