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
            follow: false,
            listen: own.address.parse().context("a validator's address")?,
            log: None,
            peers: others.cloned().collect(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn registry(folder: &Folder, size: Option<usize>) -> anyhow::Result<Registry> {
        let authority = Authority::new(folder, 8001, None)?;
        Registry::new(folder, free_port(0)?, &authority, size)
    }

    #[test]
    fn each_validator_has_keys_of_its_own_and_is_told_of_all_others() {
        let folder = Folder::prepare(None).unwrap();
        let registry = registry(&folder, Some(4)).unwrap();
        assert!(registry.begun.rehearsal, "it is no registry to rely on");
        let names: BTreeSet<_> = registry.all().map(|one| one.name().clone()).collect();
        let addresses: BTreeSet<_> = registry.all().map(Validator::address).collect();
        assert_eq!((names.len(), addresses.len()), (4, 4));
        let begun = registry.begun.validators.validators().iter();
        let begun: BTreeSet<_> = begun.map(|one| one.name.clone()).collect();
        assert_eq!(begun, names);

        let mut listening = BTreeSet::new();
        for validator in registry.all() {
            assert!(birthmark_daemon::Settings::check(&validator.settings).is_ok());
            let network = validator.settings.network.as_ref().unwrap();
            assert!(network.listen.ip().is_loopback());
            listening.insert(network.listen);
            let peers = network.peers.iter();
            let others: BTreeSet<_> = peers.clone().map(|peer| peer.name.clone()).collect();
            assert_eq!(others.len(), 3);
            assert!(!others.contains(validator.name()));
            for peer in peers {
                let other = registry.all().find(|one| *one.name() == peer.name).unwrap();
                let key = identity::link_key(&Credentials::at(&other.credentials)).unwrap();
                assert_eq!(*key.identity(), peer.identity);
                let listen = other.settings.network.as_ref().unwrap().listen;
                assert_eq!(peer.address, listen.to_string());
            }
            for file in std::fs::read_dir(&validator.credentials).unwrap() {
                let mode = file.unwrap().metadata().unwrap().permissions().mode();
                assert_eq!(mode & 0o077, 0, "for its owner's eyes only");
            }
        }
        assert_eq!(listening.len(), 4);
        folder.leave();
    }

    #[test]
    fn a_registry_that_is_opened_again_is_the_same_one() {
        let folder = Folder::prepare(None).unwrap();
        let first = registry(&folder, None).unwrap();
        assert_eq!(first.all().count(), 1);
        assert!(first.first.settings.network.is_none());
        let again = registry(&folder, Some(1)).unwrap();
        assert_eq!(first.begun.hash(), again.begun.hash());
        let refused = registry(&folder, Some(4)).err().unwrap().to_string();
        assert!(
            refused.contains("--validators") && refused.contains("has 1, not 4"),
            "{refused}"
        );
        folder.leave();
    }
}
