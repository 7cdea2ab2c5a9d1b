//! How the cluster is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::jobs::Job;
use crate::layout::CopyState;
use crate::scrub::Scrub;

/// The cluster in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Condition {
    /// Every shard has all its copies.
    Fine,
    /// Every shard can be read and written, but some have lost copies, or a part of the cluster needs a look.
    Degraded,
    /// Some shards have no copy that can be used: searches are refused or partial, writes to them are refused.
    Down,
}

impl Condition {
    /// The word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

/// Answer of `GET /_miroir/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Cluster id, made at the first start.
    pub cluster: String,
    /// Version of the control service.
    pub version: String,
    /// Epoch of the shard map; grows with every change.
    pub epoch: u64,
    /// Number of shards: constant for the life of the cluster.
    pub shard_count: u32,
    /// Copies of each shard that the cluster aims for.
    pub replication_factor: u8,
    /// The cluster in one word.
    pub condition: Condition,
    /// Why it is not fine, one sentence each.
    pub reasons: Vec<String>,
    /// How many shards have how many usable copies.
    pub coverage: Coverage,
    /// Shards that lack copies which no job makes: see `reasons` for the command that does.
    #[serde(default)]
    pub lacking: usize,
    /// Shards without a usable copy.
    pub down_shards: Vec<ShardName>,
    /// All nodes, in order of id.
    pub nodes: Vec<Node>,
    /// Jobs that are not over.
    pub jobs: Vec<Job>,
    /// The comparison of all replicas in the background.
    pub scrub: Scrub,
    /// Documents that were there before the cluster get their shards' tags; none where all have theirs.
    #[serde(default)]
    pub tagging: Option<Tagging>,
    /// Uids of all indexes.
    pub indexes: Vec<String>,
    /// Tasks that are enqueued or processing.
    pub open_tasks: usize,
    /// Requests that wait for an answer of control.
    pub waiting_requests: usize,
    /// False without a master key: a write that a hung node carries out late cannot be kept out then.
    pub late_writes_fenced: bool,
    /// What each Envoy has acknowledged, by its node id.
    pub envoys: BTreeMap<String, Envoy>,
    /// What each worker of the filter last said; one that copies wait for stays in the list, however long it is silent.
    pub filters: Vec<Filter>,
    /// What copies that leave wait for before they are deleted, while any waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletions: Option<DeletionWait>,
}

/// Documents of a node that holds everything get their shards' tags. Until all have theirs no other node gets a copy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tagging {
    /// Documents that were tagged since control was started.
    pub tagged: u64,
    /// The index that is being tagged.
    pub index: Option<String>,
    /// Its documents without a tag; none while that is not known.
    pub left: Option<u64>,
    /// Why it does not get on.
    pub trouble: Option<String>,
}

/// Shards by the copies that can be read and written now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Coverage {
    /// Shards of all placements.
    pub total: usize,
    /// Those with as many usable copies as the replication factor asks for.
    pub full: usize,
    /// Those with fewer, but with one at least.
    pub reduced: usize,
    /// Those with none.
    pub down: usize,
}

/// Names a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShardName {
    /// Position of its placement; 0 is the one of all indexes.
    pub placement: u16,
    /// Number.
    pub shard: u32,
}

/// A node as control sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Stable id.
    pub id: String,
    /// Base URL.
    pub url: Option<String>,
    /// Share of the data relative to other nodes.
    pub weight: Option<f64>,
    /// Replicas of a shard are kept in different zones.
    pub zone: Option<String>,
    /// `active`: it holds its share; `joining`: known, and without shards until it has been added; `draining`: being
    /// emptied, or empty.
    pub member: String,
    /// `ready`; `starting`, `fencing` and `catching_up` pass by themselves; `down`: not reachable; `rebuild`: it came
    /// back with another disk and is being filled.
    pub phase: String,
    /// Why there is no contact, where that is known.
    #[serde(default)]
    pub trouble: Option<String>,
    /// Engine version, once seen.
    pub version: Option<String>,
    /// It is read only where no other copy can be, since most nodes run another version.
    #[serde(default)]
    pub last_resort: bool,
    /// Grows whenever the node comes back with another disk.
    pub incarnation: u64,
    /// Generation of its write keys.
    pub generation: u64,
    /// Node tasks that Miroir waits for.
    pub open_tasks: usize,
    /// Index operations that it has not taken yet.
    pub journal: usize,
    /// Number of its copies by state.
    pub copies: BTreeMap<CopyState, u32>,
}

/// Answer of `GET /_miroir/nodes`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeList {
    /// All nodes, in order of id.
    pub nodes: Vec<Node>,
}

/// What an Envoy has acknowledged over xDS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Envoy {
    /// Open streams.
    pub streams: u32,
    /// Newest acknowledged epoch of the clusters.
    pub clusters_acknowledged: Option<u64>,
    /// Newest acknowledged epoch of the filter's configuration.
    pub filter_acknowledged: Option<u64>,
    /// The last refusal, until the next acknowledgement of the same kind.
    pub refusal: Option<String>,
}

/// Copies that leave, and the workers of the filter that may still read them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeletionWait {
    /// What waits for whom, in one sentence.
    pub sentence: String,
    /// Copies that wait.
    pub copies: u64,
    /// When the first of them left the map, Unix milliseconds.
    pub since_ms: u64,
    /// When they are deleted at the latest, Unix milliseconds; none while a worker is heard and does not get on.
    pub until_ms: Option<u64>,
    /// Workers that may still read them, the longest silent first.
    pub filters: Vec<WaitedFilter>,
    /// What ends the wait, where a worker has fallen silent and its Envoy is gone for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// A worker of the filter that copies wait for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaitedFilter {
    /// Random name of the worker's VM.
    pub vm: String,
    /// Node id of its Envoy; two Envoys may have the same one.
    pub envoy: Option<String>,
    /// Epoch by which it read when it was last heard; none when that was before control was started.
    pub epoch: Option<u64>,
    /// When it was last heard, about, Unix milliseconds.
    pub heard_ms: u64,
    /// It has been silent for so long that it does not count as alive.
    pub silent: bool,
}

/// The newest heartbeat of a worker of the filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    /// Random name of the worker's VM.
    pub vm: String,
    /// Node id of its Envoy; two Envoys may have the same one.
    #[serde(default)]
    pub envoy: Option<String>,
    /// Epoch of the map that it runs.
    pub epoch: u64,
    /// Lowest epoch with which a request of it still works.
    pub oldest_epoch: u64,
    /// Why it refused the last map, if it did.
    pub rejected: Option<String>,
    /// Seconds since it was heard.
    pub seconds_ago: u64,
}
