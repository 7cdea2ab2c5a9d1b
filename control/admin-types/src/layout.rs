//! Which copy of which shard is where.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Answer of `GET /_miroir/shards`. `miroirctl simulate --map` starts from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Layout {
    /// Cluster id.
    pub cluster: String,
    /// Epoch of the shard map.
    pub epoch: u64,
    /// Number of shards.
    pub shard_count: u32,
    /// Copies of each shard that the cluster aims for.
    pub replication_factor: u8,
    /// All nodes, in order of id.
    pub nodes: Vec<LayoutNode>,
    /// All shards of all placements.
    pub shards: Vec<Shard>,
}

/// A node, as far as placement is concerned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LayoutNode {
    /// Stable id.
    pub id: String,
    /// Share of the data relative to other nodes.
    pub weight: f64,
    /// Replicas of a shard are kept in different zones.
    #[serde(default)]
    pub zone: Option<String>,
    /// It can be read and written now.
    pub ready: bool,
}

/// A shard with its copies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Shard {
    /// Position of its placement.
    pub placement: u16,
    /// Number.
    pub shard: u32,
    /// Copies, the one preferred by readers first.
    pub copies: Vec<Copy>,
}

/// A copy of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Copy {
    /// Node id.
    pub node: String,
    /// State.
    pub state: CopyState,
    /// It is in sync, on the disk that its node has now, and the node is ready.
    pub usable: bool,
    /// Queries may be sent to it. A copy that is not usable is read for want of a better one, if it lacks nothing that has
    /// been reported as done: while its node catches up, say.
    #[serde(default)]
    pub read: bool,
}

/// State of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum CopyState {
    /// Has every acknowledged write.
    InSync,
    /// Missed a write: neither read nor written until it is repaired.
    Stale,
    /// Being filled: written, not read.
    Dual,
    /// Leaving: not read by newer maps, and its documents are still on the node.
    Retiring,
}

impl CopyState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::InSync, Self::Stale, Self::Dual, Self::Retiring];

    /// The word, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InSync => "inSync",
            Self::Stale => "stale",
            Self::Dual => "dual",
            Self::Retiring => "retiring",
        }
    }
}
