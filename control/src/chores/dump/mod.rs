//! Dumps: the whole cluster as one file that one Meilisearch imports (`docs/dumps.md`).

mod archive;
mod history;

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use miroir_core::error::ErrorBody;
use miroir_sequencer::{IndexRow, TaskRow, TaskStatus};
use serde_json::{Value, json};

use archive::{Archive, DocumentLines};

use super::{TYPES, reading};
use crate::cluster::{Cluster, KeyRecord, Runtime, wall_ms};
use crate::indexes::moment;
use crate::tasks::filter::{TaskFilter, TaskPage};
use crate::{network, stats, webhooks};

/// Attempts at a dump while indexes change under it.
const ATTEMPTS: u32 = 5;

/// Makes a dump in a directory: the details of its finished task.
///
/// # Errors
/// The disk's; a shard that cannot be read; indexes that do not stay what they are for long enough.
pub(super) async fn create(cluster: &Cluster, task: &TaskRow, directory: &Path) -> Result<Value, ErrorBody> {
    std::fs::create_dir_all(directory).map_err(|error| failed(&error))?;
    let uid = Timestamp::now().to_zoned(TimeZone::UTC).strftime("%Y%m%d-%H%M%S%3f").to_string();
    for _ in 0..ATTEMPTS {
        // Whatever was acknowledged before is on the nodes then.
        cluster.wait_for_open_tasks(TYPES).await;
        let indexes: Vec<Arc<IndexRow>> = cluster.indexes().values().cloned().collect();
        let written = write(cluster, (task, &uid), &indexes, directory).await;
        // An index that is being swapped or deleted may have been so on some nodes already.
        cluster.wait_for_open_tasks(TYPES).await;
        if indexes.iter().any(|index| is_another(cluster, index)) {
            continue;
        }
        let archive = written?;
        let path = directory.join(format!("{uid}.dump"));
        let packed = tokio::task::spawn_blocking(move || archive.pack(&path)).await;
        packed.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
        return Ok(json!({ "dumpUid": uid }));
    }
    Err(failed(&"indexes were deleted, renamed or swapped again and again while they were read"))
}

fn failed(why: &impl std::fmt::Display) -> ErrorBody {
    ErrorBody::new("dump_process_failed", format!("The creation of the dump failed: {why}."))
}

/// Whether the name stands for another index than it did, or for none.
fn is_another(cluster: &Cluster, index: &IndexRow) -> bool {
    cluster.index(&index.uid).is_none_or(|now| now.incarnation != index.incarnation)
}

async fn write(
    cluster: &Cluster,
    (task, uid): (&TaskRow, &str),
    indexes: &[Arc<IndexRow>],
    directory: &Path,
) -> Result<Archive, ErrorBody> {
    let disk = |error: std::io::Error| failed(&error);
    let archive = Archive::new(directory, &cluster.map().cluster).map_err(disk)?;
    let value = |name: &str| cluster.value(name);
    let version = cluster.nodes().into_iter().filter_map(|node| node.version).min().unwrap_or_default();
    let metadata = json!({ "dumpVersion": "V6", "dbVersion": version, "dumpDate": Timestamp::now().to_string() });
    archive.file("metadata.json", &metadata).map_err(disk)?;
    archive.file("experimental-features.json", &stats::features_view(value(stats::FEATURES).as_ref())).map_err(disk)?;
    archive.file("network.json", &network::stored(value(network::STORED))).map_err(disk)?;
    let webhooks = webhooks::stored(value(webhooks::STORED).as_ref());
    archive.file("webhooks.json", &json!({ "webhooks": webhooks })).map_err(disk)?;
    let keys = cluster.keys();
    archive.lines("keys.jsonl", keys.iter().map(key_line)).map_err(disk)?;
    let mut tasks = finished_before(cluster, task).await?;
    tasks.push(as_done(task, uid));
    archive.lines("tasks/queue.jsonl", tasks.iter().filter_map(history::line)).map_err(disk)?;
    archive.directory("tasks/update_files").map_err(disk)?;
    archive.lines("batches/queue.jsonl", std::iter::empty()).map_err(disk)?;
    archive.directory("indexes").map_err(disk)?;
    for index in indexes {
        let metadata = json!({
            "uid": index.uid,
            "primaryKey": index.primary_key,
            "createdAt": moment(index.created_ms),
            "updatedAt": moment(index.updated_ms),
        });
        let path = format!("indexes/{}", index.uid);
        archive.file(&format!("{path}/metadata.json"), &metadata).map_err(disk)?;
        let settings = index.settings.as_object().cloned().unwrap_or_default();
        archive.file(&format!("{path}/settings.json"), &Value::Object(settings)).map_err(disk)?;
        let mut lines = DocumentLines::new(&archive, &format!("{path}/documents.jsonl")).map_err(disk)?;
        reading::documents(cluster, index, &mut lines).await?;
        lines.end().map_err(disk)?;
    }
    Ok(archive)
}

/// A key as the engine writes it down.
fn key_line(key: &KeyRecord) -> Value {
    json!({
        "uid": key.uid,
        "name": key.name,
        "description": key.description,
        "actions": key.actions,
        "indexes": key.indexes,
        "expires_at": key.expires_at,
        "created_at": key.created_at,
        "updated_at": key.updated_at,
    })
}

/// The dump's own task as whoever reads the dump has to see it: a dump that is half made is none.
fn as_done(task: &TaskRow, uid: &str) -> TaskRow {
    TaskRow {
        status: TaskStatus::Succeeded,
        details: Some(json!({ "dumpUid": uid })),
        finished_ms: Some(wall_ms()),
        ..task.clone()
    }
}

/// The history of tasks up to this one.
async fn finished_before(cluster: &Cluster, task: &TaskRow) -> Result<Vec<TaskRow>, ErrorBody> {
    let page = TaskPage { filter: TaskFilter::default(), limit: u32::MAX, from: None, reverse: true };
    let (reader, last) = (cluster.store().reader().clone(), task.uid);
    let read = move || reader.page(&page, &|task| task.uid < last && task.status.is_over(), false);
    let read = tokio::task::spawn_blocking(read).await.map_err(|error| failed(&error))?;
    Ok(read.map_err(|error| failed(&error))?.0)
}

impl reading::Sink for DocumentLines {
    async fn take(&mut self, documents: Vec<String>) -> Result<(), ErrorBody> {
        tokio::task::block_in_place(|| self.write(&documents)).map_err(|error| failed(&error))
    }
}
