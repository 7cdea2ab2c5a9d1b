//! What a command would do, as operators see it.

use serde::{Deserialize, Serialize};

use crate::api::*;

/// Moves of a job that were skipped for the same reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkipView {
    /// The reason.
    pub why: String,
    /// How many.
    pub moves: u32,
    /// Their shards: the first ones.
    pub shards: Vec<ShardName>,
}

/// How long a plan takes, about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PlanTime {
    /// Seconds.
    pub seconds: u64,
    /// What they go by.
    pub pace: Pace,
}

/// The pace that an estimate of time goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Pace {
    /// That of the last jobs that copied anything.
    Measured,
    /// The throttle, which is slower.
    Throttled,
    /// None was measured yet: 4 s for as many moves as are under way at once, and 1,000 documents or 5 MB a second,
    /// whichever takes longer.
    Assumed,
}

/// What a command would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanView {
    /// Every move, in the order in which they would start.
    pub moves: Vec<MoveView>,
    /// Copies that are made.
    pub copies_made: u64,
    /// Copies that must be made by any plan with this outcome in balance.
    pub copies_least: u64,
    /// Copying in all; none where no node could be asked.
    pub estimate: Option<Amount>,
    /// How long that takes.
    pub time: Option<PlanTime>,
    /// Copies on each node before and afterwards.
    pub nodes: Vec<NodeLoad>,
}

/// Copies on a node before and after a plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeLoad {
    /// Node.
    pub id: NodeId,
    /// Copies now.
    pub before: u64,
    /// Copies afterwards.
    pub after: u64,
    /// Copies by weight, zones considered.
    pub share: f64,
}
