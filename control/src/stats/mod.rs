//! Statistics, health, version and experimental features of the cluster as a whole. Documents are counted once per
//! shard: replicas, stale copies and copies on the move do not count.

mod features;
mod gather;
mod routes;
mod size;
#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::cluster::{NodeRequest, Runtime};

pub(crate) use features::{STORED as FEATURES, on_nodes as features_on_nodes};
pub use gather::count;
pub use routes::router;
pub(crate) use size::words as in_words;

/// Switches a node's experimental features to what the cluster's client set. To be sent with the master key whenever a
/// node (re)appears.
#[must_use]
pub fn node_features(runtime: &dyn Runtime) -> NodeRequest {
    features_request(runtime.value(features::STORED).as_ref())
}

fn features_request(stored: Option<&Value>) -> NodeRequest {
    let body = Some(features::on_nodes(stored));
    NodeRequest { method: "PATCH".to_owned(), path: "/experimental-features".to_owned(), body }
}
