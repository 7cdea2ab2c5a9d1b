//! Tasks as the tasks API shows them.

use miroir_core::error::ErrorBody;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A task as the tasks API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskRow {
    /// Global uid.
    pub uid: u32,
    /// `indexUid`.
    pub index: Option<String>,
    /// All index uids that it concerns, for the `indexUids` filter (a swap has several).
    pub indexes: Vec<String>,
    /// `type`, as the engine writes it.
    pub task_type: String,
    /// Status.
    pub status: TaskStatus,
    /// Uid of the task that canceled it.
    pub canceled_by: Option<u32>,
    /// `details`, as the engine writes them.
    pub details: Option<Value>,
    /// Error.
    pub error: Option<ErrorBody>,
    /// `customMetadata`.
    pub custom_metadata: Option<String>,
    /// Unix milliseconds.
    pub enqueued_ms: u64,
    /// Unix milliseconds.
    pub started_ms: Option<u64>,
    /// Unix milliseconds.
    pub finished_ms: Option<u64>,
}

impl TaskRow {
    /// A new task that the caller carries out itself; uid and time are filled in when it is recorded.
    #[must_use]
    pub fn by_control(task_type: &str, details: Value) -> Self {
        Self {
            uid: 0,
            index: None,
            indexes: Vec::new(),
            task_type: task_type.to_owned(),
            status: TaskStatus::Enqueued,
            canceled_by: None,
            details: Some(details),
            error: None,
            custom_metadata: None,
            enqueued_ms: 0,
            started_ms: None,
            finished_ms: None,
        }
    }
}

/// Status of a task, of a node's or a global one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskStatus {
    /// Waits.
    Enqueued,
    /// Runs.
    Processing,
    /// Ended well.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// Canceled.
    Canceled,
}

impl TaskStatus {
    /// Whether it will not change any more.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Canceled)
    }
}
