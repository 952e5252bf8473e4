//! Founding a network, and what is done to it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, bail, ensure};
use birthmark_daemon::Credentials;
use birthmark_ledger::validators::quorum;
use birthmark_ledger::{Genesis, KeyName};
use birthmark_node::settings::{AuthoritySettings, NetworkSettings, PeerSettings};
use birthmark_node::{Settings, identity, setup};
use birthmark_protocol::Timestamp;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::authority;
use crate::member::{DATA, Member, Process};
use crate::plan::Kind;
use crate::relay::{Link, Weather};

/// Queues are long enough for a burst; limits that keep strangers off are tried elsewhere.
const QUEUE: u64 = 1_000_000;
/// Volumes of a trial are small.
const RESERVE_MB: u64 = 64;

/// Validators of one registry, and the links between them.
pub(crate) struct Network {
    pub(crate) folder: PathBuf,
    pub(crate) members: Vec<Member>,
    pub(crate) genesis: Genesis,
    /// The authority's address.
    pub(crate) authority: SocketAddr,
    /// Dialled by the first, listened to by the second.
    links: Vec<(usize, usize, Arc<Link>)>,
    /// To which part each validator belongs; those of different parts do not reach each other.
    parts: Vec<usize>,
    /// Which of the machines are validators.
    validators: Vec<bool>,
    weather: Weather,
    _relays: JoinSet<()>,
    _authority: Process,
}

impl Network {
    /// Keys, genesis, settings, relays and a running authority; no validator runs. The first
    /// `size` of the machines are validators from the beginning, the others follow.
    pub(crate) async fn found(
        folder: &Path,
        size: usize,
        machines: usize,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let (process, address) = start_authority(&folder.join("authority")).await?;
        let entry = authority::entry(&folder.join("authority"), address);
        let places: Vec<_> = (1..=machines)
            .map(|at| folder.join(at.to_string()))
            .collect();
        let mut entries = Vec::new();
        for (place, number) in places.iter().zip(1..) {
            entries.push(setup::create_keys(&place.join("keys"), name(number)?)?);
        }
        let chain = "trial.birthmark.example/registry".parse();
        let chain = chain.context("the registry's name")?;
        let start = Timestamp::from_unix(1_790_000_000);
        entries.truncate(size);
        let genesis = setup::genesis(chain, start, true, entries)?;
        setup::write_genesis(&folder.join("genesis.toml"), &genesis)?;
        let mut network = Self {
            folder: folder.to_owned(),
            members: Vec::new(),
            genesis,
            authority: address,
            links: Vec::new(),
            parts: vec![0; machines],
            validators: (0..machines).map(|at| at < size).collect(),
            weather: Weather::default(),
            _relays: JoinSet::new(),
            _authority: process,
        };
        let mut listening = Vec::new();
        for _ in &places {
            listening.push(free_address()?);
        }
        for (at, place) in places.iter().enumerate() {
            let peers = network.relays(at, &listening, &places, seed).await?;
            let listen = listening.get(at).context("an address for each")?;
            let settings = settings(folder, place, *listen, peers, &entry)?;
            let member = Member::new(settings, place.clone(), program()?);
            network.members.push(member);
        }
        Ok(network)
    }

    /// Starts relays from one validator to all others, and says how it is to reach them.
    async fn relays(
        &mut self,
        own: usize,
        listening: &[SocketAddr],
        places: &[PathBuf],
        seed: u64,
    ) -> anyhow::Result<Vec<PeerSettings>> {
        let mut peers = Vec::new();
        for (other, (to, place)) in listening.iter().zip(places).enumerate() {
            if other == own {
                continue;
            }
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let key = identity::link_key(&Credentials::at(place.join("keys")))?;
            peers.push(PeerSettings {
                name: name(other + 1)?,
                address: listener.local_addr()?.to_string(),
                identity: *key.identity(),
            });
            let number = (own * listening.len() + other) as u64;
            let link = Link::new(seed.wrapping_add(number));
            self._relays.spawn(Arc::clone(&link).carry(listener, *to));
            self.links.push((own, other, link));
        }
        Ok(peers)
    }

    /// Starts all and waits until they answer.
    pub(crate) async fn start(&mut self) -> anyhow::Result<()> {
        for member in &mut self.members {
            member.start()?;
        }
        for member in &mut self.members {
            member.answers().await?;
        }
        Ok(())
    }

    /// Those of different parts do not reach each other any more.
    pub(crate) fn divide(&mut self, parts: &[usize]) {
        self.parts = parts.to_vec();
        self.apply();
    }

    /// How all links behave that are not cut.
    pub(crate) fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
        self.apply();
    }

    fn apply(&self) {
        for (from, to, link) in &self.links {
            link.set(Weather {
                is_cut: self.parts.get(*from) != self.parts.get(*to),
                ..self.weather
            });
        }
    }

    /// Gives everybody what these troubles need, before the first start.
    pub(crate) fn prepare(&mut self, kinds: &[Kind]) -> anyhow::Result<()> {
        for member in &mut self.members {
            member.prepare(kinds)?;
        }
        Ok(())
    }

    /// How many validators that run reach each other, at most.
    pub(crate) fn connected(&self) -> usize {
        self.connected_without(&[])
    }

    /// The same without those that are in doubt.
    pub(crate) fn connected_without(&self, doubtful: &[bool]) -> usize {
        let in_part = |part: &usize| {
            let members = self.members.iter().zip(&self.parts).zip(&self.validators);
            let counted = members
                .enumerate()
                .filter(|(at, ((member, of), is_validator))| {
                    let in_doubt = doubtful.get(*at).is_some_and(|is| *is);
                    **is_validator && member.is_up() && *of == part && !in_doubt
                });
            counted.count()
        };
        self.parts.iter().map(in_part).max().unwrap_or(0)
    }

    /// More than two thirds.
    pub(crate) fn quorum(&self) -> usize {
        quorum(self.validators())
    }

    /// How many validators there are.
    pub(crate) fn validators(&self) -> usize {
        self.validators.iter().filter(|is| **is).count()
    }

    /// Whether a machine is a validator.
    pub(crate) fn is_validator(&self, at: usize) -> bool {
        self.validators.get(at).is_some_and(|is| *is)
    }

    /// A change was decided.
    pub(crate) fn set_validator(&mut self, who: usize, is_one: bool) {
        if let Some(is_validator) = self.validators.get_mut(who) {
            *is_validator = is_one;
        }
    }

    /// Bytes that went over links so far, both ways, without the heads of packets.
    pub(crate) fn carried(&self) -> u64 {
        self.links.iter().map(|(_, _, link)| link.carried()).sum()
    }
}

pub(crate) fn name(number: usize) -> anyhow::Result<KeyName> {
    let name = format!("validator-{number}.trial.example").parse();
    name.context("the validator's name")
}

/// The validator's own program, built beside this one.
fn program() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name("birthmark-node");
    ensure!(
        program.is_file(),
        "{} is not there: build it first, as `cargo xtask net` does",
        program.display()
    );
    Ok(program)
}

fn settings(
    folder: &Path,
    place: &Path,
    listen: SocketAddr,
    peers: Vec<PeerSettings>,
    authority: &AuthoritySettings,
) -> anyhow::Result<Settings> {
    let data = place.join(DATA);
    std::fs::create_dir_all(&data)?;
    let database = format!("sqlite://{}", data.join("node.db").display());
    let mut settings = Settings::new(database, folder.join("genesis.toml"));
    settings.http.listen = free_address()?;
    settings.signed_heights = Some(place.join("signed"));
    // Only what is submitted makes blocks.
    settings.blocks.heartbeat_s = 0;
    settings.limits.requests_per_minute = 0;
    settings.limits.submissions_per_minute = 0;
    settings.limits.photos_per_camera_per_hour = 0;
    settings.limits.queue = QUEUE;
    settings.limits.disk_reserve_mb = RESERVE_MB;
    settings.default_authority = Some(authority.id.clone());
    settings.authorities = vec![authority.clone()];
    let log = None;
    settings.network = (!peers.is_empty()).then_some(NetworkSettings {
        listen,
        log,
        follow: false,
        peers,
    });
    Ok(settings)
}

async fn start_authority(folder: &Path) -> anyhow::Result<(Process, SocketAddr)> {
    std::fs::create_dir_all(folder)?;
    let mut process = Process::spawn(
        Command::new(std::env::current_exe()?)
            .arg("authority")
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped()),
    )?;
    let output = process.child().stdout.take().context("its output")?;
    let output = tokio::process::ChildStdout::from_std(output)?;
    let first = BufReader::new(output).lines().next_line().await?;
    let address = first.context("the authority does not start")?;
    let address = address.trim().parse().context("the authority's address")?;
    Ok((process, address))
}

/// A port nobody uses at the moment. A validator that is killed starts there again, so it is one
/// that the kernel gives nobody who asks for any: each of the many links asks for some.
fn free_address() -> anyhow::Result<SocketAddr> {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    // Trials that run beside each other begin elsewhere.
    let first = u64::from(std::process::id()) * 61;
    for _ in 0..1000 {
        let drawn = (first + DRAWN.fetch_add(1, Ordering::Relaxed)) % 12_000;
        let port = 20_000 + u16::try_from(drawn)?;
        if let Ok(listener) = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok(listener.local_addr()?);
        }
    }
    bail!("no port is free between 20000 and 32000")
}
