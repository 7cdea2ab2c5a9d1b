//! What never changes in the life of a cluster, and what may not yet.

use rand::RngExt;
use serde::{Deserialize, Serialize};

/// As the store keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// 8 characters of `[a-z0-9]`.
    pub(crate) id: String,
    pub(crate) shards: u32,
    pub(crate) replication_factor: u8,
    /// Owners of each shard as they were placed first, by node id.
    pub(crate) owners: Vec<Vec<String>>,
}

impl Identity {
    /// Name of the stored value.
    pub(crate) const NAME: &str = "cluster";

    /// An id for a new cluster.
    pub(crate) fn new_id() -> String {
        const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let mut random = rand::rng();
        (0..8).map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())])).collect()
    }
}
