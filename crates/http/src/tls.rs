//! TLS from files that are renewed while we run.
//!
//! Whoever can change the two files can pretend to be this service, and nothing more.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// Where the certificate chain and its key stand, both in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The chain, the service's own certificate first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Accepts TLS connections with the newest files that could be read.
pub struct ReloadingAcceptor {
    files: TlsFiles,
    current: RwLock<(TlsAcceptor, Option<SystemTime>)>,
}

impl std::fmt::Debug for ReloadingAcceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ReloadingAcceptor({})", self.files.certificate.display())
    }
}

impl TlsFiles {
    fn changed(&self) -> Option<SystemTime> {
        let time = |path: &PathBuf| {
            std::fs::metadata(path)
                .and_then(|about| about.modified())
                .ok()
        };
        time(&self.certificate).max(time(&self.key))
    }

    fn load(&self) -> io::Result<TlsAcceptor> {
        let broken = |path: &PathBuf, error: &dyn std::fmt::Display| {
            io::Error::other(format!("{}: {error}", path.display()))
        };
        let chain: Vec<_> = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect)
            .map_err(|error| broken(&self.certificate, &error))?;
        let key =
            PrivateKeyDer::from_pem_file(&self.key).map_err(|error| broken(&self.key, &error))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| broken(&self.certificate, &error))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Reads the files and keeps reading them when they change, until the acceptor is dropped.
    pub fn open(self) -> io::Result<Arc<ReloadingAcceptor>> {
        let current = RwLock::new((self.load()?, self.changed()));
        let acceptor = Arc::new(ReloadingAcceptor {
            files: self,
            current,
        });
        let watched = Arc::downgrade(&acceptor);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                let Some(acceptor) = watched.upgrade() else {
                    return;
                };
                acceptor.reload_if_changed();
            }
        });
        Ok(acceptor)
    }
}

impl ReloadingAcceptor {
    /// Takes renewed files. Files that cannot be read leave the old certificate in use and a
    /// warning in the log.
    pub fn reload_if_changed(&self) -> bool {
        let changed = self.files.changed();
        if changed
            == self
                .current
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .1
        {
            return false;
        }
        match self.files.load() {
            Ok(acceptor) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = (acceptor, changed);
                log::info!("the renewed TLS certificate is in use");
                true
            }
            Err(error) => {
                log::warn!(
                    "the renewed TLS certificate cannot be used, the old one stays: {error}"
                );
                false
            }
        }
    }

    /// Shakes hands.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let acceptor = self
            .current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .clone();
        acceptor.accept(stream).await
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;

    fn renew(folder: &Path) {
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "1",
                "-subj",
                "/CN=localhost",
            ])
            .args(["-keyout", "key.pem", "-out", "certificate.pem"])
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
    }

    #[tokio::test]
    async fn renewed_files_are_taken_and_broken_ones_leave_the_old() {
        let folder = tempfile::tempdir().unwrap();
        renew(folder.path());
        let files = TlsFiles {
            certificate: folder.path().join("certificate.pem"),
            key: folder.path().join("key.pem"),
        };
        let acceptor = files.clone().open().unwrap();
        assert!(!acceptor.reload_if_changed());
        std::fs::write(&files.certificate, "broken").unwrap();
        assert!(!acceptor.reload_if_changed());
        renew(folder.path());
        assert!(acceptor.reload_if_changed());
        assert!(!acceptor.reload_if_changed());
        assert!(
            TlsFiles {
                certificate: folder.path().join("none.pem"),
                ..files
            }
            .open()
            .is_err()
        );
    }
}
