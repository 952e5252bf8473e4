//! `doctor`: looks at everything the node depends on and says what to do about what is not well.

mod authorities;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use birthmark_consensus::is_of;
use birthmark_daemon::{Context, CredentialError, Program};
use birthmark_http::database::cannot_open;
use birthmark_ledger::{Genesis, ValidatorId, ValidatorSet, VoteSigner as _};
use birthmark_protocol::api::Status;
use birthmark_protocol::numbers::at_most;
use clap::{Arg, ArgAction, value_parser};
use x509_cert::Certificate;

use super::running::{RunningNode, at_argument};
use super::{command, say};
use crate::authorities::AuthorityBook;
use crate::contradictions::Contradictions;
use crate::disk::free_bytes;
use crate::network;
use crate::registry::Registry;
use crate::settings::Settings;
use crate::store::Store;
use crate::{clock, identity};

const MONTH: i64 = 30 * 86_400;
/// How long the database may take for all that is asked of it.
const DATABASE_PATIENCE: Duration = Duration::from_secs(10);
/// The pause before a node that does not answer, or whose height stays, is asked again.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// Somebody's shell has no credentials; that is no fault of the node's.
const KEYS_NOT_SEEN: &str = "skipped  keys: systemd hands them to the node alone. To look at them too:
         systemd-run --quiet --wait --pipe --collect -p User=birthmark-node \\
             -p LoadCredential=vote-key:/etc/credstore/birthmark-node.vote-key \\
             -p LoadCredential=checkpoint-key:/etc/credstore/birthmark-node.checkpoint-key \\
             -p LoadCredential=lookup-key:/etc/credstore/birthmark-node.lookup-key birthmark-node doctor";

pub(super) fn add(program: Program<Settings>) -> Program<Settings> {
    let doctor = command(
        "doctor",
        "Checks keys, clock, disk, database, authorities and certificates, and says what to do",
    )
    .arg(
        Arg::new("boot")
            .long("boot")
            .action(ArgAction::SetTrue)
            .help("Only what another system on the same machine could mend: keys, database, disk, and whether the running node makes blocks"),
    )
    .arg(
        Arg::new("patience")
            .long("patience")
            .value_name("SECONDS")
            .value_parser(value_parser!(u64))
            .default_value("300")
            .requires("boot")
            .help("With --boot: how long the node may take until it answers, and until a block is made of what waits"),
    )
    .arg(at_argument().requires("boot"));
    program.command(doctor, |settings, matches, context| async move {
        let mut report = Report::default();
        if matches.get_flag("boot") {
            let node = RunningNode::find(&settings, &matches)?;
            let patience = matches.get_one("patience").copied();
            let patience = Duration::from_secs(patience.context("--patience is missing")?);
            report.works(&node, patience).await?;
            report.own(&settings, &context).await?;
        } else {
            report.examine(&settings, &context).await?;
        }
        match report.problems {
            0 => Ok(()),
            1 => anyhow::bail!("1 problem found"),
            several => anyhow::bail!("{several} problems found"),
        }
    })
}

/// The registry, and who decides its next block. Without a database that can be read those of the
/// genesis do: that it cannot be read is said by itself.
async fn present(settings: &Settings) -> anyhow::Result<(Genesis, ValidatorSet)> {
    let genesis = identity::read_genesis(&settings.genesis)?;
    let looking = async {
        let store = Store::look(&settings.database).await.ok()??;
        let registry = Registry::open(store.clone(), genesis.clone()).await;
        let found = registry.ok().map(|one| one.tip().validators().clone());
        store.close().await;
        found
    };
    let found = tokio::time::timeout(DATABASE_PATIENCE, looking).await;
    let validators = found.ok().flatten();
    let validators = validators.unwrap_or_else(|| genesis.validators.clone());
    Ok((genesis, validators))
}

/// Which validators contradicted themselves, in words; nothing where the database is of another
/// registry.
async fn contradictions(store: &Store, genesis: Genesis) -> anyhow::Result<Vec<String>> {
    let stored = store.state("genesis").await?;
    let is_ours = stored.as_deref() == Some(genesis.hash().as_bytes());
    if !is_ours || store.misbehaviours().await?.is_empty() {
        return Ok(Vec::new());
    }
    let registry = Registry::open(store.clone(), genesis).await?;
    Ok(Contradictions::load(&registry).await?.list())
}

fn are_not_ours_to_see(error: &anyhow::Error) -> bool {
    let missing = error.downcast_ref();
    matches!(missing, Some(CredentialError::NoDirectory { .. }))
}

#[derive(Default)]
struct Report {
    problems: usize,
    /// Whether the database takes so long that nothing more is asked of it.
    database_hangs: bool,
}

impl Report {
    fn well(&self, text: &str) -> anyhow::Result<()> {
        say(&format!("ok       {text}"))
    }

    fn ill(&mut self, text: &str, remedy: &str) -> anyhow::Result<()> {
        self.problems += 1;
        say(&format!("PROBLEM  {text}\n         {remedy}"))
    }

    /// What lies on this machine, whoever else is there.
    async fn own(
        &mut self,
        settings: &Settings,
        context: &Context,
    ) -> anyhow::Result<Option<ValidatorId>> {
        let own = self.keys(settings, context, present(settings).await)?;
        self.clock()?;
        self.patient_with_database(settings).await?;
        self.disk(settings)?;
        Ok(own)
    }

    /// Whether the running node makes blocks of what waits for one.
    ///
    /// Authorities are not asked: what waits for one that is away waits with every system. With
    /// several validators, what a system could mend cannot be told from what the others hold up, so
    /// that a height which stays is said and no more.
    async fn works(&mut self, node: &RunningNode, patience: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + patience;
        let mut first: Option<Status> = None;
        loop {
            let late = Instant::now() >= until;
            match node.status().await {
                Ok(now) => {
                    let moved = first
                        .as_ref()
                        .is_some_and(|first| now.block_height > first.block_height);
                    let well = now.trouble.is_none();
                    if well && (moved || now.validated_submissions == 0) {
                        return self.well(&format!(
                            "the node at {} makes blocks: height {}, {} submissions wait for one",
                            node.address(),
                            now.block_height,
                            now.validated_submissions
                        ));
                    }
                    if late {
                        return match &now.trouble {
                            Some(trouble) => self.ill(
                                &format!("the node at {} says: {trouble}", node.address()),
                                "`journalctl -u birthmark-node` says more.",
                            ),
                            None => self.stuck(&now, patience),
                        };
                    }
                    first.get_or_insert(now);
                }
                Err(error) if late => {
                    return self.ill(
                        &format!("the node at {} {error}", node.address()),
                        "`systemctl status birthmark-node` says why.",
                    );
                }
                Err(_) => {}
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    fn stuck(&mut self, status: &Status, patience: Duration) -> anyhow::Result<()> {
        let said = format!(
            "{} submissions wait for a block, and none was made in {} s after height {}",
            status.validated_submissions,
            patience.as_secs(),
            status.block_height
        );
        match status.validator_nodes {
            1 => self.ill(&said, "`journalctl -u birthmark-node` says why."),
            several => self.well(&format!("{said}: {several} validators decide, look at all")),
        }
    }

    async fn examine(&mut self, settings: &Settings, context: &Context) -> anyhow::Result<()> {
        let own = self.own(settings, context).await?;
        self.network(settings).await?;
        self.tls(settings)?;
        let own = own.unwrap_or(ValidatorId::from_bytes([0; 32]));
        let numbers = self.list_numbers(settings).await?;
        let book = AuthorityBook::read(settings, own, &numbers);
        let book = book.and_then(|book| {
            book.take_tokens(&context.credentials)?;
            Ok(book)
        });
        let book = match book {
            Ok(book) => book,
            Err(error) => {
                return self.ill(
                    &format!("authorities: {error:#}"),
                    "Correct the files the configuration names.",
                );
            }
        };
        if book.all().next().is_none() {
            self.ill(
                "no authority is configured",
                "Without one no camera can be vouched for: add [[authorities]].",
            )?;
        }
        for authority in book.all() {
            self.authority(authority, &numbers).await?;
        }
        for authority in book.software_authorities() {
            self.software(authority, &numbers)?;
        }
        Ok(())
    }

    /// How many validators there are, whether they can be reached, and who of them contradicted
    /// itself.
    async fn network(&mut self, settings: &Settings) -> anyhow::Result<()> {
        let Ok(genesis) = identity::read_genesis(&settings.genesis) else {
            return Ok(());
        };
        if let Some(advice) = network::size_advice(genesis.validators.len()) {
            // It is left by taking in a member, or letting one go.
            self.well(&advice)?;
        }
        let peers = settings.network.iter().flat_map(|network| &network.peers);
        for peer in peers {
            let connecting = tokio::net::TcpStream::connect(&peer.address);
            match tokio::time::timeout(Duration::from_secs(5), connecting).await {
                Ok(Ok(_)) => self.well(&format!("{} answers at {}", peer.name, peer.address))?,
                Ok(Err(_)) | Err(_) => self.ill(
                    &format!("{} does not answer at {}", peer.name, peer.address),
                    "Ask its operator; look at the address and at firewalls on both sides.",
                )?,
            }
        }
        // What is wrong with the database was said before.
        if self.database_hangs {
            return Ok(());
        }
        let Ok(Some(store)) = Store::look(&settings.database).await else {
            return Ok(());
        };
        match contradictions(&store, genesis).await {
            Ok(sentences) => {
                for sentence in sentences {
                    self.ill(
                        &sentence,
                        "Both signatures are kept. Two machines may run with one key, or one was set back: call its operator.",
                    )?;
                }
            }
            Err(error) => self.ill(
                &format!("whether a validator contradicted itself cannot be read: {error:#}"),
                "`birthmark-node fsck` reads all of the database.",
            )?,
        }
        store.close().await;
        Ok(())
    }

    fn keys(
        &mut self,
        settings: &Settings,
        context: &Context,
        genesis: anyhow::Result<(Genesis, ValidatorSet)>,
    ) -> anyhow::Result<Option<ValidatorId>> {
        let network = settings.network.as_ref();
        if network.is_some_and(|network| network.follow) {
            self.well("this node follows the registry and needs no vote key")?;
            return Ok(None);
        }
        let keys = identity::keys(&context.credentials);
        if let Err(error) = identity::lookup_key(&context.credentials)
            && !are_not_ours_to_see(&error)
        {
            self.ill(&format!("{error:#}"), "See docs/VALIDATOR.md, first start.")?;
        }
        if genesis.is_ok() && keys.as_ref().err().is_some_and(are_not_ours_to_see) {
            say(KEYS_NOT_SEEN)?;
            return Ok(None);
        }
        match (genesis, keys) {
            (Ok((genesis, validators)), Ok(keys)) => {
                let own = ValidatorId::of(&keys.vote.public_key());
                match validators.get(&own) {
                    Some(entry) if !is_of(entry, &keys.checkpoint) => {
                        self.ill(
                            "the checkpoint key is not this validator's in the registry",
                            "Load the key that was made together with the vote key.",
                        )?;
                    }
                    Some(entry) => {
                        self.well(&format!(
                            "keys belong to {} in the registry {}",
                            entry.name, genesis.chain_id
                        ))?;
                        self.peers(settings, &validators, entry.name.as_str())?;
                    }
                    None => self.ill(
                        "the vote key belongs to no validator of the registry",
                        "Load the right credential, or ask the others to take you in. In a network this node follows until then.",
                    )?,
                }
                Ok(Some(own))
            }
            (genesis, keys) => {
                let errors = [genesis.err(), keys.err()];
                for error in errors.into_iter().flatten() {
                    self.ill(&format!("{error:#}"), "See docs/VALIDATOR.md, first start.")?;
                }
                Ok(None)
            }
        }
    }

    fn peers(
        &mut self,
        settings: &Settings,
        validators: &ValidatorSet,
        own: &str,
    ) -> anyhow::Result<()> {
        let count = validators.len();
        let peers = settings.network.iter().flat_map(|network| &network.peers);
        let peers: Vec<_> = peers.map(|peer| peer.name.clone()).collect();
        if settings.network.is_some() {
            for name in network::unreachable(&peers, validators, own) {
                self.ill(
                    &network::has_no_peer(&name),
                    "Add it with its address and identity, and start this validator again.",
                )?;
            }
        }
        match network::check(settings, validators, own) {
            Ok(()) if count == 1 => {
                self.well("this validator is the whole set: there are no peers to reach")
            }
            Ok(()) => self.well(&format!(
                "{count} validators decide together, and the settings say how they are reached"
            )),
            Err(error) => self.ill(&format!("{error}"), "See docs/NETWORK.md."),
        }
    }

    fn clock(&mut self) -> anyhow::Result<()> {
        let synchronised = std::path::Path::new("/run/systemd/timesync/synchronized").exists();
        let now = clock::now().unix();
        match (now > 1_750_000_000, synchronised) {
            (false, _) => self.ill(
                "the clock stands before the year 2025",
                "Set it; blocks with a false time are not signed.",
            ),
            (true, true) => self.well("the clock is synchronised"),
            (true, false) => {
                self.well("the clock is plausible; whether it is synchronised, `timedatectl` says")
            }
        }
    }

    /// However large the database is and whatever it is busy with, doctor does not wait for ever,
    /// and does not keep it busy.
    async fn patient_with_database(&mut self, settings: &Settings) -> anyhow::Result<()> {
        let looked = tokio::time::timeout(DATABASE_PATIENCE, self.database(settings)).await;
        let Ok(looked) = looked else {
            self.database_hangs = true;
            return self.ill(
                &format!(
                    "the database did not answer within {} s, and nothing more is asked of it",
                    DATABASE_PATIENCE.as_secs()
                ),
                "Look at its server and disk, and at who holds its locks; `birthmark-node fsck` reads all of it.",
            );
        };
        looked
    }

    /// Looks at the database without making or changing anything: whoever runs this may be another
    /// user than the daemon.
    async fn database(&mut self, settings: &Settings) -> anyhow::Result<()> {
        self.ownership(settings)?;
        let store = match Store::look(&settings.database).await {
            Ok(Some(store)) => store,
            Ok(None) => {
                return self.well("there is no database yet: the node makes it at its first start");
            }
            Err(error) => {
                let explained = cannot_open(settings.database.as_str(), &error);
                return self.ill(
                    &format!("{explained} ({error})"),
                    "Start it, or correct `database` in the configuration.",
                );
            }
        };
        let looked = self.contents(settings, &store).await;
        store.close().await;
        looked
    }

    async fn contents(&mut self, settings: &Settings, store: &Store) -> anyhow::Result<()> {
        let unreadable = "Run `birthmark-node fsck`, then restore a backup.";
        let stored = match store.state("genesis").await {
            Ok(stored) => stored,
            Err(error) => return self.ill(&format!("database: {error}"), unreadable),
        };
        match store.waiting_authorities().await {
            Ok(waiting) => {
                for (name, count, since) in waiting {
                    let seconds = clock::now().since(since);
                    self.well(&format!(
                        "{count} submissions wait for the authority {name:?}, the oldest for {seconds} s"
                    ))?;
                }
            }
            Err(error) => self.ill(&format!("database: {error}"), unreadable)?,
        }
        // What is wrong with the genesis file was said with the keys.
        let Ok(genesis) = identity::read_genesis(&settings.genesis) else {
            return Ok(());
        };
        let Some(stored) = stored else {
            return self.well("the database is empty");
        };
        let given = genesis.hash();
        if stored != given.as_bytes() {
            let held = hex::encode(&stored);
            return self.ill(
                &format!("the database holds the registry with the genesis hash {held}, the genesis file has {given}"),
                "Name the genesis file of this database in `genesis`, or another `database`. Nothing is damaged.",
            );
        }
        match Registry::open(store.clone(), genesis).await {
            Ok(registry) => {
                let tip = registry.tip();
                self.well(&format!(
                    "database holds {} records in {} blocks",
                    tip.frontier().size(),
                    tip.height()
                ))
            }
            Err(error) => self.ill(&format!("database: {error}"), unreadable),
        }
    }

    /// A file of the database that belongs to another user than its folder: the daemon reads it and
    /// cannot write.
    fn ownership(&mut self, settings: &Settings) -> anyhow::Result<()> {
        let Some(file) = settings.database.file() else {
            return Ok(());
        };
        let owner = |path: &Path| std::fs::metadata(path).map(|about| about.uid()).ok();
        let Some(folder) = settings.data_folder() else {
            return Ok(());
        };
        let Some(of_folder) = owner(&folder) else {
            return Ok(());
        };
        for ending in ["", "-wal", "-shm"] {
            let mut name = file.as_os_str().to_owned();
            name.push(ending);
            let path = PathBuf::from(name);
            if owner(&path).is_some_and(|of_file| of_file != of_folder) {
                self.ill(
                    &format!(
                        "{} does not belong to the user its folder belongs to",
                        path.display()
                    ),
                    &format!(
                        "The daemon cannot write it: chown --reference={} {}",
                        folder.display(),
                        path.display()
                    ),
                )?;
            }
        }
        Ok(())
    }

    fn disk(&mut self, settings: &Settings) -> anyhow::Result<()> {
        let Some(folder) = settings.data_folder() else {
            return Ok(());
        };
        // Before the first start systemd has not made the folder; its disk is that of the folder
        // above.
        let mut existing = folder.as_path();
        while !existing.exists() {
            let Some(above) = existing.parent() else {
                return Ok(());
            };
            existing = if above.as_os_str().is_empty() {
                Path::new(".")
            } else {
                above
            };
        }
        if existing != folder {
            self.well(&format!(
                "{} is not there yet: systemd makes it at the first start",
                folder.display()
            ))?;
        }
        let reserve = settings.limits.disk_reserve_mb.saturating_mul(1 << 20);
        match free_bytes(existing) {
            Ok(free) if free < reserve => self.ill(
                &format!("{} MiB are free on the database's disk", free >> 20),
                "Make room: below `limits.disk_reserve_mb` submissions are turned away, and a full disk stops the node.",
            ),
            Ok(free) => self.well(&format!(
                "{} GiB are free on the database's disk",
                free >> 30
            )),
            Err(error) => self.ill(
                &format!("the disk of {}: {error}", existing.display()),
                "Correct `database` in the configuration.",
            ),
        }
    }

    fn tls(&mut self, settings: &Settings) -> anyhow::Result<()> {
        for doubt in settings.http.trusted_proxies.doubts() {
            let remedy = "Correct `http.trusted_proxies`.";
            self.ill(&format!("trusted proxies: {doubt}"), remedy)?;
        }
        let Some(files) = &settings.http.tls else {
            return self
                .well("HTTP is served in the clear: right behind a proxy, wrong on the internet");
        };
        let chain = std::fs::read(&files.certificate)
            .map_err(|error| error.to_string())
            .and_then(|pem| Certificate::load_pem_chain(&pem).map_err(|error| error.to_string()));
        let name = files.certificate.display();
        let first = match &chain {
            Ok(chain) => chain.first(),
            Err(error) => {
                return self.ill(&format!("{name}: {error}"), "Correct `http.tls`.");
            }
        };
        let Some(certificate) = first else {
            return self.ill(
                &format!("{name} holds no certificate"),
                "Correct `http.tls`.",
            );
        };
        let until = certificate.tbs_certificate().validity().not_after;
        let until = at_most::<i64, _>(until.to_unix_duration().as_secs());
        let days = until.saturating_sub(clock::now().unix()).div_euclid(86_400);
        match days {
            days if days < 0 => self.ill(
                &format!("the TLS certificate {name} has expired"),
                "Renew it; the node takes the new file by itself.",
            ),
            days if days < 14 => self.ill(
                &format!("the TLS certificate {name} expires in {days} days"),
                "Look at what renews it; the node takes the new file by itself.",
            ),
            days => self.well(&format!(
                "the TLS certificate {name} is valid for {days} more days"
            )),
        }
    }
}
