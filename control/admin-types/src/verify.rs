//! Comparing replicas.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of `POST /_miroir/verify`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Verify {
    /// Only this index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
}

/// A comparison of all replicas: answer of `POST` and `GET /_miroir/verify`. It is kept until the next one, or until
/// control is started again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// Number; grows within a process of control.
    pub id: u64,
    /// It is under way.
    pub running: bool,
    /// Only this index.
    pub index: Option<String>,
    /// Shards to compare, over all indexes.
    pub shards: u64,
    /// Shards compared, or passed over.
    pub shards_done: u64,
    /// Shards of which only one copy can be used, so that there is nothing to compare with.
    pub single: u64,
    /// Shards that could not be compared, because a node did not answer.
    pub unanswered: u64,
    /// Shards whose copies differ in documents that are being written: to be compared again later.
    pub undecided: u64,
    /// Documents compared, each counted once.
    pub documents: u64,
    /// Replicas that differ. At most 1,000 are listed.
    pub findings: Vec<Finding>,
    /// How many there are in all.
    pub findings_total: u64,
    /// Milliseconds that it has taken.
    pub took_ms: u64,
}

/// A difference between replicas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Index uid.
    pub index: String,
    /// Position of the placement.
    pub placement: u16,
    /// Shard; none where the index itself differs.
    pub shard: Option<u32>,
    /// Id of the document; none where the index itself differs.
    pub document: Option<String>,
    /// What each replica has.
    pub replicas: Vec<Replica>,
}

/// What one replica has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Replica {
    /// Node id.
    pub node: String,
    /// Hash of the document's content in hexadecimal digits, `absent`, `settings differ`, or `tag does not fit` where the
    /// document belongs to none of the node's copies.
    pub has: String,
}
