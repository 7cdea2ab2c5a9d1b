//! What filter and control say to each other about writes, and the filter's heartbeat. JSON over HTTP/1.1 or 2 to
//! control's internal listener, which clients cannot reach through Envoy (the filter answers 404 below `/_miroir/`
//! except what [`crate::route`] names). A commit or abort proves its right by the attempt id, which only the filter
//! that made it and control know.
//!
//! Rules by number (F1 …) are those of `docs/protocol.md`.

use serde::{Deserialize, Serialize};

/// Version of these messages; control refuses another with 400.
pub const WIRE_VERSION: u32 = 1;

/// `POST` path of [`Begin`] → [`BeginAnswer`].
pub const BEGIN_PATH: &str = "/internal/v1/begin";
/// `POST` path of [`Authorise`] → 204, or the engine's error with its status.
pub const AUTHORISE_PATH: &str = "/internal/v1/authorise";
/// `POST` path of [`Commit`] → [`CommitAnswer`].
pub const COMMIT_PATH: &str = "/internal/v1/commit";
/// `POST` path of [`Abort`] → 204.
pub const ABORT_PATH: &str = "/internal/v1/abort";
/// `POST` path of [`Abandon`] → 204.
pub const ABANDON_PATH: &str = "/internal/v1/abandon";
/// `POST` path of [`Renew`] → [`RenewAnswer`].
pub const RENEW_PATH: &str = "/internal/v1/renew";
/// `POST` path of [`Heartbeat`] → [`HeartbeatAnswer`].
pub const HEARTBEAT_PATH: &str = "/internal/v1/heartbeat";
/// Prefix of the bulk entry: the client's request, path and all behind this prefix, streamed untouched by Envoy.
pub const BULK_PREFIX: &str = "/internal/v1/bulk";

/// Name of the query parameter by which a ticket travels to the nodes and comes back in their tasks.
pub const TICKET_PARAMETER: &str = "customMetadata";

/// What a write does, in the words of the tasks it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteKind {
    /// `POST /documents`: whole documents.
    Replace,
    /// `PUT /documents`: fields merged into what is there.
    Update,
    /// `DELETE /documents/{id}`.
    DeleteOne,
    /// `POST /documents/delete-batch`.
    DeleteBatch,
    /// `POST /documents/delete`: touches all shards.
    DeleteByFilter,
    /// `DELETE /documents`: touches all shards.
    DeleteAll,
    /// `POST /documents/edit`: touches all shards.
    Edit,
}

impl WriteKind {
    /// Whether it names no documents, and so concerns all shards.
    #[must_use]
    pub fn is_whole_index(self) -> bool {
        matches!(self, Self::DeleteByFilter | Self::DeleteAll | Self::Edit)
    }
}

/// What an edit does to each document, as the client wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// The function.
    pub function: String,
    /// What the function is given beside the document.
    pub context: Option<serde_json::Value>,
}

/// Most keys in a [`Begin`].
pub const MAX_BEGIN_KEYS: usize = 10_000;
/// Most bytes of keys in a [`Begin`].
pub const MAX_BEGIN_KEY_BYTES: usize = 1 << 18;

/// One shard touched by a write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardCount {
    /// Shard number.
    pub shard: u32,
    /// Distinct document keys of this write in the shard (what the engine reports as `indexedDocuments`).
    pub keys: u32,
}

/// Asks for a ticket. Control answers when the ticket is granted (at most 10 s later), or at once with something else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// [`WIRE_VERSION`].
    pub version: u32,
    /// 128 random bits in hex, made by the filter: names this try, and is the right to commit or abort it (F5).
    pub attempt: String,
    /// The sender's VM, as in its heartbeats.
    pub vm: String,
    /// Epoch of the map with which the request began (of the reads' concern only: owners come with the grant, F17).
    pub epoch: u64,
    /// Index uid.
    pub index: String,
    /// Incarnation of the index in the filter's map; none where that map does not name the index.
    pub incarnation: Option<u64>,
    /// What the write does.
    pub kind: WriteKind,
    /// The client's `Authorization` header, verbatim.
    pub authorization: Option<String>,
    /// Primary key by which the filter split: of the map, of `?primaryKey=`, or inferred.
    pub primary_key: Option<String>,
    /// Where that primary key comes from.
    pub key_source: KeySource,
    /// Touched shards, ascending. Empty for whole-index kinds (all shards) and for payloads without documents.
    pub shards: Vec<ShardCount>,
    /// Canonical keys that the write names, once each, for copies that are being filled (F20) and for the repair of
    /// those that miss it; none where there are more than [`MAX_BEGIN_KEYS`] or they are too long in all, and for
    /// kinds that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<String>>,
    /// Documents received, duplicates counted (task detail `receivedDocuments`); ids for deletions (`providedIds`).
    pub received: u64,
    /// Body length in bytes, decoded.
    pub bytes: u64,
    /// 128-bit digest in hex of method, path, query, content type and body (idempotency, F30).
    pub digest: String,
    /// `Idempotency-Key` of the client.
    pub idempotency_key: Option<String>,
    /// `customMetadata` of the client, shown on the global task.
    pub custom_metadata: Option<String>,
    /// `skipCreation=true`.
    pub skip_creation: bool,
    /// JSON text of the client's filter, for the details of [`WriteKind::DeleteByFilter`] and [`WriteKind::Edit`].
    pub original_filter: Option<String>,
    /// What [`WriteKind::Edit`] does, for its details.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit: Option<Box<Edit>>,
    /// A fault in the payload that the engine reports as a failed task: nothing will be dispatched, control records
    /// a failed task (after it has authorised the request and created the index as the engine would).
    pub fault: Option<crate::error::ErrorBody>,
}

/// Asks whether a client may write at all, before it is told what is wrong with its payload: the engine looks at the key
/// first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorise {
    /// Index uid.
    pub index: String,
    /// What the write would do.
    pub kind: WriteKind,
    /// The client's `Authorization` header, verbatim.
    pub authorization: Option<String>,
}

/// Where the primary key of a [`Begin`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeySource {
    /// The filter's map.
    Map,
    /// The client's `?primaryKey=`.
    Parameter,
    /// Inferred from the first document.
    Inferred,
    /// The write needs none (deletions by filter, an empty payload) or none could be found (then `fault` says so).
    None,
}

/// Control's answer to [`Begin`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub enum BeginAnswer {
    /// Dispatch now.
    Grant(Grant),
    /// Answer the client with this; nothing is to be dispatched. Errors, idempotent repeats, faulty payloads.
    Reply(ControlReply),
    /// Split again with this primary key and begin again (the filter's map was behind). At most twice.
    Resplit {
        /// The index's primary key.
        primary_key: String,
        /// The index's incarnation.
        incarnation: u64,
    },
}

/// An answer that control made for the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlReply {
    /// HTTP status.
    pub status: u16,
    /// Extra headers (`retry-after`, `x-miroir-degraded`).
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// JSON body; none for an empty one.
    pub body: Option<serde_json::Value>,
}

/// A granted ticket: the right to write to these nodes, and the duty to commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Global task uid of the client's task.
    pub ticket: u32,
    /// Value of `customMetadata` towards nodes: `cluster.term.seq`.
    pub metadata: String,
    /// Primary key to name explicitly towards nodes; none for kinds without documents.
    pub primary_key: Option<String>,
    /// Milliseconds from receipt within which everything must be dispatched and answered; dispatch only while less
    /// than a quarter has passed.
    pub deadline_ms: u64,
    /// Milliseconds after dispatch at which the filter commits with the rest unknown, once every shard has
    /// `min_accept` acceptances of in-sync replicas (F35).
    pub soft_ms: u64,
    /// In-sync replicas of each touched shard that must accept.
    pub min_accept: u32,
    /// Where to write, one part a node.
    pub parts: Vec<GrantPart>,
}

/// One node's share of a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantPart {
    /// Node id.
    pub node: String,
    /// Envoy cluster for writes to it.
    pub cluster: String,
    /// Bearer key for this generation; none where nodes run without a master key.
    pub key: Option<String>,
    /// Shards to send there: the documents of these and no others.
    pub shards: Vec<PartShard>,
}

/// A shard within a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartShard {
    /// Shard number.
    pub shard: u32,
    /// Counts towards `min_accept`: the copy is in sync (a dual or retiring copy is written, but does not count).
    pub counts: bool,
}

/// Reports what became of every part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The ticket.
    pub ticket: u32,
    /// The attempt that began it.
    pub attempt: String,
    /// One for each part of the grant.
    pub parts: Vec<CommitPart>,
}

/// What became of one part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitPart {
    /// Node id.
    pub node: String,
    /// Outcome (F18).
    pub outcome: PartOutcome,
}

/// Outcome of one part (F18).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum PartOutcome {
    /// The node enqueued it under this task uid.
    Accepted {
        /// The node's task uid.
        uid: u32,
    },
    /// The node's own 4xx or 5xx.
    Refused {
        /// HTTP status.
        status: u16,
        /// The node's error, where it could be read.
        error: Option<crate::error::ErrorBody>,
    },
    /// Nothing left Envoy.
    NotSent,
    /// Anything else: may or may not be enqueued.
    Unknown,
}

/// Control's answer to [`Commit`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub enum CommitAnswer {
    /// Decided: answer the client with this.
    Reply(ControlReply),
    /// Send these parts once more, under the same ticket with these keys, then commit again with all parts.
    Resend(Grant),
}

/// Gives an attempt up before anything was dispatched (F5). Idempotent; also for attempts not seen yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abort {
    /// The attempt.
    pub attempt: String,
}

/// Gives an attempt up after the dispatch, when no answers can be awaited (the VM or stream dies): control finds out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abandon {
    /// The attempt.
    pub attempt: String,
    /// What is known so far.
    pub parts: Vec<CommitPart>,
}

/// Asks for fresh keys after a node answered 403 (its key was fenced while this ticket waited). Once per ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renew {
    /// The ticket.
    pub ticket: u32,
    /// The attempt that began it.
    pub attempt: String,
    /// Nodes that answered 403.
    pub nodes: Vec<String>,
}

/// Control's answer to [`Renew`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub enum RenewAnswer {
    /// Parts to send again, with their new keys.
    Grant(Grant),
    /// The ticket is over; answer with this.
    Reply(ControlReply),
}

/// A VM's sign of life, sent from the timer; reads never wait for it (F6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Random 128-bit id of the VM, in hex.
    pub vm: String,
    /// Epoch that new requests of this VM use.
    pub epoch: u64,
    /// Lowest epoch still used by a request in flight.
    pub oldest_epoch: u64,
    /// Why the newest configuration was not adopted, if it was not.
    pub rejected: Option<String>,
    /// Its last one: no request is left, and it takes none any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
    /// Node id of its Envoy, for operators; two Envoys may have the same one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envoy: Option<String>,
}

/// Control's answer to [`Heartbeat`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatAnswer {
    /// Newest epoch pushed.
    pub epoch: u64,
    /// Key with which a worker may read documents for itself; none where nodes have no master key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader_key: Option<String>,
    /// Ids of the nodes that control has lost contact with. Reads go by their own experience; `GET /health` has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<String>,
}
