//! What the store keeps of jobs.

use serde::{Deserialize, Serialize};

use crate::admin::{Amount, JobId, JobKind, JobState, SkipView};
use crate::api::{NodeId, ShardName};

/// Most shards that are named with a reason: a cancelled job of a large cluster skips thousands.
const SHARDS_NAMED: usize = 20;

/// A job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRow {
    /// Id.
    pub id: JobId,
    /// Why.
    pub kind: JobKind,
    /// How far.
    pub state: JobState,
    /// Its moves have been worked out: on the table as it was when the job's turn came.
    pub planned: bool,
    /// All that is left is to delete copies that leave: the jobs behind it go on.
    #[serde(default)]
    pub clearing: bool,
    /// Moves so far, from all rounds of planning.
    pub moves: u32,
    /// Moves made.
    pub done: u32,
    /// Moves that were not needed any more, or were taken back.
    pub skipped: u32,
    /// Why, in the order in which the reasons came up.
    #[serde(default)]
    pub skips: Vec<SkipView>,
    /// How often it was planned: what failed in one round is tried once more in the next.
    pub rounds: u32,
    /// Copying in all, as estimated; none where no node could be asked.
    pub estimate: Option<Amount>,
    /// Copied by moves that are over.
    pub copied: Amount,
    /// Waves of moves planned so far: how often as many as may be are under way at once.
    #[serde(default)]
    pub waves: u64,
    /// How long copies were being filled, in milliseconds.
    #[serde(default)]
    pub busy_ms: u64,
    /// Unix milliseconds.
    pub created_ms: u64,
    /// When it was planned, Unix milliseconds.
    pub started_ms: Option<u64>,
    /// Unix milliseconds.
    pub finished_ms: Option<u64>,
}

impl JobRow {
    /// The moves that were skipped for this reason.
    pub(crate) fn skips_for(&mut self, why: String) -> &mut SkipView {
        let at = self.skips.iter().position(|skip| skip.why == why).unwrap_or_else(|| {
            self.skips.push(SkipView { why, ..SkipView::default() });
            self.skips.len() - 1
        });
        &mut self.skips[at]
    }
}

impl SkipView {
    pub(crate) fn count(&mut self, shard: Option<ShardName>) {
        self.moves += 1;
        self.shards.extend(shard.filter(|_| self.shards.len() < SHARDS_NAMED));
    }
}

/// A move of a job that is not over. Those that are over are only counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveRow {
    /// Its job.
    pub job: JobId,
    /// Its place in the job's order.
    pub at: u32,
    /// Placement.
    pub placement: u16,
    /// Shard.
    pub shard: u32,
    /// Node that gets a copy.
    pub to: Option<NodeId>,
    /// Node whose copy goes.
    pub leaving: Option<NodeId>,
    /// How far.
    pub state: MoveState,
}

/// How far a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoveState {
    /// Not begun.
    Waiting,
    /// The copy is being filled.
    Copying,
    /// The new copy is read; the one that goes is still there.
    Leaving,
}
