//! Who may vouch for photos: the entries of the configuration, and nobody else.

use std::collections::BTreeSet;
use std::path::PathBuf;

use birthmark_daemon::ConfigError;
use serde::{Deserialize, Serialize};

/// One manufacturer's authority.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthoritySettings {
    /// Its name, as cameras and certificates write it.
    pub id: String,
    /// Where it is asked: the base URL of its API.
    pub endpoint: String,
    /// What its cameras' certificates and requests may name as its address.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Its CA certificates (PEM): only cameras with a certificate of one of these are heard with a certificate.
    #[serde(default)]
    pub ca: Vec<PathBuf>,
    /// The keys its verdicts are signed with (SubjectPublicKeyInfo, PEM). Without any, its word is taken unsigned.
    #[serde(default)]
    pub verdict_keys: Vec<PathBuf>,
    /// Where its list of revoked certificates is fetched.
    #[serde(default)]
    pub revocations: Option<String>,
    /// Where its signed list of dated revocations is fetched: what it says there against a family stands in every answer.
    #[serde(default)]
    pub revocation_feed: Option<String>,
    /// The systemd credential with the token that this authority gave to this validator. Without one the authority is
    /// asked one question at a time, and slowly.
    #[serde(default)]
    pub token_credential: Option<String>,
    /// Whether it answers whole batches (`/api/v1/validate/batch`). Older ones are asked one by one.
    #[serde(default = "yes")]
    pub batches: bool,
}

/// A maker of editing software.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SoftwareAuthoritySettings {
    /// Its name.
    pub id: String,
    /// Its CA certificates (PEM).
    pub ca: Vec<PathBuf>,
    /// Its list of revoked certificates (DER). Read again whenever it changes.
    #[serde(default)]
    pub revoked: Option<PathBuf>,
}

/// A separate submission server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSettings {
    /// Its name, as it writes it in `submission_server_id`.
    pub id: String,
    /// SHA-256 of its bearer token, in hexadecimal. `birthmark-node hash-token` makes one.
    pub token_sha256: birthmark_protocol::Digest,
}

const fn yes() -> bool {
    true
}

impl AuthoritySettings {
    /// An authority with a name and an address, whose cameras bring tokens only.
    pub fn new(id: impl Into<String>, endpoint: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            endpoint: endpoint.into(),
            aliases: Vec::new(),
            ca: Vec::new(),
            verdict_keys: Vec::new(),
            revocations: None,
            revocation_feed: None,
            token_credential: None,
            batches: true,
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let addresses = std::iter::once(&self.endpoint)
            .chain(&self.revocations)
            .chain(&self.revocation_feed);
        match addresses
            .into_iter()
            .find(|address| !is_web_address(address))
        {
            Some(address) => Err(ConfigError::field(
                "authorities",
                format!("{address:?} is no http or https URL"),
            )),
            None => Ok(()),
        }
    }
}

fn is_web_address(text: &str) -> bool {
    birthmark_client::Url::parse(text)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

pub(super) fn check_names(
    authorities: &[AuthoritySettings],
    software: &[SoftwareAuthoritySettings],
    servers: &[ServerSettings],
) -> Result<(), ConfigError> {
    authorities.iter().try_for_each(AuthoritySettings::check)?;
    let lists: [(&str, Vec<&str>); 3] = [
        (
            "authorities",
            authorities.iter().map(|entry| entry.id.as_str()).collect(),
        ),
        (
            "software_authorities",
            software.iter().map(|entry| entry.id.as_str()).collect(),
        ),
        (
            "submission_servers",
            servers.iter().map(|entry| entry.id.as_str()).collect(),
        ),
    ];
    for (field, names) in lists {
        let mut seen = BTreeSet::new();
        for name in names {
            birthmark_ledger::Label::new(name)
                .map_err(|error| ConfigError::field(field, format!("id: {error}")))?;
            if name.is_empty() || !seen.insert(name) {
                return Err(ConfigError::field(
                    field,
                    format!("the id {name:?} is empty or stands twice"),
                ));
            }
        }
    }
    Ok(())
}
