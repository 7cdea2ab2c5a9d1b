//! `/tasks` and `/batches`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{get, post};
use miroir_core::error::ErrorBody;
use miroir_sequencer::{TaskRow, TaskStatus};
use serde_json::{Value, json};

use super::filter::{self, TaskFilter, TaskPage};
use super::view;
use crate::api::reply;
use crate::auth::{self, Caller};
use crate::cluster::Cluster;
use crate::store::Change;

/// Longest wait of a deletion for tasks that are being carried out; those that are not over by then stay.
const LAST_BATCH: Duration = Duration::from_secs(5);

/// The task routes.
pub fn router(cluster: Arc<Cluster>) -> Router {
    Router::new()
        .route("/tasks", get(list_tasks).delete(delete))
        .route("/tasks/cancel", post(cancel))
        .route("/tasks/{uid}", get(show_task))
        .route("/batches", get(list_batches))
        .route("/batches/{uid}", get(show_batch))
        .with_state(cluster)
}

fn permit(cluster: &Cluster, headers: &HeaderMap, action: &str) -> Result<Caller, ErrorBody> {
    auth::permit(cluster, headers, action, None)
}

/// Reads a page on a thread that may block. A key for some indexes sees tasks of those alone.
async fn read(cluster: &Cluster, page: TaskPage, caller: Caller) -> Result<(Vec<TaskRow>, u64), ErrorBody> {
    let reader = cluster.store().reader().clone();
    let work = move || {
        let single = page.filter.indexes.is_some() || !caller.sees_all();
        let sees = |task: &TaskRow| task.indexes.iter().all(|index| caller.sees(index));
        reader.page(&page, &sees, single)
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(ErrorBody::new("internal", error.to_string())),
        Err(error) => Err(ErrorBody::new("internal", error.to_string())),
    }
}

async fn list(
    cluster: &Cluster,
    raw: Option<String>,
    headers: &HeaderMap,
    batches: bool,
) -> Result<Response, ErrorBody> {
    let caller = permit(cluster, headers, "tasks.get")?;
    let mut page = filter::page(&raw.unwrap_or_default())?;
    if batches && page.filter.statuses.is_none() {
        // What has not begun is in no batch.
        page.filter.statuses = Some(filter::STATUSES.into_iter().skip(1).collect());
    }
    let limit = page.limit;
    // One more tells where the next page begins.
    page.limit = limit.saturating_add(1);
    let (mut tasks, total) = read(cluster, page, caller).await?;
    let next = if tasks.len() > limit as usize { tasks.pop().map(|task| task.uid) } else { None };
    let show = if batches { view::batch } else { view::task };
    let from = tasks.first().map(|task| task.uid);
    let results: Vec<Value> = tasks.iter().map(show).collect();
    Ok(reply::json(200, &json!({ "results": results, "total": total, "limit": limit, "from": from, "next": next })))
}

async fn list_tasks(State(cluster): State<Arc<Cluster>>, RawQuery(raw): RawQuery, headers: HeaderMap) -> Response {
    list(&cluster, raw, &headers, false).await.unwrap_or_else(|error| reply::error(&error))
}

async fn list_batches(State(cluster): State<Arc<Cluster>>, RawQuery(raw): RawQuery, headers: HeaderMap) -> Response {
    list(&cluster, raw, &headers, true).await.unwrap_or_else(|error| reply::error(&error))
}

/// What differs between one task and one batch.
struct One {
    noun: &'static str,
    bad_uid: &'static str,
    missing: &'static str,
}

const TASK: One = One { noun: "Task", bad_uid: "invalid_task_uids", missing: "task_not_found" };
const BATCH: One = One { noun: "Batch", bad_uid: "invalid_batch_uids", missing: "batch_not_found" };

async fn one(cluster: &Cluster, text: &str, headers: &HeaderMap, kind: &One) -> Result<TaskRow, ErrorBody> {
    let caller = permit(cluster, headers, "tasks.get")?;
    let uid: u32 = text.parse().map_err(|_| {
        let noun = kind.noun;
        let message = format!("{noun} uid `{text}` is invalid. It should only contain numeric characters.");
        ErrorBody::new(kind.bad_uid, message)
    })?;
    let filter = TaskFilter { uids: Some(vec![uid]), ..TaskFilter::default() };
    let page = TaskPage { filter, limit: 1, from: None, reverse: false };
    let (mut found, _) = read(cluster, page, caller).await?;
    found.pop().ok_or_else(|| ErrorBody::new(kind.missing, format!("{} `{uid}` not found.", kind.noun)))
}

async fn show_task(State(cluster): State<Arc<Cluster>>, Path(uid): Path<String>, headers: HeaderMap) -> Response {
    match one(&cluster, &uid, &headers, &TASK).await {
        Ok(task) => reply::json(200, &view::task(&task)),
        Err(error) => reply::error(&error),
    }
}

async fn show_batch(State(cluster): State<Arc<Cluster>>, Path(uid): Path<String>, headers: HeaderMap) -> Response {
    match one(&cluster, &uid, &headers, &BATCH).await {
        Ok(task) if task.status != TaskStatus::Enqueued => reply::json(200, &view::batch(&task)),
        Ok(task) => reply::error(&ErrorBody::new("batch_not_found", format!("Batch `{}` not found.", task.uid))),
        Err(error) => reply::error(&error),
    }
}

/// All tasks that a selection means.
async fn selected(
    cluster: &Cluster,
    raw: &str,
    headers: &HeaderMap,
    action: &str,
    verb: &str,
) -> Result<Vec<TaskRow>, ErrorBody> {
    let caller = permit(cluster, headers, action)?;
    let filter = filter::selection(raw, verb)?;
    Ok(read(cluster, TaskPage { filter, limit: u32::MAX, from: None, reverse: true }, caller).await?.0)
}

async fn cancel(State(cluster): State<Arc<Cluster>>, RawQuery(raw): RawQuery, headers: HeaderMap) -> Response {
    let raw = raw.unwrap_or_default();
    let result = async {
        let tasks = selected(&cluster, &raw, &headers, "tasks.cancel", "cancel").await?;
        // Tasks that are over count as matched too.
        cluster.cancel(tasks.iter().map(|task| task.uid).collect(), format!("?{raw}")).await
    };
    match result.await {
        Ok(task) => reply::json(200, &view::summary(&task)),
        Err(error) => reply::error(&error),
    }
}

/// Which of these tasks are over now.
async fn over_now(cluster: &Cluster, tasks: &[TaskRow]) -> Result<Vec<u32>, ErrorBody> {
    let uids = Some(tasks.iter().map(|task| task.uid).collect());
    let filter = TaskFilter { uids, ..TaskFilter::default() };
    let page = TaskPage { filter, limit: u32::MAX, from: None, reverse: true };
    let (tasks, _) = read(cluster, page, Caller::default()).await?;
    Ok(tasks.iter().filter(|task| task.status.is_over()).map(|task| task.uid).collect())
}

async fn delete(State(cluster): State<Arc<Cluster>>, RawQuery(raw): RawQuery, headers: HeaderMap) -> Response {
    let raw = raw.unwrap_or_default();
    let result = async {
        let tasks = selected(&cluster, &raw, &headers, "tasks.delete", "delete").await?;
        // The engine carries a deletion out once it is done with the batch that it is at. Here every task that is open
        // is being carried out.
        let open: Vec<u32> = tasks.iter().filter(|task| !task.status.is_over()).map(|task| task.uid).collect();
        cluster.wait_for_tasks(&open, LAST_BATCH).await;
        let over = over_now(&cluster, &tasks).await?;
        let deleted = over.len();
        let failed = |error: crate::store::StoreError| ErrorBody::new("internal", error.to_string());
        cluster.store().write(vec![Change::DeleteTasks(over)]).await.map_err(failed)?;
        let details = json!({
            "matchedTasks": tasks.len(),
            "deletedTasks": deleted,
            "originalFilter": format!("?{raw}"),
        });
        // The sequencer fills in the uid and the times.
        let (status, started_ms, finished_ms) = (TaskStatus::Succeeded, Some(0), Some(0));
        let task = TaskRow { status, started_ms, finished_ms, ..TaskRow::by_control("taskDeletion", details) };
        cluster.record(task, false).await
    };
    match result.await {
        Ok(task) => reply::json(200, &view::summary(&task)),
        Err(error) => reply::error(&error),
    }
}
