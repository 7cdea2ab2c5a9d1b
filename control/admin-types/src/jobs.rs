//! Membership, moves of copies, and the jobs that carry them out.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::status::{DeletionWait, ShardName};

/// A node to be taken in: body of `POST /_miroir/nodes`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewNode {
    /// Id, 1 to 40 of `a-z`, `0-9` and `-`. For ever: data on disk belongs to it.
    pub id: String,
    /// Base URL, `http(s)://host:port`, as control and Envoy reach it.
    pub url: String,
    /// Share of the data relative to other nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// Replicas of a shard are kept in different zones where zones are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// CA bundle (PEM file, as both control and Envoy see it) for an https URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_ca: Option<String>,
}

/// Body of `POST /_miroir/nodes/{node}/replace`. Neither: an empty disk at the same address.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplaceNode {
    /// A node of another id takes the place; the old one is removed at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<NewNode>,
    /// The same id with an empty disk at this address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// Body of `PUT /_miroir/replication-factor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplicationFactor {
    /// Copies of each shard, from 1 to the number of nodes.
    pub replication_factor: u8,
}

/// Body of `POST /_miroir/repair`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Repair {
    /// Only copies on this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

/// Pace of copying, for jobs and repairs together: body of `PUT /_miroir/throttle`. None: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Throttle {
    /// Documents a second that are written to copies being filled.
    pub documents_per_second: Option<u64>,
    /// Bytes a second.
    pub bytes_per_second: Option<u64>,
    /// Moves of jobs under way at once, over the whole cluster; at least 1.
    pub moves: Option<u32>,
}

/// Body of `POST /_miroir/shards/accept-loss`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AcceptLoss {
    /// The node whose copies count as in sync from now on.
    pub node: String,
    /// Position of the placement.
    #[serde(default)]
    pub placement: u16,
    /// The shards.
    pub shards: Vec<u32>,
    /// Must be true: what only copies out of reach have is given up for good.
    #[serde(default)]
    pub confirm: bool,
}

/// Body of `POST /_miroir/shards/force-deletion`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ForceDeletion {
    /// Must be true: a filter that is only cut off from control goes on reading by its old map, and what it answers lacks
    /// the deleted copies' documents.
    #[serde(default)]
    pub confirm: bool,
}

/// What is lost with copies that were given up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Loss {
    /// Shards of which an older copy is in sync from now on.
    pub promoted: Vec<ShardName>,
    /// Shards of which no copy was left: they are empty from now on.
    pub emptied: Vec<ShardName>,
    /// Uids of tasks whose writes are lost or may be, as far as they are still known; older ones may be lost too.
    pub tasks: Vec<u32>,
}

/// Answer to what is done at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Done {
    /// One sentence.
    pub message: String,
}

/// Answer to a change of the cluster: exactly one of its members.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The job that carries it out, as it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<Job>,
    /// With `dryRun`: what would be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// What it was, where it was done at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<Done>,
    /// What was lost; beside `job` for a node that was removed by force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
}

/// Answer of `GET /_miroir/jobs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobList {
    /// Jobs that are not forgotten, oldest first.
    pub jobs: Vec<Job>,
}

/// Why copies are moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "kind")]
pub enum JobKind {
    /// A node comes.
    Join {
        /// The node.
        node: String,
    },
    /// A node is emptied.
    Drain {
        /// The node.
        node: String,
    },
    /// A node out of reach is emptied and forgotten.
    Remove {
        /// The node.
        node: String,
    },
    /// A node takes the place of another one.
    Replace {
        /// The node that goes.
        node: String,
        /// The node that comes; the same id for another disk.
        with: String,
    },
    /// More or fewer copies of each shard.
    ReplicationFactor {
        /// Copies before.
        from: u8,
        /// Copies afterwards.
        to: u8,
    },
    /// Loads are evened out.
    Rebalance,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum JobState {
    /// Waits for the job before it.
    Queued,
    /// Under way.
    Running,
    /// No further move is started.
    Paused,
    /// All moves made, or no longer needed.
    Done,
    /// Ended early by an operator.
    Cancelled,
}

impl JobState {
    /// The word, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it will not change any more.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled)
    }
}

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// Number; never used again.
    pub id: u64,
    /// Why.
    pub why: JobKind,
    /// How far.
    pub state: JobState,
    /// Why it does not get on right now, where it does not.
    pub waiting: Option<String>,
    /// For whom its copies that leave wait before they are deleted, while any waits. Jobs behind it do not wait for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletions: Option<DeletionWait>,
    /// What is left undone now that it was cancelled, with the command that does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
    /// Moves in all.
    pub moves: u64,
    /// Moves made.
    pub moves_done: u64,
    /// Moves that were not needed any more, or were taken back.
    pub moves_skipped: u64,
    /// Why they were.
    #[serde(default)]
    pub skips: Vec<Skip>,
    /// Moves under way.
    pub running: Vec<Move>,
    /// Copying in all, as estimated when the job was planned.
    pub estimate: Option<Amount>,
    /// Documents and bytes copied so far.
    pub copied: Amount,
    /// Creation, Unix milliseconds.
    pub created_ms: u64,
    /// First move, Unix milliseconds.
    pub started_ms: Option<u64>,
    /// End, Unix milliseconds.
    pub finished_ms: Option<u64>,
    /// Seconds to go at the pace so far.
    pub seconds_left: Option<u64>,
}

/// Moves that were skipped for the same reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Skip {
    /// The reason.
    pub why: String,
    /// How many.
    pub moves: u32,
    /// Their shards, 20 at most.
    pub shards: Vec<ShardName>,
}

/// An amount of copying.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Amount {
    /// Documents.
    pub documents: u64,
    /// Bytes of documents, as JSON.
    pub bytes: u64,
}

/// A move: a copy of a shard comes, goes, or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Move {
    /// Position of the placement.
    pub placement: u16,
    /// Shard.
    pub shard: u32,
    /// Node that gets a copy; none where a copy only goes.
    pub to: Option<String>,
    /// Node whose copy goes; none where a copy only comes.
    pub leaving: Option<String>,
    /// Estimated copying.
    pub estimate: Option<Amount>,
}

/// The pace that an estimate of time goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Pace {
    /// That of the last jobs that copied anything.
    Measured,
    /// The throttle, which is slower.
    Throttled,
    /// None was measured yet: 4 s for as many moves as are under way at once, and 1,000 documents or 5 MB a second,
    /// whichever takes longer.
    Assumed,
}

/// What a change would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Every move, in the order in which they would start.
    pub moves: Vec<Move>,
    /// Copies that are made.
    pub copies_made: u64,
    /// Copies that any plan with this outcome in balance must make.
    pub copies_least: u64,
    /// Copying in all; none where no node could be asked.
    pub estimate: Option<Amount>,
    /// How long that takes, seconds, the deletion of copies that leave included; none without an estimate.
    pub seconds: Option<u64>,
    /// What `seconds` goes by; none without an estimate.
    pub pace: Option<Pace>,
    /// Copies on each node before and afterwards.
    pub nodes: Vec<NodeLoad>,
}

/// Copies on a node before and after a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeLoad {
    /// Node id.
    pub id: String,
    /// Copies now.
    pub before: u64,
    /// Copies afterwards.
    pub after: u64,
    /// Copies by weight, zones considered.
    pub share: f64,
}
