//! What the store keeps of the background comparison, what the caller writes down before anything is repaired, and what
//! operators see.

use serde::{Deserialize, Serialize};

use crate::api::NodeId;

/// How often all replicas are compared, and how fast at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrubPace {
    /// Milliseconds in which one pass over all shards is spread out; 0: there are none.
    pub interval: u64,
    /// Documents compared a second, at most; a lower throttle of copying holds for comparing as well.
    pub documents_per_s: u64,
    /// Share of the time in which nodes are asked for documents, in percent, at most.
    pub busy_percent: u64,
}

impl Default for ScrubPace {
    fn default() -> Self {
        Self { interval: 24 * 3_600_000, documents_per_s: 1_000, busy_percent: 10 }
    }
}

/// How far the comparison of all replicas is. Durable: a new leader goes on where the last one was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScrubRow {
    /// Number of the pass under way.
    pub pass: u64,
    /// When it began, Unix milliseconds; 0 before the first.
    pub started_ms: u64,
    /// Units that are done: the indexes' settings are one, then each shard is one.
    pub done: u32,
    /// What it has come to so far.
    pub tally: ScrubTally,
    /// The last one that has ended.
    pub last: Option<ScrubPass>,
}

/// What a pass has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScrubTally {
    /// Shards whose copies were compared.
    pub compared: u32,
    /// Shards with fewer than two copies that could be read, or whose nodes did not answer.
    pub passed_over: u32,
    /// Shards with documents that were written all the time: nothing can be said of these.
    pub undecided: u32,
    /// Documents compared, each counted once.
    pub documents: u64,
    /// Findings.
    pub findings: u32,
}

/// A pass that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubPass {
    /// Its number.
    pub pass: u64,
    /// Unix milliseconds.
    pub started_ms: u64,
    /// Unix milliseconds.
    pub ended_ms: u64,
    /// What it came to.
    pub tally: ScrubTally,
}

/// The background comparison as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrubView {
    /// The durable part.
    pub row: ScrubRow,
    /// Units of a pass.
    pub units: u32,
    /// Milliseconds in which a pass is spread out; 0: there are none.
    pub interval: u64,
    /// Why it does not get on right now, where it does not.
    pub waiting: Option<String>,
    /// Differences were found that cannot be written down, so that they are not repaired.
    pub blocked: Option<String>,
    /// Findings, oldest first.
    pub findings: Vec<FindingRow>,
}

/// Replicas that differed without any known reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingRow {
    /// Number; grows. Lines of the findings file carry it.
    pub id: u64,
    /// When, Unix milliseconds.
    pub found_ms: u64,
    /// Index uid.
    pub index: String,
    /// Placement.
    pub placement: u16,
    /// Shard; none where the index itself differed.
    pub shard: Option<u32>,
    /// Node whose version is kept: the senior one. None where the index itself differed: control's version is.
    pub kept: Option<NodeId>,
    /// Node whose version is lost.
    pub lost: NodeId,
    /// Documents that both have, with other content.
    pub differing: u64,
    /// Documents that the loser lacks.
    pub missing: u64,
    /// Documents that only the loser has; without a shard, those that belong to none of its copies.
    pub extra: u64,
    /// Some of their ids.
    pub documents: Vec<String>,
    /// When it had been put right, Unix milliseconds.
    pub repaired_ms: Option<u64>,
    /// An operator has taken note.
    pub acknowledged: bool,
}

/// A version that is about to be lost, for the findings file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// Number of the finding.
    pub id: u64,
    /// Index uid.
    pub index: String,
    /// Placement.
    pub placement: u16,
    /// Node whose version is kept; none: control's.
    pub kept: Option<NodeId>,
    /// Node whose version is lost: what it has is to be written down.
    pub lost: NodeId,
    /// What differs.
    pub what: Drifted,
}

/// What differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drifted {
    /// The index itself: its settings, its key, that it is there.
    Index,
    /// Documents that belong to none of the node's copies: without a tag, or with another one than their key's.
    Outsiders {
        /// Primary key of the index.
        primary_key: String,
        /// Their keys.
        keys: Vec<String>,
    },
    /// Documents of a shard.
    Documents {
        /// Shard.
        shard: u32,
        /// Primary key of the index.
        primary_key: String,
        /// Both have them, with other content.
        differing: Vec<String>,
        /// The loser lacks them.
        missing: Vec<String>,
        /// Only the loser has them.
        extra: Vec<String>,
    },
}
