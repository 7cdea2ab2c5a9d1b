//! How a search is carried out.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Body of `POST /_miroir/explain`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Question {
    /// Index uid.
    pub index: String,
    /// The search, as in the body of `POST /indexes/{index}/search`.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub search: Value,
}

/// Answer of `POST /_miroir/explain`. Control has run the search itself, by the same machine that the filter runs, with
/// the newest map and the master key, asking the nodes directly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Index uid.
    pub index: String,
    /// Epoch of the map that was used.
    pub epoch: u64,
    /// Position of the index's placement.
    pub placement: u16,
    /// Number of shards.
    pub shard_count: u32,
    /// Requests to nodes, in the order in which they were sent.
    pub calls: Vec<ExplainedCall>,
    /// What the client would have got.
    pub answer: ExplainedAnswer,
}

/// A request to a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedCall {
    /// Node id.
    pub node: String,
    /// Shards that it was asked for; empty for a request that is not about shards.
    pub shards: Vec<u32>,
    /// Method and path.
    pub request: String,
    /// The filter that the node got: the client's and the one on the shard tag.
    pub filter: Option<String>,
    /// The whole body that the node got.
    #[schema(value_type = Object)]
    pub body: Value,
    /// When it was sent, milliseconds after the start.
    pub sent_ms: f64,
    /// How long it took, milliseconds; none where it was given up.
    pub took_ms: Option<f64>,
    /// `processingTimeMs` of the node's own answer.
    pub node_ms: Option<u64>,
    /// HTTP status, or why there is no answer.
    pub outcome: String,
    /// Hits in the node's answer.
    pub hits: Option<usize>,
    /// Bytes of the node's answer.
    pub bytes: usize,
}

/// The answer that the client would have got.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedAnswer {
    /// HTTP status.
    pub status: u16,
    /// From the first request to the merged answer, milliseconds.
    pub took_ms: f64,
    /// `x-miroir-shards`: shards that answered, of all.
    pub shards: Option<String>,
    /// `x-miroir-degraded`, where shards are missing.
    pub degraded: Option<String>,
    /// Hits.
    pub hits: Option<usize>,
    /// Total of hits, estimated or exhaustive as the search asked.
    pub total: Option<u64>,
    /// The error, where there is one.
    pub error: Option<String>,
}
