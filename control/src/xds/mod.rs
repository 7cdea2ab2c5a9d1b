//! The xDS side of control: the clusters (CDS, one for reads and one for writes per node, and control itself) and the
//! filter's configuration (ECDS, the shard map). One ADS stream per Envoy carries both; an Envoy whose ADS is another
//! server's takes either by a stream of its own, and one without a connection by files. State of the world, coalesced.

pub mod bootstrap;
mod clusters;
mod files;
mod filter;
mod server;
mod stream;
mod tracker;

use std::sync::Arc;

use miroir_core::shardmap::ShardMap;

pub use files::Files;
pub use server::serve;
pub use tracker::{EnvoyState, Tracker};

/// Name of the filter's ECDS resource; listeners name it in `config_discovery`.
pub const FILTER_RESOURCE: &str = "miroir";

/// Everything that Envoys are told.
#[derive(Clone, Debug, PartialEq)]
pub struct Pushed {
    /// The filter's configuration.
    pub map: Arc<ShardMap>,
    /// Clusters to define.
    pub upstreams: Vec<Upstream>,
}

/// One Envoy cluster with one endpoint name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Cluster name.
    pub cluster: String,
    /// DNS name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// CA bundle with which to check the upstream's certificate; none for plain text.
    pub tls_ca: Option<String>,
    /// What the cluster is for.
    pub role: Role,
}

/// What a cluster is for, and so how its health is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads of a node: active health checks, outlier detection, panic threshold 0.
    NodeRead,
    /// Writes to a node: no outlier detection, no health check (an overload of reads must not make replicas stale, F19).
    NodeWrite,
    /// The host of the filter's module.
    Module,
    /// Control's public listener.
    Control,
    /// Control's internal listener (HTTP/2: `begin` calls wait).
    ControlInternal,
}
