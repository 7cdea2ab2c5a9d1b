//! Tasks as clients see them: what they say of themselves counts documents, never replicas.

use miroir_core::wire::WriteKind;
use serde_json::{Map, Value, json};

use crate::Sequencer;
use crate::api::*;
use crate::state::N;
use crate::time::rfc3339;

impl Sequencer {
    /// The task of a write that has been decided.
    pub(crate) fn new_write_task(&self, uid: u32) -> Option<TaskRow> {
        let ticket = self.tickets.get(&uid)?;
        let TicketWork::Write(work) = &ticket.row.work else { return None };
        let task_type = match work.kind {
            WriteKind::Replace | WriteKind::Update => "documentAdditionOrUpdate",
            WriteKind::Edit => "documentEdition",
            _ => "documentDeletion",
        };
        Some(TaskRow {
            uid,
            index: Some(work.index.clone()),
            indexes: vec![work.index.clone()],
            task_type: task_type.to_owned(),
            status: TaskStatus::Enqueued,
            canceled_by: None,
            details: Some(write_details(work, TaskStatus::Enqueued, None)),
            error: None,
            custom_metadata: work.custom_metadata.clone(),
            enqueued_ms: self.now,
            started_ms: None,
            finished_ms: None,
        })
    }

    /// Documents that a deletion removed, counted once each. Parts overlap as their shards have replicas: a set of
    /// parts that names every shard once is summed, or all of them divided by the number of copies where that is the
    /// same everywhere; else the mean number of copies is the best that the nodes' counts allow.
    pub(crate) fn deleted_once(parts: &[(N, &[u32], u64)], shards: usize) -> u64 {
        let total: u64 = parts.iter().map(|(_, _, deleted)| deleted).sum();
        let named: usize = parts.iter().map(|(_, shards, _)| shards.len()).sum();
        if shards == 0 || named == 0 {
            return total;
        }
        if named.is_multiple_of(shards) && total.is_multiple_of((named / shards) as u64) {
            return total / (named / shards) as u64;
        }
        let mut seen: Vec<u32> = Vec::new();
        let mut sum = 0;
        for (_, part, deleted) in parts {
            if part.iter().all(|shard| !seen.contains(shard)) {
                seen.extend(*part);
                sum += deleted;
            }
        }
        if seen.len() == shards { sum } else { (total * shards as u64 + named as u64 / 2) / named as u64 }
    }
}

/// `details` of a write; `counted`: what it did (documents indexed, deleted or edited), none while it runs.
pub(crate) fn write_details(work: &WriteWork, status: TaskStatus, counted: Option<u64>) -> Value {
    match work.kind {
        WriteKind::Replace | WriteKind::Update => {
            json!({ "receivedDocuments": work.received, "indexedDocuments": counted })
        }
        WriteKind::DeleteOne | WriteKind::DeleteBatch => {
            json!({ "providedIds": work.received, "deletedDocuments": counted, "originalFilter": null })
        }
        WriteKind::DeleteByFilter => {
            json!({ "providedIds": 0, "deletedDocuments": counted, "originalFilter": work.original_filter })
        }
        WriteKind::DeleteAll => json!({ "deletedDocuments": counted }),
        // The engine reports the documents that it looked at; under both names, unless the task failed.
        WriteKind::Edit => json!({
            "editedDocuments": counted,
            "deletedDocuments": counted.filter(|_| status == TaskStatus::Succeeded),
            "originalFilter": work.original_filter,
            "context": work.edit.as_ref().and_then(|edit| edit.context.as_ref()),
            "function": work.edit.as_ref().map(|edit| &edit.function),
        }),
    }
}

/// The summarised view that a write is answered with.
#[must_use]
pub fn summary(task: &TaskRow) -> Value {
    let mut view = Map::new();
    view.insert("taskUid".to_owned(), json!(task.uid));
    view.insert("indexUid".to_owned(), json!(task.index));
    view.insert("status".to_owned(), json!("enqueued"));
    view.insert("type".to_owned(), json!(task.task_type));
    view.insert("enqueuedAt".to_owned(), json!(rfc3339(task.enqueued_ms)));
    if let Some(metadata) = &task.custom_metadata {
        view.insert("customMetadata".to_owned(), json!(metadata));
    }
    Value::Object(view)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deletions_are_counted_once_whatever_the_replicas() {
        let uniform: [(N, &[u32], u64); 3] = [(0, &[0, 1], 5), (1, &[1, 2], 7), (2, &[0, 2], 8)];
        assert_eq!(Sequencer::deleted_once(&uniform, 3), 10);
        let cover: [(N, &[u32], u64); 3] = [(0, &[0, 1], 5), (1, &[2], 4), (2, &[0], 2)];
        assert_eq!(Sequencer::deleted_once(&cover, 3), 9);
        assert_eq!(Sequencer::deleted_once(&[], 3), 0);
    }
}
