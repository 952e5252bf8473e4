//! What `/etc/birthmark/sma.toml` may say. `sma.example.toml` is parsed by a test.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::Context as _;
use birthmark_daemon::ConfigError;
use birthmark_http::{Database, TlsFiles, TrustedProxies};
use birthmark_protocol::Timestamp;
use serde::{Deserialize, Serialize};

/// The settings of a manufacturer authority.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The manufacturer's name in certificates and verdicts. There is no default: nobody is called
    /// "example".
    pub manufacturer_id: String,
    /// An authority for demonstrations: this machine's own users need no token on loopback.
    pub rehearsal: bool,
    /// The URL written into certificates, to which nodes post `/validate-cert` requests.
    pub endpoint: String,
    /// Where the public can fetch the revocation list and ask about certificates; left out of
    /// certificates if not set.
    pub public_url: Option<String>,
    /// `sqlite:` or `postgres:` URL.
    pub database: String,
    /// Connections to the database at once.
    pub database_connections: u32,
    /// With less than this free on the disk of an SQLite database, no camera is registered: what is
    /// left is for the audit log.
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
    /// One-time keys for attested cameras; none are given if not set.
    pub one_time: Option<OneTime>,
}

/// One-time keys for attested cameras.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OneTime {
    /// How many days an epoch lasts. Never change it while keys of an epoch are out: its number
    /// would mean another time.
    pub epoch_days: u32,
    /// For how many epochs keys are signed at once, the present one among them.
    pub ahead: u32,
    /// How many days after an epoch's end photos under its keys are still taken.
    pub grace_days: u32,
    /// How many keys one camera may have signed in one epoch.
    pub keys_per_epoch: u32,
}

/// What stands in certificates.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Certificates {
    /// The organisation in every subject; `manufacturer_id` if left out.
    pub organization: Option<String>,
    /// Days a camera's certificate is valid.
    pub device_days: u32,
}

/// How cameras are provisioned.
#[derive(Debug, Clone, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Provisioning {
    /// Make a key pair for a camera that brings none. Only a rehearsal does that.
    pub make_keys: bool,
    /// Make up a NUC hash for a camera that brings none. It says nothing about a sensor, and every
    /// answer about the camera says so.
    pub simulate_nuc: bool,
    /// Take cameras that do not say `binds_tokens` for older ones, whose tokens are bound to no
    /// photo.
    pub older_cameras: bool,
    /// A folder of PEM files: the roots of the TPM makers whose chips may attest.
    pub tpm_roots: Option<PathBuf>,
    /// Refuse cameras that do not attest.
    pub require_attestation: bool,
}

/// What one client and one camera may do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Requests a second of one client without a validator's token, in the long run. Zero: no
    /// limit.
    pub requests_per_second: u32,
    /// Requests one client may send at once after a pause.
    pub burst: u32,
    /// Questions a second of one client without a validator's token: older nodes. Zero: no limit.
    pub public_questions_per_second: u32,
    /// Questions one such client may ask at once after a pause.
    pub public_questions_burst: u32,
    /// Questions a second of one validator with a token, in the long run. Zero: no limit.
    pub validator_questions_per_second: u32,
    /// Questions one validator may ask at once after a pause.
    pub validator_questions_burst: u32,
    /// A camera is flagged for a person when a day has this many times its ordinary number of
    /// validations.
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
            manufacturer_id: String::new(),
            rehearsal: false,
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
            one_time: None,
        }
    }
}

impl Default for OneTime {
    fn default() -> Self {
        Self {
            epoch_days: 14,
            ahead: 3,
            grace_days: 28,
            keys_per_epoch: 2000,
        }
    }
}

impl OneTime {
    const fn seconds(&self) -> i64 {
        self.epoch_days as i64 * 86_400
    }

    /// The number of the epoch in which this moment lies. Epochs are counted from 1970.
    pub fn epoch_at(&self, moment: Timestamp) -> anyhow::Result<u32> {
        Ok(u32::try_from(moment.unix().div_euclid(self.seconds()))?)
    }

    /// From when to when an epoch lasts.
    pub fn span(&self, epoch: u32) -> anyhow::Result<(Timestamp, Timestamp)> {
        let from = i64::from(epoch).checked_mul(self.seconds());
        let from = Timestamp::from_unix(from.context("the epoch lies after the end of time")?);
        Ok((from, from.plus(self.seconds())))
    }

    fn check(&self) -> Result<(), ConfigError> {
        let wrong =
            |field: &str, reason| Err(ConfigError::field(format!("one_time.{field}"), reason));
        match () {
            () if !(1..=90).contains(&self.epoch_days) => wrong("epoch_days", "must be 1 to 90"),
            () if !(1..=12).contains(&self.ahead) => wrong("ahead", "must be 1 to 12"),
            () if self.grace_days > 180 => wrong("grace_days", "must be at most 180"),
            () if !(1..=100_000).contains(&self.keys_per_epoch) => {
                wrong("keys_per_epoch", "must be 1 to 100000")
            }
            () => Ok(()),
        }
    }
}

impl Default for Certificates {
    fn default() -> Self {
        Self {
            organization: None,
            device_days: 730,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_per_second: 50,
            burst: 500,
            public_questions_per_second: 5,
            public_questions_burst: 100,
            validator_questions_per_second: 2000,
            validator_questions_burst: 4000,
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
    /// An authority for rehearsals and tests: it makes up NUC hashes, and this machine's own users
    /// need no token.
    pub fn rehearsal(manufacturer_id: &str) -> Self {
        Self {
            manufacturer_id: manufacturer_id.into(),
            rehearsal: true,
            provisioning: Provisioning {
                simulate_nuc: true,
                ..Provisioning::default()
            },
            ..Self::default()
        }
    }

    /// The organisation in every certificate's subject.
    pub fn organization(&self) -> &str {
        let named = self.certificates.organization.as_deref();
        named.unwrap_or(&self.manufacturer_id)
    }

    /// Whoever is believed without a token must be on this machine, and nobody else must look like
    /// it.
    fn check_rehearsal(&self) -> Result<(), ConfigError> {
        let wrong = |field, reason| Err(ConfigError::field(field, reason));
        match () {
            () if !self.rehearsal => Ok(()),
            () if !self.listen.ip().is_loopback() => {
                wrong("listen", "must be a loopback address with `rehearsal`")
            }
            () if self.public_url.is_some() => wrong("rehearsal", "does not go with `public_url`"),
            () if !self.trusted_proxies.is_empty() => {
                wrong("rehearsal", "does not go with `trusted_proxies`")
            }
            () => Ok(()),
        }
    }

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
                "must be set to the maker's name: 1 to 64 characters without +,;=\"<>\\#",
            ));
        }
        if !plain(self.organization()) {
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
                "limits.public_questions_burst",
                self.limits.public_questions_burst >= self.limits.public_questions_per_second,
                "must be at least public_questions_per_second",
            ),
            (
                "limits.validator_questions_burst",
                self.limits.validator_questions_burst >= self.limits.validator_questions_per_second,
                "must be at least validator_questions_per_second",
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
        self.check_rehearsal()?;
        self.one_time.as_ref().map_or(Ok(()), OneTime::check)?;
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
        // But for the name, which has none.
        let named = Settings {
            manufacturer_id: "example-maker".into(),
            ..Settings::default()
        };
        assert_eq!(text(&parse(EXAMPLE)), text(&named));
    }

    #[test]
    fn what_the_example_only_hints_at_can_be_used() {
        let mut used = EXAMPLE.to_owned();
        let hints = [
            "public_url",
            "[tls]",
            "certificate =",
            "key =",
            "tpm_roots",
            "organization",
        ];
        for hint in hints {
            used = used.replace(&format!("# {hint}"), hint);
        }
        let settings = parse(&used);
        assert!(settings.public_url.is_some() && settings.tls.is_some());
        assert!(settings.provisioning.tpm_roots.is_some());
        assert_ne!(settings.organization(), settings.manufacturer_id);
    }

    fn refused(settings: &Settings) -> String {
        let check = birthmark_daemon::Settings::check(settings);
        check.unwrap_err().to_string()
    }

    #[test]
    fn an_authority_without_a_name_is_refused() {
        let refusal = refused(&Settings::default());
        assert!(refusal.contains("manufacturer_id"), "{refusal}");
    }

    #[test]
    fn a_rehearsal_stays_on_its_machine() {
        let rehearsal = || Settings::rehearsal("test-maker");
        assert!(birthmark_daemon::Settings::check(&rehearsal()).is_ok());
        let mut public = rehearsal();
        public.listen = ([0, 0, 0, 0], 8001).into();
        assert!(refused(&public).contains("listen"));
        let mut named = rehearsal();
        named.public_url = Some("https://authority.example".into());
        assert!(refused(&named).contains("public_url"));
        let mut behind = rehearsal();
        behind.trusted_proxies = toml::from_str::<Proxies>("list = ['127.0.0.1/32']")
            .unwrap()
            .list;
        assert!(refused(&behind).contains("trusted_proxies"));
    }

    #[derive(Deserialize)]
    struct Proxies {
        list: TrustedProxies,
    }

    #[test]
    fn nuc_hashes_are_made_up_only_where_that_is_asked_for() {
        assert!(!Settings::default().provisioning.simulate_nuc);
        assert!(!Settings::default().provisioning.make_keys);
    }

    /// A field, and what makes its value one that cannot work.
    type Wrong = (&'static str, fn(&mut Settings));

    #[test]
    fn each_setting_that_cannot_work_is_refused_by_its_name() {
        let wrong: [Wrong; 17] = [
            ("manufacturer_id", |all| {
                all.manufacturer_id = "x".repeat(65)
            }),
            ("manufacturer_id", |all| all.manufacturer_id = "a,b".into()),
            ("certificates.organization", |all| {
                all.certificates.organization = Some("a\nb".into());
            }),
            ("endpoint", |all| all.endpoint = "ftp://x".into()),
            ("endpoint", |all| {
                all.endpoint = format!("https://{}", "x".repeat(248));
            }),
            ("public_url", |all| {
                all.rehearsal = false;
                all.public_url = Some("https://x.example/".into());
            }),
            ("database", |all| all.database = "mysql://x".into()),
            ("database_connections", |all| all.database_connections = 0),
            ("database_connections", |all| all.database_connections = 101),
            ("certificates.device_days", |all| {
                all.certificates.device_days = 3651;
            }),
            ("limits.burst", |all| {
                all.limits.burst = all.limits.requests_per_second - 1;
            }),
            ("limits.public_questions_burst", |all| {
                all.limits.public_questions_burst = all.limits.public_questions_per_second - 1;
            }),
            ("limits.validator_questions_burst", |all| {
                all.limits.validator_questions_burst =
                    all.limits.validator_questions_per_second - 1;
            }),
            ("limits.unusual_factor", |all| all.limits.unusual_factor = 1),
            ("limits.connections", |all| all.limits.connections = 0),
            ("audit.keep_days", |all| all.audit.keep_days = 0),
            ("provisioning.require_attestation", |all| {
                all.provisioning.require_attestation = true;
            }),
        ];
        for (field, change) in wrong {
            let mut settings = Settings::rehearsal("test-maker");
            change(&mut settings);
            let refusal = refused(&settings);
            assert!(refusal.contains(field), "{field}: {refusal}");
        }
    }
}
