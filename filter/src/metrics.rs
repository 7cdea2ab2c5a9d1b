//! Envoy statistics. Labels stand in the name and are cut out again by `stats_tags` of the bootstrap; their values are
//! operations of the routing table, node ids of the map and a few outcomes, so that the number of names is bounded.

use hashbrown::HashMap;

use crate::host::{Host, MetricKind};

/// The statistics of one worker. Workers that name the same one share it.
pub struct Metrics {
    ids: HashMap<String, Option<u32>>,
    /// What each answer counts into, by operation and outcome: names are put together once.
    requests: HashMap<(&'static str, &'static str), Pair>,
    /// The same for calls, by node.
    calls: HashMap<String, Vec<(&'static str, Pair)>>,
}

/// A counter, and the histogram that goes with it.
#[derive(Clone, Copy)]
struct Pair {
    counter: Option<u32>,
    histogram: Option<u32>,
}

impl Pair {
    fn count(self, host: &impl Host, value: u64) {
        if let Some(id) = self.counter {
            host.increment_metric(id, 1);
        }
        if let Some(id) = self.histogram {
            host.record_metric(id, value);
        }
    }
}

impl Metrics {
    /// Registers nothing yet but the gauges that are always there.
    pub fn new(host: &impl Host) -> Self {
        let mut metrics = Self { ids: HashMap::new(), requests: HashMap::new(), calls: HashMap::new() };
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

    fn pair(&mut self, host: &impl Host, counter: String, histogram: String) -> Pair {
        Pair {
            counter: self.id(host, MetricKind::Counter, counter),
            histogram: self.id(host, MetricKind::Histogram, histogram),
        }
    }

    /// A client got its answer.
    pub fn request(&mut self, host: &impl Host, op: &'static str, status: u16, took_ms: u64) {
        let class = match status {
            200..=299 => "2xx",
            400..=499 => "4xx",
            503 => "503",
            _ => "5xx",
        };
        let pair = match self.requests.get(&(op, class)) {
            Some(pair) => *pair,
            None => {
                let counter = format!("miroir_requests_total.op.{op}.outcome.{class}");
                let pair = self.pair(host, counter, format!("miroir_request_ms.op.{op}"));
                self.requests.insert((op, class), pair);
                pair
            }
        };
        pair.count(host, took_ms);
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
    pub fn call(&mut self, host: &impl Host, node: &str, outcome: &'static str, took_ms: u64) {
        let known = self.calls.get(node).and_then(|known| known.iter().find(|(name, _)| *name == outcome));
        let pair = match known {
            Some((_, pair)) => *pair,
            None => {
                let counter = format!("miroir_calls_total.node.{node}.outcome.{outcome}");
                let pair = self.pair(host, counter, format!("miroir_call_ms.node.{node}"));
                self.calls.entry(node.to_owned()).or_default().push((outcome, pair));
                pair
            }
        };
        pair.count(host, took_ms);
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
