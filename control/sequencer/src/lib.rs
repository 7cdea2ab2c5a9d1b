//! Orders writes over the replicas: tickets, fences, audit and recovery (`docs/protocol.md`), as one pure state
//! machine. Events in, effects out; no I/O, no clock, no randomness: the same events give the same effects, which is
//! what the simulation in `tests/` lives by.

pub mod api;
pub mod rows;

use std::sync::Arc;

use miroir_core::shardmap::ShardMap;

pub use api::*;

/// Most uids in [`NodeAction::ReadTasks::open`].
pub const OPEN_LIMIT: usize = 200;

/// The sequencer. One per leader.
#[derive(Debug)]
pub struct Sequencer {
    map: Arc<ShardMap>,
}

impl Sequencer {
    /// Starts a term: takes what the store has, and fences every node before its first grant.
    #[must_use]
    pub fn new(config: Config, snapshot: Snapshot, now_ms: u64) -> (Self, Vec<Effect>) {
        let _ = (&snapshot, now_ms);
        let map = ShardMap {
            cluster: config.cluster,
            epoch: 0,
            shards: config.shards,
            replication_factor: config.replication_factor,
            nodes: Vec::new(),
            stale: Vec::new(),
            placements: Vec::new(),
            indexes: Default::default(),
            limits: config.limits,
            policies: config.policies,
            control_cluster: config.control_cluster,
            control_internal_cluster: config.control_internal_cluster,
        };
        (Self { map: Arc::new(map) }, Vec::new())
    }

    /// Takes one event.
    #[must_use]
    pub fn handle(&mut self, now_ms: u64, event: Event) -> Vec<Effect> {
        let _ = (now_ms, event);
        Vec::new()
    }

    /// The map as of now. Cheap; built anew only after [`Effect::MapChanged`].
    #[must_use]
    pub fn map(&self) -> Arc<ShardMap> {
        self.map.clone()
    }

    /// Epoch of [`Sequencer::map`].
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.map.epoch
    }

    /// An index.
    #[must_use]
    pub fn index(&self, uid: &str) -> Option<&IndexRow> {
        let _ = uid;
        None
    }

    /// All indexes, by uid.
    pub fn indexes(&self) -> impl Iterator<Item = &IndexRow> {
        std::iter::empty()
    }

    /// What an operator wants to see of the nodes, in order of the configuration.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeStatus> {
        Vec::new()
    }

    /// All copies, by placement, shard and rank.
    #[must_use]
    pub fn copies(&self) -> Vec<CopyRow> {
        Vec::new()
    }
}
