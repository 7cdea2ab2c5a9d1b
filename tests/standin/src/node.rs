//! The node: its state, what may change it, and the thread that works through the queue.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

use crate::answer::{Refusal, refuse};
use crate::drift::Drift;
use crate::fault::FaultBoard;
use crate::index::Index;
use crate::journal::{Journal, Record};
use crate::keys::{self, Key};
use crate::task::{Status, Task, Work};
use crate::{apply, batch, clock};

/// The node, as handlers hold it.
pub(crate) type Shared = Arc<Node>;

/// Experimental features, in the engine's order.
pub(crate) const FEATURES: &[&str] = &[
    "metrics",
    "logsRoute",
    "editDocumentsByFunction",
    "containsFilter",
    "dynamicSearchRules",
    "network",
    "getTaskDocumentsRoute",
    "taskQueueCompactionRoute",
    "compositeEmbedders",
    "chatCompletions",
    "multimodal",
    "foreignKeys",
    "disableDocumentsFetchQueue",
    "legacySearch",
    "renderRoute",
];

/// The version that is imitated.
pub(crate) const USUAL_VERSION: &str = "1.50.0";

/// All that the node knows.
pub(crate) struct State {
    /// Indexes by uid.
    pub(crate) indexes: BTreeMap<String, Index>,
    /// Tasks by uid.
    pub(crate) tasks: BTreeMap<u32, Task>,
    /// API keys.
    pub(crate) keys: Vec<Key>,
    /// Experimental features.
    pub(crate) features: Map<String, Value>,
    /// Version that has written the directory.
    written_by: String,
    next_task: u32,
    next_batch: u32,
    journal: Journal,
}

/// A running node.
pub(crate) struct Node {
    state: Mutex<State>,
    /// Wakes the queue.
    pub(crate) work: Notify,
    /// Planted faults.
    pub(crate) faults: FaultBoard,
    /// The master key.
    pub(crate) master: Option<String>,
    /// The version that it says it is of.
    pub(crate) version: String,
}

impl Node {
    /// Opens the node on its directory and redoes what the journal holds.
    pub(crate) fn open(directory: &Path, master: Option<String>, version: String) -> anyhow::Result<Shared> {
        let (journal, records) = Journal::open(directory)?;
        let fresh = records.is_empty();
        let features = FEATURES.iter().map(|name| ((*name).to_owned(), json!(false))).collect();
        let mut state = State {
            indexes: BTreeMap::new(),
            tasks: BTreeMap::new(),
            keys: Vec::new(),
            features,
            written_by: USUAL_VERSION.to_owned(),
            next_task: 0,
            next_batch: 0,
            journal,
        };
        for record in records {
            state.redo(record);
        }
        if fresh {
            for key in keys::defaults() {
                state.put_key(key).context("cannot write the default keys")?;
            }
            state.put_version(&version)?;
        }
        let (state, faults) = (Mutex::new(state), FaultBoard::default());
        Ok(Arc::new(Self { state, work: Notify::new(), faults, master, version }))
    }

    /// Whether another version has written the directory.
    pub(crate) fn is_of_another_version(&self) -> bool {
        self.state().written_by != self.version
    }

    /// Takes the directory of another version over, by a task as the engine does.
    pub(crate) fn take_over(&self) -> anyhow::Result<()> {
        let from = self.state().written_by.clone();
        let work = Work::Upgrade { from, to: self.version.clone() };
        self.enqueue(None, work, None).map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
        self.state().put_version(&self.version)
    }

    /// The state, locked.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enqueues a task; it survives a kill when this returns.
    pub(crate) fn enqueue(&self, index: Option<&str>, work: Work, metadata: Option<String>) -> Result<Task, Refusal> {
        let mut state = self.state();
        let task = Task::new(state.next_task, index.map(str::to_owned), work, metadata, clock::now());
        state.write(&Record::Enqueued(Box::new(task.clone())))?;
        state.next_task = task.uid + 1;
        state.tasks.insert(task.uid, task.clone());
        drop(state);
        self.work.notify_one();
        Ok(task)
    }

    /// Works through the queue for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            let node = Arc::clone(&self);
            let busy = tokio::task::spawn_blocking(move || node.step()).await.unwrap_or(false);
            if !busy {
                self.work.notified().await;
            }
        }
    }

    /// Does one batch; tells whether there was one.
    fn step(&self) -> bool {
        let faults = self.faults.get();
        if faults.hold_queue {
            return false;
        }
        let mut state = self.state();
        let waiting: Vec<u32> =
            state.tasks.values().filter(|task| task.status == Status::Enqueued).map(|task| task.uid).collect();
        let tasks = batch::next(&state.tasks, &waiting);
        if tasks.is_empty() {
            return false;
        }
        let started_at = clock::now();
        let batch = state.next_batch;
        let mut planted = Vec::new();
        for uid in &tasks {
            if let Some(task) = state.tasks.get_mut(uid) {
                task.batch = Some(batch);
                task.started_at = Some(started_at);
                let documents = task.work.keeps_metadata();
                if let Some(code) = documents.then(|| self.faults.take_task_failure()).flatten() {
                    planted.push((*uid, code));
                }
            }
        }
        let finished_at = clock::now();
        let record = Record::Done { batch, tasks, started_at, finished_at, planted };
        if state.write(&record).is_err() {
            return false;
        }
        state.redo(record);
        true
    }
}

impl State {
    /// Writes a record to the journal.
    fn write(&mut self, record: &Record) -> Result<(), Refusal> {
        self.journal.write(record).map_err(|error| refuse("internal", error.to_string()))
    }

    /// Carries out what a record says.
    fn redo(&mut self, record: Record) {
        match record {
            Record::Enqueued(task) => {
                self.next_task = self.next_task.max(task.uid + 1);
                self.tasks.insert(task.uid, *task);
            }
            Record::Done { batch, tasks, started_at, finished_at, planted } => {
                self.next_batch = self.next_batch.max(batch + 1);
                for uid in &tasks {
                    if let Some(task) = self.tasks.get_mut(uid) {
                        task.batch = Some(batch);
                        task.started_at = Some(started_at);
                        task.finished_at = Some(finished_at);
                    }
                }
                apply::batch(self, &tasks, finished_at, &planted);
            }
            Record::Version(version) => self.written_by = version,
            Record::Key(key) => {
                self.keys.retain(|known| known.uid != key.uid);
                self.keys.push(key);
            }
            Record::Drift(drift) => crate::drift::apply(self, &drift),
            Record::KeyGone(uid) => self.keys.retain(|key| key.uid != uid),
            Record::Features(features) => {
                if let Value::Object(features) = features {
                    self.features.extend(features);
                }
            }
        }
    }

    /// Notes which version writes from now on.
    fn put_version(&mut self, version: &str) -> anyhow::Result<()> {
        let record = Record::Version(version.to_owned());
        self.journal.write(&record)?;
        self.redo(record);
        Ok(())
    }

    /// Stores a key.
    pub(crate) fn put_key(&mut self, key: Key) -> anyhow::Result<()> {
        let record = Record::Key(key);
        self.journal.write(&record)?;
        self.redo(record);
        Ok(())
    }

    /// Deletes a key.
    pub(crate) fn drop_key(&mut self, uid: &str) -> Result<(), Refusal> {
        let record = Record::KeyGone(uid.to_owned());
        self.write(&record)?;
        self.redo(record);
        Ok(())
    }

    /// Changes what lies on the disk; no task tells of it.
    pub(crate) fn drift(&mut self, drift: Drift) -> Result<(), Refusal> {
        let record = Record::Drift(drift);
        self.write(&record)?;
        self.redo(record);
        Ok(())
    }

    /// Changes experimental features.
    pub(crate) fn put_features(&mut self, features: Value) -> Result<(), Refusal> {
        let record = Record::Features(features);
        self.write(&record)?;
        self.redo(record);
        Ok(())
    }

    /// Whether an experimental feature is on.
    pub(crate) fn feature(&self, name: &str) -> bool {
        self.features.get(name) == Some(&Value::Bool(true))
    }

    /// Whether a batch for this index waits.
    pub(crate) fn indexing(&self, index: &str) -> bool {
        self.tasks.values().any(|task| task.status == Status::Processing && task.index.as_deref() == Some(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(documents: &str) -> Work {
        Work::Add {
            merge: false,
            documents: serde_json::from_str(documents).unwrap(),
            primary_key: None,
            skip_creation: false,
            create_index: true,
        }
    }

    #[test]
    fn what_was_accepted_survives() {
        let directory = tempfile::tempdir().unwrap();
        let node = Node::open(directory.path(), None, USUAL_VERSION.to_owned()).unwrap();
        node.enqueue(Some("a"), add(r#"[{"id": 1, "n": 18446744073709551615}]"#), Some("meta".into())).unwrap();
        assert!(node.step());
        node.enqueue(Some("a"), add(r#"[{"id": 2}]"#), None).unwrap();
        let keys = node.state().keys.clone();
        drop(node);
        let node = Node::open(directory.path(), None, USUAL_VERSION.to_owned()).unwrap();
        {
            let state = node.state();
            assert_eq!(state.keys, keys);
            assert_eq!(state.indexes["a"].get("1").unwrap()["n"], json!(18_446_744_073_709_551_615_u64));
            assert_eq!((state.tasks[&0].status, state.tasks[&1].status), (Status::Succeeded, Status::Enqueued));
            assert_eq!(state.tasks[&0].metadata.as_deref(), Some("meta"));
        }
        assert!(node.step() && !node.step());
        assert_eq!(node.state().indexes["a"].documents.len(), 2);
    }

    /// As the engine (1.50) has it: what a batch makes is not there for a replacement that makes nothing.
    #[test]
    fn a_document_made_and_replaced_in_one_batch_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let node = Node::open(directory.path(), None, USUAL_VERSION.to_owned()).unwrap();
        let made = |id: u32| add(&format!(r#"[{{"id": {id}, "v": 1}}]"#));
        let with = |id: u32, skips: bool, merges: bool| match made(id) {
            Work::Add { documents, primary_key, create_index, .. } => {
                Work::Add { merge: merges, documents, primary_key, skip_creation: skips, create_index }
            }
            other => other,
        };
        node.enqueue(Some("a"), made(1), None).unwrap();
        assert!(node.step());
        for work in [with(1, true, false), made(2), with(2, true, false), made(3), with(3, true, true)] {
            node.enqueue(Some("a"), work, None).unwrap();
        }
        assert!(node.step() && !node.step());
        let state = node.state();
        assert!(state.tasks.values().all(|task| task.details["indexedDocuments"] == json!(1)));
        let held = |id: &str| state.indexes["a"].get(id).is_some();
        assert_eq!((held("1"), held("2"), held("3")), (true, false, true));
    }

    #[test]
    fn another_version_takes_over_by_a_task() {
        let directory = tempfile::tempdir().unwrap();
        let open = |version: &str| Node::open(directory.path(), None, version.to_owned()).unwrap();
        assert!(!open("1.50.1").is_of_another_version(), "an empty directory is nobody's");
        let node = open("1.51.0");
        assert!(node.is_of_another_version());
        node.take_over().unwrap();
        let task = node.state().tasks[&0].clone();
        assert_eq!((task.work.kind(), &task.details["upgradeFrom"]), ("upgradeDatabase", &json!("v1.50.1")));
        drop(node);
        assert!(!open("1.51.0").is_of_another_version());
    }

    #[test]
    fn planted_failures_survive_too() {
        let directory = tempfile::tempdir().unwrap();
        let node = Node::open(directory.path(), None, USUAL_VERSION.to_owned()).unwrap();
        node.faults.set(crate::fault::Faults { fail_tasks: 1, ..Default::default() });
        node.enqueue(Some("a"), add(r#"[{"id": 1}]"#), None).unwrap();
        node.step();
        drop(node);
        let node = Node::open(directory.path(), None, USUAL_VERSION.to_owned()).unwrap();
        assert_eq!(node.state().tasks[&0].status, Status::Failed);
        assert!(node.state().indexes.get("a").is_none_or(|index| index.documents.is_empty()));
    }

    #[test]
    fn drift_survives_and_no_task_tells_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let node = Node::open(directory.path(), None, USUAL_VERSION.to_owned()).unwrap();
        node.enqueue(Some("a"), add(r#"[{"id": 1, "n": 1}, {"id": 2}]"#), None).unwrap();
        node.step();
        let drift = r#"{"index": "a", "put": [{"id": 1, "n": 2}], "delete": ["2"], "settings": {"stopWords": ["x"]}}"#;
        node.state().drift(serde_json::from_str(drift).unwrap()).unwrap();
        drop(node);
        let node = Node::open(directory.path(), None, USUAL_VERSION.to_owned()).unwrap();
        let state = node.state();
        assert_eq!((state.indexes["a"].get("1").unwrap()["n"].clone(), state.tasks.len()), (json!(2), 1));
        assert!(state.indexes["a"].get("2").is_none());
        assert_eq!(state.indexes["a"].settings.get("stopWords"), &json!(["x"]));
    }
}
