//! The one thread that writes.

use std::sync::mpsc;

use miroir_sequencer::{Record, TaskRow};
use rusqlite::{Connection, Transaction, params};
use tokio::sync::oneshot;

use super::{Change, StoreError};

struct Job {
    changes: Vec<Change>,
    done: oneshot::Sender<Result<(), StoreError>>,
}

/// Most jobs in one transaction.
const GROUP: usize = 1024;

#[derive(Clone, Debug)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
}

impl Writer {
    /// Starts the thread; it ends when the last clone is dropped.
    pub(super) fn start(mut connection: Connection) -> Self {
        let (jobs, queue) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            while let Ok(first) = queue.recv() {
                let mut group = vec![first];
                group.extend(queue.try_iter().take(GROUP));
                let outcome = commit(&mut connection, &group).map_err(|error| error.to_string());
                for job in group {
                    let _ = job.done.send(outcome.clone().map_err(StoreError::Transaction));
                }
            }
        });
        Self { jobs }
    }

    pub(super) async fn write(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let (done, answer) = oneshot::channel();
        self.jobs.send(Job { changes, done }).map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

fn commit(connection: &mut Connection, group: &[Job]) -> Result<(), StoreError> {
    let transaction = connection.transaction()?;
    for change in group.iter().flat_map(|job| &job.changes) {
        apply(&transaction, change)?;
    }
    transaction.commit()?;
    Ok(())
}

fn apply(transaction: &Transaction<'_>, change: &Change) -> Result<(), StoreError> {
    match change {
        Change::Records(records) => records.iter().try_for_each(|record| put(transaction, record)),
        Change::Value(name, Some(json)) => {
            transaction
                .prepare_cached("INSERT OR REPLACE INTO vals (name, json) VALUES (?1, ?2)")?
                .execute(params![name, json])?;
            Ok(())
        }
        Change::Value(name, None) => {
            transaction.prepare_cached("DELETE FROM vals WHERE name = ?1")?.execute(params![name])?;
            Ok(())
        }
        Change::DeleteTasks(uids) => {
            for uid in uids {
                transaction.prepare_cached("DELETE FROM tasks WHERE uid = ?1")?.execute(params![uid])?;
                transaction.prepare_cached("DELETE FROM task_indexes WHERE uid = ?1")?.execute(params![uid])?;
            }
            Ok(())
        }
        Change::Clear => {
            for table in ["rows", "vals", "tasks", "task_indexes"] {
                transaction.execute(&format!("DELETE FROM {table}"), [])?;
            }
            Ok(())
        }
        Change::RenameTasks(names, below) => rename(transaction, names, *below),
    }
}

fn put(transaction: &Transaction<'_>, record: &Record) -> Result<(), StoreError> {
    if let Record::Task(task) = record {
        return put_task(transaction, task);
    }
    let (kind, key) = record.slot();
    match record.value() {
        Some(json) => transaction
            .prepare_cached("INSERT OR REPLACE INTO rows (kind, key, json) VALUES (?1, ?2, ?3)")?
            .execute(params![kind, key, json])?,
        None => {
            transaction.prepare_cached("DELETE FROM rows WHERE kind = ?1 AND key = ?2")?.execute(params![kind, key])?
        }
    };
    Ok(())
}

fn put_task(transaction: &Transaction<'_>, task: &TaskRow) -> Result<(), StoreError> {
    let fault = |source| StoreError::Row { kind: "task".to_owned(), source };
    let json = serde_json::to_string(task).map_err(fault)?;
    let status = serde_json::to_value(task.status).map_err(fault)?;
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO tasks (uid, type, status, canceled_by, enqueued, started, finished, json)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            task.uid,
            task.task_type,
            status.as_str(),
            task.canceled_by,
            millis(task.enqueued_ms),
            task.started_ms.map(millis),
            task.finished_ms.map(millis),
            json
        ])?;
    for name in &task.indexes {
        transaction
            .prepare_cached("INSERT OR IGNORE INTO task_indexes (name, uid) VALUES (?1, ?2)")?
            .execute(params![name, task.uid])?;
    }
    Ok(())
}

fn millis(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

fn rename(transaction: &Transaction<'_>, names: &[(String, String)], below: u32) -> Result<(), StoreError> {
    let concerned = super::reader::of_indexes(transaction, names.iter().map(|(old, _)| old.as_str()))?;
    for task in concerned.into_iter().filter(|task| task.uid < below).filter_map(|task| renamed(task, names)) {
        transaction.prepare_cached("DELETE FROM task_indexes WHERE uid = ?1")?.execute(params![task.uid])?;
        put_task(transaction, &task)?;
    }
    Ok(())
}

/// The task with its indexes' new names; none where it has none of the old ones.
pub(super) fn renamed(mut task: TaskRow, names: &[(String, String)]) -> Option<TaskRow> {
    let mut changed = false;
    for name in task.indexes.iter_mut().chain(task.index.as_mut()) {
        if let Some((_, new)) = names.iter().find(|(old, _)| old == name) {
            name.clone_from(new);
            changed = true;
        }
    }
    changed.then_some(task)
}
