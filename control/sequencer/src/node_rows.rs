//! The durable form of nodes and their disks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::admin::MemberState;
use crate::api::{NodeId, NodePlace, NodeTask};
use crate::rows::JournalRow;

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeRow {
    /// Id.
    pub id: NodeId,
    /// Grows whenever the node comes back with another disk (F9).
    pub incarnation: u64,
    /// Newest key generation that was ever asked for; the next fence uses a higher one.
    pub generation: u64,
    /// Tasks below this uid have been read and audited.
    pub floor: u32,
    /// Tasks below this uid have been deleted there.
    #[serde(default)]
    pub pruned: u32,
    /// The last audited task, and the indexes; compared at every contact.
    pub witness: Witness,
    /// Newest task of each index that clears or deletes it, where older ones are not over: these may report nothing
    /// (F11).
    #[serde(default)]
    pub cleared: BTreeMap<String, u32>,
    /// True from a change of incarnation until its data has been rebuilt: neither read nor written.
    pub rebuild: bool,
    /// False until its task list has been read for the first time: what is older than that is not audited.
    pub seen: bool,
    /// Its indexes may differ from what they must be: it is reconciled before any of its copies is repaired.
    #[serde(default)]
    pub drifted: bool,
    /// A task was taken for a step of the journal because it looks like it, and the node's answer has not confirmed it.
    #[serde(default)]
    pub doubted: bool,
    /// True from the loss of contact until it is fenced again and its queue has caught up: not read where another
    /// copy can be.
    pub away: bool,
    /// Its disk came from elsewhere or was away: it may hold documents of shards of which it has no copy.
    #[serde(default)]
    pub leftovers: bool,
    /// Disks of this node that are not there and hold last copies in sync.
    #[serde(default)]
    pub away_disks: Vec<AwayDisk>,
    /// Whether it takes part.
    #[serde(default)]
    pub member: MemberState,
    /// Where it is and what share it gets.
    #[serde(default)]
    pub place: NodePlace,
    /// Version of its engine, as it told at the last contact.
    #[serde(default)]
    pub version: Option<String>,
    /// What the configuration said of it last: only a change of that is news.
    #[serde(default)]
    pub configured: Option<NodePlace>,
}

/// What a node showed last (F9).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// Uid and `enqueuedAt` of the task below the floor; none while it has had none.
    pub last: Option<(u32, String)>,
    /// `createdAt` of each index seen.
    pub indexes: Vec<(String, String)>,
}

/// A task that a disk had accepted and not yet shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Landmark {
    /// Node task uid.
    pub uid: u32,
    /// When it was enqueued, as the node said when it accepted it.
    pub enqueued_at: Option<String>,
    /// Its metadata, where the node said nothing to control.
    pub metadata: Option<String>,
}

impl Landmark {
    /// Whether a task that a disk shows is this one.
    #[must_use]
    pub fn is(&self, task: &NodeTask) -> bool {
        let same_time = self.enqueued_at.as_ref().map(|at| *at == task.enqueued_at);
        let same_write = || task.metadata.is_some() && self.metadata == task.metadata;
        self.uid == task.uid && same_time.unwrap_or_else(same_write)
    }
}

/// A disk that is not there: another one is in its place, and it holds last copies in sync (F9). Known until it is back,
/// or until these copies are given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwayDisk {
    /// Incarnation of the node while it was there; copies and parts that name it mean this disk.
    pub incarnation: u64,
    /// Tasks below this uid had been read.
    pub floor: u32,
    /// It had accepted all tasks below this uid: with fewer it is an older state of itself.
    pub expected: u32,
    /// By what it is recognised.
    pub witness: Witness,
    /// By what it is told from an older state of itself, where the last task that was read is not the newest one.
    #[serde(default)]
    pub newest: Option<Landmark>,
    /// The present disk has shown the last task that was read: it may be an older state of this one.
    #[serde(default)]
    pub shown: bool,
    /// As [`NodeRow::cleared`].
    pub cleared: BTreeMap<String, u32>,
    /// Operations on indexes that it has not taken.
    pub journal: Vec<JournalRow>,
}
