//! What `/etc/birthmark/node.toml` may say. `docs/VALIDATOR.md` explains every field;
//! `node.example.toml` is parsed by a test.

use std::net::SocketAddr;
use std::path::PathBuf;

use birthmark_daemon::ConfigError;
use birthmark_http::{TlsFiles, TrustedProxies};
use serde::{Deserialize, Serialize};

use crate::guard::Guard;
use crate::store::StoreUrl;

mod authority;
mod memory;
mod network;
mod notice;
mod witness;

pub use authority::{AuthoritySettings, ServerSettings, SoftwareAuthoritySettings};
pub use memory::MemorySettings;
pub use network::{NetworkSettings, PeerSettings};
pub use notice::NoticeSettings;
pub use witness::{LogSettings, WitnessOfUs, WitnessSettings};

/// The node's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `sqlite:` or `postgres:` URL.
    pub database: StoreUrl,
    /// The registry's genesis, TOML or JSON. The same file at every validator.
    pub genesis: PathBuf,
    /// The file that remembers how far this validator has signed, so that a database that was set
    /// back is noticed. Beside an SQLite database if left out; with PostgreSQL it must be named.
    #[serde(default)]
    pub signed_heights: Option<PathBuf>,
    /// The folder of the keys under which waiting submissions are sealed; each is destroyed once
    /// everything under it is decided. Beside `signed_heights` if left out. Never in a backup.
    #[serde(default)]
    pub row_keys: Option<PathBuf>,
    /// Where HTTP is served.
    #[serde(default)]
    pub http: HttpSettings,
    /// When blocks are made.
    #[serde(default)]
    pub blocks: BlockSettings,
    /// The other validators, where there are several.
    #[serde(default)]
    pub network: Option<NetworkSettings>,
    /// Who is asked, outside of the registry, to cosign its checkpoints.
    #[serde(default)]
    pub witnesses: Vec<WitnessOfUs>,
    /// Where this validator is a witness of other registries.
    #[serde(default)]
    pub witness: Option<WitnessSettings>,
    /// What strangers may ask of us.
    #[serde(default)]
    pub limits: LimitSettings,
    /// How much memory answers may take.
    #[serde(default)]
    pub memory: MemorySettings,
    /// Which authority is asked for submissions that name none, or one we do not know.
    #[serde(default)]
    pub default_authority: Option<String>,
    /// The manufacturers' authorities we ask. Nothing in a request ever adds one.
    #[serde(default)]
    pub authorities: Vec<AuthoritySettings>,
    /// The makers of editing software whose certificates we accept.
    #[serde(default)]
    pub software_authorities: Vec<SoftwareAuthoritySettings>,
    /// Separate submission servers that may register hashes on their own word.
    #[serde(default)]
    pub submission_servers: Vec<ServerSettings>,
    /// What has become known against devices: records stay, answers about them say so.
    #[serde(default)]
    pub notices: Vec<NoticeSettings>,
}

/// Where and how HTTP is served.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSettings {
    /// Address and port, unless systemd passes a socket named `http`.
    pub listen: SocketAddr,
    /// Certificate and key; without them HTTP is served in the clear.
    pub tls: Option<TlsFiles>,
    /// Proxies whose word about client addresses is taken.
    pub trusted_proxies: TrustedProxies,
    /// The institution's name on pages for people.
    pub operator: Option<String>,
}

/// When blocks are made.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BlockSettings {
    /// How long the oldest validated submission waits for company, in milliseconds. At most 30,000.
    pub batch_wait_ms: u64,
    /// After how many seconds without a block an empty one shows that the node lives. 0 makes none.
    pub heartbeat_s: u64,
    /// The last block that this version decides or fetches. Members of a network that must change
    /// their rules together all name the same one, stop there, and go on with the next version.
    pub halt_after: Option<u64>,
}

/// What strangers may ask of us.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSettings {
    /// How many submissions may wait for authorities before new ones are told to come back. Each
    /// authority has an equal share; a fifth of it is for those whose signature cannot be checked
    /// here.
    pub queue: u64,
    /// Megabytes that stay free on the database's disk: below that, submissions whose signature
    /// cannot be checked here are turned away first.
    pub disk_reserve_mb: u64,
    /// Submissions per minute and client address. 0 is unlimited.
    pub submissions_per_minute: u32,
    /// Photos per hour that one camera's certificate signs; a camera that has more waits with them.
    /// 0 is unlimited.
    pub photos_per_camera_per_hour: u32,
    /// Other requests per minute and client address. 0 is unlimited.
    pub requests_per_minute: u32,
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one client address; one more is closed at once. 0 is unlimited.
    pub connections_per_client: usize,
    /// How many may listen for new blocks (Server-Sent Events) at once.
    pub event_readers: usize,
    /// For how many days it is remembered what became of a submission. The records themselves stay
    /// for ever.
    pub remember_days: u32,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            listen: ([127, 0, 0, 1], 8545).into(),
            tls: None,
            trusted_proxies: TrustedProxies::default(),
            operator: None,
        }
    }
}

impl Default for BlockSettings {
    fn default() -> Self {
        Self {
            batch_wait_ms: 700,
            heartbeat_s: 600,
            halt_after: None,
        }
    }
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            queue: 100_000,
            disk_reserve_mb: 1024,
            submissions_per_minute: 600,
            photos_per_camera_per_hour: 10_000,
            requests_per_minute: 6000,
            connections: 16_384,
            connections_per_client: 1024,
            event_readers: 1000,
            remember_days: 90,
        }
    }
}

impl Settings {
    /// The smallest configuration: a database and a genesis; the rest is as by default.
    pub fn new(database: impl Into<String>, genesis: impl Into<PathBuf>) -> Self {
        Self {
            database: StoreUrl::new(database),
            genesis: genesis.into(),
            signed_heights: None,
            row_keys: None,
            http: HttpSettings::default(),
            blocks: BlockSettings::default(),
            network: None,
            witnesses: Vec::new(),
            witness: None,
            limits: LimitSettings::default(),
            memory: MemorySettings::default(),
            default_authority: None,
            authorities: Vec::new(),
            software_authorities: Vec::new(),
            submission_servers: Vec::new(),
            notices: Vec::new(),
        }
    }
}

impl Settings {
    /// The folder whose disk must not fill up: the database's, or with PostgreSQL that of the
    /// signed heights.
    pub fn data_folder(&self) -> Option<PathBuf> {
        let file = self.database.file();
        let file = file.or_else(|| Some(self.guard()?.path().to_path_buf()))?;
        let folder = file.parent()?;
        let is_here = folder.as_os_str().is_empty();
        Some(if is_here {
            ".".into()
        } else {
            folder.to_path_buf()
        })
    }

    /// The folder of the keys under which waiting rows are sealed.
    pub fn row_keys(&self) -> Option<PathBuf> {
        let beside = || Some(self.guard()?.path().with_extension("keys"));
        self.row_keys.clone().or_else(beside)
    }

    /// The folder of the consensus log.
    pub fn consensus_log(&self) -> Option<PathBuf> {
        let named = self
            .network
            .as_ref()
            .and_then(|network| network.log.clone());
        let beside = || Some(self.guard()?.path().with_extension("consensus"));
        named.or_else(beside)
    }

    /// The folder of what was cosigned last as a witness.
    pub fn witness_folder(&self) -> Option<PathBuf> {
        let witness = self.witness.as_ref();
        let named = witness.and_then(|witness| witness.folder.clone());
        let beside = || Some(self.guard()?.path().with_extension("witness"));
        named.or_else(beside)
    }

    /// The memory of how far this validator has signed.
    pub fn guard(&self) -> Option<Guard> {
        let beside = || Some(self.database.file()?.with_extension("signed"));
        self.signed_heights.clone().or_else(beside).map(Guard::at)
    }
}

impl birthmark_daemon::Settings for Settings {
    const DAEMON: &'static str = "birthmark-node";

    fn check(&self) -> Result<(), ConfigError> {
        self.database
            .check()
            .map_err(|error| ConfigError::field("database", error.to_string()))?;
        if self.database.is_postgres() && self.signed_heights.is_none() {
            return Err(ConfigError::field(
                "database",
                "with PostgreSQL, `signed_heights` must name a file on this machine",
            ));
        }
        if !(1..=30_000).contains(&self.blocks.batch_wait_ms) {
            return Err(ConfigError::field(
                "blocks.batch_wait_ms",
                "must be 1 to 30000",
            ));
        }
        if let Some(network) = &self.network {
            network.check()?;
        }
        witness::check_asked(&self.witnesses)?;
        if let Some(witness) = &self.witness {
            witness.check()?;
        }
        if self.limits.queue == 0 {
            return Err(ConfigError::field("limits.queue", "must be at least 1"));
        }
        authority::check_names(
            &self.authorities,
            &self.software_authorities,
            &self.submission_servers,
        )?;
        for (place, notice) in self.notices.iter().enumerate() {
            notice.check(place)?;
        }
        match &self.default_authority {
            Some(name)
                if !self
                    .authorities
                    .iter()
                    .any(|authority| authority.id == *name) =>
            {
                Err(ConfigError::field(
                    "default_authority",
                    format!("no [[authorities]] entry has the id {name:?}"),
                ))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use birthmark_daemon::config;

    use super::*;

    const EXAMPLE: &str = include_str!("../node.example.toml");

    #[test]
    fn the_example_is_a_good_configuration_and_names_every_field() {
        let settings: Settings = config::parse(EXAMPLE, "node.example.toml".as_ref()).unwrap();
        assert_eq!(settings.authorities.len(), 1);
        let whole = toml::to_string(&settings).unwrap();
        let names = whole
            .lines()
            .filter_map(|line| line.split_once(" = "))
            .map(|(name, _)| name);
        for name in names {
            assert!(EXAMPLE.contains(name), "{name} is missing in the example");
        }
    }

    #[test]
    fn what_does_not_fit_together_is_named_with_its_line() {
        let minimal = "database = \"sqlite::memory:\"\ngenesis = \"genesis.toml\"\n";
        let refused = |text: String| {
            config::parse::<Settings>(&text, "node.toml".as_ref())
                .unwrap_err()
                .to_string()
        };
        assert!(
            refused(format!("{minimal}default_authority = \"A\"\n"))
                .starts_with("node.toml:3:1: `default_authority`")
        );
        assert!(
            refused(format!("{minimal}[blocks]\nbatch_wait_ms = 30001\n"))
                .contains("`blocks.batch_wait_ms`")
        );
        assert!(
            refused("database = \"mysql://x\"\ngenesis = \"g\"\n".into()).contains("`database`")
        );
        let twice = "[[authorities]]\nid = \"A\"\nendpoint = \"http://127.0.0.1:8001\"\n".repeat(2);
        let said = refused(format!("{minimal}{twice}"));
        assert!(
            said.starts_with("node.toml:7:1: `authorities.id`"),
            "{said}"
        );
        let wrong = twice.replacen("http:", "ftp:", 1);
        let said = refused(format!("{minimal}{wrong}"));
        assert!(
            said.starts_with("node.toml:5:1: `authorities.endpoint`"),
            "{said}"
        );
        let nameless = twice.replacen("\"A\"", "\"\"", 1);
        let said = refused(format!("{minimal}{nameless}"));
        assert!(
            said.starts_with("node.toml:4:1: `authorities.id`: is empty"),
            "{said}"
        );
    }
}
