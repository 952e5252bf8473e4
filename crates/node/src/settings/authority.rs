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
    /// Its CA certificates (PEM): only cameras with a certificate of one of these are heard with a
    /// certificate.
    #[serde(default)]
    pub ca: Vec<PathBuf>,
    /// The keys its verdicts are signed with (SubjectPublicKeyInfo, PEM). Without any, its word is
    /// taken unsigned.
    #[serde(default)]
    pub verdict_keys: Vec<PathBuf>,
    /// Where its list of revoked certificates is fetched.
    #[serde(default)]
    pub revocations: Option<String>,
    /// Where its signed list of dated revocations is fetched: what it says there against a family
    /// stands in every answer.
    #[serde(default)]
    pub revocation_feed: Option<String>,
    /// The systemd credential with the token that this authority gave to this validator;
    /// `birthmark-node.token.ID` if none is named, where `birthmark-node token` keeps it. Without
    /// one the authority is asked one question at a time, and slowly.
    #[serde(default)]
    pub token_credential: Option<String>,
    /// Whether it answers whole batches (`/api/v1/validate/batch`). Older ones are asked one by
    /// one.
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

    fn check(&self, place: usize) -> Result<(), ConfigError> {
        let addresses = [
            ("endpoint", Some(&self.endpoint)),
            ("revocations", self.revocations.as_ref()),
            ("revocation_feed", self.revocation_feed.as_ref()),
        ];
        for (field, address) in addresses {
            if let Some(address) = address.filter(|address| !is_web_address(address)) {
                return Err(ConfigError::field(
                    format!("authorities.{place}.{field}"),
                    format!("{address:?} is no http or https URL"),
                ));
            }
        }
        Ok(())
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
    for (place, authority) in authorities.iter().enumerate() {
        authority.check(place)?;
    }
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
    for (list, names) in lists {
        let mut seen = BTreeSet::new();
        for (place, name) in names.into_iter().enumerate() {
            let field = format!("{list}.{place}.id");
            birthmark_ledger::Label::new(name)
                .map_err(|error| ConfigError::field(&field, error.to_string()))?;
            if name.is_empty() {
                return Err(ConfigError::field(field, "is empty"));
            }
            if !seen.insert(name) {
                return Err(ConfigError::field(
                    field,
                    format!("{name:?} is the id of an entry before this one, too"),
                ));
            }
        }
    }
    Ok(())
}
