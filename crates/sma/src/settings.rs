//! What `/etc/birthmark/sma.toml` may say. `sma.example.toml` is parsed by a test.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use birthmark_daemon::ConfigError;
use birthmark_http::{Database, TlsFiles, TrustedProxies};
use serde::{Deserialize, Serialize};

/// The settings of a manufacturer authority.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The manufacturer's name in certificates and verdicts.
    pub manufacturer_id: String,
    /// The URL written into certificates, to which nodes post `/validate-cert` requests.
    pub endpoint: String,
    /// Where the public can fetch the revocation list and ask about certificates; left out of certificates if not set.
    pub public_url: Option<String>,
    /// `sqlite:` or `postgres:` URL.
    pub database: String,
    /// Connections to the database at once.
    pub database_connections: u32,
    /// With less than this free on the disk of an SQLite database, no camera is registered: what is left is for the audit log.
    pub disk_reserve_mb: u64,
    /// Where to listen when systemd passes no socket called `http`.
    pub listen: SocketAddr,
    /// The socket on which this machine's administrator reaches the running authority.
    pub control: PathBuf,
    /// TLS files. Without them the authority speaks plain HTTP: for loopback, or behind a proxy.
    pub tls: Option<TlsFiles>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// Web pages of other origins that may read public answers.
    pub cors_origins: Vec<String>,
    /// What stands in certificates.
    pub certificates: Certificates,
    /// How cameras are provisioned.
    pub provisioning: Provisioning,
    /// What one client and one camera may do.
    pub limits: Limits,
    /// What is kept about requests.
    pub audit: Audit,
}

/// What stands in certificates.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Certificates {
    /// The organisation in every subject.
    pub organization: String,
    /// Days a camera's certificate is valid.
    pub device_days: u32,
}

/// How cameras are provisioned.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Provisioning {
    /// Make a key pair for a camera that brings none. Only a simulated authority does that.
    pub make_keys: bool,
    /// Draw a NUC hash for a camera that brings none. Only a simulated authority does that.
    pub simulate_nuc: bool,
    /// A folder of PEM files: the roots of the TPM makers whose chips may attest.
    pub tpm_roots: Option<PathBuf>,
    /// Refuse cameras that do not attest.
    pub require_attestation: bool,
}

/// What one client and one camera may do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Requests a second of one client, in the long run. Zero: no limit.
    pub requests_per_second: u32,
    /// Requests one client may send at once after a pause.
    pub burst: u32,
    /// A camera is flagged for a person when a day has this many times its ordinary number of validations.
    pub unusual_factor: u32,
    /// A camera is never flagged below this many validations a day.
    pub unusual_floor: u32,
    /// Connections at once.
    pub connections: usize,
}

/// What is kept about requests.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// Days an audit row is kept.
    pub keep_days: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            manufacturer_id: "simulated-manufacturer".into(),
            endpoint: "http://127.0.0.1:8001/validate-cert".into(),
            public_url: None,
            database: "sqlite:///var/lib/birthmark-sma/authority.db".into(),
            database_connections: 8,
            disk_reserve_mb: 64,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8001)),
            control: PathBuf::from("/run/birthmark-sma/control.sock"),
            tls: None,
            trusted_proxies: TrustedProxies::default(),
            cors_origins: Vec::new(),
            certificates: Certificates::default(),
            provisioning: Provisioning::default(),
            limits: Limits::default(),
            audit: Audit::default(),
        }
    }
}

impl Default for Certificates {
    fn default() -> Self {
        Self {
            organization: "Simulated Camera Manufacturer".into(),
            device_days: 730,
        }
    }
}

impl Default for Provisioning {
    fn default() -> Self {
        Self {
            make_keys: false,
            simulate_nuc: true,
            tpm_roots: None,
            require_attestation: false,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_per_second: 2000,
            burst: 4000,
            unusual_factor: 10,
            unusual_floor: 500,
            connections: 4096,
        }
    }
}

impl Default for Audit {
    fn default() -> Self {
        Self { keep_days: 400 }
    }
}

impl Settings {
    fn check_texts(&self) -> Result<(), ConfigError> {
        let plain = |text: &str| {
            (1..=64).contains(&text.len())
                && !text
                    .chars()
                    .any(|c| c.is_control() || "+,;=\"<>\\#".contains(c))
        };
        if !plain(&self.manufacturer_id) {
            return Err(ConfigError::field(
                "manufacturer_id",
                "must be 1 to 64 characters without +,;=\"<>\\#",
            ));
        }
        if !plain(&self.certificates.organization) {
            return Err(ConfigError::field(
                "certificates.organization",
                "must be 1 to 64 characters without +,;=\"<>\\#",
            ));
        }
        let web = |url: &str| url.starts_with("http://") || url.starts_with("https://");
        if !web(&self.endpoint) || self.endpoint.len() > 255 {
            return Err(ConfigError::field(
                "endpoint",
                "must be an http or https URL of up to 255 characters",
            ));
        }
        match &self.public_url {
            Some(url) if !web(url) || url.ends_with('/') => Err(ConfigError::field(
                "public_url",
                "must be an http or https URL without a slash at its end",
            )),
            _ => Ok(()),
        }
    }

    fn check_numbers(&self) -> Result<(), ConfigError> {
        let rules = [
            (
                "database_connections",
                (1..=100).contains(&self.database_connections),
                "must be 1 to 100",
            ),
            (
                "certificates.device_days",
                (1..=3650).contains(&self.certificates.device_days),
                "must be 1 to 3650",
            ),
            (
                "limits.burst",
                self.limits.burst >= self.limits.requests_per_second,
                "must be at least requests_per_second",
            ),
            (
                "limits.unusual_factor",
                self.limits.unusual_factor >= 2,
                "must be at least 2",
            ),
            (
                "limits.connections",
                self.limits.connections > 0,
                "must be at least 1",
            ),
            (
                "audit.keep_days",
                self.audit.keep_days > 0,
                "must be at least 1",
            ),
        ];
        let broken = rules.into_iter().find(|(_, holds, _)| !holds);
        broken.map_or(Ok(()), |(field, _, reason)| {
            Err(ConfigError::field(field, reason))
        })
    }
}

impl birthmark_daemon::Settings for Settings {
    const DAEMON: &'static str = "birthmark-sma";

    fn check(&self) -> Result<(), ConfigError> {
        self.check_texts()?;
        self.check_numbers()?;
        if !Database::knows(&self.database) {
            return Err(ConfigError::field(
                "database",
                "must be a sqlite: or postgres: URL",
            ));
        }
        let attests = self.provisioning.tpm_roots.is_some();
        if self.provisioning.require_attestation && !attests {
            return Err(ConfigError::field(
                "provisioning.require_attestation",
                "needs provisioning.tpm_roots",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../sma.example.toml");

    fn parse(text: &str) -> Settings {
        birthmark_daemon::config::parse(text, "sma.example.toml".as_ref()).unwrap()
    }

    #[test]
    fn the_example_says_the_defaults() {
        let text = |settings: &Settings| format!("{settings:?}");
        assert_eq!(text(&parse(EXAMPLE)), text(&Settings::default()));
    }

    #[test]
    fn what_the_example_only_hints_at_can_be_used() {
        let mut used = EXAMPLE.to_owned();
        for hint in ["public_url", "[tls]", "certificate =", "key =", "tpm_roots"] {
            used = used.replace(&format!("# {hint}"), hint);
        }
        let settings = parse(&used);
        assert!(settings.public_url.is_some() && settings.tls.is_some());
        assert!(settings.provisioning.tpm_roots.is_some());
    }
}
