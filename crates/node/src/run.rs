//! The daemon: wires configuration, keys, store, lanes, block production and HTTP together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use birthmark_consensus::ValidatorKeys;
use birthmark_daemon::{Context, Credentials, Shutdown};
use birthmark_http::site::{KeyedLimit, RateLimit};
use birthmark_http::{Listener, LogThrottle, Seats, ServerLimits, serve};
use birthmark_ledger::{BlockTime, ValidatorId, VoteSigner as _};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::admission::{Admission, QueueRoom};
use crate::authorities::{Authority, AuthorityBook};
use crate::authority::epochs::Herald;
use crate::authority::{AuthorityClient, Lane, Settler, revocations};
use crate::changes::Changes;
use crate::clock;
use crate::contradictions::Contradictions;
use crate::disk::{Disk, Space};
use crate::http::{self, App};
use crate::identity;
use crate::journal;
use crate::list_numbers::ListNumbers;
use crate::lookup_key::LookupKey;
use crate::metrics::Metrics;
use crate::network::{self, LINKS_SOCKET, Neighbours, Network, Place};
use crate::production::{self, Node};
use crate::pulse::Pulse;
use crate::registry::Registry;
use crate::row_keys::RowKeys;
use crate::settings::Settings;
use crate::standing;
use crate::store::Store;
use crate::witness::{Asking, Witness, Witnesses};

/// The name of the HTTP socket, for systemd and for whoever starts the node inside another program.
pub const HTTP_SOCKET: &str = "http";

/// How far the newest block may be ahead of our clock, in minutes.
const LARGEST_LAG: i64 = 10;

/// A clock that stands before the newest block was never set, or was set wrongly: every date we
/// would give is wrong.
fn check_clock(newest: BlockTime, now: BlockTime) -> anyhow::Result<()> {
    let minutes = newest.millis_since(now) / 60_000;
    anyhow::ensure!(
        minutes <= LARGEST_LAG,
        "this machine's clock is {minutes} minutes behind the newest block: set it (`timedatectl`, `chronyc tracking`)"
    );
    Ok(())
}

/// Refuses a key that this database was not begun with: with another one, what was registered once
/// would be taken again.
async fn check_lookup_key(store: &Store, key: &LookupKey) -> anyhow::Result<()> {
    const NAME: &str = "lookup-key";
    let expected = key.check_value();
    match store.state(NAME).await? {
        Some(stored) if stored != expected => {
            let reason = "it is not the one this database was begun with; load that one";
            return Err(identity::unusable(identity::LOOKUP_KEY, reason).into());
        }
        Some(_) => {}
        None => store.put_state(NAME, &expected).await?,
    }
    Ok(())
}

/// The lookup key and the row keys that belong to this database; forgets what waits under row keys
/// that are gone, of a restored backup for one.
pub(crate) async fn secrets(
    settings: &Settings,
    store: &Store,
    credentials: &Credentials,
) -> anyhow::Result<(LookupKey, RowKeys)> {
    let key = identity::lookup_key(credentials)?;
    check_lookup_key(store, &key).await?;
    let folder = settings.row_keys();
    let folder = folder.context("`row_keys` must name a folder on this machine")?;
    let rows = RowKeys::open(&folder, key.clone()).await?;
    let forgotten = store.forget_unreadable(&rows.known()).await?;
    if forgotten > 0 {
        log::warn!(
            "{forgotten} waiting submissions were sealed under keys that are gone, as after a restore: their cameras send them again"
        );
    }
    Ok((key, rows))
}

/// Runs the node until it is asked to stop.
pub async fn run(settings: Settings, mut context: Context) -> anyhow::Result<()> {
    let signer = Arc::new(identity::voter(&settings, &context.credentials)?);
    let checkpoint = identity::checkpoint_key(&context.credentials)?;
    let link_key = identity::link_key(&context.credentials)?;
    let genesis = identity::read_genesis(&settings.genesis)?;
    let own = ValidatorId::of(&signer.public_key());
    // Whoever decides alone has nobody to follow.
    if settings.network.is_none() {
        standing::check_keys(&genesis.validators, &own, &checkpoint)?;
    }
    // A newer version may have to rewrite tens of millions of records first.
    let opening = Store::open_or_explain(&settings.database, settings.memory.database_mb);
    let store = context.service.patiently("Opening the database", opening);
    let store = store.await?;
    let numbers = Arc::new(ListNumbers::load(&store).await?);
    let book = Arc::new(AuthorityBook::read(&settings, own, &numbers)?);
    book.take_tokens(&context.credentials)?;
    revocations::restore(&book, &numbers, &store).await?;
    let (lookup_key, rows) = secrets(&settings, &store, &context.credentials).await?;
    let rows = Arc::new(rows);
    let registry = Registry::with_memory(store.clone(), genesis, settings.memory).await?;
    let registry = Arc::new(registry);
    check_clock(registry.tip().time(), clock::now_millis())?;

    let name = standing::name(&registry, &own, &checkpoint, link_key.identity())?;
    network::check(&settings, registry.tip().validators(), &name)?;
    let changes = Arc::new(Changes::load(&registry).await?);
    let keys = ValidatorKeys {
        vote: Arc::clone(&signer),
        checkpoint,
    };
    let guard = settings.guard();
    // In a network the others are there: it abstains until they have passed what it may have
    // signed.
    if let (Some(guard), None) = (&guard, &settings.network) {
        guard.check(registry.tip().height().get())?;
    }

    let folder = settings.data_folder();
    let folder = folder.context("`signed_heights` must name a file on this machine")?;
    let reserve = settings.limits.disk_reserve_mb.saturating_mul(1 << 20);
    let disk = Disk::new(&folder, reserve)
        .with_context(|| format!("cannot look at the disk of {}", folder.display()))?;
    let disk = Arc::new(disk);
    let (submitted, pooled) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let admission = Admission::start(
        store.clone(),
        Arc::clone(&rows),
        lookup_key,
        Arc::clone(&book),
        QueueRoom::new(
            settings.limits.queue,
            book.all().map(|authority| authority.settings.id.as_str()),
        ),
        Arc::clone(&disk),
        Arc::clone(&submitted),
    )
    .await?;
    let budget = KeyedLimit::per_hour(settings.limits.photos_per_camera_per_hour);
    let admission = Arc::new(admission.with_budget(budget));
    let chain = registry.genesis().hash();
    let settler = Settler::new(
        store.clone(),
        Arc::clone(&rows),
        Arc::clone(&admission),
        Arc::clone(&signer),
        chain,
        Arc::clone(&pooled),
    );
    let settler = Arc::new(settler);

    let herald = Arc::new(Herald {
        registry: Arc::clone(&registry),
        rows: Arc::clone(&rows),
        key: Arc::clone(&signer),
        pooled: Arc::clone(&pooled),
    });

    let mut tasks = Tasks::new(context.shutdown.clone());
    let mut lanes = Vec::new();
    for authority in book.all() {
        let lane = Lane::of(
            Arc::clone(authority),
            Arc::clone(&settler),
            Arc::clone(&submitted),
        )?;
        lanes.push((authority.settings.id.clone(), lane.report()));
        tasks.lane(lane);
        tasks.revocations(authority, &numbers, &store)?;
        tasks.epochs(authority, &herald)?;
    }
    tasks.lane(Lane::of_nobody(
        Arc::clone(&settler),
        Arc::clone(&submitted),
    ));
    tasks.software_lists(&book, &numbers, &store);
    tasks.lookups(Arc::clone(&registry));
    let (indexed, stop) = (Arc::clone(&registry), context.shutdown.clone());
    tasks.essential(async move { Ok(indexed.follow_index(stop).await?) });
    tasks.forgetting(store.clone(), settings.limits.remember_days);
    tasks.row_keys(Arc::clone(&rows), store.clone());
    tasks.strangers(store.clone());
    tasks.disk(disk);
    let contradictions = Arc::new(Contradictions::load(&registry).await?);
    let (of_registry, of_book) = (Arc::clone(&registry), Arc::clone(&book));
    let node = Node::new(
        of_registry,
        rows,
        of_book,
        guard,
        Arc::clone(&contradictions),
        Arc::clone(&changes),
        signer,
    );
    let pulse = Arc::new(Pulse::default());
    let beat = Arc::clone(&pulse);
    tasks.pulse(Arc::clone(&pulse), store.clone());
    let pacing = production::pacing(&settings.blocks);
    let stop = context.shutdown.clone();
    let mut neighbours = None;
    if let Some(peers) = &settings.network {
        let listeners = context.sockets.tcp(LINKS_SOCKET, peers.listen).await?;
        let log_folder = settings.consensus_log();
        let place = Place {
            keys,
            link_key,
            log_folder: log_folder.context("`network.log` must name a folder on this machine")?,
            pacing,
        };
        let network = Network::open(node, place, peers, listeners, pooled).await?;
        neighbours = Some(Neighbours::new(
            network.state(),
            network.hub(),
            contradictions,
        ));
        tasks.essential(async move { network.run(beat, stop).await });
    } else {
        tasks.essential(async move {
            production::produce(node, keys, pacing, pooled, beat, stop).await
        });
    }

    let listeners = context
        .sockets
        .tcp(HTTP_SOCKET, settings.http.listen)
        .await?;
    for doubt in settings.http.trusted_proxies.doubts() {
        log::warn!("`http.trusted_proxies`: {doubt}");
    }
    let listener = match &settings.http.tls {
        Some(files) => Listener::Tls(listeners, files.clone().open().context("TLS")?),
        None => Listener::Tcp(listeners),
    };
    let limits = ServerLimits {
        connections: settings.limits.connections,
        connections_per_client: settings.limits.connections_per_client,
        trusted_proxies: settings.http.trusted_proxies.clone(),
        ..ServerLimits::default()
    };
    let witness = settings.witness.as_ref().map(|witness| {
        let folder = settings.witness_folder();
        let folder = folder.context("`witness.folder` must name a folder on this machine")?;
        let key = identity::checkpoint_key(&context.credentials)?;
        let own = &registry.genesis().chain_id;
        let name = name.parse().context("this node's name")?;
        anyhow::Ok(Arc::new(Witness::open(witness, folder, name, key, own)?))
    });
    let witness = witness.transpose()?;
    let witnesses = Witnesses::open(&settings.witnesses, &registry).await?;
    for asking in witnesses.iter() {
        tasks.witness(asking);
    }
    let app = Arc::new(App {
        witnesses,
        witness,
        metrics: Metrics::default(),
        submissions: RateLimit::per_minute(settings.limits.submissions_per_minute),
        requests: RateLimit::per_minute(settings.limits.requests_per_minute),
        forgeries: LogThrottle::default(),
        event_seats: Seats::new(settings.limits.event_readers, SEATS_PER_CLIENT),
        pulse,
        neighbours,
        started: Instant::now(),
        registry,
        admission,
        book,
        settings,
        name,
        own,
        changes,
        lanes,
    });
    let (checked, stop) = (Arc::clone(&app), context.shutdown.clone());
    context.service.watch(move || {
        let app = Arc::clone(&checked);
        async move { app.check().await }
    });
    tasks.essential(async move {
        serve(listener, http::Front::new(app), limits, async move {
            stop.requested().await
        })
        .await;
        Ok(())
    });
    context.ready();
    let outcome = tasks.finish().await;
    store.close().await;
    outcome
}

/// Everything that runs at once. One that fails stops all.
struct Tasks {
    set: JoinSet<anyhow::Result<()>>,
    shutdown: Shutdown,
}

/// How many streams of new blocks one client may hold open: a few tabs and a program.
const SEATS_PER_CLIENT: usize = 8;
/// How often a crowded filter is looked for.
const FILTER_CHECK: Duration = Duration::from_secs(60);
/// How often disk and refusals are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// For so many seconds a refused submission that anybody could have made is remembered.
const STRANGERS_SECONDS: i64 = 3600;
/// And at most so many of them.
const MOST_STRANGERS: u32 = 10_000;
/// How often row keys are looked at: those that no row needs are destroyed.
const TIDY_EVERY: Duration = Duration::from_secs(60);
/// How often old submissions are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(3600);

/// Until this has succeeded, lookups ask the database.
async fn prepare_lookups(registry: &Registry) {
    let (index, filter) = (registry.index(), registry.filter());
    if !index.is_complete() && !index.is_outgrown() {
        if let Err(error) = registry.fill_index().await {
            log::warn!(
                "the index of registered digests is not filled, lookups ask the database: {error}"
            );
        }
        if index.is_outgrown() {
            log::info!(
                "the registry is too large for `memory.index_mb`: lookups ask a filter and the database"
            );
        }
    }
    if !index.is_complete()
        && (!filter.is_complete() || filter.is_crowded())
        && let Err(error) = registry.fill_filter().await
    {
        log::warn!(
            "the filter of registered digests is not filled, lookups ask the database: {error}"
        );
    }
}

impl Tasks {
    fn new(shutdown: Shutdown) -> Self {
        Self {
            set: JoinSet::new(),
            shutdown,
        }
    }

    fn essential(&mut self, task: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        self.set.spawn(task);
    }

    fn lane(&mut self, lane: Lane) {
        let shutdown = self.shutdown.clone();
        self.set.spawn(async move {
            lane.run(shutdown).await;
            Ok(())
        });
    }

    fn witness(&mut self, asking: &Arc<Asking>) {
        let running = Arc::clone(asking).run(self.shutdown.clone());
        self.set.spawn(async move {
            running.await;
            Ok(())
        });
    }

    fn revocations(
        &mut self,
        authority: &Arc<Authority>,
        numbers: &Arc<ListNumbers>,
        store: &Store,
    ) -> anyhow::Result<()> {
        let (numbers, store) = (Arc::clone(numbers), store.clone());
        let (client, shutdown) = (AuthorityClient::new(authority)?, self.shutdown.clone());
        let authority = Arc::clone(authority);
        if authority.settings.revocations.is_some() || authority.settings.revocation_feed.is_some()
        {
            self.set.spawn(async move {
                revocations::follow(authority, client, numbers, store, shutdown).await;
                Ok(())
            });
        }
        Ok(())
    }

    /// Registers what an authority that signs states about its epochs.
    fn epochs(&mut self, authority: &Arc<Authority>, herald: &Arc<Herald>) -> anyhow::Result<()> {
        if !authority.signs() {
            return Ok(());
        }
        let (client, shutdown) = (AuthorityClient::new(authority)?, self.shutdown.clone());
        let following = Arc::clone(herald).follow(Arc::clone(authority), client, shutdown);
        self.set.spawn(async move {
            following.await;
            Ok(())
        });
        Ok(())
    }

    fn software_lists(
        &mut self,
        book: &Arc<AuthorityBook>,
        numbers: &Arc<ListNumbers>,
        store: &Store,
    ) {
        let (numbers, store) = (Arc::clone(numbers), store.clone());
        let (book, shutdown) = (Arc::clone(book), self.shutdown.clone());
        self.set.spawn(async move {
            revocations::follow_files(book, numbers, store, shutdown).await;
            Ok(())
        });
    }

    /// Forgets what became of submissions, when their time has come.
    fn forgetting(&mut self, store: Store, remember_days: u32) {
        let shutdown = self.shutdown.clone();
        self.set.spawn(async move {
            while !shutdown.is_requested() {
                let before = clock::now().plus(-i64::from(remember_days) * 86_400);
                if let Err(error) = store.forget_decided(before).await {
                    log::debug!("old submissions are not forgotten yet: {error}");
                }
                tokio::select! {
                    () = tokio::time::sleep(FORGET_EVERY) => {}
                    () = shutdown.requested() => {}
                }
            }
            Ok(())
        });
    }

    /// Looks whether the database can be written to.
    fn pulse(&mut self, pulse: Arc<Pulse>, store: Store) {
        let shutdown = self.shutdown.clone();
        self.set.spawn(async move {
            while !shutdown.is_requested() {
                let written = store.try_write().await;
                if let Err(error) = &written {
                    // Told where it is noticed first: by submissions or blocks.
                    log::debug!("the database cannot be written to: {error}");
                }
                let trouble = written
                    .is_err()
                    .then_some("the database cannot be written to");
                pulse.set_database(trouble);
                tokio::select! {
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                    () = shutdown.requested() => {}
                }
            }
            Ok(())
        });
    }

    /// Forgets refusals of submissions that anybody could have made.
    fn strangers(&mut self, store: Store) {
        let shutdown = self.shutdown.clone();
        self.set.spawn(async move {
            while !shutdown.is_requested() {
                let before = clock::now().plus(-STRANGERS_SECONDS);
                let forgotten = store.forget_refused_strangers(before, MOST_STRANGERS).await;
                if let Err(error) = forgotten {
                    log::debug!("old refusals are not forgotten yet: {error}");
                }
                tokio::select! {
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                    () = shutdown.requested() => {}
                }
            }
            Ok(())
        });
    }

    /// Looks how much room is left on the disk, and says when there is little.
    fn disk(&mut self, disk: Arc<Disk>) {
        let shutdown = self.shutdown.clone();
        self.set.spawn(async move {
            let mut before = Space::Enough;
            while !shutdown.is_requested() {
                if let Err(error) = disk.look() {
                    log::warn!("the disk cannot be looked at: {error}");
                }
                let space = disk.space();
                match space {
                    Space::None if space != before => log::error!(MESSAGE_ID = journal::DISK_FULL; "the disk is full: no submission is taken any more"),
                    Space::Little if space != before => log::warn!(MESSAGE_ID = journal::DISK_FULL; "the disk is nearly full: only signed submissions are taken"),
                    Space::Enough if space != before => log::info!("the disk has room again"),
                    Space::None | Space::Little | Space::Enough => {}
                }
                before = space;
                tokio::select! {
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                    () = shutdown.requested() => {}
                }
            }
            Ok(())
        });
    }

    /// Destroys the keys of waiting rows once nothing waits under them.
    fn row_keys(&mut self, rows: Arc<RowKeys>, store: Store) {
        let shutdown = self.shutdown.clone();
        self.set.spawn(async move {
            let mut failing = false;
            while !shutdown.is_requested() {
                let tidied = rows.tidy(&store, Instant::now()).await;
                match &tidied {
                    Err(error) if !failing => {
                        log::warn!("row keys are not destroyed at the moment: {error:#}")
                    }
                    Err(_) | Ok(()) => {}
                }
                failing = tidied.is_err();
                tokio::select! {
                    () = tokio::time::sleep(TIDY_EVERY) => {}
                    () = shutdown.requested() => {}
                }
            }
            Ok(())
        });
    }

    /// Fills the index in memory; for a registry too large for it the filter, now and whenever it
    /// has become crowded.
    fn lookups(&mut self, registry: Arc<Registry>) {
        let shutdown = self.shutdown.clone();
        self.set.spawn(async move {
            loop {
                prepare_lookups(&registry).await;
                tokio::select! {
                    () = tokio::time::sleep(FILTER_CHECK) => {}
                    () = shutdown.requested() => return Ok(()),
                }
            }
        });
    }

    async fn finish(mut self) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        while let Some(ended) = self.set.join_next().await {
            let ended = ended
                .context("a part of the node broke")
                .and_then(|ended| ended);
            if ended.is_err() {
                outcome = outcome.and(ended);
            }
            self.shutdown.request();
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_the_newest_block_is_refused_with_what_to_do() {
        let newest = BlockTime::from_millis(1_790_000_000_000);
        assert!(check_clock(newest, newest).is_ok());
        assert!(check_clock(newest, newest.plus_millis(-5 * 60_000)).is_ok());
        let error = check_clock(newest, BlockTime::from_millis(0)).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("29833333 minutes behind the newest block: set it")
        );
    }
}
