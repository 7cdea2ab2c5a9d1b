//! Envoy statistics. Labels stand in the name and are cut out again by `stats_tags` of the bootstrap; their values are
//! operations of the routing table, node ids of the map and a few outcomes, so that the number of names is bounded.

use hashbrown::HashMap;

use crate::host::{Host, MetricKind};

/// The statistics of one worker. Workers that name the same one share it.
pub struct Metrics {
    ids: HashMap<String, Option<u32>>,
}

impl Metrics {
    /// Registers nothing yet but the gauges that are always there.
    pub fn new(host: &impl Host) -> Self {
        let mut metrics = Self { ids: HashMap::new() };
        metrics.id(host, MetricKind::Gauge, "miroir_map_epoch".to_owned());
        metrics
    }

    fn id(&mut self, host: &impl Host, kind: MetricKind, name: String) -> Option<u32> {
        *self.ids.entry(name).or_insert_with_key(|name| host.define_metric(kind, name))
    }

    fn count(&mut self, host: &impl Host, name: String) {
        if let Some(id) = self.id(host, MetricKind::Counter, name) {
            host.increment_metric(id, 1);
        }
    }

    fn record(&mut self, host: &impl Host, kind: MetricKind, name: String, value: u64) {
        if let Some(id) = self.id(host, kind, name) {
            host.record_metric(id, value);
        }
    }

    /// A client got its answer.
    pub fn request(&mut self, host: &impl Host, op: &str, status: u16, took_ms: u64) {
        let class = match status {
            200..=299 => "2xx",
            400..=499 => "4xx",
            503 => "503",
            _ => "5xx",
        };
        self.count(host, format!("miroir_requests_total.op.{op}.outcome.{class}"));
        self.record(host, MetricKind::Histogram, format!("miroir_request_ms.op.{op}"), took_ms);
    }

    /// A request was passed on.
    pub fn forwarded(&mut self, host: &impl Host, to: &str) {
        self.count(host, format!("miroir_forwarded_total.op.{to}"));
    }

    /// A client left before its answer.
    pub fn client_gone(&mut self, host: &impl Host) {
        self.count(host, "miroir_clients_gone_total".to_owned());
    }

    /// A call to a node or to control ended.
    pub fn call(&mut self, host: &impl Host, node: &str, outcome: &str, took_ms: u64) {
        self.count(host, format!("miroir_calls_total.node.{node}.outcome.{outcome}"));
        self.record(host, MetricKind::Histogram, format!("miroir_call_ms.node.{node}"), took_ms);
    }

    /// A map is in force.
    pub fn epoch(&mut self, host: &impl Host, epoch: u64) {
        self.record(host, MetricKind::Gauge, "miroir_map_epoch".to_owned(), epoch);
    }

    /// A configuration was not adopted.
    pub fn rejected(&mut self, host: &impl Host) {
        self.count(host, "miroir_map_rejected_total".to_owned());
    }

    /// What this worker holds. Workers overwrite each other's value: it is a sample.
    pub fn load(&mut self, host: &impl Host, jobs: usize, held_bytes: u64) {
        self.record(host, MetricKind::Gauge, "miroir_jobs".to_owned(), u64::try_from(jobs).unwrap_or(u64::MAX));
        self.record(host, MetricKind::Gauge, "miroir_held_bytes".to_owned(), held_bytes);
    }
}
