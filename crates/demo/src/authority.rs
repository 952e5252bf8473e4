//! The demonstration's manufacturer authority.

use std::path::PathBuf;

use anyhow::Context as _;
use birthmark_daemon::{Credentials, Shutdown};
use birthmark_sma::Settings;
use birthmark_sma::setup::{self, ROOT_CREDENTIAL, Root, VAULT_CREDENTIAL};

use crate::embedded::Embedded;
use crate::folder::Folder;
use crate::random::secret_text;

/// An authority with its own keys, tables and database.
pub(crate) struct Authority {
    settings: Settings,
    credentials: PathBuf,
    /// The certificate that certifies cameras.
    pub(crate) intermediate: PathBuf,
    /// The key that signs verdicts.
    pub(crate) verdict_key: PathBuf,
}

impl Authority {
    /// The authority of this folder, which may have to be founded. It trusts the makers of TPMs
    /// whose certificates lie in `chip_makers`.
    pub(crate) fn new(
        folder: &Folder,
        port: u16,
        chip_makers: Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        let part = folder.part("authority")?;
        let rehearsal = Settings::rehearsal("simulated-manufacturer");
        let provisioning = birthmark_sma::settings::Provisioning {
            tpm_roots: chip_makers,
            ..rehearsal.provisioning
        };
        let settings = Settings {
            provisioning,
            endpoint: format!("http://127.0.0.1:{port}/validate-cert"),
            database: format!("sqlite://{}", part.join("authority.db").display()),
            listen: ([127, 0, 0, 1], port).into(),
            control: folder.socket("authority"),
            ..rehearsal
        };
        Ok(Self {
            settings,
            credentials: folder.part("authority/credentials")?,
            intermediate: part.join("intermediate.pem"),
            verdict_key: part.join("verdict-key.pem"),
        })
    }

    /// Makes keys, 2,500 key tables and an empty database, and says how many tables are done.
    pub(crate) async fn found(
        &self,
        folder: &Folder,
        progress: impl Fn(u64),
    ) -> anyhow::Result<()> {
        for name in [VAULT_CREDENTIAL, ROOT_CREDENTIAL] {
            let secret = secret_text()?;
            folder.file(&format!("authority/credentials/{name}"), secret.as_bytes())?;
        }
        let key_file = folder.path().join("authority/root-key.pem");
        let root = Root::New {
            key_file: &key_file,
        };
        let credentials = Credentials::at(&self.credentials);
        let founded = setup::found(&self.settings, &credentials, root, None, progress).await;
        let founded = founded.context("the authority cannot be set up")?;
        for (name, pem) in [
            ("root.pem", &founded.root),
            ("intermediate.pem", &founded.intermediate),
            ("verdict-key.pem", &founded.verdict_key),
        ] {
            folder.file(&format!("authority/{name}"), pem.as_bytes())?;
        }
        Ok(())
    }

    /// Starts the daemon.
    pub(crate) async fn start(&self, shutdown: &Shutdown) -> anyhow::Result<Embedded> {
        let credentials = Credentials::at(&self.credentials);
        let settings = self.settings.clone();
        Embedded::start(settings, credentials, shutdown, birthmark_sma::run).await
    }

    /// What it is called in certificates and verdicts.
    pub(crate) fn name(&self) -> &str {
        &self.settings.manufacturer_id
    }

    /// Where it answers.
    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.settings.listen)
    }

    /// Where it answers, on this machine.
    pub(crate) fn port(&self) -> u16 {
        self.settings.listen.port()
    }

    /// What its certificates name as its address.
    pub(crate) fn endpoint(&self) -> &str {
        &self.settings.endpoint
    }
}

/// Leaves the certificates of TPM makers where the authority reads them.
pub(crate) fn keep_chip_makers(
    folder: &Folder,
    certificates: &[String],
) -> anyhow::Result<PathBuf> {
    let path = folder.part("authority/chip-makers")?;
    for (number, certificate) in certificates.iter().enumerate() {
        let name = format!("authority/chip-makers/{number}.pem");
        if !folder.path().join(&name).exists() {
            folder.file(&name, certificate.as_bytes())?;
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_is_a_rehearsal_that_stays_on_this_machine() {
        let folder = Folder::prepare(None).unwrap();
        let authority = Authority::new(&folder, 8001, None).unwrap();
        assert!(birthmark_daemon::Settings::check(&authority.settings).is_ok());
        assert!(authority.settings.rehearsal);
        assert!(authority.settings.listen.ip().is_loopback());
        assert_eq!(authority.port(), 8001);
        assert_eq!(authority.address(), "http://127.0.0.1:8001");
        assert!(authority.endpoint().starts_with("http://127.0.0.1:8001/"));
        folder.leave();
    }

    /// A folder that is opened again has its camera's chip makers already.
    #[test]
    fn makers_of_chips_are_kept_once() {
        let folder = Folder::prepare(None).unwrap();
        let certificates = ["one".to_owned(), "two".to_owned()];
        let path = keep_chip_makers(&folder, &certificates).unwrap();
        let changed = ["other".to_owned(), "two".to_owned()];
        assert_eq!(keep_chip_makers(&folder, &changed).unwrap(), path);
        let read = |name: &str| std::fs::read_to_string(path.join(name)).unwrap();
        assert_eq!((&*read("0.pem"), &*read("1.pem")), ("one", "two"));
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 2);
        folder.leave();
    }
}
