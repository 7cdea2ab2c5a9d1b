//! What goes into the sequencer and what comes out of it: [`Event`]s, [`Effect`]s, and the durable [`Record`]s.
//!
//! The shell's duties are few. It carries effects out *in order*: a [`Effect::Persist`] must be durable before any later
//! effect of the same list starts (lists may be group-committed together). It brings back every answer as an event, and
//! wakes the sequencer with [`Event::Tick`] at the time of the latest [`Effect::WakeAt`]. It decides nothing itself;
//! in particular the pace of polling is the sequencer's.
//!
//! Time is `now_ms`: milliseconds since the Unix epoch that never go back within a process (the shell takes the wall
//! clock once and adds a monotonic clock to it).

use miroir_core::error::ErrorBody;
use miroir_core::invariants::Breach;
use miroir_core::shardmap::SearchView;
use miroir_core::wire;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use crate::admin::*;
pub use crate::config::*;
pub use crate::jobs::rows::*;
pub use crate::node_ops::*;
pub use crate::rows::*;
pub use crate::scrub::rows::*;
pub use crate::sync::rows::*;
pub use crate::sync::waits::*;

/// Node id, as in the configuration (`[a-z0-9-]`).
pub type NodeId = String;

/// Names a request that waits for an answer (an HTTP handler of the shell). The shell chooses it; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RequestId(pub u64);

/// Names an operation that the sequencer asked for; comes back with its result. Unique within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OpId(pub u64);

/// A look at a node's indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Tasks of [`crate::INDEX_TASKS`] had not ended there when it began: what they do comes after whatever it found.
    pub changing: bool,
    /// Requests for this node, in order, none if it is as it must be.
    pub steps: Vec<NodeStep>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Time has passed. May come late, early or without need.
    Tick,
    /// A filter (or the bulk entry) asks for a ticket. Authorised by the shell beforehand: an unauthorised begin is
    /// answered by the shell and never gets here. Answered by [`Effect::Begun`].
    Begin {
        /// Who waits.
        request: RequestId,
        /// The message.
        begin: wire::Begin,
        /// Uid of the API key that authorised it: part of the idempotency key (F30). None without master key.
        api_key: Option<String>,
        /// Whether that key may create indexes (`indexes.create`).
        may_create: bool,
    },
    /// Outcome of a dispatch. Answered by [`Effect::Committed`]; may be repeated.
    Commit {
        /// Who waits.
        request: RequestId,
        /// The message.
        commit: wire::Commit,
    },
    /// Nothing was or will be dispatched for this attempt (F5). No answer; the shell says 204.
    Abort(wire::Abort),
    /// Nobody will commit this attempt; find out. No answer; the shell says 204.
    Abandon(wire::Abandon),
    /// Asks for fresh keys. Answered by [`Effect::Renewed`].
    Renew {
        /// Who waits.
        request: RequestId,
        /// The message.
        renew: wire::Renew,
    },
    /// A VM's sign of life. No answer; the shell says [`crate::Sequencer::epoch`].
    Heartbeat(wire::Heartbeat),
    /// An operation on whole indexes, authorised. Answered by [`Effect::Accepted`] once it is durable in the queue.
    IndexOperation {
        /// Who waits.
        request: RequestId,
        /// The operation.
        operation: IndexOperation,
        /// `customMetadata` of the client (the engine ignores it for these tasks; kept for symmetry).
        custom_metadata: Option<String>,
    },
    /// Cancels tasks. Answered by [`Effect::Accepted`].
    Cancel {
        /// Who waits.
        request: RequestId,
        /// The task uids that the client's filter selects, enqueued or processing (the store knows them).
        tasks: Vec<u32>,
        /// The client's query string, `?uids=1,2`: `originalFilter` of the details.
        original_filter: String,
    },
    /// Records a task that the shell carries out itself (task deletion, dump, …): without a uid it gets one in the one
    /// sequence, with one it is what has become of the task. Answered by [`Effect::Accepted`]. `uid` and the times left 0
    /// are filled in.
    Recorded {
        /// Who waits.
        request: RequestId,
        /// The task.
        task: Box<TaskRow>,
        /// It has its uid already.
        known: bool,
    },
    /// What an index operation means on the nodes; answer to [`Effect::Plan`].
    Planned {
        /// The question.
        op: OpId,
        /// The plan, or the error with which the task fails.
        plan: Result<IndexPlan, ErrorBody>,
    },
    /// Read-back of an index; answer to [`Effect::Verify`].
    Verified {
        /// The question.
        op: OpId,
        /// Nodes (of those asked) that do not have what they must have. A node that could not be asked is left out.
        differing: Vec<NodeId>,
    },
    /// A node operation ended; answer to [`Effect::Node`].
    Node {
        /// The operation.
        op: OpId,
        /// How.
        result: Result<NodeAnswer, NodeFault>,
    },
    /// What a node must be told; answer to [`Effect::Reconcile`].
    Reconciled {
        /// The question.
        op: OpId,
        /// What came of it; or why it could not be looked at (then it is asked again later).
        look: Result<Look, String>,
    },
    /// What is about to be lost has been written down and is durable; or why not: then nothing is repaired. Answer to
    /// [`Effect::WriteDown`].
    WrittenDown {
        /// The question.
        op: OpId,
        /// How.
        result: Result<(), String>,
    },
    /// Asks for something of the copies themselves. No answer: [`crate::Sequencer::syncs`] shows what came of it.
    Sync(SyncCommand),
    /// A command of an operator, authorised. Answered by [`Effect::Admin`].
    Admin {
        /// Who waits.
        request: RequestId,
        /// The command.
        command: AdminCommand,
    },
    /// What nodes hold; answer to [`Effect::Measure`].
    Measured {
        /// The question.
        op: OpId,
        /// Nodes that answered, each with its documents by index uid.
        nodes: Vec<(NodeId, Vec<(String, Amount)>)>,
    },
}

/// An operation on whole indexes. Executed by the leader alone, in the order of all tickets (F13).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "operation")]
pub enum IndexOperation {
    /// `POST /indexes`, and the creation that a first write or settings change makes (then without a task of its own).
    Create {
        /// Index uid.
        uid: String,
        /// Primary key, where the client named one.
        primary_key: Option<String>,
    },
    /// `PATCH /indexes/{uid}`: sets the primary key, and gives the index another name.
    Update {
        /// Index uid.
        uid: String,
        /// The new primary key; none leaves it as it is.
        primary_key: Option<String>,
        /// The uid that the client wants it to have; none leaves it as it is.
        #[serde(default)]
        new_uid: Option<String>,
    },
    /// `DELETE /indexes/{uid}`.
    Delete {
        /// Index uid.
        uid: String,
    },
    /// `POST /indexes/{uid}/compact`.
    Compact {
        /// Index uid.
        uid: String,
    },
    /// `POST /swap-indexes`.
    Swap {
        /// All uids distinct.
        swaps: Vec<IndexSwap>,
    },
    /// Any settings route.
    Settings {
        /// Index uid.
        uid: String,
        /// The change in the caller's own form; the sequencer hands it back in [`Effect::Plan`].
        change: Value,
        /// `type: settingsUpdate` details as the engine echoes them.
        details: Value,
        /// Whether a missing index is created (the client's key has `indexes.create` and the route does so).
        may_create: bool,
    },
}

/// Two index uids that are exchanged, or of which the first becomes the second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexSwap {
    /// Both uids.
    pub indexes: (String, String),
    /// The first index gets the second uid, which no index has.
    pub rename: bool,
}

impl IndexOperation {
    /// Exchanges two indexes.
    #[must_use]
    pub fn exchange(left: &str, right: &str) -> Self {
        Self::Swap { swaps: vec![IndexSwap { indexes: (left.to_owned(), right.to_owned()), rename: false }] }
    }

    /// What the operation does to names.
    #[must_use]
    pub fn swaps(&self) -> Vec<IndexSwap> {
        match self {
            Self::Swap { swaps } => swaps.clone(),
            Self::Update { uid, new_uid: Some(new), .. } if new != uid => {
                vec![IndexSwap { indexes: (uid.clone(), new.clone()), rename: true }]
            }
            _ => Vec::new(),
        }
    }
}

/// What an index operation means: data given by the caller when the operation's turn has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IndexPlan {
    /// Requests for every node, in order.
    pub steps: Vec<NodeStep>,
    /// Settings of the index afterwards (opaque to the sequencer, kept in [`IndexRow::settings`]); none: unchanged.
    /// For a creation they are the settings of a new index.
    pub settings: Option<Value>,
    /// The merge's view afterwards; none: unchanged.
    pub view: Option<SearchView>,
    /// Details of the finished task; none: the sequencer's own for this operation.
    pub details: Option<Value>,
}

/// One request to every node within an index operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStep {
    /// `POST`, `PATCH`, `PUT` or `DELETE`.
    pub method: String,
    /// Path with query.
    pub path: String,
    /// JSON body.
    pub body: Option<String>,
    /// `type` of the node task that it makes (`indexCreation`, `settingsUpdate`, …), by which it is found again.
    pub task_type: String,
    /// `indexUid` of that node task; none for a swap.
    pub task_index: Option<String>,
    /// Error codes of the node task that mean "already so" (`index_already_exists`, `index_not_found`).
    #[serde(default)]
    pub tolerate: Vec<String>,
}

/// What the shell must do, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Make these durable, all or none, before anything later in the list is done.
    Persist(Vec<Record>),
    /// Answer to [`Event::Begin`].
    Begun {
        /// Who waits.
        request: RequestId,
        /// The answer.
        answer: wire::BeginAnswer,
    },
    /// Answer to [`Event::Commit`].
    Committed {
        /// Who waits.
        request: RequestId,
        /// The answer.
        answer: wire::CommitAnswer,
    },
    /// Answer to [`Event::Renew`].
    Renewed {
        /// Who waits.
        request: RequestId,
        /// The answer.
        answer: wire::RenewAnswer,
    },
    /// Answer to [`Event::IndexOperation`], [`Event::Cancel`] and [`Event::Recorded`]: the task as enqueued.
    Accepted {
        /// Who waits.
        request: RequestId,
        /// The task.
        task: Box<TaskRow>,
    },
    /// Answer to [`Event::Admin`].
    Admin {
        /// Who waits.
        request: RequestId,
        /// The answer.
        answer: Box<AdminAnswer>,
    },
    /// Asks the caller how much these nodes hold of each index (`GET /stats`: `numberOfDocuments`, and that times
    /// `avgDocumentSize`); answered by [`Event::Measured`] within about five seconds, with those that answered.
    Measure {
        /// Comes back.
        op: OpId,
        /// Where.
        nodes: Vec<NodeId>,
    },
    /// Asks the caller what an operation means on the nodes; answered by [`Event::Planned`]. The lock is held: answer
    /// soon (reading a node is fine, within about a second).
    Plan {
        /// Comes back.
        op: OpId,
        /// The operation.
        operation: IndexOperation,
        /// The index as it is now; none where it does not exist. For a swap the first of each pair is found by
        /// [`crate::Sequencer::index`].
        current: Option<Box<IndexRow>>,
    },
    /// Asks the caller to read an index back from these nodes and compare (settings, primary key, existence);
    /// answered by [`Event::Verified`].
    Verify {
        /// Comes back.
        op: OpId,
        /// What must be there; none: the index must be absent.
        expected: Option<Box<IndexRow>>,
        /// Index uid.
        index: String,
        /// Where.
        nodes: Vec<NodeId>,
    },
    /// Do this on a node; answered by [`Event::Node`].
    Node {
        /// Comes back.
        op: OpId,
        /// Which node.
        node: NodeId,
        /// What.
        action: NodeAction,
        /// Milliseconds after which the answer must be there ([`NodeFault::Unknown`] otherwise).
        timeout_ms: u64,
    },
    /// Asks the caller to look at a node and say what it must be told so that it has exactly these indexes, with their
    /// settings and primary keys (and no others: what is left over from another time is deleted), but first whether
    /// changes of its indexes are in its queue; answered by [`Event::Reconciled`]. For a node with another disk than before, or with drift, or that may have some.
    Reconcile {
        /// Comes back.
        op: OpId,
        /// Which node.
        node: NodeId,
        /// All indexes.
        indexes: Vec<IndexRow>,
    },
    /// Asks the caller to append to the findings file what these nodes have, and to make it durable; answered by
    /// [`Event::WrittenDown`].
    WriteDown {
        /// Comes back.
        op: OpId,
        /// What is about to be lost.
        drifts: Vec<Drift>,
    },
    /// Forget a page ([`NodeAction::FetchPage`]).
    DropPage(PageId),
    /// A task changed in the store ([`Record::Task`] in an earlier `Persist`): for waiters and metrics.
    TaskChanged {
        /// Its uid.
        uid: u32,
        /// Its new status.
        status: TaskStatus,
    },
    /// The map changed: push [`crate::Sequencer::map`] (pushes may be coalesced).
    MapChanged {
        /// Its epoch.
        epoch: u64,
    },
    /// Send [`Event::Tick`] at this time. Replaces the wake-up asked for before.
    WakeAt(u64),
    /// For logs and metrics: something that an operator should know.
    Alert(Alert),
    /// For logs and metrics: an invariant of the protocol does not hold.
    Breach(Breach),
}

/// Something that an operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Short stable name: `copy_stale`, `node_down`, `node_up`, `new_incarnation`, `disk_back`, `wrong_disk`,
    /// `audit_foreign`, `audit_late`, `audit_repeated`, `audit_order`, `audit_lost`, `store_behind`, `last_copy_damaged`, `index_differs`, `shard_down`,
    /// `sync_started`, `sync_restarted`, `sync_done`, `copy_deleted`, `node_rebuilt`, `replica_drift`,
    /// `finding_unwritten`, `node_doubled`, `documents_tagged`.
    pub kind: &'static str,
    /// The node, where one is meant.
    pub node: Option<NodeId>,
    /// One sentence.
    pub text: String,
}
