//! The demonstration's manufacturer authority.

use std::path::PathBuf;

use anyhow::Context as _;
use birthmark_daemon::{Credentials, Shutdown};
use birthmark_sma::Settings;
use birthmark_sma::setup::{self, ROOT_CREDENTIAL, Root, VAULT_CREDENTIAL};

use super::embedded::{Embedded, free_port};
use super::folder::Folder;
use super::report::Reporter;

/// An authority with its own keys, tables and database.
pub struct Authority {
    settings: Settings,
    credentials: PathBuf,
    /// The certificate that certifies cameras.
    pub intermediate: PathBuf,
    /// The key that signs verdicts.
    pub verdict_key: PathBuf,
}

impl Authority {
    /// Makes keys, 2,500 key tables and an empty registry.
    pub async fn found(
        folder: &Folder,
        port: u16,
        chip_makers: &[String],
        reporter: &Reporter,
    ) -> anyhow::Result<Self> {
        let part = folder.part("authority")?;
        let port = free_port(port).context("--sma-port")?;
        let provisioning = birthmark_sma::settings::Provisioning {
            tpm_roots: chip_folder(folder, chip_makers)?,
            ..Default::default()
        };
        let settings = Settings {
            provisioning,
            endpoint: format!("http://127.0.0.1:{port}/validate-cert"),
            database: format!("sqlite://{}", part.join("authority.db").display()),
            listen: ([127, 0, 0, 1], port).into(),
            control: folder.socket("authority"),
            ..Settings::default()
        };
        let credentials = folder.part("authority/credentials")?;
        folder.file(
            &format!("authority/credentials/{VAULT_CREDENTIAL}"),
            secret_text()?.as_bytes(),
        )?;
        folder.file(
            &format!("authority/credentials/{ROOT_CREDENTIAL}"),
            secret_text()?.as_bytes(),
        )?;
        let key_file = part.join("root-key.pem");
        let progress =
            reporter.progress("key tables", u64::from(birthmark_protocol::numbers::TABLES));
        let root = Root::New {
            key_file: &key_file,
        };
        let founded = setup::found(
            &settings,
            &Credentials::at(&credentials),
            root,
            None,
            |done| progress.set_position(done),
        )
        .await;
        progress.finish_and_clear();
        let founded = founded.context("the authority cannot be set up")?;
        Ok(Self {
            settings,
            credentials,
            intermediate: folder.file(
                "authority/intermediate.pem",
                founded.intermediate.as_bytes(),
            )?,
            verdict_key: folder
                .file("authority/verdict-key.pem", founded.verdict_key.as_bytes())?,
        })
    }

    /// Starts the daemon.
    pub async fn start(&self, shutdown: &Shutdown) -> anyhow::Result<Embedded> {
        let credentials = Credentials::at(&self.credentials);
        Ok(Embedded::start(
            self.settings.clone(),
            credentials,
            shutdown,
            birthmark_sma::run,
        )
        .await?
        .0)
    }

    /// What it is called in certificates and verdicts.
    pub fn name(&self) -> &str {
        &self.settings.manufacturer_id
    }

    /// Where it answers.
    pub fn address(&self) -> String {
        format!("http://{}", self.settings.listen)
    }

    /// What its certificates name as its address.
    pub fn endpoint(&self) -> &str {
        &self.settings.endpoint
    }
}

/// Leaves the certificates of TPM makers where the authority reads them, if there are any.
fn chip_folder(folder: &Folder, chip_makers: &[String]) -> anyhow::Result<Option<PathBuf>> {
    if chip_makers.is_empty() {
        return Ok(None);
    }
    let path = folder.part("authority/chip-makers")?;
    for (number, certificate) in chip_makers.iter().enumerate() {
        folder.file(
            &format!("authority/chip-makers/{number}.pem"),
            certificate.as_bytes(),
        )?;
    }
    Ok(Some(path))
}

/// 32 random bytes that can be typed.
pub fn secret_text() -> anyhow::Result<String> {
    Ok(random::<32>()?
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// Random bytes of the system.
pub fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    Ok(birthmark_daemon::random::bytes()?)
}
