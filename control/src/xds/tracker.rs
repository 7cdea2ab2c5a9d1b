//! Which Envoy has acknowledged what. An acknowledgement says that Envoy took a resource, not that every VM of it runs
//! the map (F6): for that there are heartbeats. It tells operators about Envoys that refuse.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

/// What is known of one Envoy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EnvoyState {
    /// Open streams (two Envoys may share a node id).
    pub streams: u32,
    /// Newest acknowledged epoch of the clusters.
    pub clusters_acknowledged: Option<u64>,
    /// Newest acknowledged epoch of the filter's configuration.
    pub filter_acknowledged: Option<u64>,
    /// The last refusal, until the next acknowledgement of the same kind.
    pub refusal: Option<String>,
}

/// Shared view over all Envoys, by node id.
#[derive(Clone, Debug, Default)]
pub struct Tracker(Arc<Mutex<BTreeMap<String, EnvoyState>>>);

impl Tracker {
    /// All Envoys that have been seen.
    #[must_use]
    pub fn envoys(&self) -> BTreeMap<String, EnvoyState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what is known of one Envoy.
    pub(super) fn update(&self, envoy: &str, change: impl FnOnce(&mut EnvoyState)) {
        let mut envoys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(envoys.entry(envoy.to_owned()).or_default());
    }
}
