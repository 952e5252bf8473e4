//! The demonstration's camera: the signer over an emulated TPM, and capture with a simulated sensor.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use birthmark_capture::CaptureSettings;
use birthmark_capture::client::CaptureCalls as _;
use birthmark_capture::messages::Photo;
use birthmark_capture::settings::{Place, Source};
use birthmark_daemon::varlink::{Peers, connect, within};
use birthmark_daemon::{Credentials, Shutdown};
use birthmark_signer::{KeyStoreKind, SignerClient, SignerSettings};
use birthmark_testkit::tpm::Swtpm;
use serde_json::json;

use super::authority::{Authority, random};
use super::embedded::Embedded;
use super::folder::Folder;

/// How long one photo may take before the demonstration gives up.
const DEADLINE: Duration = Duration::from_secs(120);

/// A camera of which only the sensor is simulated.
pub struct SimulatedCamera {
    serial: String,
    signer: SignerSettings,
    capture: CaptureSettings,
    emulator: Option<Swtpm>,
}

impl SimulatedCamera {
    /// Prepares the camera; takes an emulated TPM if one is installed.
    pub fn new(folder: &Folder, node: &str) -> anyhow::Result<Self> {
        let emulator = Swtpm::is_installed()
            .then(Swtpm::start)
            .transpose()
            .context("the TPM emulator does not start")?;
        let mut signer = SignerSettings {
            socket: folder.socket("signer"),
            callers: Vec::new(),
            administrators: Vec::new(),
            state_directory: folder.part("camera/signer")?,
            ..SignerSettings::default()
        };
        match &emulator {
            Some(emulator) => signer.tpm.tcti = emulator.tcti(),
            None => signer.key_store = KeyStoreKind::Software,
        }
        let sensor = u64::from_be_bytes(random()?);
        let capture = CaptureSettings {
            socket: folder.socket("capture"),
            photos: folder.part("photos")?,
            state: folder.part("camera/capture")?,
            node: node.to_owned(),
            signer: signer.socket.clone(),
            place: Place::Ignored,
            // TOML, the format of settings, has signed integers only.
            source: Source::Simulated {
                sensor: sensor >> 1,
                width: None,
                height: None,
            },
            keep_free_mib: 64,
            ..CaptureSettings::default()
        };
        Ok(Self {
            serial: format!("DEMO-{:08X}", sensor >> 32),
            signer,
            capture,
            emulator,
        })
    }

    /// The camera's serial number.
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// Where its photos are.
    pub fn photos(&self) -> &PathBuf {
        &self.capture.photos
    }

    /// Starts the signer.
    pub async fn start_signer(&self, shutdown: &Shutdown) -> anyhow::Result<Embedded> {
        Ok(Embedded::start(
            self.signer.clone(),
            Credentials::none(),
            shutdown,
            birthmark_signer::run,
        )
        .await?
        .0)
    }

    /// Starts capture.
    pub async fn start_capture(&self, shutdown: &Shutdown) -> anyhow::Result<Embedded> {
        Ok(Embedded::start(
            self.capture.clone(),
            Credentials::none(),
            shutdown,
            birthmark_capture::run,
        )
        .await?
        .0)
    }

    /// Makes the key, has the authority certify it, and seals the secrets. Answers where the key is, in words.
    pub async fn provision(&self, authority: &Authority) -> anyhow::Result<String> {
        let mut signer = SignerClient::connect(&self.signer.socket).await?;
        let (key, kind) = signer.enrol(false).await?;
        let request = json!({
            "device_serial": self.serial,
            "device_family": "Simulated Raspberry Pi HQ",
            "device_public_key": public_pem(&key.to_spki_der())?,
        });
        let url = format!("{}/api/v1/devices/provision", authority.address());
        let response = reqwest::Client::new()
            .post(url)
            .json(&request)
            .send()
            .await?;
        let (status, text) = (response.status(), response.text().await?);
        if status != reqwest::StatusCode::CREATED {
            bail!("the authority answered {status}: {text}");
        }
        signer.provision(&text).await?;
        Ok(match (kind, &self.emulator) {
            (KeyStoreKind::Tpm, Some(_)) => "an emulated TPM (swtpm)".into(),
            (KeyStoreKind::Tpm, None) => "a TPM".into(),
            (KeyStoreKind::Software, _) => {
                "a file, because no TPM emulator (swtpm) is installed".into()
            }
        })
    }

    /// Presses the shutter.
    pub async fn shoot(&self) -> anyhow::Result<Photo> {
        let mut camera = connect(&self.capture.socket, &Peers::same_user(), DEADLINE).await?;
        Ok(within(DEADLINE, camera.capture()).await??)
    }
}

fn public_pem(spki: &[u8]) -> anyhow::Result<String> {
    use p256::pkcs8::{DecodePublicKey as _, EncodePublicKey as _, LineEnding};
    let key = p256::PublicKey::from_public_key_der(spki).context("the signer's key")?;
    key.to_public_key_pem(LineEnding::LF)
        .context("the signer's key cannot be written")
}
