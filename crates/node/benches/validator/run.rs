//! One run: limits, filling, answers, submissions, sizes.

use std::path::Path;
use std::time::{Duration, Instant};

use birthmark_ledger::{ChainId, Genesis, KeyName};
use birthmark_node::settings::{AuthoritySettings, Settings};
use birthmark_node::store::{Settlement, Sizes, Store, Wanted};
use birthmark_node::{identity, setup};
use birthmark_protocol::{Digest, Timestamp};

use crate::database::Database;
use crate::load::{self, Requests};
use crate::process::{Process, free_address};
use crate::table::{Table, at_least, at_most};
use crate::{Options, cameras, fill, limits};

const CONNECTIONS: usize = 32;
/// A commit takes what came while the one before ran: with many senders it takes many.
const SENDERS: usize = 1000;
/// The limit computed for two cores when this was designed: two signatures, durable in batches.
const COMPUTED: f64 = 10_800.0;

struct Run {
    options: Options,
    table: Table,
    settings: Settings,
    database: Database,
    folder: std::path::PathBuf,
    cores: f64,
}

pub async fn run(options: Options) {
    let temporary = tempfile::tempdir().unwrap();
    let folder = options.keep.clone().unwrap_or(temporary.path().to_owned());
    std::fs::create_dir_all(&folder).unwrap();
    let is_postgres = options.database == "postgres";
    let open = |is_durable| match is_postgres {
        true => Database::postgres(&folder, is_durable),
        false => Database::sqlite(&folder),
    };
    let genesis = genesis(&folder);
    let database = open(false);
    let settings = settings(&folder, &database);
    let keys = folder.join("keys");
    let (records, claims) = (options.records, options.claims);
    let filled = fill::fill(&settings, &keys, &genesis, records, claims).await;
    drop(database);
    if options.only_fill {
        return;
    }
    let mut run = Run {
        table: Table::default(),
        cores: std::thread::available_parallelism().map_or(1, usize::from) as f64,
        database: open(true),
        options,
        settings,
        folder,
    };
    run.measure(filled).await;
}

fn genesis(folder: &Path) -> Genesis {
    let file = folder.join("genesis.toml");
    if !file.exists() {
        let name = KeyName::new("bench.example").unwrap();
        let validator = setup::create_keys(&folder.join("keys"), name).unwrap();
        let chain = ChainId::new("bench.example/registry").unwrap();
        let start = Timestamp::from_unix(fill::START);
        let genesis = setup::genesis(chain, start, false, vec![validator]).unwrap();
        setup::write_genesis(&file, &genesis).unwrap();
    }
    identity::read_genesis(&file).unwrap()
}

fn settings(folder: &Path, database: &Database) -> Settings {
    let mut settings = Settings::new(database.url(), folder.join("genesis.toml"));
    settings.signed_heights = Some(folder.join("signed"));
    settings.http.listen = free_address();
    settings.limits.requests_per_minute = 0;
    settings.limits.submissions_per_minute = 0;
    settings.limits.photos_per_camera_per_hour = 0;
    settings.limits.queue = 1_000_000;
    settings
}

impl Run {
    async fn measure(&mut self, filled: Option<f64>) {
        println!(
            "{} records, {}, {} cores shared by node, database, authority and clients",
            self.options.records, self.options.database, self.cores
        );
        let (away, strangers) = cameras::strangers(&self.folder, self.options.submissions);
        let scratch = tempfile::tempdir().unwrap();
        self.table.head("Limits of the parts");
        let signature = limits::signature_seconds();
        let get = limits::questions(scratch.path(), CONNECTIONS, self.options.lookups, 5);
        let post = limits::submissions(scratch.path(), SENDERS, &strangers);
        let row = limits::row_seconds(&self.database).await;
        let table = &mut self.table;
        table.line(
            "ECDSA P-256, one signature checked",
            signature * 1e6,
            "us",
            None,
        );
        table.line(
            "bare framework, an answer of 5 bytes: CPU of the server",
            get.cpu * 1e6,
            "us",
            None,
        );
        table.line(
            "bare framework, an answer of 5 bytes: rate",
            get.rate,
            "/s",
            None,
        );
        table.line(
            "bare framework, a submission: CPU of the server",
            post.cpu * 1e6,
            "us",
            None,
        );
        table.line(
            "durable row in a batch of 1,000: CPU",
            row * 1e6,
            "us",
            None,
        );
        let submissions = self.cores / (2.0 * signature + post.cpu + row);
        table.line(
            "so durable submissions with two signatures",
            submissions,
            "/s",
            None,
        );
        if let Some(rate) = filled {
            table.line("filling, in full blocks", rate, "/s", None);
        }
        self.sizes().await;
        self.answers(scratch.path()).await;
        self.strangers(scratch.path(), away, &strangers, submissions)
            .await;
        self.friends(scratch.path()).await;
        self.table.end();
    }

    async fn node(&mut self, authorities: Vec<AuthoritySettings>) -> Process {
        self.settings.http.listen = free_address();
        self.settings.default_authority = authorities.first().map(|one| one.id.clone());
        self.settings.authorities = authorities;
        Process::node(&self.folder, &self.settings).await
    }

    async fn answers(&mut self, scratch: &Path) {
        let started = Instant::now();
        let node = self.node(Vec::new()).await;
        let ready = started.elapsed().as_secs_f64();
        index_filled(&node).await;
        self.table.head("Answers, node as it ships");
        self.table
            .line("start until the first answer", ready, "s", None);
        let filled = started.elapsed().as_secs_f64();
        self.table
            .line("start until answers come from memory", filled, "s", None);
        let records = self.options.records;
        let nowhere = |at: u64| Digest::of(&at.to_be_bytes());
        // All over the registry: a step that shares no factor with any round number.
        let somewhere = |at: u64| fill::digest(at.wrapping_mul(7_919_777) % records);
        let (missed, found) = ("verify, not registered", "verify, registered");
        self.asked(scratch, &node, missed, &nowhere, (404, 0.8))
            .await;
        self.asked(scratch, &node, found, &somewhere, (200, 0.5))
            .await;
        let (now, most) = node.megabytes();
        let index = metric(&node, "index_bytes").await / records as f64;
        let kept = metric(&node, "kept_block_bytes").await;
        self.table
            .line("index in memory, per record", index, "B", at_most(18.0));
        self.table.line(
            "blocks in memory",
            kept / 1_048_576.0,
            "MB",
            at_most(self.settings.memory.blocks_mb as f64),
        );
        self.table
            .line("resident memory of the node", now, "MB", None);
        self.table
            .line("resident memory of the node, most", most, "MB", None);
        node.stop();
    }

    /// One kind of question, beside the framework alone with answers of the same size.
    async fn asked(
        &mut self,
        scratch: &Path,
        node: &Process,
        what: &str,
        digest: &dyn Fn(u64) -> Digest,
        (status, wanted): (u16, f64),
    ) {
        let count = self.options.lookups;
        let text = load::ask(node.address, &load::verify_path(&digest(0))).await;
        let size = text.unwrap().len();
        let bare = limits::questions(scratch, CONNECTIONS, count, size);
        let paths = (0..count as u64).map(|at| load::verify_path(&digest(at)));
        let requests = Requests::get(paths);
        // Once to warm up.
        load::send(scratch, node.address, CONNECTIONS, &requests, status);
        let send = || load::send(scratch, node.address, CONNECTIONS, &requests, status);
        let (seen, cpu) = limits::measured(node, &self.database, send, count);
        assert_eq!(seen.others, 0, "{what}: other answers than {status}");
        let (table, of) = (&mut self.table, "the bare framework");
        let line = format!("bare framework, an answer of {size} bytes: CPU of the server");
        table.line(&line, bare.cpu * 1e6, "us", None);
        let rate = count as f64 / seen.seconds;
        let line = format!("{what}: rate beside the clients");
        table.line(&line, rate, "/s", at_least(wanted, of, bare.rate));
        let line = format!("{what}: 1 / CPU of the server");
        let limit = at_least(wanted, of, 1.0 / bare.cpu);
        table.line(&line, 1.0 / cpu, "/s", limit);
        let line = format!("{what}: CPU of the server");
        table.line(&line, cpu * 1e6, "us", None);
        let line = format!("{what}: 99 of 100 within");
        table.line(&line, seen.p99 * 1e3, "ms", at_most(5.0));
        let line = format!("{what}: all within");
        table.line(&line, seen.longest * 1e3, "ms", None);
    }

    /// Certificates never seen before, and their authority away: what admission and the queue take.
    async fn strangers(
        &mut self,
        scratch: &Path,
        away: AuthoritySettings,
        bodies: &[String],
        limit: f64,
    ) {
        let node = self.node(vec![away]).await;
        index_filled(&node).await;
        self.table
            .head("Submissions with two signatures each, the authority away");
        let cpu = self.submitted(scratch, &node, bodies, Some(limit));
        let rate = self.cores / cpu;
        self.table.line(
            "cores / CPU of node and database",
            rate,
            "/s",
            at_least(0.6, "the limit of this run", limit),
        );
        self.table
            .line("CPU of node and database for each", cpu * 1e6, "us", None);
        let waiting = metric(&node, "submissions_waiting").await;
        assert_eq!(
            waiting as usize,
            bodies.len(),
            "accepted and not in the queue"
        );
        node.stop();
        // What waits here has nobody who will ever answer: the next part begins without it.
        self.forget_waiting().await;
    }

    fn submitted(
        &mut self,
        scratch: &Path,
        node: &Process,
        bodies: &[String],
        limit: Option<f64>,
    ) -> f64 {
        let requests = Requests::post("/api/v1/submit-cert", bodies);
        let send = || load::send(scratch, node.address, SENDERS, &requests, 202);
        let (seen, cpu) = limits::measured(node, &self.database, send, bodies.len());
        assert_eq!(seen.others, 0, "submissions were refused");
        let rate = bodies.len() as f64 / seen.seconds;
        let what = "durable before the answer, beside the clients";
        let computed = limit.and_then(|_| at_least(0.6, "the limit of the design", COMPUTED));
        self.table.line(what, rate, "/s", computed);
        if let Some(limit) = limit {
            self.table.line(
                what,
                rate,
                "/s",
                at_least(0.6, "the limit of this run", limit),
            );
        }
        self.table
            .line("half within", seen.median * 1e3, "ms", None);
        self.table
            .line("99 of 100 within", seen.p99 * 1e3, "ms", None);
        cpu
    }

    async fn forget_waiting(&self) {
        let store = Store::open(&self.settings.database).await.unwrap();
        loop {
            let waiting = store.waiting("bench-away", 0, 1000).await.unwrap();
            if waiting.is_empty() {
                break;
            }
            let queue: Vec<_> = waiting.iter().map(|one| one.seq).collect();
            let now = birthmark_node::clock::now();
            let nothing = |_: &_| Ok(Settlement::default());
            let wanted = Wanted::default();
            store.settle(&wanted, &queue, now, nothing).await.unwrap();
        }
        store.close().await;
    }

    /// Cameras the node knows, an authority that answers, until everything is in blocks.
    async fn friends(&mut self, scratch: &Path) {
        let count = self.options.submissions;
        let (authority, entry, bodies) = cameras::friends(&self.folder, 100, count).await;
        let node = self.node(vec![entry]).await;
        index_filled(&node).await;
        let before = metric(&node, "records").await;
        self.table
            .head("Submissions of 100 cameras, their authority on the same cores");
        let started = Instant::now();
        self.submitted(scratch, &node, &bodies, None);
        while metric(&node, "records").await < before + count as f64 {
            assert!(
                started.elapsed() < Duration::from_secs(600),
                "never all in blocks"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let rate = count as f64 / started.elapsed().as_secs_f64();
        self.table
            .line("until every one is in a block", rate, "/s", None);
        node.stop();
        authority.stop();
    }

    async fn sizes(&mut self) {
        let store = Store::open(&self.settings.database).await.unwrap();
        let sizes: Sizes = store.sizes().await.unwrap();
        let claims = store.part_bytes(&["claims"]).await.unwrap();
        let claim = claims as f64 / store.rows("claims").await.unwrap().max(1) as f64;
        let chain = [
            "blocks",
            "transactions",
            "set_changes",
            "images",
            "edits",
            "nodes",
        ];
        let registry = store.part_bytes(&chain).await.unwrap();
        store.close().await;
        let each = |bytes: u64| bytes as f64 / sizes.records as f64;
        let allowed = if self.database.is_postgres() {
            220.0
        } else {
            140.0
        };
        let table = &mut self.table;
        table.head("Sizes, for each record");
        let canonical = each(sizes.block_bytes);
        table.line("canonical bytes of blocks", canonical, "B", at_most(64.0));
        let registry = each(registry);
        table.line(
            "on disk: blocks, certificates and their index",
            registry,
            "B",
            None,
        );
        table.line("on disk: which camera registered it", claim, "B", None);
        table.line("on disk, together", registry + claim, "B", at_most(allowed));
    }
}

/// Waits until the work of a start is done: it would be counted as that of the first requests.
async fn index_filled(node: &Process) {
    let started = Instant::now();
    while metric(node, "lookups_in_memory").await < 1.0 {
        assert!(started.elapsed() < Duration::from_secs(1800), "never ready");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// One number of the node's own.
async fn metric(node: &Process, name: &str) -> f64 {
    let text = load::ask(node.address, "/metrics")
        .await
        .unwrap_or_default();
    let name = format!("birthmark_node_{name} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&name));
    value.map_or(-1.0, |value| value.trim().parse().unwrap())
}
