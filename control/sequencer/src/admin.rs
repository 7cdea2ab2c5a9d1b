//! What operators ask of the cluster, and what they are told: membership, moves and jobs.
//!
//! A command that changes where copies lie becomes a job ([`JobView`]): planned, persisted and carried out move by move.
//! Every refusal says why, and names the shards that are the reason.

use serde::{Deserialize, Serialize};

use crate::api::{DeletionWait, NodeId};
pub use crate::plan_view::*;

/// Names a job. Grows; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub u64);

/// A command of an operator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "command")]
pub enum AdminCommand {
    /// Takes a node in and moves its share of the shards to it. Also for a node that is a member without shards (one
    /// newly listed in the configuration). Answer: [`AdminAnswer::Job`].
    NodeAdd(NewNode),
    /// Moves all shards of a node to others; it stays a member without shards. Answer: [`AdminAnswer::Job`].
    NodeDrain {
        /// The node.
        node: NodeId,
    },
    /// Forgets a node. One that holds no copy goes at once ([`AdminAnswer::Done`]); one that is out of reach goes when
    /// its copies have been made elsewhere ([`AdminAnswer::Job`]); one that serves shards is refused: drain it first.
    NodeRemove {
        /// The node.
        node: NodeId,
        /// Give up what only this node has, if it is out of reach. Answer: [`AdminAnswer::Removed`], with the loss.
        #[serde(default)]
        force: bool,
    },
    /// Another machine, or another disk, takes the place of a node. Answer: [`AdminAnswer::Job`].
    NodeReplace {
        /// The node that goes.
        node: NodeId,
        /// What comes.
        with: Replacement,
    },
    /// Changes how many copies of each shard there are. Answer: [`AdminAnswer::Job`].
    SetReplicationFactor {
        /// Copies of each shard, at least 1 and at most the number of nodes.
        replication_factor: u8,
    },
    /// Evens out what the nodes hold. Answer: [`AdminAnswer::Job`].
    RebalanceStart,
    /// What a command that makes a job would do; nothing is changed. Answer: [`AdminAnswer::Plan`].
    Plan {
        /// The command.
        of: Box<AdminCommand>,
    },
    /// Starts no further move of a job; those under way end. Answer: [`AdminAnswer::Job`].
    JobPause {
        /// The job.
        job: JobId,
    },
    /// Goes on with a paused job. Answer: [`AdminAnswer::Job`].
    JobResume {
        /// The job.
        job: JobId,
    },
    /// Ends a job: shards that have moved stay where they are, the others do not move. Answer: [`AdminAnswer::Job`].
    JobCancel {
        /// The job.
        job: JobId,
    },
    /// Changes the pace of copying for all jobs and repairs, from now on and after restarts.
    /// Answer: [`AdminAnswer::Done`].
    Throttle(Throttle),
    /// Looks for stale copies now rather than at the next turn. Answer: [`AdminAnswer::Done`].
    Repair {
        /// Only on this node.
        #[serde(default)]
        node: Option<NodeId>,
    },
    /// Takes note of all findings of the background comparison: they are no reason to look at the cluster any more.
    /// Answer: [`AdminAnswer::Done`].
    AcknowledgeFindings,
    /// Accepts the loss of what only copies out of reach have: this node's copies of the shards count as in sync from
    /// now on (F8). Answer: [`AdminAnswer::LossAccepted`].
    AcceptLoss {
        /// The node whose copies are promoted.
        node: NodeId,
        /// Placement.
        #[serde(default)]
        placement: u16,
        /// The shards.
        shards: Vec<u32>,
    },
    /// Deletes the copies that leave without waiting any longer for filters that have been silent for a while (F6): their
    /// Envoys are gone for good. Answer: [`AdminAnswer::Done`].
    ForceDeletion,
}

/// A node to be taken in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewNode {
    /// Id, `[a-z0-9-]`, at most 40 characters. An id of a removed node may be used again.
    pub id: NodeId,
    /// Base URL, for the shell; checked by it before the command gets here.
    pub url: String,
    /// Share of the data relative to other nodes, above 0.
    #[serde(default = "one")]
    pub weight: f64,
    /// Replicas of a shard are kept in different zones where zones are given.
    #[serde(default)]
    pub zone: Option<String>,
    /// CA bundle (PEM file) for an https URL.
    #[serde(default)]
    pub tls_ca: Option<String>,
}

fn one() -> f64 {
    1.0
}

/// What takes a node's place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum Replacement {
    /// The same id with an empty disk. Only for a node that is out of reach: its copies are rebuilt from the others.
    Disk {
        /// New base URL; none: the old one.
        #[serde(default)]
        url: Option<String>,
    },
    /// A node of another id: it gets exactly the shards of the old one, which is removed at the end.
    Node(NewNode),
}

/// Pace of copying, for jobs and repairs together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Throttle {
    /// Documents a second that are written to copies being filled. None: no limit.
    pub documents_per_second: Option<u64>,
    /// Bytes a second. None: no limit.
    pub bytes_per_second: Option<u64>,
    /// Moves of jobs under way at once, over the whole cluster, at least 1. None: as many as there are nodes.
    pub moves: Option<u32>,
}

/// Answer to an [`AdminCommand`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub enum AdminAnswer {
    /// The job as it is now.
    Job(JobView),
    /// Done, at once.
    Done {
        /// One sentence.
        message: String,
    },
    /// What would be done.
    Plan(PlanView),
    /// What was given up with [`AdminCommand::AcceptLoss`].
    LossAccepted(LossView),
    /// The node is on its way out by force; what went with it, and the job that makes its other copies anew.
    Removed {
        /// What is lost.
        loss: LossView,
        /// The job.
        job: JobView,
    },
    /// Not done, and nothing was changed.
    Refused(Refusal),
}

/// Why a command is not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// Short stable name: `node_unknown`, `node_exists`, `node_removed`, `node_holds_shards`, `node_alive`,
    /// `last_copies`, `too_few_nodes`, `bad_value`, `job_unknown`, `job_over`, `job_exists`, `job_state`,
    /// `no_such_copy`, `nothing_to_plan`.
    pub code: &'static str,
    /// A sentence for people: what stands against it and what to do.
    pub message: String,
    /// The shards that are the reason, by placement.
    pub shards: Vec<ShardName>,
}

/// A shard of a placement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShardName {
    /// Placement.
    pub placement: u16,
    /// Shard.
    pub shard: u32,
}

/// What is lost with copies that were given up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LossView {
    /// Shards of which an older copy is in sync from now on.
    pub promoted: Vec<ShardName>,
    /// Shards of which no copy was left: they are empty from now on.
    pub emptied: Vec<ShardName>,
    /// Task uids of writes that are lost or may be, as far as they are still known; older ones may be lost too.
    pub tickets: Vec<u32>,
}

/// Why copies are moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum JobKind {
    /// A node comes.
    Join {
        /// The node.
        node: NodeId,
    },
    /// A node is emptied.
    Drain {
        /// The node.
        node: NodeId,
    },
    /// A node out of reach is emptied and forgotten.
    Remove {
        /// The node.
        node: NodeId,
    },
    /// A node takes the place of another one.
    Replace {
        /// The node that goes.
        node: NodeId,
        /// The node that comes; the same id for another disk.
        with: NodeId,
    },
    /// More or fewer copies.
    ReplicationFactor {
        /// Copies of each shard before.
        from: u8,
        /// Copies of each shard afterwards.
        to: u8,
    },
    /// Loads are evened out.
    Rebalance,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// Whether it will not change any more.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled)
    }
}

/// A job as operators see it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JobView {
    /// Id.
    pub id: JobId,
    /// Why.
    #[serde(flatten)]
    pub kind: JobKind,
    /// How far.
    pub state: JobState,
    /// Why it does not get on right now, where it does not.
    pub waiting: Option<String>,
    /// For whom its copies that leave are kept.
    pub deletions: Option<DeletionWait>,
    /// What is left undone by its cancelation, with the command that does it.
    pub left: Option<String>,
    /// Moves in all.
    pub moves: u64,
    /// Moves made.
    pub moves_done: u64,
    /// Moves that were not needed any more, or were taken back.
    pub moves_skipped: u64,
    /// Why.
    pub skips: Vec<SkipView>,
    /// Moves under way.
    pub running: Vec<MoveView>,
    /// Copying in all, as estimated when the job was planned; none where no node could be asked.
    pub estimate: Option<Amount>,
    /// Documents and bytes copied.
    pub copied: Amount,
    /// Unix milliseconds.
    pub created_ms: u64,
    /// Unix milliseconds of the first move.
    pub started_ms: Option<u64>,
    /// Unix milliseconds.
    pub finished_ms: Option<u64>,
    /// Seconds to go at the pace so far; none while there is none.
    pub seconds_left: Option<u64>,
}

/// An amount of copying.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Documents.
    pub documents: u64,
    /// Bytes of documents, as JSON.
    pub bytes: u64,
}

/// A move: a copy of a shard comes, goes, or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MoveView {
    /// Shard.
    #[serde(flatten)]
    pub shard: ShardName,
    /// Node that gets a copy; none where a copy only goes.
    pub to: Option<NodeId>,
    /// Node whose copy goes; none where a copy only comes.
    pub leaving: Option<NodeId>,
    /// Estimated copying; none where unknown.
    pub estimate: Option<Amount>,
}

/// Whether a node takes part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    /// Holds its share.
    #[default]
    Active,
    /// Known, and not yet given shards but by its join.
    Joining,
    /// Being emptied, or empty: it gets no shards.
    Draining,
    /// Forgotten; kept so that its number of incarnations goes on if the id comes back.
    Removed,
}

/// A member as operators see it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MemberView {
    /// Id.
    pub id: NodeId,
    /// Base URL.
    pub url: String,
    /// Weight.
    pub weight: f64,
    /// Zone.
    pub zone: Option<String>,
    /// CA bundle.
    pub tls_ca: Option<String>,
    /// Envoy cluster for reads.
    pub cluster: String,
    /// Envoy cluster for writes.
    pub write_cluster: String,
    /// Whether it takes part.
    pub state: MemberState,
    /// Whether the configuration lists it.
    pub configured: bool,
    /// Copies in sync.
    pub in_sync: u64,
    /// Copies being filled.
    pub dual: u64,
    /// Copies that missed a write.
    pub stale: u64,
    /// Copies that leave.
    pub retiring: u64,
}
