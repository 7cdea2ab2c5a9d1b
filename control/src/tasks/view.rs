//! Tasks in the engine's JSON. Every task that has begun is its own batch, under its own uid.

use miroir_sequencer::{TaskRow, TaskStatus};
use serde_json::{Map, Value, json};

use crate::cluster::TaskSummary;
use crate::indexes::moment;

/// Time between two moments as ISO 8601, as the engine writes it: `PT0.364S`, `P1DT2S`.
fn duration(millis: u64) -> String {
    const DAY: u64 = 86_400;
    let (days, seconds, rest) = (millis / 1000 / DAY, millis / 1000 % DAY, millis % 1000);
    let mut text = "P".to_owned();
    if days > 0 {
        text.push_str(&format!("{days}D"));
    }
    match (seconds, rest) {
        (0, 0) if days > 0 => {}
        (_, 0) => text.push_str(&format!("T{seconds}S")),
        _ => text.push_str(&format!("T{seconds}.{rest:03}S")),
    }
    text
}

fn took(task: &TaskRow) -> Option<String> {
    Some(duration(task.finished_ms?.saturating_sub(task.started_ms?)))
}

/// State in the engine's word.
#[must_use]
pub fn status(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Enqueued => "enqueued",
        TaskStatus::Processing => "processing",
        TaskStatus::Succeeded => "succeeded",
        TaskStatus::Failed => "failed",
        TaskStatus::Canceled => "canceled",
    }
}

/// The answer to the request that made a task: it says `enqueued`, however quick the task was.
#[must_use]
pub fn summary(task: &TaskRow) -> TaskSummary {
    TaskSummary {
        task_uid: task.uid,
        index_uid: task.index.clone(),
        status: status(TaskStatus::Enqueued).to_owned(),
        task_type: task.task_type.clone(),
        enqueued_at: moment(task.enqueued_ms),
        custom_metadata: task.custom_metadata.clone(),
    }
}

/// The whole task.
#[must_use]
pub fn task(task: &TaskRow) -> Value {
    let begun =
        task.status != TaskStatus::Enqueued && !(task.status == TaskStatus::Canceled && task.started_ms.is_none());
    let mut view = Map::new();
    let mut put = |name: &str, value: Value| view.insert(name.to_owned(), value);
    put("uid", task.uid.into());
    put("batchUid", if begun { task.uid.into() } else { Value::Null });
    put("indexUid", json!(task.index));
    put("status", status(task.status).into());
    put("type", task.task_type.clone().into());
    put("canceledBy", json!(task.canceled_by));
    if let Some(details) = &task.details {
        put("details", details.clone());
    }
    put("error", json!(task.error));
    put("duration", json!(took(task)));
    put("enqueuedAt", moment(task.enqueued_ms).into());
    put("startedAt", json!(task.started_ms.map(moment)));
    put("finishedAt", json!(task.finished_ms.map(moment)));
    if let Some(metadata) = &task.custom_metadata {
        put("customMetadata", metadata.clone().into());
    }
    view.into()
}

/// The task's batch.
#[must_use]
pub fn batch(task: &TaskRow) -> Value {
    let one = |name: &str| json!({ name: 1 });
    let started = task.started_ms.unwrap_or(task.enqueued_ms);
    json!({
        "uid": task.uid,
        "progress": null,
        "details": task.details.clone().unwrap_or_else(|| json!({})),
        "stats": {
            "totalNbTasks": 1,
            "status": one(status(task.status)),
            "types": one(&task.task_type),
            "indexUids": task.index.as_deref().map_or_else(|| json!({}), one),
        },
        "duration": took(task),
        "startedAt": moment(started),
        "finishedAt": task.finished_ms.map(moment),
        "batchStrategy": "every task of a cluster is a batch of its own",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(status: TaskStatus) -> TaskRow {
        TaskRow {
            uid: 7,
            index: Some("films".into()),
            indexes: vec!["films".into()],
            task_type: "documentAdditionOrUpdate".into(),
            status,
            canceled_by: None,
            details: Some(json!({"receivedDocuments": 1, "indexedDocuments": null})),
            error: None,
            custom_metadata: None,
            enqueued_ms: 1_700_000_000_123,
            started_ms: None,
            finished_ms: None,
        }
    }

    #[test]
    fn a_waiting_task_has_no_batch_and_keeps_the_engines_order_of_fields() {
        assert_eq!(
            task(&row(TaskStatus::Enqueued)).to_string(),
            r#"{"uid":7,"batchUid":null,"indexUid":"films","status":"enqueued","type":"documentAdditionOrUpdate","canceledBy":null,"details":{"receivedDocuments":1,"indexedDocuments":null},"error":null,"duration":null,"enqueuedAt":"2023-11-14T22:13:20.123Z","startedAt":null,"finishedAt":null}"#
        );
    }

    #[test]
    fn a_finished_task_has_a_duration_and_a_batch() {
        let mut row = row(TaskStatus::Succeeded);
        row.started_ms = Some(1_700_000_000_200);
        row.finished_ms = Some(1_700_000_000_201);
        row.custom_metadata = Some("mine".into());
        let view = task(&row);
        assert_eq!(view["duration"], "PT0.001S");
        assert_eq!(view["batchUid"], 7);
        assert_eq!(view["customMetadata"], "mine");
        assert_eq!(batch(&row)["stats"]["indexUids"]["films"], 1);
        assert_eq!(summary(&row).status, "enqueued");
    }

    #[test]
    fn durations_are_written_as_the_engine_writes_them() {
        assert_eq!(duration(0), "PT0S");
        assert_eq!(duration(1), "PT0.001S");
        assert_eq!(duration(61_000), "PT61S");
        assert_eq!(duration(86_400_000), "P1D");
        assert_eq!(duration(86_401_500), "P1DT1.500S");
    }
}
