//! The shard map: the one document that control pushes and the filter lives by. It holds no secret. What the filter
//! computes from it once (covers, filter strings) is in [`compiled`].

pub mod compiled;
mod document;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use compiled::{CompiledMap, Cover, CoverPart};
pub use document::{MapError, SCHEMA_VERSION, parse, print};

/// Position of a node in [`ShardMap::nodes`].
pub type NodeIndex = u16;

/// The whole map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardMap {
    /// Cluster id, 8 characters of `[a-z0-9]`, made at bootstrap.
    pub cluster: String,
    /// Grows with every change.
    pub epoch: u64,
    /// Number of shards: constant for the life of the cluster.
    pub shards: u32,
    /// Copies of each shard that the cluster aims for.
    pub replication_factor: u8,
    /// Nodes, in order of id.
    pub nodes: Vec<MapNode>,
    /// Copies that are not to be read although the table names them: a small list ahead of the table, so that one
    /// missed write does not change the whole table.
    pub stale: Vec<StaleMark>,
    /// Placements that indexes refer to by position.
    pub placements: Vec<Placement>,
    /// Indexes by uid.
    pub indexes: BTreeMap<String, MapIndex>,
    /// Limits in bytes and milliseconds.
    pub limits: Limits,
    /// What to do when not all shards can answer.
    pub policies: Policies,
    /// Envoy cluster of control's public listener: everything that the filter does not serve itself.
    pub control_cluster: String,
    /// Envoy cluster of control's internal listener: tickets, heartbeats, bulk.
    pub control_internal_cluster: String,
}

impl ShardMap {
    /// Whether a node is read only where no other copy can be.
    #[must_use]
    pub fn is_last_resort(&self, node: NodeIndex) -> bool {
        self.nodes.get(usize::from(node)).is_some_and(|node| node.last_resort)
    }
}

/// A node as the filter sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapNode {
    /// Stable id, `[a-z0-9-]`.
    pub id: String,
    /// Envoy cluster for reads (health checks, outlier detection).
    pub cluster: String,
    /// Envoy cluster for writes (no outlier detection: an overload of reads must not make replicas stale, F19).
    pub write_cluster: String,
    /// False for a node that must not be read at all (unfenced, unknown incarnation).
    pub readable: bool,
    /// True for a node that is read only where no other copy can be: its engine is of another version than that of
    /// most nodes, and may rank otherwise. Left out where false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub last_resort: bool,
}

/// A copy that missed a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaleMark {
    /// Position in [`ShardMap::placements`].
    pub placement: u16,
    /// Shard number.
    pub shard: u32,
    /// Node that must not be read for it.
    pub node: NodeIndex,
}

/// Who holds which shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// For every shard the nodes whose copy may be read (but for [`ShardMap::stale`]), preferred first. Copies that
    /// are being filled or that leave are not listed: readers never learn of them, and writers are told by grants.
    pub owners: Vec<Vec<NodeIndex>>,
}

/// An index as the filter sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapIndex {
    /// Grows when the uid is deleted and created again, or swapped.
    pub incarnation: u64,
    /// Primary key, once known.
    pub primary_key: Option<String>,
    /// Position in [`ShardMap::placements`].
    pub placement: u16,
    /// Queries wait (at most 2 s) while a swap is under way (F27).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub swapping: bool,
    /// Nodes whose settings differ from what they must be: not read for this index (F26).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<NodeIndex>,
    /// The settings that merging needs, as the client set them.
    pub view: SearchView,
}

/// Settings of an index that the filter applies itself, because the nodes' own differ from the client's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchView {
    /// `displayedAttributes`; none for `["*"]`. Nodes always display everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub displayed: Option<Vec<String>>,
    /// `pagination.maxTotalHits`. Nodes have the same value.
    pub max_total_hits: u64,
    /// `faceting.maxValuesPerFacet`. Nodes have a much larger one.
    pub max_values_per_facet: u64,
    /// `faceting.sortFacetValuesBy`: attribute (or `*`) to order.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facet_order: BTreeMap<String, FacetOrder>,
    /// `distinctAttribute`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distinct: Option<String>,
    /// `_geo` is sortable or filterable: the engine then refuses documents with a malformed one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub geo: bool,
    /// On nodes the tag's own rule stands before those of `filterableAttributes`: their errors number them one too high.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tag_rule_first: bool,
}

impl Default for SearchView {
    /// The engine's defaults for a new index (Meilisearch 1.50).
    fn default() -> Self {
        Self {
            displayed: None,
            max_total_hits: 1000,
            max_values_per_facet: 100,
            facet_order: BTreeMap::new(),
            distinct: None,
            geo: false,
            tag_rule_first: false,
        }
    }
}

/// Order of the values of a facet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FacetOrder {
    /// By value.
    Alpha,
    /// By count, largest first.
    Count,
}

/// Limits, in bytes and milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Largest request body, decoded (413 above it). The engine's default is 100 MB.
    pub max_body_bytes: u64,
    /// Largest body that the nodes take (their `http-payload-size-limit`): a node's part of a payload, with the tag of
    /// each document. A filter of an earlier version knows only the default, which is left out.
    #[serde(default = "usual_node_body", skip_serializing_if = "is_usual_node_body")]
    pub node_body_bytes: u64,
    /// Largest document payload that the filter splits itself; larger ones, and ones of unknown length, go to
    /// control's bulk entry.
    pub split_in_filter_bytes: u64,
    /// Bytes of bodies that one worker holds at a time; above it 503 with `retry-after`.
    pub worker_budget_bytes: u64,
    /// Longest life of a request in the filter.
    pub request_timeout_ms: u64,
    /// Longest wait for one node's answer to a read before other replicas are asked.
    pub read_timeout_ms: u64,
    /// Interval of heartbeats.
    pub heartbeat_ms: u64,
}

/// The engine's default.
const fn usual_node_body() -> u64 {
    100_000_000
}

fn is_usual_node_body(bytes: &u64) -> bool {
    *bytes == usual_node_body()
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 100_000_000,
            node_body_bytes: usual_node_body(),
            split_in_filter_bytes: 8 << 20,
            worker_budget_bytes: 192 << 20,
            request_timeout_ms: 30_000,
            read_timeout_ms: 5_000,
            heartbeat_ms: 1_000,
        }
    }
}

/// What to do when not all shards can answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policies {
    /// Answer with what there is (marked by `x-miroir-degraded`) instead of 503. A request may ask for either by the
    /// header `x-miroir-partial: allow | refuse`.
    pub partial_results: bool,
}
