//! Constants of a cluster, and the times by which the sequencer works.

use serde::{Deserialize, Serialize};

use crate::api::{NodeId, ScrubPace};
use crate::names::ClusterNames;

/// Constants of a cluster and its tunables.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Cluster id, 8 characters of `[a-z0-9]`.
    pub cluster: String,
    /// Number of shards.
    pub shards: u32,
    /// Copies of each shard at the first start; later ones use what operators have set.
    pub replication_factor: u8,
    /// Nodes as the configuration lists them, sorted by id: the first members. See [`crate::members`] for what later
    /// changes of this list mean.
    pub nodes: Vec<ConfigNode>,
    /// Owners of each shard as positions in `nodes`, for the first start (later ones use the snapshot's copies):
    /// one placement, computed by the caller.
    pub owners: Vec<Vec<u16>>,
    /// False without master key: late writes cannot be fenced (F1, F2 stay unmended).
    pub fencing: bool,
    /// In-sync replicas of each shard that must accept.
    pub min_accept: u32,
    /// About as many finished tasks are left in a node's list (F14). The engine deletes by itself at a million.
    pub node_tasks: u32,
    /// How Envoy's clusters of nodes are named.
    pub cluster_names: ClusterNames,
    /// Envoy cluster of control's public listener.
    pub control_cluster: String,
    /// Envoy cluster of control's internal listener.
    pub control_internal_cluster: String,
    /// For the map.
    pub limits: miroir_core::shardmap::Limits,
    /// For the map.
    pub policies: miroir_core::shardmap::Policies,
    /// Times.
    pub timing: Timing,
    /// Comparison in the background.
    pub scrub: ScrubPace,
}

/// A node as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigNode {
    /// Id.
    pub id: NodeId,
    /// Where it is and what share it gets.
    pub place: NodePlace,
}

/// Where a node is and what share it gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodePlace {
    /// Base URL, for the shell: the sequencer only keeps it.
    pub url: String,
    /// Share of the data relative to other nodes, above 0.
    pub weight: f64,
    /// Replicas of a shard are kept in different zones where zones are given.
    pub zone: Option<String>,
    /// CA bundle (PEM file) for an https URL, for the shell.
    pub tls_ca: Option<String>,
}

impl Default for NodePlace {
    fn default() -> Self {
        Self { url: String::new(), weight: 1.0, zone: None, tls_ca: None }
    }
}

/// Times, in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Pause between the confirmed key change and the reading of tasks in a fence.
    pub quiet: u64,
    /// Longest wait of a begin in the queue.
    pub begin_wait: u64,
    /// Base of a grant's deadline.
    pub deadline: u64,
    /// Base of the soft limit (F35).
    pub soft: u64,
    /// Bytes per millisecond granted on top of both.
    pub bytes_per_ms: u64,
    /// After the deadline, until a ticket without commit is resolved.
    pub slack: u64,
    /// After the deadline, while a filter may still repeat its commit.
    pub commit_retry: u64,
    /// Timeout of a task read and of an inspection.
    pub probe: u64,
    /// Timeout of a fence and of an index request.
    pub mutate: u64,
    /// Shortest and longest pause between task reads of a node with unfinished tasks.
    pub poll: (u64, u64),
    /// Pause between witness checks of an idle node.
    pub witness: u64,
    /// First and longest pause between attempts to reach a node that is down.
    pub reconnect: (u64, u64),
    /// Age of a heartbeat beyond which a VM does not count as alive (F7).
    pub vm_silent: u64,
    /// How long a replica may lag behind another one that has finished a write before it is stale.
    pub lag: u64,
    /// Life of idempotency rows.
    pub idempotency: u64,
    /// Life of tombstones of aborted attempts.
    pub tombstone: u64,
    /// How long a VM that is not heard may still read by an old map: until then it keeps retiring copies from being
    /// deleted (F6).
    pub vm_grace: u64,
    /// Longest time that a read goes on with the map with which it began.
    pub longest_read: u64,
    /// How long writes whose keys are unknown may keep a copy that is being filled from being compared; then what is
    /// left is written under the shard's lock.
    pub starved: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            quiet: 2_000,
            begin_wait: 9_000,
            deadline: 20_000,
            soft: 2_000,
            bytes_per_ms: 5_000,
            slack: 1_000,
            commit_retry: 30_000,
            probe: 1_000,
            mutate: 5_000,
            poll: (10, 500),
            witness: 1_000,
            reconnect: (250, 2_000),
            vm_silent: 10_000,
            lag: 300_000,
            idempotency: 24 * 3_600_000,
            tombstone: 60_000,
            vm_grace: 24 * 3_600_000,
            longest_read: 35_000,
            starved: 5_000,
        }
    }
}
