//! Numbers for monitoring, in the OpenMetrics text form. None of them says anything about a photo
//! or a client.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Metric, Registry};

/// What is counted.
pub struct Metrics {
    registry: Registry,
    /// Submissions made durable.
    pub accepted: Counter,
    /// Submissions refused for what they are.
    pub refused: Counter,
    /// Submissions turned away for lack of room.
    pub turned_away: Counter,
    /// Requests refused because their client asks too often.
    pub limited: Counter,
    /// Lookups that found a record.
    pub hits: Counter,
    /// Lookups that found none.
    pub misses: Counter,
    /// Blocks in the registry.
    pub height: Gauge,
    /// After which block the newest finished index of digests is: far behind the height, this
    /// validator votes for few blocks.
    pub index_height: Gauge,
    /// Records in the registry.
    pub records: Gauge,
    /// Submissions waiting for an authority.
    pub waiting: Gauge,
    /// Authorities that do not answer.
    pub away: Gauge,
    /// Shares of the queue that are full.
    pub full_shares: Gauge,
    /// Lists of what is revoked that were never had or are past their date.
    pub stale_lists: Gauge,
    /// 1 while the node cannot do its work.
    pub unhealthy: Gauge,
    /// Bytes of the filter of registered digests.
    pub filter_bytes: Gauge,
    /// 1 once lookups need no database: the index of registered digests is complete.
    pub in_memory: Gauge,
    /// Bytes of the index of registered digests.
    pub index_bytes: Gauge,
    /// Bytes of the blocks kept for answers.
    pub kept_bytes: Gauge,
    /// Other validators that there should be links to.
    pub members: Gauge,
    /// Those of them that can be reached.
    pub linked: Gauge,
    /// The attempt at the height that runs; -1 while nothing waits.
    pub round: Gauge,
    /// Proofs that a validator contradicted itself.
    pub contradictions: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("birthmark_node");
        let all = &mut registry;
        Self {
            accepted: new(all, "submissions_accepted", "Submissions made durable"),
            refused: new(
                all,
                "submissions_refused",
                "Submissions refused for what they are",
            ),
            turned_away: new(
                all,
                "submissions_turned_away",
                "Submissions turned away for lack of room",
            ),
            limited: new(
                all,
                "requests_limited",
                "Requests refused because their client asks too often",
            ),
            hits: new(all, "lookups_found", "Lookups that found a record"),
            misses: new(all, "lookups_missed", "Lookups that found none"),
            height: new(all, "block_height", "Blocks in the registry"),
            index_height: new(
                all,
                "index_height",
                "After which block the newest finished index of digests is",
            ),
            records: new(all, "records", "Records in the registry"),
            waiting: new(
                all,
                "submissions_waiting",
                "Submissions waiting for an authority",
            ),
            away: new(all, "authorities_away", "Authorities that do not answer"),
            full_shares: new(
                all,
                "queue_shares_full",
                "Shares of the queue that are full",
            ),
            stale_lists: new(
                all,
                "revocation_lists_stale",
                "Lists of what is revoked that were never had or are past their date",
            ),
            unhealthy: new(all, "unhealthy", "1 while the node cannot do its work"),
            filter_bytes: new(
                all,
                "filter_bytes",
                "Bytes of the filter of registered digests",
            ),
            in_memory: new(all, "lookups_in_memory", "1 once lookups need no database"),
            index_bytes: new(
                all,
                "index_bytes",
                "Bytes of the index of registered digests",
            ),
            kept_bytes: new(
                all,
                "kept_block_bytes",
                "Bytes of the blocks kept for answers",
            ),
            members: new(
                all,
                "network_members",
                "Other validators there should be links to",
            ),
            linked: new(
                all,
                "network_members_linked",
                "Other validators that can be reached",
            ),
            round: new(
                all,
                "network_round",
                "The attempt at the height that runs; -1 while nothing waits",
            ),
            contradictions: new(
                all,
                "network_contradictions",
                "Proofs that a validator contradicted itself",
            ),
            registry,
        }
    }
}

/// A metric that is shown under this name.
fn new<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

impl Metrics {
    /// All of them, as a monitoring system reads them.
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }
}
