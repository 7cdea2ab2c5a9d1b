//! The file's form, and the checks that turn it into a [`Config`].

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use miroir_core::shardmap::{Limits, Policies};
use miroir_core::tag::MAX_SHARDS;
use miroir_sequencer::Timing;
use serde::Deserialize;

use super::dumps::DumpsSection;
use super::envoy::EnvoySection;
use super::scrub::ScrubSection;
use super::secret::{read, secret};
use super::store::StoreSection;
use super::{Config, ConfigError, LogFormat, Node, store};
use crate::admin::AdminKey;
use crate::cluster::Secrets;

/// The file as written. Every key may be left out; `check` says which must be somewhere.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    /// `[cluster]`
    pub cluster: ClusterSection,
    /// `[admin]`
    pub admin: AdminSection,
    /// `[webhooks]`
    pub webhooks: WebhooksSection,
    /// `[[nodes]]`
    pub nodes: Vec<NodeSection>,
    /// `[store]`
    pub store: StoreSection,
    /// `[listen]`
    pub listen: ListenSection,
    /// `[envoy]`
    pub envoy: EnvoySection,
    /// `[limits]`
    pub limits: LimitsSection,
    /// `[policies]`
    pub policies: PoliciesSection,
    /// `[scrub]`
    pub scrub: ScrubSection,
    /// `[dumps]`
    pub dumps: DumpsSection,
    /// `[timing]`
    pub timing: TimingSection,
    /// `[log]`
    pub log: LogSection,
}

/// `[cluster]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterSection {
    /// Copies of each shard.
    pub replication_factor: Option<u8>,
    /// Number of shards.
    pub shards: Option<u32>,
    /// In-sync replicas that must accept a write.
    pub min_accept: Option<u32>,
    /// Master key of all nodes.
    pub master_key: Option<String>,
    /// File that holds the master key.
    pub master_key_file: Option<PathBuf>,
}

/// `[webhooks]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhooksSection {
    /// They may lead to private addresses.
    pub private: Option<bool>,
}

/// `[admin]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminSection {
    /// Key of the admin API.
    pub key: Option<String>,
    /// File that holds it.
    pub key_file: Option<PathBuf>,
    /// Serve the admin API on the public listener too.
    pub public: Option<bool>,
}

/// `[[nodes]]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct NodeSection {
    /// Id.
    pub id: String,
    /// Base URL.
    pub url: String,
    /// Weight, 1 if left out.
    pub weight: Option<f64>,
    /// Zone.
    pub zone: Option<String>,
    /// CA bundle of an https node.
    pub tls_ca: Option<String>,
}

/// `[listen]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListenSection {
    /// Public API.
    pub api: Option<SocketAddr>,
    /// Internal listener.
    pub internal: Option<SocketAddr>,
    /// xDS.
    pub xds: Option<SocketAddr>,
}

/// `[limits]`, bytes and milliseconds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // the names are those of `Limits`, which documents them
pub struct LimitsSection {
    pub max_body_bytes: Option<u64>,
    pub node_body_bytes: Option<u64>,
    pub split_in_filter_bytes: Option<u64>,
    pub worker_budget_bytes: Option<u64>,
    pub request_timeout_ms: Option<u64>,
    pub read_timeout_ms: Option<u64>,
    pub heartbeat_ms: Option<u64>,
}

/// `[policies]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoliciesSection {
    /// Answer with what there is.
    pub partial_results: Option<bool>,
}

/// `[timing]`, milliseconds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // the names are those of `Timing`, which documents them
pub struct TimingSection {
    pub quiet_ms: Option<u64>,
    pub begin_wait_ms: Option<u64>,
    pub deadline_ms: Option<u64>,
    pub soft_ms: Option<u64>,
    pub bytes_per_ms: Option<u64>,
    pub slack_ms: Option<u64>,
    pub commit_retry_ms: Option<u64>,
    pub probe_ms: Option<u64>,
    pub mutate_ms: Option<u64>,
    pub poll_min_ms: Option<u64>,
    pub poll_max_ms: Option<u64>,
    pub witness_ms: Option<u64>,
    pub reconnect_min_ms: Option<u64>,
    pub reconnect_max_ms: Option<u64>,
    pub vm_silent_ms: Option<u64>,
    pub vm_grace_ms: Option<u64>,
    pub starved_ms: Option<u64>,
    pub lag_ms: Option<u64>,
    pub idempotency_ms: Option<u64>,
    pub tombstone_ms: Option<u64>,
    pub drain_ms: Option<u64>,
}

/// `[log]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    /// Text or JSON.
    pub format: Option<LogFormat>,
    /// What is logged.
    pub filter: Option<String>,
}

impl File {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError::Read`] and [`ConfigError::Syntax`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = read(path)?;
        toml::from_str(&text).map_err(|error| ConfigError::Syntax { path: path.to_owned(), message: error.to_string() })
    }

    /// Fills in defaults and checks every value.
    ///
    /// # Errors
    /// [`ConfigError::Value`] names the key.
    pub fn check(self) -> Result<Config, ConfigError> {
        let mut nodes = self.nodes.iter().map(Node::check).collect::<Result<Vec<_>, _>>()?;
        nodes.sort_by(|left, right| left.id.cmp(&right.id));
        if nodes.is_empty() {
            return Err(ConfigError::value("nodes", "a cluster needs at least one node"));
        }
        if let Some(pair) = nodes.windows(2).find(|pair| pair[0].id == pair[1].id) {
            return Err(ConfigError::value("nodes", format!("two nodes have the id `{}`", pair[0].id)));
        }
        for (at, node) in nodes.iter().enumerate() {
            if let Some(other) = nodes[..at].iter().find(|other| other.url == node.url) {
                let fault = format!("`{}` and `{}` are one address, {}", other.id, node.id, node.url);
                return Err(ConfigError::value("nodes", fault));
            }
        }
        let replication_factor = self.cluster.replication_factor.unwrap_or(if nodes.len() > 1 { 2 } else { 1 });
        if replication_factor == 0 || usize::from(replication_factor) > nodes.len() {
            let fault = format!("{replication_factor} copies cannot be kept on {} nodes", nodes.len());
            return Err(ConfigError::value("cluster.replication_factor", fault));
        }
        let shards = self.cluster.shards.unwrap_or(128);
        if shards == 0 || shards > MAX_SHARDS {
            return Err(ConfigError::value("cluster.shards", format!("must be from 1 to {MAX_SHARDS}")));
        }
        let min_accept = self.cluster.min_accept.unwrap_or(1);
        if min_accept == 0 || min_accept > u32::from(replication_factor) {
            return Err(ConfigError::value("cluster.min_accept", "must be from 1 to the replication factor"));
        }
        let master_key = secret("cluster.master_key", &self.cluster.master_key, &self.cluster.master_key_file)?;
        let admin_key = secret("admin.key", &self.admin.key, &self.admin.key_file)?;
        if admin_key.is_some() && admin_key == master_key {
            return Err(ConfigError::value("admin.key", "must not be the master key"));
        }
        let store = store::location(&self.store)?;
        let spool = self.store.spool.unwrap_or_else(|| store::spool_beside(&store));
        let dumps = super::dumps::dumps(&self.dumps, &store)?;
        let findings = self.scrub.findings.clone().unwrap_or_else(|| store::findings_beside(&store));
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let listen_api = self.listen.api.unwrap_or_else(|| local(7701));
        let envoy = self.envoy.check(listen_api)?;
        Ok(Config {
            nodes,
            replication_factor,
            shards,
            min_accept,
            secrets: Secrets { master_key },
            admin_key: AdminKey::new(admin_key),
            admin_public: self.admin.public.unwrap_or_default(),
            private_webhooks: self.webhooks.private.unwrap_or_default(),
            store,
            spool,
            dumps,
            listen_api,
            listen_internal: self.listen.internal.unwrap_or_else(|| local(7702)),
            listen_xds: self.listen.xds.unwrap_or_else(|| local(7703)),
            envoy,
            limits: limits(&self.limits),
            policies: Policies { partial_results: self.policies.partial_results.unwrap_or_default() },
            timing: timing(&self.timing, &limits(&self.limits))?,
            scrub: self.scrub.pace()?,
            findings,
            drain_ms: self.timing.drain_ms.unwrap_or(10_000),
            log_format: self.log.format.unwrap_or_default(),
            log_filter: self.log.filter.unwrap_or_else(|| "info".to_owned()),
        })
    }
}

fn limits(section: &LimitsSection) -> Limits {
    let usual = Limits::default();
    Limits {
        max_body_bytes: section.max_body_bytes.unwrap_or(usual.max_body_bytes),
        node_body_bytes: section.node_body_bytes.unwrap_or(usual.node_body_bytes),
        split_in_filter_bytes: section.split_in_filter_bytes.unwrap_or(usual.split_in_filter_bytes),
        worker_budget_bytes: section.worker_budget_bytes.unwrap_or(usual.worker_budget_bytes),
        request_timeout_ms: section.request_timeout_ms.unwrap_or(usual.request_timeout_ms),
        read_timeout_ms: section.read_timeout_ms.unwrap_or(usual.read_timeout_ms),
        heartbeat_ms: section.heartbeat_ms.unwrap_or(usual.heartbeat_ms),
    }
}

/// How long a read can outlive its time limit, with what Envoy still has to send.
const LATE_READ_MS: u64 = 5_000;

fn timing(section: &TimingSection, limits: &Limits) -> Result<Timing, ConfigError> {
    let usual = Timing::default();
    let longest_read = limits.request_timeout_ms.saturating_add(LATE_READ_MS);
    let range = |key: &str, low: u64, high: u64| {
        if low == 0 || low > high {
            return Err(ConfigError::value(format!("timing.{key}_min_ms"), "must be positive and at most the maximum"));
        }
        Ok((low, high))
    };
    Ok(Timing {
        quiet: section.quiet_ms.unwrap_or(usual.quiet),
        begin_wait: section.begin_wait_ms.unwrap_or(usual.begin_wait),
        deadline: section.deadline_ms.unwrap_or(usual.deadline),
        soft: section.soft_ms.unwrap_or(usual.soft),
        bytes_per_ms: section.bytes_per_ms.unwrap_or(usual.bytes_per_ms).max(1),
        slack: section.slack_ms.unwrap_or(usual.slack),
        commit_retry: section.commit_retry_ms.unwrap_or(usual.commit_retry),
        probe: section.probe_ms.unwrap_or(usual.probe),
        mutate: section.mutate_ms.unwrap_or(usual.mutate),
        poll: range("poll", section.poll_min_ms.unwrap_or(usual.poll.0), section.poll_max_ms.unwrap_or(usual.poll.1))?,
        witness: section.witness_ms.unwrap_or(usual.witness),
        reconnect: range(
            "reconnect",
            section.reconnect_min_ms.unwrap_or(usual.reconnect.0),
            section.reconnect_max_ms.unwrap_or(usual.reconnect.1),
        )?,
        vm_silent: section.vm_silent_ms.unwrap_or(usual.vm_silent),
        // Who is given up has at least ended the request that it was at.
        vm_grace: section.vm_grace_ms.unwrap_or(usual.vm_grace).max(longest_read),
        longest_read,
        starved: section.starved_ms.unwrap_or(usual.starved),
        lag: section.lag_ms.unwrap_or(usual.lag),
        idempotency: section.idempotency_ms.unwrap_or(usual.idempotency),
        tombstone: section.tombstone_ms.unwrap_or(usual.tombstone),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Config, String> {
        toml::from_str::<File>(text).map_err(|error| error.to_string())?.check().map_err(|error| error.to_string())
    }

    const NODES: &str = "[[nodes]]\nid='b'\nurl='http://b:7700'\n[[nodes]]\nid='a'\nurl='http://a:7700'\nzone='z'\n";

    #[test]
    fn the_example_documents_every_key_and_is_valid() {
        let text = include_str!("../../miroir.example.toml");
        let config = check(text).unwrap();
        assert_eq!(config.nodes.len(), 3);
        // Every key stands in the example, switched on or commented out with its default.
        let uncommented: String = text
            .lines()
            .map(|line| line.strip_prefix("#= ").unwrap_or(line))
            .filter(|line| !line.starts_with("master_key =") && !line.starts_with("key ="))
            .flat_map(|line| [line, "\n"])
            .collect();
        let file: toml::Table = toml::from_str(&uncommented).unwrap();
        for (section, keys) in [
            ("cluster", 4),
            ("admin", 2),
            ("store", 2),
            ("listen", 3),
            ("envoy", 10),
            ("limits", 7),
            ("policies", 1),
            ("scrub", 4),
            ("timing", 20),
            ("log", 2),
        ] {
            assert_eq!(file[section].as_table().unwrap().len(), keys, "{section}");
        }
    }

    #[test]
    fn defaults_follow_from_the_nodes() {
        let config = check(NODES).unwrap();
        assert_eq!(config.nodes[0].id, "a");
        assert_eq!((config.replication_factor, config.shards, config.min_accept), (2, 128, 1));
    }

    #[test]
    fn faults_name_their_key() {
        for (extra, key) in [
            ("[cluster]\nreplication_factor=3", "cluster.replication_factor"),
            ("[cluster]\nshards=0", "cluster.shards"),
            ("[cluster]\nmin_accept=3", "cluster.min_accept"),
            ("[cluster]\nmaster_key='short'", "cluster.master_key"),
            ("[admin]\nkey='short'", "admin.key"),
            ("[cluster]\nmaster_key='0123456789abcdef'\n[admin]\nkey='0123456789abcdef'", "admin.key"),
            ("[[nodes]]\nid='C'\nurl='http://c'", "nodes.id"),
            ("[[nodes]]\nid='c'\nurl='c:7700'", "nodes.c.url"),
            ("[[nodes]]\nid='a'\nurl='http://c'", "two nodes"),
            ("[[nodes]]\nid='c'\nurl='http://A:7700/'", "`a` and `c` are one address"),
            ("[timing]\npoll_min_ms=600", "timing.poll_min_ms"),
            ("[timing]\nfoo=1", "unknown field `foo`"),
            ("[other]", "unknown field `other`"),
        ] {
            let error = check(&format!("{NODES}{extra}")).unwrap_err();
            assert!(error.contains(key), "{error}");
        }
        assert!(check("").unwrap_err().contains("at least one node"));
    }
}
