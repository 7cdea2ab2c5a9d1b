//! Configuration: a TOML file, then the environment (`MIROIR_*`), then flags, each stronger than the one before.
//! Unknown keys are errors. `miroir.example.toml` beside this crate's manifest documents every key.

mod arguments;
mod dumps;
mod envoy;
mod file;
mod scrub;
mod secret;
mod store;

use std::net::SocketAddr;
use std::path::PathBuf;

use miroir_core::shardmap::{Limits, Policies};
use miroir_sequencer::{ScrubPace, Timing};

pub use arguments::ServeArguments;
pub use dumps::{Dumps, DumpsSection};
pub use envoy::{Envoy, EnvoyArguments, EnvoySection, Module};
pub use file::{File, NodeSection};
pub use scrub::ScrubSection;
pub use store::StoreSection;

use crate::admin::AdminKey;
use crate::cluster::Secrets;
use crate::store::Location;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, or a wrong type.
    #[error("{path}: {message}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, column and fault.
        message: String,
    },
    /// A value that cannot be.
    #[error("{key}: {fault}")]
    Value {
        /// The key, as the file spells it.
        key: String,
        /// What is wrong.
        fault: String,
    },
}

impl ConfigError {
    fn value(key: impl Into<String>, fault: impl Into<String>) -> Self {
        Self::Value { key: key.into(), fault: fault.into() }
    }
}

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Stable id, `[a-z0-9-]`, at most 40 characters.
    pub id: String,
    /// Base URL; its path is `/`.
    pub url: reqwest::Url,
    /// Share of the data relative to other nodes.
    pub weight: f64,
    /// Replicas of a shard are kept in different zones where zones are given.
    pub zone: Option<String>,
    /// CA bundle (PEM) against which an https node's certificate is checked, here and by Envoy.
    pub tls_ca: Option<String>,
}

impl Node {
    /// Checks what was written of a node.
    ///
    /// # Errors
    /// [`ConfigError::Value`] names the key.
    pub fn check(section: &NodeSection) -> Result<Self, ConfigError> {
        let key = |field: &str| format!("nodes.{}.{field}", section.id);
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if section.id.is_empty() || section.id.len() > 40 || !section.id.bytes().all(plain) {
            return Err(ConfigError::value("nodes.id", format!("`{}` is not 1 to 40 of a-z, 0-9 and -", section.id)));
        }
        let url = reqwest::Url::parse(&section.url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host() && url.path() == "/")
            .filter(|url| url.query().is_none() && url.fragment().is_none() && url.username().is_empty())
            .ok_or_else(|| ConfigError::value(key("url"), format!("`{}` is not http(s)://host:port", section.url)))?;
        let weight = section.weight.unwrap_or(1.0);
        if !weight.is_finite() || weight <= 0.0 {
            return Err(ConfigError::value(key("weight"), "must be a positive number"));
        }
        if section.zone.as_ref().is_some_and(|zone| zone.trim().is_empty() || zone.chars().any(char::is_control)) {
            return Err(ConfigError::value(key("zone"), "needs a name; leave it out where there are no zones"));
        }
        Ok(Self { id: section.id.clone(), url, weight, zone: section.zone.clone(), tls_ca: section.tls_ca.clone() })
    }
}

/// Form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One line an event, for people.
    #[default]
    Text,
    /// One JSON object an event.
    Json,
}

/// Everything that `serve` needs, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Nodes, in order of id.
    pub nodes: Vec<Node>,
    /// Copies of each shard.
    pub replication_factor: u8,
    /// Number of shards: decided at the first start, constant afterwards.
    pub shards: u32,
    /// In-sync replicas of each shard that must accept a write.
    pub min_accept: u32,
    /// Master key.
    pub secrets: Secrets,
    /// What opens the admin API.
    pub admin_key: AdminKey,
    /// The admin API is served by the public listener too.
    pub admin_public: bool,
    /// Webhooks may lead to private addresses.
    pub private_webhooks: bool,
    /// The store.
    pub store: Location,
    /// Directory for large payloads on their way to the nodes.
    pub spool: PathBuf,
    /// Dumps.
    pub dumps: Dumps,
    /// Public API, behind Envoy.
    pub listen_api: SocketAddr,
    /// Tickets, heartbeats, bulk entry, metrics: for Envoy and operators only.
    pub listen_internal: SocketAddr,
    /// xDS (ADS over gRPC).
    pub listen_xds: SocketAddr,
    /// What Envoys are told besides the map.
    pub envoy: Envoy,
    /// Limits of the filter.
    pub limits: Limits,
    /// What to do when not all shards can answer.
    pub policies: Policies,
    /// The sequencer's times.
    pub timing: Timing,
    /// Comparison of all replicas in the background.
    pub scrub: ScrubPace,
    /// File to which versions are written that are about to be lost.
    pub findings: PathBuf,
    /// Longest wait for requests in flight at shutdown, milliseconds.
    pub drain_ms: u64,
    /// Form of the log.
    pub log_format: LogFormat,
    /// What is logged, as `tracing`'s filters have it.
    pub log_filter: String,
}

impl Config {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// [`ConfigError`] names the key or the file.
    pub fn load(arguments: &ServeArguments) -> Result<Self, ConfigError> {
        let mut file = match &arguments.config {
            Some(path) => File::read(path)?,
            None => File::default(),
        };
        arguments.apply(&mut file)?;
        file.check()
    }
}
