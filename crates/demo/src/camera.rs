//! The demonstration's camera: the signer over an emulated TPM, and capture with a simulated
//! sensor.

use std::path::PathBuf;
use std::time::Duration;

use birthmark_capture::CaptureSettings;
use birthmark_capture::client::CaptureCalls as _;
use birthmark_capture::messages::Photo;
use birthmark_capture::settings::{Place, Source};
use birthmark_cli::camera::provision::{ProvisionOptions, provision};
use birthmark_daemon::varlink::{Peers, connect, within};
use birthmark_daemon::{Credentials, Shutdown};
use birthmark_signer::{KeyStoreKind, SignerClient, SignerSettings};
use birthmark_testkit::tpm::Swtpm;

use crate::authority::Authority;
use crate::embedded::Embedded;
use crate::folder::Folder;
use crate::random::random;
use crate::validator::Registry;

/// How long one photo may take before the demonstration gives up.
const DEADLINE: Duration = Duration::from_secs(120);

/// A camera of which only the sensor is simulated.
pub(crate) struct SimulatedCamera {
    serial: String,
    signer: SignerSettings,
    capture: CaptureSettings,
    emulator: Option<Swtpm>,
    /// The folder of the credential that the chip asks for.
    credentials: PathBuf,
}

impl SimulatedCamera {
    /// Prepares the camera with this sensor around a TPM, if there is one.
    pub(crate) fn new(
        folder: &Folder,
        sensor: u64,
        emulator: Option<Swtpm>,
    ) -> anyhow::Result<Self> {
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
        let credentials = folder.part("camera/credentials")?;
        if !credentials.join("chip-auth").exists() {
            folder.file("camera/credentials/chip-auth", &random::<32>()?)?;
        }
        let capture = CaptureSettings {
            socket: folder.socket("capture"),
            photos: folder.part("photos")?,
            state: folder.part("camera/capture")?,
            signer: signer.socket.clone(),
            place: Place::Ignored,
            source: Some(Source::Simulated {
                sensor,
                width: None,
                height: None,
            }),
            keep_free_mib: 64,
            ..CaptureSettings::default()
        };
        Ok(Self {
            serial: format!("DEMO-{:08X}", sensor >> 32),
            signer,
            capture,
            emulator,
            credentials,
        })
    }

    /// The camera's serial number.
    pub(crate) fn serial(&self) -> &str {
        &self.serial
    }

    /// Whether its key is in an emulated TPM.
    pub(crate) fn has_chip(&self) -> bool {
        self.emulator.is_some()
    }

    /// Where its photos are.
    pub(crate) fn photos(&self) -> &PathBuf {
        &self.capture.photos
    }

    /// Where its daemons listen: capture, then the signer.
    pub(crate) fn sockets(&self) -> [&PathBuf; 2] {
        [&self.capture.socket, &self.signer.socket]
    }

    /// Starts the signer.
    pub(crate) async fn start_signer(&self, shutdown: &Shutdown) -> anyhow::Result<Embedded> {
        let settings = self.signer.clone();
        Embedded::start(
            settings,
            Credentials::at(&self.credentials),
            shutdown,
            birthmark_signer::run,
        )
        .await
    }

    /// Starts capture, which sends its proofs to the first validator of `registry`.
    pub(crate) async fn start_capture(
        &self,
        registry: &Registry,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Embedded> {
        let settings = CaptureSettings {
            node: registry.first.address().into(),
            genesis: Some(registry.genesis.clone()),
            ..self.capture.clone()
        };
        Embedded::start(
            settings,
            Credentials::none(),
            shutdown,
            birthmark_capture::run,
        )
        .await
    }

    /// Makes the key, has the chip attested and the authority certify it, and seals the secrets.
    /// Answers where the key is, in words.
    pub(crate) async fn provision(&self, authority: &Authority) -> anyhow::Result<String> {
        let mut signer = SignerClient::connect(&self.signer.socket).await?;
        let options = ProvisionOptions {
            authority: authority.address(),
            serial: self.serial.clone(),
            family: "Simulated Raspberry Pi HQ".into(),
            nuc_hash: None,
            token_file: None,
            require_attestation: self.emulator.is_some(),
            again: false,
        };
        let provisioned = provision(&mut signer, &options).await?;
        Ok(match (provisioned.key_store, &self.emulator) {
            (KeyStoreKind::Tpm, Some(_)) => "an emulated TPM (swtpm), which attested it".into(),
            (KeyStoreKind::Tpm, None) => "a TPM".into(),
            (KeyStoreKind::Software, _) => {
                "a file, because no TPM emulator (swtpm) is installed".into()
            }
        })
    }

    /// Presses the shutter.
    pub(crate) async fn shoot(&self) -> anyhow::Result<Photo> {
        let mut camera = connect(&self.capture.socket, &Peers::same_user(), DEADLINE).await?;
        Ok(within(DEADLINE, camera.capture()).await??)
    }
}
