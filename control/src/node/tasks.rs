//! Reading a node's tasks: one listing of what is new, one of what is known to be unfinished.

use std::time::Duration;

use jiff::Timestamp;
use miroir_core::error::ErrorBody;
use miroir_sequencer::{INDEX_TASKS, NodeAnswer as Answer, NodeFault as Fault, NodeTask, TaskStatus};
use serde::Deserialize;

use super::{Client, read};

#[derive(Deserialize)]
struct Page {
    results: Vec<Listed>,
    next: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    uid: u32,
    index_uid: Option<String>,
    status: TaskStatus,
    #[serde(rename = "type")]
    task_type: String,
    custom_metadata: Option<String>,
    details: Option<Details>,
    error: Option<ErrorBody>,
    enqueued_at: String,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Details {
    indexed_documents: Option<u64>,
    deleted_documents: Option<u64>,
}

impl From<Listed> for NodeTask {
    fn from(listed: Listed) -> Self {
        let details = listed.details.unwrap_or_default();
        let millis = |time: Timestamp| u64::try_from(time.as_millisecond()).unwrap_or_default();
        Self {
            uid: listed.uid,
            index: listed.index_uid,
            status: listed.status,
            task_type: listed.task_type,
            metadata: listed.custom_metadata,
            indexed: details.indexed_documents,
            deleted: details.deleted_documents,
            error: listed.error,
            enqueued_at: listed.enqueued_at,
            started_ms: listed.started_at.map(millis),
            finished_ms: listed.finished_at.map(millis),
        }
    }
}

/// Uids as the engine's lists want them.
pub(super) fn joined(uids: &[u32]) -> String {
    uids.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

impl Client {
    pub(super) async fn read_tasks(
        &self,
        node: &str,
        from: u32,
        limit: u32,
        open: &[u32],
        timeout: Duration,
    ) -> Result<Answer, Fault> {
        let path = format!("/tasks?reverse=true&from={from}&limit={limit}");
        let body = self.get(node, path, timeout).await?;
        let mut bytes = body.len();
        let page: Page = read(&body)?;
        let tasks: Vec<NodeTask> = page.results.into_iter().map(NodeTask::from).collect();
        let rest: Vec<u32> =
            open.iter().copied().filter(|uid| tasks.binary_search_by_key(uid, |task| task.uid).is_err()).collect();
        let open = if rest.is_empty() {
            Vec::new()
        } else {
            let path = format!("/tasks?reverse=true&limit={}&uids={}", rest.len(), joined(&rest));
            let body = self.get(node, path, timeout).await?;
            bytes += body.len();
            let page: Page = read(&body)?;
            page.results.into_iter().map(NodeTask::from).collect()
        };
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        Ok(Answer::Tasks { tasks, more: page.next.is_some(), open, bytes })
    }

    /// Whether tasks that change indexes or their settings have not ended on a node.
    ///
    /// # Errors
    /// When the node gives no sensible answer.
    pub(crate) async fn changes_indexes(&self, node: &str, timeout: Duration) -> Result<bool, Fault> {
        #[derive(Deserialize)]
        struct Count {
            total: u64,
        }
        let path = format!("/tasks?limit=1&statuses=enqueued,processing&types={}", INDEX_TASKS.join(","));
        let count: Count = read(&self.get(node, path, timeout).await?)?;
        Ok(count.total > 0)
    }
}
