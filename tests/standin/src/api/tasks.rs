//! Task routes.

use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use serde_json::{Value, json};

use super::enqueue;
use crate::answer::{Answer, Refusal, ok, refuse};
use crate::auth::{Right, check};
use crate::clock;
use crate::node::Shared;
use crate::shape::{self, Field, Is};
use crate::task::{Status, Task, Work};

const FILTERS: &[Field] = &[
    ("uids", Is::Text, "invalid_task_uids"),
    ("batchUids", Is::Text, "invalid_batch_uids"),
    ("canceledBy", Is::Text, "invalid_task_canceled_by"),
    ("types", Is::Text, "invalid_task_types"),
    ("statuses", Is::Text, "invalid_task_statuses"),
    ("indexUids", Is::Text, "invalid_index_uid"),
    ("afterEnqueuedAt", Is::Text, "invalid_task_after_enqueued_at"),
    ("beforeEnqueuedAt", Is::Text, "invalid_task_before_enqueued_at"),
    ("afterStartedAt", Is::Text, "invalid_task_after_started_at"),
    ("beforeStartedAt", Is::Text, "invalid_task_before_started_at"),
    ("afterFinishedAt", Is::Text, "invalid_task_after_finished_at"),
    ("beforeFinishedAt", Is::Text, "invalid_task_before_finished_at"),
];

const PAGE: [Field; 3] = [
    ("limit", Is::Count, "invalid_task_limit"),
    ("from", Is::Count, "invalid_task_from"),
    ("reverse", Is::Flag, "invalid_task_reverse"),
];

const STATUSES: &[Status] =
    &[Status::Enqueued, Status::Processing, Status::Succeeded, Status::Failed, Status::Canceled];

const TYPES: &[&str] = &[
    "documentAdditionOrUpdate",
    "documentEdition",
    "documentDeletion",
    "settingsUpdate",
    "indexCreation",
    "indexDeletion",
    "indexUpdate",
    "indexSwap",
    "taskCancelation",
    "taskDeletion",
    "dumpCreation",
    "snapshotCreation",
    "export",
    "upgradeDatabase",
    "indexCompaction",
    "networkTopologyChange",
    "dsrUpdate",
    "dsrClear",
];

/// A condition on tasks.
type Test = Box<dyn Fn(&Task) -> bool + Send>;

fn choices(
    name: &str,
    what: &str,
    plural: &str,
    known: &[&str],
    text: &str,
    code: &str,
) -> Result<Vec<String>, Refusal> {
    let mut chosen = Vec::new();
    for item in text.split(',').map(str::trim) {
        let Some(known) = known.iter().find(|known| known.eq_ignore_ascii_case(item)) else {
            let list: Vec<String> = known.iter().map(|known| format!("`{known}`")).collect();
            return Err(refuse(
                code,
                format!(
                    "Invalid value in parameter `{name}`: `{item}` is not a valid task {what}. Available {plural} are {}.",
                    list.join(", ")
                ),
            ));
        };
        chosen.push((*known).to_owned());
    }
    Ok(chosen)
}

fn numbers(name: &str, text: &str, code: &str) -> Result<Vec<u32>, Refusal> {
    let number = |item: &str| {
        item.trim().parse().map_err(|_| {
            refuse(code, format!("Invalid value in parameter `{name}`: could not parse `{item}` as a positive integer"))
        })
    };
    text.split(',').map(number).collect()
}

/// The conditions of a query string.
fn tests(fields: &serde_json::Map<String, Value>) -> Result<Vec<Test>, Refusal> {
    let mut tests: Vec<Test> = Vec::new();
    for (name, _, code) in FILTERS {
        let Some(text) = fields.get(*name).and_then(Value::as_str).filter(|text| *text != "*") else { continue };
        tests.push(match *name {
            "types" => {
                let chosen = choices(name, "type", "types", TYPES, text, code)?;
                Box::new(move |task| chosen.iter().any(|kind| kind == task.work.kind()))
            }
            "statuses" => {
                let names: Vec<&str> = STATUSES.iter().map(|status| status.name()).collect();
                let chosen = choices(name, "status", "statuses", &names, text, code)?;
                Box::new(move |task| chosen.iter().any(|status| status == task.status.name()))
            }
            "indexUids" => {
                let chosen: Vec<String> = text.split(',').map(|uid| uid.trim().to_owned()).collect();
                Box::new(move |task| chosen.iter().any(|uid| about(task, uid)))
            }
            "uids" => {
                let chosen = numbers(name, text, code)?;
                Box::new(move |task| chosen.contains(&task.uid))
            }
            "batchUids" => {
                let chosen = numbers(name, text, code)?;
                Box::new(move |task| task.batch.is_some_and(|batch| chosen.contains(&batch)))
            }
            "canceledBy" => {
                let chosen = numbers(name, text, code)?;
                Box::new(move |task| task.canceled_by.is_some_and(|by| chosen.contains(&by)))
            }
            _ => {
                let Some(bound) = clock::parse(text) else {
                    return Err(refuse(
                        code,
                        format!("Invalid value in parameter `{name}`: `{text}` is an invalid date-time. It should follow the YYYY-MM-DD or RFC 3339 date-time format."),
                    ));
                };
                let after = name.starts_with("after");
                let moment: fn(&Task) -> Option<jiff::Timestamp> = match *name {
                    "afterEnqueuedAt" | "beforeEnqueuedAt" => |task| Some(task.enqueued_at),
                    "afterStartedAt" | "beforeStartedAt" => |task| task.started_at,
                    _ => |task| task.finished_at,
                };
                Box::new(move |task| moment(task).is_some_and(|at| if after { at > bound } else { at < bound }))
            }
        });
    }
    Ok(tests)
}

fn about(task: &Task, uid: &str) -> bool {
    match &task.work {
        Work::Swap { pairs } => pairs.iter().any(|(left, right, _)| left == uid || right == uid),
        _ => task.index.as_deref() == Some(uid),
    }
}

fn visible(right: &Right, task: &Task) -> bool {
    !right.limited() || task.index.as_ref().is_some_and(|index| right.covers(index))
}

/// `GET /tasks`
pub(super) async fn list(State(node): State<Shared>, headers: HeaderMap, RawQuery(query): RawQuery) -> Answer {
    let right = check(&node, &headers, "tasks.get", None)?;
    let mut known: Vec<Field> = PAGE.iter().chain(FILTERS).copied().collect();
    // The engine names these two the other way round here.
    known.swap(PAGE.len(), PAGE.len() + 1);
    let fields = shape::query(query.as_deref(), &known)?;
    let tests = tests(&fields)?;
    let limit = fields.get("limit").and_then(Value::as_u64).unwrap_or(20);
    let from = fields.get("from").and_then(Value::as_u64);
    let reverse = fields.get("reverse") == Some(&Value::Bool(true));
    let state = node.state();
    let mut found: Vec<&Task> =
        state.tasks.values().filter(|task| visible(&right, task) && tests.iter().all(|test| test(task))).collect();
    let total = found.len();
    if !reverse {
        found.reverse();
    }
    if let Some(from) = from {
        found.retain(|task| if reverse { u64::from(task.uid) >= from } else { u64::from(task.uid) <= from });
    }
    let take = usize::try_from(limit).unwrap_or(usize::MAX);
    let next = found.get(take).map(|task| task.uid);
    found.truncate(take);
    let results: Vec<Value> = found.iter().map(|task| task.view()).collect();
    let from = found.first().map(|task| task.uid);
    ok(json!({"results": results, "total": total, "limit": limit, "from": from, "next": next}))
}

/// `GET /tasks/{uid}`
pub(super) async fn one(State(node): State<Shared>, Path(uid): Path<String>, headers: HeaderMap) -> Answer {
    let right = check(&node, &headers, "tasks.get", None)?;
    let number: u32 = uid.parse().map_err(|_| {
        refuse("invalid_task_uids", format!("Task uid `{uid}` is invalid. It should only contain numeric characters."))
    })?;
    let state = node.state();
    let found = state.tasks.get(&number).filter(|task| visible(&right, task));
    ok(found.ok_or_else(|| refuse("task_not_found", format!("Task `{uid}` not found.")))?.view())
}

/// `POST /tasks/cancel`
pub(super) async fn cancel(State(node): State<Shared>, headers: HeaderMap, RawQuery(query): RawQuery) -> Answer {
    let right = check(&node, &headers, "tasks.cancel", None)?;
    let (query, tasks) = select(&node, &right, query, "cancel")?;
    enqueue(&node, 200, None, Work::Cancel { query, tasks }, None)
}

/// `DELETE /tasks`
pub(super) async fn delete(State(node): State<Shared>, headers: HeaderMap, RawQuery(query): RawQuery) -> Answer {
    let right = check(&node, &headers, "tasks.delete", None)?;
    let (query, tasks) = select(&node, &right, query, "delete")?;
    enqueue(&node, 200, None, Work::Forget { query, tasks }, None)
}

fn select(node: &Shared, right: &Right, query: Option<String>, verb: &str) -> Result<(String, Vec<u32>), Refusal> {
    let fields = shape::query(query.as_deref(), FILTERS)?;
    if fields.is_empty() {
        return Err(refuse(
            "missing_task_filters",
            format!(
                "Query parameters to filter the tasks to {verb} are missing. Available query parameters are: `uids`, `indexUids`, `statuses`, `types`, `canceledBy`, `beforeEnqueuedAt`, `afterEnqueuedAt`, `beforeStartedAt`, `afterStartedAt`, `beforeFinishedAt`, `afterFinishedAt`."
            ),
        ));
    }
    let tests = tests(&fields)?;
    let state = node.state();
    let found = state.tasks.values().filter(|task| visible(right, task) && tests.iter().all(|test| test(task)));
    Ok((format!("?{}", query.unwrap_or_default()), found.map(|task| task.uid).collect()))
}
