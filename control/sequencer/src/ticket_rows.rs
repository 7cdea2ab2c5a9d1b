//! The durable form of tickets and their parts.

use miroir_core::error::ErrorBody;
use miroir_core::wire::{Edit, PartOutcome, ShardCount, WriteKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::{IndexOperation, IndexPlan, NodeId};
use crate::rows::{IndexRow, NodeRow, TaskRow};

/// A ticket that is not over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TicketRow {
    /// Task uid.
    pub uid: u32,
    /// Term in which it was granted (part of its metadata towards nodes).
    pub term: u64,
    /// What it does.
    pub work: TicketWork,
    /// How far it is.
    pub stage: Stage,
    /// Parts by node.
    pub parts: Vec<PartRow>,
    /// Its task as last persisted; none before it is decided (or for work without a task of its own).
    pub task: Option<TaskRow>,
    /// What the filter was or will be told about its commit: status and body; none while undecided.
    pub reply: Option<(u16, Value)>,
    /// The cancelation that was last aimed at it.
    #[serde(default)]
    pub canceler: Option<u32>,
    /// Live VMs must have adopted this epoch before the task is shown as succeeded (F7).
    pub epoch: u64,
    /// After this time no filter asks about it any more (Unix milliseconds).
    pub forget_ms: u64,
    /// How a write ends that no node has to do anything for; such a ticket has no parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foregone: Option<Foregone>,
}

/// The end of a write that no node has to do anything for, known when it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Foregone {
    /// There is nothing in it.
    Nothing,
    /// The engine takes it, and reports this.
    Fault(ErrorBody),
}

/// What a ticket does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TicketWork {
    /// Writes documents.
    Write(Box<WriteWork>),
    /// Changes indexes.
    Index(Box<IndexWork>),
    /// Cancels tasks.
    Cancel(CancelWork),
    /// Writes documents of one copy of a shard to another one, or deletes those of a copy: control's own.
    Page(PageWork),
    /// Tells this node what it lacks of its indexes.
    Reconcile(NodeId),
}

/// A write of documents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteWork {
    /// The filter's attempt.
    pub attempt: String,
    /// Index uid.
    pub index: String,
    /// Incarnation of the index.
    pub incarnation: u64,
    /// Kind.
    pub kind: WriteKind,
    /// Primary key named to the nodes.
    pub primary_key: Option<String>,
    /// That key was reserved by this ticket.
    pub reserves_key: bool,
    /// Touched shards with their counts; all of them (with count 0) for whole-index kinds.
    pub shards: Vec<ShardCount>,
    /// Documents or ids received.
    pub received: u64,
    /// Body bytes.
    pub bytes: u64,
    /// `customMetadata` of the client.
    pub custom_metadata: Option<String>,
    /// Filter text of a deletion by filter or an edit.
    pub original_filter: Option<String>,
    /// What an edit does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit: Option<Box<Edit>>,
    /// Key of the idempotency row.
    pub idempotency: Option<String>,
}

/// A page of a sync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageWork {
    /// Placement.
    pub placement: u16,
    /// Shard.
    pub shard: u32,
    /// Index uid.
    pub index: String,
    /// Incarnation of the index.
    pub incarnation: u64,
    /// Node that is written.
    pub node: NodeId,
    /// Documents in it; 0 for a deletion.
    pub documents: u64,
}

/// An operation on indexes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexWork {
    /// The operation.
    pub operation: IndexOperation,
    /// What it means; none while queued.
    pub plan: Option<IndexPlan>,
    /// The indexes as they were before.
    pub before: Vec<IndexRow>,
    /// The operation has no task of its own (the creation before a first write).
    pub silent: bool,
    /// Indexes have got their other names.
    #[serde(default)]
    pub moved: bool,
}

/// A cancelation of tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelWork {
    /// Tasks to cancel.
    pub targets: Vec<u32>,
    /// `originalFilter` of the details.
    pub original_filter: String,
    /// How many of them have been canceled by it.
    pub canceled: u64,
}

/// How far a ticket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Waits for its locks (persisted for index operations only).
    Queued,
    /// Granted, or its index operation is being sent; the locks are held.
    Granted,
    /// Decided, locks released; parts are still running on nodes.
    Decided,
    /// All over; remembered for a filter that repeats its commit.
    Over,
}

/// A part of a ticket: one node's share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRow {
    /// Node.
    pub node: NodeId,
    /// Incarnation of the node at grant time.
    pub incarnation: u64,
    /// Key generation that it was granted.
    pub generation: u64,
    /// The node's tasks below this uid cannot be this part.
    pub floor: u32,
    /// Shards sent there. For an index operation: the position of the step, alone.
    pub shards: Vec<u32>,
    /// What the filter said.
    pub said: Option<PartOutcome>,
    /// Node task uid, from the filter's word or the node's task list.
    pub task: Option<u32>,
    /// How it ended.
    pub end: Option<PartEnd>,
}

impl PartRow {
    /// Whether it was sent to the disk that the node has now.
    pub(crate) fn is_on(&self, node: &NodeRow) -> bool {
        self.node == node.id && self.incarnation == node.incarnation
    }

    pub(crate) fn is_open_on(&self, node: &NodeRow) -> bool {
        self.end.is_none() && self.is_on(node)
    }
}

/// How a part ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "end")]
pub enum PartEnd {
    /// Certainly not enqueued, now or ever (refused, not sent, or fenced and not found).
    Absent,
    /// The node's task ended well. Counts as the node reported them.
    Succeeded {
        /// `indexedDocuments`.
        indexed: Option<u64>,
        /// `deletedDocuments`.
        deleted: Option<u64>,
    },
    /// The node's task failed, or succeeded without its full count (F11).
    Failed {
        /// The node's error.
        error: Option<ErrorBody>,
    },
    /// The node's task was canceled.
    Canceled,
    /// The node came back without it (F9).
    Lost,
}
