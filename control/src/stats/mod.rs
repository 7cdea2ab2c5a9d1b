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

pub(crate) use features::{STORED as FEATURES, from_nodes, on_nodes as features_on_nodes, view as features_view};
pub use gather::count;
pub(crate) use gather::count_over;
pub use routes::router;

/// Whether the client has switched an experimental feature on.
pub(crate) fn is_on(runtime: &dyn Runtime, feature: &str) -> bool {
    features::view(runtime.value(FEATURES).as_ref())[feature] == true
}

/// Switches nodes' experimental features to what the cluster's client set.
fn features_request(stored: Option<&Value>) -> NodeRequest {
    let body = Some(features::on_nodes(stored));
    NodeRequest { method: "PATCH".to_owned(), path: "/experimental-features".to_owned(), body }
}
