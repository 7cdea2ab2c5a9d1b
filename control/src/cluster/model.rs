//! The data that the HTTP layers and the runtime exchange.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use miroir_core::error::ErrorBody;
use miroir_core::shardmap::SearchView;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What must never be shown.
#[derive(Clone, Default)]
pub struct Secrets {
    /// The master key, the same on all nodes. None: nodes are open, and late writes cannot be fenced.
    pub master_key: Option<String>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("master_key", &self.master_key.as_ref().map(|_| "…")).finish()
    }
}

/// A node as control sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeView {
    /// Stable id.
    pub id: String,
    /// Base URL, without a trailing slash.
    pub url: String,
    /// Zone, where given.
    pub zone: Option<String>,
    /// It answered the last poll.
    pub reachable: bool,
    /// It may be read (fenced, known incarnation, known engine version).
    pub readable: bool,
    /// `pkgVersion` of its `/version`, once known.
    pub version: Option<String>,
}

/// An index as control holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexState {
    /// The client's name for it.
    pub uid: String,
    /// Grows when the uid is deleted and created again, or swapped.
    pub incarnation: u64,
    /// Primary key, once known.
    pub primary_key: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When a task last changed it.
    pub updated_at: Timestamp,
    /// The client's settings in the form of `crate::settings`, which alone reads it. `null` for all defaults.
    pub settings: serde_json::Value,
    /// What the filter needs of the settings.
    pub view: SearchView,
}

/// Indexes as they will be once everything submitted so far is done.
#[derive(Clone, Debug, Default)]
pub struct Projection {
    /// By uid.
    pub indexes: BTreeMap<String, Arc<IndexState>>,
}

/// An operation on whole indexes, with all that is needed to carry it out, also by a control that is started later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexOperation {
    /// Indexes to lock: one, or all that a swap names. Need not exist.
    pub indexes: Vec<String>,
    /// `type` of the task: `indexCreation`, `settingsUpdate`, …
    pub task_type: String,
    /// `indexUid` of the task; none for swaps.
    pub index_uid: Option<String>,
    /// `details` of the task. `deletedDocuments: null` of an index deletion is filled in when it is done.
    pub details: serde_json::Value,
    /// What changes here when every node has done its part.
    pub change: IndexChange,
    /// Sent to each node in this order, each when the one before has succeeded there. Every one is answered by the
    /// node with 202 and a task.
    pub requests: Vec<NodeRequest>,
    /// Checked on each node after its last request.
    pub read_back: Option<ReadBack>,
    /// The task fails with this when its turn comes, and nothing is sent (`index_not_found`, …).
    pub fault: Option<ErrorBody>,
}

/// What an operation changes in control's own state, in one transaction with the end of its task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum IndexChange {
    /// Nothing.
    Nothing,
    /// The index comes into being.
    Create {
        /// Its uid.
        uid: String,
        /// Its primary key, if named.
        primary_key: Option<String>,
        /// Initial settings, in the form of `crate::settings`.
        settings: serde_json::Value,
        /// Initial view.
        view: SearchView,
    },
    /// The primary key is set.
    PrimaryKey {
        /// The index.
        uid: String,
        /// The key.
        primary_key: Option<String>,
    },
    /// The index is renamed.
    Rename {
        /// Old uid.
        from: String,
        /// New uid.
        to: String,
    },
    /// The index goes.
    Delete {
        /// The index.
        uid: String,
    },
    /// Pairs change names; with the flag set the first is renamed to the second, which must not exist.
    Swap {
        /// First, second, rename.
        pairs: Vec<(String, String, bool)>,
    },
    /// New settings. Creates the index if it does not exist.
    Settings {
        /// The index.
        uid: String,
        /// All settings after the change, in the form of `crate::settings`.
        settings: serde_json::Value,
        /// The view after the change.
        view: SearchView,
    },
}

/// A request to a node. Authorization is the runtime's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeRequest {
    /// `GET`, `POST`, `PUT`, `PATCH`, `DELETE`.
    pub method: String,
    /// Path with query string.
    pub path: String,
    /// JSON body.
    pub body: Option<serde_json::Value>,
}

/// The whole answer of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAnswer {
    /// HTTP status.
    pub status: u16,
    /// Body.
    pub body: Bytes,
}

/// Why there is no whole answer of a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeFault {
    /// Nothing was sent.
    #[error("cannot connect: {0}")]
    NotSent(String),
    /// Sent, but no whole answer: it may have been carried out.
    #[error("no answer: {0}")]
    Unknown(String),
    /// No node has this id.
    #[error("no such node")]
    NoSuchNode,
}

/// What must hold on a node after an operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReadBack {
    /// Path of a `GET`.
    pub path: String,
    /// Every member of this object must be in the answer with an equal value (other members are not looked at).
    pub expect: serde_json::Value,
}

/// A task as it is answered to the request that made it (the engine's summarized view).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskSummary {
    /// Global task uid.
    pub task_uid: u32,
    /// The index, if it is about one.
    pub index_uid: Option<String>,
    /// `enqueued`.
    pub status: String,
    /// `documentAdditionOrUpdate`, …
    #[serde(rename = "type")]
    pub task_type: String,
    /// When it was enqueued, RFC 3339.
    pub enqueued_at: String,
    /// `customMetadata` of the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_metadata: Option<String>,
}

/// An API key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyRecord {
    /// Uid; with the master key it makes the key's value.
    pub uid: Uuid,
    /// Name.
    pub name: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Actions in the engine's words.
    pub actions: Vec<String>,
    /// Index patterns.
    pub indexes: Vec<String>,
    /// End of validity.
    pub expires_at: Option<Timestamp>,
    /// Creation.
    pub created_at: Timestamp,
    /// Last change of name or description.
    pub updated_at: Timestamp,
}
