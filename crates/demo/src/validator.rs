//! The demonstration's registry: one institution, or several that decide together.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use birthmark_daemon::{Credentials, Shutdown};
use birthmark_ledger::{Genesis, KeyName};
use birthmark_node::settings::{AuthoritySettings, NetworkSettings, PeerSettings};
use birthmark_node::{Settings, identity, setup};
use birthmark_protocol::Timestamp;

use crate::authority::Authority;
use crate::embedded::{Embedded, free_port};
use crate::folder::Folder;

/// What the demonstration's first validator is called.
const NAME: &str = "validator.demo.birthmark.example";

/// The validators of one registry.
pub(crate) struct Registry {
    /// The one that the camera submits to.
    pub(crate) first: Validator,
    /// Those that decide with it.
    pub(crate) others: Vec<Validator>,
    /// The genesis file every receipt is checked against.
    pub(crate) genesis: PathBuf,
    /// What the file says.
    pub(crate) begun: Genesis,
}

/// A validator with its own keys and database.
pub(crate) struct Validator {
    name: KeyName,
    settings: Settings,
    credentials: PathBuf,
}

impl Registry {
    /// The registry of this folder, whose validators know one authority and each other. Keys and
    /// genesis are made if there are none. The first validator answers at `port`.
    pub(crate) fn new(
        folder: &Folder,
        port: u16,
        authority: &Authority,
        size: Option<usize>,
    ) -> anyhow::Result<Self> {
        let genesis = folder.part("validator")?.join("genesis.toml");
        if !genesis.exists() {
            found(folder, &genesis, size.unwrap_or(1))?;
        }
        let begun = identity::read_genesis(&genesis)?;
        let kept = begun.validators.len();
        if let Some(size) = size.filter(|size| *size != kept) {
            bail!("--validators: the registry in this folder has {kept}, not {size}");
        }
        let mut validators = Vec::new();
        for number in 1..=kept {
            let port = if number == 1 { port } else { free_port(0)? };
            validators.push(Validator::new(folder, number, &genesis, port, authority)?);
        }
        if kept > 1 {
            link(&mut validators)?;
        }
        let mut validators = validators.into_iter();
        let first = validators.next().context("the genesis has no validator")?;
        Ok(Self {
            first,
            others: validators.collect(),
            genesis,
            begun,
        })
    }

    /// All of its validators, the first one first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Validator> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl Validator {
    fn new(
        folder: &Folder,
        number: usize,
        genesis: &Path,
        port: u16,
        authority: &Authority,
    ) -> anyhow::Result<Self> {
        let part = folder.part(&part(number))?;
        let database = format!("sqlite://{}", part.join("node.db").display());
        let mut settings = Settings::new(database, genesis);
        settings.http.listen = ([127, 0, 0, 1], port).into();
        settings.http.operator = Some("The demonstration".into());
        settings.default_authority = Some(authority.name().into());
        settings.authorities.push(AuthoritySettings {
            aliases: vec![authority.endpoint().into()],
            ca: vec![authority.intermediate.clone()],
            verdict_keys: vec![authority.verdict_key.clone()],
            revocations: Some(format!("{}/crl", authority.address())),
            // Without it a withdrawal would show on new photos only.
            revocation_feed: Some(format!("{}/revocations", authority.address())),
            ..AuthoritySettings::new(authority.name(), authority.address())
        });
        Ok(Self {
            name: name(number)?,
            settings,
            credentials: part.join("credentials"),
        })
    }

    /// Starts the daemon.
    pub(crate) async fn start(&self, shutdown: &Shutdown) -> anyhow::Result<Embedded> {
        let credentials = Credentials::at(&self.credentials);
        let settings = self.settings.clone();
        Embedded::start(settings, credentials, shutdown, birthmark_node::run).await
    }

    /// What it is called in receipts.
    pub(crate) fn name(&self) -> &KeyName {
        &self.name
    }

    /// Where it answers.
    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.settings.http.listen)
    }
}

fn name(number: usize) -> anyhow::Result<KeyName> {
    let name = match number {
        1 => NAME.to_owned(),
        _ => format!("validator-{number}.demo.birthmark.example"),
    };
    name.parse().context("the validator's name")
}

/// Where a validator's files lie in the demonstration's folder.
fn part(number: usize) -> String {
    match number {
        1 => "validator".to_owned(),
        _ => format!("validator-{number}"),
    }
}

/// Draws the validators' keys, leaves them as credentials, and writes a genesis of their public
/// halves.
fn found(folder: &Folder, genesis: &Path, size: usize) -> anyhow::Result<()> {
    let mut entries = Vec::new();
    for number in 1..=size {
        let credentials = folder.part(&format!("{}/credentials", part(number)))?;
        entries.push(setup::create_keys(&credentials, name(number)?)?);
    }
    let chain = "demo.birthmark.example/registry".parse();
    let chain = chain.context("the registry's name")?;
    let start = Timestamp::from_unix(time::OffsetDateTime::now_utc().unix_timestamp());
    let begun = setup::genesis(chain, start, true, entries)?;
    setup::write_genesis(genesis, &begun)
}

/// Tells each validator how the others are reached.
fn link(validators: &mut [Validator]) -> anyhow::Result<()> {
    let mut peers = Vec::new();
    for validator in validators.iter() {
        let key = identity::link_key(&Credentials::at(&validator.credentials))?;
        peers.push(PeerSettings {
            name: validator.name.clone(),
            address: format!("127.0.0.1:{}", free_port(0)?),
            identity: *key.identity(),
        });
    }
    for (validator, own) in validators.iter_mut().zip(&peers) {
        let others = peers.iter().filter(|peer| peer.name != own.name);
        validator.settings.network = Some(NetworkSettings {
            listen: own.address.parse().context("a validator's address")?,
            log: None,
            peers: others.cloned().collect(),
        });
    }
    Ok(())
}
