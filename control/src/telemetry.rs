//! Logs and metrics.

use std::sync::atomic::AtomicI64;

use miroir_core::invariants::Invariant;
use miroir_sequencer::{TaskStatus, WATCHED};
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;
use crate::node::Copied;

/// Starts logging to standard error. Called once.
///
/// # Errors
/// A filter that cannot be read, or logging that has been started already.
pub fn start_logs(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    let builder = tracing_subscriber::fmt().with_env_filter(EnvFilter::try_new(filter)?).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(|error| anyhow::anyhow!("logs: {error}"))
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Phase {
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Node {
    node: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Broken {
    invariant: &'static str,
}

/// What a ticket request asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(missing_docs)] // the names are those of the messages
pub enum Message {
    Begin,
    Commit,
    Renew,
    Abort,
    Abandon,
    Heartbeat,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    message: Message,
}

/// Counters and gauges of this process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    tasks: Family<Kind, Counter>,
    alerts: Family<Kind, Counter>,
    breaches: Family<Broken, Counter>,
    messages: Family<Asked, Counter>,
    bulk_bytes: Counter,
    bulk_open: Gauge,
    begin_seconds: Histogram,
    epoch: Gauge,
    open_tasks: Gauge,
    waiting: Gauge,
    copies: Family<Kind, Gauge<i64, AtomicI64>>,
    copies_waiting: Gauge,
    filters_waited_for: Gauge,
    copied: Copied,
    syncs: Family<Phase, Gauge<i64, AtomicI64>>,
    findings: Gauge,
    scrub_ended: Gauge,
    node_ready: Family<Node, Gauge<i64, AtomicI64>>,
    node_open_tasks: Family<Node, Gauge<i64, AtomicI64>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("miroir");
        let metrics = Self {
            tasks: Family::default(),
            alerts: Family::default(),
            breaches: Family::default(),
            messages: Family::default(),
            bulk_bytes: Counter::default(),
            bulk_open: Gauge::default(),
            begin_seconds: Histogram::new(exponential_buckets(0.000_5, 2.0, 16)),
            epoch: Gauge::default(),
            open_tasks: Gauge::default(),
            waiting: Gauge::default(),
            copies: Family::default(),
            copies_waiting: Gauge::default(),
            filters_waited_for: Gauge::default(),
            copied: Copied::default(),
            syncs: Family::default(),
            findings: Gauge::default(),
            scrub_ended: Gauge::default(),
            node_ready: Family::default(),
            node_open_tasks: Family::default(),
            registry: Registry::default(),
        };
        registry.register("tasks", "Changes of tasks, by new state", metrics.tasks.clone());
        registry.register("alerts", "Events that an operator should know, by kind", metrics.alerts.clone());
        let breaches = metrics.breaches.clone();
        registry.register("invariant_breaches", "Invariants that were seen not to hold, by name", breaches);
        // All are there from the start, so that the first one is seen as an increase.
        for invariant in WATCHED {
            let _ = metrics.breaches.get_or_create(&Broken { invariant: invariant.name() });
        }
        registry.register("ticket_messages", "Messages about tickets", metrics.messages.clone());
        registry.register("bulk_bytes", "Payload bytes received by the bulk entry", metrics.bulk_bytes.clone());
        registry.register("bulk_requests_open", "Bulk writes under way", metrics.bulk_open.clone());
        registry.register("begin_seconds", "Wait of a write for its ticket", metrics.begin_seconds.clone());
        registry.register("epoch", "Epoch of the newest map", metrics.epoch.clone());
        registry.register("open_tasks", "Tasks that are not over", metrics.open_tasks.clone());
        registry.register("waiting_requests", "Requests that wait for the sequencer", metrics.waiting.clone());
        registry.register("copies", "Copies of shards, by state", metrics.copies.clone());
        let text = "Copies that leave and are kept for filters that may still read them";
        registry.register("copies_waiting_for_filters", text, metrics.copies_waiting.clone());
        let text = "Filter workers that fell silent and for which such copies are kept";
        registry.register("silent_filters_waited_for", text, metrics.filters_waited_for.clone());
        let Copied { documents, bytes } = metrics.copied.clone();
        registry.register("copied_documents", "Documents that moves and repairs wrote to nodes", documents);
        registry.register("copied_bytes", "Bytes of those documents", bytes);
        registry.register("syncs", "Copies that are being filled, by what they do", metrics.syncs.clone());
        let text = "Differences of replicas without a known reason that nobody has acknowledged";
        registry.register("findings", text, metrics.findings.clone());
        let text = "When the last comparison of all replicas ended, Unix seconds; 0 before the first";
        registry.register("scrub_ended_timestamp_seconds", text, metrics.scrub_ended.clone());
        registry.register("node_ready", "1 for a node that is read and written", metrics.node_ready.clone());
        registry.register("node_open_tasks", "Unfinished tasks of a node", metrics.node_open_tasks.clone());
        Self { registry, ..metrics }
    }
}

/// What is only known when somebody asks.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Epoch of the newest map.
    pub epoch: u64,
    /// Tasks that are not over.
    pub open_tasks: usize,
    /// Requests that wait.
    pub waiting: usize,
    /// Copies by state.
    pub copies: Vec<(&'static str, usize)>,
    /// Copies that leave and wait for filters.
    pub copies_waiting: u64,
    /// Silent filters for which they wait.
    pub filters_waited_for: usize,
    /// Copies that are being filled, by what they do.
    pub syncs: Vec<(&'static str, usize)>,
    /// Findings that nobody has acknowledged.
    pub findings: usize,
    /// When the last comparison of all replicas ended, Unix milliseconds.
    pub scrub_ended_ms: u64,
    /// Node id, whether it is ready, its unfinished tasks.
    pub nodes: Vec<(String, bool, usize)>,
}

fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Metrics {
    pub(crate) fn task_changed(&self, status: TaskStatus) {
        let kind = match status {
            TaskStatus::Enqueued => "enqueued",
            TaskStatus::Processing => "processing",
            TaskStatus::Succeeded => "succeeded",
            TaskStatus::Failed => "failed",
            TaskStatus::Canceled => "canceled",
        };
        self.tasks.get_or_create(&Kind { kind }).inc();
    }

    pub(crate) fn alert(&self, kind: &'static str) {
        self.alerts.get_or_create(&Kind { kind }).inc();
    }

    pub(crate) fn breach(&self, invariant: Invariant) {
        self.breaches.get_or_create(&Broken { invariant: invariant.name() }).inc();
    }

    pub(crate) fn message(&self, message: Message) {
        self.messages.get_or_create(&Asked { message }).inc();
    }

    pub(crate) fn begun(&self, seconds: f64) {
        self.begin_seconds.observe(seconds);
    }

    pub(crate) fn bulk_received(&self, bytes: u64) {
        self.bulk_bytes.inc_by(bytes);
    }

    pub(crate) fn copied(&self) -> &Copied {
        &self.copied
    }

    pub(crate) fn bulk_open(&self) -> &Gauge {
        &self.bulk_open
    }

    /// The text that Prometheus reads.
    #[must_use]
    pub fn text(&self, measured: &Measured) -> String {
        self.epoch.set(i64::try_from(measured.epoch).unwrap_or(i64::MAX));
        self.open_tasks.set(signed(measured.open_tasks));
        self.waiting.set(signed(measured.waiting));
        self.findings.set(signed(measured.findings));
        self.scrub_ended.set(i64::try_from(measured.scrub_ended_ms / 1_000).unwrap_or(i64::MAX));
        self.copies_waiting.set(i64::try_from(measured.copies_waiting).unwrap_or(i64::MAX));
        self.filters_waited_for.set(signed(measured.filters_waited_for));
        for (kind, number) in &measured.copies {
            self.copies.get_or_create(&Kind { kind }).set(signed(*number));
        }
        for (phase, number) in &measured.syncs {
            self.syncs.get_or_create(&Phase { phase }).set(signed(*number));
        }
        for (node, ready, open) in &measured.nodes {
            let label = Node { node: node.clone() };
            self.node_ready.get_or_create(&label).set(i64::from(*ready));
            self.node_open_tasks.get_or_create(&label).set(signed(*open));
        }
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_printed_with_prefix_and_labels() {
        let metrics = Metrics::default();
        metrics.task_changed(TaskStatus::Succeeded);
        metrics.message(Message::Begin);
        metrics.copied().documents.inc_by(5);
        metrics.breach(Invariant::TaskStates);
        let (nodes, syncs) = (vec![("n1".into(), true, 3)], vec![("copying", 2)]);
        let waits = Measured { copies_waiting: 3, filters_waited_for: 1, ..Measured::default() };
        let measured = Measured { epoch: 7, nodes, syncs, ..waits };
        let text = metrics.text(&measured);
        for line in [
            "miroir_tasks_total{kind=\"succeeded\"} 1",
            "miroir_ticket_messages_total{message=\"Begin\"} 1",
            "miroir_epoch 7",
            "miroir_node_open_tasks{node=\"n1\"} 3",
            "miroir_syncs{phase=\"copying\"} 2",
            "miroir_copied_documents_total 5",
            "miroir_copies_waiting_for_filters 3",
            "miroir_silent_filters_waited_for 1",
            "miroir_invariant_breaches_total{invariant=\"task_states\"} 1",
            "miroir_invariant_breaches_total{invariant=\"copy_in_sync\"} 0",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
