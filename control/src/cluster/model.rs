//! The data that the HTTP layers and the runtime exchange.

use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;
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

/// An index as a node has it.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundIndex {
    /// Uid.
    pub uid: String,
    /// Primary key, once the node knows it.
    pub primary_key: Option<String>,
    /// Answer to `GET /indexes/{uid}/settings`; null where nobody will look at it.
    pub settings: serde_json::Value,
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

impl KeyRecord {
    /// Name of the stored value that holds all of them.
    pub(crate) const STORED: &str = "keys";
}
