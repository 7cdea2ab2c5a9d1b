//! Finished tasks as a dump holds them: what the tasks API shows, in the form in which the engine keeps it.

use miroir_sequencer::TaskRow;
use serde_json::{Map, Value, json};

use crate::indexes::moment;
use crate::tasks::view;

/// An empty set of numbers, serialised: which tasks a cancelation or deletion was about is not kept.
const NO_TASKS: [u8; 8] = [0x3a, 0x30, 0, 0, 0, 0, 0, 0];

/// The task as a line of the history; none for a type that no dump holds.
pub(super) fn line(task: &TaskRow) -> Option<Value> {
    let details = task.details.clone().unwrap_or_default();
    let (kind, details) = kind(task, &details)?;
    let mut line = Map::new();
    let mut put = |name: &str, value: Value| line.insert(name.to_owned(), value);
    put("uid", task.uid.into());
    put("batchUid", Value::Null);
    put("indexUid", json!(task.index));
    put("status", view::status(task.status).into());
    put("type", kind);
    let optional = [
        ("canceledBy", json!(task.canceled_by)),
        ("details", details),
        ("error", json!(task.error)),
        ("startedAt", json!(task.started_ms.map(moment))),
        ("finishedAt", json!(task.finished_ms.map(moment))),
        ("customMetadata", json!(task.custom_metadata)),
    ];
    for (name, value) in optional {
        if !value.is_null() {
            put(name, value);
        }
    }
    put("enqueuedAt", moment(task.enqueued_ms).into());
    Some(line.into())
}

/// What was asked for, and what came of it. Of what was asked for only what is still known is told: it is over.
fn kind(task: &TaskRow, details: &Value) -> Option<(Value, Value)> {
    let get = |name: &str| details[name].clone();
    let number = |name: &str| json!(details[name].as_u64().unwrap_or_default());
    Some(match task.task_type.as_str() {
        "documentAdditionOrUpdate" => (
            json!({ "documentImport": {
                "primary_key": null,
                "method": "ReplaceDocuments",
                "documents_count": number("receivedDocuments"),
                "allow_index_creation": true,
            } }),
            json!({ "DocumentAdditionOrUpdate": {
                "received_documents": number("receivedDocuments"),
                "indexed_documents": get("indexedDocuments"),
            } }),
        ),
        "documentDeletion" => deletion(details),
        "documentEdition" => (
            json!({ "documentEdition": {
                "filter": get("originalFilter"),
                "context": get("context"),
                "function": details["function"].as_str().unwrap_or_default(),
            } }),
            json!({ "DocumentEdition": {
                "deleted_documents": get("deletedDocuments"),
                "edited_documents": get("editedDocuments"),
                "original_filter": get("originalFilter"),
                "context": get("context"),
                "function": details["function"].as_str().unwrap_or_default(),
            } }),
        ),
        "settingsUpdate" => (
            json!({ "settings": { "settings": details, "is_deletion": false, "allow_index_creation": true } }),
            json!({ "SettingsUpdate": { "settings": details } }),
        ),
        "indexCreation" => (json!({ "indexCreation": { "primary_key": get("primaryKey") } }), index_info(details)),
        "indexUpdate" => (
            json!({ "indexUpdate": { "primary_key": get("primaryKey"), "uid": get("newIndexUid") } }),
            index_info(details),
        ),
        "indexDeletion" => (json!("indexDeletion"), cleared(details)),
        "indexSwap" => {
            (json!({ "indexSwap": { "swaps": get("swaps") } }), json!({ "IndexSwap": { "swaps": get("swaps") } }))
        }
        "taskCancelation" => (
            json!({ "taskCancelation": { "query": get("originalFilter"), "tasks": NO_TASKS } }),
            json!({ "TaskCancelation": {
                "matched_tasks": number("matchedTasks"),
                "canceled_tasks": get("canceledTasks"),
                "original_filter": get("originalFilter"),
            } }),
        ),
        "taskDeletion" => (
            json!({ "tasksDeletion": { "query": get("originalFilter"), "tasks": NO_TASKS } }),
            json!({ "TaskDeletion": {
                "matched_tasks": number("matchedTasks"),
                "deleted_tasks": get("deletedTasks"),
                "original_filter": get("originalFilter"),
            } }),
        ),
        "dumpCreation" => (
            json!({ "dumpCreation": { "keys": [], "instance_uid": null } }),
            json!({ "Dump": { "dump_uid": get("dumpUid") } }),
        ),
        "indexCompaction" => (
            json!({ "indexCompaction": { "index_uid": task.index } }),
            json!({ "IndexCompaction": {
                "index_uid": task.index,
                "pre_compaction_size": null,
                "post_compaction_size": null,
            } }),
        ),
        _ => return None,
    })
}

fn index_info(details: &Value) -> Value {
    json!({ "IndexInfo": {
        "primary_key": details["primaryKey"],
        "new_index_uid": details["newIndexUid"],
        "old_index_uid": details["oldIndexUid"],
    } })
}

fn cleared(details: &Value) -> Value {
    json!({ "ClearAll": { "deleted_documents": details["deletedDocuments"] } })
}

/// The engine has three ways to delete documents under one name.
fn deletion(details: &Value) -> (Value, Value) {
    let deleted = &details["deletedDocuments"];
    if details.get("providedIds").is_none() {
        return (json!("documentClear"), cleared(details));
    }
    match details["originalFilter"].as_str() {
        Some(filter) => (
            json!({ "documentDeletionByFilter": { "filter": filter } }),
            json!({ "DocumentDeletionByFilter": { "original_filter": filter, "deleted_documents": deleted } }),
        ),
        None => (
            json!({ "documentDeletion": { "documents_ids": [] } }),
            json!({ "DocumentDeletion": {
                "provided_ids": details["providedIds"].as_u64().unwrap_or_default(),
                "deleted_documents": deleted,
            } }),
        ),
    }
}

#[cfg(test)]
mod tests {
    use miroir_sequencer::TaskStatus;

    use super::*;
    use crate::store::tests::task;

    #[test]
    fn every_type_of_the_history_has_a_line_and_unknown_ones_none() {
        let types = [
            "documentAdditionOrUpdate",
            "documentDeletion",
            "documentEdition",
            "settingsUpdate",
            "indexCreation",
            "indexUpdate",
            "indexDeletion",
            "indexSwap",
            "taskCancelation",
            "taskDeletion",
            "dumpCreation",
            "indexCompaction",
        ];
        for name in types {
            let line = line(&task(7, name, &["a"], TaskStatus::Succeeded)).unwrap();
            assert_eq!((&line["uid"], &line["status"]), (&json!(7), &json!("succeeded")), "{name}");
            assert!(line.get("error").is_none() && !line["enqueuedAt"].is_null());
        }
        assert_eq!(line(&task(7, "upgradeDatabase", &[], TaskStatus::Succeeded)), None);
    }

    #[test]
    fn the_three_deletions_are_told_apart() {
        let kind = |details: Value| deletion(&details).0;
        assert_eq!(kind(json!({ "deletedDocuments": 3 })), json!("documentClear"));
        let by_filter = kind(json!({ "providedIds": 0, "deletedDocuments": 3, "originalFilter": "\"a = 1\"" }));
        assert!(by_filter["documentDeletionByFilter"].is_object());
        let by_id = kind(json!({ "providedIds": 2, "deletedDocuments": 2, "originalFilter": null }));
        assert!(by_id["documentDeletion"].is_object());
    }
}
