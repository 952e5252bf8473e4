//! The daemon: wires configuration, keys, store, lanes, block production and HTTP together.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::Context as _;
use birthmark_consensus::ValidatorKeys;
use birthmark_daemon::Context;
use birthmark_http::site::RateLimit;
use birthmark_http::{Listener, LogThrottle, Seats, ServerLimits, serve};
use birthmark_ledger::{CheckpointKey, ValidatorId, VoteKey, VoteSigner as _};
use birthmark_link::LinkKey;

use crate::authority::LaneReport;
use crate::http::{self, App};
use crate::identity;
use crate::metrics::Metrics;
use crate::network::{LINKS_SOCKET, Neighbours, Network, Place};
use crate::production;
use crate::settings::Settings;
use crate::witness::{Witness, Witnesses};

mod parts;
mod tasks;

pub(crate) use parts::secrets;

use parts::Parts;
use tasks::Tasks;

/// The name of the HTTP socket, for systemd and for whoever starts the node inside another program.
pub const HTTP_SOCKET: &str = "http";
/// How many streams of new blocks one client may hold open: a few tabs and a program.
const SEATS_PER_CLIENT: usize = 8;

/// How the authorities have been answering, by name.
type LaneReports = Vec<(String, Arc<Mutex<LaneReport>>)>;

/// Who this node is.
struct Keys {
    vote: Arc<VoteKey>,
    checkpoint: CheckpointKey,
    link: LinkKey,
    own: ValidatorId,
}

impl Keys {
    fn load(settings: &Settings, context: &Context) -> anyhow::Result<Self> {
        let vote = Arc::new(identity::voter(settings, &context.credentials)?);
        Ok(Self {
            checkpoint: identity::checkpoint_key(&context.credentials)?,
            link: identity::link_key(&context.credentials)?,
            own: ValidatorId::of(&vote.public_key()),
            vote,
        })
    }
}

/// Runs the node until it is asked to stop.
pub async fn run(settings: Settings, mut context: Context) -> anyhow::Result<()> {
    let keys = Keys::load(&settings, &context)?;
    let parts = Parts::open(&settings, &keys, &context).await?;
    let store = parts.store.clone();
    let mut tasks = Tasks::new(context.shutdown.clone());
    let lanes = tasks.authorities(&parts)?;
    tasks.chores(&parts, &settings);
    let neighbours = make_blocks(&parts, keys, &settings, &mut context, &mut tasks).await?;
    let listener = listen(&settings, &mut context).await?;
    let app = application(parts, settings, lanes, neighbours, &context).await?;
    answer(Arc::new(app), listener, &mut context, &mut tasks);
    context.ready();
    let outcome = tasks.finish().await;
    store.close().await;
    outcome
}

/// Decides blocks, with the others where there are others.
async fn make_blocks(
    parts: &Parts,
    keys: Keys,
    settings: &Settings,
    context: &mut Context,
    tasks: &mut Tasks,
) -> anyhow::Result<Option<Neighbours>> {
    let node = parts.producer();
    let pacing = production::pacing(&settings.blocks);
    let link_key = keys.link;
    let keys = ValidatorKeys {
        vote: keys.vote,
        checkpoint: keys.checkpoint,
    };
    let (pooled, pulse) = (Arc::clone(&parts.pooled), Arc::clone(&parts.pulse));
    let stop = context.shutdown.clone();
    let Some(peers) = &settings.network else {
        tasks.essential(async move {
            production::produce(node, keys, pacing, pooled, pulse, stop).await
        });
        return Ok(None);
    };
    let listeners = context.sockets.tcp(LINKS_SOCKET, peers.listen).await?;
    let log_folder = settings.consensus_log();
    let place = Place {
        keys,
        link_key,
        log_folder: log_folder.context("`network.log` must name a folder on this machine")?,
        pacing,
    };
    let network = Network::open(node, place, peers, listeners, pooled).await?;
    let contradictions = Arc::clone(&parts.contradictions);
    let neighbours = Neighbours::new(network.state(), network.hub(), contradictions);
    tasks.essential(async move { network.run(pulse, stop).await });
    Ok(Some(neighbours))
}

async fn listen(settings: &Settings, context: &mut Context) -> anyhow::Result<Listener> {
    let http = &settings.http;
    let listeners = context.sockets.tcp(HTTP_SOCKET, http.listen).await?;
    for doubt in http.trusted_proxies.doubts() {
        log::warn!("`http.trusted_proxies`: {doubt}");
    }
    Ok(match &http.tls {
        Some(files) => Listener::Tls(listeners, files.clone().open().context("TLS")?),
        None => Listener::Tcp(listeners),
    })
}

/// This node as a witness of other registries, where it is one.
fn witness(
    parts: &Parts,
    settings: &Settings,
    context: &Context,
) -> anyhow::Result<Option<Arc<Witness>>> {
    let Some(witness) = &settings.witness else {
        return Ok(None);
    };
    let folder = settings.witness_folder();
    let folder = folder.context("`witness.folder` must name a folder on this machine")?;
    let key = identity::checkpoint_key(&context.credentials)?;
    let own = &parts.registry.genesis().chain_id;
    let name = parts.name.parse().context("this node's name")?;
    Ok(Some(Arc::new(Witness::open(
        witness, folder, name, key, own,
    )?)))
}

async fn application(
    parts: Parts,
    settings: Settings,
    lanes: LaneReports,
    neighbours: Option<Neighbours>,
    context: &Context,
) -> anyhow::Result<App> {
    Ok(App {
        witness: witness(&parts, &settings, context)?,
        witnesses: Witnesses::open(&settings.witnesses, &parts.registry).await?,
        metrics: Metrics::default(),
        submissions: RateLimit::per_minute(settings.limits.submissions_per_minute),
        requests: RateLimit::per_minute(settings.limits.requests_per_minute),
        forgeries: LogThrottle::default(),
        event_seats: Seats::new(settings.limits.event_readers, SEATS_PER_CLIENT),
        pulse: parts.pulse,
        neighbours,
        started: Instant::now(),
        registry: parts.registry,
        admission: parts.admission,
        book: parts.book,
        settings,
        name: parts.name,
        own: parts.own,
        changes: parts.changes,
        lanes,
    })
}

/// Answers requests, asks the witnesses, and tells systemd how it goes.
fn answer(app: Arc<App>, listener: Listener, context: &mut Context, tasks: &mut Tasks) {
    for asking in app.witnesses.iter() {
        tasks.witness(asking);
    }
    let limits = ServerLimits {
        connections: app.settings.limits.connections,
        connections_per_client: app.settings.limits.connections_per_client,
        trusted_proxies: app.settings.http.trusted_proxies.clone(),
        ..ServerLimits::default()
    };
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
}
