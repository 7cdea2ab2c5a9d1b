//! What the store keeps of moves and repair, and what callers see of them.

use serde::{Deserialize, Serialize};

use crate::api::NodeId;

/// A copy that is being brought in sync while reads and writes go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncRow {
    /// Placement.
    pub placement: u16,
    /// Shard.
    pub shard: u32,
    /// Node whose copy is filled.
    pub to: NodeId,
    /// Node that gives up its copy when this one is in sync; none for a repair or an added replica.
    pub leaving: Option<NodeId>,
    /// The copy was no owner before: a cancelation takes it away again. A repair's copy stays, stale.
    pub added: bool,
    /// When it began, Unix milliseconds.
    pub started_ms: u64,
    /// Documents written to `to` so far (deletions counted), over all attempts.
    pub documents: u64,
    /// Bytes of the documents written to `to` so far.
    pub bytes: u64,
    /// How often it had to start over.
    pub restarts: u32,
}

/// A copy that left the map and is to be deleted (RETIRE).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetireRow {
    /// Placement.
    pub placement: u16,
    /// Shard.
    pub shard: u32,
    /// Node.
    pub node: NodeId,
    /// First epoch whose map does not read it.
    pub epoch: u64,
    /// When it left the map, Unix milliseconds.
    #[serde(default)]
    pub since_ms: u64,
    /// Since when every VM has been known to run at least that epoch, Unix milliseconds; none while some has not.
    pub adopted_ms: Option<u64>,
    /// Its documents are being deleted: it is in no write set any more.
    pub deleting: bool,
    /// An operator does not wait for silent VMs.
    pub forced: bool,
}

/// A VM that may read by an old map. Known over changes of the leader: a silent one keeps copies from being deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmRow {
    /// Its id, as in its heartbeats.
    pub vm: String,
    /// Roughly when it was last heard, Unix milliseconds.
    pub heard_ms: u64,
    /// Node id of its Envoy, where it has told one.
    #[serde(default)]
    pub envoy: Option<String>,
}

/// How fast copies may be filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncLimits {
    /// Documents a second over all syncs; 0: no limit.
    pub documents_per_s: u64,
    /// Bytes of documents a second over all syncs; 0: no limit.
    pub bytes_per_s: u64,
    /// Most readings of one node at a time, over all syncs; many times as many syncs may fill copies on it or from it,
    /// since most of their time they wait for what is in the nodes' queues.
    pub per_node: usize,
    /// Nothing new is copied (writes still go to copies that are being filled).
    pub paused: bool,
}

impl Default for SyncLimits {
    fn default() -> Self {
        Self { documents_per_s: 0, bytes_per_s: 0, per_node: 2, paused: false }
    }
}

/// Keys that all syncs together still have to write, beyond which few go on at once: they are held in memory.
pub(crate) const MANY_KEYS: usize = 100_000;
/// Bytes of pages in the queue of one node, beyond which few pages are: what clients write comes behind them.
const MANY_BYTES: u64 = 2 << 20;

impl SyncLimits {
    /// Most syncs that read from or write to one node at a time, while they have so many keys to write. A node takes what
    /// is in its queue together, however many shards it is of: small ones cost no more than one.
    pub(crate) fn syncs(&self, keys: usize) -> usize {
        self.per_node.max(1) * if keys < MANY_KEYS { 16 } else { 4 }
    }

    /// Whether no more pages should be in the queue of one node.
    pub(crate) fn is_full(&self, pages: usize, bytes: u64) -> bool {
        pages >= self.per_node.max(1) * if bytes < MANY_BYTES { 16 } else { 4 }
    }
}

/// What can be asked of copies, one at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncCommand {
    /// Fill a copy on a node, whether it was an owner or not.
    Begin {
        /// Placement.
        placement: u16,
        /// Shard.
        shard: u32,
        /// Node that gets the copy.
        to: NodeId,
        /// Node that gives up its own.
        leaving: Option<NodeId>,
    },
    /// Give a sync up before its flip.
    Cancel {
        /// Placement.
        placement: u16,
        /// Shard.
        shard: u32,
        /// Node that was to get the copy.
        to: NodeId,
    },
    /// How fast from now on.
    Limits(SyncLimits),
}

/// A sync as operators see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SyncStatus {
    /// The durable part.
    pub row: SyncRow,
    /// Node that is read; none while it waits.
    pub from: Option<NodeId>,
    /// One word: `waiting` (its turn, a node, a source), `comparing`, `copying`, `closing` (equal, its queue drains).
    pub phase: &'static str,
    /// Why it waits, or why it last started over.
    pub note: String,
}

/// How a sync or a retirement ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncEnd {
    /// The copy is in sync and in the map; one that leaves is retiring.
    Flipped,
    /// The copy of this node has been deleted (after a flip, a cancelation or a retirement).
    Deleted,
    /// Cancelled before the flip.
    Cancelled,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_small_copies_are_filled_at_once_and_few_large_ones() {
        let limits = SyncLimits::default();
        assert_eq!((limits.syncs(0), limits.syncs(MANY_KEYS)), (32, 8));
        assert!(!limits.is_full(31, 100_000) && limits.is_full(32, 100_000));
        assert!(!limits.is_full(7, 8 << 20) && limits.is_full(8, 8 << 20));
    }
}
