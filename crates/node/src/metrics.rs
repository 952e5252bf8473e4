//! Numbers for monitoring, in the OpenMetrics text form. None of them says anything about a photo or a client.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

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
    /// Records in the registry.
    pub records: Gauge,
    /// Submissions waiting for an authority.
    pub waiting: Gauge,
    /// Authorities that do not answer.
    pub away: Gauge,
    /// Bytes of the filter of registered digests.
    pub filter_bytes: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("birthmark_node"),
            accepted: Counter::default(),
            refused: Counter::default(),
            turned_away: Counter::default(),
            limited: Counter::default(),
            hits: Counter::default(),
            misses: Counter::default(),
            height: Gauge::default(),
            records: Gauge::default(),
            waiting: Gauge::default(),
            away: Gauge::default(),
            filter_bytes: Gauge::default(),
        };
        let counters = [
            (
                "submissions_accepted",
                "Submissions made durable",
                metrics.accepted.clone(),
            ),
            (
                "submissions_refused",
                "Submissions refused for what they are",
                metrics.refused.clone(),
            ),
            (
                "submissions_turned_away",
                "Submissions turned away for lack of room",
                metrics.turned_away.clone(),
            ),
            (
                "requests_limited",
                "Requests refused because their client asks too often",
                metrics.limited.clone(),
            ),
            (
                "lookups_found",
                "Lookups that found a record",
                metrics.hits.clone(),
            ),
            (
                "lookups_missed",
                "Lookups that found none",
                metrics.misses.clone(),
            ),
        ];
        let gauges = [
            (
                "block_height",
                "Blocks in the registry",
                metrics.height.clone(),
            ),
            (
                "records",
                "Records in the registry",
                metrics.records.clone(),
            ),
            (
                "submissions_waiting",
                "Submissions waiting for an authority",
                metrics.waiting.clone(),
            ),
            (
                "authorities_away",
                "Authorities that do not answer",
                metrics.away.clone(),
            ),
            (
                "filter_bytes",
                "Bytes of the filter of registered digests",
                metrics.filter_bytes.clone(),
            ),
        ];
        for (name, help, counter) in counters {
            metrics.registry.register(name, help, counter);
        }
        for (name, help, gauge) in gauges {
            metrics.registry.register(name, help, gauge);
        }
        metrics
    }
}

impl Metrics {
    /// The text a monitoring system reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
