//! The durable rows. Every row but a task is small and kept whole in memory; a store needs one table of
//! (kind, key, JSON) for them ([`Record::slot`], [`Record::value`], [`Snapshot::add`]) and one for tasks.

use miroir_core::shardmap::SearchView;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::admin::{JobId, Throttle};
use crate::api::{NodeId, NodeStep};
use crate::jobs::rows::{JobRow, MoveRow};
pub use crate::node_rows::*;
use crate::scrub::rows::{FindingRow, ScrubRow};
use crate::sync::rows::{RetireRow, SyncRow, VmRow};
pub use crate::task_rows::*;
pub use crate::ticket_rows::*;

/// One change of the store. All are "insert or replace" or "delete if there".
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// Cluster-wide numbers.
    Meta(MetaRow),
    /// A node.
    Node(NodeRow),
    /// A copy of a shard.
    Copy(CopyRow),
    /// An index.
    Index(IndexRow),
    /// The index is gone.
    IndexGone(String),
    /// A ticket.
    Ticket(Box<TicketRow>),
    /// The ticket is over.
    TicketGone(u32),
    /// An entry of a node's journal of index operations.
    Journal(JournalRow),
    /// The entry (node, ticket, step) is done with.
    JournalGone(NodeId, u32, u32),
    /// An idempotency row.
    Idempotency(IdempotencyRow),
    /// The row (by [`IdempotencyRow::scope`]) is gone.
    IdempotencyGone(String),
    /// A copy that is being filled.
    Sync(SyncRow),
    /// The sync (placement, shard, node) is over.
    SyncGone(u16, u32, NodeId),
    /// A copy that is to be deleted.
    Retire(RetireRow),
    /// The retirement (placement, shard, node) is over.
    RetireGone(u16, u32, NodeId),
    /// A VM.
    Vm(VmRow),
    /// The VM has been silent for too long.
    VmGone(String),
    /// The copy (placement, shard, node) is gone.
    CopyGone(u16, u32, NodeId),
    /// A job.
    Job(JobRow),
    /// The job is forgotten.
    JobGone(JobId),
    /// A move of a job.
    Move(MoveRow),
    /// The move (job, place in its order) is over.
    MoveGone(JobId, u32),
    /// A finding of the background comparison.
    Finding(FindingRow),
    /// The finding is forgotten.
    FindingGone(u64),
    /// A task of the tasks API. Never read back by the sequencer, but for those that are part of an open ticket.
    Task(Box<TaskRow>),
}

impl Record {
    /// Kind and key of the row, for a store that keeps all kinds in one table. [`Record::Task`] has kind `task`; a
    /// store keeps it in a table of its own, with columns for the filters of the tasks API.
    #[must_use]
    pub fn slot(&self) -> (&'static str, String) {
        match self {
            Self::Meta(_) => ("meta", String::new()),
            Self::Node(row) => ("node", row.id.clone()),
            Self::Copy(row) => ("copy", format!("{}/{}/{}", row.placement, row.shard, row.node)),
            Self::Index(row) => ("index", row.uid.clone()),
            Self::IndexGone(uid) => ("index", uid.clone()),
            Self::Ticket(row) => ("ticket", row.uid.to_string()),
            Self::TicketGone(uid) => ("ticket", uid.to_string()),
            Self::Journal(row) => ("journal", format!("{}/{}/{}", row.node, row.ticket, row.step)),
            Self::JournalGone(node, ticket, step) => ("journal", format!("{node}/{ticket}/{step}")),
            Self::Idempotency(row) => ("idempotency", row.scope.clone()),
            Self::IdempotencyGone(scope) => ("idempotency", scope.clone()),
            Self::CopyGone(placement, shard, node) => ("copy", format!("{placement}/{shard}/{node}")),
            Self::Sync(row) => ("sync", format!("{}/{}/{}", row.placement, row.shard, row.to)),
            Self::SyncGone(placement, shard, node) => ("sync", format!("{placement}/{shard}/{node}")),
            Self::Retire(row) => ("retire", format!("{}/{}/{}", row.placement, row.shard, row.node)),
            Self::RetireGone(placement, shard, node) => ("retire", format!("{placement}/{shard}/{node}")),
            Self::Vm(row) => ("vm", row.vm.clone()),
            Self::VmGone(vm) => ("vm", vm.clone()),
            Self::Job(row) => ("job", row.id.0.to_string()),
            Self::JobGone(id) => ("job", id.0.to_string()),
            Self::Move(row) => ("move", format!("{}/{}", row.job.0, row.at)),
            Self::MoveGone(job, at) => ("move", format!("{}/{at}", job.0)),
            Self::Finding(row) => ("finding", row.id.to_string()),
            Self::FindingGone(id) => ("finding", id.to_string()),
            Self::Task(row) => ("task", row.uid.to_string()),
        }
    }

    /// The row as JSON text; none: delete it.
    #[must_use]
    pub fn value(&self) -> Option<String> {
        let text = match self {
            Self::Meta(row) => serde_json::to_string(row),
            Self::Node(row) => serde_json::to_string(row),
            Self::Copy(row) => serde_json::to_string(row),
            Self::Index(row) => serde_json::to_string(row),
            Self::Ticket(row) => serde_json::to_string(row),
            Self::Journal(row) => serde_json::to_string(row),
            Self::Idempotency(row) => serde_json::to_string(row),
            Self::Sync(row) => serde_json::to_string(row),
            Self::Retire(row) => serde_json::to_string(row),
            Self::Vm(row) => serde_json::to_string(row),
            Self::Job(row) => serde_json::to_string(row),
            Self::Move(row) => serde_json::to_string(row),
            Self::Finding(row) => serde_json::to_string(row),
            Self::Task(row) => serde_json::to_string(row),
            Self::IndexGone(_)
            | Self::TicketGone(_)
            | Self::JournalGone(..)
            | Self::IdempotencyGone(_)
            | Self::CopyGone(..)
            | Self::SyncGone(..)
            | Self::RetireGone(..)
            | Self::VmGone(_)
            | Self::JobGone(_)
            | Self::MoveGone(..)
            | Self::FindingGone(_) => return None,
        };
        text.ok()
    }
}

/// All rows but finished tasks, as read from the store at start. Empty for a new cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Cluster-wide numbers; none for a new cluster.
    pub meta: Option<MetaRow>,
    /// Nodes.
    pub nodes: Vec<NodeRow>,
    /// Copies.
    pub copies: Vec<CopyRow>,
    /// Indexes.
    pub indexes: Vec<IndexRow>,
    /// Tickets that are not over.
    pub tickets: Vec<TicketRow>,
    /// Journals of index operations.
    pub journal: Vec<JournalRow>,
    /// Idempotency rows.
    pub idempotency: Vec<IdempotencyRow>,
    /// Copies that are being filled.
    pub syncs: Vec<SyncRow>,
    /// Copies that are to be deleted.
    pub retires: Vec<RetireRow>,
    /// VMs.
    pub vms: Vec<VmRow>,
    /// Jobs.
    pub jobs: Vec<JobRow>,
    /// Moves that are not over.
    pub moves: Vec<MoveRow>,
    /// Findings of the background comparison.
    pub findings: Vec<FindingRow>,
}

impl Snapshot {
    /// Takes one row of a (kind, key, JSON) table; rows may come in any order.
    ///
    /// # Errors
    /// A row that is not JSON of its kind; the store is damaged or of a newer version.
    pub fn add(&mut self, kind: &str, json: &str) -> Result<(), serde_json::Error> {
        match kind {
            "meta" => self.meta = Some(serde_json::from_str(json)?),
            "node" => self.nodes.push(serde_json::from_str(json)?),
            "copy" => self.copies.push(serde_json::from_str(json)?),
            "index" => self.indexes.push(serde_json::from_str(json)?),
            "ticket" => self.tickets.push(serde_json::from_str(json)?),
            "journal" => self.journal.push(serde_json::from_str(json)?),
            "idempotency" => self.idempotency.push(serde_json::from_str(json)?),
            "sync" => self.syncs.push(serde_json::from_str(json)?),
            "retire" => self.retires.push(serde_json::from_str(json)?),
            "vm" => self.vms.push(serde_json::from_str(json)?),
            "job" => self.jobs.push(serde_json::from_str(json)?),
            "move" => self.moves.push(serde_json::from_str(json)?),
            "finding" => self.findings.push(serde_json::from_str(json)?),
            _ => {}
        }
        Ok(())
    }
}

/// Cluster-wide numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetaRow {
    /// Grows with every start of a leader.
    pub term: u64,
    /// Next task uid.
    pub next_uid: u32,
    /// Epoch of the map.
    pub epoch: u64,
    /// Copies of each shard as operators have set them; none: as configured.
    #[serde(default)]
    pub replication_factor: Option<u8>,
    /// Number of the newest job.
    #[serde(default)]
    pub last_job: u64,
    /// Pace of copying.
    #[serde(default)]
    pub throttle: Throttle,
    /// How far the background comparison is.
    #[serde(default)]
    pub scrub: ScrubRow,
    /// Documents may be without their shard's tag: the first node had them when the cluster began.
    #[serde(default)]
    pub untagged: bool,
}

/// A copy of a shard on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyRow {
    /// Placement.
    pub placement: u16,
    /// Shard.
    pub shard: u32,
    /// Node.
    pub node: NodeId,
    /// Place in the list of owners (readers prefer lower ones).
    pub rank: u16,
    /// Incarnation of the node to which `state` refers. An in-sync copy of an older incarnation is away: it is the
    /// last good one, on a disk that is not there.
    pub incarnation: u64,
    /// State.
    pub state: CopyState,
    /// Epoch since which it has been in sync without a break: epochs grow whoever leads, and whatever the clocks say.
    #[serde(default)]
    pub since: u64,
}

/// State of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyState {
    /// Has every acknowledged write (its node may still have some in its queue).
    InSync,
    /// Missed a write: neither read nor written until it is rebuilt.
    Stale,
    /// Being filled: written, not read, does not count for acceptance.
    Dual,
    /// Leaving: written, not read by newer maps, does not count.
    Retiring,
}

/// An index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexRow {
    /// Uid.
    pub uid: String,
    /// Task uid of the ticket that made it so: grows when the uid is created again or swapped.
    pub incarnation: u64,
    /// Position of its placement.
    pub placement: u16,
    /// Primary key.
    pub primary_key: Option<String>,
    /// The key is only reserved by a first write that has not succeeded yet (F31).
    pub provisional: bool,
    /// Queries wait while a swap is under way (F27).
    #[serde(default)]
    pub swapping: bool,
    /// The caller's settings.
    pub settings: Value,
    /// What merging needs.
    pub view: SearchView,
    /// Creation, Unix milliseconds.
    pub created_ms: u64,
    /// Last accepted change, Unix milliseconds.
    pub updated_ms: u64,
}

/// An index operation's step that a node has still to take, with the durable note of F13.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalRow {
    /// Node.
    pub node: NodeId,
    /// Ticket.
    pub ticket: u32,
    /// Position of the step in the ticket's plan.
    pub step: u32,
    /// Its place in the journal: tickets on different indexes are planned in another order than they came in.
    pub order: u64,
    /// The request.
    pub request: NodeStep,
    /// How far it is.
    pub state: JournalState,
}

/// How far a journal entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum JournalState {
    /// Not sent.
    Waiting,
    /// Sent, or about to be: before it is sent again the node is fenced and its tasks from `floor` on are searched.
    Sent {
        /// First node task uid that it could have.
        floor: u32,
    },
}

/// An idempotency row (F30).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyRow {
    /// Index, route, API key uid and the client's key, joined.
    pub scope: String,
    /// Digest of the request.
    pub digest: String,
    /// The ticket.
    pub ticket: u32,
    /// The answer, once decided: status and body; none while in flight.
    pub reply: Option<(u16, Value)>,
    /// End of life, Unix milliseconds.
    pub until_ms: u64,
}
