//! What the sequencer asks of nodes, what they answer, and what it tells of them and of its tickets.

use miroir_core::error::ErrorBody;
use serde::{Deserialize, Serialize};

use crate::api::{NodeId, NodeStep};
use crate::rows::TaskStatus;

/// An operation on one node. The shell uses the master key for [`NodeAction::Fence`] alone (and for reads, if it
/// wants); everything that mutates goes with the key given here, so that a fenced leader can do nothing (F15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeAction {
    /// Reads tasks: first those with uid ≥ `from`, ascending, at most `limit` (`GET /tasks?reverse=true&from=…`), then
    /// the state of `open` as far as not among them (`GET /tasks?uids=…`). Answer: [`NodeAnswer::Tasks`].
    ReadTasks {
        /// Lowest uid wanted. It is the last one already known, if any: WITNESS compares it (F9).
        from: u32,
        /// Most tasks wanted above.
        limit: u32,
        /// Uids known to be unfinished, ascending, at most [`crate::OPEN_LIMIT`].
        open: Vec<u32>,
    },
    /// Health, version, the indexes with their creation times, and whose write keys there are. Answer: [`NodeAnswer::State`].
    Inspect,
    /// Replaces the write keys (FENCE): create the data key (`documents.add`, `documents.delete`, `documents.get`) and
    /// the admin key (`indexes.*`, `settings.*`, `tasks.*`, `documents.*`) of this generation, then delete every
    /// write key of this cluster of a *lower* generation (never a higher one: this call itself may be late), then list
    /// the keys to be sure. Success only if all of it was confirmed and no higher generation exists.
    /// The uid of a key follows from (cluster, node, generation, which), so a repeated creation finds its own.
    /// The names of the keys tell the term. Keys of a higher generation or term: nothing is done, and the answer says
    /// which they are. Answer: [`NodeAnswer::Fenced`] or [`NodeAnswer::Outdated`]. Never asked for without a master key.
    Fence {
        /// The new generation.
        generation: u64,
        /// The leader's term.
        term: u64,
    },
    /// A request of an index operation. Answer: [`NodeAnswer::Enqueued`] or [`NodeAnswer::Refused`].
    Request {
        /// Admin key; none without master key.
        key: Option<String>,
        /// The request.
        step: NodeStep,
    },
    /// `POST /tasks/cancel?uids=…`. Answer: [`NodeAnswer::Enqueued`] or [`NodeAnswer::Refused`].
    Cancel {
        /// Admin key; none without master key.
        key: Option<String>,
        /// Node task uids.
        uids: Vec<u32>,
    },
    /// Deletes finished tasks with uid ≥ `from` and < `below` (`DELETE /tasks?uids=…`). Answer:
    /// [`NodeAnswer::Enqueued`] or [`NodeAnswer::Refused`].
    DeleteTasks {
        /// Admin key; none without master key.
        key: Option<String>,
        /// Lowest uid.
        from: u32,
        /// All below this one.
        below: u32,
    },
    /// The keys of a shard's documents, in one request and so from one snapshot (`POST documents/fetch` with the tag's
    /// filter, the key's field alone, no limit). Answer: [`NodeAnswer::Keys`], or [`NodeAnswer::Refused`].
    ListKeys {
        /// Index uid.
        index: String,
        /// Primary key of the index (may be nested, `a.b`).
        primary_key: String,
        /// Shard.
        shard: u32,
    },
    /// The keys of documents that belong to none of a node's copies: those without a tag or with one of no shard of
    /// `held` (no more of these than [`MOST_OUTSIDERS`]), and those of `keys` whose tag is not their key's. Answer:
    /// [`NodeAnswer::Keys`], or [`NodeAnswer::Refused`].
    ListOutsiders {
        /// Index uid.
        index: String,
        /// Primary key of the index.
        primary_key: String,
        /// Shards of which the node has a copy, in whatever state.
        held: Vec<u32>,
        /// Canonical keys of documents that were seen under another shard's tag.
        keys: Vec<String>,
    },
    /// Keys and content hashes of a shard's documents. The keys are listed from one snapshot, the documents then read
    /// some hundreds at a time: what is written meanwhile may be seen as it was before, as it is after, or not at all.
    /// The hash is canonical: object keys sorted, numbers to the letter, vectors as F36 has it (exactly where
    /// `regenerate` is false, else by presence and dimensions). A document whose tag is not its key's has [`OUTSIDER`] for
    /// a hash. Answer: [`NodeAnswer::Digests`], or [`NodeAnswer::Refused`].
    Digests {
        /// Index uid.
        index: String,
        /// Primary key of the index.
        primary_key: String,
        /// Shard.
        shard: u32,
        /// Only these keys, whatever tag they lie under (those that the node does not have are left out of the answer);
        /// none: all that have the shard's tag.
        keys: Option<Vec<String>>,
    },
    /// Reads documents by key, but for those whose tag is not their key's, with vectors (explicit null where there are none), and keeps them in the shell under a
    /// page id until [`crate::Effect::DropPage`]. Answer: [`NodeAnswer::Page`], or [`NodeAnswer::Refused`].
    FetchPage {
        /// Index uid.
        index: String,
        /// Primary key of the index.
        primary_key: String,
        /// Canonical keys.
        keys: Vec<String>,
    },
    /// Writes a kept page to this node (`POST /documents`, tags included, `customMetadata` as given).
    /// Answer: [`NodeAnswer::Enqueued`] or [`NodeAnswer::Refused`].
    PutPage {
        /// Data key; none without master key.
        key: Option<String>,
        /// Index uid.
        index: String,
        /// Primary key, named to the node.
        primary_key: String,
        /// The page.
        page: PageId,
        /// Documents of the page that are not to be written.
        without: Vec<String>,
        /// `customMetadata`, by which the task is found again.
        metadata: String,
    },
    /// `POST /documents/delete-batch`. Answer: [`NodeAnswer::Enqueued`] or [`NodeAnswer::Refused`].
    DeleteKeys {
        /// Data key; none without master key.
        key: Option<String>,
        /// Index uid.
        index: String,
        /// Canonical keys.
        keys: Vec<String>,
        /// `customMetadata`.
        metadata: String,
    },
    /// `POST /documents/delete` with the tag's filter. Look at the lease immediately before it is sent (F15).
    /// Answer: [`NodeAnswer::Enqueued`] or [`NodeAnswer::Refused`].
    DeleteShard {
        /// Data key; none without master key.
        key: Option<String>,
        /// Index uid.
        index: String,
        /// Shard.
        shard: u32,
        /// `customMetadata`.
        metadata: String,
    },
    /// `POST /documents/delete` with a filter that no document matches: what comes behind it is done in another batch
    /// than the additions before it. Answer: [`NodeAnswer::Enqueued`] or [`NodeAnswer::Refused`].
    DivideBatch {
        /// Data key; none without master key.
        key: Option<String>,
        /// Index uid.
        index: String,
        /// `customMetadata`.
        metadata: String,
    },
    /// Gives some documents of an index that have no valid tag theirs: an update by key that makes no document, and the
    /// wait for its end. Answer: [`NodeAnswer::Tagged`], or [`NodeAnswer::Refused`], also with the error of a task that
    /// failed.
    TagPage {
        /// Data key; none without master key.
        key: Option<String>,
        /// Index uid.
        index: String,
        /// Primary key of the index.
        primary_key: String,
        /// Most documents.
        limit: u32,
        /// `customMetadata`.
        metadata: String,
    },
    /// How many documents of a shard the node has (`documents/fetch`, limit 0, `total`). Answer:
    /// [`NodeAnswer::Count`], or [`NodeAnswer::Refused`].
    CountShard {
        /// Index uid.
        index: String,
        /// Shard.
        shard: u32,
    },
}

/// Names a page of documents that the shell keeps. The shell chooses it; never reused within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PageId(pub u64);

/// What a node answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeAnswer {
    /// To [`NodeAction::ReadTasks`].
    Tasks {
        /// Tasks with uid ≥ `from`, ascending without holes as the node lists them.
        tasks: Vec<NodeTask>,
        /// Whether there were more than `limit`.
        more: bool,
        /// Those of `open` that the node still knows.
        open: Vec<NodeTask>,
        /// Size of what the node answered: tasks carry their settings.
        bytes: u64,
    },
    /// To [`NodeAction::Inspect`].
    State {
        /// Engine version.
        version: String,
        /// Index uid and its `createdAt`, verbatim.
        indexes: Vec<(String, String)>,
        /// Nodes and generations that the names of this cluster's write keys on it tell.
        keys: Vec<(NodeId, u64)>,
    },
    /// To [`NodeAction::Fence`]: the new keys.
    Fenced {
        /// For document writes.
        data: String,
        /// For the leader.
        admin: String,
        /// For edits by function.
        edit: String,
    },
    /// To [`NodeAction::Fence`]: the node has keys of a later leader.
    Outdated {
        /// Highest generation of them.
        generation: u64,
        /// Highest term of them.
        term: u64,
    },
    /// 202 (or 200) with this task.
    Enqueued {
        /// Node task uid.
        uid: u32,
        /// When it was enqueued, as the node writes it: with the uid it tells the disk from another one.
        enqueued_at: String,
    },
    /// The node's own 4xx or 5xx.
    Refused {
        /// HTTP status.
        status: u16,
        /// Its error, where readable.
        error: Option<ErrorBody>,
    },
    /// To [`NodeAction::ListKeys`]: canonical keys, in any order.
    Keys(Vec<String>),
    /// To [`NodeAction::Digests`]: canonical keys with their hashes, in any order.
    Digests(Vec<(String, u128)>),
    /// To [`NodeAction::FetchPage`].
    Page {
        /// Under which it is kept.
        page: PageId,
        /// Canonical keys of the documents that were found.
        keys: Vec<String>,
        /// Size of their JSON.
        bytes: u64,
    },
    /// To [`NodeAction::CountShard`].
    Count(u64),
    /// To [`NodeAction::TagPage`].
    Tagged {
        /// Documents that were tagged.
        documents: u64,
        /// Those that had no tag either when it was looked.
        left: u64,
    },
}

/// In [`NodeAnswer::Digests`]: what the node has under this key carries another tag than the key's, or none. It is not
/// the document of that key, whatever it says.
pub const OUTSIDER: u128 = u128::MAX;

/// Most outsiders of an index that are listed, and so dropped, at once; the rest comes when these have gone.
pub const MOST_OUTSIDERS: usize = 10_000;

/// Why a node operation has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeFault {
    /// Nothing was sent (connection refused, name not found).
    NotSent,
    /// Sent, but no whole or no sensible answer: it may have happened.
    Unknown,
}

/// A task as a node lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeTask {
    /// Uid on that node.
    pub uid: u32,
    /// `indexUid`.
    pub index: Option<String>,
    /// Status.
    pub status: TaskStatus,
    /// `type`, verbatim.
    pub task_type: String,
    /// `customMetadata`, verbatim.
    pub metadata: Option<String>,
    /// `details.indexedDocuments`.
    pub indexed: Option<u64>,
    /// `details.deletedDocuments`.
    pub deleted: Option<u64>,
    /// `error`.
    pub error: Option<ErrorBody>,
    /// `enqueuedAt`, verbatim (WITNESS compares it).
    pub enqueued_at: String,
    /// `startedAt` in Unix milliseconds.
    pub started_ms: Option<u64>,
    /// `finishedAt` in Unix milliseconds.
    pub finished_ms: Option<u64>,
}

/// A node's state, for `status` pages and metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeStatus {
    /// Id.
    pub id: NodeId,
    /// One word: `ready`, `starting`, `fencing`, `catching_up` (reachable, not read yet), `down`, `rebuild`.
    pub phase: &'static str,
    /// Incarnation.
    pub incarnation: u64,
    /// Key generation.
    pub generation: u64,
    /// Node tasks of open tickets.
    pub open_tasks: usize,
    /// Index operations that it has not taken yet.
    pub journal: usize,
    /// Engine version, once seen.
    pub version: Option<String>,
    /// It is read only where no other copy can be, since most nodes run another version.
    pub last_resort: bool,
    /// Why there is no contact, if that is known.
    pub trouble: Option<String>,
}

/// A ticket that is not over, for `status` pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TicketStatus {
    /// Task uid.
    pub uid: u32,
    /// One word: `queued`, `granted`, `settling`, `decided`, `over` (a part on a node out of reach is not settled).
    pub phase: &'static str,
    /// Whether it keeps others from its shards.
    pub holds_locks: bool,
}
